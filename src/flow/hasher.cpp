// KeyHasher: the keyed hash of both flow keys.
#include "limpet/base/endian.h"
#include "limpet/base/hash.h"
#include "limpet/flow/table.h"

namespace limpet::flow {
namespace {

// The fourth word tells the directions apart, so a forward key never equals a reverse key.
constexpr uint64_t kForward = 1;
constexpr uint64_t kReverse = 2;

// NH over four words: (w0+k0)(w1+k1) + (w2+k2)(w3+k3) in 128 bits; two different keys meet with
// probability 2^-64 over the secret. The halves are folded with a secret odd factor and then
// spread: the table takes its bucket from the upper half and its tag from the lower.
uint64_t nh(const std::array<uint64_t, 8>& k, uint64_t w0, uint64_t w1, uint64_t w2, uint64_t w3) {
  __extension__ using u128 = unsigned __int128;
  const u128 sum =
      static_cast<u128>(w0 + k[0]) * (w1 + k[1]) + static_cast<u128>(w2 + k[2]) * (w3 + k[3]);
  const auto low = static_cast<uint64_t>(sum);
  const auto high = static_cast<uint64_t>(sum >> 64);
  return mix64((low ^ (high * (k[4] | 1))) + k[5]);
}

}  // namespace

uint64_t KeyHasher::operator()(const ForwardKey& key) const {
  const uint64_t rest =
      static_cast<uint64_t>(key.client_port.raw) | static_cast<uint64_t>(key.service) << 16;
  return nh(k_, key.client.high(), key.client.low(), rest, kForward);
}

uint64_t KeyHasher::operator()(const ReverseKey& key) const {
  const uint64_t rest =
      static_cast<uint64_t>(key.backend_port.raw) | static_cast<uint64_t>(key.source) << 16 |
      static_cast<uint64_t>(key.source_port.raw) << 32 | static_cast<uint64_t>(key.protocol) << 48;
  return nh(k_, key.backend.high(), key.backend.low(), rest, kReverse);
}

}  // namespace limpet::flow
