// The HTTP of spliced flows: which exchange a stream belongs to, and what follows from what it saw.
#include <algorithm>
#include <utility>

#include "splicer.h"

namespace limpet::dataplane {

// Who hears of the requests of one connection while a stream of it is looked at.
class Splicer::Observer final : public RequestObserver {
 public:
  Observer(Splicer& splicer, flow::FlowId flow) : splicer_(splicer), flow_(flow) {}

  TransactionId begins(tcp::Seq first) override {
    tcp::SpliceFlow& f = splicer_.flows_[flow_];
    const TransactionId id = log().begin(flow_, f.logged, first);
    f.logged = f.logged || id != kNoTransaction;
    return id;
  }
  void asked(TransactionId id, std::string_view method, std::string_view target) override {
    log().asked(id, method, target);
  }
  void request_ends(TransactionId id, tcp::Seq end) override { log().request_ends(id, end); }
  void answered(TransactionId id, uint16_t status, tcp::Seq first, Instant first_octet) override {
    log().answered(id, status, first, first_octet);
  }
  void response_ends(TransactionId id, tcp::Seq end) override { log().response_ends(id, end); }
  void tunnels(TransactionId id) override { log().tunnels(id); }
  void blame(TransactionId id, Ending ending) override { log().blame(id, ending); }

