// The time of a worker: the CPU's time-stamp counter as an Instant, by one multiplication. Every
// worker of a process uses the same Clock, so their times compare.
#pragma once

#include <cstdint>

#include "limpet/base/time.h"

namespace limpet::port {

class Clock {
 public:
  // Counter value `tsc` is the time `at`; it counts `hz` per second.
  Clock(uint64_t hz, uint64_t tsc, Instant at);
  // By the EAL's measurement of the counter (the EAL runs), set to CLOCK_MONOTONIC.
  static Clock system();

  Instant at(uint64_t tsc) const {
    __extension__ using Wide = unsigned __int128;
    return {ns_ + static_cast<uint64_t>((static_cast<Wide>(tsc - tsc_) * multiplier_) >> kShift)};
  }
  Instant now() const;

 private:
  static constexpr unsigned kShift = 32;
  uint64_t tsc_;
  uint64_t ns_;
  uint64_t multiplier_;  // nanoseconds per count, 32 binary places
};

// Seconds since 1970 by the system's clock, for what leaves the machine as a date.
uint64_t unix_time();

}  // namespace limpet::port
