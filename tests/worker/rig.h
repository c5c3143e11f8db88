// A bench for whole workers: builds their snapshot from configuration text as the product does,
// polls them round robin in one thread on a clock of its own, plays the hosts around them (ARP and
// ND, which can be switched off) and keeps what they send. At the end it proves the counter
// identities and that no buffer was lost.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <deque>
#include <functional>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "frames.h"
#include "limpet/config/document.h"
#include "limpet/dataplane/counters.h"
#include "limpet/dataplane/shared.h"
#include "limpet/dataplane/worker.h"
#include "limpet/flow/toeplitz.h"
#include "limpet/publish/publisher.h"

namespace limpet::worker_test {

using namespace std::chrono_literals;

// Two arms, both families. Clients are on-link at `front` (10.1.0.0/24, fd00:1::/64) or behind its
// gateway; four backends each, and time-outs a test can wait for.
extern const char* const kTwoArms;
extern const char* const kOneArm;
constexpr uint16_t kFront = 0;
constexpr uint16_t kBack = 1;
inline const IpAddress kVip4 = ip("10.1.0.100");
inline const IpAddress kVip6 = ip("fd00:1::100");
inline const IpAddress kSource4 = ip("10.2.0.254");
inline const IpAddress kSource6 = ip("fd00:2::254");

// `text` with every place of `from` replaced; fails when there is none.
std::string with(std::string text, const std::string& from, const std::string& to);

struct Left {  // a frame that a worker sent
  uint16_t port = 0;
  Bytes frame;
  unsigned worker = 0;
};

class Rig {
 public:
  struct Setup {
    std::string config = kTwoArms;
    unsigned workers = 1;
    uint32_t flows = 4096;  // of a worker
    uint32_t held_packets = 256;
    uint16_t neighbors = 64;
    size_t edit_bytes = 1 << 20;
    Duration hold_syns = Duration(0);
    unsigned mbufs = 4095;
    uint16_t data_room = 2048;
    bool kernel_shares = false;
    bool rss = false;
    uint64_t seed = 1;  // of the hash secret, source ports and spreading
    bool publish = true;
    affinity::CookieKeys keys = {};
    uint64_t (*unix_time)() = nullptr;  // for dates in cookies; null: 1970
    Instant start{uint64_t{3600} * 1000000000u};
  };

  Rig() : Rig(Setup{}) {}
  explicit Rig(Setup setup);
  ~Rig();  // finish()
  Rig(const Rig&) = delete;
  Rig& operator=(const Rig&) = delete;

  // --- frames
  void inject(uint16_t port, Bytes frame, uint64_t ol_flags = 0);
  void inject_at(unsigned worker, uint16_t port, Bytes frame, uint64_t ol_flags = 0);
  // Polls until nothing moves any more, without the clock going on. What left since the last call,
  // but for the questions and announcements of ARP and ND, which go to `asked` and `announced`.
  std::vector<Left> run();
  std::vector<Left> send(uint16_t port, Bytes frame) {
    inject(port, std::move(frame));
    return run();
  }
  void poll();  // one iteration of every worker
  void poll_worker(unsigned worker);
  void pass(Duration d);        // lets time go by, polling on the way
  std::vector<Left> take();     // what left and was not taken yet
  std::vector<Left> asked;      // ARP requests and solicitations, answered by the hosts or not
  std::vector<Left> announced;  // of VIPs
  // Hosts that do not answer ARP or ND. Everyone else does, at mac_of(address).
  std::set<IpAddress> silent;
  bool nobody_answers = false;
  std::function<unsigned()> spread = [] { return 0u; };  // which worker receives the next frame
  void spread_randomly();
  // How many of `count` frames the port takes; all by default.
  std::function<uint16_t(uint16_t port, uint16_t count)> accept;

