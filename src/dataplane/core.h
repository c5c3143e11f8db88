// What all parts of a worker have in common: who it is, what time it is, the configuration that it
// reads, and where it counts. The worker writes it between bursts, its parts read it. Private to
// dataplane.
#pragma once

#include <rte_mempool.h>

#include <cstdint>
#include <vector>

#include "limpet/base/time.h"
#include "limpet/dataplane/counters.h"
#include "limpet/dataplane/shared.h"
#include "limpet/dataplane/snapshot.h"
#include "limpet/dataplane/worker.h"

namespace limpet::dataplane {

struct Core {
  Core(const WorkerSetup& setup, Instant start);

  uint64_t random();  // picks samples, protects nothing
  // Whether a request or a flow gets a line in the log.
  bool in_sample() {
    return snapshot->log.on && (snapshot->log.sample == UINT32_MAX ||
                                static_cast<uint32_t>(random() >> 32) < snapshot->log.sample);
  }
  void log(LogRecord& record);

  const unsigned id;
  Shared& shared;
  WorkerStats& stats;
  WorkerCounters& n;
  BackendCounters* const backends;  // of stats: by backend slot
  ServiceCounters* const services;  // of stats: by service slot
  const unsigned workers;           // in all
  rte_mempool* const pool;          // for frames of our own making
  const Snapshot* snapshot = nullptr;
  uint64_t serial = 0;  // of *snapshot
  Instant now;
  Tick tick = 0;
  std::vector<balance::BackendStatus> status;  // by backend slot

 private:
  uint64_t random_;
};

}  // namespace limpet::dataplane