 private:
  Transactions& log() { return splicer_.transactions_; }
  Splicer& splicer_;
  flow::FlowId flow_;
};

Exchange* Splicer::exchange_of(flow::FlowId id) {
  const uint32_t i = flows_[id].editor;
  return i == kNoExchange ? nullptr : &exchanges_.at(i);
}

void Splicer::give_exchange(flow::FlowId id) {
  tcp::SpliceFlow& f = flows_[id];
  if (f.editor == kNoExchange) return;
  let_go_of_rules(id);
  exchanges_.give(f.editor);
  f.editor = kNoExchange;
}

// No answer of its requests is to be edited any more.
void Splicer::let_go_of_rules(flow::FlowId id) {
  if (Exchange* s = exchange_of(id); s != nullptr) let_go(*s, core_.services[book_.at(id).service]);
}

// The connection goes by this stick entry from now on, or by none: while it does the entry does not
// expire. Its table is shared by all that the service has had since the start.
void Splicer::go_by(flow::FlowId id, affinity::StickHandle entry) {
  affinity::StickHandle& before = goes_by_[id];
  if (entry == before) return;
  const SpliceEntry* service = entry_of(book_.at(id));
  affinity::StickTable* table = service == nullptr ? nullptr : service->table.get();
  if (table != nullptr) {
    if (entry.present() && !table->hold(entry)) return;
    table->release(before, core_.now);
  }
  before = table == nullptr ? affinity::StickHandle{} : entry;
}

ExchangeContext Splicer::context(flow::FlowId id) {
  static const HttpRules kNone;
  static const affinity::BackendIds kNobody;
  const Snapshot& snapshot = *core_.snapshot;
  const flow::Record& r = book_.at(id);
  const ServiceEntry& service = snapshot.services[r.service];
  const bool bound = r.bound;
  uint16_t at = service.configured ? service.pool : kNoSlot;
  // What is left of a service that was removed has the pool of who serves it.
  if (at == kNoSlot && bound && snapshot.backends[r.backend].configured)
    at = snapshot.backends[r.backend].pool;
  const PoolEntry* pool = at == kNoSlot ? nullptr : &snapshot.pools[at];
  ExchangeContext c{
      .rules = service.splice == nullptr ? kNone : *service.splice->rules,
      .ids = pool == nullptr ? kNobody : pool->ids,
      .pool = at,
      .members = pool == nullptr ? std::span<const uint16_t>() : pool->members,
      .backends = snapshot.backends,
      .status = core_.status,
      .tools = core_.id < snapshot.tools.size() ? snapshot.tools[core_.id].get() : nullptr,
      .table = service.splice == nullptr ? nullptr : service.splice->table.get(),
      .counters = core_.stats.persistence[r.service],
      .worker = core_.n,
      .service = core_.services[r.service],
      .edits = edits_,
      .client = r.client,
      .vip = service.vip,
      .client_port = r.client_port,
      .vip_port = service.port,
      .member = balance::Maglev::kNone,
      .now = core_.now,
      .unix_now = unix_now_,
      .kept = service.kept,
      .maglev = pool == nullptr ? nullptr : &pool->maglev,
      .seed = service.policy.seed(),
      .down = &flows_[id].ends[1].map,
  };
  if (bound) {
    c.member = c.member_of(r.backend);
    c.times = &core_.stats.times[r.backend];
  }
  return c;
}

tcp::Shown Splicer::show(tcp::SpliceFlow& f, tcp::Side from, std::span<const uint8_t> bytes,
                         bool fin) {
  const flow::FlowId id = id_of(f);
  if (f.editor == kNoExchange) {
    f.editor = exchanges_.take();
    Exchange& s = exchanges_.at(f.editor);
    if (book_.at(id).state != tcp::Track::head) s.first = Exchange::First::answered;
  }
  Exchange& s = exchanges_.at(f.editor);
  ExchangeContext c = context(id);
  affinity::StickHandle entry;
  c.goes_by = &entry;
  Observer observer(*this, id);
  if (core_.snapshot->log.on || f.logged) c.observer = &observer;
  const tcp::Shown shown = from == tcp::Side::client
                               ? show_requests(s, f.ends[0].map, bytes, fin, c)
                               : show_responses(s, f.ends[1].map, bytes, fin, c);
  if (entry.present()) go_by(id, entry);
  return shown;
}

void Splicer::not_kept(tcp::SpliceFlow& f, tcp::Side from) {
  if (f.editor == kNoExchange) return;
  exchanges_.at(f.editor).not_kept(from);
}

// After the streams have been looked at: what one of them found may concern the other one.
void Splicer::follow_up(flow::FlowId id, bool moved) {
  Exchange* s = exchange_of(id);
  if (s == nullptr) return;
  tcp::SpliceFlow& f = flows_[id];
  // Whoever has acknowledged enough of his answers may ask again.
  if (s->pause == Exchange::Pause::reader && unread(f.ends[1].map, edits_) < kMostUnread) {
    s->pause = Exchange::Pause::none;
    s->call_up = true;
  }
  for (unsigned turns = 0; s->call_up && turns < Exchange::kMaxAsked; ++turns) {
    s->call_up = false;
    splice_.again(f, tcp::Side::client, core_.now);
  }
  if (s->broken && book_.at(id).state != tcp::Track::dead) {
    if (quiet(id) != Quiet::soon) return turn_away(id, false);
    Binding& b = binding_of(id);
    // While octets of the response come, its time goes on; what only repeats itself is none.
    if (b.head_by.ns == 0 || (moved && f.ends[1].map.una() < f.ends[1].map.frontier()))
      b.head_by = core_.now + head_time(id);
    return pool_.due(f.binding, b.head_by);
  }
  watch_head(id, *s);
  if (s->idle() || (f.ends[0].map.is_open() && f.ends[1].map.is_open())) give_exchange(id);
}

// The head of a later request has as much time as that of the first one, from its first octet on,
// or from when the backend had everything before it: a slow backend is not the client's fault.
void Splicer::watch_head(flow::FlowId id, const Exchange& s) {
  const tcp::SpliceFlow& f = flows_[id];
  if (f.binding == tcp::kNoBinding) return;
  Binding& b = pool_.at(f.binding);
  const tcp::Hold& held = b.splice.at(tcp::Side::client).hold;
  const tcp::Seq begin = f.ends[0].map.frontier();
  const bool partial = s.begun() && s.up == Exchange::Up::head &&
                       s.pause != Exchange::Pause::response && !f.ends[0].map.is_open() &&
                       held.active() && held.end() > begin && f.ends[0].map.una() >= begin;
  if (!partial) {
    b.head_by = {};
  } else if (b.head_by.ns == 0) {  // of the one before it was cleared while that was under way
    b.head_by = core_.now + head_time(id);
    pool_.due(f.binding, b.head_by);
  }
}

Duration Splicer::head_time(flow::FlowId id) const {
  return tick_duration(core_.snapshot->services[book_.at(id).service].timeouts.head);
}

// Whether octets of ours would stand where the client expects a response to the request that is
// turned away: `soon` when it only has to acknowledge what it was sent, `never` else.
Splicer::Quiet Splicer::quiet(flow::FlowId id) {
  const flow::Record& r = book_.at(id);
  const tcp::SpliceFlow& f = flows_[id];
  const tcp::StreamMap& down = f.ends[1].map;
  const Exchange* s = exchange_of(id);
  // A client that has closed may still read; behind a backend's FIN nothing can stand.
  const bool stands = r.state == tcp::Track::established || r.state == tcp::Track::fin_client;
  if (!stands || f.binding == tcp::kNoBinding || s == nullptr ||
      s->blame == Exchange::Blame::backend || s->asked_count > s->refused_asked ||
      s->down != Exchange::Down::head || s->response.position() != 0)
    return Quiet::never;
  // A body of known length is through for the exchange before its octets have come.
  return down.ack() == down.emitted() && down.una() >= down.frontier() && !down.edited() &&
                 !binding_of(id).splice.at(tcp::Side::backend).hold.active()
             ? Quiet::now
             : Quiet::soon;
}

// A later request that cannot be served. While nothing else is on its way to the client, it hears
// why, as for a first request; else octets of ours would stand in the middle of a response, and
// both ends are reset.
void Splicer::turn_away(flow::FlowId id, bool slow) {
  const flow::Record& r = book_.at(id);
  Exchange* s = exchange_of(id);
  const SpliceEntry* entry = entry_of(r);
  const bool starved = s != nullptr && s->blame == Exchange::Blame::memory;
  slow = slow && (s == nullptr || !s->broken);
  blame(id, slow                                                   ? Ending::client_timeout
            : starved                                              ? Ending::no_memory
            : s != nullptr && s->blame == Exchange::Blame::backend ? Ending::bad_response
                                                                   : Ending::refused);
  if (s == nullptr || !std::exchange(s->counted, true)) {
    if (slow) core_.services[r.service].refused[refused(Refused::head_slow)].add();
    if (starved)
      core_.n.splice_no_memory.add();
    else if (s == nullptr || s->blame != Exchange::Blame::backend)
      (slow ? core_.n.splice_slow_heads : core_.n.splice_bad_heads).add();
  }
  if (quiet(id) != Quiet::now || entry == nullptr) {
    must_end(id, Ending::client_abort);
    return;
  }
  reset_backend(id);
  disconnect(id);
  binding_of(id).head_by = {};
  answer(id, starved ? entry->unavailable : slow ? entry->slow_request : entry->bad_request);
}

void Splicer::publish() {
  const tcp::SpliceCounters& c = splice_.counters();
  WorkerCounters& n = core_.n;
  n.splice_splits.set(c.splits);
  n.splice_sack_translated.set(c.sack_translated);
  n.splice_sack_dropped.set(c.sack_dropped);
  n.splice_clamped_acks.set(c.clamped_acks);
  n.splice_owned_bytes.set(c.owned_bytes);
  n.splice_resent_bytes.set(c.resent_bytes);
  n.splice_swallowed.set(c.swallowed);
  n.splice_beyond_frontier.set(c.beyond_frontier);
  n.splice_copied_bytes.set(c.copied_bytes);
  n.splice_uncopied.set(c.uncopied);
  n.splice_unlike.set(c.unlike);
  n.half_open_used.set(listener_.half_open().used());
  n.cookies_sent.set(listener_.counters().cookies_sent);
  n.cookies_accepted.set(listener_.counters().cookies_accepted);
  n.sessions_used.set(exchanges_.used());
  n.session_bytes.set(sizeof(Exchange));
  n.transactions_used.set(transactions_.used());
  n.transactions_total.set(transactions_.capacity());
  n.edits_live.set(edits_.live());
  n.edit_bytes_used.set(edits_.bytes_used());
  n.edit_bytes_total.set(edits_.bytes_total());
  n.copy_bytes_used.set(copies_.bytes_used());
  n.copy_bytes_total.set(copies_.bytes_total());
  n.bindings_used.set(pool_.bindings_used());
  n.bindings_total.set(pool_.bindings_total());
  n.hold_bytes_used.set(pool_.bytes_used());
  n.hold_bytes_total.set(pool_.bytes_total());
}

}  // namespace limpet::dataplane
