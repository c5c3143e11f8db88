#include "limpet/balance/maglev.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <compare>
#include <functional>
#include <numeric>
#include <queue>
#include <utility>

namespace limpet::balance {

namespace {

// Constant, as all nodes must agree: a changed letter moves every client of every pool.
constexpr HashKey kOffsetKey = {'m', 'a', 'g', 'l', 'e', 'v', '/', 'o',
                                'f', 'f', 's', 'e', 't', '/', 'v', '1'};
constexpr HashKey kSkipKey = {'m', 'a', 'g', 'l', 'e', 'v', '/', 's',
                              'k', 'i', 'p', '/', 'v', '1', '/', '.'};
constexpr HashKey kSeedKey = {'m', 'a', 'g', 'l', 'e', 'v', '/', 's',
                              'e', 'e', 'd', '/', 'v', '1', '/', '.'};

// Virtual time 1.0. An increment is at least kSecond / (256 * 5,000,011), 22 bits; the sum at most
// kSecond * (ln(5,000,011) + 1), 57 bits.
constexpr uint64_t kSecond = uint64_t{1} << 52;

// One member while the table is filled.
struct Filler {
  uint64_t slot;        // next of its permutation
  uint64_t skip;        // 1 .. size - 1
  uint32_t wanted = 0;  // entries still to get
  uint32_t weight;      // 1 .. 256
  uint16_t member;      // the caller's index
};

// Members of one weight take their turns at the same times, in name order.
struct Class {
  std::vector<Filler> fillers;  // those that still want entries
  uint32_t weight;
  uint32_t looked = 0;  // slots of their permutations that each has looked at
};

// When a class looks at its next slots; of two at the same time the lighter one first.
struct Turn {
  uint64_t time;
  uint32_t weight_class;
  friend auto operator<=>(const Turn&, const Turn&) = default;
};

// Everybody gets size * weight / sum entries; a fraction f of an entry goes up or down. Rounding up
// is worth (2 f - 1) / weight: what the relative error gains by it. So light members, to whom one
// entry is much, get the nearest integer, and the heavy ones make the sum right. Ties by name.
void apportion(std::vector<Filler>& fillers, uint32_t size) {
  int64_t sum = 0;
  for (const Filler& f : fillers) sum += f.weight;
  uint32_t left = size;
  std::vector<int64_t> gain(fillers.size());  // times sum * weight
  for (size_t i = 0; i < fillers.size(); ++i) {
    const int64_t product = int64_t{size} * fillers[i].weight;
    fillers[i].wanted = static_cast<uint32_t>(product / sum);
    gain[i] = 2 * (product % sum) - sum;
    left -= fillers[i].wanted;
  }
  std::vector<uint32_t> order(fillers.size());
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    return gain[a] * fillers[b].weight > gain[b] * fillers[a].weight;
  });
  for (uint32_t i = 0; i < left; ++i) ++fillers[order[i]].wanted;
}

// Lightest first; whoever wants no entry is left out.
std::vector<Class> by_weight(std::vector<Filler> fillers) {
  std::erase_if(fillers, [](const Filler& f) { return f.wanted == 0; });
  std::stable_sort(fillers.begin(), fillers.end(),
                   [](const Filler& a, const Filler& b) { return a.weight < b.weight; });
  std::vector<Class> classes;
  for (const Filler& f : fillers) {
    if (classes.empty() || classes.back().weight != f.weight) {
      classes.push_back({.fillers = {}, .weight = f.weight});
    }
    classes.back().fillers.push_back(f);
  }
  return classes;
}

}  // namespace

