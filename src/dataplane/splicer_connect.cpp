// From the client's head to a backend that answers: choice, handshake, the next backend, and what
// limpet itself says when there is none.
#include <netinet/in.h>

#include <algorithm>

#include "limpet/affinity/choose.h"
#include "splicer.h"

namespace limpet::dataplane {
namespace {

constexpr Duration kFirstSyn = std::chrono::milliseconds(200);
constexpr Duration kMaxSyn = std::chrono::seconds(3);
constexpr uint8_t kStaleResets = 3;
// A bound client's tries of its backend begin so long behind each other.
constexpr Duration kRetry = std::chrono::seconds(1);
// Backends for which there is no source port, passed over for one connection at a time: in a pool
// of thousands a worker whose ports have run out would look for milliseconds, at every request.
constexpr unsigned kMostWithoutPort = 64;

// Whether his backend is the client's own: he has been there, and may have left something.
constexpr bool bound_by(affinity::Reason reason) {
  return reason == affinity::Reason::cookie || reason == affinity::Reason::cookie_draining ||
         reason == affinity::Reason::source_pinned;
}

}  // namespace

void Worker::Splicer::collect(Worker::Work& w, flow::FlowId id, const tcp::SegmentIn& in) {
  flow::Record& r = w_.table_.at(id);
  tcp::SpliceFlow& f = flows_[id];
  if ((in.flags & wire::tcp_flag::rst) != 0) {
    if (!splice_.believed(f, in)) return w_.drop(w.m, Drop::outside_window);
    w_.consume(w.m);
    if ((r.flags & flow::unbound) == 0) disconnect(id);
    not_served(id, affinity::Reason::client_gone);
    return w_.end_flow(id);
  }
  r.last_seen = r.state == tcp::Track::head ? r.last_seen : w_.tick_;
  const bool complete = splice_.collect(f, in, w_.now_);
  w_.consume(w.m);
  if (complete) return collected(id);
  if (r.state != tcp::Track::head) return;
  const Session* s = session_of(id);
  const tcp::Hold& hold = binding_of(id).splice.hold[tcp::index_of(tcp::Side::client)];
  const bool too_long = hold.size() >= head_limit(id);
  const bool refused = s != nullptr && (s->refused != http::Refusal::none || s->broken);
  if (!refused && !too_long && !hold.has_fin()) return;
  if (!refused)
    w_.stats_.services[r.service]
        .refused[dataplane::refused(too_long ? Refused::head_too_long : Refused::head_unfinished)]
        .add();
  refuse_head(id);
}

// That of the rules by which it is being read.
uint32_t Worker::Splicer::head_limit(flow::FlowId id) {
  const Session* s = session_of(id);
  if (s != nullptr && s->reading != 0) return context(id).by(s->reading).rules->settings.head_bytes;
  const SpliceEntry* entry = entry_of(w_.table_.at(id));
  return entry == nullptr ? UINT32_MAX : entry->head_bytes;
}

void Worker::Splicer::refuse_head(flow::FlowId id) {
  if (const Session* s = session_of(id); s != nullptr && s->starved) {
    w_.n_.splice_no_memory.add();
    not_served(id, affinity::Reason::no_memory);
    const SpliceEntry* entry = entry_of(w_.table_.at(id));
    return answer(id, entry == nullptr ? std::string() : entry->unavailable);
  }
  w_.n_.splice_bad_heads.add();
  not_served(id, affinity::Reason::bad_request);
  const SpliceEntry* entry = entry_of(w_.table_.at(id));
  answer(id, entry == nullptr ? std::string() : entry->bad_request);
}

// A connection that no backend gets, and why.
void Worker::Splicer::not_served(flow::FlowId id, affinity::Reason reason) {
  flow::Record& r = w_.table_.at(id);
  const auto why = static_cast<uint8_t>(reason);
  w_.table_.aside(id).reason = why;
  w_.stats_.services[r.service].reasons[why].add();
  note_session(id);
}

void Worker::Splicer::collected(flow::FlowId id) {
  // A stream that ended within its head is open too, but there is no request in it.
  if (const Session* s = session_of(id); s == nullptr || !s->begun || s->broken)
    return refuse_head(id);
  choose(id, false);
}

void Worker::Splicer::choose(flow::FlowId id, bool moved) {
  flow::Record& r = w_.table_.at(id);
  const ServiceEntry& service = w_.snapshot_->services[r.service];
  Binding& b = binding_of(id);
  if (service.configured) {
    const PoolEntry& pool = w_.snapshot_->pools[service.pool];
    for (unsigned without_port = 0; without_port < kMostWithoutPort; ++without_port) {
      const affinity::Choice choice = pick(id);
      if (choice.member == balance::Maglev::kNone) break;
      const uint16_t backend = pool.members[choice.member];
      const SpliceEntry* entry = entry_of(r);
      b.entry = choice.entry;
      b.raced = choice.raced;
      b.retries_left = entry != nullptr && bound_by(choice.reason) ? entry->retries : 0;
      w_.table_.aside(id).reason = static_cast<uint8_t>(choice.reason);
      if (!connect(id, backend, without_port == 0)) {
        pool_.note_tried(flows_[id].work, backend);
        continue;
      }
      // As in mode nat: another backend was the client's first choice.
      if (moved || b.tried_count > 0 || redirected(choice.reason))
        w_.stats_.backends[backend].redispatched.add();
      return;
    }
  }
  nobody(id);
}

// By the service's persistence list, among the backends that were not tried.
affinity::Choice Worker::Splicer::pick(flow::FlowId id) {
  const flow::Record& r = w_.table_.at(id);
  const ServiceEntry& service = w_.snapshot_->services[r.service];
  const PoolEntry& pool = w_.snapshot_->pools[service.pool];
  const SessionContext c = context(id);
  const Session& s = *session_of(id);
  const RulesInUse by = c.by(s.asked[0].rules);
  const affinity::Policy& policy = by.kept == nullptr ? service.policy : by.kept->policy;
  const auto untried = [&](uint16_t member) {
    return !pool_.was_tried(flows_[id].work, pool.members[member]);
  };
  const auto fresh = [&](uint16_t member) {
    return w_.status_[pool.members[member]].accepts_new() && untried(member);
  };
  const auto existing = [&](uint16_t member) {
    return w_.status_[pool.members[member]].accepts_existing() && untried(member);
  };
  // Of those that were tried, or are gone since the head was read, the ones that a cookie names.
  std::array<uint16_t, kMaxCookieRules> tried;
  size_t count = 0;
  for (const affinity::RequestDecision& d : s.asked[0].cookies)
    if (d.member < kMaxBackends &&
        (pool_.was_tried(flows_[id].work, d.member) || !w_.status_[d.member].accepts_existing()))
      tried[count++] = d.member;
  std::array<affinity::CookieOutcome, kMaxCookieRules> said;
  std::array<std::optional<uint64_t>, kMaxHeaderRules> keyed;
  const affinity::Client client{r.client,
                                r.client_port,
                                {said.data(), outcomes(s, c, {tried.data(), count}, said)},
                                {keyed.data(), keys(s, c, keyed)}};
  affinity::StickHandle& pin = binding_of(id).pin;
  pin = {};
  affinity::Choice choice;
  if (by.table == nullptr) {
    choice = affinity::choose(policy, client, pool.maglev, pool.scheduler(w_.id_), fresh);
  } else {
    affinity::Pins pins{*by.table, pool.ids, existing, w_.now_};
    choice = affinity::choose(policy, client, pool.maglev, pool.scheduler(w_.id_), fresh, pins);
    pin = pins.used;
  }
  if (choice.member == balance::Maglev::kNone) return choice;
  // A learned session whose backend is gone moves as a whole: whoever is first decides.
  for (size_t i = 0; by.known && i < by.rules->cookies.size(); ++i) {
    const affinity::LearnedRequest& known = s.learned[i];
    if (!known.known || by.table == nullptr) continue;
    // The application's session counts for more than the address.
    affinity::StickHandle handle = known.handle;
    if (said[i].member == choice.member) {
      pin = handle;
      continue;
    }
    const uint16_t now =
        affinity::move_learned(c.ids, *by.table, known, choice.member, w_.now_, handle);
    if (handle.present()) pin = handle;
    if (now != choice.member && now != balance::Maglev::kNone && existing(now)) choice.member = now;
  }
  return choice;
}

// Nobody is left who could answer.
void Worker::Splicer::nobody(flow::FlowId id) {
  flow::Record& r = w_.table_.at(id);
  w_.stats_.services[r.service].no_backend.add();
  const Session* s = session_of(id);
  const bool asked = s != nullptr && s->begun;
  if (asked) count_first(*s, context(id), balance::Maglev::kNone);
  not_served(id, affinity::Reason::no_backend);
  const SpliceEntry* entry = entry_of(r);
  answer(id, entry == nullptr ? std::string_view() : answer_to(s, entry->unavailable));
}

// What answers HEAD ends with its head, whatever length that tells (RFC 9110, 9.3.2).
std::string_view Worker::Splicer::answer_to(const Session* s, std::string_view text) {
  const bool is_head = s != nullptr && s->begun && s->front().method == http::Method::head;
  return is_head ? text.substr(0, std::min(text.size(), text.find("\r\n\r\n") + 4)) : text;
}

// False when no source port is left towards it. `make_room`: not even when a connection of it that
// has ended is forgotten; one under way is not, as its client's octets are acknowledged.
bool Worker::Splicer::connect(flow::FlowId id, uint16_t backend, bool make_room) {
  flow::Record& r = w_.table_.at(id);
  r.backend = backend;
  r.backend_generation = w_.snapshot_->backends[backend].generation;
  if (make_room) w_.room_for_port(backend, Give::ended);
  if (!w_.take_source(backend, r)) return false;
  if (!w_.table_.bind(id)) {
    w_.give_source(r);
    return false;
  }
  BackendCounters& c = w_.stats_.backends[backend];
  c.connections_total.add();
  c.connections_active.add();
  r.last_seen = w_.tick_;
  w_.enter(id, tcp::Track::connecting);
  attempt(id);
  return true;
}

void Worker::Splicer::attempt(flow::FlowId id) {
  const flow::Record& r = w_.table_.at(id);
  Binding& b = binding_of(id);
  b.syn_wait = kFirstSyn;
  b.stale_left = kStaleResets;
  b.tried_at = w_.now_;
  b.give_up = w_.now_ + tick_duration(w_.snapshot_->services[r.service].timeouts.connect);
  send_syn(id);
}

// A try of a backend has failed. Whoever is bound to it comes again, a second after he came last,
// as a backend that restarts is back soon and a lost SYN is no death; with his port, so that an
// answer to an earlier SYN is as good. A try that has taken longer than that is followed at once.
void Worker::Splicer::failed(flow::FlowId id) {
  current_ = id;
  const flow::Record& r = w_.table_.at(id);
  Binding& b = binding_of(id);
  const uint32_t work = flows_[id].work;
  if (b.retries_left == 0 || !pool_.wait_for(work, r.backend)) {
    pool_.note_tried(work, r.backend);
    return redispatch(id);
  }
  --b.retries_left;
  w_.stats_.backends[r.backend].connect_failures.add();
  w_.n_.splice_retried.add();
  b.tried_at = b.syn_at = std::max(b.tried_at + kRetry, w_.now_);
  b.give_up = b.syn_at + tick_duration(w_.snapshot_->services[r.service].timeouts.connect);
  b.syn_wait = kFirstSyn;
  pool_.due(work, b.syn_at);
}

void Worker::Splicer::send_syn(flow::FlowId id) {
  Binding& b = binding_of(id);
  // What it sends comes in by one port and leaves by the other: whole, if both take it.
  const uint32_t mss = std::min(most(tcp::Side::backend), most(tcp::Side::client));
  emit(tcp::Side::backend, tcp::backend_syn(splice_, flows_[id], static_cast<uint16_t>(mss)));
  b.syn_at = w_.now_ + b.syn_wait;
  b.syn_wait = std::min<Duration>(b.syn_wait * 2, kMaxSyn);
  pool_.due(flows_[id].work, std::min(b.syn_at, b.give_up));
}

// Lets go of the backend that was tried; a SYN-ACK that comes later is reset as that of no flow.
void Worker::Splicer::disconnect(flow::FlowId id) {
  flow::Record& r = w_.table_.at(id);
  BackendCounters& c = w_.stats_.backends[r.backend];
  w_.table_.unbind(id);
  w_.give_source(r);
  c.connections_active.sub();
  if (flows_[id].work == tcp::kNoWork) return;
  binding_of(id).syn_at = {};
  pool_.stop_waiting(flows_[id].work);
}

void Worker::Splicer::redispatch(flow::FlowId id) {
  current_ = id;
  flow::Record& r = w_.table_.at(id);
  w_.stats_.backends[r.backend].connect_failures.add();
  disconnect(id);
  const SpliceEntry* entry = entry_of(r);
  if (entry != nullptr && entry->redispatch) {
    w_.n_.splice_redispatched.add();
    return choose(id, true);
  }
  nobody(id);
}

void Worker::Splicer::connecting(Worker::Work& w, flow::FlowId id, const tcp::SegmentIn& in) {
  flow::Record& r = w_.table_.at(id);
  Binding& b = binding_of(id);
  const uint8_t chose = b.entry;
  const bool raced = b.raced;
  const affinity::StickHandle pin = b.pin;
  const bool fin = b.splice.hold[tcp::index_of(tcp::Side::client)].has_fin();
  switch (tcp::on_connecting(splice_, flows_[id], in, w_.now_)) {
    case tcp::Connecting::connected:
      w_.consume(w.m);
      r.last_seen = w_.tick_;
      // The hold may have drained at once, and the binding with it.
      if (const uint32_t work = flows_[id].work; work != tcp::kNoWork) {
        b.syn_at = {};
        pool_.stop_waiting(work);
      }
      // The first request may be whole with its head, which tells even where nobody follows.
      if (const Session* s = session_of(id); s != nullptr)
        flow::set_wait(r, s->whole ? flow::Wait::response : flow::Wait::other);
      w_.enter(id, fin ? tcp::Track::fin_client : tcp::Track::established);
      w_.stats_.services[r.service].reasons[w_.table_.aside(id).reason].add();
      if (const Session* s = session_of(id); s != nullptr) {
        const SessionContext c = context(id);
        count_first(*s, c, c.member);
        if (const RulesInUse by = c.by(s->asked[0].rules);
            chose != affinity::Choice::kNoEntry && by.known && by.counts(chose)) {
          c.counters[chose].decided.add();
          if (raced) c.counters[chose].first_pin_races.add();
        }
      }
      go_by(id, pin);
      note_session(id);
      follow_up(id, true);
      return watch(id, false);
    case tcp::Connecting::refused:
      w_.consume(w.m);
      if (w_.now_ < b.tried_at) return;  // of a try that has failed already
      return failed(id);
    case tcp::Connecting::stale:
      if (b.stale_left == 0) return w_.drop(w.m, Drop::no_flow);
      --b.stale_left;
      w_.n_.stale_answered.add();
      w_.send_reset({.source = w.f.destination,
                     .destination = w.f.source,
                     .source_port = w.f.destination_port,
                     .destination_port = w.f.source_port,
                     .sequence = in.ack.value,
                     .acknowledgment = std::nullopt});
      w_.consume(w.m);
      return send_syn(id);
    case tcp::Connecting::ignored:
      return w_.drop(w.m, Drop::no_flow);
  }
}

// limpet plays the backend: these bytes and a FIN. Without bytes, or without memory, a reset.
void Worker::Splicer::answer(flow::FlowId id, std::string_view text) {
  current_ = id;
  if (!say_last(id, text)) {
    reset_client(id);
    return w_.end_flow(id);
  }
  let_go_of_rules(id);
  w_.enter(id, tcp::Track::answering);
}

bool Worker::Splicer::say_last(flow::FlowId id, std::string_view text) {
  const std::span<const uint8_t> bytes{reinterpret_cast<const uint8_t*>(text.data()), text.size()};
  flow::Record& r = w_.table_.at(id);
  // A client that has closed, and whose backend has said so, will not say it again.
  const tcp::StreamMap& up = flows_[id].map[tcp::index_of(tcp::Side::client)];
  const bool closed = r.state == tcp::Track::fin_client && up.ack() == up.emitted();
  if (text.empty() || !splice_.answer(flows_[id], bytes, closed, w_.now_)) return false;
  binding_of(id).head_by = {};
  w_.n_.splice_answers.add();
  r.last_seen = w_.tick_;
  return true;
}

void Worker::Splicer::answered(Worker::Work& w, flow::FlowId id, const tcp::SegmentIn& in) {
  flow::Record& r = w_.table_.at(id);
  if ((in.flags & wire::tcp_flag::rst) != 0) {
    if (!splice_.believed(flows_[id], in)) return w_.drop(w.m, Drop::outside_window);
    w_.consume(w.m);
    return w_.end_flow(id);
  }
  // The time for it does not begin anew, or one octet now and then would keep the connection.
  const bool over = splice_.answered(flows_[id], in, w_.now_);
  w_.consume(w.m);
  if (over && r.state == tcp::Track::answering) w_.enter(id, tcp::Track::time_wait);
}

// Hops and marks of the side in whose place it is said.
void Worker::Splicer::mark(flow::FlowId id, tcp::Side from, wire::Reset& reset) const {
  tcp::SegmentOut as;
  flows_[id].mark(from, as);
  reset.ttl = as.ttl;
  reset.traffic_class = as.traffic_class;
}

void Worker::Splicer::reset_client(flow::FlowId id) {
  const flow::Record& r = w_.table_.at(id);
  const ServiceEntry& service = w_.snapshot_->services[r.service];
  wire::Reset reset{.source = service.vip,
                    .destination = r.client,
                    .source_port = service.port,
                    .destination_port = r.client_port,
                    .sequence = splice_.exact(flows_[id], tcp::Side::client).value,
                    .acknowledgment = std::nullopt};
  mark(id, tcp::Side::backend, reset);
  w_.send_reset(reset);
}

// A backend that has not answered yet has nothing to lose: what it says later is reset. One that
// has closed needs none.
void Worker::Splicer::reset_backend(flow::FlowId id) {
  const flow::Record& r = w_.table_.at(id);
  if (r.state != tcp::Track::established && r.state != tcp::Track::fin_client &&
      r.state != tcp::Track::fin_backend)
    return;
  const BackendEntry& backend = w_.snapshot_->backends[r.backend];
  wire::Reset reset{.source = w_.snapshot_->sources[r.source].address,
                    .destination = backend.address,
                    .source_port = r.source_port,
                    .destination_port = backend.port,
                    .sequence = splice_.exact(flows_[id], tcp::Side::backend).value,
                    .acknowledgment = std::nullopt};
  mark(id, tcp::Side::client, reset);
  w_.send_reset(reset);
}

}  // namespace limpet::dataplane
