// How a port is to be used, decided from what its driver reports and what limpet would like: pure,
// so every kind of NIC can be tried without having it. device.cpp carries it out.
#pragma once

#include <rte_ethdev.h>

#include <cstdint>
#include <string>
#include <vector>

#include "limpet/base/result.h"
#include "limpet/flow/toeplitz.h"

namespace limpet::port {

// The four packet types whose hash limpet computes itself (flow/toeplitz.h).
constexpr uint64_t kRssTypes = RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_NONFRAG_IPV4_UDP |
                               RTE_ETH_RSS_NONFRAG_IPV6_TCP | RTE_ETH_RSS_NONFRAG_IPV6_UDP;
constexpr uint32_t kSoftwareReta = 128;  // where the port has none
constexpr uint16_t kFrameOverhead = 18;  // Ethernet header and one VLAN tag

struct PortPlan {
  uint16_t rx_queues = 1, tx_queues = 1;
  uint16_t rx_descriptors = 0, tx_descriptors = 0;
  uint64_t rx_offloads = 0, tx_offloads = 0;
  uint64_t rss_types = 0;        // 0: the NIC does not spread
  std::vector<uint8_t> rss_key;  // as long as the NIC wants it
  uint16_t reta_size = 0;        // 0: no table to set
  bool trust_rss = false;        // queue = owner, once the settings were read back
  std::string why_no_trust;      // when there are several workers: for the log
};

struct PortWish {
  unsigned workers = 1;
  flow::RssKey key{};
  bool single_pool = true;  // every mbuf of the process comes from one pool
  bool all_queues = false;  // the kernel fills every queue that the device has, polled or not
};

PortPlan plan_port(const rte_eth_dev_info& info, const PortWish& wish);

// One entry of the redirection table: i -> queue i % workers, as flow::Reta says.
std::vector<rte_eth_rss_reta_entry64> redirection_table(uint16_t size, unsigned workers);

// Packet buffers that all of this may hold at once.
struct MbufDemand {
  struct Port {
    uint32_t rx_queues = 0, rx_descriptors = 0, tx_queues = 0, tx_descriptors = 0;
  };
  std::vector<Port> ports;
  unsigned workers = 1;
  uint32_t held_packets = 0;
};
uint32_t mbufs_needed(const MbufDemand& demand);

// Bytes of data room, headroom included, for frames of every port; `framesz` is the largest ring
// slot of an af_packet device, which wants to fit as a whole (0: none).
uint16_t mbuf_data_room(uint16_t largest_mtu, uint32_t framesz);

}  // namespace limpet::port
