// What crosses between threads: rings, the snapshot pointer, RCU. One Shared per process, made by
// the main thread before the workers start and destroyed after they ended.
//
//   control -> worker   `control`    SP/SC ring of ToWorker, drained first in every iteration
//   worker  -> control  `notes`      SP/SC ring of SessionNote
//                       `log`        SP/SC ring of LogRecord (log_record.h)
//   worker  -> worker   `frames`     MP/SC ring of mbuf pointers: frames of another worker's flows
//                       `neighbors`  MP/SC ring of NeighborUpdate
//   control -> workers  `snapshot`   store-release, then rte_rcu_qsbr_start; the worker reloads it
//                                    after every quiescent report and after every sleep
#pragma once

#include <rte_mbuf.h>
#include <rte_rcu_qsbr.h>
#include <rte_ring.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "limpet/affinity/persistence.h"
#include "limpet/balance/backend_state.h"
#include "limpet/base/address.h"
#include "limpet/base/result.h"
#include "limpet/base/time.h"
#include "limpet/dataplane/log_record.h"
#include "limpet/dataplane/snapshot.h"
#include "limpet/flow/record.h"
#include "limpet/flow/shares.h"

namespace limpet::dataplane {

enum class QueryKind : uint32_t { flows, neighbors, top };

struct NeighborView {
  uint16_t port = 0;
  uint8_t state = 0;  // dataplane::NeighborState
  IpAddress address;
  MacAddress mac;
  Tick age = 0;
  uint32_t waiting = 0;  // packets held for it
};

// A source that holds much of a pool (flow/shares.h).
struct TopView {
  flow::Pool pool = flow::Pool::bindings;
  Prefix source;
  uint32_t places = 0;
};

// How many edits of a spliced flow's streams are live: made, but not acknowledged by their
// receiver.
struct FlowEdits {
  uint16_t in = 0;   // of what the client sends
  uint16_t out = 0;  // of what the backend sends
};

// A question to one worker, answered in pieces between bursts. Owned by control, which must not
// touch it from sending until `done` reads true (acquire). The worker never allocates: it fills at
// most as many elements as the vectors hold when it gets the query and sets `filled`.
struct Query {
  QueryKind kind = QueryKind::flows;
  uint16_t service = kNoSlot;       // flows: of this service only
  std::vector<flow::Listed> flows;  // sized to the limit by control
  std::vector<FlowEdits> edits;     // likewise, by flow
  std::vector<NeighborView> neighbors;
  std::vector<TopView> top;  // as many of each pool: most places first
  uint32_t filled = 0;
  bool truncated = false;  // there was more than fits
  uint32_t cursor = 0;     // worker's
  Tick now = 0;            // worker's clock at the answer
  std::atomic<bool> done{false};
};

struct ToWorker {
  enum class Type : uint32_t {
    backend,
    query,
    announce  // a port's link is back: its addresses again; to worker 0
  } type = Type::backend;
  uint16_t slot = kNoSlot;  // of the backend; announce: the port
  uint16_t generation = 0;
  balance::BackendStatus status;
  uint8_t pad[6]{};
  Query* query = nullptr;
};
static_assert(sizeof(ToWorker) == 24 && sizeof(ToWorker) % 4 == 0);

// A connection of a service with a session log has found its backend, or nobody: for one line of
// that log. Slots as they are at that moment; control looks names up.
struct SessionNote {
  IpAddress client;
  be16 client_port{};
  uint16_t service = kNoSlot;
  uint16_t backend = kNoSlot;  // kNoSlot: refused
  uint16_t backend_generation = 0;
  std::array<affinity::RequestFlag, kMaxCookieRules> request{};  // by cookie rule
  std::array<affinity::InvalidDetail, kMaxCookieRules> detail{};
  std::array<affinity::RequestFlag, kMaxHeaderRules> header{};  // by header rule
  uint32_t rules = 0;                                           // which rules (HttpRules::number)
  uint8_t cookies = 0;                                          // how many of these say something
  uint8_t headers = 0;                                          // likewise
  uint8_t reason = 0;                                           // affinity::Reason
  uint8_t pad = 0;
};
static_assert(sizeof(SessionNote) == 44 && sizeof(SessionNote) % 4 == 0);

struct NeighborUpdate {
  IpAddress address;
  MacAddress mac;
  uint16_t port = 0;
};
static_assert(sizeof(NeighborUpdate) == 24);

struct WorkerRings {
  rte_ring* control = nullptr;
  rte_ring* notes = nullptr;
  rte_ring* log = nullptr;
  rte_ring* frames = nullptr;
  rte_ring* neighbors = nullptr;
};

class Shared {
 public:
  // `prefix` makes ring names unique in the process. Needs an EAL.
  static Result<std::unique_ptr<Shared>> create(unsigned workers, const std::string& prefix);
  ~Shared();
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;

  unsigned workers() const { return static_cast<unsigned>(rings.size()); }

  std::atomic<const Snapshot*> snapshot{nullptr};
  rte_rcu_qsbr* rcu = nullptr;
  std::vector<WorkerRings> rings;  // by worker
  // Backend endpoints by slot, for comparing reverse keys. Written by control before a snapshot
  // that uses the slot is published; a slot's endpoint does not change while flows name it.
  std::vector<flow::Endpoint> endpoints;

 private:
  Shared() = default;
  void* rcu_memory_ = nullptr;
};

}  // namespace limpet::dataplane
