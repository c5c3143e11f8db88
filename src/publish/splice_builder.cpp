// Settings of a service with mode `splice` -> cookie policies, sniffers, stick table, responses.
#include "splice_builder.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>

namespace limpet::publish {
namespace {

using dataplane::HttpRules;
using dataplane::SpliceEntry;

uint64_t seconds(Duration d) {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(d).count());
}

// Whose keys those of an entry of the list are, by what gives them a meaning: they stay the same
// wherever it stands. Empty: it has none.
std::string keys_of(const affinity::EntrySettings& entry) {
  return std::visit(affinity::Visit{[](const affinity::SourceSettings& s) {
                                      return fmt::format("source addresses by /{} and /{}",
                                                         s.prefix4, s.prefix6);
                                    },
                                    [](const affinity::CookieSettings& c) {
                                      return c.mode == affinity::CookieMode::learn
                                                 ? fmt::format("the learned cookie \"{}\"", c.name)
                                                 : std::string();
                                    },
                                    [](const affinity::HeaderSettings&) { return std::string(); }},
                    entry);
}

affinity::StickTable::Settings table_settings(const config::Table& table) {
  affinity::StickTable::Settings settings;
  settings.capacity = table.size;
  settings.expire = table.expire;
  settings.when_full = table.when_full == config::Table::WhenFull::evict
                           ? affinity::WhenFull::evict
                           : affinity::WhenFull::refuse;
  return settings;
}

// Gives each entry of the list the kind that its keys have had, or a new one.
std::vector<uint8_t> number_kinds(const config::Service& service, std::vector<std::string>& kinds) {
  std::vector<uint8_t> numbers;
  for (const config::Persistence& p : service.persistence) {
    const std::string name = keys_of(p);
    // Two entries may be alike; the second one is never asked, but must not meet the first.
    size_t kind = 0;
    for (; kind < kinds.size(); ++kind)
      if (kinds[kind] == name && std::find(numbers.begin(), numbers.end(), kind) == numbers.end())
        break;
    if (kind == kinds.size()) kinds.push_back(name);
    numbers.push_back(static_cast<uint8_t>(kind));
  }
  return numbers;
}

// The table of the snapshot before, with whatever of its settings has changed; a new one when there
// was none.
void give_table(const config::Service& service, const SpliceBuild& input, SpliceEntry& e) {
  constexpr size_t kMaxKinds = 256;
  affinity::StickTable::Settings settings = table_settings(service.table);
  const SpliceEntry* before = input.previous;
  if (before != nullptr && before->table != nullptr &&
      before->table->capacity() == service.table.size) {
    e.table_kinds = before->table_kinds;
    settings.kinds = number_kinds(service, e.table_kinds);
    if (e.table_kinds.size() <= kMaxKinds) {
      const std::vector<uint8_t>& old = before->table->settings().kinds;
      for (const uint8_t kind : old) {
        const std::vector<uint8_t>& now = settings.kinds;
        if (std::find(now.begin(), now.end(), kind) != now.end()) continue;
        if (before->table_kinds[kind].empty() || before->table->counters().used == 0) continue;
        if (input.warnings == nullptr) continue;
        input.warnings->push_back(
            fmt::format("service \"{}\": sessions that the stick table has for {} are not found "
                        "any more, as no "
                        "entry of the persistence list says so now",
                        service.name, before->table_kinds[kind]));
      }
      e.table = settings == before->table->settings()
                    ? before->table
                    : std::make_shared<affinity::StickTable>(*before->table, settings);
      return;
    }
    e.table_kinds.clear();
  }
  if (input.warnings != nullptr) warn_of_table(service.name, before, *input.warnings);
  settings.kinds = number_kinds(service, e.table_kinds);
  e.table = std::make_shared<affinity::StickTable>(settings, input.stick_secret);
}

// As they are, if a request can have been read by them already; else new ones.
Result<std::shared_ptr<const HttpRules>> rules_for(const config::Service& service,
                                                   const SpliceBuild& input) {
  dataplane::RuleSettings settings = rule_settings(service, input.logged);
  if (input.previous != nullptr && input.previous->rules->settings == settings)
    return input.previous->rules;
  for (const KeptSlot& k : input.kept)
    if (k.rules.splice->rules->settings == settings) return k.rules.splice->rules;
  Result<HttpRules> rules = dataplane::compile_rules(std::move(settings), input.number);
  if (!rules) return Error{rules.error()};
  return std::shared_ptr<const HttpRules>(std::make_shared<HttpRules>(std::move(*rules)));
}

std::string response(std::string_view status, std::string_view type, std::string_view more,
                     std::string_view body) {
  return fmt::format(
      "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nCache-Control: no-cache\r\n"
      "{}Connection: close\r\n\r\n{}",
      status, type, body.size(), more, body);
}

}  // namespace

