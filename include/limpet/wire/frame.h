// What a worker needs to know of a received frame, found in one pass over its bytes.
//
// parse_frame() is the door: it checks every length, version and (unless the NIC did) checksum
// once. Afterwards the offsets in Frame are inside the frame and the accessors of the other wire
// headers cannot fail. It never reads beyond `bytes`, never counts, never writes.
#pragma once

#include <cstdint>
#include <span>

#include "limpet/base/address.h"
#include "limpet/base/drop.h"
#include "limpet/base/endian.h"

namespace limpet::wire {

enum class FrameKind : uint8_t {
  bad,       // `drop` says why
  arp,       // l3 is a well-formed Ethernet/IPv4 ARP packet
  tcp,       // l4, payload and ports are valid
  udp,       // the same
  icmp,      // ICMPv4: type and code are in `icmp_type`, `icmp_code`
  icmp6,     // ICMPv6 incl. neighbour discovery
  ip_other,  // a well-formed IP packet of another protocol
  fragment,  // a well-formed IPv4 or IPv6 fragment (any of its parts); ports are not valid
  other,     // another EtherType (LLDP, ...) or an 802.3 length frame
};

struct Frame {
  FrameKind kind = FrameKind::bad;
  Drop drop = Drop::none;
  uint8_t protocol = 0;  // IP protocol behind extension headers; 0 for ARP and other
  uint8_t ttl = 0;       // TTL or hop limit as received
  bool v6 = false;
  uint8_t tcp_flags = 0;  // tcp_flag bits
  uint8_t icmp_type = 0;
  uint8_t icmp_code = 0;
  uint16_t l3 = 0;       // offset of the IP or ARP header; 14, as VLAN tags end in a drop
  uint16_t l4 = 0;       // offset of the transport header
  uint16_t payload = 0;  // offset behind the transport header
  uint16_t end = 0;      // offset behind the IP packet: Ethernet padding lies beyond
  be16 source_port{};    // TCP and UDP; echo identifier for ICMP echo, else 0
  be16 destination_port{};
  MacAddress source_mac;
  MacAddress destination_mac;
  IpAddress source;       // ARP: sender protocol address
  IpAddress destination;  // ARP: target protocol address
};

enum tcp_flag : uint8_t { fin = 0x01, syn = 0x02, rst = 0x04, psh = 0x08, ack = 0x10, urg = 0x20 };

// What the NIC has already verified (mbuf offload flags), so that software need not.
struct Verified {
  bool ip_checksum = false;
  bool l4_checksum = false;
};

// `bytes` is one whole contiguous frame from the destination MAC on, at most 65535 bytes.
//
// Lengths are judged before checksums and checksums before what they cover, so that a damaged
// packet is counted as damaged, not by the field that the damage made odd. Multicast and broadcast
// are no errors as destinations; loopback, 0.0.0.0/8, "::" and IPv4-mapped addresses are, in either
// place, but for a solicitation of a neighbor or router from "::".
Frame parse_frame(std::span<const uint8_t> bytes, Verified verified);

// DSCP (upper six bits) and ECN (lower two) of a parsed IP packet.
inline uint8_t traffic_class(std::span<const uint8_t> bytes, const Frame& f) {
  const uint8_t* ip = bytes.data() + f.l3;
  return f.v6 ? static_cast<uint8_t>(ip[0] << 4 | ip[1] >> 4) : ip[1];
}

}  // namespace limpet::wire
