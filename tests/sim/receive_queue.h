// Everything that a receiver ever got: what is in order, what lies beyond gaps, and in which order
// it came, for SACK (RFC 2018, 4) and D-SACK (RFC 2883). Keeps the whole stream: octets that
// arrive again are compared with those that came first.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "intervals.h"
#include "packet.h"

namespace limpet::sim {

class ReceiveQueue {
 public:
  struct Added {
    bool advanced = false;              // next() moved
    bool beyond = false;                // kept beyond a gap
    bool filled = false;                // something beyond a gap became in order
    std::optional<Interval> duplicate;  // first range that was there already
    std::optional<Position> contradicts;
  };
  // Data at `at`, 1 being the stream's first octet. The caller has cut it at its window's edge.
  Added add(Position at, std::span<const uint8_t> data);

  Position next() const { return next_; }
  size_t unread() const { return static_cast<size_t>(next_ - 1) - read_; }
  std::span<const uint8_t> read(size_t most);
  std::span<const uint8_t> stream() const {
    return {bytes_.data(), static_cast<size_t>(next_ - 1)};
  }
  const IntervalSet& beyond() const { return beyond_; }
  // The ranges beyond gaps, the one that changed last first.
  const std::vector<Interval>& recent() const { return recent_; }

 private:
  Bytes bytes_;  // from position 1; holes beyond next_ until they are filled
  Position next_ = 1;
  size_t read_ = 0;
  IntervalSet beyond_;
  std::vector<Interval> recent_;
};

}  // namespace limpet::sim
