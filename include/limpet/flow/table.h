// Flow table of one worker: fixed capacity, preallocated, no lock, no allocation after construction.
// Owner: one worker. Nobody else may read it while the worker runs.
//
// Each flow has two keys, one a direction:
//   forward (client -> VIP):     client address and port, service slot
//   reverse (backend -> source): backend address and port, source slot, source port, protocol
// Index: cuckoo buckets of one cache line, eight entries of a 16-bit tag and a 32-bit {flow, direction};
// an entry sits in one of two buckets, the second computed from the first and the tag (partial-key
// cuckoo, Fan et al., CoNEXT 2014), so a look-up touches at most two lines, both prefetchable.
#pragma once

#include <array>
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
  Table(uint32_t capacity, const std::array<uint64_t, 8>& secret, std::span<const Endpoint> backends);

  uint64_t hash(const ForwardKey& key) const { return hasher_(key); }
  uint64_t hash(const ReverseKey& key) const { return hasher_(key); }
  void prefetch_index(uint64_t hash) const;   // first: both buckets
  void prefetch_record(uint64_t hash) const;  // then: the record of the first entry whose tag matches

  FlowId find(const ForwardKey& key, uint64_t hash) const;  // kNoFlow when absent
  FlowId find(const ReverseKey& key, uint64_t hash) const;

  // Takes a free record (kNoFlow when none), fills nothing but protocol = 255 "being built".
  FlowId allocate();
  // Enters both directions of a record that the caller has filled. False when the index has no room even
  // after displacement (the record is then still the caller's: fill again or release it).
  bool insert(FlowId id);
  // Removes both directions and frees the record.
  void erase(FlowId id);
  void release(FlowId id);  // a record that was allocated but never inserted

  Record& at(FlowId id) { return records_[id]; }
  const Record& at(FlowId id) const { return records_[id]; }
  bool live(FlowId id) const { return records_[id].protocol != 0; }

  uint32_t used() const { return used_; }
  uint32_t capacity() const { return capacity_; }
  uint32_t bytes_each() const;  // record plus its share of the index, for limpetctl show workers

  // A victim for eviction among `samples` pseudo-random records: the one idle longest among those that
  // have ended (time_wait, closed, dead), else among half-open ones (syn_sent, syn_received);
  // kNoFlow when the sample holds neither. Established flows are never evicted.
  FlowId victim(uint64_t random, Tick now, unsigned samples = 32) const;

 private:
  struct Bucket;
  struct FreeAligned {
    void operator()(void* p) const;
  };
  KeyHasher hasher_;
  std::span<const Endpoint> backends_;
  uint32_t capacity_ = 0;
  uint32_t used_ = 0;
  uint32_t bucket_mask_ = 0;
  FlowId free_ = kNoFlow;
  std::unique_ptr<Record[], FreeAligned> records_;
  std::unique_ptr<Bucket[], FreeAligned> buckets_;
};

}  // namespace limpet::flow
