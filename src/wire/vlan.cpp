#include "limpet/wire/vlan.h"

#include <cassert>
#include <cstring>

#include "limpet/base/endian.h"
#include "limpet/wire/layout.h"

namespace limpet::wire {
namespace {

constexpr size_t kAddresses = 12;  // of both MACs
constexpr uint16_t kVlanId = 0x0fff;

uint16_t word(std::span<const uint8_t> bytes, size_t at) {
  return load<be16>(bytes.data() + at).host();
}

}  // namespace

bool has_priority_tag(std::span<const uint8_t> bytes) {
  if (bytes.size() < eth::kSize + kVlanTag || word(bytes, eth::kType) != eth::kVlan) return false;
  if ((word(bytes, eth::kSize) & kVlanId) != 0) return false;
  const uint16_t type = word(bytes, eth::kType + kVlanTag);
  return type != eth::kVlan && type != eth::kServiceVlan;
}

void cut_priority_tag(std::span<uint8_t> bytes) {
  assert(has_priority_tag(bytes));
  std::memmove(bytes.data() + kVlanTag, bytes.data(), kAddresses);
}

}  // namespace limpet::wire
