#include "plan.h"

#include <fmt/core.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <bit>

#include "limpet/port/eal_values.h"

namespace limpet::port {
namespace {

constexpr uint16_t kDescriptors = 1024;  // where the driver recommends nothing
constexpr uint32_t kMbufCache = 256;     // per lcore and pool
// Beside its share of descriptors and held packets a worker may have: frames in the ring towards it
// (2048), copies of SYNs (4096), and what is in its hands.
constexpr uint32_t kMbufsPerWorker = 2048 + 4096 + 2 * 32;
constexpr uint32_t kTxBuffer = 64;  // per worker and port

uint16_t within(uint16_t wanted, const rte_eth_desc_lim& limit) {
  uint16_t n = wanted;
  if (limit.nb_align > 1)
    n = static_cast<uint16_t>((n + limit.nb_align - 1) / limit.nb_align * limit.nb_align);
  if (limit.nb_max != 0) n = std::min(n, limit.nb_max);
  return std::max(n, limit.nb_min);
}

void plan_rss(const rte_eth_dev_info& info, const PortWish& wish, PortPlan& plan) {
  plan.rss_types = info.flow_type_rss_offloads & kRssTypes;
  const size_t key_size = info.hash_key_size == 0 ? flow::kRssKeyBytes : info.hash_key_size;
  const uint16_t reta = info.reta_size;
  const bool reta_usable = reta != 0 && reta <= RTE_ETH_RSS_RETA_SIZE_512 &&
                           std::has_single_bit(reta) && reta >= plan.rx_queues;
  // Only the first bytes of a longer key meet the tuples that limpet hashes.
  plan.rss_key.resize(key_size);
  for (size_t i = 0; i < key_size; ++i) plan.rss_key[i] = wish.key[i % wish.key.size()];
  if (plan.rss_types != 0 && reta_usable) plan.reta_size = reta;

  if (plan.rss_types == 0)
    plan.why_no_trust = "it has no receive-side scaling";
  else if (plan.rss_types != kRssTypes)
    plan.why_no_trust = "its receive-side scaling does not cover TCP and UDP over IPv4 and IPv6";
  else if (key_size < flow::kRssKeyBytes)
    plan.why_no_trust =
        fmt::format("its hash key has {} bytes instead of {}", key_size, flow::kRssKeyBytes);
  else if (!reta_usable)
    plan.why_no_trust = fmt::format("its redirection table has {} entries", reta);
  else if (plan.rx_queues != wish.workers)
    plan.why_no_trust =
        fmt::format("it has {} queues for {} workers", plan.rx_queues, wish.workers);
  else
    plan.trust_rss = true;
}

}  // namespace

PortPlan plan_port(const rte_eth_dev_info& info, const PortWish& wish) {
  PortPlan plan;
  const auto most = std::max<uint16_t>(1, std::min(info.max_rx_queues, info.max_tx_queues));
  const auto wanted = wish.all_queues ? most : static_cast<uint16_t>(wish.workers);
  plan.rx_queues = plan.tx_queues = std::min(most, wanted);

  plan.rx_descriptors = within(info.default_rxportconf.ring_size, info.rx_desc_lim);
  plan.tx_descriptors = within(info.default_txportconf.ring_size, info.tx_desc_lim);
  if (info.default_rxportconf.ring_size == 0)
    plan.rx_descriptors = within(kDescriptors, info.rx_desc_lim);
  if (info.default_txportconf.ring_size == 0)
    plan.tx_descriptors = within(kDescriptors, info.tx_desc_lim);

  plan.rx_offloads =
      info.rx_offload_capa &
      (RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM);
  if (wish.single_pool) plan.tx_offloads = info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;

  if (wish.workers > 1) plan_rss(info, wish, plan);
  return plan;
}

std::vector<rte_eth_rss_reta_entry64> redirection_table(uint16_t size, unsigned workers) {
  std::vector<rte_eth_rss_reta_entry64> table((size + RTE_ETH_RETA_GROUP_SIZE - 1) /
                                              RTE_ETH_RETA_GROUP_SIZE);
  for (unsigned i = 0; i < size; ++i) {
    rte_eth_rss_reta_entry64& group = table[i / RTE_ETH_RETA_GROUP_SIZE];
    group.mask |= uint64_t{1} << (i % RTE_ETH_RETA_GROUP_SIZE);
    group.reta[i % RTE_ETH_RETA_GROUP_SIZE] = static_cast<uint16_t>(i % workers);
  }
  return table;
}

uint32_t mbufs_needed(const MbufDemand& demand) {
  uint64_t n = demand.held_packets;
  for (const MbufDemand::Port& p : demand.ports)
    n += uint64_t{p.rx_queues} * p.rx_descriptors + uint64_t{p.tx_queues} * p.tx_descriptors;
  // A cache may hold half as much again as its size; the control thread has one too.
  n += uint64_t{demand.workers} * (kMbufsPerWorker + kTxBuffer * demand.ports.size()) +
       (uint64_t{demand.workers} + 1) * (kMbufCache + kMbufCache / 2);
  return static_cast<uint32_t>(std::min<uint64_t>(n, UINT32_MAX));
}

uint64_t least_memory(unsigned workers, size_t ports, uint32_t held_packets, uint16_t largest_mtu) {
  const MbufDemand demand{std::vector<MbufDemand::Port>(ports), workers, held_packets};
  return uint64_t{mbufs_needed(demand)} * (mbuf_data_room(largest_mtu, 0) + sizeof(rte_mbuf));
}

uint16_t mbuf_data_room(uint16_t largest_mtu, uint32_t framesz) {
  const uint32_t frame =
      std::max<uint32_t>({2048, static_cast<uint32_t>(largest_mtu) + kFrameOverhead, framesz});
  // Rounded so that buffers begin on cache lines.
  return static_cast<uint16_t>(
      std::min<uint32_t>((frame + RTE_PKTMBUF_HEADROOM + 63) / 64 * 64, 65472));
}

}  // namespace limpet::port
