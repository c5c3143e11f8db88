// What became of the clients' carriers: a row for each entry of each service's persistence list,
// and of what was refused: one for each reason.
#include <fmt/core.h>

#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "limpet/affinity/persistence.h"
#include "limpet/console/view.h"

namespace limpet::console {

using affinity::Reason;
using nlohmann::json;

namespace {

// Counts by their names, from the flag `first` on.
template <class Flag, size_t kCount>
json named(const std::array<uint64_t, kCount>& counts, size_t first) {
  json out = json::object();
  for (size_t i = first; i < kCount; ++i) out[affinity::name(static_cast<Flag>(i))] = counts[i];
  return out;
}

json table_json(const dataplane::ServiceEntry& s) {
  if (s.splice == nullptr || s.splice->table == nullptr) return nullptr;
  const affinity::StickTable& table = *s.splice->table;
  const affinity::StickCounters c = table.counters();
  json row = {{"capacity", table.capacity()}, {"bytes", table.bytes()}};
  for (const auto& counter : publish::kTableCounters) row[counter.json] = c.*counter.value;
  return row;
}

// In mode nat nobody but the source address can decide, and it is counted as a reason only.
uint64_t decided_in_nat(const publish::ServiceTotals& t) {
  uint64_t n = 0;
  for (const Reason r : {Reason::source, Reason::source_redirected, Reason::source_pinned})
    n += t.reasons[static_cast<size_t>(r)];
  return n;
}

json entry_json(const View& v, uint16_t slot, const config::Service& service, size_t entry) {
  const config::Persistence& p = service.persistence[entry];
  const auto* cookie = std::get_if<affinity::CookieSettings>(&p);
  const std::string_view carrier = affinity::carrier_name(p);
  const dataplane::ServiceEntry& s = v.snapshot.services[slot];
  const publish::PersistenceTotals t = v.baselines.persistence_totals(slot, entry);
  json row = {
      {"service", service.name},
      {"entry", entry},
      {"type", affinity::type_name(p)},
      {"name", carrier.empty() ? json(nullptr) : json(carrier)},
      {"mode", cookie == nullptr ? json(nullptr) : json(affinity::name(cookie->mode))},
      {"request", named<affinity::RequestFlag>(t.request, 0)},
      {"response", named<affinity::ResponseFlag>(t.response, 0)},
      {"invalid_detail", named<affinity::InvalidDetail>(t.detail, 1)},  // 0: nothing is wrong
      {"table", table_json(s)}};
  for (const auto& c : publish::kPersistenceCounters)
    if (*c.json != '\0') row[c.json] = t.*c.value;
  if (s.forwarding == Forwarding::nat)
    row["decided"] = decided_in_nat(v.baselines.service_totals(slot));
  return row;
}

}  // namespace

Result<Rows> persistence_rows(const View& v, std::string_view name) {
  const size_t slash = name.find('/');
  const std::string_view service_name = name.substr(0, slash);
  std::optional<size_t> only;
  if (slash != std::string_view::npos) {
    const std::string_view number = name.substr(slash + 1);
    size_t n = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), n);
    if (error != std::errc() || end != number.data() + number.size())
      return Error{fmt::format("no entry \"{}\"; expected SERVICE or SERVICE/NUMBER", name)};
    only = n;
  }
  Rows rows;
  bool found = name.empty();
  for (const config::Service& service : v.document.services) {
    if (!name.empty() && service_name != service.name) continue;
    const uint16_t slot = v.slots.find_service(service.name);
    if (slot == dataplane::kNoSlot) continue;
    found = found || !only || *only < service.persistence.size();
    for (size_t i = 0; i < service.persistence.size(); ++i)
      if (!only || *only == i) rows.push_back(entry_json(v, slot, service, i));
  }
  if (found) return rows;
  return Error{only ? fmt::format("no entry \"{}\" in a persistence list", name)
                    : fmt::format("no service \"{}\"", name)};
}

Result<Rows> refusal_rows(const View& v, std::string_view name) {
  Rows rows;
  bool found = name.empty();
  for (const config::Service& service : v.document.services) {
    if (!name.empty() && name != service.name) continue;
    const uint16_t slot = v.slots.find_service(service.name);
    if (slot == dataplane::kNoSlot) continue;
    found = true;
    if (v.snapshot.services[slot].forwarding != Forwarding::splice) continue;
    const publish::ServiceTotals t = v.baselines.service_totals(slot);
    for (size_t i = 0; i < t.refused.size(); ++i) {
      // The first of each list of octets' reasons is that nothing is wrong.
      if (i == dataplane::refused(http::Refusal::none) ||
          i == dataplane::refused(http::BodyFault::none))
        continue;
      rows.push_back({{"service", service.name},
                      {"reason", dataplane::refused_name(i)},
                      {"total", t.refused[i]},
                      {"meaning", dataplane::refused_text(i)}});
    }
  }
  if (found) return rows;
  return Error{fmt::format("no service \"{}\"", name)};
}

}  // namespace limpet::console
