// Neighbor discovery for IPv6: solicitations and advertisements (RFC 4861). Router discovery and
// redirects are not ours: routes come from the configuration.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "limpet/base/address.h"
#include "limpet/base/drop.h"
#include "limpet/wire/ethernet.h"
#include "limpet/wire/frame.h"
#include "limpet/wire/layout.h"

namespace limpet::wire {

struct NeighborMessage {
  bool solicitation = false;  // else an advertisement
  bool router = false;        // the flags of an advertisement
  bool solicited = false;
  bool overrides = false;
  IpAddress target;
  std::optional<MacAddress>
      link_address;  // source's in a solicitation, target's in an advertisement
};

// A frame of ICMPv6 type 135 or 136.
bool is_neighbor_message(const Frame& f);

// All that RFC 4861, 7.1 asks for: hop limit 255, code 0, lengths, a unicast target, who may send
// from "::" and to whom, no option of length zero. Returns nd_bad, or none and fills `message`.
// f is a neighbor message.
Drop read_neighbor_message(std::span<const uint8_t> bytes, const Frame& f,
                           NeighborMessage& message);

// ff02::1:ffXX:XXXX with the last 24 bits of `target` (RFC 4291, 2.7.1).
IpAddress solicited_node_address(const IpAddress& target);
// 33:33 and the last 32 bits (RFC 2464, 7). `group` is an IPv6 multicast address.
MacAddress multicast_mac(const IpAddress& group);

constexpr size_t kMaxNeighborFrame = eth::kSize + ip6::kSize + 24 + 8;

// All write a whole frame and return its length, 0 when `out` is too short. Addresses are IPv6.

// Who has `target`? To the solicited-node group, or to `to` alone when a known neighbor is checked
// again. With `source` "::" it asks whether anybody has it already (RFC 4862, 5.4.2).
size_t build_neighbor_solicitation(std::span<uint8_t> out, const MacAddress& mac,
                                   const IpAddress& source, const IpAddress& target,
                                   const std::optional<MacAddress>& to = std::nullopt);

struct AdvertisementFlags {
  bool router = false;
  bool solicited = false;
  bool overrides = true;
};
// `target`, which is also the source, is at link.source.
size_t build_neighbor_advertisement(std::span<uint8_t> out, const Link& link,
                                    const IpAddress& target, const IpAddress& destination,
                                    AdvertisementFlags flags);

// The advertisement that answers `solicitation`, found in `f` (RFC 4861, 7.2.4): to who asked, or
// to all nodes when that is unknown. `mac` is ours, and so is the target.
size_t build_advertisement_for(std::span<uint8_t> out, const MacAddress& mac, const Frame& f,
                               const NeighborMessage& solicitation);

// To all nodes, unasked (RFC 4861, 7.2.6): `address` is at `mac` now.
size_t build_unsolicited_advertisement(std::span<uint8_t> out, const MacAddress& mac,
                                       const IpAddress& address);

}  // namespace limpet::wire
