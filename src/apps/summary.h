// What a run of limpet came to, for the operator who ended it.
#pragma once

#include <span>
#include <string>

#include "limpet/base/time.h"
#include "limpet/dataplane/counters.h"

namespace limpet::apps {

struct Run {
  Duration uptime{};
  std::span<const dataplane::WorkerStats* const> workers;
  uint32_t leaked_mbufs = 0;
};

// A few lines: time, frames, connections, and every reason for which frames were dropped.
std::string summarize(const Run& run);

}  // namespace limpet::apps
