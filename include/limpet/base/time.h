// Time as a parameter. Nothing below `port` reads a clock: a worker reads the TSC once per poll
// iteration and passes an Instant down; tests make their own.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>

namespace limpet {

using Duration = std::chrono::nanoseconds;

// Nanoseconds of a monotonic clock that starts anywhere.
struct Instant {
  uint64_t ns = 0;

  constexpr auto operator<=>(const Instant&) const = default;
  constexpr Instant operator+(Duration d) const { return {ns + static_cast<uint64_t>(d.count())}; }
  constexpr Duration operator-(Instant o) const {
    return Duration(static_cast<int64_t>(ns - o.ns));
  }
};

// 32-bit ticks of 2^20 ns (1.05 ms) for records where eight bytes are too many. Wraps after 52
// days: compare with tick_before only, and only times less than 26 days apart.
using Tick = uint32_t;
constexpr unsigned kTickShift = 20;
constexpr Tick to_tick(Instant t) {
  return static_cast<Tick>(t.ns >> kTickShift);
}
constexpr Tick to_ticks(Duration d) {
  return static_cast<Tick>((static_cast<uint64_t>(d.count()) + (1u << kTickShift) - 1) >>
                           kTickShift);
}
constexpr bool tick_before(Tick a, Tick b) {
  return static_cast<int32_t>(a - b) < 0;
}
constexpr Duration tick_duration(Tick ticks) {
  return Duration(static_cast<int64_t>(static_cast<uint64_t>(ticks) << kTickShift));
}

}  // namespace limpet
