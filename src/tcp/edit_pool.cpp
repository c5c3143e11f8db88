// Blocks of edits: six sizes, buddies of one arena.
#include "limpet/tcp/edit_pool.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <new>

namespace limpet::tcp {

EditPool::EditPool(size_t bytes)
    : units_(new Unit[bytes / sizeof(Unit)]),
      unit_count_(static_cast<uint32_t>(bytes / sizeof(Unit))),
      blocks_(reinterpret_cast<uint8_t*>(units_.get()), std::countr_zero(sizeof(Unit)),
              unit_count_) {
  assert(unit_count_ < kNoEdit);
}

EditId EditPool::allocate(uint32_t at, uint32_t removed, std::span<const uint8_t> bytes) {
  if (bytes.size() > kMaxBytes || removed > kMaxRemoved) return kNoEdit;
  const size_t units = (sizeof(EditHeader) + bytes.size() + sizeof(Unit) - 1) / sizeof(Unit);
  const auto size_class = static_cast<uint8_t>(std::bit_width(units - 1));
  const EditId id = blocks_.take(size_class);
  if (id == BuddyArena::kNone) return kNoEdit;
  auto* h = new (&units_[id]) EditHeader;
  h->at = at;
  h->removed = removed;
  h->length = static_cast<uint16_t>(bytes.size());
  h->size_class = size_class;
  std::copy(bytes.begin(), bytes.end(), reinterpret_cast<uint8_t*>(h + 1));
  ++live_;
  used_ += sizeof(Unit) << size_class;
  return id;
}

void EditPool::release(EditId id) {
  assert(id < unit_count_ && live_ != 0);
  const uint8_t size_class = header(id).size_class;
  blocks_.give(id, size_class);
  --live_;
  used_ -= sizeof(Unit) << size_class;
}

}  // namespace limpet::tcp
