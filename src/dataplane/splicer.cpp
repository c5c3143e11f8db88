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

// Cookies are dated from 1970 then: for tests that have none.
uint64_t no_time() {
  return 0;
}

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

Splicer::Splicer(Core& core, Outlet& outlet, FlowBook& book, const WorkerSetup& setup)
    : core_(core),
      outlet_(outlet),
      book_(book),
      unix_time_(setup.unix_time == nullptr ? &no_time : setup.unix_time),
      edits_(setup.edit_bytes),
      copies_(setup.copy_bytes),
      flows_(setup.flows),
      goes_by_(setup.flows),
      pool_(std::clamp<uint32_t>(setup.held_packets, 64, kMaxBindings),
            size_t{setup.held_packets} * 4096, flows_.data(), core.now),
      splice_(edits_, copies_, pool_, *this, *this),
      listener_(key_from(setup.secret), half_open_places(setup.flows), core.now),
      exchanges_(setup.flows),
      waiting_(setup.flows),
      shares_(setup.secret[2]),
      transactions_(core, book, setup.flows) {
  core_.n.half_open_total.set(listener_.half_open().capacity());
}

Splicer::~Splicer() = default;

tcp::SegmentIn Splicer::segment_in(const Packet& p) {
  const std::span<const uint8_t> bytes = p.bytes();
  tcp::SegmentIn in;
  in.seq = Seq{wire::tcp_sequence(bytes, p.f)};
  in.ack = Seq{wire::tcp_acknowledgment(bytes, p.f)};
  in.flags = p.f.tcp_flags;
  in.window = wire::tcp_window(bytes, p.f);
  const wire::TcpOptions o = wire::tcp_options(bytes, p.f);
  in.timestamps = o.timestamps;
  in.discarded = o.discarded;
  if ((in.flags & wire::tcp_flag::syn) != 0) {
    in.mss = o.mss;
    in.window_scale = o.window_scale;
    in.sack_permitted = o.sack_permitted;
  } else {
    in.sack = wire::sack_blocks(bytes, p.f);
  }
  in.payload = wire::tcp_data(bytes, p.f);
  in.ttl = p.f.ttl;
  in.traffic_class = wire::traffic_class(bytes, p.f);
  in.options = static_cast<uint8_t>(p.f.payload - p.f.l4 - wire::tcp_header::kSize);
  return in;
}

Ended Splicer::from_client(Packet& p, flow::FlowId id) {
  const Ended ended = client_says(p, id);
  settle(id);
  return ended;
}

Ended Splicer::from_backend(Packet& p, flow::FlowId id) {
  const Ended ended = backend_says(p, id);
  settle(id);
  return ended;
}

Ended Splicer::client_says(Packet& p, flow::FlowId id) {
  flow::Record& r = book_.at(id);
  const tcp::SegmentIn in = segment_in(p);
  if (in.discarded) return outlet_.drop(p, Drop::tcp_options_bad);
  const bool syn = (in.flags & (wire::tcp_flag::syn | wire::tcp_flag::ack | wire::tcp_flag::rst)) ==
                   wire::tcp_flag::syn;
  if (syn) {
    // Perhaps spoofed, perhaps an old one, perhaps of a client that began anew: in every state the
    // flow is needed as long as nothing is proved, in TIME_WAIT for the last ACK (RFC 5961, 4).
    r.contested = true;
    return no_flow(p);
  }
  if (r.contested)
    if (const auto ended = other_incarnation(p, id, in)) return *ended;
  if (r.state == tcp::Track::dead) return outlet_.refuse(p, book_.epitaph(r));
  // A client has no SYN-ACK to send, and what it brings is no part of a request.
  if ((in.flags & wire::tcp_flag::syn) != 0) return outlet_.drop(p, Drop::outside_window);
  switch (r.state) {
    case tcp::Track::head:
    case tcp::Track::connecting:
      return collect(p, id, in);
    default:
      if (!r.bound) return answered(p, id, in);
      break;
  }
  if (!core_.status[r.backend].accepts_existing()) {
    must_end(id, Ending::backend_down);
    return outlet_.refuse(p, Drop::backend_down);
  }
  return relay(p, id, Side::client, in);
}

Ended Splicer::backend_says(Packet& p, flow::FlowId id) {
  flow::Record& r = book_.at(id);
  if (r.state == tcp::Track::dead || !core_.status[r.backend].accepts_existing())
    return outlet_.refuse(p, book_.epitaph(r));
  const tcp::SegmentIn in = segment_in(p);
  if (in.discarded) return outlet_.drop(p, Drop::tcp_options_bad);
  if (r.state == tcp::Track::connecting) return connecting(p, id, in);
  return relay(p, id, Side::backend, in);
}

