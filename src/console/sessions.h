// `show sessions` and `clear sessions`: a walk over the stick table of one service, in slices
// between the other turns of the event loop, as a table may have millions of entries. Owner: the
// control thread.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "limpet/base/result.h"
#include "limpet/console/view.h"

namespace limpet::console {

class SessionWalk {
 public:
  static constexpr size_t kSlice = 256;  // rows of a turn

  struct Wanted {
    std::string service;
    std::string key;      // of these only; empty: all. A client's address, or a cookie's value
    std::string backend;  // clear: of this one only; empty: of all
    bool clear = false;
    uint32_t limit = 0;  // show: rows, more than 0
  };
  // The error says why there is nothing to walk over.
  static Result<SessionWalk> begin(const View& view, Wanted wanted);

  // True when it is over.
  bool turn(const View& view);
  // The data of the reply: rows, or {"cleared":N,"text":..}.
  std::string text(Duration uptime) const;

 private:
  SessionWalk(Wanted wanted, std::shared_ptr<const dataplane::SpliceEntry> entry)
      : wanted_(std::move(wanted)), entry_(std::move(entry)) {}
  // What the key is in each kind of keys that the list has.
  std::vector<affinity::StickKey> keys() const;
  void add(const View& view, const affinity::StickView& session);

  Wanted wanted_;
  std::shared_ptr<const dataplane::SpliceEntry> entry_;  // keeps the table, whatever a reload does
  affinity::StickCursor cursor_;
  std::string rows_;
  uint32_t count_ = 0;  // rows, or entries that were cleared
  bool more_ = false;
};

}  // namespace limpet::console
