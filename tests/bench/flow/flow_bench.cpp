// The smaller parts: hashes, timers, source ports, tracking.
#include <benchmark/benchmark.h>

#include <vector>

#include "flows.h"
#include "limpet/flow/ports.h"
#include "limpet/flow/toeplitz.h"
#include "limpet/flow/wheel.h"
#include "limpet/tcp/track.h"

namespace limpet::flow {
namespace {

// Each hash waits for the one before: the latency that a single packet sees.
void key_hash_latency(benchmark::State& state) {
  const KeyHasher hash({1, 2, 3, 4, 5, 6, 7, 8});
  ForwardKey key = forward_of(1);
  for ([[maybe_unused]] auto _ : state) key.client_port.raw = static_cast<uint16_t>(hash(key));
  benchmark::DoNotOptimize(key);
}
BENCHMARK(key_hash_latency);

// What it costs within a burst, where several overlap.
void key_hash_burst(benchmark::State& state) {
  const KeyHasher hash({0x9ae16a3b2f90404f, 2, 3, 4, 5, 6, 7, 8});
  std::vector<ForwardKey> keys;
  for (uint32_t i = 0; i < kBurst; ++i) keys.push_back(forward_of(i));
  for ([[maybe_unused]] auto _ : state) {
    for (const ForwardKey& key : keys) benchmark::DoNotOptimize(hash(key));
  }
  state.SetItemsProcessed(state.iterations() * kBurst);
}
BENCHMARK(key_hash_burst);

void siphash_for_comparison(benchmark::State& state) {
  const HashKey secret{1, 2, 3};
  const ForwardKey key = forward_of(1);
  uint8_t bytes[20] = {};
  store(bytes, key.client);
  for ([[maybe_unused]] auto _ : state) {
    store(bytes + 16, key.client_port);
    benchmark::DoNotOptimize(siphash(secret, std::span<const uint8_t>(bytes)));
  }
}
BENCHMARK(siphash_for_comparison);

void toeplitz(benchmark::State& state) {
  const Toeplitz rss(kDefaultRssKey);
  const bool v6 = state.range(0) == 6;
  const IpAddress a = v6 ? *IpAddress::parse("fd00:2::10") : IpAddress::v4(10, 2, 0, 10);
  const IpAddress b = v6 ? *IpAddress::parse("fd00:2::254") : IpAddress::v4(10, 2, 0, 254);
  uint16_t port = 0;
  for ([[maybe_unused]] auto _ : state) {
    benchmark::DoNotOptimize(rss.hash(a, b, be16::from(80), be16::from(++port)));
  }
}
BENCHMARK(toeplitz)->ArgName("ipv")->Arg(4)->Arg(6);

void ports_construct(benchmark::State& state) {
  const Toeplitz rss(kDefaultRssKey);
  SourcePorts::Setup setup;
  setup.backend = IpAddress::v4(10, 2, 0, 10);
  setup.source = IpAddress::v4(10, 2, 0, 254);
  setup.toeplitz = &rss;
  setup.reta.workers = static_cast<uint32_t>(state.range(0));
  for ([[maybe_unused]] auto _ : state) benchmark::DoNotOptimize(SourcePorts(setup).capacity());
}
BENCHMARK(ports_construct)->ArgName("workers")->Arg(1)->Arg(4)->Unit(benchmark::kMicrosecond);

void ports_take_and_give(benchmark::State& state) {
  const Toeplitz rss(kDefaultRssKey);
  SourcePorts::Setup setup;
  setup.backend = IpAddress::v4(10, 2, 0, 10);
  setup.source = IpAddress::v4(10, 2, 0, 254);
  setup.toeplitz = &rss;
  setup.reta.workers = static_cast<uint32_t>(state.range(0));
  SourcePorts ports(setup);
  Tick now = 0;
  for ([[maybe_unused]] auto _ : state) {
    ports.give(ports.take(now)->port, now);
    ++now;
  }
}
BENCHMARK(ports_take_and_give)->ArgName("workers")->Arg(1)->Arg(4);

// Timers of 64 k flows: each comes due, was seen since, and is armed again.
void wheel_rearm(benchmark::State& state) {
  constexpr uint32_t kFlows = 65536;
  Table table(kFlows, {1, 2, 3, 4, 5, 6, 7, 8}, bench_backends());
  Tick now = 0;
  Wheel wheel(table, now);
  for (uint32_t i = 0; i < kFlows; ++i) {
    const FlowId id = table.allocate();
    wheel.arm(id, 1 + static_cast<Tick>(mix64(i) % 200000));
  }
  uint64_t calls = 0;
  for ([[maybe_unused]] auto _ : state) {
    now += 64;
    calls += wheel.advance(now, 1u << 20, [&](FlowId id) { wheel.arm(id, now + 200000); });
  }
  state.SetItemsProcessed(static_cast<int64_t>(calls));
}
BENCHMARK(wheel_rearm);

void wheel_idle(benchmark::State& state) {
  Table table(64, {1, 2, 3, 4, 5, 6, 7, 8}, bench_backends());
  Tick now = 0;
  Wheel wheel(table, now);
  for ([[maybe_unused]] auto _ : state) {
    benchmark::DoNotOptimize(wheel.advance(++now, 32, [](FlowId) {}));
  }
}
BENCHMARK(wheel_idle);

void track_data_segment(benchmark::State& state) {
  tcp::Bounds bounds;
  tcp::Scales scales;
  tcp::begin({.flags = 0x02, .window = 64240, .seq = tcp::Seq{0}}, bounds, scales);
  tcp::Segment segment{.flags = 0x18, .window = 64240, .seq = tcp::Seq{1}, .ack = tcp::Seq{1}};
  tcp::Track t = tcp::Track::established;
  for ([[maybe_unused]] auto _ : state) {
    t = tcp::advance(t, tcp::Side::backend, segment, bounds, scales).next;
    benchmark::DoNotOptimize(t);
  }
}
BENCHMARK(track_data_segment);

}  // namespace
}  // namespace limpet::flow
