// Look-ups of the published configuration.
#include "limpet/dataplane/snapshot.h"

#include <gtest/gtest.h>

namespace limpet::dataplane {
namespace {

IpAddress ip(std::string_view text) {
  return IpAddress::parse(text).value();
}
Prefix net(std::string_view text) {
  return Prefix::parse(text).value();
}
IpAddress numbered(unsigned n) {
  IpAddress a = ip("fd00::");
  a.bytes[12] = static_cast<uint8_t>(n >> 16);
  a.bytes[14] = static_cast<uint8_t>(n >> 8);
  a.bytes[15] = static_cast<uint8_t>(n);
  return a;
}

TEST(Locals, one_address_may_be_several_things) {
  LocalTable t;
  EXPECT_EQ(t.find(ip("10.0.0.1")), nullptr);
  t.add(ip("10.0.0.1")).port = 3;
  t.add(ip("10.0.0.1")).source = 7;
  const Local* l = t.find(ip("10.0.0.1"));
  ASSERT_NE(l, nullptr);
  EXPECT_EQ(l->port, 3);
  EXPECT_EQ(l->source, 7);
  EXPECT_EQ(l->vip, kNoSlot);
  EXPECT_EQ(t.find(ip("10.0.0.2")), nullptr);
  EXPECT_EQ(t.find(ip("fd00::1")), nullptr);
}

TEST(Locals, thousands_of_addresses_are_all_found_after_growing) {
  LocalTable t;
  for (unsigned i = 0; i < 5000; ++i) t.add(numbered(i)).vip = static_cast<uint16_t>(i);
  for (unsigned i = 0; i < 5000; ++i) {
    const Local* l = t.find(numbered(i));
    ASSERT_NE(l, nullptr) << i;
    EXPECT_EQ(l->vip, i);
  }
  for (unsigned i = 5000; i < 6000; ++i) EXPECT_EQ(t.find(numbered(i)), nullptr);
}

TEST(Locals, services_are_told_apart_by_every_part_of_their_key) {
  LocalTable t;
  const be16 http = be16::from(80), echo = be16::from(7);
  t.add_service(0, 6, http, 1);
  t.add_service(0, 17, http, 2);
  t.add_service(0, 6, echo, 3);
  t.add_service(1, 6, http, 4);
  EXPECT_EQ(t.service(0, 6, http), 1);
  EXPECT_EQ(t.service(0, 17, http), 2);
  EXPECT_EQ(t.service(0, 6, echo), 3);
  EXPECT_EQ(t.service(1, 6, http), 4);
  EXPECT_EQ(t.service(1, 17, http), kNoSlot);
  EXPECT_EQ(t.service(2, 6, http), kNoSlot);
  t.add_service(0, 6, http, 9);
  EXPECT_EQ(t.service(0, 6, http), 9) << "the last word counts";
}

TEST(Locals, thousands_of_services_are_all_found_after_growing) {
  LocalTable t;
  for (uint16_t i = 0; i < kMaxServices; ++i)
    t.add_service(static_cast<uint16_t>(i / 8), i % 2 == 0 ? 6 : 17,
                  be16::from(static_cast<uint16_t>(80 + i % 8)), i);
  for (uint16_t i = 0; i < kMaxServices; ++i)
    EXPECT_EQ(t.service(static_cast<uint16_t>(i / 8), i % 2 == 0 ? 6 : 17,
                        be16::from(static_cast<uint16_t>(80 + i % 8))),
              i);
}

TEST(Routes, first_match_is_the_longest_and_on_link_means_the_address_itself) {
  Snapshot s;
  s.routes = {{net("10.1.0.0/24"), {}, 0},
              {net("10.0.0.0/8"), ip("10.1.0.2"), 0},
              {net("0.0.0.0/0"), ip("10.2.0.1"), 1},
              {net("fd00:1::/64"), {}, 1}};
  Hop hop = s.route(ip("10.1.0.77"));
  EXPECT_TRUE(hop.ok);
  EXPECT_EQ(hop.address, ip("10.1.0.77"));
  EXPECT_EQ(hop.port, 0);
  hop = s.route(ip("10.9.9.9"));
  EXPECT_EQ(hop.address, ip("10.1.0.2"));
  hop = s.route(ip("192.0.2.1"));
  EXPECT_EQ(hop.address, ip("10.2.0.1"));
  EXPECT_EQ(hop.port, 1);
  hop = s.route(ip("fd00:1::5"));
  EXPECT_EQ(hop.address, ip("fd00:1::5"));
  EXPECT_EQ(hop.port, 1);
  EXPECT_FALSE(s.route(ip("2001:db8::1")).ok);
}

TEST(OwnAddress, is_of_the_network_or_else_of_the_family) {
  Snapshot s;
  s.ports.resize(2);
  s.ports[0].addresses = {net("10.1.0.254/24"), net("10.3.0.254/24"), net("fd00:1::254/64")};
  s.ports[1].addresses = {net("10.2.0.254/24")};
  ASSERT_NE(s.own_address(0, ip("10.3.0.9")), nullptr);
  EXPECT_EQ(*s.own_address(0, ip("10.3.0.9")), ip("10.3.0.254"));
  EXPECT_EQ(*s.own_address(0, ip("192.0.2.9")), ip("10.1.0.254"));
  EXPECT_EQ(*s.own_address(0, ip("fe80::1")), ip("fd00:1::254"));
  EXPECT_EQ(s.own_address(1, ip("fd00:1::1")), nullptr);
}

}  // namespace
}  // namespace limpet::dataplane
