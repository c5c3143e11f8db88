#include "limpet/wire/quote.h"

#include <algorithm>
#include <cassert>

#include "chain.h"
#include "limpet/wire/icmp.h"
#include "rewrite.h"

namespace limpet::wire {
namespace {

constexpr size_t kQuotedTransport = 8;
constexpr size_t kMinExtendedQuote = 128;  // RFC 4884, 3: padded to this where extensions follow

// Source quench is dead (RFC 6633), and redirects are about our own next hop.
bool quotes_a_packet(const Frame& f) {
  if (f.kind == FrameKind::icmp)
    return f.icmp_type == icmp4_type::kUnreachable || f.icmp_type == icmp4_type::kTimeExceeded ||
           f.icmp_type == icmp4_type::kParameterProblem;
  return f.kind == FrameKind::icmp6 && f.icmp_type >= icmp6_type::kUnreachable &&
         f.icmp_type <= icmp6_type::kParameterProblem;
}

// What follows the ICMP header less an extension structure (RFC 4884, 4.1 to 4.5), of which the
// length of the quote, in words of the family, tells. Shorter values are junk of old routers in a
// field that was unused before.
size_t quote_end(const uint8_t* icmp, const Frame& f) {
  const size_t start = f.payload;
  size_t length = 0;
  if (f.v6 && (f.icmp_type == icmp6_type::kUnreachable || f.icmp_type == icmp6_type::kTimeExceeded))
    length = size_t{icmp[icmp_header::kRest]} * 8;
  if (!f.v6) length = size_t{icmp[icmp_header::kRest + 1]} * 4;
  if (length < kMinExtendedQuote) return f.end;
  return std::min<size_t>(f.end, start + length);
}

uint32_t quoted_mtu(const uint8_t* icmp, const Frame& f) {
  const uint32_t rest = load<be32>(icmp + icmp_header::kRest).host();
  if (f.v6) return f.icmp_type == icmp6_type::kPacketTooBig ? rest : 0;
  return f.icmp_type == icmp4_type::kUnreachable && f.icmp_code == 4 ? rest & 0xffff : 0;
}

// Finds the transport header; false when the quote has none.
bool find_transport4(const uint8_t* packet, size_t length, size_t& l4, uint8_t& protocol) {
  if (length < ip4::kSize || packet[0] >> 4 != 4) return false;
  l4 = size_t{packet[0]} % 16 * 4;
  protocol = packet[ip4::kProtocol];
  return l4 >= ip4::kSize && load<be16>(packet + ip4::kLength).host() >= l4 + kQuotedTransport &&
         (load<be16>(packet + ip4::kFragment).host() & ip4::kOffsetMask) == 0;
}

bool find_transport6(const uint8_t* packet, size_t length, size_t& l4, uint8_t& protocol) {
  if (length < ip6::kSize || packet[0] >> 4 != 6) return false;
  const Ip6Chain chain = walk_ip6_chain(packet, length);
  l4 = chain.offset;
  protocol = chain.protocol;
  return chain.drop == Drop::none && (chain.fragment_word & 0xfff8) == 0 &&
         ip6::kSize + load<be16>(packet + ip6::kLength).host() >= l4 + kQuotedTransport;
}

}  // namespace

std::optional<Quote> parse_quote(std::span<const uint8_t> bytes, const Frame& f) {
  if (!quotes_a_packet(f)) return std::nullopt;
  const uint8_t* icmp = bytes.data() + f.l4;
  const uint8_t* packet = bytes.data() + f.payload;
  size_t length = quote_end(icmp, f) - f.payload;
  size_t l4 = 0;
  Quote q;
  q.v6 = f.v6;
  if (!(f.v6 ? find_transport6 : find_transport4)(packet, length, l4, q.protocol))
    return std::nullopt;
  if (length < l4 + kQuotedTransport) return std::nullopt;
  // Some pad the quote: what stands behind the packet's own length is none of it.
  length = std::min<size_t>(length, f.v6 ? ip6::kSize + load<be16>(packet + ip6::kLength).host()
                                         : load<be16>(packet + ip4::kLength).host());
  q.l3 = f.payload;
  q.l4 = static_cast<uint16_t>(f.payload + l4);
  q.end = static_cast<uint16_t>(f.payload + length);
  if (f.v6) {
    q.source = IpAddress::v6(packet + ip6::kSource);
    q.destination = IpAddress::v6(packet + ip6::kDestination);
    // As at the door: these would be taken for IPv4 addresses.
    if (q.source.is_v4() || q.destination.is_v4()) return std::nullopt;
  } else {
    q.source = IpAddress::v4(packet + ip4::kSource);
    q.destination = IpAddress::v4(packet + ip4::kDestination);
  }
  if (q.protocol == ip_protocol::kTcp || q.protocol == ip_protocol::kUdp) {
    q.source_port = load<be16>(packet + l4 + udp_header::kSource);
    q.destination_port = load<be16>(packet + l4 + udp_header::kDestination);
  }
  if (q.protocol == ip_protocol::kTcp)
    q.tcp_sequence = load<be32>(packet + l4 + tcp_header::kSequence).host();
  q.mtu = quoted_mtu(icmp, f);
  return q;
}

void translate_error(std::span<uint8_t> bytes, const Frame& f, const Quote& quote,
                     const ErrorAddresses& to) {
  const bool tcp = quote.protocol == ip_protocol::kTcp;
  assert(tcp || quote.protocol == ip_protocol::kUdp);
  assert(quote.v6 == f.v6 && to.source.is_v4() != f.v6 && to.destination.is_v4() != f.v6);
  assert(to.quoted_source.is_v4() != f.v6 && to.quoted_destination.is_v4() != f.v6);
  assert(f.ttl > 1 && quote.end <= bytes.size());

  uint8_t* ip = bytes.data() + quote.l3;
  uint8_t* l4 = bytes.data() + quote.l4;
  const ChecksumDelta addresses =
      replace_addresses(ip, f.v6, to.quoted_source, to.quoted_destination);
  ChecksumDelta transport = addresses;
  replace_ports(l4, to.quoted_source_port, to.quoted_destination_port, transport);
  if (tcp && to.tcp_sequence)
    replace_field(l4 + tcp_header::kSequence, be32::from(*to.tcp_sequence), transport);
  ChecksumDelta icmp = transport;
  if (to.mtu && quote.mtu != 0) {
    uint8_t* rest = bytes.data() + f.l4 + icmp_header::kRest;
    if (f.v6)
      replace_field(rest, be32::from(*to.mtu), icmp);
    else
      replace_field(rest + 2, be16::from(static_cast<uint16_t>(*to.mtu)), icmp);
  }
  if (!f.v6)
    replace_field(ip + ip4::kChecksum, addresses.apply(load<be16>(ip + ip4::kChecksum)), icmp);
  uint8_t* field = l4 + (tcp ? tcp_header::kChecksum : udp_header::kChecksum);
  if (field + 2 <= bytes.data() + quote.end) {
    const auto old = load<be16>(field);
    replace_field(field, tcp ? transport.apply(old) : transport.apply_udp(old), icmp);
  }

  const ChecksumDelta outer = forward_ip(bytes.data() + f.l3, f.v6, to.source, to.destination);
  if (f.v6) icmp += outer;  // ICMPv6 has a pseudo header, ICMP has none
  uint8_t* sum = bytes.data() + f.l4 + icmp_header::kChecksum;
  store(sum, icmp.apply(load<be16>(sum)));
}

}  // namespace limpet::wire
