// What a worker knows of a backend's condition, and what follows from it. Each worker owns a copy,
// changed only by messages of its control ring; the control thread keeps its own for `show`.
//
//                 admin up            admin drain         admin down
//   unknown       new and existing    existing            neither
//   health up     new and existing    existing            neither
//   health down   neither             neither             neither
//
// A backend that no check has seen yet counts as up, as in HAProxy: else a restart would refuse
// every client for the first rise x interval. The price is bounded: the first result of a check
// ends `unknown` either way, without waiting for rise or fall. A pool without checks starts at
// `up`.
#pragma once

#include <cstdint>
#include <type_traits>

namespace limpet::balance {

enum class Admin : uint8_t { up, drain, down };           // what the operator wants
enum class Health : uint8_t { unknown, up, down };        // what the checks found
enum class State : uint8_t { up, down, drain, unknown };  // both in one word, for `show backends`

struct BackendStatus {
  Admin admin = Admin::up;
  Health health = Health::unknown;

  // A client that nothing binds to this backend may be sent there.
  constexpr bool accepts_new() const { return admin == Admin::up && health != Health::down; }
  // Packets of its flows go there, and so do sessions that name it (cookie, stick entry).
  constexpr bool accepts_existing() const { return admin != Admin::down && health != Health::down; }
  // The worst word that is true: a draining backend that is dead is down.
  constexpr State state() const {
    if (!accepts_existing()) return State::down;
    if (admin == Admin::drain) return State::drain;
    return health == Health::unknown ? State::unknown : State::up;
  }
  friend constexpr bool operator==(BackendStatus, BackendStatus) = default;
};
static_assert(sizeof(BackendStatus) == 2 && std::is_trivially_copyable_v<BackendStatus>);

// The words that `show backends` and telemetry print; stable.
constexpr const char* name(Admin a) {
  switch (a) {
    case Admin::up:
      return "up";
    case Admin::drain:
      return "drain";
    case Admin::down:
      return "down";
  }
  return "?";
}
constexpr const char* name(Health h) {
  switch (h) {
    case Health::unknown:
      return "unknown";
    case Health::up:
      return "up";
    case Health::down:
      return "down";
  }
  return "?";
}
constexpr const char* name(State s) {
  switch (s) {
    case State::up:
      return "up";
    case State::down:
      return "down";
    case State::drain:
      return "drain";
    case State::unknown:
      return "unknown";
  }
  return "?";
}

}  // namespace limpet::balance
