#include "limpet/affinity/source.h"

#include <gtest/gtest.h>

#include <vector>

namespace limpet::affinity {
namespace {

IpAddress ip(const char* text) {
  return IpAddress::parse(text).value();
}

const SourceKey kHost{32, 64, seed_of("web")};
const SourceKey kNet24{24, 64, seed_of("web")};

// To change one of these is to move every client of every user, and to part nodes of different
// builds.
TEST(Source, golden_hashes_do_not_change) {
  EXPECT_EQ(seed_of(""), 0xd9b7a2d50e1010b1u);
  EXPECT_EQ(seed_of("web"), 0x53cb7143d251cfd4u);
  EXPECT_EQ(hash_source(kHost, ip("10.1.0.1")), 0xf9aecb3117847212u);
  EXPECT_EQ(hash_source(kNet24, ip("10.1.0.1")), 0x0ff2fe4a5473419du);
  EXPECT_EQ(hash_source(kHost, ip("2001:db8::1")), 0x8de673a8ff76c547u);
  EXPECT_EQ(hash_connection(seed_of("web"), ip("10.1.0.1"), 40000), 0xb12380db0f0b07d1u);
  EXPECT_EQ(hash_connection(seed_of("web"), ip("2001:db8::1"), 40000), 0x473df451df8e8744u);
}

TEST(Source, clients_of_one_prefix_share_a_hash) {
  EXPECT_EQ(hash_source(kNet24, ip("192.0.2.1")), hash_source(kNet24, ip("192.0.2.254")));
  EXPECT_NE(hash_source(kNet24, ip("192.0.2.1")), hash_source(kNet24, ip("192.0.3.1")));
  EXPECT_NE(hash_source(kHost, ip("192.0.2.1")), hash_source(kHost, ip("192.0.2.2")));
  EXPECT_EQ(hash_source(kHost, ip("2001:db8:0:1::1")),
            hash_source(kHost, ip("2001:db8:0:1:ffff:ffff:ffff:ffff")));
  EXPECT_NE(hash_source(kHost, ip("2001:db8:0:1::1")), hash_source(kHost, ip("2001:db8:0:2::1")));
}

TEST(Source, prefix4_does_not_touch_v6_nor_prefix6_v4) {
  const SourceKey other4{8, 64, kHost.seed}, other6{32, 48, kHost.seed};
  EXPECT_EQ(hash_source(kHost, ip("2001:db8::1")), hash_source(other4, ip("2001:db8::1")));
  EXPECT_NE(hash_source(kHost, ip("10.1.0.1")), hash_source(other4, ip("10.1.0.1")));
  EXPECT_EQ(hash_source(kHost, ip("10.1.0.1")), hash_source(other6, ip("10.1.0.1")));
  EXPECT_EQ(hash_source(other6, ip("2001:db8:0:1::1")), hash_source(other6, ip("2001:db8:0:2::1")));
}

TEST(Source, families_differ_however_wide_the_prefix) {
  const SourceKey wide{1, 1, kHost.seed};
  EXPECT_EQ(hash_source(wide, ip("10.1.0.1")), hash_source(wide, ip("127.255.255.255")));
  EXPECT_EQ(hash_source(wide, ip("::1")), hash_source(wide, ip("7fff::1")));
  EXPECT_NE(hash_source(wide, ip("10.1.0.1")), hash_source(wide, ip("::1")));
}

TEST(Source, pools_choose_independently) {
  const SourceKey other{32, 64, seed_of("api")};
  EXPECT_NE(hash_source(kHost, ip("10.1.0.1")), hash_source(other, ip("10.1.0.1")));
}

TEST(Source, connection_depends_on_address_port_and_pool) {
  const uint64_t seed = seed_of("web");
  const uint64_t h = hash_connection(seed, ip("10.1.0.1"), 40000);
  EXPECT_EQ(h, hash_connection(seed, ip("10.1.0.1"), 40000));
  EXPECT_NE(h, hash_connection(seed, ip("10.1.0.1"), 40001));
  EXPECT_NE(h, hash_connection(seed, ip("10.1.0.2"), 40000));
  EXPECT_NE(h, hash_connection(seed_of("api"), ip("10.1.0.1"), 40000));
}

// Chi-square over 100 cells of the high half, which is what chooses the table slot. 99 degrees of
// freedom: 148.2 is exceeded by one good hash in a thousand; the hash is fixed, so this never
// flickers.
double chi_square(const std::vector<uint32_t>& cells, double expected) {
  double x = 0;
  for (const uint32_t c : cells) x += (c - expected) * (c - expected) / expected;
  return x;
}

TEST(Source, a_hundred_thousand_neighbours_spread_evenly) {
  constexpr uint32_t kClients = 100000;
  std::vector<uint32_t> v4(100), v6(100), connections(100);
  for (uint32_t i = 0; i < kClients; ++i) {
    const auto byte = [&](unsigned shift) { return static_cast<uint8_t>(i >> shift); };
    const IpAddress a = IpAddress::v4(10, byte(16), byte(8), byte(0));
    IpAddress b = ip("2001:db8::");
    b.bytes[5] = byte(16), b.bytes[6] = byte(8), b.bytes[7] = byte(0);
    const auto cell = [](uint64_t hash) { return ((hash >> 32) * 100) >> 32; };
    ++v4[cell(hash_source(kHost, a))];
    ++v6[cell(hash_source(kHost, b))];
    // 256 clients with 390 ports each
    ++connections[cell(hash_connection(kHost.seed, IpAddress::v4(10, 1, 0, byte(0)),
                                       static_cast<uint16_t>(1024 + (i >> 8))))];
  }
  EXPECT_LT(chi_square(v4, kClients / 100.0), 148.2);
  EXPECT_LT(chi_square(v6, kClients / 100.0), 148.2);
  EXPECT_LT(chi_square(connections, kClients / 100.0), 148.2);
}

}  // namespace
}  // namespace limpet::affinity
