// Any bytes through the parser, and whatever parses through everything that builds on it. A crash,
// a sanitizer report or a broken promise of the public headers is a finding.
//
// Input: one byte of options, then the frame. Options: bit 0 and 1 are Verified (so that a mutated
// frame gets past checksums that no mutation can guess); bit 2 repairs the ICMP checksum, which the
// parser always verifies. Seeds are one valid frame of each kind behind a zero or seven.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <vector>

#include "limpet/wire/arp.h"
#include "limpet/wire/checksum.h"
#include "limpet/wire/frame.h"
#include "limpet/wire/icmp.h"
#include "limpet/wire/nat.h"
#include "limpet/wire/nd.h"
#include "limpet/wire/quote.h"
#include "limpet/wire/tcp.h"
#include "limpet/wire/vlan.h"

namespace limpet::wire {
namespace {

using Bytes = std::vector<uint8_t>;

void require(bool promise, const char* text) {
  if (promise) return;
  std::fprintf(stderr, "broken promise: %s\n", text);
  std::abort();
}

constexpr MacAddress kOurs{{2, 0, 0, 0, 0, 0x64}};
const Link kLink{kOurs, MacAddress{{2, 0, 0, 0, 0, 1}}};

IpAddress ours(bool v6, uint8_t last) {
  if (!v6) return IpAddress::v4(10, 2, 0xff, last);
  IpAddress a{{0xfd, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
  a.bytes[15] = last;
  return a;
}

bool is_ip(FrameKind kind) {
  return kind != FrameKind::bad && kind != FrameKind::arp && kind != FrameKind::other;
}

// The same bytes in storage that ends with them.
Bytes copy(std::span<const uint8_t> bytes) {
  return {bytes.begin(), bytes.end()};
}

void check_offsets(std::span<const uint8_t> bytes, const Frame& f) {
  if (f.kind == FrameKind::bad) {
    require(f.drop != Drop::none, "a bad frame has a reason");
    return;
  }
  require(f.drop == Drop::none, "a good frame has none");
  require(f.l3 == eth::kSize && f.l3 <= f.l4 && f.l4 <= f.payload && f.payload <= f.end &&
              f.end <= bytes.size(),
          "offsets are ordered and inside");
  if (is_ip(f.kind)) {
    require(f.source.is_v4() != f.v6 && f.destination.is_v4() != f.v6,
            "addresses are of the family");
    require(!f.source.is_multicast() && !f.source.is_loopback(), "sources are unicast");
  }
}

void check_padding(std::span<const uint8_t> bytes, const Frame& f, Verified verified) {
  if (!is_ip(f.kind)) return;
  const Frame exact = parse_frame(copy(bytes.first(f.end)), verified);
  require(exact.kind == f.kind && exact.end == f.end && exact.payload == f.payload,
          "padding changes nothing");
  require(parse_frame(copy(bytes.first(f.end - 1u)), verified).drop == Drop::frame_truncated,
          "a byte less is a truncated frame");
}

void check_verified(std::span<const uint8_t> bytes, const Frame& f) {
  if (f.kind == FrameKind::bad) return;
  const Frame trusting = parse_frame(bytes, {true, true});
  require(trusting.kind == f.kind && trusting.payload == f.payload && trusting.source == f.source,
          "verifying more refuses more and changes nothing else");
}

void check_rewrite(std::span<const uint8_t> bytes, const Frame& f, Verified verified) {
  if (f.ttl < 3) return;
  Bytes b = copy(bytes);
  const IpAddress source = ours(f.v6, 1), destination = ours(f.v6, 2);
  rewrite(b, f, source, be16::from(1025), destination, be16::from(65535));
  const Frame g = parse_frame(b, verified);
  require(g.kind == f.kind, "a rewritten frame parses");
  require(g.source == source && g.destination == destination && g.source_port == be16::from(1025) &&
              g.destination_port == be16::from(65535),
          "a rewritten frame has the new tuple");
  require(g.ttl + 1 == f.ttl && g.l4 == f.l4 && g.payload == f.payload && g.end == f.end,
          "a rewritten frame is one hop further and otherwise the same");
  rewrite(b, g, f.source, f.source_port, f.destination, f.destination_port);
  const size_t field =
      f.l4 + (f.kind == FrameKind::tcp ? tcp_header::kChecksum : udp_header::kChecksum);
  for (size_t i = f.l4; i < b.size(); ++i) {
    const bool in_checksum = i == field || i == field + 1;
    // A sender's 0xffff for zero, or the reverse, says the same and may change.
    require(b[i] == bytes[i] || (in_checksum && (bytes[i] == 0 || bytes[i] == 0xff)),
            "rewriting back restores the segment");
  }
}

void check_tcp(std::span<const uint8_t> bytes, const Frame& f) {
  TcpOptionReader reader(bytes, f);
  unsigned steps = 0;
  while (const auto option = reader.next()) {
    require(++steps <= 40, "options end");
    const size_t at = static_cast<size_t>(option->data.data() - bytes.data());
    require(option->data.empty() || at + option->data.size() <= f.payload,
            "options are inside the header");
  }
  const TcpOptions options = tcp_options(bytes, f);
  require(options.malformed == reader.malformed(), "both walks agree");
  require(options.window_scale.value_or(0) <= 14, "the window scale is at most 14");
  require(tcp_data(bytes, f).size() == tcp_data_length(f), "data has its length");

  Bytes out(kMaxResetFrame);
  const auto reset = reset_for(bytes, f);
  if (!reset) return;
  out.resize(build_reset(out, kLink, *reset));
  const Frame r = parse_frame(out, {});
  require(r.kind == FrameKind::tcp && (r.tcp_flags & tcp_flag::rst), "a reset parses");
  require(r.source == f.destination && r.destination == f.source &&
              r.source_port == f.destination_port && r.destination_port == f.source_port,
          "a reset goes back");
  require(!reset_for(out, r), "a reset is not answered");
}

// `b` holds an error whose quote is about TCP or UDP.
void check_translation(Bytes b, const Frame& f, const Quote& q) {
  const ErrorAddresses to{.source = ours(f.v6, 1),
                          .destination = ours(f.v6, 2),
                          .quoted_source = ours(f.v6, 3),
                          .quoted_destination = ours(f.v6, 4),
                          .quoted_source_port = be16::from(5),
                          .quoted_destination_port = be16::from(6)};
  translate_error(b, f, q, to);
  const Frame g = parse_frame(b, {});
  // The outer header checksum was not verified perhaps; ICMP's always was.
  if (g.drop == Drop::ip_checksum_bad) return;
  require(g.kind == f.kind && g.source == to.source && g.destination == to.destination,
          "a translated error parses");
  const auto r = parse_quote(b, g);
  require(r.has_value(), "a translated error quotes");
  require(r->source == to.quoted_source && r->destination == to.quoted_destination &&
              r->source_port == to.quoted_source_port &&
              r->destination_port == to.quoted_destination_port,
          "a translated error quotes the new tuple");
  require(r->l4 == q.l4 && r->end == q.end && r->mtu == q.mtu, "the rest stays");
}

void check_quote(std::span<const uint8_t> bytes, const Frame& f) {
  const auto q = parse_quote(bytes, f);
  if (!q) return;
  require(f.payload <= q->l3 && q->l3 < q->l4 && q->l4 + 8 <= q->end && q->end <= f.end,
          "the quote is inside");
  require(is_icmp_error(f), "only errors quote");
  if (f.ttl > 1 && (q->protocol == ip_protocol::kTcp || q->protocol == ip_protocol::kUdp))
    check_translation(copy(bytes), f, *q);
}

void check_error_about(std::span<const uint8_t> bytes, const Frame& f) {
  if (!may_answer_with_error(bytes, f)) return;
  Bytes out(kMaxIcmpErrorFrame);
  out.resize(
      build_icmp_error(out, kLink, ours(f.v6, 9), bytes, f, IcmpError::packet_too_big, 1280));
  require(out.size() <= eth::kSize + (f.v6 ? kMaxIcmpErrorPacket6 : kMaxIcmpErrorPacket4),
          "errors are short");
  const Frame e = parse_frame(out, {});
  require(e.kind == (f.v6 ? FrameKind::icmp6 : FrameKind::icmp), "an error of ours parses");
  require(!may_answer_with_error(out, e), "errors are not answered");
  if (f.kind != FrameKind::tcp && f.kind != FrameKind::udp) return;
  const auto q = parse_quote(out, e);
  if (!q) {
    require(e.payload + (f.l4 - f.l3) + 8 > e.end, "a quoted segment is found again");
    return;
  }
  require(q->source == f.source && q->destination == f.destination &&
              q->source_port == f.source_port && q->destination_port == f.destination_port,
          "an error of ours quotes the tuple");
  check_translation(out, e, *q);
}

void check_echo(std::span<const uint8_t> bytes, const Frame& f) {
  Bytes b = copy(bytes);
  const size_t size = answer_echo(b, f);
  require((size != 0) == is_echo_request(f), "echo requests are answered");
  if (size == 0) {
    require(std::equal(b.begin(), b.end(), bytes.begin()), "others are left alone");
    return;
  }
  require(size <= f.end, "a reply is not longer");
  b.resize(size);
  const Frame g = parse_frame(b, {});
  require(g.kind == f.kind && g.source == f.destination && g.destination == f.source &&
              g.source_port == f.source_port && g.end == size,
          "an echo reply parses and goes back");
  require(!is_echo_request(g), "a reply is no request");
}

void check_neighbor(std::span<const uint8_t> bytes, const Frame& f) {
  NeighborMessage m;
  if (read_neighbor_message(bytes, f, m) != Drop::none) return;
  require(!m.target.is_v4() && !m.target.is_multicast(), "targets are IPv6 and unicast");
  if (!m.solicitation) return;
  Bytes out(kMaxNeighborFrame);
  out.resize(build_advertisement_for(out, kOurs, f, m));
  const Frame a = parse_frame(out, {});
  require(is_neighbor_message(a), "an advertisement parses");
  NeighborMessage answer;
  require(read_neighbor_message(out, a, answer) == Drop::none, "an advertisement is accepted");
  require(answer.target == m.target && answer.link_address == kOurs, "it says where the target is");
}

void check_arp(std::span<const uint8_t> bytes, const Frame& f) {
  const Arp a = read_arp(bytes, f);
  require(a.sender == f.source && a.target == f.destination, "both readers agree");
  Bytes out(kArpFrame);
  require(build_arp_reply(out, kOurs, a.target, a.sender_mac, a.sender) == kArpFrame, "room");
  const Frame g = parse_frame(out, {});
  require(g.kind == FrameKind::arp || a.target.is_multicast() || a.target.is_broadcast() ||
              a.target.is_loopback(),
          "a reply parses");
}

// Makes the checksum of an ICMP or ICMPv6 message right, when that is all that is wrong with it.
void repair_icmp(Bytes& b, Verified verified) {
  // The parser's own idea of where the message is: bad frames keep what was found before.
  const Frame f = parse_frame(b, verified);
  if (f.drop != Drop::icmp_bad || f.end - f.l4 < 8) return;
  uint8_t* p = b.data() + f.l4;
  const auto length = static_cast<uint32_t>(f.end - f.l4);
  store(p + icmp_header::kChecksum, be16{});
  Sum sum = sum_of(p, length);
  if (f.v6) sum += pseudo_sum(f.source, f.destination, ip_protocol::kIcmp6, length);
  store(p + icmp_header::kChecksum, checksum(sum));
}

// A priority tag hides nothing: without it the frame is judged as if it had never been there.
void check_tag(const Bytes& bytes, const Frame& f, Verified verified) {
  if (has_priority_tag(bytes)) {
    require(f.drop == Drop::vlan_unsupported, "a tag is seen");
    Bytes b = copy(bytes);
    cut_priority_tag(b);
    b.erase(b.begin(), b.begin() + kVlanTag);
    const Frame g = parse_frame(b, verified);
    require(g.drop != Drop::vlan_unsupported, "no tag is left");
    require(g.source_mac == f.source_mac && g.destination_mac == f.destination_mac,
            "the frame has its addresses");
    check_offsets(b, g);
  }
  if (bytes.size() < eth::kSize || f.drop == Drop::vlan_unsupported) return;
  Bytes b = copy(bytes);
  const uint8_t tag[] = {0x81, 0x00, 0xe0, 0x00};
  b.insert(b.begin() + 12, std::begin(tag), std::end(tag));
  require(has_priority_tag(b), "a tag is known");
  cut_priority_tag(b);
  require(std::equal(bytes.begin(), bytes.end(), b.begin() + kVlanTag), "the rest is untouched");
}

void run(const uint8_t* data, size_t size) {
  if (size == 0) return;
  const Verified verified{(data[0] & 1) != 0, (data[0] & 2) != 0};
  Bytes bytes(data + 1, data + size);
  if (data[0] & 4) repair_icmp(bytes, verified);
  const Frame f = parse_frame(bytes, verified);
  check_offsets(bytes, f);
  check_tag(bytes, f, verified);
  check_padding(bytes, f, verified);
  check_verified(bytes, f);
  if (is_ip(f.kind)) check_error_about(bytes, f);
  switch (f.kind) {
    case FrameKind::tcp:
      check_rewrite(bytes, f, verified);
      check_tcp(bytes, f);
      break;
    case FrameKind::udp:
      check_rewrite(bytes, f, verified);
      break;
    case FrameKind::icmp:
    case FrameKind::icmp6:
      check_echo(bytes, f);
      check_quote(bytes, f);
      if (is_neighbor_message(f)) check_neighbor(bytes, f);
      break;
    case FrameKind::arp:
      check_arp(bytes, f);
      break;
    default:
      break;
  }
}

}  // namespace
}  // namespace limpet::wire

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  limpet::wire::run(data, size);
  return 0;
}
