#include "limpet/base/address.h"

#include <arpa/inet.h>
#include <fmt/core.h>

#include <charconv>

namespace limpet {

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  char buffer[INET6_ADDRSTRLEN];
  if (text.size() >= sizeof buffer) return std::nullopt;
  std::memcpy(buffer, text.data(), text.size());
  buffer[text.size()] = 0;
  if (std::strlen(buffer) != text.size()) return std::nullopt;
  uint8_t raw[16];
  if (inet_pton(AF_INET, buffer, raw) == 1) return v4(raw);
  if (inet_pton(AF_INET6, buffer, raw) == 1) {
    const IpAddress a = v6(raw);
    if (a.is_v4())
      return std::nullopt;  // ::ffff:1.2.3.4 is our spelling of IPv4, not an operator's
    return a;
  }
  return std::nullopt;
}

std::string IpAddress::to_string() const {
  char buffer[INET6_ADDRSTRLEN];
  if (is_v4())
    inet_ntop(AF_INET, v4_bytes(), buffer, sizeof buffer);
  else
    inet_ntop(AF_INET6, bytes.data(), buffer, sizeof buffer);
  return buffer;
}

bool IpAddress::is_unspecified() const {
  return is_v4() ? v4_word().raw == 0 : (high() == 0 && low() == 0);
}
bool IpAddress::is_multicast() const {
  return is_v4() ? (bytes[12] & 0xf0) == 0xe0 : bytes[0] == 0xff;
}
bool IpAddress::is_broadcast() const {
  return is_v4() && v4_word().raw == 0xffffffffu;
}
bool IpAddress::is_loopback() const {
  if (is_v4()) return bytes[12] == 127;
  return high() == 0 && load<be32>(bytes.data() + 8).raw == 0 &&
         load<be32>(bytes.data() + 12) == be32::from(1);
}
bool IpAddress::is_link_local() const {
  return is_v4() ? bytes[12] == 169 && bytes[13] == 254
                 : bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80;
}

IpAddress mask(const IpAddress& a, uint8_t length) {
  unsigned keep = length + (a.is_v4() ? 96u : 0u);
  IpAddress r = a;
  for (uint8_t& b : r.bytes) {
    if (keep >= 8) {
      keep -= 8;
    } else {
      b = static_cast<uint8_t>(b & (0xff00u >> keep));
      keep = 0;
    }
  }
  return r;
}

std::optional<Prefix> Prefix::parse(std::string_view text) {
  const size_t slash = text.find('/');
  const auto address = IpAddress::parse(text.substr(0, slash));
  if (!address) return std::nullopt;
  const uint8_t limit = address->is_v4() ? 32 : 128;
  if (slash == std::string_view::npos) return Prefix{*address, limit};
  const std::string_view digits = text.substr(slash + 1);
  uint8_t length = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
  if (error != std::errc{} || end != digits.data() + digits.size() || length > limit)
    return std::nullopt;
  return Prefix{*address, length};
}

std::string Prefix::to_string() const {
  return fmt::format("{}/{}", address.to_string(), length);
}

bool Prefix::contains(const IpAddress& a) const {
  return a.family() == address.family() && mask(a, length) == network();
}

IpAddress Prefix::network() const {
  return mask(address, length);
}

std::string MacAddress::to_string() const {
  return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", bytes[0], bytes[1], bytes[2],
                     bytes[3], bytes[4], bytes[5]);
}

}  // namespace limpet
