// Source-address affinity: client address -> hash that chooses the backend. Stateless: the same on
// every node and after every restart, so the key is constant. An outsider who knows it can aim at a
// backend, which any client can do anyway by changing its address; it opens no collision attack, as
// the hash indexes an immutable table.
#pragma once

#include <cstdint>
#include <string_view>

#include "limpet/base/address.h"

namespace limpet::affinity {

struct SourceKey {
  uint8_t prefix4 = 32;
  uint8_t prefix6 = 64;
  uint64_t seed = 0;  // of the pool's name: services that share a pool agree on a client's backend
};

uint64_t seed_of(std::string_view pool_name);
IpAddress network_of(const SourceKey& key, const IpAddress& client);  // masked; families stay apart
uint64_t hash_source(const SourceKey& key, const IpAddress& client);

// No persistence configured: each connection on its own, but the same on every worker that sees it.
uint64_t hash_connection(uint64_t seed, const IpAddress& client, uint16_t client_port);

}  // namespace limpet::affinity
