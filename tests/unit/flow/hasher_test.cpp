#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "limpet/base/hash.h"
#include "limpet/flow/table.h"

namespace limpet::flow {
namespace {

std::array<uint64_t, 8> secret(uint64_t seed) {
  std::array<uint64_t, 8> k;
  for (size_t i = 0; i < k.size(); ++i) k[i] = mix64(seed * 100 + i + 1);
  return k;
}

IpAddress client4(uint32_t n) {
  return IpAddress::v4(10, static_cast<uint8_t>(n >> 16), static_cast<uint8_t>(n >> 8),
                       static_cast<uint8_t>(n));
}

// Sum of (observed - expected)^2 / expected over the cells.
double chi_square(const std::vector<unsigned>& cells) {
  const double expected = static_cast<double>(std::accumulate(cells.begin(), cells.end(), 0u)) /
                          static_cast<double>(cells.size());
  double sum = 0;
  for (const unsigned c : cells) sum += (c - expected) * (c - expected) / expected;
  return sum;
}

// 1024 cells: mean 1023, standard deviation 45; 1300 is six of them away.
constexpr double kTooUneven = 1300;
constexpr unsigned kKeys = 1u << 17;

TEST(KeyHasher, neighbouring_clients_spread_evenly_over_buckets_and_tags) {
  const KeyHasher hash(secret(1));
  std::vector<unsigned> by_high(1024);
  std::vector<unsigned> by_low(1024);
  for (uint32_t n = 0; n < kKeys; ++n) {
    const uint64_t h = hash(ForwardKey{client4(n), be16::from(40000), 3});
    ++by_high[h >> 54];
    ++by_low[h & 1023];
  }
  EXPECT_LT(chi_square(by_high), kTooUneven);
  EXPECT_LT(chi_square(by_low), kTooUneven);
}

TEST(KeyHasher, ports_of_one_client_spread_evenly) {
  const KeyHasher hash(secret(2));
  std::vector<unsigned> forward(1024);
  std::vector<unsigned> reverse(1024);
  for (uint32_t n = 0; n < 65536; ++n) {
    const be16 port = be16::from(static_cast<uint16_t>(n));
    ++forward[hash(ForwardKey{client4(1), port, 0}) >> 54];
    ++reverse[hash(ReverseKey{client4(2), be16::from(80), 0, port, 6}) >> 54];
  }
  EXPECT_LT(chi_square(forward), kTooUneven);
  EXPECT_LT(chi_square(reverse), kTooUneven);
}

TEST(KeyHasher, addresses_of_one_ipv6_network_spread_evenly) {
  const KeyHasher hash(secret(3));
  std::vector<unsigned> cells(1024);
  IpAddress a = *IpAddress::parse("2001:db8::");
  for (uint32_t n = 0; n < kKeys; ++n) {
    store(a.bytes.data() + 12, be32::from(n));
    ++cells[hash(ForwardKey{a, be16::from(40000), 0}) >> 54];
  }
  EXPECT_LT(chi_square(cells), kTooUneven);
}

TEST(KeyHasher, each_field_of_either_key_changes_the_hash) {
  const KeyHasher hash(secret(4));
  const auto port = [](uint16_t p) { return be16::from(p); };
  std::set<uint64_t> seen;
  unsigned keys = 0;
  const auto add = [&](uint64_t h) {
    seen.insert(h);
    ++keys;
  };
  add(hash(ForwardKey{client4(1), port(1), 1}));
  add(hash(ForwardKey{client4(2), port(1), 1}));
  add(hash(ForwardKey{client4(1), port(2), 1}));
  add(hash(ForwardKey{client4(1), port(1), 2}));
  add(hash(ReverseKey{client4(1), port(1), 1, port(1), 6}));
  add(hash(ReverseKey{client4(2), port(1), 1, port(1), 6}));
  add(hash(ReverseKey{client4(1), port(2), 1, port(1), 6}));
  add(hash(ReverseKey{client4(1), port(1), 2, port(1), 6}));
  add(hash(ReverseKey{client4(1), port(1), 1, port(2), 6}));
  add(hash(ReverseKey{client4(1), port(1), 1, port(1), 17}));
  add(hash(ReverseKey{client4(1), port(1), 1, port(0), 0}));  // the bytes of the first forward key
  for (int byte = 0; byte < 16; ++byte) {
    IpAddress a = *IpAddress::parse("2001:db8::1");
    a.bytes[static_cast<size_t>(byte)] ^= 0x10;
    add(hash(ForwardKey{a, port(1), 1}));
  }
  EXPECT_EQ(seen.size(), keys);
}

TEST(KeyHasher, another_secret_gives_another_order) {
  const KeyHasher one(secret(5));
  const KeyHasher other(secret(6));
  std::vector<uint32_t> order(1000);
  std::iota(order.begin(), order.end(), 0u);
  const auto sorted_by = [&order](const KeyHasher& hash) {
    std::vector<uint32_t> v = order;
    std::sort(v.begin(), v.end(), [&hash](uint32_t a, uint32_t b) {
      return hash(ForwardKey{client4(a), be16::from(1), 0}) <
             hash(ForwardKey{client4(b), be16::from(1), 0});
    });
    return v;
  };
  const auto a = sorted_by(one);
  const auto b = sorted_by(other);
  unsigned same_place = 0;
  for (size_t i = 0; i < a.size(); ++i) same_place += a[i] == b[i] ? 1 : 0;
  EXPECT_LT(same_place, 12u) << "by chance about one of 1000 keeps its place";
  EXPECT_EQ(a, sorted_by(KeyHasher(secret(5)))) << "the same secret, the same order";
}

// Keys that share a bucket under one secret do so under another no more often than any keys.
TEST(KeyHasher, collisions_under_one_secret_do_not_survive_a_change_of_secret) {
  const KeyHasher one(secret(7));
  const KeyHasher other(secret(8));
  std::vector<uint32_t> aimed;
  for (uint32_t n = 0; aimed.size() < 512; ++n) {
    if (one(ForwardKey{client4(n), be16::from(1), 0}) >> 58 == 0) aimed.push_back(n);
  }
  std::vector<unsigned> cells(64);
  for (const uint32_t n : aimed) ++cells[other(ForwardKey{client4(n), be16::from(1), 0}) >> 58];
  EXPECT_LT(chi_square(cells), 63 + 6 * 11.3);
}

}  // namespace
}  // namespace limpet::flow
