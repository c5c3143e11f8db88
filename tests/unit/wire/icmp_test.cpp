#include "limpet/wire/icmp.h"

#include <gtest/gtest.h>

#include "frames.h"

namespace limpet::wire {
namespace {

using test::Bytes;
using test::edited;
using test::hex;
using test::parse;
using test::repaired;
using test::slice;
IpAddress ip(const char* text) {
  return *IpAddress::parse(text);
}
constexpr Link kBack{{{0x02, 0, 0, 0, 0, 0x64}}, {{0x02, 0, 0, 0, 0, 0x01}}};

Bytes echo_answer(Bytes b) {
  const Frame f = parse(b);
  EXPECT_NE(f.kind, FrameKind::bad) << drop_name(f.drop);
  b.resize(answer_echo(b, f));
  return b;
}

TEST(Echo, is_answered) {
  EXPECT_EQ(echo_answer(test::kEcho4), hex("0200 0000 0001 0200 0000 0064 0800 "
                                           "4500 0024 1c46 4000 4001 0a2c 0a01 0064 0a01 0002 "
                                           "0000 5c35 1234 0001 6162 6364 6566 6768"));
  EXPECT_EQ(echo_answer(test::kEcho6),
            hex("0200 0000 0001 0200 0000 0064 86dd "
                "6000 0000 0010 3a40 fd00 0001 0000 0000 0000 0000 0000 0064 "
                "fd00 0001 0000 0000 0000 0000 0000 0002 "
                "8100 e080 1234 0001 6162 6364 6566 6768"));
}

TEST(Echo, answer_starts_with_a_fresh_hop_count) {
  EXPECT_EQ(parse(echo_answer(repaired(edited(test::kEcho4, {{22, {1}}})))).ttl, 64);
  EXPECT_EQ(parse(echo_answer(edited(test::kEcho6, {{21, {1}}}))).ttl, 64);
}

TEST(Echo, answer_keeps_type_of_service_identification_and_the_right_to_fragment) {
  const Bytes b =
      echo_answer(repaired(edited(test::kEcho4, {{15, {0xb8}}, {18, hex("beef 0000")}})));
  EXPECT_EQ(slice(b, 15, 22), hex("b8 0024 beef 0000"));
  EXPECT_EQ(parse(b).kind, FrameKind::icmp);
}

// All zeros but the type: the one case where the two zeros of ones' complement differ.
TEST(Echo, of_zeros_alone_has_the_right_checksum) {
  const Bytes b = echo_answer(repaired(edited(test::kEcho4, {{38, Bytes(12, 0)}})));
  EXPECT_EQ(slice(b, 34, 50), hex("0000 ffff") + Bytes(12, 0));
  EXPECT_EQ(parse(b).kind, FrameKind::icmp);
}

TEST(Echo, answer_has_no_padding_options_or_extension_headers) {
  EXPECT_EQ(echo_answer(test::kEcho4 + Bytes(10, 0xee)), echo_answer(test::kEcho4));
  Bytes options = slice(test::kEcho4, 0, 34) + hex("9404 0000") + slice(test::kEcho4, 34, 50);
  EXPECT_EQ(echo_answer(repaired(edited(options, {{14, {0x46}}, {16, {0, 40}}}))),
            echo_answer(test::kEcho4));
  Bytes extension =
      slice(test::kEcho6, 0, 54) + hex("3a00 0104 0000 0000") + slice(test::kEcho6, 54, 70);
  EXPECT_EQ(echo_answer(edited(extension, {{18, {0, 24}}, {20, {60}}})), echo_answer(test::kEcho6));
}

TEST(Echo, reply_of_someone_else_is_not_answered) {
  EXPECT_TRUE(echo_answer(echo_answer(test::kEcho4)).empty());
  EXPECT_TRUE(echo_answer(echo_answer(test::kEcho6)).empty());
  EXPECT_TRUE(echo_answer(test::kTcp4Data).empty());
}

TEST(Echo, sent_to_many_is_not_answered) {
  EXPECT_TRUE(echo_answer(repaired(edited(test::kEcho4, {{30, {224, 0, 0, 1}}}))).empty());
  EXPECT_TRUE(echo_answer(repaired(edited(test::kEcho4, {{30, hex("ffff ffff")}}))).empty());
  EXPECT_TRUE(echo_answer(edited(test::kEcho4, {{0, hex("ffff ffff ffff")}})).empty());
  EXPECT_TRUE(echo_answer(repaired(edited(test::kEcho6, {{38, hex("ff02")}}))).empty());
}

TEST(Echo, is_answered_right_for_every_length) {
  test::Random random(6);
  for (size_t length = 0; length < 100; ++length)
    for (const Bytes& base : {test::kEcho4, test::kEcho6}) {
      const bool v6 = base == test::kEcho6;
      Bytes b = slice(base, 0, base.size() - 8) + Bytes(length);
      for (size_t i = base.size() - 8; i < b.size(); ++i) b[i] = static_cast<uint8_t>(random());
      test::put16(b, v6 ? 18 : 16, static_cast<uint16_t>((v6 ? 8 : 28) + length));
      const Bytes answer = echo_answer(repaired(b));
      ASSERT_EQ(answer.size(), b.size());
      ASSERT_EQ(answer, repaired(answer));
      ASSERT_EQ(slice(answer, base.size() - 8, b.size()), slice(b, base.size() - 8, b.size()));
    }
}

Bytes error_about(const Bytes& b, const char* from, IcmpError error, uint32_t mtu = 0) {
  Bytes out(kMaxIcmpErrorFrame);
  const Frame f = parse(b);
  EXPECT_TRUE(may_answer_with_error(b, f));
  out.resize(build_icmp_error(out, kBack, ip(from), b, f, error, mtu));
  return out;
}

TEST(IcmpError, quotes_the_whole_of_a_short_packet) {
  EXPECT_EQ(error_about(test::kUdp4, "10.1.0.100", IcmpError::port_unreachable),
            hex("0200 0000 0001 0200 0000 0064 0800 "
                "45c0 003e 0000 4000 4001 2598 0a01 0064 0a01 0002 0303 1184 0000 0000 "
                "4500 0022 1c46 4000 4011 0a1e 0a01 0002 0a01 0064 "
                "14e9 2328 000e 740b 6c69 6d70 6574"));
}

TEST(IcmpError, says_over_ipv6_how_much_fits) {
  EXPECT_EQ(error_about(test::kUdp6, "fd00:1::64", IcmpError::packet_too_big, 1280),
            hex("0200 0000 0001 0200 0000 0064 86dd "
                "6000 0000 003f 3a40 fd00 0001 0000 0000 0000 0000 0000 0064 "
                "fd00 0001 0000 0000 0000 0000 0000 0002 0200 8ced 0000 0500 "
                "6000 0000 000f 1140 fd00 0001 0000 0000 0000 0000 0000 0002 "
                "fd00 0001 0000 0000 0000 0000 0000 0064 14e9 2328 000f 6d07 6c69 6d70 6574 21"));
}

TEST(IcmpError, leaves_ethernet_padding_out_of_the_quote) {
  EXPECT_EQ(error_about(test::kUdp4 + Bytes(12, 0xee), "10.1.0.100", IcmpError::port_unreachable),
            error_about(test::kUdp4, "10.1.0.100", IcmpError::port_unreachable));
}

TEST(IcmpError, has_type_and_code_of_its_family) {
  struct {
    IcmpError error;
    uint8_t type4, code4, type6, code6;
  } const cases[] = {
      {IcmpError::no_route, 3, 0, 1, 0},         {IcmpError::host_unreachable, 3, 1, 1, 3},
      {IcmpError::port_unreachable, 3, 3, 1, 4}, {IcmpError::prohibited, 3, 13, 1, 1},
      {IcmpError::packet_too_big, 3, 4, 2, 0},   {IcmpError::hop_limit_exceeded, 11, 0, 3, 0},
  };
  for (const auto& c : cases) {
    const Frame f4 = parse(error_about(test::kTcp4Data, "10.1.0.100", c.error, 1400));
    EXPECT_EQ(f4.kind, FrameKind::icmp) << drop_name(f4.drop);
    EXPECT_EQ(f4.icmp_type, c.type4);
    EXPECT_EQ(f4.icmp_code, c.code4);
    EXPECT_EQ(f4.destination, ip("10.1.0.2"));
    const Frame f6 = parse(error_about(test::kTcp6Data, "fd00:1::64", c.error, 1400));
    EXPECT_EQ(f6.kind, FrameKind::icmp6) << drop_name(f6.drop);
    EXPECT_EQ(f6.icmp_type, c.type6);
    EXPECT_EQ(f6.icmp_code, c.code6);
  }
}

TEST(IcmpError, carries_the_mtu_only_when_a_packet_was_too_big) {
  const auto rest = [](const Bytes& b, size_t l4) { return slice(b, l4 + 4, l4 + 8); };
  const auto too_big = IcmpError::packet_too_big;
  EXPECT_EQ(rest(error_about(test::kUdp4, "10.1.0.1", too_big, 1400), 34), hex("0000 0578"));
  EXPECT_EQ(rest(error_about(test::kUdp4, "10.1.0.1", too_big, 70000), 34), hex("0000 ffff"));
  EXPECT_EQ(rest(error_about(test::kUdp6, "fd00::1", too_big, 70000), 54), hex("0001 1170"));
  EXPECT_EQ(rest(error_about(test::kUdp4, "10.1.0.1", IcmpError::no_route, 1400), 34),
            hex("0000 0000"));
}

TEST(IcmpError, never_exceeds_576_or_1280_bytes) {
  test::Random random(7);
  for (const bool v6 : {false, true})
    for (const size_t data : {0, 500, 520, 521, 1190, 1200, 1400}) {
      const Bytes b = test::random_frame(random, v6, false, data);
      const Bytes e = error_about(b, v6 ? "fd00::1" : "10.0.0.1", IcmpError::port_unreachable);
      const size_t packet = b.size() - 14, limit = v6 ? 1280 : 576, header = v6 ? 48 : 28;
      EXPECT_EQ(e.size() - 14, std::min(limit, packet + header));
      EXPECT_EQ(slice(e, 14 + header, e.size()), slice(b, 14, e.size() - header));
      EXPECT_NE(parse(e).kind, FrameKind::bad);
      EXPECT_EQ(e, repaired(e));
    }
}

TEST(IcmpError, refuses_a_buffer_that_is_too_short) {
  Bytes out(75);
  EXPECT_EQ(build_icmp_error(out, kBack, ip("10.1.0.100"), test::kUdp4, parse(test::kUdp4),
                             IcmpError::port_unreachable),
            0u);
}

bool may(const Bytes& b) {
  const Frame f = parse(b);
  return may_answer_with_error(b, f);
}

TEST(MayAnswerWithError, to_ordinary_packets) {
  for (const Bytes& b : {test::kTcp4Data, test::kUdp4, test::kTcp6Data, test::kUdp6, test::kEcho4,
                         test::kEcho6, test::kAdvertisement})
    EXPECT_TRUE(may(b));
  EXPECT_TRUE(may(repaired(edited(test::kUdp4, {{23, {47}}}))));  // GRE
}

TEST(MayAnswerWithError, never_to_an_error) {
  EXPECT_FALSE(may(test::kFragmentationNeeded4));
  EXPECT_FALSE(may(test::kPortUnreachable6));
  for (const uint8_t type : {3, 4, 5, 11, 12})
    EXPECT_FALSE(may(repaired(edited(test::kEcho4, {{34, {type}}})))) << int{type};
  for (const uint8_t type : {1, 2, 3, 4, 100, 127, 137})
    EXPECT_FALSE(may(repaired(edited(test::kEcho6, {{54, {type}}})))) << int{type};
  EXPECT_TRUE(may(repaired(edited(test::kEcho4, {{34, {13}}}))));
  EXPECT_TRUE(may(repaired(edited(test::kEcho6, {{54, {200}}}))));
}

TEST(MayAnswerWithError, never_to_what_was_sent_to_many) {
  EXPECT_FALSE(may(repaired(edited(test::kUdp4, {{30, {239, 1, 1, 1}}}))));
  EXPECT_FALSE(may(repaired(edited(test::kUdp4, {{30, hex("ffff ffff")}}))));
  EXPECT_FALSE(may(edited(test::kUdp4, {{0, hex("ffff ffff ffff")}})));
  EXPECT_FALSE(may(edited(test::kUdp4, {{0, hex("0100 5e01 0101")}})));
  EXPECT_FALSE(may(repaired(edited(test::kUdp6, {{38, hex("ff0e")}}))));
}

TEST(MayAnswerWithError, never_to_nobody) {
  EXPECT_FALSE(may(edited(test::kDuplicateDetection, {{0, hex("0200 0000 0064")}})));
  // The same to a unicast address, so that only the source is to blame.
  EXPECT_FALSE(may(repaired(
      edited(test::kDuplicateDetection, {{0, hex("0200 0000 0064")}, {38, hex("fd00")}}))));
}

TEST(MayAnswerWithError, never_to_what_is_no_ip) {
  EXPECT_FALSE(may(edited(test::kArpRequest, {{0, hex("0200 0000 0064")}})));
  EXPECT_FALSE(may(edited(test::kUdp4, {{12, hex("88cc")}})));
  EXPECT_FALSE(may(edited(test::kUdp4, {{40, hex("1111")}})));
}

TEST(MayAnswerWithError, only_to_the_first_fragment) {
  const Bytes first4 =
      repaired(edited(slice(test::kUdp4, 0, 42), {{16, {0, 28}}, {20, hex("2000")}, {40, {0, 0}}}));
  ASSERT_EQ(parse(first4).kind, FrameKind::fragment);
  EXPECT_TRUE(may(first4));
  EXPECT_FALSE(may(repaired(edited(first4, {{20, hex("2001")}}))));
  EXPECT_FALSE(may(repaired(edited(first4, {{20, hex("0100")}}))));
  const Bytes first6 =
      edited(slice(test::kUdp6, 0, 54) + hex("1100 0001 0000 0001") + slice(test::kUdp6, 54, 62),
             {{18, {0, 16}}, {20, {44}}});
  ASSERT_EQ(parse(first6).kind, FrameKind::fragment);
  EXPECT_TRUE(may(first6));
  EXPECT_FALSE(may(edited(first6, {{56, hex("0009")}})));
  EXPECT_FALSE(may(edited(first6, {{56, hex("0100")}})));
}

TEST(MayAnswerWithError, never_to_a_fragment_of_an_error) {
  const Bytes echo = repaired(edited(test::kEcho4, {{20, hex("2000")}}));
  ASSERT_EQ(parse(echo).kind, FrameKind::fragment);
  EXPECT_TRUE(may(echo));
  EXPECT_FALSE(may(edited(echo, {{34, {3}}})));
  Bytes empty = edited(slice(echo, 0, 34), {{16, {0, 20}}, {24, {0, 0}}});
  test::put16(empty, 24, test::reference_checksum(slice(empty, 14, 34)));
  ASSERT_EQ(parse(empty).kind, FrameKind::fragment);
  EXPECT_FALSE(may(empty));
  const Bytes echo6 =
      edited(slice(test::kEcho6, 0, 54) + hex("3a00 0001 0000 0001") + slice(test::kEcho6, 54, 70),
             {{18, {0, 24}}, {20, {44}}});
  EXPECT_TRUE(may(echo6));
  EXPECT_FALSE(may(edited(echo6, {{62, {2}}})));
}

}  // namespace
}  // namespace limpet::wire