Ended Splicer::relay(Packet& p, flow::FlowId id, Side from, const tcp::SegmentIn& in) {
  flow::Record& r = book_.at(id);
  tcp::SpliceFlow& f = flows_[id];
  if (p.f.ttl <= 1) return outlet_.expired(p);
  const uint32_t before = progress(id);
  const tcp::Seq answered = f.at(Side::backend).map.emitted();
  const tcp::Handled h = splice_.relay(f, from, in, core_.now);
  const bool moved = progress(id) != before;
  if (h.fate != tcp::Fate::dropped) {
    if (f.logged && (in.flags & wire::tcp_flag::fin) != 0) [[unlikely]]
      log_fin(id, from, in);
    // A reset is judged by the number that its receiver will see. Octets that it has but has not
    // acknowledged make the end of all that it was sent as exact as its last ACK.
    const Seq seq{h.numbers.seq};
    const bool exact =
        tcp::is_exact(seq, splice_.exact(f, tcp::other(from)), f.at(from).map.emitted());
    const tcp::Track next = tcp::next_state(r.state, from, in.flags, exact);
    // Whoever waits for octets does not wait longer for a probe or an ACK that says nothing new.
    const flow::Wait wait = flow::wait_of(r);
    if (moved || (wait != flow::Wait::response && wait != flow::Wait::keep_alive))
      r.last_seen = core_.tick;
    if (next != r.state && next != tcp::Track::syn_sent) {
      book_.enter(id, next);
      // It is over, though its record stays for a while.
      if (next == tcp::Track::time_wait || next == tcp::Track::closed) go_by(id, {});
      if (next == tcp::Track::closed) {
        blame(id, from == Side::client ? Ending::client_abort : Ending::backend_abort);
        let_go_of_rules(id);
      }
    }
  }
  const bool spoke = f.at(Side::backend).map.emitted() != answered;
  const bool look = moved || f.editor != kNoExchange;
  const Ended ended = pass(p, id, from, h);
  if (f.logged) [[unlikely]]
    log_moved(id);
  follow_up(id, moved);
  if (look) watch(id, spoke);
  return ended;
}

// What becomes of the frame.
Ended Splicer::pass(Packet& p, flow::FlowId id, Side from, const tcp::Handled& h) {
  if (h.fate == tcp::Fate::dropped) return outlet_.drop(p, h.reason);
  if (h.fate == tcp::Fate::consumed) return outlet_.consume(p);
  flow::Record& r = book_.at(id);
  const Side to = tcp::other(from);
  Drop why = Drop::no_route;
  const uint16_t hop = book_.hop_to(to, r, why);
  if (hop == Neighbors::kNone) return outlet_.drop(p, why);
  if (const uint16_t mtu = outlet_.mtu_of(hop); p.length() > mtu) [[unlikely]]
    return outlet_.too_big(p, splice_.mtu_for(flows_[id], from, mtu, p.f.v6));
  const FlowBook::Way way = book_.towards(to, r);
  wire::rewrite_spliced(p.bytes(), p.f, way.source, way.source_port, way.destination,
                        way.destination_port, h.numbers);
  set_length(p.m, p.f.end);
  book_.count_packet(to, r, p.f.end);
  return outlet_.forward(hop, p.m);
}

