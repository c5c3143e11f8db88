#include "limpet/flow/ports.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <set>
#include <tuple>
#include <vector>

namespace limpet::flow {
namespace {

constexpr Tick kSecond = 954;  // ticks, rounded up

SourcePorts::Setup setup4() {
  SourcePorts::Setup s;
  s.backend = IpAddress::v4(10, 2, 0, 10);
  s.backend_port = be16::from(80);
  s.source = IpAddress::v4(10, 2, 0, 254);
  return s;
}

SourcePorts::Setup setup6() {
  SourcePorts::Setup s;
  s.backend = *IpAddress::parse("fd00:2::10");
  s.backend_port = be16::from(80);
  s.source = *IpAddress::parse("fd00:2::254");
  return s;
}

uint16_t taken(SourcePorts& ports, Tick now) {
  const auto grant = ports.take(now);
  EXPECT_TRUE(grant.has_value());
  return grant ? grant->port.host() : uint16_t{0};
}

TEST(SourcePorts, one_worker_has_every_port_once) {
  SourcePorts ports(setup4());
  EXPECT_EQ(ports.capacity(), 64512u);
  std::set<uint16_t> seen;
  for (uint32_t i = 0; i < 64512; ++i) {
    const auto grant = ports.take(0);
    ASSERT_TRUE(grant.has_value());
    ASSERT_FALSE(grant->early);
    ASSERT_GE(grant->port.host(), 1024);
    ASSERT_TRUE(seen.insert(grant->port.host()).second);
  }
  EXPECT_EQ(ports.in_use(), 64512u);
  EXPECT_FALSE(ports.take(0).has_value());
  ports.give(be16::from(2000), 1);
  EXPECT_EQ(ports.in_use(), 64511u);
  EXPECT_EQ(taken(ports, 2), 2000);
  EXPECT_FALSE(ports.take(2).has_value());
}

TEST(SourcePorts, never_used_ports_go_before_used_ones_and_then_the_oldest) {
  SourcePorts::Setup s = setup4();
  s.first = 2000;
  s.last = 2004;
  SourcePorts ports(s);
  const uint16_t a = taken(ports, 0);
  const uint16_t b = taken(ports, 0);
  ports.give(be16::from(b), 10);
  ports.give(be16::from(a), 20);
  std::set<uint16_t> fresh;
  for (int i = 0; i < 3; ++i) fresh.insert(taken(ports, 30));
  EXPECT_EQ(fresh.size(), 3u);
  EXPECT_EQ(fresh.count(a) + fresh.count(b), 0u);
  EXPECT_EQ(taken(ports, 40), b);
  EXPECT_EQ(taken(ports, 40), a);
  EXPECT_FALSE(ports.take(40).has_value());
}

TEST(SourcePorts, rested_says_whether_the_next_one_is_early) {
  SourcePorts::Setup s = setup4();
  s.first = s.last = 5000;
  SourcePorts ports(s);
  EXPECT_TRUE(ports.rested(0)) << "never used";
  taken(ports, 0);
  EXPECT_FALSE(ports.rested(0)) << "there is none";
  ports.give(be16::from(5000), 100);
  EXPECT_FALSE(ports.rested(100 + 59 * kSecond));
  EXPECT_TRUE(ports.rested(100 + 62 * kSecond));
  EXPECT_TRUE(ports.in_range(be16::from(5000)));
  EXPECT_FALSE(ports.in_range(be16::from(4999)));
  EXPECT_FALSE(ports.in_range(be16::from(5001)));
}

TEST(SourcePorts, reuse_within_a_minute_is_called_early) {
  SourcePorts::Setup s = setup4();
  s.first = s.last = 5000;
  SourcePorts ports(s);
  EXPECT_FALSE(ports.take(0)->early) << "a port that was never used";
  ports.give(be16::from(5000), 100);
  EXPECT_TRUE(ports.take(100 + 59 * kSecond)->early);
  ports.give(be16::from(5000), 200000);
  EXPECT_FALSE(ports.take(200000 + 61 * kSecond)->early);
}

TEST(SourcePorts, the_minute_is_counted_across_the_wrap_of_the_ticks) {
  SourcePorts::Setup s = setup4();
  s.first = s.last = 5000;
  SourcePorts ports(s);
  const Tick before = 0u - 10 * kSecond;
  taken(ports, before);
  ports.give(be16::from(5000), before);
  EXPECT_TRUE(ports.take(before + 5 * kSecond)->early);
  ports.give(be16::from(5000), before);
  EXPECT_TRUE(ports.take(before + 59 * kSecond)->early);
  ports.give(be16::from(5000), before);
  EXPECT_FALSE(ports.take(before + 61 * kSecond)->early);
}

TEST(SourcePorts, a_restart_starts_elsewhere) {
  std::set<uint16_t> starts;
  for (uint64_t random = 0; random < 50; ++random) {
    SourcePorts::Setup s = setup4();
    s.random = random;
    SourcePorts ports(s);
    starts.insert(taken(ports, 0));
  }
  EXPECT_GT(starts.size(), 45u);
}

TEST(SourcePorts, a_range_ends_with_the_last_port_and_goes_on_with_the_first) {
  for (uint64_t random = 0; random < 20; ++random) {
    SourcePorts::Setup s = setup4();
    s.first = 65530;
    s.last = 65535;
    s.random = random;
    SourcePorts ports(s);
    std::set<uint16_t> seen;
    for (int i = 0; i < 6; ++i) seen.insert(taken(ports, 0));
    EXPECT_EQ(seen, (std::set<uint16_t>{65530, 65531, 65532, 65533, 65534, 65535}));
  }
}

// A programmer's error: builds with assertions stop, the others keep the port from going to two
// flows.
TEST(SourcePortsDeathTest, a_port_that_is_given_back_twice_is_not_handed_out_twice) {
  SourcePorts::Setup s = setup4();
  s.first = 5000;
  s.last = 5001;
  SourcePorts ports(s);
  const be16 a = ports.take(0)->port;
  const be16 b = ports.take(0)->port;
  ports.give(a, 1);
  EXPECT_DEBUG_DEATH(ports.give(a, 2), "taken");
  EXPECT_EQ(ports.in_use(), 1u);
  EXPECT_EQ(ports.take(3)->port, a);
  EXPECT_FALSE(ports.take(3).has_value());
  ports.give(b, 4);
  EXPECT_EQ(ports.take(5)->port, b);
}

class SharedPorts : public testing::TestWithParam<std::tuple<bool, uint32_t, uint32_t>> {};

TEST_P(SharedPorts, are_disjoint_cover_the_range_and_bring_the_answer_home) {
  const auto [v6, workers, reta_size] = GetParam();
  const Toeplitz toeplitz(kDefaultRssKey);
  SourcePorts::Setup s = v6 ? setup6() : setup4();
  s.toeplitz = &toeplitz;
  s.reta = {reta_size, workers};
  s.random = 99;
  std::set<uint16_t> all;
  uint32_t capacities = 0;
  for (uint32_t worker = 0; worker < workers; ++worker) {
    s.worker = worker;
    SourcePorts ports(s);
    capacities += ports.capacity();
    EXPECT_NEAR(ports.capacity(), 64512.0 / workers, 64512.0 / workers * 0.03 + workers * 504);
    for (uint32_t i = 0; i < ports.capacity(); ++i) {
      const auto grant = ports.take(0);
      ASSERT_TRUE(grant.has_value());
      ASSERT_TRUE(all.insert(grant->port.host()).second) << "two workers have the same port";
      // The backend's answer: from the backend to our address and this port.
      const uint32_t hash = toeplitz.hash(s.backend, s.source, s.backend_port, grant->port);
      ASSERT_EQ(s.reta.owner(hash), worker);
    }
    EXPECT_FALSE(ports.take(0).has_value());
  }
  EXPECT_EQ(all.size(), 64512u);
  EXPECT_EQ(capacities, 64512u);
}

INSTANTIATE_TEST_SUITE_P(Workers, SharedPorts,
                         testing::Combine(testing::Bool(), testing::Values(2u, 3u, 4u),
                                          testing::Values(128u, 512u)));

TEST(SourcePorts, without_a_hash_to_go_by_every_worker_has_every_port) {
  SourcePorts::Setup s = setup4();
  s.reta.workers = 4;
  s.worker = 2;
  EXPECT_EQ(SourcePorts(s).capacity(), 64512u);
}

TEST(SourcePorts, a_key_that_reaches_no_entry_of_this_worker_leaves_it_without_ports) {
  const Toeplitz zero(RssKey{});
  SourcePorts::Setup s = setup4();
  s.toeplitz = &zero;
  s.reta = {128, 2};
  s.worker = 1;
  SourcePorts ports(s);
  EXPECT_EQ(ports.capacity(), 0u);
  EXPECT_FALSE(ports.take(0).has_value());
}

TEST(SourcePorts, the_hash_is_needed_at_construction_only) {
  SourcePorts::Setup s = setup4();
  s.reta = {128, 2};
  s.worker = 1;
  const Toeplitz kept(kDefaultRssKey);
  auto gone = std::make_unique<Toeplitz>(kDefaultRssKey);
  s.toeplitz = gone.get();
  SourcePorts ports(s);
  gone.reset();
  for (int i = 0; i < 1000; ++i) {
    const be16 port = ports.take(0)->port;
    ASSERT_EQ(s.reta.owner(kept.hash(s.backend, s.source, s.backend_port, port)), 1u);
  }
}

// Random takes and gives: no port is out twice, and of the used ones always the longest rested
// comes.
TEST(SourcePorts, in_any_order_of_use_the_longest_rested_port_comes_next) {
  const Toeplitz toeplitz(kDefaultRssKey);
  SourcePorts::Setup s = setup6();
  s.first = 30000;
  s.last = 30499;
  s.toeplitz = &toeplitz;
  s.reta = {128, 3};
  s.worker = 1;
  SourcePorts ports(s);
  std::mt19937_64 random(5);
  std::vector<uint16_t> out;
  std::vector<uint16_t> rested;  // oldest first
  std::set<uint16_t> ever;
  size_t oldest = 0;
  unsigned exhausted = 0;
  for (Tick now = 0; now < 100000; ++now) {
    const bool take = now / 1000 % 2 == 0 ? random() % 3 != 0 : random() % 3 == 0;
    if (take) {
      const auto grant = ports.take(now);
      if (out.size() == ports.capacity()) {
        ASSERT_FALSE(grant.has_value());
        ++exhausted;
        continue;
      }
      ASSERT_TRUE(grant.has_value());
      const uint16_t port = grant->port.host();
      if (ever.size() < ports.capacity()) {
        ASSERT_TRUE(ever.insert(port).second) << "a used port while there are unused ones";
      } else {
        ASSERT_EQ(port, rested[oldest++]);
      }
      out.push_back(port);
    } else if (!out.empty()) {
      const size_t i = random() % out.size();
      ports.give(be16::from(out[i]), now);
      rested.push_back(out[i]);
      out[i] = out.back();
      out.pop_back();
    }
    ASSERT_EQ(ports.in_use(), out.size());
  }
  EXPECT_GT(exhausted, 100u);
}

}  // namespace
}  // namespace limpet::flow
