// What runs on top of an endpoint: gets the octets that arrive, in order and once, and writes.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "limpet/base/time.h"

namespace limpet::sim {

class Endpoint;

class App {
 public:
  virtual ~App() = default;
  virtual void on_open(Endpoint&, Instant) {}  // established
  virtual void on_data(Endpoint&, std::span<const uint8_t>, Instant) {}
  virtual void on_room(Endpoint&, Instant) {}        // the send buffer has room again
  virtual void on_peer_close(Endpoint&, Instant) {}  // everything read, then FIN
  virtual void on_end(Endpoint&, Instant) {}         // reset, refused or timed out
  // A clock for those that write at given times.
  virtual std::optional<Instant> next_timer() const { return std::nullopt; }
  virtual void on_timer(Endpoint&, Instant) {}
};

}  // namespace limpet::sim
