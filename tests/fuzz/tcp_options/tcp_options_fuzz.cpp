// Any TCP header with any options through the readers of options and through what rewrites spliced
// segments and errors about them in place, against a second reading of the options that is written
// from the RFCs alone. What is rewritten lies in memory that ends with it, so that an access
// outside is seen, and is parsed again with every checksum verified.
//
// Input: a byte of shape (bit 0 IPv6, bit 1 the data offset is left as it is, bits 2 and 3 padding
// of Ethernet), a byte with the number of option bytes, 41 bytes of numbers to rewrite with, 20 of
// TCP header, the options, the payload. What is missing is zero.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include "limpet/wire/checksum.h"
#include "limpet/wire/frame.h"
#include "limpet/wire/icmp.h"
#include "limpet/wire/quote.h"
#include "limpet/wire/segment.h"
#include "limpet/wire/splice.h"
#include "limpet/wire/tcp.h"

namespace limpet::wire {
namespace {

using Bytes = std::vector<uint8_t>;

void require(bool promise, const char* text) {
  if (promise) return;
  std::fprintf(stderr, "broken promise: %s\n", text);
  std::abort();
}

class Input {
 public:
  Input(const uint8_t* data, size_t size) : rest_(data, size) {}
  void take(std::span<uint8_t> to) {
    const size_t n = std::min(to.size(), rest_.size());
    std::copy_n(rest_.begin(), n, to.begin());
    std::fill(to.begin() + static_cast<ptrdiff_t>(n), to.end(), uint8_t{0});
    rest_ = rest_.subspan(n);
  }
  uint8_t byte() {
    uint8_t b;
    take({&b, 1});
    return b;
  }
  uint32_t word() {
    std::array<uint8_t, 4> b;
    take(b);
    return load<be32>(b.data()).host();
  }
  Bytes rest(size_t most) {
    const auto part = rest_.first(std::min(most, rest_.size()));
    return {part.begin(), part.end()};
  }

