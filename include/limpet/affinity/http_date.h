// Dates of HTTP and cookies <-> unix seconds. No locale, no time zone, no library state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace limpet::affinity {

constexpr size_t kHttpDateSize = 29;  // "Sun, 06 Nov 1994 08:49:37 GMT"

// IMF-fixdate (RFC 9110, 5.6.7), for years up to 9999; later times are written as that year's end.
void format_http_date(uint64_t unix_seconds, std::span<char, kHttpDateSize> out);

// A cookie's Expires as user agents read it (RFC 6265, 5.1.1): any order, any delimiters, years of
// two digits. Times before 1970 are 0.
std::optional<uint64_t> parse_cookie_date(std::string_view text);

}  // namespace limpet::affinity
