// The workers of a process: makes each on its own lcore, so that its memory is local to that core,
// runs them, and ends them without losing a frame that one of them has taken.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "limpet/base/result.h"
#include "limpet/base/time.h"
#include "limpet/port/clock.h"
#include "limpet/port/runtime.h"

namespace limpet::port {

struct LoopGroup;

struct WorkersSetup {
  uint32_t flows = 1000000;       // of the process, shared out
  uint32_t held_packets = 16384;  // same
  bool adaptive = true;           // naps when there is nothing to do (port/idle.h); else spins
  Duration hold_syns = std::chrono::seconds(60);  // dataplane::WorkerSetup
};

class Workers {
 public:
  // Preallocates everything. `runtime` must outlive the workers.
  static Result<std::unique_ptr<Workers>> create(Runtime& runtime, const WorkersSetup& setup);
  ~Workers();  // stop(), then frees what workers hold; snapshots must still exist
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  uint32_t flow_capacity(unsigned worker) const;
  uint32_t flow_bytes_each(unsigned worker) const;
  uint32_t held_limit() const;
  uint64_t naps(unsigned worker) const;  // so far; from any thread

  // Starts the loops. A first snapshot must have been published.
  Status launch();
  // Ends the loops: first nobody receives, then what was handed from worker to worker is finished,
  // then the transmit buffers are empty. Returns when all have ended. Harmless when not running.
  void stop();

 private:
  struct Lane;
  Workers(Runtime& runtime, const WorkersSetup& setup);
  Status create();

  Runtime& runtime_;
  WorkersSetup setup_;
  Clock clock_;
  std::unique_ptr<LoopGroup> group_;
  std::vector<Lane> lanes_;
  bool running_ = false;
};

}  // namespace limpet::port
