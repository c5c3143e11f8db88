// Full NAT of a frame in place: addresses, ports and one hop, checksums updated incrementally.
#pragma once

#include <cstdint>
#include <span>

#include "limpet/base/address.h"
#include "limpet/base/endian.h"
#include "limpet/wire/frame.h"

namespace limpet::wire {

// Rewrites source and destination of a TCP or UDP frame and takes one from its TTL or hop limit.
//
// `frame` is what parse_frame() said of `bytes`; kind is tcp or udp; both addresses are of the
// frame's family; frame.ttl > 1 (a packet with less is the caller's to drop as ip_ttl_expired).
// Ethernet addresses stay: they are known only after the next hop is resolved. `frame` describes
// the packet as received and is not changed.
//
// A UDP checksum of zero over IPv4 stays zero. What the checksums said of the packet before, right
// or wrong, they say of it afterwards: damage on the way is never covered up.
void rewrite(std::span<uint8_t> bytes, const Frame& frame, const IpAddress& source,
             be16 source_port, const IpAddress& destination, be16 destination_port);

}  // namespace limpet::wire
