#include "limpet/affinity/source.h"

#include <array>

#include "limpet/base/endian.h"
#include "limpet/base/hash.h"

namespace limpet::affinity {

namespace {

// Constant, as all nodes must agree and a restart must not move anyone: a changed letter, or a
// changed layout of the hashed bytes below, moves every client. One key per purpose keeps the
// hashes apart.
constexpr HashKey kSeedKey = {'a', 'f', 'f', 'i', 'n', 'i', 't', 'y',
                              '/', 'p', 'o', 'o', 'l', '/', 'v', '1'};
constexpr HashKey kSourceKey = {'a', 'f', 'f', 'i', 'n', 'i', 't', 'y',
                                '/', 's', 'r', 'c', 'e', '/', 'v', '1'};
constexpr HashKey kConnectionKey = {'a', 'f', 'f', 'i', 'n', 'i', 't', 'y',
                                    '/', 'c', 'o', 'n', 'n', '/', 'v', '1'};

}  // namespace

uint64_t seed_of(std::string_view pool_name) {
  return siphash(kSeedKey, pool_name);
}

IpAddress network_of(const SourceKey& key, const IpAddress& client) {
  return mask(client, client.is_v4() ? key.prefix4 : key.prefix6);
}

uint64_t hash_source(const SourceKey& key, const IpAddress& client) {
  // seed, address; masking leaves ::ffff:0:0/96 in front of IPv4, so the families stay apart.
  std::array<uint8_t, 24> bytes;
  store(bytes.data(), key.seed);
  store(bytes.data() + 8, network_of(key, client));
  return siphash(kSourceKey, bytes);
}

uint64_t hash_connection(uint64_t seed, const IpAddress& client, uint16_t client_port) {
  // seed, address, port in network order.
  std::array<uint8_t, 26> bytes;
  store(bytes.data(), seed);
  store(bytes.data() + 8, client);
  store(bytes.data() + 24, be16::from(client_port));
  return siphash(kConnectionKey, bytes);
}

}  // namespace limpet::affinity
