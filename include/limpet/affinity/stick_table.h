// The stick table: key of a client -> its backend, shared by all workers of the process.
//
// Its point is get_or_insert(): look-up and store are one atomic step, so parallel first
// connections of one client, on whatever workers, are told the same backend. update_if() is the
// same for a backend that died: the first worker to move the client decides for all.
//
// Memory is taken once, by the control thread. The table is split into shards by the key's hash;
// each has a spin lock that is held for one chain walk of expected length below two (the hash is
// keyed with a secret, so nobody can lengthen a chain) and a few stores: no allocation, no hash, no
// system call inside. Calls happen at connection set-up, never per packet. A waiting thread yields
// after a while, as there may be fewer cores than threads.
//
// Each shard keeps its entries in order of last use, exactly: one order for those that an open
// connection holds, and one for the others. A full shard gives up the oldest of the others, else
// the oldest that is held, or refuses, as configured. The capacity is an upper limit for each
// shard's share: keys spread unevenly, so with S shards of n entries the first eviction comes about
// sqrt(n) entries early in the fullest one. Tables up to kShardSize have a single shard and are
// exact.
//
// Expiry: an entry that was not used for longer than `expire` is not there. It is reclaimed when
// its key comes back, or by later insertions into its shard, which look at the oldest two each. The
// time of one that is held begins when it is let go: a download or a WebSocket of hours is one use.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "limpet/base/hash.h"
#include "limpet/base/time.h"

namespace limpet::affinity {

struct StickValue {
  uint32_t backend = 0;  // backend_id(): what it means, on every node and after a reload
  uint16_t member =
      0xffff;  // where the backend stood in the pool when stored: a hint, to be checked
  friend bool operator==(const StickValue&, const StickValue&) = default;
};

constexpr size_t kMaxStickKey = 32;

// Made by StickTable::key(), outside of any lock. Longer keys are replaced by 128 bits of keyed
// hash.
struct StickKey {
  std::array<uint8_t, kMaxStickKey> bytes{};  // zero-padded
  uint64_t hash = 0;
  uint8_t length = 0;  // kHashedLength: the bytes are a hash
  uint8_t kind = 0;    // keys of different kinds never meet (Settings::kinds)
  static constexpr uint8_t kHashedLength = 0xff;
};

enum class WhenFull : uint8_t { evict, refuse };
enum class Stick : uint8_t {
  inserted,          // was not there; now it is
  found,             // was there: `value` is what it has, perhaps not what was proposed
  replaced_expired,  // was there but too old; now it has the proposed value
  updated,           // update_if: the expected value was replaced
  absent,            // find: not there, or too old
  refused            // full, and the policy is to refuse: `value` is the proposal, nobody keeps it
};

// Which entry a call was about, for hold() and release(): where it stands, and marks by which it is
// told from a later one at that place (of another key in all but one of 2^24 cases, of the same key
// in all but one of 256).
struct StickHandle {
  uint32_t place = 0;  // 0: nowhere
  uint32_t mark = 0;
  bool present() const { return place != 0; }
  friend bool operator==(const StickHandle&, const StickHandle&) = default;
};

struct StickResult {
  StickValue value;
  Stick what = Stick::absent;
  StickHandle handle = {};  // not present when `what` is absent or refused
  friend bool operator==(const StickResult& a, const StickResult& b) {
    return a.value == b.value && a.what == b.what;
  }
};

struct StickCounters {  // sums over the shards; monotonic but for `used`
  uint64_t used = 0;    // entries, expired ones that were not reclaimed yet included
  uint64_t inserted = 0, found = 0, absent = 0, updated = 0, erased = 0;
  uint64_t expired = 0;       // reclaimed, by whatever way
  uint64_t evicted = 0;       // the oldest gave way
  uint64_t evicted_held = 0;  // of these, entries that an open connection held
  uint64_t held = 0;          // entries that are held; goes down too
  uint64_t refused = 0;
  uint64_t overruled = 0;  // get_or_insert and update_if that were told another value than theirs
};

struct StickView {
  std::array<uint8_t, kMaxStickKey> key{};
  uint8_t length = 0;  // StickKey::kHashedLength: a hash of 16 bytes
  uint8_t kind = 0;
  StickValue value;
  Duration idle{};           // since the last use, of a resolution of 1.07 s
  Duration expires{};        // until it goes when not used
  uint32_t connections = 0;  // that hold it
};

struct StickCursor {  // where a walk stands; a default one starts at the beginning
  uint32_t shard = 0;
  uint32_t index = 0;
  bool done = false;
};

class StickTable {
 public:
  static constexpr size_t kShardSize = 1024;  // the least that a shard of several has
  static constexpr size_t kMaxShards = 64;
  static constexpr size_t kEntryBytes = 64;  // one cache line
  static constexpr size_t kMaxCapacity = size_t{1} << 30;
  static constexpr size_t kReadStep = 64;   // entries looked at per lock in read()
  static constexpr size_t kReadSteps = 64;  // locks per call of it

