// Services, backends and the envelope around all tables.
#include "limpet/console/view.h"

#include <fmt/core.h>
#include <unistd.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "limpet/affinity/reason.h"

namespace limpet::console {

using balance::BackendStatus;
using dataplane::kNoSlot;
using nlohmann::json;

namespace {

const char* protocol_name(uint8_t protocol) {
  return protocol == 6 ? "tcp" : "udp";
}

const char* check_name(config::HealthType type) {
  switch (type) {
    case config::HealthType::none:
      return "none";
    case config::HealthType::tcp:
      return "tcp";
    case config::HealthType::http:
      return "http";
    case config::HealthType::https:
      return "https";
  }
  return "?";
}

// What clients are offered in SYN-ACKs.
json tcp_json(const tcp::SynAckOptions& p) {
  return {{"mss", p.mss}, {"sack", p.sack}, {"timestamps", p.timestamps}};
}

struct PoolPlace {  // of a configured backend
  size_t pool = 0;
  size_t member = 0;
};

json check_json(const View& v, uint16_t slot, config::HealthType type) {
  json check = {{"type", check_name(type)},
                {"last_ok_s", nullptr},
                {"last_error", nullptr},
                {"tcp", nullptr}};
  const health::HealthChecks::Item* item = v.checks ? v.checks(slot) : nullptr;
  if (item == nullptr) return check;
  check["type"] = check_name(item->probe.type);  // also of a backend that is no longer configured
  if (const auto at = item->state.last_ok()) check["last_ok_s"] = seconds(v.now - *at);
  if (!item->state.last_error().empty()) check["last_error"] = item->state.last_error();
  if (item->tcp)
    check["tcp"] = {{"mss", item->tcp->mss},
                    {"wscale", item->tcp->wscale},
                    {"sack", item->tcp->sack},
                    {"timestamps", item->tcp->timestamps}};
  return check;
}

// `place` is null for a backend that is no longer configured.
json backend_json(const View& v, uint16_t slot, const PoolPlace* place) {
  const publish::BackendSlot& b = v.slots.backends[slot];
  const BackendStatus status = v.status(slot);
  const publish::BackendTotals t = v.baselines.backend_totals(slot);
  const publish::Baselines::Backend& note = v.baselines.backend(slot);
  uint32_t weight = 0, entries = 0;
  auto type = config::HealthType::none;
  if (place != nullptr) {
    weight = v.document.pools[place->pool].backends[place->member].weight;
    type = v.document.pools[place->pool].health.type;
    entries = v.snapshot.pools[place->pool].maglev.entries(static_cast<uint16_t>(place->member));
  }
  json row = {{"pool", b.pool},
              {"name", b.name},
              {"address", b.endpoint.address.to_string()},
              {"port", b.endpoint.port.host()},
              {"state", balance::name(status.state())},
              {"admin", balance::name(status.admin)},
              {"configured", place != nullptr},
              {"since_s", seconds(v.now - note.since)},
              {"reason", note.reason},
              {"check", check_json(v, slot, type)},
              {"weight", weight},
              {"effective_weight", status.accepts_new() ? weight : 0},
              {"maglev_entries", entries}};
  for (const auto& c : publish::kBackendCounters) row[c.json] = t.*c.value;
  return row;
}

json service_json(const View& v, uint16_t slot) {
  const dataplane::ServiceEntry& s = v.slots.services[slot].entry;
  const publish::ServiceTotals t = v.baselines.service_totals(slot);
  json reasons = json::object();
  for (size_t i = 0; i < t.reasons.size(); ++i)
    reasons[affinity::reason_name(static_cast<affinity::Reason>(i))] = t.reasons[i];
  size_t up = 0, usable = 0, total = 0;
  std::string pool;
  json scheduler;
  if (s.configured) {
    const dataplane::PoolEntry& entry = v.snapshot.pools[s.pool];
    pool = entry.name;
    scheduler = balance::name(entry.scheduler_type());
    total = entry.members.size();
    for (const uint16_t backend : entry.members) {
      const BackendStatus status = v.status(backend);
      up += status.state() == balance::State::up ? 1 : 0;
      usable += status.accepts_new() ? 1 : 0;
    }
  }
  json row = {{"name", s.name},
              {"vip", s.vip.to_string()},
              {"port", s.port.host()},
              {"protocol", protocol_name(s.protocol)},
              {"mode", name_of(s.forwarding)},
              {"tcp", s.splice != nullptr ? tcp_json(s.splice->syn_ack) : json(nullptr)},
              {"pool", pool},
              {"scheduler", scheduler},
              {"state", usable != 0 ? "up" : "down"},
              {"configured", s.configured},
              {"old_rules", v.slots.services[slot].kept.size()},
              {"backends_up", up},
              {"backends_total", total},
              {"reasons", std::move(reasons)}};
  for (const auto& c : publish::kServiceCounters) row[c.json] = t.*c.value;
  return row;
}

}  // namespace

double seconds(Duration d) {
  return std::round(static_cast<double>(d.count()) / 1e6) / 1e3;
}

Result<Rows> service_rows(const View& v, std::string_view name, bool removed, bool busy) {
  Rows rows;
  bool found = false;
  // In the order of the file, then what was removed from it.
  for (const config::Service& service : v.document.services) {
    if (!name.empty() && name != service.name) continue;
    found = true;
    const uint16_t slot = v.slots.find_service(service.name);
    if (slot != kNoSlot) rows.push_back(service_json(v, slot));
  }
  for (size_t i = 0; i < v.slots.services.size(); ++i) {
    const dataplane::ServiceEntry& s = v.slots.services[i].entry;
    if (!s.used || s.configured || (!name.empty() && name != s.name)) continue;
    const auto slot = static_cast<uint16_t>(i);
    if (!removed && !(busy && v.baselines.service_totals(slot).connections_active != 0)) continue;
    found = true;
    rows.push_back(service_json(v, slot));
  }
  if (!found && !name.empty()) return Error{fmt::format("no service \"{}\"", name)};
  return rows;
}

Result<Rows> backend_rows(const View& v, std::string_view name, bool removed, bool busy) {
  Rows rows;
  const size_t slash = name.find('/');
  const std::string_view pool_name = name.substr(0, slash);
  const std::string_view backend_name =
      slash == std::string_view::npos ? std::string_view() : name.substr(slash + 1);
  const auto selected = [&](const std::string& pool, const std::string& backend) {
    return (name.empty() || pool == pool_name) && (backend_name.empty() || backend == backend_name);
  };
  for (size_t p = 0; p < v.snapshot.pools.size(); ++p)
    for (size_t m = 0; m < v.snapshot.pools[p].members.size(); ++m) {
      const uint16_t slot = v.snapshot.pools[p].members[m];
      if (!selected(v.slots.backends[slot].pool, v.slots.backends[slot].name)) continue;
      const PoolPlace place{p, m};
      rows.push_back(backend_json(v, slot, &place));
    }
  for (size_t i = 0; i < v.slots.backends.size(); ++i) {
    const publish::BackendSlot& b = v.slots.backends[i];
    const auto slot = static_cast<uint16_t>(i);
    if (b.used && !b.configured && selected(b.pool, b.name) &&
        (removed || (busy && v.baselines.backend_totals(slot).connections_active != 0)))
      rows.push_back(backend_json(v, slot, nullptr));
  }
  if (rows.empty() && !name.empty())
    return Error{fmt::format("no pool or backend \"{}\"; expected POOL or POOL/NAME", name)};
  return rows;
}

json envelope(const char* what, Rows rows, uint32_t limit, bool more, Duration uptime) {
  if (limit != 0 && rows.size() > limit) {
    rows.resize(limit);
    more = true;
  }
  json e = {{"schema", 1}, {"pid", getpid()}, {"uptime_s", seconds(uptime)}, {"truncated", more}};
  e[what] = std::move(rows);
  return e;
}

}  // namespace limpet::console
