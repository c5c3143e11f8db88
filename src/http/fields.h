// What the header lines of a complete head say of its body and its connection. Values are trimmed.
#pragma once

#include "chars.h"
#include "limpet/http/body.h"
#include "progress.h"

namespace limpet::http {

struct Fields {
  bool has_length = false;
  bool length_again = false;  // more than once, equal each time
  bool has_encoding = false;
  bool chunked = false;  // the last encoding so far
  bool close = false;
  bool keep_alive = false;
  bool upgrade = false;
  uint64_t length = 0;

  // Each may be called for several lines of that name; anything but none is final.
  Refusal add_length(Bytes head, Range value);               // Content-Length
  Refusal add_encoding(Bytes head, Range value, Side side);  // Transfer-Encoding
  void add_connection(Bytes head, Range value);              // Connection
};

// visit(word) for each element of a comma-separated list, trimmed, empty ones included.
template <class Visit>
void for_each_element(Bytes head, Range value, Visit&& visit) {
  for (uint32_t at = value.begin;;) {
    const uint32_t comma = find_unquoted(head, at, value.end, ',', ',');
    visit(text_of(head, trimmed(head, {at, comma})));
    if (comma == value.end) return;
    at = comma + 1;
  }
}

}  // namespace limpet::http
