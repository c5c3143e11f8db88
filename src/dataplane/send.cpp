// The way out: next hops, frames that wait for one, frames of our own making, transmit buffers.
#include <rte_ring_elem.h>

#include "limpet/wire/arp.h"
#include "limpet/wire/nd.h"
#include "work.h"

namespace limpet::dataplane {
namespace {

constexpr Tick kSecond = to_ticks(std::chrono::seconds(1));

void set_macs(rte_mbuf* m, const MacAddress& to, const MacAddress& from) {
  uint8_t* p = rte_pktmbuf_mtod(m, uint8_t*);
  store(p, to);
  store(p + 6, from);
}

}  // namespace

// kNone with the reason when there is no way. A gateway is never a client's place.
uint16_t Worker::hop_to(const IpAddress& destination, Neighbors::For whom, Drop& why) {
  const Hop hop = snapshot_->route(destination);
  why = Drop::no_route;
  if (!hop.ok) return Neighbors::kNone;
  why = Drop::hairpin;
  if (snapshot_->locals.find(hop.address) != nullptr) return Neighbors::kNone;
  why = Drop::neighbor_table_full;
  if (hop.address != destination) whom = Neighbors::For::way;
  return neighbors_.find_or_add(hop.port, hop.address, tick_, whom);
}

uint16_t Worker::backend_hop(uint16_t backend, Drop& why) {
  BackendHop& cached = backend_hops_[backend];
  if (cached.stamp == neighbors_.stamp(cached.hop)) return cached.hop;
  const uint16_t hop = hop_to(snapshot_->backends[backend].address, Neighbors::For::way, why);
  if (hop != Neighbors::kNone) cached = {hop, neighbors_.stamp(hop)};
  return hop;
}

uint16_t Worker::client_hop(flow::Record& r, Drop& why) {
  if (r.hop_stamp == neighbors_.stamp(r.client_hop)) return r.client_hop;
  const uint16_t hop = hop_to(r.client, Neighbors::For::client, why);
  if (hop != Neighbors::kNone) {
    r.client_hop = hop;
    r.hop_stamp = neighbors_.stamp(hop);
  }
  return hop;
}

void Worker::send_by(uint16_t hop, rte_mbuf* frame, bool originated) {
  Neighbor& n = neighbors_.at(hop);
  n.used = tick_;
  if (neighbors_.usable(hop)) [[likely]] {
    set_macs(frame, n.mac, snapshot_->ports[n.port].mac);
    (originated ? n_.originated : n_.forwarded).add();
    return put(n.port, frame);
  }
  if (neighbors_.hold(hop, frame, originated)) {
    if (!originated) {
      n_.held_packets.add();
      n_.held_bytes.add(frame->pkt_len);
    }
    if (n.attempts == 0) {  // new: do not wait for its turn in the round
      n.attempts = 1;
      n.next = tick_ + to_ticks(Neighbors::kRetransmit);
      ask(hop, false);
    }
    return;
  }
  if (originated) {
    n_.originated_lost.add();
    return rte_pktmbuf_free(frame);
  }
  drop(frame, n.state == NeighborState::failed ? Drop::neighbor_unresolved : Drop::held_full);
}

void Worker::put(uint16_t port, rte_mbuf* frame) {
  frame->ol_flags &=
      RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL;  // what reception said is no order to send
  TxBuffer& tx = tx_[port];
  tx.frames[tx.count++] = frame;
  if (tx.count == tx.frames.size()) flush_port(port);
}

void Worker::flush_port(uint16_t port) {
  TxBuffer& tx = tx_[port];
  if (tx.count == 0) return;
  const uint16_t sent = output_.transmit(port, tx.frames.data(), tx.count);
  n_.tx.add(sent);
  if (sent < tx.count) {
    n_.tx_failed.add(static_cast<uint64_t>(tx.count - sent));
    rte_pktmbuf_free_bulk(tx.frames.data() + sent, static_cast<unsigned>(tx.count - sent));
  }
  tx.count = 0;
}

void Worker::flush() {
  for (uint16_t port = 0; port < tx_.size(); ++port) flush_port(port);
}

rte_mbuf* Worker::fresh() {
  rte_mbuf* m = rte_pktmbuf_alloc(pool_);
  if (m == nullptr) n_.originated_lost.add();
  return m;
}

void Worker::originate(const IpAddress& destination, rte_mbuf* frame) {
  Drop why = Drop::no_route;
  const uint16_t hop = hop_to(destination, Neighbors::For::client, why);
  if (hop != Neighbors::kNone) return send_by(hop, frame, true);
  n_.originated_lost.add();
  rte_pktmbuf_free(frame);
}

// Whether the frame came straight from its source: no router's.
bool Worker::on_link(const Work& w) const {
  const Hop hop = snapshot_->route(w.f.source);
  return hop.ok && hop.port == w.port && hop.address == w.f.source && !w.f.source_mac.is_group() &&
         !w.f.source_mac.is_zero() && snapshot_->locals.find(w.f.source) == nullptr;
}

// What needs no memory must not need any for its way either: an answer to a host on the link goes
// back to where the frame came from, as invented addresses would fill the neighbor cache.
void Worker::answer(const Work& w, rte_mbuf* frame) {
  if (!on_link(w)) return originate(w.f.source, frame);
  set_macs(frame, w.f.source_mac, snapshot_->ports[w.port].mac);
  originate_by(w.port, frame);
}

// Who begins a flow will be answered, and says where he is.
void Worker::know_client(const Work& w) {
  if (on_link(w)) neighbors_.guess(w.port, w.f.source, w.f.source_mac, tick_);
}

// Its link addresses are right already.
void Worker::originate_by(uint16_t port, rte_mbuf* frame) {
  n_.originated.add();
  put(port, frame);
}

void Worker::send_reset(const wire::Reset& reset) {
  if (rte_mbuf* m = fresh()) send_reset(m, reset);
}

void Worker::send_reset(rte_mbuf* into, const wire::Reset& reset) {
  set_length(into, wire::build_reset(room(into), {}, reset));
  originate(reset.destination, into);
}

// Returns the reason by which the frame ends: `reason`, or that its sender could not be told.
Drop Worker::send_icmp(const Work& w, wire::IcmpError error, const IpAddress& from, uint32_t mtu,
                       Drop reason) {
  if (!wire::may_answer_with_error(w.bytes(), w.f)) return reason;
  IcmpBucket& bucket = error == wire::IcmpError::packet_too_big ? icmp_too_big_ : icmp_other_;
  if (tick_ - bucket.filled >= kSecond) bucket = {kIcmpPerSecond, tick_};
  if (bucket.tokens == 0) return Drop::icmp_rate_limited;
  --bucket.tokens;
  rte_mbuf* m = fresh();
  if (m == nullptr) return reason;
  const size_t length = wire::build_icmp_error(room(m), {}, from, w.bytes(), w.f, error, mtu);
  if (length == 0) {
    n_.originated_lost.add();
    rte_pktmbuf_free(m);
    return reason;
  }
  set_length(m, length);
  n_.icmp_sent.add();
  answer(w, m);
  return reason;
}

void Worker::learn(uint16_t port, const IpAddress& address, const MacAddress& mac, bool create) {
  if (mac.is_group() || mac.is_zero()) return;
  uint16_t index = neighbors_.find(port, address);
  if (index == Neighbors::kNone && create) {
    const Hop hop = snapshot_->route(address);
    if (hop.ok && hop.port == port && hop.address == address)
      index = neighbors_.find_or_add(port, address, tick_, Neighbors::For::client);
  }
  if (index != Neighbors::kNone) learned(index, mac);
  // Answers reach one worker only; the others may be waiting for the same one.
  for (unsigned i = 0; i < shared_.workers(); ++i) {
    if (i == id_) continue;
    NeighborUpdate update{address, mac, port};
    if (rte_ring_mp_enqueue_elem(shared_.rings[i].neighbors, &update, sizeof update) != 0)
      n_.ring_in_dropped.add();
  }
}

void Worker::learned(uint16_t neighbor, const MacAddress& mac) {
  if (!neighbors_.learn(neighbor, mac, tick_)) return;
  const uint16_t port = neighbors_.at(neighbor).port;
  Neighbors::Held held;
  while (neighbors_.release(neighbor, held)) {
    set_macs(held.frame, mac, snapshot_->ports[port].mac);
    if (held.originated) {
      n_.originated.add();
    } else {
      n_.held_packets.sub();
      n_.held_bytes.sub(held.frame->pkt_len);
      n_.forwarded.add();
    }
    put(port, held.frame);
  }
}

void Worker::ask(uint16_t neighbor, bool unicast) {
  const Neighbor& n = neighbors_.at(neighbor);
  const IpAddress* own = snapshot_->own_address(n.port, n.address);
  if (own == nullptr) return;  // no address of that family here: validation refuses such routes
  rte_mbuf* m = fresh();
  if (m == nullptr) return;
  const MacAddress& mac = snapshot_->ports[n.port].mac;
  size_t length = 0;
  if (n.address.is_v4())
    length =
        wire::build_arp_request(room(m), mac, *own, n.address, unicast ? n.mac : kBroadcastMac);
  else
    length = wire::build_neighbor_solicitation(room(m), mac, *own, n.address,
                                               unicast ? std::optional(n.mac) : std::nullopt);
  set_length(m, length);
  originate_by(n.port, m);
}

void Worker::give_up(uint16_t neighbor) {
  Neighbors::Held held;
  while (neighbors_.release(neighbor, held)) {
    if (held.originated) {
      n_.originated_lost.add();
      rte_pktmbuf_free(held.frame);
      continue;
    }
    n_.held_packets.sub();
    n_.held_bytes.sub(held.frame->pkt_len);
    drop(held.frame, Drop::neighbor_unresolved);
  }
}

}  // namespace limpet::dataplane
