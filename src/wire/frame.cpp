#include "limpet/wire/frame.h"

#include <algorithm>
#include <cstring>

#include "chain.h"
#include "limpet/wire/checksum.h"
#include "limpet/wire/layout.h"

namespace limpet::wire {
namespace {

static_assert(sizeof(Frame) == 64, "one cache line: bursts of these are kept on the stack");

constexpr size_t kMaxFrame = 65535;  // offsets are 16 bits
constexpr uint8_t kIcmp6RouterSolicitation = 133;
constexpr uint8_t kIcmp6NeighborSolicitation = 135;
constexpr uint8_t kIcmp6Redirect = 137;

uint16_t word(const uint8_t* p) {
  return load<be16>(p).host();
}
uint16_t offset(size_t v) {
  return static_cast<uint16_t>(v);
}

Drop parse_arp(const uint8_t* bytes, size_t size, Frame& f) {
  if (size < eth::kSize + arp::kSize) return Drop::frame_truncated;
  const uint8_t* p = bytes + eth::kSize;
  // Ethernet, IPv4, six and four bytes in one number; then request or reply.
  if (load<be32>(p + arp::kHardware).host() != 0x00010800 || word(p + arp::kLengths) != 0x0604)
    return Drop::arp_bad;
  const uint16_t operation = word(p + arp::kOperation);
  if (operation != 1 && operation != 2) return Drop::arp_bad;
  // RFC 1812, 3.3.2: never believe that a group address is somebody's.
  if ((p[arp::kSenderMac] & 1) != 0) return Drop::arp_bad;
  const uint8_t* sender = p + arp::kSenderIp;  // 0.0.0.0 is a probe (RFC 5227, 2.1.1)
  if (sender[0] == 127 || (sender[0] & 0xf0) == 0xe0 || load<uint32_t>(sender) == 0xffffffffu)
    return Drop::arp_bad;
  f.source = IpAddress::v4(sender);
  f.destination = IpAddress::v4(p + arp::kTargetIp);
  f.end = offset(eth::kSize + arp::kSize);
  f.l4 = f.payload = f.end;
  f.kind = FrameKind::arp;
  return Drop::none;
}

// `pseudo(length)` is the sum of the pseudo header for a transport length.
template <class Pseudo>
Drop parse_tcp(const uint8_t* bytes, Frame& f, bool verified, Pseudo pseudo) {
  const uint8_t* p = bytes + f.l4;
  const size_t length = static_cast<size_t>(f.end - f.l4);
  if (length < tcp_header::kSize) return Drop::tcp_header_bad;
  const size_t header = size_t{p[tcp_header::kDataOffset]} >> 4 << 2;
  if (header < tcp_header::kSize || header > length) return Drop::tcp_header_bad;
  if (!verified && !verifies(pseudo(length) + sum_of(p, length))) return Drop::tcp_checksum_bad;
  const uint8_t flags = p[tcp_header::kFlags] & 0x3f;
  // A SYN-ACK may bring all that there is to say, and the end of it (RFC 9293, 3.10.7.3, fourth).
  const unsigned with_syn = flags & (tcp_flag::fin | tcp_flag::rst | tcp_flag::ack);
  if (flags == 0 || ((flags & tcp_flag::syn) != 0 && with_syn != 0 && with_syn != tcp_flag::ack &&
                     with_syn != (tcp_flag::fin | tcp_flag::ack)))
    return Drop::tcp_flags_bad;
  f.tcp_flags = flags;
  f.source_port = load<be16>(p + tcp_header::kSource);
  f.destination_port = load<be16>(p + tcp_header::kDestination);
  if (f.source_port.raw == 0 || f.destination_port.raw == 0) return Drop::port_zero;
  f.payload = offset(f.l4 + header);
  f.kind = FrameKind::tcp;
  return Drop::none;
}

template <class Pseudo>
Drop parse_udp(const uint8_t* bytes, Frame& f, bool verified, Pseudo pseudo) {
  const uint8_t* p = bytes + f.l4;
  const size_t room = static_cast<size_t>(f.end - f.l4);
  if (room < udp_header::kSize) return Drop::udp_length_bad;
  const size_t length = word(p + udp_header::kLength);
  if (length < udp_header::kSize || length > room) return Drop::udp_length_bad;
  if (load<be16>(p + udp_header::kChecksum).raw == 0) {
    // No checksum: the sender's right over IPv4 (RFC 768), an error over IPv6 (RFC 8200, 8.1).
    if (f.v6) return Drop::udp_checksum_bad;
  } else if (!verified && !verifies(pseudo(length) + sum_of(p, length))) {
    return Drop::udp_checksum_bad;
  }
  f.source_port = load<be16>(p + udp_header::kSource);
  f.destination_port = load<be16>(p + udp_header::kDestination);
  if (f.source_port.raw == 0 || f.destination_port.raw == 0) return Drop::port_zero;
  f.payload = offset(f.l4 + udp_header::kSize);
  f.kind = FrameKind::udp;
  return Drop::none;
}

// No NIC says anything about ICMP that Verified could carry, so its checksum is always computed.
Drop parse_icmp(const uint8_t* bytes, Frame& f, Sum pseudo, FrameKind kind, uint8_t echo_request,
                uint8_t echo_reply) {
  const uint8_t* p = bytes + f.l4;
  const size_t length = static_cast<size_t>(f.end - f.l4);
  if (length < icmp_header::kSize) return Drop::icmp_bad;
  if (!verifies(pseudo + sum_of(p, length))) return Drop::icmp_bad;
  f.icmp_type = p[icmp_header::kType];
  f.icmp_code = p[icmp_header::kCode];
  if (f.icmp_type == echo_request || f.icmp_type == echo_reply)
    f.source_port = load<be16>(p + icmp_header::kIdentifier);
  f.payload = offset(f.l4 + icmp_header::kSize);
  f.kind = kind;
  return Drop::none;
}

// A fragment is well-formed when its length is a multiple of eight bytes unless it is the last, and
// when it lies inside a datagram of 65535 bytes (RFC 791, 3.2; RFC 8200, 4.5).
Drop parse_fragment(Frame& f, size_t first, bool more, size_t limit) {
  const size_t length = static_cast<size_t>(f.end - f.l4);
  if ((more && length % 8 != 0) || first + length > limit) return Drop::ip_length_bad;
  f.payload = f.l4;
  f.kind = FrameKind::fragment;
  return Drop::none;
}

Drop parse_ip4(const uint8_t* bytes, size_t size, Frame& f, Verified verified) {
  const uint8_t* p = bytes + eth::kSize;
  const size_t room = size - eth::kSize;
  if (room < ip4::kSize) return Drop::frame_truncated;
  if (p[ip4::kVersionIhl] >> 4 != 4) return Drop::ip_version_bad;
  const size_t header = size_t{p[ip4::kVersionIhl]} % 16 * 4;
  if (header < ip4::kSize) return Drop::ip_header_bad;
  const size_t total = word(p + ip4::kLength);
  if (total < header) return Drop::ip_length_bad;
  if (total > room) return Drop::frame_truncated;
  if (!verified.ip_checksum && !verifies(sum_of(p, header))) return Drop::ip_checksum_bad;

  f.protocol = p[ip4::kProtocol];
  f.ttl = p[ip4::kTtl];
  f.l4 = f.payload = offset(eth::kSize + header);
  f.end = offset(eth::kSize + total);
  f.source = IpAddress::v4(p + ip4::kSource);
  f.destination = IpAddress::v4(p + ip4::kDestination);

  // RFC 1812, 5.3.7 and 4.2.2.11: "this" network, loopback, multicast and broadcast send nothing,
  // and nobody outside a host sends to the first two.
  const uint8_t from = p[ip4::kSource];
  const uint8_t to = p[ip4::kDestination];
  if (from == 0 || from == 127 || (from & 0xf0) == 0xe0 ||
      load<uint32_t>(p + ip4::kSource) == 0xffffffffu || to == 0 || to == 127)
    return Drop::ip_address_bad;
  if (header > ip4::kSize) {
    const Drop d = check_ip4_options(p + ip4::kSize, header - ip4::kSize);
    if (d != Drop::none) return d;
  }
  const uint16_t fragment = word(p + ip4::kFragment);
  if ((fragment & (ip4::kMoreFragments | ip4::kOffsetMask)) != 0)
    return parse_fragment(f, size_t{fragment} % (ip4::kOffsetMask + 1) * 8,
                          (fragment & ip4::kMoreFragments) != 0, 65535 - header);

  const auto pseudo = [&](size_t length) {
    return pseudo_sum_v4(p + ip4::kSource, f.protocol, static_cast<uint32_t>(length));
  };
  switch (f.protocol) {
    case ip_protocol::kTcp:
      return parse_tcp(bytes, f, verified.l4_checksum, pseudo);
    case ip_protocol::kUdp:
      return parse_udp(bytes, f, verified.l4_checksum, pseudo);
    case ip_protocol::kIcmp:
      return parse_icmp(bytes, f, Sum{}, FrameKind::icmp, 8, 0);
    default:
      f.kind = FrameKind::ip_other;
      return Drop::none;
  }
}

constexpr uint64_t kIp6LoopbackLow = uint64_t{1} << 56;  // ::1 as the bytes stand

bool mapped_low(uint64_t low) {
  return static_cast<uint32_t>(low) == 0xffff0000u;
}

// RFC 4291, 2.5.2, 2.5.3, 2.7; IPv4-mapped addresses are not for the wire (and would take the place
// of IPv4 addresses in every table here).
bool ip6_addresses_ok(const IpAddress& from, const IpAddress& to) {
  if (from.bytes[0] == 0xff) return false;
  if (from.high() == 0 && (from.low() == kIp6LoopbackLow || mapped_low(from.low()))) return false;
  return to.high() != 0 || (to.low() != 0 && to.low() != kIp6LoopbackLow && !mapped_low(to.low()));
}

// What may come from "::": a node that checks whether an address is free or looks for a router
// (RFC 4861, 4.1 and 4.3; RFC 4862, 5.4.2).
bool may_lack_source(const Frame& f) {
  return f.kind == FrameKind::icmp6 &&
         (f.icmp_type == kIcmp6RouterSolicitation || f.icmp_type == kIcmp6NeighborSolicitation);
}

Drop parse_ip6(const uint8_t* bytes, size_t size, Frame& f, Verified verified) {
  const uint8_t* p = bytes + eth::kSize;
  const size_t room = size - eth::kSize;
  if (room < ip6::kSize) return Drop::frame_truncated;
  if (p[0] >> 4 != 6) return Drop::ip_version_bad;
  const size_t total = ip6::kSize + word(p + ip6::kLength);
  if (total > room) return Drop::frame_truncated;

  f.v6 = true;
  f.protocol = p[ip6::kNext];
  f.ttl = p[ip6::kHopLimit];
  f.end = offset(eth::kSize + total);
  f.source = IpAddress::v6(p + ip6::kSource);
  f.destination = IpAddress::v6(p + ip6::kDestination);
  if (!ip6_addresses_ok(f.source, f.destination)) return Drop::ip_address_bad;

  const Ip6Chain chain = walk_ip6_chain(p, total);
  if (chain.drop != Drop::none) return chain.drop;
  f.protocol = chain.protocol;
  f.l4 = f.payload = offset(eth::kSize + chain.offset);
  Drop drop = Drop::none;
  if (chain.fragment) {
    drop = parse_fragment(f, chain.fragment_word & 0xfff8u, (chain.fragment_word & 1) != 0,
                          65535 - (chain.offset - ip6::kSize - 8));
  } else {
    const auto pseudo = [&](size_t length) {
      return pseudo_sum_v6(p + ip6::kSource, chain.protocol, static_cast<uint32_t>(length));
    };
    switch (chain.protocol) {
      case ip_protocol::kTcp:
        drop = parse_tcp(bytes, f, verified.l4_checksum, pseudo);
        break;
      case ip_protocol::kUdp:
        drop = parse_udp(bytes, f, verified.l4_checksum, pseudo);
        break;
      case ip_protocol::kIcmp6:
        drop = parse_icmp(bytes, f, pseudo(static_cast<size_t>(f.end - f.l4)), FrameKind::icmp6,
                          128, 129);
        // Neighbor discovery never comes in fragments, not even in the only one (RFC 6980, 5).
        if (drop == Drop::none && chain.atomic && f.icmp_type >= kIcmp6RouterSolicitation &&
            f.icmp_type <= kIcmp6Redirect)
          drop = Drop::nd_bad;
        break;
      default:
        f.kind = FrameKind::ip_other;
        break;
    }
  }
  if (drop != Drop::none) return drop;
  if (f.source.high() == 0 && f.source.low() == 0 && !may_lack_source(f))
    return Drop::ip_address_bad;
  return Drop::none;
}

Drop parse_ethernet(const uint8_t* bytes, size_t size, Frame& f, Verified verified) {
  if (size < eth::kSize) return Drop::frame_truncated;
  f.destination_mac = load<MacAddress>(bytes + eth::kDestination);
  f.source_mac = load<MacAddress>(bytes + eth::kSource);
  f.l3 = offset(eth::kSize);
  switch (word(bytes + eth::kType)) {
    case eth::kIpv4:
      return parse_ip4(bytes, size, f, verified);
    case eth::kIpv6:
      return parse_ip6(bytes, size, f, verified);
    case eth::kArp:
      return parse_arp(bytes, size, f);
    case eth::kVlan:
    case eth::kServiceVlan:
      return Drop::vlan_unsupported;
    default:
      f.l4 = f.payload = f.l3;
      f.end = offset(size);
      f.kind = FrameKind::other;
      return Drop::none;
  }
}

}  // namespace

Frame parse_frame(std::span<const uint8_t> bytes, Verified verified) {
  Frame f;
  f.drop = parse_ethernet(bytes.data(), std::min(bytes.size(), kMaxFrame), f, verified);
  if (f.drop != Drop::none) f.kind = FrameKind::bad;
  return f;
}

}  // namespace limpet::wire
