#include "limpet/port/clock.h"

#include <gtest/gtest.h>

namespace limpet::port {
namespace {

TEST(Clock, starts_where_it_was_set) {
  const Clock clock(2000000000, 5000, {777});
  EXPECT_EQ(clock.at(5000).ns, 777u);
}

TEST(Clock, counts_nanoseconds_at_any_rate) {
  for (const uint64_t hz :
       {uint64_t{1000000000}, uint64_t{2600000000}, uint64_t{24000000}, uint64_t{2999999999}}) {
    const Clock clock(hz, 0, {0});
    const uint64_t second = clock.at(hz).ns;
    EXPECT_LE(second, 1000000000u) << hz;
    EXPECT_GE(second, 999999990u) << hz;
    // A year: the multiplication must not overflow, and the error stays below a millisecond a day.
    constexpr uint64_t kYear = 365 * 86400;
    EXPECT_NEAR(static_cast<double>(clock.at(kYear * hz).ns), 1e9 * kYear, 365 * 1e6) << hz;
  }
}

TEST(Clock, never_runs_backwards) {
  const Clock clock(2600000000, 100, {0});
  uint64_t before = 0;
  for (uint64_t tsc = 100; tsc < 100000; tsc += 7) {
    const uint64_t now = clock.at(tsc).ns;
    ASSERT_GE(now, before);
    before = now;
  }
}

}  // namespace
}  // namespace limpet::port
