// What limpet itself answers: pings, and refusals with the numbers that the sender accepts.
#include "connection.h"

namespace limpet::worker_test {
namespace {

using dataplane::WorkerCounters;

struct World {
  const char* name;
  IpAddress client, vip, own, backend, source;
};

class Local4And6 : public testing::TestWithParam<World> {
 protected:
  Rig rig;
  const World& w = GetParam();
  uint8_t icmp_of_family() const { return w.vip.is_v4() ? kIcmp : kIcmp6; }
  // Client -> VIP at a port, TCP.
  Bytes segment(uint16_t to_port, const Tcp& t) {
    return tcp_frame(rig.to_us(w.client), {.from = w.client, .to = w.vip}, 40000, to_port, t);
  }
  Bytes answer(uint16_t from_port, const Tcp& t) {
    return tcp_frame(rig.from_us(w.client), {.from = w.vip, .to = w.client}, from_port, 40000, t);
  }
  // The error that `about`, as the client sent it, must bring it.
  Bytes icmp_error(const IpAddress& from, const IpAddress& to, uint8_t type4, uint8_t code4,
                   uint8_t type6, uint8_t code6, uint32_t rest, const Bytes& about) {
    const bool v4 = from.is_v4();
    return icmp_frame(
        rig.from_us(to), {.from = from, .to = to, .tos = static_cast<uint8_t>(v4 ? 0xc0 : 0)},
        v4 ? type4 : type6, v4 ? code4 : code6, rest, packet_of(about, v4 ? 576 - 28 : 1280 - 48));
  }
};

INSTANTIATE_TEST_SUITE_P(
    Families, Local4And6,
    testing::Values(
        World{"v4", ip("10.1.0.2"), kVip4, ip("10.1.0.254"), ip("10.2.0.10"), kSource4},
        World{"v4_far", ip("203.0.113.9"), kVip4, ip("10.1.0.254"), ip("10.2.0.10"), kSource4},
        World{"v6", ip("fd00:1::2"), kVip6, ip("fd00:1::254"), ip("fd00:2::10"), kSource6},
        World{"v6_far", ip("2001:db8::9"), kVip6, ip("fd00:1::254"), ip("fd00:2::10"), kSource6}),
    [](const auto& w) { return std::string(w.param.name); });

TEST_P(Local4And6, pings_are_answered_with_what_they_carry) {
  unsigned pings = 0;
  for (const IpAddress& target : {w.vip, w.own})
    for (const size_t length : {0u, 1u, 7u, 8u, 55u, 56u, 1399u, 1400u}) {
      const Bytes data = pattern(length, static_cast<uint8_t>(length));
      const auto n = static_cast<uint16_t>(length);
      EXPECT_TRUE(
          is(rig.send(kFront, echo_frame(rig.to_us(w.client),
                                         {.from = w.client, .to = target, .ttl = 3, .df = false},
                                         true, 0x1234, n, data)),
             kFront,
             echo_frame(rig.from_us(w.client), {.from = target, .to = w.client, .df = false}, false,
                        0x1234, n, data)))
          << length;
      ++pings;
    }
  EXPECT_EQ(rig.sum(&WorkerCounters::consumed), pings + rig.asked.size());
}

TEST_P(Local4And6, ping_waits_for_the_router_and_is_answered_at_once_on_the_link) {
  rig.nobody_answers = true;
  const Bytes ping =
      echo_frame(rig.to_us(w.client), {.from = w.client, .to = w.vip}, true, 1, 1, pattern(8));
  if (rig.next_hop(w.client) == w.client) {
    EXPECT_EQ(rig.send(kFront, ping).size(), 1u) << "to where it came from";
    EXPECT_EQ(rig.worker().neighbors().used(), 0u);
    return;
  }
  EXPECT_TRUE(nothing(rig.send(kFront, ping)));
  EXPECT_EQ(rig.sum(&WorkerCounters::held_packets), 0u) << "a reply is not a received frame";
  EXPECT_EQ(rig.worker().neighbors().held_in_all(), 1u);
  rig.pass(4s);
  EXPECT_EQ(rig.worker().neighbors().held_in_all(), 0u);
  EXPECT_EQ(rig.sum(&WorkerCounters::originated_lost), 1u);
}

TEST_P(Local4And6, syn_to_a_port_without_service_is_reset) {
  EXPECT_TRUE(
      is(rig.send(kFront, segment(81, {.flags = kSyn, .seq = 0xfffffffe, .data = pattern(3)})),
         kFront, answer(81, {.flags = kRst | kAck, .seq = 0, .ack = 2, .window = 0})));
  EXPECT_EQ(rig.drops(Drop::no_service), 1u);
  EXPECT_EQ(rig.sum(&WorkerCounters::resets_sent), 1u);
}

TEST_P(Local4And6, segments_of_no_connection_are_reset_where_they_say_they_are) {
  EXPECT_TRUE(
      is(rig.send(kFront,
                  segment(80, {.flags = kAck, .seq = 7, .ack = 0xdeadbeef, .data = pattern(9)})),
         kFront, answer(80, {.flags = kRst, .seq = 0xdeadbeef, .window = 0})))
      << "at a service";
  EXPECT_TRUE(is(rig.send(kFront, segment(81, {.flags = kSyn | kAck, .seq = 7, .ack = 9})), kFront,
                 answer(81, {.flags = kRst, .seq = 9, .window = 0})))
      << "elsewhere";
  EXPECT_TRUE(is(rig.send(kFront, segment(80, {.flags = kFin, .seq = 100, .data = pattern(5)})),
                 kFront, answer(80, {.flags = kRst | kAck, .seq = 0, .ack = 106, .window = 0})))
      << "without ACK";
  EXPECT_EQ(rig.drops(Drop::no_flow), 2u);
  EXPECT_EQ(rig.flows(), 0u);
}

TEST_P(Local4And6, backends_late_segment_is_reset_there) {
  const Bytes late = tcp_frame(rig.to_us(w.backend), {.from = w.backend, .to = w.source}, 8080,
                               2222, {.flags = kAck, .seq = 1, .ack = 77});
  EXPECT_TRUE(is(rig.send(kBack, late), kBack,
                 tcp_frame(rig.from_us(w.backend), {.from = w.source, .to = w.backend}, 2222, 8080,
                           {.flags = kRst, .seq = 77, .window = 0})));
  EXPECT_EQ(rig.drops(Drop::no_flow), 1u);
}

TEST_P(Local4And6, resets_are_never_answered) {
  for (const uint16_t port : {80, 81})
    for (const uint8_t flags : {uint8_t{kRst}, uint8_t{kRst | kAck}})
      EXPECT_TRUE(nothing(rig.send(kFront, segment(port, {.flags = flags, .seq = 1, .ack = 2}))));
  EXPECT_TRUE(
      nothing(rig.send(kBack, tcp_frame(rig.to_us(w.backend), {.from = w.backend, .to = w.source},
                                        8080, 2222, {.flags = kRst, .seq = 1}))));
  EXPECT_EQ(rig.sum(&WorkerCounters::resets_sent), 0u);
  EXPECT_EQ(rig.drops(Drop::no_flow), 3u);
  EXPECT_EQ(rig.drops(Drop::no_service), 2u);
}

TEST_P(Local4And6, datagram_to_a_port_without_service_is_unreachable) {
  for (const size_t length : {0u, 9u, 1300u}) {
    const Bytes in =
        udp_frame(rig.to_us(w.client), {.from = w.client, .to = w.vip}, 5353, 9, pattern(length));
    EXPECT_TRUE(is(rig.send(kFront, in), kFront, icmp_error(w.vip, w.client, 3, 3, 1, 4, 0, in)))
        << length;
  }
  EXPECT_EQ(rig.drops(Drop::no_service), 3u);
  EXPECT_EQ(rig.sum(&WorkerCounters::icmp_sent), 3u);
}

TEST_P(Local4And6, hop_limit_that_runs_out_here_is_told) {
  Connection s(rig, w.client, 40000, w.vip, 80);
  Bytes in = s.from_client({.flags = kSyn, .seq = 5}, {.ttl = 1});
  EXPECT_TRUE(is(rig.send(kFront, in), kFront, icmp_error(w.vip, w.client, 11, 0, 3, 0, 0, in)));
  EXPECT_EQ(rig.flows(), 0u) << "no flow for a packet that goes nowhere";
  s.establish();
  in = s.from_client({.flags = kAck, .seq = 1001, .ack = 5001}, {.ttl = 1});
  EXPECT_TRUE(is(rig.send(kFront, in), kFront, icmp_error(w.vip, w.client, 11, 0, 3, 0, 0, in)));
  in = s.from_backend({.flags = kAck, .seq = 5001, .ack = 1001}, {.ttl = 1});
  EXPECT_TRUE(is(rig.send(kBack, in), kBack, icmp_error(s.source, s.backend, 11, 0, 3, 0, 0, in)));
  EXPECT_EQ(rig.drops(Drop::ip_ttl_expired), 3u);
}

TEST_P(Local4And6, packet_larger_than_the_next_link_is_told) {
  Rig narrow(
      {.config = with(kTwoArms, "device = \"net_ring1\";", "device = \"net_ring1\"; mtu = 1400;")});
  Connection s(narrow, w.client, 40000, w.vip, 80);
  s.establish();
  const size_t headers = w.vip.is_v4() ? 40 : 60;
  s.client_says("just fits",
                {.flags = kAck, .seq = 1001, .ack = 5001, .data = pattern(1400 - headers)});
  const Bytes in =
      s.from_client({.flags = kAck, .seq = 1001, .ack = 5001, .data = pattern(1401 - headers)});
  EXPECT_TRUE(
      is(narrow.send(kFront, in), kFront, icmp_error(w.vip, w.client, 3, 4, 2, 0, 1400, in)));
  EXPECT_EQ(narrow.drops(Drop::mtu_exceeded), 1u);
  s.backend_says("the wide side takes it",
                 {.flags = kAck, .seq = 5001, .ack = 1001, .data = pattern(1401 - headers)});
}

TEST_P(Local4And6, errors_are_limited_in_number_and_the_rest_named) {
  const Bytes in = udp_frame(rig.to_us(w.client), {.from = w.client, .to = w.vip}, 5353, 9, {});
  size_t told = 0;
  for (int i = 0; i < 1100; ++i) {
    told += rig.send(kFront, in).size();
    if (i % 100 == 0) rig.pass(1ms);
  }
  EXPECT_EQ(told, 1000u);
  EXPECT_EQ(rig.drops(Drop::no_service), 1000u);
  EXPECT_EQ(rig.drops(Drop::icmp_rate_limited), 100u);
  rig.pass(1001ms);
  EXPECT_EQ(rig.send(kFront, in).size(), 1u);
}

TEST_P(Local4And6, nothing_is_answered_that_was_sent_to_many_or_by_nobody) {
  Link many = rig.to_us(w.client);
  many.to = w.vip.is_v4() ? kBroadcastMac : MacAddress{{0x33, 0x33, 0, 0, 0, 1}};
  const Ip to_vip{.from = w.client, .to = w.vip};
  EXPECT_TRUE(
      nothing(rig.send(kFront, tcp_frame(many, to_vip, 40000, 80, {.flags = kSyn, .seq = 1}))));
  EXPECT_TRUE(
      nothing(rig.send(kFront, tcp_frame(many, to_vip, 40000, 81, {.flags = kSyn, .seq = 1}))));
  EXPECT_TRUE(nothing(rig.send(kFront, udp_frame(many, to_vip, 40000, 9, {}))));
  EXPECT_TRUE(nothing(rig.send(kFront, echo_frame(many, to_vip, true, 1, 1, {}))));
  EXPECT_EQ(rig.flows(), 0u);
  EXPECT_EQ(rig.drops(Drop::not_ours), 3u) << rig.drop_list();
  EXPECT_EQ(rig.drops(Drop::icmp_unsupported), 1u);
  EXPECT_EQ(rig.sum(&WorkerCounters::originated), 4u) << "announcements only";
}

TEST(Local, rate_limit_has_tokens_from_the_first_tick_of_a_young_clock) {
  Rig rig({.start = Instant{0}});
  const Bytes in =
      udp_frame(rig.to_us(ip("10.1.0.2")), {.from = ip("10.1.0.2"), .to = kVip4}, 5353, 9, {});
  EXPECT_EQ(rig.send(kFront, in).size(), 1u);
}

TEST(Local, port_scan_does_not_silence_path_mtu_discovery) {
  Rig rig(
      {.config = with(kTwoArms, "device = \"net_ring1\";", "device = \"net_ring1\"; mtu = 1400;")});
  Connection s(rig, ip("10.1.0.2"), 40000, kVip4, 80);
  s.establish();
  const Bytes scan = udp_frame(rig.to_us(s.client), {.from = s.client, .to = kVip4}, 5353, 9, {});
  for (int i = 0; i < 1001; ++i) rig.send(kFront, scan);
  EXPECT_EQ(rig.drops(Drop::icmp_rate_limited), 1u);
  const Tcp large{.flags = kAck, .seq = 1001, .ack = 5001, .data = pattern(1400)};
  EXPECT_EQ(rig.send(kFront, s.from_client(large)).size(), 1u);
  EXPECT_EQ(rig.drops(Drop::mtu_exceeded), 1u);
}

TEST(Local, echo_reply_carries_no_options_of_the_request) {
  Rig rig;
  const IpAddress client = ip("10.1.0.2");
  const Bytes data = pattern(21);
  EXPECT_TRUE(
      is(rig.send(kFront, echo_frame(rig.to_us(client),
                                     {.from = client,
                                      .to = kVip4,
                                      .tos = 0x20,
                                      .id = 77,
                                      .options = {7, 7, 4, 0, 0, 0, 0, 0}},
                                     true, 5, 6, data)),
         kFront,
         echo_frame(rig.from_us(client), {.from = kVip4, .to = client, .tos = 0x20, .id = 77},
                    false, 5, 6, data)));
}

TEST(Local, what_is_not_ours_is_the_kernels_where_it_shares) {
  Rig rig({.kernel_shares = true});
  const IpAddress client = ip("10.1.0.2");
  const IpAddress kernel = ip("10.1.0.253");
  rig.send(kFront, arp_request(client, kernel));
  rig.send(kFront, tcp_frame(rig.to_us(client), {.from = client, .to = kernel}, 40000, 22,
                             {.flags = kSyn}));
  rig.send(kFront, echo_frame(rig.to_us(client), {.from = client, .to = kernel}, true, 1, 1, {}));
  rig.send(kFront, ethernet({kBroadcastMac, mac_of(client)}, 0x88cc, pattern(50)));
  Bytes fragment =
      udp_frame(rig.to_us(client), {.from = client, .to = kernel, .df = false}, 1, 2, pattern(16));
  put16(fragment, 20, 0x2000);
  fix_checksums(fragment);
  rig.send(kFront, fragment);
  EXPECT_EQ(rig.sum(&WorkerCounters::punted), 5u);
  EXPECT_EQ(rig.drops(), 0u) << rig.drop_list();
  // Ours stays ours.
  Connection s(rig, client, 40000, kVip4, 80);
  s.establish();
  EXPECT_TRUE(is(rig.send(kFront, tcp_frame(rig.to_us(client), {.from = client, .to = kVip4}, 40000,
                                            22, {.flags = kSyn, .seq = 1})),
                 kFront,
                 tcp_frame(rig.from_us(client), {.from = kVip4, .to = client}, 22, 40000,
                           {.flags = kRst | kAck, .ack = 2, .window = 0})));
}

}  // namespace
}  // namespace limpet::worker_test
