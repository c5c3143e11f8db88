#include "limpet/wire/checksum.h"

namespace limpet::wire {

Sum sum_of_blocks(const uint8_t* p, size_t length) {
  // Four columns of two lanes each. GCC 12 does not find this by itself: 1460 bytes take 33 ns this
  // way and 63 ns in the loop of sum_of().
  using Lanes = uint64_t __attribute__((vector_size(16)));
  constexpr Lanes kLow = {0xffffffff, 0xffffffff};
  Lanes a{}, b{}, c{}, d{};
  for (; length != 0; p += 32, length -= 32) {
    const auto left = load<Lanes>(p);
    const auto right = load<Lanes>(p + 16);
    a += left & kLow;
    b += left >> 32;
    c += right & kLow;
    d += right >> 32;
  }
  const Lanes all = (a + b) + (c + d);
  return {all[0] + all[1]};
}

}  // namespace limpet::wire
