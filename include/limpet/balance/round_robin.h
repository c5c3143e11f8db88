// Weighted round robin, smooth: backends take turns in proportion to their weights, spread as
// evenly as that goes (5, 1, 1 is A A B A C A A and not A A A A A B C), among those that may be
// used at the moment. Belongs to one worker; each worker's turns begin elsewhere, or the first
// clients of all workers would meet at one backend.
//
// Each member has a time at which its next turn is due, one stride (kRound / weight) after the last
// one. Who is due first is picked, and time passes to there. Whoever could not be used for a whole
// stride has missed his turns: he gets none of them back, and begins at his own phase of the round
// again, so that many who return together do not come in a row. Times are compared as differences:
// they may wrap.
//
// Compared with the smooth algorithm of nginx: the same spread and the same loop over all members,
// but one write a pick, and no member's turn depends on how long another one was away.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "limpet/balance/maglev.h"

namespace limpet::balance {

class RoundRobin {
 public:
  RoundRobin() = default;  // nobody: every pick answers kNone
  // `weights` by member, 0 .. Maglev::kMaxWeight; 0 is never picked.
  RoundRobin(std::span<const uint32_t> weights, unsigned worker, unsigned workers);

  // Whose turn it is, of those for which usable(index) is true; Maglev::kNone when none is. Visits
  // every member.
  template <class Usable>
  uint16_t pick(Usable&& usable);

 private:
  static constexpr uint64_t kRound = uint64_t{1} << 24;  // one turn of a member of weight 1

  struct Turn {
    uint64_t due = 0;
    uint32_t stride = 0;  // 0: weight 0
    uint32_t phase = 0;   // below the stride
  };
  std::vector<Turn> turns_;  // by member
  uint64_t now_ = 0 - 3 * kRound;
};

template <class Usable>
uint16_t RoundRobin::pick(Usable&& usable) {
  uint16_t best = Maglev::kNone;
  int64_t least = 0;
  for (size_t i = 0; i < turns_.size(); ++i) {
    Turn& t = turns_[i];
    if (t.stride == 0) continue;
    auto wait = static_cast<int64_t>(t.due - now_);
    const bool missed = wait <= -static_cast<int64_t>(t.stride);
    if (!missed && best != Maglev::kNone && wait >= least) continue;
    if (!usable(static_cast<uint16_t>(i))) {
      if (missed) t.due = now_ - t.stride;  // and no further back, or it would seem to be ahead
      continue;
    }
    if (missed) {
      t.due = now_ + t.phase;
      wait = t.phase;
      if (best != Maglev::kNone && wait >= least) continue;
    }
    best = static_cast<uint16_t>(i);
    least = wait;
  }
  if (best == Maglev::kNone) return best;
  if (least > 0) now_ = turns_[best].due;
  turns_[best].due += turns_[best].stride;
  return best;
}

}  // namespace limpet::balance
