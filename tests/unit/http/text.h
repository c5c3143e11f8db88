// Heads as literals, and what was found in them as one line of text that a person can compare.
#pragma once

#include <cstdint>
#include <ostream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "limpet/http/body.h"
#include "limpet/http/request.h"
#include "limpet/http/response.h"

namespace limpet::http::test {

// A copy in storage that ends with it, so that a sanitizer sees the first byte too far.
inline std::vector<uint8_t> bytes(std::string_view s) {
  return {s.begin(), s.end()};
}

// "Name7". (GCC 12 warns of "Name" + std::to_string(7) in its own header.)
inline std::string numbered(const char* name, size_t i) {
  return std::string(name).append(std::to_string(i));
}

inline std::string text(std::span<const uint8_t> b, Range r) {
  if (!r.present()) return "(absent)";
  if (r.begin > r.end || r.end > b.size()) return "(outside)";
  return {b.begin() + r.begin, b.begin() + r.end};
}

inline std::string describe(Framing f) {
  switch (f.body) {
    case Body::none:
      return "none";
    case Body::length:
      return "length " + std::to_string(f.length);
    case Body::chunked:
      return "chunked";
    case Body::until_close:
      return "until close";
    case Body::tunnel:
      return "tunnel";
  }
  return "?";
}

// "GET / HTTP/1.1, body none, keep-alive, host a, upgrade, expects continue"
inline std::string describe(std::span<const uint8_t> b, const RequestHead& r) {
  std::string s = text(b, r.method) + " " + text(b, r.target) + " " + text(b, r.version);
  s += ", body " + describe(r.framing) + (r.keep_alive ? ", keep-alive" : ", close");
  if (r.host.present()) s += ", host " + text(b, r.host);
  if (r.upgrade) s += ", upgrade";
  if (r.h2c) s += ", h2c";
  if (r.expect_continue) s += ", expects continue";
  return s;
}

// "HTTP/1.1 200 'OK', body none, keep-alive, interim"
inline std::string describe(std::span<const uint8_t> b, const ResponseHead& r) {
  std::string s = text(b, r.version) + " " + std::to_string(r.status) + " '" +
                  (r.reason.present() ? text(b, r.reason) : "") + "', body " + describe(r.framing) +
                  (r.keep_alive ? ", keep-alive" : ", close");
  if (r.is_interim()) s += ", interim";
  if (r.doubt != Refusal::none) s += std::string(", doubt ") + refusal_name(r.doubt);
  return s;
}

// What a framer says of all of `b`: its head, "needs more", or "refused: name at position".
template <class Framer, class Head>
std::string verdict(Framer& framer, std::span<const uint8_t> b, Head& head) {
  switch (framer.feed(b, head)) {
    case Fed::need_more:
      return "needs more";
    case Fed::complete:
      return describe(b, head);
    case Fed::refused:
      return std::string("refused: ") + refusal_name(framer.refusal());
  }
  return "?";
}

struct Case {
  const char* says;
  std::string_view input;
  std::string_view expected;
};
inline void PrintTo(const Case& c, std::ostream* out) {
  *out << c.says;
}

}  // namespace limpet::http::test
