// Raw Ethernet frames for the lab's attackers: checksums, MAC addresses, a socket.
#pragma once

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>

namespace raw {

// Of 16-bit words, not folded; goes on from `s`.
inline uint32_t sum(const void* data, size_t size, uint32_t s = 0) {
  const auto* p = static_cast<const uint8_t*>(data);
  for (size_t i = 0; i + 1 < size; i += 2) s += static_cast<uint32_t>(p[i] << 8 | p[i + 1]);
  if (size % 2 != 0) s += static_cast<uint32_t>(p[size - 1] << 8);
  return s;
}
// In network byte order.
inline uint16_t checksum(uint32_t s) {
  while (s >> 16 != 0) s = (s & 0xffff) + (s >> 16);
  return htons(static_cast<uint16_t>(~s));
}
// "02:00:..." to six octets.
inline void mac(const char* text, uint8_t* out) {
  for (int i = 0; i < 6; ++i) out[i] = static_cast<uint8_t>(std::stoi(text + 3 * i, nullptr, 16));
}
// Bound to an interface; `protocol` 0 receives nothing. -1, and it is said why, when it cannot be.
inline int open(const char* interface, int type, uint16_t protocol) {
  const int s = socket(AF_PACKET, type, htons(protocol));
  sockaddr_ll to{};
  to.sll_family = AF_PACKET;
  to.sll_ifindex = static_cast<int>(if_nametoindex(interface));
  if (s >= 0 && to.sll_ifindex != 0 && bind(s, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0)
    return s;
  perror(interface);
  return -1;
}

}  // namespace raw
