// What workers answered: flows, neighbors and who holds most.
#include <fmt/core.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "limpet/affinity/choose.h"
#include "limpet/affinity/reason.h"
#include "limpet/console/view.h"
#include "limpet/dataplane/neighbors.h"
#include "limpet/tcp/track.h"

namespace limpet::console {

using dataplane::kNoSlot;
using nlohmann::json;

namespace {

// How long without a packet. The worker's timers decide; this tells.
Tick lasts(const flow::Record& r, const dataplane::Timeouts& t) {
  return r.state == tcp::Track::connecting ? t.connect : dataplane::timeout_of(r, t);
}

double tick_seconds(Tick from, Tick to) {
  return tick_before(to, from) ? 0.0 : seconds(tick_duration(to - from));
}

json flow_json(const View& v, unsigned worker, const flow::Listed& r, dataplane::FlowEdits edits,
               Tick now) {
  const dataplane::ServiceEntry& s = v.slots.services[r.service].entry;
  // Before a backend is chosen there is nobody behind these names.
  static const publish::BackendSlot kNobody;
  const bool bound = r.bound;
  const publish::BackendSlot& b = bound ? v.slots.backends[r.backend] : kNobody;
  return {{"worker", worker},
          {"service", s.name},
          {"protocol", r.protocol == 6 ? "tcp" : "udp"},
          {"client", r.client.to_string()},
          {"client_port", r.client_port.host()},
          {"vip", s.vip.to_string()},
          {"vip_port", s.port.host()},
          {"source", bound ? v.slots.sources[r.source].address.to_string() : ""},
          {"source_port", bound ? r.source_port.host() : 0},
          {"pool", b.pool},
          {"backend_name", b.name},
          {"backend", bound ? b.endpoint.address.to_string() : ""},
          {"backend_port", b.endpoint.port.host()},
          {"state", tcp::track_name(r.state)},
          {"spliced", flow::forwarding_of(r) == Forwarding::splice},
          {"reason", bound ? affinity::reason_name(static_cast<affinity::Reason>(r.reason)) : ""},
          {"age_s", tick_seconds(r.created, now)},
          {"idle_s", tick_seconds(r.last_seen, now)},
          {"expires_s", tick_seconds(now, r.last_seen + lasts(r, s.timeouts))},
          {"edits_in", edits.in},
          {"edits_out", edits.out}};
}

// Slots as they are now, which may be later than the answer.
bool still_known(const View& v, const flow::Listed& r) {
  if (r.service >= v.slots.services.size() || !v.slots.services[r.service].entry.used) return false;
  if (!r.bound) return true;  // it names no other slot yet
  return r.backend < v.slots.backends.size() && v.slots.backends[r.backend].used &&
         v.slots.backends[r.backend].generation == r.backend_generation &&
         r.source < v.slots.sources.size() && v.slots.sources[r.source].used &&
         r.reason < affinity::kReasonCount;
}

}  // namespace

Rows flow_rows(const View& v, unsigned worker, const dataplane::Query& answer, size_t first,
               size_t count) {
  Rows rows;
  for (size_t i = first; i < answer.filled && i - first < count; ++i)
    if (still_known(v, answer.flows[i]))
      rows.push_back(flow_json(v, worker, answer.flows[i],
                               i < answer.edits.size() ? answer.edits[i] : dataplane::FlowEdits{},
                               answer.now));
  return rows;
}

Rows neighbor_rows(const View& v, unsigned worker, const dataplane::Query& answer, size_t first,
                   size_t count) {
  Rows rows;
  for (size_t i = first; i < answer.filled && i - first < count; ++i) {
    const dataplane::NeighborView& n = answer.neighbors[i];
    if (n.port >= v.snapshot.ports.size()) continue;
    const auto state = static_cast<dataplane::NeighborState>(n.state);
    const bool known =
        state == dataplane::NeighborState::reachable || state == dataplane::NeighborState::probe;
    rows.push_back({{"worker", worker},
                    {"port", v.snapshot.ports[n.port].name},
                    {"address", n.address.to_string()},
                    {"mac", known ? json(n.mac.to_string()) : json(nullptr)},
                    {"state", dataplane::neighbor_state_name(state)},
                    {"age_s", seconds(tick_duration(n.age))},
                    {"waiting", n.waiting}});
  }
  return rows;
}

// Who holds most of what may run short.
Rows top_rows(unsigned worker, const dataplane::Query& answer, size_t first, size_t count) {
  Rows rows;
  for (size_t i = first; i < answer.filled && i - first < count; ++i) {
    const dataplane::TopView& t = answer.top[i];
    const uint32_t bytes_each = flow::bytes_of_place(t.pool);
    rows.push_back(
        {{"worker", worker},
         {"pool", flow::pool_name(t.pool)},
         {"source", t.source.to_string()},
         {"places", t.places},
         {"bytes", bytes_each == 0 ? json(nullptr) : json(uint64_t{t.places} * bytes_each)}});
  }
  return rows;
}

}  // namespace limpet::console
