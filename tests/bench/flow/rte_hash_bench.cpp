// The same look-ups in rte_hash: two entries a flow with a 40-byte key, and an array of records
// behind it. Its key store and buckets get huge pages as ours do, or the comparison would measure
// the TLB.
#include <benchmark/benchmark.h>
#include <rte_eal.h>
#include <rte_hash.h>
#include <rte_hash_crc.h>
#include <rte_memory.h>
#include <rte_prefetch.h>
#include <sys/mman.h>

#include <array>
#include <cstring>
#include <memory>

#include "flows.h"

namespace limpet::flow {
namespace {

struct Key {  // either direction
  IpAddress address;
  IpAddress other;
  uint16_t port;
  uint16_t slot;
  uint16_t other_port;
  uint8_t protocol;
  uint8_t direction;
};
static_assert(sizeof(Key) == 40);

Key key_of(uint32_t i, bool reverse) {
  if (!reverse) {
    const ForwardKey f = forward_of(i);
    return {f.client, {}, f.client_port.raw, f.service, 0, 6, 0};
  }
  const ReverseKey r = reverse_of(i);
  return {r.backend, {}, r.backend_port.raw, r.source, r.source_port.raw, r.protocol, 1};
}

bool start_eal() {
  static const bool started = [] {
    std::array<const char*, 9> args{"bench_flow",
                                    "--no-huge",
                                    "--no-pci",
                                    "--lcores",
                                    "0@0",
                                    "-m",
                                    "1536",
                                    "--log-level=error",
                                    "--file-prefix=limpet-bench-flow"};
    std::array<char*, args.size()> argv;
    for (size_t i = 0; i < args.size(); ++i) argv[i] = const_cast<char*>(args[i]);
    if (rte_eal_init(static_cast<int>(argv.size()), argv.data()) < 0) return false;
    const auto advise = [](const rte_memseg_list* list, void*) {
      madvise(list->base_va, list->len, MADV_HUGEPAGE);
      return 0;
    };
    rte_memseg_list_walk(advise, nullptr);
    return true;
  }();
  return started;
}

struct Other {
  rte_hash* hash = nullptr;
  std::unique_ptr<Record[]> records;
  uint32_t flows = 0;

  void build(uint32_t count) {
    if (flows == count) return;
    rte_hash_free(hash);
    hash = nullptr;
    flows = 0;
    rte_hash_parameters p{};
    p.name = "bench";
    p.entries = count * 2;
    p.key_len = sizeof(Key);
    p.hash_func = rte_hash_crc;
    p.socket_id = SOCKET_ID_ANY;
    hash = rte_hash_create(&p);
    if (hash == nullptr) return;
    records = std::make_unique<Record[]>(count);
    madvise(reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(records.get()) + 4095) & ~4095ull),
            count * sizeof(Record), MADV_HUGEPAGE);
    for (uint32_t i = 0; i < count; ++i) {
      for (const bool reverse : {false, true}) {
        const Key key = key_of(i, reverse);
        // Its entries are a power of two and not always all of them find room.
        if (rte_hash_add_key_data(hash, &key, reinterpret_cast<void*>(uintptr_t{i})) != 0)
          ++refused;
      }
    }
    flows = count;
  }
  uint32_t refused = 0;
};

Other& other() {
  static Other o;
  return o;
}

void rte_hash_burst(benchmark::State& state) {
  const auto flows = static_cast<uint32_t>(state.range(0));
  if (!start_eal()) return state.SkipWithError("EAL does not start");
  other().build(flows);
  if (other().flows != flows) return state.SkipWithError("not enough memory for rte_hash");
  const auto order = random_order(flows);
  size_t at = 0;
  uint64_t sum = 0;
  uint64_t missing = 0;
  std::array<Key, kBurst> keys;
  std::array<const void*, kBurst> pointers;
  std::array<void*, kBurst> data;
  for (unsigned j = 0; j < kBurst; ++j) pointers[j] = &keys[j];
  for ([[maybe_unused]] auto _ : state) {
    for (unsigned j = 0; j < kBurst; ++j) keys[j] = key_of(order[at + j], j % 2 != 0);
    uint64_t hits = 0;
    rte_hash_lookup_bulk_data(other().hash, pointers.data(), kBurst, &hits, data.data());
    for (unsigned j = 0; j < kBurst; ++j) {
      if ((hits >> j & 1) == 0) {
        ++missing;
        data[j] = nullptr;
      }
      rte_prefetch0(&other().records[reinterpret_cast<uintptr_t>(data[j])]);
    }
    for (void* d : data) sum += other().records[reinterpret_cast<uintptr_t>(d)].last_seen;
    at = (at + kBurst) % kOrder;
  }
  benchmark::DoNotOptimize(sum);
  state.SetItemsProcessed(state.iterations() * kBurst);
  state.counters["refused"] = other().refused;
}
BENCHMARK(rte_hash_burst)->Arg(1024)->Arg(65536)->Arg(1048576)->Arg(4194304);

}  // namespace
}  // namespace limpet::flow
