// Flows of a worker from their first packet to their last: places, source ports, time-outs, and
// flows whose backend is gone.
#include "flow_book.h"

#include <netinet/in.h>

#include <algorithm>
#include <array>

namespace limpet::dataplane {
namespace {

constexpr unsigned kExpiryBudget = 256;  // due flows per iteration
constexpr unsigned kFlushBudget = 4096;  // records per iteration when a backend has died
// Source addresses that are asked for a rested port, for one connection: where none has any, as at
// a high rate, looking at dozens would cost more than all else of a new flow.
constexpr size_t kRestedLooks = 8;

// Whether two hosts may be waiting for something in this state.
constexpr bool stands(tcp::Track state) {
  return state == tcp::Track::established || state == tcp::Track::fin_client ||
         state == tcp::Track::fin_backend;
}

}  // namespace

void name_flow(const flow::Record& r, LogRecord& out) {
  out.client = r.client;
  out.client_port = r.client_port;
  out.service = r.service;
  out.forwarding = flow::forwarding_of(r);
  out.protocol = r.protocol;
  if (!r.bound) return;
  out.source = r.source;
  out.source_port = r.source_port;
  out.backend = r.backend;
  out.backend_generation = r.backend_generation;
}

FlowBook::FlowBook(Core& core, Outlet& outlet, const WorkerSetup& setup)
    : core_(core),
      outlet_(outlet),
      table_(setup.flows, setup.secret, setup.shared->endpoints),
      wheel_(table_, core.tick),
      source_turn_(kMaxBackends),
      dead_(kMaxBackends),
      crowded_(kMaxBackends),
      ports_read_(core.tick) {}

flow::FlowId FlowBook::begin(const Packet& p, Forwarding way, tcp::Track state) {
  room_for_flow();
  flow::FlowId id = table_.allocate();
  if (id == flow::kNoFlow && evict()) id = table_.allocate();
  if (id == flow::kNoFlow) return id;
  flow::Record& r = table_.at(id);
  r.client = p.f.source;
  r.client_port = p.f.source_port;
  r.service = p.service;
  r.state = state;
  r.bound = false;
  flow::set_forwarding(r, way);
  r.last_seen = core_.tick;
  table_.aside(id).created = core_.tick;
  return id;
}

bool FlowBook::add(flow::FlowId id, const Packet& p) {
  flow::Record& r = table_.at(id);
  r.protocol = p.f.protocol;  // only now: a record being built is no victim
  if (!table_.insert(id)) return false;
  wheel_.arm(id, core_.tick + timeout_of(r));
  ServiceCounters& s = core_.services[r.service];
  s.connections_total.add();
  s.connections_active.add();
  core_.n.flows_created.add();
  outlet_.know_client(p);
  return true;
}

bool FlowBook::take_backend(flow::FlowId id, uint16_t backend, Give give) {
  flow::Record& r = table_.at(id);
  r.backend = backend;
  r.backend_generation = core_.snapshot->backends[backend].generation;
  if (give != Give::nothing) room_for_port(backend, give);
  return take_source(backend, r);
}

void FlowBook::count_bound(const flow::Record& r) {
  BackendCounters& b = core_.backends[r.backend];
  b.connections_total.add();
  b.connections_active.add();
}

// Source addresses take turns, those first that have a port which the backend has forgotten.
bool FlowBook::take_source(uint16_t backend, flow::Record& r) {
  return take_source(backend, true, r) || take_source(backend, false, r);
}

bool FlowBook::take_source(uint16_t backend, bool rested, flow::Record& r) {
  const std::vector<PoolSource>& sources = core_.snapshot->backends[backend].sources;
  const size_t looks = rested ? std::min(sources.size(), kRestedLooks) : sources.size();
  for (size_t i = 0; i < looks; ++i) {
    const PoolSource& source = sources[(source_turn_[backend] + i) % sources.size()];
    flow::SourcePorts* ports = source.ports[core_.id];
    if (ports == nullptr || source.retired || (rested && !ports->rested(core_.tick))) continue;
    const auto grant = ports->take(core_.tick);
    if (!grant) continue;
    r.source = source.source;
    r.source_port = grant->port;
    if (grant->early) {
      r.early_reuse = true;
      core_.n.port_early_reuse.add();
    }
    ++source_turn_[backend];
    return true;
  }
  return false;
}

void FlowBook::give_source(const flow::Record& r) {
  for (const PoolSource& source : core_.snapshot->backends[r.backend].sources) {
    flow::SourcePorts* ports = source.ports[core_.id];
    if (source.source == r.source && ports != nullptr && ports->in_range(r.source_port))
      return ports->give(r.source_port, core_.tick);
  }
}

void FlowBook::unbind(flow::FlowId id) {
  const flow::Record& r = table_.at(id);
  table_.unbind(id);
  give_source(r);
  core_.backends[r.backend].connections_active.sub();
}

Tick FlowBook::timeout_of(const flow::Record& r) const {
  return dataplane::timeout_of(r, core_.snapshot->services[r.service].timeouts);
}

void FlowBook::enter(flow::FlowId id, tcp::Track state) {
  flow::Record& r = table_.at(id);
  r.state = state;
  wheel_.arm(id, core_.tick + timeout_of(r));
}

// Packets stamp last_seen only, so a record that comes due may have been busy meanwhile.
void FlowBook::on_due(flow::FlowId id) {
  const flow::Record& r = table_.at(id);
  const Tick deadline = r.last_seen + timeout_of(r);
  if (tick_before(core_.tick, deadline)) return wheel_.arm(id, deadline);
  if (stands(r.state) && core_.snapshot->services[r.service].timeouts.tells) {
    // No buffers, or enough for this iteration.
    if (!tell_ends(id)) return wheel_.arm(id, core_.tick);
    return core_.n.flows_expired.add();
  }
  if (keeper_of(id).due(id)) return;
  if (r.state != tcp::Track::dead) core_.n.flows_expired.add();
  end(id);
}

// What limpet forgets it ends: both hosts of a connection that stands hear of it, at the exact
// numbers, and a tombstone stays. So many an iteration, or a transmit queue that is full would lose
// the resets. False: nothing has changed, and it is to be tried again.
bool FlowBook::tell_ends(flow::FlowId id) {
  if (gone_left_ == 0 || !keeper_of(id).expired(id)) return false;
  --gone_left_;
  return true;
}

void FlowBook::end(flow::FlowId id) {
  const flow::Record& r = table_.at(id);
  const bool bound = r.bound;
  if (bound) give_source(r);
  keeper_of(id).ended(id);
  const uint16_t backend = r.backend;
  const uint16_t service = r.service;
  wheel_.cancel(id);
  table_.erase(id);
  // Last: with no flow left, control gives the slot to another endpoint.
  if (bound) core_.backends[backend].connections_active.sub();
  core_.services[service].connections_active.sub();
}

// Of a full table. Ended flows first, then half-open ones (a SYN flood evicts itself); established
// flows never.
bool FlowBook::evict() {
  const flow::FlowId victim = table_.victim(core_.random(), core_.tick);
  if (victim == flow::kNoFlow) return false;
  core_.n.flows_evicted.add();
  end(victim);
  return true;
}

Drop FlowBook::epitaph(const flow::Record& r) const {
  return core_.status[r.backend].accepts_existing() ? Drop::no_flow : Drop::backend_down;
}

wire::Reset FlowBook::reset_to(tcp::Side to, const flow::Record& r, tcp::Seq sequence) const {
  const Way way = towards(to, r);
  return {.source = way.source,
          .destination = way.destination,
          .source_port = way.source_port,
          .destination_port = way.destination_port,
          .sequence = sequence.value,
          .acknowledgment = std::nullopt};
}

// Where an end was sent more than it has acknowledged, behind that too: when its last ACK was lost
// the first reset lies before what the receiver expects and says nothing to it (RFC 9293,
// 3.10.7.4), when octets were lost the second one is challenged, which the tombstone answers.
bool FlowBook::reset_both(flow::FlowId id, Marks to_client, Marks to_backend) {
  const flow::Record& r = table_.at(id);
  std::array<rte_mbuf*, 4> frames;
  std::array<wire::Reset, 4> resets;
  unsigned count = 0;
  for (const tcp::Side to : {tcp::Side::client, tcp::Side::backend}) {
    const Marks marks = to == tcp::Side::client ? to_client : to_backend;
    const tcp::Seq ack = r.bounds.ack[tcp::index_of(to)];
    const tcp::Seq sent = r.bounds.end[tcp::index_of(tcp::other(to))];
    wire::Reset reset = reset_to(to, r, ack);
    reset.ttl = marks.ttl;
    reset.traffic_class = marks.traffic_class;
    resets[count++] = reset;
    if (sent > ack) {
      reset.sequence = sent.value;
      resets[count++] = reset;
    }
  }
  if (rte_pktmbuf_alloc_bulk(core_.pool, frames.data(), count) != 0) return false;
  for (unsigned i = 0; i < count; ++i) outlet_.send_reset(frames[i], resets[i]);
  core_.n.flows_reset.add();
  table_.at(id).last_seen = core_.tick;
  enter(id, tcp::Track::dead);
  return true;
}

bool FlowBook::stranded(const flow::Record& r) const {
  return r.state == tcp::Track::datagram && (!core_.snapshot->backends[r.backend].configured ||
                                             !core_.snapshot->services[r.service].configured);
}

bool FlowBook::flows_of_removed() const {
  const Snapshot& s = *core_.snapshot;
  for (size_t i = 0; i < s.backends.size(); ++i)
    if (!s.backends[i].configured && core_.backends[i].connections_active.get() != 0) return true;
  for (size_t i = 0; i < s.services.size(); ++i)
    if (!s.services[i].configured && core_.services[i].connections_active.get() != 0) return true;
  return false;
}

// Looks at `budget` records at most and ends few flows at a time: resets that find the transmit
// queue full would be lost, and a client that is silent would never hear.
void FlowBook::flush_dead(unsigned budget) {
  for (unsigned i = 0; i < budget && flush_left_ != 0 && gone_left_ != 0; ++i) {
    const flow::FlowId id = flush_cursor_;
    if (table_.live(id) && table_.at(id).bound &&
        (dead_[table_.at(id).backend] != 0 || stranded(table_.at(id)))) {
      if (!must_end(id, Ending::backend_down)) return;  // no buffers: from here on next time
      --gone_left_;
    }
    flush_cursor_ = flush_cursor_ + 1 == table_.capacity() ? 0 : flush_cursor_ + 1;
    --flush_left_;
  }
}

void FlowBook::adopt() {
  // Datagrams have no end that could be waited for: their flows leave what was removed at once.
  if (flows_of_removed()) flush_left_ = table_.capacity();
}

void FlowBook::forget_backend(uint16_t slot) {
  dead_[slot] = 0;
}

void FlowBook::backend_state(uint16_t slot, balance::BackendStatus status) {
  dead_[slot] = status.accepts_existing() ? 0 : 1;
  if (dead_[slot] != 0) flush_left_ = table_.capacity();  // one full round from here on
}

void FlowBook::tick() {
  wheel_.advance(core_.tick, kExpiryBudget, [this](flow::FlowId id) { on_due(id); });
}

void FlowBook::tick_gone() {
  if (flush_left_ != 0) flush_dead(kFlushBudget);
  if (core_.snapshot != nullptr) empty_crowds();
}

void FlowBook::gauges() {
  core_.n.flows_used.set(table_.used());
}

}  // namespace limpet::dataplane
