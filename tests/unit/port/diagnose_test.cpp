#include "diagnose.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

namespace limpet::port {
namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

// A /sys and a /proc of our own making.
class Diagnose : public testing::Test {
 protected:
  Diagnose() {
    char path[] = "/tmp/limpet-diagnose-XXXXXX";
    root_ = mkdtemp(path);
    host_.sys = root_ / "sys";
    host_.proc = root_ / "proc";
    fs::create_directories(host_.proc);
    fs::create_directories(fs::path(host_.sys) / "bus/pci/drivers");
  }
  ~Diagnose() override { fs::remove_all(root_); }

  void pci_device(const std::string& address, const std::string& driver) {
    const fs::path device = fs::path(host_.sys) / "bus/pci/devices" / address;
    fs::create_directories(device);
    if (driver.empty()) return;
    const fs::path at = fs::path(host_.sys) / "bus/pci/drivers" / driver;
    fs::create_directories(at);
    fs::create_directory_symlink(at, device / "driver");
  }
  void hugepages(int total, int free) {
    const fs::path at = fs::path(host_.sys) / "kernel/mm/hugepages/hugepages-2048kB";
    fs::create_directories(at);
    std::ofstream(at / "nr_hugepages") << total << "\n";
    std::ofstream(at / "free_hugepages") << free << "\n";
  }
  void mounts(const std::string& text) { std::ofstream(fs::path(host_.proc) / "mounts") << text; }

  std::string missing(const std::string& device, const Words& arguments,
                      const Words& present = {}) {
    return explain_missing_device(host_, "front", device, arguments, present);
  }
  std::string failed(const Words& arguments, int error, const Words& said = {}) {
    return explain_eal_failure(host_, arguments, root_ / "runtime", error, said);
  }
  static bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
  }

  fs::path root_;
  Host host_;
};

TEST_F(Diagnose, names_port_device_and_what_there_is) {
  const std::string text = missing("net_null7", {"--vdev=net_null0"}, {"net_null0", "net_null1"});
  EXPECT_TRUE(has(text, "port front")) << text;
  EXPECT_TRUE(has(text, "no device net_null7")) << text;
  EXPECT_TRUE(has(text, "add \"--vdev=net_null7,...\"")) << text;
  EXPECT_TRUE(has(text, "Devices that it has: net_null0, net_null1")) << text;
  EXPECT_TRUE(has(missing("net_null7", {}), "Devices that it has: none"));
}

TEST_F(Diagnose, names_an_interface_that_does_not_exist) {
  const std::string text = missing("net_af_packet0", {"--vdev=net_af_packet0,iface=nosuch0"});
  EXPECT_TRUE(has(text, "interface nosuch0 does not exist")) << text;
  EXPECT_TRUE(has(missing("net_af_packet0", {"--vdev=net_af_packet0"}), "names no interface"));
}

TEST_F(Diagnose, says_that_a_pci_device_is_not_there) {
  EXPECT_TRUE(has(missing("0000:03:00.0", {}), "no such PCI device"));
}

TEST_F(Diagnose, says_how_to_bind_a_pci_device) {
  pci_device("0000:03:00.0", "ixgbe");
  const std::string text = missing("0000:03:00.0", {});
  EXPECT_TRUE(has(text, "bound to the kernel's driver ixgbe")) << text;
  EXPECT_TRUE(has(text, "dpdk-devbind.py --bind=vfio-pci 0000:03:00.0")) << text;
  pci_device("0000:03:00.1", "");
  EXPECT_TRUE(has(missing("0000:03:00.1", {}), "bound to no driver"));
}

TEST_F(Diagnose, says_that_a_pci_device_is_not_allowed) {
  pci_device("0000:03:00.0", "vfio-pci");
  EXPECT_TRUE(has(missing("0000:03:00.0", {"--no-pci"}), "--no-pci"));
  EXPECT_TRUE(has(missing("0000:03:00.0", {"-a", "0000:04:00.0"}), "add \"-a\", \"0000:03:00.0\""));
  EXPECT_FALSE(has(missing("0000:03:00.0", {"-a", "03:00.0,arg=1"}), "add \"-a\""));
}

TEST_F(Diagnose, says_that_there_are_no_hugepages) {
  hugepages(0, 0);
  const std::string text = failed({"-m", "512"}, EACCES);
  EXPECT_TRUE(has(text, "there are no hugepages")) << text;
  EXPECT_TRUE(has(text, "nr_hugepages")) << text;
  EXPECT_TRUE(has(text, "--no-huge")) << text;
}

TEST_F(Diagnose, says_that_hugepages_are_in_use) {
  hugepages(64, 0);
  EXPECT_TRUE(has(failed({}, EACCES), "all 64 hugepages are in use"));
}

TEST_F(Diagnose, says_that_hugepages_are_not_mounted) {
  hugepages(64, 64);
  mounts("proc /proc proc rw 0 0\n");
  EXPECT_TRUE(has(failed({}, EACCES), "mount -t hugetlbfs"));
}

TEST_F(Diagnose, quotes_the_eal_when_nothing_else_is_wrong) {
  hugepages(64, 64);
  mounts("nodev " + host_.proc + " hugetlbfs rw 0 0\n");
  EXPECT_EQ(failed({}, EACCES, {"EAL: a", "EAL: b"}),
            "DPDK's EAL does not start (Permission denied): EAL: a; EAL: b");
  hugepages(0, 0);
  EXPECT_EQ(failed({"--no-huge"}, EACCES, {"EAL: a"}),
            "DPDK's EAL does not start (Permission denied): EAL: a");
}

TEST_F(Diagnose, blames_hugepages_only_for_what_they_cause) {
  hugepages(0, 0);
  const std::string text = failed({}, EINVAL, {"EAL: core 9 unavailable"});
  EXPECT_FALSE(has(text, "hugepages")) << text;
  EXPECT_TRUE(has(text, "EAL: core 9 unavailable. CPUs that limpet may use here: ")) << text;
  EXPECT_TRUE(has(text, "correct --lcores")) << text;
}

TEST_F(Diagnose, names_the_arguments_that_the_eal_refuses) {
  EXPECT_EQ(
      failed({"--no-huge", "--bogus", "1"}, EINVAL, {"EAL: a."}),
      "DPDK's EAL does not start (Invalid argument): EAL: a. It was given: --no-huge --bogus 1; "
      "`limpet --help --` prints its options");
}

TEST_F(Diagnose, names_the_arguments_that_a_driver_refuses) {
  EXPECT_TRUE(has(missing("net_tap0", {"--vdev=net_tap1", "--vdev=net_tap0,ifac=x"}),
                  "its driver refused \"net_tap0,ifac=x\""));
}

TEST_F(Diagnose, says_that_the_memory_asked_for_is_too_much) {
  EXPECT_TRUE(has(failed({"--no-huge", "-m", "9999999"}, ENOMEM, {"EAL: a"}), "Lower \"-m\""));
}

TEST_F(Diagnose, says_how_to_get_more_memory) {
  EXPECT_EQ(explain_memory({"--no-huge", "-m", "70"}, "7 packet buffers", (3 << 20) + 1),
            "not enough EAL memory for 7 packet buffers (4 MB): raise \"-m\" in `eal` (it is 70 MB "
            "now), or lower capacity.held_packets");
  EXPECT_TRUE(has(explain_memory({"--no-huge"}, "x", 1), "it is 64 MB now"));
  EXPECT_TRUE(has(explain_memory({}, "x", 1), "allocate more hugepages"));
}

}  // namespace
}  // namespace limpet::port
