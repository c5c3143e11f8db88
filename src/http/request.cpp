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
    case 7:
      if (is_word(name, "upgrade")) fields_.add_upgrade(head_, l.value);
      break;
    case 10:
      if (is_word(name, "connection")) fields_.add_connection(head_, l.value);
      break;
    case 14:
      fields_.h2c = fields_.h2c || is_word(name, "http2-settings");
      if (is_word(name, "content_length")) return Refusal::name_alias;
      if (is_word(name, "content-length")) return fields_.add_length(head_, l.value);
      break;
    case 17:
      if (is_word(name, "transfer_encoding")) return Refusal::name_alias;
      if (is_word(name, "transfer-encoding"))
        return fields_.add_encoding(head_, l.value, Side::request);
      break;
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
    return is_host_text(text_of(head_, l.value)) ? Refusal::none : Refusal::host_bad;
  }
  return same_ignoring_case(text_of(head_, r_.host), text_of(head_, l.value))
             ? Refusal::host_repeated
             : Refusal::host_differs;
}

// RFC 9112, 6.3.
Refusal Reader::conclude() {
  const bool http10 = r_.minor == 0;
  if (fields_.names_others) return Refusal::connection_bad;
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
  r_.upgrade = fields_.upgrade && fields_.protocol;
  r_.h2c = fields_.h2c;
  r_.keep_alive = !fields_.close && (!http10 || fields_.keep_alive);
  r_.expect_continue = r_.expect_continue && !http10;
  return Refusal::none;
}

// The cuts of one list, out of which those parts go that `goes` says of: the whole line when no
// word is left.
template <class Goes, class Cut>
void cut_parts(Bytes head, const Line& l, Goes&& goes, Cut&& cut) {
  bool any = false, left = false;
  for_each_part(head, l.value, [&](Range part) {
    const Range word = trimmed(head, part);
    (goes(text_of(head, word)) ? any : left) |= !word.empty();
  });
  if (!any) return;
  if (!left) return cut(l.line);
  Range run;  // of parts that go, from behind the comma in front of them
  for_each_part(head, l.value, [&](Range part) {
    if (goes(text_of(head, trimmed(head, part)))) {
      run = {run.present() ? run.begin : part.begin, part.end};
    } else if (run.present()) {
      uint32_t end = part.begin;
      while (end < part.end && is_blank(head[end])) ++end;
      cut({run.begin, end});
      run = {};
    }
  });
  if (run.present()) cut({run.begin - 1, run.end});  // something is left, so a comma is there
}

}  // namespace

size_t cut_h2c(std::span<const uint8_t> head, const RequestHead& r, std::span<Range> out) {
  size_t count = 0;
  const auto cut = [&](Range range) {
    if (count < out.size()) out[count] = range;
    ++count;
  };
  Fields fields;
  for_each_line(head, r.bounds, [&](const Line& l) {
    if (is_word(text_of(head, l.name), "upgrade")) fields.add_upgrade(head, l.value);
    return true;
  });
  for_each_line(head, r.bounds, [&](const Line& l) {
    const std::string_view name = text_of(head, l.name);
    if (is_word(name, "http2-settings")) cut(l.line);
    if (is_word(name, "upgrade"))
      cut_parts(
          head, l, [](std::string_view word) { return is_word(word, "h2c"); }, cut);
    if (is_word(name, "connection"))
      cut_parts(
          head, l,
          [&](std::string_view word) {
            return is_word(word, "http2-settings") ||
                   (!fields.protocol && is_word(word, "upgrade"));
          },
          cut);
    return true;
  });
  return count;
}

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
