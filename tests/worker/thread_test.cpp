// Real threads: two workers poll and pass frames to each other while the control thread publishes
// snapshots, changes backend states and asks questions. Built with ThreadSanitizer this proves what
// crosses between threads; in any build, what was reclaimed is poisoned and must not be missed.
#include <fmt/core.h>
#include <rte_errno.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_ring.h>

#include <atomic>
#include <deque>
#include <mutex>
#include <thread>

#include "limpet/config/load.h"
#include "limpet/publish/builder.h"
#include "rig.h"

namespace limpet::worker_test {
namespace {

using dataplane::Query;
using dataplane::QueryKind;
using dataplane::Snapshot;
using dataplane::Worker;
using dataplane::WorkerCounters;

// A pool behind a mutex: DPDK's own rings are compiled into its libraries, where ThreadSanitizer
// does not see that they hand a buffer from one thread to the next.
struct Stack {
  std::mutex lock;
  std::vector<void*> objects;
};
Stack& stack(const rte_mempool* pool) {
  return *static_cast<Stack*>(pool->pool_data);
}
int stack_alloc(rte_mempool* pool) {
  pool->pool_data = new Stack;
  return 0;
}
void stack_free(rte_mempool* pool) {
  delete &stack(pool);
}
int stack_put(rte_mempool* pool, void* const* objects, unsigned n) {
  const std::lock_guard guard(stack(pool).lock);
  stack(pool).objects.insert(stack(pool).objects.end(), objects, objects + n);
  return 0;
}
int stack_get(rte_mempool* pool, void** objects, unsigned n) {
  const std::lock_guard guard(stack(pool).lock);
  std::vector<void*>& all = stack(pool).objects;
  if (all.size() < n) return -ENOBUFS;
  std::copy(all.end() - n, all.end(), objects);
  all.resize(all.size() - n);
  return 0;
}
unsigned stack_count(const rte_mempool* pool) {
  const std::lock_guard guard(stack(pool).lock);
  return static_cast<unsigned>(stack(pool).objects.size());
}

rte_mempool* make_pool(unsigned size) {
  static const int registered = [] {
    rte_mempool_ops ops{};
    snprintf(ops.name, sizeof ops.name, "test_stack");
    ops.alloc = stack_alloc;
    ops.free = stack_free;
    ops.enqueue = stack_put;
    ops.dequeue = stack_get;
    ops.get_count = stack_count;
    return rte_mempool_register_ops(&ops);
  }();
  EXPECT_GE(registered, 0);
  static unsigned serial = 0;
  return rte_pktmbuf_pool_create_by_ops(fmt::format("threads{}", ++serial).c_str(), size, 0, 0,
                                        RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY, "test_stack");
}

constexpr unsigned kWorkers = 2;
constexpr unsigned kMbufs = 8191;
MacAddress mac_of_port(uint16_t port) {
  return {{2, 0, 0, 0, 0, static_cast<uint8_t>(0xf0 + port)}};
}

config::Document document(const std::string& text) {
  config::Loaded loaded = config::load_text(text, "threads");
  for (const config::Problem& p : loaded.problems) ADD_FAILURE() << p.to_string();
  return loaded.document;
}

std::vector<dataplane::PortEntry> ports(const config::Document& d) {
  std::vector<dataplane::PortEntry> r;
  for (const config::Port& p : d.ports) {
    dataplane::PortEntry& e = r.emplace_back();
    e.name = p.name;
    e.mac = mac_of_port(static_cast<uint16_t>(r.size() - 1));
    e.reta = {128, kWorkers};
    e.addresses = p.addresses;
  }
  return r;
}

// One worker with its own hosts, on a thread of its own.
class Thread : public dataplane::Output {
 public:
  Thread(unsigned id, dataplane::Shared& shared, rte_mempool* pool, const flow::Toeplitz& toeplitz)
      : stats(2, 64, 64), pool_(pool), random_(id + 1) {
    dataplane::WorkerSetup setup;
    setup.id = id;
    setup.shared = &shared;
    setup.stats = &stats;
    setup.output = this;
    setup.pool = pool;
    setup.toeplitz = &toeplitz;
    setup.flows = 1024;
    setup.held_packets = 256;
    setup.neighbors = 64;
    for (uint64_t& s : setup.secret) s = random_();
    worker = std::make_unique<Worker>(setup, now_);
  }

