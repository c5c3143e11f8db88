// Neighbor cache of one worker (ARP and ND in one): next-hop address -> MAC, with the packets that
// wait for the answer. Decides what has to be asked and when; building and sending the frames is
// the worker's. Preallocated; no clock of its own.
//
// States follow RFC 4861, 7.3.2, reduced to what a balancer needs: without upper-layer hints every
// neighbor in use is confirmed by a unicast probe after kReachable.
#pragma once

#include <rte_mbuf.h>

#include <cstdint>
#include <vector>

#include "limpet/base/address.h"
#include "limpet/base/time.h"

namespace limpet::dataplane {

enum class NeighborState : uint8_t { free, incomplete, reachable, probe, failed };
const char* neighbor_state_name(NeighborState s);

struct Neighbor {
  IpAddress address;
  MacAddress mac;
  uint16_t port = 0;
  NeighborState state = NeighborState::free;
  uint8_t attempts = 0;  // requests sent in this state
  uint8_t failures = 0;  // rounds failed in a row: back-off
  bool way = false;      // backends or routes lead there: no client displaces it
  bool guessed = false;  // the MAC that a frame came from, nobody has confirmed it yet
  uint16_t waiting = 0;  // packets held
  uint16_t stamp = 1;    // see Neighbors::stamp()
  uint32_t held_head = 0xffffffff;
  uint32_t held_tail = 0xffffffff;
  Tick since = 0;                   // of the state (reachable: of the last confirmation)
  Tick used = 0;                    // last asked for
  Tick next = 0;                    // when something is due
  uint32_t hash_next = 0xffffffff;  // of free entries: the free list
};

class Neighbors {
 public:
  static constexpr uint16_t kNone = 0xffff;
  static constexpr uint32_t kNoNode = 0xffffffff;
  static constexpr unsigned kAttempts = 3;     // RFC 4861: MAX_MULTICAST_SOLICIT
  static constexpr unsigned kMaxWaiting = 64;  // packets per neighbor
  static constexpr Duration kRetransmit = std::chrono::seconds(1);
  static constexpr Duration kReachable = std::chrono::seconds(30);
  static constexpr Duration kUnused = std::chrono::minutes(5);  // then forgotten
  static constexpr Duration kMaxBackOff = std::chrono::seconds(32);

  struct Held {
    rte_mbuf* frame = nullptr;
    bool originated = false;  // ours, not a received one: outside the held gauge
    uint32_t next = kNoNode;
  };

  // Whom an entry is for. Whoever can invent addresses on our link makes as many clients as he
  // likes; so those have three quarters of the places, and of what may wait, and never take those
  // of next hops of backends and routes.
  enum class For : uint8_t { client, way };

  // `capacity` neighbors (at most 65534), `held` waiting packets in all.
  Neighbors(uint16_t capacity, uint32_t held);

  // Index of the entry; makes one (incomplete, request due at once) when absent. kNone when the
  // cache is full and the few entries that are looked at are in use.
  uint16_t find_or_add(uint16_t port, const IpAddress& address, Tick now, For whom = For::way);
  // A client's frame came from `mac`: used until it is confirmed (after kRetransmit) when nothing
  // better is known, so that whoever has just asked is answered without a question (RFC 4861,
  // 7.3.3: as STALE). Such entries are the first to be replaced.
  void guess(uint16_t port, const IpAddress& address, const MacAddress& mac, Tick now);
  uint16_t find(uint16_t port, const IpAddress& address) const;
  Neighbor& at(uint16_t index) { return entries_[index]; }
  const Neighbor& at(uint16_t index) const { return entries_[index]; }
  uint16_t capacity() const { return static_cast<uint16_t>(entries_.size()); }
  uint16_t used() const { return used_; }
  uint64_t replaced() const { return replaced_; }  // entries that made room for others
  uint64_t refused() const { return refused_; }    // asked for, and no place was found

  // Changes when the index gets another meaning; who keeps an index keeps its stamp and compares.
  // Never 0. One per entry: what happens to other entries does not matter, and a stamp comes again
  // only after this entry has changed hands 65535 times.
  uint16_t stamp(uint16_t index) const { return entries_[index].stamp; }
  void invalidate();  // all of them: routes have changed

  bool usable(uint16_t index) const {
    const NeighborState s = entries_[index].state;
    return s == NeighborState::reachable || s == NeighborState::probe;
  }

  // False when the neighbor, or the cache in all, holds as much as it may, or is known not to
  // answer.
  bool hold(uint16_t index, rte_mbuf* frame, bool originated);
  // Takes the oldest waiting packet; false when there is none.
  bool release(uint16_t index, Held& out);
  uint32_t held_in_all() const { return held_used_; }

  // An answer, or a request that told us who asks: updates; true when packets may wait for it.
  bool learn(uint16_t index, const MacAddress& mac, Tick now);

  // Visits at most `budget` entries round-robin and calls ask(index, unicast) where a request is
  // due and fail(index) where one gave up (the caller then drops what waits).
  template <class Ask, class Fail>
  void tick(Tick now, unsigned budget, Ask&& ask, Fail&& fail);

 private:
  enum class Due { nothing, multicast, unicast, failed };
  Due due(uint16_t index, Tick now);
  uint32_t bucket(uint16_t port, const IpAddress& address) const;
  void remove(uint16_t index);
  uint16_t reclaim(Tick now, For whom);
  bool may_replace(const Neighbor& n, Tick now, For whom) const;
  bool rather(const Neighbor& a, const Neighbor& b) const;
  static uint16_t next_stamp(uint16_t stamp) {
    return stamp == 0xffff ? uint16_t{1} : static_cast<uint16_t>(stamp + 1);
  }

  std::vector<Neighbor> entries_;
  std::vector<uint32_t> buckets_;
  std::vector<Held> nodes_;
  uint32_t free_node_ = kNoNode;
  uint32_t held_used_ = 0;
  uint32_t free_entry_ = 0xffffffff;
  uint32_t hand_ = 0;  // where reclaim() looks next
  uint16_t used_ = 0;
  uint16_t ways_ = 0;  // of those
  uint16_t most_clients_;
  uint32_t most_held_for_clients_;
  uint64_t replaced_ = 0, refused_ = 0;
  uint16_t cursor_ = 0;
};

template <class Ask, class Fail>
void Neighbors::tick(Tick now, unsigned budget, Ask&& ask, Fail&& fail) {
  if (used_ == 0) return;
  for (unsigned i = 0; i < budget; ++i) {
    cursor_ = cursor_ + 1u >= entries_.size() ? uint16_t{0} : static_cast<uint16_t>(cursor_ + 1);
    switch (due(cursor_, now)) {
      case Due::nothing:
        break;
      case Due::multicast:
        ask(cursor_, false);
        break;
      case Due::unicast:
        ask(cursor_, true);
        break;
      case Due::failed:
        fail(cursor_);
        break;
    }
  }
}

}  // namespace limpet::dataplane
