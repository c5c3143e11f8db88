// The timer wheel's lists.
#include "limpet/flow/wheel.h"

#include <algorithm>

namespace limpet::flow {

Wheel::Wheel(Table& table, Tick now)
    : table_(table), heads_(kLists, kNoFlow), now_(now), cursor_(slot_of(now)) {}

void Wheel::link(FlowId id, uint32_t list) {
  Aside& r = table_.aside(id);
  const FlowId next = heads_[list];
  r.wheel_slot = static_cast<uint16_t>(list);
  r.wheel_prev = kNoFlow;
  r.wheel_next = next;
  if (next != kNoFlow) table_.aside(next).wheel_prev = id;
  heads_[list] = id;
}

void Wheel::unlink(FlowId id) {
  Aside& r = table_.aside(id);
  if (r.wheel_prev == kNoFlow) {
    heads_[r.wheel_slot] = r.wheel_next;
  } else {
    table_.aside(r.wheel_prev).wheel_next = r.wheel_next;
  }
  if (r.wheel_next != kNoFlow) table_.aside(r.wheel_next).wheel_prev = r.wheel_prev;
  r.wheel_slot = kNotArmed;
  r.wheel_next = kNoFlow;
  r.wheel_prev = kNoFlow;
}

void Wheel::arm(FlowId id, Tick deadline) {
  uint32_t list = kOverdue + filling_;
  if (tick_before(now_, deadline)) {
    // Counted from the cursor, not from now: slots that passed but are not emptied yet are still
    // taken.
    const uint32_t ahead = slots_between(cursor_, slot_of(deadline));
    list = (cursor_ + std::min(ahead, kSlots - 1)) & (kSlots - 1);
  }
  if (table_.aside(id).wheel_slot == list) return;
  cancel(id);
  link(id, list);
}

void Wheel::arm_by(FlowId id, Tick deadline) {
  const uint32_t list = table_.aside(id).wheel_slot;
  if (list >= kSlots) {
    if (list == kNotArmed) arm(id, deadline);
    return;
  }
  const uint32_t due = (list - cursor_) & (kSlots - 1);
  if (!tick_before(now_, deadline) || due > slots_between(cursor_, slot_of(deadline)))
    arm(id, deadline);
}

void Wheel::cancel(FlowId id) {
  if (table_.aside(id).wheel_slot != kNotArmed) unlink(id);
}

}  // namespace limpet::flow
