// Segments of clients without a flow: handshakes, strangers, and the beginning of flows.
#include <netinet/in.h>

#include "limpet/base/hash.h"
#include "splicer.h"

namespace limpet::dataplane {

void Worker::Splicer::no_flow(Worker::Work& w) {
  const ServiceEntry& service = w_.snapshot_->services[w.service];
  if (!service.configured || service.splice == nullptr) return w_.refuse(w, Drop::no_service);
  const tcp::SegmentIn in = segment_in(w);
  if (in.discarded) return w_.drop(w.m, Drop::tcp_options_bad);
  hear(w, listen(w, service, in), in);
}

tcp::Hearing Worker::Splicer::listen(const Worker::Work& w, const ServiceEntry& service,
                                     const tcp::SegmentIn& in) {
  const tcp::Tuple tuple{w.f.source, service.vip, w.f.source_port, service.port};
  return listener_.hear(tuple, in, service.splice->promise, w_.now_);
}

void Worker::Splicer::hear(Worker::Work& w, const tcp::Hearing& heard, const tcp::SegmentIn& in) {
  switch (heard.what) {
    case tcp::Heard::answered:
      return reply(w, heard.answer);
    case tcp::Heard::silent:
      return w_.consume(w.m);
    case tcp::Heard::open:
      return open(w, heard, in);
    case tcp::Heard::early:
      return w_.drop(w.m, Drop::early_segment);
    case tcp::Heard::stale:
      return w_.refuse(w, Drop::no_flow);
    case tcp::Heard::stranger:
      return stranger(w);
    case tcp::Heard::ignored:
      return w_.drop(w.m, Drop::no_flow);
  }
}

// A flow whose client may have begun anew: the SYN alone proves nothing (RFC 5961, 4), so the flow
// goes on, and the SYN was answered as anybody's. What does not fit into this flow is judged as if
// there were none; an answer of the flow's to it would be the first of an ACK war. Data that knows
// the numbers of the other handshake ends the flow, quietly towards the client, who knows nothing
// of it any more. False: the segment belongs to the flow.
bool Worker::Splicer::other_incarnation(Worker::Work& w, flow::FlowId id,
                                        const tcp::SegmentIn& in) {
  if ((in.flags & wire::tcp_flag::rst) != 0 || (in.flags & wire::tcp_flag::ack) == 0) return false;
  if (splice_.plausible(flows_[id], in) || in.seq == flows_[id].first) return false;
  const ServiceEntry& service = w_.snapshot_->services[w.service];
  if (!service.configured || service.splice == nullptr) return false;
  const tcp::Hearing heard = listen(w, service, in);
  switch (heard.what) {
    case tcp::Heard::open:
      w_.n_.splice_replaced.add();
      reset_backend(id);
      w_.end_flow(id);
      break;
    case tcp::Heard::stranger:
      w_.drop(w.m, Drop::no_flow);
      return true;
    default:
      break;
  }
  hear(w, heard, in);
  return true;
}

// The frame itself becomes the answer; nothing of it is left in there.
void Worker::Splicer::reply(Worker::Work& w, const tcp::SegmentOut& o) {
  wire::Segment s;
  s.source = w.f.destination;
  s.source_port = w.f.destination_port;
  s.destination = w.f.source;
  s.destination_port = w.f.source_port;
  say(o, s);
  const size_t length = wire::build_segment(room(w.m), {}, s);
  if (length == 0) return w_.drop(w.m, Drop::mbuf_exhausted);
  set_length(w.m, length);
  w_.n_.consumed.add();
  w_.n_.splice_stateless_answers.add();
  w_.answer(w, w.m);
}

void Worker::Splicer::stranger(Worker::Work& w) {
  if (strangers_.again(mix64(w.hash ^ 0x9e3779b97f4a7c15u), w_.tick_))
    return w_.refuse(w, Drop::no_flow);
  w_.drop(w.m, Drop::no_flow);
}

void Worker::Splicer::open(Worker::Work& w, const tcp::Hearing& heard, const tcp::SegmentIn& in) {
  make_room();
  w_.room_for_flow();
  flow::FlowId id = w_.table_.allocate();
  if (id == flow::kNoFlow && w_.evict()) id = w_.table_.allocate();
  if (id == flow::kNoFlow) return w_.drop(w.m, Drop::flow_table_full);
  flow::Record& r = w_.table_.at(id);
  r.client = w.f.source;
  r.client_port = w.f.source_port;
  r.service = w.service;
  r.backend = 0;
  r.state = tcp::Track::head;
  r.flags = flow::unbound | flow::spliced;
  r.edges = {};
  r.last_seen = w_.tick_;
  w_.table_.aside(id).created = w_.tick_;
  w_.table_.aside(id).reason = static_cast<uint8_t>(affinity::Reason::no_backend);
  r.client_hop = 0;
  r.hop_stamp = 0;
  current_ = id;
  const SpliceEntry& entry = *w_.snapshot_->services[w.service].splice;
  if (!tcp::start(splice_, flows_[id], heard.offer, entry.promise, in)) {
    w_.table_.release(id);
    return w_.drop(w.m, Drop::held_full);
  }
  r.protocol = IPPROTO_TCP;
  if (!w_.table_.insert(id)) {
    ended(id);
    w_.table_.release(id);
    return w_.drop(w.m, Drop::flow_table_full);
  }
  listener_.opened(heard);
  w_.wheel_.arm(id, w_.tick_ + w_.timeout_of(r));
  w_.stats_.services[w.service].connections_total.add();
  w_.stats_.services[w.service].connections_active.add();
  w_.n_.flows_created.add();
  w_.know_client(w);
  collect(w, id, in);
  settle(id);
}

}  // namespace limpet::dataplane
