// ICMP errors about packets that we sent.
#include <algorithm>

#include "limpet/wire/quote.h"
#include "parts.h"

namespace limpet::dataplane {

// An error about a packet that we sent: translated and passed to the other side, so that path MTU
// discovery and port-unreachable work through us.
Ended Worker::Parts::icmp_error(Packet& p) {
  const auto quote = wire::parse_quote(p.bytes(), p.f);
  if (!quote) return outlet.drop(p, Drop::icmp_unrelated);
  const Local* from = core.snapshot->locals.find(quote->source);
  if (from == nullptr) return outlet.drop(p, Drop::icmp_unrelated);
  if (p.f.ttl <= 1) return outlet.drop(p, Drop::ip_ttl_expired);
  if (quote->v6 && p.f.icmp_type == wire::icmp6_type::kPacketTooBig && quote->mtu < tcp::kLeastMtu6)
    return outlet.drop(p, Drop::icmp_mtu_too_small);

  uint16_t service = kNoSlot;
  if (from->vip != kNoSlot)
    service = core.snapshot->locals.service(from->vip, quote->protocol, quote->source_port);
  flow::FlowId id = flow::kNoFlow;
  const bool about_client_side = service != kNoSlot;
  if (about_client_side) {
    const flow::ForwardKey key{quote->destination, quote->destination_port, service};
    id = book.table().find(key, book.table().hash(key));
  } else if (from->source != kNoSlot) {
    const flow::ReverseKey key{quote->destination, quote->destination_port, from->source,
                               quote->source_port, quote->protocol};
    id = book.table().find(key, book.table().hash(key));
  }
  if (id == flow::kNoFlow) return outlet.drop(p, Drop::icmp_unrelated);

  flow::Record& r = book.at(id);
  const ServiceEntry& s = core.snapshot->services[r.service];
  const BackendEntry& b = core.snapshot->backends[r.backend];
  const IpAddress& source = core.snapshot->sources[r.source].address;
  if (!r.bound) return outlet.drop(p, Drop::icmp_unrelated);
  std::optional<uint32_t> sequence, mtu;
  // A host reduces the size of its segments on the word of anybody who knows a number in flight.
  if (quote->mtu != 0 && !quote->v6) mtu = std::max(quote->mtu, tcp::kLeastMtu4);
  const tcp::Side to = about_client_side ? tcp::Side::client : tcp::Side::backend;
  Drop why = Drop::none;
  switch (flow::forwarding_of(r)) {
    case Forwarding::nat:
      why = nat.quoted(id, to, *quote);
      break;
    case Forwarding::splice:
      why = splicer.quoted(id, to, *quote, sequence, mtu);
      break;
  }
  if (why != Drop::none) return outlet.drop(p, why);
  const uint16_t hop = book.hop_to(tcp::other(to), r, why);
  if (hop == Neighbors::kNone) return outlet.drop(p, why);
  if (p.length() > outlet.mtu_of(hop))
    return outlet.drop(p, Drop::mtu_exceeded);  // no error about an error (RFC 1122, 3.2.2)
  if (about_client_side)                        // the backend sent the packet in question
    wire::translate_error(
        p.bytes(), p.f, *quote,
        {source, b.address, b.address, source, b.port, r.source_port, sequence, mtu});
  else
    wire::translate_error(p.bytes(), p.f, *quote,
                          {s.vip, r.client, r.client, s.vip, r.client_port, s.port, sequence, mtu});
  set_length(p.m, p.f.end);
  core.n.icmp_translated.add();
  return outlet.forward(hop, p.m);
}

}  // namespace limpet::dataplane
