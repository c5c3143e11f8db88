// The one function that turns what is known of a client into a backend, with the reason. Called
// once per new connection; flows that exist never come here.
//
// A service's persistence list is compiled into a Policy and its entries are tried in order. Each
// entry either names a backend or has no opinion (its carrier is absent, or names a backend that
// may not be used); the first that names a usable one wins, and the pool's table balances the
// connection when nobody does. An entry kind is added in three places: an EntryType, what it needs
// in Entry and Client, its case in choose(). Source always has an opinion, so whatever stands
// behind it is never reached.
#pragma once

#include <array>
#include <cassert>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include "limpet/affinity/reason.h"
#include "limpet/affinity/source.h"
#include "limpet/balance/maglev.h"
#include "limpet/base/address.h"
#include "limpet/base/endian.h"

namespace limpet::affinity {

enum class EntryType : uint8_t { source };

struct Entry {
  EntryType type = EntryType::source;
  SourceKey source;
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
    entries_[count_++] = {EntryType::source, {prefix4, prefix6, seed_}};
    return *this;
  }

  uint64_t seed() const { return seed_; }
  const Entry* begin() const { return entries_.data(); }
  const Entry* end() const { return entries_.data() + count_; }

 private:
  uint64_t seed_ = 0;
  std::array<Entry, kMaxEntries> entries_{};
  uint8_t count_ = 0;
};
static_assert(std::is_trivially_copyable_v<Policy>);

struct Client {
  IpAddress address;
  be16 port{};
};

struct Choice {
  uint16_t member = balance::Maglev::kNone;  // index in the table's member list
  Reason reason = Reason::no_backend;
  friend bool operator==(const Choice&, const Choice&) = default;
};

// `usable(member)`: may a client that is new to this backend be sent to it (accepts_new)?
template <class Usable>
Choice choose(const Policy& policy, const Client& client, const balance::Maglev& table,
              Usable&& usable) {
  for (const Entry& entry : policy) {
    switch (entry.type) {
      case EntryType::source: {
        const uint64_t hash = hash_source(entry.source, client.address);
        const uint16_t member = table.lookup(hash, usable);
        if (member == balance::Maglev::kNone) return {};
        return {member,
                member == table.first_choice(hash) ? Reason::source : Reason::source_redirected};
      }
    }
  }
  const uint64_t hash = hash_connection(policy.seed(), client.address, client.port.host());
  const uint16_t member = table.lookup(hash, usable);
  if (member == balance::Maglev::kNone) return {};
  return {member, Reason::connection};
}

}  // namespace limpet::affinity
