// What request and response heads have in common: where their parts are, and why one is refused.
//
// A head is the bytes from the first one (empty lines before the start line included) up to and
// with the empty line that ends it. All positions in this module are offsets from that first byte,
// never pointers: the caller may move or copy the bytes between two calls.
//
// limpet forwards a head as it came, but for the edits of its caller; HAProxy writes it anew. So
// where HAProxy repairs a head whose length its receiver could read differently, limpet refuses it:
// see Refusal. In everything else the framers accept what HAProxy 2.6 accepts by default.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace limpet::http {

// Half-open. {0, 0} is "not there": nothing that a caller asks for begins and ends at offset 0. An
// empty value that is there has begin == end > 0.
struct Range {
  uint32_t begin = 0;
  uint32_t end = 0;

  constexpr uint32_t size() const { return end - begin; }
  constexpr bool empty() const { return begin == end; }
  constexpr bool present() const { return end != 0; }
  friend bool operator==(const Range&, const Range&) = default;
};

// Offsets of a complete head, in this order. A header line may be inserted at `headers` (right
// behind the start line) or at `empty_line`, ending as `crlf` says.
struct HeadBounds {
  uint32_t start_line = 0;  // of the request or status line: behind empty lines that came first
  uint32_t headers = 0;     // of the first header line; the empty line when there is none
  uint32_t empty_line = 0;  // of the line end that ends the head
  uint32_t end = 0;         // behind it: the first byte of the body or of the next message
  bool crlf = true;         // the start line ends in CRLF, not in a bare LF
  friend bool operator==(const HeadBounds&, const HeadBounds&) = default;
};

// Why a head is refused. The names are a public interface (counters, logs): add, never rename.
// "differs" marks what HAProxy 2.6 would repair and forward.
// clang-format off
#define LIMPET_HTTP_REFUSALS(X) \
  X(none,                 "not refused") \
  /* start line */ \
  X(not_http,             "does not begin with a method or a version") \
  X(tls,                  "begins with a TLS record: TLS spoken to a cleartext service") \
  X(http2_preface,        "method PRI: HTTP/2 with prior knowledge") \
  X(http09,               "request line without a version (HTTP/0.9)") \
  X(method_bad,           "method with a character that is no token character") \
  X(target_bad,           "request target with a control character, '#' or a byte above 126") \
  X(version_bad,          "version that is not HTTP/digit.digit") \
  X(version_unsupported,  "version of another major number than 1 (differs; in responses: than 1 and up)") \
  X(status_bad,           "status that is not three digits from 100 on (differs)") \
  /* lines */ \
  X(line_end_bad,         "CR without LF") \
  X(name_bad,             "header name with a character that is no token character") \
  X(name_blank,           "blank in a header name or before its colon, or a folded first line") \
  X(name_empty,           "header line that begins with a colon") \
  X(colon_missing,        "header line without a colon") \
  X(value_bad,            "NUL in a header value") \
  /* where the body ends */ \
  X(length_bad,           "Content-Length that is no number below 2^63") \
  X(length_differs,       "two Content-Lengths that differ") \
  X(length_repeated,      "request with Content-Length twice, although equal (differs)") \
  X(encoding_bad,         "Transfer-Encoding that is empty, names chunked twice or not last") \
  X(encoding_unsupported, "Transfer-Encoding other than chunked") \
  X(encoding_and_length,  "request with Transfer-Encoding and Content-Length (differs)") \
  X(encoding_in_http10,   "HTTP/1.0 request with Transfer-Encoding (differs)") \
  X(framing_folded,       "Content-Length or Transfer-Encoding on a folded line (differs)") \
  X(body_forbidden,       "body with CONNECT (differs), or with GET, HEAD or DELETE of HTTP/1.0") \
  /* whom it is for */ \
  X(host_differs,         "two Host headers that differ") \
  X(host_repeated,        "Host twice, although equal (differs)") \
  X(host_mismatch,        "Host header that is not the authority of the request target") \
  X(authority_bad,        "CONNECT to something that is not host:port")
// clang-format on

enum class Refusal : uint8_t {
#define LIMPET_HTTP_REFUSAL_ENUM(name, text) name,
  LIMPET_HTTP_REFUSALS(LIMPET_HTTP_REFUSAL_ENUM)
#undef LIMPET_HTTP_REFUSAL_ENUM
      count_
};
constexpr size_t kRefusalCount = static_cast<size_t>(Refusal::count_);

const char* refusal_name(Refusal r);  // "length_differs"
const char* refusal_text(Refusal r);  // one line for people

// What a framer says of the bytes it has been fed so far.
enum class Fed : uint8_t {
  need_more,  // so far it is well-formed; the caller bounds how long that may go on
  complete,   // the head has been filled in
  refused,    // final: refusal() says why, position() where
};

// How far a framer has got; all that it keeps between two calls. Private to the framers.
struct HeadProgress {
  uint32_t next = 0;  // first byte not looked at
  HeadBounds bounds;
  uint8_t state = 0;
  Refusal refusal = Refusal::none;
};
static_assert(sizeof(HeadProgress) <= 28);

}  // namespace limpet::http
