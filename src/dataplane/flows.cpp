// Full NAT (mode nat): packets of known flows, and the making of new ones.
#include <netinet/in.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <array>

#include "limpet/affinity/choose.h"
#include "limpet/wire/nat.h"
#include "limpet/wire/tcp.h"
#include "splicer.h"
#include "work.h"

namespace limpet::dataplane {
namespace {

// Source addresses that are asked for a rested port, for one connection: where none has any, as at
// a high rate, looking at dozens would cost more than all else of a new flow.
constexpr size_t kRestedLooks = 8;
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

void Worker::from_client(Work& w) {
  const wire::Frame& f = w.f;
  const flow::FlowId id = table_.find(flow::ForwardKey{f.source, f.source_port, w.service}, w.hash);
  if (id == flow::kNoFlow) {
    if (misplaced(w)) return;
    if (snapshot_->services[w.service].splice != nullptr) return splicer_->no_flow(w);
    return new_flow(w);
  }
  flow::Record& r = table_.at(id);
  if ((r.flags & flow::spliced) != 0) {
    splicer_->from_client(w, id);
    return splicer_->settle(id);
  }
  if (expired(w)) return;
  const bool tcp = r.protocol == IPPROTO_TCP;

  if (r.state != tcp::Track::dead && !status_[r.backend].accepts_existing()) {
    // Its reset is on the way (flush_dead), but this packet is here first.
    if (!backend_gone(id)) return refuse(w, Drop::backend_down);
    if (!table_.live(id)) return new_flow(w);
  }
  if (!tcp) {
    if (stranded(r)) [[unlikely]] {
      end_flow(id);
      return new_flow(w);
    }
    if ((r.flags & flow::answered) != 0) r.flags |= flow::assured;
    r.last_seen = tick_;
    return to_backend(w, id);
  }
  if (r.state == tcp::Track::dead) {
    if (opens(f)) {
      end_flow(id);
      return new_flow(w);
    }
    return refuse(w, epitaph(r));
  }
  const tcp::Segment segment = segment_of(w.bytes(), f);
  const tcp::Step step = tcp::advance(r.state, tcp::Side::client, segment, r.edges, r.scales);
  if (step.reopened) {
    end_flow(id);
    return new_flow(w);
  }
  if (step.outside) [[unlikely]] {
    n_.outside_window.add();
  } else if (step.knocks) [[unlikely]] {
    knocks_[id % knocks_.size()] = {id, segment};
    r.flags |= flow::contested;
  } else {
    r.last_seen = tick_;
    if (step.next != r.state) enter(id, step.next);
  }
  to_backend(w, id);
}

void Worker::from_backend(Work& w) {
  const wire::Frame& f = w.f;
  const flow::FlowId id = table_.find(
      flow::ReverseKey{f.source, f.source_port, w.local->source, f.destination_port, f.protocol},
      w.hash);
  if (id == flow::kNoFlow) {
    if (misplaced(w)) return;
    // A late segment is answered, so that the backend lets go of its end.
    return f.kind == wire::FrameKind::tcp ? refuse(w, Drop::no_flow) : drop(w.m, Drop::no_flow);
  }
  flow::Record& r = table_.at(id);
  if ((r.flags & flow::spliced) != 0) {
    splicer_->from_backend(w, id);
    return splicer_->settle(id);
  }
  if (expired(w)) return;
  bool moved = false;
  if (r.state == tcp::Track::dead || !status_[r.backend].accepts_existing())
    return f.kind == wire::FrameKind::tcp ? refuse(w, epitaph(r)) : drop(w.m, Drop::backend_down);
  if (r.protocol == IPPROTO_TCP) {
    const tcp::Segment segment = segment_of(w.bytes(), f);
    tcp::Step step = tcp::advance(r.state, tcp::Side::backend, segment, r.edges, r.scales);
    if (step.stale_ack) return answer_stale(w, id);
    if (step.outside) [[unlikely]] {
      if ((r.flags & flow::contested) == 0 || !anew(id, segment)) {
        n_.outside_window.add();
        return to_client(w, id);
      }
      step = tcp::advance(r.state, tcp::Side::backend, segment, r.edges, r.scales);
    }
    moved = step.next != r.state;
    if (moved) {
      if (r.state == tcp::Track::syn_sent) {
        drop_syn(id);
        if (step.next == tcp::Track::closed) stats_.backends[r.backend].connect_failures.add();
      }
      enter(id, step.next);
    }
  } else {
    r.flags |= flow::answered;
  }
  // Time for a handshake does not begin anew with each SYN-ACK that a backend repeats for nobody.
  if (moved || r.state > tcp::Track::syn_received) r.last_seen = tick_;
  to_client(w, id);
}

// The backend answers a SYN that came while its flow lived: it has forgotten that connection, as
// the client has. Had it not, it would have asked whether that is so (RFC 5961, 4.2), and the
// client's reset would have ended the flow. The flow goes on with the numbers of the new one.
bool Worker::anew(flow::FlowId id, const tcp::Segment& answer) {
  const Knock& knock = knocks_[id % knocks_.size()];
  flow::Record& r = table_.at(id);
  if (knock.flow != id || !tcp::begins_anew(knock.syn, answer, r.edges, r.scales)) return false;
  r.flags &= static_cast<uint8_t>(~flow::contested);
  r.state = tcp::Track::syn_sent;
  flow::note_first(r, table_.aside(id));
  n_.flows_begun_anew.add();
  return true;
}

void Worker::new_flow(Work& w) {
  const wire::Frame& f = w.f;
  const ServiceEntry& service = snapshot_->services[w.service];
  if (!service.configured) return refuse(w, Drop::no_service);
  if (f.kind == wire::FrameKind::tcp && !opens(f)) return refuse(w, Drop::no_flow);
  if (expired(w)) return;
  const PoolEntry& pool = snapshot_->pools[service.pool];
  // Who fills the ports of one backend shuts that one, not the service.
  std::array<uint16_t, kMostWithoutPort> without_port;
  size_t passed = 0;
  affinity::Choice choice;
  uint16_t backend = kNoSlot;
  flow::FlowId id = flow::kNoFlow;
  while (id == flow::kNoFlow) {
    const auto end = without_port.begin() + static_cast<ptrdiff_t>(passed);
    choice = affinity::choose(service.policy, {f.source, f.source_port}, pool.maglev,
                              pool.scheduler(id_), [&](uint16_t member) {
                                return status_[pool.members[member]].accepts_new() &&
                                       std::find(without_port.begin(), end, member) == end;
                              });
    if (choice.member == balance::Maglev::kNone) {
      if (passed != 0) return drop(w.m, Drop::source_ports_exhausted);
      stats_.services[w.service].no_backend.add();
      return refuse(w, Drop::no_backend);
    }
    backend = pool.members[choice.member];
    Drop why = Drop::flow_table_full;
    id = make_flow(w, backend, choice.reason, passed == 0, why);
    if (id != flow::kNoFlow) break;
    if (why != Drop::source_ports_exhausted || passed == without_port.size()) return drop(w.m, why);
    without_port[passed++] = choice.member;
  }
  BackendCounters& b = stats_.backends[backend];
  b.connections_total.add();
  b.connections_active.add();
  if (passed != 0 || redirected(choice.reason)) b.redispatched.add();
  stats_.services[w.service].connections_total.add();
  stats_.services[w.service].connections_active.add();
  stats_.services[w.service].reasons[static_cast<size_t>(choice.reason)].add();
  n_.flows_created.add();
  know_client(w);
  to_backend(w, id);
}

// `make_room`: a flow of the backend that has ended or is half-open gives its source port.
flow::FlowId Worker::make_flow(const Work& w, uint16_t backend, affinity::Reason reason,
                               bool make_room, Drop& why) {
  room_for_flow();
  flow::FlowId id = table_.allocate();
  if (id == flow::kNoFlow && evict()) id = table_.allocate();
  if (id == flow::kNoFlow) {
    why = Drop::flow_table_full;
    return flow::kNoFlow;
  }
  const wire::Frame& f = w.f;
  flow::Record& r = table_.at(id);
  r.client = f.source;
  r.client_port = f.source_port;
  r.service = w.service;
  r.backend = backend;
  r.backend_generation = snapshot_->backends[backend].generation;
  r.state = f.kind == wire::FrameKind::tcp ? tcp::Track::syn_sent : tcp::Track::datagram;
  r.flags = 0;
  r.edges = {};
  // The SYN says which number the backend will expect: its RST is judged by that.
  if (f.kind == wire::FrameKind::tcp) tcp::begin(segment_of(w.bytes(), f), r.edges, r.scales);
  r.last_seen = tick_;
  table_.aside(id).created = tick_;
  table_.aside(id).reason = static_cast<uint8_t>(reason);
  flow::note_first(r, table_.aside(id));
  r.client_hop = 0;
  r.hop_stamp = 0;
  if (make_room) room_for_port(backend, Give::half_open_too);
  if (!take_source(backend, r)) {
    table_.release(id);
    why = Drop::source_ports_exhausted;
    return flow::kNoFlow;
  }
  r.protocol = f.protocol;  // only now: a record being built is no victim
  if (!table_.insert(id)) {
    give_source(r);
    table_.release(id);
    why = Drop::flow_table_full;
    return flow::kNoFlow;
  }
  wheel_.arm(id, tick_ + timeout_of(r));
  return id;
}

// Source addresses take turns, those first that have a port which the backend has forgotten.
bool Worker::take_source(uint16_t backend, flow::Record& r) {
  return take_source(backend, true, r) || take_source(backend, false, r);
}

bool Worker::take_source(uint16_t backend, bool rested, flow::Record& r) {
  const std::vector<PoolSource>& sources = snapshot_->backends[backend].sources;
  const size_t looks = rested ? std::min(sources.size(), kRestedLooks) : sources.size();
  for (size_t i = 0; i < looks; ++i) {
    const PoolSource& source = sources[(source_turn_[backend] + i) % sources.size()];
    flow::SourcePorts* ports = source.ports[id_];
    if (ports == nullptr || source.retired || (rested && !ports->rested(tick_))) continue;
    const auto grant = ports->take(tick_);
    if (!grant) continue;
    r.source = source.source;
    r.source_port = grant->port;
    if (grant->early) {
      r.flags |= flow::early_reuse;
      n_.port_early_reuse.add();
    }
    ++source_turn_[backend];
    return true;
  }
  return false;
}

void Worker::give_source(const flow::Record& r) {
  for (const PoolSource& source : snapshot_->backends[r.backend].sources) {
    flow::SourcePorts* ports = source.ports[id_];
    if (source.source == r.source && ports != nullptr && ports->in_range(r.source_port))
      return ports->give(r.source_port, tick_);
  }
}

void Worker::to_backend(Work& w, flow::FlowId id) {
  flow::Record& r = table_.at(id);
  const BackendEntry& backend = snapshot_->backends[r.backend];
  Drop why = Drop::no_route;
  const uint16_t hop = backend_hop(r.backend, why);
  if (hop == Neighbors::kNone) return drop(w.m, why);
  if (!fits(w, hop)) return;
  wire::rewrite(w.bytes(), w.f, snapshot_->sources[r.source].address, r.source_port,
                backend.address, backend.port);
  set_length(w.m, w.f.end);
  BackendCounters& b = stats_.backends[r.backend];
  b.packets_in.add();
  b.bytes_in.add(w.f.end);
  ServiceCounters& s = stats_.services[r.service];
  s.packets_in.add();
  s.bytes_in.add(w.f.end);
  const bool stale_possible = (r.flags & flow::early_reuse) != 0 || hold_all_syns_;
  if (r.state == tcp::Track::syn_sent && stale_possible && opens(w.f)) hold_syn(id, w.m);
  send_by(hop, w.m, false);
}

void Worker::to_client(Work& w, flow::FlowId id) {
  flow::Record& r = table_.at(id);
  const ServiceEntry& service = snapshot_->services[r.service];
  Drop why = Drop::no_route;
  const uint16_t hop = client_hop(r, why);
  if (hop == Neighbors::kNone) return drop(w.m, why);
  if (!fits(w, hop)) return;
  wire::rewrite(w.bytes(), w.f, service.vip, service.port, r.client, r.client_port);
  set_length(w.m, w.f.end);
  BackendCounters& b = stats_.backends[r.backend];
  b.packets_out.add();
  b.bytes_out.add(w.f.end);
  ServiceCounters& s = stats_.services[r.service];
  s.packets_out.add();
  s.bytes_out.add(w.f.end);
  send_by(hop, w.m, false);
}

// True when the frame has ended, as its hops ran out here. Asked before anything is made of it:
// what its receiver never sees must not move what we know of the connection.
bool Worker::expired(Work& w) {
  if (w.f.ttl > 1) return false;
  drop(w.m,
       send_icmp(w, wire::IcmpError::hop_limit_exceeded, w.f.destination, 0, Drop::ip_ttl_expired));
  return true;
}

// False when the frame has ended: the port it leaves by has a smaller MTU and the sender was told
// so (RFC 1191, RFC 8201).
bool Worker::fits(Work& w, uint16_t hop) {
  const uint16_t mtu = mtu_of(hop);
  if (w.f.end - w.f.l3 <= mtu) return true;
  too_big(w, mtu);
  return false;
}

void Worker::too_big(Work& w, uint32_t mtu) {
  drop(w.m,
       send_icmp(w, wire::IcmpError::packet_too_big, w.f.destination, mtu, Drop::mtu_exceeded));
}

// The backend still has the previous connection of this port: it answers our SYN with the ACK of
// that one. A reset at exactly that number ends it (RFC 9293, 3.10.7.3), then the SYN goes again.
void Worker::answer_stale(Work& w, flow::FlowId id) {
  const flow::Record& r = table_.at(id);
  n_.stale_answered.add();
  send_reset({.source = w.f.destination,
              .destination = w.f.source,
              .source_port = w.f.destination_port,
              .destination_port = w.f.source_port,
              .sequence = wire::tcp_acknowledgment(w.bytes(), w.f),
              .acknowledgment = std::nullopt});
  Drop why = Drop::no_route;
  const uint16_t hop = backend_hop(r.backend, why);
  if (const rte_mbuf* syn = held_syn(id); syn != nullptr && hop != Neighbors::kNone) {
    rte_mbuf* again = rte_pktmbuf_copy(syn, pool_, 0, UINT32_MAX);
    if (again != nullptr)
      send_by(hop, again, true);
    else
      n_.originated_lost.add();
    // A backend that goes on like this must not keep us busy: so often for each SYN of the client.
    if (spend_syn(id)) drop_syn(id);
  }
  consume(w.m);
}

}  // namespace limpet::dataplane
