#include "limpet/wire/vlan.h"

#include <gtest/gtest.h>

#include "frames.h"
#include "limpet/wire/frame.h"

namespace limpet::wire {
namespace {

using test::Bytes;

Bytes tagged(Bytes frame, uint16_t type, uint16_t tag) {
  frame.insert(frame.begin() + 12, {static_cast<uint8_t>(type >> 8), static_cast<uint8_t>(type),
                                    static_cast<uint8_t>(tag >> 8), static_cast<uint8_t>(tag)});
  return frame;
}

TEST(PriorityTag, without_it_the_frame_is_the_same) {
  for (const uint16_t tag : std::initializer_list<uint16_t>{
           0x0000, 0xe000, 0x1000, 0xf000}) {  // any priority, drop eligible
    Bytes b = tagged(test::kTcp4Data, 0x8100, tag);
    ASSERT_TRUE(has_priority_tag(b)) << tag;
    cut_priority_tag(b);
    EXPECT_EQ(Bytes(b.begin() + kVlanTag, b.end()), test::kTcp4Data);
  }
}

TEST(PriorityTag, other_tags_stay) {
  EXPECT_FALSE(has_priority_tag(test::kTcp4Data));
  EXPECT_FALSE(has_priority_tag(tagged(test::kTcp4Data, 0x8100, 1)));
  EXPECT_FALSE(has_priority_tag(tagged(test::kTcp4Data, 0x8100, 0xefff)));
  EXPECT_FALSE(has_priority_tag(tagged(test::kTcp4Data, 0x88a8, 0)));
  for (const uint16_t inner : std::initializer_list<uint16_t>{0x8100, 0x88a8})
    EXPECT_FALSE(has_priority_tag(tagged(tagged(test::kTcp4Data, inner, 0), 0x8100, 0)));
  const Bytes whole = tagged(test::kTcp4Data, 0x8100, 0);
  for (size_t n = 0; n < 18; ++n) EXPECT_FALSE(has_priority_tag(std::span(whole).first(n))) << n;
  EXPECT_TRUE(has_priority_tag(std::span(whole).first(18)));
}

}  // namespace
}  // namespace limpet::wire
