// Blocks and bindings of a worker.
#include "hold_pool.h"

#include <algorithm>
#include <bit>

namespace limpet::dataplane {

HoldPool::HoldPool(uint32_t bindings, size_t bytes, const tcp::SpliceFlow* flows, Instant now)
    : flows_(flows),
      arena_(bytes),
      blocks_(arena_.data(), kSmallest, static_cast<uint32_t>(bytes >> kSmallest)),
      bytes_(bytes),
      bindings_(bindings),
      waiting_(kMaxBackends),
      tried_maps_(bindings),
      cursor_(slot_of(now)) {
  heads_.fill(tcp::kNoBinding);
  for (uint32_t i = bindings; i-- != 0;) {
    bindings_[i].next = free_binding_;
    free_binding_ = i;
  }
}

std::span<uint8_t> HoldPool::take(uint32_t size) {
  const unsigned bits = std::max<unsigned>(
      static_cast<unsigned>(std::bit_width(std::max<uint32_t>(size, 2) - 1)), kSmallest);
  const uint32_t block = blocks_.take(bits - kSmallest);
  if (block == BuddyArena::kNone) return {};
  const size_t length = size_t{1} << bits;
  bytes_used_ += length;
  return {arena_.data() + (size_t{block} << kSmallest), length};
}

void HoldPool::give(std::span<uint8_t> memory) {
  const auto offset = static_cast<size_t>(memory.data() - arena_.data());
  blocks_.give(static_cast<uint32_t>(offset >> kSmallest),
               static_cast<unsigned>(std::bit_width(memory.size() - 1)) - kSmallest);
  bytes_used_ -= memory.size();
}

uint32_t HoldPool::take_binding(tcp::SpliceFlow& flow) {
  const uint32_t index = free_binding_;
  if (index == tcp::kNoBinding) return index;
  free_binding_ = bindings_[index].next;
  bindings_[index] = Binding{};
  bindings_[index].flow = static_cast<flow::FlowId>(&flow - flows_);
  ++used_;
  return index;
}

void HoldPool::give_binding(uint32_t index) {
  stop_waiting(index);
  unlink(index);
  bindings_[index].flow = flow::kNoFlow;
  bindings_[index].next = free_binding_;
  free_binding_ = index;
  --used_;
}

bool HoldPool::wait_for(uint32_t index, uint16_t backend) {
  Binding& w = bindings_[index];
  if (w.waits_for == backend) return true;
  if (waiting_[backend] >= bindings_.size() / 4) return false;
  stop_waiting(index);
  ++waiting_[backend];
  w.waits_for = backend;
  return true;
}

void HoldPool::stop_waiting(uint32_t index) {
  uint16_t& backend = bindings_[index].waits_for;
  if (backend == kNoSlot) return;
  --waiting_[backend];
  backend = kNoSlot;
}

void HoldPool::note_tried(uint32_t index, uint16_t backend) {
  Binding& w = bindings_[index];
  if (w.tried_count < w.tried.size()) {
    w.tried[w.tried_count++] = backend;
    return;
  }
  SlotMap& map = tried_maps_[index];
  const auto set = [&](uint16_t slot) { map[slot / 64] |= uint64_t{1} << (slot % 64); };
  if (w.tried_count == w.tried.size()) {
    map.fill(0);  // of a former binding
    for (const uint16_t slot : w.tried) set(slot);
  }
  set(backend);
  ++w.tried_count;
}

bool HoldPool::was_tried(uint32_t index, uint16_t backend) const {
  const Binding& w = bindings_[index];
  if (w.tried_count > w.tried.size())
    return (tried_maps_[index][backend / 64] >> (backend % 64) & 1) != 0;
  const auto end = w.tried.begin() + w.tried_count;
  return std::find(w.tried.begin(), end, backend) != end;
}

void HoldPool::due(uint32_t index, Instant at) {
  Binding& w = bindings_[index];
  if (w.slot != tcp::kNoBinding) {
    if (w.due <= at) return;
    unlink(index);
  }
  link(index, at);
}

void HoldPool::link(uint32_t index, Instant at) {
  Binding& w = bindings_[index];
  // A slot that has been emptied already would wait for a whole round.
  const uint64_t slot = std::max(slot_of(at) + 1, cursor_ + 1);
  w.due = at;
  w.slot = static_cast<uint32_t>(slot % kSlots);
  w.previous = tcp::kNoBinding;
  w.next = heads_[w.slot];
  if (w.next != tcp::kNoBinding) bindings_[w.next].previous = index;
  heads_[w.slot] = index;
}

void HoldPool::unlink(uint32_t index) {
  Binding& w = bindings_[index];
  if (w.slot == tcp::kNoBinding) return;
  if (w.previous == tcp::kNoBinding)
    heads_[w.slot] = w.next;
  else
    bindings_[w.previous].next = w.next;
  if (w.next != tcp::kNoBinding) bindings_[w.next].previous = w.previous;
  w.next = w.previous = w.slot = tcp::kNoBinding;
}

}  // namespace limpet::dataplane
