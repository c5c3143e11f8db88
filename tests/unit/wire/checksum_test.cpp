#include "limpet/wire/checksum.h"

#include <gtest/gtest.h>

#include "frames.h"

namespace limpet::wire {
namespace {

using test::Bytes;
using test::hex;

uint16_t host(be16 v) {
  return v.host();
}

TEST(Sum, matches_the_example_of_rfc_1071) {
  const Bytes b = hex("0001 f203 f4f5 f6f7");
  EXPECT_EQ(byteswap(fold(sum_of(b))), 0xddf2);
  EXPECT_EQ(host(checksum(sum_of(b))), 0x220d);
}

TEST(Sum, of_nothing_is_zero_and_of_zeros_too) {
  EXPECT_EQ(fold(sum_of(Bytes{})), 0);
  EXPECT_EQ(fold(sum_of(Bytes(40, 0))), 0);
  EXPECT_EQ(host(checksum(Sum{})), 0xffff);
}

TEST(Sum, folds_every_carry) {
  EXPECT_EQ(fold(Sum{0xffff'ffff'ffff'ffff}), 0xffff);
  EXPECT_EQ(fold(Sum{0x0000'0001'ffff'ffff}), 1);
  EXPECT_EQ(fold(Sum{0x1'0000}), 1);
  EXPECT_EQ(fold(Sum{0xffff'0000'0000'0001}), 1);
  EXPECT_EQ(fold(Sum{0xffff'ffff'ffff'ffff} + Sum{2}), 2);
}

TEST(Sum, equals_the_plain_computation_for_every_length_and_alignment) {
  test::Random random(1);
  for (size_t length = 0; length < 200; ++length)
    for (size_t skew = 0; skew < 9; ++skew) {
      Bytes b(skew + length);
      for (uint8_t& byte : b) byte = static_cast<uint8_t>(random() % 3 == 0 ? 0xff : random());
      const Bytes tail = test::slice(b, skew, b.size());
      ASSERT_EQ(host(checksum(sum_of(b.data() + skew, length))), test::reference_checksum(tail))
          << length << " bytes, skew " << skew;
    }
  const Bytes ones(65535, 0xff);
  EXPECT_EQ(host(checksum(sum_of(ones))), test::reference_checksum(ones));
}

TEST(Sum, of_pieces_is_that_of_the_whole_when_pieces_are_even) {
  const Bytes b = hex("ffff fffe 1234 5678 9abc de");
  for (size_t cut = 0; cut < b.size(); cut += 2)
    EXPECT_EQ(fold(sum_of(b.data(), cut) + sum_of(b.data() + cut, b.size() - cut)),
              fold(sum_of(b)));
}

TEST(PseudoSum, agrees_between_addresses_and_header_bytes) {
  const IpAddress a4 = *IpAddress::parse("10.1.0.2"), b4 = *IpAddress::parse("10.1.0.100");
  EXPECT_EQ(fold(pseudo_sum(a4, b4, 6, 39)),
            fold(pseudo_sum_v4(test::kTcp4Data.data() + 26, 6, 39)));
  const IpAddress a6 = *IpAddress::parse("fd00:1::2"), b6 = *IpAddress::parse("fd00:1::64");
  EXPECT_EQ(fold(pseudo_sum(a6, b6, 6, 26)),
            fold(pseudo_sum_v6(test::kTcp6Data.data() + 22, 6, 26)));
}

TEST(PseudoSum, makes_a_segment_verify) {
  const Sum v4 = pseudo_sum_v4(test::kTcp4Data.data() + 26, 6, 39);
  EXPECT_TRUE(verifies(v4 + sum_of(test::kTcp4Data.data() + 34, 39)));
  EXPECT_FALSE(verifies(v4 + sum_of(test::kTcp4Data.data() + 34, 38)));
  const Sum v6 = pseudo_sum_v6(test::kTcp6Data.data() + 22, 6, 26);
  EXPECT_TRUE(verifies(v6 + sum_of(test::kTcp6Data.data() + 54, 26)));
}

// RFC 1624, section 4: a header with checksum 0xdd2f in which 0x5555 becomes 0x3285; the correct
// new checksum is 0x0000, which equation 2 of the same text misses.
TEST(ChecksumDelta, matches_the_example_of_rfc_1624) {
  ChecksumDelta d;
  d.replace(be16::from(0x5555), be16::from(0x3285));
  EXPECT_EQ(host(d.apply(be16::from(0xdd2f))), 0x0000);
}

TEST(ChecksumDelta, of_no_change_changes_nothing) {
  ChecksumDelta d;
  d.replace(be16::from(0xffff), be16::from(0xffff));
  d.replace(be32::from(0x12345678), be32::from(0x12345678));
  for (unsigned v = 0; v < 0xffff; ++v)
    ASSERT_EQ(host(d.apply(be16::from(static_cast<uint16_t>(v)))), v);
}

TEST(ChecksumDelta, leaves_udp_without_a_checksum_alone) {
  ChecksumDelta d;
  d.replace(be16::from(1), be16::from(2));
  EXPECT_EQ(host(d.apply_udp(be16::from(0))), 0);
}

TEST(ChecksumDelta, writes_a_computed_zero_of_udp_as_ones) {
  ChecksumDelta d;
  d.replace(be16::from(0x5555), be16::from(0x3285));
  EXPECT_EQ(host(d.apply_udp(be16::from(0xdd2f))), 0xffff);
}

TEST(ChecksumDelta, equals_full_computation_for_random_changes_of_every_width) {
  test::Random random(2);
  for (int round = 0; round < 20000; ++round) {
    Bytes b(64);
    for (uint8_t& byte : b) byte = static_cast<uint8_t>(random() % 4 == 0 ? 0xff : random());
    const be16 before = checksum(sum_of(b));
    ChecksumDelta d;
    const auto change = [&](auto value, size_t at) {
      d.replace(load<decltype(value)>(b.data() + at), value);
      store(b.data() + at, value);
    };
    change(be16{static_cast<uint16_t>(random())}, 2 * test::below(random, 8));
    change(be32{static_cast<uint32_t>(random())}, 16 + 2 * test::below(random, 8));
    IpAddress address;
    for (uint8_t& byte : address.bytes) byte = static_cast<uint8_t>(random());
    change(address, 48);
    ASSERT_EQ(host(d.apply(before)), test::reference_checksum(b)) << "round " << round;
  }
}

TEST(ChecksumDelta, adds_up) {
  ChecksumDelta a, b, both;
  a.replace(be16::from(1), be16::from(0x8000));
  b.replace(be32::from(0xfffffffe), be32::from(7));
  both.replace(be16::from(1), be16::from(0x8000));
  both.replace(be32::from(0xfffffffe), be32::from(7));
  EXPECT_EQ(host((a + b).apply(be16::from(0xbeef))), host(both.apply(be16::from(0xbeef))));
}

TEST(ChecksumDelta, of_mapped_addresses_is_that_of_their_ipv4_words) {
  const IpAddress from = *IpAddress::parse("10.1.0.2"), to = *IpAddress::parse("192.0.2.77");
  ChecksumDelta whole, words;
  whole.replace(from, to);
  words.replace(from.v4_word(), to.v4_word());
  EXPECT_EQ(host(whole.apply(be16::from(0x1234))), host(words.apply(be16::from(0x1234))));
}

}  // namespace
}  // namespace limpet::wire
