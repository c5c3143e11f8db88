// Rings and RCU of a process: made before the workers start, freed after they ended.
#include "limpet/dataplane/shared.h"

#include <fmt/core.h>
#include <rte_errno.h>
#include <rte_malloc.h>
#include <rte_ring_elem.h>

namespace limpet::dataplane {
namespace {

// Every backend may change at once, with room for queries: control never has to wait for long.
constexpr unsigned kControlRing = 2 * kMaxBackends;
constexpr unsigned kNoteRing = 4096;  // control looks every few milliseconds
constexpr unsigned kLogRing = 2048;   // likewise
constexpr unsigned kFrameRing = 2048;
constexpr unsigned kNeighborRing = 1024;

}  // namespace

Result<std::unique_ptr<Shared>> Shared::create(unsigned workers, const std::string& prefix) {
  std::unique_ptr<Shared> s(new Shared);
  s->endpoints.resize(kMaxBackends);
  const auto bytes = rte_rcu_qsbr_get_memsize(workers);
  s->rcu_memory_ = rte_zmalloc("limpet_rcu", bytes, RTE_CACHE_LINE_SIZE);
  if (s->rcu_memory_ == nullptr)
    return Error{fmt::format(
        "no EAL memory for RCU ({} bytes): raise -m or the number of hugepages", bytes)};
  s->rcu = static_cast<rte_rcu_qsbr*>(s->rcu_memory_);
  if (rte_rcu_qsbr_init(s->rcu, workers) != 0)
    return Error{fmt::format("rte_rcu_qsbr_init for {} workers failed: {}", workers,
                             rte_strerror(rte_errno))};
  s->rings.resize(workers);
  for (unsigned i = 0; i < workers; ++i) {
    WorkerRings& r = s->rings[i];
    r.control = rte_ring_create_elem(fmt::format("{}_c{}", prefix, i).c_str(), sizeof(ToWorker),
                                     kControlRing, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
    r.notes = rte_ring_create_elem(fmt::format("{}_s{}", prefix, i).c_str(), sizeof(SessionNote),
                                   kNoteRing, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
    r.log = rte_ring_create_elem(fmt::format("{}_l{}", prefix, i).c_str(), sizeof(LogRecord),
                                 kLogRing, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
    r.frames = rte_ring_create(fmt::format("{}_f{}", prefix, i).c_str(), kFrameRing, SOCKET_ID_ANY,
                               RING_F_SC_DEQ);
    r.neighbors =
        rte_ring_create_elem(fmt::format("{}_n{}", prefix, i).c_str(), sizeof(NeighborUpdate),
                             kNeighborRing, SOCKET_ID_ANY, RING_F_SC_DEQ);
    if (r.control == nullptr || r.notes == nullptr || r.log == nullptr || r.frames == nullptr ||
        r.neighbors == nullptr)
      return Error{fmt::format(
          "cannot create the rings of worker {}: {}; raise -m or the number of hugepages", i,
          rte_strerror(rte_errno))};
  }
  return s;
}

Shared::~Shared() {
  for (const WorkerRings& r : rings) {
    void* frame = nullptr;
    while (r.frames != nullptr && rte_ring_dequeue(r.frames, &frame) == 0)
      rte_pktmbuf_free(static_cast<rte_mbuf*>(frame));
    rte_ring_free(r.control);
    rte_ring_free(r.notes);
    rte_ring_free(r.log);
    rte_ring_free(r.frames);
    rte_ring_free(r.neighbors);
  }
  rte_free(rcu_memory_);
}

}  // namespace limpet::dataplane
