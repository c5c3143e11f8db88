// What there is to say of a worker beside its counters, which it writes itself.
#pragma once

#include <cstdint>
#include <string>

#include "limpet/dataplane/counters.h"

namespace limpet::console {

struct WorkerInfo {
  unsigned id = 0;
  unsigned lcore = 0;
  std::string poll;              // "spin", "adaptive"
  uint32_t flow_capacity = 0;    // of this worker
  uint32_t flow_bytes_each = 0;  // Table::bytes_each()
  uint32_t held_limit = 0;       // packets
  const dataplane::WorkerStats* stats = nullptr;
};

}  // namespace limpet::console
