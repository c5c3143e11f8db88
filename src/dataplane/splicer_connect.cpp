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

// Of who is not served; what a try of a backend has come to is known before (Splicer::nobody()).
constexpr Ending ending_of(affinity::Reason reason) {
  switch (reason) {
    case affinity::Reason::client_gone:
      return Ending::client_abort;
    case affinity::Reason::slow_request:
      return Ending::client_timeout;
    case affinity::Reason::bad_request:
      return Ending::refused;
    case affinity::Reason::no_memory:
      return Ending::no_memory;
    case affinity::Reason::response_timeout:
      return Ending::backend_timeout;
    default:
      return Ending::no_backend;
  }
}

}  // namespace

Ended Splicer::collect(Packet& p, flow::FlowId id, const tcp::SegmentIn& in) {
  flow::Record& r = book_.at(id);
  tcp::SpliceFlow& f = flows_[id];
  if ((in.flags & wire::tcp_flag::rst) != 0) {
    if (!splice_.believed(f, in)) return outlet_.drop(p, Drop::outside_window);
    const Ended ended = outlet_.consume(p);
    if (r.bound) disconnect(id);
    not_served(id, affinity::Reason::client_gone);
    book_.end(id);
    return ended;
  }
  r.last_seen = r.state == tcp::Track::head ? r.last_seen : core_.tick;
  const bool complete = splice_.collect(f, in, core_.now);
  const Ended ended = outlet_.consume(p);
  if (complete)
    collected(id);
  else if (r.state == tcp::Track::head)
    judge_head(id);
  return ended;
}

// Its head is not complete, and may never be.
void Splicer::judge_head(flow::FlowId id) {
  const Exchange* s = exchange_of(id);
  const tcp::Hold& hold = binding_of(id).splice.at(tcp::Side::client).hold;
  const bool too_long = hold.size() >= head_limit(id);
  const bool refused = s != nullptr && (s->refused != http::Refusal::none || s->broken);
  if (!refused && !too_long && !hold.has_fin()) return;
  if (!refused)
    core_.services[book_.at(id).service]
        .refused[dataplane::refused(too_long ? Refused::head_too_long : Refused::head_unfinished)]
        .add();
  refuse_head(id);
}

// That of the rules by which it is being read.
uint32_t Splicer::head_limit(flow::FlowId id) {
  const Exchange* s = exchange_of(id);
  if (s != nullptr && s->reading != 0) return context(id).by(s->reading).rules->settings.head_bytes;
  const SpliceEntry* entry = entry_of(book_.at(id));
  return entry == nullptr ? UINT32_MAX : entry->head_bytes;
}

void Splicer::refuse_head(flow::FlowId id) {
  if (const Exchange* s = exchange_of(id); s != nullptr && s->blame == Exchange::Blame::memory) {
    core_.n.splice_no_memory.add();
    not_served(id, affinity::Reason::no_memory);
    const SpliceEntry* entry = entry_of(book_.at(id));
    return answer(id, entry == nullptr ? std::string() : entry->unavailable);
  }
  core_.n.splice_bad_heads.add();
  not_served(id, affinity::Reason::bad_request);
  const SpliceEntry* entry = entry_of(book_.at(id));
  answer(id, entry == nullptr ? std::string() : entry->bad_request);
}

// A connection that no backend gets, and why.
void Splicer::not_served(flow::FlowId id, affinity::Reason reason) {
  flow::Record& r = book_.at(id);
  const auto why = static_cast<uint8_t>(reason);
  book_.aside(id).reason = why;
  core_.services[r.service].reasons[why].add();
  blame(id, ending_of(reason));
  note_session(id);
}

void Splicer::collected(flow::FlowId id) {
  // A stream that ended within its head is open too, but there is no request in it.
  if (const Exchange* s = exchange_of(id); s == nullptr || !s->begun() || s->broken)
    return refuse_head(id);
  choose(id, false);
}

