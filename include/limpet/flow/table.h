// Flow table of one worker: fixed capacity, preallocated, no lock, no allocation after
// construction.
// Owner: one worker. Nobody else may read it while the worker runs.
//
// Each flow has two keys, one a direction:
//   forward (client -> VIP):     client address and port, service slot
//   reverse (backend -> source): backend address and port, source slot, source port, protocol
// Index: cuckoo buckets of one cache line, eight entries of a 16-bit tag and a 32-bit {flow,
// direction}; an entry sits in one of two buckets, the second computed from the first and the tag
// (partial-key cuckoo, Fan et al., CoNEXT 2014), so a look-up touches at most two lines, both
// prefetchable.
//
// Buckets are not rounded up to a power of two: the range is reduced by
// multiply-shift and the second bucket is H(tag) - first (mod n), its own inverse. Rounding up
// would cost between 20 and 40 bytes a flow depending on the capacity; this costs 20 (80 % load
// when full) and one multiplication a look-up.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "limpet/base/address.h"
#include "limpet/flow/record.h"

namespace limpet::flow {

struct ForwardKey {
  IpAddress client;
  be16 client_port;
  uint16_t service;
};

struct ReverseKey {
  IpAddress backend;
  be16 backend_port;
  uint16_t source;  // slot
  be16 source_port;
  uint8_t protocol;
};

struct Endpoint {  // of a backend slot; the caller's array outlives every flow that names the slot
  IpAddress address;
  be16 port{};
};

// 64-bit keyed hash of a key: NH (Black et al., UMAC, CRYPTO 1999) over 64-bit words with a random
// secret, finalised. Almost universal: without the secret nobody can aim at a bucket; about 3 ns.
class KeyHasher {
 public:
  explicit KeyHasher(const std::array<uint64_t, 8>& secret) : k_(secret) {}
  uint64_t operator()(const ForwardKey& key) const;
  uint64_t operator()(const ReverseKey& key) const;

 private:
  std::array<uint64_t, 8> k_;
};

class Table {
 public:
  // capacity: flows, 64 .. 2^27; memory is taken here (std::bad_alloc when there is none).
  // backends: by slot, for comparing reverse keys; must stay valid as long as the table.
  Table(uint32_t capacity, const std::array<uint64_t, 8>& secret,
        std::span<const Endpoint> backends);

  uint64_t hash(const ForwardKey& key) const { return hasher_(key); }
  uint64_t hash(const ReverseKey& key) const { return hasher_(key); }
  void prefetch_index(uint64_t hash) const;   // first: both buckets
  void prefetch_record(uint64_t hash) const;  // then: of the first entry whose tag matches

  FlowId find(const ForwardKey& key, uint64_t hash) const;  // kNoFlow when absent
  FlowId find(const ReverseKey& key, uint64_t hash) const;

  // Takes a free record (kNoFlow when none): a default Record (but for protocol = kBeingBuilt) and
  // Aside.
  FlowId allocate();
  // Enters both directions of a record that the caller has filled. False when the index has no room
  // even after displacement (the record is then still the caller's: fill again or release it). At
  // the load that the table is sized for this does not happen with a secret key. Neither key may be
  // in the table.
  // A record that is not `bound`, or whose way of forwarding is one-way, gets its forward key only.
  bool insert(FlowId id);
  // Enters the reverse direction of an inserted record that has got a backend, and makes it
  // `bound`. False when the index has no room; nothing has changed then.
  bool bind(FlowId id);
  // The reverse: the caller may change backend and source afterwards.
  void unbind(FlowId id);
  // Removes both directions and frees the record. Its keys and the endpoint of its backend slot
  // must be what they were at insert(); its timer must be cancelled before.
  void erase(FlowId id);
  void release(FlowId id);  // a record that was allocated but never inserted

  Record& at(FlowId id) { return records_[id]; }
  const Record& at(FlowId id) const { return records_[id]; }
  Aside& aside(FlowId id) { return asides_[id]; }
  const Aside& aside(FlowId id) const { return asides_[id]; }
  bool live(FlowId id) const { return records_[id].protocol != 0; }

  uint32_t used() const { return used_; }
  uint32_t capacity() const { return capacity_; }
  // Record, aside and their share of the index, for limpetctl show workers.
  uint32_t bytes_each() const;

  // A record picked by chance from those that were in use at some time; kNoFlow when it is free or
  // being built.
  FlowId some(uint64_t random) const;

  // A victim for eviction among `samples` pseudo-random records: the one idle longest among those
  // that have ended (time_wait, closed, dead), else among half-open ones (syn_sent, syn_received,
  // datagram flows that are not assured); kNoFlow when the sample holds neither. Established
  // flows are never evicted. Picks among records that were in use at some time, so that a small
  // sample suffices in a table that was never full. Records still being built are left alone.
  FlowId victim(uint64_t random, Tick now, unsigned samples = 32) const;

 private:
  struct Bucket;
  struct Unmap {
    size_t bytes;
    void operator()(void* memory) const;
  };
  struct Place {  // the two buckets and the tag of a hash
    uint32_t first;
    uint32_t second;
    uint16_t tag;
  };
  template <class T>
  static std::unique_ptr<T[], Unmap> map_memory(size_t count);

  Place place(uint64_t hash) const;
  uint32_t alternate(uint32_t bucket, uint16_t tag) const;
  ForwardKey forward_key(const Record& r) const { return {r.client, r.client_port, r.service}; }
  ReverseKey reverse_key(const Record& r) const;
  unsigned candidates(const Place& place) const;
  uint32_t value_of(const Place& place, unsigned entry) const;
  template <class Matches>
  FlowId find_value(uint64_t hash, uint32_t direction, Matches&& matches) const;
  bool enter(uint64_t hash, uint32_t value);
  bool displace(const Place& place, uint32_t value);
  void remove(uint64_t hash, uint32_t value);

  KeyHasher hasher_;
  std::span<const Endpoint> backends_;
  uint32_t capacity_ = 0;
  uint32_t used_ = 0;   // allocated, inserted or not
  uint32_t fresh_ = 0;  // records below were allocated once; the others were never touched
  uint32_t bucket_count_ = 0;
  FlowId free_ = kNoFlow;  // records that came back, last first: still warm in the cache
  std::unique_ptr<Record[], Unmap> records_;
  std::unique_ptr<Aside[], Unmap> asides_;
  std::unique_ptr<Bucket[], Unmap> buckets_;
};

}  // namespace limpet::flow
