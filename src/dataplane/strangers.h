// Who has said something that belongs to no connection: to be told so, by a reset, when it says
// something again. Not at once, as made-up segments from everywhere would send as many resets
// everywhere; but nobody waits because there is no room to remember it: it is told at once then.
//
// Owner: one worker's Splicer.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "limpet/base/time.h"

namespace limpet::dataplane {

class Strangers {
 public:
  static constexpr uint32_t kPlaces = 16384;
  // How long what was said counts. It may be forgotten for another one's sake after kPause, in
  // which a client that waits for an ACK has said it again (RFC 6298, 2: a second at first).
  static constexpr Tick kMemory = to_ticks(std::chrono::minutes(2));
  static constexpr Tick kPause = to_ticks(std::chrono::seconds(3));

  Strangers() : buckets_(kPlaces / kWays) {}

  // True when whoever has this hash of addresses and ports must be told.
  bool again(uint64_t hash, Tick now) {
    Bucket& b = buckets_[hash % buckets_.size()];
    const uint32_t tag = static_cast<uint32_t>(hash >> 32) | 1u;
    unsigned oldest = 0;
    for (unsigned i = 0; i < kWays; ++i) {
      if (b.tag[i] == tag) {
        const bool again = now - b.last[i] <= kMemory;
        b.last[i] = now;
        return again;
      }
      if (b.tag[i] == 0)
        oldest = i;
      else if (b.tag[oldest] != 0 && tick_before(b.last[i], b.last[oldest]))
        oldest = i;
    }
    if (b.tag[oldest] != 0 && now - b.last[oldest] <= kPause) return true;
    b.tag[oldest] = tag;
    b.last[oldest] = now;
    return false;
  }

 private:
  static constexpr unsigned kWays = 8;
  struct alignas(64) Bucket {
    std::array<uint32_t, kWays> tag{};  // 0: free
    std::array<Tick, kWays> last{};     // said something last
  };
  static_assert(sizeof(Bucket) == 64);
  std::vector<Bucket> buckets_;
};

}  // namespace limpet::dataplane
