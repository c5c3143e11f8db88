// The machine's side of a running limpet: Ethernet ports with their queues, packet memory, the
// rings and counters that the workers need. Started by main after the EAL, stopped by it after the
// workers. Port numbers here and in the dataplane are limpet's, the order of the configuration;
// DPDK's are seen in this module only.
#pragma once

#include <cstdint>
#include <map>
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

class Device;
class SpinLock;
class TxPorts;

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

  const std::vector<unsigned>& lcores() const { return lcores_; }  // by worker
  unsigned workers() const { return static_cast<unsigned>(lcores_.size()); }
  const std::vector<dataplane::PortEntry>& ports() const { return ports_; }
  dataplane::Shared& shared() { return *shared_; }
  const flow::Toeplitz& toeplitz() const { return *toeplitz_; }
  dataplane::WorkerStats& stats(unsigned worker) { return *stats_[worker]; }
  dataplane::Output& output(unsigned worker);
  rte_mempool* pool(unsigned worker) { return pool_of_worker_[worker]; }
  const std::vector<RxQueue>& queues(unsigned worker) const { return queues_[worker]; }

  uint32_t mbuf_pool_size() const { return pool_size_; }  // all pools together
  // Ports hold some for reception. From any thread; counts what per-lcore caches hold as free.
  uint32_t mbufs_in_use() const;

  bool link_up(size_t port) const;  // now; from the main thread
  // What the device of a port has counted. From the main thread.
  dataplane::NicCounters nic_counters(size_t port) const;

  // Stops and closes every port. Returns how many mbufs are still in use then, of those that are
  // not in a ring between workers: anything but 0 is a leak.
  uint32_t stop_ports();

 private:
  explicit Runtime(const Eal& eal);

  Status find_workers();
  Status find_devices(const RuntimeSetup& setup);
  Status make_pools(const RuntimeSetup& setup);
  Result<rte_mempool*> make_pool(int socket, uint32_t count, uint16_t data_room);
  Status make_shared(size_t ports);
  Status start_devices(const RuntimeSetup& setup);
  unsigned receiver(size_t port, unsigned queue) const;
  void share_out_queues();
  void wait_for_links(const RuntimeSetup& setup);

  const Eal& eal_;
  flow::RssKey key_{};
  std::vector<unsigned> lcores_;
  std::vector<dataplane::PortEntry> ports_;
  std::unique_ptr<dataplane::Shared> shared_;
  std::unique_ptr<flow::Toeplitz> toeplitz_;
  std::vector<std::unique_ptr<dataplane::WorkerStats>> stats_;
  std::vector<std::unique_ptr<TxPorts>> outputs_;  // by worker
  std::vector<std::vector<RxQueue>> queues_;       // by worker
  std::vector<rte_mempool*> pool_of_worker_;
  uint32_t pool_size_ = 0;
  std::vector<Device> devices_;        // by limpet's port number
  std::map<int, rte_mempool*> pools_;  // by socket
  std::vector<std::unique_ptr<SpinLock>> locks_;
};

}  // namespace limpet::port
