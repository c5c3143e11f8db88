#include "limpet/wire/nat.h"

#include <cassert>

#include "rewrite.h"

namespace limpet::wire {

void rewrite(std::span<uint8_t> bytes, const Frame& frame, const IpAddress& source,
             be16 source_port, const IpAddress& destination, be16 destination_port) {
  assert(frame.kind == FrameKind::tcp || frame.kind == FrameKind::udp);
  assert(source.is_v4() != frame.v6 && destination.is_v4() != frame.v6);
  assert(frame.ttl > 1 && frame.end <= bytes.size());
  uint8_t* l4 = bytes.data() + frame.l4;
  ChecksumDelta delta = forward_ip(bytes.data() + frame.l3, frame.v6, source, destination);
  replace_ports(l4, source_port, destination_port, delta);
  if (frame.kind == FrameKind::tcp)
    store(l4 + tcp_header::kChecksum, delta.apply(load<be16>(l4 + tcp_header::kChecksum)));
  else
    store(l4 + udp_header::kChecksum, delta.apply_udp(load<be16>(l4 + udp_header::kChecksum)));
}

}  // namespace limpet::wire
