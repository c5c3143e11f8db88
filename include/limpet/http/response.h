// Frames HTTP/1.x response heads that arrive in pieces, as request.h does requests.
//
// One framer frames one head. Behind an interim one (is_interim) the caller starts another framer
// at its end, with the same request method, until the final response has come.
#pragma once

#include <cstdint>
#include <span>
#include <type_traits>

#include "limpet/http/body.h"
#include "limpet/http/head.h"
#include "limpet/http/request.h"

namespace limpet::http {

struct ResponseHead {
  HeadBounds bounds;
  Range version;
  Range reason;         // may be empty, or absent with its blank
  uint16_t status = 0;  // 100 .. 999
  uint8_t minor = 1;    // of HTTP/1.minor; later versions count as 1.1
  Framing framing;      // given the request's method
  bool keep_alive = true;
  // Why nobody can say where it ends, if so: clients and servers have views of their own on two
  // lengths, or on chunks twice. `framing` is until_close then.
  Refusal doubt = Refusal::none;
  friend bool operator==(const ResponseHead&, const ResponseHead&) = default;

  bool is_interim() const { return status < 200 && status != 101; }
};

class ResponseFramer {
 public:
  explicit ResponseFramer(Method request) : request_(request) {}

  // As RequestFramer::feed.
  Fed feed(std::span<const uint8_t> bytes_so_far, ResponseHead& head);

  Refusal refusal() const { return progress_.refusal; }
  uint32_t position() const { return progress_.next; }

 private:
  HeadProgress progress_;
  Method request_;
};
static_assert(sizeof(ResponseFramer) <= 32 && std::is_trivially_copyable_v<ResponseFramer>);

}  // namespace limpet::http
