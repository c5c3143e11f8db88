#include "limpet/affinity/stick_table.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <thread>

#include "limpet/base/endian.h"

namespace limpet::affinity {

namespace {

constexpr uint32_t kNil = 0xffffffff;
constexpr unsigned kTickBits = 30;  // 1.07 s; 32 bits of them last for 146 years
constexpr unsigned kReclaim = 2;    // expired entries an insertion takes away at most

uint32_t ticks(Instant t) {
  return static_cast<uint32_t>(t.ns >> kTickBits);
}
// Rounded up, and one more for the part of a tick that has gone by: never early.
uint32_t expiry(Duration expire) {
  assert(expire >= std::chrono::seconds(1));
  const auto ns = static_cast<uint64_t>(expire.count());
  return static_cast<uint32_t>(
      std::min<uint64_t>((ns >> kTickBits) + 1, std::numeric_limits<int32_t>::max()));
}
Duration duration_of(uint32_t ticks) {
  return Duration(static_cast<int64_t>(uint64_t{ticks} << kTickBits));
}

// Test and test-and-set. Held for tens of nanoseconds, so waiting is shorter than sleeping, unless
// the holder was descheduled: then the core is given away.
class SpinLock {
 public:
  void lock() {
    unsigned spins = 0;
    while (held_.exchange(true, std::memory_order_acquire)) {
      while (held_.load(std::memory_order_relaxed)) {
        if (++spins % 1024 == 0) std::this_thread::yield();
        pause();
      }
    }
  }
  void unlock() { held_.store(false, std::memory_order_release); }

 private:
  static void pause() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }
  std::atomic<bool> held_{false};
};

class Guard {
 public:
  explicit Guard(SpinLock& lock) : lock_(lock) { lock_.lock(); }
  ~Guard() { lock_.unlock(); }
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;

 private:
  SpinLock& lock_;
};

constexpr uint32_t kMostHolds =
    (1u << 24) - 1;              // of one entry; more are not counted, nor let go of
constexpr uint8_t kFree = 0xfe;  // length of an entry that is none

// Read and written under the shard's lock only. Free entries are chained by `next`.
struct Entry {
  std::array<uint8_t, kMaxStickKey> key;
  uint32_t backend;
  uint32_t tag;    // high half of the hash: gives the bucket, tells most strangers of a chain
  uint32_t used;   // ticks of the last use
  uint32_t next;   // of the chain
  uint32_t newer;  // in the order of use
  uint32_t older;
  uint32_t holds : 24;      // open connections that go by it
  uint32_t generation : 8;  // goes on whenever the entry goes
  uint16_t member;
  uint8_t length;
  uint8_t kind;

  StickValue value() const { return {.backend = backend, .member = member}; }
  void set(StickValue v) { backend = v.backend, member = v.member; }
  bool taken() const { return length != kFree; }
  uint32_t mark() const { return tag << 8 | generation; }
};
static_assert(sizeof(Entry) == StickTable::kEntryBytes && std::is_trivially_copyable_v<Entry>);
static_assert(alignof(Entry) == 4 && offsetof(Entry, tag) == 36);

// The high half of the hash chooses the bucket, the low half the shard: else a shard would use one
// bucket in 64 only.
uint32_t tag_of(uint64_t hash) {
  return static_cast<uint32_t>(hash >> 32);
}

}  // namespace

struct alignas(64) StickTable::Shard {
  mutable SpinLock lock;
  std::unique_ptr<Entry[]> entries;
  std::unique_ptr<uint32_t[]> heads;
  uint32_t size = 0;
  uint32_t bucket_mask = 0;
  uint32_t free = kNil;
  uint32_t fresh = 0;  // entries from here on were never used: memory is touched when needed
  // In order of use: the entries that nobody holds, and those that are held.
  struct Order {
    uint32_t newest = kNil, oldest = kNil;
  };
  Order idle, held;
  StickCounters counters;

