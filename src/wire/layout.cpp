// Compile-time proof that layout.h and DPDK's header structs draw the same headers.
#include "limpet/wire/layout.h"

#include <rte_arp.h>
#include <rte_ether.h>
#include <rte_icmp.h>
#include <rte_ip.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include <cstddef>

namespace limpet::wire {

static_assert(sizeof(rte_ether_hdr) == eth::kSize);
static_assert(offsetof(rte_ether_hdr, dst_addr) == eth::kDestination);
static_assert(offsetof(rte_ether_hdr, src_addr) == eth::kSource);
static_assert(offsetof(rte_ether_hdr, ether_type) == eth::kType);
static_assert(RTE_ETHER_TYPE_IPV4 == eth::kIpv4 && RTE_ETHER_TYPE_ARP == eth::kArp &&
              RTE_ETHER_TYPE_IPV6 == eth::kIpv6 && RTE_ETHER_TYPE_VLAN == eth::kVlan &&
              RTE_ETHER_TYPE_QINQ == eth::kServiceVlan);

static_assert(sizeof(rte_arp_hdr) == arp::kSize);
static_assert(offsetof(rte_arp_hdr, arp_hardware) == arp::kHardware);
static_assert(offsetof(rte_arp_hdr, arp_protocol) == arp::kProtocol);
static_assert(offsetof(rte_arp_hdr, arp_hlen) == arp::kLengths);
static_assert(offsetof(rte_arp_hdr, arp_opcode) == arp::kOperation);
static_assert(offsetof(rte_arp_hdr, arp_data.arp_sha) == arp::kSenderMac);
static_assert(offsetof(rte_arp_hdr, arp_data.arp_sip) == arp::kSenderIp);
static_assert(offsetof(rte_arp_hdr, arp_data.arp_tha) == arp::kTargetMac);
static_assert(offsetof(rte_arp_hdr, arp_data.arp_tip) == arp::kTargetIp);

static_assert(sizeof(rte_ipv4_hdr) == ip4::kSize);
static_assert(offsetof(rte_ipv4_hdr, version_ihl) == ip4::kVersionIhl);
static_assert(offsetof(rte_ipv4_hdr, type_of_service) == ip4::kTos);
static_assert(offsetof(rte_ipv4_hdr, total_length) == ip4::kLength);
static_assert(offsetof(rte_ipv4_hdr, packet_id) == ip4::kId);
static_assert(offsetof(rte_ipv4_hdr, fragment_offset) == ip4::kFragment);
static_assert(offsetof(rte_ipv4_hdr, time_to_live) == ip4::kTtl);
static_assert(offsetof(rte_ipv4_hdr, next_proto_id) == ip4::kProtocol);
static_assert(offsetof(rte_ipv4_hdr, hdr_checksum) == ip4::kChecksum);
static_assert(offsetof(rte_ipv4_hdr, src_addr) == ip4::kSource);
static_assert(offsetof(rte_ipv4_hdr, dst_addr) == ip4::kDestination);
static_assert(RTE_IPV4_HDR_DF_FLAG == ip4::kDontFragment &&
              RTE_IPV4_HDR_MF_FLAG == ip4::kMoreFragments &&
              RTE_IPV4_HDR_OFFSET_MASK == ip4::kOffsetMask);

static_assert(sizeof(rte_ipv6_hdr) == ip6::kSize);
static_assert(offsetof(rte_ipv6_hdr, payload_len) == ip6::kLength);
static_assert(offsetof(rte_ipv6_hdr, proto) == ip6::kNext);
static_assert(offsetof(rte_ipv6_hdr, hop_limits) == ip6::kHopLimit);
static_assert(offsetof(rte_ipv6_hdr, src_addr) == ip6::kSource);
static_assert(offsetof(rte_ipv6_hdr, dst_addr) == ip6::kDestination);

static_assert(sizeof(rte_tcp_hdr) == tcp_header::kSize);
static_assert(offsetof(rte_tcp_hdr, src_port) == tcp_header::kSource);
static_assert(offsetof(rte_tcp_hdr, dst_port) == tcp_header::kDestination);
static_assert(offsetof(rte_tcp_hdr, sent_seq) == tcp_header::kSequence);
static_assert(offsetof(rte_tcp_hdr, recv_ack) == tcp_header::kAcknowledgment);
static_assert(offsetof(rte_tcp_hdr, data_off) == tcp_header::kDataOffset);
static_assert(offsetof(rte_tcp_hdr, tcp_flags) == tcp_header::kFlags);
static_assert(offsetof(rte_tcp_hdr, rx_win) == tcp_header::kWindow);
static_assert(offsetof(rte_tcp_hdr, cksum) == tcp_header::kChecksum);
static_assert(offsetof(rte_tcp_hdr, tcp_urp) == tcp_header::kUrgent);

static_assert(sizeof(rte_udp_hdr) == udp_header::kSize);
static_assert(offsetof(rte_udp_hdr, src_port) == udp_header::kSource);
static_assert(offsetof(rte_udp_hdr, dst_port) == udp_header::kDestination);
static_assert(offsetof(rte_udp_hdr, dgram_len) == udp_header::kLength);
static_assert(offsetof(rte_udp_hdr, dgram_cksum) == udp_header::kChecksum);

static_assert(sizeof(rte_icmp_hdr) == icmp_header::kSize);
static_assert(offsetof(rte_icmp_hdr, icmp_type) == icmp_header::kType);
static_assert(offsetof(rte_icmp_hdr, icmp_code) == icmp_header::kCode);
static_assert(offsetof(rte_icmp_hdr, icmp_cksum) == icmp_header::kChecksum);
static_assert(offsetof(rte_icmp_hdr, icmp_ident) == icmp_header::kIdentifier);
static_assert(offsetof(rte_icmp_hdr, icmp_seq_nb) == icmp_header::kSequence);

}  // namespace limpet::wire
