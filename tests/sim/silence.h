// A seed in which one end of a conversation says and hears nothing any more, at some moment:
// whoever it talked to must hear of that within the time-outs, by a reset, or by 504 where nothing
// else has been said.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "trace.h"

namespace limpet::sim {

struct Silences {
  uint64_t seeds = 0, nat = 0;
  uint64_t reset = 0, told = 0;  // how the other end heard
};

// What went wrong; empty: nothing.
std::vector<std::string> fall_silent(uint64_t seed, Trace* trace, Silences& silences);

}  // namespace limpet::sim
