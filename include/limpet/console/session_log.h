// The session log: one line for each connection of a service that wants it. Workers leave notes in
// rings (dataplane/shared.h, SessionNote) and never wait; this takes them out, looks names up and
// writes the lines. A bounded number in each turn of the event loop, so that a flood of connections
// delays nothing else; what the ring could not take is counted by the worker.
// Owner: the control thread.
#pragma once

#include <functional>
#include <string>

#include "limpet/base/time.h"
#include "limpet/dataplane/shared.h"
#include "limpet/publish/slots.h"

namespace limpet::console {

class SessionLog {
 public:
  static constexpr unsigned kPerTurn = 256;                         // notes of each worker
  static constexpr Duration kLook = std::chrono::milliseconds(20);  // while a service keeps the log

  using Write = std::function<void(const std::string& line)>;
  SessionLog(dataplane::Shared& shared, Write write) : shared_(shared), write_(std::move(write)) {}

  bool turn(const publish::Slots& slots);  // true: there is more

 private:
  dataplane::Shared& shared_;
  Write write_;
};

// "shop 198.51.100.7:4711 -> web/s1 10.2.0.11:80 reason=cookie SRV=V-"
// "shop [2001:db8::7]:4711 -> nobody reason=no_backend SRV=I-(forged)"
// The two letters are those of HAProxy's log: what the request's cookie was, and what was done to
// the response's, which is "-" as there is no response yet. Empty when the slots mean something
// else by now.
std::string session_line(const publish::Slots& slots, const dataplane::SessionNote& note);

}  // namespace limpet::console
