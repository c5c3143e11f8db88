#include "limpet/port/workers.h"

#include <fmt/core.h>
#include <rte_launch.h>
#include <rte_lcore.h>

#include <algorithm>
#include <new>
#include <optional>
#include <span>
#include <string>

#include "limpet/base/memory.h"
#include "loop.h"
#include "random.h"

namespace limpet::port {
namespace {

constexpr uint32_t kLeastFlows = 64;
constexpr uint32_t kLeastHeld = 64;
constexpr uint64_t kBytesPerFlow = 128;  // more than a record and its share of the index

uint32_t share(uint32_t whole, unsigned workers, uint32_t least) {
  return std::max((whole + workers - 1) / workers, least);
}

}  // namespace

struct Workers::Lane {
  dataplane::WorkerSetup setup;
  std::optional<dataplane::Worker> worker;
  std::optional<Loop> loop;
  Instant now;
  bool out_of_memory = false;
};

Workers::Workers(Runtime& runtime, const WorkersSetup& setup)
    : runtime_(runtime),
      setup_(setup),
      clock_(Clock::system()),
      group_(std::make_unique<LoopGroup>()),
      lanes_(runtime.workers()) {}

Workers::~Workers() {
  stop();
}

Status Workers::create() {
  const unsigned workers = runtime_.workers();
  const uint64_t bytes = setup_.flows * kBytesPerFlow;
  if (const uint64_t available = memory_now().available; available != 0 && bytes > available)
    return Error{fmt::format(
        "not enough memory for {} flows (about {} MB, {} MB are available): lower capacity.flows",
        setup_.flows, bytes >> 20, available >> 20)};

  for (unsigned i = 0; i < workers; ++i) {
    Lane& lane = lanes_[i];
    lane.setup.id = i;
    lane.setup.shared = &runtime_.shared();
    lane.setup.stats = &runtime_.stats(i);
    lane.setup.output = &runtime_.output(i);
    lane.setup.pool = runtime_.pool(i);
    lane.setup.toeplitz = &runtime_.toeplitz();
    lane.setup.flows = share(setup_.flows, workers, kLeastFlows);
    lane.setup.held_packets = share(setup_.held_packets, workers, kLeastHeld);
    lane.setup.hold_syns = setup_.hold_syns;
    lane.setup.unix_time = &unix_time;
    const auto bytes_of = [](auto& value) {
      return std::span<uint8_t>(reinterpret_cast<uint8_t*>(&value), sizeof value);
    };
    if (auto s = fill_random(bytes_of(lane.setup.secret)); !s.ok()) return s;
    if (auto s = fill_random(bytes_of(lane.setup.random_seed)); !s.ok()) return s;
    lane.now = clock_.now();

    // On its own core: memory belongs to the socket that touches it first.
    const auto construct = [](void* argument) {
      Lane& l = *static_cast<Lane*>(argument);
      try {
        l.worker.emplace(l.setup, l.now);
        l.worker->offline();  // until its loop runs nobody needs to wait for it
      } catch (const std::bad_alloc&) {
        l.out_of_memory = true;
      }
      return 0;
    };
    const unsigned lcore = runtime_.lcores()[i];
    if (rte_eal_remote_launch(construct, &lane, lcore) != 0)
      return Error{fmt::format("lcore {} does not answer", lcore)};
  }
  for (const unsigned lcore : runtime_.lcores()) rte_eal_wait_lcore(lcore);
  for (const Lane& lane : lanes_)
    if (lane.out_of_memory)
      return Error{fmt::format("not enough memory for {} flows and {} held packets: lower capacity",
                               setup_.flows, setup_.held_packets)};
  return Ok{};
}

Status Workers::launch() {
  group_->stop.store(false, std::memory_order_relaxed);
  group_->receiving.store(runtime_.workers(), std::memory_order_relaxed);
  for (unsigned i = 0; i < runtime_.workers(); ++i) {
    Lane& lane = lanes_[i];
    lane.loop.emplace(LoopSetup{.worker = &*lane.worker,
                                .counters = &runtime_.stats(i).worker,
                                .queues = runtime_.queues(i),
                                .clock = &clock_,
                                .adaptive = setup_.adaptive,
                                .group = group_.get()});
  }
  running_ = true;
  for (unsigned i = 0; i < runtime_.workers(); ++i) {
    const auto run = [](void* argument) {
      static_cast<Loop*>(argument)->run();
      return 0;
    };
    const unsigned lcore = runtime_.lcores()[i];
    if (rte_eal_remote_launch(run, &*lanes_[i].loop, lcore) != 0) {
      group_->receiving.fetch_sub(runtime_.workers() - i, std::memory_order_acq_rel);
      stop();
      return Error{fmt::format("lcore {} does not answer", lcore)};
    }
  }
  return Ok{};
}

void Workers::stop() {
  if (!running_) return;
  running_ = false;
  group_->stop.store(true, std::memory_order_release);
  for (const unsigned lcore : runtime_.lcores()) rte_eal_wait_lcore(lcore);
}

Result<std::unique_ptr<Workers>> Workers::create(Runtime& runtime, const WorkersSetup& setup) {
  std::unique_ptr<Workers> workers(new Workers(runtime, setup));
  const auto created = workers->create();
  for (const unsigned lcore : runtime.lcores()) rte_eal_wait_lcore(lcore);  // also after an error
  if (!created.ok()) return Error{created.error()};
  return workers;
}

uint32_t Workers::flow_capacity(unsigned worker) const {
  return lanes_[worker].worker->flows().capacity();
}
uint32_t Workers::flow_bytes_each(unsigned worker) const {
  return lanes_[worker].worker->flows().bytes_each();
}
uint32_t Workers::held_limit() const {
  return lanes_.front().setup.held_packets;
}
uint64_t Workers::naps(unsigned worker) const {
  const auto& loop = lanes_[worker].loop;
  return loop ? loop->naps() : 0;
}

}  // namespace limpet::port
