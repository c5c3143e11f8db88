#include "sessions.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "limpet/affinity/source.h"

namespace limpet::console {

using affinity::StickKey;
using affinity::StickView;
using nlohmann::json;

namespace {

// A source address by its prefix, a learned value as it is, and what is longer than a key by its
// hash, which is of this process.
std::string key_text(const StickView& s, const affinity::EntrySettings* entry) {
  if (s.length == StickKey::kHashedLength) {
    std::string text = "hash:";
    for (size_t i = 0; i < 16; ++i) text += fmt::format("{:02x}", s.key[i]);
    return text;
  }
  if (entry != nullptr && std::holds_alternative<affinity::SourceSettings>(*entry) &&
      s.length == sizeof(IpAddress::bytes)) {
    IpAddress address;
    std::copy_n(s.key.begin(), address.bytes.size(), address.bytes.begin());
    return address.to_string();
  }
  // A backend chose it: it must not speak to the operator's terminal.
  std::string text;
  for (size_t i = 0; i < s.length; ++i) {
    const uint8_t c = s.key[i];
    text += c >= 0x20 && c < 0x7f && c != '\\' ? std::string(1, static_cast<char>(c))
                                               : fmt::format("\\x{:02x}", c);
  }
  return text;
}

// The entry of today's list that such keys are of; null: none is any more.
const affinity::EntrySettings* entry_of(const dataplane::SpliceEntry& e, uint8_t kind) {
  const std::vector<uint8_t>& kinds = e.table->settings().kinds;
  const auto at = std::find(kinds.begin(), kinds.end(), kind);
  const auto& entries = e.rules->settings.entries;
  const auto i = static_cast<size_t>(at - kinds.begin());
  return i < entries.size() ? &entries[i] : nullptr;
}

// Of the service's pool as it is now: empty when it has left.
std::string backend_of(const View& v, const std::string& service, uint32_t id) {
  const uint16_t slot = v.slots.find_service(service);
  if (slot == dataplane::kNoSlot || v.snapshot.services[slot].pool == dataplane::kNoSlot) return {};
  const dataplane::PoolEntry& pool = v.snapshot.pools[v.snapshot.services[slot].pool];
  const auto found = pool.ids.find(id);
  return found.empty() ? std::string() : std::string(pool.ids.name(found.front().member));
}

}  // namespace

Result<SessionWalk> SessionWalk::begin(const View& v, Wanted wanted) {
  const uint16_t slot = v.slots.find_service(wanted.service);
  if (slot == dataplane::kNoSlot) return Error{fmt::format("no service \"{}\"", wanted.service)};
  const auto& entry = v.snapshot.services[slot].splice;
  if (entry == nullptr || entry->table == nullptr)
    return Error{
        fmt::format("service \"{}\" has no stick table; its sessions are in cookies, or "
                    "follow from a hash",
                    wanted.service)};
  if (!wanted.backend.empty()) {
    const dataplane::PoolEntry& pool = v.snapshot.pools[v.snapshot.services[slot].pool];
    bool known = false;
    for (size_t m = 0; m < pool.ids.size(); ++m)
      known = known || pool.ids.name(static_cast<uint16_t>(m)) == wanted.backend;
    if (!known)
      return Error{fmt::format("no backend \"{}\" in pool \"{}\"", wanted.backend, pool.name)};
  }
  return SessionWalk(std::move(wanted), entry);
}

std::vector<StickKey> SessionWalk::keys() const {
  std::vector<StickKey> keys;
  const auto& entries = entry_->rules->settings.entries;
  for (size_t i = 0; i < entries.size(); ++i) {
    const auto entry = static_cast<uint8_t>(i);
    std::visit(affinity::Visit{[&](const affinity::SourceSettings& s) {
                                 const auto address = IpAddress::parse(wanted_.key);
                                 if (!address) return;
                                 const affinity::SourceKey key{s.prefix4, s.prefix6, 0};
                                 keys.push_back(entry_->table->key(
                                     entry, affinity::network_of(key, *address).bytes));
                               },
                               [&](const affinity::CookieSettings& c) {
                                 if (c.mode == affinity::CookieMode::learn)
                                   keys.push_back(entry_->table->key(entry, wanted_.key));
                               },
                               [](const affinity::HeaderSettings&) {}},
               entries[i]);
  }
  return keys;
}

void SessionWalk::add(const View& v, const StickView& s) {
  const affinity::EntrySettings* entry = entry_of(*entry_, s.kind);
  const std::string backend = backend_of(v, wanted_.service, s.value.backend);
  const json row = {
      {"service", wanted_.service},
      {"table", wanted_.service},
      {"entry",
       entry == nullptr ? json(nullptr) : json(entry - entry_->rules->settings.entries.data())},
      {"type", entry == nullptr ? json(nullptr) : json(affinity::type_name(*entry))},
      {"key", key_text(s, entry)},
      {"backend", backend.empty() ? json(nullptr) : json(backend)},
      {"age_s", nullptr},  // not kept
      {"idle_s", seconds(s.idle)},
      {"expires_s", seconds(s.expires)},
      {"connections", s.connections},
      {"origin", "local"}};
  if (count_++ != 0) rows_ += ',';
  rows_ += row.dump(-1, ' ', false, json::error_handler_t::replace);
}

bool SessionWalk::turn(const View& v) {
  affinity::StickTable& table = *entry_->table;
  const auto of_backend = [&](const StickView& s) {
    return wanted_.backend.empty() ||
           backend_of(v, wanted_.service, s.value.backend) == wanted_.backend;
  };
  if (!wanted_.key.empty()) {
    for (const StickKey& key : keys()) {
      const std::optional<StickView> s = table.look(key, v.now);
      if (!s || !of_backend(*s)) continue;
      if (!wanted_.clear)
        add(v, *s);
      else if (table.erase(key.hash))
        ++count_;
    }
    return true;
  }
  if (wanted_.clear) {
    count_ += static_cast<uint32_t>(table.clear(cursor_, of_backend, v.now));
    return cursor_.done;
  }
  std::array<StickView, kSlice> views;
  const size_t n = table.read(cursor_, views, v.now);
  for (size_t i = 0; i < n; ++i) {
    if (count_ == wanted_.limit) {
      more_ = true;
      return true;
    }
    add(v, views[i]);
  }
  return cursor_.done;
}

std::string SessionWalk::text(Duration uptime) const {
  if (wanted_.clear) {
    const std::string what = count_ == 1 ? "1 session" : fmt::format("{} sessions", count_);
    return json{{"service", wanted_.service},
                {"cleared", count_},
                {"text", fmt::format("{}: {} forgotten; connections that are open stay where they "
                                     "are",
                                     wanted_.service, what)}}
        .dump(-1, ' ', false, json::error_handler_t::replace);
  }
  std::string text = envelope("sessions", {}, 0, more_, uptime).dump();
  const std::string empty = "\"sessions\":[]";
  text.insert(text.find(empty) + empty.size() - 1, rows_);
  return text;
}

}  // namespace limpet::console