void Splicer::choose(flow::FlowId id, bool moved) {
  flow::Record& r = book_.at(id);
  const ServiceEntry& service = core_.snapshot->services[r.service];
  Binding& b = binding_of(id);
  if (service.configured) {
    const PoolEntry& pool = core_.snapshot->pools[service.pool];
    for (unsigned without_port = 0; without_port < kMostWithoutPort; ++without_port) {
      const affinity::Choice choice = pick(id);
      if (choice.member == balance::Maglev::kNone) break;
      const uint16_t backend = pool.members[choice.member];
      const SpliceEntry* entry = entry_of(r);
      b.entry = choice.entry;
      b.raced = choice.raced;
      b.retries_left = entry != nullptr && bound_by(choice.reason) ? entry->retries : 0;
      book_.aside(id).reason = static_cast<uint8_t>(choice.reason);
      if (!connect(id, backend, without_port == 0)) {
        pool_.note_tried(flows_[id].binding, backend);
        continue;
      }
      // As in mode nat: another backend was the client's first choice.
      if (moved || b.tried_count > 0 || redirected(choice.reason))
        core_.backends[backend].redispatched.add();
      return;
    }
  }
  nobody(id);
}

// By the service's persistence list, among the backends that were not tried.
affinity::Choice Splicer::pick(flow::FlowId id) {
  const flow::Record& r = book_.at(id);
  const ServiceEntry& service = core_.snapshot->services[r.service];
  const PoolEntry& pool = core_.snapshot->pools[service.pool];
  const ExchangeContext c = context(id);
  const Exchange& s = *exchange_of(id);
  const RulesInUse by = c.by(s.asked[0].rules);
  const affinity::Policy& policy = by.kept == nullptr ? service.policy : by.kept->policy;
  const auto untried = [&](uint16_t member) {
    return !pool_.was_tried(flows_[id].binding, pool.members[member]);
  };
  const auto fresh = [&](uint16_t member) {
    return core_.status[pool.members[member]].accepts_new() && untried(member);
  };
  const auto existing = [&](uint16_t member) {
    return core_.status[pool.members[member]].accepts_existing() && untried(member);
  };
  // Of those that were tried, or are gone since the head was read, the ones that a cookie names.
  std::array<uint16_t, kMaxCookieRules> tried;
  size_t count = 0;
  for (const affinity::RequestDecision& d : s.asked[0].cookies)
    if (d.member < kMaxBackends && (pool_.was_tried(flows_[id].binding, d.member) ||
                                    !core_.status[d.member].accepts_existing()))
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
    choice = affinity::choose(policy, client, pool.maglev, pool.scheduler(core_.id), fresh);
  } else {
    affinity::Pins pins{*by.table, pool.ids, existing, core_.now};
    choice = affinity::choose(policy, client, pool.maglev, pool.scheduler(core_.id), fresh, pins);
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
        affinity::move_learned(c.ids, *by.table, known, choice.member, core_.now, handle);
    if (handle.present()) pin = handle;
    if (now != choice.member && now != balance::Maglev::kNone && existing(now)) choice.member = now;
  }
  return choice;
}

// Nobody is left who could answer.
void Splicer::nobody(flow::FlowId id) {
  flow::Record& r = book_.at(id);
  core_.services[r.service].no_backend.add();
  const Exchange* s = exchange_of(id);
  const bool asked = s != nullptr && s->begun();
  if (const Binding& b = binding_of(id); b.tried_at.ns != 0)  // not only passed over
    blame(id, b.silent ? Ending::connect_timeout : Ending::connect_failed);
  if (asked) count_first(*s, context(id), balance::Maglev::kNone);
  not_served(id, affinity::Reason::no_backend);
  const SpliceEntry* entry = entry_of(r);
  answer(id, entry == nullptr ? std::string_view() : answer_to(s, entry->unavailable));
}

// What answers HEAD ends with its head, whatever length that tells (RFC 9110, 9.3.2).
std::string_view Splicer::answer_to(const Exchange* s, std::string_view text) {
  const bool is_head = s != nullptr && s->begun() && s->front().method == http::Method::head;
  return is_head ? text.substr(0, std::min(text.size(), text.find("\r\n\r\n") + 4)) : text;
}

// False when no source port is left towards it. `make_room`: not even when a connection of it that
// has ended is forgotten; one under way is not, as its client's octets are acknowledged.
bool Splicer::connect(flow::FlowId id, uint16_t backend, bool make_room) {
  flow::Record& r = book_.at(id);
  if (!book_.take_backend(id, backend, make_room ? FlowBook::Give::ended : FlowBook::Give::nothing))
    return false;
  if (!book_.table().bind(id)) {
    book_.give_source(r);
    return false;
  }
  book_.count_bound(r);
  r.last_seen = core_.tick;
  book_.enter(id, tcp::Track::connecting);
  attempt(id);
  return true;
}

