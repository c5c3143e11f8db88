// The neighbor cache alone: its states, what waits, who is replaced, and stamps. Frames are only
// numbers here; the cache never looks into them.
#include "limpet/dataplane/neighbors.h"

#include <gtest/gtest.h>

#include <vector>

namespace limpet::dataplane {
namespace {

using namespace std::chrono_literals;

constexpr Tick kSecond = to_ticks(1s);
const MacAddress kMac{{2, 0, 0, 0, 0, 1}};

IpAddress host(unsigned n) {
  return IpAddress::v4(10, 0, static_cast<uint8_t>(n >> 8), static_cast<uint8_t>(n));
}
rte_mbuf* frame(uintptr_t n) {
  return reinterpret_cast<rte_mbuf*>(n * 64);
}

// What one full round over the cache asks and gives up.
struct Round {
  unsigned multicast = 0, unicast = 0, failed = 0;
  friend bool operator==(const Round&, const Round&) = default;
};
Round round(Neighbors& n, Tick now) {
  Round r;
  n.tick(
      now, n.capacity(), [&](uint16_t, bool unicast) { ++(unicast ? r.unicast : r.multicast); },
      [&](uint16_t index) {
        ++r.failed;
        Neighbors::Held held;
        while (n.release(index, held)) {
        }
      });
  return r;
}

TEST(Neighbors, are_found_by_port_and_address) {
  Neighbors n(100, 10);
  const uint16_t a = n.find_or_add(0, host(1), 0);
  const uint16_t b = n.find_or_add(1, host(1), 0);
  EXPECT_NE(a, b);
  EXPECT_EQ(n.find_or_add(0, host(1), 5), a);
  EXPECT_EQ(n.at(a).used, 5u);
  EXPECT_EQ(n.find(1, host(1)), b);
  EXPECT_EQ(n.find(0, host(2)), Neighbors::kNone);
  EXPECT_EQ(n.at(a).state, NeighborState::incomplete);
  EXPECT_FALSE(n.usable(a));
}

TEST(Neighbors, many_of_them_all_keep_their_place) {
  Neighbors n(1000, 10);
  std::vector<uint16_t> where;
  for (unsigned i = 0; i < 1000; ++i) where.push_back(n.find_or_add(0, host(i), 0));
  for (unsigned i = 0; i < 1000; ++i) EXPECT_EQ(n.find(0, host(i)), where[i]);
}

TEST(Held, leave_in_the_order_in_which_they_came) {
  Neighbors n(10, 10);
  const uint16_t a = n.find_or_add(0, host(1), 0), b = n.find_or_add(0, host(2), 0);
  for (uintptr_t i = 1; i <= 4; ++i) EXPECT_TRUE(n.hold(i % 2 == 0 ? a : b, frame(i), i == 4));
  EXPECT_EQ(n.held_in_all(), 4u);
  EXPECT_EQ(n.at(a).waiting, 2u);
  Neighbors::Held held;
  ASSERT_TRUE(n.release(a, held));
  EXPECT_EQ(held.frame, frame(2));
  EXPECT_FALSE(held.originated);
  EXPECT_TRUE(n.hold(a, frame(9), false));
  ASSERT_TRUE(n.release(a, held));
  EXPECT_EQ(held.frame, frame(4));
  EXPECT_TRUE(held.originated);
  ASSERT_TRUE(n.release(a, held));
  EXPECT_EQ(held.frame, frame(9));
  EXPECT_FALSE(n.release(a, held));
  EXPECT_EQ(n.at(a).waiting, 0u);
  EXPECT_EQ(n.held_in_all(), 2u);
}

TEST(Held, are_bounded_for_one_and_for_all_and_places_come_back) {
  Neighbors n(10, 100);
  const uint16_t a = n.find_or_add(0, host(1), 0), b = n.find_or_add(0, host(2), 0);
  for (unsigned round_number = 0; round_number < 3; ++round_number) {
    for (unsigned i = 0; i < Neighbors::kMaxWaiting; ++i) EXPECT_TRUE(n.hold(a, frame(i), false));
    EXPECT_FALSE(n.hold(a, frame(1), false));
    for (unsigned i = Neighbors::kMaxWaiting; i < 100; ++i) EXPECT_TRUE(n.hold(b, frame(i), false));
    EXPECT_FALSE(n.hold(b, frame(1), false));
    Neighbors::Held held;
    unsigned released = 0;
    while (n.release(a, held) || n.release(b, held)) ++released;
    EXPECT_EQ(released, 100u);
  }
}

TEST(Held, wait_only_for_who_may_still_answer) {
  Neighbors n(10, 10);
  const uint16_t a = n.find_or_add(0, host(1), 0);
  n.learn(a, kMac, 0);
  EXPECT_FALSE(n.hold(a, frame(1), false)) << "its address is known";
  const uint16_t b = n.find_or_add(0, host(2), 0);
  for (Tick t = 0; t <= 3 * kSecond; t += kSecond) round(n, t);
  EXPECT_EQ(n.at(b).state, NeighborState::failed);
  EXPECT_FALSE(n.hold(b, frame(1), false));
}

TEST(States, incomplete_is_asked_at_once_then_each_second_then_fails) {
  Neighbors n(10, 10);
  const uint16_t a = n.find_or_add(0, host(1), 100);
  EXPECT_EQ(round(n, 100), (Round{1, 0, 0}));
  EXPECT_EQ(round(n, 100 + kSecond - 1), (Round{}));
  EXPECT_EQ(round(n, 100 + kSecond), (Round{1, 0, 0}));
  EXPECT_EQ(round(n, 100 + 2 * kSecond), (Round{1, 0, 0}));
  EXPECT_EQ(round(n, 100 + 3 * kSecond - 1), (Round{}));
  EXPECT_EQ(round(n, 100 + 3 * kSecond), (Round{0, 0, 1}));
  EXPECT_EQ(n.at(a).state, NeighborState::failed);
  EXPECT_EQ(round(n, 100 + 30 * kSecond), (Round{})) << "nobody wants it: keep quiet";
}

TEST(States, learn_tells_whether_somebody_waits) {
  Neighbors n(10, 10);
  const uint16_t a = n.find_or_add(0, host(1), 0);
  EXPECT_FALSE(n.learn(a, kMac, 0));
  EXPECT_TRUE(n.usable(a));
  const uint16_t b = n.find_or_add(0, host(2), 0);
  n.hold(b, frame(1), false);
  EXPECT_TRUE(n.learn(b, kMac, 0));
  EXPECT_EQ(n.at(b).mac, kMac);
}

TEST(States, used_neighbor_is_probed_after_half_a_minute_unused_one_forgotten_after_five) {
  Neighbors n(10, 10);
  const uint16_t a = n.find_or_add(0, host(1), 0);
  n.learn(a, kMac, 0);
  const Tick reachable = to_ticks(Neighbors::kReachable);
  n.at(a).used = reachable - 10;
  EXPECT_EQ(round(n, reachable - 1), (Round{}));
  EXPECT_EQ(round(n, reachable), (Round{0, 1, 0}));
  EXPECT_EQ(n.at(a).state, NeighborState::probe);
  EXPECT_TRUE(n.usable(a));
  n.learn(a, kMac, reachable + 5);
  EXPECT_EQ(n.at(a).state, NeighborState::reachable);
  const Tick unused = reachable - 10 + to_ticks(Neighbors::kUnused);
  EXPECT_EQ(round(n, unused - 1), (Round{}));
  EXPECT_EQ(n.find(0, host(1)), a);
  EXPECT_EQ(round(n, unused + kSecond), (Round{}));
  EXPECT_EQ(n.find(0, host(1)), Neighbors::kNone);
}

TEST(States, silent_probes_end_in_asking_everybody) {
  Neighbors n(10, 10);
  const uint16_t a = n.find_or_add(0, host(1), 0);
  n.learn(a, kMac, 0);
  const Tick start = to_ticks(Neighbors::kReachable);
  n.at(a).used = start;
  for (Tick i = 0; i < 3; ++i) EXPECT_EQ(round(n, start + i * kSecond), (Round{0, 1, 0})) << i;
  EXPECT_EQ(round(n, start + 3 * kSecond), (Round{1, 0, 0}));
  EXPECT_EQ(n.at(a).state, NeighborState::incomplete);
  for (Tick i = 4; i < 6; ++i) EXPECT_EQ(round(n, start + i * kSecond), (Round{1, 0, 0})) << i;
  EXPECT_EQ(round(n, start + 6 * kSecond), (Round{0, 0, 1}));
}

TEST(States, pause_after_failure_doubles_to_half_a_minute_and_an_answer_ends_it) {
  Neighbors n(10, 10);
  const uint16_t a = n.find_or_add(0, host(1), 0);
  Tick now = 0;
  std::vector<unsigned> pauses;
  Tick failed_at = 0;
  bool failed = false;
  while (pauses.size() < 8) {
    n.at(a).used = now;
    const Round r = round(n, now);
    if (r.failed != 0) {
      failed = true;
      failed_at = now;
    } else if (failed && r.multicast != 0) {
      failed = false;
      pauses.push_back((now - failed_at + kSecond / 2) / kSecond);
    }
    now += kSecond / 20;
  }
  EXPECT_EQ(pauses, (std::vector<unsigned>{1, 2, 4, 8, 16, 32, 32, 32}));
  n.learn(a, kMac, now);
  EXPECT_EQ(n.at(a).failures, 0u);
}

TEST(States, ticks_may_wrap) {
  Neighbors n(10, 10);
  const Tick start = 0u - kSecond;
  const uint16_t a = n.find_or_add(0, host(1), start);
  EXPECT_EQ(round(n, start), (Round{1, 0, 0}));
  EXPECT_EQ(round(n, start + kSecond / 2), (Round{}));
  EXPECT_EQ(round(n, start + kSecond), (Round{1, 0, 0}));
  EXPECT_EQ(round(n, start + 2 * kSecond), (Round{1, 0, 0}));
  EXPECT_EQ(round(n, start + 3 * kSecond), (Round{0, 0, 1}));
  n.learn(a, kMac, start + 3 * kSecond);
  EXPECT_EQ(round(n, start + 4 * kSecond), (Round{}));
}

TEST(FullCache, replaces_the_least_recently_used_that_nobody_waits_for) {
  Neighbors n(4, 10);
  for (unsigned i = 0; i < 4; ++i) n.learn(n.find_or_add(0, host(i), 10 * i), kMac, 10 * i);
  const Tick now = 10 * kSecond;
  n.at(n.find(0, host(0))).used = now;  // busy
  const uint16_t fifth = n.find_or_add(0, host(9), now);
  ASSERT_NE(fifth, Neighbors::kNone);
  EXPECT_EQ(n.find(0, host(1)), Neighbors::kNone);
  EXPECT_NE(n.find(0, host(0)), Neighbors::kNone);
  n.hold(fifth, frame(1), false);
  for (unsigned i = 20; i < 22; ++i) EXPECT_NE(n.find_or_add(0, host(i), now), Neighbors::kNone);
  EXPECT_EQ(n.find(0, host(9)), fifth);
  EXPECT_EQ(n.find_or_add(0, host(30), now), Neighbors::kNone) << "all were used this second";
}

using For = Neighbors::For;

TEST(Clients, have_three_quarters_of_the_places_and_never_those_of_ways) {
  Neighbors n(8, 10);
  const uint16_t way = n.find_or_add(0, host(1), 0, For::way);
  unsigned places = 0;
  for (unsigned i = 0; i < 20; ++i)
    if (n.find_or_add(0, host(100 + i), 0, For::client) != Neighbors::kNone) ++places;
  EXPECT_EQ(places, 6u);
  EXPECT_EQ(n.refused(), 14u);
  // Later they replace each other, however long the way was not used.
  const Tick later = 100 * kSecond;
  for (unsigned i = 0; i < 20; ++i)
    n.find_or_add(0, host(200 + i), later + i * kSecond, For::client);
  EXPECT_EQ(n.find(0, host(1)), way);
  EXPECT_EQ(n.used(), 7u);
  // Ways take clients' places, used or not.
  for (unsigned i = 2; i < 9; ++i)
    EXPECT_NE(n.find_or_add(0, host(i), later + 20 * kSecond, For::way), Neighbors::kNone) << i;
  EXPECT_EQ(n.find(0, host(1)), way);
  EXPECT_EQ(n.find_or_add(0, host(300), later + 60 * kSecond, For::client), Neighbors::kNone);
}

TEST(Clients, place_becomes_a_way_when_a_backend_is_there) {
  Neighbors n(4, 10);
  const uint16_t a = n.find_or_add(0, host(1), 0, For::client);
  n.find_or_add(0, host(1), 0, For::way);
  for (unsigned i = 0; i < 20; ++i) n.find_or_add(0, host(100 + i), i * kSecond, For::client);
  EXPECT_EQ(n.find(0, host(1)), a);
}

TEST(Clients, leave_a_quarter_of_what_may_wait) {
  Neighbors n(8, 8);
  const uint16_t client = n.find_or_add(0, host(1), 0, For::client);
  const uint16_t way = n.find_or_add(0, host(2), 0, For::way);
  unsigned held = 0;
  for (unsigned i = 1; i <= 8; ++i) held += n.hold(client, frame(i), false) ? 1 : 0;
  EXPECT_EQ(held, 6u);
  EXPECT_TRUE(n.hold(way, frame(9), false));
  EXPECT_TRUE(n.hold(way, frame(10), false));
}

TEST(Guess, is_used_at_once_confirmed_when_used_and_the_first_to_go) {
  Neighbors n(8, 10);
  const MacAddress other{{2, 0, 0, 0, 0, 2}};
  n.guess(0, host(1), kMac, 100);
  const uint16_t a = n.find(0, host(1));
  ASSERT_NE(a, Neighbors::kNone);
  EXPECT_TRUE(n.usable(a));
  EXPECT_EQ(n.at(a).mac, kMac);
  n.guess(0, host(1), other, 101);
  EXPECT_EQ(n.at(a).mac, kMac) << "what is known stays";
  n.at(a).used = 105;
  EXPECT_EQ(round(n, 100 + kSecond), (Round{0, 1, 0})) << "asked, as it was used";
  n.learn(a, other, 100 + kSecond);
  EXPECT_EQ(n.at(a).mac, other);
  // Guesses replace guesses, not what answered, even within the same second.
  for (unsigned i = 0; i < 30; ++i) n.guess(0, host(10 + i), kMac, 200 + kSecond);
  EXPECT_EQ(n.find(0, host(1)), a);
  EXPECT_NE(n.find(0, host(39)), Neighbors::kNone) << "the newest is there";
}

TEST(Guess, that_nobody_needed_is_forgotten_unasked) {
  Neighbors n(8, 10);
  n.guess(0, host(1), kMac, 100);
  EXPECT_EQ(round(n, 100 + kSecond), (Round{}));
  EXPECT_EQ(n.find(0, host(1)), Neighbors::kNone);
}

TEST(Guess, never_takes_the_address_of_a_silent_backend) {
  Neighbors n(8, 10);
  const uint16_t a = n.find_or_add(0, host(1), 0, For::way);
  for (Tick t = 0; t <= 3 * kSecond; t += kSecond) round(n, t);
  ASSERT_EQ(n.at(a).state, NeighborState::failed);
  n.guess(0, host(1), kMac, 3 * kSecond);
  EXPECT_FALSE(n.usable(a));
  const uint16_t b = n.find_or_add(0, host(2), 10 * kSecond, For::client);
  for (Tick t = 10 * kSecond; t <= 13 * kSecond; t += kSecond) round(n, t);
  ASSERT_EQ(n.at(b).state, NeighborState::failed);
  n.guess(0, host(2), kMac, 13 * kSecond);
  EXPECT_TRUE(n.usable(b)) << "a client that comes back";
}

TEST(Stamps, change_with_the_meaning_of_their_entry_alone) {
  Neighbors n(2, 10);
  const uint16_t a = n.find_or_add(0, host(1), 0), b = n.find_or_add(0, host(2), 0);
  const uint16_t sa = n.stamp(a), sb = n.stamp(b);
  EXPECT_NE(sa, 0);
  n.learn(a, kMac, 0);
  EXPECT_EQ(n.stamp(a), sa);
  n.at(b).used = 10 * kSecond;
  EXPECT_EQ(n.find_or_add(0, host(3), 10 * kSecond), a) << "replaces the older one";
  EXPECT_NE(n.stamp(a), sa);
  EXPECT_EQ(n.stamp(b), sb);
  n.invalidate();
  EXPECT_NE(n.stamp(b), sb);
  for (unsigned i = 0; i < 70000; ++i) {
    n.invalidate();
    ASSERT_NE(n.stamp(a), 0);
  }
}

}  // namespace
}  // namespace limpet::dataplane
