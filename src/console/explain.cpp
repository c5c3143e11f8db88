// Where a client would go now, and why: what a worker would decide, asked of the same code.
#include <fmt/core.h>
#include <strings.h>

#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "limpet/affinity/choose.h"
#include "limpet/console/view.h"
#include "limpet/dataplane/said.h"

namespace limpet::console {

using dataplane::kNoSlot;
using nlohmann::json;

namespace {

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

// The request as curl would send it.
std::string head_of(const Asking& asking) {
  std::string head =
      fmt::format("{} {} HTTP/1.1\r\n", asking.method.empty() ? "GET" : asking.method,
                  asking.path.empty() ? "/" : asking.path);
  bool host = false;
  for (const std::string& line : asking.headers) {
    host = host || strncasecmp(line.c_str(), "host:", 5) == 0;
    head += line + "\r\n";
  }
  if (!host) head += "Host: limpet\r\n";
  return head + "\r\n";
}

Result<dataplane::Said> read(const View& v, const dataplane::ServiceEntry& s,
                             const Asking& asking) {
  for (const std::string& line : asking.headers)
    if (line.find_first_of("\r\n") != std::string::npos || line.find(':') == std::string::npos)
      return Error{fmt::format("\"{}\" is no header; expected NAME: VALUE on one line", line)};
  dataplane::ExchangeTools tools;
  if (s.splice->rules->request)
    if (const Status fits = tools.scratch.fit(*s.splice->rules->request); !fits)
      return Error{fits.error()};
  if (!v.slots.keys.list().empty()) tools.crypter.emplace(v.slots.keys);
  std::vector<balance::BackendStatus> status(v.snapshot.backends.size());
  for (size_t slot = 0; slot < status.size(); ++slot)
    status[slot] = v.status(static_cast<uint16_t>(slot));
  Result<dataplane::Said> said =
      dataplane::read_request(v.snapshot, s, status, tools, head_of(asking), v.unix_now);
  if (!said) return Error{fmt::format("the request would be refused: {}", said.error())};
  return said;
}

// What each carrier of the list said, in order; a source always says something.
json entries_json(const dataplane::ServiceEntry& s, const std::optional<dataplane::Said>& said) {
  json out = json::array();
  if (!said) return out;
  const dataplane::HttpRules& rules = *s.splice->rules;
  for (size_t i = 0; i < rules.cookies.size(); ++i) {
    const affinity::InvalidDetail detail = said->details[i];
    out.push_back(
        {{"entry", rules.cookies[i].entry},
         {"type", "cookie"},
         {"name", rules.cookies[i].policy.name()},
         {"request", affinity::name(said->cookies[i].flag)},
         {"invalid_detail",
          detail == affinity::InvalidDetail::none ? json(nullptr) : json(affinity::name(detail))}});
  }
  for (size_t i = 0; i < rules.headers.size(); ++i)
    out.push_back({{"entry", rules.headers[i].entry},
                   {"type", "header"},
                   {"name", affinity::carrier_name(rules.settings.entries[rules.headers[i].entry])},
                   {"request", affinity::name(said->keys[i] ? affinity::RequestFlag::valid
                                                            : affinity::RequestFlag::none)},
                   {"invalid_detail", nullptr}});
  return out;
}

// "; cookie SRV: valid; header X-User-ID: none"
std::string carriers_text(const dataplane::ServiceEntry& s, const dataplane::Said& said) {
  std::string text;
  for (const json& e : entries_json(s, said)) {
    text += fmt::format("; {} {}: {}", e["type"].get<std::string>(), e["name"].get<std::string>(),
                        e["request"].get<std::string>());
    if (!e["invalid_detail"].is_null())
      text += fmt::format(" ({})", e["invalid_detail"].get<std::string>());
  }
  return text;
}

}  // namespace

Result<json> explain(const View& v, std::string_view client_text, std::string_view service_name,
                     const Asking& asking) {
  Result<affinity::Client> client = parse_client(client_text);
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
  const bool asks = !asking.headers.empty() || !asking.method.empty() || !asking.path.empty();
  std::optional<dataplane::Said> said;
  if (asks) {
    if (s.forwarding != Forwarding::splice)
      return Error{
          fmt::format("service \"{}\" has mode \"{}\", which does not read requests: "
                      "only the address counts",
                      service_name, name_of(s.forwarding))};
    Result<dataplane::Said> answer = read(v, s, asking);
    if (!answer) return Error{answer.error()};
    said = std::move(*answer);
    client->cookies = said->outcomes();
    client->headers = said->headers();
  }
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
  // Whose turn it is, only the worker knows that gets the connection.
  const bool in_turn = choice.entry == affinity::Choice::kNoEntry &&
                       choice.member != balance::Maglev::kNone &&
                       pool.scheduler_type() == balance::SchedulerType::roundrobin;
  json out = {{"client", client->address.to_string()},
              {"client_port", client->port.host()},
              {"service", s.name},
              {"pool", pool.name},
              {"scheduler", balance::name(pool.scheduler_type())},
              {"backend", in_turn ? json(nullptr) : label(choice.member)},
              {"address", nullptr},
              {"port", nullptr},
              {"reason", affinity::reason_name(choice.reason)},
              {"first_choice", in_turn ? json(nullptr) : label(first.member)},
              {"first_choice_state", nullptr},
              {"entries", entries_json(s, said)}};
  std::string text =
      fmt::format("{} -> nobody: {}", client_text, affinity::reason_text(choice.reason));
  if (in_turn) {
    text = fmt::format("{} -> {}, whose turn it is on the worker that gets the connection: {}",
                       client_text, pool.name, affinity::reason_text(choice.reason));
  } else if (choice.member != balance::Maglev::kNone) {
    const dataplane::BackendEntry& b = v.snapshot.backends[pool.members[choice.member]];
    out["address"] = b.address.to_string();
    out["port"] = b.port.host();
    text = fmt::format("{} -> {}/{} ({} port {}): {}", client_text, pool.name, b.name,
                       b.address.to_string(), b.port.host(), affinity::reason_text(choice.reason));
  }
  if (!in_turn && first.member != balance::Maglev::kNone) {
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
  if (!in_turn && choice.reason == affinity::Reason::connection && client->port.host() == 0)
    text += "; the client's port counts too, name it (ADDRESS:PORT)";
  if (said) text += carriers_text(s, *said);
  out["text"] = text;
  return out;
}

}  // namespace limpet::console
