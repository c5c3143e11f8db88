// Memory of one worker for octets that are withheld (tcp/splice.h): blocks of 2 kB to 64 kB,
// buddies of one arena, and the bindings that hold them, with a timer each. Everything is taken at
// construction; pages are touched as they are used.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <span>
#include <vector>

#include "limpet/affinity/stick_table.h"
#include "limpet/base/buddy.h"
#include "limpet/base/time.h"
#include "limpet/dataplane/snapshot.h"
#include "limpet/flow/record.h"
#include "limpet/tcp/splice.h"
#include "mapped.h"

namespace limpet::dataplane {

// A binding under way: what a spliced flow needs while octets of it are held or its backend is not
// connected.
struct Binding {
  tcp::SpliceBinding splice;
  flow::FlowId flow = flow::kNoFlow;  // kNoFlow: free
  // The handshake with the backend.
  Instant syn_at{};   // when the SYN goes again; 0: not connecting
  Instant give_up{};  // when another backend is tried
  Duration syn_wait{};
  uint8_t stale_left = 0;        // how often a stale connection of the backend's may still be reset
  uint8_t retries_left = 0;      // of the backend that its client is bound to
  Instant tried_at{};            // when the latest try of it began
  uint16_t waits_for = kNoSlot;  // backend, since its first try has failed (HoldPool::wait_for())
  uint8_t entry = 0xff;          // of the persistence list: which one chose (affinity::Choice)
  bool raced = false;
  bool silent = false;          // the latest try that failed was not answered
  affinity::StickHandle pin{};  // of the stick entry by which it was chosen
  uint16_t tried_count = 0;
  std::array<uint16_t, 8> tried{};  // the first backend slots; all of them: HoldPool::was_tried()
  Instant head_by{};  // when the head of a later request must be complete; 0: none has begun
  // Timer list, or free list by `next`.
  uint32_t next = tcp::kNoBinding, previous = tcp::kNoBinding;
  uint32_t slot = tcp::kNoBinding;
  Instant due{};
};

class HoldPool : public tcp::HoldMemory {
 public:
  static constexpr uint32_t kUnit = 2048;  // of memory: the smallest block
  // bindings: at most that many at once, each with two holds; bytes: of all holds; flows: by flow
  // id.
  HoldPool(uint32_t bindings, size_t bytes, const tcp::SpliceFlow* flows, Instant now);

  std::span<uint8_t> take(uint32_t size) override;
  void give(std::span<uint8_t> memory) override;
  uint32_t take_binding(tcp::SpliceFlow& flow) override;
  void give_binding(uint32_t binding) override;
  tcp::SpliceBinding& binding(uint32_t index) override { return bindings_[index].splice; }
  void due(uint32_t binding, Instant at) override;

  Binding& at(uint32_t index) { return bindings_[index]; }
  // Which backends a binding has tried, however many: asked for each member of a pool that may be
  // chosen, so it takes no search.
  void note_tried(uint32_t binding, uint16_t backend);
  bool was_tried(uint32_t binding, uint16_t backend) const;
  // A binding waits for a backend that has not taken its connection, until stop_waiting() or until
  // it is given back. False: those that wait for this one have a quarter of all bindings.
  bool wait_for(uint32_t binding, uint16_t backend);
  void stop_waiting(uint32_t binding);
  uint32_t bindings_used() const { return used_; }
  uint32_t bindings_total() const { return static_cast<uint32_t>(bindings_.size()); }
  size_t bytes_used() const { return bytes_used_; }
  size_t bytes_total() const { return bytes_; }

  // Calls due(index) for bindings whose deadline has passed, each once; they are no longer armed
  // then.
  template <class Due>
  void advance(Instant now, Due&& call);

 private:
  static constexpr unsigned kSmallest = std::bit_width(kUnit) - 1;  // the largest is 64 kB
  static_assert(kSmallest + BuddyArena::kOrders - 1 == 16);
  // One level of timers, a slot 4.2 ms; later deadlines go round.
  static constexpr unsigned kSlotShift = 22;
  static constexpr uint32_t kSlots = 512;

  static uint64_t slot_of(Instant t) { return t.ns >> kSlotShift; }
  void link(uint32_t index, Instant at);
  void unlink(uint32_t index);

  const tcp::SpliceFlow* flows_;
  Mapped<uint8_t> arena_;
  BuddyArena blocks_;
  size_t bytes_;
  size_t bytes_used_ = 0;
  std::vector<Binding> bindings_;
  std::vector<uint16_t> waiting_;  // by backend slot: bindings that wait for it
  // By binding: one bit for each backend slot, valid when there were more than Binding has room
  // for.
  using SlotMap = std::array<uint64_t, kMaxBackends / 64>;
  Mapped<SlotMap> tried_maps_;
  uint32_t free_binding_ = tcp::kNoBinding;
  uint32_t used_ = 0;
  std::array<uint32_t, kSlots> heads_;
  uint64_t cursor_;  // slot number emptied last
};

template <class Due>
void HoldPool::advance(Instant now, Due&& call) {
  if (used_ == 0) {
    cursor_ = slot_of(now);
    return;
  }
  const uint64_t end = slot_of(now);
  for (uint64_t turns = 0; cursor_ < end && turns < kSlots; ++turns) {
    ++cursor_;
    const uint32_t slot = static_cast<uint32_t>(cursor_ % kSlots);
    for (uint32_t i = heads_[slot]; i != tcp::kNoBinding;) {
      const uint32_t next = bindings_[i].next;
      if (bindings_[i].due <= now) {
        unlink(i);
        call(i);
        // The call may have changed the list.
        i = heads_[slot];
        continue;
      }
      i = next;
    }
  }
  cursor_ = end;
}

}  // namespace limpet::dataplane
