#include "limpet/base/loop.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <chrono>

namespace limpet {
namespace {

using namespace std::chrono_literals;

Instant now() {
  const auto at = std::chrono::steady_clock::now().time_since_epoch();
  return {static_cast<uint64_t>(std::chrono::duration_cast<Duration>(at).count())};
}

TEST(Loop, a_handler_may_forget_others_that_are_due) {
  auto loop = Loop::create(now).value();
  int a[2], b[2];
  ASSERT_EQ(pipe(a), 0);
  ASSERT_EQ(pipe(b), 0);
  int calls = 0;
  const auto once = [&](uint32_t) {
    ++calls;
    loop->forget(a[0]);
    loop->forget(b[0]);
  };
  loop->watch(a[0], POLLIN, once);
  loop->watch(b[0], POLLIN, once);
  ASSERT_EQ(write(a[1], "x", 1), 1);
  ASSERT_EQ(write(b[1], "x", 1), 1);
  loop->wait(1s);
  EXPECT_EQ(calls, 1);
  for (const int fd : {a[0], a[1], b[0], b[1]}) close(fd);
}

TEST(Loop, sleeps_as_long_as_told_and_not_shorter) {
  auto loop = Loop::create(now).value();
  const auto start = std::chrono::steady_clock::now();
  loop->wait(1500us);
  EXPECT_GE(std::chrono::steady_clock::now() - start, 1500us);
}

TEST(Loop, has_slept_by_its_clock_and_no_longer_than_told) {
  Duration step = 300us;
  Instant at;
  auto loop = Loop::create([&] { return at = at + step; }).value();
  loop->wait(1ms);
  EXPECT_EQ(loop->slept(), step);
  step = 5s;
  loop->wait(1ms);
  EXPECT_EQ(loop->slept(), 1ms);
}

}  // namespace
}  // namespace limpet
