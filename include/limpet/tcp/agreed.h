// What a backend's stack agreed to in its SYN-ACK, as health checks see it.
#pragma once

#include <cstdint>

namespace limpet::tcp {

struct Agreed {
  uint32_t mss = 0;  // octets in a segment, options included
  uint8_t wscale = 0;
  bool sack = false;
  bool timestamps = false;
  // The MSS is as large as the checker's own interface lets it seem: the backend may take more.
  bool mss_at_least = false;
  friend bool operator==(const Agreed&, const Agreed&) = default;
};

}  // namespace limpet::tcp