Maglev::Maglev(std::span<const MaglevMember> members, uint32_t size) : ranks_(members.size()) {
  assert(members.size() < kNone && size > members.size());
  std::vector<uint16_t> by_name(members.size());
  std::iota(by_name.begin(), by_name.end(), uint16_t{0});
  std::sort(by_name.begin(), by_name.end(),
            [&](uint16_t a, uint16_t b) { return members[a].name < members[b].name; });

  std::vector<Filler> fillers;
  for (const uint16_t member : by_name) {
    const auto& [name, weight] = members[member];
    assert(weight <= kMaxWeight);
    assert(fillers.empty() || members[fillers.back().member].name != name);
    ranks_[member] = {siphash(kSeedKey, name), weight, 0};
    if (weight == 0) continue;
    fillers.push_back({.slot = siphash(kOffsetKey, name) % size,
                       .skip = siphash(kSkipKey, name) % (size - 1) + 1,
                       .weight = weight,
                       .member = member});
  }
  if (fillers.empty()) return;
  apportion(fillers, size);
  for (const Filler& f : fillers) ranks_[f.member].entries = f.wanted;
  std::vector<Class> classes = by_weight(std::move(fillers));

  table_.assign(size, kNone);
  // Most looks find the slot taken: a bit each stays in the cache where the table does not.
  std::vector<bool> taken(size);
  std::priority_queue<Turn, std::vector<Turn>, std::greater<>> turns;
  const auto after = [size](uint64_t now, const Class& c) {
    return now + kSecond / (uint64_t{c.weight} * (size - c.looked));
  };
  for (uint32_t i = 0; i < classes.size(); ++i) turns.push({after(0, classes[i]), i});
  // Ends with the table full: the size is prime, so a permutation visits every slot, and whatever a
  // member has passed was taken; as long as it wants one more, a free slot lies ahead of it.
  while (!turns.empty()) {
    const auto [now, i] = turns.top();
    turns.pop();
    Class& c = classes[i];
    bool satisfied = false;
    for (Filler& f : c.fillers) {
      if (!taken[f.slot]) {
        taken[f.slot] = true;
        table_[f.slot] = f.member;
        satisfied |= --f.wanted == 0;
      }
      f.slot += f.skip;
      if (f.slot >= size) f.slot -= size;
    }
    if (satisfied) std::erase_if(c.fillers, [](const Filler& f) { return f.wanted == 0; });
    if (c.fillers.empty()) continue;
    ++c.looked;
    turns.push({after(now, c), i});
  }
}

uint32_t Maglev::entries(uint16_t member) const {
  assert(member < ranks_.size());
  return ranks_[member].entries;
}

// Weighted rendezvous hashing: of all members the one with the smallest -log2(u) / weight, u
// uniform in (0, 1] from hash and name, owns the hash with probability weight / sum of weights. In
// integers, because a libm that differs in the last bit would be a node that disagrees.
uint64_t Maglev::distance(uint64_t hash, const Rank& rank) {
  constexpr unsigned kOne = 32;  // fixed point: 1.0 is 1 << 32
  const uint64_t u = mix64(hash ^ rank.seed) | 1;
  const auto zeros = static_cast<unsigned>(std::countl_zero(u));
  const uint64_t f = zeros == 63 ? 0 : (u << (zeros + 1)) >> kOne;  // u = 2^(63 - zeros) * (1 + f)
  const uint64_t f_rest = (f * ((uint64_t{1} << kOne) - f)) >> kOne;  // f * (1 - f)
  // log2(1 + f) = f + f (1 - f) (0.4427 - 0.1640 f - 0.078 f (1 - f)): slopes exact at both ends,
  // where the smallest distances come from; the error is below 0.12 % of the distance everywhere.
  constexpr uint64_t kA = 1901360723, kB = 704557436, kC = 335007449;
  const uint64_t bend = kA - ((kB * f) >> kOne) - ((kC * f_rest) >> kOne);
  const uint64_t log2 = f + ((f_rest * bend) >> kOne);
  const uint64_t minus_log2_u = (uint64_t{zeros + 1} << kOne) - log2;  // at most 64.0
  return (minus_log2_u << 20) / rank.weight;
}

}  // namespace limpet::balance
