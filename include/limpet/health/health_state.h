// Check results of one backend -> its health. A pure state machine.
//
//   unknown  the first result decides, whatever rise and fall say (balance/backend_state.h)
//   up       `fall` failures in a row make it down
//   down     `rise` successes in a row make it up
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "limpet/balance/backend_state.h"
#include "limpet/base/time.h"

namespace limpet::health {

struct CheckResult {
  bool ok = false;
  std::string error;  // of a failure, for people: "connection refused"
};

class HealthState {
 public:
  struct Transition {
    balance::Health to = balance::Health::unknown;
    std::string reason;  // "health check: connection refused; 3 failed"
  };

  HealthState(uint32_t rise, uint32_t fall) : rise_(rise), fall_(fall) {}

  std::optional<Transition> feed(const CheckResult& result, Instant now);
  // Of a reload; the streak that is under way goes on counting.
  void set_limits(uint32_t rise, uint32_t fall);

  balance::Health health() const { return health_; }
  std::optional<Instant> last_ok() const { return last_ok_; }
  const std::string& last_error() const { return last_error_; }  // empty: never failed

 private:
  uint32_t rise_, fall_;
  uint32_t streak_ = 0;  // results in a row that speak against health_
  balance::Health health_ = balance::Health::unknown;
  std::optional<Instant> last_ok_;
  std::string last_error_;
};

}  // namespace limpet::health
