#include "limpet/wire/icmp.h"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "chain.h"
#include "emit.h"
#include "limpet/wire/checksum.h"

namespace limpet::wire {
namespace {

struct TypeAndCode {
  uint8_t type;
  uint8_t code;
};

TypeAndCode of_family(IcmpError error, bool v6) {
  switch (error) {
    case IcmpError::no_route:
      return v6 ? TypeAndCode{icmp6_type::kUnreachable, 0} : TypeAndCode{3, 0};
    case IcmpError::host_unreachable:
      return v6 ? TypeAndCode{icmp6_type::kUnreachable, 3} : TypeAndCode{3, 1};
    case IcmpError::port_unreachable:
      return v6 ? TypeAndCode{icmp6_type::kUnreachable, 4} : TypeAndCode{3, 3};
    case IcmpError::prohibited:
      return v6 ? TypeAndCode{icmp6_type::kUnreachable, 1} : TypeAndCode{3, 13};
    case IcmpError::packet_too_big:
      return v6 ? TypeAndCode{icmp6_type::kPacketTooBig, 0} : TypeAndCode{3, 4};
    case IcmpError::hop_limit_exceeded:
      return v6 ? TypeAndCode{icmp6_type::kTimeExceeded, 0}
                : TypeAndCode{icmp4_type::kTimeExceeded, 0};
  }
  return {};
}

bool is_error_type4(uint8_t type) {
  switch (type) {
    case icmp4_type::kUnreachable:
    case icmp4_type::kSourceQuench:
    case icmp4_type::kRedirect:
    case icmp4_type::kTimeExceeded:
    case icmp4_type::kParameterProblem:
      return true;
    default:
      return false;
  }
}

// RFC 4443, 2.1: error messages are those below 128.
bool is_error_type6(uint8_t type) {
  return type < 128 || type == icmp6_type::kRedirect;
}

bool sent_to_many(const Frame& f) {
  return f.destination.is_multicast() || f.destination.is_broadcast() ||
         f.destination_mac.is_group();
}

// Of a frame of kind fragment.
bool is_first_fragment(std::span<const uint8_t> bytes, const Frame& f) {
  // In IPv6 the fragment header is the one that ends where l4 begins.
  const uint16_t word =
      load<be16>(bytes.data() + (f.v6 ? f.l4 - 6u : f.l3 + ip4::kFragment)).host();
  return (word & (f.v6 ? 0xfff8 : ip4::kOffsetMask)) == 0;
}

}  // namespace

bool is_echo_request(const Frame& f) {
  return ((f.kind == FrameKind::icmp && f.icmp_type == icmp4_type::kEchoRequest) ||
          (f.kind == FrameKind::icmp6 && f.icmp_type == icmp6_type::kEchoRequest)) &&
         !sent_to_many(f);
}

size_t answer_echo(std::span<uint8_t> bytes, const Frame& f) {
  if (!is_echo_request(f)) return 0;
  const size_t length = static_cast<size_t>(f.end - f.l4);
  const size_t l4 = eth::kSize + ip_header_size(!f.v6);
  IpHeader header{.source = f.destination, .destination = f.source, .protocol = f.protocol};
  if (!f.v6) {
    // The request's type of service (RFC 1349, 5.1), and its identification: unique among what we
    // send to this client, as it is among what it sends to us.
    const uint8_t* request = bytes.data() + f.l3;
    header.traffic_class = request[ip4::kTos];
    header.identification = load<be16>(request + ip4::kId);
    header.dont_fragment = (load<be16>(request + ip4::kFragment).host() & ip4::kDontFragment) != 0;
  }
  std::memmove(bytes.data() + l4, bytes.data() + f.l4, length);
  emit_ip(bytes.data(), reply_link(f), header, length);
  uint8_t* p = bytes.data() + l4;
  p[icmp_header::kType] = f.v6 ? icmp6_type::kEchoReply : icmp4_type::kEchoReply;
  // In full: an echo reply over IPv4 may consist of zeros alone, where the incremental update has
  // the wrong one of the two zeros of ones' complement.
  store(p + icmp_header::kChecksum, be16{});
  Sum sum = sum_of(p, length);
  if (f.v6)
    sum += pseudo_sum(f.destination, f.source, ip_protocol::kIcmp6, static_cast<uint32_t>(length));
  store(p + icmp_header::kChecksum, checksum(sum));
  return l4 + length;
}

bool is_icmp_error(const Frame& f) {
  return (f.kind == FrameKind::icmp && is_error_type4(f.icmp_type)) ||
         (f.kind == FrameKind::icmp6 && is_error_type6(f.icmp_type));
}

bool may_answer_with_error(std::span<const uint8_t> bytes, const Frame& f) {
  switch (f.kind) {
    case FrameKind::tcp:
    case FrameKind::udp:
    case FrameKind::icmp:
    case FrameKind::icmp6:
    case FrameKind::ip_other:
    case FrameKind::fragment:
      break;
    case FrameKind::bad:
    case FrameKind::arp:
    case FrameKind::other:
      return false;
  }
  // "::" is the one source that the parser lets through and that is no node.
  if (sent_to_many(f) || is_icmp_error(f) || f.source.is_unspecified()) return false;
  if (f.kind != FrameKind::fragment) return true;
  if (!is_first_fragment(bytes, f)) return false;
  if (f.protocol != (f.v6 ? ip_protocol::kIcmp6 : ip_protocol::kIcmp)) return true;
  if (f.l4 == f.end) return false;  // ICMP of a type that nobody can know
  const uint8_t type = bytes[f.l4];
  return f.v6 ? !is_error_type6(type) : !is_error_type4(type);
}

size_t build_icmp_error(std::span<uint8_t> out, const Link& link, const IpAddress& from,
                        std::span<const uint8_t> bytes, const Frame& f, IcmpError error,
                        uint32_t mtu) {
  assert(from.is_v4() != f.v6);
  const size_t header = ip_header_size(!f.v6) + icmp_header::kSize;
  const size_t limit = f.v6 ? kMaxIcmpErrorPacket6 : kMaxIcmpErrorPacket4;
  const size_t quote = std::min(static_cast<size_t>(f.end - f.l3), limit - header);
  const size_t length = icmp_header::kSize + quote;
  const size_t size = eth::kSize + header + quote;
  if (out.size() < size) return 0;

  const size_t l4 = emit_ip(out.data(), link,
                            {.source = from,
                             .destination = f.source,
                             .protocol = f.v6 ? ip_protocol::kIcmp6 : ip_protocol::kIcmp,
                             .traffic_class = f.v6 ? uint8_t{0} : kInternetControl},
                            length);
  uint8_t* p = out.data() + l4;
  std::memset(p, 0, icmp_header::kSize);
  const TypeAndCode what = of_family(error, f.v6);
  p[icmp_header::kType] = what.type;
  p[icmp_header::kCode] = what.code;
  if (error == IcmpError::packet_too_big) {
    // RFC 1191, 4: the lower half of the word; RFC 4443, 3.2: all of it.
    store(p + icmp_header::kRest, be32::from(f.v6 ? mtu : std::min(mtu, 0xffffu)));
  }
  std::memcpy(p + icmp_header::kSize, bytes.data() + f.l3, quote);
  Sum sum = sum_of(p, length);
  if (f.v6) sum += pseudo_sum(from, f.source, ip_protocol::kIcmp6, static_cast<uint32_t>(length));
  store(p + icmp_header::kChecksum, checksum(sum));
  return size;
}

}  // namespace limpet::wire
