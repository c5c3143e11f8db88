#include "diagnose.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <net/if.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "limpet/port/eal_args.h"

namespace limpet::port {
namespace {

namespace fs = std::filesystem;

std::string joined(const std::vector<std::string>& words, std::string_view between) {
  std::string all;
  for (const std::string& w : words) {
    if (!all.empty()) all += between;
    all += w;
  }
  return all;
}

bool is_pci(const std::string& device) {
  return device.size() == 12 && device[4] == ':' && device[7] == ':' && device[10] == '.';
}

uint64_t read_number(const fs::path& file) {
  std::ifstream in(file);
  uint64_t n = 0;
  in >> n;
  return in ? n : 0;
}

bool may_open_packet_sockets() {
  const int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  if (fd < 0) return errno != EPERM && errno != EACCES;
  close(fd);
  return true;
}

std::string explain_vdev(const std::string& device, const std::vector<std::string>& arguments) {
  const VdevArguments vdev = vdev_arguments(arguments, device);
  if (!vdev.found)
    return fmt::format(
        "no EAL argument creates it: add \"--vdev={},...\" to `eal`, for an interface of the "
        "kernel "
        "\"--vdev=net_af_packet0,iface=NAME\"",
        device);
  const std::string* interface = vdev.find("iface");
  const bool packet = device.starts_with("net_af_packet") || device.starts_with("eth_af_packet");
  if (packet && interface == nullptr)
    return fmt::format("its --vdev names no interface: \"--vdev={},iface=NAME\"", device);
  if (interface != nullptr && (packet || device.starts_with("net_af_xdp")) &&
      if_nametoindex(interface->c_str()) == 0)
    return fmt::format(
        "interface {} does not exist here: create it or correct iface= (`ip link` lists what there "
        "is in this network namespace)",
        *interface);
  if (packet && !may_open_packet_sockets())
    return "no permission to open packet sockets: run limpet as root or with CAP_NET_RAW";
  std::string given;
  for (const std::string& value : option_values(arguments, "vdev"))
    if (value.substr(0, value.find(',')) == device) given = value;
  return fmt::format(
      "its driver refused \"{}\"; the lines above may say why. An unknown driver needs its package "
      "(librte-net-*) or -d",
      given);
}

std::string explain_pci(const Host& host, const std::string& device,
                        const std::vector<std::string>& arguments) {
  const fs::path at = fs::path(host.sys) / "bus/pci/devices" / device;
  std::error_code ignored;
  if (!fs::exists(at, ignored))
    return "this machine has no such PCI device (`dpdk-devbind.py --status-dev net` lists them)";
  if (has_option(arguments, "no-pci")) return "the EAL runs with --no-pci: remove it from `eal`";
  const auto allowed = option_values(arguments, "a");
  bool listed = allowed.empty();
  for (const std::string& a : allowed) {
    const std::string name = a.substr(0, a.find(','));
    listed |= name == device || "0000:" + name == device;
  }
  if (!listed) return fmt::format("the EAL may not use it: add \"-a\", \"{}\" to `eal`", device);

  const std::string driver = fs::read_symlink(at / "driver", ignored).filename().string();
  if (driver != "vfio-pci" && driver != "igb_uio" && driver != "uio_pci_generic")
    return fmt::format(
        "{}: `modprobe vfio-pci && dpdk-devbind.py --bind=vfio-pci {}` (not for NICs that share it "
        "with the kernel, such as mlx5: those need their libraries)",
        driver.empty() ? "it is bound to no driver"
                       : "it is bound to the kernel's driver " + driver,
        device);
  if (driver == "vfio-pci" && geteuid() != 0)
    return "it is bound to vfio-pci, but not for this user: run limpet as root, or give the user "
           "/dev/vfio/GROUP";
  return fmt::format(
      "it is bound to {}, but no driver of DPDK took it; the lines above say why (without an "
      "IOMMU, "
      "vfio needs `echo 1 > /sys/module/vfio/parameters/enable_unsafe_noiommu_mode`)",
      driver);
}

// Which process holds the lock of this file prefix; 0: none.
pid_t holder_of(const std::string& runtime_dir) {
  const int fd = open((runtime_dir + "/config").c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return 0;
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  const bool held = fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
  close(fd);
  return held ? std::max(lock.l_pid, 1) : 0;
}

struct Hugepages {
  uint64_t total = 0, free = 0;
};

Hugepages hugepages(const Host& host) {
  Hugepages sum;
  std::error_code none;
  for (const auto& size :
       fs::directory_iterator(fs::path(host.sys) / "kernel/mm/hugepages", none)) {
    sum.total += read_number(size.path() / "nr_hugepages");
    sum.free += read_number(size.path() / "free_hugepages");
  }
  return sum;
}

std::string hugetlbfs_mount(const Host& host) {
  std::ifstream mounts(fs::path(host.proc) / "mounts");
  std::string device, where, type, rest;
  while (mounts >> device >> where >> type && std::getline(mounts, rest))
    if (type == "hugetlbfs") return where;
  return {};
}

std::string usable_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return "unknown";
  std::vector<std::string> cpus;
  for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &set)) cpus.push_back(std::to_string(cpu));
  return joined(cpus, ",");
}

