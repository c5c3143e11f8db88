// Timer wheel over flow records: one level, intrusive double links, O(1) arm, re-arm and cancel.
// Packets do not touch it: they only stamp last_seen. A record that comes due but was seen since is armed
// again for what is left. Deadlines beyond the horizon are armed at the horizon and re-armed from there.
// Owner: the worker that owns the table.
#pragma once

#include <cstdint>
#include <vector>

#include "limpet/flow/table.h"

namespace limpet::flow {

class Wheel {
 public:
  static constexpr uint32_t kSlots = 4096;     // power of two
  static constexpr unsigned kSlotShift = 6;    // a slot is 64 ticks, about 67 ms; the horizon about 275 s

  Wheel(Table& table, Tick now);

  void arm(FlowId id, Tick deadline);  // also re-arms; a deadline in the past comes due at the next advance
  void cancel(FlowId id);              // no effect when not armed

  // Calls due(id) for at most `budget` records whose slot has passed; due() must arm, cancel + erase, or
  // leave the record unarmed. Returns the number of calls. Work left over is done by the next call.
  // A template over the callback so that the worker's expiry is inlined.
  template <class Due>
  unsigned advance(Tick now, unsigned budget, Due&& due);

 private:
  void unlink(FlowId id);
  Table& table_;
  std::vector<FlowId> heads_;
  uint32_t cursor_;  // slot number (not masked) that is being emptied
};

}  // namespace limpet::flow
