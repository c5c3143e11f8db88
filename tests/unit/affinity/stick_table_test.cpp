#include "limpet/affinity/stick_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace limpet::affinity {
namespace {

using namespace std::chrono_literals;

constexpr HashKey kSecret = {1, 2, 3, 4};

StickTable::Settings sized(size_t capacity, WhenFull when_full = WhenFull::evict) {
  return {capacity, 30min, when_full};
}

struct Table : StickTable {
  explicit Table(const Settings& s) : StickTable(s, kSecret) {}
  StickKey named(std::string_view name) const { return key(0, name); }
};

Instant at(Duration d) {
  return Instant{1'000'000'000'000} + d;
}
StickValue value(uint32_t backend) {
  return {.backend = backend, .member = static_cast<uint16_t>(backend)};
}
StickResult result(uint32_t backend, Stick what) {
  StickResult r;
  r.value = value(backend);
  r.what = what;
  return r;
}

TEST(StickTable, the_first_pin_holds) {
  Table t(sized(10));
  EXPECT_EQ(t.get_or_insert(t.named("a"), value(1), at(0s)), result(1, Stick::inserted));
  EXPECT_EQ(t.get_or_insert(t.named("a"), value(2), at(1s)), result(1, Stick::found));
  EXPECT_EQ(t.get_or_insert(t.named("b"), value(2), at(1s)), result(2, Stick::inserted));
  EXPECT_EQ(t.find(t.named("a"), at(2s)), result(1, Stick::found));
  EXPECT_EQ(t.find(t.named("c"), at(2s)).what, Stick::absent);
  const StickCounters c = t.counters();
  EXPECT_EQ(c.used, 2u);
  EXPECT_EQ(c.inserted, 2u);
  EXPECT_EQ(c.found, 2u);
  EXPECT_EQ(c.absent, 1u);
  EXPECT_EQ(c.overruled, 1u);
}

TEST(StickTable, an_entry_lives_as_long_as_it_is_used) {
  Table t(sized(10));
  t.get_or_insert(t.named("a"), value(1), at(0min));
  EXPECT_EQ(t.find(t.named("a"), at(29min)).what, Stick::found);
  EXPECT_EQ(t.get_or_insert(t.named("a"), value(2), at(58min)), result(1, Stick::found));
  EXPECT_EQ(t.find(t.named("a"), at(88min)).what, Stick::found);  // never early
  EXPECT_EQ(t.find(t.named("a"), at(118min + 4s)).what, Stick::absent);
  EXPECT_EQ(t.counters().used, 0u);
  EXPECT_EQ(t.counters().expired, 1u);
}

TEST(StickTable, an_expired_entry_is_replaced_in_one_step) {
  Table t(sized(10));
  t.get_or_insert(t.named("a"), value(1), at(0min));
  EXPECT_EQ(t.get_or_insert(t.named("a"), value(2), at(31min)), result(2, Stick::replaced_expired));
  EXPECT_EQ(t.get_or_insert(t.named("a"), value(3), at(32min)), result(2, Stick::found));
  EXPECT_EQ(t.update_if(t.named("a"), value(2), value(4), at(70min)),
            result(4, Stick::replaced_expired));
  EXPECT_EQ(t.counters().used, 1u);
}

TEST(StickTable, a_worker_whose_clock_was_read_a_little_earlier_does_no_harm) {
  Table t(sized(10));
  t.get_or_insert(t.named("a"), value(1), at(10s));
  EXPECT_EQ(t.get_or_insert(t.named("a"), value(2), at(0s)), result(1, Stick::found));
}

TEST(StickTable, who_moves_a_client_first_decides_for_all) {
  Table t(sized(10));
  t.get_or_insert(t.named("a"), value(1), at(0s));
  EXPECT_EQ(t.update_if(t.named("a"), value(1), value(2), at(1s)), result(2, Stick::updated));
  EXPECT_EQ(t.update_if(t.named("a"), value(1), value(3), at(1s)), result(2, Stick::found));
  EXPECT_EQ(t.find(t.named("a"), at(2s)), result(2, Stick::found));
  EXPECT_EQ(t.update_if(t.named("b"), value(1), value(3), at(1s)), result(3, Stick::inserted));
  EXPECT_EQ(t.counters().updated, 1u);
  EXPECT_EQ(t.counters().overruled, 1u);
}

TEST(StickTable, an_update_compares_the_whole_value) {
  Table t(sized(10));
  t.get_or_insert(t.named("a"), {.backend = 1, .member = 5}, at(0s));
  EXPECT_EQ(t.update_if(t.named("a"), {.backend = 1, .member = 6}, value(2), at(0s)).what,
            Stick::found);
}

TEST(StickTable, assign_and_erase_ask_nobody) {
  Table t(sized(10));
  EXPECT_EQ(t.assign(t.named("a"), value(1), at(0s)), result(1, Stick::inserted));
  EXPECT_EQ(t.assign(t.named("a"), value(2), at(0s)), result(2, Stick::updated));
  EXPECT_EQ(t.assign(t.named("a"), value(2), at(0s)), result(2, Stick::found));
  EXPECT_TRUE(t.erase(t.named("a").hash));
  EXPECT_FALSE(t.erase(t.named("a").hash));
  EXPECT_EQ(t.find(t.named("a"), at(0s)).what, Stick::absent);
  EXPECT_EQ(t.counters().erased, 1u);
  EXPECT_EQ(t.counters().used, 0u);
}

TEST(StickTable, a_full_table_gives_up_what_was_used_longest_ago) {
  Table t(sized(3));
  for (const char* k : {"a", "b", "c"}) t.get_or_insert(t.named(k), value(1), at(0s));
  t.find(t.named("a"), at(1s));  // b is the oldest now
  t.get_or_insert(t.named("d"), value(1), at(2s));
  EXPECT_EQ(t.find(t.named("b"), at(2s)).what, Stick::absent);
  for (const char* k : {"a", "c", "d"}) EXPECT_EQ(t.find(t.named(k), at(2s)).what, Stick::found);
  t.get_or_insert(t.named("e"), value(1), at(3s));
  EXPECT_EQ(t.find(t.named("a"), at(3s)).what, Stick::absent);
  EXPECT_EQ(t.counters().evicted, 2u);
  EXPECT_EQ(t.counters().used, 3u);
}

TEST(StickTable, or_it_refuses_until_somebody_goes) {
  Table t(sized(2, WhenFull::refuse));
  t.get_or_insert(t.named("a"), value(1), at(0min));
  t.get_or_insert(t.named("b"), value(1), at(20min));
  EXPECT_EQ(t.get_or_insert(t.named("c"), value(3), at(21min)), result(3, Stick::refused));
  EXPECT_EQ(t.find(t.named("c"), at(21min)).what, Stick::absent);
  EXPECT_EQ(t.get_or_insert(t.named("a"), value(3), at(21min)), result(1, Stick::found));
  EXPECT_EQ(t.get_or_insert(t.named("c"), value(3), at(50min + 4s)), result(3, Stick::inserted));
  EXPECT_EQ(t.counters().refused, 1u);
  EXPECT_EQ(t.counters().expired, 1u);
  EXPECT_EQ(t.counters().evicted, 0u);
}

TEST(StickTable, insertions_take_expired_entries_away_two_at_a_time) {
  Table t(sized(10));
  for (const char* k : {"a", "b", "c"}) t.get_or_insert(t.named(k), value(1), at(0min));
  t.get_or_insert(t.named("d"), value(1), at(31min));
  EXPECT_EQ(t.counters().used, 2u);
  EXPECT_EQ(t.counters().expired, 2u);
  t.get_or_insert(t.named("e"), value(1), at(31min));
  EXPECT_EQ(t.counters().used, 2u);
  EXPECT_EQ(t.counters().expired, 3u);
}

TEST(StickTable, keys_differ_by_every_byte_by_length_and_by_kind) {
  Table t(sized(100));
  std::vector<StickKey> keys = {t.named(""), t.named("a"), t.named(std::string("a\0", 2)),
                                t.key(1, "a"), t.named(std::string(32, 'a'))};
  for (size_t i = 0; i < 32; ++i) {
    std::string k(32, 'a');
    k[i] = 'b';
    keys.push_back(t.named(k));
  }
  for (uint32_t i = 0; i < keys.size(); ++i)
    ASSERT_EQ(t.get_or_insert(keys[i], value(i), at(0s)).what, Stick::inserted) << i;
  for (uint32_t i = 0; i < keys.size(); ++i)
    EXPECT_EQ(t.find(keys[i], at(0s)), result(i, Stick::found));
}

TEST(StickTable, keys_of_more_than_32_bytes_are_hashed_whole) {
  Table t(sized(200));
  std::set<std::string> seen;
  for (size_t i = 0; i < 100; ++i) {
    std::string k(100, 'a');
    k[i] = 'b';
    ASSERT_EQ(t.get_or_insert(t.named(k), value(1), at(0s)).what, Stick::inserted) << i;
    const StickKey key = t.named(k);
    EXPECT_EQ(key.length, StickKey::kHashedLength);
    seen.insert(std::string(key.bytes.begin(), key.bytes.begin() + 8));
    seen.insert(std::string(key.bytes.begin() + 8, key.bytes.begin() + 16));
  }
  EXPECT_EQ(seen.size(), 200u);  // both halves
  // Nobody can aim at a hash, or spell a hashed key directly.
  const StickTable other(sized(10), HashKey{9});
  EXPECT_NE(other.key(0, std::string(100, 'a')).bytes, t.named(std::string(100, 'a')).bytes);
  EXPECT_NE(other.key(0, "a").hash, t.named("a").hash);
  const StickKey hashed = t.named(std::string(100, 'a'));
  const StickKey spelt = t.key(0, std::span(hashed.bytes.data(), 16));
  EXPECT_NE(spelt.length, hashed.length);
  EXPECT_EQ(t.get_or_insert(hashed, value(1), at(0s)).what, Stick::inserted);
  EXPECT_EQ(t.find(spelt, at(0s)).what, Stick::absent);
}

TEST(StickTable, memory_is_what_is_promised) {
  for (const size_t n : {size_t{1}, size_t{1000}, size_t{1025}, size_t{100000}, size_t{131072}}) {
    Table t(sized(n));
    EXPECT_EQ(t.capacity(), n);
    EXPECT_GE(t.bytes(), n * (StickTable::kEntryBytes + 4));
    EXPECT_LE(t.bytes(), n * StickTable::kMaxBytesEach + StickTable::kMaxShards * 256) << n;
  }
}

TEST(StickTable, a_large_table_spreads_over_shards_and_evicts_close_to_its_capacity) {
  constexpr uint32_t kSize = 65536;  // 64 shards of 1024
  Table t(sized(kSize));
  uint32_t first_eviction = 0;
  for (uint32_t i = 0; i < kSize; ++i) {
    t.get_or_insert(t.named(std::to_string(i)), value(i), at(0s));
    if (first_eviction == 0 && t.counters().evicted != 0) first_eviction = i;
  }
  EXPECT_GT(first_eviction, kSize * 85 / 100);
  EXPECT_GT(t.counters().used, kSize * 96 / 100);
  EXPECT_EQ(t.counters().used + t.counters().evicted, kSize);
}

TEST(StickTable, a_walk_shows_every_live_entry_once_in_pieces) {
  Table t(sized(5000));
  for (uint32_t i = 0; i < 3000; ++i)
    t.get_or_insert(t.named(std::to_string(i)), value(i), at(i < 10 ? 0min : 20min));
  for (uint32_t i = 100; i < 200; ++i) ASSERT_TRUE(t.erase(t.named(std::to_string(i)).hash));
  std::map<std::string, uint32_t> seen;
  StickCursor cursor;
  std::vector<StickView> piece(70);
  unsigned pieces = 0;
  while (!cursor.done) {
    const size_t n = t.read(cursor, piece, at(40min));
    ASSERT_LE(n, piece.size());
    for (size_t i = 0; i < n; ++i) {
      const StickView& v = piece[i];
      const std::string key(v.key.begin(), v.key.begin() + v.length);
      EXPECT_TRUE(seen.emplace(key, v.value.backend).second) << key;
      EXPECT_NEAR(v.idle / 1s, 1200, 2);
      EXPECT_NEAR(v.expires / 1s, 600, 3);
    }
    ++pieces;
  }
  EXPECT_EQ(seen.size(), 3000u - 10 - 100);  // the first ten have expired
  for (const auto& [key, backend] : seen) EXPECT_EQ(key, std::to_string(backend));
  EXPECT_GE(pieces, 2890u / 70);
}

TEST(StickTable, a_walk_over_much_that_has_expired_returns_between) {
  Table t(sized(20000));
  for (uint32_t i = 0; i < 15000; ++i)
    t.get_or_insert(t.named(std::to_string(i)), value(i), at(0s));
  StickCursor cursor;
  std::vector<StickView> piece(8);
  unsigned calls = 0;
  for (; !cursor.done; ++calls) ASSERT_EQ(t.read(cursor, piece, at(2h)), 0u);
  EXPECT_GE(calls, 15000u / (StickTable::kReadStep * StickTable::kReadSteps));
}

TEST(StickTable, a_peek_leaves_no_trace) {
  Table t(sized(2));
  t.get_or_insert(t.named("a"), value(1), at(0min));
  t.get_or_insert(t.named("b"), value(2), at(1min));
  const StickCounters before = t.counters();
  EXPECT_EQ(t.peek(t.named("a"), at(29min)), value(1));
  EXPECT_EQ(t.peek(t.named("c"), at(29min)), std::nullopt);
  EXPECT_EQ(t.peek(t.named("a"), at(31min)), std::nullopt) << "nobody has used it";
  EXPECT_EQ(t.counters().found, before.found);
  EXPECT_EQ(t.counters().absent, before.absent);
  EXPECT_EQ(t.counters().expired, before.expired);
  t.get_or_insert(t.named("c"), value(3), at(29min));
  EXPECT_EQ(t.peek(t.named("a"), at(29min)), std::nullopt) << "still the oldest";
  EXPECT_EQ(t.peek(t.named("b"), at(29min)), value(2));
}

TEST(StickTable, other_settings_hold_for_the_same_entries) {
  Table t(sized(2));
  t.get_or_insert(t.named("a"), value(1), at(0min));
  const StickTable other(t, {.capacity = 2000, .expire = 60min, .when_full = WhenFull::refuse});
  EXPECT_EQ(other.capacity(), 2u);
  EXPECT_EQ(other.bytes(), t.bytes());
  EXPECT_EQ(other.peek(t.named("a"), at(59min)), value(1));
  EXPECT_EQ(t.peek(t.named("a"), at(59min)), std::nullopt);
  StickTable more(t, {.expire = 60min, .when_full = WhenFull::refuse});
  t.get_or_insert(t.named("b"), value(2), at(1min));
  EXPECT_EQ(more.get_or_insert(t.named("c"), value(3), at(2min)).what, Stick::refused);
  EXPECT_EQ(t.get_or_insert(t.named("c"), value(3), at(2min)).what, Stick::inserted);
}

TEST(StickTable, an_entry_of_the_list_may_have_keys_of_another_kind) {
  Table t(sized(10));
  t.assign(t.key(0, "a"), value(1), at(0s));
  t.assign(t.key(1, "a"), value(2), at(0s));
  const StickTable moved(t, {.expire = 30min, .kinds = {7, 0}});
  EXPECT_EQ(moved.peek(moved.key(1, "a"), at(1s)), value(1));
  EXPECT_EQ(moved.peek(moved.key(0, "a"), at(1s)), std::nullopt);
  EXPECT_EQ(moved.peek(moved.key(2, "a"), at(1s)), std::nullopt);
}

TEST(StickTableHold, an_entry_lives_while_a_connection_goes_by_it_and_its_time_after_that) {
  Table t(sized(10));
  const StickHandle h = t.get_or_insert(t.named("a"), value(1), at(0min)).handle;
  ASSERT_TRUE(t.hold(h));
  ASSERT_TRUE(t.hold(t.find(t.named("a"), at(1min)).handle)) << "a second one";
  EXPECT_EQ(t.peek(t.named("a"), at(600min)), value(1));
  t.release(h, at(600min));
  EXPECT_EQ(t.find(t.named("a"), at(700min)).what, Stick::found);
  t.release(h, at(720min));
  EXPECT_EQ(t.counters().held, 0u);
  EXPECT_EQ(t.peek(t.named("a"), at(749min)), value(1));
  EXPECT_EQ(t.peek(t.named("a"), at(751min)), std::nullopt);
  t.release(h, at(720min));  // once too often
  EXPECT_EQ(t.counters().held, 0u);
}

TEST(StickTableHold, a_full_table_gives_up_what_nobody_holds_and_then_the_oldest_of_those) {
  Table t(sized(3));
  StickHandle h[3];
  for (int i = 0; i < 3; ++i)
    h[i] = t.get_or_insert(t.named(std::to_string(i)), value(1), at(0s)).handle;
  ASSERT_TRUE(t.hold(h[0]) && t.hold(h[1]));
  t.get_or_insert(t.named("d"), value(1), at(1s));
  EXPECT_EQ(t.peek(t.named("2"), at(1s)), std::nullopt) << "the only one that nobody held";
  EXPECT_FALSE(t.hold(h[2])) << "gone";
  EXPECT_EQ(t.counters().evicted_held, 0u);
  ASSERT_TRUE(t.hold(t.find(t.named("d"), at(1s)).handle));
  t.find(t.named("0"), at(2s));
  t.get_or_insert(t.named("e"), value(1), at(3s));
  EXPECT_EQ(t.peek(t.named("1"), at(3s)), std::nullopt) << "the oldest of those that are held";
  EXPECT_EQ(t.counters().evicted_held, 1u);
  EXPECT_EQ(t.counters().evicted, 2u);
}

TEST(StickTableHold, who_lets_go_of_an_entry_that_went_touches_no_other) {
  Table t(sized(1));
  const StickHandle first = t.get_or_insert(t.named("a"), value(1), at(0s)).handle;
  ASSERT_TRUE(t.hold(first));
  const StickHandle second = t.get_or_insert(t.named("b"), value(2), at(1s)).handle;
  ASSERT_TRUE(t.hold(second));
  t.release(first, at(2s));  // another key at its place
  EXPECT_EQ(t.counters().held, 1u);
  EXPECT_TRUE(t.erase(t.named("b").hash));
  EXPECT_EQ(t.counters().held, 0u);
  const StickHandle third = t.get_or_insert(t.named("b"), value(3), at(3s)).handle;
  ASSERT_TRUE(t.hold(third));
  EXPECT_FALSE(t.hold(second));
  t.release(second, at(3s));  // the same key, but not that entry
  EXPECT_EQ(t.counters().held, 1u);
  EXPECT_FALSE(t.hold({}));
  t.release({}, at(3s));
  EXPECT_FALSE(t.hold({.place = 6, .mark = 0})) << "of another table";
}

TEST(StickTableHold, a_walk_tells_how_many_hold_an_entry) {
  Table t(sized(10));
  const StickHandle h = t.get_or_insert(t.named("a"), value(1), at(0s)).handle;
  t.get_or_insert(t.named("b"), value(1), at(0s));
  ASSERT_TRUE(t.hold(h) && t.hold(h));
  std::vector<StickView> views(10);
  StickCursor cursor;
  ASSERT_EQ(t.read(cursor, views, at(60min)), 1u) << "the other one has expired";
  EXPECT_EQ(views[0].connections, 2u);
  EXPECT_EQ(views[0].idle, 0s);
}

// The table against a list that is searched from one end to the other.
class Model {
 public:
  Model(size_t capacity, WhenFull when_full) : capacity_(capacity), when_full_(when_full) {}
  struct Row {
    uint32_t key;
    StickValue value;
    uint64_t used;
    uint64_t serial;
    unsigned holds = 0;
  };
  static uint64_t tick(Instant t) { return t.ns >> 30; }
  // 30 minutes are 1676.4 ticks; one more for the part that has gone by.
  static bool old(const Row& r, Instant now) { return r.holds == 0 && tick(now) - r.used > 1677; }

