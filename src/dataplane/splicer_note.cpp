// What control is told of a spliced flow: a note for the session log, and how many edits are live.
#include <rte_ring_elem.h>

#include <algorithm>

#include "splicer.h"

namespace limpet::dataplane {
namespace {

constexpr uint16_t kMostCounted = 1000;  // of one stream; a worker must not walk for long

uint16_t count(const tcp::StreamMap& map, const tcp::EditPool& edits) {
  uint16_t n = 0;
  for (tcp::EditId e = map.first_edit(); e != tcp::kNoEdit && n < kMostCounted;
       e = edits.header(e).next)
    ++n;
  return n;
}

}  // namespace

FlowEdits Splicer::live_edits(flow::FlowId id) const {
  const tcp::SpliceFlow& f = flows_[id];
  return {count(f.at(tcp::Side::client).map, edits_), count(f.at(tcp::Side::backend).map, edits_)};
}

void Splicer::note_session(flow::FlowId id) {
  const flow::Record& r = book_.at(id);
  const SpliceEntry* entry = entry_of(r);
  if (entry == nullptr || !entry->session_log) return;
  SessionNote note;
  note.client = r.client;
  note.client_port = r.client_port;
  note.service = r.service;
  note.reason = book_.aside(id).reason;
  const bool bound = r.bound;
  if (bound) {
    note.backend = r.backend;
    note.backend_generation = r.backend_generation;
  }
  if (const Exchange* s = exchange_of(id); s != nullptr && s->begun()) {
    const ExchangeContext c = context(id);
    const RulesInUse by = c.by(s->front().rules);
    const size_t cookies = by.known ? by.rules->cookies.size() : 0;
    note.rules = s->front().rules;
    note.cookies = static_cast<uint8_t>(std::min(cookies, kMaxCookieRules));
    for (size_t i = 0; i < note.cookies; ++i) {
      const affinity::RequestDecision& d = s->front().cookies[i];
      // As it is counted: a valid cookie whose backend somebody else stands in for is one of D.
      const bool followed = bound && d.member == r.backend;
      note.request[i] = d.flag == affinity::RequestFlag::valid && !followed
                            ? affinity::RequestFlag::down
                            : d.flag;
      note.detail[i] = d.detail;
    }
    // A later request's headers are not kept: nothing depends on them.
    if (by.known && !s->first_answered()) {
      note.headers = static_cast<uint8_t>(by.rules->headers.size());
      for (size_t i = 0; i < note.headers; ++i) note.header[i] = flag_of_key(*s, c, i, c.member);
    }
  }
  if (rte_ring_sp_enqueue_elem(core_.shared.rings[core_.id].notes, &note, sizeof note) != 0)
    core_.n.session_notes_lost.add();
}

}  // namespace limpet::dataplane
