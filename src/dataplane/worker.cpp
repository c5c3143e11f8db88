// The worker's batches: receive, parse, hash and prefetch, then act; RCU and the snapshot.
#include "limpet/dataplane/worker.h"

#include <rte_prefetch.h>
#include <rte_ring_elem.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <new>
#include <type_traits>

#include "limpet/wire/layout.h"
#include "limpet/wire/nd.h"
#include "limpet/wire/quote.h"
#include "limpet/wire/vlan.h"
#include "splicer.h"
#include "work.h"

namespace limpet::dataplane {
namespace {

constexpr size_t kHeldSyns = 4096;
constexpr size_t kKnocks = 1024;
constexpr unsigned kNeighborBudget = 64;  // neighbor updates per iteration
constexpr unsigned kNeighborVisits = 16;  // cache entries whose timers are looked at per iteration
constexpr unsigned kExpiryBudget = 256;   // due flows per iteration
constexpr unsigned kFlushBudget = 4096;   // records per iteration when a backend has died
constexpr unsigned kQueryBudget = 2048;   // records per iteration for limpetctl show flows
constexpr unsigned kAnnounceBudget = 16;  // addresses of ours told to the links per iteration
constexpr unsigned kHandedBursts = 16;    // from other workers per iteration

// Cookies are dated from 1970 then: for tests that have none.
uint64_t no_time() {
  return 0;
}

}  // namespace

Worker::Worker(const WorkerSetup& setup, Instant now)
    : id_(setup.id),
      shared_(*setup.shared),
      stats_(*setup.stats),
      n_(setup.stats->worker),
      output_(*setup.output),
      pool_(setup.pool),
      toeplitz_(setup.toeplitz),
      now_(now),
      tick_(to_tick(now)),
      hold_syns_until_(tick_ + to_ticks(setup.hold_syns)),
      hold_all_syns_(setup.hold_syns.count() > 0),
      random_(setup.random_seed | 1),
      unix_time_(setup.unix_time == nullptr ? &no_time : setup.unix_time),
      table_(setup.flows, setup.secret, setup.shared->endpoints),
      wheel_(table_, tick_),
      neighbors_(setup.neighbors, setup.held_packets),
      status_(kMaxBackends),
      status_generation_(kMaxBackends),
      backend_hops_(kMaxBackends),
      source_turn_(kMaxBackends),
      tx_(kMaxPorts),
      syns_(kHeldSyns),
      knocks_(kKnocks),
      crowded_(kMaxBackends),
      dead_(kMaxBackends) {
  n_.neighbors_total.set(setup.neighbors);
  ports_read_ = to_tick(now);
  queries_.reserve(64);
  splicer_ = std::make_unique<Splicer>(*this, setup, now);
  rte_rcu_qsbr_thread_register(shared_.rcu, id_);
  online();
}

Worker::~Worker() {
  for (uint32_t i = 0; i < neighbors_.capacity(); ++i) {
    Neighbors::Held held;
    while (neighbors_.release(static_cast<uint16_t>(i), held)) {
      if (held.originated) {
        n_.originated_lost.add();
        rte_pktmbuf_free(held.frame);
      } else {
        n_.held_packets.sub();
        n_.held_bytes.sub(held.frame->pkt_len);
        drop(held.frame, Drop::shutdown);
      }
    }
  }
  for (HeldSyn& s : syns_) rte_pktmbuf_free(s.frame);
  flush();
  for (Query* q : queries_) q->done.store(true, std::memory_order_release);
  ToWorker message;
  while (rte_ring_sc_dequeue_elem(shared_.rings[id_].control, &message, sizeof message) == 0)
    if (message.type == ToWorker::Type::query)
      message.query->done.store(true, std::memory_order_release);
  offline();
  rte_rcu_qsbr_thread_unregister(shared_.rcu, id_);
}

void Worker::adopt(const Snapshot* snapshot) {
  snapshot_ = snapshot;
  serial_ = snapshot->serial;
  neighbors_.invalidate();  // routes may have changed: cached hops are looked up again
  // A slot with another owner must not be judged by what was said of the former one.
  for (size_t slot = 0; slot < snapshot->backends.size(); ++slot) {
    if (status_generation_[slot] == snapshot->backends[slot].generation) continue;
    status_generation_[slot] = snapshot->backends[slot].generation;
    status_[slot] = {};
    dead_[slot] = 0;
  }
  // Datagrams have no end that could be waited for: their flows leave what was removed at once.
  if (flows_of_removed()) flush_left_ = table_.capacity();
  n_.snapshot.set(serial_);
  if (id_ == 0) announce_new();
}

void Worker::quiescent() {
  rte_rcu_qsbr_quiescent(shared_.rcu, id_);
  // Only now: the report may free what was seen before it.
  reload();
}

// The serial tells: a new snapshot may stand where a freed one stood.
void Worker::reload() {
  const Snapshot* current = shared_.snapshot.load(std::memory_order_acquire);
  if (current != nullptr && current->serial != serial_) adopt(current);
}

void Worker::offline() {
  rte_rcu_qsbr_thread_offline(shared_.rcu, id_);
}

void Worker::online() {
  rte_rcu_qsbr_thread_online(shared_.rcu, id_);
  reload();
}

void Worker::begin(Instant now) {
  now_ = now;
  tick_ = to_tick(now);
  gone_left_ = kGonePerIteration;
  // Asked no more once it is over: ticks wrap, and the past would become the future.
  if (hold_all_syns_ && !tick_before(tick_, hold_syns_until_)) hold_all_syns_ = false;
  std::array<ToWorker, 64> messages;
  for (;;) {
    const unsigned got = rte_ring_sc_dequeue_burst_elem(shared_.rings[id_].control, messages.data(),
                                                        sizeof(ToWorker), messages.size(), nullptr);
    for (unsigned i = 0; i < got; ++i) on_message(messages[i]);
    if (got < messages.size()) break;
  }
}

void Worker::receive(uint16_t port, rte_mbuf** frames, uint16_t count) {
  n_.rx.add(count);
  for (uint16_t i = 0; i < count; ++i) frames[i]->port = port;
  burst(port, frames, count, false);
}

unsigned Worker::receive_handed() {
  if (shared_.workers() == 1) return 0;
  std::array<NeighborUpdate, kNeighborBudget> updates;
  const unsigned told =
      rte_ring_sc_dequeue_burst_elem(shared_.rings[id_].neighbors, updates.data(),
                                     sizeof(NeighborUpdate), updates.size(), nullptr);
  for (unsigned i = 0; i < told; ++i) {
    const uint16_t known = neighbors_.find(updates[i].port, updates[i].address);
    if (known != Neighbors::kNone) learned(known, updates[i].mac);
  }
  // Several bursts: every other worker may have passed on all that it received.
  unsigned handed = 0;
  for (unsigned i = 0; i < kHandedBursts; ++i) {
    rte_mbuf* frames[kBurst];
    const unsigned got = rte_ring_sc_dequeue_burst(
        shared_.rings[id_].frames, reinterpret_cast<void**>(frames), kBurst, nullptr);
    n_.handed_in.add(got);
    burst(0, frames, static_cast<uint16_t>(got), true);
    handed += got;
    if (got < kBurst) break;
  }
  return handed + told;
}

void Worker::burst(uint16_t port, rte_mbuf** frames, uint16_t count, bool handed) {
  // Not initialised as a whole: a burst of one must not pay for thirty-two.
  alignas(Work) std::byte room[kBurst * sizeof(Work)];
  std::array<Work*, kBurst> work;
  static_assert(std::is_trivially_destructible_v<Work>);
  uint16_t live = 0;
  if (snapshot_ == nullptr) [[unlikely]] {  // nothing is ours yet
    for (uint16_t i = 0; i < count; ++i) drop(frames[i], Drop::not_ours);
    return;
  }
  for (uint16_t i = 0; i < count; ++i) rte_prefetch0(rte_pktmbuf_mtod(frames[i], void*));
  for (uint16_t i = 0; i < count; ++i) {
    Work& w = *(work[live] = new (room + live * sizeof(Work)) Work);
    w.m = frames[i];
    w.port = handed ? frames[i]->port : port;
    w.handed = handed;
    if (!classify(w)) continue;
    if (w.path != Path::local) table_.prefetch_index(w.hash);
    ++live;
  }
  for (uint16_t i = 0; i < live; ++i)
    if (work[i]->path != Path::local) table_.prefetch_record(work[i]->hash);
  for (uint16_t i = 0; i < live; ++i) act(*work[i]);
}

// False when the frame has ended here.
bool Worker::classify(Work& w) {
  const PortEntry& port = snapshot_->ports[w.port];
  if (w.m->nb_segs != 1) return drop(w.m, Drop::mbuf_segmented), false;
  const std::span<uint8_t> bytes = w.bytes();
  // Before anything else: our own output is not to be judged.
  if (bytes.size() >= wire::eth::kSize &&
      std::memcmp(bytes.data() + 6, port.mac.bytes.data(), 6) == 0)
    return drop(w.m, Drop::own_source_mac), false;
  const uint64_t flags = w.m->ol_flags;
  w.f = wire::parse_frame(
      bytes, {.ip_checksum = (flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_GOOD,
              .l4_checksum = (flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD});
  const wire::Frame& f = w.f;
  if (f.kind == wire::FrameKind::bad) [[unlikely]] {
    if (f.drop != Drop::vlan_unsupported || !wire::has_priority_tag(bytes))
      return drop(w.m, f.drop), false;
    wire::cut_priority_tag(bytes);
    rte_pktmbuf_adj(w.m, wire::kVlanTag);
    return classify(w);  // there is no second tag
  }
  if (f.destination_mac != port.mac && !f.destination_mac.is_group())
    return drop(w.m, Drop::not_ours), false;

  switch (f.kind) {
    case wire::FrameKind::arp:
    case wire::FrameKind::other:
    case wire::FrameKind::bad:
      return true;
    default:
      break;
  }
  w.local = snapshot_->locals.find(f.destination);
  if (w.local == nullptr) return true;
  if (f.kind == wire::FrameKind::fragment) return drop(w.m, Drop::ip_fragment), false;

  if (f.kind == wire::FrameKind::tcp || f.kind == wire::FrameKind::udp) {
    // RFC 1122, 3.3.6: sent to all on the link, so perhaps to several of us.
    if (f.destination_mac.is_group()) return drop(w.m, Drop::not_ours), false;
    if (w.local->vip != kNoSlot)
      w.service = snapshot_->locals.service(w.local->vip, f.protocol, f.destination_port);
    if (w.service != kNoSlot) {
      w.path = Path::client;
    } else if (w.local->source != kNoSlot) {
      w.path = Path::backend;
    } else {
      return true;
    }
    if (!w.handed && !port.rss && shared_.workers() > 1) {
      const unsigned owner =
          owner_of(w.port, f.source, f.destination, f.source_port, f.destination_port);
      if (owner != id_) return hand_over(w, owner), false;
    }
    w.hash = w.path == Path::client
                 ? table_.hash(flow::ForwardKey{f.source, f.source_port, w.service})
                 : table_.hash(flow::ReverseKey{f.source, f.source_port, w.local->source,
                                                f.destination_port, f.protocol});
    return true;
  }
  // What comes back about a packet of ours belongs to the flow's owner, however the NIC spread it.
  if (!w.handed && shared_.workers() > 1 && wire::is_icmp_error(f)) {
    const auto quote = wire::parse_quote(bytes, f);
    if (quote) {
      const unsigned owner = owner_of(w.port, quote->destination, quote->source,
                                      quote->destination_port, quote->source_port);
      if (owner != id_) return hand_over(w, owner), false;
    }
  }
  return true;
}

unsigned Worker::owner_of(uint16_t port, const IpAddress& source, const IpAddress& destination,
                          be16 source_port, be16 destination_port) const {
  return snapshot_->ports[port].reta.owner(
      toeplitz_->hash(source, destination, source_port, destination_port));
}

bool Worker::hand_over(const Work& w, unsigned owner) {
  n_.handed_out.add();
  if (rte_ring_mp_enqueue(shared_.rings[owner].frames, w.m) == 0) return true;
  n_.ring_out_dropped.add();
  rte_pktmbuf_free(w.m);
  return false;
}

// A frame of no flow of ours: perhaps RSS has put it here and its flow is elsewhere, as NICs hash
// some packets by addresses alone (IP options, extension headers). Refused here, its client would
// be reset. True when it has gone to its owner.
bool Worker::misplaced(const Work& w) {
  if (w.handed || shared_.workers() == 1 || !snapshot_->ports[w.port].rss) return false;
  const unsigned owner =
      owner_of(w.port, w.f.source, w.f.destination, w.f.source_port, w.f.destination_port);
  if (owner == id_) return false;
  hand_over(w, owner);
  return true;
}

void Worker::act(Work& w) {
  switch (w.path) {
    case Path::client:
      return from_client(w);
    case Path::backend:
      return from_backend(w);
    case Path::local:
      break;
  }
  switch (w.f.kind) {
    case wire::FrameKind::arp:
      return arp(w);
    case wire::FrameKind::other:
      return not_local(w, Drop::ethertype_unsupported);
    case wire::FrameKind::icmp6:
      if (wire::is_neighbor_message(w.f)) return neighbor_discovery(w);
      [[fallthrough]];
    case wire::FrameKind::icmp:
      if (w.local == nullptr) break;
      if (wire::is_echo_request(w.f)) return echo(w);
      if (wire::is_icmp_error(w.f)) return icmp_error(w);
      return drop(w.m, Drop::icmp_unsupported);
    case wire::FrameKind::tcp:
    case wire::FrameKind::udp:
      if (w.local == nullptr) break;
      return refuse(w, Drop::no_service);
    default:
      if (w.local == nullptr) break;
      return drop(w.m, Drop::protocol_unsupported);
  }
  not_local(w, Drop::not_ours);
}

void Worker::housekeeping() {
  wheel_.advance(tick_, kExpiryBudget, [this](flow::FlowId id) { on_due(id); });
  neighbors_.tick(
      tick_, kNeighborVisits, [this](uint16_t index, bool unicast) { ask(index, unicast); },
      [this](uint16_t index) { give_up(index); });
  announce(kAnnounceBudget);
  splicer_->tick();
  if (flush_left_ != 0) flush_dead(kFlushBudget);
  if (snapshot_ != nullptr) empty_crowds();
  if (!queries_.empty()) answer_queries(kQueryBudget);
  n_.flows_used.set(table_.used());
  n_.neighbors_used.set(neighbors_.used());
  n_.neighbors_replaced.set(neighbors_.replaced());
  n_.neighbors_refused.set(neighbors_.refused());
}

void Worker::drop(rte_mbuf* frame, Drop reason) {
  DropCounter& d =
      stats_
          .drops[frame->port < stats_.drops.size() ? frame->port : 0][static_cast<size_t>(reason)];
  d.packets.add();
  d.bytes.add(frame->pkt_len);
  rte_pktmbuf_free(frame);
}

void Worker::consume(rte_mbuf* frame) {
  n_.consumed.add();
  rte_pktmbuf_free(frame);
}

// xorshift64 (Marsaglia 2003): picks eviction samples, protects nothing.
uint64_t Worker::random() {
  random_ ^= random_ << 13;
  random_ ^= random_ >> 7;
  random_ ^= random_ << 17;
  return random_;
}

}  // namespace limpet::dataplane
