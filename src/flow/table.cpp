// The flow table: records, their free list and the cuckoo index over both keys.
#include "limpet/flow/table.h"

#include <emmintrin.h>
#include <sys/mman.h>

#include <algorithm>
#include <cassert>
#include <new>

#include "limpet/base/hash.h"

namespace limpet::flow {
namespace {

constexpr unsigned kEntries = 8;        // of a bucket
constexpr unsigned kSearchLimit = 256;  // buckets that one displacement may look at
constexpr uint32_t kForwardBit = 0;     // lowest bit of an entry's value
constexpr uint32_t kReverseBit = 1;
[[maybe_unused]] constexpr uint32_t kMinCapacity = 64;
[[maybe_unused]] constexpr uint32_t kMaxCapacity = 1u << 27;

// 80 % load with every record in use. Small tables get a few buckets more: their load varies more,
// and a bucket more often is its own alternate.
uint32_t buckets_for(uint32_t capacity) {
  return static_cast<uint32_t>(static_cast<uint64_t>(capacity) * 2 * 5 / (uint64_t{4} * kEntries)) +
         16;
}

uint32_t reduce(uint32_t hash, uint32_t range) {
  return static_cast<uint32_t>((static_cast<uint64_t>(hash) * range) >> 32);
}

}  // namespace

struct alignas(64) Table::Bucket {
  uint16_t tags[kEntries];  // 0: free
  uint32_t values[kEntries];
  uint32_t unused[4];

