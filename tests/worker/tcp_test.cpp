// The life of a TCP connection through a worker, both families, and what its frames look like.
#include "connection.h"

namespace limpet::worker_test {
namespace {

using dataplane::WorkerCounters;
using tcp::Track;

struct World {
  const char* name;
  IpAddress client;
  IpAddress vip;
};

class Tcp4And6 : public testing::TestWithParam<World> {
 protected:
  Rig rig;
  Connection s{rig, GetParam().client, 40000, GetParam().vip, 80};
  Track state() { return rig.only_flow().state; }
};

INSTANTIATE_TEST_SUITE_P(Families, Tcp4And6,
                         testing::Values(World{"v4_on_link", ip("10.1.0.2"), kVip4},
                                         World{"v4_behind_the_gateway", ip("198.51.100.7"), kVip4},
                                         World{"v6_on_link", ip("fd00:1::2"), kVip6},
                                         World{"v6_behind_the_gateway", ip("2001:db8::7"), kVip6}),
                         [](const auto& w) { return std::string(w.param.name); });

TEST_P(Tcp4And6, what_ends_here_for_its_hops_moves_nothing) {
  s.establish();
  const Tcp fin{.flags = kFin | kAck, .seq = 1001, .ack = 5001};
  rig.send(s.front(), s.from_client(fin, {.ttl = 1}));
  EXPECT_EQ(state(), Track::established);
  rig.send(s.back(), s.from_backend({.flags = kRst | kAck, .seq = 5001, .ack = 1001}, {.ttl = 1}));
  EXPECT_EQ(state(), Track::established);
  EXPECT_EQ(rig.drops(Drop::ip_ttl_expired), 2u);
}

TEST_P(Tcp4And6, lives_from_syn_to_the_last_ack) {
  s.open();
  EXPECT_EQ(state(), Track::syn_sent);
  s.backend_says("SYN-ACK", {.flags = kSyn | kAck, .seq = 5000, .ack = 1001});
  EXPECT_EQ(state(), Track::syn_received);
  s.client_says("ACK", {.flags = kAck, .seq = 1001, .ack = 5001});
  EXPECT_EQ(state(), Track::established);
  s.client_says(
      "request",
      {.flags = kAck | kPsh, .seq = 1001, .ack = 5001, .data = bytes_of("GET / HTTP/1.1\r\n\r\n")});
  s.backend_says("response",
                 {.flags = kAck | kPsh, .seq = 5001, .ack = 1019, .data = pattern(1400)});
  s.client_says("its ACK", {.flags = kAck, .seq = 1019, .ack = 6401});
  s.client_says("client's FIN", {.flags = kFin | kAck, .seq = 1019, .ack = 6401});
  EXPECT_EQ(state(), Track::fin_client);
  s.backend_says("backend's FIN", {.flags = kFin | kAck, .seq = 6401, .ack = 1020});
  EXPECT_EQ(state(), Track::time_wait);
  s.client_says("last ACK", {.flags = kAck, .seq = 1020, .ack = 6402});

  const uint16_t slot = s.slot();
  EXPECT_EQ(rig.stats().backends[slot].connections_active.get(), 1u);
  EXPECT_EQ(rig.stats().backends[slot].packets_in.get(), 6u);
  EXPECT_EQ(rig.stats().backends[slot].packets_out.get(), 3u);
  rig.pass(1900ms);
  EXPECT_EQ(rig.flows(), 1u) << "time_wait is two seconds here";
  rig.pass(400ms);
  EXPECT_EQ(rig.flows(), 0u);
  EXPECT_EQ(rig.stats().backends[slot].connections_active.get(), 0u);
  EXPECT_EQ(rig.stats().backends[slot].connections_total.get(), 1u);
  EXPECT_EQ(rig.drops(), 0u) << rig.drop_list();
}

TEST_P(Tcp4And6, backend_may_close_first) {
  s.establish();
  s.backend_says("backend's FIN", {.flags = kFin | kAck, .seq = 5001, .ack = 1001});
  EXPECT_EQ(state(), Track::fin_backend);
  s.client_says("more of the client",
                {.flags = kAck, .seq = 1001, .ack = 5002, .data = bytes_of("x")});
  s.client_says("client's FIN", {.flags = kFin | kAck, .seq = 1002, .ack = 5002});
  EXPECT_EQ(state(), Track::time_wait);
}

TEST_P(Tcp4And6, bytes_are_counted_at_service_and_backend) {
  s.establish();
  const auto& b = rig.stats().backends[s.slot()];
  const auto& service = rig.stats().services[rig.service(GetParam().vip.is_v4() ? "web" : "web6")];
  const uint64_t in = b.bytes_in.get(), out = b.bytes_out.get();
  const Tcp up{.flags = kAck, .seq = 1001, .ack = 5001, .data = pattern(100)};
  const Tcp down{.flags = kAck, .seq = 5001, .ack = 1101, .data = pattern(700)};
  s.client_says("up", up);
  s.backend_says("down", down);
  EXPECT_EQ(b.bytes_in.get() - in, s.from_client(up).size());
  EXPECT_EQ(b.bytes_out.get() - out, s.from_backend(down).size());
  EXPECT_EQ(service.bytes_in.get(), b.bytes_in.get());
  EXPECT_EQ(service.bytes_out.get(), b.bytes_out.get());
  EXPECT_EQ(service.connections_active.get(), 1u);
  EXPECT_EQ(service.connections_total.get(), 1u);
  EXPECT_EQ(service.reasons[static_cast<size_t>(affinity::Reason::source)].get(), 1u);
}

TEST_P(Tcp4And6, odd_lengths_options_traffic_class_and_urgent_pointer_pass) {
  s.establish();
  for (const size_t length : {1u, 2u, 3u, 7u, 8u, 99u, 1399u, 1400u})
    s.client_says("length " + std::to_string(length),
                  {.flags = kAck, .seq = 1001, .ack = 5001, .data = pattern(length)});
  s.client_says("timestamps and SACK", {.flags = kAck,
                                        .seq = 1001,
                                        .ack = 5001,
                                        .options = Bytes{1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8} +
                                                   Bytes{1, 1, 5, 10, 0, 0, 20, 0, 0, 0, 21, 0}});
  s.client_says("traffic class and identification",
                {.flags = kAck, .seq = 1001, .ack = 5001, .data = pattern(9)},
                {.ttl = 2, .tos = 0xb8, .id = 0xbeef, .df = false});
  Tcp urgent{.flags = kAck | kUrg, .seq = 1001, .ack = 5001, .data = pattern(30), .window = 3};
  s.client_says("urgent", urgent);
}

TEST_P(Tcp4And6, padding_behind_the_packet_is_cut_off) {
  s.establish();
  const Tcp ack{.flags = kAck, .seq = 1001, .ack = 5001};
  Bytes padded = s.from_client(ack) + Bytes(6, 0xee);
  EXPECT_TRUE(is(rig.send(s.front(), padded), s.back(), s.at_backend(ack)));
  Bytes back = s.from_backend({.flags = kAck, .seq = 5001, .ack = 1001}) + Bytes(60, 0xee);
  EXPECT_TRUE(is(rig.send(s.back(), back), s.front(),
                 s.at_client({.flags = kAck, .seq = 5001, .ack = 1001})));
}

TEST_P(Tcp4And6, checksums_of_every_value_stay_right) {
  // The acknowledgment walks through all 16-bit residues that matter: near both zeros.
  s.establish();
  for (uint32_t n = 0; n < 0x400; ++n) {
    const Tcp t{.flags = kAck, .seq = 1001, .ack = 5001 + n * 0x40, .data = pattern(n % 5)};
    s.client_says("ack " + std::to_string(t.ack), t);
    if (HasFailure()) return;
  }
}

TEST_P(Tcp4And6, exact_reset_of_either_end_closes_and_frees_soon) {
  s.establish();
  s.client_says("reset", {.flags = kRst, .seq = 1001, .window = 0});
  EXPECT_EQ(state(), Track::closed);
  rig.pass(2300ms);
  EXPECT_EQ(rig.flows(), 0u);

  Connection other(rig, GetParam().client, 40001, GetParam().vip, 80);
  other.establish();
  other.backend_says("reset", {.flags = kRst | kAck, .seq = 5001, .ack = 1001});
  EXPECT_EQ(state(), Track::closed);
}

// A spoofed SYN: the backend repeats its answer for half a minute, and the port must come back.
TEST_P(Tcp4And6, repeated_syn_acks_do_not_prolong_a_handshake) {
  s.open();
  const Tcp answer{.flags = kSyn | kAck, .seq = 5000, .ack = 1001};
  s.backend_says("SYN-ACK", answer);
  EXPECT_EQ(state(), Track::syn_received);
  rig.pass(3s);
  s.backend_says("SYN-ACK again", answer);
  rig.pass(1900ms);
  EXPECT_EQ(rig.flows(), 1u);
  rig.pass(200ms);
  EXPECT_EQ(rig.flows(), 0u) << "connect is five seconds here";
}

TEST_P(Tcp4And6, backend_that_refuses_is_counted_and_the_client_hears) {
  s.open();
  s.backend_says("refusal", {.flags = kRst | kAck, .seq = 0, .ack = 1001, .window = 0});
  EXPECT_EQ(state(), Track::closed);
  EXPECT_EQ(rig.stats().backends[s.slot()].connect_failures.get(), 1u);
}

TEST_P(Tcp4And6, backend_that_does_not_answer_is_counted_after_the_connect_time) {
  s.open();
  rig.pass(4900ms);
  EXPECT_EQ(rig.flows(), 1u);
  rig.pass(300ms);
  EXPECT_EQ(rig.flows(), 0u);
  EXPECT_EQ(rig.stats().backends[s.slot()].connect_failures.get(), 1u);
  EXPECT_EQ(rig.sum(&WorkerCounters::flows_expired), 1u);
}

TEST_P(Tcp4And6, retransmitted_syn_takes_the_same_way) {
  s.open();
  rig.pass(1s);
  s.client_says("SYN again", {.flags = kSyn, .seq = 1000, .options = Connection::syn_options()});
  EXPECT_EQ(rig.flows(), 1u);
  EXPECT_EQ(rig.stats().backends[s.slot()].connections_total.get(), 1u);
  rig.pass(4500ms);
  EXPECT_EQ(rig.flows(), 1u) << "the connect time counts from the last SYN";
}

TEST_P(Tcp4And6, new_syn_on_an_ended_connection_is_a_new_one) {
  s.establish();
  s.client_says("client's FIN", {.flags = kFin | kAck, .seq = 1001, .ack = 5001});
  s.backend_says("backend's FIN", {.flags = kFin | kAck, .seq = 5001, .ack = 1002});
  const uint16_t old_port = s.source_port;
  s.open({.flags = kSyn, .seq = 90000});
  EXPECT_EQ(state(), Track::syn_sent);
  EXPECT_EQ(rig.flows(), 1u);
  EXPECT_NE(s.source_port, old_port) << "the backend still has the old port in TIME_WAIT";
  EXPECT_EQ(rig.stats().backends[s.slot()].connections_total.get(), 2u);
  EXPECT_EQ(rig.stats().backends[s.slot()].connections_active.get(), 1u);
}

TEST_P(Tcp4And6, idle_connection_ends_after_its_time_and_busy_one_does_not) {
  s.establish();
  for (int i = 0; i < 4; ++i) {
    rig.pass(50s);
    s.backend_says("sign of life", {.flags = kAck, .seq = 5001, .ack = 1001});
  }
  rig.pass(59s);
  EXPECT_EQ(state(), Track::established);
  rig.pass(2s);
  EXPECT_EQ(state(), Track::dead);
  rig.pass(11s);
  EXPECT_EQ(rig.flows(), 0u);
}

TEST_P(Tcp4And6, half_closed_connection_ends_after_its_time) {
  s.establish();
  s.client_says("client's FIN", {.flags = kFin | kAck, .seq = 1001, .ack = 5001});
  rig.pass(19s);
  EXPECT_EQ(state(), Track::fin_client);
  rig.pass(2s);
  EXPECT_EQ(state(), Track::dead);
}

TEST(Tcp, every_client_stays_with_its_backend) {
  Rig rig;
  std::map<uint16_t, unsigned> share;
  for (unsigned i = 0; i < 200; ++i) {
    const IpAddress client = IpAddress::v4(198, 51, 100, static_cast<uint8_t>(i));
    Connection a(rig, client, 40000, kVip4, 80), b(rig, client, 40001, kVip4, 80);
    a.open();
    b.open();
    EXPECT_EQ(a.backend, b.backend) << client.to_string();
    EXPECT_NE(a.source_port, b.source_port);
    ++share[a.slot()];
  }
  EXPECT_EQ(share.size(), 4u) << "no backend without a client";
  for (const auto& [slot, clients] : share) EXPECT_GT(clients, 20u);
}

TEST(Tcp, one_arm_serves_clients_and_backends_on_the_same_wire) {
  Rig rig({.config = kOneArm});
  Connection s(rig, ip("10.1.0.2"), 40000, kVip4, 80);
  s.establish();
  EXPECT_EQ(s.source, ip("10.1.0.254"));
  s.client_says("data", {.flags = kAck, .seq = 1001, .ack = 5001, .data = pattern(77)});
  s.backend_says("data", {.flags = kAck, .seq = 5001, .ack = 1078, .data = pattern(78)});
}

TEST(Tcp, checksums_that_the_nic_verified_are_believed) {
  Rig rig;
  Connection s(rig, ip("10.1.0.2"), 40000, kVip4, 80);
  s.establish();
  Bytes wrong = s.from_client({.flags = kAck, .seq = 1001, .ack = 5001, .data = pattern(8)});
  wrong[wrong.size() - 1] ^= 0xff;
  rig.inject(kFront, wrong, RTE_MBUF_F_RX_L4_CKSUM_GOOD | RTE_MBUF_F_RX_IP_CKSUM_GOOD);
  const auto out = rig.run();
  ASSERT_EQ(out.size(), 1u) << rig.drop_list();
  EXPECT_FALSE(look(out[0].frame).sums_right) << "damage is passed on, never covered up";
  rig.inject(kFront, wrong, RTE_MBUF_F_RX_L4_CKSUM_BAD | RTE_MBUF_F_RX_IP_CKSUM_GOOD);
  EXPECT_TRUE(nothing(rig.run()));
  EXPECT_EQ(rig.drops(Drop::tcp_checksum_bad), 1u);
}

}  // namespace
}  // namespace limpet::worker_test
