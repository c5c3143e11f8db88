// Keys of receive-side scaling that share source ports out well.
#include "rss_key.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <vector>

namespace limpet::port {
namespace {

IpAddress ip(const char* text) {
  return IpAddress::parse(text).value();
}

// How many ports the worker with the fewest has of a range.
unsigned fewest(const flow::Toeplitz& t, bool v6, unsigned workers, unsigned first,
                unsigned count) {
  const flow::Reta reta{128, workers};
  std::vector<unsigned> each(workers);
  for (unsigned port = first; port < first + count; ++port) {
    const be16 to = be16::from(static_cast<uint16_t>(port));
    const uint32_t hash = v6 ? t.hash(ip("fd00:2::10"), ip("fd00:2::254"), be16::from(80), to)
                             : t.hash(ip("10.2.0.10"), ip("10.2.0.254"), be16::from(80), to);
    ++each[reta.owner(hash)];
  }
  return *std::min_element(each.begin(), each.end());
}

TEST(RssKey, differs_every_time) {
  std::set<flow::RssKey> keys;
  for (int i = 0; i < 8; ++i) keys.insert(random_rss_key().value());
  EXPECT_EQ(keys.size(), 8u);
}

TEST(RssKey, few_ports_are_enough_for_every_worker) {
  for (int i = 0; i < 8; ++i) {
    const flow::RssKey key = random_rss_key().value();
    const flow::Toeplitz t(key);
    for (const unsigned workers : {2u, 4u, 8u, 16u})
      for (const bool v6 : {false, true})
        for (unsigned first = 2000; first < 2100; ++first)
          EXPECT_GE(fewest(t, v6, workers, first, 4 * workers - 1), 1u)
              << workers << " workers, ports from " << first << (v6 ? ", IPv6" : "");
  }
}

// Where the workers are no power of two nothing is certain, but no half of them goes without.
TEST(RssKey, other_numbers_of_workers_have_their_share_of_a_few_dozen) {
  for (int i = 0; i < 8; ++i) {
    const flow::RssKey key = random_rss_key().value();
    const flow::Toeplitz t(key);
    for (const unsigned workers : {3u, 5u, 6u, 7u})
      for (const bool v6 : {false, true})
        for (unsigned first = 2000; first < 2100; first += 7)
          EXPECT_GE(fewest(t, v6, workers, first, 32 * workers), 1u)
              << workers << " workers, ports from " << first << (v6 ? ", IPv6" : "");
  }
}

}  // namespace
}  // namespace limpet::port
