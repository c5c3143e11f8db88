#include "plan.h"

#include <gtest/gtest.h>

namespace limpet::port {
namespace {

rte_eth_dev_info nic() {
  rte_eth_dev_info info{};
  info.max_rx_queues = 16;
  info.max_tx_queues = 16;
  info.reta_size = 128;
  info.hash_key_size = 40;
  info.flow_type_rss_offloads = RTE_ETH_RSS_IPV4 | kRssTypes;
  info.rx_offload_capa = RTE_ETH_RX_OFFLOAD_CHECKSUM | RTE_ETH_RX_OFFLOAD_TCP_LRO;
  info.tx_offload_capa = RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE | RTE_ETH_TX_OFFLOAD_TCP_TSO;
  info.rx_desc_lim = {.nb_max = 4096, .nb_min = 64, .nb_align = 32};
  info.tx_desc_lim = info.rx_desc_lim;
  info.default_rxportconf.ring_size = 512;
  info.default_txportconf.ring_size = 256;
  return info;
}

PortWish wish(unsigned workers) {
  PortWish w;
  w.workers = workers;
  for (size_t i = 0; i < w.key.size(); ++i) w.key[i] = static_cast<uint8_t>(i + 1);
  return w;
}

TEST(PortPlan, one_queue_for_each_worker) {
  const PortPlan plan = plan_port(nic(), wish(3));
  EXPECT_EQ(plan.rx_queues, 3);
  EXPECT_EQ(plan.tx_queues, 3);
  EXPECT_TRUE(plan.trust_rss);
  EXPECT_EQ(plan.reta_size, 128);
  EXPECT_EQ(plan.rss_types, kRssTypes);  // the plain IPv4 hash would catch what has ports too
  EXPECT_TRUE(plan.why_no_trust.empty());
}

TEST(PortPlan, one_worker_needs_no_spreading) {
  const PortPlan plan = plan_port(nic(), wish(1));
  EXPECT_EQ(plan.rx_queues, 1);
  EXPECT_EQ(plan.rss_types, 0u);
  EXPECT_FALSE(plan.trust_rss);
  EXPECT_TRUE(plan.why_no_trust.empty());
}

TEST(PortPlan, fewer_queues_than_workers_are_not_trusted) {
  rte_eth_dev_info info = nic();
  info.max_tx_queues = 2;
  const PortPlan plan = plan_port(info, wish(4));
  EXPECT_EQ(plan.rx_queues, 2);
  EXPECT_EQ(plan.tx_queues, 2);
  EXPECT_FALSE(plan.trust_rss);
  EXPECT_EQ(plan.rss_types, kRssTypes);  // the two queues are still used
  EXPECT_EQ(plan.why_no_trust, "it has 2 queues for 4 workers");
}

TEST(PortPlan, a_kernel_that_fills_every_queue_gets_them_all_read) {
  rte_eth_dev_info info{};
  info.max_rx_queues = info.max_tx_queues = 4;
  PortWish w = wish(2);
  w.all_queues = true;
  const PortPlan plan = plan_port(info, w);
  EXPECT_EQ(plan.rx_queues, 4);
  EXPECT_FALSE(plan.trust_rss);
}

TEST(PortPlan, trust_needs_all_four_packet_types) {
  for (const uint64_t type : {RTE_ETH_RSS_NONFRAG_IPV4_TCP, RTE_ETH_RSS_NONFRAG_IPV4_UDP,
                              RTE_ETH_RSS_NONFRAG_IPV6_TCP, RTE_ETH_RSS_NONFRAG_IPV6_UDP}) {
    rte_eth_dev_info info = nic();
    info.flow_type_rss_offloads &= ~type;
    const PortPlan plan = plan_port(info, wish(2));
    EXPECT_FALSE(plan.trust_rss);
    EXPECT_EQ(plan.rss_types, kRssTypes & ~type);
  }
  rte_eth_dev_info none = nic();
  none.flow_type_rss_offloads = 0;
  EXPECT_FALSE(plan_port(none, wish(2)).trust_rss);
  EXPECT_EQ(plan_port(none, wish(2)).why_no_trust, "it has no receive-side scaling");
}

TEST(PortPlan, a_longer_key_repeats_ours) {
  rte_eth_dev_info info = nic();
  info.hash_key_size = 52;
  const PortPlan plan = plan_port(info, wish(2));
  ASSERT_EQ(plan.rss_key.size(), 52u);
  EXPECT_EQ(plan.rss_key[39], 40);
  EXPECT_EQ(plan.rss_key[40], 1);
  EXPECT_EQ(plan.rss_key[51], 12);
  EXPECT_TRUE(plan.trust_rss);
  info.hash_key_size = 16;
  EXPECT_FALSE(plan_port(info, wish(2)).trust_rss);
  info.hash_key_size = 0;  // not reported
  EXPECT_EQ(plan_port(info, wish(2)).rss_key.size(), 40u);
}

TEST(PortPlan, a_table_that_is_no_power_of_two_is_not_used) {
  for (const uint16_t size : {uint16_t{0}, uint16_t{100}, uint16_t{1024}}) {
    rte_eth_dev_info info = nic();
    info.reta_size = size;
    const PortPlan plan = plan_port(info, wish(2));
    EXPECT_FALSE(plan.trust_rss) << size;
    EXPECT_EQ(plan.reta_size, 0) << size;
  }
}

TEST(PortPlan, takes_only_offloads_that_are_offered) {
  const PortPlan plan = plan_port(nic(), wish(1));
  EXPECT_EQ(plan.rx_offloads, RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM |
                                  RTE_ETH_RX_OFFLOAD_UDP_CKSUM);
  EXPECT_EQ(plan.tx_offloads, RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE);
  rte_eth_dev_info bare{};
  bare.max_rx_queues = bare.max_tx_queues = 1;
  EXPECT_EQ(plan_port(bare, wish(1)).rx_offloads, 0u);
  EXPECT_EQ(plan_port(bare, wish(1)).tx_offloads, 0u);
}

TEST(PortPlan, fast_free_needs_a_single_pool) {
  PortWish w = wish(2);
  w.single_pool = false;
  EXPECT_EQ(plan_port(nic(), w).tx_offloads, 0u);
}

TEST(PortPlan, takes_the_drivers_number_of_descriptors) {
  const PortPlan plan = plan_port(nic(), wish(1));
  EXPECT_EQ(plan.rx_descriptors, 512);
  EXPECT_EQ(plan.tx_descriptors, 256);
}

TEST(PortPlan, keeps_our_number_of_descriptors_within_limits) {
  rte_eth_dev_info info = nic();
  info.default_rxportconf.ring_size = 0;
  info.default_txportconf.ring_size = 0;
  EXPECT_EQ(plan_port(info, wish(1)).rx_descriptors, 1024);
  info.rx_desc_lim.nb_max = 256;
  info.tx_desc_lim.nb_align = 1000;
  EXPECT_EQ(plan_port(info, wish(1)).rx_descriptors, 256);
  EXPECT_EQ(plan_port(info, wish(1)).tx_descriptors, 2000);
  rte_eth_dev_info software{};  // reports nothing
  software.max_rx_queues = software.max_tx_queues = 1;
  EXPECT_EQ(plan_port(software, wish(1)).rx_descriptors, 1024);
}

TEST(RedirectionTable, deals_entries_to_queues_in_turn) {
  const auto table = redirection_table(128, 3);
  ASSERT_EQ(table.size(), 2u);
  const flow::Reta reta{.size = 128, .workers = 3};
  for (unsigned i = 0; i < 128; ++i) {
    EXPECT_EQ(table[i / 64].reta[i % 64], reta.owner(i)) << i;
    EXPECT_NE(table[i / 64].mask & (uint64_t{1} << (i % 64)), 0u) << i;
  }
  EXPECT_EQ(redirection_table(16, 2)[0].mask, 0xffffu);
}

TEST(Mbufs, are_enough_for_everything_that_holds_them_at_once) {
  MbufDemand demand;
  demand.held_packets = 4096;
  demand.workers = 2;
  demand.ports = {{2, 512, 2, 256}, {1, 1024, 1, 1024}};
  const uint32_t n = mbufs_needed(demand);
  EXPECT_GE(n, 4096u + 2 * 512 + 2 * 256 + 2048 + 2 * (2048 + 4096) + 2 * 2 * 64);
  demand.held_packets += 1000;
  EXPECT_EQ(mbufs_needed(demand), n + 1000);
  demand.ports[0].rx_queues = 3;
  EXPECT_EQ(mbufs_needed(demand), n + 1000 + 512);
}

TEST(Mbufs, have_room_for_the_largest_frame) {
  EXPECT_EQ(mbuf_data_room(1500, 0), 2176);
  EXPECT_EQ(mbuf_data_room(1500, 2048), 2176);
  for (uint16_t mtu = 1280; mtu <= 9600; ++mtu)
    ASSERT_GE(mbuf_data_room(mtu, 0), mtu + 18 + RTE_PKTMBUF_HEADROOM) << mtu;
  EXPECT_EQ(mbuf_data_room(9000, 16384), 16512);  // a whole slot of the packet ring
  EXPECT_EQ(mbuf_data_room(9600, 0) % 64, 0);
  EXPECT_LE(mbuf_data_room(1500, 1 << 20), UINT16_MAX);
}

}  // namespace
}  // namespace limpet::port
