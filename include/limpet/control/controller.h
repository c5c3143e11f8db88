// The control thread: everything around the workers that may block, allocate or read a clock.
// Publishes snapshots, checks backends, answers the control socket and telemetry, reloads, and ends
// the process. Runs on EAL's main lcore, sleeps in poll(2) while nothing happens.
//
// How the program uses it, in this order:
//   block_signals()       before rte_eal_init, so that every thread of EAL inherits the mask
//   Controller::create    after ports, Shared and WorkerStats exist; binds the control socket
//   publish_first()       before the workers start: their first quiescent() finds a snapshot
//   (start the workers)
//   run()                 until SIGINT, SIGTERM or stop()
//   (stop the workers)    nobody reads a snapshot or a Query any more
//   ~Controller           frees them, removes the socket
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "limpet/base/result.h"
#include "limpet/config/document.h"
#include "limpet/console/worker_info.h"
#include "limpet/dataplane/counters.h"
#include "limpet/dataplane/shared.h"
#include "limpet/dataplane/snapshot.h"
#include "limpet/flow/toeplitz.h"

namespace limpet::control {

struct Setup {
  config::Document document;  // as the file says; what the command line adds to `eal` is not in it
  std::string config_file;    // read again by a reload
  dataplane::Shared* shared = nullptr;
  std::vector<dataplane::PortEntry> ports;   // one for each of document.ports, same order
  std::vector<console::WorkerInfo> workers;  // by id
  const flow::Toeplitz* toeplitz = nullptr;
  std::string runtime_dir;  // of DPDK; the socket is runtime_dir/limpet.sock
  std::function<uint32_t()> mbufs_in_use;
  uint32_t mbuf_pool_size = 0;
  std::function<dataplane::NicCounters(size_t port)> nic;  // by number; null: zeros
  std::function<bool(size_t port)> link_up;                // likewise; null: not watched
  // How long a reload waits for answers whose rules it would give up.
  Duration reload_patience = std::chrono::seconds(10);
};

// SIGHUP, SIGINT and SIGTERM are taken by the event loop and by nobody else; SIGPIPE is ignored.
void block_signals();

class Controller {
 public:
  static Result<std::unique_ptr<Controller>> create(Setup setup);
  ~Controller();
  Controller(const Controller&) = delete;
  Controller& operator=(const Controller&) = delete;

  // Builds and publishes the first snapshot and queues every backend's state.
  Status publish_first();
  // The event loop. Returns the program's exit status: 0 after SIGINT, SIGTERM or stop().
  int run();
  // From any thread: run() returns `status` soon.
  void stop(int status = 0);

 private:
  class Impl;
  explicit Controller(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace limpet::control
