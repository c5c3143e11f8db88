// Somebody else claims our address: one line, and not again for a while.
#include "limpet/control/conflicts.h"

#include <gtest/gtest.h>

#include "limpet/base/drop.h"

namespace limpet::control {
namespace {

using std::chrono::seconds;

class ConflictsTest : public ::testing::Test {
 protected:
  void claim(size_t worker, size_t port, uint64_t mac) {
    stats_[worker].drops[port][static_cast<size_t>(Drop::address_conflict)].packets.add();
    stats_[worker].worker.conflict_mac.set(mac);
  }
  std::vector<Conflicts::News> turn(Duration later) {
    now_ = now_ + later;
    return conflicts_.turn(now_);
  }
  dataplane::WorkerStats stats_[2] = {{2, 1, 1}, {2, 1, 1}};
  Conflicts conflicts_{{&stats_[0], &stats_[1]}, 2};
  Instant now_{5'000'000'000};
};

TEST_F(ConflictsTest, nothing_is_said_while_nothing_happens) {
  stats_[0].drops[0][static_cast<size_t>(Drop::arp_bad)].packets.add();
  EXPECT_TRUE(turn(seconds(1)).empty());
}

TEST_F(ConflictsTest, who_it_is_on_which_port_and_how_often) {
  claim(0, 1, 0x020000000001);
  claim(1, 1, 0x02ab00000007);
  claim(1, 1, 0x02ab00000007);
  const auto news = turn(seconds(1));
  ASSERT_EQ(news.size(), 1u);
  EXPECT_EQ(news[0].port, 1u);
  EXPECT_EQ(news[0].packets, 3u);
  EXPECT_EQ(news[0].claimant.to_string(), "02:ab:00:00:00:07") << "of the worker that saw most";
}

TEST_F(ConflictsTest, a_port_is_quiet_for_a_minute_and_then_tells_the_sum) {
  claim(0, 0, 1);
  EXPECT_EQ(turn(seconds(1)).size(), 1u);
  for (int i = 0; i < 59; ++i) {
    claim(0, 0, 1);
    EXPECT_TRUE(turn(seconds(1)).empty()) << i;
  }
  claim(0, 1, 2);
  const auto other = turn(Duration::zero());
  ASSERT_EQ(other.size(), 1u) << "another port has a line of its own";
  EXPECT_EQ(other[0].port, 1u);
  const auto again = turn(seconds(1));
  ASSERT_EQ(again.size(), 1u);
  EXPECT_EQ(again[0].packets, 59u);
  EXPECT_TRUE(turn(seconds(3600)).empty()) << "it is over";
}

}  // namespace
}  // namespace limpet::control
