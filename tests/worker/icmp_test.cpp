// ICMP errors about our flows: translated, so that either end hears of the packet that it sent.
#include "connection.h"
#include "splice_fixture.h"

namespace limpet::worker_test {
namespace {

using dataplane::WorkerCounters;

struct World {
  const char* name;
  IpAddress client, vip;
  IpAddress front_router, back_router;
};

class Icmp4And6 : public testing::TestWithParam<World> {
 protected:
  Rig rig;
  const World& w = GetParam();

  // `about` is a frame as limpet sent it; the router quotes `most` bytes of its packet, one hop on.
  Bytes error(const IpAddress& router, const IpAddress& to, uint8_t type, uint8_t code,
              uint32_t rest, Bytes about, size_t most, uint8_t ttl = 64) {
    return icmp_frame(rig.to_us(router), {.from = router, .to = to, .ttl = ttl}, type, code, rest,
                      hop(std::move(about), most));
  }
  // The packet one hop later, cut.
  static Bytes hop(Bytes about, size_t most) {
    about[about[12] == 8 ? 22 : 21]--;
    fix_checksums(about);
    return packet_of(about, most);
  }
  uint8_t unreachable() const { return w.vip.is_v4() ? 3 : 1; }
};

INSTANTIATE_TEST_SUITE_P(
    Families, Icmp4And6,
    testing::Values(World{"v4", ip("198.51.100.7"), kVip4, ip("10.1.0.1"), ip("10.2.0.1")},
                    World{"v6", ip("2001:db8::7"), kVip6, ip("fd00:1::1"), ip("fd00:2::1")}),
    [](const auto& w) { return std::string(w.param.name); });

TEST_P(Icmp4And6, fragmentation_needed_towards_the_client_reaches_the_backend) {
  Connection s(rig, w.client, 40000, w.vip, 80);
  s.establish();
  const Tcp data{.flags = kAck, .seq = 5001, .ack = 1001, .data = pattern(1300)};
  s.backend_says("a large segment", data);
  const bool v4 = w.vip.is_v4();
  for (const size_t most : {v4 ? 28u : 48u, v4 ? 40u : 60u, v4 ? 520u : 1200u}) {
    const Bytes in =
        error(w.front_router, w.vip, v4 ? 3 : 2, v4 ? 4 : 0, 1280, s.at_client(data), most);
    // The backend reads about the very packet that it sent, less two hops, in a message from its
    // peer.
    Bytes sent = s.from_backend(data);
    sent[v4 ? 22 : 21]--;
    const Bytes wanted =
        icmp_frame(rig.from_us(s.backend), {.from = s.source, .to = s.backend, .ttl = 63},
                   v4 ? 3 : 2, v4 ? 4 : 0, 1280, hop(sent, most));
    EXPECT_TRUE(is(rig.send(kFront, in), kBack, wanted)) << most;
  }
  EXPECT_EQ(rig.sum(&WorkerCounters::icmp_translated), 3u);
}

TEST_P(Icmp4And6, unreachable_backend_reaches_the_client) {
  Connection s(rig, w.client, 40000, w.vip, 80);
  s.open();
  const Tcp syn{.flags = kSyn, .seq = 1000, .options = Connection::syn_options()};
  for (const uint8_t code : {uint8_t{0}, uint8_t{1}, uint8_t{3}}) {
    const Bytes in = error(w.back_router, s.source, unreachable(), code, 0, s.at_backend(syn), 100);
    Bytes sent = s.from_client(syn);
    sent[w.vip.is_v4() ? 22 : 21]--;
    const Bytes wanted =
        icmp_frame(rig.from_us(s.client), {.from = s.vip, .to = s.client, .ttl = 63}, unreachable(),
                   code, 0, hop(sent, 100));
    EXPECT_TRUE(is(rig.send(kBack, in), kFront, wanted)) << unsigned{code};
  }
}

TEST_P(Icmp4And6, port_unreachable_of_a_datagram_reaches_the_client) {
  Connection s(rig, w.client, 5353, w.vip, 7, kUdp);
  s.open();
  const Tcp datagram{.data = bytes_of("hello")};
  // From the backend itself, quoting all; the padding of the frame goes.
  const Bytes in = error(s.backend, s.source, unreachable(), w.vip.is_v4() ? 3 : 4, 0,
                         s.at_backend(datagram), 1000) +
                   Bytes(9, 0);
  Bytes sent = s.from_client(datagram);
  sent[w.vip.is_v4() ? 22 : 21]--;
  const Bytes wanted = icmp_frame(rig.from_us(s.client), {.from = s.vip, .to = s.client, .ttl = 63},
                                  unreachable(), w.vip.is_v4() ? 3 : 4, 0, hop(sent, 1000));
  EXPECT_TRUE(is(rig.send(kBack, in), kFront, wanted));
}

TEST_P(Icmp4And6, time_exceeded_on_the_way_passes) {
  Connection s(rig, w.client, 40000, w.vip, 80);
  s.establish();
  const Tcp t{.flags = kAck, .seq = 5001, .ack = 1001};
  const uint8_t type = w.vip.is_v4() ? 11 : 3;
  const auto out = rig.send(kFront, error(w.front_router, w.vip, type, 0, 0, s.at_client(t), 60));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].port, kBack);
  EXPECT_EQ(look(out[0].frame).icmp_type, type);
  EXPECT_TRUE(look(out[0].frame).sums_right);
}

