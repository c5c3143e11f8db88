#include "limpet/base/address.h"

#include <gtest/gtest.h>

namespace limpet {
namespace {

TEST(IpAddress, parses_and_prints_both_families) {
  for (const char* text : {"10.1.0.100", "0.0.0.0", "255.255.255.255", "fd00:1::64", "::", "::1",
                           "2001:db8::8:800:200c:417a"})
    EXPECT_EQ(IpAddress::parse(text).value().to_string(), text);
  EXPECT_TRUE(IpAddress::parse("10.1.0.100")->is_v4());
  EXPECT_FALSE(IpAddress::parse("::")->is_v4());
  EXPECT_FALSE(IpAddress::parse("::1.2.3.4")->is_v4());
}

TEST(IpAddress, refuses_what_is_no_address) {
  for (const char* text :
       {"", "10.1.0", "10.1.0.256", "10.1.0.1 ", " 10.1.0.1", "fd00::1::2", "::ffff:10.0.0.1",
        "web", "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000"})
    EXPECT_FALSE(IpAddress::parse(text)) << text;
  EXPECT_FALSE(IpAddress::parse(std::string_view("10.1.0.1\0x", 10)));
}

TEST(IpAddress, classifies) {
  EXPECT_TRUE(IpAddress::parse("224.0.0.1")->is_multicast());
  EXPECT_FALSE(IpAddress::parse("223.255.255.255")->is_multicast());
  EXPECT_TRUE(IpAddress::parse("ff02::1")->is_multicast());
  EXPECT_TRUE(IpAddress::parse("127.1.2.3")->is_loopback());
  EXPECT_TRUE(IpAddress::parse("::1")->is_loopback());
  EXPECT_FALSE(IpAddress::parse("::2")->is_loopback());
  EXPECT_TRUE(IpAddress::parse("0.0.0.0")->is_unspecified());
  EXPECT_TRUE(IpAddress::parse("::")->is_unspecified());
  EXPECT_TRUE(IpAddress::parse("fe80::1")->is_link_local());
  EXPECT_FALSE(IpAddress::parse("fec0::1")->is_link_local());
}

TEST(Prefix, contains_its_own_family_only) {
  const Prefix p = *Prefix::parse("10.1.0.254/23");
  EXPECT_TRUE(p.contains(*IpAddress::parse("10.1.1.255")));
  EXPECT_FALSE(p.contains(*IpAddress::parse("10.1.2.0")));
  EXPECT_FALSE(p.contains(*IpAddress::parse("::1")));
  EXPECT_EQ(p.network().to_string(), "10.1.0.0");
  const Prefix all4 = *Prefix::parse("0.0.0.0/0");
  EXPECT_TRUE(all4.contains(*IpAddress::parse("1.2.3.4")));
  EXPECT_FALSE(all4.contains(*IpAddress::parse("fd00::1")));
  EXPECT_TRUE(Prefix::parse("::/0")->contains(*IpAddress::parse("fd00::1")));
  EXPECT_FALSE(Prefix::parse("::/0")->contains(*IpAddress::parse("1.2.3.4")));
  EXPECT_TRUE(Prefix::parse("fd00:1::/65")->contains(*IpAddress::parse("fd00:1::7fff:0:0:1")));
  EXPECT_FALSE(Prefix::parse("fd00:1::/65")->contains(*IpAddress::parse("fd00:1::8000:0:0:1")));
}

TEST(Prefix, refuses_lengths_out_of_range) {
  for (const char* text :
       {"10.0.0.0/33", "fd00::/129", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8x", "10.0.0.0/256"})
    EXPECT_FALSE(Prefix::parse(text)) << text;
}

TEST(MacAddress, prints) {
  constexpr MacAddress kMac{{0x02, 0x00, 0x5e, 0x10, 0x00, 0xff}};
  EXPECT_EQ(kMac.to_string(), "02:00:5e:10:00:ff");
  EXPECT_TRUE(kBroadcastMac.is_group());
}

}  // namespace
}  // namespace limpet
