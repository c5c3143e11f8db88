// Walks the header lines of a complete, well-formed head.
#pragma once

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
  const void* p = std::memchr(bytes.data() + at, c, end - at);
  return p == nullptr ? end : static_cast<uint32_t>(static_cast<const uint8_t*>(p) - bytes.data());
}

// The line whose name is [begin, colon); `end` is the head's empty line, whose first byte is no
// blank, so the look behind a line's end stays inside the head.
inline Line line_at(Bytes head, uint32_t begin, uint32_t colon, uint32_t end) {
  Line l;
  uint32_t at = find_byte(head, colon, end, '\n') + 1;
  while (at < end && is_blank(head[at])) {
    l.folded = true;
    at = find_byte(head, at, end, '\n') + 1;
  }
  l.line = {begin, at};
  l.name = {begin, colon};
  l.value = trimmed(head, {colon + 1, at - 1});  // the LF is outside: an empty value ends there
  return l;
}

// visit(const Line&) returns whether to go on.
template <class Visit>
void for_each_line(Bytes head, const HeadBounds& bounds, Visit&& visit) {
  uint32_t at = bounds.headers;
  while (at < bounds.empty_line) {
    const Line l =
        line_at(head, at, find_byte(head, at, bounds.empty_line, ':'), bounds.empty_line);
    if (!visit(l)) return;
    at = l.line.end;
  }
}

}  // namespace limpet::http
