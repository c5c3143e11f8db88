// Who gives when flows are too many: whoever has most of them standing still.
#include "limpet/flow/crowd.h"

#include <gtest/gtest.h>

namespace limpet::flow {
namespace {

using Stage = Crowd::Stage;

FlowId who(const Crowd& c, bool full = false) {
  const Crowd::One* one = c.who(full);
  return one == nullptr ? kNoFlow : one->id;
}

IpAddress ip(const std::string& text) {
  return IpAddress::parse(text).value();
}

TEST(Crowd, nobody_gives_where_nobody_is) {
  EXPECT_EQ(who(Crowd()), kNoFlow);
}

TEST(Crowd, the_source_with_most_gives_the_one_that_is_quiet_longest) {
  Crowd c;
  c.add({1, ip("192.0.2.1"), 9000, Stage::standing});
  c.add({2, ip("192.0.2.2"), 100, Stage::standing});
  c.add({3, ip("192.0.2.2"), 300, Stage::standing});
  c.add({4, ip("192.0.2.2"), 200, Stage::standing});
  EXPECT_EQ(who(c), 3u);
}

TEST(Crowd, equals_go_by_time) {
  Crowd c;
  c.add({1, ip("192.0.2.1"), 100, Stage::standing});
  c.add({2, ip("192.0.2.2"), 300, Stage::standing});
  c.add({3, ip("192.0.2.3"), 200, Stage::standing});
  EXPECT_EQ(who(c), 2u);
}

TEST(Crowd, the_same_flow_seen_twice_is_one) {
  Crowd c;
  for (int i = 0; i < 5; ++i) c.add({1, ip("192.0.2.1"), 900, Stage::standing});
  c.add({2, ip("192.0.2.2"), 100, Stage::standing});
  c.add({3, ip("192.0.2.2"), 200, Stage::standing});
  EXPECT_EQ(c.size(), 3u);
  EXPECT_EQ(who(c), 3u);
}

TEST(Crowd, no_connection_ends_while_there_are_ended_ones_to_forget) {
  Crowd c;
  for (FlowId id = 1; id < 9; ++id) c.add({id, ip("192.0.2.1"), 900, Stage::standing});
  EXPECT_NE(who(c), kNoFlow);
  c.add({9, ip("192.0.2.2"), 1, Stage::ended});
  c.add({10, ip("192.0.2.2"), 2, Stage::ended});
  EXPECT_EQ(who(c), kNoFlow);
  EXPECT_EQ(who(c, true), 10u);
}

TEST(Crowd, a_flood_of_half_open_ones_ends_no_connection) {
  Crowd c;
  c.add({1, ip("192.0.2.1"), 9000, Stage::standing});
  c.add({2, ip("192.0.2.1"), 8000, Stage::standing});
  for (FlowId id = 3; id < 5; ++id)
    c.add({id, ip("198.51.100." + std::to_string(id)), id, Stage::begun});
  EXPECT_EQ(who(c), 1u) << "as many as there are connections";
  c.add({5, ip("198.51.100.5"), 1, Stage::begun});
  EXPECT_EQ(who(c), kNoFlow);
  EXPECT_EQ(who(c, true), 4u) << "the oldest of them";
}

TEST(Crowd, of_ipv6_a_site_is_weighed_by_its_hosts) {
  Crowd c;
  // 16 addresses of one /64; 4 homes of one site that have one each; one who has 2.
  for (FlowId id = 1; id < 17; ++id)
    c.add({id, ip("2001:db8:1:1::" + std::to_string(id)), id, Stage::standing});
  for (FlowId id = 20; id < 24; ++id)
    c.add({id, ip("2001:db8:2:" + std::to_string(id) + "00::1"), 900, Stage::standing});
  EXPECT_EQ(who(c), 16u);
  Crowd few;
  for (FlowId id = 1; id < 9; ++id)  // of one /56, in networks of their own: two hosts' worth
    few.add({id, ip("2001:db8:3:" + std::to_string(id) + "::1"), 900, Stage::standing});
  for (FlowId id = 10; id < 13; ++id) few.add({id, ip("192.0.2.1"), id, Stage::standing});
  EXPECT_EQ(who(few), 12u);
  for (FlowId id = 20; id < 28; ++id)  // and now four
    few.add({id, ip("2001:db8:3:" + std::to_string(id) + "::1"), 900 + id, Stage::standing});
  EXPECT_EQ(who(few), 27u);
}

TEST(Crowd, takes_no_more_than_it_has_places_for) {
  Crowd c;
  for (FlowId id = 0; id < 2 * Crowd::kMost; ++id)
    c.add({id, ip("192.0.2.1"), id, Stage::standing});
  EXPECT_EQ(c.size(), Crowd::kMost);
  EXPECT_EQ(who(c), Crowd::kMost - 1);
}

}  // namespace
}  // namespace limpet::flow