  uint16_t transmit(uint16_t port, rte_mbuf** frames, uint16_t count) override {
    for (uint16_t i = 0; i < count; ++i) {
      const auto* data = rte_pktmbuf_mtod(frames[i], const uint8_t*);
      react(port, Bytes(data, data + rte_pktmbuf_data_len(frames[i])));
      rte_pktmbuf_free(frames[i]);
    }
    sent += count;
    return count;
  }

  // As port/loop does: first nobody receives, then what was passed on is finished.
  void run(std::atomic<bool>& stop, std::atomic<unsigned>& receiving) {
    bool mine = true;
    for (;;) {
      if (mine && stop.load(std::memory_order_acquire)) {
        mine = false;
        receiving.fetch_sub(1, std::memory_order_acq_rel);
      }
      const bool last = receiving.load(std::memory_order_acquire) == 0;
      now_ = now_ + std::chrono::microseconds(200);
      worker->begin(now_);
      if (mine) receive();
      const unsigned handed = worker->receive_handed();
      worker->housekeeping();
      worker->flush();
      worker->quiescent();
      if (last && handed == 0) break;
      if (random_() % 16 == 0) {
        worker->offline();
        std::this_thread::sleep_for(std::chrono::microseconds(50));
        worker->online();
      }
    }
    worker->offline();
  }

  dataplane::WorkerStats stats;
  std::unique_ptr<Worker> worker;
  uint64_t received = 0, sent = 0;

 private:
  void receive() {
    for (uint16_t port = 0; port < 2; ++port) {
      rte_mbuf* burst[Worker::kBurst];
      uint16_t n = 0;
      for (unsigned i = 0; i < 6; ++i) {
        Bytes frame;
        if (!replies_[port].empty()) {
          frame = std::move(replies_[port].front());
          replies_[port].pop_front();
        } else if (port == kFront) {
          frame = from_client();
        } else {
          break;
        }
        rte_mbuf* m = rte_pktmbuf_alloc(pool_);
        if (m == nullptr) break;
        auto* room =
            reinterpret_cast<uint8_t*>(rte_pktmbuf_append(m, static_cast<uint16_t>(frame.size())));
        std::copy(frame.begin(), frame.end(), room);
        burst[n++] = m;
      }
      received += n;
      worker->receive(port, burst, n);
    }
  }

  Bytes from_client() {
    const auto n = static_cast<uint8_t>(2 + random_() % 50);
    const IpAddress client = IpAddress::v4(10, 1, 0, n);
    const Link link{mac_of_port(kFront), mac_of(client)};
    const Ip ip{.from = client, .to = kVip4};
    const auto port = static_cast<uint16_t>(40000 + random_() % 8);
    switch (random_() % 5) {
      case 0:
        return tcp_frame(link, ip, port, 80, {.flags = kSyn, .seq = 1000});
      case 1:
        return udp_frame(link, ip, port, 7, bytes_of("hello"));
      case 2:
        return arp_request(client, kVip4);
      default:
        return tcp_frame(link, ip, port, 80,
                         {.flags = kAck, .seq = 1001, .ack = 5001, .data = bytes_of("data")});
    }
  }

  void react(uint16_t port, const Bytes& frame) {
    if (replies_[port].size() > 64) return;
    const Seen s = look(frame);
    if (s.type == kArp) {
      if (get16(frame, 20) == 1 && s.from != s.to)
        replies_[port].push_back(arp_reply(s.to, s.from_mac, s.from));
    } else if (s.protocol == kTcp && port == kBack && s.flags == kSyn) {
      replies_[port].push_back(tcp_frame({s.from_mac, s.to_mac}, {.from = s.to, .to = s.from},
                                         s.to_port, s.from_port,
                                         {.flags = kSyn | kAck, .seq = 5000, .ack = 1001}));
    } else if (s.protocol == kUdp && port == kBack) {
      replies_[port].push_back(udp_frame({s.from_mac, s.to_mac}, {.from = s.to, .to = s.from},
                                         s.to_port, s.from_port, s.data));
    }
  }

