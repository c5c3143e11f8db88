// The machine's side of a running limpet: Ethernet ports with their queues, packet memory, the
// rings and counters that the workers need. Started by main after the EAL, stopped by it after the
// workers. Port numbers here and in the dataplane are limpet's, the order of the configuration;
// DPDK's are seen in this module only.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "limpet/base/address.h"
#include "limpet/base/result.h"
#include "limpet/dataplane/counters.h"
#include "limpet/dataplane/shared.h"
#include "limpet/dataplane/snapshot.h"
#include "limpet/dataplane/worker.h"
#include "limpet/flow/toeplitz.h"
#include "limpet/port/eal.h"

namespace limpet::port {

constexpr unsigned kMaxWorkers = 64;

struct PortSetup {
  std::string name;    // the operator's, for messages
  std::string device;  // vdev name or PCI address
  std::vector<Prefix> addresses;
  uint16_t mtu = 1500;
};

struct RuntimeSetup {
  std::vector<PortSetup> ports;   // 1 .. dataplane::kMaxPorts
  uint32_t held_packets = 16384;  // of the process
};

// Where a worker receives.
struct RxQueue {
  uint16_t port = 0;    // limpet's number
  uint16_t device = 0;  // DPDK's
  uint16_t queue = 0;
};

class Runtime {
 public:
  // One worker per worker lcore of the EAL. Every device that `setup` names must exist; the error
  // says what is missing and what to do about it. Ports receive when this returns.
  static Result<std::unique_ptr<Runtime>> start(const Eal& eal, const RuntimeSetup& setup);
  ~Runtime();  // stop_ports(), then frees everything; workers must have ended
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  const std::vector<unsigned>& lcores() const;  // by worker
  unsigned workers() const { return static_cast<unsigned>(lcores().size()); }
  const std::vector<dataplane::PortEntry>& ports() const;
  dataplane::Shared& shared();
  const flow::Toeplitz& toeplitz() const;
  dataplane::WorkerStats& stats(unsigned worker);
  dataplane::Output& output(unsigned worker);
  rte_mempool* pool(unsigned worker);
  const std::vector<RxQueue>& queues(unsigned worker) const;

  uint32_t mbuf_pool_size() const;  // all pools together
  // Ports hold some for reception. From any thread; counts what per-lcore caches hold as free.
  uint32_t mbufs_in_use() const;

  bool link_up(size_t port) const;  // now; from the main thread
  // What the device of a port has counted. From the main thread.
  dataplane::NicCounters nic_counters(size_t port) const;

  // Stops and closes every port. Returns how many mbufs are still in use then, of those that are
  // not in a ring between workers: anything but 0 is a leak.
  uint32_t stop_ports();

 private:
  class Impl;
  explicit Runtime(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace limpet::port
