#include "limpet/port/idle.h"

#include <gtest/gtest.h>

namespace limpet::port {
namespace {

using Action = Idle::Action;

TEST(Idle, PollsThenPausesThenNaps) {
  Idle idle;
  for (unsigned i = 1; i < Idle::kPollsBeforePause; ++i)
    ASSERT_EQ(idle.next(false, true), Action::poll) << i;
  for (unsigned i = Idle::kPollsBeforePause; i <= Idle::kPollsBeforeNap; ++i)
    ASSERT_EQ(idle.next(false, true), Action::pause) << i;
  EXPECT_EQ(idle.next(false, true), Action::nap);
  EXPECT_EQ(idle.next(false, true), Action::nap);
}

TEST(Idle, StartsAnewWhenSomethingWasFound) {
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

TEST(Idle, NapsLongerEachTimeUpToTheLimit) {
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

TEST(Idle, DoesNotNapWhileSomethingWaits) {
  Idle idle;
  for (int i = 0; i < 1000; ++i) ASSERT_NE(idle.next(false, false), Action::nap);
  EXPECT_EQ(idle.next(false, true), Action::nap);
}

}  // namespace
}  // namespace limpet::port
