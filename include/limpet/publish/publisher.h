// The control thread's end of everything that leads to the workers: snapshots (store-release, then
// an RCU token, never a wait), backend states and queries (one SP/SC ring each; what finds a ring
// full waits here and is sent by a later turn, a newer state of a backend replacing an older one).
// Needs a dataplane::Shared and with it an EAL; the building is builder.h.
// Owner: the control thread. Destroy after the workers ended.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "limpet/balance/backend_state.h"
#include "limpet/base/memory.h"
#include "limpet/base/result.h"
#include "limpet/base/time.h"
#include "limpet/config/document.h"
#include "limpet/dataplane/counters.h"
#include "limpet/dataplane/shared.h"
#include "limpet/publish/builder.h"
#include "limpet/publish/slots.h"

namespace limpet::publish {

class Publisher {
 public:
  // How long every worker must have read a snapshot before what it lacks is reclaimed.
  static constexpr Duration kGrace = std::chrono::seconds(1);

  struct Setup {
    dataplane::Shared* shared = nullptr;
    std::vector<dataplane::PortEntry> ports;
    std::vector<const dataplane::WorkerStats*> stats;  // by worker
    const flow::Toeplitz* toeplitz = nullptr;
    uint64_t random = 0;
    HashKey stick_secret{};          // random in production
    std::function<Memory()> memory;  // null: never short
  };
  struct Applied {
    std::vector<uint16_t> new_backends;
    std::vector<uint16_t> new_services;
    std::vector<std::string> warnings;
  };

  explicit Publisher(Setup setup);

  // Builds aside, sends the states of backends that are new, publishes. All or nothing.
  Result<Applied> apply(const config::Document& document, Instant now);

  // Services of which apply() would give up rules that requests under way hold: it waits for their
  // answers to ask for it later.
  std::vector<uint16_t> crowded(const config::Document& document) const {
    return publish::crowded(slots_, document);
  }

  // Of snapshots built from now on; apply() or refresh() makes the workers use them.
  void set_keys(const affinity::CookieKeys& keys) { keys_ = keys; }
  const affinity::CookieKeys& keys() const { return keys_; }
  Status refresh(Instant now);  // the current configuration again
  // What a backend's stack accepts. True when refresh() would make clients be promised something
  // else because of it.
  bool set_offer(uint16_t slot, const tcp::Agreed& options);

  const Slots& slots() const { return slots_; }
  const dataplane::Snapshot* current() const { return current_.snapshot.get(); }
  // By slot. A new backend starts at {up, unknown}, in a pool without checks at {up, up}.
  balance::BackendStatus status(uint16_t slot) const { return status_[slot]; }
  const std::vector<balance::BackendStatus>& statuses() const { return status_; }
  // To every worker, now or by the next turns; effective there within one iteration of its arrival.
  void set_status(uint16_t slot, balance::BackendStatus status);
  // The addresses of a port once more, as nobody behind it may know us.
  void announce(uint16_t port);
  // `query` must stay until its `done` reads true, or the worker has ended.
  void ask(unsigned worker, dataplane::Query* query);

  // One turn of the event loop: sends what waits, frees old snapshots that nobody reads, reclaims
  // slots. Returns how long the next turn may be put off.
  Duration turn(Instant now);
  size_t pending() const;  // messages that wait for room in a ring
  size_t old_snapshots() const { return old_.size(); }
  uint64_t settled() const { return settled_; }  // every worker reads this serial or a later one

  uint64_t backend_flows(uint16_t slot) const;
  uint64_t service_flows(uint16_t slot) const;
  uint64_t rules_in_use(uint16_t service, size_t place) const;

 private:
  struct Old {
    OwnedSnapshot owned;
    uint64_t token = 0;  // of its replacement
  };
  struct Pending {
    std::map<uint16_t, dataplane::ToWorker> states;  // by slot
    std::set<uint16_t> announcements;                // ports
    std::deque<dataplane::Query*> queries;
  };
  Result<Built> build_next(const config::Document& document) const;
  std::optional<uint64_t> memory_left() const;
  void publish(Built&& built, Instant now);
  void send_state(uint16_t slot);
  bool enqueue(unsigned worker, dataplane::ToWorker message);
  void send_pending();
  void free_old(Instant now);
  void free_rules();
  bool reclaim(Instant now);

  Setup setup_;
  dataplane::Shared& shared_;
  Slots slots_;
  OwnedSnapshot current_;
  config::Document document_;  // of the current snapshot, for building without what was reclaimed
  std::vector<Old> old_;       // oldest first
  std::vector<balance::BackendStatus> status_;
  std::vector<Pending> pending_;                    // by worker
  std::vector<std::optional<tcp::Agreed>> offers_;  // by slot
  affinity::CookieKeys keys_;
  uint64_t resident_ = 0;  // bytes of the process before there were source ports
  uint64_t serial_ = 0;
  uint64_t settled_ = 0;
  Instant settled_at_;
  Instant reclaim_at_;    // not looked for before
  bool lighter_ = false;  // a new snapshot would be, by what went with rules: a table, or keys
};

}  // namespace limpet::publish