 private:
  std::span<const uint8_t> rest_;
};

// One option as RFC 9293, 3.1 has it: where it begins, kind, and how long it is in all.
struct Option {
  size_t at;
  uint8_t kind;
  size_t length;
};
struct Options {
  std::vector<Option> all;  // without NOPs
  bool malformed = false;
};

Options oracle(std::span<const uint8_t> o) {
  Options r;
  for (size_t i = 0; i < o.size();) {
    if (o[i] == 0) break;
    if (o[i] == 1) {
      ++i;
      continue;
    }
    if (o.size() - i < 2 || o[i + 1] < 2 || size_t{o[i + 1]} > o.size() - i) {
      r.malformed = true;
      break;
    }
    r.all.push_back({i, o[i], o[i + 1]});
    i += o[i + 1];
  }
  return r;
}

uint32_t number(std::span<const uint8_t> o, size_t at, size_t bytes) {
  uint32_t n = 0;
  for (size_t i = 0; i < bytes; ++i) n = n << 8 | o[at + i];
  return n;
}
void put(std::span<uint8_t> o, size_t at, uint32_t n) {
  for (size_t i = 0; i < 4; ++i) o[at + i] = static_cast<uint8_t>(n >> (24 - 8 * i));
}

const Option* first(const Options& options, uint8_t kind, size_t length) {
  for (const Option& o : options.all)
    if (o.kind == kind && o.length == length) return &o;
  return nullptr;
}

std::span<const uint8_t> options_of(std::span<const uint8_t> bytes, const Frame& f) {
  const size_t at = f.l4 + tcp_header::kSize;
  return bytes.subspan(at, f.payload - at);
}

void check_reading(std::span<const uint8_t> bytes, const Frame& f) {
  const auto o = options_of(bytes, f);
  const Options expected = oracle(o);
  const TcpOptions read = tcp_options(bytes, f);
  require(read.malformed == expected.malformed, "malformed options are named");
  const Option* mss = first(expected, 2, 4);
  require(read.mss.has_value() == (mss != nullptr) &&
              (mss == nullptr || *read.mss == number(o, mss->at + 2, 2)),
          "the MSS");
  const Option* scale = first(expected, 3, 3);
  require(read.window_scale.has_value() == (scale != nullptr) &&
              (scale == nullptr || *read.window_scale == std::min<uint32_t>(o[scale->at + 2], 14)),
          "the window scale");
  require(read.sack_permitted == (first(expected, 4, 2) != nullptr), "SACK permitted");
  const Option* stamps = first(expected, 8, 10);
  require(read.timestamps.has_value() == (stamps != nullptr) &&
              (stamps == nullptr || (read.timestamps->value == number(o, stamps->at + 2, 4) &&
                                     read.timestamps->echo == number(o, stamps->at + 6, 4))),
          "the timestamps");
  const SackBlocks sack = sack_blocks(bytes, f);
  const auto is_sack = [](const Option& x) { return x.kind == 5 && (x.length - 2) % 8 == 0; };
  const auto found = std::find_if(expected.all.begin(), expected.all.end(), is_sack);
  const size_t count = found == expected.all.end() ? 0 : (found->length - 2) / 8;
  require(sack.count == count && count <= SackBlocks::kMax, "the number of SACK blocks");
  for (unsigned i = 0; i < sack.count; ++i)
    require(sack.block[i].left == number(o, found->at + 2 + 8 * i, 4) &&
                sack.block[i].right == number(o, found->at + 6 + 8 * i, 4),
            "the SACK blocks");
}

// What the options are to be behind the splice.
Bytes translated(std::span<const uint8_t> before, bool ack, const SpliceNumbers& n) {
  Bytes o(before.begin(), before.end());
  for (const Option& x : oracle(before).all) {
    if (x.kind == 8 && x.length == 10) {
      put(o, x.at + 2, number(o, x.at + 2, 4) + n.tsval_shift);
      if (ack) put(o, x.at + 6, number(o, x.at + 6, 4) + n.tsecr_shift);
    }
    if (x.kind != 5 || x.length == 2 || (x.length - 2) % 8 != 0) continue;
    const size_t count = std::min<size_t>(n.sack.count, (x.length - 2) / 8);
    const size_t length = count == 0 ? 0 : 2 + 8 * count;
    if (count != 0) o[x.at + 1] = static_cast<uint8_t>(length);
    for (size_t i = 0; i < count; ++i) {
      put(o, x.at + 2 + 8 * i, n.sack.block[i].left);
      put(o, x.at + 6 + 8 * i, n.sack.block[i].right);
    }
    for (size_t i = length; i < x.length; ++i) o[x.at + i] = 1;
  }
  return o;
}

struct Ends {
  IpAddress source, destination;
  be16 source_port{}, destination_port{};
};

Ends ends(bool v6, uint16_t ports) {
  Ends e{IpAddress::v4(10, 2, 0xff, 1), IpAddress::v4(10, 2, 0xff, 2), be16::from(ports | 1),
         be16::from(static_cast<uint16_t>(~ports | 2))};
  if (v6) {
    e.source = IpAddress{{0xfd, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};
    e.destination = IpAddress{{0xfd, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2}};
  }
  return e;
}

void check_rewrite(std::span<const uint8_t> bytes, const Frame& f, const Ends& to,
                   const SpliceNumbers& n) {
  // A splice passes what has ACK or RST; urgent data alone would have no flag left.
  if ((f.tcp_flags & ~tcp_flag::urg) == 0) return;
  Bytes b(bytes.begin(), bytes.end());
  rewrite_spliced(b, f, to.source, to.source_port, to.destination, to.destination_port, n);
  const Frame g = parse_frame(b, {});
  require(g.kind == FrameKind::tcp, "a rewritten segment parses, its checksums are right");
  require(g.source == to.source && g.destination == to.destination &&
              g.source_port == to.source_port && g.destination_port == to.destination_port,
          "it has the new tuple");
  require(g.ttl + 1 == f.ttl && g.l4 == f.l4 && g.payload == f.payload && g.end == f.end,
          "it is one hop further and otherwise the same");
  const bool ack = (f.tcp_flags & tcp_flag::ack) != 0;
  require(tcp_sequence(b, g) == n.seq && tcp_window(b, g) == n.window &&
              tcp_acknowledgment(b, g) == (ack ? n.ack : tcp_acknowledgment(bytes, f)),
          "it has the new numbers");
  const Bytes expected = translated(options_of(bytes, f), ack, n);
  const auto options = options_of(b, g);
  require(std::equal(options.begin(), options.end(), expected.begin(), expected.end()),
          "it has the new options");
  require(std::equal(b.begin() + f.payload, b.end(), bytes.begin() + f.payload) &&
              std::equal(b.begin(), b.begin() + f.l3, bytes.begin()) &&
              b[f.l4 + tcp_header::kDataOffset] == bytes[f.l4 + tcp_header::kDataOffset] &&
              b[f.l4 + tcp_header::kFlags] == (bytes[f.l4 + tcp_header::kFlags] & ~tcp_flag::urg),
          "nothing else changes");
  const bool urgent = (f.tcp_flags & tcp_flag::urg) != 0;
  const uint8_t *at = &b[f.l4 + tcp_header::kUrgent], *was = &bytes[f.l4 + tcp_header::kUrgent];
  require(urgent ? at[0] == 0 && at[1] == 0 : std::memcmp(at, was, 2) == 0,
          "urgent data becomes data");
  check_reading(b, g);
}

// A router's error about the segment, translated to the numbers of the other side.
void check_error(std::span<const uint8_t> bytes, const Frame& f, const Ends& to,
                 const SpliceNumbers& n) {
  if (!may_answer_with_error(bytes, f)) return;
  const Link link{MacAddress{{2, 0, 0, 0, 0, 0x64}}, MacAddress{{2, 0, 0, 0, 0, 1}}};
  Bytes b(kMaxIcmpErrorFrame);
  b.resize(build_icmp_error(b, link, to.source, bytes, f, IcmpError::packet_too_big, 1280));
  b.shrink_to_fit();
  const Frame e = parse_frame(b, {});
  const auto q = parse_quote(b, e);
  require(q.has_value() && q->tcp_sequence == tcp_sequence(bytes, f) && q->mtu == 1280,
          "an error quotes the number");
  const uint32_t mtu = 1281 + (n.window & 0x1fff);
  const ErrorAddresses there{to.source,      to.destination,      f.source, f.destination,
                             to.source_port, to.destination_port, n.seq,    mtu};
  translate_error(b, e, *q, there);
  const Frame g = parse_frame(b, {});
  require(g.kind == e.kind && g.source == to.source && g.destination == to.destination,
          "a translated error parses, its checksums are right");
  const auto r = parse_quote(b, g);
  require(r.has_value() && r->source == f.source && r->destination == f.destination &&
              r->source_port == to.source_port && r->destination_port == to.destination_port &&
              r->tcp_sequence == n.seq && r->mtu == mtu,
          "it quotes the other side's numbers");
  // All of the segment that is there still sums up, when all of it is there.
  const auto length = static_cast<uint32_t>(f.end - f.l4);
  if (r->end - r->l4 == static_cast<int>(length))
    require(verifies(pseudo_sum(r->source, r->destination, ip_protocol::kTcp, length) +
                     sum_of(&b[r->l4], length)),
            "the quoted checksum is right");
}

// A segment of our own with what was read of this one.
void check_building(std::span<const uint8_t> bytes, const Frame& f, const Ends& to,
                    const SpliceNumbers& n) {
  const TcpOptions read = tcp_options(bytes, f);
  Segment s;
  s.source = to.source;
  s.destination = to.destination;
  s.source_port = to.source_port;
  s.destination_port = to.destination_port;
  s.seq = n.seq;
  s.ack = n.ack;
  s.flags = f.tcp_flags;
  s.window = n.window;
  s.mss = read.mss;
  s.window_scale = read.window_scale;
  s.sack_permitted = read.sack_permitted;
  s.timestamps = read.timestamps;
  s.sack = n.sack;
  const Link link{MacAddress{{2, 0, 0, 0, 0, 0x64}}, MacAddress{{2, 0, 0, 0, 0, 1}}};
  const auto data = tcp_data(bytes, f);
  const size_t headers = eth::kSize + (f.v6 ? ip6::kSize : ip4::kSize) + tcp_header_size(s);
  require(headers <= kMaxSegmentHeaders, "headers have a limit");
  Bytes b(headers + data.size());
  require(begin_segment(std::span(b).first(b.size() - 1), link, s, data.size()).end == 0,
          "a byte too few is refused");
  const SegmentRoom room = begin_segment(b, link, s, data.size());
  require(room.payload == headers && room.end == b.size(), "the room is as told");
  std::copy(data.begin(), data.end(), b.begin() + static_cast<ptrdiff_t>(room.payload));
  finish_segment(b, s, room);
  const Frame g = parse_frame(b, {});
  require(g.kind == FrameKind::tcp && g.payload == room.payload && g.end == room.end,
          "a segment of ours parses, its checksums are right");
  const TcpOptions again = tcp_options(b, g);
  require(!again.malformed && again.mss == s.mss && again.window_scale == s.window_scale &&
              again.sack_permitted == s.sack_permitted &&
              again.timestamps.has_value() == s.timestamps.has_value() &&
              (!s.timestamps || (again.timestamps->value == s.timestamps->value &&
                                 again.timestamps->echo == s.timestamps->echo)),
          "it says what it was told to say");
  const SackBlocks blocks = sack_blocks(b, g);
  require(blocks.count <= s.sack.count &&
              std::equal(blocks.block.begin(), blocks.block.begin() + blocks.count,
                         s.sack.block.begin()),
          "its SACK blocks are the first ones");
}

void run(const uint8_t* data, size_t size) {
  Input in(data, size);
  const uint8_t shape = in.byte();
  const bool v6 = (shape & 1) != 0;
  const size_t option_bytes = in.byte() % 41;
  SpliceNumbers n;
  n.seq = in.word();
  n.ack = in.word();
  n.window = static_cast<uint16_t>(in.word());
  n.tsval_shift = in.word();
  n.tsecr_shift = in.word();
  const uint8_t more = in.byte();
  n.sack.count = more % (SackBlocks::kMax + 1);
  const auto ports = static_cast<uint16_t>(in.word());
  for (unsigned i = 0; i < 2; ++i) n.sack.block[i] = {in.word(), in.word()};
  n.sack.block[2] = {n.sack.block[0].right, n.sack.block[1].left};
  n.sack.block[3] = {~n.sack.block[0].left, ~n.sack.block[1].right};

  const size_t l4 = eth::kSize + (v6 ? ip6::kSize : ip4::kSize);
  const size_t padded = (option_bytes + 3) / 4 * 4;
  Bytes b(l4 + tcp_header::kSize + padded);
  const Ends ours = ends(v6, 80);
  std::memcpy(&b[0], "\x02\x00\x00\x00\x00\x64\x02\x00\x00\x00\x00\x01", 12);
  in.take(std::span(b).subspan(l4, tcp_header::kSize));
  in.take(std::span(b).subspan(l4 + tcp_header::kSize, option_bytes));
  const Bytes payload = in.rest(4000);
  b.insert(b.end(), payload.begin(), payload.end());
  if ((shape & 2) == 0)
    b[l4 + tcp_header::kDataOffset] =
        static_cast<uint8_t>((tcp_header::kSize + padded) << 2 | (more >> 4));
  const auto length = static_cast<uint16_t>(b.size() - l4);
  uint8_t* ip = &b[eth::kSize];
  if (v6) {
    store(&b[eth::kType], be16::from(eth::kIpv6));
    ip[0] = 0x60;
    store(ip + ip6::kLength, be16::from(length));
    ip[ip6::kNext] = ip_protocol::kTcp;
    ip[ip6::kHopLimit] = 2;
    store(ip + ip6::kSource, ours.source);
    store(ip + ip6::kDestination, ours.destination);
  } else {
    store(&b[eth::kType], be16::from(eth::kIpv4));
    ip[0] = 0x45;
    store(ip + ip4::kLength, be16::from(static_cast<uint16_t>(length + ip4::kSize)));
    ip[ip4::kTtl] = 2;
    ip[ip4::kProtocol] = ip_protocol::kTcp;
    store(ip + ip4::kSource, ours.source.v4_word());
    store(ip + ip4::kDestination, ours.destination.v4_word());
    store(ip + ip4::kChecksum, checksum(sum_of(ip, ip4::kSize)));
  }
  store(&b[l4 + tcp_header::kChecksum], be16{});
  store(&b[l4 + tcp_header::kChecksum],
        checksum(pseudo_sum(ours.source, ours.destination, ip_protocol::kTcp, length) +
                 sum_of(&b[l4], length)));
  b.resize(b.size() + (shape >> 2 & 3));
  b.shrink_to_fit();

  const Frame f = parse_frame(b, {});
  if (f.kind == FrameKind::bad) {
    require(f.drop == Drop::tcp_header_bad || f.drop == Drop::tcp_flags_bad ||
                f.drop == Drop::port_zero,
            "only header length, flags and ports can be wrong");
    return;
  }
  require(f.kind == FrameKind::tcp && f.l4 == l4 && f.payload - f.l4 <= 60, "a TCP segment");
  const Ends there = ends(v6, ports);
  check_reading(b, f);
  check_rewrite(b, f, there, n);
  check_error(b, f, there, n);
  check_building(b, f, there, n);
}

}  // namespace
}  // namespace limpet::wire

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  limpet::wire::run(data, size);
  return 0;
}
