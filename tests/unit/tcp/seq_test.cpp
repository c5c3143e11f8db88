#include "limpet/tcp/seq.h"

#include <gtest/gtest.h>

namespace limpet::tcp {
namespace {

TEST(Seq, order_survives_the_wrap) {
  constexpr Seq before{0xfffffff0u};
  constexpr Seq after = before + 0x20;
  EXPECT_EQ(after.value, 0x10u);
  EXPECT_LT(before, after);
  EXPECT_GT(after, before);
  EXPECT_LE(before, before);
  EXPECT_GE(after, after);
  EXPECT_FALSE(after < before);
  EXPECT_FALSE(after <= before);
}

TEST(Seq, distance_is_signed) {
  EXPECT_EQ(Seq{5} - Seq{3}, 2);
  EXPECT_EQ(Seq{3} - Seq{5}, -2);
  EXPECT_EQ(Seq{1} - Seq{0xffffffffu}, 2);
  EXPECT_EQ((Seq{1} - 2u).value, 0xffffffffu);
}

TEST(Seq, a_value_is_neither_before_nor_after_itself) {
  constexpr Seq s{0x80000000u};
  EXPECT_FALSE(s < s);
  EXPECT_FALSE(s > s);
  EXPECT_EQ(s, s);
}

}  // namespace
}  // namespace limpet::tcp
