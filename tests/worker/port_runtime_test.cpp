// Ports and memory on a real EAL: what is made, and what an operator reads when something is
// missing.
#include "limpet/port/runtime.h"

#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <sys/socket.h>

#include "port_child.h"

namespace limpet::port {
namespace {

PortSetup port_on(const std::string& name, const std::string& device, uint16_t mtu = 1500) {
  return {name, device, {*Prefix::parse("10.1.0.254/24")}, mtu};
}

std::string refused(const Eal& eal, const RuntimeSetup& setup) {
  const auto runtime = Runtime::start(eal, setup);
  EXPECT_FALSE(runtime.ok());
  return runtime.ok() ? "" : runtime.error();
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(Runtime, has_a_port_for_each_of_the_configuration_and_a_worker_for_each_lcore) {
  in_child([] {
    const auto eal =
        start_eal({"--lcores", "(0-2)@0", "--vdev=net_null0,no-rx=1", "--vdev=net_null1,no-rx=1"});
    ASSERT_NE(eal, nullptr);
    RuntimeSetup setup;
    setup.ports = {port_on("front", "net_null1"), port_on("back", "net_null0", 9000)};
    setup.held_packets = 1024;
    auto started = Runtime::start(*eal, setup);
    ASSERT_TRUE(started.ok()) << started.error();
    Runtime& runtime = **started;

    EXPECT_EQ(runtime.lcores(), (std::vector<unsigned>{1, 2}));
    ASSERT_EQ(runtime.ports().size(), 2u);
    const dataplane::PortEntry& front = runtime.ports()[0];
    EXPECT_EQ(front.name, "front");
    EXPECT_FALSE(front.mac.is_zero());
    EXPECT_FALSE(front.kernel_shares);
    EXPECT_EQ(front.addresses, (std::vector<Prefix>{*Prefix::parse("10.1.0.254/24")}));
    EXPECT_EQ(front.reta.workers, 2u);
    EXPECT_EQ(runtime.ports()[1].mtu, 9000);
    EXPECT_NE(front.mac, runtime.ports()[1].mac);

    uint16_t device = 0;
    ASSERT_EQ(rte_eth_dev_get_port_by_name("net_null1", &device), 0);
    for (unsigned w = 0; w < 2; ++w) {
      ASSERT_EQ(runtime.queues(w).size(), 2u);
      EXPECT_EQ(runtime.queues(w)[0].port, 0);
      EXPECT_EQ(runtime.queues(w)[0].device, device);  // limpet's order, not DPDK's
      EXPECT_EQ(runtime.queues(w)[0].queue, w);
      EXPECT_EQ(runtime.queues(w)[1].port, 1);
      EXPECT_EQ(runtime.stats(w).drops.size(), 2u);
      EXPECT_EQ(runtime.stats(w).backends.size(), dataplane::kMaxBackends);
      EXPECT_EQ(runtime.stats(w).services.size(), dataplane::kMaxServices);
      EXPECT_GE(rte_pktmbuf_data_room_size(runtime.pool(w)), 9018 + RTE_PKTMBUF_HEADROOM);
    }
    EXPECT_EQ(runtime.shared().workers(), 2u);
    EXPECT_EQ(runtime.mbufs_in_use(), 0u);
    EXPECT_GT(runtime.mbuf_pool_size(), 1024u);
  });
}

// net_null takes key and table, and so counts as a NIC that spreads by our hash.
TEST(Runtime, trusts_a_nic_that_takes_key_and_table) {
  in_child([] {
    const auto eal = start_eal({"--lcores", "(0-3)@0", "--vdev=net_null0,no-rx=1"});
    ASSERT_NE(eal, nullptr);
    auto started = Runtime::start(*eal, {{port_on("front", "net_null0")}, 1024});
    ASSERT_TRUE(started.ok()) << started.error();
    EXPECT_TRUE((*started)->ports()[0].rss);
    EXPECT_EQ((*started)->ports()[0].reta.workers, 3u);

    uint16_t device = 0;
    ASSERT_EQ(rte_eth_dev_get_port_by_name("net_null0", &device), 0);
    rte_eth_dev_info info{};
    ASSERT_EQ(rte_eth_dev_info_get(device, &info), 0);
    EXPECT_EQ((*started)->ports()[0].reta.size, info.reta_size);
    std::vector<rte_eth_rss_reta_entry64> table(info.reta_size / RTE_ETH_RETA_GROUP_SIZE);
    for (auto& group : table) group.mask = ~uint64_t{0};
    ASSERT_EQ(rte_eth_dev_rss_reta_query(device, table.data(), info.reta_size), 0);
    for (unsigned i = 0; i < info.reta_size; ++i)
      EXPECT_EQ(table[i / RTE_ETH_RETA_GROUP_SIZE].reta[i % RTE_ETH_RETA_GROUP_SIZE], i % 3);
  });
}

// Two ports of one queue each, three workers.
TEST(Runtime, deals_the_queues_of_several_ports_to_several_workers) {
  in_child([] {
    const auto eal = start_eal({"--lcores", "(0-3)@0"});
    ASSERT_NE(eal, nullptr);
    RuntimeSetup setup;
    setup.held_packets = 1024;
    for (const char* name : {"one", "two"}) {
      rte_ring* ring = rte_ring_create(name, 64, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
      const int id = rte_eth_from_rings(name, &ring, 1, &ring, 1, 0);
      char device[RTE_ETH_NAME_MAX_LEN] = "";
      ASSERT_EQ(rte_eth_dev_get_name_by_port(static_cast<uint16_t>(id), device), 0);
      setup.ports.push_back(port_on(name, device));
    }
    auto started = Runtime::start(*eal, setup);
    ASSERT_TRUE(started.ok()) << started.error();
    ASSERT_EQ((*started)->queues(0).size(), 1u);
    EXPECT_EQ((*started)->queues(0)[0].port, 0);
    ASSERT_EQ((*started)->queues(1).size(), 1u);
    EXPECT_EQ((*started)->queues(1)[0].port, 1);
    EXPECT_TRUE((*started)->queues(2).empty());
    for (const dataplane::PortEntry& port : (*started)->ports()) {
      EXPECT_FALSE(port.rss);
      EXPECT_EQ(port.reta.workers, 3u);
      EXPECT_EQ(port.reta.size, 128u);
    }
  });
}

TEST(Runtime, names_a_device_that_nobody_made) {
  in_child([] {
    const auto eal = start_eal({"--lcores", "(0-1)@0", "--vdev=net_null0"});
    ASSERT_NE(eal, nullptr);
    const std::string text =
        refused(*eal, {{port_on("front", "net_null0"), port_on("back", "net_ring7")}, 1024});
    EXPECT_TRUE(has(text, "port back: DPDK has no device net_ring7")) << text;
    EXPECT_TRUE(has(text, "--vdev=net_ring7")) << text;
    EXPECT_TRUE(has(text, "Devices that it has: net_null0")) << text;
  });
}

TEST(Runtime, names_the_interface_that_a_failed_probe_wanted) {
  in_child([] {
    const auto eal = start_eal({"--lcores", "(0-1)@0", "--vdev=net_af_packet0,iface=nosuch0"});
    ASSERT_NE(eal, nullptr);  // the EAL runs on, without the device
    const std::string text = refused(*eal, {{port_on("front", "net_af_packet0")}, 1024});
    EXPECT_TRUE(has(text, "interface nosuch0 does not exist")) << text;
  });
}

TEST(Runtime, says_that_jumbo_frames_need_larger_slots_of_the_packet_ring) {
  const int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  if (fd < 0) GTEST_SKIP() << "no permission to open packet sockets";
  close(fd);
  in_child([] {
    const auto eal = start_eal({"--lcores", "(0-1)@0", "--vdev=net_af_packet0,iface=lo"});
    ASSERT_NE(eal, nullptr);
    const std::string text = refused(*eal, {{port_on("front", "net_af_packet0", 9000)}, 1024});
    EXPECT_TRUE(has(text, "port front (net_af_packet0)")) << text;
    EXPECT_TRUE(has(text, "framesz=16384")) << text;
  });
}

TEST(Runtime, shares_an_af_packet_port_with_the_kernel) {
  const int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  if (fd < 0) GTEST_SKIP() << "no permission to open packet sockets";
  close(fd);
  in_child([] {
    const auto eal = start_eal({"--lcores", "(0-1)@0", "--vdev=net_af_packet0,iface=lo,qpairs=2"});
    ASSERT_NE(eal, nullptr);
    auto started = Runtime::start(*eal, {{port_on("front", "net_af_packet0")}, 1024});
    ASSERT_TRUE(started.ok()) << started.error();
    EXPECT_TRUE((*started)->ports()[0].kernel_shares);
    // The kernel fills both queues, so the only worker reads both.
    EXPECT_EQ((*started)->queues(0).size(), 2u);
  });
}

TEST(Runtime, names_a_pci_device_that_the_machine_lacks) {
  in_child([] {
    const auto eal = start_eal({"--lcores", "(0-1)@0"});
    ASSERT_NE(eal, nullptr);
    const std::string text = refused(*eal, {{port_on("front", "0000:fe:1f.7")}, 1024});
    EXPECT_TRUE(has(text, "no such PCI device")) << text;
    EXPECT_TRUE(has(text, "Devices that it has: none")) << text;
  });
}

TEST(Runtime, wants_a_worker_lcore) {
  in_child([] {
    const auto eal = start_eal({"--lcores", "3@0", "--vdev=net_null0"});
    ASSERT_NE(eal, nullptr);
    const std::string text = refused(*eal, {{port_on("front", "net_null0")}, 1024});
    EXPECT_TRUE(has(text, "no worker")) << text;
    EXPECT_TRUE(has(text, "lcore 3 only")) << text;
    EXPECT_TRUE(has(text, "--lcores")) << text;
  });
}

TEST(Runtime, refuses_more_workers_than_it_can_have) {
  in_child([] {
    const auto eal = start_eal({"--lcores", "(0-65)@0", "--vdev=net_null0"});
    ASSERT_NE(eal, nullptr);
    const std::string text = refused(*eal, {{port_on("front", "net_null0")}, 1024});
    EXPECT_TRUE(has(text, "65 worker lcores; limpet runs 64 at most")) << text;
  });
}

TEST(Runtime, says_how_much_memory_packets_need) {
  in_child([] {
    const auto eal = start_eal({"--lcores", "(0-1)@0", "--vdev=net_null0"});
    ASSERT_NE(eal, nullptr);
    const std::string text = refused(*eal, {{port_on("front", "net_null0")}, 1000000});
    EXPECT_TRUE(has(text, "not enough EAL memory")) << text;
    EXPECT_TRUE(has(text, "it is 256 MB now")) << text;
  });
}

TEST(Eal, tells_who_uses_the_file_prefix) {
  int ready[2], done[2];
  ASSERT_EQ(pipe(ready), 0);
  ASSERT_EQ(pipe(done), 0);
  const std::vector<std::string> arguments = eal_arguments({"--lcores", "(0-1)@0"});
  const pid_t first = fork();
  ASSERT_GE(first, 0);
  if (first == 0) {
    close(done[1]);
    const auto eal = Eal::start(arguments);
    char c = eal.ok() ? 'y' : 'n';
    if (write(ready[1], &c, 1) == 1) (void)!read(done[0], &c, 1);
    _exit(0);
  }
  char started = 0;
  ASSERT_EQ(read(ready[0], &started, 1), 1);
  EXPECT_EQ(started, 'y');
  in_child([&] {
    const auto second = Eal::start(arguments);
    ASSERT_FALSE(second.ok());
    EXPECT_TRUE(has(second.error(), "another DPDK process (pid " + std::to_string(first) + ")"))
        << second.error();
    EXPECT_TRUE(has(second.error(), "--file-prefix")) << second.error();
  });
  close(done[1]);
  waitpid(first, nullptr, 0);
  remove_runtime_dir(file_prefix_of(getpid()));
}

TEST(Eal, knows_its_lcores_and_devices) {
  in_child([] {
    const auto eal = start_eal({"--lcores", "(2-5)@0", "--main-lcore", "3", "--vdev=net_null4"});
    ASSERT_NE(eal, nullptr);
    EXPECT_EQ(eal->worker_lcores(), (std::vector<unsigned>{2, 4, 5}));
    EXPECT_EQ(eal->devices(), (std::vector<std::string>{"net_null4"}));
    EXPECT_TRUE(has(eal->runtime_dir(), "limpet_port_")) << eal->runtime_dir();
  });
}

}  // namespace
}  // namespace limpet::port
