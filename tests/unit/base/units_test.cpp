#include "limpet/base/units.h"

#include <gtest/gtest.h>

namespace limpet {
namespace {

using namespace std::chrono_literals;

TEST(Duration, reads_each_unit) {
  EXPECT_EQ(*parse_duration("500us"), 500us);
  EXPECT_EQ(*parse_duration("20ms"), 20ms);
  EXPECT_EQ(*parse_duration("1s"), 1s);
  EXPECT_EQ(*parse_duration("5m"), 5min);
  EXPECT_EQ(*parse_duration("8h"), 8h);
  EXPECT_EQ(*parse_duration("7d"), 168h);
  EXPECT_EQ(*parse_duration("0"), 0s);
}

TEST(Duration, refuses_the_rest_and_says_what_would_be_right) {
  for (const char* text :
       {"", "s", "5", "-1s", "1.5s", "1 s", "1S", "99999999999999999999s", "300y", "107000d"})
    EXPECT_FALSE(parse_duration(text)) << text;
  EXPECT_NE(parse_duration("5").error().find("such as \"500ms\""), std::string::npos);
}

TEST(Size, is_in_powers_of_1024) {
  EXPECT_EQ(*parse_size("1500"), 1500u);
  EXPECT_EQ(*parse_size("16k"), 16384u);
  EXPECT_EQ(*parse_size("4M"), 4194304u);
  EXPECT_FALSE(parse_size("16kb"));
  EXPECT_FALSE(parse_size("18446744073709551616"));
}

TEST(Duration, prints_in_the_largest_unit_that_divides) {
  EXPECT_EQ(format_duration(90s), "90s");
  EXPECT_EQ(format_duration(120s), "2m");
  EXPECT_EQ(format_duration(500ms), "500ms");
  EXPECT_EQ(format_duration(0s), "0s");
}

}  // namespace
}  // namespace limpet