constexpr const char* kOrWithout =
    ", or run without them (slower, for tests): add \"--no-huge\", \"-m\", \"512\" to `eal`";

std::string explain_hugepages(const Host& host) {
  const Hugepages pages = hugepages(host);
  if (pages.total == 0)
    return fmt::format(
        "there are no hugepages: `echo 512 > "
        "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages` makes 1 GB of them{}",
        kOrWithout);
  if (pages.free == 0)
    return fmt::format("all {} hugepages are in use: allocate more{}", pages.total, kOrWithout);
  const std::string mount = hugetlbfs_mount(host);
  if (mount.empty())
    return fmt::format(
        "hugepages are allocated but not mounted: `mkdir -p /dev/hugepages && mount -t hugetlbfs "
        "nodev /dev/hugepages`{}",
        kOrWithout);
  if (access(mount.c_str(), W_OK) != 0)
    return fmt::format(
        "no permission to write to the hugepages at {}: run limpet as root or let its user own the "
        "mount (--huge-dir names another){}",
        mount, kOrWithout);
  return {};
}

}  // namespace

std::string explain_missing_device(const Host& host, const std::string& port_name,
                                   const std::string& device,
                                   const std::vector<std::string>& eal_arguments,
                                   const std::vector<std::string>& present) {
  return fmt::format("port {}: DPDK has no device {}: {}. Devices that it has: {}", port_name,
                     device,
                     is_pci(device) ? explain_pci(host, device, eal_arguments)
                                    : explain_vdev(device, eal_arguments),
                     present.empty() ? "none" : joined(present, ", "));
}

std::string explain_eal_failure(const Host& host, const std::vector<std::string>& eal_arguments,
                                const std::string& runtime_dir, int error,
                                const std::vector<std::string>& said) {
  if (const pid_t pid = holder_of(runtime_dir); pid != 0)
    return fmt::format(
        "another DPDK process (pid {}) uses the file prefix {}: stop it, or give each its own with "
        "--file-prefix",
        pid, file_prefix(eal_arguments));
  const bool hugepages_wanted = !has_option(eal_arguments, "no-huge");
  if (hugepages_wanted && (error == EACCES || error == ENOMEM))
    if (std::string why = explain_hugepages(host); !why.empty()) return why;
  std::string why = said.empty() ? "it does not say why" : joined(said, "; ");
  if (why.ends_with('.')) why.pop_back();
  std::string cure;
  const bool about_cores = std::any_of(said.begin(), said.end(), [](const std::string& line) {
    return line.find("core") != std::string::npos;
  });
  if (error == EINVAL && about_cores)
    cure = fmt::format(". CPUs that limpet may use here: {}; correct --lcores (or -l, -c) in `eal`",
                       usable_cpus());
  else if (error == EINVAL)
    cure = fmt::format(". It was given: {}; `limpet --help --` prints its options",
                       joined(eal_arguments, " "));
  else if (error == ENOMEM && has_option(eal_arguments, "m"))
    cure = ". Lower \"-m\" (MB) in `eal`";
  return fmt::format("DPDK's EAL does not start ({}): {}{}", strerror(error), why, cure);
}

std::string explain_memory(const std::vector<std::string>& eal_arguments, const std::string& what,
                           uint64_t bytes) {
  std::string cure = "allocate more hugepages";
  if (has_option(eal_arguments, "no-huge")) {
    const auto given = option_values(eal_arguments, "m");
    cure =
        fmt::format("raise \"-m\" in `eal` (it is {} MB now)", given.empty() ? "64" : given.back());
  }
  return fmt::format("not enough EAL memory for {} ({} MB): {}, or lower capacity.held_packets",
                     what, (bytes + (1 << 20) - 1) >> 20, cure);
}

}  // namespace limpet::port
