// What happened to a persistence cookie: on the way in, on the way out, and what was wrong with it.
// Names are a public interface (`show persistence`, metrics), and so are the letters of requests
// (the session log): add, never rename. Letters are those of HAProxy's log, in the order in which
// counters are printed.
#pragma once

#include <cstddef>
#include <cstdint>

namespace limpet::affinity {

// clang-format off
#define LIMPET_REQUEST_FLAGS(X) \
  X(none,    'N') /* the client brought no cookie */ \
  X(invalid, 'I') /* a cookie that names no backend; the detail says why */ \
  X(down,    'D') /* a cookie of a backend that may not be used */ \
  X(valid,   'V') /* a cookie that brought the client to its backend */ \
  X(expired, 'E') /* a cookie that was not used for longer than idle_timeout */ \
  X(old,     'O') /* a cookie first issued longer ago than absolute_timeout */ \
  X(unused,  'U') /* a cookie was there, but something else decided */

#define LIMPET_RESPONSE_FLAGS(X) \
  X(none)      /* N: no cookie from the server, none added */ \
  X(inserted)  /* I: a cookie was added */ \
  X(updated)   /* U: the client's own cookie was issued again, with a fresh date or key */ \
  X(passive)   /* P: the server's cookie passed unchanged */ \
  X(rewritten) /* R: the server's cookie got our value, or our value in front of its own */ \
  X(deleted)   /* D: the server's cookie was taken out */

// Beside flag I, but for future_dated, which stands beside the E or O that HAProxy reports for it.
#define LIMPET_INVALID_DETAILS(X) \
  X(none)            /* nothing is wrong */ \
  X(empty)           /* no value */ \
  X(truncated)       /* shorter than a sealed cookie */ \
  X(too_long)        /* longer than a sealed cookie */ \
  X(bad_character)   /* a character that no sealed cookie has */ \
  X(trailing_bits)   /* bits behind the end are set: no encoder of ours did that */ \
  X(unknown_key)     /* sealed under a key that is not listed */ \
  X(forged)          /* not sealed by us, or for another service or cookie name */ \
  X(bad_version)     /* sealed by a version that is not understood here */ \
  X(future_dated)    /* issued or used more than 24 hours in the future */ \
  X(unknown_backend) /* names a backend that the pool does not have */ \
  X(not_learned)     /* no backend has set this value, or it was forgotten */
// clang-format on

enum class RequestFlag : uint8_t {
#define LIMPET_FLAG_ENUM(name, letter) name,
  LIMPET_REQUEST_FLAGS(LIMPET_FLAG_ENUM) count_
#undef LIMPET_FLAG_ENUM
};
#define LIMPET_NAME_ENUM(name) name,
enum class ResponseFlag : uint8_t { LIMPET_RESPONSE_FLAGS(LIMPET_NAME_ENUM) count_ };
enum class InvalidDetail : uint8_t { LIMPET_INVALID_DETAILS(LIMPET_NAME_ENUM) count_ };
#undef LIMPET_NAME_ENUM
constexpr size_t kRequestFlagCount = static_cast<size_t>(RequestFlag::count_);
constexpr size_t kResponseFlagCount = static_cast<size_t>(ResponseFlag::count_);
constexpr size_t kInvalidDetailCount = static_cast<size_t>(InvalidDetail::count_);

const char* name(RequestFlag f);    // "valid"
const char* name(ResponseFlag f);   // "inserted"
const char* name(InvalidDetail d);  // "forged"
char letter(RequestFlag f);         // 'V'

}  // namespace limpet::affinity