  Row* find(uint32_t key) {
    for (Row& r : rows_)
      if (r.key == key) return &r;
    return nullptr;
  }
  void use(uint32_t key, Instant now) {
    const auto it = std::find_if(rows_.begin(), rows_.end(), [&](Row& r) { return r.key == key; });
    Row r = *it;
    r.used = tick(now);
    rows_.erase(it);
    rows_.push_back(r);
  }
  StickResult insert(uint32_t key, StickValue v, Instant now) {
    for (int n = 0; n < 2 && oldest_idle() != rows_.end() && old(*oldest_idle(), now); ++n)
      rows_.erase(oldest_idle());
    if (rows_.size() == capacity_) {
      if (when_full_ == WhenFull::refuse) return what(v, Stick::refused);
      rows_.erase(oldest_idle() != rows_.end() ? oldest_idle() : rows_.begin());
    }
    rows_.push_back({key, v, tick(now), ++serial_});
    return what(v, Stick::inserted);
  }
  static StickResult what(StickValue v, Stick what) {
    StickResult r;
    r.value = v;
    r.what = what;
    return r;
  }
  // It goes behind the others that are held, without having been used.
  void hold(uint32_t key) {
    Row r = *find(key);
    if (r.holds++ == 0) {
      erase(find(key));
      rows_.push_back(r);
    } else {
      *find(key) = r;
    }
  }
  void release(uint32_t key, uint64_t serial, Instant now) {
    Row* r = find(key);
    if (r == nullptr || r->serial != serial) return;
    --r->holds;
    use(key, now);
  }
  size_t held() const {
    return static_cast<size_t>(
        std::count_if(rows_.begin(), rows_.end(), [](const Row& r) { return r.holds != 0; }));
  }
  void erase(Row* r) { rows_.erase(rows_.begin() + (r - rows_.data())); }
  size_t size() const { return rows_.size(); }