  void reserve(uint32_t n) {
    size = n;
    const uint32_t buckets = std::bit_ceil(n);
    bucket_mask = buckets - 1;
    entries.reset(new Entry[n]);
    heads.reset(new uint32_t[buckets]);
    std::fill_n(heads.get(), buckets, kNil);
  }

  uint32_t& head(uint32_t tag) { return heads[tag & bucket_mask]; }

  uint32_t look_up(const StickKey& key) {
    const uint32_t tag = tag_of(key.hash);
    for (uint32_t i = head(tag); i != kNil; i = entries[i].next) {
      const Entry& e = entries[i];
      if (e.tag == tag && e.length == key.length && e.kind == key.kind && e.key == key.bytes)
        return i;
    }
    return kNil;
  }

  Order& order_of(const Entry& e) { return e.holds != 0 ? held : idle; }
  void unlink_use(const Entry& e) {
    Order& o = order_of(e);
    (e.newer == kNil ? o.newest : entries[e.newer].older) = e.older;
    (e.older == kNil ? o.oldest : entries[e.older].newer) = e.newer;
  }
  void link_newest(uint32_t i) {
    Entry& e = entries[i];
    Order& o = order_of(e);
    e.newer = kNil;
    e.older = o.newest;
    (o.newest == kNil ? o.oldest : entries[o.newest].newer) = i;
    o.newest = i;
  }
  void touch(uint32_t i, uint32_t now) {
    entries[i].used = now;
    if (order_of(entries[i]).newest == i) return;
    unlink_use(entries[i]);
    link_newest(i);
  }
  void set_holds(uint32_t i, uint32_t holds) {
    Entry& e = entries[i];
    const bool moves = (e.holds == 0) != (holds == 0);
    if (moves) unlink_use(e);
    e.holds = holds & kMostHolds;
    if (moves) link_newest(i);
    if (moves) holds == 0 ? --counters.held : ++counters.held;
  }

  void remove(uint32_t i) {
    Entry& e = entries[i];
    uint32_t* at = &head(e.tag);
    while (*at != i) at = &entries[*at].next;
    *at = e.next;
    unlink_use(e);
    if (e.holds != 0) --counters.held;
    e.holds = 0;
    e.length = kFree;
    e.generation = (e.generation + 1u) & 0xff;
    e.next = free;
    free = i;
    --counters.used;
  }

  bool expired(const Entry& e, uint32_t now, uint32_t expire) const {
    // Signed: another worker's clock may have been read a little later than ours.
    return e.holds == 0 && static_cast<int32_t>(now - e.used) > static_cast<int32_t>(expire);
  }

  StickView view(const Entry& e, uint32_t now, uint32_t expire) const {
    const auto since = static_cast<uint32_t>(std::max(0, static_cast<int32_t>(now - e.used)));
    const uint32_t quiet = e.holds != 0 ? 0 : since;
    return {e.key,  e.length, e.kind, e.value(), duration_of(quiet), duration_of(expire - quiet),
            e.holds};
  }

  StickResult insert(const StickKey& key, StickValue value, uint32_t now, uint32_t expire,
                     WhenFull when_full) {
    for (unsigned n = 0; n < kReclaim && idle.oldest != kNil; ++n) {
      if (!expired(entries[idle.oldest], now, expire)) break;
      ++counters.expired;
      remove(idle.oldest);
    }
    if (free == kNil && fresh == size) {
      if (when_full == WhenFull::refuse) {
        ++counters.refused;
        return {value, Stick::refused};
      }
      ++counters.evicted;
      if (idle.oldest == kNil) ++counters.evicted_held;
      remove(idle.oldest != kNil ? idle.oldest : held.oldest);
    }
    uint32_t i = free;
    if (i != kNil) {
      free = entries[i].next;
    } else {
      i = fresh++;
      entries[i].generation = 0;
    }
    Entry& e = entries[i];
    e.key = key.bytes;
    e.set(value);
    e.tag = tag_of(key.hash);
    e.used = now;
    e.holds = 0;
    e.length = key.length;
    e.kind = key.kind;
    e.next = head(e.tag);
    head(e.tag) = i;
    link_newest(i);
    ++counters.used;
    ++counters.inserted;
    return {value, Stick::inserted};
  }

