// Every backend dies at once: from the message in the control ring until both ends of the last
// connection have been told, in iterations as the loop does them when nothing else comes. The
// claim: `seconds_per_million` stays below one.
#include "resets_bench.h"

#include <benchmark/benchmark.h>
#include <rte_cycles.h>

#include <memory>

#include "bench.h"

namespace limpet::worker_test {
namespace {

void resets(benchmark::State& state, void (*make_room)()) {
  make_room();
  const auto flows = static_cast<uint32_t>(state.range(0));
  const double hz = static_cast<double>(rte_get_tsc_hz());
  for (auto _ : state) {
    Bench bench(flows, flows + flows / 4);
    const uint64_t sent = bench.sent;
    const uint64_t expected = uint64_t{2} * flows;  // one to each end
    uint64_t iterations = 0;
    uint64_t slowest = 0;
    const uint64_t begin = rte_rdtsc_precise();
    uint64_t last = begin;
    bench.take_backends_down();
    do {
      bench.iterate(kFront, nullptr, 0);
      const uint64_t tsc = rte_rdtsc_precise();
      slowest = std::max(slowest, tsc - last);
      last = tsc;
    } while (++iterations < flows && !bench.worker().may_sleep());
    const double took = static_cast<double>(last - begin) / hz;
    if (bench.stats().worker.flows_reset.get() != flows || bench.sent - sent != expected)
      state.SkipWithError("connections were not reset");
    state.SetIterationTime(took);
    state.counters["seconds_per_million"] = took * 1e6 / flows;
    state.counters["iterations"] = static_cast<double>(iterations);
    state.counters["slowest_us"] = static_cast<double>(slowest) / hz * 1e6;
  }
}

}  // namespace

void register_resets(void (*make_room)()) {
  for (const int64_t flows : {65536, 1000000})
    benchmark::RegisterBenchmark("resets", resets, make_room)
        ->Arg(flows)
        ->Iterations(1)
        ->UseManualTime()
        ->Unit(benchmark::kMillisecond);
}

}  // namespace limpet::worker_test
