// How packets of a service reach a backend, and the answers their client: the setting `mode`.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace limpet {

enum class Forwarding : uint8_t {
  nat,     // full NAT, packet by packet
  splice,  // limpet ends the client's connection and opens another one towards the backend
};
// At most four: a flow record has two bits for it.
constexpr std::array<std::string_view, 2> kForwardingNames{"nat", "splice"};

constexpr std::string_view name_of(Forwarding f) {
  return kForwardingNames[static_cast<size_t>(f)];
}

// Whether what a backend answers passes through us. Such a flow has a source port of ours towards
// its backend, and a second key that its answers are found by; a one-way flow has neither.
constexpr bool two_way(Forwarding f) {
  switch (f) {
    case Forwarding::nat:
    case Forwarding::splice:
      return true;
  }
  return true;
}

}  // namespace limpet
