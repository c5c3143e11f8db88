// Parameters of a request target: of its query, or of its path (";jsessionid=...").
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "limpet/http/head.h"

namespace limpet::http {

enum class Parameters : uint8_t {
  // HAProxy's url_param: behind the first '?', separated by '&', ';' or '?'.
  query,
  // Behind the first ';' and before the query, separated by ';', '&' or '/'. (HAProxy's
  // url_param(name,;) would let the value run on into the query.)
  path,
};

// The value of the first parameter of that exact, case-sensitive name, not decoded, perhaps empty;
// an absent Range when there is none. `target` lies within `bytes`, and so does the answer.
Range find_parameter(std::span<const uint8_t> bytes, Range target, std::string_view name,
                     Parameters where);

}  // namespace limpet::http
