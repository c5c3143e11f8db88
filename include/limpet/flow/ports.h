// Source ports of one worker towards one backend endpoint from one source address: handed out oldest
// first, so that a port rests as long as possible before the backend sees it again in TIME_WAIT.
// Only ports whose return packets hash to this worker are in the set (flow/toeplitz.h).
// Owner: one worker after construction; memory is taken at construction.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "limpet/flow/toeplitz.h"

namespace limpet::flow {

class SourcePorts {
 public:
  struct Setup {
    IpAddress backend;        // source of the return packet
    be16 backend_port{};
    IpAddress source;         // destination of the return packet
    uint16_t first = 1024;    // range of ports, first <= last
    uint16_t last = 65535;
    const Toeplitz* toeplitz = nullptr;  // used at construction only; may be null with one worker
    Reta reta;                // of the port by which the answer arrives
    uint32_t worker = 0;
    uint64_t random = 0;      // where the never-used ports start, so that a restart does not repeat
  };
  struct Grant {
    be16 port;
    bool early = false;  // was in use less than 60 s ago
  };

  explicit SourcePorts(const Setup& setup);

  std::optional<Grant> take(Tick now);  // nullopt: all in use
  void give(be16 port, Tick now);       // back after use; each taken port exactly once

  uint32_t capacity() const;  // ports that belong to this worker
  uint32_t in_use() const;
};

}  // namespace limpet::flow
