// A hold of sixteen octets from 0xfffffff8 on: the numbers wrap within it.
#include "limpet/tcp/hold.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <string_view>

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

}  // namespace
}  // namespace limpet::tcp
