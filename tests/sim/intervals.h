// Sorted half-open ranges of stream positions that do not touch: what a receiver has beyond a gap,
// and what a sender knows to have arrived. Few ranges at a time, so a vector.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace limpet::sim {

// An octet's place in one direction of a connection, without wrapping: 0 is the SYN, 1 the first
// octet of data, the FIN follows the last.
using Position = int64_t;

struct Interval {
  Position left = 0;
  Position right = 0;
  Position size() const { return right - left; }
  friend bool operator==(const Interval&, const Interval&) = default;
};

class IntervalSet {
 public:
  void add(Interval i) {
    if (i.left >= i.right) return;
    auto first = std::find_if(all_.begin(), all_.end(),
                              [&](const Interval& have) { return have.right >= i.left; });
    auto last = first;
    for (; last != all_.end() && last->left <= i.right; ++last) {
      i.left = std::min(i.left, last->left);
      i.right = std::max(i.right, last->right);
    }
    all_.insert(all_.erase(first, last), i);
  }
  void erase_below(Position p) {
    std::erase_if(all_, [&](const Interval& i) { return i.right <= p; });
    if (!all_.empty()) all_.front().left = std::max(all_.front().left, p);
  }
  void clear() { all_.clear(); }

  bool empty() const { return all_.empty(); }
  const std::vector<Interval>& all() const { return all_; }
  Position end() const { return all_.empty() ? 0 : all_.back().right; }
  // The range that contains `p`, or null.
  const Interval* at(Position p) const {
    for (const Interval& i : all_) {
      if (p < i.right) return p >= i.left ? &i : nullptr;
    }
    return nullptr;
  }
  // Octets of `within` that are in the set.
  Position count(Interval within) const {
    Position n = 0;
    for (const Interval& i : all_) {
      const Position l = std::max(i.left, within.left), r = std::min(i.right, within.right);
      n += r > l ? r - l : 0;
    }
    return n;
  }
  // The first range without any of the set that starts at or after `from`; empty at `limit`.
  Interval gap(Position from, Position limit) const {
    for (const Interval& i : all_) {
      if (i.right <= from) continue;
      if (i.left > from) return {std::min(from, limit), std::min(i.left, limit)};
      from = i.right;
    }
    return {std::min(from, limit), limit};
  }

 private:
  std::vector<Interval> all_;
};

}  // namespace limpet::sim
