// Several workers on one stick table. Built with ThreadSanitizer this proves the locks; in any
// build that parallel first connections agree, which is what the table is for.
#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "limpet/affinity/learn.h"
#include "limpet/affinity/pins.h"
#include "limpet/affinity/stick_table.h"

namespace limpet::affinity {
namespace {

using namespace std::chrono_literals;

constexpr unsigned kWorkers = 4;
constexpr Instant kNow{1'000'000'000'000};

template <class Work>
void in_parallel(Work work) {
  std::vector<std::thread> threads;
  for (unsigned w = 0; w < kWorkers; ++w) threads.emplace_back([&work, w] { work(w); });
  for (std::thread& t : threads) t.join();
}

StickTable::Settings sized(size_t n) {
  return {n, 30min, WhenFull::evict};
}
StickValue value(uint32_t backend) {
  return {.backend = backend, .member = static_cast<uint16_t>(backend)};
}

// Every worker proposes its own backend for the same client at the same moment.
TEST(Threads, parallel_first_pins_of_one_client_always_agree) {
  constexpr unsigned kClients = 3000;
  StickTable table(sized(2 * kClients), HashKey{1});
  std::barrier start(kWorkers);
  std::vector<std::array<StickResult, kWorkers>> told(kClients);
  in_parallel([&](unsigned w) {
    for (unsigned c = 0; c < kClients; ++c) {
      const StickKey key = table.key(0, std::to_string(c));
      if (c % 4 == 0) start.arrive_and_wait();
      told[c][w] = table.get_or_insert(key, value(w), kNow);
    }
  });
  std::array<unsigned, kWorkers> won{};
  for (unsigned c = 0; c < kClients; ++c) {
    unsigned inserted = 0;
    for (const StickResult& r : told[c]) {
      ASSERT_EQ(r.value, told[c][0].value) << "client " << c;
      inserted += r.what == Stick::inserted;
    }
    ASSERT_EQ(inserted, 1u) << "client " << c;
    ++won[told[c][0].value.backend];
  }
  EXPECT_EQ(table.counters().used, kClients);
  EXPECT_EQ(table.counters().overruled, kClients * (kWorkers - 1));
}

// The backend of all clients dies, and every worker moves each client to a backend of its own
// choice.
TEST(Threads, workers_that_move_one_client_at_once_agree) {
  constexpr unsigned kClients = 3000;
  const BackendIds backends({"s0", "s1", "s2", "s3", "dead"});
  StickTable table(sized(2 * kClients), HashKey{1});
  for (unsigned c = 0; c < kClients; ++c)
    table.get_or_insert(table.key(0, std::to_string(c)), value_of(backends, 4), kNow);
  std::barrier start(kWorkers);
  std::vector<std::array<uint16_t, kWorkers>> told(kClients);
  in_parallel([&](unsigned w) {
    Pins pins{table, backends, [](uint16_t m) { return m != 4; }, kNow};
    for (unsigned c = 0; c < kClients; ++c) {
      const StickKey key = table.key(0, std::to_string(c));
      if (c % 4 == 0) start.arrive_and_wait();
      told[c][w] = pins.pin(key, [w] { return static_cast<uint16_t>(w); }).member;
    }
  });
  for (unsigned c = 0; c < kClients; ++c)
    for (const uint16_t member : told[c]) ASSERT_EQ(member, told[c][0]) << "client " << c;
  EXPECT_EQ(table.counters().updated, kClients);
}

// Everything at once on a table that is too small, while it is shown: counts must come out even.
TEST(Threads, a_crowded_table_keeps_its_books) {
  StickTable table(sized(4096), HashKey{1});
  std::atomic<unsigned> working{kWorkers};
  std::thread reader([&] {
    std::vector<StickView> out(64);
    while (working.load() != 0) {
      for (StickCursor cursor; !cursor.done;) {
        const size_t n = table.read(cursor, out, kNow);
        for (size_t i = 0; i < n; ++i) ASSERT_EQ(out[i].value.backend, out[i].value.member);
      }
      ASSERT_LE(table.counters().used, table.capacity());
    }
  });
  in_parallel([&](unsigned w) {
    std::mt19937 random(w);
    for (unsigned i = 0; i < 20000; ++i) {
      const StickKey key = table.key(0, std::to_string(random() % 8192));
      const Instant now = kNow + std::chrono::seconds(i / 4);
      switch (random() % 5) {
        case 0:
          table.find(key, now);
          break;
        case 1:
          table.update_if(key, value(w), value(w + 1), now);
          break;
        case 2:
          table.assign(key, value(w), now);
          break;
        case 3:
          table.erase(key.hash);
          break;
        default:
          table.get_or_insert(key, value(w), now);
      }
    }
    --working;
  });
  reader.join();
  // Expired entries that were renewed in place were not inserted anew, hence the inequality.
  const StickCounters c = table.counters();
  EXPECT_GE(c.used + c.evicted + c.erased + c.expired, c.inserted);
  EXPECT_LE(c.used + c.evicted + c.erased, c.inserted);
  size_t shown = 0;
  std::vector<StickView> out(64);
  for (StickCursor cursor; !cursor.done;) shown += table.read(cursor, out, kNow + 5000s);
  EXPECT_LE(shown, c.used);
  EXPECT_GT(shown, 0u);
}

}  // namespace
}  // namespace limpet::affinity
