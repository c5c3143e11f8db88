// Sums over the workers, less what they were.
#include "limpet/publish/baselines.h"

#include <utility>

namespace limpet::publish {
namespace {

template <class Sums, class Counters>
void add(Sums& sums, const Counters& counters) {
  for (size_t i = 0; i < sums.size(); ++i) sums[i] += counters[i].get();
}

template <class Sums>
void subtract(Sums& sums, const Sums& start) {
  for (size_t i = 0; i < sums.size(); ++i) sums[i] -= start[i];
}

void add(HistogramTotals& sums, const dataplane::Histogram& counters) {
  add(sums.buckets, counters.buckets);
  sums.sum_us += counters.sum_us.get();
}

void subtract(HistogramTotals& sums, const HistogramTotals& start) {
  subtract(sums.buckets, start.buckets);
  sums.sum_us -= start.sum_us;
}

#define LIMPET_ADD(kind, member, json, help) t.member += c.member.get();
// What is still there is not taken off.
#define LIMPET_SUBTRACT(kind, member, json, help) \
  if constexpr (dataplane::CounterKind::kind == dataplane::CounterKind::total) t.member -= s.member;

}  // namespace

void Baselines::new_backend(uint16_t slot, const BackendSlot& backend, std::string reason,
                            Instant now) {
  if (backends_.size() <= slot) backends_.resize(slot + size_t{1});
  Backend& b = backends_[slot];
  if (b.generation != backend.generation) b.start = sum_backend(slot);
  b.generation = backend.generation;
  b.reason = std::move(reason);
  b.since = now;
}

void Baselines::new_service(uint16_t slot, const dataplane::ServiceEntry& entry) {
  if (services_.size() <= slot) services_.resize(slot + size_t{1});
  Service& s = services_[slot];
  if (s.protocol != entry.protocol || s.vip != entry.vip || !(s.port == entry.port)) {
    s.start = sum_service(slot);
    s.entries = {};
    for (size_t i = 0; i < s.entry_start.size(); ++i) s.entry_start[i] = sum_entry(slot, i);
  }
  s.vip = entry.vip;
  s.port = entry.port;
  s.protocol = entry.protocol;
}

void Baselines::set_entries(uint16_t slot, std::span<const config::Persistence> list) {
  if (services_.size() <= slot) services_.resize(slot + size_t{1});
  Service& s = services_[slot];
  for (size_t i = 0; i < list.size() && i < s.entries.size(); ++i) {
    if (s.entries[i] && !affinity::same_carrier(*s.entries[i], list[i]))
      s.entry_start[i] = sum_entry(slot, i);
    s.entries[i] = list[i];
  }
}

void Baselines::set_reason(uint16_t slot, std::string reason, Instant now) {
  backends_[slot].reason = std::move(reason);
  backends_[slot].since = now;
}

BackendTotals Baselines::sum_backend(uint16_t slot) const {
  BackendTotals t;
  for (const dataplane::WorkerStats* stats : stats_) {
    const dataplane::BackendCounters& c = stats->backends[slot];
    LIMPET_BACKEND_COUNTERS(LIMPET_ADD)
    const dataplane::BackendTimes& times = stats->times[slot];
    add(t.connect, times.connect);
    add(t.first_byte, times.first_byte);
    add(t.responses, times.responses);
  }
  return t;
}

ServiceTotals Baselines::sum_service(uint16_t slot) const {
  ServiceTotals t;
  for (const dataplane::WorkerStats* stats : stats_) {
    const dataplane::ServiceCounters& c = stats->services[slot];
    LIMPET_SERVICE_COUNTERS(LIMPET_ADD)
    add(t.reasons, c.reasons);
    add(t.refused, c.refused);
  }
  return t;
}

BackendTotals Baselines::backend_totals(uint16_t slot) const {
  BackendTotals t = sum_backend(slot);
  if (slot >= backends_.size()) return t;
  const BackendTotals& s = backends_[slot].start;
  LIMPET_BACKEND_COUNTERS(LIMPET_SUBTRACT)
  subtract(t.connect, s.connect);
  subtract(t.first_byte, s.first_byte);
  subtract(t.responses, s.responses);
  return t;
}

ServiceTotals Baselines::service_totals(uint16_t slot) const {
  ServiceTotals t = sum_service(slot);
  if (slot >= services_.size()) return t;
  const ServiceTotals& s = services_[slot].start;
  LIMPET_SERVICE_COUNTERS(LIMPET_SUBTRACT)
  subtract(t.reasons, s.reasons);
  subtract(t.refused, s.refused);
  return t;
}

PersistenceTotals Baselines::sum_entry(uint16_t slot, size_t entry) const {
  PersistenceTotals t;
  for (const dataplane::WorkerStats* stats : stats_) {
    const dataplane::PersistenceCounters& c = stats->persistence[slot][entry];
    add(t.request, c.request);
    add(t.response, c.response);
    add(t.detail, c.detail);
    LIMPET_PERSISTENCE_COUNTERS(LIMPET_ADD)
  }
  return t;
}

PersistenceTotals Baselines::persistence_totals(uint16_t slot, size_t entry) const {
  PersistenceTotals t = sum_entry(slot, entry);
  if (slot >= services_.size()) return t;
  const PersistenceTotals& s = services_[slot].entry_start[entry];
  subtract(t.request, s.request);
  subtract(t.response, s.response);
  subtract(t.detail, s.detail);
  LIMPET_PERSISTENCE_COUNTERS(LIMPET_SUBTRACT)
  return t;
}

}  // namespace limpet::publish
