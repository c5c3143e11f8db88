// The loop of one lcore: polls its receive queues and calls the worker in the order that
// dataplane/worker.h asks for, reading the time-stamp counter once per iteration.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "limpet/dataplane/counters.h"
#include "limpet/dataplane/worker.h"
#include "limpet/port/clock.h"
#include "limpet/port/idle.h"
#include "limpet/port/runtime.h"

namespace limpet::port {

// What the loops of a process tell each other to end together.
struct LoopGroup {
  std::atomic<bool> stop{false};       // written by the main thread
  std::atomic<unsigned> receiving{0};  // loops that still receive, and so may hand frames over
};

struct LoopSetup {
  dataplane::Worker* worker = nullptr;
  dataplane::WorkerCounters* counters = nullptr;  // of that worker
  std::vector<RxQueue> queues;
  const Clock* clock = nullptr;
  bool adaptive = true;
  LoopGroup* group = nullptr;
};

class Loop {
 public:
  explicit Loop(const LoopSetup& setup) : setup_(setup) {}

  void run();  // until group->stop
  uint64_t naps() const { return naps_.get(); }

 private:
  unsigned receive();
  void nap(Duration d);

  LoopSetup setup_;
  Idle idle_;
  dataplane::Counter naps_;
};

}  // namespace limpet::port
