// Slots after the fact: look-up by name, and reclaiming what nobody uses any more. Taking slots is
// the builder's.
#include "limpet/publish/slots.h"

#include <algorithm>
#include <utility>

namespace limpet::publish {

using dataplane::kNoSlot;

uint16_t Slots::find_backend(std::string_view pool, std::string_view name) const {
  for (size_t i = 0; i < backends.size(); ++i) {
    const BackendSlot& b = backends[i];
    if (b.used && b.configured && b.pool == pool && b.name == name) return static_cast<uint16_t>(i);
  }
  return kNoSlot;
}

std::vector<uint16_t> Slots::find_backends(std::string_view pool, std::string_view name) const {
  if (const uint16_t slot = find_backend(pool, name); slot != kNoSlot) return {slot};
  std::vector<uint16_t> removed;
  for (size_t i = 0; i < backends.size(); ++i) {
    const BackendSlot& b = backends[i];
    if (b.used && b.pool == pool && b.name == name) removed.push_back(static_cast<uint16_t>(i));
  }
  return removed;
}

uint16_t Slots::find_service(std::string_view name) const {
  for (size_t i = 0; i < services.size(); ++i) {
    const dataplane::ServiceEntry& s = services[i].entry;
    if (s.used && s.configured && s.name == name) return static_cast<uint16_t>(i);
  }
  return kNoSlot;
}

const dataplane::HttpRules* ServiceSlot::rules(uint32_t number) const {
  if (entry.splice != nullptr && entry.splice->rules->number == number)
    return entry.splice->rules.get();
  for (const KeptSlot& k : kept)
    if (k.number() == number) return k.rules.splice->rules.get();
  return nullptr;
}

bool Slots::any_kept() const {
  return std::any_of(services.begin(), services.end(),
                     [](const ServiceSlot& s) { return !s.kept.empty(); });
}

Slots::Freed Slots::reclaim_rules(uint64_t settled, const Held& held) {
  Freed freed = Freed::nothing;
  for (size_t i = 0; i < services.size(); ++i) {
    ServiceSlot& s = services[i];
    const auto* now = s.entry.splice == nullptr ? nullptr : s.entry.splice->table.get();
    std::erase_if(s.kept, [&](KeptSlot& k) {
      const bool unheld = k.replaced_in <= settled &&
                          held(static_cast<uint16_t>(i), dataplane::place_of(k.number())) == 0;
      const bool gone = std::exchange(k.unheld, unheld) && unheld;
      const bool table = now == nullptr && k.rules.splice->table != nullptr;
      if (gone) freed = std::max(freed, table ? Freed::table : Freed::rules);
      return gone;
    });
  }
  return freed;
}

bool Slots::anything_removed() const {
  const auto service_removed = [](const ServiceSlot& s) {
    return s.entry.used && !s.entry.configured;
  };
  const auto backend_removed = [](const BackendSlot& b) {
    const auto source_removed = [](const BackendSource& s) { return s.removed_in != 0; };
    return b.used &&
           (!b.configured || std::any_of(b.sources.begin(), b.sources.end(), source_removed));
  };
  return std::any_of(services.begin(), services.end(), service_removed) ||
         std::any_of(backends.begin(), backends.end(), backend_removed);
}

bool Slots::reclaim(uint64_t settled, const Active& backend_flows, const Active& service_flows) {
  bool freed = false;
  const auto over = [settled](uint64_t removed_in) {
    return removed_in != 0 && removed_in <= settled;
  };
  for (size_t i = 0; i < backends.size(); ++i) {
    BackendSlot& b = backends[i];
    if (!b.used) continue;
    const bool removed = !b.configured && over(b.removed_in);
    const auto first_over = std::find_if(b.sources.begin(), b.sources.end(),
                                         [&](const auto& s) { return over(s.removed_in); });
    if (!removed && first_over == b.sources.end()) continue;
    if (backend_flows(static_cast<uint16_t>(i)) != 0) continue;
    freed = true;
    if (removed) {
      const auto next = static_cast<uint16_t>(b.generation + 1);
      b = {};
      b.generation = next == 0 ? uint16_t{1} : next;
    } else {
      std::erase_if(b.sources, [&](const auto& s) { return over(s.removed_in); });
    }
  }
  for (size_t i = 0; i < services.size(); ++i) {
    ServiceSlot& s = services[i];
    if (!s.entry.used || s.entry.configured || !over(s.removed_in)) continue;
    if (service_flows(static_cast<uint16_t>(i)) != 0) continue;
    freed = true;
    s = {};
  }
  if (freed) release_sources();
  return freed;
}

// A source is used exactly as long as some backend slot refers to it.
void Slots::release_sources() {
  std::vector<bool> referred(sources.size());
  for (const BackendSlot& b : backends)
    for (const BackendSource& s : b.sources) referred[s.source] = true;
  for (size_t i = 0; i < sources.size(); ++i)
    if (!referred[i]) sources[i] = {};
}

}  // namespace limpet::publish
