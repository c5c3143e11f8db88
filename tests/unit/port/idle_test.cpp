#include "limpet/port/idle.h"

#include <gtest/gtest.h>

namespace limpet::port {
namespace {

using Action = Idle::Action;

TEST(Idle, polls_then_pauses_then_naps) {
  Idle idle;
  for (unsigned i = 1; i < Idle::kPollsBeforePause; ++i)
    ASSERT_EQ(idle.next(false, true), Action::poll) << i;
  for (unsigned i = Idle::kPollsBeforePause; i <= Idle::kPollsBeforeNap; ++i)
    ASSERT_EQ(idle.next(false, true), Action::pause) << i;
  EXPECT_EQ(idle.next(false, true), Action::nap);
  EXPECT_EQ(idle.next(false, true), Action::nap);
}

TEST(Idle, starts_anew_when_something_was_found) {
  Idle idle;
  while (idle.next(false, true) != Action::nap) {
  }
  idle.nap();
  EXPECT_EQ(idle.next(true, true), Action::poll);
  EXPECT_EQ(idle.next(false, true), Action::poll);
  while (idle.next(false, true) != Action::nap) {
  }
  EXPECT_EQ(idle.nap(), Idle::kFirstNap);
}

TEST(Idle, naps_longer_each_time_up_to_the_limit) {
  Idle idle;
  Duration last = idle.nap();
  EXPECT_EQ(last, Idle::kFirstNap);
  for (int i = 0; i < 20; ++i) {
    const Duration next = idle.nap();
    ASSERT_GE(next, last);
    ASSERT_LE(next, Idle::kLongestNap);
    last = next;
  }
  EXPECT_EQ(last, Idle::kLongestNap);
}

TEST(Idle, does_not_nap_while_something_waits) {
  Idle idle;
  for (int i = 0; i < 1000; ++i) ASSERT_NE(idle.next(false, false), Action::nap);
  EXPECT_EQ(idle.next(false, true), Action::nap);
}

}  // namespace
}  // namespace limpet::port
