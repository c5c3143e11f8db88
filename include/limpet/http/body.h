// Where the body of a message ends, so that the next message on the connection can be found.
//
// BodySkipper is fed the bytes behind a head in pieces of any size and says how many of them are
// this message's. It keeps 16 bytes, copies nothing and looks only at what it must: chunk-size
// lines, line ends of chunks, trailers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "limpet/http/head.h"

namespace limpet::http {

enum class Body : uint8_t {
  none,         // the message ends with its head
  length,       // `length` bytes; zero is `none`
  chunked,      // RFC 9112, 7.1
  until_close,  // responses only: everything until the server's FIN
  tunnel,       // no HTTP any more: 101, or a 2xx to CONNECT; see RequestHead for requests
};

struct Framing {
  Body body = Body::none;
  uint64_t length = 0;  // of Body::length, else 0
  friend bool operator==(const Framing&, const Framing&) = default;
};

// Public names, as Refusal's.
// clang-format off
#define LIMPET_HTTP_BODY_FAULTS(X) \
  X(none,                "well-formed so far") \
  X(chunk_size_bad,      "chunk size that is not a hexadecimal number") \
  X(chunk_size_long,     "chunk size of more than 16 digits in a request (differs)") \
  X(chunk_too_big,       "chunk of 2^52 bytes or more") \
  X(chunk_line_bad,      "chunk-size line that does not end in CRLF, or with junk behind the size") \
  X(chunk_size_blank,    "blank behind the size of a chunk of a request, and no extension (differs)") \
  X(chunk_extension_bad, "byte that is not visible in a chunk extension of a request (differs)") \
  X(chunk_end_bad,       "no CRLF behind the bytes of a chunk") \
  X(trailer_bad,         "malformed trailer line; in requests also with a control character (differs)") \
  X(trailer_line_feed,   "trailer line of a request that ends in LF without CR (differs)") \
  X(trailer_folded,      "request with a trailer folded over two lines (differs)") \
  X(trailer_forbidden,   "Host, Cookie, X-Forwarded-For or a length in a request's trailers (differs)")
// clang-format on

enum class BodyFault : uint8_t {
#define LIMPET_HTTP_BODY_FAULT_ENUM(name, text) name,
  LIMPET_HTTP_BODY_FAULTS(LIMPET_HTTP_BODY_FAULT_ENUM)
#undef LIMPET_HTTP_BODY_FAULT_ENUM
      count_
};
constexpr size_t kBodyFaultCount = static_cast<size_t>(BodyFault::count_);

const char* body_fault_name(BodyFault f);
const char* body_fault_text(BodyFault f);

class BodySkipper {
 public:
  BodySkipper() = default;  // of a message without a body: finished
  BodySkipper(Framing framing, Side side);

  // Takes from the front of `bytes` what belongs to the message and says how many bytes that is:
  // all of them, unless the message ended or turned out to be malformed within them. The byte that
  // is at fault does not count as taken. Returns 0 ever after.
  //
  // As HAProxy: chunk lines end in CRLF and nothing else, extensions are skipped. Trailers are
  // header lines; of a response they may be folded and end in a bare LF.
  size_t skip(std::span<const uint8_t> bytes);

  // The same up to the next byte of data: chunk lines, line ends and trailers only.
  size_t skip_framing(std::span<const uint8_t> bytes);

  bool finished() const;  // never for until_close and tunnel: the FIN ends those
  bool failed() const { return fault_ != BodyFault::none; }
  BodyFault fault() const { return fault_; }

  // How many of the next bytes belong to the message whatever they are (UINT64_MAX: all). A caller
  // may let up to that many pass without showing them: skip_blind(n), n <= blind().
  uint64_t blind() const;
  void skip_blind(uint64_t n);

  friend bool operator==(const BodySkipper&, const BodySkipper&) = default;

 private:
  enum class State : uint8_t;
  State fail(BodyFault fault);
  State step(uint8_t c);
  State trailer_name(uint8_t c);

  uint64_t left_ = 0;  // data bytes of the body or chunk; the chunk size while it is read
  State state_{};
  BodyFault fault_ = BodyFault::none;
  bool strict_ = false;  // of a request
  uint8_t count_ = 0;    // digits of the chunk size, bytes of the trailer's name; stays at its end
  uint8_t like_ = 0;     // a bit for each forbidden name that the trailer's begins like
};
static_assert(sizeof(BodySkipper) <= 16 && std::is_trivially_copyable_v<BodySkipper>);

}  // namespace limpet::http