  // An entry that came too late is there no more; whoever needs its place has it.
  StickResult renew(uint32_t i, StickValue value, uint32_t now) {
    ++counters.expired;
    entries[i].set(value);
    touch(i, now);
    return {value, Stick::replaced_expired};
  }
  // The entry stays as it is, whatever the caller had in mind.
  StickResult keep(uint32_t i, StickValue wanted, uint32_t now) {
    ++counters.found;
    if (entries[i].value() != wanted) ++counters.overruled;
    touch(i, now);
    return {entries[i].value(), Stick::found};
  }
  StickResult change(uint32_t i, StickValue value, uint32_t now) {
    ++counters.updated;
    entries[i].set(value);
    touch(i, now);
    return {value, Stick::updated};
  }
};

StickTable::StickTable(const Settings& settings, const HashKey& secret)
    : settings_(settings), expire_(expiry(settings.expire)) {
  const size_t capacity = settings.capacity;
  assert(capacity >= 1 && capacity <= kMaxCapacity);
  shard_count_ = static_cast<uint32_t>(
      std::bit_floor(std::clamp<size_t>(capacity / kShardSize, 1, kMaxShards)));
  shards_.reset(new Shard[shard_count_]);
  for (uint32_t s = 0; s < shard_count_; ++s)
    shards_[s].reserve(
        static_cast<uint32_t>(capacity / shard_count_ + (s < capacity % shard_count_)));
  for (size_t k = 0; k < keys_.size(); ++k) {
    const auto purpose = static_cast<uint8_t>(2 * k);
    const std::array<uint8_t, 1> low{purpose}, high{static_cast<uint8_t>(purpose + 1)};
    store(keys_[k].data(), siphash(secret, low));
    store(keys_[k].data() + 8, siphash(secret, high));
  }
}

StickTable::StickTable(const StickTable& entries, const Settings& settings)
    : shards_(entries.shards_),
      shard_count_(entries.shard_count_),
      settings_(settings),
      expire_(expiry(settings.expire)),
      keys_(entries.keys_) {
  settings_.capacity = entries.settings_.capacity;
}

StickTable::~StickTable() = default;

StickTable::Shard& StickTable::shard(uint64_t hash) const {
  return shards_[static_cast<uint32_t>(hash) & (shard_count_ - 1)];
}

uint64_t StickTable::hash(const std::array<uint8_t, kMaxStickKey>& bytes, uint8_t length,
                          uint8_t kind) const {
  std::array<uint8_t, kMaxStickKey + 2> whole;
  std::copy(bytes.begin(), bytes.end(), whole.begin());
  whole[kMaxStickKey] = length;
  whole[kMaxStickKey + 1] = kind;
  return siphash(keys_[0], whole);
}

StickKey StickTable::key(uint8_t entry, std::span<const uint8_t> bytes) const {
  StickKey k;
  k.kind = entry < settings_.kinds.size() ? settings_.kinds[entry] : entry;
  if (bytes.size() <= kMaxStickKey) {
    std::copy(bytes.begin(), bytes.end(), k.bytes.begin());
    k.length = static_cast<uint8_t>(bytes.size());
  } else {
    store(k.bytes.data(), siphash(keys_[1], bytes));
    store(k.bytes.data() + 8, siphash(keys_[2], bytes));
    k.length = StickKey::kHashedLength;
  }
  k.hash = hash(k.bytes, k.length, k.kind);
  return k;
}

StickKey StickTable::key(uint8_t entry, std::string_view bytes) const {
  return key(entry, std::span(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()));
}

