// A port's link goes and comes back.
#include "limpet/control/links.h"

#include <gtest/gtest.h>

namespace limpet::control {
namespace {

using std::chrono::milliseconds;

class LinksTest : public ::testing::Test {
 protected:
  std::vector<Links::News> turn(Duration later = Links::kLook) {
    now_ = now_ + later;
    return links_.turn(now_);
  }
  std::vector<bool> up_{true, false};
  unsigned asked_ = 0;
  Links links_{[this](size_t port) {
                 ++asked_;
                 return up_[port];
               },
               2};
  Instant now_{5'000'000'000};
};

TEST_F(LinksTest, as_they_are_at_the_start_is_no_news) {
  EXPECT_TRUE(turn().empty());
}

TEST_F(LinksTest, every_change_is_told_once_with_its_port) {
  up_[0] = false;
  auto news = turn();
  ASSERT_EQ(news.size(), 1u);
  EXPECT_EQ(news[0].port, 0u);
  EXPECT_FALSE(news[0].up);
  EXPECT_TRUE(turn().empty());
  up_ = {true, true};
  news = turn();
  ASSERT_EQ(news.size(), 2u);
  EXPECT_TRUE(news[0].up);
  EXPECT_EQ(news[1].port, 1u) << "it had no link when we began";
  EXPECT_TRUE(news[1].up);
  EXPECT_TRUE(turn().empty());
}

TEST_F(LinksTest, drivers_are_asked_once_a_second_however_often_the_loop_turns) {
  turn();
  const unsigned before = asked_;
  for (int i = 0; i < 99; ++i) turn(milliseconds(10));
  EXPECT_EQ(asked_, before);
  turn(milliseconds(10));
  EXPECT_EQ(asked_, before + 2);
}

TEST(Links, nothing_happens_where_nobody_can_be_asked) {
  Links links(nullptr, 2);
  EXPECT_TRUE(links.turn(Instant{1}).empty());
}

}  // namespace
}  // namespace limpet::control
