// What request and response heads have in common: where their parts are, and why one is refused.
//
// A head is the bytes from the first one (empty lines before the start line included) up to and
// with the empty line that ends it. All positions in this module are offsets from that first byte,
// never pointers: the caller may move or copy the bytes between two calls.
//
// limpet forwards a head as it came, but for the edits of its caller; HAProxy writes it anew. So
// where two receivers may see another end of a line, of the head or of its message, another name of
// a field or another host, a request is refused, also where HAProxy repairs it: see Refusal. In
// everything else the framers accept what HAProxy 2.6 accepts by default: empty lines in front,
// blanks around values, bytes above 127 in them, absolute targets. Of responses passes what a
// browser can make something of: a backend is trusted about its own answers.
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

enum class Side : uint8_t { request, response };

// Offsets of a complete head, in this order. A header line may be inserted at `headers` (right
// behind the start line) or at `empty_line`, ending as `crlf` says.
struct HeadBounds {
  uint32_t start_line = 0;  // of the request or status line: behind empty lines that came first
  uint32_t headers = 0;     // of the first header line; the empty line when there is none
  uint32_t empty_line = 0;  // of the line end that ends the head
  uint32_t end = 0;         // behind it: the first byte of the body or of the next message
  bool crlf = true;         // the start line ends in CRLF; in a bare LF only of a response
  friend bool operator==(const HeadBounds&, const HeadBounds&) = default;
};

// Why a head is refused. The names are a public interface (counters, logs): add, never rename.
// "differs" marks what HAProxy 2.6 would repair, or forward; tests/lab/haproxy/shapes has an
// example of each that can be compared.
// clang-format off
#define LIMPET_HTTP_REFUSALS(X) \
  X(none,                 "not refused") \
  /* start line */ \
  X(not_http,             "does not begin with a method or a version") \
  X(tls,                  "begins with a TLS record: TLS spoken to a cleartext service") \
  X(http2_preface,        "method PRI: HTTP/2 with prior knowledge") \
  X(http09,               "request line without a version (HTTP/0.9)") \
  X(request_line_blank,   "parts of the request line that are not separated by one space (differs)") \
  X(method_bad,           "method with a character that is no token character") \
  X(method_case,          "HEAD or CONNECT that is not in capitals (differs)") \
  X(target_bad,           "request target with a control character, '#' or a byte above 126") \
  X(target_form,          "request target that is no path, no absolute URI and not '*' (differs)") \
  X(version_bad,          "version that is not HTTP/digit.digit") \
  X(version_unsupported,  "version other than 1.0 and 1.1 (differs; in responses: HTTP/0)") \
  X(status_bad,           "status that is not three digits from 100 on (differs)") \
  /* lines */ \
  X(line_end_bad,         "CR without LF") \
  X(line_feed_bare,       "line of a request that ends in LF without CR (differs)") \
  X(line_folded,          "request with a header folded over two lines (differs)") \
  X(name_bad,             "header name with a character that is no token character") \
  X(name_blank,           "blank in a header name or before its colon, or a folded first line") \
  X(name_empty,           "header line that begins with a colon") \
  X(name_alias,           "Content_Length or Transfer_Encoding, which some read with '-' (differs)") \
  X(colon_missing,        "header line without a colon") \
  X(value_bad,            "control character in a header value (differs; in responses: NUL)") \
  /* where the body ends */ \
  X(length_bad,           "Content-Length that is no number below 2^63") \
  X(length_differs,       "two Content-Lengths that differ") \
  X(length_repeated,      "request with Content-Length twice, although equal (differs)") \
  X(encoding_bad,         "Transfer-Encoding that is empty, names chunked twice or not last") \
  X(encoding_unsupported, "Transfer-Encoding other than chunked") \
  X(encoding_and_length,  "request with Transfer-Encoding and Content-Length (differs)") \
  X(encoding_in_http10,   "HTTP/1.0 request with Transfer-Encoding (differs)") \
  X(body_forbidden,       "body with CONNECT (differs), or with GET, HEAD or DELETE of HTTP/1.0") \
  /* whom it is for */ \
  X(connection_bad,       "Connection that names Host, Cookie, X-Forwarded-For or a length (differs)") \
  X(host_bad,             "Host header with a character that no host has (differs)") \
  X(host_missing,         "absolute request target without a Host header (differs)") \
  X(host_differs,         "two Host headers that differ") \
  X(host_repeated,        "Host twice, although equal (differs)") \
  X(host_mismatch,        "Host header that is not the authority of the request target") \
  X(authority_bad,        "CONNECT to no host:port, or an absolute target with no host or a user (differs)")
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
