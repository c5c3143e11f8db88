#include "limpet/base/units.h"

#include <fmt/core.h>

#include <limits>

namespace limpet {
namespace {

struct Unit {
  std::string_view name;
  uint64_t factor;
};

constexpr Unit kDurations[] = {
    {"us", 1'000},         {"ms", 1'000'000},        {"s", 1'000'000'000},
    {"m", 60'000'000'000}, {"h", 3'600'000'000'000}, {"d", 86'400'000'000'000}};
constexpr Unit kSizes[] = {{"", 1},
                           {"k", 1024},
                           {"K", 1024},
                           {"M", uint64_t{1024} * 1024},
                           {"G", uint64_t{1024} * 1024 * 1024}};

// Digits, then exactly one of the units; false on anything else and on overflow past `limit`.
template <size_t N>
bool parse_number(std::string_view text, const Unit (&units)[N], uint64_t limit, uint64_t& out) {
  size_t digits = 0;
  uint64_t n = 0;
  while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9') {
    const auto d = static_cast<uint64_t>(text[digits] - '0');
    if (n > (limit - d) / 10) return false;
    n = n * 10 + d;
    ++digits;
  }
  if (digits == 0) return false;
  const std::string_view unit = text.substr(digits);
  if (n == 0 && unit.empty()) {
    out = 0;
    return true;
  }
  for (const Unit& u : units) {
    if (unit != u.name) continue;
    if (n > limit / u.factor) return false;
    out = n * u.factor;
    return true;
  }
  return false;
}

}  // namespace

Result<Duration> parse_duration(std::string_view text) {
  uint64_t ns = 0;
  if (!parse_number(text, kDurations, std::numeric_limits<int64_t>::max(), ns))
    return Error{fmt::format(
        "\"{}\" is not a duration; expected a whole number with a unit us, ms, s, m, h or d, "
        "such as \"500ms\"",
        text)};
  return Duration(static_cast<int64_t>(ns));
}

Result<uint64_t> parse_size(std::string_view text) {
  uint64_t n = 0;
  if (!parse_number(text, kSizes, std::numeric_limits<uint64_t>::max(), n))
    return Error{
        fmt::format("\"{}\" is not a size; expected a whole number of bytes, or with k, M or G, "
                    "such as \"16k\"",
                    text)};
  return n;
}

std::string format_duration(Duration d) {
  const auto ns = static_cast<uint64_t>(d.count());
  if (ns == 0) return "0s";
  std::string_view best = "ns";
  uint64_t factor = 1;
  for (const Unit& u : kDurations)
    if (ns % u.factor == 0) best = u.name, factor = u.factor;
  return fmt::format("{}{}", ns / factor, best);
}

}  // namespace limpet
