// Character classes and comparisons of HTTP/1: what the framers and readers of this module share.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "limpet/http/head.h"

namespace limpet::http {

using Bytes = std::span<const uint8_t>;

// RFC 9110, 5.6.2.
inline constexpr std::array<bool, 256> kToken = [] {
  std::array<bool, 256> t{};
  for (unsigned c = '0'; c <= '9'; ++c) t[c] = true;
  for (unsigned c = 'A'; c <= 'Z'; ++c) t[c] = true;
  for (unsigned c = 'a'; c <= 'z'; ++c) t[c] = true;
  for (const char c : std::string_view("!#$%&'*+-.^_`|~")) t[static_cast<uint8_t>(c)] = true;
  return t;
}();

constexpr bool is_token(uint8_t c) {
  return kToken[c];
}
constexpr bool is_digit(uint8_t c) {
  return c >= '0' && c <= '9';
}
constexpr bool is_blank(uint8_t c) {
  return c == ' ' || c == '\t';
}
constexpr bool is_line_end(uint8_t c) {
  return c == '\r' || c == '\n';
}
// Of the octets that RFC 9110, 5.5, has in no value. Some readers end a line at VT, FF, or 28
// to 30.
constexpr bool is_control(uint8_t c) {
  return (c < ' ' && c != '\t') || c == 127;
}
// Within a header value CR and LF only come from folded lines, where they count as blanks.
constexpr bool is_space(uint8_t c) {
  return is_blank(c) || is_line_end(c);
}
constexpr uint8_t lower(uint8_t c) {
  return c >= 'A' && c <= 'Z' ? static_cast<uint8_t>(c + ('a' - 'A')) : c;
}

inline std::string_view text_of(Bytes bytes, Range r) {
  return {reinterpret_cast<const char*>(bytes.data()) + r.begin, r.size()};
}

// `b` in any case, `lower_case` in lower case.
constexpr bool is_word(std::string_view b, std::string_view lower_case) {
  if (b.size() != lower_case.size()) return false;
  for (size_t i = 0; i < b.size(); ++i)
    if (lower(static_cast<uint8_t>(b[i])) != static_cast<uint8_t>(lower_case[i])) return false;
  return true;
}
constexpr bool same_ignoring_case(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i)
    if (lower(static_cast<uint8_t>(a[i])) != lower(static_cast<uint8_t>(b[i]))) return false;
  return true;
}

// Without the blanks around it. What is nothing but blanks becomes empty, at its end.
inline Range trimmed(Bytes bytes, Range r) {
  while (r.begin < r.end && is_space(bytes[r.begin])) ++r.begin;
  while (r.begin < r.end && is_space(bytes[r.end - 1])) --r.end;
  return r;
}

// The first of `a` and `b` in [at, end) that is not within double quotes, or `end`. Within quotes a
// backslash takes the next character along.
inline uint32_t find_unquoted(Bytes bytes, uint32_t at, uint32_t end, uint8_t a, uint8_t b) {
  bool quoted = false;
  for (; at < end; ++at) {
    const uint8_t c = bytes[at];
    if (quoted) {
      if (c == '\\' && at + 1 < end)
        ++at;
      else if (c == '"')
        quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == a || c == b) {
      return at;
    }
  }
  return end;
}

}  // namespace limpet::http
