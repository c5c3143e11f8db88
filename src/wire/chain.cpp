#include "chain.h"

#include "limpet/base/endian.h"
#include "limpet/wire/layout.h"

namespace limpet::wire {
namespace {

constexpr uint8_t kIp4End = 0, kIp4Nop = 1, kIp4LooseRoute = 131, kIp4StrictRoute = 137;
constexpr uint8_t kIp6Pad1 = 0, kIp6UnknownAction = 0xc0;

// Options of a hop-by-hop or destination options header (RFC 8200, 4.2). None is known here, so all
// whose two highest bits ask to discard the packet when unknown are refused; among these are jumbo
// payload and home address, which would change length and source of the packet.
bool ip6_options_ok(const uint8_t* p, size_t length) {
  size_t at = 0;
  for (unsigned n = 0; at < length; ++n) {
    if (n == kMaxOptionsInHeader) return false;
    if (p[at] == kIp6Pad1) {
      ++at;
      continue;
    }
    if ((p[at] & kIp6UnknownAction) != 0) return false;
    if (length - at < 2 || length - at < size_t{2} + p[at + 1]) return false;
    at += size_t{2} + p[at + 1];
  }
  return true;
}

}  // namespace

Drop check_ip4_options(const uint8_t* options, size_t length) {
  for (size_t at = 0; at < length;) {
    const uint8_t kind = options[at];
    if (kind == kIp4End) break;
    if (kind == kIp4Nop) {
      ++at;
      continue;
    }
    if (kind == kIp4LooseRoute || kind == kIp4StrictRoute) return Drop::ip_options_bad;
    if (length - at < 2) return Drop::ip_options_bad;
    const uint8_t size = options[at + 1];
    if (size < 2 || size > length - at) return Drop::ip_options_bad;
    at += size;
  }
  return Drop::none;
}

Ip6Chain walk_ip6_chain(const uint8_t* packet, size_t length) {
  Ip6Chain c;
  c.protocol = packet[ip6::kNext];
  c.offset = ip6::kSize;
  for (unsigned n = 0;; ++n) {
    const uint8_t kind = c.protocol;
    if (kind != ip_protocol::kHopByHop && kind != ip_protocol::kRouting &&
        kind != ip_protocol::kFragment && kind != ip_protocol::kDestinationOptions)
      return c;
    if (n == kMaxExtensionHeaders || (kind == ip_protocol::kHopByHop && n != 0)) {
      // RFC 8200, 4.1: hop-by-hop options stand first or not at all.
      c.drop = Drop::ip_options_bad;
      return c;
    }
    const uint8_t* header = packet + c.offset;
    const size_t left = length - c.offset;
    // The fragment header's second byte is reserved, it always has eight bytes.
    const size_t size =
        left < 8 || kind == ip_protocol::kFragment ? 8 : (size_t{header[1]} + 1) * 8;
    if (left < size) {
      c.drop = Drop::ip_length_bad;
      return c;
    }
    c.protocol = header[0];
    c.offset += size;
    switch (kind) {
      case ip_protocol::kFragment:
        // Neither an offset nor more to come: a whole datagram, which needs no reassembly.
        if ((load<be16>(header + 2).host() & 0xfff9) == 0) {
          c.atomic = true;
          break;
        }
        c.fragment = true;
        c.fragment_word = load<be16>(header + 2).host();
        return c;
      case ip_protocol::kRouting:
        // A source route that is not used up, whatever its type (RFC 5095; RFC 8200, 4.4).
        if (header[3] != 0) c.drop = Drop::ip_options_bad;
        break;
      default:
        if (!ip6_options_ok(header + 2, size - 2)) c.drop = Drop::ip_options_bad;
        break;
    }
    if (c.drop != Drop::none) return c;
  }
}

}  // namespace limpet::wire
