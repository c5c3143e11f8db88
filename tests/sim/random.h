// Random numbers that are the same on every machine and with every library: a seed is a test case.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>

namespace limpet::sim {

// SplitMix64 (Steele, Lea, Flood 2014): one addition and a finalizer, any seed is good.
constexpr uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

class Random {
 public:
  explicit constexpr Random(uint64_t seed) : state_(mix(seed)) {}

  constexpr uint64_t next() {
    const uint64_t r = mix(state_);
    state_ += 0x9e3779b97f4a7c15u;
    return r;
  }
  // 0 .. n - 1; n > 0.
  constexpr uint64_t below(uint64_t n) { return next() % n; }
  constexpr uint64_t between(uint64_t low, uint64_t high) { return low + below(high - low + 1); }
  // True `n` times in `of`.
  constexpr bool chance(uint64_t n, uint64_t of = 100) { return n > 0 && below(of) < n; }
  template <class T>
  constexpr T pick(std::initializer_list<T> of) {
    return of.begin()[below(of.size())];
  }

 private:
  uint64_t state_;
};

// The stream of a seed: octet `offset` is the same whoever asks and however it is cut.
constexpr uint8_t stream_byte(uint64_t seed, uint64_t offset) {
  return static_cast<uint8_t>(mix(seed ^ (offset / 8)) >> (offset % 8 * 8));
}
void fill_stream(uint64_t seed, uint64_t offset, std::span<uint8_t> out);

}  // namespace limpet::sim
