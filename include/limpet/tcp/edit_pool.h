// Bytes of edits: what the stream map inserts, pinned until the receiver has acknowledged it. They
// live outside every snapshot, so that a reload or a rotated key between transmission and
// retransmission cannot change a byte.
//
// Owner: one worker. Everything is taken at construction; allocate() never calls the system's
// allocator. Blocks of six sizes are buddies of one arena, so that what a burst of cookies has cut
// into small blocks is whole again when their edits are acknowledged.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "limpet/base/buddy.h"

namespace limpet::tcp {

using EditId = uint32_t;  // of which a StreamMap keeps 31 bits
constexpr EditId kNoEdit = 0x7fffffffu;

// One edit of a stream, in front of its bytes: at original position `at`, `removed` octets go and
// `length` bytes come. Written once; `next` alone changes later.
struct EditHeader {
  uint32_t at = 0;       // original sequence number
  uint32_t removed = 0;  // octets, 0 .. kMaxRemoved
  uint16_t length = 0;   // bytes that follow the header, 0 .. EditPool::kMaxBytes
  uint8_t size_class = 0;
  uint8_t reserved = 0;
  EditId next = kNoEdit;
};
static_assert(sizeof(EditHeader) == 16);

class EditPool {
 public:
  static constexpr size_t kMaxBytes = 2032;  // of one edit
  static constexpr uint32_t kMaxRemoved = 65536;

  // bytes: of the arena, rounded down to whole units of 64.
  explicit EditPool(size_t bytes);

  // A block with room for `length` bytes; kNoEdit when there is none or length is out of range.
  EditId allocate(uint32_t at, uint32_t removed, std::span<const uint8_t> bytes);
  void release(EditId id);

  const EditHeader& header(EditId id) const {
    return *reinterpret_cast<const EditHeader*>(&units_[id]);
  }
  std::span<const uint8_t> bytes(EditId id) const {
    return {reinterpret_cast<const uint8_t*>(&units_[id]) + sizeof(EditHeader), header(id).length};
  }
  void link(EditId id, EditId next) { reinterpret_cast<EditHeader*>(&units_[id])->next = next; }

  uint32_t live() const { return live_; }      // edits
  size_t bytes_used() const { return used_; }  // of live edits, headers and rounding included
  size_t bytes_total() const { return size_t{unit_count_} * sizeof(Unit); }

 private:
  struct alignas(64) Unit {
    std::array<uint8_t, 64> bytes;
  };
  // 64 << class bytes with the header: 64 .. 2048.
  static_assert((sizeof(Unit) << (BuddyArena::kOrders - 1)) == kMaxBytes + sizeof(EditHeader));

  std::unique_ptr<Unit[]> units_;
  uint32_t unit_count_;
  BuddyArena blocks_;
  uint32_t live_ = 0;
  size_t used_ = 0;
};

}  // namespace limpet::tcp
