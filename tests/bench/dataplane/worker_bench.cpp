// What a packet costs in a whole worker: parse, look up, rewrite, transmit buffer, housekeeping and
// quiescent report; receiving and sending are not the worker's. Frames are written before the clock
// starts and what leaves is dropped, so the figures are the worker's own, on one core:
//   ./build/tests/bench/dataplane/bench_dataplane --benchmark_repetitions=5
// `cycles` are those of the time-stamp counter per packet, by the median burst of 32.
#include <benchmark/benchmark.h>
#include <fmt/core.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <random>

#include "bench.h"
#include "resets_bench.h"
#include "runtime_dir.h"

namespace limpet::worker_test {
namespace {

using namespace std::chrono_literals;

// The median over bursts: whoever else wants the core disturbs the mean, not this.
void report(benchmark::State& state, std::vector<uint32_t>& bursts) {
  if (bursts.empty()) return;
  const auto middle = bursts.begin() + static_cast<ptrdiff_t>(bursts.size() / 2);
  std::nth_element(bursts.begin(), middle, bursts.end());
  const double cycles = static_cast<double>(*middle) / Worker::kBurst;
  state.counters["cycles"] = cycles;
  state.counters["packets_per_second"] = static_cast<double>(rte_get_tsc_hz()) / cycles;
}

// Built once for each number of flows: a million take seconds. main() lets go of it before the EAL
// unmaps the memory that it lives in.
struct Established {
  uint32_t flows = 0;
  std::unique_ptr<Bench> bench;
};
Established established_bench;

Bench& with_flows(uint32_t flows) {
  if (established_bench.flows != flows) {
    established_bench = {};
    established_bench = {flows, std::make_unique<Bench>(flows, std::max(flows + flows / 4, 1024u))};
  }
  return *established_bench.bench;
}

// Client -> backend on established flows, 64-byte segments, in random order of flows.
void established(benchmark::State& state, uint64_t verified) {
  const auto flows = static_cast<uint32_t>(state.range(0));
  Bench& bench = with_flows(flows);
  // One frame as a template; address, port and checksum are patched as RFC 1624 says.
  const Client base = client(0);
  const Bytes first =
      Bench::segment(base, {.flags = kAck, .seq = 1001, .ack = 5001, .data = pattern(10)});
  std::mt19937 random(42);
  const double hz = static_cast<double>(rte_get_tsc_hz());
  uint64_t packets = 0;
  std::vector<uint32_t> bursts;
  const uint64_t sent = bench.sent;
  for (auto _ : state) {
    rte_mbuf* burst[Worker::kBurst];
    for (rte_mbuf*& m : burst) {
      const Client c = client(random() % flows);
      m = bench.frame(first, verified);
      auto* p = rte_pktmbuf_mtod(m, uint8_t*);
      const auto patch = [p](size_t at, uint16_t to) {
        for (const size_t sum_at : {size_t{24}, size_t{50}}) {
          if (sum_at == 24 && at >= 34) continue;  // ports are not in the IP header
          uint32_t sum = static_cast<uint16_t>(~(p[sum_at] << 8 | p[sum_at + 1]));
          sum += static_cast<uint16_t>(~(p[at] << 8 | p[at + 1]));
          sum += to;
          while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
          p[sum_at] = static_cast<uint8_t>(~sum >> 8);
          p[sum_at + 1] = static_cast<uint8_t>(~sum);
        }
        p[at] = static_cast<uint8_t>(to >> 8);
        p[at + 1] = static_cast<uint8_t>(to);
      };
      const uint8_t* a = c.address.v4_bytes();
      patch(26, static_cast<uint16_t>(a[0] << 8 | a[1]));
      patch(28, static_cast<uint16_t>(a[2] << 8 | a[3]));
      patch(34, c.port);
    }
    bench.now = bench.now + 2us;
    const uint64_t begin = rte_rdtsc_precise();
    bench.iterate(kFront, burst, Worker::kBurst);
    const uint64_t took = rte_rdtsc_precise() - begin;
    bursts.push_back(static_cast<uint32_t>(took));
    packets += Worker::kBurst;
    state.SetIterationTime(static_cast<double>(took) / hz);
  }
  // Neighbors may be probed meanwhile; every packet must have left.
  if (bench.sent - sent < packets) state.SkipWithError("packets were dropped");
  report(state, bursts);
}

// SYNs of new clients: choice, source port, record, and the expiry of what never answered.
void new_connections(benchmark::State& state) {
  Bench bench(0, 65536);
  const double hz = static_cast<double>(rte_get_tsc_hz());
  uint64_t packets = 0;
  std::vector<uint32_t> bursts;
  uint32_t n = 0;
  for (auto _ : state) {
    rte_mbuf* burst[Worker::kBurst];
    for (rte_mbuf*& m : burst)
      m = bench.frame(Bench::segment(client(n++ & 0xffffffu), {.flags = kSyn, .seq = 1000}));
    bench.now = bench.now + 3ms;
    const uint64_t begin = rte_rdtsc_precise();
    bench.iterate(kFront, burst, Worker::kBurst);
    const uint64_t took = rte_rdtsc_precise() - begin;
    bursts.push_back(static_cast<uint32_t>(took));
    packets += Worker::kBurst;
    state.SetIterationTime(static_cast<double>(took) / hz);
  }
  if (bench.stats().worker.flows_created.get() != packets)
    state.SkipWithError("connections were refused");
  report(state, bursts);
}

void release_established() {
  established_bench = {};
}

void register_all() {
  for (const int64_t flows : {1, 65536, 1000000}) {
    benchmark::RegisterBenchmark("established/software_checksum", established, 0)
        ->Arg(flows)
        ->UseManualTime()
        ->Unit(benchmark::kMicrosecond);
    benchmark::RegisterBenchmark("established/nic_checksum", established,
                                 RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD)
        ->Arg(flows)
        ->UseManualTime()
        ->Unit(benchmark::kMicrosecond);
  }
  benchmark::RegisterBenchmark("new_connections", new_connections)
      ->UseManualTime()
      ->Unit(benchmark::kMicrosecond);
}

}  // namespace
}  // namespace limpet::worker_test

int main(int argc, char** argv) {
  cpu_set_t allowed;
  sched_getaffinity(0, sizeof allowed, &allowed);
  int cpu = 0;
  while (cpu + 1 < CPU_SETSIZE && !CPU_ISSET(cpu, &allowed)) ++cpu;
  const std::string prefix = fmt::format("limpet_bench_{}", getpid());
  std::vector<std::string> words = {
      argv[0], "--no-huge", "--no-pci",          "--no-telemetry",      "-m",
      "256",   "-l",        std::to_string(cpu), "--log-level=*:error", "--file-prefix",
      prefix};
  std::vector<char*> arguments;
  for (std::string& w : words) arguments.push_back(w.data());
  if (rte_eal_init(static_cast<int>(arguments.size()), arguments.data()) < 0) return 1;
  limpet::worker_test::register_all();
  limpet::worker_test::register_resets(limpet::worker_test::release_established);
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  limpet::worker_test::release_established();
  rte_eal_cleanup();
  limpet::remove_runtime_dir(prefix);
  return 0;
}
