// Addresses as small values. One IpAddress type holds both families: IPv4 as the IPv4-mapped IPv6
// address (RFC 4291, 2.5.5.2), so a flow key has one shape. Frames that carry ::ffff:0:0/96 as a
// real IPv6 address are refused at the door (drop reason ip_address_bad), so the two never mix.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "limpet/base/endian.h"

namespace limpet {

enum class Family : uint8_t { v4 = 4, v6 = 6 };

struct IpAddress {
  std::array<uint8_t, 16> bytes{};  // network order; IPv4 in the last four behind ::ffff:

  static constexpr IpAddress v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d) {
    return {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d}};
  }
  static IpAddress v4(const uint8_t* four) { return v4(four[0], four[1], four[2], four[3]); }
  static IpAddress v6(const uint8_t* sixteen) {
    IpAddress r;
    std::memcpy(r.bytes.data(), sixteen, 16);
    return r;
  }
  static std::optional<IpAddress> parse(std::string_view text);
  std::string to_string() const;

  uint64_t high() const { return load<uint64_t>(bytes.data()); }     // raw halves for hashing and
  uint64_t low() const { return load<uint64_t>(bytes.data() + 8); }  // comparison, not numbers
  bool is_v4() const { return high() == 0 && load<uint32_t>(bytes.data() + 8) == 0xffff0000u; }
  Family family() const { return is_v4() ? Family::v4 : Family::v6; }
  const uint8_t* v4_bytes() const { return bytes.data() + 12; }
  be32 v4_word() const { return load<be32>(bytes.data() + 12); }
  bool is_unspecified() const;  // 0.0.0.0 or ::
  bool is_multicast() const;    // 224/4 or ff00::/8
  bool is_broadcast() const;    // 255.255.255.255
  bool is_loopback() const;     // 127/8 or ::1
  bool is_link_local() const;   // 169.254/16 or fe80::/10

  friend bool operator==(const IpAddress& a, const IpAddress& b) {
    return a.high() == b.high() && a.low() == b.low();
  }
  friend auto operator<=>(const IpAddress& a, const IpAddress& b) { return a.bytes <=> b.bytes; }
};
static_assert(sizeof(IpAddress) == 16);

// An address and a length in bits of its own family (0..32 or 0..128).
struct Prefix {
  IpAddress address;
  uint8_t length = 0;

  static std::optional<Prefix> parse(
      std::string_view text);  // "10.0.0.0/8"; a bare address is a host
  std::string to_string() const;
  bool contains(const IpAddress& a) const;  // false for the other family
  IpAddress network() const;                // address with the host bits cleared
  friend bool operator==(const Prefix&, const Prefix&) = default;
};

// `a` with everything behind the first `length` bits of its own family cleared.
IpAddress mask(const IpAddress& a, uint8_t length);

struct MacAddress {
  std::array<uint8_t, 6> bytes{};

  std::string to_string() const;
  bool is_group() const { return (bytes[0] & 1) != 0; }
  bool is_zero() const { return *this == MacAddress{}; }
  friend auto operator<=>(const MacAddress&, const MacAddress&) = default;
};
constexpr MacAddress kBroadcastMac{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

}  // namespace limpet
