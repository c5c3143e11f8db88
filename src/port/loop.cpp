#include "loop.h"

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_pause.h>
#include <sys/prctl.h>
#include <time.h>

namespace limpet::port {

void Loop::run() {
  dataplane::Worker& worker = *setup_.worker;
  dataplane::WorkerCounters& n = *setup_.counters;
  LoopGroup& group = *setup_.group;
  // The kernel may round a nap up by 50 us otherwise.
  if (setup_.adaptive) prctl(PR_SET_TIMERSLACK, 1000);

  worker.online();
  bool receiving = true;
  bool found = false;
  uint64_t last = rte_rdtsc();
  for (;;) {
    const uint64_t tsc = rte_rdtsc();
    n.total_cycles.add(tsc - last);
    if (found) n.busy_cycles.add(tsc - last);
    last = tsc;

    bool last_round = false;
    if (group.stop.load(std::memory_order_acquire)) [[unlikely]] {
      if (receiving) {
        receiving = false;
        group.receiving.fetch_sub(1, std::memory_order_acq_rel);
      }
      // From here on nobody fills our ring; once it is found empty, it stays so.
      last_round = group.receiving.load(std::memory_order_acquire) == 0;
    }

    worker.begin(setup_.clock->at(tsc));
    unsigned got = receiving ? receive() : 0;
    got += worker.receive_handed();
    worker.housekeeping();
    worker.flush();
    worker.quiescent();

    found = got != 0;
    n.iterations.add();
    if (!found) {
      n.empty_polls.add();
      if (last_round) break;
    }
    if (!setup_.adaptive) continue;
    switch (idle_.next(found, worker.may_sleep() && receiving)) {
      case Idle::Action::poll:
        break;
      case Idle::Action::pause:
        rte_pause();
        break;
      case Idle::Action::nap:
        nap(idle_.nap());
        break;
    }
  }
  worker.offline();
}

unsigned Loop::receive() {
  rte_mbuf* frames[dataplane::Worker::kBurst];
  unsigned got = 0;
  for (const RxQueue& q : setup_.queues) {
    const uint16_t n = rte_eth_rx_burst(q.device, q.queue, frames, dataplane::Worker::kBurst);
    if (n == 0) continue;
    setup_.worker->receive(q.port, frames, n);
    got += n;
  }
  return got;
}

void Loop::nap(Duration d) {
  naps_.add();
  setup_.worker->offline();  // a sleeper must not hold up the reclaiming of a snapshot
  const timespec t{0, static_cast<long>(d.count())};
  clock_nanosleep(CLOCK_MONOTONIC, 0, &t, nullptr);
  setup_.worker->online();
}

}  // namespace limpet::port
