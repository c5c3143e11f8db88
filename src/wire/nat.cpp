#include "limpet/wire/nat.h"

#include <cassert>

#include "limpet/wire/checksum.h"
#include "limpet/wire/layout.h"

namespace limpet::wire {
namespace {

// The addresses of the IP header at `ip`, and one hop less. Returns what changed for the checksums
// that cover a pseudo header.
ChecksumDelta rewrite_ip4(uint8_t* ip, const IpAddress& source, const IpAddress& destination) {
  ChecksumDelta addresses;
  addresses.replace(load<be32>(ip + ip4::kSource), source.v4_word());
  addresses.replace(load<be32>(ip + ip4::kDestination), destination.v4_word());
  ChecksumDelta header = addresses;
  const auto hop = load<be16>(ip + ip4::kTtl);
  const be16 next_hop = be16::from(static_cast<uint16_t>(hop.host() - 0x0100));
  header.replace(hop, next_hop);
  store(ip + ip4::kTtl, next_hop);
  store(ip + ip4::kSource, source.v4_word());
  store(ip + ip4::kDestination, destination.v4_word());
  store(ip + ip4::kChecksum, header.apply(load<be16>(ip + ip4::kChecksum)));
  return addresses;
}

ChecksumDelta rewrite_ip6(uint8_t* ip, const IpAddress& source, const IpAddress& destination) {
  ChecksumDelta addresses;
  addresses.replace(load<IpAddress>(ip + ip6::kSource), source);
  addresses.replace(load<IpAddress>(ip + ip6::kDestination), destination);
  ip[ip6::kHopLimit] = static_cast<uint8_t>(ip[ip6::kHopLimit] - 1);
  store(ip + ip6::kSource, source);
  store(ip + ip6::kDestination, destination);
  return addresses;
}

}  // namespace

void rewrite(std::span<uint8_t> bytes, const Frame& frame, const IpAddress& source,
             be16 source_port, const IpAddress& destination, be16 destination_port) {
  assert(frame.kind == FrameKind::tcp || frame.kind == FrameKind::udp);
  assert(source.is_v4() != frame.v6 && destination.is_v4() != frame.v6);
  assert(frame.ttl > 1 && frame.end <= bytes.size());
  uint8_t* ip = bytes.data() + frame.l3;
  ChecksumDelta delta =
      frame.v6 ? rewrite_ip6(ip, source, destination) : rewrite_ip4(ip, source, destination);

  // Ports stand first in both headers.
  uint8_t* l4 = bytes.data() + frame.l4;
  delta.replace(load<be16>(l4 + tcp_header::kSource), source_port);
  delta.replace(load<be16>(l4 + tcp_header::kDestination), destination_port);
  store(l4 + tcp_header::kSource, source_port);
  store(l4 + tcp_header::kDestination, destination_port);
  if (frame.kind == FrameKind::tcp)
    store(l4 + tcp_header::kChecksum, delta.apply(load<be16>(l4 + tcp_header::kChecksum)));
  else
    store(l4 + udp_header::kChecksum, delta.apply_udp(load<be16>(l4 + udp_header::kChecksum)));
}

}  // namespace limpet::wire
