// What a configuration change costs the control thread (build) and a new connection the worker
// (look-up and choice, with the whole pool up, half of it down, and one backend left).
#include <benchmark/benchmark.h>
#include <fmt/core.h>

#include <vector>

#include "limpet/affinity/choose.h"
#include "limpet/balance/backend_state.h"
#include "limpet/balance/maglev.h"
#include "limpet/balance/round_robin.h"
#include "limpet/base/hash.h"

namespace limpet {
namespace {

using balance::BackendStatus;
using balance::Health;
using balance::Maglev;
using balance::MaglevMember;
using balance::RoundRobin;

std::vector<MaglevMember> pool(int64_t n) {
  std::vector<MaglevMember> m;
  for (int64_t i = 0; i < n; ++i) m.push_back({fmt::format("s{}", i), 1});
  return m;
}

void build(benchmark::State& state) {
  const auto members = pool(state.range(0));
  for ([[maybe_unused]] auto _ : state)
    benchmark::DoNotOptimize(Maglev(members, static_cast<uint32_t>(state.range(1))));
}
BENCHMARK(build)
    ->ArgNames({"backends", "size"})
    ->Args({10, 65537})
    ->Args({100, 65537})
    ->Args({1000, 65537})
    ->Args({1000, 5000011})
    ->Unit(benchmark::kMillisecond);

// Of `backends`, the first `down` are down. Every look-up takes another client.
template <class Look>
void with_down(benchmark::State& state, Look look) {
  const Maglev table(pool(state.range(0)));
  std::vector<BackendStatus> status(static_cast<size_t>(state.range(0)));
  for (int64_t i = 0; i < state.range(1); ++i) status[static_cast<size_t>(i)].health = Health::down;
  const auto usable = [&](uint16_t i) { return status[i].accepts_new(); };
  uint32_t client = 0;
  for ([[maybe_unused]] auto _ : state) benchmark::DoNotOptimize(look(table, client++, usable));
}

void lookup(benchmark::State& state) {
  with_down(state, [](const Maglev& table, uint32_t client, const auto& usable) {
    return table.lookup(mix64(client), usable);
  });
}

void choose_by_source(benchmark::State& state) {
  const auto policy = affinity::Policy("web").add_source(32, 64);
  with_down(state, [&](const Maglev& table, uint32_t client, const auto& usable) {
    affinity::Client c{IpAddress::v4(10, 0, 0, 0), be16::from(1024)};
    store(c.address.bytes.data() + 12, be32::from(0x0a000000u + client));
    return affinity::choose(policy, c, table, usable);
  });
}

void states(benchmark::internal::Benchmark* b) {
  b->ArgNames({"backends", "down"});
  for (const int64_t down : {0, 50, 99, 100}) b->Args({100, down});
}
// A turn of round robin, for a new client without a key.
void turn(benchmark::State& state) {
  const std::vector<uint32_t> weights(static_cast<size_t>(state.range(0)), 1);
  std::vector<BackendStatus> status(weights.size());
  for (int64_t i = 0; i < state.range(1); ++i) status[static_cast<size_t>(i)].health = Health::down;
  RoundRobin turns(weights, 0, 1);
  const auto usable = [&](uint16_t i) { return status[i].accepts_new(); };
  for ([[maybe_unused]] auto _ : state) benchmark::DoNotOptimize(turns.pick(usable));
}
BENCHMARK(turn)
    ->ArgNames({"backends", "down"})
    ->Args({4, 0})
    ->Args({100, 0})
    ->Args({100, 50})
    ->Args({4096, 0});

BENCHMARK(lookup)->Apply(states);
BENCHMARK(choose_by_source)->Apply(states);

}  // namespace
}  // namespace limpet

BENCHMARK_MAIN();
