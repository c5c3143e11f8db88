// Network byte order as a type: a be16 never turns into a number unless asked, so port and length
// confusions do not compile. Trivially copyable, same size as the integer, usable inside header
// structs.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace limpet {

static_assert(std::endian::native == std::endian::little, "limpet targets little-endian machines");

template <class U>
constexpr U byteswap(U v) {
  if constexpr (sizeof(U) == 2) return static_cast<U>(__builtin_bswap16(v));
  if constexpr (sizeof(U) == 4) return static_cast<U>(__builtin_bswap32(v));
  if constexpr (sizeof(U) == 8) return static_cast<U>(__builtin_bswap64(v));
}

template <class U>
struct BigEndian {
  U raw;  // the bytes as they stand in the packet

  static constexpr BigEndian from(U host) { return {byteswap(host)}; }
  constexpr U host() const { return byteswap(raw); }
  friend constexpr bool operator==(BigEndian, BigEndian) = default;
};

using be16 = BigEndian<uint16_t>;
using be32 = BigEndian<uint32_t>;

static_assert(sizeof(be16) == 2 && sizeof(be32) == 4);
static_assert(std::is_trivially_copyable_v<be16> && std::is_trivially_copyable_v<be32>);

// Unaligned loads and stores; packets promise no alignment.
template <class T>
T load(const uint8_t* p) {
  static_assert(std::is_trivially_copyable_v<T>);
  T v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
template <class T>
void store(uint8_t* p, const T& v) {
  static_assert(std::is_trivially_copyable_v<T>);
  std::memcpy(p, &v, sizeof v);
}

}  // namespace limpet
