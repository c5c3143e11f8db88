// Frames HTTP/1.0 and HTTP/1.1 request heads that arrive in pieces (RFC 9112, 2 to 6).
//
// The caller keeps the head's bytes in one place and calls feed() with all of them each time more
// have come. The framer looks at each byte once while the head arrives, and once more when it is
// complete: a head that comes byte by byte costs a constant times its length.
//
// Lines end in CRLF and are not folded; empty lines before the request line are part of the head.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "limpet/http/body.h"
#include "limpet/http/head.h"

namespace limpet::http {

// Case-sensitive as methods are: "get" is `other`.
enum class Method : uint8_t { get, head, post, connect, options, other };

struct RequestHead {
  HeadBounds bounds;
  Range method;
  Range target;
  Range version;  // "HTTP/1.1"
  Range host;     // value of the Host header, trimmed
  Method kind = Method::other;
  uint8_t minor = 1;  // of HTTP/1.minor
  // none, length, chunked, or tunnel: a CONNECT ends with its head, and what follows is a tunnel
  // once the response has a 2xx status, the next request when it has another.
  Framing framing;
  // Connection: upgrade, to something else than h2c. The body ends as `framing` says; what follows
  // is a tunnel once the response is a 101, the next request when it is not.
  bool upgrade = false;
  bool h2c = false;              // it asks for HTTP/2: cut_h2c() makes it plain HTTP/1.1
  bool keep_alive = true;        // the client will read further responses on this connection
  bool expect_continue = false;  // Expect: 100-continue, of HTTP/1.1 only (RFC 9110, 10.1.1)
  friend bool operator==(const RequestHead&, const RequestHead&) = default;
};

// What to cut out of a complete head with `h2c`, so that it does not ask for HTTP/2 (RFC
// 7540, 3.2), as HAProxy does: the word in Upgrade, HTTP2-Settings, and both names in Connection,
// that of Upgrade only when nothing else is asked for. In order, without overlap. Returns how many
// there are; those beyond `out` are not written.
size_t cut_h2c(std::span<const uint8_t> head, const RequestHead& r, std::span<Range> out);

class RequestFramer {
 public:
  // `bytes_so_far` begins with the head's first byte and with what was fed before; it may reach
  // beyond the head's end. `head` is filled in when the answer is `complete`, and again when a
  // complete framer is fed again; otherwise it is left alone.
  Fed feed(std::span<const uint8_t> bytes_so_far, RequestHead& head);

  Refusal refusal() const { return progress_.refusal; }
  // Refused: where, for the log. Otherwise how many bytes have been looked at.
  uint32_t position() const { return progress_.next; }

 private:
  HeadProgress progress_;
};
static_assert(sizeof(RequestFramer) <= 32 && std::is_trivially_copyable_v<RequestFramer>);

}  // namespace limpet::http
