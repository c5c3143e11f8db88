// What the control thread remembers of each slot beside the registry: since when a backend is in
// its state and why, and what the workers' counters said when the slot got its present meaning.
// Workers never reset a counter; `show` subtracts, so that a new backend starts at zero. Owner: the
// control thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "limpet/base/time.h"
#include "limpet/config/persistence.h"
#include "limpet/control/slots.h"
#include "limpet/dataplane/counters.h"

namespace limpet::control {

struct BackendTotals {
  uint64_t connections_active = 0;
  uint64_t connections_total = 0;
  uint64_t packets_in = 0, packets_out = 0;
  uint64_t bytes_in = 0, bytes_out = 0;
  uint64_t connect_failures = 0;
  uint64_t redispatched = 0;
};

struct ServiceTotals {
  uint64_t connections_active = 0;
  uint64_t connections_total = 0;
  uint64_t packets_in = 0, packets_out = 0;
  uint64_t bytes_in = 0, bytes_out = 0;
  uint64_t no_backend = 0;
  std::array<uint64_t, dataplane::kRefusedCount> refused{};
  std::array<uint64_t, affinity::kReasonCount> reasons{};
};

struct PersistenceTotals {  // dataplane::PersistenceCounters
  std::array<uint64_t, affinity::kRequestFlagCount> request{};
  std::array<uint64_t, affinity::kResponseFlagCount> response{};
  std::array<uint64_t, affinity::kInvalidDetailCount> detail{};
  uint64_t decided = 0;
  uint64_t redispatched = 0;
  uint64_t first_pin_races = 0;
  uint64_t other_backend_on_keepalive = 0;
};

using AllStats = std::vector<const dataplane::WorkerStats*>;  // by worker

class Notes {
 public:
  explicit Notes(AllStats stats) : stats_(std::move(stats)) {}

  struct Backend {
    Instant since;       // in its state
    std::string reason;  // of that state
    uint16_t generation = 0;
    BackendTotals start;
  };

  // A backend slot that is new or came back. Counters start again only with a new generation.
  void new_backend(uint16_t slot, const BackendSlot& backend, std::string reason, Instant now);
  // A service slot that is new or came back; `entry` tells the two apart.
  void new_service(uint16_t slot, const dataplane::ServiceEntry& entry);
  // What the entries of its persistence list are, after each change of the configuration. A place
  // in the list that means another carrier than before counts from zero.
  void set_entries(uint16_t slot, std::span<const config::Persistence> list);
  void set_reason(uint16_t slot, std::string reason, Instant now);

  const Backend& backend(uint16_t slot) const { return backends_[slot]; }
  // Summed over the workers, since the slot has its present meaning. Gauges are as they are.
  BackendTotals backend_totals(uint16_t slot) const;
  ServiceTotals service_totals(uint16_t slot) const;
  PersistenceTotals persistence_totals(uint16_t slot, size_t entry) const;

 private:
  struct Service {
    IpAddress vip;
    be16 port{};
    uint8_t protocol = 0;
    ServiceTotals start;
    // By place in the list: absent before the first one that is so long.
    std::array<std::optional<config::Persistence>, affinity::kMaxEntries> entries;
    std::array<PersistenceTotals, affinity::kMaxEntries> entry_start;
  };
  BackendTotals sum_backend(uint16_t slot) const;
  ServiceTotals sum_service(uint16_t slot) const;
  PersistenceTotals sum_entry(uint16_t slot, size_t entry) const;

  AllStats stats_;
  std::vector<Backend> backends_;  // by slot
  std::vector<Service> services_;  // by slot
};

}  // namespace limpet::control
