// Any bytes as what a backend sends: interim and final response heads and their bodies.
//
// Input: one byte that chooses the pieces (and, in its lowest bits, the request's method), then the
// connection's bytes.
#include "../http_pieces.h"
#include "limpet/http/response.h"

namespace limpet::http::fuzz {
namespace {

void check_head(std::span<const uint8_t> bytes, const ResponseHead& r, Method request) {
  const HeadBounds& b = r.bounds;
  require(r.version.begin == b.start_line && r.version.size() == 8, "the version begins the line");
  require(r.status >= 100 && r.status <= 999, "the status has three digits");
  require(inside(r.reason, r.version.end, b.headers), "the reason is in the status line");
  const uint32_t line_end = b.headers - (b.crlf ? 2 : 1);
  require(!r.reason.present() || r.reason.end == line_end, "the reason ends the line");
  require(bytes[line_end] == (b.crlf ? '\r' : '\n'), "the line ends as it says");
  require(r.minor <= 9, "the minor version is a digit");

  const Body body = r.framing.body;
  require((r.framing.length > 0) == (body == Body::length), "a length has a number");
  require(r.doubt == Refusal::none || body == Body::until_close, "a doubt is about the end");
  const bool bodyless =
      request == Method::head || r.status < 200 || r.status == 204 || r.status == 304;
  if (r.status == 101)
    require(body == Body::tunnel && !r.is_interim(), "101 is a tunnel");
  else if (request == Method::connect && r.status / 100 == 2)
    require(body == Body::tunnel, "a CONNECT that succeeds is a tunnel");
  else
    require(body != Body::tunnel && (!bodyless || body == Body::none), "these have no body");
  require(r.is_interim() == (r.status < 200 && r.status != 101), "1xx is interim but for 101");
  require(!r.keep_alive || (body != Body::until_close && body != Body::tunnel),
          "what ends with the connection does not keep it");
}

void run(const uint8_t* data, size_t size) {
  if (size == 0) return;
  constexpr Method kMethods[] = {Method::get, Method::head, Method::connect, Method::post};
  const uint8_t seed = data[0];
  const Method request = kMethods[seed % 4];
  const Bytes all(data + 1, data + size);
  std::span<const uint8_t> rest(all);
  for (int messages = 0; messages < 8; ++messages) {
    ResponseHead r;
    Refusal refusal;
    if (frame(rest, seed, ResponseFramer(request), r, refusal) != Fed::complete) return;
    check_head(rest, r, request);
    rest = rest.subspan(r.bounds.end);
    bool finished = false;
    const size_t taken = skip(rest, seed, r.framing, Side::response, finished);
    require(r.framing.body != Body::none || (finished && taken == 0), "no body takes nothing");
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
