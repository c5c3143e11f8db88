// Places by source prefix: one cell a network, three networks an IPv6 address.
#include "limpet/flow/shares.h"

#include <algorithm>
#include <cassert>

namespace limpet::flow {
namespace {

constexpr uint8_t kHost = 64, kHome = 56, kSite = 48;  // lengths of IPv6 networks

}  // namespace

const char* pool_name(Pool p) {
  switch (p) {
    case Pool::bindings:
      return "bindings";
    case Pool::holds:
      return "holds";
    case Pool::edits:
      return "edits";
    case Pool::count_:
      break;
  }
  return "?";
}

Shares::Shares(uint64_t key, size_t cells) : key_(key), cells_(cells) {
  assert(cells != 0 && (cells & (cells - 1)) == 0);
}

size_t Shares::cell_of(const IpAddress& network, uint8_t length) const {
  return mix64(mix64(network.high() ^ key_) ^ network.low() ^ length) & (cells_.size() - 1);
}

void Shares::change(const IpAddress& client, uint8_t length, const Places& before,
                    const Places& now) {
  const IpAddress network = mask(client, length);
  Source& s = cells_[cell_of(network, length)];
  const bool empty =
      std::all_of(s.places.begin(), s.places.end(), [](uint32_t n) { return n == 0; });
  if (empty) s.prefix = {network, length};
  for (size_t i = 0; i < kPools; ++i) {
    assert(s.places[i] + now[i] >= before[i]);
    s.places[i] += static_cast<uint32_t>(now[i]) - before[i];
  }
}

void Shares::change(const IpAddress& client, const Places& before, const Places& now) {
  if (client.is_v4()) return change(client, 32, before, now);
  for (const uint8_t length : {kHost, kHome, kSite}) change(client, length, before, now);
}

uint32_t Shares::held(const IpAddress& client, uint8_t length, Pool pool) const {
  return cells_[cell_of(mask(client, length), length)].places[static_cast<size_t>(pool)];
}

uint32_t Shares::weight(const IpAddress& client, Pool pool) const {
  if (client.is_v4()) return held(client, 32, pool);
  return heaviest_of(held(client, kHost, pool), held(client, kHome, pool),
                     held(client, kSite, pool));
}

}  // namespace limpet::flow
