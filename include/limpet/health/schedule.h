// When which check is due. Pure: the caller brings the time and runs the checks.
//
// Each item has a phase of its own, derived from its name, so that checks spread over the interval
// and keep that distance; an item that runs is not due again before it has ended, and at most
// `parallel` run at a time (the longest due go first).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "limpet/base/time.h"

namespace limpet::health {

class Schedule {
 public:
  // The first check of an item never waits longer than this, however long its interval.
  static constexpr Duration kFirstWithin = std::chrono::seconds(5);

  explicit Schedule(size_t parallel) : parallel_(parallel) {}

  // A new item, or another interval for a known one, which then starts a new phase.
  void set(uint32_t id, std::string_view name, Duration interval, Instant now);
  void remove(uint32_t id);

  // The next item that has to start now; it counts as running until ended() or remove().
  std::optional<uint32_t> start(Instant now);
  void ended(uint32_t id, Instant now);
  // When the item's run that is under way had to start; it may have started later.
  Instant due(uint32_t id) const { return items_.at(id).due; }
  // Of the item's next run; meaningful while it runs.
  Instant following(uint32_t id, Instant now) const;

  // When start() may return something; nullopt: nothing before an item ends.
  std::optional<Instant> next() const;
  size_t running() const { return running_; }

 private:
  struct Item {
    Duration interval{};
    Instant due;
    bool running = false;
  };
  size_t parallel_;
  size_t running_ = 0;
  std::map<uint32_t, Item> items_;
  std::set<std::pair<Instant, uint32_t>> waiting_;  // by due time
};

}  // namespace limpet::health
