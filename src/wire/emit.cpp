#include "emit.h"

#include <cassert>
#include <cstring>

#include "limpet/wire/checksum.h"
#include "limpet/wire/layout.h"

namespace limpet::wire {

void emit_ethernet(uint8_t* out, const Link& link, uint16_t type) {
  store(out + eth::kDestination, link.destination);
  store(out + eth::kSource, link.source);
  store(out + eth::kType, be16::from(type));
}

size_t emit_ip(uint8_t* out, const Link& link, const IpHeader& header, size_t length) {
  const bool v4 = header.source.is_v4();
  assert(v4 == header.destination.is_v4());
  emit_ethernet(out, link, v4 ? eth::kIpv4 : eth::kIpv6);
  uint8_t* ip = out + eth::kSize;
  std::memset(ip, 0, ip_header_size(v4));
  if (v4) {
    ip[ip4::kVersionIhl] = 0x45;
    ip[ip4::kTos] = header.traffic_class;
    store(ip + ip4::kLength, be16::from(static_cast<uint16_t>(ip4::kSize + length)));
    store(ip + ip4::kId, header.identification);
    store(ip + ip4::kFragment, be16::from(header.dont_fragment ? ip4::kDontFragment : uint16_t{0}));
    ip[ip4::kTtl] = header.ttl;
    ip[ip4::kProtocol] = header.protocol;
    store(ip + ip4::kSource, header.source.v4_word());
    store(ip + ip4::kDestination, header.destination.v4_word());
    store(ip + ip4::kChecksum, checksum(sum_of(ip, ip4::kSize)));
    return eth::kSize + ip4::kSize;
  }
  store(ip, be32::from(0x60000000u | uint32_t{header.traffic_class} << 20));
  store(ip + ip6::kLength, be16::from(static_cast<uint16_t>(length)));
  ip[ip6::kNext] = header.protocol;
  ip[ip6::kHopLimit] = header.ttl;
  store(ip + ip6::kSource, header.source);
  store(ip + ip6::kDestination, header.destination);
  return eth::kSize + ip6::kSize;
}

}  // namespace limpet::wire
