#include "fields.h"

namespace limpet::http {

// RFC 9112, 6.3: a list of equal numbers is that number; anything else may be read differently by
// somebody behind us. RFC 9110, 8.6: digits only, so no sign and no hexadecimal.
Refusal Fields::add_length(Bytes head, Range value) {
  Refusal why = Refusal::none;
  for_each_element(head, value, [&](std::string_view word) {
    constexpr uint64_t kMax = UINT64_MAX >> 1;
    uint64_t n = 0;
    bool good = !word.empty();
    for (const char c : word) {
      const auto digit = static_cast<uint64_t>(static_cast<uint8_t>(c)) - '0';
      good = good && digit <= 9 && n <= (kMax - digit) / 10;
      if (!good) break;
      n = n * 10 + digit;
    }
    if (why != Refusal::none) return;
    if (!good)
      why = Refusal::length_bad;
    else if (has_length && n != length)
      why = Refusal::length_differs;
    length_again = has_length;
    has_length = true;
    length = n;
  });
  return why;
}

// RFC 9112, 6.1 and 7: names in any case; chunked once, and in requests last.
Refusal Fields::add_encoding(Bytes head, Range value, Side side) {
  Refusal why = Refusal::none;
  has_encoding = true;
  for_each_element(head, value, [&](std::string_view word) {
    if (why != Refusal::none) return;
    if (is_word(word, "chunked"))
      why = chunked ? Refusal::encoding_bad : Refusal::none;
    else if (word.empty() || (chunked && side == Side::request))
      why = Refusal::encoding_bad;
    else
      why = Refusal::encoding_unsupported;
    chunked = true;
  });
  return why;
}

void Fields::add_connection(Bytes head, Range value) {
  for_each_part(head, value, [&](Range part) {
    const std::string_view word = text_of(head, trimmed(head, part));
    if (is_word(word, "close"))
      close = true;
    else if (is_word(word, "keep-alive"))
      keep_alive = true;
    else if (is_word(word, "upgrade"))
      upgrade = true;
    // RFC 9110, 7.6.1: who passes the request on takes out what is named here, and a request
    // could have what we said of its client taken out.
    for (const char* field :
         {"host", "cookie", "x-forwarded-for", "content-length", "transfer-encoding"})
      names_others = names_others || is_word(word, field);
  });
}

void Fields::add_upgrade(Bytes head, Range value) {
  for_each_part(head, value, [&](Range part) {
    const Range word = trimmed(head, part);
    (is_word(text_of(head, word), "h2c") ? h2c : protocol) |= !word.empty();
  });
}

}  // namespace limpet::http
