#include "limpet/affinity/backend_ids.h"

#include <gtest/gtest.h>

#include <set>

#include "limpet/affinity/persistence.h"

namespace limpet::affinity {
namespace {

// Computed by an independent SipHash (Python). To change one is to invalidate every cookie.
TEST(BackendIds, golden_ids_do_not_change) {
  EXPECT_EQ(backend_id("s0"), 0x009c08u);
  EXPECT_EQ(backend_id("s1"), 0x604b85u);
  EXPECT_EQ(backend_id(""), 0xfb6537u);
  EXPECT_EQ(backend_id("web-1.example"), 0xed66c8u);
}

TEST(BackendIds, an_id_leads_to_its_member_and_a_strange_one_to_nobody) {
  const BackendIds ids({"s0", "s1", "web-1.example"});
  ASSERT_EQ(ids.size(), 3u);
  for (uint16_t m = 0; m < 3; ++m) {
    const auto found = ids.find(backend_id(ids.name(m)));
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(found[0].member, m);
    EXPECT_EQ(ids.id(m), backend_id(ids.name(m)));
  }
  EXPECT_TRUE(ids.find(backend_id("s2")).empty());
  EXPECT_TRUE(BackendIds().find(0).empty());
}

TEST(BackendIds, members_of_one_value_come_in_the_order_of_the_configuration) {
  const BackendIds ids({"b", "a", "b", "c", "b"});
  const auto found = ids.find(backend_id("b"));
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[0].member, 0);
  EXPECT_EQ(found[1].member, 2);
  EXPECT_EQ(found[2].member, 4);
}

TEST(BackendIds, a_collision_is_found_with_both_places) {
  // Found by search: the first two of b0, b1, ... with one id.
  ASSERT_EQ(backend_id("b1039"), backend_id("b4253"));
  const std::vector<std::string> bad = {"s0", "b4253", "s1", "b1039"};
  EXPECT_EQ(find_id_collision(bad), std::pair(size_t{1}, size_t{3}));
  const std::vector<std::string> good = {"s0", "b4253", "s1", "b1040"};
  EXPECT_FALSE(find_id_collision(good));
  EXPECT_FALSE(find_id_collision({}));
}

TEST(BackendIds, one_name_twice_is_no_collision) {
  const std::vector<std::string> shared = {"s0", "s0"};
  EXPECT_FALSE(find_id_collision(shared));
}

TEST(Persistence, flags_have_the_names_of_the_interface_and_the_letters_of_haproxy) {
  const char* const request[] = {"none", "invalid", "down", "valid", "expired", "old", "unused"};
  std::string letters;
  for (size_t i = 0; i < kRequestFlagCount; ++i) {
    EXPECT_STREQ(name(static_cast<RequestFlag>(i)), request[i]);
    letters += letter(static_cast<RequestFlag>(i));
  }
  EXPECT_EQ(letters, "NIDVEOU");
  const char* const response[] = {"none", "inserted", "updated", "passive", "rewritten", "deleted"};
  for (size_t i = 0; i < kResponseFlagCount; ++i)
    EXPECT_STREQ(name(static_cast<ResponseFlag>(i)), response[i]);
}

TEST(Persistence, details_have_stable_names) {
  const char* const details[] = {
      "none",        "empty",  "truncated",   "too_long",     "bad_character",   "trailing_bits",
      "unknown_key", "forged", "bad_version", "future_dated", "unknown_backend", "not_learned"};
  ASSERT_EQ(kInvalidDetailCount, std::size(details));
  for (size_t i = 0; i < kInvalidDetailCount; ++i)
    EXPECT_STREQ(name(static_cast<InvalidDetail>(i)), details[i]);
  EXPECT_STREQ(name(InvalidDetail::count_), "?");
}

}  // namespace
}  // namespace limpet::affinity
