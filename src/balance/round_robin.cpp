#include "limpet/balance/round_robin.h"

#include <cassert>
#include <map>

namespace limpet::balance {

// Members of one weight have their phases at equal distances, so that they alternate; a worker's
// phases are moved by its part of the round.
RoundRobin::RoundRobin(std::span<const uint32_t> weights, unsigned worker, unsigned workers) {
  assert(worker < workers);
  std::map<uint32_t, uint64_t> of_weight, seen;
  for (const uint32_t w : weights) ++of_weight[w];
  turns_.resize(weights.size());
  for (size_t i = 0; i < weights.size(); ++i) {
    const uint32_t w = weights[i];
    assert(w <= Maglev::kMaxWeight);
    if (w == 0) continue;
    Turn& t = turns_[i];
    t.stride = static_cast<uint32_t>(kRound / w);
    const uint64_t own = t.stride * seen[w]++ / of_weight[w];
    const uint64_t moved = uint64_t{t.stride} * worker / workers;
    t.phase = static_cast<uint32_t>((own + t.stride - moved) % t.stride);
    t.due = now_ + t.phase;
  }
}

}  // namespace limpet::balance