void Splicer::attempt(flow::FlowId id) {
  const flow::Record& r = book_.at(id);
  Binding& b = binding_of(id);
  b.syn_wait = kFirstSyn;
  b.stale_left = kStaleResets;
  b.tried_at = core_.now;
  b.give_up = core_.now + tick_duration(core_.snapshot->services[r.service].timeouts.connect);
  if (flows_[id].logged) transactions_.trying(id, b.entry);
  send_syn(id);
}

// A try of a backend has failed. Whoever is bound to it comes again, a second after he came last,
// as a backend that restarts is back soon and a lost SYN is no death; with his port, so that an
// answer to an earlier SYN is as good. A try that has taken longer than that is followed at once.
void Splicer::failed(flow::FlowId id, bool silent) {
  const flow::Record& r = book_.at(id);
  Binding& b = binding_of(id);
  b.silent = silent;
  const uint32_t binding = flows_[id].binding;
  if (b.retries_left == 0 || !pool_.wait_for(binding, r.backend)) {
    pool_.note_tried(binding, r.backend);
    return redispatch(id);
  }
  --b.retries_left;
  core_.backends[r.backend].connect_failures.add();
  core_.n.splice_retried.add();
  if (flows_[id].logged) transactions_.trying(id, b.entry);
  b.tried_at = b.syn_at = std::max(b.tried_at + kRetry, core_.now);
  b.give_up = b.syn_at + tick_duration(core_.snapshot->services[r.service].timeouts.connect);
  b.syn_wait = kFirstSyn;
  pool_.due(binding, b.syn_at);
}

void Splicer::send_syn(flow::FlowId id) {
  Binding& b = binding_of(id);
  // What it sends comes in by one port and leaves by the other: whole, if both take it.
  const uint32_t mss =
      std::min(most(flows_[id], tcp::Side::backend), most(flows_[id], tcp::Side::client));
  emit(flows_[id], tcp::Side::backend,
       tcp::backend_syn(splice_, flows_[id], static_cast<uint16_t>(mss)));
  b.syn_at = core_.now + b.syn_wait;
  b.syn_wait = std::min<Duration>(b.syn_wait * 2, kMaxSyn);
  pool_.due(flows_[id].binding, std::min(b.syn_at, b.give_up));
}

// Lets go of the backend that was tried; a SYN-ACK that comes later is reset as that of no flow.
void Splicer::disconnect(flow::FlowId id) {
  book_.unbind(id);
  if (flows_[id].binding == tcp::kNoBinding) return;
  binding_of(id).syn_at = {};
  pool_.stop_waiting(flows_[id].binding);
}

void Splicer::redispatch(flow::FlowId id) {
  flow::Record& r = book_.at(id);
  core_.backends[r.backend].connect_failures.add();
  disconnect(id);
  const SpliceEntry* entry = entry_of(r);
  if (entry != nullptr && entry->redispatch) {
    core_.n.splice_redispatched.add();
    return choose(id, true);
  }
  nobody(id);
}

Ended Splicer::connecting(Packet& p, flow::FlowId id, const tcp::SegmentIn& in) {
  // A hold that drains at once takes the binding with it.
  const Binding before = binding_of(id);
  const tcp::Connecting step = tcp::on_connecting(splice_, flows_[id], in, core_.now);
  if (step == tcp::Connecting::ignored ||
      (step == tcp::Connecting::stale && before.stale_left == 0))
    return outlet_.drop(p, Drop::no_flow);
  const Ended ended = outlet_.consume(p);
  switch (step) {
    case tcp::Connecting::connected:
      connected(id, before);
      break;
    case tcp::Connecting::refused:
      if (core_.now >= before.tried_at)
        failed(id, false);  // else: of a try that has failed already
      break;
    case tcp::Connecting::stale:
      --binding_of(id).stale_left;
      core_.n.stale_answered.add();
      outlet_.send_reset({.source = p.f.destination,
                          .destination = p.f.source,
                          .source_port = p.f.destination_port,
                          .destination_port = p.f.source_port,
                          .sequence = in.ack.value,
                          .acknowledgment = std::nullopt});
      send_syn(id);
      break;
    case tcp::Connecting::ignored:
      break;
  }
  return ended;
}

