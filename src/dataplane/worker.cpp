// A worker's batches: receive, parse, hash and prefetch, then act; RCU and the snapshot.
#include "limpet/dataplane/worker.h"

#include <rte_prefetch.h>
#include <rte_ring_elem.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <new>
#include <tuple>
#include <type_traits>

#include "limpet/wire/layout.h"
#include "limpet/wire/nd.h"
#include "limpet/wire/quote.h"
#include "limpet/wire/vlan.h"
#include "parts.h"

namespace limpet::dataplane {
namespace {

constexpr unsigned kNeighborBudget = 64;  // neighbor updates per iteration
constexpr unsigned kQueryBudget = 2048;   // records per iteration for limpetctl show flows
constexpr unsigned kHandedBursts = 16;    // from other workers per iteration

constexpr bool ended_here(Ended /*frame*/) {
  return false;
}

}  // namespace

Core::Core(const WorkerSetup& setup, Instant start)
    : id(setup.id),
      shared(*setup.shared),
      stats(*setup.stats),
      n(setup.stats->worker),
      backends(setup.stats->backends.data()),
      services(setup.stats->services.data()),
      workers(setup.shared->workers()),
      pool(setup.pool),
      now(start),
      tick(to_tick(start)),
      status(kMaxBackends),
      random_(setup.random_seed | 1) {}

// xorshift64 (Marsaglia 2003).
uint64_t Core::random() {
  random_ ^= random_ << 13;
  random_ ^= random_ >> 7;
  random_ ^= random_ << 17;
  return random_;
}

void Core::log(LogRecord& record) {
  if (rte_ring_sp_enqueue_elem(shared.rings[id].log, &record, sizeof record) != 0) n.log_lost.add();
}

Worker::Parts::Parts(const WorkerSetup& setup, Instant now)
    : core(setup, now),
      outlet(core, setup),
      book(core, outlet, setup),
      local(core, outlet),
      nat(core, outlet, book, *this, setup),
      splicer(core, outlet, book, setup),
      toeplitz(setup.toeplitz),
      status_generation(kMaxBackends) {
  book.keep(Forwarding::nat, nat);
  book.keep(Forwarding::splice, splicer);
  queries.reserve(64);
}

Worker::Worker(const WorkerSetup& setup, Instant now)
    : parts_(std::make_unique<Parts>(setup, now)) {
  rte_rcu_qsbr_thread_register(parts_->core.shared.rcu, parts_->core.id);
  online();
}

Worker::~Worker() {
  Core& core = parts_->core;
  parts_->outlet.shut_down();
  for (Query* q : parts_->queries) q->done.store(true, std::memory_order_release);
  ToWorker message;
  while (rte_ring_sc_dequeue_elem(core.shared.rings[core.id].control, &message, sizeof message) ==
         0)
    if (message.type == ToWorker::Type::query)
      message.query->done.store(true, std::memory_order_release);
  offline();
  rte_rcu_qsbr_thread_unregister(core.shared.rcu, core.id);
}

void Worker::Parts::adopt(const Snapshot* snapshot) {
  core.snapshot = snapshot;
  core.serial = snapshot->serial;
  // A slot with another owner must not be judged by what was said of the former one.
  for (size_t slot = 0; slot < snapshot->backends.size(); ++slot) {
    if (status_generation[slot] == snapshot->backends[slot].generation) continue;
    status_generation[slot] = snapshot->backends[slot].generation;
    core.status[slot] = {};
    book.forget_backend(static_cast<uint16_t>(slot));
  }
  book.adopt();
  core.n.snapshot.set(core.serial);
  outlet.adopt();
}

void Worker::quiescent() {
  rte_rcu_qsbr_quiescent(parts_->core.shared.rcu, parts_->core.id);
  // Only now: the report may free what was seen before it.
  parts_->reload();
}

// The serial tells: a new snapshot may stand where a freed one stood.
void Worker::Parts::reload() {
  const Snapshot* current = core.shared.snapshot.load(std::memory_order_acquire);
  if (current != nullptr && current->serial != core.serial) adopt(current);
}

void Worker::offline() {
  rte_rcu_qsbr_thread_offline(parts_->core.shared.rcu, parts_->core.id);
}

void Worker::online() {
  rte_rcu_qsbr_thread_online(parts_->core.shared.rcu, parts_->core.id);
  parts_->reload();
}

bool Worker::may_sleep() const {
  return !parts_->book.looks() && parts_->queries.empty();
}

uint32_t Worker::transactions() const {
  return parts_->splicer.transactions();
}

const flow::Table& Worker::flows() const {
  return parts_->book.table();
}

const Neighbors& Worker::neighbors() const {
  return parts_->outlet.neighbors();
}

void Worker::begin(Instant now) {
  Core& core = parts_->core;
  core.now = now;
  core.tick = to_tick(now);
  parts_->book.begin_iteration();
  parts_->nat.begin_iteration();
  std::array<ToWorker, 64> messages;
  for (;;) {
    const unsigned got =
        rte_ring_sc_dequeue_burst_elem(core.shared.rings[core.id].control, messages.data(),
                                       sizeof(ToWorker), messages.size(), nullptr);
    for (unsigned i = 0; i < got; ++i) parts_->on_message(messages[i]);
    if (got < messages.size()) break;
  }
}

void Worker::receive(uint16_t port, rte_mbuf** frames, uint16_t count) {
  parts_->core.n.rx.add(count);
  for (uint16_t i = 0; i < count; ++i) frames[i]->port = port;
  parts_->burst(port, frames, count, false);
}

unsigned Worker::receive_handed() {
  Core& core = parts_->core;
  Outlet& outlet = parts_->outlet;
  if (core.workers == 1) return 0;
  const WorkerRings& rings = core.shared.rings[core.id];
  std::array<NeighborUpdate, kNeighborBudget> updates;
  const unsigned told = rte_ring_sc_dequeue_burst_elem(
      rings.neighbors, updates.data(), sizeof(NeighborUpdate), updates.size(), nullptr);
  for (unsigned i = 0; i < told; ++i) {
    const uint16_t known = outlet.neighbors().find(updates[i].port, updates[i].address);
    if (known != Neighbors::kNone) outlet.learned(known, updates[i].mac);
  }
  // Several bursts: every other worker may have passed on all that it received.
  unsigned handed = 0;
  for (unsigned i = 0; i < kHandedBursts; ++i) {
    rte_mbuf* frames[kBurst];
    const unsigned got =
        rte_ring_sc_dequeue_burst(rings.frames, reinterpret_cast<void**>(frames), kBurst, nullptr);
    core.n.handed_in.add(got);
    parts_->burst(0, frames, static_cast<uint16_t>(got), true);
    handed += got;
    if (got < kBurst) break;
  }
  return handed + told;
}

void Worker::housekeeping() {
  parts_->book.tick();
  parts_->outlet.tick();
  parts_->splicer.tick();
  parts_->book.tick_gone();
  if (!parts_->queries.empty()) parts_->answer_queries(kQueryBudget);
  parts_->book.gauges();
  parts_->outlet.gauges();
}

void Worker::flush() {
  parts_->outlet.flush();
}

void Worker::Parts::burst(uint16_t port, rte_mbuf** frames, uint16_t count, bool handed) {
  // Not initialised as a whole: a burst of one must not pay for thirty-two.
  alignas(Packet) std::byte room[kBurst * sizeof(Packet)];
  std::array<Packet*, kBurst> packets;
  static_assert(std::is_trivially_destructible_v<Packet>);
  uint16_t live = 0;
  if (core.snapshot == nullptr) [[unlikely]] {  // nothing is ours yet
    for (uint16_t i = 0; i < count; ++i) std::ignore = outlet.drop(frames[i], Drop::not_ours);
    return;
  }
  for (uint16_t i = 0; i < count; ++i) rte_prefetch0(rte_pktmbuf_mtod(frames[i], void*));
  for (uint16_t i = 0; i < count; ++i) {
    Packet& p = *(packets[live] = new (room + live * sizeof(Packet)) Packet);
    p.m = frames[i];
    p.port = handed ? frames[i]->port : port;
    p.handed = handed;
    if (!classify(p)) continue;
    if (p.path != Path::local) book.table().prefetch_index(p.hash);
    ++live;
  }
  for (uint16_t i = 0; i < live; ++i)
    if (packets[i]->path != Path::local) book.table().prefetch_record(packets[i]->hash);
  for (uint16_t i = 0; i < live; ++i) std::ignore = act(*packets[i]);
}

// False when the frame has ended here.
bool Worker::Parts::classify(Packet& p) {
  const PortEntry& port = core.snapshot->ports[p.port];
  if (p.m->nb_segs != 1) return ended_here(outlet.drop(p, Drop::mbuf_segmented));
  const std::span<uint8_t> bytes = p.bytes();
  // Before anything else: our own output is not to be judged.
  if (bytes.size() >= wire::eth::kSize &&
      std::memcmp(bytes.data() + 6, port.mac.bytes.data(), 6) == 0)
    return ended_here(outlet.drop(p, Drop::own_source_mac));
  const uint64_t flags = p.m->ol_flags;
  p.f = wire::parse_frame(
      bytes, {.ip_checksum = (flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_GOOD,
              .l4_checksum = (flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD});
  const wire::Frame& f = p.f;
  if (f.kind == wire::FrameKind::bad) [[unlikely]] {
    if (f.drop != Drop::vlan_unsupported || !wire::has_priority_tag(bytes))
      return ended_here(outlet.drop(p, f.drop));
    wire::cut_priority_tag(bytes);
    rte_pktmbuf_adj(p.m, wire::kVlanTag);
    return classify(p);  // there is no second tag
  }
  if (f.destination_mac != port.mac && !f.destination_mac.is_group())
    return ended_here(outlet.drop(p, Drop::not_ours));

  switch (f.kind) {
    case wire::FrameKind::arp:
    case wire::FrameKind::other:
    case wire::FrameKind::bad:
      return true;
    default:
      break;
  }
  p.local = core.snapshot->locals.find(f.destination);
  if (p.local == nullptr) return true;
  if (f.kind == wire::FrameKind::fragment) return ended_here(outlet.drop(p, Drop::ip_fragment));

  if (f.kind == wire::FrameKind::tcp || f.kind == wire::FrameKind::udp) {
    // RFC 1122, 3.3.6: sent to all on the link, so perhaps to several of us.
    if (f.destination_mac.is_group()) return ended_here(outlet.drop(p, Drop::not_ours));
    if (p.local->vip != kNoSlot)
      p.service = core.snapshot->locals.service(p.local->vip, f.protocol, f.destination_port);
    if (p.service != kNoSlot) {
      p.path = Path::client;
    } else if (p.local->source != kNoSlot) {
      p.path = Path::backend;
    } else {
      return true;
    }
    if (!p.handed && !port.rss && core.workers > 1) {
      const unsigned owner =
          owner_of(p.port, f.source, f.destination, f.source_port, f.destination_port);
      if (owner != core.id) return ended_here(outlet.hand_over(p, owner));
    }
    p.hash = p.path == Path::client
                 ? book.table().hash(flow::ForwardKey{f.source, f.source_port, p.service})
                 : book.table().hash(flow::ReverseKey{f.source, f.source_port, p.local->source,
                                                      f.destination_port, f.protocol});
    return true;
  }
  // What comes back about a packet of ours belongs to the flow's owner, however the NIC spread it.
  if (!p.handed && core.workers > 1 && wire::is_icmp_error(f)) {
    const auto quote = wire::parse_quote(bytes, f);
    if (quote) {
      const unsigned owner = owner_of(p.port, quote->destination, quote->source,
                                      quote->destination_port, quote->source_port);
      if (owner != core.id) return ended_here(outlet.hand_over(p, owner));
    }
  }
  return true;
}

unsigned Worker::Parts::owner_of(uint16_t port, const IpAddress& source,
                                 const IpAddress& destination, be16 source_port,
                                 be16 destination_port) const {
  return core.snapshot->ports[port].reta.owner(
      toeplitz->hash(source, destination, source_port, destination_port));
}

// A frame of no flow of ours: perhaps RSS has put it here and its flow is elsewhere, as NICs hash
// some packets by addresses alone (IP options, extension headers). Refused here, its client would
// be reset. Its owner, if that is another one.
std::optional<unsigned> Worker::Parts::misplaced(const Packet& p) const {
  if (p.handed || core.workers == 1 || !core.snapshot->ports[p.port].rss) return {};
  const unsigned owner =
      owner_of(p.port, p.f.source, p.f.destination, p.f.source_port, p.f.destination_port);
  if (owner == core.id) return {};
  return owner;
}

Ended Worker::Parts::act(Packet& p) {
  switch (p.path) {
    case Path::client:
      return from_client(p);
    case Path::backend:
      return from_backend(p);
    case Path::local:
      break;
  }
  switch (p.f.kind) {
    case wire::FrameKind::arp:
      return local.arp(p);
    case wire::FrameKind::other:
      return outlet.not_ours(p, Drop::ethertype_unsupported);
    case wire::FrameKind::icmp6:
      if (wire::is_neighbor_message(p.f)) return local.neighbor_discovery(p);
      [[fallthrough]];
    case wire::FrameKind::icmp:
      if (p.local == nullptr) break;
      if (wire::is_echo_request(p.f)) return local.echo(p);
      if (wire::is_icmp_error(p.f)) return icmp_error(p);
      return outlet.drop(p, Drop::icmp_unsupported);
    case wire::FrameKind::tcp:
    case wire::FrameKind::udp:
      if (p.local == nullptr) break;
      return outlet.refuse(p, Drop::no_service);
    default:
      if (p.local == nullptr) break;
      return outlet.drop(p, Drop::protocol_unsupported);
  }
  return outlet.not_ours(p, Drop::not_ours);
}

Ended Worker::Parts::from_client(Packet& p) {
  const flow::ForwardKey key{p.f.source, p.f.source_port, p.service};
  const flow::FlowId id = book.table().find(key, p.hash);
  if (id == flow::kNoFlow) {
    if (const auto owner = misplaced(p)) return outlet.hand_over(p, *owner);
    return no_flow(p);
  }
  if (flow::forwarding_of(book.at(id)) == Forwarding::nat) [[likely]]
    return nat.from_client(p, id);
  return splicer.from_client(p, id);
}

Ended Worker::Parts::no_flow(Packet& p) {
  switch (core.snapshot->services[p.service].forwarding) {
    case Forwarding::nat:
      return nat.no_flow(p);
    case Forwarding::splice:
      break;
  }
  return splicer.no_flow(p);
}

Ended Worker::Parts::from_backend(Packet& p) {
  const flow::ReverseKey key{p.f.source, p.f.source_port, p.local->source, p.f.destination_port,
                             p.f.protocol};
  const flow::FlowId id = book.table().find(key, p.hash);
  if (id == flow::kNoFlow) {
    if (const auto owner = misplaced(p)) return outlet.hand_over(p, *owner);
    // A late segment is answered, so that the backend lets go of its end.
    return p.f.kind == wire::FrameKind::tcp ? outlet.refuse(p, Drop::no_flow)
                                            : outlet.drop(p, Drop::no_flow);
  }
  if (flow::forwarding_of(book.at(id)) == Forwarding::nat) [[likely]]
    return nat.from_backend(p, id);
  return splicer.from_backend(p, id);
}

}  // namespace limpet::dataplane
