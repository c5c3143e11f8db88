// TCP segments of our own making: SYN-ACKs, SYNs, ACKs, and data that is sent again or cut anew.
// Every number is the caller's; nothing is echoed that it did not name.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "limpet/base/address.h"
#include "limpet/base/endian.h"
#include "limpet/wire/ethernet.h"
#include "limpet/wire/layout.h"
#include "limpet/wire/tcp.h"

namespace limpet::wire {

struct SackBlock {
  uint32_t left = 0;
  uint32_t right = 0;  // behind the last octet
  friend bool operator==(const SackBlock&, const SackBlock&) = default;
};

struct SackBlocks {
  static constexpr unsigned kMax = 4;  // without timestamps; three with them (RFC 2018, 3)
  std::array<SackBlock, kMax> block{};
  unsigned count = 0;
};

// Blocks of the SACK option of a parsed segment; none when it has no such option, or one of an
// impossible length.
SackBlocks sack_blocks(std::span<const uint8_t> bytes, const Frame& f);

struct Segment {
  IpAddress source;
  IpAddress destination;  // of the same family
  be16 source_port{};
  be16 destination_port{};
  uint32_t seq = 0;
  uint32_t ack = 0;  // meaningful with the ACK flag
  uint8_t flags = 0;
  uint16_t window = 0;  // as it stands in the header
  uint16_t urgent = 0;  // meaningful with the URG flag
  // Options, written in this order where they are set.
  std::optional<uint16_t> mss;
  std::optional<uint8_t> window_scale;
  bool sack_permitted = false;
  std::optional<TcpOptions::Timestamps> timestamps;
  SackBlocks sack;  // as many as fit behind the others
  // IPv4: fragmentation on the way is allowed (of parts that we split: their sender never saw the
  // size that is too big).
  bool may_fragment = false;
  uint8_t ttl = 64;           // hop limit of IPv6
  uint8_t traffic_class = 0;  // DSCP in the upper six bits, ECN in the lower two
};

constexpr size_t kMaxSegmentHeaders = eth::kSize + ip6::kSize + tcp_header::kSize + 40;

// Bytes of the TCP header with its options.
size_t tcp_header_size(const Segment& s);

// Where the payload of begin_segment() is to be written, and how much the whole frame takes.
struct SegmentRoom {
  size_t l4 = 0;
  size_t payload = 0;
  size_t end = 0;  // 0: `out` is too short
};

// Writes all headers in front of `payload` bytes, which the caller writes afterwards; then
// finish_segment() sums up. Between the two the frame is not valid.
SegmentRoom begin_segment(std::span<uint8_t> out, const Link& link, const Segment& s,
                          size_t payload);
void finish_segment(std::span<uint8_t> out, const Segment& s, const SegmentRoom& room);

// Both, for a segment without payload. Returns the length of the frame, 0 when `out` is too short.
size_t build_segment(std::span<uint8_t> out, const Link& link, const Segment& s);

}  // namespace limpet::wire