StickResult StickTable::placed(const Shard& s, uint32_t index, StickResult r) const {
  if (r.what == Stick::refused) return r;
  const auto number = static_cast<uint32_t>(&s - shards_.get());
  r.handle = {.place = index * shard_count_ + number + 1, .mark = s.entries[index].mark()};
  return r;
}

StickResult StickTable::get_or_insert(const StickKey& key, StickValue proposed, Instant now) {
  const uint32_t t = ticks(now);
  Shard& s = shard(key.hash);
  const Guard guard(s.lock);
  const uint32_t i = s.look_up(key);
  if (i == kNil) return add(s, key, proposed, t);
  if (s.expired(s.entries[i], t, expire_)) return placed(s, i, s.renew(i, proposed, t));
  return placed(s, i, s.keep(i, proposed, t));
}

StickResult StickTable::find(const StickKey& key, Instant now) {
  const uint32_t t = ticks(now);
  Shard& s = shard(key.hash);
  const Guard guard(s.lock);
  const uint32_t i = s.look_up(key);
  if (i != kNil && !s.expired(s.entries[i], t, expire_))
    return placed(s, i, s.keep(i, s.entries[i].value(), t));
  ++s.counters.absent;
  if (i != kNil) {
    ++s.counters.expired;
    s.remove(i);
  }
  return {};
}

StickResult StickTable::update_if(const StickKey& key, StickValue expected, StickValue desired,
                                  Instant now) {
  const uint32_t t = ticks(now);
  Shard& s = shard(key.hash);
  const Guard guard(s.lock);
  const uint32_t i = s.look_up(key);
  if (i == kNil) return add(s, key, desired, t);
  if (s.expired(s.entries[i], t, expire_)) return placed(s, i, s.renew(i, desired, t));
  if (s.entries[i].value() != expected) return placed(s, i, s.keep(i, desired, t));
  return placed(s, i, s.change(i, desired, t));
}

StickResult StickTable::assign(const StickKey& key, StickValue value, Instant now) {
  const uint32_t t = ticks(now);
  Shard& s = shard(key.hash);
  const Guard guard(s.lock);
  const uint32_t i = s.look_up(key);
  if (i == kNil) return add(s, key, value, t);
  if (s.expired(s.entries[i], t, expire_)) return placed(s, i, s.renew(i, value, t));
  return placed(s, i, s.entries[i].value() == value ? s.keep(i, value, t) : s.change(i, value, t));
}

StickResult StickTable::add(Shard& s, const StickKey& key, StickValue value, uint32_t t) {
  const StickResult r = s.insert(key, value, t, expire_, settings_.when_full);
  return placed(s, s.head(tag_of(key.hash)), r);  // the newest of its chain
}

bool StickTable::hold(StickHandle h) {
  if (!h.present()) return false;
  Shard& s = shards_[(h.place - 1) % shard_count_];
  const uint32_t i = (h.place - 1) / shard_count_;
  const Guard guard(s.lock);
  if (i >= s.fresh) return false;
  const Entry& e = s.entries[i];
  if (!e.taken() || e.mark() != h.mark || e.holds == kMostHolds) return false;
  s.set_holds(i, e.holds + 1);
  return true;
}

void StickTable::release(StickHandle h, Instant now) {
  if (!h.present()) return;
  Shard& s = shards_[(h.place - 1) % shard_count_];
  const uint32_t i = (h.place - 1) / shard_count_;
  const Guard guard(s.lock);
  if (i >= s.fresh) return;
  const Entry& e = s.entries[i];
  if (!e.taken() || e.mark() != h.mark || e.holds == 0) return;
  s.set_holds(i, e.holds - 1);
  s.touch(i, ticks(now));
}

