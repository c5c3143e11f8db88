#include "limpet/base/hash.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

namespace limpet {
namespace {

// The vectors of the SipHash paper's reference: key 00..0f, input 00..(n-1).
TEST(SipHash, matches_the_reference_vectors) {
  HashKey key;
  std::iota(key.begin(), key.end(), uint8_t{0});
  std::vector<uint8_t> input(15);
  std::iota(input.begin(), input.end(), uint8_t{0});
  EXPECT_EQ(siphash(key, std::span<const uint8_t>{}), 0x726fdb47dd0e0e31u);
  EXPECT_EQ(siphash(key, std::span<const uint8_t>(input)), 0xa129ca6149be45e5u);
}

}  // namespace
}  // namespace limpet
