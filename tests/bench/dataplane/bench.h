// A whole worker for the benchmarks: two ports without devices, 32 backends, and as many
// established connections as asked for. What leaves is counted and freed.
#pragma once

#include <fmt/core.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "frames.h"
#include "limpet/config/load.h"
#include "limpet/dataplane/worker.h"
#include "limpet/publish/publisher.h"

namespace limpet::worker_test {

using namespace std::chrono_literals;
using dataplane::Worker;

inline constexpr uint16_t kFront = 0, kBack = 1;
inline const IpAddress kVip = ip("10.1.0.100");
inline const IpAddress kGateway = ip("10.1.0.1");
inline constexpr unsigned kBackends = 32;  // 64512 source ports each

inline MacAddress port_mac(uint16_t port) {
  return {{2, 0, 0, 0, 0, static_cast<uint8_t>(0xf0 + port)}};
}

inline std::string configuration() {
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
inline Client client(uint32_t n) {
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
    publish::Publisher::Setup control;
    control.shared = shared_.get();
    for (const config::Port& p : loaded.document.ports) {
      dataplane::PortEntry& e = control.ports.emplace_back();
      e.name = p.name;
      e.mac = port_mac(static_cast<uint16_t>(control.ports.size() - 1));
      e.addresses = p.addresses;
    }
    control.stats = {&stats_};
    control.toeplitz = &toeplitz_;
    publisher_ = std::make_unique<publish::Publisher>(std::move(control));
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
  // By the control rings: effective with the next iteration.
  void take_backends_down() {
    for (uint16_t slot = 0; slot < kBackends; ++slot)
      publisher_->set_status(slot, {balance::Admin::up, balance::Health::down});
  }
  const Worker& worker() const { return *worker_; }
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
  std::unique_ptr<publish::Publisher> publisher_;
  std::unique_ptr<Worker> worker_;
  bool answering_ = false;
  std::vector<Bytes> answers_;
};

}  // namespace limpet::worker_test
