// What may run short in a worker, by name: one table for `show workers` and for the metrics. Reads
// the worker's counters; called by the control thread.
#pragma once

#include <cstdint>

#include "limpet/console/worker_info.h"
#include "limpet/flow/shares.h"

namespace limpet::console {

struct MemoryPool {
  using Of = uint64_t (*)(const WorkerInfo&);
  const char* kind;
  Of used;
  Of limit;
  Of gave_way;  // connections, or next hops, that ended because it was short; null: none ever do
  bool in_show;
  // Workers together are as good as the sum of them. Not so `ports`: those of the backend that has
  // fewest left, which need not be the same one everywhere.
  bool adds_up;
};

namespace memory_pools {
template <auto kMember>
uint64_t of(const WorkerInfo& w) {
  return (w.stats->worker.*kMember).get();
}
template <flow::Pool kPool>
uint64_t gave_way(const WorkerInfo& w) {
  return w.stats->worker.gave_way[static_cast<size_t>(kPool)].get();
}
inline uint64_t flows(const WorkerInfo& w) {
  return w.flow_capacity;
}
inline uint64_t flows_gave_way(const WorkerInfo& w) {
  return w.stats->worker.flows_evicted.get() + w.stats->worker.flows_gave_way.get();
}
inline uint64_t held_limit(const WorkerInfo& w) {
  return w.held_limit;
}
using C = dataplane::WorkerCounters;
using flow::Pool;

// clang-format off
inline constexpr MemoryPool kAll[] = {
    {"flows", of<&C::flows_used>, flows, flows_gave_way, true, true},
    {"ports", of<&C::ports_used>, of<&C::ports_total>, of<&C::ports_gave_way>, true, false},
    {"sessions", of<&C::sessions_used>, flows, nullptr, true, true},
    {"bindings", of<&C::bindings_used>, of<&C::bindings_total>, gave_way<Pool::bindings>, true, true},
    {"holds", of<&C::hold_bytes_used>, of<&C::hold_bytes_total>, gave_way<Pool::holds>, true, true},
    {"edits", of<&C::edit_bytes_used>, of<&C::edit_bytes_total>, gave_way<Pool::edits>, true, true},
    {"copies", of<&C::copy_bytes_used>, of<&C::copy_bytes_total>, nullptr, true, true},
    {"neighbors", of<&C::neighbors_used>, of<&C::neighbors_total>, of<&C::neighbors_replaced>, true, true},
    {"half_open", of<&C::half_open_used>, of<&C::half_open_total>, nullptr, false, true},
    {"held_packets", of<&C::held_packets>, held_limit, nullptr, false, true}};
// clang-format on
}  // namespace memory_pools

inline constexpr auto& kMemoryPools = memory_pools::kAll;

}  // namespace limpet::console
