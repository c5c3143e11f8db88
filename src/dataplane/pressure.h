// When places of anything become short, and what gets on: the same for memory, ports and flows
// (splicer_shares.cpp, crowded.cpp). Private to dataplane.
#pragma once

#include <cstdint>

#include "limpet/base/time.h"

namespace limpet::dataplane {

constexpr Tick kGetsOn = to_ticks(std::chrono::seconds(1));  // heard of within that
constexpr Tick kStuck = to_ticks(std::chrono::seconds(10));

// From here on whoever takes a place costs the heaviest source one.
constexpr uint64_t mark_of(uint64_t total) {
  return total - total / 4;
}
// From here on whoever does nothing wrong may give as well, as there would be no place for others.
constexpr bool nearly_full(uint64_t used, uint64_t total) {
  return used >= total - total / 16;
}
// What was short is emptied until less than that is used.
constexpr uint64_t emptied(uint64_t total) {
  return total / 4;
}

}  // namespace limpet::dataplane
