// Any bytes as what a client sends on a connection: request heads and their bodies, one behind the
// other, each in pieces and whole. A crash, a sanitizer report or a broken promise is a finding.
//
// Input: one byte that chooses the pieces, then the connection's bytes.
#include <cstring>

#include "../http_pieces.h"
#include "limpet/http/parameter.h"
#include "limpet/http/request.h"

namespace limpet::http::fuzz {
namespace {

std::string_view text(std::span<const uint8_t> b, Range r) {
  return {reinterpret_cast<const char*>(b.data()) + r.begin, r.size()};
}

bool blank(uint8_t c) {
  return c == ' ' || c == '\t';
}

// What is left of a head that asks for HTTP/2 is a head that does not.
void check_h2c(std::span<const uint8_t> bytes, const RequestHead& r) {
  if (!r.h2c) return;
  std::vector<Range> cuts(cut_h2c(bytes, r, {}));
  require(!cuts.empty() && cut_h2c(bytes, r, cuts) == cuts.size(), "something is cut");
  Bytes left;
  uint32_t end = 0;
  for (const Range& cut : cuts) {
    require(end <= cut.begin && cut.begin < cut.end && inside(cut, r.bounds.headers, r.bounds.end),
            "cuts are in order, among the headers");
    left.insert(left.end(), bytes.begin() + end, bytes.begin() + cut.begin);
    end = cut.end;
  }
  left.insert(left.end(), bytes.begin() + end, bytes.begin() + r.bounds.end);
  RequestFramer framer;
  RequestHead plain;
  require(framer.feed(left, plain) == Fed::complete, "what is left is a head");
  require(!plain.h2c && plain.upgrade == r.upgrade && plain.framing == r.framing &&
              plain.keep_alive == r.keep_alive,
          "that says the same but for HTTP/2");
}

void check_head(std::span<const uint8_t> bytes, const RequestHead& r) {
  const HeadBounds& b = r.bounds;
  require(r.method.begin == b.start_line && r.method.begin < r.method.end &&
              r.method.end < r.target.begin && r.target.begin < r.target.end &&
              r.target.end < r.version.begin && r.version.size() == 8 &&
              r.version.end + 2 == b.headers,
          "the request line's parts are in order and fill it");
  for (const Range gap :
       {Range{r.method.end, r.target.begin}, Range{r.target.end, r.version.begin}})
    require(gap.size() == 1 && bytes[gap.begin] == ' ', "one space is between them");
  require(text(bytes, r.version).starts_with("HTTP/1.") && r.minor <= 1 &&
              bytes[r.version.end - 1] == '0' + r.minor,
          "the version is HTTP/1.0 or 1.1");
  require(inside(r.host, b.headers, b.empty_line), "the host is in a header");
  require(r.kind != Method::get || text(bytes, r.method) == "GET", "GET is GET");
  require((r.kind == Method::connect) == (r.framing.body == Body::tunnel),
          "CONNECT and nothing else is a tunnel");
  require(r.framing.body != Body::until_close, "requests do not end with the connection");
  require((r.framing.length > 0) == (r.framing.body == Body::length), "a length has a number");
  require(!(r.minor == 0 && r.framing.body == Body::chunked), "HTTP/1.0 has no chunks");
  // A reader who ends lines at CRLF, one who ends them at LF, and one who does at whatever Unicode
  // calls a line's end, see the same lines: none is folded, and controls are nowhere else.
  require(b.end >= 4 && text(bytes, {b.end - 4, b.end}) == "\r\n\r\n", "it ends in an empty line");
  for (uint32_t i = b.start_line; i < b.end; ++i) {
    const uint8_t c = bytes[i];
    if (c == '\n') {
      require(bytes[i - 1] == '\r', "no LF is alone");
      require(i + 1 == b.end || !blank(bytes[i + 1]), "no line is folded");
    }
    require(c != '\r' || bytes[i + 1] == '\n', "no CR is alone");
    require(c >= ' ' || c == '\t' || c == '\r' || c == '\n', "no control character");
    require(c != 127, "no DEL");
  }
  check_h2c(bytes, r);
}

void check_parameters(std::span<const uint8_t> bytes, const RequestHead& r) {
  for (const Parameters where : {Parameters::query, Parameters::path}) {
    const Range v = find_parameter(bytes, r.target, "id", where);
    require(inside(v, r.target.begin, r.target.end), "parameters are in the target");
    if (v.present())
      require(text(bytes, {v.begin - 3, v.begin}) == "id=", "a parameter has its name");
  }
}

void run(const uint8_t* data, size_t size) {
  if (size == 0) return;
  const uint8_t seed = data[0];
  const Bytes all(data + 1, data + size);
  std::span<const uint8_t> rest(all);
  for (int messages = 0; messages < 8; ++messages) {
    RequestHead r;
    Refusal refusal;
    if (frame(rest, seed, RequestFramer{}, r, refusal) != Fed::complete) return;
    check_head(rest, r);
    check_parameters(rest, r);
    rest = rest.subspan(r.bounds.end);
    bool finished = false;
    const size_t taken = skip(rest, seed, r.framing, Side::request, finished);
    require(r.framing.body != Body::none || (finished && taken == 0), "no body takes nothing");
    if (r.framing.body == Body::length)
      require(taken == std::min<uint64_t>(rest.size(), r.framing.length), "a length is exact");
    if (!finished) return;
    rest = rest.subspan(taken);
  }
}

}  // namespace
}  // namespace limpet::http::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  limpet::http::fuzz::run(data, size);
  return 0;
}
