#include "packet.h"

#include <algorithm>
#include <cstring>

#include "limpet/base/endian.h"
#include "random.h"

namespace limpet::sim {

void fill_stream(uint64_t seed, uint64_t offset, std::span<uint8_t> out) {
  size_t i = 0;
  for (; i < out.size() && (offset + i) % 8 != 0; ++i) out[i] = stream_byte(seed, offset + i);
  for (; i + 8 <= out.size(); i += 8) store(out.data() + i, mix(seed ^ ((offset + i) / 8)));
  for (; i < out.size(); ++i) out[i] = stream_byte(seed, offset + i);
}

namespace {

constexpr uint16_t kTypeIpv4 = 0x0800, kTypeIpv6 = 0x86dd;
constexpr uint8_t kProtocolIcmp = 1, kProtocolTcp = 6, kProtocolIcmp6 = 58;
constexpr uint8_t kEnd = 0, kNop = 1, kMss = 2, kScale = 3, kSackOk = 4, kSack = 5, kTime = 8;

uint16_t get16(const uint8_t* p) {
  return load<be16>(p).host();
}
uint32_t get32(const uint8_t* p) {
  return load<be32>(p).host();
}
void put16(uint8_t* p, size_t v) {
  store(p, be16::from(static_cast<uint16_t>(v)));
}
void put32(uint8_t* p, uint32_t v) {
  store(p, be32::from(v));
}

// The one's complement sum of RFC 1071, in memory order: the byte order does not matter to it.
uint64_t sum(std::span<const uint8_t> b, uint64_t s = 0) {
  size_t i = 0;
  for (; i + 4 <= b.size(); i += 4) s += load<uint32_t>(b.data() + i);
  if (i + 2 <= b.size()) {
    s += load<uint16_t>(b.data() + i);
    i += 2;
  }
  if (i < b.size()) s += b[i];
  return s;
}
uint16_t fold(uint64_t s) {  // of the sum, as it stands in memory
  while (s >> 16 != 0) s = (s & 0xffff) + (s >> 16);
  return static_cast<uint16_t>(~s);
}

uint64_t pseudo_sum(const IpAddress& from, const IpAddress& to, uint8_t protocol, size_t length) {
  std::array<uint8_t, 8> rest{};
  put32(rest.data(), static_cast<uint32_t>(length));
  rest[7] = protocol;
  uint64_t s = sum(rest);
  const size_t skip = from.is_v4() ? 12 : 0;
  s = sum(std::span(from.bytes).subspan(skip), s);
  return sum(std::span(to.bytes).subspan(skip), s);
}

bool read_options(std::span<const uint8_t> b, TcpOptions& o) {
  for (size_t i = 0; i < b.size();) {
    const uint8_t kind = b[i];
    if (kind == kEnd) return true;
    if (kind == kNop) {
      ++i;
      continue;
    }
    if (i + 1 >= b.size() || b[i + 1] < 2 || i + b[i + 1] > b.size()) return false;
    const size_t length = b[i + 1];
    const uint8_t* value = b.data() + i + 2;
    if (kind == kMss && length == 4) {
      o.mss = get16(value);
    } else if (kind == kScale && length == 3) {
      o.scale = value[0];
    } else if (kind == kSackOk && length == 2) {
      o.sack_permitted = true;
    } else if (kind == kTime && length == 10) {
      o.timestamps = Timestamps{get32(value), get32(value + 4)};
    } else if (kind == kSack && length >= 10 && length <= 34 && (length - 2) % 8 == 0) {
      for (o.sacks = 0; o.sacks < (length - 2) / 8; ++o.sacks) {
        const uint8_t* at = value + size_t{o.sacks} * 8;
        o.sack[o.sacks] = {get32(at), get32(at + 4)};
      }
    } else if (kind == kMss || kind == kScale || kind == kSackOk || kind == kTime ||
               kind == kSack) {
      return false;
    } else {
      ++o.unknown;
    }
    i += length;
  }
  return true;
}

void write_options(const TcpOptions& o, uint8_t* p) {
  const bool syn = o.mss || o.scale || o.sack_permitted;
  if (o.mss) {
    *p++ = kMss;
    *p++ = 4;
    put16(p, *o.mss);
    p += 2;
  }
  if (o.sack_permitted) {
    if (!o.timestamps) {
      *p++ = kNop;
      *p++ = kNop;
    }
    *p++ = kSackOk;
    *p++ = 2;
  }
  if (o.timestamps) {
    if (!(syn && o.sack_permitted)) {
      *p++ = kNop;
      *p++ = kNop;
    }
    *p++ = kTime;
    *p++ = 10;
    put32(p, o.timestamps->value);
    put32(p + 4, o.timestamps->echo);
    p += 8;
  }
  if (o.scale) {
    *p++ = kNop;
    *p++ = kScale;
    *p++ = 3;
    *p++ = *o.scale;
  }
  if (o.sacks > 0) {
    *p++ = kNop;
    *p++ = kNop;
    *p++ = kSack;
    *p++ = static_cast<uint8_t>(2 + 8 * o.sacks);
    for (const SackBlock& block : o.blocks()) {
      put32(p, block.left);
      put32(p + 4, block.right);
      p += 8;
    }
  }
}

void write_ip(uint8_t* p, const IpAddress& from, const IpAddress& to, uint8_t protocol, uint8_t ttl,
              bool df, size_t payload) {
  if (from.is_v4()) {
    p[0] = 0x45;
    put16(p + 2, 20 + payload);
    put16(p + 6, df ? 0x4000 : 0);
    p[8] = ttl;
    p[9] = protocol;
    std::memcpy(p + 12, from.v4_bytes(), 4);
    std::memcpy(p + 16, to.v4_bytes(), 4);
    store(p + 10, fold(sum({p, 20})));
  } else {
    p[0] = 0x60;
    put16(p + 4, payload);
    p[6] = protocol;
    p[7] = ttl;
    std::memcpy(p + 8, from.bytes.data(), 16);
    std::memcpy(p + 24, to.bytes.data(), 16);
  }
}

void write_ethernet(uint8_t* p, const MacAddress& to, const MacAddress& from, bool v4) {
  std::memcpy(p, to.bytes.data(), 6);
  std::memcpy(p + 6, from.bytes.data(), 6);
  put16(p + 12, v4 ? kTypeIpv4 : kTypeIpv6);
}

Packet& is(Packet& packet, Packet::Kind kind) {
  packet.kind = kind;
  return packet;
}

Packet& read_tcp(Packet& packet, std::span<const uint8_t> b) {
  Segment& s = packet.tcp;
  if (b.size() < 20) return is(packet, Packet::Kind::malformed);
  const size_t header = size_t{b[12]} / 16 * 4;
  if (header < 20 || header > b.size()) return is(packet, Packet::Kind::malformed);
  if (fold(sum(b, pseudo_sum(s.from, s.to, kProtocolTcp, b.size()))) != 0) {
    return is(packet, Packet::Kind::l4_sum);
  }
  s.from_port = get16(b.data());
  s.to_port = get16(b.data() + 2);
  s.seq = get32(b.data() + 4);
  s.ack = get32(b.data() + 8);
  s.flags = b[13] & 0x3f;
  s.window = get16(b.data() + 14);
  s.urgent = get16(b.data() + 18);
  s.option_bytes = header - 20;
  s.data = b.subspan(header);
  if (!read_options(b.subspan(20, s.option_bytes), s.options)) {
    return is(packet, Packet::Kind::malformed);
  }
  return is(packet, Packet::Kind::tcp);
}

// `quote` is an IP packet, cut at any length behind the first eight octets of TCP.
Packet& read_too_big(Packet& packet, std::span<const uint8_t> quote, uint32_t mtu) {
  TooBig& t = packet.too_big;
  t.mtu = mtu;
  const bool v4 = packet.tcp.from.is_v4();
  const size_t header = v4 && !quote.empty() ? size_t{quote[0] & 0xfu} * 4 : 40;
  if (quote.size() < header + 8 || header < 20 || quote[0] / 16 != (v4 ? 4 : 6)) {
    return is(packet, Packet::Kind::malformed);
  }
  if (quote[v4 ? 9 : 6] != kProtocolTcp) return is(packet, Packet::Kind::other);
  t.from = v4 ? IpAddress::v4(&quote[12]) : IpAddress::v6(&quote[8]);
  t.to = v4 ? IpAddress::v4(&quote[16]) : IpAddress::v6(&quote[24]);
  t.from_port = get16(&quote[header]);
  t.to_port = get16(&quote[header + 2]);
  t.seq = get32(&quote[header + 4]);
  return is(packet, Packet::Kind::too_big);
}

Packet& read_icmp(Packet& packet, std::span<const uint8_t> b, bool v4) {
  if (b.size() < 8) return is(packet, Packet::Kind::malformed);
  const uint64_t pseudo =
      v4 ? 0 : pseudo_sum(packet.tcp.from, packet.tcp.to, kProtocolIcmp6, b.size());
  if (fold(sum(b, pseudo)) != 0) return is(packet, Packet::Kind::l4_sum);
  if (v4 && b[0] == 3 && b[1] == 4) return read_too_big(packet, b.subspan(8), get16(&b[6]));
  if (!v4 && b[0] == 2) return read_too_big(packet, b.subspan(8), get32(&b[4]));
  return is(packet, Packet::Kind::other);
}

}  // namespace

size_t TcpOptions::bytes() const {
  size_t n = (mss ? 4 : 0) + (scale ? 4 : 0) + (sacks > 0 ? 4 + 8 * size_t{sacks} : 0);
  if (timestamps) n += 12;
  if (sack_permitted && !timestamps) n += 4;
  return n;
}

Packet parse(std::span<const uint8_t> frame) {
  Packet packet;
  if (frame.size() < kEthernet) return is(packet, Packet::Kind::malformed);
  std::memcpy(packet.tcp.to_mac.bytes.data(), frame.data(), 6);
  std::memcpy(packet.tcp.from_mac.bytes.data(), frame.data() + 6, 6);
  const uint16_t type = get16(&frame[12]);
  std::span<const uint8_t> b = frame.subspan(kEthernet);
  if (type != kTypeIpv4 && type != kTypeIpv6) return packet;
  const bool v4 = type == kTypeIpv4;
  const size_t header = v4 && !b.empty() ? size_t{b[0] & 0xfu} * 4 : 40;
  if (b.size() < header || header < 20 || b[0] / 16 != (v4 ? 4 : 6)) {
    return is(packet, Packet::Kind::malformed);
  }
  const size_t total = v4 ? get16(&b[2]) : 40 + size_t{get16(&b[4])};
  if (total < header || total > b.size()) return is(packet, Packet::Kind::malformed);
  packet.tcp.from = v4 ? IpAddress::v4(&b[12]) : IpAddress::v6(&b[8]);
  packet.tcp.to = v4 ? IpAddress::v4(&b[16]) : IpAddress::v6(&b[24]);
  packet.tcp.ttl = b[v4 ? 8 : 7];
  packet.tcp.df = !v4 || (b[6] & 0x40) != 0;
  if (v4 && fold(sum(b.first(header))) != 0) return is(packet, Packet::Kind::ip_sum);
  if (v4 && (get16(&b[6]) & 0x3fff) != 0) return packet;  // fragments: nobody here makes any
  const uint8_t protocol = b[v4 ? 9 : 6];
  b = b.subspan(header, total - header);
  if (protocol == kProtocolTcp) return read_tcp(packet, b);
  if (protocol == (v4 ? kProtocolIcmp : kProtocolIcmp6)) return read_icmp(packet, b, v4);
  return packet;
}

Bytes emit(const Segment& s) {
  const bool v4 = s.from.is_v4();
  const size_t ip = v4 ? 20 : 40, options = s.options.bytes();
  const size_t l4 = kEthernet + ip, length = 20 + options + s.data.size();
  Bytes frame(l4 + length);
  write_ethernet(frame.data(), s.to_mac, s.from_mac, v4);
  write_ip(&frame[kEthernet], s.from, s.to, kProtocolTcp, s.ttl, s.df, length);
  uint8_t* p = &frame[l4];
  put16(p, s.from_port);
  put16(p + 2, s.to_port);
  put32(p + 4, s.seq);
  put32(p + 8, s.ack);
  p[12] = static_cast<uint8_t>((20 + options) / 4 * 16);
  p[13] = s.flags;
  put16(p + 14, s.window);
  put16(p + 18, s.urgent);
  write_options(s.options, p + 20);
  if (!s.data.empty()) std::memcpy(p + 20 + options, s.data.data(), s.data.size());
  store(p + 16, fold(sum({p, length}, pseudo_sum(s.from, s.to, kProtocolTcp, length))));
  return frame;
}

Bytes emit_too_big(std::span<const uint8_t> original, const IpAddress& router, uint16_t mtu) {
  const Packet packet = parse(original);
  const bool v4 = router.is_v4();
  // RFC 1812, 4.3.2.3: up to 576 octets in all; RFC 4443, 2.4 (c): up to the minimum MTU.
  const size_t ip = v4 ? 20 : 40, most = (v4 ? 576 : 1280) - ip - 8;
  const std::span<const uint8_t> quote =
      original.subspan(kEthernet, std::min(most, original.size() - kEthernet));
  const size_t l4 = kEthernet + ip, length = 8 + quote.size();
  Bytes frame(l4 + length);
  write_ethernet(frame.data(), packet.tcp.from_mac, packet.tcp.to_mac, v4);
  const uint8_t protocol = v4 ? kProtocolIcmp : kProtocolIcmp6;
  write_ip(&frame[kEthernet], router, packet.tcp.from, protocol, 64, false, length);
  uint8_t* p = &frame[l4];
  p[0] = v4 ? 3 : 2;
  p[1] = v4 ? 4 : 0;
  put16(p + 6, mtu);
  std::memcpy(p + 8, quote.data(), quote.size());
  store(p + 2,
        fold(sum({p, length}, v4 ? 0 : pseudo_sum(router, packet.tcp.from, protocol, length))));
  return frame;
}

void fix_checksums(Bytes& frame) {
  uint8_t* ip = &frame[kEthernet];
  const bool v4 = ip[0] / 16 == 4;
  const size_t header = v4 ? size_t{ip[0] & 0xfu} * 4 : 40;
  const size_t length = (v4 ? get16(ip + 2) : 40 + size_t{get16(ip + 4)}) - header;
  if (v4) {
    put16(ip + 10, 0);
    store(ip + 10, fold(sum({ip, header})));
  }
  const IpAddress from = v4 ? IpAddress::v4(ip + 12) : IpAddress::v6(ip + 8);
  const IpAddress to = v4 ? IpAddress::v4(ip + 16) : IpAddress::v6(ip + 24);
  const uint8_t protocol = ip[v4 ? 9 : 6];
  uint8_t* l4 = ip + header;
  uint8_t* field = l4 + (protocol == kProtocolTcp ? 16 : 2);
  put16(field, 0);
  const uint64_t pseudo = protocol == kProtocolIcmp ? 0 : pseudo_sum(from, to, protocol, length);
  store(field, fold(sum({l4, length}, pseudo)));
}

std::string describe_flags(uint8_t flags) {
  std::string text;
  for (const auto& [flag, letter] :
       {std::pair{kSyn, 'S'}, std::pair{kFin, 'F'}, std::pair{kRst, 'R'}, std::pair{kPsh, 'P'},
        std::pair{kUrg, 'U'}, std::pair{kAck, '.'}}) {
    if ((flags & flag) != 0) text += letter;
  }
  return text.empty() ? "none" : text;
}

std::string describe_options(const TcpOptions& o) {
  std::string text;
  const auto add = [&](const std::string& what) { text += (text.empty() ? "" : ",") + what; };
  if (o.mss) add("mss " + std::to_string(*o.mss));
  if (o.sack_permitted) add("sackOK");
  if (o.timestamps) {
    add("TS " + std::to_string(o.timestamps->value) + " " + std::to_string(o.timestamps->echo));
  }
  if (o.scale) add("wscale " + std::to_string(*o.scale));
  for (const SackBlock& b : o.blocks()) {
    add("sack " + std::to_string(b.left) + ":" + std::to_string(b.right));
  }
  if (o.unknown > 0) add(std::to_string(o.unknown) + " unknown");
  return text;
}

std::string describe(const Segment& s) {
  std::string text = describe_flags(s.flags) + " seq " + std::to_string(s.seq);
  if (s.has(kAck)) text += " ack " + std::to_string(s.ack);
  text += " win " + std::to_string(s.window);
  const std::string options = describe_options(s.options);
  if (!options.empty()) text += " <" + options + ">";
  return text + " len " + std::to_string(s.data.size());
}

}  // namespace limpet::sim
