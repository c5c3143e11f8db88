// Blocks and deadlines of what a worker withholds.
#include "hold_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <span>
#include <vector>

namespace limpet::dataplane {
namespace {

using namespace std::chrono_literals;

class HoldPoolTest : public testing::Test {
 protected:
  uint32_t take(size_t flow) { return pool.take_binding(flows[flow]); }
  std::vector<uint32_t> advance(Duration d) {
    now = now + d;
    std::vector<uint32_t> called;
    pool.advance(now, [&](uint32_t binding) { called.push_back(binding); });
    return called;
  }

  Instant now{uint64_t{100} * 1000000000u};
  std::array<tcp::SpliceFlow, 8> flows;
  HoldPool pool{4, 1 << 17, flows.data(), now};
};

using Works = std::vector<uint32_t>;

TEST_F(HoldPoolTest, a_deadline_is_due_once_and_not_before) {
  const uint32_t w = take(5);
  EXPECT_EQ(pool.at(w).flow, 5u);
  pool.due(w, now + 200ms);
  EXPECT_EQ(advance(199ms), Works{});
  EXPECT_EQ(advance(10ms), Works{w}) << "in slots of 4.2 ms";
  EXPECT_EQ(advance(10s), Works{});
}

TEST_F(HoldPoolTest, an_earlier_deadline_takes_the_place_of_a_later_one) {
  const uint32_t w = take(0);
  pool.due(w, now + 1s);
  pool.due(w, now + 20ms);
  pool.due(w, now + 500ms);
  EXPECT_EQ(advance(30ms), Works{w});
  EXPECT_EQ(advance(10s), Works{});
}

TEST_F(HoldPoolTest, a_deadline_that_has_passed_is_due_at_once) {
  const uint32_t w = take(0);
  advance(1s);
  pool.due(w, Instant{now.ns - 500000000});
  EXPECT_EQ(advance(5ms), Works{w});
}

TEST_F(HoldPoolTest, a_deadline_beyond_a_round_waits_for_its_turn) {
  const uint32_t w = take(0);
  pool.due(w, now + 5s);
  for (int i = 0; i < 490; ++i) EXPECT_EQ(advance(10ms), Works{});
  EXPECT_EQ(advance(110ms), Works{w});
}

TEST_F(HoldPoolTest, of_several_in_one_slot_only_those_that_left_are_forgotten) {
  const uint32_t a = take(0), b = take(1), c = take(2);
  for (const uint32_t w : {a, b, c}) pool.due(w, now + 50ms);
  pool.give_binding(b);
  EXPECT_EQ(pool.bindings_used(), 2u);
  Works called = advance(60ms);
  std::sort(called.begin(), called.end());
  EXPECT_EQ(called, (Works{std::min(a, c), std::max(a, c)}));
}

TEST_F(HoldPoolTest, works_run_out_and_come_back) {
  for (size_t i = 0; i < 4; ++i) EXPECT_NE(take(i), tcp::kNoBinding);
  EXPECT_EQ(take(4), tcp::kNoBinding);
  pool.give_binding(2);
  EXPECT_EQ(take(4), 2u);
  EXPECT_EQ(pool.at(2).flow, 4u);
}

TEST_F(HoldPoolTest, every_backend_that_was_tried_is_remembered) {
  const uint32_t w = take(0), other = take(1);
  constexpr uint16_t kLast = kMaxBackends - 1;
  const auto untried = [&] {
    size_t n = 0;
    for (size_t slot = 0; slot < kMaxBackends; ++slot)
      n += pool.was_tried(w, static_cast<uint16_t>(slot)) ? 0 : 1;
    return n;
  };
  for (uint16_t i = 0; i < 300; ++i) {
    const auto slot = static_cast<uint16_t>(kLast - i * 50);
    EXPECT_FALSE(pool.was_tried(w, slot));
    pool.note_tried(w, slot);
    EXPECT_TRUE(pool.was_tried(w, slot));
    if (i < 20) {
      EXPECT_EQ(untried(), kMaxBackends - 1 - i);
    }
  }
  EXPECT_EQ(untried(), kMaxBackends - 300);
  EXPECT_TRUE(pool.was_tried(w, kLast));
  EXPECT_FALSE(pool.was_tried(other, kLast));
  pool.give_binding(w);
  EXPECT_EQ(take(0), w);
  for (uint16_t slot = 0; slot < 9; ++slot) pool.note_tried(w, slot);
  EXPECT_EQ(untried(), kMaxBackends - 9) << "what the former binding tried is forgotten";
}

TEST_F(HoldPoolTest, blocks_have_the_next_larger_size) {
  EXPECT_EQ(pool.take(1).size(), 2048u);
  EXPECT_EQ(pool.take(2049).size(), 4096u);
  EXPECT_EQ(pool.take(65536).size(), 65536u);
  EXPECT_TRUE(pool.take(65536).empty()) << "no such room is left";
  EXPECT_TRUE(pool.take(65537).empty());
  EXPECT_TRUE(pool.take(0xffffffffu).empty());
  EXPECT_EQ(pool.bytes_used(), 71680u);
}

using Blocks = std::vector<std::span<uint8_t>>;

TEST_F(HoldPoolTest, a_burst_of_large_heads_leaves_room_for_small_ones_and_the_other_way_round) {
  const auto fill = [&](uint32_t size) {
    Blocks all;
    for (;;) {
      const auto block = pool.take(size);
      if (block.empty()) return all;
      std::fill(block.begin(), block.end(), 0xff);
      all.push_back(block);
    }
  };
  const auto give = [&](const Blocks& all) {
    for (const auto& block : all) pool.give(block);
    EXPECT_EQ(pool.bytes_used(), 0u);
  };
  // Heads that grow, as a hold does; then short ones; then the longest.
  Blocks grown;
  for (;;) {
    auto block = pool.take(1);
    for (const uint32_t size : {4096u, 8192u, 16384u}) {
      const auto larger = pool.take(size);
      if (larger.empty()) break;
      pool.give(block);
      block = larger;
    }
    if (block.empty()) break;
    grown.push_back(block);
  }
  give(grown);
  for (const uint32_t size : {2048u, 65536u, 2048u, 16384u}) {
    const Blocks all = fill(size);
    EXPECT_EQ(all.size(), pool.bytes_total() / size) << size;
    give(all);
  }
}

// Four bindings: one may wait for a backend, and its place is given back with it.
TEST_F(HoldPoolTest, a_quarter_of_the_bindings_may_wait_for_a_backend) {
  const uint32_t a = take(0), b = take(1);
  EXPECT_TRUE(pool.wait_for(a, 7));
  EXPECT_TRUE(pool.wait_for(a, 7)) << "it does already";
  EXPECT_FALSE(pool.wait_for(b, 7));
  EXPECT_TRUE(pool.wait_for(b, 8));
  pool.stop_waiting(a);
  pool.stop_waiting(a);
  EXPECT_TRUE(pool.wait_for(b, 7)) << "and leaves the other one";
  pool.give_binding(b);
  EXPECT_TRUE(pool.wait_for(a, 7));
  pool.give_binding(a);
}

}  // namespace
}  // namespace limpet::dataplane
