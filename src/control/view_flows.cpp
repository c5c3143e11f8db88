// What workers answered: flows and neighbors; and where a client would go.
#include <fmt/core.h>

#include <charconv>
#include <nlohmann/json.hpp>
#include <utility>

#include "limpet/affinity/choose.h"
#include "limpet/affinity/reason.h"
#include "limpet/control/view.h"
#include "limpet/dataplane/neighbors.h"
#include "limpet/tcp/track.h"

namespace limpet::control {

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
  static const BackendSlot kNobody;
  const bool bound = (r.flags & flow::unbound) == 0;
  const BackendSlot& b = bound ? v.slots.backends[r.backend] : kNobody;
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
          {"spliced", (r.flags & flow::spliced) != 0},
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
  if ((r.flags & flow::unbound) != 0) return true;  // it names no other slot yet
  return r.backend < v.slots.backends.size() && v.slots.backends[r.backend].used &&
         v.slots.backends[r.backend].generation == r.backend_generation &&
         r.source < v.slots.sources.size() && v.slots.sources[r.source].used &&
         r.reason < affinity::kReasonCount;
}

// "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]:80"
Result<affinity::Client> parse_client(std::string_view text) {
  affinity::Client client;
  std::string_view address = text, port;
  if (!text.empty() && text.front() == '[') {
    const size_t end = text.find(']');
    address = text.substr(1, end == std::string_view::npos ? end : end - 1);
    if (end != std::string_view::npos && end + 1 < text.size() && text[end + 1] == ':')
      port = text.substr(end + 2);
  } else if (text.find(':') == text.rfind(':') && text.find(':') != std::string_view::npos) {
    address = text.substr(0, text.find(':'));
    port = text.substr(text.find(':') + 1);
  }
  const auto parsed = IpAddress::parse(address);
  if (!parsed)
    return Error{
        fmt::format("\"{}\" is no client; expected an address, with a port as in 192.0.2.1:4711 or "
                    "[2001:db8::1]:4711",
                    text)};
  client.address = *parsed;
  if (!port.empty()) {
    uint16_t n = 0;
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), n);
    if (error != std::errc() || end != port.data() + port.size())
      return Error{fmt::format("\"{}\" is no port", port)};
    client.port = be16::from(n);
  }
  return client;
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

Result<json> explain(const View& v, std::string_view client_text, std::string_view service_name) {
  const Result<affinity::Client> client = parse_client(client_text);
  if (!client) return Error{client.error()};
  const uint16_t slot = v.slots.find_service(service_name);
  if (slot == kNoSlot) return Error{fmt::format("no service \"{}\"", service_name)};
  const dataplane::ServiceEntry& s = v.snapshot.services[slot];
  if (s.vip.family() != client->address.family())
    return Error{
        fmt::format("service \"{}\" has the address {}: no client of the other family "
                    "comes there",
                    service_name, s.vip.to_string())};
  const dataplane::PoolEntry& pool = v.snapshot.pools[s.pool];
  const auto usable = [&](uint16_t member) { return v.status(pool.members[member]).accepts_new(); };
  const auto existing = [&](uint16_t member) {
    return v.status(pool.members[member]).accepts_existing();
  };
  // Workers have clocks of their own, which may be a little off: it matters to a pin that is about
  // to expire only.
  const affinity::StickTable* table = s.splice == nullptr ? nullptr : s.splice->table.get();
  const affinity::Choice choice =
      table == nullptr ? affinity::choose(s.policy, *client, pool.maglev, usable)
                       : affinity::choose(s.policy, *client, pool.maglev, usable,
                                          affinity::PeekedPins{*table, pool.ids, existing, v.now});
  const affinity::Choice first =
      affinity::choose(s.policy, *client, pool.maglev, [](uint16_t) { return true; });
  const auto label = [&](uint16_t member) -> json {
    if (member == balance::Maglev::kNone) return nullptr;
    return pool.name + "/" + v.snapshot.backends[pool.members[member]].name;
  };
  json out = {{"client", client->address.to_string()},
              {"client_port", client->port.host()},
              {"service", s.name},
              {"pool", pool.name},
              {"backend", label(choice.member)},
              {"address", nullptr},
              {"port", nullptr},
              {"reason", affinity::reason_name(choice.reason)},
              {"first_choice", label(first.member)},
              {"first_choice_state", nullptr}};
  std::string text =
      fmt::format("{} -> nobody: {}", client_text, affinity::reason_text(choice.reason));
  if (choice.member != balance::Maglev::kNone) {
    const dataplane::BackendEntry& b = v.snapshot.backends[pool.members[choice.member]];
    out["address"] = b.address.to_string();
    out["port"] = b.port.host();
    text = fmt::format("{} -> {}/{} ({} port {}): {}", client_text, pool.name, b.name,
                       b.address.to_string(), b.port.host(), affinity::reason_text(choice.reason));
  }
  if (first.member != balance::Maglev::kNone) {
    const uint16_t wanted = pool.members[first.member];
    const char* state = balance::name(v.status(wanted).state());
    out["first_choice_state"] = state;
    const std::string& name = v.snapshot.backends[wanted].name;
    if (first.member != choice.member)
      text += choice.reason == affinity::Reason::source_pinned
                  ? fmt::format("; by its hash it would be {}", name)
                  : fmt::format("; first choice {} is {}", name, state);
  }
  if (choice.moved) text += "; the backend that the stick table has for it may not be used";
  if (choice.reason == affinity::Reason::connection && client->port.host() == 0)
    text += "; the client's port counts too, name it (ADDRESS:PORT)";
  out["text"] = text;
  return out;
}

}  // namespace limpet::control
