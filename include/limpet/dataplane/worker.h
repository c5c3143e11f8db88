// One poll-mode worker: takes bursts of received frames, ends each of them in exactly one way, and
// leaves frames to send in an Output. It shares nothing that it writes (counters excepted, which
// others read), never blocks, allocates nothing after construction and reads no clock.
//
// Called by the lcore loop (port/loop.h) in this order, once per iteration:
//   begin(now)          control ring first and completely, then the snapshot's consequences
//   receive(...)        for every port's burst
//   receive_handed()    frames that other workers passed on
//   housekeeping()      timers, neighbors, resets of flows whose backend died, queries
//   flush()             whatever waits in the transmit buffers
//   quiescent()         RCU report and snapshot reload; may_sleep() says whether to rest
#pragma once

#include <rte_mbuf.h>

#include <array>
#include <cstdint>
#include <memory>

#include "limpet/base/time.h"
#include "limpet/dataplane/counters.h"
#include "limpet/dataplane/neighbors.h"
#include "limpet/dataplane/shared.h"
#include "limpet/flow/table.h"
#include "limpet/flow/toeplitz.h"

namespace limpet::dataplane {

// Where frames leave. Implemented by `port` (rte_eth_tx_burst) and by tests.
class Output {
 public:
  virtual ~Output() = default;
  // Sends a prefix of `frames` and takes ownership of it; returns its length.
  virtual uint16_t transmit(uint16_t port, rte_mbuf** frames, uint16_t count) = 0;
};

struct WorkerSetup {
  unsigned id = 0;  // 0 .. workers - 1
  Shared* shared = nullptr;
  WorkerStats* stats = nullptr;  // written by this worker only
  Output* output = nullptr;
  rte_mempool* pool = nullptr;  // for frames of our own making
  const flow::Toeplitz* toeplitz = nullptr;
  uint32_t flows = 65536;  // of this worker
  uint32_t held_packets = 4096;
  uint16_t neighbors = 4096;
  size_t edit_bytes = size_t{16} << 20;  // of edits in spliced streams, until they are acknowledged
  size_t copy_bytes = size_t{16} << 20;  // of judged octets of requests, likewise
  std::array<uint64_t, 8> secret{};      // of the flow table's hash; random in production
  uint64_t random_seed = 1;              // eviction samples
  uint64_t (*unix_time)() = nullptr;     // seconds, for dates in cookies; not called per packet
  Duration hold_syns =
      std::chrono::seconds(60);  // after start every source port may be in TIME_WAIT
};

class Worker {
 public:
  static constexpr uint16_t kBurst = 32;
  // ICMP errors of our own (RFC 1812, 4.3.2.8).
  static constexpr uint32_t kIcmpPerSecond = 1000;
  // Flows that end per iteration with a reset to each of their ends, because their backend has died
  // or their time is over: a transmit queue takes those beside the traffic.
  static constexpr unsigned kGonePerIteration = 64;

  Worker(const WorkerSetup& setup, Instant now);
  ~Worker();  // frees whatever is held
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void begin(Instant now);
  void receive(uint16_t port, rte_mbuf** frames,
               uint16_t count);  // takes ownership; count <= kBurst
  unsigned receive_handed();
  void housekeeping();
  void flush();
  void quiescent();
  void offline();  // before a sleep
  void online();   // after it: reloads the snapshot

  bool may_sleep() const;

  const flow::Table& flows() const;  // for tests, between iterations
  uint32_t transactions() const;     // likewise: requests that will have lines in the log
  const Neighbors& neighbors() const;

 private:
  struct Parts;  // src/dataplane/parts.h
  const std::unique_ptr<Parts> parts_;
};

}  // namespace limpet::dataplane
