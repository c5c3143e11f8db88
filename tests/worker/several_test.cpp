// More than one worker on ports that spread frames by chance: whoever receives a frame passes it to
// the worker that owns its flow, and everything stays as right as with one.
#include <rte_ring.h>

#include "connection.h"

namespace limpet::worker_test {
namespace {

using dataplane::Neighbors;
using dataplane::NeighborState;
using dataplane::WorkerCounters;
using tcp::Track;

IpAddress client4(unsigned n) {
  return IpAddress::v4(198, 51, static_cast<uint8_t>(n >> 8), static_cast<uint8_t>(n));
}
IpAddress client6(unsigned n) {
  IpAddress a = ip("2001:db8::1");
  a.bytes[13] = static_cast<uint8_t>(n >> 8);
  a.bytes[14] = static_cast<uint8_t>(n);
  return a;
}

class Several : public testing::TestWithParam<unsigned> {
 protected:
  void SetUp() override {
    rig.run();
    rig.spread_randomly();
  }
  unsigned owner(const IpAddress& from, const IpAddress& to, uint16_t from_port, uint16_t to_port) {
    const flow::Reta reta{128, rig.workers()};
    return reta.owner(rig.toeplitz().hash(from, to, be16::from(from_port), be16::from(to_port)));
  }
  Rig rig{{.workers = GetParam()}};
};

INSTANTIATE_TEST_SUITE_P(Workers, Several, testing::Values(2u, 3u, 4u),
                         [](const auto& w) { return "of_" + std::to_string(w.param); });

TEST_P(Several, connections_live_wherever_their_frames_arrive) {
  std::map<unsigned, unsigned> owners;
  for (unsigned i = 0; i < 150; ++i) {
    const bool v4 = i % 2 == 0;
    Connection s(rig, v4 ? client4(i) : client6(i), static_cast<uint16_t>(30000 + i * 7),
                 v4 ? kVip4 : kVip6, 80);
    s.establish();
    for (uint32_t n = 0; n < 4; ++n) {
      s.client_says(
          "data", {.flags = kAck, .seq = 1001 + n * 10, .ack = 5001 + n * 20, .data = pattern(10)});
      s.backend_says(
          "data", {.flags = kAck, .seq = 5001 + n * 20, .ack = 1011 + n * 10, .data = pattern(20)});
    }
    ++owners[owner(s.client, s.vip, s.client_port, 80)];
    if (HasFailure()) return;
  }
  EXPECT_EQ(owners.size(), GetParam());
  for (unsigned w = 0; w < GetParam(); ++w) EXPECT_EQ(rig.worker(w).flows().used(), owners[w]);
  EXPECT_EQ(rig.drops(), 0u) << rig.drop_list();
  EXPECT_EQ(rig.flows(), 150u);
  // By chance all but one in W frames are on the wrong worker.
  const auto frames = static_cast<double>(rig.sum(&WorkerCounters::forwarded));
  const auto handed = static_cast<double>(rig.sum(&WorkerCounters::handed_out));
  EXPECT_NEAR(handed / frames, 1.0 - 1.0 / GetParam(), 0.06);
}

TEST_P(Several, answers_of_backends_hash_to_the_owner) {
  // So that a NIC with RSS brings them there by itself.
  for (unsigned i = 0; i < 200; ++i) {
    const bool v4 = i % 2 == 0;
    Connection s(rig, v4 ? client4(i) : client6(i), static_cast<uint16_t>(30000 + i),
                 v4 ? kVip4 : kVip6, 80);
    s.open();
    EXPECT_EQ(owner(s.client, s.vip, s.client_port, 80),
              owner(s.backend, s.source, 8080, s.source_port));
  }
}

TEST_P(Several, datagrams_too) {
  for (unsigned i = 0; i < 60; ++i) {
    Connection s(rig, client4(i), static_cast<uint16_t>(1000 + i), kVip4, 7, kUdp);
    s.open();
    for (int n = 0; n < 5; ++n) {
      s.backend_says("answer", {.data = pattern(9)});
      s.client_says("question", {.data = pattern(8)});
    }
  }
  EXPECT_EQ(rig.flows(), 60u);
}

TEST_P(Several, errors_reach_the_owner_of_the_flow_they_are_about) {
  for (unsigned i = 0; i < 40; ++i) {
    Connection s(rig, client4(i), static_cast<uint16_t>(30000 + i), kVip4, 80);
    s.establish();
    const Tcp data{.flags = kAck, .seq = 5001, .ack = 1001, .data = pattern(100)};
    const auto at_front = rig.send(
        kFront, icmp_frame(rig.to_us(ip("10.1.0.1")), {.from = ip("10.1.0.1"), .to = kVip4}, 3, 4,
                           1200, packet_of(s.at_client(data), 28)));
    ASSERT_EQ(at_front.size(), 1u) << rig.drop_list();
    EXPECT_EQ(look(at_front[0].frame).to, s.backend);
    const auto at_back = rig.send(
        kBack,
        icmp_frame(rig.to_us(ip("10.2.0.1")), {.from = ip("10.2.0.1"), .to = s.source}, 3, 1, 0,
                   packet_of(s.at_backend({.flags = kAck, .seq = 1001, .ack = 5001}), 28)));
    ASSERT_EQ(at_back.size(), 1u) << rig.drop_list();
    EXPECT_EQ(look(at_back[0].frame).to, s.client);
  }
  EXPECT_EQ(rig.sum(&WorkerCounters::icmp_translated), 80u);
}

TEST_P(Several, what_workers_answer_themselves_needs_no_owner) {
  for (unsigned i = 0; i < 20; ++i) {
    EXPECT_EQ(rig.send(kFront, echo_frame(rig.to_us(client4(i)), {.from = client4(i), .to = kVip4},
                                          true, 1, 1, {}))
                  .size(),
              1u);
    EXPECT_EQ(rig.send(kFront, arp_request(ip("10.1.0.2"), kVip4)).size(), 1u);
    EXPECT_EQ(rig.send(kFront, tcp_frame(rig.to_us(client4(i)), {.from = client4(i), .to = kVip4},
                                         5, 81, {.flags = kSyn}))
                  .size(),
              1u);
  }
}

TEST_P(Several, backend_down_is_heard_by_all) {
  std::vector<Connection> all;
  for (unsigned i = 0; i < 80; ++i)
    all.emplace_back(rig, client4(i), static_cast<uint16_t>(30000 + i), kVip4, 80).establish();
  const uint16_t slot = all[0].slot();
  std::set<std::string> wanted;
  for (Connection& s : all) {
    if (s.slot() != slot) continue;
    wanted.insert(describe(s.reset_at_client(5001)));
    wanted.insert(describe(s.reset_at_backend(1001)));
  }
  rig.down(slot);
  std::set<std::string> got;
  for (const Left& l : rig.run()) got.insert(describe(l.frame));
  EXPECT_EQ(got, wanted);
  EXPECT_GT(wanted.size(), 20u);
}

TEST_P(Several, neighbors_answer_seen_by_one_worker_releases_what_others_hold) {
  rig.nobody_answers = true;
  for (unsigned i = 0; i < 60; ++i)
    rig.inject(kFront, tcp_frame(rig.to_us(client4(1)), {.from = client4(1), .to = kVip4},
                                 static_cast<uint16_t>(30000 + i), 80, {.flags = kSyn, .seq = 1}));
  EXPECT_TRUE(nothing(rig.run()));
  EXPECT_EQ(rig.sum(&WorkerCounters::held_packets), 60u);
  for (unsigned w = 0; w < GetParam(); ++w) EXPECT_GT(rig.stats(w).worker.held_packets.get(), 5u);
  EXPECT_EQ(rig.asked.size(), GetParam()) << "each asks for itself";
  const IpAddress backend = look(rig.asked[0].frame).to;
  rig.inject_at(0, kBack, arp_reply(backend, rig.port_mac(kBack), kSource4));
  EXPECT_EQ(rig.run().size(), 60u);
  EXPECT_EQ(rig.sum(&WorkerCounters::held_packets), 0u);
  for (unsigned w = 0; w < GetParam(); ++w) {
    const Neighbors& n = rig.worker(w).neighbors();
    EXPECT_EQ(n.at(n.find(kBack, backend)).state, NeighborState::reachable);
  }
}

TEST_P(Several, overflowing_ring_is_counted_and_nothing_is_lost_twice) {
  // Nobody empties the owner's ring while one worker passes on what it received.
  Connection s(rig, client4(1), 40000, kVip4, 80);
  const unsigned who = owner(s.client, s.vip, 40000, 80);
  const unsigned other = (who + 1) % GetParam();
  rig.spread = [who] { return who; };
  EXPECT_EQ(rig.send(kFront, s.from_client({.flags = kAck})).size(), 1u)
      << "the gateway is known now";
  rig.spread = [other] { return other; };
  const unsigned capacity = rte_ring_get_capacity(rig.shared().rings[who].frames);
  const unsigned sent = capacity + 100;
  for (unsigned i = 0; i < sent; ++i)
    rig.inject(kFront, s.from_client({.flags = kAck, .seq = i, .ack = 1}));
  for (unsigned i = 0; i < sent / 32 + 2; ++i) rig.poll_worker(other);
  EXPECT_EQ(rig.stats(other).worker.handed_out.get(), sent);
  EXPECT_EQ(rig.stats(other).worker.ring_out_dropped.get(), 100u);
  rig.check_identity("with a full ring");
  EXPECT_EQ(rig.run().size(), capacity) << "a reset for each";
  EXPECT_EQ(rig.drops(Drop::no_flow), capacity + 1);
}

TEST_P(Several, owner_keeps_up_with_all_that_others_pass_on) {
  // One flow, received in full bursts by everybody else.
  Connection s(rig, client4(1), 40000, kVip4, 80);
  s.establish();
  for (int round = 0; round < 300; ++round) {
    for (unsigned i = 0; i < 32 * GetParam(); ++i)
      rig.inject_at(i % GetParam(), kFront,
                    s.from_client({.flags = kAck, .seq = 1001, .ack = 5001}));
    rig.poll();
  }
  EXPECT_EQ(rig.run().size(), 300u * 32 * GetParam());
  EXPECT_EQ(rig.sum(&WorkerCounters::ring_out_dropped), 0u);
}

TEST_P(Several, frames_in_rings_at_the_end_are_returned) {
  Connection s(rig, client4(1), 40000, kVip4, 80);
  const unsigned who = owner(s.client, s.vip, 40000, 80);
  const unsigned other = (who + 1) % GetParam();
  for (unsigned i = 0; i < 5; ++i)
    rig.inject_at(other, kFront, s.from_client({.flags = kSyn, .seq = 1}));
  rig.poll_worker(other);
  EXPECT_EQ(rte_ring_count(rig.shared().rings[who].frames), 5u);
  rig.finish_with_rings_full();
}

unsigned owner_in(Rig& rig, const IpAddress& from, const IpAddress& to, uint16_t from_port,
                  uint16_t to_port) {
  return rig.publisher().current()->ports[0].reta.owner(
      rig.toeplitz().hash(from, to, be16::from(from_port), be16::from(to_port)));
}

// As the NIC spreads them: by the same hash as ours.
TEST(Rss, frames_stay_where_the_nic_put_them) {
  Rig rig({.workers = 2, .rss = true});
  for (uint8_t n = 3; n < 11; ++n) {
    Connection s(rig, client4(n), 40000, kVip4, 80);
    const unsigned who = owner_in(rig, s.client, s.vip, 40000, 80);
    rig.spread = [who] { return who; };
    s.open();
  }
  EXPECT_GT(rig.worker(0).flows().used(), 0u);
  EXPECT_EQ(rig.worker(0).flows().used() + rig.worker(1).flows().used(), 8u);
  EXPECT_EQ(rig.sum(&WorkerCounters::handed_out), 0u);
}

// Some packets a NIC hashes otherwise than ours: they find their flow all the same.
TEST(Rss, a_frame_at_the_wrong_worker_resets_nothing) {
  Rig rig({.workers = 2, .rss = true});
  Connection s(rig, client4(3), 40000, kVip4, 80);
  const unsigned who = owner_in(rig, s.client, s.vip, 40000, 80);
  rig.spread = [who] { return who; };
  s.establish();
  rig.spread = [who] { return 1 - who; };
  s.client_says("from the wrong side",
                {.flags = kAck, .seq = 1001, .ack = 5001, .data = pattern(30)});
  s.backend_says("and back", {.flags = kAck, .seq = 5001, .ack = 1031, .data = pattern(40)});
  EXPECT_EQ(rig.sum(&WorkerCounters::handed_out), 2u);
  EXPECT_EQ(rig.sum(&WorkerCounters::resets_sent), 0u);
  EXPECT_EQ(rig.drops(Drop::no_flow), 0u);
  // A connection whose every packet comes to the wrong one is opened by its owner too.
  Connection t(rig, client4(4), 40000, kVip4, 80);
  const unsigned its = owner_in(rig, t.client, t.vip, 40000, 80);
  rig.spread = [its] { return 1 - its; };
  t.establish();
  EXPECT_EQ(rig.worker(0).flows().used() + rig.worker(1).flows().used(), 2u);
}

}  // namespace
}  // namespace limpet::worker_test
