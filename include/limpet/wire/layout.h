// Where the fields stand in the headers: offsets from the start of each header, as the RFCs draw
// them. Numbers only, so that public headers stay free of DPDK; src/wire/layout.cpp asserts that
// every one agrees with DPDK's header structs.
#pragma once

#include <cstddef>
#include <cstdint>

namespace limpet::wire {

namespace eth {
constexpr size_t kSize = 14;
constexpr size_t kDestination = 0, kSource = 6, kType = 12;
constexpr uint16_t kIpv4 = 0x0800, kArp = 0x0806, kIpv6 = 0x86dd;
constexpr uint16_t kVlan = 0x8100, kServiceVlan = 0x88a8;
}  // namespace eth

namespace arp {  // RFC 826 for Ethernet and IPv4
constexpr size_t kSize = 28;
constexpr size_t kHardware = 0, kProtocol = 2, kLengths = 4, kOperation = 6;
constexpr size_t kSenderMac = 8, kSenderIp = 14, kTargetMac = 18, kTargetIp = 24;
}  // namespace arp

namespace ip4 {  // RFC 791, 3.1
constexpr size_t kSize = 20;
constexpr size_t kVersionIhl = 0, kTos = 1, kLength = 2, kId = 4, kFragment = 6, kTtl = 8;
constexpr size_t kProtocol = 9, kChecksum = 10, kSource = 12, kDestination = 16;
constexpr uint16_t kDontFragment = 0x4000, kMoreFragments = 0x2000, kOffsetMask = 0x1fff;
}  // namespace ip4

namespace ip6 {  // RFC 8200, 3
constexpr size_t kSize = 40;
constexpr size_t kLength = 4, kNext = 6, kHopLimit = 7, kSource = 8, kDestination = 24;
}  // namespace ip6

namespace tcp_header {  // RFC 9293, 3.1
constexpr size_t kSize = 20;
constexpr size_t kSource = 0, kDestination = 2, kSequence = 4, kAcknowledgment = 8;
constexpr size_t kDataOffset = 12, kFlags = 13, kWindow = 14, kChecksum = 16, kUrgent = 18;
}  // namespace tcp_header

namespace udp_header {  // RFC 768
constexpr size_t kSize = 8;
constexpr size_t kSource = 0, kDestination = 2, kLength = 4, kChecksum = 6;
}  // namespace udp_header

namespace icmp_header {  // RFC 792 and RFC 4443, 2.1; bytes 4 to 7 depend on the type
constexpr size_t kSize = 8;
constexpr size_t kType = 0, kCode = 1, kChecksum = 2, kRest = 4, kIdentifier = 4, kSequence = 6;
}  // namespace icmp_header

namespace ip_protocol {
constexpr uint8_t kIcmp = 1, kTcp = 6, kUdp = 17, kIcmp6 = 58;
constexpr uint8_t kHopByHop = 0, kRouting = 43, kFragment = 44, kDestinationOptions = 60;
}  // namespace ip_protocol

}  // namespace limpet::wire