TEST_P(Icmp4And6, errors_about_nothing_of_ours_are_named) {
  Connection s(rig, w.client, 40000, w.vip, 80);
  s.establish();
  const Tcp t{.flags = kAck, .seq = 5001, .ack = 1001};
  Connection stranger(rig, w.client, 40001, w.vip, 80);
  EXPECT_TRUE(nothing(rig.send(
      kFront, error(w.front_router, w.vip, unreachable(), 1, 0, stranger.at_client(t), 60))))
      << "no such flow";
  EXPECT_TRUE(nothing(
      rig.send(kFront, error(w.front_router, w.vip, unreachable(), 1, 0, s.from_client(t), 60))))
      << "a packet that we did not send";
  EXPECT_TRUE(nothing(rig.send(kFront, error(w.front_router, w.vip, unreachable(), 1, 0,
                                             s.at_client(t), w.vip.is_v4() ? 27 : 47))))
      << "quote too short for ports";
  const Ip back{.from = w.vip, .to = w.client};
  EXPECT_TRUE(nothing(rig.send(
      kFront, error(w.front_router, w.vip, unreachable(), 1, 0,
                    echo_frame(rig.from_us(w.client), back, false, 1, 1, pattern(20)), 60))))
      << "about our echo reply";
  EXPECT_EQ(rig.drops(Drop::icmp_unrelated), 4u) << rig.drop_list();
  EXPECT_EQ(rig.sum(&WorkerCounters::icmp_translated), 0u);
}

// RFC 5927, 4.1: who does not know a number in flight says nothing, whatever the error.
TEST_P(Icmp4And6, errors_that_quote_numbers_outside_the_window_say_nothing) {
  Connection s(rig, w.client, 40000, w.vip, 80);
  s.establish();
  const bool v4 = w.vip.is_v4();
  const uint32_t oldest = 64240u << 7;
  const auto about_answer = [&](uint32_t seq) {
    return rig.send(kFront, error(w.front_router, w.vip, v4 ? 3 : 2, v4 ? 4 : 0, 1280,
                                  s.at_client({.flags = kAck, .seq = seq, .ack = 1001}), 60));
  };
  const auto about_request = [&](uint32_t seq) {
    return rig.send(kBack, error(w.back_router, s.source, unreachable(), 1, 0,
                                 s.at_backend({.flags = kAck, .seq = seq, .ack = 5001}), 60));
  };
  s.backend_says("data", {.flags = kAck, .seq = 5001, .ack = 1001, .data = pattern(1000)});
  s.client_says("data", {.flags = kAck, .seq = 1001, .ack = 5001, .data = pattern(500)});
  for (const uint32_t seq : {6002u, 5001u - 2 * oldest, 0x71000000u})
    EXPECT_TRUE(nothing(about_answer(seq))) << seq;
  for (const uint32_t seq : {1502u, 1001u - 2 * oldest, 0x71000000u})
    EXPECT_TRUE(nothing(about_request(seq))) << seq;
  EXPECT_EQ(rig.drops(Drop::icmp_outside_window), 6u) << rig.drop_list();
  for (const uint32_t seq : {5001u, 5500u, 6001u}) EXPECT_EQ(about_answer(seq).size(), 1u) << seq;
  for (const uint32_t seq : {1001u, 1500u, 1501u}) EXPECT_EQ(about_request(seq).size(), 1u) << seq;
  EXPECT_EQ(rig.sum(&WorkerCounters::icmp_translated), 6u);
}

