// Frames for limpet itself.
#include "local.h"

#include "limpet/wire/arp.h"
#include "limpet/wire/nd.h"

namespace limpet::dataplane {

// A VIP or source address is answered for on the port whose network it is in; on every port when it
// is in none (it is routed to us then). Our own addresses belong to their port.
bool LocalHost::answers_for(uint16_t port, const IpAddress& address) const {
  const Local* local = core_.snapshot->locals.find(address);
  if (local == nullptr) return false;
  if (local->port != kNoSlot) return local->port == port;
  bool on_link_elsewhere = false;
  for (size_t i = 0; i < core_.snapshot->ports.size(); ++i) {
    for (const Prefix& p : core_.snapshot->ports[i].addresses) {
      if (!p.contains(address)) continue;
      if (i == port) return true;
      on_link_elsewhere = true;
    }
  }
  return !on_link_elsewhere;
}

// The control thread sees the counter move and says so; nobody is believed (RFC 5227, 2.4).
Ended LocalHost::conflict(Packet& p, const MacAddress& claimant) {
  uint64_t number = 0;
  for (const uint8_t byte : claimant.bytes) number = number << 8 | byte;
  core_.n.conflict_mac.set(number);
  return outlet_.drop(p, Drop::address_conflict);
}

Ended LocalHost::arp(Packet& p) {
  const wire::Arp a = wire::read_arp(p.bytes(), p.f);
  if (core_.snapshot->locals.find(a.sender) != nullptr) return conflict(p, a.sender_mac);
  const bool ours = answers_for(p.port, a.target);
  // Who asks for us will be answered and talked to; others' news are only taken for neighbors we
  // know.
  if (!a.sender.is_unspecified()) outlet_.learn(p.port, a.sender, a.sender_mac, ours && a.request);
  if (!ours) return outlet_.not_ours(p, Drop::not_ours);
  if (a.request) {
    rte_mbuf* reply = outlet_.fresh();
    if (reply == nullptr) return outlet_.drop(p, Drop::mbuf_exhausted);
    set_length(reply, wire::build_arp_reply(room(reply), core_.snapshot->ports[p.port].mac,
                                            a.target, a.sender_mac, a.sender));
    outlet_.send_from(p.port, reply);
  }
  return outlet_.consume(p);
}

Ended LocalHost::neighbor_discovery(Packet& p) {
  wire::NeighborMessage message;
  const Drop bad = wire::read_neighbor_message(p.bytes(), p.f, message);
  if (bad != Drop::none) return outlet_.drop(p, bad);
  if (message.solicitation) {
    if (!answers_for(p.port, message.target)) return outlet_.not_ours(p, Drop::not_ours);
    if (core_.snapshot->locals.find(p.f.source) != nullptr)
      return conflict(p, message.link_address.value_or(p.f.source_mac));
    if (message.link_address && !p.f.source.is_unspecified())
      outlet_.learn(p.port, p.f.source, *message.link_address, true);
    rte_mbuf* reply = outlet_.fresh();
    if (reply == nullptr) return outlet_.drop(p, Drop::mbuf_exhausted);
    set_length(reply, wire::build_advertisement_for(room(reply), core_.snapshot->ports[p.port].mac,
                                                    p.f, message));
    outlet_.send_from(p.port, reply);
    return outlet_.consume(p);
  }
  // A unicast answer may leave the option out (RFC 4861, 4.4): the frame came from there.
  const MacAddress mac = message.link_address.value_or(p.f.source_mac);
  if (core_.snapshot->locals.find(message.target) != nullptr) return conflict(p, mac);
  const uint16_t known = outlet_.neighbors().find(p.port, message.target);
  const bool contradicts = known != Neighbors::kNone && outlet_.neighbors().usable(known) &&
                           outlet_.neighbors().at(known).mac != mac && !message.overrides;
  if (!contradicts) outlet_.learn(p.port, message.target, mac, false);  // RFC 4861, 7.2.5
  if (p.local == nullptr && !p.f.destination.is_multicast())
    return outlet_.not_ours(p, Drop::not_ours);
  return outlet_.consume(p);
}

Ended LocalHost::echo(Packet& p) {
  const size_t length = wire::answer_echo(p.bytes(), p.f);
  if (length == 0) return outlet_.drop(p, Drop::icmp_unsupported);
  set_length(p.m, length);
  return outlet_.answer_with_itself(p);
}

}  // namespace limpet::dataplane
