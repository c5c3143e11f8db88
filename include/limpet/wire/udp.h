// UDP datagrams: accessors for a frame that parse_frame() found to be of kind udp; they cannot
// fail.
#pragma once

#include <cstdint>
#include <span>

#include "limpet/base/endian.h"
#include "limpet/wire/frame.h"
#include "limpet/wire/layout.h"

namespace limpet::wire {

// Bounded by the UDP length, which may be less than what the IP packet holds.
inline std::span<const uint8_t> udp_data(std::span<const uint8_t> bytes, const Frame& f) {
  const uint16_t length = load<be16>(bytes.data() + f.l4 + udp_header::kLength).host();
  return bytes.subspan(f.payload, length - udp_header::kSize);
}

// False for an IPv4 sender that computed none (RFC 768).
inline bool udp_has_checksum(std::span<const uint8_t> bytes, const Frame& f) {
  return load<be16>(bytes.data() + f.l4 + udp_header::kChecksum).raw != 0;
}

}  // namespace limpet::wire
