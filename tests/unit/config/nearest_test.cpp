#include "nearest.h"

#include <gtest/gtest.h>

namespace limpet::config {
namespace {

TEST(EditDistance, counts_each_kind_of_slip_once) {
  EXPECT_EQ(edit_distance("weight", "weight"), 0u);
  EXPECT_EQ(edit_distance("weigt", "weight"), 1u);    // missing
  EXPECT_EQ(edit_distance("weeight", "weight"), 1u);  // doubled
  EXPECT_EQ(edit_distance("weighd", "weight"), 1u);   // replaced
  EXPECT_EQ(edit_distance("wieght", "weight"), 1u);   // swapped
  EXPECT_EQ(edit_distance("", "abc"), 3u);
  EXPECT_EQ(edit_distance("abc", ""), 3u);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
}

TEST(Nearest, is_the_closest_name_within_reach) {
  const std::vector<std::string_view> known = {"name", "address", "port", "weight"};
  EXPECT_EQ(nearest("wieght", known), "weight");
  EXPECT_EQ(nearest("adress", known), "address");
  EXPECT_EQ(nearest("prot", known), "port");
  EXPECT_EQ(nearest("colour", known), "");
  EXPECT_EQ(nearest("s1", {"s0", "s2", "s1"}), "s1");
  EXPECT_EQ(nearest("s1", {"s0", "s2"}), "s0") << "the first of equals";
  EXPECT_EQ(nearest(std::string(100000, 'x'), known), "");
}

TEST(Suggestion, lists_the_names_when_none_is_near) {
  EXPECT_EQ(suggestion("prot", {"name", "port"}, "none"), "\"port\"");
  EXPECT_EQ(suggestion("colour", {"name", "port"}, "none"), "one of name, port");
  EXPECT_EQ(suggestion("colour", {"name"}, "none"), "\"name\"");
  EXPECT_EQ(suggestion("colour", {}, "none"), "none");
}

}  // namespace
}  // namespace limpet::config
