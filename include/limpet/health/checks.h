// Health checks of all configured backends, and of removed ones until their last connection has
// ended: which, when, and what follows. The parts are elsewhere and pure (schedule.h,
// health_state.h) or behind a narrow door (prober.h). Owner: the control thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "limpet/base/time.h"
#include "limpet/config/document.h"
#include "limpet/dataplane/snapshot.h"
#include "limpet/health/health_state.h"
#include "limpet/health/prober.h"
#include "limpet/health/schedule.h"

namespace limpet::health {

// The time-out of a check that starts `late` after it was due. Whoever relies on a dead backend
// being out after fall x interval + timeout must not pay for our timers, which round up to whole
// milliseconds, nor for a loop that was busy; a tenth of the time-out at most makes up for both.
Duration time_left(Duration timeout, Duration late);

class HealthChecks {
 public:
  // What a backend's stack agrees to is asked again after this long.
  static constexpr Duration kOptionsAge = std::chrono::minutes(1);

  struct Item {
    uint16_t generation = 0;
    Probe probe;
    HealthState state{1, 1};
    std::optional<tcp::Agreed> tcp;
    std::optional<Instant> tcp_at;  // last asked
  };
  using OnChange = std::function<void(uint16_t slot, const HealthState::Transition&)>;
  using OnOptions = std::function<void(uint16_t slot, const tcp::Agreed&)>;

  // At most `parallel` checks at a time, with one descriptor each. `on_options` may be null.
  HealthChecks(Prober& prober, size_t parallel, OnChange on_change, OnOptions on_options = nullptr)
      : prober_(prober),
        schedule_(parallel),
        on_change_(std::move(on_change)),
        on_options_(std::move(on_options)) {}

  // After the document was published as `snapshot`: begins, ends and changes checks; those of
  // unchanged backends go on with what they know, those of removed ones as they were.
  void configure(const config::Document& document, const dataplane::Snapshot& snapshot,
                 Instant now);
  // Ends checks of slots that are gone from `snapshot`, the current one. Cheap when it is no news.
  void forget_reclaimed(const dataplane::Snapshot& snapshot);
  // Takes results in, starts what is due. A bounded number of each. `busy`: see Prober::run().
  void turn(Instant now, Duration busy = Duration::zero());
  // How long the next turn may be put off if prober.fd() stays silent.
  std::optional<Duration> wait(Instant now) const;

  const Item* find(uint16_t slot) const;  // null: not checked

 private:
  void take(const ProbeResult& result, Instant now);
  void learn(uint16_t slot, Item& item, const tcp::Agreed& options);
  bool ask_options(uint16_t slot, Item& item, Instant now);
  void remove(uint16_t slot);
  template <class Wanted>
  void keep(Wanted wanted);

  Prober& prober_;
  Schedule schedule_;
  OnChange on_change_;
  OnOptions on_options_;
  std::map<uint16_t, Item> items_;  // by slot
  uint64_t seen_ = 0;               // serial of the snapshot that forget_reclaimed() saw last
};

}  // namespace limpet::health
