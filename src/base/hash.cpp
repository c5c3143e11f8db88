#include "limpet/base/hash.h"

#include <sodium.h>

#include "limpet/base/endian.h"

namespace limpet {

static_assert(crypto_shorthash_siphash24_KEYBYTES == sizeof(HashKey));

uint64_t siphash(const HashKey& key, std::span<const uint8_t> bytes) {
  uint8_t out[crypto_shorthash_siphash24_BYTES];
  crypto_shorthash_siphash24(out, bytes.data(), bytes.size(), key.data());
  return load<uint64_t>(out);
}

uint64_t siphash(const HashKey& key, std::string_view text) {
  return siphash(key, std::span(reinterpret_cast<const uint8_t*>(text.data()), text.size()));
}

}  // namespace limpet
