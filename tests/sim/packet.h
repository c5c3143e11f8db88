// Frames <-> TCP segments for the model endpoints: Ethernet, IPv4, IPv6, TCP with its options, and
// ICMP's packet too big, written from the RFCs with every checksum summed in full. Shares nothing
// with module wire, so that the two check each other.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "limpet/base/address.h"

namespace limpet::sim {

using Bytes = std::vector<uint8_t>;

enum Flag : uint8_t { kFin = 1, kSyn = 2, kRst = 4, kPsh = 8, kAck = 16, kUrg = 32 };

struct Timestamps {
  uint32_t value = 0;
  uint32_t echo = 0;
  friend bool operator==(const Timestamps&, const Timestamps&) = default;
};

struct SackBlock {
  uint32_t left = 0;
  uint32_t right = 0;
  friend bool operator==(const SackBlock&, const SackBlock&) = default;
};

struct TcpOptions {
  std::optional<uint16_t> mss;
  bool sack_permitted = false;
  std::optional<Timestamps> timestamps;
  std::optional<uint8_t> scale;
  std::array<SackBlock, 4> sack{};
  uint8_t sacks = 0;
  uint8_t unknown = 0;  // options of other kinds

  std::span<const SackBlock> blocks() const { return {sack.data(), sacks}; }
  size_t bytes() const;  // on the wire, as emit() lays them out
};

// One TCP segment with its addresses. `data` belongs to whoever made the segment.
struct Segment {
  MacAddress from_mac, to_mac;
  IpAddress from, to;
  uint8_t ttl = 64;
  bool df = true;
  uint16_t from_port = 0, to_port = 0;
  uint32_t seq = 0, ack = 0;
  uint8_t flags = 0;
  uint16_t window = 0;
  uint16_t urgent = 0;
  TcpOptions options;
  size_t option_bytes = 0;  // as they stood in the frame; set by parse
  std::span<const uint8_t> data;

  bool has(uint8_t flag) const { return (flags & flag) != 0; }
  bool only(uint8_t mask, uint8_t wanted) const { return (flags & mask) == wanted; }
  // Octets of sequence space.
  uint32_t length() const {
    return static_cast<uint32_t>(data.size()) + (has(kSyn) ? 1 : 0) + (has(kFin) ? 1 : 0);
  }
};

// ICMP fragmentation needed (RFC 1191) or ICMPv6 packet too big (RFC 4443, 3.2), about the TCP
// segment that it quotes.
struct TooBig {
  IpAddress from, to;  // of the quoted packet
  uint16_t from_port = 0, to_port = 0;
  uint32_t seq = 0;
  uint32_t mtu = 0;
};

struct Packet {
  enum class Kind : uint8_t {
    tcp,
    too_big,
    other,      // ARP, ND, UDP, other ICMP: nothing for an endpoint
    malformed,  // lengths that contradict each other, versions, unreadable options
    ip_sum,     // checksum of IPv4 wrong
    l4_sum,     // checksum of TCP or ICMP wrong
  };
  Kind kind = Kind::other;
  Segment tcp;  // its data points into the frame
  TooBig too_big;
};

Packet parse(std::span<const uint8_t> frame);
Bytes emit(const Segment& segment);
// From `router` to the sender of `frame`, quoting as much of it as the protocol asks for.
Bytes emit_too_big(std::span<const uint8_t> frame, const IpAddress& router, uint16_t mtu);

// Right checksums of IPv4, TCP and ICMP for a frame that was changed by hand.
void fix_checksums(Bytes& frame);

// Octets of IP header and TCP header without options.
constexpr size_t header_bytes(bool v4) {
  return v4 ? 40 : 60;
}
constexpr size_t kEthernet = 14;

// "S. seq 100 ack 7 win 512 <mss 1460,sackOK,TS 5 9,wscale 7,sack 30:40> len 0"
std::string describe(const Segment& segment);
std::string describe_flags(uint8_t flags);
std::string describe_options(const TcpOptions& options);

}  // namespace limpet::sim
