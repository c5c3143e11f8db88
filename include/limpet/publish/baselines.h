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

#include "limpet/affinity/stick_table.h"
#include "limpet/base/time.h"
#include "limpet/config/persistence.h"
#include "limpet/dataplane/counters.h"
#include "limpet/publish/slots.h"

namespace limpet::publish {

// Sums over the workers, less what they were: a member for each counter of dataplane/counters.h.
#define LIMPET_TOTAL_MEMBER(kind, member, json, help) uint64_t member = 0;
struct HistogramTotals {
  std::array<uint64_t, dataplane::Histogram::kBoundsUs.size() + 1> buckets{};
  uint64_t sum_us = 0;
};

struct BackendTotals {
  LIMPET_BACKEND_COUNTERS(LIMPET_TOTAL_MEMBER)
  HistogramTotals connect, first_byte;
  std::array<uint64_t, 5> responses{};  // by class
};

struct ServiceTotals {
  LIMPET_SERVICE_COUNTERS(LIMPET_TOTAL_MEMBER)
  std::array<uint64_t, dataplane::kRefusedCount> refused{};
  std::array<uint64_t, affinity::kReasonCount> reasons{};
};

struct PersistenceTotals {
  std::array<uint64_t, affinity::kRequestFlagCount> request{};
  std::array<uint64_t, affinity::kResponseFlagCount> response{};
  std::array<uint64_t, affinity::kInvalidDetailCount> detail{};
  LIMPET_PERSISTENCE_COUNTERS(LIMPET_TOTAL_MEMBER)
};
#undef LIMPET_TOTAL_MEMBER

// The same as tables, for whoever shows them.
template <class Of, class Value>
struct CounterDef {
  dataplane::CounterKind kind;
  const char* member;
  const char* json;  // "": not by itself
  const char* help;
  Value Of::*value;
};
#define LIMPET_TOTAL_ROW(kind, member, json, help) \
  {dataplane::CounterKind::kind, #member, json, help, &BackendTotals::member},
inline constexpr CounterDef<BackendTotals, uint64_t> kBackendCounters[] = {
    LIMPET_BACKEND_COUNTERS(LIMPET_TOTAL_ROW)};
#undef LIMPET_TOTAL_ROW
#define LIMPET_TOTAL_ROW(kind, member, json, help) \
  {dataplane::CounterKind::kind, #member, json, help, &ServiceTotals::member},
inline constexpr CounterDef<ServiceTotals, uint64_t> kServiceCounters[] = {
    LIMPET_SERVICE_COUNTERS(LIMPET_TOTAL_ROW)};
#undef LIMPET_TOTAL_ROW
#define LIMPET_TOTAL_ROW(kind, member, json, help) \
  {dataplane::CounterKind::kind, #member, json, help, &PersistenceTotals::member},
inline constexpr CounterDef<PersistenceTotals, uint64_t> kPersistenceCounters[] = {
    LIMPET_PERSISTENCE_COUNTERS(LIMPET_TOTAL_ROW)};
#undef LIMPET_TOTAL_ROW
#define LIMPET_WORKER_ROW(kind, member, json, help) \
  {dataplane::CounterKind::kind, #member, json, help, &dataplane::WorkerCounters::member},
inline constexpr CounterDef<dataplane::WorkerCounters, dataplane::Counter> kWorkerCounters[] = {
    LIMPET_WORKER_COUNTERS(LIMPET_WORKER_ROW)};
#undef LIMPET_WORKER_ROW

// Of a stick table; its struct is affinity's, who knows nothing of those that show it.
inline constexpr CounterDef<affinity::StickCounters, uint64_t> kTableCounters[] = {
    {dataplane::CounterKind::gauge, "used", "used",
     "Entries, expired ones that were not reclaimed yet included", &affinity::StickCounters::used},
    {dataplane::CounterKind::total, "inserted", "inserted", "Entries that are new",
     &affinity::StickCounters::inserted},
    {dataplane::CounterKind::total, "found", "found", "Look-ups that found an entry",
     &affinity::StickCounters::found},
    {dataplane::CounterKind::total, "expired", "expired", "Entries that were too old",
     &affinity::StickCounters::expired},
    {dataplane::CounterKind::total, "evicted", "evicted", "Entries that made room in a full table",
     &affinity::StickCounters::evicted},
    {dataplane::CounterKind::total, "refused", "refused", "Clients whom a full table did not keep",
     &affinity::StickCounters::refused},
    {dataplane::CounterKind::gauge, "held", "held", "Entries that an open connection holds",
     &affinity::StickCounters::held},
    {dataplane::CounterKind::total, "evicted_held", "evicted_held",
     "Entries that made room although an open connection held them",
     &affinity::StickCounters::evicted_held}};

using AllStats = std::vector<const dataplane::WorkerStats*>;  // by worker

class Baselines {
 public:
  explicit Baselines(AllStats stats) : stats_(std::move(stats)) {}

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

}  // namespace limpet::publish
