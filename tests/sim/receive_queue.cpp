#include "receive_queue.h"

#include <algorithm>
#include <cstring>

namespace limpet::sim {

ReceiveQueue::Added ReceiveQueue::add(Position at, std::span<const uint8_t> data) {
  Added result;
  const Interval all{at, at + static_cast<Position>(data.size())};
  if (data.empty()) return result;

  // What we have of it must be the same octets.
  const auto compare = [&](Interval have) {
    have.left = std::max(have.left, all.left);
    have.right = std::min(have.right, all.right);
    if (have.left >= have.right) return;
    if (!result.duplicate) result.duplicate = have;
    const uint8_t* theirs = data.data() + (have.left - at);
    const uint8_t* ours = bytes_.data() + (have.left - 1);
    if (!result.contradicts && std::memcmp(theirs, ours, static_cast<size_t>(have.size())) != 0) {
      const auto [a, b] = std::mismatch(ours, ours + have.size(), theirs);
      result.contradicts = have.left + (a - ours);
    }
  };
  compare({1, next_});
  for (const Interval& i : beyond_.all()) compare(i);
  if (all.right <= next_) return result;

  // The first copy counts, as in a kernel's queue.
  if (bytes_.size() < static_cast<size_t>(all.right - 1)) {
    bytes_.resize(static_cast<size_t>(all.right - 1));
  }
  for (Position p = std::max(all.left, next_); p < all.right;) {
    const Interval gap = beyond_.gap(p, all.right);
    if (gap.left < gap.right) {
      std::memcpy(bytes_.data() + (gap.left - 1), data.data() + (gap.left - at),
                  static_cast<size_t>(gap.size()));
    }
    p = gap.right;
    if (const Interval* have = beyond_.at(p)) p = have->right;
  }
  if (all.left <= next_) {
    next_ = all.right;
    result.advanced = true;
    while (const Interval* i = beyond_.at(next_)) {
      next_ = i->right;
      result.filled = true;
    }
    result.filled |= !beyond_.empty() && beyond_.all().front().right <= next_;
    beyond_.erase_below(next_);
    std::erase_if(recent_, [&](const Interval& i) { return i.right <= next_; });
    return result;
  }
  result.beyond = true;
  beyond_.add(all);
  const Interval grown = *beyond_.at(all.left);
  std::erase_if(recent_,
                [&](const Interval& i) { return i.left >= grown.left && i.right <= grown.right; });
  recent_.insert(recent_.begin(), grown);
  return result;
}

std::span<const uint8_t> ReceiveQueue::read(size_t most) {
  const size_t n = std::min(most, unread());
  const size_t from = read_;
  read_ += n;
  return {bytes_.data() + from, n};
}

}  // namespace limpet::sim
