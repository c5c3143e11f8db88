// TCP sequence numbers: modulo 2^32, ordered as RFC 9293, 3.4 and RFC 1982 say. No implicit
// conversion, so a length is never compared with a position.
#pragma once

#include <cstdint>

namespace limpet::tcp {

struct Seq {
  uint32_t value = 0;

  friend constexpr bool operator==(Seq, Seq) = default;
  friend constexpr bool operator<(Seq a, Seq b) {
    return static_cast<int32_t>(a.value - b.value) < 0;
  }
  friend constexpr bool operator>(Seq a, Seq b) { return b < a; }
  friend constexpr bool operator<=(Seq a, Seq b) { return !(b < a); }
  friend constexpr bool operator>=(Seq a, Seq b) { return !(a < b); }
  friend constexpr Seq operator+(Seq a, uint32_t n) { return {a.value + n}; }
  friend constexpr Seq operator-(Seq a, uint32_t n) { return {a.value - n}; }
  friend constexpr int32_t operator-(Seq a, Seq b) {
    return static_cast<int32_t>(a.value - b.value);
  }
};

}  // namespace limpet::tcp
