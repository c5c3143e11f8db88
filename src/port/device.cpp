#include "device.h"

#include <fmt/core.h>
#include <net/if.h>
#include <rte_errno.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <charconv>
#include <cstring>

#include "limpet/base/log.h"
#include "limpet/port/eal_args.h"

namespace limpet::port {
namespace {

constexpr const char* kModule = "port";
constexpr uint16_t kStandardMtu = 1500;
constexpr uint32_t kAfPacketFramesz = 2048;  // the driver's default
// What the kernel puts before the frame in a slot of the ring: tpacket2_hdr and sockaddr_ll, up to
// where the IP header is aligned.
constexpr uint32_t kAfPacketSlotHeader = 66;

uint32_t to_number(const std::string& text, uint32_t otherwise) {
  uint32_t n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  return error == std::errc{} && end == text.data() + text.size() ? n : otherwise;
}

// False when there is no telling.
bool ask_kernel(const std::string& interface, unsigned long what, ifreq& answer) {
  answer = {};
  if (interface.empty() || interface.size() >= sizeof answer.ifr_name) return false;
  std::memcpy(answer.ifr_name, interface.c_str(), interface.size() + 1);
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  const bool ok = ioctl(fd, what, &answer) == 0;
  close(fd);
  return ok;
}

// 0 when there is no telling.
uint32_t kernel_mtu(const std::string& interface) {
  ifreq answer;
  return ask_kernel(interface, SIOCGIFMTU, answer) ? static_cast<uint32_t>(answer.ifr_mtu) : 0;
}

}  // namespace

Result<Device> Device::inspect(uint16_t id, const PortSetup& setup,
                               const std::vector<std::string>& eal_arguments) {
  Device d;
  d.id_ = id;
  d.setup_ = setup;
  if (const int e = rte_eth_dev_info_get(id, &d.info_); e != 0)
    return Error{d.fault("cannot be asked for its properties", e)};
  d.driver_ = d.info_.driver_name == nullptr ? "" : d.info_.driver_name;
  rte_ether_addr mac{};
  if (const int e = rte_eth_macaddr_get(id, &mac); e != 0)
    return Error{d.fault("has no MAC address", e)};
  std::memcpy(d.mac_.bytes.data(), mac.addr_bytes, d.mac_.bytes.size());
  // The kernel's end of a tap has this address, and it is not us but our peer.
  if (d.driver_ == "net_tap") d.mac_.bytes[5] ^= 1;

  if (d.driver_ == "net_af_packet") {
    if (char name[IF_NAMESIZE]; if_indextoname(d.info_.if_index, name) != nullptr)
      d.interface_ = name;
    const std::string* framesz = vdev_arguments(eal_arguments, setup.device).find("framesz");
    d.framesz_ = framesz == nullptr ? kAfPacketFramesz : to_number(*framesz, kAfPacketFramesz);
  }
  return d;
}

void Device::plan(PortWish wish) {
  // The kernel spreads frames over all sockets of the fanout group, whether they are read or not.
  wish.all_queues = driver_ == "net_af_packet";
  wish_ = wish;
  plan_ = plan_port(info_, wish);
}

bool Device::kernel_shares() const {
  return driver_ == "net_af_packet" || driver_ == "net_af_xdp";
}

std::string Device::fault(const std::string& what, int error) const {
  const char* reason = rte_strerror(error < 0 ? -error : error);
  return fmt::format("port {} ({}, {}): {}: {}", setup_.name, setup_.device, driver_, what, reason);
}

Status Device::check_kernel_interface() const {
  if (interface_.empty()) return Ok{};
  const uint32_t mtu = kernel_mtu(interface_);
  if (mtu != 0 && mtu < setup_.mtu)
    return Error{fmt::format(
        "port {} ({}): mtu is {}, but interface {} has {}: `ip link set {} mtu {}`, or lower mtu",
        setup_.name, setup_.device, setup_.mtu, interface_, mtu, interface_, setup_.mtu)};
  if (framesz_ != 0 && framesz_ < setup_.mtu + kFrameOverhead + kAfPacketSlotHeader)
    return Error{fmt::format(
        "port {} ({}): frames of mtu {} do not fit into the {} bytes of the packet ring's slots: "
        "add blocksz=65536,framesz=16384,framecnt=512 to its --vdev, or lower mtu",
        setup_.name, setup_.device, setup_.mtu, framesz_)};
  return Ok{};
}

Status Device::configure() {
  rte_eth_conf conf{};
  conf.rxmode.offloads = plan_.rx_offloads;
  conf.txmode.offloads = plan_.tx_offloads;
  // Drivers of kernel interfaces report Ethernet's limit whatever the interface can; it was
  // checked.
  const bool kernel_decides = !interface_.empty();
  conf.rxmode.mtu = kernel_decides ? std::min(setup_.mtu, kStandardMtu) : setup_.mtu;
  if (info_.max_mtu != 0 && conf.rxmode.mtu > info_.max_mtu)
    return Error{fmt::format("port {} ({}, {}): mtu is {}, but the device can do {} at most",
                             setup_.name, setup_.device, driver_, setup_.mtu, info_.max_mtu)};
  if (plan_.rss_types != 0) {
    conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    conf.rx_adv_conf.rss_conf.rss_key = plan_.rss_key.data();
    conf.rx_adv_conf.rss_conf.rss_key_len = static_cast<uint8_t>(plan_.rss_key.size());
    conf.rx_adv_conf.rss_conf.rss_hf = plan_.rss_types;
  }
  if (const int e = rte_eth_dev_configure(id_, plan_.rx_queues, plan_.tx_queues, &conf); e != 0)
    return Error{fault(fmt::format("refuses {} receive and {} transmit queues with mtu {}",
                                   plan_.rx_queues, plan_.tx_queues, conf.rxmode.mtu),
                       e)};
  configured_ = true;
  if (const int e =
          rte_eth_dev_adjust_nb_rx_tx_desc(id_, &plan_.rx_descriptors, &plan_.tx_descriptors);
      e != 0)
    return Error{fault("refuses any number of descriptors", e)};
  return Ok{};
}

Status Device::start(const std::vector<rte_mempool*>& pool_of_queue) {
  if (auto checked = check_kernel_interface(); !checked.ok()) return checked;
  if (auto configured = configure(); !configured.ok()) return configured;
  const auto socket = static_cast<unsigned>(rte_eth_dev_socket_id(id_));
  for (uint16_t q = 0; q < plan_.rx_queues; ++q) {
    rte_eth_rxconf conf = info_.default_rxconf;
    conf.offloads = plan_.rx_offloads;
    if (const int e =
            rte_eth_rx_queue_setup(id_, q, plan_.rx_descriptors, socket, &conf, pool_of_queue[q]);
        e != 0)
      return Error{fault(fmt::format("refuses receive queue {}", q), e)};
  }
  for (uint16_t q = 0; q < plan_.tx_queues; ++q) {
    rte_eth_txconf conf = info_.default_txconf;
    conf.offloads = plan_.tx_offloads;
    if (const int e = rte_eth_tx_queue_setup(id_, q, plan_.tx_descriptors, socket, &conf); e != 0)
      return Error{fault(fmt::format("refuses transmit queue {}", q), e)};
  }
  set_mtu();
  if (const int e = rte_eth_dev_start(id_); e != 0) return Error{fault("does not start", e)};
  admit_multicast();
  set_up_rss();
  log(LogLevel::info, kModule, "{}: {}, driver {}, MAC {}, {} receive and {} transmit queues{}",
      setup_.name, setup_.device, driver_, mac_.to_string(), plan_.rx_queues, plan_.tx_queues,
      plan_.trust_rss ? ", spread by the NIC" : "");
  if (!plan_.why_no_trust.empty())
    log(LogLevel::info, kModule, "{}: {}; workers pass frames on to each other", setup_.name,
        plan_.why_no_trust);
  return Ok{};
}

void Device::set_mtu() {
  if (!interface_.empty()) return;  // the operator's own, checked above
  const int e = rte_eth_dev_set_mtu(id_, setup_.mtu);
  if (e != 0 && e != -ENOTSUP)  // software ports have no limit to set
    log(LogLevel::warning, kModule, "{}", fault(fmt::format("cannot set mtu {}", setup_.mtu), e));
}

// Neighbor solicitations come to multicast addresses that the NIC knows nothing of.
void Device::admit_multicast() {
  if (rte_eth_allmulticast_enable(id_) == 0) return;
  const int e = rte_eth_promiscuous_enable(id_);
  if (e != 0 && e != -ENOTSUP)
    log(LogLevel::warning, kModule, "{}",
        fault("takes no multicast; IPv6 neighbors may not find our addresses", e));
}

// A NIC that does not do what it was told would send every other flow to the wrong worker, so the
// settings are read back before they are relied on.
void Device::set_up_rss() {
  if (plan_.reta_size != 0) {
    const auto table = redirection_table(plan_.reta_size, plan_.rx_queues);
    std::vector<rte_eth_rss_reta_entry64> set = table;
    std::vector<rte_eth_rss_reta_entry64> got(table.size());
    for (size_t i = 0; i < got.size(); ++i) got[i].mask = table[i].mask;
    int e = rte_eth_dev_rss_reta_update(id_, set.data(), plan_.reta_size);
    if (e == 0) e = rte_eth_dev_rss_reta_query(id_, got.data(), plan_.reta_size);
    bool same = e == 0;
    for (unsigned i = 0; same && i < plan_.reta_size; ++i)
      same = got[i / RTE_ETH_RETA_GROUP_SIZE].reta[i % RTE_ETH_RETA_GROUP_SIZE] ==
             table[i / RTE_ETH_RETA_GROUP_SIZE].reta[i % RTE_ETH_RETA_GROUP_SIZE];
    if (!same && plan_.trust_rss) {
      plan_.trust_rss = false;
      plan_.why_no_trust = "its redirection table cannot be set";
    }
  }
  if (!plan_.trust_rss) return;
  rte_eth_rss_conf wanted{};
  wanted.rss_key = plan_.rss_key.data();
  wanted.rss_key_len = static_cast<uint8_t>(plan_.rss_key.size());
  wanted.rss_hf = plan_.rss_types;
  rte_eth_dev_rss_hash_update(id_, &wanted);  // configuring sets them in most drivers, not in all
  std::vector<uint8_t> key(plan_.rss_key.size());
  rte_eth_rss_conf conf{};
  conf.rss_key = key.data();
  conf.rss_key_len = static_cast<uint8_t>(key.size());
  if (rte_eth_dev_rss_hash_conf_get(id_, &conf) != 0 || key != plan_.rss_key ||
      (conf.rss_hf & kRssTypes) != kRssTypes) {
    plan_.trust_rss = false;
    plan_.why_no_trust = "its hash key or packet types cannot be set";
  }
}

bool Device::up() const {
  // The driver of af_packet calls every link up; the kernel knows.
  if (ifreq answer; ask_kernel(interface_, SIOCGIFFLAGS, answer))
    return (answer.ifr_flags & IFF_UP) != 0 && (answer.ifr_flags & IFF_RUNNING) != 0;
  rte_eth_link link{};
  return rte_eth_link_get_nowait(id_, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

dataplane::NicCounters Device::counters() const {
  rte_eth_stats s{};
  if (!configured_ || rte_eth_stats_get(id_, &s) != 0) return {};
  return {.link_up = up(),
          .rx_packets = s.ipackets,
          .rx_bytes = s.ibytes,
          .tx_packets = s.opackets,
          .tx_bytes = s.obytes,
          .missed = s.imissed,
          .rx_errors = s.ierrors,
          .tx_errors = s.oerrors,
          .no_mbuf = s.rx_nombuf};
}

void Device::stop() {
  if (!configured_) return;
  configured_ = false;
  rte_eth_dev_stop(id_);
  rte_eth_dev_close(id_);
}

}  // namespace limpet::port