  // --- control
  void reload(const std::string& config);
  publish::Publisher& publisher() { return *publisher_; }
  void control_turn() { publisher_->turn(now); }
  uint16_t backend(const std::string& pool, const std::string& name) const;
  uint16_t service(const std::string& name) const;
  void set_backend(uint16_t slot, balance::Admin admin, balance::Health health);
  void down(uint16_t slot) { set_backend(slot, balance::Admin::up, balance::Health::down); }
  void up(uint16_t slot) { set_backend(slot, balance::Admin::up, balance::Health::up); }
  void drain(uint16_t slot) { set_backend(slot, balance::Admin::drain, balance::Health::up); }
  uint16_t backend_at(const IpAddress& address, uint16_t port) const;  // slot

  // --- the network as the hosts know it
  MacAddress port_mac(uint16_t port) const {
    return {{2, 0, 0, 0, 0, static_cast<uint8_t>(0xf0 + port)}};
  }
  uint16_t port_towards(const IpAddress& host) const;
  IpAddress next_hop(const IpAddress& host) const;
  Link to_us(const IpAddress& from) const;  // of a frame that the host's hop sends to us
  Link from_us(const IpAddress& to) const;  // of a frame that we send towards the host

  // --- looking
  dataplane::Worker& worker(unsigned i = 0) { return *workers_[i]; }
  dataplane::WorkerStats& stats(unsigned i = 0) { return *stats_[i]; }
  unsigned workers() const { return setup_.workers; }
  uint64_t sum(dataplane::Counter dataplane::WorkerCounters::*counter) const;
  uint64_t drops(Drop reason) const;
  uint64_t drops() const;
  std::string drop_list() const;  // "no_service 1, not_ours 2"
  uint32_t flows() const;
  uint64_t rules_in_use() const;  // by requests under way, of all services and workers
  // The only flow there is.
  flow::Listed only_flow() const;
  const flow::Toeplitz& toeplitz() const { return toeplitz_; }
  dataplane::Shared& shared() { return *shared_; }
  rte_mempool* pool() const { return pool_; }
  unsigned free_mbufs() const;
  std::vector<std::unique_ptr<dataplane::Query>> keep;  // queries that workers may still write to

  void note_received(uint64_t frames) { received_ += frames; }  // given to a worker by hand
  void check_identity(const char* when);
  void finish_with_rings_full();  // without polling once more
  void finish();  // identities, then everything is destroyed and every buffer must be back

  Instant now;
  std::mt19937_64 random;

 private:
  class Capture;
  struct Arriving {
    uint16_t port;
    uint64_t ol_flags;
    Bytes frame;
  };
  void received(unsigned worker);
  void sent(unsigned worker, uint16_t port, Bytes frame);
  bool answer(const Left& question);
  bool idle() const;

  Setup setup_;
  config::Document document_;
  flow::Toeplitz toeplitz_{flow::kDefaultRssKey};
  rte_mempool* pool_ = nullptr;
  std::unique_ptr<dataplane::Shared> shared_;
  std::vector<std::unique_ptr<dataplane::WorkerStats>> stats_;
  std::unique_ptr<publish::Publisher> publisher_;
  std::vector<std::unique_ptr<Capture>> outputs_;
  std::vector<std::unique_ptr<dataplane::Worker>> workers_;
  std::vector<std::deque<Arriving>> arriving_;  // by worker
  std::vector<Left> left_;
  uint64_t received_ = 0, sent_ = 0;
  bool finished_ = false;
  bool poll_at_end_ = true;
};

// All buffers, for as long as it lives: the workers have none.
class Hoard {
 public:
  explicit Hoard(const Rig& rig);
  ~Hoard();
  Hoard(const Hoard&) = delete;
  Hoard& operator=(const Hoard&) = delete;

 private:
  std::vector<rte_mbuf*> taken_;
};

// In the order of their ports: a client whose MAC is asked for anew hears after its backend.
std::vector<Left> by_port(std::vector<Left> sent);
// `got` is exactly these frames, in this order.
testing::AssertionResult are(const std::vector<Left>& got,
                             const std::vector<std::pair<uint16_t, Bytes>>& wanted);
inline testing::AssertionResult is(const std::vector<Left>& got, uint16_t port,
                                   const Bytes& wanted) {
  return are(got, {{port, wanted}});
}
inline testing::AssertionResult nothing(const std::vector<Left>& got) {
  return are(got, {});
}

}  // namespace limpet::worker_test
