// The edits of one HTTP head while they are collected, in order, offsets from the head's first
// octet. What touches becomes one edit, as the stream map demands. A head has few edits; their text
// must fit one edit of the pool when it is joined.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "limpet/tcp/edit_pool.h"
#include "limpet/tcp/stream_map.h"

namespace limpet::dataplane {

class EditList {
 public:
  static constexpr size_t kMaxEdits = 72;

  // In order: not in front of the end of the one before. False when there is no room left.
  bool add(uint32_t at, uint32_t removed, std::string_view text) {
    if (removed == 0 && text.empty()) return true;
    if (text.size() > text_.size() - used_) return false;
    if (count_ != 0 && at <= edits_[count_ - 1].at + edits_[count_ - 1].removed) {
      Edit& last = edits_[count_ - 1];
      if (last.length + text.size() > tcp::EditPool::kMaxBytes) return false;
      last.removed += removed;
      last.length += static_cast<uint32_t>(text.size());
    } else {
      if (count_ == edits_.size()) return false;
      edits_[count_++] = {at, removed, used_, static_cast<uint32_t>(text.size())};
    }
    if (!text.empty()) std::memcpy(text_.data() + used_, text.data(), text.size());
    used_ += static_cast<uint32_t>(text.size());
    return true;
  }
  bool add(uint32_t at, uint32_t removed, std::span<const uint8_t> bytes) {
    return add(at, removed,
               std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  }

  // To the map of the stream whose octet `first` is the head's first. False when the pool is full;
  // those in front of the one that failed are in the map.
  bool apply(tcp::StreamMap& map, tcp::EditPool& pool, tcp::Seq first) const {
    for (size_t i = 0; i < count_; ++i) {
      const Edit& e = edits_[i];
      const auto* text = reinterpret_cast<const uint8_t*>(text_.data()) + e.text;
      if (!map.append(pool, first + e.at, e.removed, {text, e.length})) return false;
    }
    return true;
  }
  size_t size() const { return count_; }

 private:
  struct Edit {
    uint32_t at = 0, removed = 0, text = 0, length = 0;
  };
  std::array<Edit, kMaxEdits> edits_;
  size_t count_ = 0;
  std::array<char, 4 * tcp::EditPool::kMaxBytes> text_;
  uint32_t used_ = 0;
};

}  // namespace limpet::dataplane
