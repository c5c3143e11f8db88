// Look-up in the flow table: key in, record touched, both directions in turn, random order. Filled
// to its capacity, so the index is at the load it was sized for. `burst` prefetches 32 at a time,
// as the worker does.
#include <benchmark/benchmark.h>

#include <array>
#include <memory>

#include "flows.h"

namespace limpet::flow {
namespace {

constexpr std::array<uint64_t, 8> kSecret{
    0x9ae16a3b2f90404f, 0xc949c7b9a1e5c6d3, 0xb492b66fbe98f273, 0x9ddfea08eb382d69,
    0xf39cc0605cedc834, 0x1082276bf3a27251, 0xf86c6a11d0c18e95, 0x2767f0b153d27b7f};

// One at a time in memory, kept while runs ask for the same size.
Table& table_of(uint32_t flows) {
  static std::unique_ptr<Table> table;
  if (!table || table->capacity() != flows) {
    table.reset();
    table = std::make_unique<Table>(flows, kSecret, bench_backends());
    for (uint32_t i = 0; i < flows; ++i) {
      const FlowId id = table->allocate();
      fill_record(table->at(id), i);
      if (!table->insert(id)) std::abort();
    }
  }
  return *table;
}

void find_one_by_one(benchmark::State& state) {
  const auto flows = static_cast<uint32_t>(state.range(0));
  const Table& table = table_of(flows);
  const auto order = random_order(flows);
  size_t at = 0;
  uint64_t sum = 0;
  for ([[maybe_unused]] auto _ : state) {
    for (unsigned j = 0; j < kBurst; ++j) {
      const uint32_t i = order[at + j];
      FlowId id;
      if (j % 2 == 0) {
        const ForwardKey key = forward_of(i);
        id = table.find(key, table.hash(key));
      } else {
        const ReverseKey key = reverse_of(i);
        id = table.find(key, table.hash(key));
      }
      if (id == kNoFlow) std::abort();
      sum += table.at(id).last_seen;
    }
    at = (at + kBurst) % kOrder;
  }
  benchmark::DoNotOptimize(sum);
  state.SetItemsProcessed(state.iterations() * kBurst);
}

void find_burst(benchmark::State& state) {
  const auto flows = static_cast<uint32_t>(state.range(0));
  const Table& table = table_of(flows);
  const auto order = random_order(flows);
  size_t at = 0;
  uint64_t sum = 0;
  std::array<uint64_t, kBurst> hashes;
  std::array<ForwardKey, kBurst / 2> forward;
  std::array<ReverseKey, kBurst / 2> reverse;
  for ([[maybe_unused]] auto _ : state) {
    for (unsigned j = 0; j < kBurst; ++j) {
      const uint32_t i = order[at + j];
      if (j % 2 == 0) {
        forward[j / 2] = forward_of(i);
        hashes[j] = table.hash(forward[j / 2]);
      } else {
        reverse[j / 2] = reverse_of(i);
        hashes[j] = table.hash(reverse[j / 2]);
      }
      table.prefetch_index(hashes[j]);
    }
    for (const uint64_t h : hashes) table.prefetch_record(h);
    for (unsigned j = 0; j < kBurst; ++j) {
      const FlowId id = j % 2 == 0 ? table.find(forward[j / 2], hashes[j])
                                   : table.find(reverse[j / 2], hashes[j]);
      if (id == kNoFlow) std::abort();
      sum += table.at(id).last_seen;
    }
    at = (at + kBurst) % kOrder;
  }
  benchmark::DoNotOptimize(sum);
  state.SetItemsProcessed(state.iterations() * kBurst);
}

// A segment of no flow, or a first SYN: both buckets are read, hardly ever a record.
void find_absent_burst(benchmark::State& state) {
  const auto flows = static_cast<uint32_t>(state.range(0));
  const Table& table = table_of(flows);
  const auto order = random_order(flows);
  size_t at = 0;
  std::array<uint64_t, kBurst> hashes;
  std::array<ForwardKey, kBurst> keys;
  for ([[maybe_unused]] auto _ : state) {
    for (unsigned j = 0; j < kBurst; ++j) {
      keys[j] = forward_of(order[at + j]);
      keys[j].service = 2;
      hashes[j] = table.hash(keys[j]);
      table.prefetch_index(hashes[j]);
    }
    for (const uint64_t h : hashes) table.prefetch_record(h);
    for (unsigned j = 0; j < kBurst; ++j) {
      if (table.find(keys[j], hashes[j]) != kNoFlow) std::abort();
    }
    at = (at + kBurst) % kOrder;
  }
  state.SetItemsProcessed(state.iterations() * kBurst);
}

// One flow ends and another begins, with the table full all the time: erase, allocate, fill,
// insert.
void replace(benchmark::State& state) {
  const auto flows = static_cast<uint32_t>(state.range(0));
  Table table(flows, kSecret, bench_backends());
  std::vector<FlowId> ids(flows);
  for (uint32_t i = 0; i < flows; ++i) {
    ids[i] = table.allocate();
    fill_record(table.at(ids[i]), i);
    if (!table.insert(ids[i])) std::abort();
  }
  const auto order = random_order(flows);
  size_t at = 0;
  for ([[maybe_unused]] auto _ : state) {
    const uint32_t i = order[at];
    Record& r = table.at(ids[i]);
    const Record copy = r;
    table.erase(ids[i]);
    const FlowId id = table.allocate();
    fill_record(table.at(id), i);
    table.at(id).service = static_cast<uint16_t>(copy.service + 1);  // other buckets than before
    if (!table.insert(id)) std::abort();
    ids[i] = id;
    at = (at + 1) % kOrder;
  }
  state.SetItemsProcessed(state.iterations());
}

void fill_up(benchmark::State& state) {
  const auto flows = static_cast<uint32_t>(state.range(0));
  for ([[maybe_unused]] auto _ : state) {
    state.PauseTiming();
    Table table(flows, kSecret, bench_backends());
    state.ResumeTiming();
    for (uint32_t i = 0; i < flows; ++i) {
      const FlowId id = table.allocate();
      fill_record(table.at(id), i);
      if (!table.insert(id)) std::abort();
    }
    state.PauseTiming();
    state.counters["bytes_each"] = table.bytes_each();
    { const Table gone = std::move(table); }
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * flows);
}

void sizes(benchmark::internal::Benchmark* b) {
  for (const int64_t flows : {1024, 65536, 1048576, 4194304}) b->Arg(flows);
}
BENCHMARK(find_burst)->Apply(sizes);
BENCHMARK(find_absent_burst)->Apply(sizes);
BENCHMARK(find_one_by_one)->Apply(sizes);
BENCHMARK(replace)->Arg(1024)->Arg(65536)->Arg(1048576);
BENCHMARK(fill_up)->Arg(1024)->Arg(65536)->Arg(1048576)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace limpet::flow
