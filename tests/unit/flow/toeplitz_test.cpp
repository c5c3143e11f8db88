#include "limpet/flow/toeplitz.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <vector>

namespace limpet::flow {
namespace {

struct Vector {
  const char* destination;
  const char* source;
  uint16_t destination_port;
  uint16_t source_port;
  uint32_t addresses;  // hash of the addresses alone
  uint32_t with_ports;
};

// "Verifying the RSS hash calculation", Microsoft's NDIS documentation.
constexpr Vector kVectors[] = {
    {"161.142.100.80", "66.9.149.187", 1766, 2794, 0x323e8fc2, 0x51ccc178},
    {"65.69.140.83", "199.92.111.2", 4739, 14230, 0xd718262a, 0xc626b0ea},
    {"12.22.207.184", "24.19.198.95", 38024, 12898, 0xd2d0a5de, 0x5c2b394a},
    {"209.142.163.6", "38.27.205.30", 2217, 48228, 0x82989176, 0xafc7327f},
    {"202.188.127.2", "153.39.163.191", 1303, 44251, 0x5d1809c5, 0x10e828a2},
    {"3ffe:2501:200:3::1", "3ffe:2501:200:1fff::7", 1766, 2794, 0x2cc18cd5, 0x40207d3d},
    {"ff02::1", "3ffe:501:8::260:97ff:fe40:efab", 4739, 14230, 0x0f0c461c, 0xdde51bbf},
    {"fe80::200:f8ff:fe21:67cf", "3ffe:1900:4545:3:200:f8ff:fe21:67cf", 38024, 44251, 0x4b61e985,
     0x02d1feef},
};

IpAddress at(const char* text) {
  return *IpAddress::parse(text);
}

TEST(Toeplitz, matches_the_published_vectors) {
  const Toeplitz toeplitz(kDefaultRssKey);
  for (const Vector& v : kVectors) {
    EXPECT_EQ(toeplitz.hash(at(v.source), at(v.destination)), v.addresses) << v.destination;
    EXPECT_EQ(toeplitz.hash(at(v.source), at(v.destination), be16::from(v.source_port),
                            be16::from(v.destination_port)),
              v.with_ports)
        << v.destination;
  }
}

// The definition, bit by bit: each set input bit contributes the 32 key bits that start at its
// place.
uint32_t by_definition(const RssKey& key, const std::vector<uint8_t>& input) {
  const auto key_bit = [&key](size_t i) { return (key[i / 8] >> (7 - i % 8) & 1) != 0; };
  uint32_t h = 0;
  for (size_t bit = 0; bit < input.size() * 8; ++bit) {
    if ((input[bit / 8] >> (7 - bit % 8) & 1) == 0) continue;
    uint32_t window = 0;
    for (size_t i = 0; i < 32; ++i) window = window << 1 | (key_bit(bit + i) ? 1u : 0u);
    h ^= window;
  }
  return h;
}

TEST(Toeplitz, matches_its_definition_for_random_keys_and_tuples) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 50; ++round) {
    RssKey key;
    for (uint8_t& b : key) b = static_cast<uint8_t>(random());
    const Toeplitz toeplitz(key);
    std::vector<uint8_t> in6(36);
    for (uint8_t& b : in6) b = static_cast<uint8_t>(random());
    EXPECT_EQ(toeplitz.hash(IpAddress::v6(in6.data()), IpAddress::v6(in6.data() + 16),
                            load<be16>(in6.data() + 32), load<be16>(in6.data() + 34)),
              by_definition(key, in6));
    const std::vector<uint8_t> in4(in6.begin(), in6.begin() + 12);
    EXPECT_EQ(toeplitz.hash(IpAddress::v4(in4.data()), IpAddress::v4(in4.data() + 4),
                            load<be16>(in4.data() + 8), load<be16>(in4.data() + 10)),
              by_definition(key, in4));
  }
}

TEST(Toeplitz, the_destination_port_enters_as_a_term_of_its_own) {
  const Toeplitz toeplitz(kDefaultRssKey);
  for (const Vector& v : kVectors) {
    const IpAddress source = at(v.source);
    const IpAddress destination = at(v.destination);
    const be16 source_port = be16::from(v.source_port);
    const uint32_t without = toeplitz.hash(source, destination, source_port, be16{});
    for (uint32_t p = 0; p < 65536; ++p) {
      const be16 port = be16::from(static_cast<uint16_t>(p));
      ASSERT_EQ(toeplitz.hash(source, destination, source_port, port),
                without ^ toeplitz.port_term(source.family(), port));
    }
  }
}

