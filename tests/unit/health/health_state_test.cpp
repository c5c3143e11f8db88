// Rise and fall, and when checks are due.
#include "limpet/health/health_state.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "limpet/health/checks.h"
#include "limpet/health/schedule.h"

namespace limpet::health {
namespace {

using balance::Health;
using std::chrono::milliseconds;

constexpr Instant kStart{1'000'000'000'000};
const CheckResult kPass{true, ""};
const CheckResult kRefused{false, "connection refused"};

Instant at(int64_t ms) {
  return kStart + milliseconds(ms);
}

TEST(HealthState, the_first_result_decides_at_once_either_way) {
  HealthState up(5, 5), down(5, 5);
  EXPECT_EQ(up.health(), Health::unknown);
  ASSERT_TRUE(up.feed(kPass, at(0)));
  EXPECT_EQ(up.health(), Health::up);
  const auto t = down.feed(kRefused, at(0));
  ASSERT_TRUE(t);
  EXPECT_EQ(t->to, Health::down);
  EXPECT_EQ(t->reason, "health check: connection refused; 1 failed");
}

TEST(HealthState, falls_after_fall_failures_in_a_row) {
  HealthState s(2, 3);
  s.feed(kPass, at(0));
  EXPECT_FALSE(s.feed(kRefused, at(1)));
  EXPECT_FALSE(s.feed(kRefused, at(2)));
  EXPECT_EQ(s.health(), Health::up);
  const auto t = s.feed(kRefused, at(3));
  ASSERT_TRUE(t);
  EXPECT_EQ(t->reason, "health check: connection refused; 3 failed");
  EXPECT_EQ(s.health(), Health::down);
  EXPECT_FALSE(s.feed(kRefused, at(4))) << "told once";
}

TEST(HealthState, a_success_in_between_starts_the_count_again) {
  HealthState s(2, 3);
  s.feed(kPass, at(0));
  for (int i = 0; i < 5; ++i) {
    EXPECT_FALSE(s.feed(kRefused, at(1)));
    EXPECT_FALSE(s.feed(kRefused, at(2)));
    EXPECT_FALSE(s.feed(kPass, at(3)));
  }
  EXPECT_EQ(s.health(), Health::up);
}

TEST(HealthState, rises_after_rise_successes_in_a_row) {
  HealthState s(2, 1);
  s.feed(kRefused, at(0));
  EXPECT_FALSE(s.feed(kPass, at(1)));
  EXPECT_FALSE(s.feed(kRefused, at(2)));
  EXPECT_FALSE(s.feed(kPass, at(3)));
  const auto t = s.feed(kPass, at(4));
  ASSERT_TRUE(t);
  EXPECT_EQ(t->to, Health::up);
  EXPECT_EQ(t->reason, "health check: passed 2 in a row");
}

TEST(HealthState, remembers_the_last_success_and_the_last_error) {
  HealthState s(1, 2);
  EXPECT_FALSE(s.last_ok());
  EXPECT_EQ(s.last_error(), "");
  s.feed(kPass, at(5));
  s.feed(kRefused, at(6));
  s.feed({false, "status 500, expected 200-399"}, at(7));
  EXPECT_EQ(s.last_ok(), at(5));
  EXPECT_EQ(s.last_error(), "status 500, expected 200-399");
}

TEST(HealthState, new_limits_count_what_has_happened) {
  HealthState s(1, 10);
  s.feed(kPass, at(0));
  s.feed(kRefused, at(1));
  s.feed(kRefused, at(2));
  s.set_limits(1, 3);
  EXPECT_EQ(s.health(), Health::up);
  EXPECT_TRUE(s.feed(kRefused, at(3)));
}

TEST(Schedule, nothing_is_due_without_items) {
  Schedule s(10);
  EXPECT_FALSE(s.next());
  EXPECT_FALSE(s.start(at(0)));
}

TEST(Schedule, first_checks_spread_over_the_interval) {
  Schedule s(1000);
  for (uint32_t i = 0; i < 100; ++i)
    s.set(i, "web/s" + std::to_string(i), milliseconds(1000), at(0));
  int by_quarter[4] = {};
  for (int ms = 0; ms < 1000; ++ms)
    while (s.start(at(ms))) ++by_quarter[ms / 250];
  for (const int n : by_quarter) {
    EXPECT_GT(n, 12);
    EXPECT_LT(n, 38);
  }
  EXPECT_EQ(s.running(), 100u);
}

TEST(Schedule, a_long_interval_does_not_delay_the_first_check) {
  Schedule s(10);
  s.set(1, "web/s0", std::chrono::hours(1), at(0));
  EXPECT_LE(*s.next(), kStart + Schedule::kFirstWithin);
}

TEST(Schedule, an_item_is_due_every_interval_and_keeps_its_phase) {
  Schedule s(10);
  s.set(1, "web/s0", milliseconds(100), at(0));
  const Instant first = *s.next();
  EXPECT_FALSE(s.start({first.ns - 1}));
  ASSERT_EQ(s.start(first), 1u);
  s.ended(1, first + milliseconds(30));
  EXPECT_EQ(*s.next(), first + milliseconds(100));
  ASSERT_EQ(s.start(first + milliseconds(117)), 1u) << "late";
  s.ended(1, first + milliseconds(119));
  EXPECT_EQ(*s.next(), first + milliseconds(200)) << "but not for ever";
}

TEST(Schedule, an_item_that_runs_is_not_due) {
  Schedule s(10);
  s.set(1, "web/s0", milliseconds(100), at(0));
  ASSERT_TRUE(s.start(at(100)));
  EXPECT_FALSE(s.start(at(1000)));
  EXPECT_FALSE(s.next());
  s.ended(1, at(1000));
  EXPECT_GT(*s.next(), at(1000)) << "missed turns are not made up for";
}

TEST(Schedule, at_most_so_many_run_and_the_longest_due_goes_first) {
  Schedule s(2);
  std::set<uint32_t> late;
  for (uint32_t i = 0; i < 3; ++i)
    s.set(i, std::string(1, static_cast<char>('a' + i)), milliseconds(100), at(0));
  const auto first = s.start(at(100)), second = s.start(at(100));
  ASSERT_TRUE(first && second);
  EXPECT_FALSE(s.start(at(100)));
  EXPECT_FALSE(s.next()) << "nothing to wake up for before one ends";
  s.ended(*first, at(101));
  const auto third = s.start(at(101));
  ASSERT_TRUE(third);
  EXPECT_NE(*third, *first) << "its turn is over";
  EXPECT_NE(*third, *second);
}

TEST(Schedule, removing_what_runs_gives_its_place_back) {
  Schedule s(1);
  s.set(1, "a", milliseconds(100), at(0));
  s.set(2, "b", milliseconds(100), at(0));
  const auto running = s.start(at(100));
  ASSERT_TRUE(running);
  s.remove(*running);
  EXPECT_TRUE(s.start(at(100)));
  s.ended(*running, at(101));  // comes late, means nothing
  EXPECT_EQ(s.running(), 1u);
}

TEST(Schedule, an_end_counts_once) {
  Schedule s(1);
  s.set(1, "a", milliseconds(100), at(0));
  s.ended(1, at(50));  // never started
  ASSERT_TRUE(s.start(at(100)));
  s.ended(1, at(110));
  s.ended(1, at(120));
  EXPECT_EQ(s.running(), 0u);
  EXPECT_TRUE(s.start(at(210)));
  EXPECT_FALSE(s.start(at(210)));
}

TEST(Schedule, another_interval_holds_from_the_next_check_on) {
  Schedule s(10);
  s.set(1, "a", milliseconds(1000), at(0));
  ASSERT_TRUE(s.start(at(1000)));
  s.set(1, "a", milliseconds(50), at(1010));
  s.ended(1, at(1020));
  EXPECT_LE(*s.next(), at(1070));
}

TEST(Schedule, tells_when_a_running_item_was_due) {
  Schedule s(1);
  s.set(7, "web/s0", milliseconds(1000), at(0));
  const Instant due = *s.next();
  ASSERT_TRUE(s.start(due + milliseconds(40)));
  EXPECT_EQ(s.due(7), due);
  s.ended(7, due + milliseconds(90));
  EXPECT_EQ(*s.next(), due + milliseconds(1000));
}

// fall x interval + timeout is counted from the moment at which a check was due.
TEST(TimeLeft, ends_a_check_when_it_would_have_ended_had_it_started_in_time) {
  EXPECT_EQ(time_left(milliseconds(500), milliseconds(0)), milliseconds(497));
  EXPECT_EQ(time_left(milliseconds(500), milliseconds(20)), milliseconds(477));
  EXPECT_EQ(time_left(milliseconds(500), milliseconds(300)), milliseconds(450))
      << "a tenth at most";
  EXPECT_EQ(time_left(milliseconds(10), milliseconds(0)), milliseconds(9));
  EXPECT_EQ(time_left(milliseconds(500), milliseconds(-5)), milliseconds(497));
}

}  // namespace
}  // namespace limpet::health
