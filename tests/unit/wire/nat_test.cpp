#include "limpet/wire/nat.h"

#include <gtest/gtest.h>

#include "frames.h"
#include "limpet/wire/checksum.h"

namespace limpet::wire {
namespace {

using test::Bytes;

TEST(Rewrite, turns_client_to_vip_into_source_to_backend) {
  Bytes b = test::kTcp4Data;
  rewrite(b, test::parse(b), *IpAddress::parse("10.2.0.254"), be16::from(1024),
          *IpAddress::parse("10.2.0.10"), be16::from(8080));
  EXPECT_EQ(b, test::hex("0200 0000 0064 0200 0000 0001 0800 "
                         "4500 003b 1c46 4000 3f06 0a6c 0a02 00fe 0a02 000a "
                         "0400 1f90 0102 0305 a0b0 c0d0 5018 01f6 2fff 0000 "
                         "4745 5420 2f20 4854 5450 2f31 2e31 0d0a 0d0a 01"));
}

TEST(Rewrite, does_the_same_over_ipv6) {
  Bytes b = test::kUdp6;
  rewrite(b, test::parse(b), *IpAddress::parse("fd00:2::fe"), be16::from(1024),
          *IpAddress::parse("fd00:2::10"), be16::from(7));
  EXPECT_EQ(b, test::hex("0200 0000 0064 0200 0000 0001 86dd "
                         "6000 0000 000f 113f fd00 0002 0000 0000 0000 0000 0000 00fe "
                         "fd00 0002 0000 0000 0000 0000 0000 0010 "
                         "0400 0007 000f a067 6c69 6d70 6574 21"));
}

TEST(Rewrite, leaves_udp_without_a_checksum_so) {
  Bytes b = test::repaired(test::edited(test::kUdp4, {{40, {0, 0}}}));
  rewrite(b, test::parse(b), *IpAddress::parse("10.2.0.254"), be16::from(1024),
          *IpAddress::parse("10.2.0.10"), be16::from(7));
  EXPECT_EQ(test::get16(b, 40), 0);
  EXPECT_EQ(test::parse(b).kind, FrameKind::udp);
}

TEST(Rewrite, keeps_wrong_checksums_wrong) {
  for (const Bytes& good : {test::kTcp4Data, test::kUdp4, test::kTcp6Data, test::kUdp6}) {
    Bytes b = good;
    b.back() ^= 0x10;
    const Frame f = parse_frame(b, {.ip_checksum = true, .l4_checksum = true});
    rewrite(b, f, f.destination, be16::from(9), f.source, be16::from(10));
    const Drop d = test::parse(b).drop;
    EXPECT_TRUE(d == Drop::tcp_checksum_bad || d == Drop::udp_checksum_bad) << drop_name(d);
  }
}

TEST(Rewrite, keeps_a_wrong_ip_checksum_wrong) {
  Bytes b = test::kTcp4Data;
  b[18] ^= 1;
  const Frame f = parse_frame(b, {.ip_checksum = true, .l4_checksum = true});
  rewrite(b, f, f.destination, be16::from(9), f.source, be16::from(10));
  EXPECT_EQ(test::parse(b).drop, Drop::ip_checksum_bad);
}

TEST(Rewrite, passes_over_options_and_extension_headers) {
  Bytes options = test::slice(test::kUdp4, 0, 34) + test::hex("9404 0000") +
                  test::slice(test::kUdp4, 34, test::kUdp4.size());
  options = test::repaired(test::edited(options, {{14, {0x46}}, {16, {0, 38}}}));
  Bytes extension = test::slice(test::kUdp6, 0, 54) + test::hex("1100 0104 0000 0000") +
                    test::slice(test::kUdp6, 54, test::kUdp6.size());
  extension = test::edited(extension, {{18, {0, 23}}, {20, {60}}});
  for (Bytes b : {options, extension}) {
    const Frame f = test::parse(b);
    ASSERT_EQ(f.kind, FrameKind::udp) << drop_name(f.drop);
    rewrite(b, f, f.destination, be16::from(9), f.source, be16::from(10));
    const Frame g = test::parse(b);
    ASSERT_EQ(g.kind, FrameKind::udp) << drop_name(g.drop);
    EXPECT_EQ(g.source, f.destination);
    EXPECT_EQ(g.destination_port, be16::from(10));
  }
}

TEST(Rewrite, equals_full_computation_and_parses_for_random_frames) {
  test::Random random(3);
  for (int round = 0; round < 40000; ++round) {
    const bool v6 = random() % 2, tcp = random() % 2;
    Bytes b = test::random_frame(random, v6, tcp, test::below(random, round % 50 == 0 ? 1400 : 40));
    const Frame before = test::parse(b);
    ASSERT_EQ(before.drop, Drop::none) << drop_name(before.drop);
    const IpAddress source = test::random_address(random, v6);
    const IpAddress destination = test::random_address(random, v6);
    const be16 sport = test::random_port(random), dport = test::random_port(random);
    rewrite(b, before, source, sport, destination, dport);
    ASSERT_EQ(b, test::repaired(b)) << "round " << round;
    const Frame after = test::parse(b);
    ASSERT_EQ(after.drop, Drop::none) << drop_name(after.drop);
    ASSERT_EQ(after.kind, before.kind);
    ASSERT_EQ(after.source, source);
    ASSERT_EQ(after.destination, destination);
    ASSERT_EQ(after.source_port, sport);
    ASSERT_EQ(after.destination_port, dport);
    ASSERT_EQ(after.ttl, before.ttl - 1);
  }
}

}  // namespace
}  // namespace limpet::wire
