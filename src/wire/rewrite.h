// The steps that NAT of packets and NAT of the packets quoted in ICMP errors have in common.
#pragma once

#include <cstdint>

#include "limpet/base/address.h"
#include "limpet/wire/checksum.h"
#include "limpet/wire/layout.h"

namespace limpet::wire {

// Replaces a field and notes the change.
template <class T>
void replace_field(uint8_t* at, const T& to, ChecksumDelta& delta) {
  delta.replace(load<T>(at), to);
  store(at, to);
}

// The addresses of the IP header at `ip`; what changed, as pseudo headers see it. An IPv4 header
// checksum is left to the caller.
inline ChecksumDelta replace_addresses(uint8_t* ip, bool v6, const IpAddress& source,
                                       const IpAddress& destination) {
  ChecksumDelta d;
  if (v6) {
    replace_field(ip + ip6::kSource, source, d);
    replace_field(ip + ip6::kDestination, destination, d);
  } else {
    replace_field(ip + ip4::kSource, source.v4_word(), d);
    replace_field(ip + ip4::kDestination, destination.v4_word(), d);
  }
  return d;
}

// The same for a packet that passes through us, with one hop less and the IPv4 header checksum.
inline ChecksumDelta forward_ip(uint8_t* ip, bool v6, const IpAddress& source,
                                const IpAddress& destination) {
  const ChecksumDelta addresses = replace_addresses(ip, v6, source, destination);
  if (v6) {
    ip[ip6::kHopLimit] = static_cast<uint8_t>(ip[ip6::kHopLimit] - 1);
    return addresses;
  }
  ChecksumDelta header = addresses;
  // TTL and protocol are one word of the checksum, TTL its upper half.
  const uint16_t hop = load<be16>(ip + ip4::kTtl).host();
  replace_field(ip + ip4::kTtl, be16::from(static_cast<uint16_t>(hop - 0x0100)), header);
  store(ip + ip4::kChecksum, header.apply(load<be16>(ip + ip4::kChecksum)));
  return addresses;
}

// The ports of a TCP or UDP header: they stand first in both.
inline void replace_ports(uint8_t* l4, be16 source, be16 destination, ChecksumDelta& delta) {
  replace_field(l4 + udp_header::kSource, source, delta);
  replace_field(l4 + udp_header::kDestination, destination, delta);
}

}  // namespace limpet::wire
