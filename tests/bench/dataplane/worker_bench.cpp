// What a packet costs in a whole worker: parse, look up, rewrite, transmit buffer, housekeeping and
// quiescent report; receiving and sending are not the worker's. Frames are written before the clock
// starts and what leaves is dropped, so the figures are the worker's own, on one core:
//   ./build/tests/bench/dataplane/bench_dataplane --benchmark_repetitions=5
// `cycles` are those of the time-stamp counter per packet, by the median burst of 32.
#include <benchmark/benchmark.h>
#include <fmt/core.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_mbuf.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <random>
#include <stdexcept>

#include "frames.h"
#include "limpet/config/load.h"
#include "limpet/control/publisher.h"
#include "limpet/dataplane/worker.h"

namespace limpet::worker_test {
namespace {

using namespace std::chrono_literals;
using dataplane::Worker;

constexpr uint16_t kFront = 0, kBack = 1;
const IpAddress kVip = ip("10.1.0.100");
const IpAddress kGateway = ip("10.1.0.1");
constexpr unsigned kBackends = 32;  // 64512 source ports each

MacAddress port_mac(uint16_t port) {
  return {{2, 0, 0, 0, 0, static_cast<uint8_t>(0xf0 + port)}};
}

std::string configuration() {
  std::string backends;
  for (unsigned i = 0; i < kBackends; ++i)
    backends += fmt::format("{}{{ name = \"s{}\"; address = \"10.2.0.{}\"; port = 80; }}",
                            i == 0 ? "" : ", ", i, 10 + i);
  return fmt::format(R"(
ports = ( {{ name = "front"; device = "net_ring0"; addresses = [ "10.1.0.254/24" ]; }},
          {{ name = "back"; device = "net_ring1"; addresses = [ "10.2.0.254/24" ]; }} );
routes = ( {{ to = "0.0.0.0/0"; via = "10.1.0.1"; }} );
pools = ( {{ name = "web"; backends = ( {} ); }} );
services = ( {{ name = "web"; vip = "10.1.0.100"; port = 80; protocol = "tcp"; pool = "web";
               timeouts = {{ connect = "100ms"; idle = "24h"; }}; }} );
)",
                     backends);
}

struct Client {
  IpAddress address;
  uint16_t port = 0;
};
Client client(uint32_t n) {
  return {IpAddress::v4(100, static_cast<uint8_t>(64 + (n >> 24)), static_cast<uint8_t>(n >> 16),
                        static_cast<uint8_t>(n >> 8)),
          static_cast<uint16_t>(10000 + (n & 0xff))};
}

class Bench : public dataplane::Output {
 public:
  Bench(uint32_t flows, unsigned capacity) : stats_(2, 64, 8) {
    static unsigned serial = 0;
    const std::string name = fmt::format("bench{}", ++serial);
    pool_ =
        rte_pktmbuf_pool_create(name.c_str(), 8191, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    auto shared = dataplane::Shared::create(1, name);
    if (pool_ == nullptr || !shared.ok()) throw std::runtime_error("no memory");
    shared_ = std::move(shared).value();
    const config::Loaded loaded = config::load_text(configuration(), "bench");
    for (const config::Problem& p : loaded.problems) throw std::runtime_error(p.to_string());
    control::Publisher::Setup control;
    control.shared = shared_.get();
    for (const config::Port& p : loaded.document.ports) {
      dataplane::PortEntry& e = control.ports.emplace_back();
      e.name = p.name;
      e.mac = port_mac(static_cast<uint16_t>(control.ports.size() - 1));
      e.addresses = p.addresses;
    }
    control.stats = {&stats_};
    control.toeplitz = &toeplitz_;
    publisher_ = std::make_unique<control::Publisher>(std::move(control));
    if (auto applied = publisher_->apply(loaded.document, now); !applied.ok())
      throw std::runtime_error(applied.error());
    dataplane::WorkerSetup setup;
    setup.shared = shared_.get();
    setup.stats = &stats_;
    setup.output = this;
    setup.pool = pool_;
    setup.toeplitz = &toeplitz_;
    setup.flows = capacity;
    setup.hold_syns = 0s;
    std::mt19937_64 random(1);
    for (uint64_t& s : setup.secret) s = random();
    worker_ = std::make_unique<Worker>(setup, now);
    teach();
    for (uint32_t n = 0; n < flows; n += Worker::kBurst)
      establish(n, std::min<uint32_t>(Worker::kBurst, flows - n));
    if (worker_->flows().used() != flows) throw std::runtime_error("flows were not established");
  }
  ~Bench() override {
    worker_.reset();
    publisher_.reset();
    shared_.reset();
    rte_mempool_free(pool_);
  }

  uint16_t transmit(uint16_t port, rte_mbuf** frames, uint16_t count) override {
    if (answering_ && port == kBack)
      for (uint16_t i = 0; i < count; ++i) {
        const auto* p = rte_pktmbuf_mtod(frames[i], const uint8_t*);
        const Seen s = look(Bytes(p, p + rte_pktmbuf_data_len(frames[i])));
        if (s.protocol != kTcp || s.flags != kSyn) continue;
        answers_.push_back(tcp_frame({port_mac(kBack), s.to_mac}, {.from = s.to, .to = s.from},
                                     s.to_port, s.from_port,
                                     {.flags = kSyn | kAck, .seq = 5000, .ack = 1001}));
      }
    rte_pktmbuf_free_bulk(frames, count);
    sent += count;
    return count;
  }

  rte_mbuf* frame(const Bytes& bytes, uint64_t flags = 0) {
    rte_mbuf* m = rte_pktmbuf_alloc(pool_);
    if (m == nullptr) throw std::runtime_error("no buffers");
    auto* room =
        reinterpret_cast<uint8_t*>(rte_pktmbuf_append(m, static_cast<uint16_t>(bytes.size())));
    std::copy(bytes.begin(), bytes.end(), room);
    m->ol_flags |= flags;
    return m;
  }
  void iterate(uint16_t port, rte_mbuf** frames, uint16_t count) {
    worker_->begin(now);
    worker_->receive(port, frames, count);
    worker_->receive_handed();
    worker_->housekeeping();
    worker_->flush();
    worker_->quiescent();
  }
  static Bytes segment(const Client& c, const Tcp& t) {
    return tcp_frame({port_mac(kFront), mac_of(kGateway)}, {.from = c.address, .to = kVip}, c.port,
                     80, t);
  }
  const dataplane::WorkerStats& stats() const { return stats_; }

  Instant now{uint64_t{3600} * 1000000000u};
  uint64_t sent = 0;

 private:
  void teach() {  // the hosts tell their MACs
    std::vector<std::pair<uint16_t, Bytes>> hello = {{kFront, arp_request(kGateway, kVip)}};
    for (unsigned i = 0; i < kBackends; ++i)
      hello.emplace_back(kBack, arp_request(IpAddress::v4(10, 2, 0, static_cast<uint8_t>(10 + i)),
                                            ip("10.2.0.254")));
    for (const auto& [port, bytes] : hello) {
      rte_mbuf* m = frame(bytes);
      iterate(port, &m, 1);
    }
  }
  void establish(uint32_t first, uint32_t count) {
    rte_mbuf* burst[Worker::kBurst];
    answering_ = true;
    for (uint32_t i = 0; i < count; ++i)
      burst[i] = frame(segment(client(first + i), {.flags = kSyn, .seq = 1000}));
    iterate(kFront, burst, static_cast<uint16_t>(count));
    answering_ = false;
    for (uint32_t i = 0; i < count; ++i) burst[i] = frame(answers_.at(i));
    answers_.clear();
    iterate(kBack, burst, static_cast<uint16_t>(count));
    for (uint32_t i = 0; i < count; ++i)
      burst[i] = frame(segment(client(first + i), {.flags = kAck, .seq = 1001, .ack = 5001}));
    iterate(kFront, burst, static_cast<uint16_t>(count));
  }

  flow::Toeplitz toeplitz_{flow::kDefaultRssKey};
  rte_mempool* pool_ = nullptr;
  std::unique_ptr<dataplane::Shared> shared_;
  dataplane::WorkerStats stats_;
  std::unique_ptr<control::Publisher> publisher_;
  std::unique_ptr<Worker> worker_;
  bool answering_ = false;
  std::vector<Bytes> answers_;
};

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
  std::vector<std::string> words = {argv[0],
                                    "--no-huge",
                                    "--no-pci",
                                    "--no-telemetry",
                                    "-m",
                                    "256",
                                    "-l",
                                    std::to_string(cpu),
                                    "--log-level=*:error",
                                    "--file-prefix",
                                    fmt::format("limpet_bench_{}", getpid())};
  std::vector<char*> arguments;
  for (std::string& w : words) arguments.push_back(w.data());
  if (rte_eal_init(static_cast<int>(arguments.size()), arguments.data()) < 0) return 1;
  limpet::worker_test::register_all();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  limpet::worker_test::established_bench = {};
  rte_eal_cleanup();
  return 0;
}
