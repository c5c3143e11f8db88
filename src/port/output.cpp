#include "output.h"

#include <rte_ethdev.h>
#include <rte_pause.h>
#include <sched.h>

#include <cstring>

namespace limpet::port {
namespace {

constexpr uint16_t kLeastFrame = 60;
// A full queue often has room again once it has been told to send (af_packet does so at the end of
// a burst). More tries would be waiting.
constexpr unsigned kTries = 3;
constexpr unsigned kSpinsBeforeYield = 256;  // the holder may have been preempted on a shared core

uint16_t send(const TxQueue& q, rte_mbuf** frames, uint16_t count) {
  uint16_t sent = 0;
  for (unsigned i = 0; i < kTries && sent < count; ++i)
    sent = static_cast<uint16_t>(sent + rte_eth_tx_burst(q.device, q.queue, frames + sent,
                                                         static_cast<uint16_t>(count - sent)));
  return sent;
}

}  // namespace

void SpinLock::lock() {
  while (held_.test_and_set(std::memory_order_acquire)) {
    unsigned spins = 0;
    while (held_.test(std::memory_order_relaxed))
      if (++spins < kSpinsBeforeYield) {
        rte_pause();
      } else {
        sched_yield();
      }
  }
}

void pad_frame(rte_mbuf* frame) {
  const uint32_t length = rte_pktmbuf_pkt_len(frame);
  if (length >= kLeastFrame) [[likely]]
    return;
  const auto missing = static_cast<uint16_t>(kLeastFrame - length);
  // Without room at its end the frame goes as it is.
  if (char* end = rte_pktmbuf_append(frame, missing)) std::memset(end, 0, missing);
}

uint16_t TxPorts::transmit(uint16_t port, rte_mbuf** frames, uint16_t count) {
  const TxQueue& q = queues_[port];
  for (uint16_t i = 0; i < count; ++i) pad_frame(frames[i]);
  if (q.lock == nullptr) return send(q, frames, count);
  q.lock->lock();
  const uint16_t sent = send(q, frames, count);
  q.lock->unlock();
  return sent;
}

}  // namespace limpet::port
