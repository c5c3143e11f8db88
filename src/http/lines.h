// Walks the header lines of a complete, well-formed head. Of one that is neither it says nothing of
// worth, but every range that it gives lies within the head, and begins before it ends.
#pragma once

#include <algorithm>
#include <cstring>

#include "chars.h"

namespace limpet::http {

struct Line {
  Range line;  // with its line end and its folded lines
  Range name;
  Range value;  // trimmed
  bool folded = false;
};

inline uint32_t find_byte(Bytes bytes, uint32_t at, uint32_t end, uint8_t c) {
  if (at >= end) return end;
  const void* p = std::memchr(bytes.data() + at, c, end - at);
  return p == nullptr ? end : static_cast<uint32_t>(static_cast<const uint8_t*>(p) - bytes.data());
}

// The line whose name is [begin, colon); `end` is the head's empty line, whose first byte is no
// blank.
inline Line line_at(Bytes head, uint32_t begin, uint32_t colon, uint32_t end) {
  const auto behind_lf = [&](uint32_t at) {
    return std::min(find_byte(head, at, end, '\n') + 1, end);
  };
  Line l;
  uint32_t at = behind_lf(colon);
  while (at < end && is_blank(head[at])) {
    l.folded = true;
    at = behind_lf(at);
  }
  l.line = {begin, at};
  l.name = {begin, colon};
  const uint32_t value = std::min(colon + 1, at);
  // The LF is outside: an empty value ends there.
  l.value = trimmed(head, {value, std::max(value, at - 1)});
  return l;
}

// visit(const Line&) returns whether to go on.
template <class Visit>
void for_each_line(Bytes head, const HeadBounds& bounds, Visit&& visit) {
  const uint32_t end = std::min(bounds.empty_line, static_cast<uint32_t>(head.size()));
  uint32_t at = bounds.headers;
  while (at < end) {
    const Line l = line_at(head, at, find_byte(head, at, end, ':'), end);
    if (!visit(l)) return;
    at = l.line.end;
  }
}

}  // namespace limpet::http
