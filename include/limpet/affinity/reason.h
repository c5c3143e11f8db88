// Why a client landed on its backend. The names are a public interface (`show flows`, telemetry,
// session log): add, never rename. The values are process-local: flow records keep them in a byte.
#pragma once

#include <cstddef>
#include <cstdint>

namespace limpet::affinity {

// clang-format off
#define LIMPET_REASONS(X) \
  X(no_backend,        "no usable backend in the pool") \
  X(connection,        "no persistence: each connection is balanced on its own") \
  X(source,            "source address") \
  X(source_redirected, "source address, but its backend was not usable: the next one") \
  X(source_pinned,     "source address, as an earlier connection of it was pinned") \
  X(header,            "value of a request header") \
  X(header_redirected, "value of a request header, but its backend was not usable: the next one") \
  X(header_none,       "the request has no value to go by: balanced") \
  X(cookie,            "persistence cookie") \
  X(cookie_draining,   "persistence cookie; its backend takes no new clients any more") \
  X(cookie_none,       "no persistence cookie yet: balanced") \
  X(cookie_invalid,    "persistence cookie that names no backend: balanced anew") \
  X(cookie_down,       "persistence cookie, but its backend may not be used: balanced anew") \
  X(cookie_expired,    "persistence cookie not used for too long: balanced anew") \
  X(cookie_old,        "persistence cookie issued too long ago: balanced anew") \
  X(bad_request,       "no backend was chosen: the first request was refused") \
  X(slow_request,      "no backend was chosen: the first request did not come in time") \
  X(client_gone,       "the client went away before a backend had answered it") \
  X(response_timeout,  "its backend did not answer a request, or go on answering it, in time") \
  X(no_memory,         "no backend was chosen: there was no memory for the connection or its edits")
// clang-format on

enum class Reason : uint8_t {
#define LIMPET_REASON_ENUM(name, text) name,
  LIMPET_REASONS(LIMPET_REASON_ENUM)
#undef LIMPET_REASON_ENUM
      count_
};
constexpr size_t kReasonCount = static_cast<size_t>(Reason::count_);

// The client has a backend of its own, and is at another one.
constexpr bool redirected(Reason r) {
  return r == Reason::source_redirected || r == Reason::header_redirected;
}

const char* reason_name(Reason r);  // "source_redirected"
const char* reason_text(Reason r);  // one line for people

}  // namespace limpet::affinity
