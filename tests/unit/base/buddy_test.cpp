// Runs of units that are halved and put together again.
#include "limpet/base/buddy.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

namespace limpet {
namespace {

constexpr unsigned kUnitBits = 6;
constexpr unsigned kTopOrder = BuddyArena::kOrders - 1;

class BuddyTest : public testing::Test {
 protected:
  std::vector<uint32_t> take_all(unsigned order) {
    std::vector<uint32_t> all;
    for (uint32_t u; (u = arena.take(order)) != BuddyArena::kNone;) all.push_back(u);
    return all;
  }
  void give_all(const std::vector<uint32_t>& all, unsigned order) {
    for (const uint32_t u : all) arena.give(u, order);
  }

  // Four of the largest runs, and behind them one of 16, 4 and 1 units.
  static constexpr uint32_t kUnits = 4 * 32 + 21;
  std::vector<uint8_t> memory = std::vector<uint8_t>(kUnits << kUnitBits);
  BuddyArena arena{memory.data(), kUnitBits, kUnits};
};

TEST_F(BuddyTest, what_was_cut_small_is_there_for_the_largest) {
  const auto small = take_all(0);
  EXPECT_EQ(small.size(), kUnits);
  give_all(small, 0);
  EXPECT_EQ(take_all(kTopOrder).size(), 4u);
}

TEST_F(BuddyTest, what_was_taken_large_is_there_for_the_smallest) {
  const auto large = take_all(kTopOrder);
  EXPECT_EQ(large.size(), 4u);
  give_all(large, kTopOrder);
  EXPECT_EQ(take_all(0).size(), kUnits);
}

TEST_F(BuddyTest, a_half_in_use_keeps_the_other_one_apart) {
  std::vector<uint32_t> all = take_all(0);
  const uint32_t kept = all[37];
  for (const uint32_t u : all)
    if (u != kept) arena.give(u, 0);
  EXPECT_EQ(take_all(kTopOrder).size(), 3u);
  EXPECT_EQ(take_all(4).size(), 2u) << "a half, and the one behind the largest runs";
  arena.give(kept, 0);
}

TEST_F(BuddyTest, a_cut_run_is_preferred_to_a_whole_one) {
  const uint32_t a = arena.take(0);
  const uint32_t b = arena.take(0);
  const auto large = take_all(kTopOrder);
  EXPECT_EQ(large.size(), 4u) << "both came from the rest behind the largest runs";
  EXPECT_NE(a, b);
}

TEST_F(BuddyTest, nothing_is_larger_than_the_largest) {
  EXPECT_EQ(arena.take(BuddyArena::kOrders), BuddyArena::kNone);
  EXPECT_EQ(arena.take(21), BuddyArena::kNone);
}

TEST_F(BuddyTest, an_arena_without_units_has_nothing) {
  BuddyArena none(memory.data(), kUnitBits, 0);
  EXPECT_EQ(none.take(0), BuddyArena::kNone);
}

// Every unit belongs to one run at most, whoever has it may write all of it, and when all have come
// back nothing is in pieces.
TEST_F(BuddyTest, random_runs_never_meet_and_all_of_them_merge) {
  struct Run {
    uint32_t unit;
    unsigned order;
    uint8_t mark;
  };
  std::mt19937 random(4711);
  std::vector<Run> runs;
  std::vector<uint8_t> taken(kUnits);
  const auto bytes = [&](const Run& r) { return memory.data() + (size_t{r.unit} << kUnitBits); };
  const auto length = [](const Run& r) { return size_t{1} << (r.order + kUnitBits); };
  const auto give = [&](size_t i) {
    const Run r = runs[i];
    for (size_t n = 0; n < length(r); ++n) ASSERT_EQ(bytes(r)[n], r.mark);
    for (uint32_t n = 0; n < 1u << r.order; ++n) taken[r.unit + n] = 0;
    runs[i] = runs.back();
    runs.pop_back();
    arena.give(r.unit, r.order);
  };
  unsigned refused = 0;
  for (int step = 0; step < 200000; ++step) {
    // Fills up and runs empty in turn.
    const bool fill = (step / 500) % 2 == 0;
    if (random() % 8 < (fill ? 6u : 2u)) {
      const unsigned order = random() % BuddyArena::kOrders;
      const uint32_t unit = arena.take(order);
      if (unit == BuddyArena::kNone) {
        ++refused;
        // No aligned run of that size is free: the model knows.
        for (uint32_t u = 0; u + (1u << order) <= kUnits; u += 1u << order) {
          bool free = true;
          for (uint32_t n = 0; n < 1u << order; ++n) free = free && taken[u + n] == 0;
          ASSERT_FALSE(free) << "order " << order << " at " << u;
        }
        continue;
      }
      const Run r{unit, order, static_cast<uint8_t>(random())};
      ASSERT_EQ(unit % (1u << order), 0u);
      ASSERT_LE(unit + (1u << order), kUnits);
      for (uint32_t n = 0; n < 1u << order; ++n) ASSERT_EQ(taken[unit + n]++, 0) << unit + n;
      std::memset(bytes(r), r.mark, length(r));
      runs.push_back(r);
    } else if (!runs.empty()) {
      give(random() % runs.size());
    }
  }
  EXPECT_GT(refused, 1000u);
  while (!runs.empty()) give(runs.size() - 1);
  EXPECT_EQ(take_all(kTopOrder).size(), 4u);
  EXPECT_EQ(take_all(4).size(), 1u);
  EXPECT_EQ(take_all(2).size(), 1u);
  EXPECT_EQ(take_all(0).size(), 1u);
}

}  // namespace
}  // namespace limpet
