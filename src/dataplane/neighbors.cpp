// State machine of the neighbor cache (RFC 826, RFC 1122 2.3.2, RFC 4861 7.3).
#include "limpet/dataplane/neighbors.h"

#include <algorithm>

#include "limpet/base/hash.h"

namespace limpet::dataplane {
namespace {

constexpr Tick kRetransmitTicks = to_ticks(Neighbors::kRetransmit);
constexpr Tick kReachableTicks = to_ticks(Neighbors::kReachable);
constexpr Tick kUnusedTicks = to_ticks(Neighbors::kUnused);
constexpr unsigned kMaxFailures = 6;  // 2^5 s is kMaxBackOff
constexpr unsigned kReclaimWindow = 64;

constexpr Tick back_off(unsigned failures) {
  return kRetransmitTicks << (std::min(failures, kMaxFailures) - 1);
}
static_assert(back_off(kMaxFailures) == to_ticks(Neighbors::kRetransmit) * 32);

uint32_t power_of_two_above(uint32_t n) {
  uint32_t p = 16;
  while (p < n) p *= 2;
  return p;
}

}  // namespace

const char* neighbor_state_name(NeighborState s) {
  switch (s) {
    case NeighborState::free:
      return "free";
    case NeighborState::incomplete:
      return "incomplete";
    case NeighborState::reachable:
      return "reachable";
    case NeighborState::probe:
      return "probe";
    case NeighborState::failed:
      return "failed";
  }
  return "?";
}

Neighbors::Neighbors(uint16_t capacity, uint32_t held)
    : entries_(capacity),
      buckets_(power_of_two_above(2u * capacity), kNoNode),
      nodes_(held),
      most_clients_(static_cast<uint16_t>(capacity - capacity / 4)),
      most_held_for_clients_(held - held / 4) {
  for (uint32_t i = held; i-- > 0;) {
    nodes_[i].next = free_node_;
    free_node_ = i;
  }
  for (uint32_t i = capacity; i-- > 0;) {
    entries_[i].hash_next = free_entry_;
    free_entry_ = i;
  }
}

void Neighbors::invalidate() {
  for (Neighbor& n : entries_) n.stamp = next_stamp(n.stamp);
}

uint32_t Neighbors::bucket(uint16_t port, const IpAddress& address) const {
  const uint64_t h = mix64(mix64(address.high() ^ port) ^ address.low());
  return static_cast<uint32_t>(h & (buckets_.size() - 1));
}

uint16_t Neighbors::find(uint16_t port, const IpAddress& address) const {
  for (uint32_t i = buckets_[bucket(port, address)]; i != kNoNode; i = entries_[i].hash_next)
    if (entries_[i].port == port && entries_[i].address == address) return static_cast<uint16_t>(i);
  return kNone;
}

uint16_t Neighbors::find_or_add(uint16_t port, const IpAddress& address, Tick now, For whom) {
  uint16_t index = find(port, address);
  if (index == kNone) {
    index = reclaim(now, whom);
    if (index == kNone) {
      ++refused_;
      return kNone;
    }
    Neighbor& n = entries_[index];
    n.address = address;
    n.port = port;
    n.state = NeighborState::incomplete;
    n.since = n.next = now;
    uint32_t& head = buckets_[bucket(port, address)];
    n.hash_next = head;
    head = index;
    ++used_;
  }
  Neighbor& n = entries_[index];
  n.used = now;
  if (whom == For::way && !n.way) {
    n.way = true;
    ++ways_;
  }
  return index;
}

void Neighbors::guess(uint16_t port, const IpAddress& address, const MacAddress& mac, Tick now) {
  const uint16_t known = find(port, address);
  // Not of a backend or router that is silent: any client could take its place.
  if (known != kNone && (entries_[known].state != NeighborState::failed || entries_[known].way))
    return;
  const uint16_t index = find_or_add(port, address, now, For::client);
  if (index == kNone) return;
  Neighbor& n = entries_[index];
  n.mac = mac;
  n.state = NeighborState::probe;
  n.guessed = true;
  n.since = now;
  n.next = now + kRetransmitTicks;
  n.attempts = 0;
}

bool Neighbors::may_replace(const Neighbor& n, Tick now, For whom) const {
  if (n.waiting != 0) return false;
  if (whom == For::client && n.way) return false;
  // What a client left behind, or never was: whoever comes is as good.
  if (!n.way && (n.guessed || whom == For::way)) return true;
  return now - n.used >= kRetransmitTicks;
}

// Who goes rather: a guess, then any client, then the one that was not needed for longest.
bool Neighbors::rather(const Neighbor& a, const Neighbor& b) const {
  if (a.guessed != b.guessed) return a.guessed;
  if (a.way != b.way) return b.way;
  return tick_before(a.used, b.used);
}

// A free entry, or among the next few one that nobody waits for and that was not needed lately.
// Few: whoever can send from many addresses on our link decides how often we come here.
uint16_t Neighbors::reclaim(Tick now, For whom) {
  const bool enough = whom == For::client && used_ - ways_ >= most_clients_;
  if (free_entry_ == kNoNode || enough) {
    uint16_t best = kNone;
    const auto few = static_cast<uint32_t>(std::min<size_t>(kReclaimWindow, entries_.size()));
    for (uint32_t i = 0; i < few; ++i, hand_ = hand_ + 1 == entries_.size() ? 0 : hand_ + 1) {
      const Neighbor& n = entries_[hand_];
      if (n.state == NeighborState::free || !may_replace(n, now, whom)) continue;
      if (best == kNone || rather(n, entries_[best])) best = static_cast<uint16_t>(hand_);
    }
    if (best == kNone) return kNone;
    remove(best);
    ++replaced_;
  }
  const uint32_t index = free_entry_;
  free_entry_ = entries_[index].hash_next;
  return static_cast<uint16_t>(index);
}

void Neighbors::remove(uint16_t index) {
  Neighbor& n = entries_[index];
  uint32_t* link = &buckets_[bucket(n.port, n.address)];
  while (*link != index) link = &entries_[*link].hash_next;
  *link = n.hash_next;
  const uint16_t stamp = next_stamp(n.stamp);
  if (n.way) --ways_;
  n = Neighbor{};
  n.stamp = stamp;
  n.hash_next = free_entry_;
  free_entry_ = index;
  --used_;
}

bool Neighbors::hold(uint16_t index, rte_mbuf* frame, bool originated) {
  Neighbor& n = entries_[index];
  if (n.state != NeighborState::incomplete || n.waiting >= kMaxWaiting || free_node_ == kNoNode)
    return false;
  if (!n.way && held_used_ >= most_held_for_clients_) return false;
  const uint32_t node = free_node_;
  free_node_ = nodes_[node].next;
  nodes_[node] = {frame, originated, kNoNode};
  if (n.held_tail == kNoNode)
    n.held_head = node;
  else
    nodes_[n.held_tail].next = node;
  n.held_tail = node;
  ++n.waiting;
  ++held_used_;
  return true;
}

bool Neighbors::release(uint16_t index, Held& out) {
  Neighbor& n = entries_[index];
  if (n.held_head == kNoNode) return false;
  const uint32_t node = n.held_head;
  out = nodes_[node];
  n.held_head = out.next;
  if (n.held_head == kNoNode) n.held_tail = kNoNode;
  nodes_[node].frame = nullptr;
  nodes_[node].next = free_node_;
  free_node_ = node;
  --n.waiting;
  --held_used_;
  return true;
}

bool Neighbors::learn(uint16_t index, const MacAddress& mac, Tick now) {
  Neighbor& n = entries_[index];
  n.mac = mac;
  n.guessed = false;
  n.state = NeighborState::reachable;
  n.since = now;
  n.next = now + kReachableTicks;
  n.attempts = 0;
  n.failures = 0;
  return n.waiting != 0;
}

Neighbors::Due Neighbors::due(uint16_t index, Tick now) {
  Neighbor& n = entries_[index];
  if (n.state == NeighborState::free || tick_before(now, n.next)) return Due::nothing;
  const bool unused = now - n.used >= kUnusedTicks;
  switch (n.state) {
    case NeighborState::free:
      return Due::nothing;
    case NeighborState::incomplete:
      if (n.attempts >= kAttempts) {
        n.state = NeighborState::failed;
        n.failures = static_cast<uint8_t>(std::min<unsigned>(n.failures + 1u, kMaxFailures));
        n.since = now;
        n.next = now + back_off(n.failures);
        return Due::failed;
      }
      ++n.attempts;
      n.next = now + kRetransmitTicks;
      return Due::multicast;
    case NeighborState::reachable:
      if (unused) {
        remove(index);
        return Due::nothing;
      }
      // Nobody used it for a while: the next user finds the old address, which is probed then.
      if (now - n.used >= kReachableTicks) {
        n.next = now + kRetransmitTicks;
        return Due::nothing;
      }
      n.state = NeighborState::probe;
      n.attempts = 1;
      n.next = now + kRetransmitTicks;
      return Due::unicast;
    case NeighborState::probe:
      if (n.guessed && n.used == n.since) {  // nobody needed it
        remove(index);
        return Due::nothing;
      }
      if (n.attempts >= kAttempts) {  // gone, or moved without telling: ask everybody
        n.state = NeighborState::incomplete;
        n.guessed = false;
        n.since = now;
        n.attempts = 1;
        n.next = now + kRetransmitTicks;
        return Due::multicast;
      }
      ++n.attempts;
      n.next = now + kRetransmitTicks;
      return Due::unicast;
    case NeighborState::failed:
      if (unused) {
        remove(index);
        return Due::nothing;
      }
      if (tick_before(n.used, n.since)) {  // nobody asked since: keep quiet
        n.next = now + kRetransmitTicks;
        return Due::nothing;
      }
      n.state = NeighborState::incomplete;
      n.since = now;
      n.attempts = 1;
      n.next = now + kRetransmitTicks;
      return Due::multicast;
  }
  return Due::nothing;
}

}  // namespace limpet::dataplane
