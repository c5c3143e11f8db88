// Writing the headers of packets that we originate. The caller has checked that `out` has room.
#pragma once

#include <cstddef>
#include <cstdint>

#include "limpet/base/address.h"
#include "limpet/wire/ethernet.h"

namespace limpet::wire {

constexpr uint8_t kOurTtl = 64;              // RFC 1700's recommendation, as every stack does
constexpr uint8_t kDiscoveryHopLimit = 255;  // neighbor discovery (RFC 4861, 7.1.1)
constexpr uint8_t kInternetControl = 0xc0;   // IP precedence of ICMP errors (RFC 1812, 4.3.2.5)

struct IpHeader {
  IpAddress source;
  IpAddress destination;  // of the same family
  uint8_t protocol = 0;
  uint8_t ttl = kOurTtl;
  uint8_t traffic_class = 0;
  // IPv4. An identification of zero is right on packets that are never fragmented (RFC 6864, 4).
  bool dont_fragment = true;
  be16 identification{};
};

constexpr size_t ip_header_size(bool v4) {
  return v4 ? ip4::kSize : ip6::kSize;
}

void emit_ethernet(uint8_t* out, const Link& link, uint16_t type);
// Ethernet and IP header in front of `length` bytes of transport; returns the offset behind them.
size_t emit_ip(uint8_t* out, const Link& link, const IpHeader& header, size_t length);

}  // namespace limpet::wire
