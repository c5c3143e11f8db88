// Binary buddies: hands out runs of 1, 2, 4 .. 32 units of a memory, halves larger ones when there
// is none of a size, and puts halves together again when both have come back. So what a burst of
// one size has cut is there for every other size afterwards.
//
// Runs are named by their first unit; a run of 2^order units begins at a multiple of 2^order. Free
// ones are chained in their own memory, which is not written before it is first taken: pages of a
// large arena are touched as they are used. Owner: one thread; nothing is allocated after
// construction; take() and give() need at most one step an order.
#pragma once

#include <array>
#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace limpet {

class BuddyArena {
 public:
  static constexpr unsigned kOrders = 6;
  static constexpr uint32_t kNone = 0xffffffffu;

  // memory: outlives this, of units << unit_bits bytes; a unit has room for two links.
  BuddyArena(uint8_t* memory, unsigned unit_bits, uint32_t units)
      : memory_(memory), unit_bits_(unit_bits), fresh_end_(units & ~(kTop - 1)) {
    assert((size_t{1} << unit_bits) >= sizeof(Links) && units < kNone - kTop);
    // Units behind the last whole run have a state too: always that of units in use.
    states_.resize((size_t{units} + kTop - 1) & ~size_t{kTop - 1});
    free_.fill(kNone);
    uint32_t rest = fresh_end_;
    for (unsigned order = kOrders; order-- != 0;) {
      if ((units & (1u << order) & (kTop - 1)) == 0) continue;
      push(rest, order);
      rest += 1u << order;
    }
  }

  // kNone when no run of 2^order units is left, or there never is one.
  uint32_t take(unsigned order) {
    if (order >= kOrders) return kNone;
    const unsigned fitting = available_ & (~0u << order);
    uint32_t unit;
    unsigned have;
    if (fitting != 0) {
      have = static_cast<unsigned>(std::countr_zero(fitting));
      unit = free_[have];
      unlink(unit, have);
    } else {
      if (fresh_ == fresh_end_) return kNone;
      have = kOrders - 1;
      unit = fresh_;
      fresh_ += kTop;
    }
    while (have != order) {
      --have;
      push(unit + (1u << have), have);
    }
    return unit;
  }

  void give(uint32_t unit, unsigned order) {
    assert(unit < states_.size() && states_[unit] == kInUse);
    for (; order + 1 < kOrders; ++order) {
      const uint32_t buddy = unit ^ (1u << order);
      if (states_[buddy] != order + 1) break;
      unlink(buddy, order);
      unit &= ~(1u << order);
    }
    push(unit, order);
  }

 private:
  static constexpr uint32_t kTop = 1u << (kOrders - 1);  // units of the largest run
  static constexpr uint8_t kInUse = 0;  // else: order + 1 of the free run that begins here

  struct Links {
    uint32_t next, previous;
  };

  uint8_t* at(uint32_t unit) const { return memory_ + (size_t{unit} << unit_bits_); }
  Links links(uint32_t unit) const {
    // One by one, as set_next() writes them: a load of both would wait for the store of one.
    Links l;
    std::memcpy(&l.next, at(unit) + offsetof(Links, next), sizeof l.next);
    std::memcpy(&l.previous, at(unit) + offsetof(Links, previous), sizeof l.previous);
    return l;
  }
  void set_next(uint32_t unit, uint32_t next) {
    std::memcpy(at(unit) + offsetof(Links, next), &next, sizeof next);
  }
  void set_previous(uint32_t unit, uint32_t previous) {
    std::memcpy(at(unit) + offsetof(Links, previous), &previous, sizeof previous);
  }

  void push(uint32_t unit, unsigned order) {
    const Links l{free_[order], kNone};
    std::memcpy(at(unit), &l, sizeof l);
    if (l.next != kNone) set_previous(l.next, unit);
    free_[order] = unit;
    available_ |= 1u << order;
    states_[unit] = static_cast<uint8_t>(order + 1);
  }
  void unlink(uint32_t unit, unsigned order) {
    const Links l = links(unit);
    if (l.next != kNone) set_previous(l.next, l.previous);
    if (l.previous != kNone)
      set_next(l.previous, l.next);
    else
      free_[order] = l.next;
    if (free_[order] == kNone) available_ &= ~(1u << order);
    states_[unit] = kInUse;
  }

  uint8_t* memory_;
  unsigned unit_bits_;
  uint32_t fresh_ = 0;  // runs of the largest size from here on were never taken
  uint32_t fresh_end_;
  unsigned available_ = 0;  // bit for each order of which there is a free run
  std::array<uint32_t, kOrders> free_;
  std::vector<uint8_t> states_;  // by unit
};

}  // namespace limpet
