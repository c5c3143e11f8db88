// Who holds how much of a worker's memory: places by source prefix and kind of memory, so that when
// one kind becomes short the source that has most of it gives first. Pure: no clock, no memory but
// its own, nothing that depends on anything but the calls.
//
// A source is a /32 of IPv4. Of IPv6 whoever has one address has a /64 at least, most have a /56
// and some a /48: all three are counted, and weight() is the largest of the /64, a quarter of the
// /56 and a sixteenth of the /48. So one host is weighed as one host, somebody who spreads over his
// networks gains a factor of 16 at most, and the neighbors of a busy /48 are not taken for one.
//
// The counters are a fixed table under a keyed hash. Sources that share a cell are weighed
// together: a collision makes the judgement coarser, never wrong by more than what the other one
// has.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "limpet/base/address.h"
#include "limpet/base/hash.h"

namespace limpet::flow {

// Memory that somebody can fill who makes connections wait. In the order of pool_name().
enum class Pool : uint8_t {
  bindings,  // heads, backends and answers that are waited for; places of one
  holds,     // octets that are withheld; places of 2 kB
  edits,     // not acknowledged by their receiver; places of 64 bytes
  count_
};
constexpr size_t kPools = static_cast<size_t>(Pool::count_);
using Places = std::array<uint16_t, kPools>;  // of one connection

const char* pool_name(Pool p);
constexpr uint32_t bytes_of_place(Pool p) {  // 0: a place is not counted in bytes
  return p == Pool::holds ? 2048 : p == Pool::edits ? 64 : 0;
}

// How heavy a source of IPv6 is, by what the /64, the /56 and the /48 of its address have.
constexpr uint32_t heaviest_of(uint32_t host, uint32_t home, uint32_t site) {
  return std::max({host, home / 4, site / 16});
}

class Shares {
 public:
  struct Source {
    Prefix prefix;
    std::array<uint32_t, kPools> places{};
  };

  // cells: a power of two; key: of the hash, secret.
  explicit Shares(uint64_t key, size_t cells = 4096);

  // What a connection of `client` holds has changed from `before` to `now`.
  void change(const IpAddress& client, const Places& before, const Places& now);
  uint32_t weight(const IpAddress& client, Pool pool) const;

  // For whoever tells which sources have most; networks of all three lengths are among them.
  size_t cells() const { return cells_.size(); }
  const Source& at(size_t cell) const { return cells_[cell]; }

 private:
  size_t cell_of(const IpAddress& network, uint8_t length) const;
  void change(const IpAddress& client, uint8_t length, const Places& before, const Places& now);
  uint32_t held(const IpAddress& client, uint8_t length, Pool pool) const;

  uint64_t key_;
  std::vector<Source> cells_;
};

}  // namespace limpet::flow