TEST(Toeplitz, the_default_key_reaches_every_entry_of_any_table) {
  const Toeplitz toeplitz(kDefaultRssKey);
  for (const Family family : {Family::v4, Family::v6}) {
    for (unsigned bits = 0; bits <= 9; ++bits) EXPECT_EQ(toeplitz.port_rank(family, bits), bits);
    EXPECT_EQ(toeplitz.port_rank(family, 32), 16u) << "sixteen port bits, no more";
  }
}

TEST(Toeplitz, a_degenerate_key_shows_in_the_rank) {
  RssKey zero{};
  EXPECT_EQ(Toeplitz(zero).port_rank(Family::v4, 7), 0u);
  EXPECT_EQ(Toeplitz(zero).port_rank(Family::v6, 7), 0u);
  RssKey ones;
  ones.fill(0xff);
  EXPECT_EQ(Toeplitz(ones).port_rank(Family::v4, 7), 1u);
  RssKey two_bytes;  // as in the symmetric key 6d5a 6d5a ...: period 16, yet full rank in 7 bits
  for (size_t i = 0; i < two_bytes.size(); ++i) two_bytes[i] = i % 2 == 0 ? 0x6d : 0x5a;
  EXPECT_EQ(Toeplitz(two_bytes).port_rank(Family::v4, 7), 7u);
  RssKey alternating;  // period 2: two different windows
  alternating.fill(0x55);
  EXPECT_EQ(Toeplitz(alternating).port_rank(Family::v4, 7), 2u);
}

TEST(Toeplitz, a_key_may_share_few_ports_badly_and_says_so) {
  std::mt19937_64 random(5);
  unsigned good = 0;
  for (int i = 0; i < 400; ++i) {
    RssKey key;
    for (uint8_t& byte : key) byte = static_cast<uint8_t>(random());
    const Toeplitz t(key);
    bool all = true;  // by looking at the ports themselves
    for (unsigned bits = 1; bits <= Toeplitz::kSharedBits; ++bits) {
      std::set<uint32_t> seen;
      for (unsigned port = 0; port < 2u << bits; ++port)
        seen.insert(t.port_term(Family::v4, be16::from(static_cast<uint16_t>(port))) &
                    ((1u << bits) - 1));
      all = all && seen.size() == 1u << bits;
    }
    EXPECT_EQ(t.shares_ports(Family::v4), all);
    good += all ? 1 : 0;
  }
  EXPECT_GT(good, 50u);
  EXPECT_LT(good, 200u) << "one in four does";
}

TEST(Toeplitz, the_rank_tells_how_many_entries_the_ports_reach) {
  std::mt19937_64 random(2);
  for (int round = 0; round < 20; ++round) {
    RssKey key{};
    key[10 + random() % 5] = static_cast<uint8_t>(random());  // sparse: often not full rank
    key[10 + random() % 5] = static_cast<uint8_t>(random());
    const Toeplitz toeplitz(key);
    std::vector<bool> reached(128);
    for (uint32_t p = 0; p < 65536; ++p) {
      reached[toeplitz.port_term(Family::v4, be16::from(static_cast<uint16_t>(p))) & 127] = true;
    }
    EXPECT_EQ(std::count(reached.begin(), reached.end(), true),
              1 << toeplitz.port_rank(Family::v4, 7));
  }
}

TEST(Reta, deals_its_entries_out_to_the_workers_in_turn) {
  const Reta reta{128, 3};
  unsigned owned[3] = {};
  for (uint32_t h = 0; h < 128; ++h) {
    EXPECT_EQ(reta.owner(h), h % 3);
    EXPECT_EQ(reta.owner(h + 128 * 7), reta.owner(h)) << "only the low bits choose the entry";
    ++owned[reta.owner(h)];
  }
  EXPECT_EQ(owned[0], 43u);
  EXPECT_EQ(owned[2], 42u);
}

}  // namespace
}  // namespace limpet::flow
