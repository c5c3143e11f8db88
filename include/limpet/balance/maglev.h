// Maglev consistent hashing (Eisenbud et al., NSDI 2016, section 3.4), weighted.
//
// The table is built from stable names, never from addresses, indices or health, so every node with the
// same configuration builds the same table. It is immutable: build it off the worker, share it by const
// reference. A backend that is down stays in the table and is stepped over at look-up, so other clients
// do not move at all and it gets exactly its own clients back.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace limpet::balance {

struct MaglevMember {
  std::string name;     // stable identity, unique in the table
  uint32_t weight = 1;  // 0 .. 256; 0 owns no entries
};

class Maglev {
 public:
  static constexpr uint16_t kNone = 0xffff;
  static constexpr unsigned kSteps = 16;  // rehashes before the exhaustive fallback

  Maglev() = default;                                                    // empty: every look-up answers kNone
  Maglev(std::span<const MaglevMember> members, uint32_t size = 65537);  // size: prime > members

  // Index of the member for `hash`, skipping those for which usable(index) is false; kNone when none is.
  // Deterministic: the candidates of a hash are a fixed sequence, so a client returns to the earliest
  // usable one. Members of weight 0 are never chosen.
  template <class Usable>
  uint16_t lookup(uint64_t hash, Usable&& usable) const;

  uint16_t first_choice(uint64_t hash) const;  // who owns the hash when all are usable; kNone when empty
  uint32_t entries(uint16_t member) const;     // how many table entries the member owns
  uint32_t size() const { return static_cast<uint32_t>(table_.size()); }
  uint16_t members() const;
  std::span<const uint16_t> table() const { return table_; }

 private:
  std::vector<uint16_t> table_;
  std::vector<uint64_t> seeds_;    // per member, for the fallback
  std::vector<uint32_t> weights_;
  std::vector<uint32_t> entries_;
};

}  // namespace limpet::balance
