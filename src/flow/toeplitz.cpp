// The Toeplitz hash by table: one look-up per input byte.
#include "limpet/flow/toeplitz.h"

#include <cassert>

namespace limpet::flow {
namespace {

constexpr size_t kInput4 = 12;  // two addresses and two ports
constexpr size_t kInput6 = 36;

// Where the destination port stands in the hashed input.
constexpr size_t port_position(Family family) {
  return (family == Family::v4 ? kInput4 : kInput6) - 2;
}

// The 32 key bits from `bit` on: what an input bit at that place contributes.
uint32_t key_window(const RssKey& key, size_t bit) {
  uint64_t window = 0;
  for (size_t i = 0; i < 5; ++i) {
    const size_t byte = bit / 8 + i;
    window = window << 8 | (byte < key.size() ? key[byte] : 0);
  }
  return static_cast<uint32_t>(window >> (8 - bit % 8));
}

}  // namespace

const RssKey kDefaultRssKey = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67,
                               0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb,
                               0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
                               0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};

Toeplitz::Toeplitz(const RssKey& key)
    : table_(std::make_unique<std::array<std::array<uint32_t, 256>, 36>>()) {
  for (size_t position = 0; position < table_->size(); ++position) {
    std::array<uint32_t, 256>& row = (*table_)[position];
    row[0] = 0;
    for (unsigned byte = 1; byte < 256; ++byte) {
      const auto lowest = static_cast<unsigned>(__builtin_ctz(byte));
      row[byte] = row[byte & (byte - 1)] ^ key_window(key, position * 8 + 7 - lowest);
    }
  }
}

uint32_t Toeplitz::hash(const IpAddress& source, const IpAddress& destination) const {
  assert(source.family() == destination.family());
  const size_t skip = source.is_v4() ? 12 : 0;
  const size_t length = 16 - skip;
  const auto& table = *table_;
  uint32_t h = 0;
  for (size_t i = 0; i < length; ++i) {
    h ^= table[i][source.bytes[skip + i]] ^ table[length + i][destination.bytes[skip + i]];
  }
  return h;
}

uint32_t Toeplitz::hash(const IpAddress& source, const IpAddress& destination, be16 source_port,
                        be16 destination_port) const {
  const Family family = source.family();
  const size_t position = port_position(family) - 2;
  const uint16_t port = source_port.host();
  return hash(source, destination) ^ (*table_)[position][port >> 8] ^
         (*table_)[position + 1][port & 0xff] ^ port_term(family, destination_port);
}

uint32_t Toeplitz::port_term(Family family, be16 destination_port) const {
  const size_t position = port_position(family);
  const uint16_t port = destination_port.host();
  return (*table_)[position][port >> 8] ^ (*table_)[position + 1][port & 0xff];
}

unsigned Toeplitz::port_rank(Family family, unsigned bits, unsigned port_bits) const {
  assert(bits <= 32 && port_bits <= 16);
  const uint32_t mask = bits == 32 ? 0xffffffffu : (1u << bits) - 1;
  std::array<uint32_t, 32> basis{};  // by highest bit
  unsigned rank = 0;
  for (unsigned i = 0; i < port_bits; ++i) {
    uint32_t v = port_term(family, be16::from(static_cast<uint16_t>(1u << i))) & mask;
    while (v != 0) {
      uint32_t& pivot = basis[31 - static_cast<unsigned>(__builtin_clz(v))];
      if (pivot == 0) {
        pivot = v;
        ++rank;
        break;
      }
      v ^= pivot;
    }
  }
  return rank;
}

bool Toeplitz::shares_ports(Family family) const {
  for (unsigned bits = 1; bits <= kSharedBits; ++bits)
    if (port_rank(family, bits, bits + 1) != bits) return false;
  return true;
}

}  // namespace limpet::flow
