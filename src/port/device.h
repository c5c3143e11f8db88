// One Ethernet device: found by name, configured by a plan, started, stopped. The only file of the
// project that drives rte_eth_dev_* set-up calls.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "limpet/base/address.h"
#include "limpet/base/result.h"
#include "limpet/port/runtime.h"
#include "plan.h"

namespace limpet::port {

class Device {
 public:
  // The device of a port as it stands; nothing is changed yet. The caller has made sure that
  // DPDK's port `id` is it.
  static Result<Device> inspect(uint16_t id, const PortSetup& setup,
                                const std::vector<std::string>& eal_arguments);
  void plan(PortWish wish);

  // Configures the queues, one pool for each receive queue, and starts. On success the plan holds
  // what was really done.
  Status start(const std::vector<rte_mempool*>& pool_of_queue);
  void stop();  // and close; harmless when not started

  uint16_t id() const { return id_; }
  const std::string& driver() const { return driver_; }
  const PortPlan& planned() const { return plan_; }
  const MacAddress& mac() const { return mac_; }
  uint32_t framesz() const { return framesz_; }  // slot of an af_packet ring; 0: none
  bool kernel_shares() const;                    // the kernel sees the same frames
  bool up() const;                               // link
  dataplane::NicCounters counters() const;

 private:
  Status check_kernel_interface() const;
  Status configure();
  void set_mtu();
  void admit_multicast();
  void set_up_rss();
  std::string fault(const std::string& what, int error) const;

  uint16_t id_ = 0;
  PortSetup setup_;
  std::string driver_;
  std::string interface_;  // the kernel's, of an af_packet device; else empty
  rte_eth_dev_info info_{};
  PortPlan plan_;
  PortWish wish_;
  MacAddress mac_;
  uint32_t framesz_ = 0;
  bool configured_ = false;
};

}  // namespace limpet::port
