// Everything that a worker reads and configuration changes, as one immutable object. Built aside by
// the control thread (publish/publisher), published by one store-release, reclaimed through RCU
// (dataplane/shared.h). Backend health is not in here: it travels by ring and changes more often.
//
// Slots: services, backends and source addresses have indices that stay the same from snapshot to
// snapshot as long as a flow may name them. A backend that is removed from the configuration keeps
// its slot (`configured` false) until the last worker counts no connection of it; flow records
// therefore hold slots, never pointers.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "limpet/affinity/backend_ids.h"
#include "limpet/affinity/choose.h"
#include "limpet/affinity/stick_table.h"
#include "limpet/balance/maglev.h"
#include "limpet/balance/scheduler.h"
#include "limpet/base/address.h"
#include "limpet/base/forwarding.h"
#include "limpet/base/time.h"
#include "limpet/dataplane/http_rules.h"
#include "limpet/dataplane/log_record.h"
#include "limpet/flow/ports.h"
#include "limpet/flow/table.h"
#include "limpet/tcp/handshake.h"

namespace limpet::dataplane {

constexpr uint16_t kNoSlot = 0xffff;
constexpr size_t kMaxServices = 4096;
constexpr size_t kMaxBackends = 16384;
constexpr size_t kMaxSources = 1024;
constexpr size_t kMaxPorts = 16;

struct PortEntry {  // index = the limpet port number, not DPDK's
  std::string name;
  MacAddress mac;
  uint16_t mtu = 1500;
  bool kernel_shares = false;  // the kernel sees the same frames (af_packet): others' are `punted`
  bool rss = false;            // the NIC spreads TCP and UDP by our key, so queue = owner
  flow::Reta reta;
  std::vector<Prefix> addresses;  // ours, with the on-link network
};

struct RouteEntry {  // longest prefix first
  Prefix to;
  IpAddress via;  // unspecified of any family: on-link
  uint16_t port = 0;
};

struct SourceEntry {  // by source slot
  IpAddress address;
};

// A source address with a range of ports, which no other entry of the same endpoint shares. A pool
// has several for one address where ranges of pools overlap (publish/port_sets.h).
struct PoolSource {
  uint16_t source = kNoSlot;
  // By worker; null where the worker has no port towards this endpoint. The object is the worker's
  // own and outlives the snapshot (publish/slots.h).
  std::vector<flow::SourcePorts*> ports;
  bool retired = false;  // no longer configured: flows that exist give their port back, none takes
};

struct BackendEntry {  // by backend slot
  std::string name;
  std::string pool_name;
  IpAddress address;
  be16 port{};
  uint16_t generation = 0;
  bool used = false;        // the slot is taken
  bool configured = false;  // false: only flows that exist already
  // Where it stands in its pool: an index into Snapshot::pools, and into that pool's members.
  // Meaningful while configured.
  uint16_t pool = kNoSlot;
  uint16_t member = balance::Maglev::kNone;
  std::vector<PoolSource> sources;
};

struct PoolEntry {
  std::string name;
  balance::Maglev maglev;  // where keys lead
  // By worker, who alone touches its own, and shared by the snapshots between which the pool does
  // not change; empty: the scheduler is `maglev`.
  std::vector<std::shared_ptr<balance::RoundRobin>> turns;
  std::vector<uint16_t> members;  // Maglev member -> backend slot
  affinity::BackendIds ids;       // by member

