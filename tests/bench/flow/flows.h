// The flows that the benchmarks put into either table, made from a number so that nothing is
// stored.
#pragma once

#include <cstdint>
#include <vector>

#include "limpet/base/hash.h"
#include "limpet/flow/table.h"

namespace limpet::flow {

constexpr unsigned kBurst = 32;
constexpr size_t kOrder = 1u << 20;  // keys that a run cycles through, in random order

inline ForwardKey forward_of(uint32_t i) {
  return {IpAddress::v4(10, static_cast<uint8_t>(i >> 16), static_cast<uint8_t>(i >> 8),
                        static_cast<uint8_t>(i)),
          be16::from(static_cast<uint16_t>(1024 + (i >> 24))), 1};
}

// 64 source addresses and 2 backends share the ports out.
inline const std::vector<Endpoint>& bench_backends() {
  static const std::vector<Endpoint> backends{{IpAddress::v4(10, 2, 0, 10), be16::from(80)},
                                              {IpAddress::v4(10, 2, 0, 11), be16::from(80)}};
  return backends;
}

inline ReverseKey reverse_of(uint32_t i) {
  const Endpoint& backend = bench_backends()[i & 1];
  return {backend.address, backend.port, static_cast<uint16_t>(i >> 16 & 0xff),
          be16::from(static_cast<uint16_t>(i)), 6};
}

inline void fill_record(Record& r, uint32_t i) {
  const ForwardKey forward = forward_of(i);
  const ReverseKey reverse = reverse_of(i);
  r.client = forward.client;
  r.client_port = forward.client_port;
  r.service = forward.service;
  r.backend = i & 1;
  r.source = reverse.source;
  r.source_port = reverse.source_port;
  r.protocol = reverse.protocol;
}

inline std::vector<uint32_t> random_order(uint32_t flows) {
  std::vector<uint32_t> order(kOrder);
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<uint32_t>(mix64(i) % flows);
  return order;
}

}  // namespace limpet::flow