dataplane::RuleSettings rule_settings(const config::Service& service, bool logged) {
  return {service.name, service.forwarded, std::min<uint32_t>(service.limits.bytes, 65535),
          service.persistence, logged};
}

// A promise that a backend does not keep is repaired for each segment (timestamps put in, segments
// cut, SACK left out), which costs; nothing breaks. Windows are scaled by a constant instead: a
// client that holds a cookie would be told windows in another scale than its SYN-ACK said.
tcp::SynAckOptions syn_ack_options_for(std::span<const uint16_t> members,
                                       std::span<const std::optional<tcp::Agreed>> offers,
                                       uint16_t most, uint16_t window) {
  constexpr uint32_t kLeast = 88;  // as a cookie's (tcp/syn_cookie.cpp)
  tcp::SynAckOptions p;
  p.mss = most;
  p.window = window;
  for (const uint16_t slot : members) {
    if (slot >= offers.size() || !offers[slot]) continue;
    const tcp::Agreed& o = *offers[slot];
    if (!o.mss_at_least) p.mss = static_cast<uint16_t>(std::clamp<uint32_t>(o.mss, kLeast, p.mss));
    p.sack = p.sack && o.sack;
    p.timestamps = p.timestamps && o.timestamps;
  }
  return p;
}

Result<std::shared_ptr<const SpliceEntry>> build_splice(const config::Service& s,
                                                        const SpliceBuild& input) {
  auto e = std::make_shared<SpliceEntry>();
  // The most that our SYN-ACK may announce so that nothing that it invites is too large for a port.
  e->most_mss = static_cast<uint16_t>(input.mtu - (s.vip.is_v4() ? 40 : 60));
  e->syn_ack =
      syn_ack_options_for(input.members, input.offers, e->most_mss,
                          static_cast<uint16_t>(std::min<uint32_t>(s.limits.bytes, 65535)));
  e->head_bytes = std::min<uint32_t>(s.limits.bytes, 65535);
  e->redispatch = s.redispatch;
  e->retries = static_cast<uint8_t>(s.retries);
  e->session_log = s.session_log;
  e->bad_request = response("400 Bad Request", "text/html", "",
                            "<html><body><h1>400 Bad Request</h1></body></html>\n");
  e->slow_request = response("408 Request Timeout", "text/html", "",
                             "<html><body><h1>408 Request Timeout</h1></body></html>\n");
  e->no_answer = response("504 Gateway Timeout", "text/html", "",
                          "<html><body><h1>504 Gateway Timeout</h1></body></html>\n");
  if (s.on_no_backend == config::OnNoBackend::unavailable) {
    const uint64_t after = seconds(s.unavailable.retry_after);
    e->unavailable =
        response("503 Service Unavailable", s.unavailable.content_type,
                 after == 0 ? "" : fmt::format("Retry-After: {}\r\n", after), s.unavailable.body);
  }

  Result<std::shared_ptr<const HttpRules>> rules = rules_for(s, input);
  if (!rules) return Error{fmt::format("service \"{}\": {}", s.name, rules.error())};
  e->rules = std::move(*rules);
  if (s.table.size != 0)
    give_table(s, input, *e);
  else if (input.warnings != nullptr)
    warn_of_table(s.name, input.previous, *input.warnings);
  return std::shared_ptr<const SpliceEntry>(std::move(e));
}

void warn_of_table(const std::string& service, const SpliceEntry* previous,
                   std::vector<std::string>& warnings) {
  if (previous == nullptr || previous->table == nullptr) return;
  const uint64_t used = previous->table->counters().used;
  if (used == 0) return;
  warnings.push_back(fmt::format("service \"{}\": its stick table goes, and {} session{} with it",
                                 service, used, used == 1 ? "" : "s"));
}

Result<std::unique_ptr<dataplane::ExchangeTools>> build_tools(
    std::span<const dataplane::ServiceEntry> services, const affinity::CookieKeys& keys) {
  auto tools = std::make_unique<dataplane::ExchangeTools>();
  const auto fit = [&tools](const SpliceEntry* splice) -> Status {
    if (splice == nullptr) return Ok{};
    for (const auto* sniffer : {&splice->rules->request, &splice->rules->response})
      if (*sniffer)
        if (Status fits = tools->scratch.fit(**sniffer); !fits) return fits;
    return Ok{};
  };
  for (const dataplane::ServiceEntry& s : services) {
    if (!s.used) continue;
    if (Status fits = fit(s.splice.get()); !fits) return Error{fits.error()};
    for (const dataplane::KeptRules& k : s.kept)
      if (Status fits = fit(k.splice.get()); !fits) return Error{fits.error()};
  }
  if (!keys.list().empty()) tools->crypter.emplace(keys);
  return tools;
}

}  // namespace limpet::publish
