// Octets of one direction that limpet keeps for a while: a head that is not complete, or data that
// it has acknowledged itself and must therefore deliver itself. In the caller's memory, addressed
// by the sender's sequence numbers, in any order of arrival: what is contiguous from `base` on, and
// one range beyond a gap, which is what reordering of two segments needs; anything else is not
// taken and the sender will send it again. The first copy of an octet stands, whatever comes again.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <cstring>
#include <span>

#include "limpet/tcp/seq.h"

namespace limpet::tcp {

class Hold {
 public:
  Hold() = default;
  // `memory` begins with octet `base` and stays the caller's.
  Hold(std::span<uint8_t> memory, Seq base)
      : data_(memory.data()), capacity_(static_cast<uint32_t>(memory.size())), base_(base) {}

  bool active() const { return data_ != nullptr; }
  Seq base() const { return base_; }
  Seq end() const { return base_ + size_; }          // behind the contiguous octets, without a FIN
  Seq limit() const { return base_ + capacity_; }    // nothing at or beyond it fits
  bool has_fin() const { return fin_; }              // the sender's FIN follows at end()
  bool has_gap() const { return beyond_end_ != 0; }  // there is a range behind end()
  uint32_t size() const { return size_; }
  uint32_t capacity() const { return capacity_; }
  uint8_t* memory() const { return data_; }
  std::span<const uint8_t> bytes() const { return {data_, size_}; }
  std::span<const uint8_t> bytes(Seq from) const {  // base() <= from <= end()
    assert(from >= base_ && from <= end());
    const auto skip = static_cast<uint32_t>(from - base_);
    return {data_ + skip, size_ - skip};
  }

  bool holds(Seq seq) const {
    const auto at = static_cast<uint32_t>(seq - base_);
    return seq >= base_ && (at < size_ || (at >= beyond_begin_ && at < beyond_end_));
  }

  // Takes octets [seq, seq + bytes); true when the contiguous end has moved. What is here already
  // stays as it is: the first copy of an octet is the one that was looked at (RFC 9293, 3.10.7.4).
  bool put(Seq seq, std::span<const uint8_t> bytes, bool fin) {
    if (fin_) return false;  // nothing follows it, and it does not move
    const auto length = static_cast<uint32_t>(bytes.size());
    const auto at = static_cast<uint32_t>(seq - base_);
    const uint32_t from = seq < base_ ? 0u - at : 0;  // known already
    if (from > length) return false;
    const uint32_t begin = at + from;
    if (begin > capacity_) return false;
    const uint32_t n = std::min(length - from, capacity_ - begin);
    const bool whole = from + n == length;
    const uint32_t end = begin + n;
    if (begin > size_) return keep_beyond(begin, bytes.subspan(from, n), fin && whole), false;
    const uint32_t before = size_;
    if (end > size_) {
      fill(begin, bytes.subspan(from, n), size_);
      size_ = end;
      join();
    }
    if (fin && whole && end == size_) {
      fin_ = true;
      beyond_begin_ = beyond_end_ = 0;
    }
    return size_ != before || fin_;
  }

  // Octets before `seq` are needed no more: makes room behind the others. Not beyond end().
  void forget(Seq seq) {
    if (seq <= base_) return;
    const auto gone = static_cast<uint32_t>(seq - base_);
    assert(gone <= size_);
    std::memmove(data_, data_ + gone, std::max(size_, beyond_end_) - gone);
    base_ = seq;
    size_ -= gone;
    if (beyond_end_ != 0) {
      beyond_begin_ -= gone;
      beyond_end_ -= gone;
    }
  }

  // Moves to a larger memory; what was kept goes with it.
  void move_to(std::span<uint8_t> memory) {
    std::memcpy(memory.data(), data_, std::max(size_, beyond_end_));
    data_ = memory.data();
    capacity_ = static_cast<uint32_t>(memory.size());
  }

 private:
  // Octets from offset `begin` on, but for those before `known` and those of the range behind the
  // gap, which are here already.
  void fill(uint32_t begin, std::span<const uint8_t> bytes, uint32_t known) {
    const uint32_t end = begin + static_cast<uint32_t>(bytes.size());
    const auto copy = [&](uint32_t from, uint32_t to) {
      if (from < to) std::memcpy(data_ + from, bytes.data() + (from - begin), to - from);
    };
    copy(std::max(begin, known), beyond_end_ == 0 ? end : std::min(end, beyond_begin_));
    if (beyond_end_ != 0) copy(std::max({begin, known, beyond_end_}), end);
  }
  void keep_beyond(uint32_t begin, std::span<const uint8_t> bytes, bool fin) {
    if (bytes.empty() || fin) return;  // the FIN comes again
    const uint32_t end = begin + static_cast<uint32_t>(bytes.size());
    if (beyond_end_ != 0 && (begin > beyond_end_ || end < beyond_begin_)) return;
    fill(begin, bytes, 0);
    beyond_begin_ = beyond_end_ == 0 ? begin : std::min(beyond_begin_, begin);
    beyond_end_ = std::max(beyond_end_, end);
  }
  void join() {
    if (beyond_end_ == 0 || beyond_begin_ > size_) return;
    size_ = std::max(size_, beyond_end_);
    beyond_begin_ = beyond_end_ = 0;
  }

  uint8_t* data_ = nullptr;
  uint32_t capacity_ = 0;
  Seq base_;
  uint32_t size_ = 0;          // contiguous octets
  uint32_t beyond_begin_ = 0;  // a range behind a gap, offsets; end 0: none
  uint32_t beyond_end_ = 0;
  bool fin_ = false;
};

}  // namespace limpet::tcp
