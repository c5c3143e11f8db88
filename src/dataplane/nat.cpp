// Full NAT: packets of known flows, and the making of new ones.
#include "nat.h"

#include <netinet/in.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <array>

#include "limpet/affinity/choose.h"
#include "limpet/wire/nat.h"
#include "limpet/wire/tcp.h"

namespace limpet::dataplane {
namespace {

constexpr size_t kKnocks = 1024;
// Backends without a free source port that are passed over for one connection, as in mode splice:
// where the ports of a large pool have run out, looking at all would take milliseconds.
constexpr size_t kMostWithoutPort = 64;

tcp::Segment segment_of(std::span<const uint8_t> bytes, const wire::Frame& f) {
  tcp::Segment s{.flags = f.tcp_flags,
                 .window = wire::tcp_window(bytes, f),
                 .seq = {wire::tcp_sequence(bytes, f)},
                 .ack = {wire::tcp_acknowledgment(bytes, f)},
                 .length = wire::tcp_data_length(f)};
  if ((f.tcp_flags & wire::tcp_flag::syn) != 0) [[unlikely]]
    s.scale = wire::tcp_options(bytes, f).window_scale.value_or(tcp::kNoScale);
  return s;
}

bool opens(const wire::Frame& f) {
  return (f.tcp_flags & (wire::tcp_flag::syn | wire::tcp_flag::ack | wire::tcp_flag::rst)) ==
         wire::tcp_flag::syn;
}

}  // namespace

Nat::Nat(Core& core, Outlet& outlet, FlowBook& book, Arrivals& arrivals, const WorkerSetup& setup)
    : core_(core),
      outlet_(outlet),
      book_(book),
      arrivals_(arrivals),
      syns_(book.table()),
      knocks_(kKnocks),
      hold_syns_until_(core.tick + to_ticks(setup.hold_syns)),
      hold_all_syns_(setup.hold_syns.count() > 0) {}

// Asked no more once it is over: ticks wrap, and the past would become the future.
void Nat::begin_iteration() {
  if (hold_all_syns_ && !tick_before(core_.tick, hold_syns_until_)) hold_all_syns_ = false;
}

Ended Nat::from_client(Packet& p, flow::FlowId id) {
  if (p.f.ttl <= 1) return outlet_.expired(p);
  flow::Record& r = book_.at(id);
  if (r.state != tcp::Track::dead && !core_.status[r.backend].accepts_existing()) {
    // Its reset is on the way (flush_dead), but this packet is here first.
    if (!must_end(id, Ending::backend_down)) return outlet_.refuse(p, Drop::backend_down);
    if (!book_.live(id)) return arrivals_.no_flow(p);
  }
  if (r.protocol != IPPROTO_TCP) {
    if (book_.stranded(r)) [[unlikely]] {
      book_.end(id);
      return arrivals_.no_flow(p);
    }
    if (flow::talk_of(r) == flow::Talk::answered) flow::set_talk(r, flow::Talk::assured);
    r.last_seen = core_.tick;
    return to_backend(p, id);
  }
  if (r.state == tcp::Track::dead) {
    if (!opens(p.f)) return outlet_.refuse(p, book_.epitaph(r));
    book_.end(id);
    return arrivals_.no_flow(p);
  }
  const tcp::Segment segment = segment_of(p.bytes(), p.f);
  const tcp::Step step = tcp::advance(r.state, tcp::Side::client, segment, r.bounds, r.scales);
  if (step.reopened) {
    book_.end(id);
    return arrivals_.no_flow(p);
  }
  if (step.outside) [[unlikely]] {
    core_.n.outside_window.add();
  } else if (step.knocks) [[unlikely]] {
    knocks_[id % knocks_.size()] = {id, segment};
    r.contested = true;
  } else {
    r.last_seen = core_.tick;
    if (step.next != r.state) enter(id, step.next);
  }
  return to_backend(p, id);
}

Ended Nat::from_backend(Packet& p, flow::FlowId id) {
  if (p.f.ttl <= 1) return outlet_.expired(p);
  flow::Record& r = book_.at(id);
  bool moved = false;
  if (r.state == tcp::Track::dead || !core_.status[r.backend].accepts_existing())
    return p.f.kind == wire::FrameKind::tcp ? outlet_.refuse(p, book_.epitaph(r))
                                            : outlet_.drop(p, Drop::backend_down);
  if (r.protocol == IPPROTO_TCP) {
    const tcp::Segment segment = segment_of(p.bytes(), p.f);
    tcp::Step step = tcp::advance(r.state, tcp::Side::backend, segment, r.bounds, r.scales);
    if (step.stale_ack) return answer_stale(p, id);
    if (step.outside) [[unlikely]] {
      if (!r.contested || !anew(id, segment)) {
        core_.n.outside_window.add();
        return to_client(p, id);
      }
      step = tcp::advance(r.state, tcp::Side::backend, segment, r.bounds, r.scales);
    }
    moved = step.next != r.state;
    if (moved) {
      if (r.state == tcp::Track::syn_sent) {
        syns_.drop(id);
        if (step.next == tcp::Track::closed) core_.backends[r.backend].connect_failures.add();
      }
      enter(id, step.next);
    }
  } else if (flow::talk_of(r) == flow::Talk::asked) {
    flow::set_talk(r, flow::Talk::answered);
  }
  // Time for a handshake does not begin anew with each SYN-ACK that a backend repeats for nobody.
  if (moved || r.state > tcp::Track::syn_received) r.last_seen = core_.tick;
  return to_client(p, id);
}

void Nat::enter(flow::FlowId id, tcp::Track state) {
  if (const flow::Record& r = book_.at(id); r.state == tcp::Track::syn_sent && r.syn_held)
    syns_.drop(id);
  book_.enter(id, state);
}

bool Nat::due(flow::FlowId id) {
  const flow::Record& r = book_.at(id);
  if (r.state == tcp::Track::syn_sent) core_.backends[r.backend].connect_failures.add();
  return false;
}

// Tells both ends of an established TCP flow, at the exact numbers they accept (RFC 5961, 3.2), and
// leaves a tombstone that answers what still comes. Other flows just end: their client's next
// packet is balanced anew.
bool Nat::must_end(flow::FlowId id, Ending why) {
  switch (book_.at(id).state) {
    case tcp::Track::established:
    case tcp::Track::fin_client:
    case tcp::Track::fin_backend:
      return tell_ends(id, why);
    case tcp::Track::dead:
      return true;
    default:
      ending_ = why;
      book_.end(id);
      ending_.reset();
      return true;
  }
}

bool Nat::expired(flow::FlowId id) {
  return tell_ends(id, Ending::idle);
}

bool Nat::tell_ends(flow::FlowId id, Ending why) {
  if (!book_.reset_both(id)) return false;
  log(id, why);
  return true;
}

void Nat::ended(flow::FlowId id) {
  const flow::Record& r = book_.at(id);
  if (r.syn_held) syns_.drop(id);
  switch (r.state) {
    case tcp::Track::dead:  // it has its line
    case tcp::Track::syn_sent:
    case tcp::Track::syn_received:
      return;
    case tcp::Track::datagram:
      return log(id, ending_ ? *ending_ : book_.stranded(r) ? Ending::backend_down : Ending::idle);
    case tcp::Track::time_wait:
    case tcp::Track::closed:
      return log(id, Ending::done);
    default:
      return log(id,
                 core_.tick - r.last_seen >= book_.timeout_of(r) ? Ending::idle : Ending::gave_way);
  }
}

// A line in the log. Connections that never stood have none, or whoever sends SYNs would fill it.
void Nat::log(flow::FlowId id, Ending ending) {
  if (!core_.in_sample()) return;
  const flow::Record& r = book_.at(id);
  LogRecord record;
  name_flow(r, record);
  record.ended = core_.now;
  record.total = tick_duration(core_.tick - book_.aside(id).created);
  record.reason = book_.aside(id).reason;
  record.ending = ending;
  record.phase = ending == Ending::done ? Phase::none : Phase::data;
  core_.log(record);
}

Drop Nat::quoted(flow::FlowId id, tcp::Side to, const wire::Quote& quote) const {
  const flow::Record& r = book_.at(id);
  const bool judged = r.protocol == IPPROTO_TCP;
  return !judged || tcp::in_flight(r.bounds, r.scales, tcp::other(to), tcp::Seq{quote.tcp_sequence})
             ? Drop::none
             : Drop::icmp_outside_window;
}

// The backend answers a SYN that came while its flow lived: it has forgotten that connection, as
// the client has. Had it not, it would have asked whether that is so (RFC 5961, 4.2), and the
// client's reset would have ended the flow. The flow goes on with the numbers of the new one.
bool Nat::anew(flow::FlowId id, const tcp::Segment& answer) {
  const Knock& knock = knocks_[id % knocks_.size()];
  flow::Record& r = book_.at(id);
  if (knock.flow != id || !tcp::begins_anew(knock.syn, answer, r.bounds, r.scales)) return false;
  r.contested = false;
  r.state = tcp::Track::syn_sent;
  flow::note_first(r, book_.aside(id));
  core_.n.flows_begun_anew.add();
  return true;
}

Ended Nat::no_flow(Packet& p) {
  const wire::Frame& f = p.f;
  const ServiceEntry& service = core_.snapshot->services[p.service];
  if (!service.configured) return outlet_.refuse(p, Drop::no_service);
  if (f.kind == wire::FrameKind::tcp && !opens(f)) return outlet_.refuse(p, Drop::no_flow);
  if (p.f.ttl <= 1) return outlet_.expired(p);
  const PoolEntry& pool = core_.snapshot->pools[service.pool];
  // Who fills the ports of one backend shuts that one, not the service.
  std::array<uint16_t, kMostWithoutPort> without_port;
  size_t passed = 0;
  affinity::Choice choice;
  uint16_t backend = kNoSlot;
  flow::FlowId id = flow::kNoFlow;
  while (id == flow::kNoFlow) {
    const auto end = without_port.begin() + static_cast<ptrdiff_t>(passed);
    choice = affinity::choose(service.policy, {f.source, f.source_port}, pool.maglev,
                              pool.scheduler(core_.id), [&](uint16_t member) {
                                return core_.status[pool.members[member]].accepts_new() &&
                                       std::find(without_port.begin(), end, member) == end;
                              });
    if (choice.member == balance::Maglev::kNone) {
      if (passed != 0) return outlet_.drop(p, Drop::source_ports_exhausted);
      core_.services[p.service].no_backend.add();
      return outlet_.refuse(p, Drop::no_backend);
    }
    backend = pool.members[choice.member];
    Drop why = Drop::flow_table_full;
    id = make_flow(p, backend, choice.reason, passed == 0, why);
    if (id != flow::kNoFlow) break;
    if (why != Drop::source_ports_exhausted || passed == without_port.size())
      return outlet_.drop(p, why);
    without_port[passed++] = choice.member;
  }
  book_.count_bound(book_.at(id));
  if (passed != 0 || redirected(choice.reason)) core_.backends[backend].redispatched.add();
  core_.services[p.service].reasons[static_cast<size_t>(choice.reason)].add();
  return to_backend(p, id);
}

// `make_room`: a flow of the backend that has ended or is half-open gives its source port.
flow::FlowId Nat::make_flow(const Packet& p, uint16_t backend, affinity::Reason reason,
                            bool make_room, Drop& why) {
  const bool tcp = p.f.kind == wire::FrameKind::tcp;
  why = Drop::flow_table_full;
  const flow::FlowId id =
      book_.begin(p, Forwarding::nat, tcp ? tcp::Track::syn_sent : tcp::Track::datagram);
  if (id == flow::kNoFlow) return id;
  flow::Record& r = book_.at(id);
  // The SYN says which number the backend will expect: its RST is judged by that.
  if (tcp) tcp::begin(segment_of(p.bytes(), p.f), r.bounds, r.scales);
  book_.aside(id).reason = static_cast<uint8_t>(reason);
  flow::note_first(r, book_.aside(id));
  if (!book_.take_backend(id, backend,
                          make_room ? FlowBook::Give::half_open_too : FlowBook::Give::nothing)) {
    book_.table().release(id);
    why = Drop::source_ports_exhausted;
    return flow::kNoFlow;
  }
  r.bound = true;
  if (!book_.add(id, p)) {
    book_.give_source(r);
    book_.table().release(id);
    return flow::kNoFlow;
  }
  return id;
}

Ended Nat::to_backend(Packet& p, flow::FlowId id) {
  const flow::Record& r = book_.at(id);
  Drop why = Drop::no_route;
  const uint16_t hop = outlet_.backend_hop(r.backend, why);
  if (hop == Neighbors::kNone) return outlet_.drop(p, why);
  if (const uint16_t mtu = outlet_.mtu_of(hop); p.length() > mtu) return outlet_.too_big(p, mtu);
  const FlowBook::Way way = book_.towards(tcp::Side::backend, r);
  wire::rewrite(p.bytes(), p.f, way.source, way.source_port, way.destination, way.destination_port);
  set_length(p.m, p.f.end);
  book_.count_packet(tcp::Side::backend, r, p.f.end);
  const bool stale_possible = r.early_reuse || hold_all_syns_;
  if (r.state == tcp::Track::syn_sent && stale_possible && opens(p.f))
    syns_.hold(id, p.m, core_.pool);
  return outlet_.forward(hop, p.m);
}

Ended Nat::to_client(Packet& p, flow::FlowId id) {
  flow::Record& r = book_.at(id);
  Drop why = Drop::no_route;
  const uint16_t hop = outlet_.client_hop(r, why);
  if (hop == Neighbors::kNone) return outlet_.drop(p, why);
  if (const uint16_t mtu = outlet_.mtu_of(hop); p.length() > mtu) return outlet_.too_big(p, mtu);
  const FlowBook::Way way = book_.towards(tcp::Side::client, r);
  wire::rewrite(p.bytes(), p.f, way.source, way.source_port, way.destination, way.destination_port);
  set_length(p.m, p.f.end);
  book_.count_packet(tcp::Side::client, r, p.f.end);
  return outlet_.forward(hop, p.m);
}

// The backend still has the previous connection of this port: it answers our SYN with the ACK of
// that one. A reset at exactly that number ends it (RFC 9293, 3.10.7.3), then the SYN goes again. A
// backend that goes on like this must not keep us busy: so often for each SYN of the client.
Ended Nat::answer_stale(Packet& p, flow::FlowId id) {
  core_.n.stale_answered.add();
  outlet_.send_reset({.source = p.f.destination,
                      .destination = p.f.source,
                      .source_port = p.f.destination_port,
                      .destination_port = p.f.source_port,
                      .sequence = wire::tcp_acknowledgment(p.bytes(), p.f),
                      .acknowledgment = std::nullopt});
  Drop why = Drop::no_route;
  const uint16_t hop = outlet_.backend_hop(book_.at(id).backend, why);
  if (const rte_mbuf* syn = syns_.find(id); syn != nullptr && hop != Neighbors::kNone) {
    rte_mbuf* again = rte_pktmbuf_copy(syn, core_.pool, 0, UINT32_MAX);
    if (again != nullptr)
      outlet_.send(hop, again);
    else
      core_.n.originated_lost.add();
    syns_.spend(id);
  }
  return outlet_.consume(p);
}

}  // namespace limpet::dataplane
