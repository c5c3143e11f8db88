// What stands between an IP header and its payload: IPv4 options and IPv6 extension headers. Both
// are walked with limits, and nothing that would change who the packet is for passes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "limpet/base/drop.h"

namespace limpet::wire {

// RFC 8504, 5.3 lets a host limit both; no stack sends as many.
constexpr unsigned kMaxExtensionHeaders = 8;
constexpr unsigned kMaxOptionsInHeader = 16;  // padding included

// Options of an IPv4 header (RFC 791, 3.1): ip_options_bad for a length that cannot be, and for
// source routes (RFC 1812, 5.3.13.4 lets a router refuse them), else none.
Drop check_ip4_options(const uint8_t* options, size_t length);

struct Ip6Chain {
  Drop drop = Drop::none;  // ip_options_bad, or ip_length_bad when a header crosses the end
  uint8_t protocol = 0;    // what stands at `offset`
  bool fragment = false;   // a fragment header was met: the walk ended behind it
  // A fragment header was met that says "all of it" (RFC 6946): the walk has gone on behind it.
  bool atomic = false;
  uint16_t fragment_word = 0;  // its offset (in units of 8, upper 13 bits) and M flag (bit 0)
  size_t offset = 0;           // of the transport header, from `packet`
};

// `packet` starts with an IPv6 header of which all 40 bytes are there, and ends `length` bytes on.
// Headers that we do not walk (ESP, AH, mobility, no next header) end the walk as protocols: an
// authentication header covers the addresses, so what it protects can be no flow of ours.
Ip6Chain walk_ip6_chain(const uint8_t* packet, size_t length);

}  // namespace limpet::wire