TEST_P(Icmp4And6, packet_too_big_is_not_believed_below_the_least) {
  Connection s(rig, w.client, 40000, w.vip, 80);
  s.establish();
  const bool v4 = w.vip.is_v4();
  const Tcp data{.flags = kAck, .seq = 5001, .ack = 1001, .data = pattern(1300)};
  s.backend_says("data", data);
  // The MTU that the backend hears; 0: nothing.
  const auto told = [&](uint32_t mtu) -> uint32_t {
    const auto out = rig.send(
        kFront, error(w.front_router, w.vip, v4 ? 3 : 2, v4 ? 4 : 0, mtu, s.at_client(data), 60));
    if (out.size() != 1) return 0;
    const Seen seen = look(out[0].frame);
    EXPECT_TRUE(seen.sums_right);
    return get32(out[0].frame, seen.l4 + 4);
  };
  EXPECT_EQ(told(1280), 1280u);
  if (v4) {
    EXPECT_EQ(told(552), 552u);
    EXPECT_EQ(told(551), 552u) << "as Linux";
    EXPECT_EQ(told(68), 552u);
  } else {
    for (const uint32_t mtu : {1279u, 552u, 64u, 0u}) EXPECT_EQ(told(mtu), 0u) << mtu;
    EXPECT_EQ(rig.drops(Drop::icmp_mtu_too_small), 4u) << rig.drop_list();
  }
}

class SplicedIcmp4And6 : public testing::TestWithParam<World> {
 protected:
  Rig rig{{.config = [] {
    std::string c = spliced();
    for (const char* name : {"web", "web6"}) {
      const std::string plain = std::string("{ name = \"") + name + "\"; vip";
      if (c.find(plain) != std::string::npos)
        c = with(c, plain, std::string("{ name = \"") + name + "\"; mode = \"splice\"; vip");
    }
    return c;
  }()}};
  const World& w = GetParam();
  uint32_t isn = 0;
  IpAddress backend, source;
  uint16_t source_port = 0;

  Bytes client(const Tcp& t) {
    return tcp_frame(rig.to_us(w.client), {.from = w.client, .to = w.vip}, 40000, 80, t);
  }
  Bytes server(const Tcp& t) {
    return tcp_frame(rig.to_us(backend), {.from = backend, .to = source}, 8080, source_port, t);
  }
  // The client's numbers begin at 1000, the backend's at 7000; it has answered with 1,001 octets.
  void talk() {
    const Bytes mss{2, 4, 5, 0xb4};
    const auto greeting = rig.send(kFront, client({.flags = kSyn, .seq = 1000, .options = mss}));
    ASSERT_EQ(greeting.size(), 1u);
    isn = look(greeting[0].frame).seq;
    const auto syn = rig.send(
        kFront, client({.flags = kAck | kPsh, .seq = 1001, .ack = isn + 1, .data = kRequest}));
    ASSERT_EQ(syn.size(), 1u) << rig.drop_list();
    const Seen s = look(syn[0].frame);
    backend = s.to;
    source = s.from;
    source_port = s.from_port;
    rig.send(kBack, server({.flags = kSyn | kAck, .seq = 7000, .ack = 1001, .options = mss}));
    rig.send(kBack, server({.flags = kAck,
                            .seq = 7001,
                            .ack = 1028,
                            .data = bytes_of("HTTP/1.1 200 OK\r\nContent-Length: 961\r\n\r\n") +
                                    pattern(961)}));
  }
  // What leaves when a router at the client's side complains about octets of the answer.
  std::vector<Left> complaint(uint8_t type, uint8_t code, uint32_t rest, uint32_t seq) {
    const Bytes about =
        tcp_frame(rig.from_us(w.client), {.from = w.vip, .to = w.client, .ttl = 62}, 80, 40000,
                  {.flags = kAck, .seq = seq, .ack = 1028, .data = pattern(500)});
    return rig.send(
        kFront, icmp_frame(rig.to_us(w.front_router), {.from = w.front_router, .to = w.vip}, type,
                           code, rest, packet_of(about, 100)));
  }
};

