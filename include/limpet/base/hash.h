// Keyed hashes. SipHash-2-4 (libsodium) where an outsider chooses the input and time allows it;
// per-packet hashing lives in flow/. The key is a parameter: constant where every node must agree
// (Maglev, source affinity), random where only this process looks.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace limpet {

using HashKey = std::array<uint8_t, 16>;

uint64_t siphash(const HashKey& key, std::span<const uint8_t> bytes);
uint64_t siphash(const HashKey& key, std::string_view text);

// A bijective 64-bit finaliser (splitmix64, Steele et al. 2014): spreads, authenticates nothing.
constexpr uint64_t mix64(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

}  // namespace limpet
