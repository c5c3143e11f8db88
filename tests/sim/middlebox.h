// What stands between the hosts of a simulated network: a wire, a translator of the tests, or the
// product. Frames go in at a port and come out at ports; time is told, never asked for.
#pragma once

#include <optional>
#include <vector>

#include "limpet/base/time.h"
#include "packet.h"

namespace limpet::sim {

struct Frame {
  uint16_t port = 0;
  Bytes bytes;
};

class Middlebox {
 public:
  virtual ~Middlebox() = default;
  // Frames that leave at once because of this one.
  virtual std::vector<Frame> on_frame(uint16_t port, Bytes bytes, Instant now) = 0;
  // When on_timer wants to be called; the network asks after every call.
  virtual std::optional<Instant> next_timer() const { return std::nullopt; }
  virtual std::vector<Frame> on_timer(Instant) { return {}; }
  // Whether it keeps from its hosts what no host of this connection can have said.
  virtual bool judges() const { return false; }
};

// Two ports, joined.
class Wire : public Middlebox {
 public:
  std::vector<Frame> on_frame(uint16_t port, Bytes bytes, Instant) override {
    std::vector<Frame> out(1);
    out[0] = {static_cast<uint16_t>(port ^ 1), std::move(bytes)};
    return out;
  }
};

}  // namespace limpet::sim
