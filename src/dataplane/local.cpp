// Frames for ourselves: ARP and ND, echo, errors about our flows, and what nobody wants.
#include <netinet/in.h>

#include <algorithm>

#include "limpet/wire/arp.h"
#include "limpet/wire/nd.h"
#include "limpet/wire/quote.h"
#include "splicer.h"
#include "work.h"

namespace limpet::dataplane {

// A VIP or source address is answered for on the port whose network it is in; on every port when it
// is in none (it is routed to us then). Our own addresses belong to their port.
bool Worker::answers_for(uint16_t port, const IpAddress& address) const {
  const Local* local = snapshot_->locals.find(address);
  if (local == nullptr) return false;
  if (local->port != kNoSlot) return local->port == port;
  bool on_link_elsewhere = false;
  for (size_t i = 0; i < snapshot_->ports.size(); ++i) {
    for (const Prefix& p : snapshot_->ports[i].addresses) {
      if (!p.contains(address)) continue;
      if (i == port) return true;
      on_link_elsewhere = true;
    }
  }
  return !on_link_elsewhere;
}

// The control thread sees the counter move and says so; nobody is believed (RFC 5227, 2.4).
void Worker::conflict(Work& w, const MacAddress& claimant) {
  uint64_t number = 0;
  for (const uint8_t byte : claimant.bytes) number = number << 8 | byte;
  n_.conflict_mac.set(number);
  drop(w.m, Drop::address_conflict);
}

void Worker::arp(Work& w) {
  const wire::Arp a = wire::read_arp(w.bytes(), w.f);
  if (snapshot_->locals.find(a.sender) != nullptr) return conflict(w, a.sender_mac);
  const bool ours = answers_for(w.port, a.target);
  // Who asks for us will be answered and talked to; others' news are only taken for neighbors we
  // know.
  if (!a.sender.is_unspecified()) learn(w.port, a.sender, a.sender_mac, ours && a.request);
  if (!ours) return not_local(w, Drop::not_ours);
  if (a.request) {
    rte_mbuf* reply = fresh();
    if (reply == nullptr) return drop(w.m, Drop::mbuf_exhausted);
    set_length(reply, wire::build_arp_reply(room(reply), snapshot_->ports[w.port].mac, a.target,
                                            a.sender_mac, a.sender));
    originate_by(w.port, reply);
  }
  consume(w.m);
}

void Worker::neighbor_discovery(Work& w) {
  wire::NeighborMessage message;
  const Drop bad = wire::read_neighbor_message(w.bytes(), w.f, message);
  if (bad != Drop::none) return drop(w.m, bad);
  if (message.solicitation) {
    if (!answers_for(w.port, message.target)) return not_local(w, Drop::not_ours);
    if (snapshot_->locals.find(w.f.source) != nullptr)
      return conflict(w, message.link_address.value_or(w.f.source_mac));
    if (message.link_address && !w.f.source.is_unspecified())
      learn(w.port, w.f.source, *message.link_address, true);
    rte_mbuf* reply = fresh();
    if (reply == nullptr) return drop(w.m, Drop::mbuf_exhausted);
    set_length(reply, wire::build_advertisement_for(room(reply), snapshot_->ports[w.port].mac, w.f,
                                                    message));
    originate_by(w.port, reply);
    return consume(w.m);
  }
  // A unicast answer may leave the option out (RFC 4861, 4.4): the frame came from there.
  const MacAddress mac = message.link_address.value_or(w.f.source_mac);
  if (snapshot_->locals.find(message.target) != nullptr) return conflict(w, mac);
  const uint16_t known = neighbors_.find(w.port, message.target);
  const bool contradicts = known != Neighbors::kNone && neighbors_.usable(known) &&
                           neighbors_.at(known).mac != mac && !message.overrides;
  if (!contradicts) learn(w.port, message.target, mac, false);  // RFC 4861, 7.2.5
  if (w.local == nullptr && !w.f.destination.is_multicast()) return not_local(w, Drop::not_ours);
  consume(w.m);
}

void Worker::echo(Work& w) {
  const size_t length = wire::answer_echo(w.bytes(), w.f);
  if (length == 0) return drop(w.m, Drop::icmp_unsupported);
  set_length(w.m, length);
  n_.consumed.add();  // the frame itself becomes the answer
  answer(w, w.m);
}

void Worker::not_local(Work& w, Drop otherwise) {
  if (!snapshot_->ports[w.port].kernel_shares) return drop(w.m, otherwise);
  n_.punted.add();  // the kernel has its own copy
  rte_pktmbuf_free(w.m);
}

// Says no in the way of a host on which nothing listens, and counts why.
void Worker::refuse(Work& w, Drop reason) {
  if (w.f.kind == wire::FrameKind::tcp) {
    if (const auto reset = wire::reset_for(w.bytes(), w.f)) {
      n_.resets_sent.add();
      if (rte_mbuf* m = fresh()) {
        set_length(m, wire::build_reset(room(m), {}, *reset));
        answer(w, m);
      }
    }
  } else {
    reason = send_icmp(w, wire::IcmpError::port_unreachable, w.f.destination, 0, reason);
  }
  drop(w.m, reason);
}

// An error about a packet that we sent: translated and passed to the other side, so that path MTU
// discovery and port-unreachable work through us.
void Worker::icmp_error(Work& w) {
  const auto quote = wire::parse_quote(w.bytes(), w.f);
  if (!quote) return drop(w.m, Drop::icmp_unrelated);
  const Local* from = snapshot_->locals.find(quote->source);
  if (from == nullptr) return drop(w.m, Drop::icmp_unrelated);
  if (w.f.ttl <= 1) return drop(w.m, Drop::ip_ttl_expired);
  if (quote->v6 && w.f.icmp_type == wire::icmp6_type::kPacketTooBig && quote->mtu < tcp::kLeastMtu6)
    return drop(w.m, Drop::icmp_mtu_too_small);

  uint16_t service = kNoSlot;
  if (from->vip != kNoSlot)
    service = snapshot_->locals.service(from->vip, quote->protocol, quote->source_port);
  flow::FlowId id = flow::kNoFlow;
  const bool about_client_side = service != kNoSlot;
  if (about_client_side) {
    const flow::ForwardKey key{quote->destination, quote->destination_port, service};
    id = table_.find(key, table_.hash(key));
  } else if (from->source != kNoSlot) {
    const flow::ReverseKey key{quote->destination, quote->destination_port, from->source,
                               quote->source_port, quote->protocol};
    id = table_.find(key, table_.hash(key));
  }
  if (id == flow::kNoFlow) return drop(w.m, Drop::icmp_unrelated);

  flow::Record& r = table_.at(id);
  const ServiceEntry& s = snapshot_->services[r.service];
  const BackendEntry& b = snapshot_->backends[r.backend];
  const IpAddress& source = snapshot_->sources[r.source].address;
  std::optional<uint32_t> sequence, mtu;
  // A host reduces the size of its segments on the word of anybody who knows a number in flight.
  if (quote->mtu != 0 && !quote->v6) mtu = std::max(quote->mtu, tcp::kLeastMtu4);
  const tcp::Side to = about_client_side ? tcp::Side::client : tcp::Side::backend;
  if ((r.flags & flow::spliced) == 0) {
    if (r.protocol == IPPROTO_TCP &&
        !tcp::in_flight(r.edges, r.scales, tcp::other(to), tcp::Seq{quote->tcp_sequence}))
      return drop(w.m, Drop::icmp_outside_window);
  } else {
    if ((r.flags & flow::unbound) != 0) return drop(w.m, Drop::icmp_unrelated);
    if (!splicer_->in_flight(id, to, quote->tcp_sequence))
      return drop(w.m, Drop::icmp_outside_window);
    sequence = splicer_->translated(id, to, quote->tcp_sequence);
    if (quote->mtu != 0) {
      const auto told = splicer_->too_big(id, to, quote->tcp_sequence, quote->mtu, quote->v6);
      if (!told) return drop(w.m, Drop::icmp_outside_window);
      sequence = told->seq.value;
      mtu = told->mtu;
    }
  }
  Drop why = Drop::no_route;
  const uint16_t hop = about_client_side ? backend_hop(r.backend, why) : client_hop(r, why);
  if (hop == Neighbors::kNone) return drop(w.m, why);
  if (w.f.end - w.f.l3 > snapshot_->ports[neighbors_.at(hop).port].mtu)
    return drop(w.m, Drop::mtu_exceeded);  // no error about an error (RFC 1122, 3.2.2)
  if (about_client_side)                   // the backend sent the packet in question
    wire::translate_error(
        w.bytes(), w.f, *quote,
        {source, b.address, b.address, source, b.port, r.source_port, sequence, mtu});
  else
    wire::translate_error(w.bytes(), w.f, *quote,
                          {s.vip, r.client, r.client, s.vip, r.client_port, s.port, sequence, mtu});
  set_length(w.m, w.f.end);
  n_.icmp_translated.add();
  send_by(hop, w.m, false);
}

}  // namespace limpet::dataplane
