// Counters: gauges go down again, and drops add up over ports and reasons.
#include "limpet/dataplane/counters.h"

#include <gtest/gtest.h>

namespace limpet::dataplane {
namespace {

TEST(Counters, gauges_come_back_to_zero) {
  Counter c;
  c.add(5);
  c.sub(2);
  EXPECT_EQ(c.get(), 3u);
  c.sub(3);
  EXPECT_EQ(c.get(), 0u);
}

TEST(Counters, drops_of_all_ports_and_reasons_add_up) {
  WorkerStats s(3, 2, 2);
  s.drops[0][static_cast<size_t>(Drop::no_flow)].packets.add(2);
  s.drops[2][static_cast<size_t>(Drop::shutdown)].packets.add(3);
  EXPECT_EQ(s.drops_total(), 5u);
}

TEST(Counters, workers_do_not_share_cache_lines) {
  EXPECT_EQ(alignof(WorkerCounters), 64u);
  EXPECT_EQ(sizeof(BackendCounters) % 64, 0u);
  EXPECT_EQ(sizeof(ServiceCounters) % 64, 0u);
}

}  // namespace
}  // namespace limpet::dataplane