 private:
  std::vector<Row>::iterator oldest_idle() {
    return std::find_if(rows_.begin(), rows_.end(), [](const Row& r) { return r.holds == 0; });
  }
  std::vector<Row> rows_;  // oldest use first
  uint64_t serial_ = 0;
  size_t capacity_;
  WhenFull when_full_;
};

TEST(StickTable, random_histories_are_those_of_a_simple_list) {
  for (uint32_t seed = 0; seed < 40; ++seed) {
    std::mt19937 random(seed);
    const size_t capacity = 1 + random() % 40;
    const WhenFull when_full = seed % 2 == 0 ? WhenFull::evict : WhenFull::refuse;
    Table t(sized(capacity, when_full));
    Model m(capacity, when_full);
    Instant now = at(0s);
    struct Held {
      uint32_t key;
      uint64_t serial;
      StickHandle handle;
    };
    std::vector<Held> holds;  // some of entries that are there no more
    for (int step = 0; step < 4000; ++step) {
      now = now + Duration(random() % 100 == 0 ? 31min : std::chrono::seconds(random() % 40));
      const uint32_t key = random() % 60;
      const StickKey k = t.named(std::to_string(key));
      const StickValue v = value(random() % 4), w = value(random() % 4);
      Model::Row* row = m.find(key);
      const bool live = row != nullptr && !Model::old(*row, now);
      StickResult expected, got;
      switch (random() % 5) {
        case 0:
          got = t.get_or_insert(k, v, now);
          if (row == nullptr) {
            expected = m.insert(key, v, now);
          } else {
            if (!live) row->value = v;
            expected = Model::what(row->value, live ? Stick::found : Stick::replaced_expired);
            m.use(key, now);
          }
          break;
        case 1:
          got = t.find(k, now);
          if (live) {
            expected = Model::what(row->value, Stick::found);
            m.use(key, now);
          } else if (row != nullptr) {
            m.erase(row);
          }
          break;
        case 2:
          got = t.update_if(k, w, v, now);
          if (row == nullptr) {
            expected = m.insert(key, v, now);
          } else {
            const bool change = !live || row->value == w;
            if (change) row->value = v;
            expected = Model::what(row->value, !live    ? Stick::replaced_expired
                                               : change ? Stick::updated
                                                        : Stick::found);
            m.use(key, now);
          }
          break;
        case 3:
          got = t.assign(k, v, now);
          if (row == nullptr) {
            expected = m.insert(key, v, now);
          } else {
            expected = Model::what(v, !live             ? Stick::replaced_expired
                                      : row->value == v ? Stick::found
                                                        : Stick::updated);
            row->value = v;
            m.use(key, now);
          }
          break;
        default:
          ASSERT_EQ(t.erase(k.hash), row != nullptr);
          if (row != nullptr) m.erase(row);
      }
      ASSERT_EQ(got, expected) << "seed " << seed << " step " << step << " what " << int(got.what)
                               << " not " << int(expected.what);
      if (got.handle.present() && random() % 4 == 0 && holds.size() < 30) {
        ASSERT_TRUE(t.hold(got.handle));
        m.hold(key);
        holds.push_back({key, m.find(key)->serial, got.handle});
      } else if (!holds.empty() && random() % 4 == 0) {
        const size_t i = random() % holds.size();
        t.release(holds[i].handle, now);
        m.release(holds[i].key, holds[i].serial, now);
        holds[i] = holds.back();
        holds.pop_back();
      }
      ASSERT_EQ(t.counters().held, m.held()) << "seed " << seed << " step " << step;
      ASSERT_EQ(t.counters().used, m.size()) << "seed " << seed << " step " << step;
    }
  }
}

TEST(StickTableClear, takes_what_is_asked_for_and_leaves_the_rest_to_be_found) {
  StickTable table({.capacity = 20000, .expire = std::chrono::minutes(1)}, HashKey{7});
  const Instant now{5'000'000'000};
  for (uint32_t i = 0; i < 10000; ++i)
    table.get_or_insert(table.key(0, std::to_string(i)), {.backend = i % 3}, now);
  StickCursor cursor;
  size_t taken = 0, turns = 0;
  while (!cursor.done) {
    taken += table.clear(
        cursor, [](const StickView& v) { return v.value.backend == 1; }, now);
    ++turns;
  }
  EXPECT_EQ(taken, 3333u);
  EXPECT_GT(turns, 1u) << "in pieces";
  EXPECT_EQ(table.counters().used, 6667u);
  EXPECT_EQ(table.counters().erased, 3333u);
  for (uint32_t i = 0; i < 10000; ++i)
    ASSERT_EQ(table.peek(table.key(0, std::to_string(i)), now).has_value(), i % 3 != 1) << i;
}

TEST(StickTableClear, of_a_session_that_is_held_its_connection_lets_go_of_nothing_else) {
  StickTable table({.capacity = 4, .expire = std::chrono::minutes(1)}, HashKey{7});
  const Instant now{5'000'000'000};
  const StickResult r = table.get_or_insert(table.key(0, "a"), {.backend = 1}, now);
  ASSERT_TRUE(table.hold(r.handle));
  StickCursor cursor;
  EXPECT_EQ(table.clear(
                cursor, [](const StickView&) { return true; }, now),
            1u);
  EXPECT_EQ(table.counters().held, 0u);
  const StickResult again = table.get_or_insert(table.key(0, "b"), {.backend = 2}, now);
  ASSERT_TRUE(table.hold(again.handle));
  table.release(r.handle, now);
  EXPECT_EQ(table.counters().held, 1u) << "the place is another one's now";
}

TEST(StickTableLook, says_what_a_walk_says_and_leaves_no_trace) {
  StickTable table({.capacity = 4, .expire = std::chrono::minutes(1)}, HashKey{7});
  const Instant now{5'000'000'000}, later{25'000'000'000}, late{100'000'000'000};
  table.get_or_insert(table.key(0, "a"), {.backend = 1}, now);
  const auto view = table.look(table.key(0, "a"), later);
  ASSERT_TRUE(view);
  EXPECT_NEAR(static_cast<double>(view->idle.count()), 20e9, 1.2e9);
  EXPECT_EQ(view->value.backend, 1u);
  EXPECT_EQ(view->connections, 0u);
  EXPECT_FALSE(table.look(table.key(1, "a"), later)) << "of another kind";
  EXPECT_FALSE(table.look(table.key(0, "b"), later));
  EXPECT_FALSE(table.look(table.key(0, "a"), late)) << "it was not used by the look before";
  EXPECT_EQ(table.counters().found, 0u);
}

}  // namespace
}  // namespace limpet::affinity
