// Spliced flows between frames and tcp::Splice: the relay, what leaves, timers, the end.
#include "splicer.h"

#include <netinet/in.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "limpet/wire/segment.h"
#include "limpet/wire/splice.h"
#include "limpet/wire/tcp.h"

namespace limpet::dataplane {
namespace {

using tcp::Seq;
using tcp::Side;

constexpr uint32_t kMaxBindings = 65536;  // of a worker: heads or backends waited for at once

HashKey key_from(const std::array<uint64_t, 8>& secret) {
  HashKey key;
  const uint64_t a = secret[0] ^ 0x73796e636f6f6b69u, b = secret[1];
  std::memcpy(key.data(), &a, 8);
  std::memcpy(key.data() + 8, &b, 8);
  return key;
}

// A quarter as many clients as flows may be about to begin: 6 bytes a flow.
uint32_t half_open_places(uint32_t flows) {
  return std::clamp<uint32_t>(std::bit_ceil(flows) / 4, 1024, 1 << 20);
}

}  // namespace

Worker::Splicer::Splicer(Worker& worker, const WorkerSetup& setup, Instant now)
    : w_(worker),
      edits_(setup.edit_bytes),
      copies_(setup.copy_bytes),
      flows_(setup.flows),
      goes_by_(setup.flows),
      pool_(std::clamp<uint32_t>(setup.held_packets, 64, kMaxBindings),
            size_t{setup.held_packets} * 4096, flows_.data(), now),
      splice_(edits_, copies_, pool_, *this, *this),
      listener_(key_from(setup.secret), half_open_places(setup.flows), now),
      sessions_(setup.flows),
      waiting_(setup.flows),
      shares_(setup.secret[2]) {
  w_.n_.half_open_total.set(listener_.half_open().capacity());
}

Worker::Splicer::~Splicer() = default;

tcp::SegmentIn Worker::Splicer::segment_in(const Worker::Work& w) {
  const std::span<const uint8_t> bytes = w.bytes();
  tcp::SegmentIn in;
  in.seq = Seq{wire::tcp_sequence(bytes, w.f)};
  in.ack = Seq{wire::tcp_acknowledgment(bytes, w.f)};
  in.flags = w.f.tcp_flags;
  in.window = wire::tcp_window(bytes, w.f);
  const wire::TcpOptions o = wire::tcp_options(bytes, w.f);
  in.timestamps = o.timestamps;
  in.discarded = o.discarded;
  if ((in.flags & wire::tcp_flag::syn) != 0) {
    in.mss = o.mss;
    in.window_scale = o.window_scale;
    in.sack_permitted = o.sack_permitted;
  } else {
    in.sack = wire::sack_blocks(bytes, w.f);
  }
  in.payload = wire::tcp_data(bytes, w.f);
  in.ttl = w.f.ttl;
  in.traffic_class = wire::traffic_class(bytes, w.f);
  in.options = static_cast<uint8_t>(w.f.payload - w.f.l4 - wire::tcp_header::kSize);
  return in;
}

void Worker::Splicer::from_client(Worker::Work& w, flow::FlowId id) {
  flow::Record& r = w_.table_.at(id);
  const tcp::SegmentIn in = segment_in(w);
  if (in.discarded) return w_.drop(w.m, Drop::tcp_options_bad);
  current_ = id;
  const bool syn = (in.flags & (wire::tcp_flag::syn | wire::tcp_flag::ack | wire::tcp_flag::rst)) ==
                   wire::tcp_flag::syn;
  if (syn) {
    // Perhaps spoofed, perhaps an old one, perhaps of a client that began anew: in every state the
    // flow is needed as long as nothing is proved, in TIME_WAIT for the last ACK (RFC 5961, 4).
    r.flags |= flow::contested;
    return no_flow(w);
  }
  if ((r.flags & flow::contested) != 0 && other_incarnation(w, id, in)) return;
  if (r.state == tcp::Track::dead) return w_.refuse(w, w_.epitaph(r));
  // A client has no SYN-ACK to send, and what it brings is no part of a request.
  if ((in.flags & wire::tcp_flag::syn) != 0) return w_.drop(w.m, Drop::outside_window);
  switch (r.state) {
    case tcp::Track::head:
    case tcp::Track::connecting:
      return collect(w, id, in);
    default:
      if ((r.flags & flow::unbound) != 0) return answered(w, id, in);
      break;
  }
  if (!w_.status_[r.backend].accepts_existing()) {
    backend_gone(id);
    return w_.refuse(w, Drop::backend_down);
  }
  relay(w, id, Side::client, in);
}

void Worker::Splicer::from_backend(Worker::Work& w, flow::FlowId id) {
  flow::Record& r = w_.table_.at(id);
  current_ = id;
  if (r.state == tcp::Track::dead || !w_.status_[r.backend].accepts_existing())
    return w_.refuse(w, w_.epitaph(r));
  const tcp::SegmentIn in = segment_in(w);
  if (in.discarded) return w_.drop(w.m, Drop::tcp_options_bad);
  if (r.state == tcp::Track::connecting) return connecting(w, id, in);
  relay(w, id, Side::backend, in);
}

void Worker::Splicer::relay(Worker::Work& w, flow::FlowId id, Side from, const tcp::SegmentIn& in) {
  flow::Record& r = w_.table_.at(id);
  tcp::SpliceFlow& f = flows_[id];
  if (w_.expired(w)) return;
  const uint32_t before = progress(id);
  const tcp::Seq answered = f.map[tcp::index_of(Side::backend)].emitted();
  const tcp::Handled h = splice_.relay(f, from, in, w_.now_);
  const bool moved = progress(id) != before;
  if (h.fate != tcp::Fate::dropped) {
    // A reset is judged by the number that its receiver will see. Octets that it has but has not
    // acknowledged make the end of all that it was sent as exact as its last ACK.
    const Seq seq{h.numbers.seq};
    const bool exact = tcp::is_exact(seq, splice_.exact(f, tcp::other(from)),
                                     f.map[tcp::index_of(from)].emitted());
    const tcp::Track next = tcp::next_state(r.state, from, in.flags, exact);
    // Whoever waits for octets does not wait longer for a probe or an ACK that says nothing new.
    const flow::Wait wait = flow::wait_of(r);
    if (moved || (wait != flow::Wait::response && wait != flow::Wait::keep_alive))
      r.last_seen = w_.tick_;
    if (next != r.state && next != tcp::Track::syn_sent) {
      w_.enter(id, next);
      // It is over, though its record stays for a while.
      if (next == tcp::Track::time_wait || next == tcp::Track::closed) go_by(id, {});
      if (next == tcp::Track::closed) let_go_of_rules(id);
    }
  }
  const bool spoke = f.map[tcp::index_of(Side::backend)].emitted() != answered;
  const bool look = moved || f.editor != kNoSession;
  pass(w, id, from, h);
  follow_up(id, moved);
  if (look) watch(id, spoke);
}

// What becomes of the frame.
void Worker::Splicer::pass(Worker::Work& w, flow::FlowId id, Side from, const tcp::Handled& h) {
  if (h.fate == tcp::Fate::dropped) return w_.drop(w.m, h.reason);
  if (h.fate == tcp::Fate::consumed) return w_.consume(w.m);
  flow::Record& r = w_.table_.at(id);
  const bool to_backend = from == Side::client;
  Drop why = Drop::no_route;
  const uint16_t hop = to_backend ? w_.backend_hop(r.backend, why) : w_.client_hop(r, why);
  if (hop == Neighbors::kNone) return w_.drop(w.m, why);
  if (w.f.end - w.f.l3 > w_.mtu_of(hop) && w.f.ttl > 1) [[unlikely]]
    return w_.too_big(w, splice_.mtu_for(flows_[id], from, w_.mtu_of(hop), w.f.v6));
  if (!w_.fits(w, hop)) return;
  const ServiceEntry& service = w_.snapshot_->services[r.service];
  const BackendEntry& backend = w_.snapshot_->backends[r.backend];
  BackendCounters& b = w_.stats_.backends[r.backend];
  ServiceCounters& s = w_.stats_.services[r.service];
  if (to_backend) {
    wire::rewrite_spliced(w.bytes(), w.f, w_.snapshot_->sources[r.source].address, r.source_port,
                          backend.address, backend.port, h.numbers);
    b.packets_in.add();
    b.bytes_in.add(w.f.end);
    s.packets_in.add();
    s.bytes_in.add(w.f.end);
  } else {
    wire::rewrite_spliced(w.bytes(), w.f, service.vip, service.port, r.client, r.client_port,
                          h.numbers);
    b.packets_out.add();
    b.bytes_out.add(w.f.end);
    s.packets_out.add();
    s.bytes_out.add(w.f.end);
  }
  set_length(w.m, w.f.end);
  w_.send_by(hop, w.m, false);
}

// What a segment of the splice says, without its addresses.
void Worker::Splicer::say(const tcp::SegmentOut& o, wire::Segment& s) {
  s.seq = o.seq.value;
  s.ack = o.ack.value;
  s.flags = o.flags;
  s.window = o.window;
  s.mss = o.mss;
  s.window_scale = o.window_scale;
  s.sack_permitted = o.sack_permitted;
  s.timestamps = o.timestamps;
  s.sack = o.sack;
  s.may_fragment = o.split;
  s.ttl = o.ttl;
  s.traffic_class = o.traffic_class;
}

// By the port towards one end of current_.
uint32_t Worker::Splicer::most(Side to) {
  flow::Record& r = w_.table_.at(current_);
  Drop why = Drop::no_route;
  const uint16_t hop = to == Side::client ? w_.client_hop(r, why) : w_.backend_hop(r.backend, why);
  return (hop == Neighbors::kNone ? 65535u : w_.mtu_of(hop)) - (r.client.is_v4() ? 40 : 60);
}

// A segment of the splice's own making, to one end of current_.
void Worker::Splicer::emit(Side to, const tcp::SegmentOut& o) {
  flow::Record& r = w_.table_.at(current_);
  const ServiceEntry& service = w_.snapshot_->services[r.service];
  wire::Segment s;
  Drop why = Drop::no_route;
  uint16_t hop = Neighbors::kNone;
  if (to == Side::client) {
    s.source = service.vip;
    s.source_port = service.port;
    s.destination = r.client;
    s.destination_port = r.client_port;
    hop = w_.client_hop(r, why);
  } else {
    if ((r.flags & flow::unbound) != 0) return;  // nobody is there yet
    const BackendEntry& backend = w_.snapshot_->backends[r.backend];
    s.source = w_.snapshot_->sources[r.source].address;
    s.source_port = r.source_port;
    s.destination = backend.address;
    s.destination_port = backend.port;
    hop = w_.backend_hop(r.backend, why);
  }
  say(o, s);
  rte_mbuf* m = w_.fresh();
  if (m == nullptr) return;
  const std::span<uint8_t> out = room(m);
  const wire::SegmentRoom space = wire::begin_segment(out, {}, s, o.length);
  if (space.end == 0 || hop == Neighbors::kNone) {
    w_.n_.originated_lost.add();
    return rte_pktmbuf_free(m);
  }
  uint8_t* p = out.data() + space.payload;
  for (unsigned i = 0; i < o.piece_count; ++i)
    p = std::copy(o.pieces[i].begin(), o.pieces[i].end(), p);
  wire::finish_segment(out, s, space);
  set_length(m, space.end);
  if (space.end > wire::eth::kSize + w_.mtu_of(hop)) {  // nobody would hear of it
    w_.n_.originated_too_big.add();
    w_.n_.originated_lost.add();
    return rte_pktmbuf_free(m);
  }
  if (o.length != 0) {
    BackendCounters& b = w_.stats_.backends[r.backend];
    ServiceCounters& c = w_.stats_.services[r.service];
    if (to == Side::client) {
      c.packets_out.add();
      c.bytes_out.add(space.end);
    } else {
      b.packets_in.add();
      b.bytes_in.add(space.end);
      c.packets_in.add();
      c.bytes_in.add(space.end);
    }
    if (to == Side::client && (r.flags & flow::unbound) == 0) {
      b.packets_out.add();
      b.bytes_out.add(space.end);
    }
  }
  w_.send_by(hop, m, true);
}

void Worker::Splicer::tick() {
  if (unix_read_.ns == 0 || w_.now_ - unix_read_ >= std::chrono::seconds(1)) {
    unix_now_ = w_.unix_time_();
    unix_read_ = w_.now_;
    publish();
  }
  listener_.tick(w_.now_);
  pool_.advance(w_.now_, [this](uint32_t work) {
    const flow::FlowId id = pool_.at(work).flow;
    on_due(work);
    settle(id);
  });
  if (emptied_at_ == w_.tick_) return;
  emptied_at_ = w_.tick_;
  empty_out(make_room());
}

void Worker::Splicer::on_due(uint32_t work) {
  const flow::FlowId id = pool_.at(work).flow;
  current_ = id;
  splice_.on_time(flows_[id], w_.now_);
  if (flows_[id].work != work) return;
  Binding& b = pool_.at(work);
  if (b.head_by.ns != 0) {
    if (b.head_by <= w_.now_) {
      b.head_by = w_.now_ + std::chrono::milliseconds(100);  // when there is no buffer for resets
      pool_.due(work, b.head_by);
      return turn_away(id, true);
    }
    pool_.due(work, b.head_by);
  }
  if (b.syn_at.ns == 0) return;
  if (b.give_up <= w_.now_) return failed(id);
  if (b.syn_at <= w_.now_) {
    send_syn(id);
  } else {
    pool_.due(work, b.syn_at);
  }
}

void Worker::Splicer::ended(flow::FlowId id) {
  go_by(id, {});
  splice_.end(flows_[id]);
  give_session(id);
  settle(id);
}

// Others than the one whose segment is at hand, too: what that sends goes out for itself again.
bool Worker::Splicer::backend_gone(flow::FlowId id) {
  const flow::FlowId current = std::exchange(current_, id);
  const bool gone = leave_backend(id);
  current_ = current;
  return gone;
}

bool Worker::Splicer::leave_backend(flow::FlowId id) {
  flow::Record& r = w_.table_.at(id);
  switch (r.state) {
    case tcp::Track::dead:
    case tcp::Track::head:
    case tcp::Track::answering:
      return true;
    case tcp::Track::connecting:
      redispatch(id);
      return true;
    case tcp::Track::established:
    case tcp::Track::fin_client:
    case tcp::Track::fin_backend:
      break;
    default:
      w_.end_flow(id);
      return true;
  }
  return reset_ends(id);
}

bool Worker::Splicer::reset_ends(flow::FlowId id) {
  const tcp::SpliceFlow& f = flows_[id];
  flow::Record& r = w_.table_.at(id);
  for (const Side side : {Side::client, Side::backend}) {
    r.edges.ack[tcp::index_of(side)] = splice_.exact(f, side);
    r.edges.end[tcp::index_of(side)] = f.map[tcp::index_of(side)].emitted();
  }
  if (!w_.reset_both(id)) return false;
  ended(id);
  return true;
}

bool Worker::Splicer::slow_head(flow::FlowId id) {
  current_ = id;
  w_.n_.splice_slow_heads.add();
  w_.stats_.services[w_.table_.at(id).service].refused[refused(Refused::head_slow)].add();
  not_served(id, affinity::Reason::slow_request);
  const SpliceEntry* entry = entry_of(w_.table_.at(id));
  answer(id, entry == nullptr ? std::string() : entry->slow_request);
  return true;
}

// A client that has not read limpet's answer hears that there is nothing more to wait for.
void Worker::Splicer::not_heard(flow::FlowId id) {
  reset_client(id);
}

std::optional<tcp::Splice::TooBig> Worker::Splicer::too_big(flow::FlowId id, Side to, uint32_t seq,
                                                            uint32_t mtu, bool v6) {
  if (w_.table_.at(id).state == tcp::Track::head) return std::nullopt;
  return splice_.too_big(flows_[id], to, Seq{seq}, mtu, v6 ? 60 : 40);
}

uint32_t Worker::Splicer::translated(flow::FlowId id, Side to, uint32_t seq) const {
  const size_t sender = tcp::index_of(tcp::other(to));
  return flows_[id].map[sender].floor(edits_, Seq{seq}).value;
}

}  // namespace limpet::dataplane
