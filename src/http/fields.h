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
  bool upgrade = false;       // Connection has that word
  bool names_others = false;  // Connection names a field that no connection has to itself
  bool protocol = false;      // Upgrade has another word than h2c
  bool h2c = false;           // it has that one, or there is HTTP2-Settings
  uint64_t length = 0;

  // Each may be called for several lines of that name; anything but none is final.
  Refusal add_length(Bytes head, Range value);               // Content-Length
  Refusal add_encoding(Bytes head, Range value, Side side);  // Transfer-Encoding
  void add_connection(Bytes head, Range value);              // Connection
  void add_upgrade(Bytes head, Range value);                 // Upgrade
};

// visit(Range) for what stands between the commas of [value), blanks and all. Of lists of words,
// which are not quoted: a quote must hide nothing from us that another reader sees.
template <class Visit>
void for_each_part(Bytes head, Range value, Visit&& visit) {
  for (uint32_t at = value.begin;;) {
    uint32_t comma = at;
    while (comma < value.end && head[comma] != ',') ++comma;
    visit(Range{at, comma});
    if (comma == value.end) return;
    at = comma + 1;
  }
}

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
