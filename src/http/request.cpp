#include "limpet/http/request.h"

#include "fields.h"
#include "host.h"
#include "lines.h"

namespace limpet::http {
namespace {

Method method_of(std::string_view m) {
  if (m == "GET") return Method::get;
  if (m == "HEAD") return Method::head;
  if (m == "POST") return Method::post;
  if (m == "CONNECT") return Method::connect;
  if (m == "OPTIONS") return Method::options;
  return Method::other;
}

// Of a request line that advance() has accepted.
void read_request_line(Bytes b, RequestHead& r) {
  const auto end = static_cast<uint32_t>(b.size());
  uint32_t at = r.bounds.start_line;
  const auto word = [&] {
    while (at < end && is_blank(b[at])) ++at;
    const uint32_t begin = at;
    while (at < end && !is_space(b[at])) ++at;
    return Range{begin, at};
  };
  r.method = word();
  r.target = word();
  r.version = word();
  r.kind = method_of(text_of(b, r.method));
  if (!r.version.empty()) r.minor = static_cast<uint8_t>(b[r.version.end - 1] - '0');
}

// A receiver that takes a folded line for a header of its own would find the body's end elsewhere.
bool folds_framing(Bytes head, const Line& l) {
  uint32_t at = l.name.end;
  while ((at = find_byte(head, at, l.line.end, '\n') + 1) < l.line.end) {
    uint32_t begin = at;
    while (begin < l.line.end && is_blank(head[begin])) ++begin;
    uint32_t end = begin;
    while (end < l.line.end && is_token(head[end])) ++end;
    const std::string_view name = text_of(head, {begin, end});
    if (is_word(name, "content-length") || is_word(name, "transfer-encoding")) return true;
  }
  return false;
}

class Reader {
 public:
  Reader(Bytes head, RequestHead& r) : head_(head), r_(r) {}

  Refusal read() {
    read_request_line(head_, r_);
    Refusal why = Refusal::none;
    for_each_line(head_, r_.bounds, [&](const Line& l) {
      why = take(l);
      return why == Refusal::none;
    });
    if (why != Refusal::none) return why;
    const std::string_view host = text_of(head_, r_.host);
    why = check_host(r_.kind, text_of(head_, r_.target), r_.host.present() ? &host : nullptr);
    return why == Refusal::none ? conclude() : why;
  }

 private:
  Refusal take(const Line& l);
  Refusal take_host(const Line& l);
  Refusal conclude();

  const Bytes head_;
  RequestHead& r_;
  Fields fields_;
};

Refusal Reader::take(const Line& l) {
  if (l.folded && folds_framing(head_, l)) return Refusal::framing_folded;
  const std::string_view name = text_of(head_, l.name);
  switch (name.size()) {
    case 4:
      if (is_word(name, "host")) return take_host(l);
      break;
    case 6:
      if (is_word(name, "expect"))
        for_each_element(head_, l.value, [&](std::string_view word) {
          r_.expect_continue |= is_word(word, "100-continue");
        });
      break;
    case 10:
      if (is_word(name, "connection")) fields_.add_connection(head_, l.value);
      break;
    case 14:
      if (!is_word(name, "content-length")) break;
      return l.folded ? Refusal::framing_folded : fields_.add_length(head_, l.value);
    case 17:
      if (!is_word(name, "transfer-encoding")) break;
      return l.folded ? Refusal::framing_folded
                      : fields_.add_encoding(head_, l.value, Side::request);
    default:
      break;
  }
  return Refusal::none;
}

// RFC 9112, 3.2: more than one Host is an error. HAProxy makes equal ones one; we pass on what we
// do not refuse, and a backend may take either.
Refusal Reader::take_host(const Line& l) {
  if (!r_.host.present()) {
    r_.host = l.value;
    return Refusal::none;
  }
  return same_ignoring_case(text_of(head_, r_.host), text_of(head_, l.value))
             ? Refusal::host_repeated
             : Refusal::host_differs;
}

// RFC 9112, 6.3.
Refusal Reader::conclude() {
  const bool http10 = r_.minor == 0;
  if (fields_.length_again) return Refusal::length_repeated;
  if (fields_.has_encoding && fields_.has_length) return Refusal::encoding_and_length;
  if (fields_.has_encoding && http10) return Refusal::encoding_in_http10;
  r_.framing = {};
  if (fields_.chunked)
    r_.framing.body = Body::chunked;
  else if (fields_.length > 0)
    r_.framing = {Body::length, fields_.length};
  if (r_.framing.body != Body::none) {
    const bool bodyless =
        r_.kind == Method::get || r_.kind == Method::head || text_of(head_, r_.method) == "DELETE";
    if (r_.kind == Method::connect || (http10 && bodyless)) return Refusal::body_forbidden;
  }
  if (r_.kind == Method::connect) r_.framing.body = Body::tunnel;
  r_.upgrade = fields_.upgrade;
  r_.keep_alive = !fields_.close && (!http10 || fields_.keep_alive);
  r_.expect_continue = r_.expect_continue && !http10;
  return Refusal::none;
}

}  // namespace

Fed RequestFramer::feed(std::span<const uint8_t> bytes_so_far, RequestHead& head) {
  const Fed fed = advance(progress_, bytes_so_far, Side::request);
  if (fed != Fed::complete) return fed;
  if (progress_.bounds.end > bytes_so_far.size()) return Fed::need_more;  // not what it has seen
  RequestHead r;
  r.bounds = progress_.bounds;
  progress_.refusal = Reader(bytes_so_far.first(r.bounds.end), r).read();
  if (progress_.refusal != Refusal::none) return Fed::refused;
  head = r;
  return Fed::complete;
}

}  // namespace limpet::http
