// ICMP (RFC 792) and ICMPv6 (RFC 4443) as we speak them: echo replies and errors of our own.
// Errors of others, which quote a packet of ours, are in quote.h; neighbor discovery is in nd.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "limpet/base/address.h"
#include "limpet/wire/ethernet.h"
#include "limpet/wire/frame.h"
#include "limpet/wire/layout.h"

namespace limpet::wire {

namespace icmp4_type {
constexpr uint8_t kEchoReply = 0, kUnreachable = 3, kSourceQuench = 4, kRedirect = 5;
constexpr uint8_t kEchoRequest = 8, kTimeExceeded = 11, kParameterProblem = 12;
}  // namespace icmp4_type

namespace icmp6_type {
constexpr uint8_t kUnreachable = 1, kPacketTooBig = 2, kTimeExceeded = 3, kParameterProblem = 4;
constexpr uint8_t kEchoRequest = 128, kEchoReply = 129;
constexpr uint8_t kNeighborSolicitation = 135, kNeighborAdvertisement = 136, kRedirect = 137;
}  // namespace icmp6_type

// An echo request of either family that may be answered: not sent to many (RFC 1122, 3.2.2.6).
// Whether its destination is an address of ours is the caller's question.
bool is_echo_request(const Frame& f);

// Turns an echo request into its reply where it stands and returns the length of the reply, which
// is at most frame.end: Ethernet padding, IP options and extension headers of the request are not
// sent back. Returns 0, and changes nothing, when !is_echo_request(f).
size_t answer_echo(std::span<uint8_t> bytes, const Frame& f);

// An error message about something, of either family; also redirects, which are treated alike.
bool is_icmp_error(const Frame& f);

// Whether the sender of `f` may be told of an error (RFC 1122, 3.2.2; RFC 1812, 4.3.2.7;
// RFC 4443, 2.4 e): not about an ICMP error, nor about a packet that was sent to many at the IP or
// the Ethernet layer, nor about any fragment but the first, nor to a source that is not one node.
// Broadcast addresses of subnets are known to the caller only; so is the rate limit.
bool may_answer_with_error(std::span<const uint8_t> bytes, const Frame& f);

enum class IcmpError : uint8_t {  // IPv4 type and code, IPv6 type and code
  no_route,                       // 3/0   1/0
  host_unreachable,               // 3/1   1/3
  port_unreachable,               // 3/3   1/4
  prohibited,                     // 3/13  1/1
  packet_too_big,                 // 3/4   2/0; with the MTU that would fit
  hop_limit_exceeded,             // 11/0  3/0
};

// No error of ours is longer (RFC 1812, 4.3.2.3; RFC 4443, 2.4 c).
constexpr size_t kMaxIcmpErrorPacket4 = 576;
constexpr size_t kMaxIcmpErrorPacket6 = 1280;
constexpr size_t kMaxIcmpErrorFrame = eth::kSize + kMaxIcmpErrorPacket6;

// Writes a frame from `from`, an address of ours, to the source of `f`, which quotes as much of the
// packet in `bytes` as the limit lets it; the packet must stand there as it was received. Returns
// the length, 0 when `out` is too short. May it be sent at all? may_answer_with_error() is the
// caller's to ask.
size_t build_icmp_error(std::span<uint8_t> out, const Link& link, const IpAddress& from,
                        std::span<const uint8_t> bytes, const Frame& f, IcmpError error,
                        uint32_t mtu = 0);

}  // namespace limpet::wire
