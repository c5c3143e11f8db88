#include "limpet/http/parameter.h"

#include <algorithm>

#include "chars.h"
#include "lines.h"

namespace limpet::http {
namespace {

// The value of `name` among parameters that fill `r`; `separates(c)` tells where one ends.
template <class Separates>
Range find_among(Bytes bytes, Range r, std::string_view name, Separates&& separates) {
  const auto size = static_cast<uint32_t>(name.size());
  for (uint32_t at = r.begin; at < r.end;) {
    uint32_t end = at;
    while (end < r.end && !separates(bytes[end])) ++end;
    if (end - at > size && bytes[at + size] == '=' && text_of(bytes, {at, at + size}) == name)
      return {at + size + 1, end};
    at = end + 1;
  }
  return {};
}

}  // namespace

Range find_parameter(std::span<const uint8_t> bytes, Range target, std::string_view name,
                     Parameters where) {
  target.end = std::min(target.end, static_cast<uint32_t>(bytes.size()));
  const uint32_t query = find_byte(bytes, target.begin, target.end, '?');
  if (where == Parameters::query) {
    if (query == target.end) return {};
    return find_among(bytes, {query + 1, target.end}, name,
                      [](uint8_t c) { return c == '&' || c == ';' || c == '?'; });
  }
  const uint32_t first = find_byte(bytes, target.begin, query, ';');
  if (first == query) return {};
  return find_among(bytes, {first + 1, query}, name,
                    [](uint8_t c) { return c == ';' || c == '&' || c == '/'; });
}

}  // namespace limpet::http
