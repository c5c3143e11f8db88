// The Toeplitz hash of receive-side scaling (Microsoft RSS specification; the hash that NICs
// compute), in software: for ports without RSS, for the tuple quoted in an ICMP error, and for
// choosing source ports such that a backend's answer arrives at the worker that owns the flow.
// Linear over GF(2): hash(tuple with destination port p) = hash(tuple with port 0) xor
// port_term(p).
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "limpet/base/address.h"

namespace limpet::flow {

constexpr size_t kRssKeyBytes = 40;
using RssKey = std::array<uint8_t, kRssKeyBytes>;
extern const RssKey kDefaultRssKey;  // Microsoft's verification key

class Toeplitz {
 public:
  explicit Toeplitz(const RssKey& key);

  // Ports are part of the hash (the TCP and UDP variants of RSS).
  uint32_t hash(const IpAddress& source, const IpAddress& destination, be16 source_port,
                be16 destination_port) const;
  uint32_t hash(const IpAddress& source,
                const IpAddress& destination) const;  // the IP-only variant
  uint32_t port_term(Family family, be16 destination_port) const;

  // Rank over GF(2) of the destination-port terms restricted to the low `bits`: equal to `bits`
  // unless the key is degenerate and leaves RETA entries that no source port reaches.
  unsigned port_rank(Family family, unsigned bits) const;

 private:
  // Table look-up by byte position: 36 positions of 256 words.
  std::unique_ptr<std::array<std::array<uint32_t, 256>, 36>> table_;
};

// Which worker a hash belongs to: RETA entry hash & (size - 1), entry i owned by worker i %
// workers.
struct Reta {
  uint32_t size = 128;  // power of two
  uint32_t workers = 1;
  uint32_t owner(uint32_t hash) const { return (hash & (size - 1)) % workers; }
};

}  // namespace limpet::flow
