// First pin without a race, for keys that the client brings by itself (source address). The table
// outlives snapshots, so a pin also survives that the pool grows, which a hash alone does not.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include "limpet/affinity/backend_ids.h"
#include "limpet/affinity/learn.h"
#include "limpet/affinity/stick_table.h"
#include "limpet/balance/maglev.h"

namespace limpet::affinity {

struct Pinned {
  uint16_t member = balance::Maglev::kNone;
  bool earlier = false;  // an entry that was there before decided
  bool raced = false;    // another connection of the client was faster by less than this call
  bool moved = false;    // the entry's backend may not be used: the entry was changed
};

// What choose() needs to pin. `existing(member)`: do sessions still go there (accepts_existing)?
template <class Existing>
struct Pins {
  StickTable& table;
  const BackendIds& backends;
  Existing existing;
  Instant now;
  StickHandle used = {};  // of pin(): the entry that decided, or was made

  // `propose()` -> member for a new client, or kNone; asked only when no entry decides.
  template <class Propose>
  Pinned pin(const StickKey& key, Propose&& propose) {
    const StickResult found = table.find(key, now);
    if (found.what == Stick::found) {
      const uint16_t member = member_of(backends, found.value);
      if (usable(member)) {
        used = found.handle;
        return {.member = member, .earlier = true};
      }
    }
    const uint16_t proposed = propose();
    if (proposed == balance::Maglev::kNone) return {};
    const StickValue value = value_of(backends, proposed);
    const bool move = found.what == Stick::found;
    const StickResult r =
        move ? table.update_if(key, found.value, value, now) : table.get_or_insert(key, value, now);
    const uint16_t member = member_of(backends, r.value);
    // Another worker's choice that this one has heard is dead: let it be moved by a later
    // connection.
    if (!usable(member)) return {.member = proposed, .moved = move};
    used = r.handle;
    return {.member = member, .raced = r.what == Stick::found, .moved = move};
  }

 private:
  bool usable(uint16_t member) { return member != balance::Maglev::kNone && existing(member); }
};
template <class Existing>
Pins(StickTable&, const BackendIds&, Existing, Instant) -> Pins<Existing>;

// What Pins would say, without a trace in the table: for those who only want to know.
template <class Existing>
struct PeekedPins {
  const StickTable& table;
  const BackendIds& backends;
  Existing existing;
  Instant now;

  template <class Propose>
  Pinned pin(const StickKey& key, Propose&& propose) {
    const std::optional<StickValue> known = table.peek(key, now);
    if (known) {
      const uint16_t member = member_of(backends, *known);
      if (member != balance::Maglev::kNone && existing(member))
        return {.member = member, .earlier = true};
    }
    return {.member = propose(), .moved = known.has_value()};
  }
};
template <class Existing>
PeekedPins(const StickTable&, const BackendIds&, Existing, Instant) -> PeekedPins<Existing>;

}  // namespace limpet::affinity
