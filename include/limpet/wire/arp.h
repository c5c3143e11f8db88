// ARP for Ethernet and IPv4 (RFC 826; announcements and probes: RFC 5227).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "limpet/base/address.h"
#include "limpet/wire/frame.h"
#include "limpet/wire/layout.h"

namespace limpet::wire {

struct Arp {
  bool request = false;  // else a reply
  MacAddress sender_mac;
  IpAddress sender;       // 0.0.0.0 in a probe
  MacAddress target_mac;  // without meaning in a request
  IpAddress target;
};

// `f.kind` is arp.
inline Arp read_arp(std::span<const uint8_t> bytes, const Frame& f) {
  const uint8_t* p = bytes.data() + f.l3;
  return {.request = p[arp::kOperation + 1] == 1,
          .sender_mac = load<MacAddress>(p + arp::kSenderMac),
          .sender = IpAddress::v4(p + arp::kSenderIp),
          .target_mac = load<MacAddress>(p + arp::kTargetMac),
          .target = IpAddress::v4(p + arp::kTargetIp)};
}

constexpr size_t kArpFrame = eth::kSize + arp::kSize;

// All write a whole frame and return its length, 0 when `out` is too short. Addresses are IPv4.

// Who has `target`? To everybody, or to `to` alone when a known neighbor is checked again
// (RFC 1122, 2.3.2.1). With `sender` 0.0.0.0 it is a probe.
size_t build_arp_request(std::span<uint8_t> out, const MacAddress& mac, const IpAddress& sender,
                         const IpAddress& target, const MacAddress& to = kBroadcastMac);

// `sender` is at `mac`, said to `target` at `target_mac`.
size_t build_arp_reply(std::span<uint8_t> out, const MacAddress& mac, const IpAddress& sender,
                       const MacAddress& target_mac, const IpAddress& target);

// Gratuitous: tells everybody that `address` is at `mac` (RFC 5227, 2.3: a request for oneself).
size_t build_arp_announcement(std::span<uint8_t> out, const MacAddress& mac,
                              const IpAddress& address);

}  // namespace limpet::wire
