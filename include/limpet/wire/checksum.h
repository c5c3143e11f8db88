// The Internet checksum: sums over bytes (RFC 1071), pseudo headers of both families, and
// incremental updates (RFC 1624, equation 3).
//
// All sums are of 16-bit words as they stand in memory; RFC 1071, 2(B) shows that byte order does
// not matter as long as the result is stored the same way, so nothing here swaps a byte of data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "limpet/base/address.h"
#include "limpet/base/endian.h"

namespace limpet::wire {

// An unfinished sum: any 64-bit number that is congruent modulo 0xffff to the sum of the words.
struct Sum {
  uint64_t value = 0;

  // End-around carry keeps the congruence, as 2^64 = 1 modulo 0xffff.
  constexpr Sum& operator+=(Sum o) {
    value += o.value;
    value += value < o.value ? 1 : 0;
    return *this;
  }
  friend constexpr Sum operator+(Sum a, Sum b) { return a += b; }
};

// 16 bits, zero only for a sum of zeros.
constexpr uint16_t fold(Sum s) {
  uint64_t v = (s.value & 0xffffffff) + (s.value >> 32);
  v = (v & 0xffff) + ((v >> 16) & 0xffff) + (v >> 32);
  v = (v & 0xffff) + (v >> 16);
  return static_cast<uint16_t>((v & 0xffff) + (v >> 16));
}

// The same for a number of bytes that is a multiple of 32, where it pays to be out of line.
Sum sum_of_blocks(const uint8_t* p, size_t length);

// Every piece of a sum but the last must have an even length; an odd last byte is padded with zero.
inline Sum sum_of(const uint8_t* p, size_t length) {
  constexpr size_t kWorthBlocks = 96;  // most frames without data are shorter
  // Two columns of 32-bit halves, so that no carry is waited for.
  uint64_t low = 0;
  uint64_t high = 0;
  if (length >= kWorthBlocks) {
    const size_t blocks = length - length % 32;
    low = sum_of_blocks(p, blocks).value;
    p += blocks;
    length -= blocks;
  }
  for (; length >= 8; p += 8, length -= 8) {
    const auto word = load<uint64_t>(p);
    low += word & 0xffffffff;
    high += word >> 32;
  }
  if (length & 4) {
    low += load<uint32_t>(p);
    p += 4;
  }
  if (length & 2) {
    high += load<uint16_t>(p);
    p += 2;
  }
  if (length & 1) high += *p;
  return {low + high};
}
inline Sum sum_of(std::span<const uint8_t> bytes) {
  return sum_of(bytes.data(), bytes.size());
}

// `addresses` are source and destination as they stand in the IP header; `length` is that of the
// transport header and its data. RFC 9293, 3.1 and RFC 8200, 8.1.
inline Sum pseudo_sum_v4(const uint8_t* addresses, uint8_t protocol, uint32_t length) {
  return sum_of(addresses, 8) +
         Sum{uint64_t{be16::from(protocol).raw} + be16::from(static_cast<uint16_t>(length)).raw};
}
inline Sum pseudo_sum_v6(const uint8_t* addresses, uint8_t protocol, uint32_t length) {
  return sum_of(addresses, 32) + Sum{uint64_t{be32::from(protocol).raw} + be32::from(length).raw};
}
inline Sum pseudo_sum(const IpAddress& source, const IpAddress& destination, uint8_t protocol,
                      uint32_t length) {
  // The mapped form's ::ffff: is the same word twice and no part of an IPv4 pseudo header.
  if (source.is_v4())
    return sum_of(source.v4_bytes(), 4) + sum_of(destination.v4_bytes(), 4) +
           Sum{uint64_t{be16::from(protocol).raw} + be16::from(static_cast<uint16_t>(length)).raw};
  return sum_of(source.bytes.data(), 16) + sum_of(destination.bytes.data(), 16) +
         Sum{uint64_t{be32::from(protocol).raw} + be32::from(length).raw};
}

// The value for a checksum field, from the sum of everything else (the field counted as zero).
constexpr be16 checksum(Sum s) {
  return {static_cast<uint16_t>(~fold(s))};
}
// True when the sum over everything, the checksum field included, is right.
constexpr bool verifies(Sum s) {
  return fold(s) == 0xffff;
}

// The sum of all {old -> new} changes of a packet: accumulated once, applied to every checksum that
// covers these fields. Full NAT accumulates the addresses, applies a copy that has the TTL added to
// the IPv4 header checksum, and another that has the ports added to the transport checksum.
//
// apply() is RFC 1624, equation 3: HC' = ~(~HC + ~m + m'). Given what a correct sender computed it
// gives the same bits that a full computation over the changed packet would.
class ChecksumDelta {
 public:
  // Fields must start at an even offset of the checksummed data; all that NAT changes do.
  constexpr void replace(be16 from, be16 to) {
    sum_ += static_cast<uint16_t>(~from.raw);
    sum_ += to.raw;
  }
  constexpr void replace(be32 from, be32 to) {
    sum_ += static_cast<uint32_t>(~from.raw);
    sum_ += to.raw;
  }
  // Same family on both sides (the words of the mapped prefix cancel out then), so this serves the
  // IPv4 header as well as both pseudo headers.
  void replace(const IpAddress& from, const IpAddress& to) {
    replace_halves(from.high(), to.high());
    replace_halves(from.low(), to.low());
  }
  constexpr ChecksumDelta& operator+=(const ChecksumDelta& o) {
    sum_ += o.sum_;
    return *this;
  }
  friend constexpr ChecksumDelta operator+(ChecksumDelta a, const ChecksumDelta& b) {
    return a += b;
  }

  constexpr be16 apply(be16 old) const {
    return checksum(Sum{sum_} + Sum{static_cast<uint16_t>(~old.raw)});
  }
  // UDP over IPv4: zero means that the sender computed none, and stays (RFC 768; RFC 3022, 4.1).
  constexpr be16 apply_udp(be16 old) const {
    if (old.raw == 0) return old;
    const be16 c = apply(old);
    return c.raw == 0 ? be16{0xffff} : c;
  }

 private:
  constexpr void replace_halves(uint64_t from, uint64_t to) {
    replace(be32{static_cast<uint32_t>(from)}, be32{static_cast<uint32_t>(to)});
    replace(be32{static_cast<uint32_t>(from >> 32)}, be32{static_cast<uint32_t>(to >> 32)});
  }

  uint64_t sum_ = 0;  // sums of 32-bit numbers: four thousand million of them fit
};

}  // namespace limpet::wire