void Splicer::connected(flow::FlowId id, const Binding& chosen) {
  flow::Record& r = book_.at(id);
  const bool fin = chosen.splice.at(tcp::Side::client).hold.has_fin();
  r.last_seen = core_.tick;
  if (const uint32_t binding = flows_[id].binding; binding != tcp::kNoBinding) {
    pool_.at(binding).syn_at = {};
    pool_.stop_waiting(binding);
  }
  // The first request may be whole with its head, which tells even where nobody follows.
  if (const Exchange* s = exchange_of(id); s != nullptr)
    flow::set_wait(r,
                   s->first == Exchange::First::whole ? flow::Wait::response : flow::Wait::other);
  book_.enter(id, fin ? tcp::Track::fin_client : tcp::Track::established);
  core_.stats.times[r.backend].connect.add(core_.now - chosen.tried_at);
  if (flows_[id].logged) transactions_.connected(id);
  core_.services[r.service].reasons[book_.aside(id).reason].add();
  if (const Exchange* s = exchange_of(id); s != nullptr) {
    const ExchangeContext c = context(id);
    count_first(*s, c, c.member);
    if (const RulesInUse by = c.by(s->asked[0].rules);
        chosen.entry != affinity::Choice::kNoEntry && by.known && by.counts(chosen.entry)) {
      c.counters[chosen.entry].decided.add();
      if (chosen.raced) c.counters[chosen.entry].first_pin_races.add();
    }
  }
  go_by(id, chosen.pin);
  note_session(id);
  if (flows_[id].logged) log_moved(id);
  follow_up(id, true);
  watch(id, false);
}

// limpet plays the backend: these bytes and a FIN. Without bytes, or without memory, a reset.
void Splicer::answer(flow::FlowId id, std::string_view text) {
  if (!say_last(id, text)) {
    send_reset(id, tcp::Side::client);
    return book_.end(id);
  }
  let_go_of_rules(id);
  book_.enter(id, tcp::Track::answering);
}

bool Splicer::say_last(flow::FlowId id, std::string_view text) {
  const std::span<const uint8_t> bytes{reinterpret_cast<const uint8_t*>(text.data()), text.size()};
  flow::Record& r = book_.at(id);
  // A client that has closed, and whose backend has said so, will not say it again.
  const tcp::StreamMap& up = flows_[id].at(tcp::Side::client).map;
  const bool closed = r.state == tcp::Track::fin_client && up.ack() == up.emitted();
  if (text.empty() || !splice_.answer(flows_[id], bytes, closed, core_.now)) return false;
  binding_of(id).head_by = {};
  if (flows_[id].logged) log_answer(id, text);
  core_.n.splice_answers.add();
  r.last_seen = core_.tick;
  return true;
}

Ended Splicer::answered(Packet& p, flow::FlowId id, const tcp::SegmentIn& in) {
  flow::Record& r = book_.at(id);
  if ((in.flags & wire::tcp_flag::rst) != 0) {
    if (!splice_.believed(flows_[id], in)) return outlet_.drop(p, Drop::outside_window);
    const Ended ended = outlet_.consume(p);
    book_.end(id);
    return ended;
  }
  // The time for it does not begin anew, or one octet now and then would keep the connection.
  const bool over = splice_.answered(flows_[id], in, core_.now);
  const Ended ended = outlet_.consume(p);
  if (over && r.state == tcp::Track::answering) book_.enter(id, tcp::Track::time_wait);
  return ended;
}

// Hops and marks of what is said in the place of one end.
Marks Splicer::marks(flow::FlowId id, tcp::Side from) const {
  tcp::SegmentOut as;
  flows_[id].mark(from, as);
  return {as.ttl, as.traffic_class};
}

void Splicer::send_reset(flow::FlowId id, tcp::Side to) {
  const Marks as = marks(id, tcp::other(to));
  wire::Reset reset = book_.reset_to(to, book_.at(id), splice_.exact(flows_[id], to));
  reset.ttl = as.ttl;
  reset.traffic_class = as.traffic_class;
  outlet_.send_reset(reset);
}

// A backend that has not answered yet has nothing to lose: what it says later is reset. One that
// has closed needs none.
void Splicer::reset_backend(flow::FlowId id) {
  const tcp::Track state = book_.at(id).state;
  if (state == tcp::Track::established || state == tcp::Track::fin_client ||
      state == tcp::Track::fin_backend)
    send_reset(id, tcp::Side::backend);
}

}  // namespace limpet::dataplane
