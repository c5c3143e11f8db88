// Every reason for which limpet ends a frame without delivering it. The names are a public
// interface (limpetctl show drops, telemetry, metrics): add, never rename. Writers: each worker
// counts in its own array; `wire` returns reasons, it never counts.
#pragma once

#include <cstddef>
#include <cstdint>

namespace limpet {

// clang-format off
#define LIMPET_DROPS(X) \
  X(none,                  "not dropped") \
  /* link */ \
  X(frame_truncated,       "shorter than its headers say") \
  X(own_source_mac,        "our own source MAC: our or the kernel's output looped back") \
  X(not_ours,              "neither for our MAC nor for an address of ours, and no kernel shares the port") \
  X(vlan_unsupported,      "802.1Q tag of a VLAN, or 802.1ad tag") \
  X(ethertype_unsupported, "neither ARP, IPv4 nor IPv6, and no kernel shares the port") \
  X(arp_bad,               "malformed ARP") \
  X(address_conflict,      "ARP or ND by which somebody else claims an address of ours") \
  /* IP */ \
  X(ip_version_bad,        "version field and EtherType differ") \
  X(ip_header_bad,         "header length out of range") \
  X(ip_length_bad,         "total length smaller than the headers") \
  X(ip_checksum_bad,       "IPv4 header checksum") \
  X(ip_address_bad,        "martian source: multicast, broadcast, loopback, unspecified or IPv4-mapped") \
  X(ip_options_bad,        "malformed IP option, source route, or too many IPv6 extension headers") \
  X(ip_fragment,           "fragment") \
  X(ip_ttl_expired,        "TTL or hop limit ran out here") \
  X(protocol_unsupported,  "IP protocol we neither balance nor answer") \
  /* transport */ \
  X(tcp_header_bad,        "TCP header truncated or data offset out of range") \
  X(tcp_flags_bad,         "TCP flag combination that no stack sends (SYN+FIN without ACK, SYN+RST, none)") \
  X(tcp_options_bad,       "spliced: TCP options for which a host discards the segment (impossible length, signature, timestamps twice)") \
  X(tcp_checksum_bad,      "TCP checksum") \
  X(udp_length_bad,        "UDP length truncated or beyond the datagram") \
  X(udp_checksum_bad,      "UDP checksum (or zero over IPv6)") \
  X(port_zero,             "TCP or UDP port 0") \
  X(icmp_bad,              "malformed ICMP or ICMPv6, or a checksum error in it") \
  X(icmp_unrelated,        "ICMP error about no flow of ours") \
  X(icmp_outside_window,   "ICMP error that quotes a number which no packet in flight has (RFC 5927, 4.1)") \
  X(icmp_mtu_too_small,    "packet too big that names an MTU below the least of IPv6 (RFC 8201, 4)") \
  X(icmp_unsupported,      "ICMP type that we neither answer nor translate") \
  X(nd_bad,                "malformed neighbour discovery (RFC 4861, 6.1 and 7.1)") \
  /* balancing */ \
  X(no_service,            "no service at this address and port") \
  X(no_backend,            "no usable backend in the pool") \
  X(no_flow,               "segment of no known flow that must not be answered (RST, backend's late datagram)") \
  X(early_segment,         "of a handshake under way whose next segment is late or lost: both will come again") \
  X(backend_down,          "flow of a backend that is down or gone") \
  X(flow_table_full,       "flow table full, nothing to evict") \
  X(source_ports_exhausted,"no free source port towards this backend") \
  X(outside_window,        "numbers that no segment of this connection can have (RFC 9293, 3.4; RFC 5961)") \
  X(old_timestamp,         "spliced: a timestamp older than the connection's (RFC 7323, 5: PAWS)") \
  X(ack_unsent,            "acknowledges what was never sent (RFC 9293, 3.10.7.4)") \
  X(beyond_frontier,       "octets behind a gap in a stream that is being edited: they will come again") \
  X(beyond_window,         "octets that the receiver's window does not take: they will come again") \
  X(no_route,              "no route to the next hop") \
  X(neighbor_unresolved,   "next hop did not answer ARP or ND") \
  X(neighbor_table_full,   "no place for another next hop: every one that was looked at is in use") \
  X(held_full,             "too many packets wait for the same neighbour, or in all; or no memory for another head") \
  X(mtu_exceeded,          "larger than the MTU of the port it leaves by") \
  X(hairpin,               "would leave to an address of our own") \
  X(icmp_rate_limited,     "would need an ICMP error beyond the rate limit") \
  /* machinery */ \
  X(mbuf_exhausted,        "no mbuf left for an answer or a copy") \
  X(mbuf_segmented,        "frame in several buffers that has to be contiguous") \
  X(shutdown,              "held when the worker ended")
// clang-format on

enum class Drop : uint8_t {
#define LIMPET_DROP_ENUM(name, text) name,
  LIMPET_DROPS(LIMPET_DROP_ENUM)
#undef LIMPET_DROP_ENUM
      count_
};
constexpr size_t kDropCount = static_cast<size_t>(Drop::count_);

const char* drop_name(Drop d);  // "ip_checksum_bad"
const char* drop_text(Drop d);  // one line for people

}  // namespace limpet
