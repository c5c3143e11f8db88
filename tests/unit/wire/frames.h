// Frames as byte literals, and a plain reference computation of their checksums to hold the product
// against: sixteen bits at a time, most significant byte first, nothing shared with module wire.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <random>
#include <string_view>
#include <vector>

#include "limpet/base/address.h"
#include "limpet/wire/frame.h"

namespace limpet::wire::test {

// A type of this namespace, so that its operators are found from any other.
struct Bytes : std::vector<uint8_t> {
  using std::vector<uint8_t>::vector;
};

inline int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

// Two digits a byte; anything else only separates.
inline Bytes hex(std::string_view text) {
  Bytes r;
  int high = -1;
  for (const char c : text) {
    const int digit = hex_digit(c);
    if (digit < 0) continue;
    if (high < 0) {
      high = digit;
    } else {
      r.push_back(static_cast<uint8_t>(high * 16 + digit));
      high = -1;
    }
  }
  return r;
}

inline Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// A copy whose storage ends where the bytes end, so that the address sanitizer sees every read
// behind them. (A shortened vector keeps its old storage.)
inline Bytes exactly(const Bytes& b, size_t length) {
  return Bytes(b.begin(), b.begin() + static_cast<ptrdiff_t>(length));
}

inline const Bytes kTcp4Syn =
    hex("0200 0000 0064 0200 0000 0001 0800 "
        "4500 003c 1c46 4000 4006 0a0f 0a01 0002 0a01 0064 "   // 10.1.0.2 -> 10.1.0.100
        "9c40 0050 0102 0304 0000 0000 a002 faf0 75cd 0000 "   // 40000 -> 80 SYN
        "0204 05b4 0402 080a 0011 2233 0000 0000 0103 0307");  // MSS 1460, SACK, TS, NOP, scale 7
inline const Bytes kTcp4Data =
    hex("0200 0000 0064 0200 0000 0001 0800 "
        "4500 003b 1c46 4000 4006 0a10 0a01 0002 0a01 0064 "
        "9c40 0050 0102 0305 a0b0 c0d0 5018 01f6 b7a2 0000 "  // PSH ACK
        "4745 5420 2f20 4854 5450 2f31 2e31 0d0a 0d0a 01");   // 19 bytes
inline const Bytes kUdp4 =
    hex("0200 0000 0064 0200 0000 0001 0800 "
        "4500 0022 1c46 4000 4011 0a1e 0a01 0002 0a01 0064 "
        "14e9 2328 000e 740b 6c69 6d70 6574");  // 5353 -> 9000, "limpet"
inline const Bytes kTcp6Data =
    hex("0200 0000 0064 0200 0000 0001 86dd "
        "6000 0000 001a 0640 fd00 0001 0000 0000 0000 0000 0000 0002 "
        "fd00 0001 0000 0000 0000 0000 0000 0064 "  // fd00:1::2 -> fd00:1::64
        "9c40 0050 0102 0305 a0b0 c0d0 5018 01f6 7200 0000 6c69 6d70 6574");
inline const Bytes kUdp6 =
    hex("0200 0000 0064 0200 0000 0001 86dd "
        "6000 0000 000f 1140 fd00 0001 0000 0000 0000 0000 0000 0002 "
        "fd00 0001 0000 0000 0000 0000 0000 0064 "
        "14e9 2328 000f 6d07 6c69 6d70 6574 21");
inline const Bytes kEcho4 =
    hex("0200 0000 0064 0200 0000 0001 0800 "
        "4500 0024 1c46 4000 4001 0a2c 0a01 0002 0a01 0064 "
        "0800 5435 1234 0001 6162 6364 6566 6768");
inline const Bytes kEcho6 =
    hex("0200 0000 0064 0200 0000 0001 86dd "
        "6000 0000 0010 3a40 fd00 0001 0000 0000 0000 0000 0000 0002 "
        "fd00 0001 0000 0000 0000 0000 0000 0064 "
        "8000 e180 1234 0001 6162 6364 6566 6768");
inline const Bytes kSolicitation =
    hex("3333 ff00 0064 0200 0000 0001 86dd "
        "6000 0000 0020 3aff fd00 0001 0000 0000 0000 0000 0000 0002 "
        "ff02 0000 0000 0000 0000 0001 ff00 0064 "
        "8700 7cd0 0000 0000 fd00 0001 0000 0000 0000 0000 0000 0064 0101 0200 0000 0001");
inline const Bytes kDuplicateDetection =
    hex("3333 ff00 0064 0200 0000 0001 86dd "
        "6000 0000 0018 3aff 0000 0000 0000 0000 0000 0000 0000 0000 "
        "ff02 0000 0000 0000 0000 0001 ff00 0064 "
        "8700 7cde 0000 0000 fd00 0001 0000 0000 0000 0000 0000 0064");
inline const Bytes kAdvertisement =
    hex("0200 0000 0064 0200 0000 0001 86dd "
        "6000 0000 0020 3aff fd00 0001 0000 0000 0000 0000 0000 0002 "
        "fd00 0001 0000 0000 0000 0000 0000 0064 "
        "8800 1c35 6000 0000 fd00 0001 0000 0000 0000 0000 0000 0002 0201 0200 0000 0001");
inline const Bytes kArpRequest =
    hex("ffff ffff ffff 0200 0000 0001 0806 "
        "0001 0800 0604 0001 0200 0000 0001 0a01 0002 0000 0000 0000 0a01 0064");
// Router 10.1.0.1 says: fragmentation needed, MTU 1400, about 10.1.0.100:80 -> 10.1.0.2:40000.
inline const Bytes kFragmentationNeeded4 =
    hex("0200 0000 0064 0200 0000 0001 0800 "
        "4500 0038 1c46 4000 4001 0a19 0a01 0001 0a01 0064 "
        "0304 f971 0000 0578 "
        "4500 0050 1c46 4000 3f06 0afb 0a01 0064 0a01 0002 0050 9c40 a0b0 c0d0");
// Router fd00:1::1 says: port unreachable, about fd00:1::64:9000 -> fd00:1::2:5353.
inline const Bytes kPortUnreachable6 =
    hex("0200 0000 0064 0200 0000 0001 86dd "
        "6000 0000 003f 3a40 fd00 0001 0000 0000 0000 0000 0000 0001 "
        "fd00 0001 0000 0000 0000 0000 0000 0064 "
        "0104 92eb 0000 0000 "
        "6000 0000 000f 113f fd00 0001 0000 0000 0000 0000 0000 0064 "
        "fd00 0001 0000 0000 0000 0000 0000 0002 2328 14e9 000f 6d07 6c69 6d70 6574 21");

inline uint16_t reference_checksum(const Bytes& b) {
  uint32_t sum = 0;
  for (size_t i = 0; i < b.size(); ++i) sum += uint32_t{b[i]} << (i % 2 == 0 ? 8 : 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

inline void put16(Bytes& b, size_t at, uint16_t v) {
  b.at(at) = static_cast<uint8_t>(v >> 8);
  b.at(at + 1) = static_cast<uint8_t>(v);
}
inline uint16_t get16(const Bytes& b, size_t at) {
  return static_cast<uint16_t>(b.at(at) << 8 | b.at(at + 1));
}
inline Bytes slice(const Bytes& b, size_t from, size_t to) {
  return Bytes(b.begin() + static_cast<ptrdiff_t>(from), b.begin() + static_cast<ptrdiff_t>(to));
}

// Where the checksum of a transport protocol stands; 0 for one that has none.
inline size_t checksum_offset(uint8_t protocol) {
  switch (protocol) {
    case 1:
    case 58:
      return 2;
    case 6:
      return 16;
    case 17:
      return 6;
    default:
      return 0;
  }
}

// Computes all checksums of the packet that starts at `l3` anew: IPv4 header, then the transport
// protocol `protocol` at `l4` up to `end`. Zero of UDP over IPv4 stays.
inline void repair_packet(Bytes& b, size_t l3, size_t l4, size_t end, uint8_t protocol) {
  const bool v4 = b.at(l3) >> 4 == 4;
  if (v4) {
    const size_t header_end = l3 + (b.at(l3) & 15u) * 4u;
    put16(b, l3 + 10, 0);
    put16(b, l3 + 10, reference_checksum(slice(b, l3, header_end)));
  }
  const size_t field = checksum_offset(protocol);
  if (field == 0 || (protocol == 17 && v4 && get16(b, l4 + field) == 0)) return;
  put16(b, l4 + field, 0);
  const size_t length = protocol == 17 ? get16(b, l4 + 4) : end - l4;
  Bytes covered;
  if (protocol != 1) {
    covered = v4 ? slice(b, l3 + 12, l3 + 20) : slice(b, l3 + 8, l3 + 40);
    const auto n = static_cast<uint32_t>(length);
    covered = covered + Bytes{static_cast<uint8_t>(n >> 24),
                              static_cast<uint8_t>(n >> 16),
                              static_cast<uint8_t>(n >> 8),
                              static_cast<uint8_t>(n),
                              0,
                              0,
                              0,
                              protocol};
  }
  uint16_t sum = reference_checksum(covered + slice(b, l4, l4 + length));
  if (protocol == 17 && sum == 0) sum = 0xffff;
  put16(b, l4 + field, sum);
}

// The same for a frame without IPv6 extension headers.
inline Bytes repaired(Bytes b) {
  const bool v4 = b.at(14) >> 4 == 4;
  const size_t l4 = v4 ? 14 + (b[14] & 15u) * 4u : 54;
  const size_t end = v4 ? 14u + get16(b, 16) : 54u + get16(b, 18);
  repair_packet(b, 14, l4, end, v4 ? b[23] : b[20]);
  return b;
}

// `bytes` written over `b` from `at` on.
struct Edit {
  size_t at;
  Bytes bytes;
};
inline Bytes edited(Bytes b, const std::vector<Edit>& edits) {
  for (const Edit& e : edits)
    for (size_t i = 0; i < e.bytes.size(); ++i) b.at(e.at + i) = e.bytes[i];
  return b;
}

inline Frame parse(const Bytes& b) {
  return parse_frame(b, {});
}

using Random = std::mt19937_64;
inline uint64_t below(Random& random, uint64_t limit) {
  return random() % limit;
}
inline IpAddress random_address(Random& random, bool v6) {
  IpAddress a =
      IpAddress::v4(static_cast<uint8_t>(1 + below(random, 100)), static_cast<uint8_t>(random()),
                    static_cast<uint8_t>(random()), static_cast<uint8_t>(random()));
  if (!v6) return a;
  for (uint8_t& byte : a.bytes) byte = static_cast<uint8_t>(random());
  a.bytes[0] = 0xfd;
  return a;
}
inline be16 random_port(Random& random) {
  return be16::from(static_cast<uint16_t>(1 + below(random, 65535)));
}

// A valid TCP or UDP frame with random addresses, ports, numbers and `data` bytes of payload.
inline Bytes random_frame(Random& random, bool v6, bool tcp, size_t data) {
  const size_t header = tcp ? 20 : 8;
  Bytes b = slice(v6 ? kTcp6Data : kTcp4Data, 0, v6 ? 54 : 34);
  const IpAddress from = random_address(random, v6);
  const IpAddress to = random_address(random, v6);
  for (size_t i = 0; i < (v6 ? 16u : 4u); ++i) {
    b[(v6 ? 22u : 26u) + i] = from.bytes[(v6 ? 0u : 12u) + i];
    b[(v6 ? 38u : 30u) + i] = to.bytes[(v6 ? 0u : 12u) + i];
  }
  b[v6 ? 20 : 23] = tcp ? 6 : 17;
  b[v6 ? 21 : 22] = static_cast<uint8_t>(2 + below(random, 254));
  put16(b, v6 ? 18 : 16, static_cast<uint16_t>((v6 ? 0 : 20) + header + data));
  const size_t l4 = b.size();
  b.resize(l4 + header + data);
  for (size_t i = l4; i < b.size(); ++i) b[i] = static_cast<uint8_t>(random());
  put16(b, l4, random_port(random).host());
  put16(b, l4 + 2, random_port(random).host());
  if (tcp) {
    b[l4 + 12] = 0x50;
    b[l4 + 13] = 0x10;
  } else {
    put16(b, l4 + 4, static_cast<uint16_t>(header + data));
    put16(b, l4 + 6, 1);  // anything but "none"
  }
  return repaired(b);
}

}  // namespace limpet::wire::test
