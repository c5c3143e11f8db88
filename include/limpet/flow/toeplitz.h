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

  // Rank over GF(2) of the terms of the lowest `port_bits` of the destination port, restricted to
  // the low `bits`: equal to `bits` unless the key is degenerate and leaves RETA entries that no
  // such port reaches.
  unsigned port_rank(Family family, unsigned bits, unsigned port_bits = 16) const;

  // Few ports in a row reach many RETA entries, too: 2^(b+1) of them, from a multiple of that on,
  // all values of the low b bits, for all b up to kSharedBits. Of random keys one in four does, for
  // both families one in fourteen. With others a narrow range of source ports may leave every
  // second worker without any.
  static constexpr unsigned kSharedBits = 6;
  bool shares_ports(Family family) const;

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
