// Backends that die, come back, drain: what happens to their flows, to their clients, and to
// everybody else.
#include <rte_ring_elem.h>

#include "connection.h"

namespace limpet::worker_test {
namespace {

using dataplane::Worker;
using dataplane::WorkerCounters;
using tcp::Track;

IpAddress client(unsigned n) {
  return IpAddress::v4(198, static_cast<uint8_t>(18 + (n >> 16)), static_cast<uint8_t>(n >> 8),
                       static_cast<uint8_t>(n));
}

struct World {
  const char* name;
  IpAddress client, vip;
};

class DeadBackend4And6 : public testing::TestWithParam<World> {
 protected:
  Rig rig;
  Connection s{rig, GetParam().client, 40000, GetParam().vip, 80};
};

INSTANTIATE_TEST_SUITE_P(Families, DeadBackend4And6,
                         testing::Values(World{"v4", ip("10.1.0.2"), kVip4},
                                         World{"v6", ip("2001:db8::2"), kVip6}),
                         [](const auto& w) { return std::string(w.param.name); });

TEST_P(DeadBackend4And6, both_ends_hear_at_the_numbers_they_accept) {
  s.establish();
  s.client_says("request", {.flags = kAck, .seq = 1001, .ack = 5001, .data = pattern(50)});
  s.backend_says("response", {.flags = kAck, .seq = 5001, .ack = 1051, .data = pattern(700)});
  s.client_says("its ACK", {.flags = kAck, .seq = 1051, .ack = 5701});
  rig.down(s.slot());
  EXPECT_TRUE(
      are(rig.run(), {{kFront, s.reset_at_client(5701)}, {kBack, s.reset_at_backend(1051)}}));
  EXPECT_EQ(rig.only_flow().state, Track::dead);
  EXPECT_EQ(rig.sum(&WorkerCounters::flows_reset), 1u);
  EXPECT_TRUE(nothing(rig.run())) << "once";
}

TEST_P(DeadBackend4And6, numbers_of_the_handshake_serve_before_any_data) {
  s.establish();
  rig.down(s.slot());
  EXPECT_TRUE(
      are(rig.run(), {{kFront, s.reset_at_client(5001)}, {kBack, s.reset_at_backend(1001)}}));
}

TEST_P(DeadBackend4And6, new_packets_are_refused_at_once_before_the_flush_gets_there) {
  s.establish();
  // The message and the segment are there in the same iteration.
  rig.down(s.slot());
  rig.inject(s.front(),
             s.from_client({.flags = kAck, .seq = 1001, .ack = 5001, .data = pattern(9)}));
  rig.poll();
  EXPECT_TRUE(are(rig.take(), {{kFront, s.reset_at_client(5001)},
                               {kFront, s.reset_at_client(5001)},
                               {kBack, s.reset_at_backend(1001)}}))
      << "its end, and the answer to the segment";
  EXPECT_EQ(rig.drops(Drop::backend_down), 1u);
}

TEST_P(DeadBackend4And6, what_it_still_sends_is_refused_too) {
  s.establish();
  rig.down(s.slot());
  rig.inject(s.back(),
             s.from_backend({.flags = kAck, .seq = 5001, .ack = 1001, .data = pattern(9)}));
  const auto out = rig.run();
  EXPECT_EQ(rig.drops(Drop::backend_down), 1u);
  EXPECT_EQ(out.size(), 3u);
  EXPECT_EQ(rig.sum(&WorkerCounters::forwarded), 3u) << "of the handshake";
}

TEST_P(DeadBackend4And6, tombstone_answers_until_it_crumbles) {
  s.establish();
  rig.down(s.slot());
  rig.run();
  for (const uint32_t ack : {5001u, 6000u})
    EXPECT_TRUE(is(rig.send(s.front(), s.from_client({.flags = kAck, .seq = 1001, .ack = ack})),
                   kFront, s.reset_at_client(ack)));
  EXPECT_TRUE(is(rig.send(s.back(), s.from_backend({.flags = kAck, .seq = 5001, .ack = 1001})),
                 kBack, s.reset_at_backend(1001)));
  EXPECT_TRUE(nothing(rig.send(s.front(), s.from_client({.flags = kRst, .seq = 1001}))));
  EXPECT_EQ(rig.drops(Drop::backend_down), 4u);
  rig.pass(9s);
  EXPECT_EQ(rig.flows(), 1u);
  rig.pass(1500ms);
  EXPECT_EQ(rig.flows(), 0u);
}

TEST_P(DeadBackend4And6, syn_on_the_tombstone_finds_a_living_backend) {
  s.establish();
  const IpAddress dead = s.backend;
  rig.down(s.slot());
  rig.run();
  s.open({.flags = kSyn, .seq = 7});
  EXPECT_NE(s.backend, dead);
  EXPECT_EQ(rig.flows(), 1u);
  const auto& b = rig.stats().backends[s.slot()];
  EXPECT_EQ(b.redispatched.get(), 1u);
  EXPECT_EQ(rig.only_flow().reason, static_cast<uint8_t>(affinity::Reason::source_redirected));
}

TEST_P(DeadBackend4And6, retransmitted_syn_moves_on) {
  s.open();
  const IpAddress dead = s.backend;
  rig.down(s.slot());
  EXPECT_TRUE(nothing(rig.run())) << "a half-open flow just ends";
  EXPECT_EQ(rig.flows(), 0u);
  s.open();
  EXPECT_NE(s.backend, dead);
}

TEST_P(DeadBackend4And6, half_closed_flows_hear_too) {
  s.establish();
  s.client_says("client's FIN", {.flags = kFin | kAck, .seq = 1001, .ack = 5001});
  s.backend_says("its ACK", {.flags = kAck, .seq = 5001, .ack = 1002});
  rig.down(s.slot());
  EXPECT_TRUE(
      are(rig.run(), {{kFront, s.reset_at_client(5001)}, {kBack, s.reset_at_backend(1002)}}));
}

TEST_P(DeadBackend4And6, ended_flows_are_not_told) {
  s.establish();
  s.client_says("client's FIN", {.flags = kFin | kAck, .seq = 1001, .ack = 5001});
  s.backend_says("backend's FIN", {.flags = kFin | kAck, .seq = 5001, .ack = 1002});
  rig.down(s.slot());
  EXPECT_TRUE(nothing(rig.run()));
  EXPECT_EQ(rig.flows(), 0u);
}

TEST(DeadBackend, datagram_flow_moves_on_at_once) {
  Rig rig;
  Connection s(rig, ip("10.1.0.2"), 5353, kVip4, 7, kUdp);
  s.open();
  const IpAddress dead = s.backend;
  const Bytes late = s.from_backend({.data = pattern(4)});
  rig.down(s.slot());
  rig.inject(kFront, s.from_client({.data = pattern(4)}));
  rig.inject(kBack, late);
  const auto out = rig.run();
  ASSERT_EQ(out.size(), 1u) << rig.drop_list();
  EXPECT_NE(look(out[0].frame).to, dead);
  EXPECT_EQ(rig.drops(Drop::no_flow), 1u);
  EXPECT_EQ(rig.flows(), 1u);
}

TEST(DeadBackend, admin_down_is_down) {
  Rig rig;
  Connection s(rig, ip("10.1.0.2"), 40000, kVip4, 80);
  s.establish();
  rig.set_backend(s.slot(), balance::Admin::down, balance::Health::up);
  EXPECT_EQ(rig.run().size(), 2u);
  EXPECT_EQ(rig.only_flow().state, Track::dead);
}

TEST(DeadBackend, flows_that_the_flush_has_not_reached_survive_its_return) {
  Rig rig({.mbufs = 8191});
  std::vector<Connection> all;
  for (unsigned i = 0; i < 1000; ++i)
    all.emplace_back(rig, client(i), 40000, kVip4, 80).establish();
  const uint16_t slot = all[0].slot();
  const uint64_t flows = rig.stats().backends[slot].connections_active.get();
  ASSERT_GT(flows, 2u * Worker::kGonePerIteration);
  rig.down(slot);
  rig.poll();
  rig.up(slot);
  rig.run();
  EXPECT_EQ(rig.sum(&WorkerCounters::flows_reset), Worker::kGonePerIteration);
  rig.take();
  unsigned alive = 0;
  for (Connection& s : all) {
    if (s.slot() != slot) continue;
    const auto out = rig.send(kFront, s.from_client({.flags = kAck, .seq = 1001, .ack = 5001}));
    alive += is(out, kBack, s.at_backend({.flags = kAck, .seq = 1001, .ack = 5001})) ? 1 : 0;
  }
  EXPECT_EQ(alive, flows - Worker::kGonePerIteration);
}

TEST(DeadBackend, nobody_is_forgotten_when_there_are_no_buffers) {
  Rig rig;
  std::vector<Connection> all;
  for (unsigned i = 0; i < 20; ++i) all.emplace_back(rig, client(i), 40000, kVip4, 80).establish();
  std::vector<rte_mbuf*> taken;
  while (rte_mbuf* m = rte_pktmbuf_alloc(rig.pool())) taken.push_back(m);
  uint64_t flows = 0;
  for (const char* name : {"s0", "s1"}) {
    flows += rig.stats().backends[rig.backend("web", name)].connections_active.get();
    rig.down(rig.backend("web", name));
  }
  for (int i = 0; i < 50; ++i) rig.poll();
  EXPECT_EQ(rig.sum(&WorkerCounters::flows_reset), 0u);
  EXPECT_FALSE(rig.worker().may_sleep());
  for (rte_mbuf* m : taken) rte_pktmbuf_free(m);
  EXPECT_EQ(rig.run().size(), 2 * flows);
  EXPECT_EQ(rig.sum(&WorkerCounters::flows_reset), flows);
  EXPECT_TRUE(rig.worker().may_sleep());
}

// The promise: all within a second per million flows, in bounded bites; and nobody else notices.
// The bounds are literals, so that a change of kGonePerIteration has to face them: 500 iterations
// for the 25,000 flows of a backend leave 50 us to each.
TEST(DeadBackend, many_flows_end_in_bounded_bites) {
  constexpr uint32_t kClients = 100000;
  Rig rig({.flows = 131072, .mbufs = 8191});
  for (uint32_t i = 0; i < kClients; i += 200) {
    for (uint32_t j = i; j < i + 200; ++j)
      rig.inject(kFront, tcp_frame(rig.to_us(client(j)), {.from = client(j), .to = kVip4}, 40000,
                                   80, {.flags = kSyn, .seq = 1000}));
    for (const Left& l : rig.run()) {
      const Seen syn = look(l.frame);
      rig.inject(kBack, tcp_frame(rig.to_us(syn.to), {.from = syn.to, .to = syn.from}, syn.to_port,
                                  syn.from_port, {.flags = kSyn | kAck, .seq = 5000, .ack = 1001}));
    }
    for (const Left& l : rig.run()) {
      const Seen answer = look(l.frame);
      rig.inject(kFront, tcp_frame(rig.to_us(answer.to), {.from = answer.to, .to = kVip4},
                                   answer.to_port, 80, {.flags = kAck, .seq = 1001, .ack = 5001}));
    }
    rig.run();
  }
  ASSERT_EQ(rig.flows(), kClients) << rig.drop_list();
  const uint16_t slot = rig.backend("web", "s2");
  const uint64_t flows = rig.stats().backends[slot].connections_active.get();
  ASSERT_GT(flows, kClients / 5);
  ASSERT_LT(flows, 28000u);
  rig.down(slot);
  unsigned iterations = 0;
  uint64_t resets = 0;
  while (rig.sum(&WorkerCounters::flows_reset) < flows && iterations < 10000) {
    rig.poll();
    ++iterations;
    const auto out = rig.take();
    EXPECT_LE(out.size(), 128u);  // both ends of 64 flows
    resets += out.size();
  }
  EXPECT_EQ(resets, 2 * flows);
  EXPECT_LE(iterations, 500u);
  const flow::Table& t = rig.worker().flows();
  for (flow::FlowId id = 0; id < t.capacity(); ++id) {
    if (!t.live(id)) continue;
    ASSERT_EQ(t.at(id).state, t.at(id).backend == slot ? Track::dead : Track::established);
  }
  EXPECT_EQ(rig.drops(), 0u) << rig.drop_list();
}

// ---- who goes where

std::map<IpAddress, uint16_t> where(Rig& rig, uint16_t port, unsigned clients = 300) {
  std::map<IpAddress, uint16_t> r;
  for (unsigned i = 0; i < clients; ++i) {
    Connection s(rig, client(i), port, kVip4, 80);
    s.open();
    r[client(i)] = s.slot();
  }
  return r;
}

TEST(Clients, of_a_dead_backend_move_and_come_back_and_others_never_move) {
  Rig rig;
  const auto before = where(rig, 1001);
  const uint16_t slot = rig.backend("web", "s1");
  rig.down(slot);
  rig.run();
  const auto meanwhile = where(rig, 1002);
  rig.up(slot);
  rig.run();
  const auto after = where(rig, 1003);
  std::set<uint16_t> refuges;
  for (const auto& [who, was] : before) {
    EXPECT_EQ(after.at(who), was) << who.to_string();
    if (was != slot) {
      EXPECT_EQ(meanwhile.at(who), was) << who.to_string();
    } else {
      EXPECT_NE(meanwhile.at(who), slot);
      refuges.insert(meanwhile.at(who));
    }
  }
  EXPECT_EQ(refuges.size(), 3u) << "its clients spread over all the others";
}

TEST(Clients, new_ones_avoid_a_draining_backend_and_its_own_connections_stay) {
  Rig rig;
  Connection s(rig, client(1), 40000, kVip4, 80);
  s.establish();
  rig.drain(s.slot());
  EXPECT_TRUE(nothing(rig.run()));
  s.client_says("goes on", {.flags = kAck, .seq = 1001, .ack = 5001, .data = pattern(3)});
  s.backend_says("goes on", {.flags = kAck, .seq = 5001, .ack = 1004, .data = pattern(3)});
  Connection other(rig, client(1), 40001, kVip4, 80);
  other.open();
  EXPECT_NE(other.slot(), s.slot());
  rig.up(s.slot());
  Connection third(rig, client(1), 40002, kVip4, 80);
  third.open();
  EXPECT_EQ(third.slot(), s.slot());
}

TEST(Clients, last_backend_standing_serves_all) {
  Rig rig;
  for (const char* name : {"s0", "s2", "s3"}) rig.down(rig.backend("web", name));
  rig.run();
  for (const auto& [who, slot] : where(rig, 1001, 50)) EXPECT_EQ(slot, rig.backend("web", "s1"));
}

TEST(Messages, are_read_to_the_last_in_the_iteration_of_their_arrival) {
  Rig rig;
  Connection s(rig, client(1), 40000, kVip4, 80);
  s.establish();
  dataplane::ToWorker noise;
  noise.slot = 50;
  for (int i = 0; i < 30000; ++i)
    ASSERT_EQ(rte_ring_sp_enqueue_elem(rig.shared().rings[0].control, &noise, sizeof noise), 0);
  rig.down(s.slot());
  rig.inject(kFront, s.from_client({.flags = kAck, .seq = 1001, .ack = 5001}));
  rig.poll();
  EXPECT_EQ(rig.drops(Drop::backend_down), 1u);
  EXPECT_EQ(rte_ring_count(rig.shared().rings[0].control), 0u);
}

}  // namespace
}  // namespace limpet::worker_test
