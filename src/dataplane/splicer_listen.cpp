// Segments of clients without a flow: handshakes, strangers, and the beginning of flows.
#include <netinet/in.h>

#include "limpet/base/hash.h"
#include "splicer.h"

namespace limpet::dataplane {

Ended Splicer::no_flow(Packet& p) {
  const ServiceEntry& service = core_.snapshot->services[p.service];
  if (!service.configured || service.forwarding != Forwarding::splice)
    return outlet_.refuse(p, Drop::no_service);
  const tcp::SegmentIn in = segment_in(p);
  if (in.discarded) return outlet_.drop(p, Drop::tcp_options_bad);
  return hear(p, listen(p, service, in), in);
}

tcp::Hearing Splicer::listen(const Packet& p, const ServiceEntry& service,
                             const tcp::SegmentIn& in) {
  const tcp::Tuple tuple{p.f.source, service.vip, p.f.source_port, service.port};
  return listener_.hear(tuple, in, service.splice->syn_ack, core_.now);
}

Ended Splicer::hear(Packet& p, const tcp::Hearing& heard, const tcp::SegmentIn& in) {
  switch (heard.what) {
    case tcp::Heard::answered:
      return reply(p, heard.answer);
    case tcp::Heard::silent:
      return outlet_.consume(p);
    case tcp::Heard::open:
      return open(p, heard, in);
    case tcp::Heard::early:
      return outlet_.drop(p, Drop::early_segment);
    case tcp::Heard::stale:
      return outlet_.refuse(p, Drop::no_flow);
    case tcp::Heard::stranger:
      return stranger(p);
    case tcp::Heard::ignored:
      break;
  }
  return outlet_.drop(p, Drop::no_flow);
}

// A flow whose client may have begun anew: the SYN alone proves nothing (RFC 5961, 4), so the flow
// goes on, and the SYN was answered as anybody's. What does not fit into this flow is judged as if
// there were none; an answer of the flow's to it would be the first of an ACK war. Data that knows
// the numbers of the other handshake ends the flow, quietly towards the client, who knows nothing
// of it any more. Nothing: the segment belongs to the flow.
std::optional<Ended> Splicer::other_incarnation(Packet& p, flow::FlowId id,
                                                const tcp::SegmentIn& in) {
  if ((in.flags & wire::tcp_flag::rst) != 0 || (in.flags & wire::tcp_flag::ack) == 0) return {};
  if (splice_.plausible(flows_[id], in) || in.seq == flows_[id].first) return {};
  const ServiceEntry& service = core_.snapshot->services[p.service];
  if (!service.configured || service.forwarding != Forwarding::splice) return {};
  const tcp::Hearing heard = listen(p, service, in);
  switch (heard.what) {
    case tcp::Heard::open:
      core_.n.splice_replaced.add();
      reset_backend(id);
      blame(id, Ending::replaced);
      book_.end(id);
      break;
    case tcp::Heard::stranger:
      return outlet_.drop(p, Drop::no_flow);
    default:
      break;
  }
  return hear(p, heard, in);
}

// The frame itself becomes the answer; nothing of it is left in there.
Ended Splicer::reply(Packet& p, const tcp::SegmentOut& o) {
  wire::Segment s;
  s.source = p.f.destination;
  s.source_port = p.f.destination_port;
  s.destination = p.f.source;
  s.destination_port = p.f.source_port;
  say(o, s);
  const size_t length = wire::build_segment(room(p.m), {}, s);
  if (length == 0) return outlet_.drop(p, Drop::mbuf_exhausted);
  set_length(p.m, length);
  core_.n.splice_stateless_answers.add();
  return outlet_.answer_with_itself(p);
}

Ended Splicer::stranger(Packet& p) {
  if (strangers_.again(mix64(p.hash ^ 0x9e3779b97f4a7c15u), core_.tick))
    return outlet_.refuse(p, Drop::no_flow);
  return outlet_.drop(p, Drop::no_flow);
}

Ended Splicer::open(Packet& p, const tcp::Hearing& heard, const tcp::SegmentIn& in) {
  make_room();
  const flow::FlowId id = book_.begin(p, Forwarding::splice, tcp::Track::head);
  if (id == flow::kNoFlow) return outlet_.drop(p, Drop::flow_table_full);
  book_.aside(id).reason = static_cast<uint8_t>(affinity::Reason::no_backend);
  const SpliceEntry& entry = *core_.snapshot->services[p.service].splice;
  if (!tcp::start(splice_, flows_[id], heard.offer, entry.syn_ack, in)) {
    book_.table().release(id);
    return outlet_.drop(p, Drop::held_full);
  }
  if (!book_.add(id, p)) {
    ended(id);
    book_.table().release(id);
    return outlet_.drop(p, Drop::flow_table_full);
  }
  listener_.opened(heard);
  const Ended ended = collect(p, id, in);
  settle(id);
  return ended;
}

}  // namespace limpet::dataplane
