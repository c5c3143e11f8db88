// Frames that are whole and untagged though they look otherwise: priority tags (VLAN 0) and IPv6
// datagrams that are the only fragment of themselves (RFC 6946).
#include "splice_fixture.h"

namespace limpet::worker_test {
namespace {

Bytes tagged(Bytes frame, uint16_t tag) {
  frame.insert(frame.begin() + 12,
               {0x81, 0x00, static_cast<uint8_t>(tag >> 8), static_cast<uint8_t>(tag)});
  return frame;
}

// The frame as the only fragment of its datagram.
Bytes atomic(Bytes frame) {
  const Bytes header{frame[20], 0, 0, 0, 0xde, 0xad, 0xbe, 0xef};
  frame.insert(frame.begin() + 54, header.begin(), header.end());
  frame[20] = 44;
  put16(frame, 18, get16(frame, 18) + 8u);
  return frame;
}

class Tagged4And6 : public testing::TestWithParam<bool> {
 protected:
  Rig rig;
  const IpAddress client = GetParam() ? ip("10.1.0.2") : ip("fd00:1::2");
  const IpAddress vip = GetParam() ? kVip4 : kVip6;
};

INSTANTIATE_TEST_SUITE_P(Families, Tagged4And6, testing::Bool(),
                         [](const auto& v4) { return v4.param ? "v4" : "v6"; });

TEST_P(Tagged4And6, priority_tags_are_untagged_traffic_and_leave_untagged) {
  Connection s(rig, client, 40000, vip, 80);
  s.establish();
  const Tcp up{.flags = kAck, .seq = 1001, .ack = 5001, .data = pattern(50)};
  const Tcp down{.flags = kAck, .seq = 5001, .ack = 1051, .data = pattern(60)};
  for (const uint16_t tag : std::initializer_list<uint16_t>{0x0000, 0xe000, 0x7000}) {
    EXPECT_TRUE(
        is(rig.send(s.front(), tagged(s.from_client(up), tag)), s.back(), s.at_backend(up)));
    EXPECT_TRUE(
        is(rig.send(s.back(), tagged(s.from_backend(down), tag)), s.front(), s.at_client(down)));
  }
  EXPECT_EQ(rig.drops(), 0u) << rig.drop_list();
  EXPECT_TRUE(nothing(rig.send(s.front(), tagged(s.from_client(up), 5))));
  EXPECT_TRUE(nothing(rig.send(s.front(), tagged(tagged(s.from_client(up), 0), 0))));
  EXPECT_EQ(rig.drops(Drop::vlan_unsupported), 2u) << rig.drop_list();
}

TEST(Whole, arp_with_a_priority_tag_is_answered) {
  Rig rig;
  const auto out = rig.send(kFront, tagged(arp_request(ip("10.1.0.2"), kVip4), 0));
  ASSERT_EQ(out.size(), 1u) << rig.drop_list();
  EXPECT_EQ(look(out[0].frame).type, kArp);
}

class Atomic : public testing::Test {
 protected:
  Rig rig;
  const IpAddress client = ip("fd00:1::2");
};

// The header is kept: who reads it takes the datagram for whole as well.
TEST_F(Atomic, tcp_passes_both_ways_with_the_header) {
  Connection s(rig, client, 40000, kVip6, 80);
  s.establish();
  const Tcp up{.flags = kAck, .seq = 1001, .ack = 5001, .data = pattern(51)};
  const Tcp down{.flags = kAck, .seq = 5001, .ack = 1052, .data = pattern(60)};
  EXPECT_TRUE(
      is(rig.send(s.front(), atomic(s.from_client(up))), s.back(), atomic(s.at_backend(up))));
  EXPECT_TRUE(
      is(rig.send(s.back(), atomic(s.from_backend(down))), s.front(), atomic(s.at_client(down))));
  EXPECT_EQ(rig.drops(), 0u) << rig.drop_list();
}

TEST_F(Atomic, syn_opens_a_connection) {
  Connection known(rig, client, 40000, kVip6, 80);
  known.open();
  rig.down(known.slot());
  rig.run();
  Connection s(rig, client, 40001, kVip6, 80);
  const auto out = rig.send(kFront, atomic(s.from_client({.flags = kSyn, .seq = 1000})));
  ASSERT_EQ(out.size(), 1u) << rig.drop_list();
  EXPECT_EQ(out[0].port, kBack);
}

TEST_F(Atomic, datagrams_pass) {
  Connection s(rig, client, 5353, kVip6, 7, kUdp);
  s.open();
  const Tcp t{.data = pattern(33)};
  EXPECT_TRUE(is(rig.send(s.front(), atomic(s.from_client(t))), s.back(), atomic(s.at_backend(t))));
  EXPECT_TRUE(is(rig.send(s.back(), atomic(s.from_backend(t))), s.front(), atomic(s.at_client(t))));
}

TEST_F(Atomic, echo_is_answered) {
  const Bytes echo =
      echo_frame(rig.to_us(client), {.from = client, .to = kVip6}, true, 1, 1, pattern(20));
  EXPECT_EQ(rig.send(kFront, atomic(echo)).size(), 1u) << rig.drop_list();
}

TEST_F(Atomic, errors_that_quote_one_reach_its_sender) {
  Connection s(rig, client, 40000, kVip6, 80);
  s.establish();
  const Tcp data{.flags = kAck, .seq = 5001, .ack = 1001, .data = pattern(1300)};
  EXPECT_TRUE(
      is(rig.send(s.back(), atomic(s.from_backend(data))), s.front(), atomic(s.at_client(data))));
  const IpAddress router = ip("fd00:1::1");
  const auto out = rig.send(kFront, icmp_frame(rig.to_us(router), {.from = router, .to = kVip6}, 2,
                                               0, 1280, packet_of(atomic(s.at_client(data)), 600)));
  ASSERT_EQ(out.size(), 1u) << rig.drop_list();
  EXPECT_EQ(out[0].port, kBack);
  const Seen error = look(out[0].frame);
  EXPECT_TRUE(error.sums_right);
  EXPECT_EQ(error.icmp_type, 2);
  const size_t quoted = error.l4 + 8;
  EXPECT_EQ(out[0].frame[quoted + 6], 44) << "with its header";
  EXPECT_EQ(get16(out[0].frame, quoted + 48 + 2), s.source_port);
}

TEST_F(Atomic, fragments_that_are_not_whole_stay_named) {
  Connection s(rig, client, 40000, kVip6, 80);
  s.establish();
  Bytes b = atomic(s.from_client({.flags = kAck, .seq = 1001, .ack = 5001, .data = pattern(12)}));
  put16(b, 56, 1);  // more to come
  EXPECT_TRUE(nothing(rig.send(s.front(), b)));
  put16(b, 56, 8);  // not the first
  EXPECT_TRUE(nothing(rig.send(s.front(), b)));
  EXPECT_EQ(rig.drops(Drop::ip_fragment), 2u) << rig.drop_list();
}

// A spliced connection of which every segment is an atomic fragment.
TEST(WholeSpliced, atomic_fragments_are_rewritten_as_others) {
  Rig rig({.config = with(kTwoArms, "{ name = \"web6\"; vip",
                          "{ name = \"web6\"; mode = \"splice\"; vip")});
  const IpAddress client = ip("fd00:1::2");
  const auto from_client = [&](const Tcp& t) {
    return atomic(tcp_frame(rig.to_us(client), {.from = client, .to = kVip6}, 40000, 80, t));
  };
  const Bytes mss{2, 4, 5, 0xa0};
  const auto greeting = rig.send(kFront, from_client({.flags = kSyn, .seq = 1000, .options = mss}));
  ASSERT_EQ(greeting.size(), 1u) << rig.drop_list();
  const uint32_t isn = look(greeting[0].frame).seq;
  const auto syn = rig.send(
      kFront, from_client({.flags = kAck | kPsh, .seq = 1001, .ack = isn + 1, .data = kRequest}));
  ASSERT_EQ(syn.size(), 1u) << rig.drop_list();
  const Seen s = look(syn[0].frame);
  const auto from_backend = [&](const Tcp& t) {
    return atomic(tcp_frame(rig.to_us(s.to), {.from = s.to, .to = s.from}, 8080, s.from_port, t));
  };
  const auto head = rig.send(
      kBack, from_backend({.flags = kSyn | kAck, .seq = 7000, .ack = 1001, .options = mss}));
  ASSERT_EQ(head.size(), 1u) << rig.drop_list();
  EXPECT_EQ(look(head[0].frame).data, kRequest);
  const Bytes text = bytes_of("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n") + pattern(60);
  const auto answer =
      rig.send(kBack, from_backend({.flags = kAck, .seq = 7001, .ack = 1028, .data = text}));
  ASSERT_EQ(answer.size(), 1u) << rig.drop_list();
  const auto rest = rig.send(kBack, from_backend({.flags = kAck,
                                                  .seq = 7001 + static_cast<uint32_t>(text.size()),
                                                  .ack = 1028,
                                                  .data = pattern(40)}));
  ASSERT_EQ(rest.size(), 1u) << rig.drop_list();
  // In place, so with its header: the same without it has right checksums.
  Bytes plain = rest[0].frame;
  if (plain[20] == 44) {
    plain[20] = plain[54];
    plain.erase(plain.begin() + 54, plain.begin() + 62);
    put16(plain, 18, get16(plain, 18) - 8u);
  }
  const Seen seen = look(plain);
  EXPECT_TRUE(seen.sums_right);
  EXPECT_EQ(seen.data, pattern(40));
  EXPECT_EQ(seen.seq, isn + 1 + text.size());
}

}  // namespace
}  // namespace limpet::worker_test
