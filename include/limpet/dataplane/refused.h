// Why limpet answers a spliced connection's request itself, or ends the connection: the names of
// `limpetctl show refusals`, of which http/head.h and http/body.h have those about octets.
#pragma once

#include <cstddef>
#include <cstdint>

#include "limpet/http/body.h"
#include "limpet/http/head.h"

namespace limpet::dataplane {

// Public names, as http::Refusal's.
// clang-format off
#define LIMPET_DATAPLANE_REFUSED(X) \
  X(head_slow,       "head that is not complete within limits.head_time") \
  X(head_too_long,   "head of more than limits.head_bytes") \
  X(head_unfinished, "stream that ends within a head") \
  X(head_unedited,   "head that could not be edited: too many cookies, or no memory") \
  X(upgrade_unasked, "101 that no request asked for") \
  X(response_unread, "request behind a response that cannot be followed")
// clang-format on

enum class Refused : uint8_t {
#define LIMPET_DATAPLANE_REFUSED_ENUM(name, text) name,
  LIMPET_DATAPLANE_REFUSED(LIMPET_DATAPLANE_REFUSED_ENUM)
#undef LIMPET_DATAPLANE_REFUSED_ENUM
      count_
};

// One numbering of all of them; "none" of each list stands for nothing.
constexpr size_t kRefusedCount =
    http::kRefusalCount + http::kBodyFaultCount + static_cast<size_t>(Refused::count_);
constexpr size_t refused(http::Refusal r) {
  return static_cast<size_t>(r);
}
constexpr size_t refused(http::BodyFault f) {
  return http::kRefusalCount + static_cast<size_t>(f);
}
constexpr size_t refused(Refused r) {
  return http::kRefusalCount + http::kBodyFaultCount + static_cast<size_t>(r);
}
const char* refused_name(size_t number);
const char* refused_text(size_t number);

}  // namespace limpet::dataplane