bool StickTable::erase(uint64_t hash_of_key) {
  Shard& s = shard(hash_of_key);
  const Guard guard(s.lock);
  uint32_t i = s.head(tag_of(hash_of_key));
  const auto is = [&](const Entry& e) {
    return e.tag == tag_of(hash_of_key) && hash(e.key, e.length, e.kind) == hash_of_key;
  };
  while (i != kNil && !is(s.entries[i])) i = s.entries[i].next;
  if (i == kNil) return false;
  ++s.counters.erased;
  s.remove(i);
  return true;
}

std::optional<StickValue> StickTable::peek(const StickKey& key, Instant now) const {
  Shard& s = shard(key.hash);
  const Guard guard(s.lock);
  const uint32_t i = s.look_up(key);
  if (i == kNil || s.expired(s.entries[i], ticks(now), expire_)) return std::nullopt;
  return s.entries[i].value();
}

std::optional<StickView> StickTable::look(const StickKey& key, Instant now) const {
  Shard& s = shard(key.hash);
  const Guard guard(s.lock);
  const uint32_t i = s.look_up(key);
  if (i == kNil || s.expired(s.entries[i], ticks(now), expire_)) return std::nullopt;
  return s.view(s.entries[i], ticks(now), expire_);
}

size_t StickTable::clear(StickCursor& cursor, const std::function<bool(const StickView&)>& which,
                         Instant now) {
  const uint32_t t = ticks(now);
  size_t n = 0;
  for (size_t step = 0; step < kReadSteps && !cursor.done; ++step) {
    Shard& s = shards_[cursor.shard];
    const Guard guard(s.lock);
    for (size_t looked = 0; cursor.index < s.fresh && looked < kReadStep;
         ++cursor.index, ++looked) {
      const Entry& e = s.entries[cursor.index];
      if (!e.taken() || s.expired(e, t, expire_) || !which(s.view(e, t, expire_))) continue;
      s.remove(cursor.index);
      ++s.counters.erased;
      ++n;
    }
    if (cursor.index >= s.fresh) cursor = {cursor.shard + 1, 0, cursor.shard + 1 >= shard_count_};
  }
  return n;
}

size_t StickTable::read(StickCursor& cursor, std::span<StickView> out, Instant now) const {
  const uint32_t t = ticks(now);
  size_t n = 0;
  for (size_t step = 0; step < kReadSteps && !cursor.done && n < out.size(); ++step) {
    Shard& s = shards_[cursor.shard];
    const Guard guard(s.lock);
    size_t looked = 0;
    for (; cursor.index < s.fresh && looked < kReadStep && n < out.size(); ++cursor.index) {
      ++looked;
      const Entry& e = s.entries[cursor.index];
      if (!e.taken() || s.expired(e, t, expire_)) continue;
      out[n++] = s.view(e, t, expire_);
    }
    if (cursor.index >= s.fresh) cursor = {cursor.shard + 1, 0, cursor.shard + 1 >= shard_count_};
  }
  return n;
}

StickCounters StickTable::counters() const {
  StickCounters sum;
  for (uint32_t i = 0; i < shard_count_; ++i) {
    const Shard& s = shards_[i];
    const Guard guard(s.lock);
    const StickCounters& c = s.counters;
    sum.used += c.used;
    sum.inserted += c.inserted;
    sum.found += c.found;
    sum.absent += c.absent;
    sum.updated += c.updated;
    sum.erased += c.erased;
    sum.expired += c.expired;
    sum.evicted += c.evicted;
    sum.evicted_held += c.evicted_held;
    sum.held += c.held;
    sum.refused += c.refused;
    sum.overruled += c.overruled;
  }
  return sum;
}

size_t StickTable::bytes() const {
  size_t sum = shard_count_ * sizeof(Shard);
  for (uint32_t i = 0; i < shard_count_; ++i)
    sum +=
        shards_[i].size * sizeof(Entry) + (size_t{shards_[i].bucket_mask} + 1) * sizeof(uint32_t);
  return sum;
}

}  // namespace limpet::affinity