INSTANTIATE_TEST_SUITE_P(
    Families, SplicedIcmp4And6,
    testing::Values(World{"v4", ip("198.51.100.7"), kVip4, ip("10.1.0.1"), ip("10.2.0.1")},
                    World{"v6", ip("2001:db8::7"), kVip6, ip("fd00:1::1"), ip("fd00:2::1")}),
    [](const auto& w) { return std::string(w.param.name); });

TEST_P(SplicedIcmp4And6, numbers_outside_the_window_say_nothing_and_the_least_is_the_least) {
  talk();
  ASSERT_FALSE(HasFailure());
  const bool v4 = w.vip.is_v4();
  const uint8_t too_big = v4 ? 3 : 2, code = v4 ? 4 : 0;
  for (const uint32_t seq : {isn + 1003, isn - 70000, isn + 0x40000000}) {
    EXPECT_TRUE(nothing(complaint(too_big, code, 1280, seq))) << seq - isn;
    EXPECT_TRUE(nothing(complaint(v4 ? 3 : 1, 1, 0, seq))) << seq - isn;
  }
  EXPECT_EQ(rig.drops(Drop::icmp_outside_window), 6u) << rig.drop_list();
  const auto unreachable = complaint(v4 ? 3 : 1, 1, 0, isn + 501);
  ASSERT_EQ(unreachable.size(), 1u) << rig.drop_list();
  EXPECT_EQ(unreachable[0].port, kBack);
  const auto small = complaint(too_big, code, 296, isn + 501);
  if (v4) {
    ASSERT_EQ(small.size(), 1u);
    EXPECT_EQ(get32(small[0].frame, look(small[0].frame).l4 + 4), 552u);
  } else {
    EXPECT_TRUE(nothing(small));
    EXPECT_EQ(rig.drops(Drop::icmp_mtu_too_small), 1u) << rig.drop_list();
  }
}

TEST_P(Icmp4And6, hop_limit_counts_for_errors_too) {
  Connection s(rig, w.client, 40000, w.vip, 80);
  s.establish();
  const Tcp t{.flags = kAck, .seq = 5001, .ack = 1001};
  EXPECT_TRUE(nothing(
      rig.send(kFront, error(w.front_router, w.vip, unreachable(), 1, 0, s.at_client(t), 60, 1))));
  EXPECT_EQ(rig.drops(Drop::ip_ttl_expired), 1u);
}

TEST_P(Icmp4And6, other_messages_to_us_are_named) {
  const bool v4 = w.vip.is_v4();
  const Link link = rig.to_us(w.client);
  const Ip to_vip{.from = w.client, .to = w.vip};
  rig.send(kFront, echo_frame(link, to_vip, false, 1, 1, pattern(8)));
  rig.send(kFront, icmp_frame(link, to_vip, v4 ? 13 : 139, 0, 0, pattern(12)));
  EXPECT_EQ(rig.drops(Drop::icmp_unsupported), 2u) << rig.drop_list();
  // A redirect would tell us our own routes.
  rig.send(kFront,
           icmp_frame(rig.to_us(w.front_router), {.from = w.front_router, .to = w.vip, .ttl = 255},
                      v4 ? 5 : 137, 1, 0, pattern(40)));
  EXPECT_EQ(rig.drops(Drop::icmp_unrelated), 1u) << rig.drop_list();
}

}  // namespace
}  // namespace limpet::worker_test
