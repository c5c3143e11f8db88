#include "limpet/flow/wheel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <vector>

namespace limpet::flow {
namespace {

constexpr unsigned kPlenty = 1u << 30;
constexpr Tick kSlotTicks = 1u << Wheel::kSlotShift;
constexpr Tick kTurn = Wheel::kSlots * kSlotTicks;

class WheelTest : public testing::Test {
 protected:
  static constexpr Tick kStart = 1000 * kSlotTicks;

  FlowId flow() { return table.allocate(); }
  std::set<FlowId> due(Tick now, unsigned budget = kPlenty) {
    std::set<FlowId> ids;
    wheel.advance(now, budget, [&ids](FlowId id) { EXPECT_TRUE(ids.insert(id).second); });
    return ids;
  }

  const std::vector<Endpoint> backends{1};
  Table table{4096, {1, 2, 3, 4, 5, 6, 7, 8}, backends};
  Wheel wheel{table, kStart};
};

using Ids = std::set<FlowId>;

TEST_F(WheelTest, a_record_comes_due_once_when_its_slot_has_passed) {
  const FlowId a = flow();
  wheel.arm(a, kStart + 200);
  EXPECT_EQ(due(kStart + 199), Ids{});
  EXPECT_EQ(due(kStart + 255), Ids{}) << "200 lies in the slot 192 .. 255";
  EXPECT_EQ(due(kStart + 256), Ids{a});
  EXPECT_EQ(due(kStart + 100000), Ids{});
  EXPECT_EQ(table.aside(a).wheel_slot, kNotArmed);
}

TEST_F(WheelTest, a_deadline_in_the_past_comes_due_at_the_next_advance) {
  const FlowId a = flow();
  const FlowId b = flow();
  wheel.arm(a, kStart - 5);
  wheel.arm(b, kStart);
  EXPECT_EQ(due(kStart), (Ids{a, b}));
  EXPECT_EQ(due(kStart), Ids{});
}

TEST_F(WheelTest, what_is_cancelled_does_not_come_due) {
  const FlowId a = flow();
  const FlowId b = flow();
  const FlowId c = flow();
  for (const FlowId id : {a, b, c}) wheel.arm(id, kStart + 100);
  wheel.cancel(b);
  wheel.cancel(b);
  EXPECT_EQ(due(kStart + 1000), (Ids{a, c}));
}

TEST_F(WheelTest, arming_again_replaces_the_deadline) {
  const FlowId a = flow();
  wheel.arm(a, kStart + 100);
  wheel.arm(a, kStart + 1000);
  EXPECT_EQ(due(kStart + 900), Ids{});
  wheel.arm(a, kStart + 950);
  EXPECT_EQ(due(kStart + 1023), Ids{a});
}

TEST_F(WheelTest, arming_by_a_deadline_only_brings_it_nearer) {
  const FlowId a = flow();
  wheel.arm_by(a, kStart + 1000);
  wheel.arm_by(a, kStart + 5000);
  EXPECT_EQ(due(kStart + 1023), Ids{});
  EXPECT_EQ(due(kStart + 1024), Ids{a}) << "armed at all, and not moved away";
  const FlowId b = flow();
  wheel.arm(b, kStart + 6000);
  wheel.arm_by(b, kStart + 2000);
  EXPECT_EQ(due(kStart + 2048), Ids{b});
  wheel.arm(a, kStart + 6000);
  wheel.arm_by(a, kStart);
  wheel.arm_by(a, kStart + 3000);
  EXPECT_EQ(due(kStart + 2049), Ids{a}) << "overdue, and stays so";
  wheel.arm_by(b, kStart + 5 * kTurn);
  wheel.arm_by(b, kStart + 3 * kTurn);
  EXPECT_EQ(due(kStart + 2049 + kTurn), Ids{b}) << "behind the horizon";
}

TEST_F(WheelTest, a_deadline_behind_the_horizon_comes_due_at_the_horizon) {
  const FlowId a = flow();
  wheel.arm(a, kStart + 3 * kTurn);
  EXPECT_EQ(due(kStart + kTurn - kSlotTicks), Ids{});
  EXPECT_EQ(due(kStart + kTurn), Ids{a});
}

TEST_F(WheelTest, the_budget_is_kept_and_the_rest_comes_with_the_next_calls) {
  Ids all;
  for (int i = 0; i < 10; ++i) {
    const FlowId id = flow();
    all.insert(id);
    wheel.arm(id, kStart + static_cast<Tick>(i / 4) * kSlotTicks);
  }
  const Tick late = kStart + 10 * kSlotTicks;
  Ids seen;
  for (const size_t expected : {3u, 3u, 3u, 1u, 0u}) {
    const Ids now = due(late, 3);
    EXPECT_EQ(now.size(), expected);
    seen.insert(now.begin(), now.end());
  }
  EXPECT_EQ(seen, all);
  EXPECT_EQ(due(late, 0), Ids{});
}

TEST_F(WheelTest, due_may_arm_the_record_again_even_in_the_past) {
  const FlowId a = flow();
  wheel.arm(a, kStart + 10);
  unsigned calls = 0;
  const auto rearm_in_the_past = [&](FlowId id) {
    ++calls;
    wheel.arm(id, kStart);
  };
  EXPECT_EQ(wheel.advance(kStart + 500, kPlenty, rearm_in_the_past), 1u);
  EXPECT_EQ(wheel.advance(kStart + 500, kPlenty, rearm_in_the_past), 1u);
  EXPECT_EQ(calls, 2u);
}

TEST_F(WheelTest, due_may_erase_the_record_and_cancel_its_neighbours) {
  const FlowId a = flow();
  const FlowId b = flow();
  const FlowId c = flow();
  for (const FlowId id : {a, b, c}) wheel.arm(id, kStart + 10);
  Ids called;
  wheel.advance(kStart + 500, kPlenty, [&](FlowId id) {
    called.insert(id);
    for (const FlowId other : {a, b, c}) {
      wheel.cancel(other);
      table.release(other);
    }
  });
  EXPECT_EQ(called.size(), 1u);
  EXPECT_EQ(table.used(), 0u);
}

TEST_F(WheelTest, a_stall_of_many_turns_costs_one_turn_and_loses_nothing) {
  std::mt19937_64 random(1);
  Ids all;
  for (int i = 0; i < 2000; ++i) {
    const FlowId id = flow();
    all.insert(id);
    wheel.arm(id, kStart + static_cast<Tick>(random() % (2 * uint64_t{kTurn})));
  }
  const Tick late = kStart + 1000 * kTurn + 7;
  Ids seen = due(late);
  EXPECT_GE(seen.size(), all.size() - 10);
  seen.merge(due(late + kSlotTicks));
  EXPECT_EQ(seen, all);
}

TEST_F(WheelTest,
       what_is_armed_while_work_is_left_after_a_stall_is_not_lost_and_not_called_at_once) {
  Ids all;
  for (int i = 0; i < 100; ++i) {
    const FlowId id = flow();
    all.insert(id);
    wheel.arm(id, kStart + static_cast<Tick>(i) * 37 * kSlotTicks);
  }
  const Tick late = kStart + 5 * kTurn;
  Ids seen = due(late, 10);
  const FlowId soon = flow();
  const FlowId far = flow();
  wheel.arm(soon, late + 100);
  wheel.arm(far, late + kTurn / 2);
  seen.merge(due(late));
  EXPECT_EQ(seen.count(soon) + seen.count(far), 0u);
  seen.merge(due(late + kSlotTicks));
  seen.erase(far);  // may come early, at the shortened horizon
  EXPECT_EQ(seen, all);
  EXPECT_EQ(due(late + 128).count(soon), 1u);
}

TEST_F(WheelTest, time_that_seems_to_go_back_is_ignored) {
  const FlowId a = flow();
  wheel.arm(a, kStart + 200);
  EXPECT_EQ(due(kStart - 5000), Ids{});
  EXPECT_EQ(due(kStart + 256), Ids{a});
}

// Against a model: each armed record has one slot at whose end it is due.
class WheelModel : public testing::TestWithParam<uint64_t> {};

TEST_P(WheelModel, agrees_with_an_ordered_map) {
  std::mt19937_64 random(GetParam());
  const auto below = [&random](uint64_t n) { return static_cast<Tick>(random() % n); };
  const std::vector<Endpoint> backends(1);
  constexpr uint32_t kRecords = 500;
  Table table(kRecords, {1, 2, 3, 4, 5, 6, 7, 8}, backends);
  for (uint32_t i = 0; i < kRecords; ++i) ASSERT_NE(table.allocate(), kNoFlow);

  // Model time counts 64 bits from a little before the wrap of the ticks.
  uint64_t now = (uint64_t{1} << 32) - 3 * uint64_t{kTurn} + below(1000);
  Wheel wheel(table, static_cast<Tick>(now));
  std::multimap<uint64_t, FlowId> at;  // time from which the record is due -> record
  std::map<FlowId, std::multimap<uint64_t, FlowId>::iterator> armed;
  const auto forget = [&](FlowId id) {
    const auto it = armed.find(id);
    if (it == armed.end()) return;
    at.erase(it->second);
    armed.erase(it);
  };
  const auto arm = [&](FlowId id, uint64_t deadline) {
    wheel.arm(id, static_cast<Tick>(deadline));
    forget(id);
    uint64_t from = now;
    if (deadline > now) {
      const uint64_t slot = std::min(deadline / kSlotTicks, now / kSlotTicks + Wheel::kSlots - 1);
      from = (slot + 1) * kSlotTicks;
    }
    armed[id] = at.emplace(from, id);
  };
  const auto some_deadline = [&](unsigned kinds = 6) {
    switch (below(kinds)) {
      case 0:
        return now - below(1000);
      case 1:
        return now + below(100);
      case 2:
        return now + below(5000);
      case 3:
        return now + below(kTurn / 2);
      case 4:
        return now + below(kTurn);
      default:
        return now + below(4 * uint64_t{kTurn});
    }
  };

  uint64_t calls = 0;
  for (int step = 0; step < 200000; ++step) {
    const Tick what = below(100);
    if (what < 45) {
      arm(below(kRecords), some_deadline());
    } else if (what < 55) {
      const FlowId id = below(kRecords);
      wheel.cancel(id);
      forget(id);
    } else {
      now += what < 99 ? below(200) : below(kTurn / 4);
      std::multiset<FlowId> expected;
      for (auto it = at.begin(); it != at.end() && it->first <= now; ++it)
        expected.insert(it->second);
      // With a small budget several calls are needed for the same; nothing else happens between
      // them.
      const unsigned budget = below(2) == 0 ? kPlenty : 1 + below(4);
      const bool rearm = budget == kPlenty;
      const auto due = [&](FlowId id) {
        ASSERT_EQ(table.aside(id).wheel_slot, kNotArmed);
        const auto it = expected.find(id);
        ASSERT_NE(it, expected.end()) << "not due";
        expected.erase(it);
        forget(id);
        ++calls;
        // Up to half a turn ahead only: while slots wait to be emptied the horizon is that much
        // nearer.
        if (rearm && id % 3 == 0) arm(id, some_deadline(4));
        if (rearm && id % 3 == 1) {  // another one, perhaps one that is due as well
          const FlowId other = below(kRecords);
          const auto due_too = expected.find(other);
          if (due_too != expected.end()) expected.erase(due_too);
          arm(other, some_deadline(4));
        }
      };
      for (;;) {
        const unsigned n = wheel.advance(static_cast<Tick>(now), budget, due);
        ASSERT_LE(n, budget);
        if (HasFatalFailure()) return;
        if (n < budget) break;
      }
      ASSERT_TRUE(expected.empty());
    }
  }
  ASSERT_GT(now, uint64_t{1} << 32) << "the ticks must have wrapped";
  ASSERT_GT(calls, 10000u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, WheelModel, testing::Values(1, 2, 3, 4, 5, 6));

}  // namespace
}  // namespace limpet::flow
