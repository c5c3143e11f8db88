// HAProxy's readable cookie values, so that the cookies of a migrated site keep working:
//   NAME | NAME|last | NAME|last|first      and in prefix mode      NAME~application's value
// Dates are 30 bits, unix time in units of 4 seconds, as five characters of standard base64, most
// significant first, no padding. Times here are unix seconds modulo 2^32 (the format wraps in
// 2106), 0 for none, compared as signed differences.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace limpet::affinity {

constexpr char kPrefixDelimiter = '~';
constexpr char kDateDelimiter = '|';
constexpr size_t kDateSize = 5;
constexpr int32_t kPlainFutureTolerance = 24 * 60 * 60;  // seconds

struct PlainValue {
  std::string_view name;
  uint32_t last = 0;   // last use
  uint32_t first = 0;  // issue
  friend bool operator==(const PlainValue&, const PlainValue&) = default;
};

// Never fails: without a readable date there is none. What stands behind a date is ignored, and the
// second bar is looked for right behind the first, both as HAProxy does.
PlainValue parse_plain(std::string_view value);

// NAME of NAME~value, and how many bytes the server must not see (0 without a delimiter).
struct PrefixValue {
  std::string_view name;
  size_t strip = 0;
  friend bool operator==(const PrefixValue&, const PrefixValue&) = default;
};
PrefixValue parse_prefix(std::string_view value);

// Units of 4 seconds, 30 bits.
void encode_date(uint32_t units, std::span<char, kDateSize> out);
int32_t decode_date(std::string_view five);  // -1: a character that is not base64
// What HAProxy stamps for this second: rounded up to the next unit.
constexpr uint32_t date_units(uint64_t unix_seconds) {
  return static_cast<uint32_t>((unix_seconds + 3) >> 2) & 0x3fffffffu;
}

}  // namespace limpet::affinity
