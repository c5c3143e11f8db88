// The lcore loop with a real worker, between net_ring ports that the test feeds and drains.
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <optional>
#include <thread>

#include "limpet/port/idle.h"
#include "limpet/port/workers.h"
#include "limpet/wire/checksum.h"
#include "loop.h"
#include "port_child.h"

namespace limpet::port {
namespace {

const IpAddress kOurs = IpAddress::v4(10, 1, 0, 254);
const IpAddress kClient = IpAddress::v4(10, 1, 0, 1);
const MacAddress kClientMac{{0x02, 0, 0, 0, 0, 0x01}};

// A process's worth of limpet with one port of one queue: two rings in place of a wire.
struct Machine {
  std::unique_ptr<Eal> eal;
  rte_ring* in = nullptr;
  rte_ring* out = nullptr;
  std::unique_ptr<Runtime> runtime;
  dataplane::Snapshot snapshot;
  std::unique_ptr<Workers> workers;

  explicit Machine(unsigned worker_count) {
    eal = start_eal({"--lcores", "(0-" + std::to_string(worker_count) + ")@(0-1)"});
    in = rte_ring_create("wire_in", 4096, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
    out = rte_ring_create("wire_out", 4096, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
    const int id = rte_eth_from_rings("wire", &in, 1, &out, 1, 0);
    char device[RTE_ETH_NAME_MAX_LEN] = "";
    EXPECT_EQ(rte_eth_dev_get_name_by_port(static_cast<uint16_t>(id), device), 0);
    auto started = Runtime::start(*eal, {{{"front", device, {{kOurs, 24}}, 1500}}, 1024});
    EXPECT_TRUE(started.ok()) << started.error();
    runtime = std::move(started).value();

    snapshot.serial = 1;
    snapshot.ports = runtime->ports();
    snapshot.sources = {{kOurs}};
    dataplane::Local& local = snapshot.locals.add(kOurs);
    local.port = 0;
    local.source = 0;
    snapshot.routes = {{{kOurs, 24}, IpAddress::v4(0, 0, 0, 0), 0}};
  }
  ~Machine() {
    workers.reset();
    runtime.reset();
  }

  Workers& create(bool adaptive, uint32_t flows = 4096) {
    auto created =
        Workers::create(*runtime, {.flows = flows, .held_packets = 1024, .adaptive = adaptive});
    EXPECT_TRUE(created.ok()) << created.error();
    workers = std::move(created).value();
    runtime->shared().snapshot.store(&snapshot, std::memory_order_release);
    return *workers;
  }

  // Fills every packet buffer with something that nobody should find in a frame.
  void soil() {
    std::vector<rte_mbuf*> all;
    while (rte_mbuf* m = rte_pktmbuf_alloc(runtime->pool(0))) {
      std::memset(m->buf_addr, 0xee, m->buf_len);
      all.push_back(m);
    }
    rte_pktmbuf_free_bulk(all.data(), static_cast<unsigned>(all.size()));
  }
  rte_mbuf* frame(const std::vector<uint8_t>& bytes) {
    rte_mbuf* m = rte_pktmbuf_alloc(runtime->pool(0));
    if (m == nullptr) std::abort();
    std::memcpy(rte_pktmbuf_append(m, static_cast<uint16_t>(bytes.size())), bytes.data(),
                bytes.size());
    return m;
  }
  void feed(const std::vector<uint8_t>& bytes) { ASSERT_EQ(rte_ring_enqueue(in, frame(bytes)), 0); }
  // The next frame that left, within a generous time; empty when there is none.
  std::vector<uint8_t> next() {
    void* object = nullptr;
    for (int i = 0; i < 5000 && rte_ring_dequeue(out, &object) != 0; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (object == nullptr) return {};
    auto* m = static_cast<rte_mbuf*>(object);
    const uint8_t* p = rte_pktmbuf_mtod(m, uint8_t*);
    std::vector<uint8_t> bytes(p, p + m->data_len);
    rte_pktmbuf_free(m);
    return bytes;
  }
  void drain(rte_ring* ring) {
    void* object = nullptr;
    while (rte_ring_dequeue(ring, &object) == 0) rte_pktmbuf_free(static_cast<rte_mbuf*>(object));
  }
  uint64_t sum(dataplane::Counter dataplane::WorkerCounters::*counter) {
    uint64_t n = 0;
    for (unsigned w = 0; w < runtime->workers(); ++w)
      n += (runtime->stats(w).worker.*counter).get();
    return n;
  }
  uint64_t drops(Drop reason) {
    uint64_t n = 0;
    for (unsigned w = 0; w < runtime->workers(); ++w)
      n += runtime->stats(w).drops[0][static_cast<size_t>(reason)].packets.get();
    return n;
  }
  void expect_identities() {
    using C = dataplane::WorkerCounters;
    for (unsigned w = 0; w < runtime->workers(); ++w) {
      const dataplane::WorkerCounters& n = runtime->stats(w).worker;
      const uint64_t dropped = runtime->stats(w).drops_total();
      EXPECT_EQ(n.rx.get() + n.handed_in.get(), n.forwarded.get() + n.consumed.get() +
                                                    n.handed_out.get() + n.punted.get() + dropped +
                                                    n.held_packets.get())
          << "worker " << w;
      EXPECT_EQ(n.tx.get(), n.forwarded.get() + n.originated.get() - n.tx_failed.get())
          << "worker " << w;
    }
    EXPECT_EQ(sum(&C::handed_out), sum(&C::handed_in) + sum(&C::ring_out_dropped));
  }
};

template <class Condition>
bool soon(Condition condition) {
  for (int i = 0; i < 5000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return false;
}

std::vector<uint8_t> arp_request() {
  std::vector<uint8_t> f = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0, 0, 0, 0,
                            0x01, 0x08, 0x06, 0,    1,    0x08, 0,    6, 4, 0, 1};
  f.insert(f.end(), kClientMac.bytes.begin(), kClientMac.bytes.end());
  f.insert(f.end(), kClient.v4_bytes(), kClient.v4_bytes() + 4);
  f.insert(f.end(), 6, 0);
  f.insert(f.end(), kOurs.v4_bytes(), kOurs.v4_bytes() + 4);
  return f;
}

// A datagram that looks like a backend's answer to a flow that nobody has: it belongs to the worker
// that its hash says, and ends there as no_flow.
std::vector<uint8_t> stray_datagram(const MacAddress& to, uint16_t source_port) {
  std::vector<uint8_t> f(to.bytes.begin(), to.bytes.end());
  f.insert(f.end(), kClientMac.bytes.begin(), kClientMac.bytes.end());
  const uint8_t rest[] = {0x08, 0x00, 0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0, 0};
  f.insert(f.end(), std::begin(rest), std::end(rest));
  f.insert(f.end(), kClient.v4_bytes(), kClient.v4_bytes() + 4);
  f.insert(f.end(), kOurs.v4_bytes(), kOurs.v4_bytes() + 4);
  const uint8_t udp[] = {static_cast<uint8_t>(source_port >> 8),
                         static_cast<uint8_t>(source_port),
                         0x30,
                         0x39,
                         0,
                         12,
                         0,
                         0,
                         1,
                         2,
                         3,
                         4};
  f.insert(f.end(), std::begin(udp), std::end(udp));
  store(f.data() + 14 + 10,
        static_cast<uint16_t>(~wire::fold(wire::sum_of(f.data() + 14, 20)) & 0xffff));
  return f;
}

TEST(Loop, answers_and_pads_with_zeros) {
  in_child([] {
    Machine machine(1);
    machine.soil();
    machine.create(true);
    ASSERT_TRUE(machine.workers->launch().ok());
    machine.feed(arp_request());
    const std::vector<uint8_t> reply = machine.next();
    ASSERT_EQ(reply.size(), 60u);
    EXPECT_EQ(std::vector<uint8_t>(reply.begin(), reply.begin() + 6),
              std::vector<uint8_t>(kClientMac.bytes.begin(), kClientMac.bytes.end()));
    EXPECT_EQ(reply[21], 2);  // ARP reply
    for (size_t i = 42; i < reply.size(); ++i) EXPECT_EQ(reply[i], 0) << i;

    machine.workers->stop();
    machine.expect_identities();
    const dataplane::WorkerCounters& n = machine.runtime->stats(0).worker;
    EXPECT_EQ(n.rx.get(), 1u);
    EXPECT_EQ(n.consumed.get(), 1u);
    EXPECT_EQ(n.originated.get(), 1u);
    EXPECT_EQ(n.snapshot.get(), 1u);
    const dataplane::NicCounters nic = machine.runtime->nic_counters(0);
    EXPECT_TRUE(nic.link_up);
    EXPECT_EQ(nic.rx_packets, 1u);
    EXPECT_EQ(nic.tx_packets, 1u);
    EXPECT_EQ(nic.missed + nic.rx_errors + nic.no_mbuf, 0u);
    EXPECT_EQ(machine.runtime->nic_counters(1).rx_packets, 0u) << "there is no such port";
    machine.workers.reset();
    EXPECT_EQ(machine.runtime->stop_ports(), 0u);
  });
}

TEST(Loop, counts_its_time) {
  in_child([] {
    Machine machine(1);
    machine.create(false);
    ASSERT_TRUE(machine.workers->launch().ok());
    const dataplane::WorkerCounters& n = machine.runtime->stats(0).worker;
    ASSERT_TRUE(soon([&] { return n.iterations.get() > 1000; }));
    machine.feed(arp_request());
    ASSERT_FALSE(machine.next().empty());
    ASSERT_TRUE(soon([&] { return n.busy_cycles.get() > 0; }));
    machine.workers->stop();
    EXPECT_GE(n.iterations.get(), n.empty_polls.get() + 1);  // one found the frame
    EXPECT_LE(n.iterations.get(), n.empty_polls.get() + 2);  // the neighbor news go to nobody
    EXPECT_LT(n.busy_cycles.get(), n.total_cycles.get());
  });
}

TEST(Loop, naps_when_nothing_comes_and_wakes_for_a_frame) {
  in_child([] {
    Machine machine(1);
    machine.create(true);
    ASSERT_TRUE(machine.workers->launch().ok());
    ASSERT_TRUE(soon([&] { return machine.workers->naps(0) > 10; }));
    machine.feed(arp_request());
    EXPECT_FALSE(machine.next().empty());
    const uint64_t before = machine.workers->naps(0);
    EXPECT_TRUE(soon([&] { return machine.workers->naps(0) > before + 10; }));
  });
}

TEST(Loop, never_naps_when_it_is_to_spin) {
  in_child([] {
    Machine machine(1);
    machine.create(false);
    ASSERT_TRUE(machine.workers->launch().ok());
    const dataplane::WorkerCounters& n = machine.runtime->stats(0).worker;
    ASSERT_TRUE(soon([&] { return n.empty_polls.get() > 100 * Idle::kPollsBeforeNap; }));
    machine.workers->stop();
    EXPECT_EQ(machine.workers->naps(0), 0u);
  });
}

// A backend died: its flows are looked for, 4096 records an iteration. No frame announces that
// work, and with naps of 200 us in between a million flows would wait for seconds.
TEST(Loop, does_not_nap_while_flows_of_a_dead_backend_are_looked_for) {
  in_child([] {
    constexpr uint32_t kRecords = 1u << 20, kIterations = kRecords / 4096;
    static_assert(kIterations > Idle::kPollsBeforeNap + 64);
    Machine machine(1);
    machine.create(true, kRecords);
    dataplane::ToWorker down;
    down.slot = 0;
    down.status.admin = balance::Admin::down;
    ASSERT_EQ(
        rte_ring_sp_enqueue_elem(machine.runtime->shared().rings[0].control, &down, sizeof down),
        0);
    ASSERT_TRUE(machine.workers->launch().ok());
    ASSERT_TRUE(soon([&] { return machine.workers->naps(0) > 10; }));  // when that is done
    machine.workers->stop();
    // At most one nap an iteration, so these went without.
    EXPECT_GE(machine.runtime->stats(0).worker.iterations.get(),
              machine.workers->naps(0) + kIterations);
  });
}

TEST(Loop, is_offline_for_rcu_while_it_naps_and_after_its_end) {
  in_child([] {
    Machine machine(1);
    machine.create(true);
    ASSERT_TRUE(machine.workers->launch().ok());
    ASSERT_TRUE(soon([&] { return machine.workers->naps(0) > 10; }));
    rte_rcu_qsbr* rcu = machine.runtime->shared().rcu;
    EXPECT_TRUE(soon([&] {  // 0: offline
      return __atomic_load_n(&rcu->qsbr_cnt[0].cnt, __ATOMIC_ACQUIRE) == 0;
    }));
    const uint64_t token = rte_rcu_qsbr_start(rcu);
    EXPECT_TRUE(soon([&] { return rte_rcu_qsbr_check(rcu, token, false) == 1; }));
    machine.workers->stop();
    const uint64_t after = rte_rcu_qsbr_start(rcu);
    EXPECT_EQ(rte_rcu_qsbr_check(rcu, after, false), 1);
  });
}

TEST(Loop, hands_frames_to_their_workers) {
  in_child([] {
    Machine machine(3);
    machine.create(true);
    ASSERT_TRUE(machine.workers->launch().ok());
    const MacAddress mac = machine.runtime->ports()[0].mac;
    constexpr unsigned kFrames = 1500;  // less than the ring between two workers takes
    for (unsigned i = 0; i < kFrames; ++i)
      machine.feed(stray_datagram(mac, static_cast<uint16_t>(1024 + i)));
    EXPECT_TRUE(soon([&] { return machine.drops(Drop::no_flow) == kFrames; }));
    machine.workers->stop();
    machine.expect_identities();
    using C = dataplane::WorkerCounters;
    EXPECT_EQ(machine.sum(&C::rx), kFrames);
    EXPECT_GT(machine.sum(&C::handed_in), kFrames / 2);  // two thirds, by the hash
    EXPECT_EQ(machine.sum(&C::ring_out_dropped), 0u);
  });
}

TEST(Loop, gives_every_buffer_back_when_it_ends_under_load) {
  in_child([] {
    Machine machine(3);
    machine.create(true);
    const MacAddress mac = machine.runtime->ports()[0].mac;
    using C = dataplane::WorkerCounters;
    for (int round = 0; round < 10; ++round) {
      const uint64_t before = machine.sum(&C::rx);
      for (uint16_t i = 0; i < 500; ++i) machine.feed(stray_datagram(mac, i));
      ASSERT_TRUE(machine.workers->launch().ok());
      ASSERT_TRUE(soon([&] { return machine.sum(&C::rx) > before; }));
      machine.workers->stop();  // in the middle of it, if it can be
      machine.expect_identities();
      for (const dataplane::WorkerRings& r : machine.runtime->shared().rings)
        ASSERT_EQ(rte_ring_count(r.frames), 0u) << "round " << round;
      machine.drain(machine.in);
    }
    machine.workers.reset();
    EXPECT_EQ(machine.runtime->mbufs_in_use(), 0u);
    EXPECT_EQ(machine.runtime->stop_ports(), 0u);
  });
}

// A worker that is told to stop may still get frames from one that has not heard of it yet.
TEST(Loop, ends_only_when_nobody_can_hand_frames_over_any_more) {
  in_child([] {
    Machine machine(2);
    Runtime& runtime = *machine.runtime;
    runtime.shared().snapshot.store(&machine.snapshot, std::memory_order_release);
    const Clock clock = Clock::system();
    std::optional<dataplane::Worker> worker;
    worker.emplace(dataplane::WorkerSetup{.id = 1,
                                          .shared = &runtime.shared(),
                                          .stats = &runtime.stats(1),
                                          .output = &runtime.output(1),
                                          .pool = runtime.pool(1),
                                          .toeplitz = &runtime.toeplitz(),
                                          .flows = 1024,
                                          .held_packets = 64},
                   clock.now());
    LoopGroup group;
    group.stop = true;
    group.receiving = 2;  // this one and another
    Loop loop({.worker = &*worker,
               .counters = &runtime.stats(1).worker,
               .queues = {},
               .clock = &clock,
               .adaptive = false,
               .group = &group});
    const auto run = [](void* argument) {
      static_cast<Loop*>(argument)->run();
      return 0;
    };
    ASSERT_EQ(rte_eal_remote_launch(run, &loop, runtime.lcores()[1]), 0);
    ASSERT_TRUE(soon([&] { return runtime.stats(1).worker.iterations.get() > 100; }));
    EXPECT_EQ(group.receiving, 1u);

    rte_mbuf* m = machine.frame(stray_datagram(runtime.ports()[0].mac, 7));
    m->port = 0;
    ASSERT_EQ(rte_ring_enqueue(runtime.shared().rings[1].frames, m), 0);
    group.receiving = 0;
    rte_eal_wait_lcore(runtime.lcores()[1]);
    EXPECT_EQ(runtime.stats(1).worker.handed_in.get(), 1u);
    EXPECT_EQ(rte_ring_count(runtime.shared().rings[1].frames), 0u);
    worker.reset();
    EXPECT_EQ(runtime.mbufs_in_use(), 0u);
  });
}

struct Crossing {
  std::atomic<int> inside{0};
  std::atomic<bool> met{false};
};

// Called by rte_eth_tx_burst, so it sees who is in there at the same time.
uint16_t watch_transmit(uint16_t, uint16_t, rte_mbuf**, uint16_t count, void* argument) {
  Crossing& crossing = *static_cast<Crossing*>(argument);
  if (crossing.inside.fetch_add(1) != 0) crossing.met = true;
  std::this_thread::sleep_for(std::chrono::microseconds(100));
  crossing.inside.fetch_sub(1);
  return count;
}

// Three workers, one transmit queue, which bears one user at a time.
TEST(Loop, shares_a_transmit_queue_among_workers) {
  in_child([] {
    Machine machine(3);
    Crossing crossing;
    ASSERT_NE(
        rte_eth_add_tx_callback(machine.runtime->queues(0)[0].device, 0, watch_transmit, &crossing),
        nullptr);
    constexpr unsigned kEach = 200;
    std::thread senders[3];
    for (unsigned s = 0; s < 3; ++s)
      senders[s] = std::thread([&machine, s] {
        for (unsigned i = 0; i < kEach; ++i) {
          rte_mbuf* m = rte_pktmbuf_alloc(machine.runtime->pool(s));
          ASSERT_NE(m, nullptr);
          ASSERT_EQ(machine.runtime->output(s).transmit(0, &m, 1), 1);
        }
      });
    for (std::thread& t : senders) t.join();
    EXPECT_FALSE(crossing.met);
    EXPECT_EQ(rte_ring_count(machine.out), 3 * kEach);
    machine.drain(machine.out);
    EXPECT_EQ(machine.runtime->mbufs_in_use(), 0u);
  });
}

TEST(Workers, share_flows_and_held_packets_out) {
  in_child([] {
    Machine machine(3);
    Workers& workers = machine.create(true);
    EXPECT_EQ(workers.flow_capacity(0), (4096 + 2) / 3);
    EXPECT_EQ(workers.held_limit(), (1024u + 2) / 3);
    EXPECT_GE(workers.flow_bytes_each(2), 64u);
  });
}

TEST(Workers, refuse_more_flows_than_there_is_memory) {
  in_child([] {
    Machine machine(1);
    const auto created = Workers::create(*machine.runtime, {.flows = UINT32_MAX});
    ASSERT_FALSE(created.ok());
    EXPECT_NE(created.error().find("lower capacity.flows"), std::string::npos) << created.error();
  });
}

TEST(Workers, stop_harmlessly_when_not_running) {
  in_child([] {
    Machine machine(1);
    machine.create(true).stop();
    ASSERT_TRUE(machine.workers->launch().ok());
    machine.workers->stop();
    machine.workers->stop();
    machine.expect_identities();
  });
}

}  // namespace
}  // namespace limpet::port
