// Copies of octets that were judged and have passed, kept until their receiver has acknowledged
// them: whoever sends such an octet again, it leaves as it was judged (decisions/withholding.md). A
// copy is not owned: its sender repairs losses, we only make sure of what is said.
//
// One list a connection, of ranges in the order of the stream, in blocks of 64 to 2048 bytes that
// grow as the list does: a head takes what it needs, and the chunk lines of an upload share large
// blocks, so a look at a list takes few steps whatever its ranges are. Room for octets is set
// aside before they are judged, as afterwards it would be too late to say no.
//
// Owner: one worker. Everything is taken at construction, pages are touched as they are used.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "limpet/base/buddy.h"
#include "limpet/tcp/seq.h"

namespace limpet::tcp {

using CopyList = uint32_t;
constexpr CopyList kNoCopies = 0xffffffffu;

class CopyPool {
 public:
  // Of one connection, in bytes of blocks; less when the pool is nearly full: a quarter of what is
  // free, so that whoever comes next finds room for a head whatever the others have taken.
  static constexpr size_t kMost = size_t{2} << 20;
  // Octets between two ranges that need not be kept must be at least so many.
  static constexpr uint32_t kLeastGap = 64;

  // bytes: of the arena, rounded down to whole units of 64.
  explicit CopyPool(size_t bytes);

  // How many of `n` octets behind the list can be kept, in ranges that are kLeastGap apart. That
  // much is set aside until settle(); one list at a time.
  uint32_t reserve(CopyList list, uint32_t n);
  // Of what was reserved, in order.
  void keep(CopyList& list, Seq at, std::span<const uint8_t> octets);
  void settle();

  // Octets before `una` are needed no more.
  void retire(CopyList& list, Seq una);
  void release(CopyList& list);

  // visit(std::span<const uint8_t> kept, size_t at) for what is kept of octets [begin, end), in
  // order, `at` octets behind `begin`; as long as it returns true.
  template <class Visit>
  void each(CopyList list, Seq begin, Seq end, Visit&& visit) const;

  // How many octets more the list can take, if others leave it what is there now: no more than
  // that, as a sender who is told of them must not be told of too many.
  uint32_t room(CopyList list) const;
  size_t bytes_used() const { return used_; }  // blocks
  size_t bytes_total() const { return size_t{unit_count_} * sizeof(Unit); }

 private:
  static constexpr unsigned kTop = BuddyArena::kOrders - 1;
  struct alignas(64) Unit {
    std::array<uint8_t, 64> bytes;
  };
  // A list is named by its last block, which leads to the first one.
  struct Block {
    uint32_t next = kNoCopies;
    Seq end;             // behind its last octet
    uint16_t used = 0;   // bytes of records
    uint16_t last = 0;   // where the last record begins
    uint16_t total = 0;  // units of the whole list; of the last block only
    uint8_t order = 0;
    uint8_t reserved = 0;
  };
  static_assert(sizeof(Block) == 16);
  // In front of its octets, which are filled up to a multiple of four.
  struct Record {
    Seq at;
    uint32_t length = 0;
  };
  static constexpr uint32_t kRecord = sizeof(Record) + 4;  // the most that one costs

  static uint32_t capacity(unsigned order) {
    return (64u << order) - static_cast<uint32_t>(sizeof(Block));
  }
  static uint32_t padded(uint32_t n) { return (n + 3) & ~3u; }
  Block& block(uint32_t id) { return *reinterpret_cast<Block*>(&units_[id]); }
  const Block& block(uint32_t id) const { return *reinterpret_cast<const Block*>(&units_[id]); }
  const uint8_t* records(uint32_t id) const { return units_[id].bytes.data() + sizeof(Block); }
  size_t limit() const { return std::min(kMost, (bytes_total() - used_) / 4); }
  void append(CopyList& list, uint32_t id);
  void give(uint32_t id);

  std::unique_ptr<Unit[]> units_;
  uint32_t unit_count_;
  BuddyArena blocks_;
  size_t used_ = 0;
  // Set aside: [spare_next_, spare_end_).
  std::array<uint32_t, 40> spare_{};
  uint32_t spare_next_ = 0, spare_end_ = 0;
};

template <class Visit>
void CopyPool::each(CopyList list, Seq begin, Seq end, Visit&& visit) const {
  if (list == kNoCopies) return;
  uint32_t id = list;
  do {
    id = block(id).next;
    const Block& b = block(id);
    if (b.end <= begin) continue;
    for (uint32_t at = 0; at < b.used;) {
      const auto& r = *reinterpret_cast<const Record*>(records(id) + at);
      if (r.at >= end) return;
      const Seq behind = r.at + r.length;
      if (behind > begin) {
        const Seq from = r.at < begin ? begin : r.at;
        const Seq to = behind < end ? behind : end;
        const uint8_t* const octets = records(id) + at + sizeof(Record) + (from - r.at);
        if (!visit(std::span(octets, static_cast<size_t>(to - from)),
                   static_cast<size_t>(from - begin)))
          return;
      }
      at += static_cast<uint32_t>(sizeof(Record)) + padded(r.length);
    }
  } while (id != list);
}

}  // namespace limpet::tcp
