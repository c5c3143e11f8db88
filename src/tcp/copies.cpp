// Lists of copied ranges: circular, so that both ends are at hand by one index.
#include "limpet/tcp/copies.h"

#include <bit>
#include <cassert>
#include <cstring>
#include <new>

namespace limpet::tcp {

CopyPool::CopyPool(size_t bytes)
    : units_(new Unit[bytes / sizeof(Unit)]),
      unit_count_(static_cast<uint32_t>(bytes / sizeof(Unit))),
      blocks_(reinterpret_cast<uint8_t*>(units_.get()), std::countr_zero(sizeof(Unit)),
              unit_count_) {}

// Every block has a record of its own for what goes on in it; further ones in the same block stand
// for octets that are not kept, which are more than they cost.
uint32_t CopyPool::reserve(CopyList list, uint32_t n) {
  static_assert(kLeastGap >= 2 * kRecord);
  uint32_t room = 0;
  unsigned grown = 0;
  size_t total = 0;
  if (list != kNoCopies) {
    const Block& last = block(list);
    room = capacity(last.order) - last.used;
    room = room > kRecord ? room - kRecord : 0;
    grown = std::min(last.order + 1u, kTop);
    total = size_t{last.total} * sizeof(Unit);
  }
  const size_t most = limit();
  while (room < n && spare_end_ < spare_.size()) {
    const uint32_t need = n - room + kRecord + static_cast<uint32_t>(sizeof(Block));
    const auto fitting = static_cast<unsigned>(std::bit_width((need - 1) / sizeof(Unit)));
    unsigned order = std::min(std::max(fitting, grown), kTop);
    uint32_t id = kNoCopies;
    for (;; --order) {
      if (total + (sizeof(Unit) << order) <= most) id = blocks_.take(order);
      if (id != kNoCopies || order == 0) break;
    }
    if (id == kNoCopies) break;
    new (&units_[id]) Block{.order = static_cast<uint8_t>(order)};
    spare_[spare_end_++] = id;
    used_ += sizeof(Unit) << order;
    total += sizeof(Unit) << order;
    room += capacity(order) - kRecord;
  }
  return std::min(room, n);
}

void CopyPool::append(CopyList& list, uint32_t id) {
  Block& b = block(id);
  b.total = static_cast<uint16_t>(1u << b.order);
  if (list == kNoCopies) {
    b.next = id;
  } else {
    Block& last = block(list);
    b.total = static_cast<uint16_t>(b.total + last.total);
    b.next = last.next;
    last.next = id;
  }
  list = id;
}

void CopyPool::keep(CopyList& list, Seq at, std::span<const uint8_t> octets) {
  while (!octets.empty()) {
    uint32_t space = 0;
    bool goes_on = false;
    if (list != kNoCopies) {
      Block& b = block(list);
      goes_on = b.used != 0 && b.end == at;
      space = capacity(b.order) - b.used;
      if (goes_on) {  // what fills its last octets up is free
        const auto& r = *reinterpret_cast<const Record*>(records(list) + b.last);
        space += padded(r.length) - r.length;
      } else {
        space = space > sizeof(Record) ? space - static_cast<uint32_t>(sizeof(Record)) : 0;
      }
    }
    if (space == 0) {
      assert(spare_next_ != spare_end_);
      append(list, spare_[spare_next_++]);
      continue;
    }
    Block& b = block(list);
    const uint32_t n = std::min(space, static_cast<uint32_t>(octets.size()));
    uint8_t* const base = units_[list].bytes.data() + sizeof(Block);
    if (!goes_on) {
      b.last = b.used;
      new (base + b.last) Record{.at = at};
    }
    auto& r = *reinterpret_cast<Record*>(base + b.last);
    std::memcpy(base + b.last + sizeof(Record) + r.length, octets.data(), n);
    r.length += n;
    b.used = static_cast<uint16_t>(b.last + sizeof(Record) + padded(r.length));
    at = at + n;
    b.end = at;
    octets = octets.subspan(n);
  }
}

void CopyPool::settle() {
  while (spare_next_ != spare_end_) give(spare_[--spare_end_]);
  spare_next_ = spare_end_ = 0;
}

void CopyPool::give(uint32_t id) {
  const unsigned order = block(id).order;
  used_ -= sizeof(Unit) << order;
  blocks_.give(id, order);
}

void CopyPool::retire(CopyList& list, Seq una) {
  while (list != kNoCopies) {
    const uint32_t first = block(list).next;
    const Block& b = block(first);
    if (b.end > una) return;
    if (first == list) {
      list = kNoCopies;
    } else {
      Block& last = block(list);
      last.next = b.next;
      last.total = static_cast<uint16_t>(last.total - (1u << b.order));
    }
    give(first);
  }
}

void CopyPool::release(CopyList& list) {
  while (list != kNoCopies) {
    const uint32_t first = block(list).next;
    if (first == list)
      list = kNoCopies;
    else
      block(list).next = block(first).next;
    give(first);
  }
}

uint32_t CopyPool::room(CopyList list) const {
  const size_t used = list == kNoCopies ? 0 : size_t{block(list).total} * sizeof(Unit);
  // What the list takes is not free any more, and its part of that becomes smaller.
  const size_t part = (bytes_total() - used_) / 4;
  const size_t left =
      std::min(kMost - std::min(kMost, used), (part - std::min(part, used)) / 5 * 4);
  // In whole blocks, but for some that are still small or are not filled at their end.
  const auto blocks = static_cast<uint32_t>(left / (sizeof(Unit) << kTop));
  return blocks > 2 ? (blocks - 2) * (capacity(kTop) - 2 * kRecord) : 0;
}

}  // namespace limpet::tcp
