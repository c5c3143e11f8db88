#include "frames.h"

#include <fmt/core.h>

#include <algorithm>

namespace limpet::worker_test {
namespace {

constexpr size_t kEthernet = 14;

// RFC 1071, the plain way: 16-bit words, most significant byte first.
uint32_t add(uint32_t sum, const Bytes& b, size_t from, size_t to) {
  for (size_t i = from; i < to; i += 2)
    sum += static_cast<uint32_t>(b[i] << 8) | (i + 1 < to ? b[i + 1] : 0u);
  return sum;
}
uint16_t finish(uint32_t sum) {
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum & 0xffff);
}

Bytes raw(const IpAddress& a) {
  return a.is_v4() ? Bytes(a.bytes.begin() + 12, a.bytes.end())
                   : Bytes(a.bytes.begin(), a.bytes.end());
}
void append(Bytes& b, const Bytes& more) {
  b.insert(b.end(), more.begin(), more.end());
}
void append16(Bytes& b, uint32_t v) {
  b.push_back(static_cast<uint8_t>(v >> 8));
  b.push_back(static_cast<uint8_t>(v));
}
void append32(Bytes& b, uint32_t v) {
  append16(b, v >> 16);
  append16(b, v & 0xffff);
}
void append_mac(Bytes& b, const MacAddress& m) {
  b.insert(b.end(), m.bytes.begin(), m.bytes.end());
}

uint32_t pseudo(const IpAddress& from, const IpAddress& to, uint8_t protocol, size_t length) {
  Bytes p = raw(from);
  append(p, raw(to));
  append32(p, static_cast<uint32_t>(length));
  append32(p, protocol);
  return add(0, p, 0, p.size());
}

uint16_t transport_sum(const IpAddress& from, const IpAddress& to, uint8_t protocol,
                       const Bytes& segment) {
  const bool covered = protocol != kIcmp;
  return finish(
      add(covered ? pseudo(from, to, protocol, segment.size()) : 0, segment, 0, segment.size()));
}

size_t checksum_at(uint8_t protocol) {
  switch (protocol) {
    case kTcp:
      return 16;
    case kUdp:
      return 6;
    default:
      return 2;
  }
}

}  // namespace

MacAddress mac_of(const IpAddress& host) {
  const uint8_t* b = host.bytes.data() + 12;
  return {{0x02, 0x01, b[0], b[1], b[2], b[3]}};
}

Bytes bytes_of(std::string_view text) {
  return Bytes(text.begin(), text.end());
}

Bytes pattern(size_t length, uint8_t first) {
  Bytes b(length);
  for (size_t i = 0; i < length; ++i) b[i] = static_cast<uint8_t>(first + i);
  return b;
}

Bytes operator+(Bytes a, const Bytes& b) {
  append(a, b);
  return a;
}

uint16_t get16(const Bytes& b, size_t at) {
  return static_cast<uint16_t>(b.at(at) << 8 | b.at(at + 1));
}
uint32_t get32(const Bytes& b, size_t at) {
  return static_cast<uint32_t>(get16(b, at)) << 16 | get16(b, at + 2);
}
void put16(Bytes& b, size_t at, uint32_t v) {
  b.at(at) = static_cast<uint8_t>(v >> 8);
  b.at(at + 1) = static_cast<uint8_t>(v);
}
void put32(Bytes& b, size_t at, uint32_t v) {
  put16(b, at, v >> 16);
  put16(b, at + 2, v & 0xffff);
}

Bytes ethernet(const Link& link, uint16_t type, const Bytes& payload) {
  Bytes b;
  append_mac(b, link.to);
  append_mac(b, link.from);
  append16(b, type);
  append(b, payload);
  return b;
}

Bytes ip_frame(const Link& link, const Ip& ip, uint8_t protocol, const Bytes& payload) {
  Bytes b;
  if (ip.from.is_v4()) {
    const size_t header = 20 + ip.options.size();
    b = {static_cast<uint8_t>(0x40 | header / 4), ip.tos};
    append16(b, static_cast<uint32_t>(header + payload.size()));
    append16(b, ip.id);
    append16(b, ip.df ? 0x4000 : 0);
    append(b, {ip.ttl, protocol, 0, 0});
    append(b, raw(ip.from));
    append(b, raw(ip.to));
    append(b, ip.options);
    put16(b, 10, finish(add(0, b, 0, header)));
  } else {
    append32(b, 0x60000000u | static_cast<uint32_t>(ip.tos) << 20);
    append16(b, static_cast<uint32_t>(payload.size()));
    append(b, {protocol, ip.ttl});
    append(b, raw(ip.from));
    append(b, raw(ip.to));
  }
  append(b, payload);
  return ethernet(link, ip.from.is_v4() ? kIpv4 : kIpv6, b);
}

