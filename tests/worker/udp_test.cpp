// Datagrams through a worker, both families.
#include "connection.h"

namespace limpet::worker_test {
namespace {

using tcp::Track;

struct World {
  const char* name;
  IpAddress client;
  IpAddress vip;
};

class Udp4And6 : public testing::TestWithParam<World> {
 protected:
  Rig rig;
  Connection s{rig, GetParam().client, 5353, GetParam().vip, 7, kUdp};
};

INSTANTIATE_TEST_SUITE_P(Families, Udp4And6,
                         testing::Values(World{"v4_on_link", ip("10.1.0.2"), kVip4},
                                         World{"v4_far", ip("203.0.113.9"), kVip4},
                                         World{"v6_on_link", ip("fd00:1::2"), kVip6},
                                         World{"v6_far", ip("2001:db8::9"), kVip6}),
                         [](const auto& w) { return std::string(w.param.name); });

TEST_P(Udp4And6, goes_there_and_back) {
  s.open();
  EXPECT_EQ(rig.only_flow().state, Track::datagram);
  for (const size_t length : {0u, 1u, 2u, 3u, 8u, 511u, 1400u}) {
    s.client_says("question of " + std::to_string(length), {.data = pattern(length)});
    s.backend_says("answer of " + std::to_string(length), {.data = pattern(length, 9)});
  }
  EXPECT_EQ(rig.drops(), 0u) << rig.drop_list();
}

TEST_P(Udp4And6, padding_is_cut_off) {
  s.open();
  EXPECT_TRUE(is(rig.send(s.front(), s.from_client({.data = pattern(4)}) + Bytes(14, 0xaa)),
                 s.back(), s.at_backend({.data = pattern(4)})));
}

TEST_P(Udp4And6, ends_when_both_are_silent) {
  s.open();
  for (int i = 0; i < 5; ++i) {
    rig.pass(9s);
    s.backend_says("answer", {.data = pattern(3)});
    rig.pass(9s);
    s.client_says("question", {.data = pattern(3)});
  }
  rig.pass(9800ms);
  EXPECT_EQ(rig.flows(), 1u);
  rig.pass(400ms);
  EXPECT_EQ(rig.flows(), 0u);
  // What comes after that from the backend has no owner, and a datagram is not answered.
  EXPECT_TRUE(nothing(rig.send(s.back(), s.from_backend({.data = pattern(3)}))));
  EXPECT_EQ(rig.drops(Drop::no_flow), 1u) << rig.drop_list();
}

TEST_P(Udp4And6, checksum_that_comes_out_as_zero_is_written_as_all_ones) {
  s.open();
  // Among 65536 values of the last word one makes the sum of the rewritten datagram zero.
  Bytes data = pattern(10);
  for (uint32_t n = 0; n < 0x10000; ++n) {
    put16(data, 8, n);
    const Bytes wanted = s.at_backend({.data = data});
    if (get16(wanted, look(wanted).l4 + 6) != 0xffff) continue;
    s.client_says("all ones", {.data = data});
    return;
  }
  FAIL() << "no such datagram";
}

std::string without_e0() {
  return with(kTwoArms, "{ name = \"e0\"; address = \"10.2.0.10\"; port = 7; },\n", "");
}

// Datagrams have no end that could be waited for (a reload of a pool without health checks).
TEST(Udp, busy_flow_leaves_a_removed_backend_at_once) {
  for (const bool silent : {false, true}) {
    Rig rig;
    std::vector<Connection> all;
    for (unsigned i = 0; i < 20; ++i)
      all.emplace_back(rig, IpAddress::v4(198, 51, 100, static_cast<uint8_t>(i)), 5353, kVip4, 7,
                       kUdp)
          .open();
    const uint16_t gone = rig.backend("echo", "e0"), stays = rig.backend("echo", "e1");
    const uint64_t moved = rig.stats().backends[gone].connections_active.get();
    ASSERT_GT(moved, 0u);
    ASSERT_LT(moved, 20u);
    rig.reload(without_e0());
    if (silent) {  // of the client: what only the backend sends does not keep the flow either
      rig.run();
      EXPECT_EQ(rig.stats().backends[gone].connections_active.get(), 0u);
      EXPECT_EQ(rig.flows(), 20 - moved);
      continue;
    }
    for (Connection& s : all) {
      const bool was = s.slot() == gone;
      s.open();
      EXPECT_EQ(s.slot(), stays) << (was ? "moved" : "stayed");
      s.backend_says("answer", {.data = pattern(5)});
    }
    EXPECT_EQ(rig.flows(), 20u);
    EXPECT_EQ(rig.stats().backends[gone].connections_active.get(), 0u);
    EXPECT_EQ(rig.stats().backends[stays].connections_total.get(), 20u);
    EXPECT_EQ(rig.drops(), 0u) << rig.drop_list();
  }
}

TEST(Udp, flow_of_a_removed_service_ends) {
  Rig rig;
  Connection s(rig, ip("10.1.0.2"), 5353, kVip4, 7, kUdp);
  s.open();
  rig.reload(with(kTwoArms, "{ name = \"echo\"; vip = \"10.1.0.100\"; port = 7;",
                  "{ name = \"other\"; vip = \"10.1.0.100\"; port = 9;"));
  rig.run();
  EXPECT_EQ(rig.flows(), 0u);
  const auto out = rig.send(s.front(), s.from_client({.data = pattern(3)}));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(look(out[0].frame).icmp_type, 3) << "port unreachable";
}

TEST(Udp, flow_of_a_draining_backend_stays_until_its_drain_ends) {
  Rig rig;
  Connection s(rig, ip("10.1.0.2"), 5353, kVip4, 7, kUdp);
  s.open();
  const uint16_t first = s.slot();
  rig.drain(first);
  s.client_says("still there", {.data = pattern(3)});
  rig.set_backend(first, balance::Admin::down, balance::Health::up);
  s.open();
  EXPECT_NE(s.slot(), first);
  s.backend_says("answer", {.data = pattern(5)});
}

TEST(Udp, zero_checksum_over_ipv4_stays_zero) {
  Rig rig;
  Connection s(rig, ip("10.1.0.2"), 5353, kVip4, 7, kUdp);
  s.open();
  const Bytes in =
      udp_frame(rig.to_us(s.client), {.from = s.client, .to = s.vip}, 5353, 7, pattern(11), false);
  const Bytes wanted =
      udp_frame(rig.from_us(s.backend), {.from = s.source, .to = s.backend, .ttl = 63},
                s.source_port, s.backend_port, pattern(11), false);
  EXPECT_TRUE(is(rig.send(kFront, in), kBack, wanted));
}

TEST(Udp, every_client_stays_with_its_backend_whatever_its_port) {
  Rig rig;
  for (unsigned i = 0; i < 50; ++i) {
    const IpAddress client = IpAddress::v4(198, 51, 100, static_cast<uint8_t>(i));
    Connection a(rig, client, 1, kVip4, 7, kUdp), b(rig, client, 65535, kVip4, 7, kUdp);
    a.open();
    b.open();
    EXPECT_EQ(a.backend, b.backend);
  }
}

TEST(Udp, tcp_and_udp_of_one_tuple_are_two_flows) {
  Rig rig({.config = with(kTwoArms, "vip = \"10.1.0.100\"; port = 80",
                          "vip = \"10.1.0.100\"; port = 7")});
  Connection t(rig, ip("10.1.0.2"), 40000, kVip4, 7, kTcp);
  Connection u(rig, ip("10.1.0.2"), 40000, kVip4, 7, kUdp);
  t.establish();
  u.open();
  EXPECT_EQ(rig.flows(), 2u);
  u.backend_says("answer", {.data = pattern(5)});
  t.backend_says("data", {.flags = kAck, .seq = 5001, .ack = 1001, .data = pattern(5)});
}

}  // namespace
}  // namespace limpet::worker_test
