// What parsing and rewriting cost a worker, in nanoseconds a frame: bursts of 32 frames that
// differ, warm in the cache, as they are behind prefetches. `bytes` is the length of the TCP or UDP
// payload.
#include <benchmark/benchmark.h>

#include <array>
#include <vector>

#include "limpet/wire/checksum.h"
#include "limpet/wire/frame.h"
#include "limpet/wire/nat.h"
#include "limpet/wire/tcp.h"

namespace limpet::wire {
namespace {

constexpr size_t kBurst = 32;
using Bytes = std::vector<uint8_t>;

IpAddress address(bool v6, uint8_t net, uint8_t host) {
  if (!v6) return IpAddress::v4(10, net, 0, host);
  IpAddress a{{0xfd, 0, 0, net}};
  a.bytes[15] = host;
  return a;
}

// A TCP segment with `data` bytes: a reset of ours, made longer.
Bytes segment(bool v6, uint8_t host, size_t data) {
  Bytes b(kMaxResetFrame);
  b.resize(build_reset(b, {},
                       {.source = address(v6, 1, host),
                        .destination = address(v6, 1, 100),
                        .source_port = be16::from(static_cast<uint16_t>(40000 + host)),
                        .destination_port = be16::from(80),
                        .sequence = 1,
                        .acknowledgment = 2}));
  const size_t l3 = eth::kSize;
  const size_t l4 = b.size() - tcp_header::kSize;
  for (size_t i = 0; i < data; ++i) b.push_back(static_cast<uint8_t>(i * 7));
  const auto length = static_cast<uint16_t>(b.size() - (v6 ? l4 : l3));
  store(b.data() + l3 + (v6 ? ip6::kLength : ip4::kLength), be16::from(length));
  if (!v6) {
    store(b.data() + l3 + ip4::kChecksum, be16{});
    store(b.data() + l3 + ip4::kChecksum, checksum(sum_of(b.data() + l3, ip4::kSize)));
  }
  b[l4 + tcp_header::kFlags] = tcp_flag::ack | tcp_flag::psh;
  store(b.data() + l4 + tcp_header::kChecksum, be16{});
  store(b.data() + l4 + tcp_header::kChecksum,
        checksum(pseudo_sum(address(v6, 1, host), address(v6, 1, 100), ip_protocol::kTcp,
                            static_cast<uint32_t>(b.size() - l4)) +
                 sum_of(b.data() + l4, b.size() - l4)));
  return b;
}

std::vector<Bytes> burst(bool v6, size_t data) {
  std::vector<Bytes> frames;
  for (size_t i = 0; i < kBurst; ++i)
    frames.push_back(segment(v6, static_cast<uint8_t>(i + 1), data));
  return frames;
}

void report(benchmark::State& state) {
  // Frames a second as an inverted rate of thousand millions: reads as nanoseconds a frame.
  state.counters["ns/frame"] =
      benchmark::Counter(static_cast<double>(state.iterations() * kBurst) / 1e9,
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void parse(benchmark::State& state) {
  const auto frames = burst(state.range(0) == 6, static_cast<size_t>(state.range(1)));
  const Verified verified{state.range(2) != 0, state.range(2) != 0};
  if (parse_frame(frames[0], verified).kind != FrameKind::tcp)
    return state.SkipWithError("the frame of the benchmark is bad");
  std::array<Frame, kBurst> parsed;
  for ([[maybe_unused]] auto _ : state) {
    for (size_t i = 0; i < kBurst; ++i) parsed[i] = parse_frame(frames[i], verified);
    benchmark::DoNotOptimize(parsed);
    benchmark::ClobberMemory();
  }
  report(state);
}
BENCHMARK(parse)
    ->ArgNames({"family", "bytes", "verified"})
    ->ArgsProduct({{4, 6}, {0, 64, 512, 1440}, {0, 1}});

void nat(benchmark::State& state) {
  const bool v6 = state.range(0) == 6;
  auto frames = burst(v6, 64);
  std::array<Frame, kBurst> parsed;
  for (size_t i = 0; i < kBurst; ++i) parsed[i] = parse_frame(frames[i], {});
  const IpAddress source = address(v6, 2, 254), destination = address(v6, 2, 10);
  for ([[maybe_unused]] auto _ : state) {
    for (size_t i = 0; i < kBurst; ++i)
      rewrite(frames[i], parsed[i], source, be16::from(static_cast<uint16_t>(1024 + i)),
              destination, be16::from(80));
    benchmark::ClobberMemory();
  }
  report(state);
}
BENCHMARK(nat)->ArgName("family")->Arg(4)->Arg(6);

void reset(benchmark::State& state) {
  const auto frames = burst(state.range(0) == 6, 0);
  std::array<Frame, kBurst> parsed;
  for (size_t i = 0; i < kBurst; ++i) parsed[i] = parse_frame(frames[i], {});
  std::array<uint8_t, kMaxResetFrame> out;
  for ([[maybe_unused]] auto _ : state) {
    for (size_t i = 0; i < kBurst; ++i) {
      const auto answer = reset_for(frames[i], parsed[i]);
      benchmark::DoNotOptimize(answer ? build_reset(out, reply_link(parsed[i]), *answer) : 0);
      benchmark::ClobberMemory();
    }
  }
  report(state);
}
BENCHMARK(reset)->ArgName("family")->Arg(4)->Arg(6);

void sum(benchmark::State& state) {
  const Bytes b(static_cast<size_t>(state.range(0)), 0x5a);
  for ([[maybe_unused]] auto _ : state) {
    benchmark::DoNotOptimize(b.data());
    benchmark::DoNotOptimize(fold(sum_of(b)));
  }
}
BENCHMARK(sum)->ArgName("bytes")->Arg(20)->Arg(64)->Arg(1460)->Arg(8960);

}  // namespace
}  // namespace limpet::wire

BENCHMARK_MAIN();
