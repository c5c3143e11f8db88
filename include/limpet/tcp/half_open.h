// Clients whose SYN was answered and who have not said anything yet: what the SYN said, and the
// number that it was answered with. So the client's first octets must name a number of which
// nobody who did not get the SYN-ACK knows a single bit (RFC 6528, 1), and everything that the SYN
// said counts, not only what a cookie has room for (syn_cookie.h).
//
// Of fixed size and never in anybody's way: a client takes a place that is free, or none. Above the
// mark, three quarters of the places, none is given: those clients get cookies. Nobody who has a
// place loses it to another client before its time, or his handshake would end in a reset.
//
//   greeted  a SYN was answered. Kept for five minutes, as browsers open connections in advance
//            whose first ACK may be lost; for one minute while more than half of the mark is taken,
//            so that a flood is forgotten soon.
//   proven   its ACK came, so the client is where it says it is: five minutes.
//   closed   it has said FIN instead of anything else, and was answered: its last ACK is to come.
//
// A tuple may be greeted twice, the older one gives way to a third: a SYN proves nothing, and must
// not take the place of another that may be the client's. What proves itself stands alone.
//
// A place is 24 bytes: a bucket of eight has what a look-up compares in its first cache line and
// the rest in two more. Each client has two buckets and takes the emptier one, so that below the
// mark a full pair is next to impossible. Places are found by a keyed hash of the tuple, 63 bits of
// which are kept instead of the tuple.
//
// Owner: one worker. No clock: time is a parameter.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <vector>

#include "limpet/base/time.h"

namespace limpet::tcp {

struct Offer {
  uint16_t mss = 536;                   // of the client: the most that it takes
  std::optional<uint8_t> window_scale;  // 0 .. 14
  bool sack = false;
  bool timestamps = false;
  friend bool operator==(const Offer&, const Offer&) = default;
};

class HalfOpen {
 public:
  static constexpr Duration kLong = std::chrono::minutes(5);
  static constexpr Duration kShort = std::chrono::minutes(1);

  enum class State : uint8_t { greeted, proven, closed };

  struct Client {
    uint32_t isn_client = 0;  // of its SYN
    uint32_t isn = 0;         // of our SYN-ACK
    uint32_t check = 0;       // the other half of the hash
    uint16_t mss = 0;
    uint8_t options = 0;
    State state = State::greeted;
    Offer offer() const;
  };
  using Place = uint32_t;
  static constexpr Place kNone = 0xffffffffu;

  // Rounded up to buckets; 0: there is no place for anybody.
  HalfOpen(uint32_t capacity, Instant now);

  // The first client of this tuple's hash for whom `is` holds.
  template <class Is>
  Place find(uint64_t hash, Is&& is) const {
    if (buckets_.empty()) return kNone;
    for (const uint32_t b : two(hash))
      for (uint32_t i = 0; i < kWays; ++i)
        if (buckets_[b].tag[i] == tag_of(hash) && buckets_[b].client[i].check == check_of(hash) &&
            is(buckets_[b].client[i]))
          return b * kWays + i;
    return kNone;
  }
  const Client& at(Place p) const { return buckets_[p / kWays].client[p % kWays]; }

  // A SYN is to be answered with `isn`. kNone: there is no place, or the mark is reached.
  Place add(uint64_t hash, uint32_t isn_client, uint32_t isn, const Offer& offer, Instant now);
  // Its SYN has come again. What is proven stays so, and no SYN makes it live longer.
  void greet(Place p, Instant now);
  void prove(uint64_t hash, Place p, Instant now);
  void close(Place p, Instant now) { set(p, State::closed, now); }
  void remove(Place p);

  // Everybody is looked at once in about a second.
  void sweep(Instant now);

  uint32_t capacity() const { return static_cast<uint32_t>(buckets_.size()) * kWays; }
  uint32_t mark() const { return capacity() / 4 * 3; }
  uint32_t used() const { return used_; }

 private:
  static constexpr uint32_t kWays = 8;
  struct alignas(64) Bucket {
    std::array<uint32_t, kWays> tag{};  // 0: free
    std::array<Tick, kWays> since{};
    std::array<Client, kWays> client{};
  };
  static_assert(sizeof(Client) == 16 && std::is_trivially_copyable_v<Client>);
  static_assert(sizeof(Bucket) == 192, "24 bytes a client");

  static uint32_t tag_of(uint64_t hash) { return static_cast<uint32_t>(hash >> 32) | 1u; }
  static uint32_t check_of(uint64_t hash) { return static_cast<uint32_t>(hash); }
  std::array<uint32_t, 2> two(uint64_t hash) const {
    const auto mask = static_cast<uint32_t>(buckets_.size() - 1);
    const uint32_t first = static_cast<uint32_t>(hash) & mask;
    const uint32_t second = static_cast<uint32_t>(hash >> 24) & mask;
    return {first, second == first ? first ^ 1u : second};
  }
  void set(Place p, State state, Instant now);

  std::vector<Bucket> buckets_;  // a power of two of them, two at least
  uint32_t used_ = 0;
  uint32_t cursor_ = 0;
  Instant swept_;
};

}  // namespace limpet::tcp
