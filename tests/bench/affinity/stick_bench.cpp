// The stick table against one mutex around a std::unordered_map with a list for the order of use,
// which is what one would write first: a look-up that refreshes, and a first pin into a full table.
#include <benchmark/benchmark.h>

#include <list>
#include <mutex>
#include <random>
#include <string>
#include <unordered_map>

#include "limpet/affinity/stick_table.h"

namespace limpet::affinity {
namespace {

constexpr Instant kNow{1'000'000'000'000};
constexpr HashKey kSecret = {1};

std::string_view bytes_of(const uint64_t& client) {
  return {reinterpret_cast<const char*>(&client), sizeof client};
}

class Ours {
 public:
  explicit Ours(size_t n) : table_({n, std::chrono::minutes(30), WhenFull::evict}, kSecret) {}
  uint32_t pin(uint64_t client, uint32_t backend) {
    return table_.get_or_insert(table_.key(0, bytes_of(client)), {.backend = backend}, kNow)
        .value.backend;
  }

 private:
  StickTable table_;
};

class Plain {
 public:
  explicit Plain(size_t n) : capacity_(n) { map_.reserve(n); }
  uint32_t pin(uint64_t client, uint32_t backend) {
    const std::lock_guard guard(lock_);
    const auto it = map_.find(std::string(bytes_of(client)));
    if (it != map_.end()) {
      order_.splice(order_.end(), order_, it->second.place);
      return it->second.backend;
    }
    if (map_.size() == capacity_) {
      map_.erase(order_.front());
      order_.pop_front();
    }
    order_.emplace_back(bytes_of(client));
    map_.emplace(order_.back(), Row{backend, std::prev(order_.end())});
    return backend;
  }

 private:
  struct Hash {
    size_t operator()(const std::string& s) const { return siphash(kSecret, s); }
  };
  struct Row {
    uint32_t backend;
    std::list<std::string>::iterator place;
  };
  std::mutex lock_;
  std::unordered_map<std::string, Row, Hash> map_;
  std::list<std::string> order_;
  size_t capacity_;
};

// One for all threads of a benchmark, filled once.
template <class Table>
Table& full(int64_t size) {
  static std::mutex lock;
  static std::unordered_map<int64_t, Table> tables;
  const std::lock_guard guard(lock);
  const auto [it, fresh] = tables.try_emplace(size, static_cast<size_t>(size));
  if (fresh)
    for (int64_t i = 0; i < size; ++i) it->second.pin(static_cast<uint64_t>(i), 1);
  return it->second;
}

template <class Table>
void known_clients(benchmark::State& state) {
  Table& table = full<Table>(state.range(0));
  std::minstd_rand random(static_cast<uint32_t>(state.thread_index()) + 1);
  const auto half = static_cast<uint64_t>(state.range(0)) / 2;
  for ([[maybe_unused]] auto _ : state)
    benchmark::DoNotOptimize(table.pin(half + random() % half, 2));
}

template <class Table>
void new_clients(benchmark::State& state) {
  Table& table = full<Table>(state.range(0));
  uint64_t client = (uint64_t{1} << 40) * static_cast<uint64_t>(state.thread_index() + 1);
  for ([[maybe_unused]] auto _ : state) benchmark::DoNotOptimize(table.pin(client++, 2));
}

void sizes(benchmark::internal::Benchmark* b) {
  b->ArgName("entries")->UseRealTime()->Arg(1 << 14)->Arg(1 << 20)->Threads(1)->Threads(2);
}
BENCHMARK_TEMPLATE(known_clients, Ours)->Apply(sizes);
BENCHMARK_TEMPLATE(known_clients, Plain)->Apply(sizes);
BENCHMARK_TEMPLATE(new_clients, Ours)->Apply(sizes);
BENCHMARK_TEMPLATE(new_clients, Plain)->Apply(sizes);

}  // namespace
}  // namespace limpet::affinity

BENCHMARK_MAIN();
