// Services: VIP, mode, pool by name and time-outs; what else a service has is read by the files
// that service.h names.
#include <fmt/core.h>

#include <map>
#include <tuple>

#include "limpet/base/units.h"
#include "nearest.h"
#include "service.h"

namespace limpet::config {
namespace {

using namespace std::chrono_literals;

void read_timeouts(ServiceReading& reading) {
  Service& service = reading.service;
  Report& report = reading.report;
  if (service.protocol == Protocol::udp) service.timeouts.idle = 30s;
  if (service.mode == Forwarding::splice) service.timeouts.connect = 1s;
  const Node* found = reading.node.find("timeouts");
  if (found == nullptr) return;
  const Node& node = *found;
  if (!is_group(node, report)) return;
  check_names(node,
              {{"connect", "idle", "half_closed", "time_wait", "response", "keep_alive", "tunnel",
                "on_expiry"},
               {}},
              report);
  struct Setting {
    std::string_view name;
    Duration Timeouts::*field;
    Duration most;
    bool tcp_only, splice_only;
  };
  constexpr Setting kSettings[] = {{"connect", &Timeouts::connect, 10min, true, false},
                                   {"idle", &Timeouts::idle, 168h, false, false},
                                   {"half_closed", &Timeouts::half_closed, 24h, true, false},
                                   {"time_wait", &Timeouts::time_wait, 10min, true, false},
                                   {"response", &Timeouts::response, 24h, true, true},
                                   {"keep_alive", &Timeouts::keep_alive, 24h, true, true},
                                   {"tunnel", &Timeouts::tunnel, 168h, true, true}};
  const bool udp = reading.protocol_known && service.protocol == Protocol::udp;
  for (const Setting& setting : kSettings) {
    const Node* value = node.find(setting.name);
    if (value == nullptr) continue;
    if (setting.tcp_only && udp)
      report.add(*value, "has no meaning with protocol \"udp\"; expected only idle");
    else if (setting.splice_only && reading.is_nat())
      report.add(*value, "has no meaning with mode \"nat\"; expected mode \"splice\"");
    else if (const auto d = read_duration(*value, 100ms, setting.most, report))
      service.timeouts.*setting.field = *d;
  }
  for (const Setting& setting : {kSettings[4], kSettings[5]}) {
    const Node* value = node.find(setting.name);
    const Duration idle = service.timeouts.idle;
    if (value != nullptr && service.timeouts.*setting.field > idle)
      report.add(*value,
                 fmt::format("{} is longer than idle, \"{}\", which no wait but tunnel outlasts; "
                             "expected a longer idle, or at most that",
                             describe(*value), format_duration(idle)));
  }
  if (const Node* value = node.find("on_expiry")) {
    if (udp)
      report.add(*value, "has no meaning with protocol \"udp\"; expected only idle");
    else if (const auto word = read_word(*value, {"reset", "silent"}, {}, report))
      service.timeouts.tells = *word == 0;
  }
}

uint32_t find_pool(const Node& node, const Draft& draft, Report& report) {
  const auto name = read_string(node, "the name of a pool", report);
  if (!name) return kNoPool;
  std::vector<std::string_view> known;
  for (uint32_t i = 0; i < draft.document.pools.size(); ++i) {
    if (draft.document.pools[i].name == *name && !name->empty()) return i;
    if (!draft.document.pools[i].name.empty()) known.push_back(draft.document.pools[i].name);
  }
  report.add(node, fmt::format("there is no pool {}; expected {}", quote(*name),
                               suggestion(*name, known, "the name of a pool")));
  return kNoPool;
}

void read_protocol(ServiceReading& reading) {
  const Node* protocol = reading.node.find("protocol");
  if (protocol == nullptr) return;
  const auto word = read_word(*protocol, {"tcp", "udp"}, {}, reading.report);
  reading.protocol_known = word.has_value();
  reading.service.protocol = word.value_or(0) == 0 ? Protocol::tcp : Protocol::udp;
}

void read_mode(ServiceReading& reading) {
  const Node* mode = reading.node.find("mode");
  if (mode == nullptr) return;
  const auto word = read_word(*mode, kForwardingNames, {"dsr", "ipip", "gue"}, reading.report);
  reading.mode_known = word.has_value();
  if (word) reading.service.mode = static_cast<Forwarding>(*word);
  if (reading.service.mode == Forwarding::splice && reading.service.protocol == Protocol::udp)
    reading.report.add(*mode,
                       "\"splice\" with protocol \"udp\", which has no connections to splice; "
                       "expected \"nat\", or protocol \"tcp\"");
}

Service read_service(const Node& node, Draft& draft) {
  Service service;
  service.line = node.line;
  service.pool = kNoPool;
  Report& report = draft.report;
  if (!is_group(node, report)) return service;
  check_names(node,
              {{"name", "vip", "port", "protocol", "mode", "pool", "persistence", "table",
                "timeouts", "forwarded", "on_no_backend", "unavailable", "redispatch", "retries",
                "limits", "session_log", "application"},
               {}},
              report);
  ServiceReading reading{node, service, report};
  if (const Node* name = require(node, "name", "the name of the service", report))
    service.name = read_name(*name, report).value_or("");
  if (const Node* vip = require(node, "vip", "an IPv4 or IPv6 address", report))
    service.vip = read_address(*vip, report).value_or(IpAddress{});
  if (const Node* port = require(node, "port", "an integer from 1 to 65535", report))
    service.port = static_cast<uint16_t>(read_integer(*port, 1, 65535, report).value_or(0));
  read_protocol(reading);
  read_mode(reading);
  if (const Node* pool = require(node, "pool", "the name of a pool", report))
    service.pool = find_pool(*pool, draft, report);
  const size_t before = report.count();
  read_persistence(reading);
  read_table(reading, report.count() == before);
  read_timeouts(reading);
  read_splice(reading);
  check_server_first(reading, draft);
  return service;
}

void check_duplicates(Draft& draft) {
  std::map<std::string, size_t> names;
  std::map<std::tuple<IpAddress, uint16_t, Protocol>, size_t> endpoints;
  for (size_t i = 0; i < draft.document.services.size(); ++i) {
    const Service& s = draft.document.services[i];
    const Node& node = element(draft.root, "services", i);
    if (!s.name.empty())
      if (const auto [first, fresh] = names.emplace(s.name, i); !fresh)
        draft.report.add(
            member(node, "name"),
            fmt::format("\"{}\" is already the name of services[{}]; expected a name of "
                        "its own",
                        s.name, first->second));
    if (s.vip.is_unspecified() || s.port == 0) continue;
    const auto [first, fresh] = endpoints.emplace(std::tuple(s.vip, s.port, s.protocol), i);
    if (!fresh)
      draft.report.add(member(node, "vip"),
                       fmt::format("{} port {} {} is already services[{}]; expected another VIP, "
                                   "port or protocol",
                                   s.vip.to_string(), s.port,
                                   s.protocol == Protocol::tcp ? "tcp" : "udp", first->second));
  }
}

// A pool that only UDP services use would never come up by the default TCP check: nothing listens.
void choose_health(Draft& draft) {
  std::vector<bool> tcp(draft.document.pools.size()), udp(draft.document.pools.size());
  for (const Service& s : draft.document.services)
    if (s.pool != kNoPool) (s.protocol == Protocol::udp ? udp : tcp)[s.pool] = true;
  for (size_t i = 0; i < draft.document.pools.size(); ++i)
    if (udp[i] && !tcp[i] && !draft.health_given[i])
      draft.document.pools[i].health.type = HealthType::none;
}

HealthProxy checks_with(Forwarded forwarded) {
  switch (forwarded) {
    case Forwarded::proxy_v1:
      return HealthProxy::v1;
    case Forwarded::proxy_v2:
      return HealthProxy::v2;
    default:
      return HealthProxy::none;
  }
}

// A backend that expects a PROXY header takes a check without one for an attack, and one that does
// not takes the header for a bad request: the checks speak as the pool's services do.
void choose_health_proxy(Draft& draft) {
  std::vector<const Service*> first(draft.document.pools.size());
  std::vector<const Service*> other(first);
  for (const Service& s : draft.document.services) {
    if (s.pool == kNoPool || s.protocol != Protocol::tcp) continue;
    if (first[s.pool] == nullptr)
      first[s.pool] = &s;
    else if (checks_with(s.forwarded) != checks_with(first[s.pool]->forwarded))
      other[s.pool] = &s;
  }
  for (size_t i = 0; i < draft.document.pools.size(); ++i) {
    const Node& node = element(draft.root, "pools", i);
    Health& health = draft.document.pools[i].health;
    const std::optional<HealthProxy> given = read_health_proxy(node, draft.report);
    if (given) health.proxy = *given;
    // Who checks another port has a listener there that need not be the services'.
    else if (first[i] != nullptr && health.port == 0 && other[i] == nullptr)
      health.proxy = checks_with(first[i]->forwarded);
    else if (other[i] != nullptr && health.port == 0 &&
             (health.type == HealthType::http || health.type == HealthType::https))
      draft.report.add(
          member(node, "health"),
          fmt::format(
              "services \"{}\" and \"{}\" of this pool differ in the PROXY header that they "
              "send, so checks cannot follow them; expected proxy = \"none\", \"v1\" or "
              "\"v2\" in health, or a port of its own",
              first[i]->name, other[i]->name));
  }
}

}  // namespace

void read_services(Draft& draft) {
  const Node* node =
      require(draft.root, "services", "a list of at least one service", draft.report);
  if (node == nullptr) return;
  const auto list = read_sequence(*node, "service", 1, kMaxServices, draft.report);
  if (!list) return;
  for (const Node& service : *list) draft.document.services.push_back(read_service(service, draft));
  check_duplicates(draft);
  check_tables(draft);
  choose_health(draft);
  choose_health_proxy(draft);
}

}  // namespace limpet::config
