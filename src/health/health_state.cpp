// Rise and fall.
#include "limpet/health/health_state.h"

#include <fmt/core.h>

namespace limpet::health {

using balance::Health;

std::optional<HealthState::Transition> HealthState::feed(const CheckResult& result, Instant now) {
  if (result.ok)
    last_ok_ = now;
  else
    last_error_ = result.error;
  const Health seen = result.ok ? Health::up : Health::down;
  if (seen == health_) {
    streak_ = 0;
    return std::nullopt;
  }
  ++streak_;
  if (health_ != Health::unknown && streak_ < (result.ok ? rise_ : fall_)) return std::nullopt;
  Transition t{seen, result.ok ? fmt::format("health check: passed {} in a row", streak_)
                               : fmt::format("health check: {}; {} failed", result.error, streak_)};
  if (result.ok && streak_ == 1) t.reason = "health check: passed";
  health_ = seen;
  streak_ = 0;
  return t;
}

void HealthState::set_limits(uint32_t rise, uint32_t fall) {
  rise_ = rise;
  fall_ = fall;
}

}  // namespace limpet::health
