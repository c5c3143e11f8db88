#include "limpet/http/response.h"

#include <algorithm>

#include "fields.h"
#include "lines.h"

namespace limpet::http {
namespace {

// Of a status line that advance() has accepted.
void read_status_line(Bytes b, ResponseHead& r) {
  const auto stop = static_cast<uint32_t>(b.size());
  const auto is = [&](auto&& kind, uint32_t at) { return at < stop && kind(b[at]); };
  uint32_t at = r.bounds.start_line;
  while (at < stop && !is_blank(b[at])) ++at;
  r.version = {r.bounds.start_line, at};
  if (r.version.size() >= 3) r.minor = b[at - 3] > '1' ? 1 : static_cast<uint8_t>(b[at - 1] - '0');
  while (is(is_blank, at)) ++at;
  for (; is(is_digit, at); ++at) r.status = static_cast<uint16_t>(r.status * 10 + (b[at] - '0'));
  const bool blank = is(is_blank, at);
  while (is(is_blank, at)) ++at;
  const uint32_t end = r.bounds.headers - (r.bounds.crlf ? 2 : 1);
  if (blank) r.reason = {at, std::max(at, end)};
}

Refusal take(Bytes head, const Line& l, Fields& fields) {
  const std::string_view name = text_of(head, l.name);
  if (is_word(name, "connection")) fields.add_connection(head, l.value);
  if (is_word(name, "content-length")) return fields.add_length(head, l.value);
  if (is_word(name, "transfer-encoding")) return fields.add_encoding(head, l.value, Side::response);
  return Refusal::none;
}

// RFC 9112, 6.3, in its order.
Framing framing_of(const ResponseHead& r, Method request, const Fields& fields) {
  if (r.status == 101 || (request == Method::connect && r.status / 100 == 2))
    return {Body::tunnel, 0};
  if (request == Method::head || r.status / 100 == 1 || r.status == 204 || r.status == 304)
    return {};
  if (r.doubt != Refusal::none) return {Body::until_close, 0};
  if (fields.chunked) return {Body::chunked, 0};
  if (!fields.has_length) return {Body::until_close, 0};
  return fields.length > 0 ? Framing{Body::length, fields.length} : Framing{};
}

}  // namespace

Fed ResponseFramer::feed(std::span<const uint8_t> bytes_so_far, ResponseHead& head) {
  const Fed fed = advance(progress_, bytes_so_far, Side::response);
  if (fed != Fed::complete) return fed;
  if (progress_.bounds.end > bytes_so_far.size()) return Fed::need_more;  // not what it has seen
  ResponseHead r;
  r.bounds = progress_.bounds;
  const Bytes b = bytes_so_far.first(r.bounds.end);
  read_status_line(b, r);
  Fields fields;
  for_each_line(b, r.bounds, [&](const Line& l) {
    const Refusal doubt = take(b, l, fields);
    if (r.doubt == Refusal::none) r.doubt = doubt;
    return true;
  });
  r.framing = framing_of(r, request_, fields);
  if (r.framing.body != Body::until_close) r.doubt = Refusal::none;  // it has no body
  // RFC 9112, 6.1: whoever sends both lengths, or an encoding with HTTP/1.0, is not to be trusted
  // with a second response.
  const bool doubtful = fields.has_encoding && (fields.has_length || r.minor == 0);
  const bool endless = r.framing.body == Body::until_close || r.framing.body == Body::tunnel;
  r.keep_alive = !endless && !doubtful && !fields.close && (r.minor > 0 || fields.keep_alive);
  head = r;
  return Fed::complete;
}

}  // namespace limpet::http
