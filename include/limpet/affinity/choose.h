// The one function that turns what is known of a client into a backend, with the reason. Called
// once per new connection; flows that exist never come here.
//
// A service's persistence list is compiled into a Policy and its entries are tried in order. Each
// entry either names a backend or has no opinion (its carrier is absent, or names a backend that
// may not be used); the first that names a usable one wins, and the pool's scheduler is given the
// connection when nobody does. An entry kind is a type of Entry, with what it needs in Client and
// its case in choose(). Source always has an opinion, so whatever stands behind it is never
// reached; a header has one where the request has a value.
//
// Cookies and headers are read where the request head is (cookie_policy.h, learn.h, header.h),
// before this: what they said comes in as Client::cookies and Client::headers. A cookie that failed
// does not decide, but it is the reason: "balanced anew because its backend was down" tells more
// than by which hash.
//
// First pin: with `pins`, a source entry is looked up and stored in one atomic step, so parallel
// first connections of a client end at one backend whatever the workers know of it at that moment.
#pragma once

#include <array>
#include <cassert>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include "limpet/affinity/header.h"
#include "limpet/affinity/persistence.h"
#include "limpet/affinity/pins.h"
#include "limpet/affinity/reason.h"
#include "limpet/affinity/settings.h"
#include "limpet/affinity/source.h"
#include "limpet/balance/maglev.h"
#include "limpet/balance/scheduler.h"
#include "limpet/base/address.h"
#include "limpet/base/endian.h"

namespace limpet::affinity {

struct CookieEntry {
  uint8_t index = 0;  // its place among them, an index into Client::cookies
};
struct HeaderEntry {
  uint8_t index = 0;  // likewise, into Client::headers
};
using Entry = std::variant<SourceKey, CookieEntry, HeaderEntry>;
static_assert(std::variant_size_v<Entry> == std::variant_size_v<EntrySettings>);

// Immutable in a snapshot; trivially copyable, so that it lives inside the service's own record.
class Policy {
 public:
  Policy() = default;  // no persistence
  explicit Policy(std::string_view pool_name) : seed_(seed_of(pool_name)) {}

  // Prefix lengths as configured: 1 .. 32 and 1 .. 128.
  Policy& add_source(uint8_t prefix4, uint8_t prefix6) {
    assert(prefix4 <= 32 && prefix6 <= 128);
    return add(SourceKey{prefix4, prefix6, seed_});
  }
  Policy& add_cookie() { return add(CookieEntry{cookies_++}); }
  Policy& add_header() { return add(HeaderEntry{headers_++}); }
  Policy& add(const EntrySettings& settings) {
    return std::visit(Visit{[this](const SourceSettings& s) -> Policy& {
                              return add_source(s.prefix4, s.prefix6);
                            },
                            [this](const CookieSettings&) -> Policy& { return add_cookie(); },
                            [this](const HeaderSettings&) -> Policy& { return add_header(); }},
                      settings);
  }

  uint64_t seed() const { return seed_; }
  uint8_t cookies() const { return cookies_; }  // how many entries are cookies
  uint8_t headers() const { return headers_; }  // and headers
  const Entry* begin() const { return entries_.data(); }
  const Entry* end() const { return entries_.data() + count_; }

 private:
  Policy& add(const Entry& entry) {
    assert(count_ < kMaxEntries);
    entries_[count_++] = entry;
    return *this;
  }

