// A hold of sixteen octets from 0xfffffff8 on: the numbers wrap within it.
#include "limpet/tcp/hold.h"

#include <gtest/gtest.h>

#include <array>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace limpet::tcp {
namespace {

class HoldTest : public testing::Test {
 protected:
  bool put(uint32_t at, std::string_view text, bool fin = false) {
    return hold.put(begin + at, {reinterpret_cast<const uint8_t*>(text.data()), text.size()}, fin);
  }
  std::string kept() const {
    const auto b = hold.bytes();
    return {b.begin(), b.end()};
  }

  const Seq begin{0xfffffff8u};
  std::array<uint8_t, 16> memory{};
  Hold hold{memory, begin};
};

TEST_F(HoldTest, octets_in_order_follow_each_other) {
  EXPECT_TRUE(put(0, "abcdef"));
  EXPECT_TRUE(put(6, "ghij"));
  EXPECT_EQ(kept(), "abcdefghij");
  EXPECT_EQ(hold.end(), Seq{2});
}

TEST_F(HoldTest, what_is_known_is_not_written_again) {
  put(0, "abcd");
  EXPECT_FALSE(put(0, "abcd"));
  EXPECT_FALSE(put(1, "??"));
  EXPECT_TRUE(put(2, "cdef"));
  EXPECT_EQ(kept(), "abcdef");
  EXPECT_TRUE(put(static_cast<uint32_t>(-3), "xyzabcdefgh")) << "it begins in front of the base";
  EXPECT_EQ(kept(), "abcdefgh");
}

TEST_F(HoldTest, one_range_behind_a_gap_is_kept) {
  put(0, "ab");
  EXPECT_FALSE(put(4, "ef"));
  EXPECT_FALSE(put(6, "gh"));
  EXPECT_FALSE(put(10, "k")) << "a second gap is not";
  EXPECT_EQ(kept(), "ab");
  EXPECT_TRUE(put(2, "cd"));
  EXPECT_EQ(kept(), "abcdefgh");
}

TEST_F(HoldTest, what_does_not_fit_is_not_taken_and_its_fin_neither) {
  EXPECT_TRUE(put(0, "0123456789abcdefXYZ", true));
  EXPECT_EQ(kept(), "0123456789abcdef");
  EXPECT_FALSE(hold.has_fin());
  EXPECT_FALSE(put(17, "more"));
}

TEST_F(HoldTest, a_fin_counts_behind_the_last_octet_only) {
  put(0, "ab");
  EXPECT_FALSE(put(4, "ef", true));
  EXPECT_TRUE(put(2, "cd"));
  EXPECT_FALSE(hold.has_fin()) << "it comes again";
  EXPECT_TRUE(put(4, "", true));
  EXPECT_TRUE(hold.has_fin());
  EXPECT_FALSE(put(4, "gh")) << "nothing follows it";
  EXPECT_EQ(kept(), "abcd");
}

TEST_F(HoldTest, forgotten_octets_make_room) {
  put(0, "0123456789");
  put(12, "cd");
  hold.forget(begin + 8);
  EXPECT_EQ(hold.base(), begin + 8);
  EXPECT_EQ(kept(), "89");
  EXPECT_TRUE(put(10, "ab"));
  EXPECT_EQ(kept(), "89abcd") << "what is behind the gap has moved too";
  EXPECT_TRUE(put(14, "efghij"));
  EXPECT_EQ(kept(), "89abcdefghij");
}

TEST_F(HoldTest, a_larger_memory_keeps_what_was_there) {
  put(0, "abc");
  put(5, "fg");
  std::array<uint8_t, 32> larger{};
  hold.move_to(larger);
  put(3, "de");
  EXPECT_EQ(kept(), "abcdefg");
  EXPECT_EQ(hold.limit(), begin + 32);
}

TEST_F(HoldTest, what_is_held_is_not_changed_by_a_longer_copy) {
  put(0, "abcd");
  EXPECT_TRUE(put(0, "ABCDef"));
  EXPECT_EQ(kept(), "abcdef");
  EXPECT_TRUE(put(2, "??????gh"));
  EXPECT_EQ(kept(), "abcdef??gh");
}

TEST_F(HoldTest, what_is_held_behind_a_gap_is_not_changed_either) {
  put(4, "efgh");
  put(2, "cdEFGHij");
  put(3, "?");
  EXPECT_TRUE(put(0, "abCDEFGHIJKL"));
  EXPECT_EQ(kept(), "abcdefghijKL");
}

TEST_F(HoldTest, a_fin_that_was_taken_stays_where_it_is) {
  put(0, "abcd", true);
  EXPECT_FALSE(put(0, "abcdef", true));
  EXPECT_FALSE(put(0, "ab", true));
  EXPECT_FALSE(put(6, "gh"));
  EXPECT_EQ(kept(), "abcd");
  EXPECT_TRUE(hold.has_fin());
}

TEST_F(HoldTest, a_fin_in_the_middle_of_what_is_held_is_not_taken) {
  put(4, "ef");
  EXPECT_TRUE(put(0, "abcdE", true));
  EXPECT_EQ(kept(), "abcdef");
  EXPECT_FALSE(hold.has_fin());
  put(8, "ij");
  EXPECT_TRUE(put(6, "g", true)) << "in front of the gap it is";
  EXPECT_EQ(kept(), "abcdefg");
  EXPECT_TRUE(hold.has_fin());
  EXPECT_FALSE(put(7, "h"));
}

// Against octets that each remember their first copy: whatever is repeated, cut, forgotten, moved.
TEST(HoldModel, the_first_copy_of_every_octet_stands) {
  constexpr uint32_t kRoom = 48;
  for (uint32_t seed = 1; seed <= 1000; ++seed) {
    std::mt19937 random(seed);
    const auto below = [&](uint32_t n) { return static_cast<uint32_t>(random() % n); };
    std::vector<uint8_t> memory(kRoom);
    const Seq begin{0xffffffe0u + below(8)};
    Hold hold(memory, begin);
    std::vector<std::optional<uint8_t>> first(4 * kRoom);  // by distance from `begin`
    uint32_t base = 0, end = 0;
    std::optional<uint32_t> fin;
    for (int turn = 0; turn < 40; ++turn) {
      const uint32_t at = base + below(kRoom + 8) - std::min(base, below(6));
      std::string text;
      for (uint32_t n = below(14); n != 0; --n) text.push_back(static_cast<char>('a' + below(26)));
      const bool with_fin = below(8) == 0;
      const bool moved = hold.put(
          begin + at, {reinterpret_cast<const uint8_t*>(text.data()), text.size()}, with_fin);
      const auto now = static_cast<uint32_t>(hold.end() - begin);
      ASSERT_GE(now, end);
      ASSERT_EQ(moved, now != end || hold.has_fin() != fin.has_value()) << "seed " << seed;
      ASSERT_TRUE(!fin || now == *fin) << "seed " << seed;
      // What has come to be held now, was either held behind the gap or is in this segment.
      const uint32_t limit = static_cast<uint32_t>(hold.limit() - begin);
      for (uint32_t i = 0; i < text.size(); ++i)
        if (at + i >= base && at + i < limit && !first[at + i] && !fin &&
            hold.holds(begin + at + i))
          first[at + i] = static_cast<uint8_t>(text[i]);
      end = now;
      if (hold.has_fin() && !fin) fin = end;
      const auto bytes = hold.bytes();
      for (uint32_t i = 0; i < bytes.size(); ++i) {
        ASSERT_TRUE(first[base + i]) << "seed " << seed << " octet " << base + i;
        ASSERT_EQ(bytes[i], *first[base + i]) << "seed " << seed << " octet " << base + i;
      }
      if (below(6) == 0) {
        const uint32_t gone = below(end - base + 1);
        hold.forget(begin + base + gone);
        base += gone;
      }
      if (below(12) == 0 && memory.size() < 3 * kRoom - base) {
        std::vector<uint8_t> larger(memory.size() + 8);
        hold.move_to(larger);
        memory.swap(larger);
      }
    }
  }
}

}  // namespace
}  // namespace limpet::tcp
