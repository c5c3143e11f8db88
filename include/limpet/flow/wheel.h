// Timer wheel over flow records: one level, intrusive double links, O(1) arm, re-arm and cancel.
// Packets do not touch it: they only stamp last_seen. A record that comes due but was seen since is
// armed again for what is left. Deadlines beyond the horizon are armed at the horizon and re-armed
// from there.
//
// A slot comes due when it has passed as a whole: within the horizon nothing comes due early, and a
// deadline is met at most one slot late. After a stall longer than the horizon everything is due;
// one slot may then come one slot later than the others, and what is armed while that work is left
// may come early, to be armed again.
//
// Owner: the worker that owns the table. A record must be cancelled before it is erased.
#pragma once

#include <cstdint>
#include <vector>

#include "limpet/flow/table.h"

namespace limpet::flow {

class Wheel {
 public:
  static constexpr uint32_t kSlots = 4096;   // power of two; the horizon is about 275 s
  static constexpr unsigned kSlotShift = 6;  // a slot is 64 ticks, about 67 ms

  Wheel(Table& table, Tick now);

  // Also re-arms. A deadline that is not after the last advance comes due at the next advance.
  void arm(FlowId id, Tick deadline);
  // Only when it would come due later, or not at all.
  void arm_by(FlowId id, Tick deadline);
  void cancel(FlowId id);  // no effect when not armed

  // Calls due(id) for at most `budget` records whose slot has passed; the record is no longer armed
  // then. due() may arm it again, erase it, or leave it unarmed, and may arm, cancel and erase
  // others. What it arms comes due at a later advance, whatever the deadline. Returns the number of
  // calls. Work left over is done by the next call.
  // A template over the callback so that the worker's expiry is inlined.
  template <class Due>
  unsigned advance(Tick now, unsigned budget, Due&& due);

 private:
  // Lists behind the slots: overdue when armed. One is filled while the other is emptied, so that a
  // due() that arms in the past cannot keep advance() busy.
  static constexpr uint32_t kOverdue = kSlots;
  static constexpr uint32_t kLists = kSlots + 2;
  static_assert(kLists < kNotArmed);
  static constexpr uint32_t kSlotNumbers = 1u << (32 - kSlotShift);  // they wrap as ticks do

  static constexpr uint32_t slot_of(Tick t) { return t >> kSlotShift; }
  static constexpr uint32_t slots_between(uint32_t from, uint32_t to) {
    return (to - from) & (kSlotNumbers - 1);
  }
  void link(FlowId id, uint32_t list);
  void unlink(FlowId id);
  template <class Due>
  unsigned empty(uint32_t list, unsigned budget, Due&& due);

  Table& table_;
  std::vector<FlowId> heads_;
  Tick now_;              // of the last advance
  uint32_t cursor_;       // slot number, not masked, emptied next; behind now_ while work is left
  uint32_t filling_ = 0;  // which of the two overdue lists takes new records
};

template <class Due>
unsigned Wheel::empty(uint32_t list, unsigned budget, Due&& due) {
  unsigned calls = 0;
  while (calls < budget) {
    const FlowId id = heads_[list];
    if (id == kNoFlow) break;
    unlink(id);
    if (heads_[list] != kNoFlow) {
      __builtin_prefetch(&table_.at(heads_[list]));
      __builtin_prefetch(&table_.aside(heads_[list]));
    }
    due(id);
    ++calls;
  }
  return calls;
}

template <class Due>
unsigned Wheel::advance(Tick now, unsigned budget, Due&& due) {
  if (tick_before(now_, now)) now_ = now;
  const uint32_t end = slot_of(now_);
  // A full turn empties everything; keep one slot ahead of the cursor free for what is armed
  // meanwhile.
  if (slots_between(cursor_, end) >= kSlots) cursor_ = end - (kSlots - 1);

  if (heads_[kOverdue + (filling_ ^ 1)] == kNoFlow) filling_ ^= 1;
  unsigned calls = empty(kOverdue + (filling_ ^ 1), budget, due);
  while (slots_between(cursor_, end) != 0) {
    const uint32_t list = cursor_ & (kSlots - 1);
    calls += empty(list, budget - calls, due);
    if (heads_[list] != kNoFlow) break;
    cursor_ = (cursor_ + 1) & (kSlotNumbers - 1);
  }
  return calls;
}

}  // namespace limpet::flow
