// How the backend is told who the client is.
#pragma once

#include <cstdint>

namespace limpet {

enum class Forwarded : uint8_t {
  none,
  x_forwarded_for,  // a header line in every request, behind those that the client sent
  proxy_v1,         // in front of the first octet: text
  proxy_v2          // binary
};

}  // namespace limpet
