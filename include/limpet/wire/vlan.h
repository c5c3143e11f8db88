// Priority tags: an 802.1Q tag of VLAN 0 says how urgent a frame is and nothing about where it
// belongs (IEEE 802.1Q, 9.6), so the frame is untagged traffic. Frames of a VLAN are not ours.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace limpet::wire {

constexpr size_t kVlanTag = 4;  // bytes

// Whether `bytes` is a frame with a priority tag, and no other tag behind it.
bool has_priority_tag(std::span<const uint8_t> bytes);

// Such a frame without its tag: the same bytes from offset kVlanTag on.
void cut_priority_tag(std::span<uint8_t> bytes);

}  // namespace limpet::wire
