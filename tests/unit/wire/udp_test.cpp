#include "limpet/wire/udp.h"

#include <gtest/gtest.h>

#include "frames.h"

namespace limpet::wire {
namespace {

using test::Bytes;
std::string text(std::span<const uint8_t> data) {
  return {data.begin(), data.end()};
}

TEST(UdpData, ends_with_the_datagram_and_not_with_padding) {
  const Bytes b = test::kUdp4 + Bytes(12, 0);
  EXPECT_EQ(text(udp_data(b, test::parse(b))), "limpet");
  EXPECT_EQ(text(udp_data(test::kUdp6, test::parse(test::kUdp6))), "limpet!");
}

TEST(UdpData, ends_with_the_udp_length_when_the_packet_has_more) {
  const Bytes b = test::repaired(test::edited(test::kUdp4, {{38, {0, 11}}}));
  EXPECT_EQ(text(udp_data(b, test::parse(b))), "lim");
}

TEST(UdpData, may_be_empty) {
  const Bytes b = test::repaired(test::edited(test::kUdp4, {{38, {0, 8}}}));
  EXPECT_TRUE(udp_data(b, test::parse(b)).empty());
}

TEST(UdpChecksumField, tells_whether_there_is_one) {
  EXPECT_TRUE(udp_has_checksum(test::kUdp4, test::parse(test::kUdp4)));
  const Bytes none = test::edited(test::kUdp4, {{40, {0, 0}}});
  EXPECT_FALSE(udp_has_checksum(none, test::parse(none)));
}

}  // namespace
}  // namespace limpet::wire