// What a segment of the splice says, without its addresses.
void Splicer::say(const tcp::SegmentOut& o, wire::Segment& s) {
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

// By the port towards it.
uint32_t Splicer::most(const tcp::SpliceFlow& f, Side to) {
  flow::Record& r = book_.at(id_of(f));
  Drop why = Drop::no_route;
  const uint16_t hop = book_.hop_to(to, r, why);
  return (hop == Neighbors::kNone ? 65535u : outlet_.mtu_of(hop)) - (r.client.is_v4() ? 40 : 60);
}

// A segment of the splice's own making.
void Splicer::emit(tcp::SpliceFlow& f, Side to, const tcp::SegmentOut& o) {
  flow::Record& r = book_.at(id_of(f));
  if (to == Side::backend && !r.bound) return;  // nobody is there yet
  const FlowBook::Way way = book_.towards(to, r);
  wire::Segment s;
  s.source = way.source;
  s.source_port = way.source_port;
  s.destination = way.destination;
  s.destination_port = way.destination_port;
  Drop why = Drop::no_route;
  const uint16_t hop = book_.hop_to(to, r, why);
  say(o, s);
  rte_mbuf* m = outlet_.fresh();
  if (m == nullptr) return;
  const std::span<uint8_t> out = room(m);
  const wire::SegmentRoom space = wire::begin_segment(out, {}, s, o.length);
  if (space.end == 0 || hop == Neighbors::kNone) return outlet_.lose(m);
  uint8_t* p = out.data() + space.payload;
  for (unsigned i = 0; i < o.piece_count; ++i)
    p = std::copy(o.pieces[i].begin(), o.pieces[i].end(), p);
  wire::finish_segment(out, s, space);
  set_length(m, space.end);
  if (space.end > wire::eth::kSize + outlet_.mtu_of(hop)) {  // nobody would hear of it
    core_.n.originated_too_big.add();
    return outlet_.lose(m);
  }
  if (o.length != 0) {
    if (r.bound) {
      book_.count_packet(to, r, static_cast<uint32_t>(space.end));
    } else {
      ServiceCounters& c = core_.services[r.service];
      c.packets_out.add();
      c.bytes_out.add(space.end);
    }
  }
  outlet_.send(hop, m);
}

void Splicer::tick() {
  if (unix_read_.ns == 0 || core_.now - unix_read_ >= std::chrono::seconds(1)) {
    unix_now_ = unix_time_();
    unix_read_ = core_.now;
    publish();
  }
  listener_.tick(core_.now);
  pool_.advance(core_.now, [this](uint32_t binding) {
    const flow::FlowId id = pool_.at(binding).flow;
    on_due(binding);
    settle(id);
  });
  if (emptied_at_ == core_.tick) return;
  emptied_at_ = core_.tick;
  empty_out(make_room());
}

void Splicer::on_due(uint32_t binding) {
  const flow::FlowId id = pool_.at(binding).flow;
  splice_.on_time(flows_[id], core_.now);
  if (flows_[id].binding != binding) return;
  Binding& b = pool_.at(binding);
  if (b.head_by.ns != 0) {
    if (b.head_by <= core_.now) {
      b.head_by = core_.now + std::chrono::milliseconds(100);  // when there is no buffer for resets
      pool_.due(binding, b.head_by);
      return turn_away(id, true);
    }
    pool_.due(binding, b.head_by);
  }
  if (b.syn_at.ns == 0) return;
  if (b.give_up <= core_.now) return failed(id, true);
  if (b.syn_at <= core_.now) {
    send_syn(id);
  } else {
    pool_.due(binding, b.syn_at);
  }
}

void Splicer::ended(flow::FlowId id) {
  log_ends(id);
  go_by(id, {});
  splice_.end(flows_[id]);
  give_exchange(id);
  settle(id);
}

bool Splicer::must_end(flow::FlowId id, Ending why) {
  const flow::Record& r = book_.at(id);
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
      book_.end(id);
      return true;
  }
  blame(id, why);
  return reset_ends(id);
}

bool Splicer::reset_ends(flow::FlowId id) {
  const tcp::SpliceFlow& f = flows_[id];
  flow::Record& r = book_.at(id);
  for (const Side side : {Side::client, Side::backend}) {
    r.bounds.ack[tcp::index_of(side)] = splice_.exact(f, side);
    r.bounds.end[tcp::index_of(side)] = f.at(side).map.emitted();
  }
  if (!book_.reset_both(id, marks(id, Side::backend), marks(id, Side::client))) return false;
  ended(id);
  return true;
}

bool Splicer::due(flow::FlowId id) {
  switch (book_.at(id).state) {
    case tcp::Track::head:
      slow_head(id);
      break;
    case tcp::Track::connecting:
      core_.n.flows_expired.add();
      never_connected(id);
      break;
    case tcp::Track::answering:
      // A client that has not read limpet's answer hears that there is nothing more to wait for.
      send_reset(id, Side::client);
      return false;
    default:
      return false;
  }
  settle(id);
  return true;
}

void Splicer::slow_head(flow::FlowId id) {
  core_.n.splice_slow_heads.add();
  core_.services[book_.at(id).service].refused[refused(Refused::head_slow)].add();
  not_served(id, affinity::Reason::slow_request);
  const SpliceEntry* entry = entry_of(book_.at(id));
  answer(id, entry == nullptr ? std::string() : entry->slow_request);
}

Drop Splicer::quoted(flow::FlowId id, Side to, const wire::Quote& quote,
                     std::optional<uint32_t>& translated, std::optional<uint32_t>& mtu) {
  const flow::Record& r = book_.at(id);
  const Seq number{quote.tcp_sequence};
  const tcp::SpliceFlow& f = flows_[id];
  if (!r.bound) return Drop::icmp_unrelated;
  if (!tcp::Splice::in_flight(f, to, number)) return Drop::icmp_outside_window;
  translated = f.at(tcp::other(to)).map.floor(edits_, number).value;
  if (quote.mtu == 0) return Drop::none;
  if (r.state == tcp::Track::head) return Drop::icmp_outside_window;
  const auto told = splice_.too_big(flows_[id], to, number, quote.mtu, quote.v6 ? 60 : 40);
  if (!told) return Drop::icmp_outside_window;
  translated = told->seq.value;
  mtu = told->mtu;
  return Drop::none;
}

}  // namespace limpet::dataplane