Bytes tcp_frame(const Link& link, const Ip& ip, uint16_t from, uint16_t to, const Tcp& tcp) {
  Bytes s;
  append16(s, from);
  append16(s, to);
  append32(s, tcp.seq);
  append32(s, tcp.ack);
  append(s, {static_cast<uint8_t>((20 + tcp.options.size()) / 4 << 4), tcp.flags});
  append16(s, tcp.window);
  append32(s, 0);
  append(s, tcp.options);
  append(s, tcp.data);
  put16(s, 16, transport_sum(ip.from, ip.to, kTcp, s));
  return ip_frame(link, ip, kTcp, s);
}

Bytes udp_frame(const Link& link, const Ip& ip, uint16_t from, uint16_t to, const Bytes& data,
                bool with_checksum) {
  Bytes s;
  append16(s, from);
  append16(s, to);
  append16(s, static_cast<uint32_t>(8 + data.size()));
  append16(s, 0);
  append(s, data);
  if (with_checksum) {
    const uint16_t sum = transport_sum(ip.from, ip.to, kUdp, s);
    put16(s, 6, sum == 0 ? 0xffff : sum);
  }
  return ip_frame(link, ip, kUdp, s);
}

Bytes icmp_frame(const Link& link, const Ip& ip, uint8_t type, uint8_t code, uint32_t rest,
                 const Bytes& body) {
  const uint8_t protocol = ip.from.is_v4() ? kIcmp : kIcmp6;
  Bytes s = {type, code, 0, 0};
  append32(s, rest);
  append(s, body);
  put16(s, 2, transport_sum(ip.from, ip.to, protocol, s));
  return ip_frame(link, ip, protocol, s);
}

Bytes echo_frame(const Link& link, const Ip& ip, bool request, uint16_t id, uint16_t sequence,
                 const Bytes& data) {
  const uint8_t type = ip.from.is_v4() ? (request ? 8 : 0) : (request ? 128 : 129);
  return icmp_frame(link, ip, type, 0, static_cast<uint32_t>(id) << 16 | sequence, data);
}

Bytes arp_frame(const Link& link, uint16_t operation, const MacAddress& sender_mac,
                const IpAddress& sender, const MacAddress& target_mac, const IpAddress& target) {
  Bytes b = {0, 1, 8, 0, 6, 4};
  append16(b, operation);
  append_mac(b, sender_mac);
  append(b, raw(sender));
  append_mac(b, target_mac);
  append(b, raw(target));
  return ethernet(link, kArp, b);
}

Bytes arp_request(const IpAddress& who, const IpAddress& target) {
  return arp_frame({kBroadcastMac, mac_of(who)}, 1, mac_of(who), who, {}, target);
}

Bytes arp_reply(const IpAddress& who, const MacAddress& to_mac, const IpAddress& to) {
  return arp_frame({to_mac, mac_of(who)}, 2, mac_of(who), who, to_mac, to);
}

IpAddress solicited_node(const IpAddress& target) {
  IpAddress a = ip("ff02::1:ff00:0");
  std::copy(target.bytes.begin() + 13, target.bytes.end(), a.bytes.begin() + 13);
  return a;
}

MacAddress group_mac(const IpAddress& group) {
  const uint8_t* b = group.bytes.data() + 12;
  return {{0x33, 0x33, b[0], b[1], b[2], b[3]}};
}

namespace {

Bytes discovery(const Link& link, const IpAddress& from, const IpAddress& to, uint8_t type,
                uint8_t flags, const IpAddress& target, std::optional<MacAddress> option) {
  Bytes body = raw(target);
  if (option) {
    append(body, {static_cast<uint8_t>(type == 135 ? 1 : 2), 1});
    append_mac(body, *option);
  }
  return icmp_frame(link, {.from = from, .to = to, .ttl = 255}, type, 0,
                    static_cast<uint32_t>(flags) << 24, body);
}

}  // namespace

Bytes solicitation(const Link& link, const IpAddress& from, const IpAddress& to,
                   const IpAddress& target, std::optional<MacAddress> option) {
  return discovery(link, from, to, 135, 0, target, option);
}

Bytes advertisement(const Link& link, const IpAddress& from, const IpAddress& to,
                    const IpAddress& target, uint8_t flags, std::optional<MacAddress> option) {
  return discovery(link, from, to, 136, flags, target, option);
}

Bytes packet_of(const Bytes& frame, size_t most) {
  const size_t end = std::min(frame.size(), kEthernet + most);
  return Bytes(frame.begin() + kEthernet, frame.begin() + static_cast<ptrdiff_t>(end));
}

