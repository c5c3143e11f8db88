// The way out: next hops, frames that wait for one, frames of our own making, transmit buffers.
#include "outlet.h"

#include <rte_ring_elem.h>

#include <tuple>

#include "limpet/wire/arp.h"
#include "limpet/wire/nd.h"

namespace limpet::dataplane {
namespace {

constexpr Tick kSecond = to_ticks(std::chrono::seconds(1));
constexpr unsigned kNeighborVisits = 16;  // cache entries whose timers are looked at per iteration
constexpr unsigned kAnnounceBudget = 16;  // addresses of ours told to the links per iteration

void set_macs(rte_mbuf* m, const MacAddress& to, const MacAddress& from) {
  uint8_t* p = rte_pktmbuf_mtod(m, uint8_t*);
  store(p, to);
  store(p + 6, from);
}

}  // namespace

Outlet::Outlet(Core& core, const WorkerSetup& setup)
    : core_(core),
      output_(*setup.output),
      neighbors_(setup.neighbors, setup.held_packets),
      backend_hops_(kMaxBackends),
      tx_(kMaxPorts) {
  core_.n.neighbors_total.set(setup.neighbors);
}

void Outlet::adopt() {
  neighbors_.invalidate();  // cached hops are looked up again
  if (core_.id == 0) announce_new();
}

void Outlet::tick() {
  neighbors_.tick(
      core_.tick, kNeighborVisits, [this](uint16_t index, bool unicast) { ask(index, unicast); },
      [this](uint16_t index) { give_up(index, Drop::neighbor_unresolved); });
  announce(kAnnounceBudget);
}

void Outlet::gauges() {
  core_.n.neighbors_used.set(neighbors_.used());
  core_.n.neighbors_replaced.set(neighbors_.replaced());
  core_.n.neighbors_refused.set(neighbors_.refused());
}

void Outlet::shut_down() {
  for (uint32_t i = 0; i < neighbors_.capacity(); ++i)
    give_up(static_cast<uint16_t>(i), Drop::shutdown);
  flush();
}

// A gateway is never a client's place.
uint16_t Outlet::hop_to(const IpAddress& destination, Neighbors::For whom, Drop& why) {
  const Hop hop = core_.snapshot->route(destination);
  why = Drop::no_route;
  if (!hop.ok) return Neighbors::kNone;
  why = Drop::hairpin;
  if (core_.snapshot->locals.find(hop.address) != nullptr) return Neighbors::kNone;
  why = Drop::neighbor_table_full;
  if (hop.address != destination) whom = Neighbors::For::way;
  return neighbors_.find_or_add(hop.port, hop.address, core_.tick, whom);
}

uint16_t Outlet::find_backend_hop(uint16_t backend, Drop& why) {
  const uint16_t hop = hop_to(core_.snapshot->backends[backend].address, Neighbors::For::way, why);
  if (hop != Neighbors::kNone) backend_hops_[backend] = {hop, neighbors_.stamp(hop)};
  return hop;
}

uint16_t Outlet::find_client_hop(flow::Record& r, Drop& why) {
  const uint16_t hop = hop_to(r.client, Neighbors::For::client, why);
  if (hop != Neighbors::kNone) {
    r.client_hop = hop;
    r.hop_stamp = neighbors_.stamp(hop);
  }
  return hop;
}

Ended Outlet::forward(uint16_t hop, rte_mbuf* frame) {
  Neighbor& n = neighbors_.at(hop);
  n.used = core_.tick;
  if (neighbors_.usable(hop)) [[likely]] {
    set_macs(frame, n.mac, core_.snapshot->ports[n.port].mac);
    core_.n.forwarded.add();
    put(n.port, frame);
    return {};
  }
  if (!neighbors_.hold(hop, frame, false))
    return drop(frame,
                n.state == NeighborState::failed ? Drop::neighbor_unresolved : Drop::held_full);
  core_.n.held_packets.add();
  core_.n.held_bytes.add(frame->pkt_len);
  ask_at_once(hop);
  return {};
}

void Outlet::send(uint16_t hop, rte_mbuf* frame) {
  Neighbor& n = neighbors_.at(hop);
  n.used = core_.tick;
  if (neighbors_.usable(hop)) [[likely]] {
    set_macs(frame, n.mac, core_.snapshot->ports[n.port].mac);
    return send_from(n.port, frame);
  }
  if (!neighbors_.hold(hop, frame, true)) return lose(frame);
  ask_at_once(hop);
}

// Somebody waits: not when its turn in the round comes.
void Outlet::ask_at_once(uint16_t hop) {
  Neighbor& n = neighbors_.at(hop);
  if (n.attempts != 0) return;
  n.attempts = 1;
  n.next = core_.tick + to_ticks(Neighbors::kRetransmit);
  ask(hop, false);
}

Ended Outlet::drop(rte_mbuf* frame, Drop reason) {
  auto& drops = core_.stats.drops;
  DropCounter& d = drops[frame->port < drops.size() ? frame->port : 0][static_cast<size_t>(reason)];
  d.packets.add();
  d.bytes.add(frame->pkt_len);
  rte_pktmbuf_free(frame);
  return {};
}

Ended Outlet::consume(const Packet& p) {
  core_.n.consumed.add();
  rte_pktmbuf_free(p.m);
  return {};
}

Ended Outlet::hand_over(const Packet& p, unsigned owner) {
  core_.n.handed_out.add();
  if (rte_ring_mp_enqueue(core_.shared.rings[owner].frames, p.m) != 0) {
    core_.n.ring_out_dropped.add();
    rte_pktmbuf_free(p.m);
  }
  return {};
}

Ended Outlet::not_ours(const Packet& p, Drop otherwise) {
  if (!core_.snapshot->ports[p.port].kernel_shares) return drop(p, otherwise);
  core_.n.punted.add();
  rte_pktmbuf_free(p.m);
  return {};
}

Ended Outlet::answer_with_itself(const Packet& p) {
  core_.n.consumed.add();
  answer(p, p.m);
  return {};
}

// Says no in the way of a host on which nothing listens, and counts why.
Ended Outlet::refuse(const Packet& p, Drop reason) {
  if (p.f.kind == wire::FrameKind::tcp) {
    if (const auto reset = wire::reset_for(p.bytes(), p.f)) {
      core_.n.resets_sent.add();
      if (rte_mbuf* m = fresh()) {
        set_length(m, wire::build_reset(room(m), {}, *reset));
        answer(p, m);
      }
    }
  } else {
    reason = send_icmp(p, wire::IcmpError::port_unreachable, 0, reason);
  }
  return drop(p, reason);
}

// Asked before anything is made of a frame: what its receiver never sees must not move what we know
// of the connection.
Ended Outlet::expired(const Packet& p) {
  return drop(p, send_icmp(p, wire::IcmpError::hop_limit_exceeded, 0, Drop::ip_ttl_expired));
}

// The port it leaves by has a smaller MTU, and the sender is told so (RFC 1191, RFC 8201).
Ended Outlet::too_big(const Packet& p, uint32_t mtu) {
  return drop(p, send_icmp(p, wire::IcmpError::packet_too_big, mtu, Drop::mtu_exceeded));
}

void Outlet::put(uint16_t port, rte_mbuf* frame) {
  frame->ol_flags &=
      RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL;  // what reception said is no order to send
  TxBuffer& tx = tx_[port];
  tx.frames[tx.count++] = frame;
  if (tx.count == tx.frames.size()) flush_port(port);
}

void Outlet::flush_port(uint16_t port) {
  TxBuffer& tx = tx_[port];
  if (tx.count == 0) return;
  const uint16_t sent = output_.transmit(port, tx.frames.data(), tx.count);
  core_.n.tx.add(sent);
  if (sent < tx.count) {
    core_.n.tx_failed.add(static_cast<uint64_t>(tx.count - sent));
    rte_pktmbuf_free_bulk(tx.frames.data() + sent, static_cast<unsigned>(tx.count - sent));
  }
  tx.count = 0;
}

void Outlet::flush() {
  for (uint16_t port = 0; port < tx_.size(); ++port) flush_port(port);
}

rte_mbuf* Outlet::fresh() {
  rte_mbuf* m = rte_pktmbuf_alloc(core_.pool);
  if (m == nullptr) core_.n.originated_lost.add();
  return m;
}

void Outlet::originate(const IpAddress& destination, rte_mbuf* frame) {
  Drop why = Drop::no_route;
  const uint16_t hop = hop_to(destination, Neighbors::For::client, why);
  if (hop != Neighbors::kNone) return send(hop, frame);
  lose(frame);
}

void Outlet::lose(rte_mbuf* frame) {
  core_.n.originated_lost.add();
  rte_pktmbuf_free(frame);
}

// Whether the frame came straight from its source: no router's.
bool Outlet::on_link(const Packet& p) const {
  const Hop hop = core_.snapshot->route(p.f.source);
  return hop.ok && hop.port == p.port && hop.address == p.f.source && !p.f.source_mac.is_group() &&
         !p.f.source_mac.is_zero() && core_.snapshot->locals.find(p.f.source) == nullptr;
}

// What needs no memory must not need any for its way either: an answer to a host on the link goes
// back to where the frame came from, as invented addresses would fill the neighbor cache.
void Outlet::answer(const Packet& p, rte_mbuf* frame) {
  if (!on_link(p)) return originate(p.f.source, frame);
  set_macs(frame, p.f.source_mac, core_.snapshot->ports[p.port].mac);
  send_from(p.port, frame);
}

// Who begins a flow will be answered, and says where he is.
void Outlet::know_client(const Packet& p) {
  if (on_link(p)) neighbors_.guess(p.port, p.f.source, p.f.source_mac, core_.tick);
}

// Its link addresses are right already.
void Outlet::send_from(uint16_t port, rte_mbuf* frame) {
  core_.n.originated.add();
  put(port, frame);
}

void Outlet::send_reset(const wire::Reset& reset) {
  if (rte_mbuf* m = fresh()) send_reset(m, reset);
}

void Outlet::send_reset(rte_mbuf* into, const wire::Reset& reset) {
  set_length(into, wire::build_reset(room(into), {}, reset));
  originate(reset.destination, into);
}

// Returns the reason by which the frame ends: `reason`, or that its sender could not be told.
Drop Outlet::send_icmp(const Packet& p, wire::IcmpError error, uint32_t mtu, Drop reason) {
  if (!wire::may_answer_with_error(p.bytes(), p.f)) return reason;
  IcmpBucket& bucket = error == wire::IcmpError::packet_too_big ? icmp_too_big_ : icmp_other_;
  if (core_.tick - bucket.filled >= kSecond) bucket = {Worker::kIcmpPerSecond, core_.tick};
  if (bucket.tokens == 0) return Drop::icmp_rate_limited;
  --bucket.tokens;
  rte_mbuf* m = fresh();
  if (m == nullptr) return reason;
  const size_t length =
      wire::build_icmp_error(room(m), {}, p.f.destination, p.bytes(), p.f, error, mtu);
  if (length == 0) {
    lose(m);
    return reason;
  }
  set_length(m, length);
  core_.n.icmp_sent.add();
  answer(p, m);
  return reason;
}

void Outlet::learn(uint16_t port, const IpAddress& address, const MacAddress& mac, bool create) {
  if (mac.is_group() || mac.is_zero()) return;
  uint16_t index = neighbors_.find(port, address);
  if (index == Neighbors::kNone && create) {
    const Hop hop = core_.snapshot->route(address);
    if (hop.ok && hop.port == port && hop.address == address)
      index = neighbors_.find_or_add(port, address, core_.tick, Neighbors::For::client);
  }
  if (index != Neighbors::kNone) learned(index, mac);
  // Answers reach one worker only; the others may be waiting for the same one.
  for (unsigned i = 0; i < core_.workers; ++i) {
    if (i == core_.id) continue;
    NeighborUpdate update{address, mac, port};
    if (rte_ring_mp_enqueue_elem(core_.shared.rings[i].neighbors, &update, sizeof update) != 0)
      core_.n.ring_in_dropped.add();
  }
}

void Outlet::learned(uint16_t neighbor, const MacAddress& mac) {
  if (!neighbors_.learn(neighbor, mac, core_.tick)) return;
  const uint16_t port = neighbors_.at(neighbor).port;
  Neighbors::Held held;
  while (neighbors_.release(neighbor, held)) {
    set_macs(held.frame, mac, core_.snapshot->ports[port].mac);
    if (held.originated) {
      core_.n.originated.add();
    } else {
      core_.n.held_packets.sub();
      core_.n.held_bytes.sub(held.frame->pkt_len);
      core_.n.forwarded.add();
    }
    put(port, held.frame);
  }
}

void Outlet::ask(uint16_t neighbor, bool unicast) {
  const Neighbor& n = neighbors_.at(neighbor);
  const IpAddress* own = core_.snapshot->own_address(n.port, n.address);
  if (own == nullptr) return;  // no address of that family here: validation refuses such routes
  rte_mbuf* m = fresh();
  if (m == nullptr) return;
  const MacAddress& mac = core_.snapshot->ports[n.port].mac;
  size_t length = 0;
  if (n.address.is_v4())
    length =
        wire::build_arp_request(room(m), mac, *own, n.address, unicast ? n.mac : kBroadcastMac);
  else
    length = wire::build_neighbor_solicitation(room(m), mac, *own, n.address,
                                               unicast ? std::optional(n.mac) : std::nullopt);
  set_length(m, length);
  send_from(n.port, m);
}

void Outlet::give_up(uint16_t neighbor, Drop reason) {
  Neighbors::Held held;
  while (neighbors_.release(neighbor, held)) {
    if (held.originated) {
      lose(held.frame);
      continue;
    }
    core_.n.held_packets.sub();
    core_.n.held_bytes.sub(held.frame->pkt_len);
    std::ignore = drop(held.frame, reason);  // its reception has ended long ago
  }
}

}  // namespace limpet::dataplane
