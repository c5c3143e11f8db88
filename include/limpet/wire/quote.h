// ICMP errors of others: which packet of ours they quote, and how they pass through full NAT.
//
// The quote is what somebody on the way saw of a packet that we sent: to find its flow, look its
// addresses and ports up with source and destination exchanged; then translate_error() makes the
// message one about the packet that the other side sent, as RFC 5508, 4.2 and RFC 3022, 4.3 ask.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "limpet/base/address.h"
#include "limpet/base/endian.h"
#include "limpet/wire/frame.h"

namespace limpet::wire {

// Offsets are from the start of the frame, as in Frame; l4 + 8 <= end always holds, as every router
// quotes at least eight bytes of the transport header (RFC 792).
struct Quote {
  uint8_t protocol = 0;
  bool v6 = false;
  uint16_t l3 = 0;
  uint16_t l4 = 0;
  uint16_t end = 0;  // of what is quoted: often less than the packet had
  IpAddress source;
  IpAddress destination;
  be16 source_port{};  // of TCP and UDP, else 0
  be16 destination_port{};
  uint32_t tcp_sequence = 0;  // TCP only: a forger would have to guess it (RFC 5927, 4.1)
  uint32_t mtu = 0;           // of "fragmentation needed" and "packet too big", else 0
};

// Nothing when `f` is no error that quotes a packet (unreachable, too big, time exceeded, parameter
// problem), or when what it quotes has no transport header: a later fragment, or too short.
std::optional<Quote> parse_quote(std::span<const uint8_t> bytes, const Frame& f);

// All of the frame's family.
struct ErrorAddresses {
  IpAddress source;
  IpAddress destination;
  IpAddress quoted_source;
  IpAddress quoted_destination;
  be16 quoted_source_port{};
  be16 quoted_destination_port{};
  // Where the numbers of the other side differ (mode splice): what the quote is to say.
  std::optional<uint32_t> tcp_sequence;
  std::optional<uint32_t> mtu;  // of messages that have one
};

// Rewrites outer and quoted addresses and the quoted ports (and numbers, where given) in place,
// takes one from the outer TTL or hop limit, and updates every checksum that covers any of it:
// outer and quoted IPv4 header, quoted TCP or UDP (where the quote reaches that far, and not a UDP
// checksum of zero), ICMP.
//
// f and quote are what parse_frame() and parse_quote() said of `bytes`; quote.protocol is TCP or
// UDP; f.ttl > 1.
void translate_error(std::span<uint8_t> bytes, const Frame& f, const Quote& quote,
                     const ErrorAddresses& to);

}  // namespace limpet::wire