  // Bit i: tags[i] == tag.
  unsigned matches(uint16_t tag) const {
    const __m128i have = _mm_load_si128(reinterpret_cast<const __m128i*>(tags));
    const __m128i want = _mm_set1_epi16(static_cast<int16_t>(tag));
    const __m128i equal = _mm_cmpeq_epi16(have, want);
    return static_cast<unsigned>(_mm_movemask_epi8(_mm_packs_epi16(equal, _mm_setzero_si128())));
  }
  bool put(uint16_t tag, uint32_t value) {
    const unsigned free = matches(0);
    if (free == 0) return false;
    set(static_cast<unsigned>(__builtin_ctz(free)), tag, value);
    return true;
  }
  void set(unsigned i, uint16_t tag, uint32_t value) {
    tags[i] = tag;
    values[i] = value;
  }
};

void Table::Unmap::operator()(void* memory) const {
  munmap(memory, bytes);
}

// Zeroed pages, huge ones where the kernel has them, present before the first packet.
template <class T>
std::unique_ptr<T[], Table::Unmap> Table::map_memory(size_t count) {
  const size_t bytes = count * sizeof(T);
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  madvise(memory, bytes, MADV_HUGEPAGE);
#ifdef MADV_POPULATE_WRITE
  madvise(memory, bytes, MADV_POPULATE_WRITE);
#endif
  return std::unique_ptr<T[], Unmap>(static_cast<T*>(memory), Unmap{bytes});
}

Table::Table(uint32_t capacity, const std::array<uint64_t, 8>& secret,
             std::span<const Endpoint> backends)
    : hasher_(secret),
      backends_(backends),
      capacity_(capacity),
      bucket_count_(buckets_for(capacity)) {
  static_assert(sizeof(Bucket) == 64 && alignof(Bucket) == 64);
  static_assert(std::is_trivially_destructible_v<Record>);
  assert(capacity >= kMinCapacity && capacity <= kMaxCapacity);
  records_ = map_memory<Record>(capacity);
  asides_ = map_memory<Aside>(capacity);
  buckets_ = map_memory<Bucket>(bucket_count_);
}

inline uint32_t Table::alternate(uint32_t bucket, uint16_t tag) const {
  const uint32_t sum = reduce(static_cast<uint32_t>(tag) * 0x9e3779b1u, bucket_count_);
  return sum >= bucket ? sum - bucket : sum + bucket_count_ - bucket;
}

inline Table::Place Table::place(uint64_t hash) const {
  Place p;
  p.first = reduce(static_cast<uint32_t>(hash >> 32), bucket_count_);
  p.tag = static_cast<uint16_t>(hash);
  if (p.tag == 0) p.tag = 1;
  p.second = alternate(p.first, p.tag);
  return p;
}

inline ReverseKey Table::reverse_key(const Record& r) const {
  assert(r.backend < backends_.size());
  const Endpoint& backend = backends_[r.backend];
  return {backend.address, backend.port, r.source, r.source_port, r.protocol};
}

void Table::prefetch_index(uint64_t hash) const {
  const Place p = place(hash);
  __builtin_prefetch(&buckets_[p.first]);
  __builtin_prefetch(&buckets_[p.second]);
}

// The sixteen entries of both buckets in one mask, so that which bucket holds the key is data and
// not a branch: nobody could predict it.
inline unsigned Table::candidates(const Place& p) const {
  return buckets_[p.first].matches(p.tag) | buckets_[p.second].matches(p.tag) << kEntries;
}

inline uint32_t Table::value_of(const Place& p, unsigned entry) const {
  return buckets_[entry < kEntries ? p.first : p.second].values[entry % kEntries];
}

void Table::prefetch_record(uint64_t hash) const {
  const Place p = place(hash);
  const unsigned hits = candidates(p);
  if (hits == 0) return;
  __builtin_prefetch(&records_[value_of(p, static_cast<unsigned>(__builtin_ctz(hits))) >> 1]);
}

template <class Matches>
inline FlowId Table::find_value(uint64_t hash, uint32_t direction, Matches&& matches) const {
  const Place p = place(hash);
  for (unsigned hits = candidates(p); hits != 0; hits &= hits - 1) {
    const uint32_t value = value_of(p, static_cast<unsigned>(__builtin_ctz(hits)));
    if ((value & 1) == direction && matches(records_[value >> 1])) return value >> 1;
  }
  return kNoFlow;
}

FlowId Table::find(const ForwardKey& key, uint64_t hash) const {
  return find_value(hash, kForwardBit, [&key](const Record& r) {
    return r.client == key.client && r.client_port == key.client_port && r.service == key.service;
  });
}

FlowId Table::find(const ReverseKey& key, uint64_t hash) const {
  return find_value(hash, kReverseBit, [this, &key](const Record& r) {
    return r.source_port == key.source_port && r.source == key.source &&
           r.protocol == key.protocol && backends_[r.backend].port == key.backend_port &&
           backends_[r.backend].address == key.backend;
  });
}

FlowId Table::allocate() {
  FlowId id = free_;
  if (id != kNoFlow) {
    free_ = asides_[id].wheel_next;
  } else if (fresh_ < capacity_) {
    id = fresh_++;
  } else {
    return kNoFlow;
  }
  records_[id] = Record{};
  asides_[id] = Aside{};
  records_[id].protocol = kBeingBuilt;
  ++used_;
  return id;
}

void Table::release(FlowId id) {
  Record& r = records_[id];
  assert(r.protocol != 0);
  assert(asides_[id].wheel_slot == kNotArmed);
  r.protocol = 0;
  asides_[id].wheel_next = free_;
  free_ = id;
  --used_;
}

bool Table::insert(FlowId id) {
  const Record& r = records_[id];
  assert(r.protocol != 0 && r.protocol != kBeingBuilt);
  const ForwardKey forward = forward_key(r);
  if (!has_reverse_key(r)) {
    const uint64_t hash = hasher_(forward);
    assert(find(forward, hash) == kNoFlow);
    return enter(hash, id << 1 | kForwardBit);
  }
  const ReverseKey reverse = reverse_key(r);
  const uint64_t forward_hash = hasher_(forward);
  const uint64_t reverse_hash = hasher_(reverse);
  assert(find(forward, forward_hash) == kNoFlow);
  assert(find(reverse, reverse_hash) == kNoFlow);
  if (!enter(forward_hash, id << 1 | kForwardBit)) return false;
  if (enter(reverse_hash, id << 1 | kReverseBit)) return true;
  remove(forward_hash, id << 1 | kForwardBit);
  return false;
}

bool Table::bind(FlowId id) {
  Record& r = records_[id];
  assert(!r.bound);
  if (!two_way(forwarding_of(r))) return r.bound = true;
  const ReverseKey reverse = reverse_key(r);
  const uint64_t hash = hasher_(reverse);
  assert(find(reverse, hash) == kNoFlow);
  if (!enter(hash, id << 1 | kReverseBit)) return false;
  r.bound = true;
  return true;
}

void Table::unbind(FlowId id) {
  Record& r = records_[id];
  assert(r.bound);
  if (has_reverse_key(r)) remove(hasher_(reverse_key(r)), id << 1 | kReverseBit);
  r.bound = false;
}

void Table::erase(FlowId id) {
  const Record& r = records_[id];
  remove(hasher_(forward_key(r)), id << 1 | kForwardBit);
  if (has_reverse_key(r)) remove(hasher_(reverse_key(r)), id << 1 | kReverseBit);
  release(id);
}

bool Table::enter(uint64_t hash, uint32_t value) {
  const Place p = place(hash);
  if (buckets_[p.first].put(p.tag, value)) return true;
  if (buckets_[p.second].put(p.tag, value)) return true;
  return displace(p, value);
}

// Breadth-first search for the nearest bucket with room, then every entry on the way there moves
// one bucket on, the last first, so that each is always in one of its two buckets. A shortest path
// never comes to a bucket twice, so no step invalidates another.
bool Table::displace(const Place& place, uint32_t value) {
  struct Node {
    uint32_t bucket;
    int16_t parent;  // node whose entry `slot` moves here; negative: none
    uint8_t slot;
  };
  std::array<Node, kSearchLimit> nodes;
  nodes[0] = {place.first, -1, 0};
  nodes[1] = {place.second, -1, 0};
  unsigned known = 2;
  for (unsigned i = 0; i < known; ++i) {
    const Bucket& bucket = buckets_[nodes[i].bucket];
    for (unsigned slot = 0; slot < kEntries && known < kSearchLimit; ++slot) {
      const uint32_t next = alternate(nodes[i].bucket, bucket.tags[slot]);
      nodes[known] = {next, static_cast<int16_t>(i), static_cast<uint8_t>(slot)};
      const unsigned room = buckets_[next].matches(0);
      if (room == 0) {
        ++known;
        continue;
      }
      auto hole = static_cast<unsigned>(__builtin_ctz(room));
      const Node* node = &nodes[known];
      while (node->parent >= 0) {
        const Node* parent = &nodes[static_cast<unsigned>(node->parent)];
        const Bucket& from = buckets_[parent->bucket];
        buckets_[node->bucket].set(hole, from.tags[node->slot], from.values[node->slot]);
        hole = node->slot;
        node = parent;
      }
      buckets_[node->bucket].set(hole, place.tag, value);
      return true;
    }
  }
  return false;
}

void Table::remove(uint64_t hash, uint32_t value) {
  const Place p = place(hash);
  for (const uint32_t b : {p.first, p.second}) {
    Bucket& bucket = buckets_[b];
    for (unsigned hits = bucket.matches(p.tag); hits != 0; hits &= hits - 1) {
      const auto i = static_cast<unsigned>(__builtin_ctz(hits));
      if (bucket.values[i] != value) continue;
      bucket.set(i, 0, 0);
      return;
    }
  }
  assert(false && "the keys of a flow changed while it was in the table");
}

uint32_t Table::bytes_each() const {
  const uint64_t index = static_cast<uint64_t>(bucket_count_) * sizeof(Bucket);
  return static_cast<uint32_t>(sizeof(Record) + sizeof(Aside) +
                               (index + capacity_ - 1) / capacity_);
}

FlowId Table::some(uint64_t random) const {
  if (fresh_ == 0) return kNoFlow;
  const FlowId id = reduce(static_cast<uint32_t>(mix64(random) >> 32), fresh_);
  const Record& r = records_[id];
  return r.protocol == 0 || r.protocol == kBeingBuilt ? kNoFlow : id;
}

FlowId Table::victim(uint64_t random, Tick now, unsigned samples) const {
  if (fresh_ == 0) return kNoFlow;
  const auto sample = [this, random](unsigned i) {
    return reduce(static_cast<uint32_t>(mix64(random + i) >> 32), fresh_);
  };
  for (unsigned i = 0; i < samples; ++i) __builtin_prefetch(&records_[sample(i)]);
  FlowId ended = kNoFlow;
  FlowId half_open = kNoFlow;
  const auto older = [this, now](FlowId a, FlowId b) {
    return b == kNoFlow || now - records_[a].last_seen > now - records_[b].last_seen;
  };
  for (unsigned i = 0; i < samples; ++i) {
    const FlowId id = sample(i);
    const Record& r = records_[id];
    if (r.protocol == 0 || r.protocol == kBeingBuilt) continue;
    switch (r.state) {
      case tcp::Track::time_wait:
      case tcp::Track::closed:
      case tcp::Track::dead:
        if (older(id, ended)) ended = id;
        break;
      case tcp::Track::syn_sent:
      case tcp::Track::syn_received:
      case tcp::Track::head:
      case tcp::Track::answering:
        if (older(id, half_open)) half_open = id;
        break;
      case tcp::Track::datagram:  // one question, answered or not: all that a flood makes
        if (talk_of(r) != Talk::assured && older(id, half_open)) half_open = id;
        break;
      default:
        break;
    }
  }
  return ended != kNoFlow ? ended : half_open;
}

}  // namespace limpet::flow