  uint64_t seed_ = 0;
  std::array<Entry, kMaxEntries> entries_{};
  uint8_t count_ = 0;
  uint8_t cookies_ = 0;
  uint8_t headers_ = 0;
};
static_assert(std::is_trivially_copyable_v<Policy>);

// What the request's cookies said to one cookie entry; of RequestDecision.
struct CookieOutcome {
  uint16_t member = balance::Maglev::kNone;  // flag V only
  RequestFlag flag = RequestFlag::none;
  bool draining = false;
};

struct Client {
  IpAddress address;
  be16 port{};
  std::span<const CookieOutcome> cookies;                 // by cookie entry; a missing one says N
  std::span<const std::optional<uint64_t>> headers = {};  // by header entry: hash_key()
};

struct Choice {
  static constexpr uint8_t kNoEntry = 0xff;
  uint16_t member = balance::Maglev::kNone;  // index in the table's member list
  Reason reason = Reason::no_backend;
  uint8_t entry = kNoEntry;  // of the list: the one that decided; kNoEntry: balanced
  bool raced = false;        // first pin: a parallel connection was faster, its backend is taken
  bool moved = false;        // the pin's backend may not be used: the pin was changed
  friend bool operator==(const Choice&, const Choice&) = default;
};

// Why a client is balanced anew although the service has cookies.
constexpr Reason reason_of(RequestFlag flag) {
  switch (flag) {
    case RequestFlag::invalid:
      return Reason::cookie_invalid;
    case RequestFlag::down:
    case RequestFlag::valid:  // but its backend could not be connected
      return Reason::cookie_down;
    case RequestFlag::expired:
      return Reason::cookie_expired;
    case RequestFlag::old:
      return Reason::cookie_old;
    case RequestFlag::none:
    case RequestFlag::unused:
    case RequestFlag::count_:
      break;
  }
  return Reason::cookie_none;
}

struct NoPins {};  // source addresses are hashed, statelessly

// `table`: where keys lead. `scheduler`: who is given a client without one.
// `usable(member)`: may a client that is new to this backend be sent to it (accepts_new)? On
// redispatch it says no to the backends that were tried, and the cookie that named one of them
// comes with its flag but without a member. `pins`: NoPins, Pins or PeekedPins.
template <class Usable, class PinTable = NoPins>
Choice choose(const Policy& policy, const Client& client, const balance::Maglev& table,
              balance::Scheduler scheduler, Usable&& usable, PinTable&& pins = {}) {
  constexpr auto kNone = balance::Maglev::kNone;
  Reason failed = Reason::cookie_none;  // the first cookie that was there and did not decide
  uint8_t index = 0;
  // What stands for a client that has a key: its own backend, or the next one that is usable.
  const auto by_hash = [&](uint64_t hash, Pinned pin, Reason first, Reason next) -> Choice {
    if (pin.member == kNone) return {};
    Reason reason = failed;
    if (reason == Reason::cookie_none)
      reason = pin.earlier                              ? Reason::source_pinned
               : pin.member == table.first_choice(hash) ? first
                                                        : next;
    return {pin.member, reason, index, pin.raced, pin.moved};
  };
  for (const Entry& entry : policy) {
    const std::optional<Choice> choice = std::visit(
        Visit{[&](const CookieEntry& e) -> std::optional<Choice> {
                if (e.index >= client.cookies.size()) return std::nullopt;
                const CookieOutcome& c = client.cookies[e.index];
                if (c.member != kNone)
                  return Choice{c.member, c.draining ? Reason::cookie_draining : Reason::cookie,
                                index};
                if (failed == Reason::cookie_none) failed = reason_of(c.flag);
                return std::nullopt;
              },
              [&](const HeaderEntry& e) -> std::optional<Choice> {
                if (e.index >= client.headers.size() || !client.headers[e.index])
                  return std::nullopt;
                const uint64_t hash = hash_header(policy.seed(), *client.headers[e.index]);
                return by_hash(hash, {.member = table.lookup(hash, usable)}, Reason::header,
                               Reason::header_redirected);
              },
              [&](const SourceKey& key) -> std::optional<Choice> {
                const uint64_t hash = hash_source(key, client.address);
                const auto hashed = [&] { return table.lookup(hash, usable); };
                Pinned pin;
                if constexpr (std::is_same_v<std::remove_cvref_t<PinTable>, NoPins>) {
                  pin.member = hashed();
                } else {
                  pin = pins.pin(pins.table.key(index, network_of(key, client.address).bytes),
                                 hashed);
                }
                return by_hash(hash, pin, Reason::source, Reason::source_redirected);
              }},
        entry);
    if (choice) return *choice;
    ++index;
  }
  const uint64_t hash = hash_connection(policy.seed(), client.address, client.port.host());
  const uint16_t member = scheduler.pick(hash, usable);
  if (member == kNone) return {};
  if (policy.cookies() != 0) return {member, failed};
  return {member, policy.headers() != 0 ? Reason::header_none : Reason::connection};
}

// Of a pool whose scheduler is its table.
template <class Usable, class PinTable = NoPins>
Choice choose(const Policy& policy, const Client& client, const balance::Maglev& table,
              Usable&& usable, PinTable&& pins = {}) {
  return choose(policy, client, table, balance::Scheduler(table), std::forward<Usable>(usable),
                std::forward<PinTable>(pins));
}

}  // namespace limpet::affinity
