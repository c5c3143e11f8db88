#include "limpet/wire/arp.h"

#include <gtest/gtest.h>

#include "frames.h"

namespace limpet::wire {
namespace {

using test::Bytes;
using test::hex;

constexpr MacAddress kOurs{{0x02, 0, 0, 0, 0, 0x64}};
constexpr MacAddress kTheirs{{0x02, 0, 0, 0, 0, 0x01}};
IpAddress ip(const char* text) {
  return *IpAddress::parse(text);
}

TEST(Arp, reads_a_request) {
  const Arp a = read_arp(test::kArpRequest, test::parse(test::kArpRequest));
  EXPECT_TRUE(a.request);
  EXPECT_EQ(a.sender_mac, kTheirs);
  EXPECT_EQ(a.sender, ip("10.1.0.2"));
  EXPECT_EQ(a.target_mac, MacAddress{});
  EXPECT_EQ(a.target, ip("10.1.0.100"));
}

TEST(Arp, asks_for_a_neighbor) {
  Bytes out(kArpFrame);
  EXPECT_EQ(build_arp_request(out, kTheirs, ip("10.1.0.2"), ip("10.1.0.100")), 42u);
  EXPECT_EQ(out, test::kArpRequest);
}

TEST(Arp, asks_a_known_neighbor_alone) {
  Bytes out(kArpFrame);
  EXPECT_EQ(build_arp_request(out, kTheirs, ip("10.1.0.2"), ip("10.1.0.100"), kOurs), 42u);
  EXPECT_EQ(out, test::edited(test::kArpRequest, {{0, hex("0200 0000 0064")}}));
}

TEST(Arp, answers) {
  Bytes out(kArpFrame);
  EXPECT_EQ(build_arp_reply(out, kOurs, ip("10.1.0.100"), kTheirs, ip("10.1.0.2")), 42u);
  EXPECT_EQ(out, hex("0200 0000 0001 0200 0000 0064 0806 0001 0800 0604 0002 "
                     "0200 0000 0064 0a01 0064 0200 0000 0001 0a01 0002"));
  const Arp a = read_arp(out, test::parse(out));
  EXPECT_FALSE(a.request);
  EXPECT_EQ(a.sender_mac, kOurs);
  EXPECT_EQ(a.target_mac, kTheirs);
}

TEST(Arp, announces) {
  Bytes out(kArpFrame);
  EXPECT_EQ(build_arp_announcement(out, kOurs, ip("10.1.0.100")), 42u);
  EXPECT_EQ(out, hex("ffff ffff ffff 0200 0000 0064 0806 0001 0800 0604 0001 "
                     "0200 0000 0064 0a01 0064 0000 0000 0000 0a01 0064"));
}

TEST(Arp, refuses_a_buffer_that_is_too_short) {
  Bytes out(kArpFrame - 1);
  EXPECT_EQ(build_arp_announcement(out, kOurs, ip("10.1.0.100")), 0u);
}

}  // namespace
}  // namespace limpet::wire