  rte_mempool* pool_;
  std::mt19937_64 random_;
  Instant now_{uint64_t{3600} * 1000000000u};
  std::array<std::deque<Bytes>, 2> replies_;
};

class Threads : public testing::Test {
 protected:
  void SetUp() override {
    pool = make_pool(kMbufs);
    ASSERT_NE(pool, nullptr) << rte_strerror(rte_errno);
    static unsigned serial = 0;
    auto made = dataplane::Shared::create(kWorkers, fmt::format("th{}", ++serial));
    ASSERT_TRUE(made.ok()) << made.error();
    shared = std::move(made).value();
  }
  void make_workers() {
    for (unsigned w = 0; w < kWorkers; ++w)
      workers.push_back(std::make_unique<Thread>(w, *shared, pool, toeplitz));
  }
  void start() {
    receiving.store(kWorkers);
    for (auto& w : workers) threads.emplace_back([this, &w] { w->run(stop, receiving); });
  }
  void join() {
    stop.store(true, std::memory_order_release);
    for (std::thread& t : threads) t.join();
    threads.clear();
  }
  // After join() and the end of the workers.
  void check() {
    uint64_t out = 0, in = 0, dropped = 0, forwarded = 0;
    for (const auto& w : workers) {
      w->worker.reset();
      const WorkerCounters& n = w->stats.worker;
      EXPECT_EQ(n.rx.get(), w->received);
      EXPECT_EQ(n.tx.get(), w->sent);
      EXPECT_EQ(n.rx.get() + n.handed_in.get(), n.forwarded.get() + n.consumed.get() +
                                                    n.handed_out.get() + n.punted.get() +
                                                    w->stats.drops_total() + n.held_packets.get());
      EXPECT_EQ(n.tx.get(), n.forwarded.get() + n.originated.get() - n.tx_failed.get());
      out += n.handed_out.get();
      in += n.handed_in.get();
      dropped += n.ring_out_dropped.get();
      forwarded += n.forwarded.get();
    }
    EXPECT_EQ(out, in + dropped);
    EXPECT_GT(out, 100u);
    EXPECT_GT(forwarded, 100u);
    shared.reset();
    EXPECT_EQ(rte_mempool_avail_count(pool), kMbufs);
    rte_mempool_free(pool);
  }