  balance::SchedulerType scheduler_type() const {
    return turns.empty() ? balance::SchedulerType::maglev : balance::SchedulerType::roundrobin;
  }
  balance::Scheduler scheduler(unsigned worker) const {
    return turns.empty() ? balance::Scheduler(maglev) : balance::Scheduler(*turns[worker]);
  }
};

struct Timeouts {
  Tick connect = 0, idle = 0, half_closed = 0, time_wait = 0;
  Tick head = 0;  // mode splice: until the first request head is complete
  // Mode splice, of a connection that stands; the first two are not above idle.
  Tick response = 0, keep_alive = 0, tunnel = 0;
  bool tells = true;  // both ends of a connection that ends by one of them hear a reset
};

// How long a flow in this state lasts from its last_seen on.
Tick timeout_of(const flow::Record& r, const Timeouts& t);

// How long a tombstone lasts: a client that repeats itself has heard by then.
constexpr Tick kTombstone = to_ticks(std::chrono::seconds(10));

// Mode splice of a service.
struct SpliceEntry {
  tcp::SynAckOptions syn_ack;  // of its SYN-ACKs
  uint16_t most_mss = 1460;    // that the ports let it say
  uint32_t head_bytes = 0;     // the largest request head, and what a client may send before that
  bool redispatch = true;      // to another backend when one refuses or does not answer
  uint8_t retries = 0;         // before that: of the one that the client is bound to
  std::string unavailable;     // the whole response when no backend is left; empty: a reset
  std::string bad_request;     // to what is no request, or too long a head
  std::string slow_request;    // to a head that is not complete in time
  std::string no_answer;       // to a request that its backend does not answer in time
  // Never null. Shared by the snapshots of one setting.
  std::shared_ptr<const HttpRules> rules = std::make_shared<HttpRules>();
  // Learned cookies and first pins; null: none. Its entries outlive snapshots.
  std::shared_ptr<affinity::StickTable> table;
  // By kind of its keys: whose they are. Also of entries of the list that are gone: what they left
  // in the table must not be taken for another one's.
  std::vector<std::string> table_kinds;
  bool session_log = false;  // a line for each connection
};

// Rules of a service that a reload has replaced, for requests that were read by them.
struct KeptRules {
  std::shared_ptr<const SpliceEntry> splice;  // never null: its rules, and the table by its list
  affinity::Policy policy;                    // its list
  uint8_t counted = 0;  // by entry of that list, a bit: whether it is at its place in today's too
};
static_assert(affinity::kMaxEntries <= 8);

struct ServiceEntry {  // by service slot
  std::string name;
  IpAddress vip;
  be16 port{};
  uint8_t protocol = 0;
  bool used = false;
  bool configured = false;  // false: removed; flows that exist go on
  uint16_t pool = kNoSlot;  // index into Snapshot::pools; valid while configured
  affinity::Policy policy;
  Timeouts timeouts;
  Forwarding forwarding = Forwarding::nat;    // of connections to come
  std::shared_ptr<const SpliceEntry> splice;  // present with Forwarding::splice, and only then
  std::vector<KeptRules> kept;                // oldest first, at most kMaxKeptRules
};

// What a destination address is to us.
struct Local {
  uint16_t vip = kNoSlot;     // number of the VIP address, for service look-up
  uint16_t source = kNoSlot;  // source slot: answers of backends arrive here
  uint16_t port = kNoSlot;    // our own address on this port (ARP, echo)
};

// Open-addressing map from address to Local and from {vip, protocol, port} to service slot. Small
// (hundreds of entries), read once per packet, so it stays in the first-level cache.
class LocalTable {
 public:
  LocalTable();
  Local& add(const IpAddress& address);  // finds or inserts
  void add_service(uint16_t vip, uint8_t protocol, be16 port, uint16_t slot);
  const Local* find(const IpAddress& address) const;
  uint16_t service(uint16_t vip, uint8_t protocol, be16 port) const;  // kNoSlot when none

 private:
  struct AddressCell {
    IpAddress address;
    Local local;
    bool used = false;
  };
  struct ServiceCell {
    uint64_t key = 0;  // 0: empty; vip + 1 in the high bits
    uint16_t slot = kNoSlot;
  };
  void grow_addresses();
  void grow_services();
  std::vector<AddressCell> addresses_;
  std::vector<ServiceCell> services_;
  size_t address_count_ = 0, service_count_ = 0;
};

struct Hop {
  bool ok = false;
  uint16_t port = 0;
  IpAddress address;  // on-link
};

// An address of ours in the network of a port: VIPs and source addresses.
struct Announcement {
  IpAddress address;
  uint16_t port = 0;
  uint64_t since = 0;  // serial of the first snapshot that has it
};

struct Snapshot {
  uint64_t serial = 0;
  std::vector<PortEntry> ports;
  std::vector<RouteEntry> routes;
  std::vector<SourceEntry> sources;  // by slot
  std::vector<PoolEntry> pools;
  std::vector<BackendEntry> backends;  // by slot
  std::vector<ServiceEntry> services;  // by slot
  LocalTable locals;
  LogSettings log;
  std::vector<Announcement> announcements;  // ascending by port
  // By worker, who alone touches its own; empty when no service looks for anything in its heads.
  std::vector<std::unique_ptr<ExchangeTools>> tools;

  Hop route(const IpAddress& destination) const;
  // Our address on `port` of the family of `like`: in its network if there is one, else the first.
  const IpAddress* own_address(uint16_t port, const IpAddress& like) const;
};

}  // namespace limpet::dataplane