Seen look(const Bytes& frame) {
  Seen s;
  if (frame.size() < kEthernet) return s;
  std::copy_n(frame.begin(), 6, s.to_mac.bytes.begin());
  std::copy_n(frame.begin() + 6, 6, s.from_mac.bytes.begin());
  s.type = get16(frame, 12);
  if (s.type == kArp && frame.size() >= kEthernet + 28) {
    s.from = IpAddress::v4(frame.data() + 28);
    s.to = IpAddress::v4(frame.data() + 38);
    return s;
  }
  bool header_right = true;
  if (s.type == kIpv4 && frame.size() >= kEthernet + 20) {
    s.ttl = frame[22];
    s.protocol = frame[23];
    s.from = IpAddress::v4(frame.data() + 26);
    s.to = IpAddress::v4(frame.data() + 30);
    s.l4 = kEthernet + static_cast<size_t>(frame[14] & 15) * 4;
    s.end = kEthernet + get16(frame, 16);
    header_right = s.l4 <= frame.size() && finish(add(0, frame, kEthernet, s.l4)) == 0;
  } else if (s.type == kIpv6 && frame.size() >= kEthernet + 40) {
    s.v6 = true;
    s.ttl = frame[21];
    s.protocol = frame[20];
    s.from = IpAddress::v6(frame.data() + 22);
    s.to = IpAddress::v6(frame.data() + 38);
    s.l4 = kEthernet + 40;
    s.end = s.l4 + get16(frame, 18);
  } else {
    return s;
  }
  if (s.end > frame.size() || s.l4 + 8 > s.end) return s;
  const Bytes segment(frame.begin() + static_cast<ptrdiff_t>(s.l4),
                      frame.begin() + static_cast<ptrdiff_t>(s.end));
  const bool none = s.protocol == kUdp && get16(segment, 6) == 0;
  s.sums_right = header_right && (none || transport_sum(s.from, s.to, s.protocol, segment) == 0);
  size_t header = 8;
  if (s.protocol == kTcp && segment.size() >= 20) {
    s.seq = get32(segment, 4);
    s.ack = get32(segment, 8);
    s.flags = segment[13] & 0x3f;
    header = static_cast<size_t>(segment[12] >> 4) * 4;
  } else if (s.protocol == kIcmp || s.protocol == kIcmp6) {
    s.icmp_type = segment[0];
    s.icmp_code = segment[1];
    return s;
  } else if (s.protocol != kUdp) {
    return s;
  }
  s.from_port = get16(segment, 0);
  s.to_port = get16(segment, 2);
  if (header <= segment.size())
    s.data.assign(segment.begin() + static_cast<ptrdiff_t>(header), segment.end());
  return s;
}

std::string describe(const Bytes& frame) {
  const Seen s = look(frame);
  std::string text = fmt::format("{} > {} ", s.from_mac.to_string(), s.to_mac.to_string());
  if (s.type == kArp) {
    text += fmt::format("ARP {} {} asks/tells {}", get16(frame, 20), s.from.to_string(),
                        s.to.to_string());
  } else if (s.type == kIpv4 || s.type == kIpv6) {
    text += fmt::format("{}:{} > {}:{} protocol {} ttl {}", s.from.to_string(), s.from_port,
                        s.to.to_string(), s.to_port, s.protocol, s.ttl);
    if (s.protocol == kTcp) {
      text += " ";
      for (size_t i = 0; i < 6; ++i)
        if ((s.flags >> i & 1) != 0) text += "FSRPAU"[i];
      text += fmt::format(" seq {:x} ack {:x} {} bytes", s.seq, s.ack, s.data.size());
    }
    if (s.icmp_type != 0) text += fmt::format(" type {} code {}", s.icmp_type, s.icmp_code);
    if (!s.sums_right) text += " WRONG CHECKSUM";
  }
  text += "\n     ";
  for (size_t i = 0; i < frame.size() && i < 160; ++i)
    text += fmt::format("{}{:02x}", i % 2 == 0 ? " " : "", frame[i]);
  return text;
}

void fix_checksums(Bytes& frame) {
  const Seen s = look(frame);
  if (s.l4 == 0 || s.end > frame.size() || s.l4 > s.end) return;
  if (!s.v6) {
    put16(frame, 24, 0);
    put16(frame, 24, finish(add(0, frame, kEthernet, s.l4)));
  }
  const size_t at = s.l4 + checksum_at(s.protocol);
  if (at + 2 > s.end) return;
  put16(frame, at, 0);
  const Bytes segment(frame.begin() + static_cast<ptrdiff_t>(s.l4),
                      frame.begin() + static_cast<ptrdiff_t>(s.end));
  put16(frame, at, transport_sum(s.from, s.to, s.protocol, segment));
}

}  // namespace limpet::worker_test
