#include "limpet/wire/nd.h"

#include <cassert>
#include <cstring>

#include "emit.h"
#include "limpet/wire/checksum.h"
#include "limpet/wire/icmp.h"

namespace limpet::wire {
namespace {

constexpr size_t kMessage = 24;  // ICMPv6 header and target; options follow
constexpr size_t kFlags = 4, kTarget = 8;
constexpr uint8_t kRouterFlag = 0x80, kSolicitedFlag = 0x40, kOverrideFlag = 0x20;

constexpr size_t kOption = 8;  // a link-layer address of Ethernet
constexpr uint8_t kSourceLinkAddress = 1, kTargetLinkAddress = 2;

constexpr IpAddress kAllNodes{{0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};

bool is_solicited_node(const IpAddress& a) {
  return a == solicited_node_address(a);
}

// Finds the option `wanted`; the first counts, others are skipped (RFC 4861, 4.6). False for
// options that cannot be walked to the end.
bool read_options(std::span<const uint8_t> options, uint8_t wanted,
                  std::optional<MacAddress>& found) {
  while (!options.empty()) {
    if (options.size() < kOption) return false;
    const size_t size = size_t{options[1]} * 8;
    if (size == 0 || size > options.size()) return false;
    if (options[0] == wanted && !found) {
      const auto mac = load<MacAddress>(options.data() + 2);
      // Another length is of another link; a group is nobody's address.
      if (size != kOption || mac.is_group()) return false;
      found = mac;
    }
    options = options.subspan(size);
  }
  return true;
}

size_t build(std::span<uint8_t> out, const Link& link, const IpAddress& source,
             const IpAddress& destination, uint8_t type, uint8_t flags, const IpAddress& target,
             std::optional<uint8_t> option) {
  assert(!source.is_v4() && !destination.is_v4() && !target.is_v4());
  const size_t length = kMessage + (option ? kOption : 0);
  const size_t size = eth::kSize + ip6::kSize + length;
  if (out.size() < size) return 0;
  const size_t l4 = emit_ip(out.data(), link,
                            {.source = source,
                             .destination = destination,
                             .protocol = ip_protocol::kIcmp6,
                             .ttl = kDiscoveryHopLimit},
                            length);
  uint8_t* p = out.data() + l4;
  std::memset(p, 0, kTarget);
  p[icmp_header::kType] = type;
  p[kFlags] = flags;
  store(p + kTarget, target);
  if (option) {
    p[kMessage] = *option;
    p[kMessage + 1] = 1;
    store(p + kMessage + 2, link.source);
  }
  store(p + icmp_header::kChecksum, checksum(pseudo_sum(source, destination, ip_protocol::kIcmp6,
                                                        static_cast<uint32_t>(length)) +
                                             sum_of(p, length)));
  return size;
}

}  // namespace

bool is_neighbor_message(const Frame& f) {
  return f.kind == FrameKind::icmp6 && (f.icmp_type == icmp6_type::kNeighborSolicitation ||
                                        f.icmp_type == icmp6_type::kNeighborAdvertisement);
}

Drop read_neighbor_message(std::span<const uint8_t> bytes, const Frame& f,
                           NeighborMessage& message) {
  assert(is_neighbor_message(f));
  const auto body = bytes.subspan(f.l4, static_cast<size_t>(f.end - f.l4));
  // A router takes one off: 255 proves that the sender is on this link.
  if (f.ttl != kDiscoveryHopLimit || f.icmp_code != 0 || body.size() < kMessage)
    return Drop::nd_bad;

  NeighborMessage m;
  m.solicitation = f.icmp_type == icmp6_type::kNeighborSolicitation;
  m.target = load<IpAddress>(body.data() + kTarget);
  // A mapped target would be taken for an IPv4 address from here on.
  if (m.target.is_v4() || m.target.is_multicast() || m.target.is_unspecified() ||
      m.target.is_loopback())
    return Drop::nd_bad;
  if (!read_options(body.subspan(kMessage),
                    m.solicitation ? kSourceLinkAddress : kTargetLinkAddress, m.link_address))
    return Drop::nd_bad;
  if (m.solicitation) {
    if (f.source.is_unspecified() && (!is_solicited_node(f.destination) || m.link_address))
      return Drop::nd_bad;
  } else {
    const uint8_t flags = body[kFlags];
    m.router = (flags & kRouterFlag) != 0;
    m.solicited = (flags & kSolicitedFlag) != 0;
    m.overrides = (flags & kOverrideFlag) != 0;
    if (m.solicited && f.destination.is_multicast()) return Drop::nd_bad;
  }
  message = m;
  return Drop::none;
}

IpAddress solicited_node_address(const IpAddress& target) {
  IpAddress r{{0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 0}};
  std::memcpy(r.bytes.data() + 13, target.bytes.data() + 13, 3);
  return r;
}

MacAddress multicast_mac(const IpAddress& group) {
  return {{0x33, 0x33, group.bytes[12], group.bytes[13], group.bytes[14], group.bytes[15]}};
}

size_t build_neighbor_solicitation(std::span<uint8_t> out, const MacAddress& mac,
                                   const IpAddress& source, const IpAddress& target,
                                   const std::optional<MacAddress>& to) {
  const IpAddress group = solicited_node_address(target);
  const std::optional<uint8_t> option =
      source.is_unspecified() ? std::nullopt : std::optional<uint8_t>(kSourceLinkAddress);
  return build(out, {mac, to ? *to : multicast_mac(group)}, source, to ? target : group,
               icmp6_type::kNeighborSolicitation, 0, target, option);
}

size_t build_neighbor_advertisement(std::span<uint8_t> out, const Link& link,
                                    const IpAddress& target, const IpAddress& destination,
                                    AdvertisementFlags flags) {
  const int bits = (flags.router ? kRouterFlag : 0) | (flags.solicited ? kSolicitedFlag : 0) |
                   (flags.overrides ? kOverrideFlag : 0);
  return build(out, link, target, destination, icmp6_type::kNeighborAdvertisement,
               static_cast<uint8_t>(bits), target, kTargetLinkAddress);
}

size_t build_advertisement_for(std::span<uint8_t> out, const MacAddress& mac, const Frame& f,
                               const NeighborMessage& solicitation) {
  if (f.source.is_unspecified())
    return build_unsolicited_advertisement(out, mac, solicitation.target);
  return build_neighbor_advertisement(out, {mac, solicitation.link_address.value_or(f.source_mac)},
                                      solicitation.target, f.source, {.solicited = true});
}

size_t build_unsolicited_advertisement(std::span<uint8_t> out, const MacAddress& mac,
                                       const IpAddress& address) {
  return build_neighbor_advertisement(out, {mac, multicast_mac(kAllNodes)}, address, kAllNodes, {});
}

}  // namespace limpet::wire
