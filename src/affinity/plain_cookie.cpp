#include "limpet/affinity/plain_cookie.h"

#include "base64.h"

namespace limpet::affinity {

namespace {

// HAProxy keeps such dates in an int: 2^30 units of 4 seconds fill it to the sign.
uint32_t date_in(std::string_view text) {
  if (text.size() < kDateSize) return 0;
  const int32_t units = decode_date(text.substr(0, kDateSize));
  return units > 0 ? static_cast<uint32_t>(units) << 2 : 0;
}

}  // namespace

PlainValue parse_plain(std::string_view value) {
  PlainValue v{value};
  const size_t bar = value.find(kDateDelimiter);
  if (bar == std::string_view::npos) return v;
  v.name = value.substr(0, bar);
  const std::string_view dates = value.substr(bar + 1);
  v.last = date_in(dates);
  if (const size_t second = dates.find(kDateDelimiter); second != std::string_view::npos)
    v.first = date_in(dates.substr(second + 1));
  return v;
}

PrefixValue parse_prefix(std::string_view value) {
  const size_t at = value.find(kPrefixDelimiter);
  if (at == std::string_view::npos) return {value, 0};
  return {value.substr(0, at), at + 1};
}

void encode_date(uint32_t units, std::span<char, kDateSize> out) {
  for (size_t i = 0; i < kDateSize; ++i) out[i] = kBase64Standard[(units >> (24 - 6 * i)) & 0x3f];
}

int32_t decode_date(std::string_view five) {
  uint32_t units = 0;
  for (size_t i = 0; i < kDateSize; ++i) {
    const int value = kStandardValue[static_cast<uint8_t>(five[i])];
    if (value < 0) return -1;
    units = units << 6 | static_cast<uint32_t>(value);
  }
  return static_cast<int32_t>(units);
}

}  // namespace limpet::affinity
