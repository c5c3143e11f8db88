// A worker's way out of the ports: one transmit queue of each. Where a port has fewer queues than
// there are workers, the queue has a lock; otherwise nobody else uses it.
#pragma once

#include <rte_mbuf.h>

#include <atomic>
#include <cstdint>
#include <vector>

#include "limpet/dataplane/worker.h"

namespace limpet::port {

class SpinLock {
 public:
  void lock();
  void unlock() { held_.clear(std::memory_order_release); }

 private:
  std::atomic_flag held_;
};

struct TxQueue {
  uint16_t device = 0;  // DPDK's number
  uint16_t queue = 0;
  SpinLock* lock = nullptr;  // null: this worker's own
};

// Zeros up to the least length of an Ethernet frame (IEEE 802.3, 60 bytes without the check
// sequence): not every NIC adds them, and what it would send instead is somebody's memory.
void pad_frame(rte_mbuf* frame);

class TxPorts final : public dataplane::Output {
 public:
  explicit TxPorts(std::vector<TxQueue> queues) : queues_(std::move(queues)) {}
  uint16_t transmit(uint16_t port, rte_mbuf** frames, uint16_t count) override;

 private:
  std::vector<TxQueue> queues_;  // by limpet's port number
};

}  // namespace limpet::port
