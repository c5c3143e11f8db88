// The table of half-open clients: who has a place, for how long, and who gets none.
#include "limpet/tcp/half_open.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace limpet::tcp {
namespace {

using namespace std::chrono_literals;
using Place = HalfOpen::Place;

const Offer kOffer{1460, uint8_t{7}, true, true};

class HalfOpenTest : public testing::Test {
 protected:
  // Of the SYN with number `a`; kNone when it has no place.
  Place of(uint64_t hash, uint32_t a) {
    return table.find(hash, [&](const HalfOpen::Client& c) { return c.isn_client == a; });
  }
  bool has(uint64_t hash, uint32_t a) { return of(hash, a) != HalfOpen::kNone; }
  Place add(uint64_t hash, uint32_t a = 1000, uint32_t isn = 77) {
    return table.add(hash, a, isn, kOffer, now);
  }
  // So many other clients.
  std::vector<Place> crowd(uint32_t count) {
    std::vector<Place> places;
    for (uint32_t i = 0; i < count; ++i) places.push_back(add(random()));
    return places;
  }
  void pass(Duration d) {
    for (const Instant end = now + d; now < end; now = now + 100ms) table.sweep(now);
    table.sweep(now);
  }
  Instant now{uint64_t{3600} * 1000000000u};
  HalfOpen table{1024, now};
  std::mt19937_64 random{5};
};

TEST_F(HalfOpenTest, what_a_syn_said_comes_back_whole) {
  uint64_t hash = 1;
  for (const bool sack : {false, true})
    for (const bool timestamps : {false, true})
      for (int scale = -1; scale <= 14; ++scale)
        for (const uint16_t mss : {uint16_t{0}, uint16_t{88}, uint16_t{1459}, uint16_t{65535}}) {
          Offer o{mss, std::nullopt, sack, timestamps};
          if (scale >= 0) o.window_scale = static_cast<uint8_t>(scale);
          const Place p = table.add(hash = random(), 5, 6, o, now);
          ASSERT_NE(p, HalfOpen::kNone);
          EXPECT_EQ(table.at(p).offer(), o);
          EXPECT_EQ(of(hash, 5), p);
        }
  EXPECT_EQ(table.used(), 256u);
}

TEST_F(HalfOpenTest, nobody_has_another_s_place) {
  const Place p = add(0x1234567890abcdef);
  EXPECT_EQ(of(0x1234567890abcdef, 1000), p);
  EXPECT_FALSE(has(0x1234567890abcdef, 1001));
  for (unsigned bit = 0; bit < 64; ++bit) {
    if (bit == 32) continue;  // the one of 64 that is not kept
    EXPECT_FALSE(has(0x1234567890abcdef ^ uint64_t{1} << bit, 1000)) << bit;
  }
}

TEST_F(HalfOpenTest, every_place_below_the_mark_is_given_and_none_above_it) {
  EXPECT_EQ(table.capacity(), 1024u);
  EXPECT_EQ(table.mark(), 768u);
  for (const Place p : crowd(768)) EXPECT_NE(p, HalfOpen::kNone);
  EXPECT_EQ(table.used(), 768u);
  EXPECT_EQ(add(42), HalfOpen::kNone);
  EXPECT_FALSE(has(42, 1000));
  EXPECT_EQ(table.used(), 768u) << "nobody has lost a place";
}

TEST(HalfOpenSize, nobody_finds_both_his_buckets_full_before_it_is_five_eighths_full) {
  std::mt19937_64 random(9);
  const Instant now{uint64_t{3600} * 1000000000u};
  for (const uint32_t size : {16384u, 16384u, 16384u, 262144u}) {
    HalfOpen table(size, now);
    for (uint32_t n = 0; n < size / 8 * 5; ++n)
      ASSERT_NE(table.add(random(), 1, 2, kOffer, now), HalfOpen::kNone) << n;
  }
}

TEST(HalfOpenSize, a_table_without_places_has_none) {
  const Instant now{uint64_t{3600} * 1000000000u};
  HalfOpen none(0, now);
  EXPECT_EQ(none.add(5, 1, 2, kOffer, now), HalfOpen::kNone);
  EXPECT_EQ(none.find(5, [](const HalfOpen::Client&) { return true; }), HalfOpen::kNone);
  none.sweep(now + 10s);
  EXPECT_EQ(none.capacity(), 0u);
  EXPECT_EQ(HalfOpen(1, now).capacity(), 16u);
}

TEST_F(HalfOpenTest, whoever_is_removed_leaves_a_place) {
  crowd(767);
  const Place p = add(42);
  EXPECT_EQ(add(43), HalfOpen::kNone);
  table.remove(p);
  EXPECT_FALSE(has(42, 1000));
  EXPECT_NE(add(43), HalfOpen::kNone);
}

TEST_F(HalfOpenTest, a_tuple_is_greeted_twice_and_the_older_one_gives_way) {
  add(42, 1);
  now = now + 10ms;
  add(42, 2);
  EXPECT_TRUE(has(42, 1) && has(42, 2));
  now = now + 10ms;
  add(42, 3);
  EXPECT_FALSE(has(42, 1));
  EXPECT_TRUE(has(42, 2) && has(42, 3));
  EXPECT_EQ(table.used(), 2u);
}

TEST_F(HalfOpenTest, above_the_mark_too) {
  add(42, 1);
  add(42, 2);
  crowd(766);
  EXPECT_NE(add(42, 3), HalfOpen::kNone);
  EXPECT_EQ(table.used(), 768u);
}

TEST_F(HalfOpenTest, who_has_proved_itself_stands_alone_and_gives_way_to_no_syn) {
  const Place p = add(42, 1);
  add(42, 2);
  table.prove(42, p, now);
  EXPECT_TRUE(has(42, 1));
  EXPECT_FALSE(has(42, 2));
  EXPECT_EQ(table.used(), 1u);
  for (const uint32_t a : {3u, 4u, 5u}) add(42, a);
  EXPECT_TRUE(has(42, 1)) << "a SYN proves nothing";
  EXPECT_EQ(table.used(), 3u);
}

TEST_F(HalfOpenTest, with_room_everybody_is_kept_for_five_minutes) {
  const Place p = add(42, 1);
  table.prove(42, p, now);
  add(43);
  pass(299s);
  EXPECT_TRUE(has(42, 1) && has(43, 1000));
  pass(3s);
  EXPECT_FALSE(has(42, 1) || has(43, 1000));
  EXPECT_EQ(table.used(), 0u);
}

TEST_F(HalfOpenTest, a_flood_is_forgotten_after_a_minute_as_far_as_it_takes_room) {
  const Place p = add(42, 1);
  table.prove(42, p, now);
  crowd(767);
  pass(59s);
  EXPECT_EQ(table.used(), 768u);
  pass(3s);
  EXPECT_EQ(table.used(), table.mark() / 2);
  EXPECT_TRUE(has(42, 1)) << "it is where it says it is";
}

TEST_F(HalfOpenTest, the_same_syn_again_begins_its_time_anew_unless_it_was_proven) {
  const Place greeted = add(42, 1), proven = add(43, 1);
  table.prove(43, proven, now);
  pass(200s);
  table.greet(greeted, now);
  table.greet(proven, now);
  pass(150s);
  EXPECT_TRUE(has(42, 1));
  EXPECT_FALSE(has(43, 1));
}

TEST_F(HalfOpenTest, who_has_proved_itself_cannot_prolong_that) {
  const Place p = add(42, 1);
  table.prove(42, p, now);
  pass(200s);
  table.prove(42, p, now);  // the same ACK again
  pass(99s);
  EXPECT_TRUE(has(42, 1));
  pass(3s);
  EXPECT_FALSE(has(42, 1));
}

TEST_F(HalfOpenTest, who_has_closed_is_forgotten_after_a_minute) {
  const Place p = add(42, 1);
  table.close(p, now);
  EXPECT_EQ(table.at(p).state, HalfOpen::State::closed);
  pass(59s);
  EXPECT_TRUE(has(42, 1));
  pass(3s);
  EXPECT_FALSE(has(42, 1));
}

TEST_F(HalfOpenTest, one_long_sleep_is_one_round_of_the_sweep) {
  crowd(500);
  now = now + 1000s;
  table.sweep(now);
  EXPECT_EQ(table.used(), 0u);
}

}  // namespace
}  // namespace limpet::tcp
