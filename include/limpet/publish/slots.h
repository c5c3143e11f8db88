// Who has which slot. Services, backends and source addresses keep their index for as long as a
// flow may name it, over any number of reloads; flow records and worker counters hold nothing else.
//
//   identity     backend: pool, name, address and port; service: VIP, port and protocol; source:
//                address. Everything else may change in place.
//   removed      the slot stays used with `configured` false: its flows go on. It comes back to
//                life, with the same generation, when the same identity returns meanwhile.
//   rules        of a service are not in place of each other: what a reload replaces is kept for
//                the requests that were read by it (dataplane/http_rules.h), until every worker
//                reads a later snapshot and counts none of them.
//   reclaimed    when every worker reads a snapshot without it and counts no flow of it; a backend
//                slot then gets the next generation. A source goes with the last backend slot that
//                refers to it.
//
// A value: the builder works on a copy, which replaces the original when it is published.
// Owner: the control thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "limpet/affinity/cookie_keys.h"
#include "limpet/dataplane/snapshot.h"
#include "limpet/flow/ports.h"

namespace limpet::publish {

struct SlotLimits {
  size_t backends = dataplane::kMaxBackends;
  size_t services = dataplane::kMaxServices;
  size_t sources = dataplane::kMaxSources;
};

// A range of source ports of all workers towards one endpoint from one source address. Shared by
// all backend slots with that endpoint whose pools have those ports: no port is in two sets, which
// would hand it out twice. The objects are written by their workers only.
struct PortSet {
  uint16_t first = 0, last = 0;
  flow::Reta reta;
  std::vector<std::unique_ptr<flow::SourcePorts>> by_worker;
};

struct BackendSource {  // several of one address when its range is in pieces
  uint16_t source = dataplane::kNoSlot;
  uint64_t removed_in = 0;  // serial of the first snapshot that gives it to no new flow; 0: in use
  std::shared_ptr<PortSet> ports;
};

struct BackendSlot {
  bool used = false;
  bool configured = false;
  uint16_t generation = 1;
  uint64_t removed_in = 0;  // serial of the first snapshot in which it is not configured
  std::string pool;
  std::string name;
  flow::Endpoint endpoint;
  std::vector<BackendSource> sources;
};

struct KeptSlot {
  dataplane::KeptRules rules;
  uint64_t replaced_in = 0;  // serial of the first snapshot in which no request begins by them
  bool unheld = false;       // nobody held them at the last look

  uint32_t number() const { return rules.splice->rules->number; }
};

struct ServiceSlot {
  uint64_t removed_in = 0;
  dataplane::ServiceEntry entry;  // as last configured: flows of a removed service keep time-outs
  std::vector<KeptSlot> kept;     // oldest first, at most kMaxKeptRules; `entry` has none
  uint32_t rules_made = 0;        // how many it has had

  // Of requests that hold `number`; null when nobody knows them any more.
  const dataplane::HttpRules* rules(uint32_t number) const;
};

struct SourceSlot {
  bool used = false;
  IpAddress address;
};

// A pool's table depends on nothing else: unchanged means that it need not be built again.
struct TableKey {
  uint32_t size = 0;
  std::vector<balance::MaglevMember> members;
};

class Slots {
 public:
  explicit Slots(SlotLimits limits = {}) : limits_(limits) {}

  // By slot; the vectors end behind the last slot that was ever used.
  std::vector<BackendSlot> backends;
  std::vector<ServiceSlot> services;
  std::vector<SourceSlot> sources;
  std::vector<TableKey> tables;  // by pool of the last built snapshot
  affinity::CookieKeys keys;     // that seal and open in that snapshot

  const SlotLimits& limits() const { return limits_; }

  // Configured ones only; kNoSlot when there is none.
  uint16_t find_backend(std::string_view pool, std::string_view name) const;
  // The configured one, else all removed ones of that name (they had other addresses).
  std::vector<uint16_t> find_backends(std::string_view pool, std::string_view name) const;
  uint16_t find_service(std::string_view name) const;

  using Active = std::function<uint64_t(uint16_t slot)>;  // flows, summed over the workers
  // Frees what was removed in snapshot `settled` or before, when every worker reads `settled` or a
  // later one. True when something was freed, so that a new snapshot would be smaller.
  bool reclaim(uint64_t settled, const Active& backend_flows, const Active& service_flows);
  // Something was removed that reclaim() may free some day.
  bool anything_removed() const;
  // Requests that hold the rules of a service at a place, summed over the workers.
  using Held = std::function<uint64_t(uint16_t slot, size_t place)>;
  // Frees rules that were replaced in snapshot `settled` or before and that nobody has held at two
  // looks: a note for the session log may still be on its way at the first. `table`: a stick table
  // goes with some of them, whose memory a new snapshot would give back.
  enum class Freed : uint8_t { nothing, rules, table };
  Freed reclaim_rules(uint64_t settled, const Held& held);
  bool any_kept() const;

 private:
  void release_sources();
  SlotLimits limits_;
};

}  // namespace limpet::publish