  flow::Toeplitz toeplitz{flow::kDefaultRssKey};
  rte_mempool* pool = nullptr;
  std::unique_ptr<dataplane::Shared> shared;
  std::vector<std::unique_ptr<Thread>> workers;
  std::vector<std::thread> threads;
  std::atomic<bool> stop{false};
  std::atomic<unsigned> receiving{0};
};

const std::string kOther = with(
    kTwoArms, "                 { name = \"s2\"; address = \"10.2.0.12\"; port = 8080; },\n", "");

TEST_F(Threads, control_publishes_asks_and_changes_states_while_workers_poll) {
  const config::Document a = document(kTwoArms), b = document(kOther);
  make_workers();
  publish::Publisher::Setup setup;
  setup.shared = shared.get();
  setup.ports = ports(a);
  for (const auto& w : workers) setup.stats.push_back(&w->stats);
  setup.toeplitz = &toeplitz;
  publish::Publisher publisher(std::move(setup));
  Instant now{1000000000};
  ASSERT_TRUE(publisher.apply(a, now).ok());
  start();

  std::mt19937_64 random(7);
  std::vector<std::unique_ptr<Query>> queries;
  uint64_t flows_seen = 0, neighbors_seen = 0;
  for (int round = 0; round < 150; ++round) {
    now = now + 100ms;
    if (round % 3 == 0) {
      ASSERT_TRUE(publisher.apply(round % 2 == 0 ? b : a, now).ok());
    }
    for (int i = 0; i < 3; ++i)
      publisher.set_status(static_cast<uint16_t>(random() % 5),
                           {balance::Admin::up, static_cast<balance::Health>(random() % 3)});
    if (round % 5 == 0)
      for (unsigned w = 0; w < kWorkers; ++w)
        for (const QueryKind kind : {QueryKind::flows, QueryKind::neighbors}) {
          Query& q = *queries.emplace_back(std::make_unique<Query>());
          q.kind = kind;
          q.flows.resize(200);
          q.neighbors.resize(20);
          publisher.ask(w, &q);
        }
    publisher.turn(now);
    for (const auto& q : queries)
      if (q->done.load(std::memory_order_acquire))
        (q->kind == QueryKind::flows ? flows_seen : neighbors_seen) += q->filled;
    std::erase_if(queries, [](const auto& q) { return q->done.load(std::memory_order_acquire); });
    for (const auto& w : workers)
      EXPECT_LE(w->stats.worker.handed_out.get(), w->stats.worker.rx.get());
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  // Everybody reads the newest before long, and all older ones are reclaimed.
  for (int i = 0; i < 5000 && publisher.old_snapshots() != 0; ++i) {
    publisher.turn(now);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(publisher.old_snapshots(), 0u);
  join();
  for (const auto& w : workers) {
    EXPECT_EQ(w->stats.worker.snapshot.get(), publisher.current()->serial);
    w->worker.reset();
  }
  for (const auto& q : queries) EXPECT_TRUE(q->done.load());
  EXPECT_GT(flows_seen, 0u);
  EXPECT_GT(neighbors_seen, 0u);
  check();
}

// Overwrites everything that a worker could still look at.
void poison(const Snapshot& snapshot) {
  auto& s = const_cast<Snapshot&>(snapshot);
  s.serial = ~uint64_t{0};
  for (auto& p : s.ports) {
    p.mac = {};
    p.reta = {1, 1};
    p.addresses.clear();
  }
  for (auto& r : s.routes) r.port = 0xffff;
  for (auto& b : s.backends) {
    b.address = {};
    b.sources.clear();
  }
  for (auto& v : s.services) {
    v.vip = {};
    v.pool = 0xffff;
  }
  s.pools.clear();
  s.sources.clear();
  s.locals = {};
}

TEST_F(Threads, what_was_reclaimed_is_not_read_again) {
  const config::Document a = document(kTwoArms), b = document(kOther);
  const std::vector<dataplane::PortEntry> entries = ports(a);
  publish::Slots slots;
  std::deque<std::pair<publish::OwnedSnapshot, uint64_t>> old;
  publish::OwnedSnapshot current;
  uint64_t serial = 0;
  unsigned reclaimed = 0;
  std::vector<publish::OwnedSnapshot> keep;  // source ports live as long as flows
  const auto publish = [&](const config::Document& d) {
    publish::BuildInput input;
    input.document = &d;
    input.ports = entries;
    input.workers = kWorkers;
    input.toeplitz = &toeplitz;
    input.serial = ++serial;
    input.previous = current.snapshot.get();
    auto built = publish::build(slots, input);
    ASSERT_TRUE(built.ok()) << built.error();
    slots = std::move(built->slots);
    // An endpoint is written before any worker can know its slot, and then never again.
    for (size_t i = 0; i < slots.backends.size(); ++i)
      if (shared->endpoints[i].port.raw == 0) shared->endpoints[i] = slots.backends[i].endpoint;
    shared->snapshot.store(built->owned.snapshot.get(), std::memory_order_release);
    const uint64_t token = rte_rcu_qsbr_start(shared->rcu);
    if (current.snapshot != nullptr) old.emplace_back(std::move(current), token);
    current = std::move(built->owned);
  };
  const auto reclaim = [&] {
    while (!old.empty() && rte_rcu_qsbr_check(shared->rcu, old.front().second, false) == 1) {
      poison(*old.front().first.snapshot);
      old.front().first.snapshot.reset();
      keep.push_back(std::move(old.front().first));
      old.pop_front();
      ++reclaimed;
    }
  };
  publish(a);
  make_workers();
  start();
  for (int round = 0; round < 300; ++round) {
    publish(round % 2 == 0 ? b : a);
    for (int i = 0; i < 20; ++i) {
      reclaim();
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  }
  for (int i = 0; i < 5000 && !old.empty(); ++i) {
    reclaim();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_TRUE(old.empty());
  EXPECT_EQ(reclaimed, 300u);
  join();
  check();
}

}  // namespace
}  // namespace limpet::worker_test
