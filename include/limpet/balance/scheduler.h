// Who is given a client that has no key: a new one, or one whose backend may not be used. The
// alternatives of a pool's setting `scheduler`, as one value. Another one is a member here and a
// case in pick().
#pragma once

#include <cstdint>

#include "limpet/balance/maglev.h"
#include "limpet/balance/round_robin.h"

namespace limpet::balance {

enum class SchedulerType : uint8_t {
  maglev,     // by the hash of the connection: stateless, the same on every worker and node
  roundrobin  // in turn, by weight; each worker has its own turns
};

const char* name(SchedulerType type);  // "roundrobin"

// Of one worker and one pool; copied freely, owns nothing.
class Scheduler {
 public:
  explicit Scheduler(const Maglev& table) : table_(&table) {}
  explicit Scheduler(RoundRobin& turns) : turns_(&turns) {}

  // `hash` of the connection; usable(index) as for Maglev::lookup(). kNone when nobody is usable.
  template <class Usable>
  uint16_t pick(uint64_t hash, Usable&& usable) const {
    return turns_ != nullptr ? turns_->pick(usable) : table_->lookup(hash, usable);
  }

 private:
  const Maglev* table_ = nullptr;
  RoundRobin* turns_ = nullptr;
};

}  // namespace limpet::balance
