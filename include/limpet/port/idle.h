// What a worker does between polls that found nothing: the adaptive policy alone, without a clock
// or a system call. Spinning answers fastest but starves whoever shares the core; a ring cannot
// wake a sleeper and af_packet has no receive interrupt, so naps are short.
#pragma once

#include <algorithm>
#include <cstdint>

#include "limpet/base/time.h"

namespace limpet::port {

class Idle {
 public:
  enum class Action : uint8_t { poll, pause, nap };
  static constexpr uint32_t kPollsBeforePause = 16;
  static constexpr uint32_t kPollsBeforeNap = 128;
  static constexpr Duration kFirstNap = std::chrono::microseconds(10);
  static constexpr Duration kLongestNap = std::chrono::microseconds(200);

  // After each poll. `may_nap` false: something waits that no frame announces.
  Action next(bool found, bool may_nap) {
    if (found) {
      empty_ = 0;
      nap_ = kFirstNap;
      return Action::poll;
    }
    if (empty_ < kPollsBeforeNap)
      return ++empty_ < kPollsBeforePause ? Action::poll : Action::pause;
    return may_nap ? Action::nap : Action::poll;
  }
  // How long the nap is that next() asked for; twice as long each time, up to the limit.
  Duration nap() {
    const Duration now = nap_;
    nap_ = std::min(2 * nap_, kLongestNap);
    return now;
  }

 private:
  uint32_t empty_ = 0;
  Duration nap_ = kFirstNap;
};

}  // namespace limpet::port
