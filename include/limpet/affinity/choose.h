// The one function that turns what is known of a client into a backend, with the reason. Called
// once per new connection; flows that exist never come here.
//
// A service's persistence list is compiled into a Policy and its entries are tried in order. Each
// entry either names a backend or has no opinion (its carrier is absent, or names a backend that
// may not be used); the first that names a usable one wins, and the pool's table balances the
// connection when nobody does. An entry kind is added in three places: an EntryType, what it needs
// in Entry and Client, its case in choose(). Source always has an opinion, so whatever stands
// behind it is never reached.
//
// Cookies are read where the request head is (cookie_policy.h, learn.h), before this: what they
// said comes in as Client::cookies. A cookie that failed does not decide, but it is the reason:
// "balanced anew because its backend was down" tells more than by which hash.
//
// First pin: with `pins`, a source entry is looked up and stored in one atomic step, so parallel
// first connections of a client end at one backend whatever the workers know of it at that moment.
#pragma once

#include <array>
#include <cassert>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

#include "limpet/affinity/persistence.h"
#include "limpet/affinity/pins.h"
#include "limpet/affinity/reason.h"
#include "limpet/affinity/source.h"
#include "limpet/balance/maglev.h"
#include "limpet/base/address.h"
#include "limpet/base/endian.h"

namespace limpet::affinity {

enum class EntryType : uint8_t { source, cookie };

struct Entry {
  EntryType type = EntryType::source;
  SourceKey source;    // of a source entry
  uint8_t cookie = 0;  // of a cookie entry: its place among them, an index into Client::cookies
};

// Immutable in a snapshot; trivially copyable, so that it lives inside the service's own record.
class Policy {
 public:
  static constexpr size_t kMaxEntries = 8;

  Policy() = default;  // no persistence
  explicit Policy(std::string_view pool_name) : seed_(seed_of(pool_name)) {}

  // Prefix lengths as configured: 1 .. 32 and 1 .. 128.
  Policy& add_source(uint8_t prefix4, uint8_t prefix6) {
    assert(count_ < kMaxEntries && prefix4 <= 32 && prefix6 <= 128);
    entries_[count_++] = {EntryType::source, {prefix4, prefix6, seed_}, 0};
    return *this;
  }
  Policy& add_cookie() {
    assert(count_ < kMaxEntries);
    entries_[count_++] = {EntryType::cookie, {}, cookies_++};
    return *this;
  }

  uint64_t seed() const { return seed_; }
  uint8_t cookies() const { return cookies_; }  // how many entries are cookies
  const Entry* begin() const { return entries_.data(); }
  const Entry* end() const { return entries_.data() + count_; }

 private:
  uint64_t seed_ = 0;
  std::array<Entry, kMaxEntries> entries_{};
  uint8_t count_ = 0;
  uint8_t cookies_ = 0;
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
  std::span<const CookieOutcome> cookies;  // by cookie entry; a missing one says N
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

// `usable(member)`: may a client that is new to this backend be sent to it (accepts_new)? On
// redispatch it says no to the backends that were tried, and the cookie that named one of them
// comes with its flag but without a member. `pins`: NoPins, Pins or PeekedPins.
template <class Usable, class PinTable = NoPins>
Choice choose(const Policy& policy, const Client& client, const balance::Maglev& table,
              Usable&& usable, PinTable&& pins = {}) {
  Reason failed = Reason::cookie_none;  // the first cookie that was there and did not decide
  uint8_t index = 0;
  for (const Entry& entry : policy) {
    switch (entry.type) {
      case EntryType::cookie: {
        if (entry.cookie >= client.cookies.size()) break;
        const CookieOutcome& c = client.cookies[entry.cookie];
        if (c.member != balance::Maglev::kNone)
          return {c.member, c.draining ? Reason::cookie_draining : Reason::cookie, index};
        if (failed == Reason::cookie_none) failed = reason_of(c.flag);
        break;
      }
      case EntryType::source: {
        const uint64_t hash = hash_source(entry.source, client.address);
        const auto hashed = [&] { return table.lookup(hash, usable); };
        Pinned pin;
        if constexpr (std::is_same_v<std::remove_cvref_t<PinTable>, NoPins>) {
          pin.member = hashed();
        } else {
          pin = pins.pin(pins.table.key(index, network_of(entry.source, client.address).bytes),
                         hashed);
        }
        if (pin.member == balance::Maglev::kNone) return {};
        Reason reason = failed;
        if (reason == Reason::cookie_none)
          reason = pin.earlier                              ? Reason::source_pinned
                   : pin.member == table.first_choice(hash) ? Reason::source
                                                            : Reason::source_redirected;
        return {pin.member, reason, index, pin.raced, pin.moved};
      }
    }
    ++index;
  }
  const uint64_t hash = hash_connection(policy.seed(), client.address, client.port.host());
  const uint16_t member = table.lookup(hash, usable);
  if (member == balance::Maglev::kNone) return {};
  return {member, policy.cookies() == 0 ? Reason::connection : failed};
}

}  // namespace limpet::affinity
