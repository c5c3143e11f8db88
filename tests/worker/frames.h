// Frames for worker tests: built and described here from the RFCs' drawings, with checksums summed
// byte by byte. Shares nothing with module wire, so that the two check each other.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "limpet/base/address.h"

namespace limpet::worker_test {

using Bytes = std::vector<uint8_t>;

inline IpAddress ip(std::string_view text) {
  return IpAddress::parse(text).value();
}
// The MAC that every simulated host has: 02, 01, and the last four bytes of its address.
MacAddress mac_of(const IpAddress& host);

Bytes bytes_of(std::string_view text);
Bytes pattern(size_t length, uint8_t first = 0);  // first, first + 1, ...
Bytes operator+(Bytes a, const Bytes& b);

struct Link {
  MacAddress to;
  MacAddress from;
};

struct Ip {
  IpAddress from;
  IpAddress to;
  uint8_t ttl = 64;
  uint8_t tos = 0;
  uint16_t id = 0;
  bool df = true;
  Bytes options;  // IPv4, a multiple of four
};

enum Flag : uint8_t { kFin = 1, kSyn = 2, kRst = 4, kPsh = 8, kAck = 16, kUrg = 32 };

struct Tcp {
  uint8_t flags = 0;
  uint32_t seq = 0;
  uint32_t ack = 0;
  Bytes data;
  Bytes options;  // a multiple of four
  uint16_t window = 64240;
};

enum Type : uint16_t { kIpv4 = 0x0800, kArp = 0x0806, kIpv6 = 0x86dd };
enum Protocol : uint8_t { kIcmp = 1, kTcp = 6, kUdp = 17, kIcmp6 = 58 };

Bytes ethernet(const Link& link, uint16_t type, const Bytes& payload);
Bytes ip_frame(const Link& link, const Ip& ip, uint8_t protocol, const Bytes& payload);
Bytes tcp_frame(const Link& link, const Ip& ip, uint16_t from, uint16_t to, const Tcp& tcp);
Bytes udp_frame(const Link& link, const Ip& ip, uint16_t from, uint16_t to, const Bytes& data,
                bool with_checksum = true);
// Both families; `rest` are bytes 4 to 7 of the ICMP header. The checksum is filled in.
Bytes icmp_frame(const Link& link, const Ip& ip, uint8_t type, uint8_t code, uint32_t rest,
                 const Bytes& body);
Bytes echo_frame(const Link& link, const Ip& ip, bool request, uint16_t id, uint16_t sequence,
                 const Bytes& data);

Bytes arp_frame(const Link& link, uint16_t operation, const MacAddress& sender_mac,
                const IpAddress& sender, const MacAddress& target_mac, const IpAddress& target);
Bytes arp_request(const IpAddress& who, const IpAddress& target);  // by mac_of(who), to everybody
Bytes arp_reply(const IpAddress& who, const MacAddress& to_mac, const IpAddress& to);

IpAddress solicited_node(const IpAddress& target);
MacAddress group_mac(const IpAddress& group);
Bytes solicitation(const Link& link, const IpAddress& from, const IpAddress& to,
                   const IpAddress& target, std::optional<MacAddress> option);
Bytes advertisement(const Link& link, const IpAddress& from, const IpAddress& to,
                    const IpAddress& target, uint8_t flags, std::optional<MacAddress> option);

// Behind the Ethernet header, at most `most` bytes: what an ICMP error quotes.
Bytes packet_of(const Bytes& frame, size_t most = 100000);

uint16_t get16(const Bytes& b, size_t at);
uint32_t get32(const Bytes& b, size_t at);
void put16(Bytes& b, size_t at, uint32_t v);
void put32(Bytes& b, size_t at, uint32_t v);

// What a frame says, as far as tests ask. Offsets from the start of the frame.
struct Seen {
  MacAddress to_mac, from_mac;
  uint16_t type = 0;
  bool v6 = false;
  IpAddress from, to;
  uint8_t protocol = 0;
  uint8_t ttl = 0;
  size_t l4 = 0, end = 0;
  uint16_t from_port = 0, to_port = 0;
  uint8_t flags = 0;
  uint32_t seq = 0, ack = 0;
  uint8_t icmp_type = 0, icmp_code = 0;
  Bytes data;  // of TCP and UDP
  bool sums_right = false;
};
Seen look(const Bytes& frame);
std::string describe(const Bytes& frame);  // one line, and the bytes in hex
// Writes right IPv4 header, TCP, UDP or ICMP checksums into a frame that was changed by hand.
void fix_checksums(Bytes& frame);

}  // namespace limpet::worker_test
