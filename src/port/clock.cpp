#include "limpet/port/clock.h"

#include <rte_cycles.h>
#include <time.h>

namespace limpet::port {

Clock::Clock(uint64_t hz, uint64_t tsc, Instant at)
    : tsc_(tsc), ns_(at.ns), multiplier_((uint64_t{1000000000} << kShift) / hz) {}

Clock Clock::system() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  // A second back: another core's counter may lag a little, and times must not run below zero.
  const uint64_t hz = rte_get_tsc_hz();
  return Clock(hz, rte_rdtsc() - hz,
               {static_cast<uint64_t>(t.tv_sec) * 1000000000 + static_cast<uint64_t>(t.tv_nsec) -
                1000000000});
}

Instant Clock::now() const {
  return at(rte_rdtsc());
}

uint64_t unix_time() {
  timespec t{};
  clock_gettime(CLOCK_REALTIME, &t);
  return static_cast<uint64_t>(t.tv_sec);
}

}  // namespace limpet::port