  struct Settings {
    size_t capacity = 0;  // entries, 1 .. kMaxCapacity
    Duration expire{};    // of at least one second
    WhenFull when_full = WhenFull::evict;
    // By entry of the persistence list: under which kind its keys are stored. Those behind the end
    // are their own kind.
    std::vector<uint8_t> kinds = {};
    friend bool operator==(const Settings&, const Settings&) = default;
  };
  StickTable(const Settings& settings, const HashKey& secret);  // random, of this process
  // The same entries under other settings, which hold for whoever asks by this object; capacity
  // stays. So a reload changes settings and loses nothing, while workers may still use `entries`.
  StickTable(const StickTable& entries, const Settings& settings);
  ~StickTable();
  StickTable(const StickTable&) = delete;
  StickTable& operator=(const StickTable&) = delete;

  // `entry`: of the persistence list.
  StickKey key(uint8_t entry, std::span<const uint8_t> bytes) const;
  StickKey key(uint8_t entry, std::string_view bytes) const;

  // `found` refreshes the entry. `now`: of the worker; workers' times may differ a little.
  StickResult get_or_insert(const StickKey& key, StickValue proposed, Instant now);
  StickResult find(const StickKey& key, Instant now);
  // Present with `expected` -> `updated`. Present with another -> `found`, its value. Absent ->
  // `inserted`. Whoever asks gets the value that holds now.
  StickResult update_if(const StickKey& key, StickValue expected, StickValue desired, Instant now);
  // Stores without asking: an application has said so (learn).
  StickResult assign(const StickKey& key, StickValue value, Instant now);
  // By StickKey::hash: 64 keyed bits, so that who may have to forget a key later need not keep it.
  bool erase(uint64_t hash);
  // An open connection goes by this entry: it does not expire until as many have let go of it.
  // False, and nothing to let go of, when it is gone.
  bool hold(StickHandle handle);
  // Never fails: an entry that went meanwhile needs nothing.
  void release(StickHandle handle, Instant now);
  // What read() would say of it, without a trace.
  std::optional<StickView> look(const StickKey& key, Instant now) const;
  // As find(), without a trace: neither is the entry used nor anything counted.
  std::optional<StickValue> peek(const StickKey& key, Instant now) const;

  // Copies live entries from where the cursor stands, a bounded piece under each lock, and moves it
  // on. Entries that come, go or move meanwhile may be missed; none is torn. Returns how many,
  // which may be 0 before the end: the walk is over when cursor.done.
  size_t read(StickCursor& cursor, std::span<StickView> out, Instant now) const;
  // As read(), and takes away the entries for which `which` is true, which it calls under a lock.
  // Connections that go by them stay where they are. Returns how many it took.
  size_t clear(StickCursor& cursor, const std::function<bool(const StickView&)>& which,
               Instant now);
  StickCounters counters() const;

  size_t capacity() const { return settings_.capacity; }
  const Settings& settings() const { return settings_; }
  size_t bytes() const;  // all of it
  // 64 for the entry and 4 to 8 for its place in the index.
  static constexpr size_t kMaxBytesEach = kEntryBytes + 8;

 private:
  struct Shard;
  Shard& shard(uint64_t hash) const;
  StickResult placed(const Shard& shard, uint32_t index, StickResult result) const;
  StickResult add(Shard& shard, const StickKey& key, StickValue value, uint32_t ticks);
  uint64_t hash(const std::array<uint8_t, kMaxStickKey>& bytes, uint8_t length, uint8_t kind) const;

  std::shared_ptr<Shard[]> shards_;
  uint32_t shard_count_ = 0;
  Settings settings_;
  uint32_t expire_ = 0;            // in ticks of 2^30 ns
  std::array<HashKey, 3> keys_{};  // place, and two halves of long keys
};

}  // namespace limpet::affinity
