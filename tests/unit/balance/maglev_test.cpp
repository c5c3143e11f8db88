#include "limpet/balance/maglev.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "limpet/base/hash.h"

namespace limpet::balance {
namespace {

using Members = std::vector<MaglevMember>;

Members pool(size_t n, const char* prefix = "s") {
  Members m;
  for (size_t i = 0; i < n; ++i) m.push_back({fmt::format("{}{}", prefix, i), 1});
  return m;
}

Members weighted(std::initializer_list<uint32_t> weights) {
  Members m = pool(weights.size());
  std::transform(weights.begin(), weights.end(), m.begin(), m.begin(),
                 [](uint32_t w, const MaglevMember& x) {
                   return MaglevMember{x.name, w};
                 });
  return m;
}

Members randomly_weighted(size_t n, uint32_t seed) {
  std::mt19937 random(seed);  // its sequence is the standard's; distributions' are not
  Members m = pool(n);
  for (MaglevMember& x : m) x.weight = 1 + random() % Maglev::kMaxWeight;
  return m;
}

// Table slot -> name, to compare tables whose members stand at different indices.
std::vector<std::string> names(const Members& m, const Maglev& t) {
  std::vector<std::string> r;
  for (const uint16_t i : t.table()) r.push_back(m[i].name);
  return r;
}

uint64_t checksum(const Maglev& t) {
  std::vector<uint8_t> bytes;
  for (const uint16_t i : t.table()) {
    bytes.push_back(static_cast<uint8_t>(i));
    bytes.push_back(static_cast<uint8_t>(i >> 8));
  }
  return siphash(HashKey{}, bytes);
}

uint64_t random_hash(uint64_t i) {
  return mix64(i * 0x9e3779b97f4a7c15u);
}

const auto everybody = [](uint16_t) { return true; };
const auto nobody = [](uint16_t) { return false; };

// The filling as the header tells it, without a heap: all looks of all members (in name order) at
// all slots of their permutations, sorted by time.
std::vector<uint16_t> fill(const Members& sorted, std::vector<uint32_t> quotas, uint32_t size) {
  const HashKey offset_key{'m', 'a', 'g', 'l', 'e', 'v', '/', 'o',
                           'f', 'f', 's', 'e', 't', '/', 'v', '1'};
  const HashKey skip_key{'m', 'a', 'g', 'l', 'e', 'v', '/', 's',
                         'k', 'i', 'p', '/', 'v', '1', '/', '.'};
  struct Look {
    double time;
    uint16_t member;
    uint64_t slot;
  };
  std::vector<Look> looks;
  for (size_t i = 0; i < sorted.size(); ++i) {
    const uint64_t offset = siphash(offset_key, sorted[i].name) % size;
    const uint64_t skip = siphash(skip_key, sorted[i].name) % (size - 1) + 1;
    double time = 0;
    for (uint32_t j = 0; j < size; ++j) {
      time += 1.0 / (sorted[i].weight * double(size - j));
      looks.push_back({time, static_cast<uint16_t>(i), (offset + j * skip) % size});
    }
  }
  std::stable_sort(looks.begin(), looks.end(), [](const Look& a, const Look& b) {
    return std::pair(a.time, a.member) < std::pair(b.time, b.member);
  });
  std::vector<uint16_t> table(size, Maglev::kNone);
  for (const Look& look : looks) {
    if (table[look.slot] != Maglev::kNone || quotas[look.member] == 0) continue;
    table[look.slot] = look.member;
    --quotas[look.member];
  }
  return table;
}

std::vector<uint16_t> table(const Members& m, uint32_t size) {
  const Maglev t(m, size);
  return {t.table().begin(), t.table().end()};
}

TEST(Maglev, empty_table_answers_none) {
  const Maglev t;
  EXPECT_EQ(t.size(), 0u);
  EXPECT_EQ(t.members(), 0u);
  EXPECT_EQ(t.first_choice(1), Maglev::kNone);
  EXPECT_EQ(t.lookup(1, everybody), Maglev::kNone);
}

// Sizes that a person can follow.
TEST(Maglev, rings_of_7_and_11_have_the_tables_written_here) {
  const Members equal = {{"a", 1}, {"b", 1}, {"c", 1}};
  const Members one_two_three = {{"a", 1}, {"b", 2}, {"c", 3}};
  EXPECT_EQ(table(equal, 7), std::vector<uint16_t>({0, 0, 1, 0, 2, 1, 2}));
  EXPECT_EQ(table(equal, 11), std::vector<uint16_t>({1, 0, 1, 2, 0, 2, 1, 0, 1, 2, 0}));
  EXPECT_EQ(table(one_two_three, 7), std::vector<uint16_t>({0, 1, 2, 2, 2, 1, 2}));
  EXPECT_EQ(table(one_two_three, 11), std::vector<uint16_t>({1, 1, 1, 2, 0, 2, 2, 0, 1, 2, 2}));

  EXPECT_EQ(fill(equal, {3, 2, 2}, 7), table(equal, 7));
  EXPECT_EQ(fill(equal, {4, 4, 3}, 11), table(equal, 11));
  EXPECT_EQ(fill(one_two_three, {1, 2, 4}, 7), table(one_two_three, 7));
  EXPECT_EQ(fill(one_two_three, {2, 4, 5}, 11), table(one_two_three, 11));
}

TEST(Maglev, larger_rings_are_filled_as_the_header_tells) {
  const Members equal = pool(10);  // "s0".."s9": already in name order
  EXPECT_EQ(table(equal, 1009),
            fill(equal, {101, 101, 101, 101, 101, 101, 101, 101, 101, 100}, 1009));
  const Members heavy =
      weighted({100, 1, 7, 50, 256});  // shares of 1009: 243.7 2.4 17.1 121.9 623.9
  EXPECT_EQ(table(heavy, 1009), fill(heavy, {244, 2, 17, 122, 624}, 1009));
}

// Nodes with different builds share clients only while these values stay: to change one is to move
// every client of every user.
TEST(Maglev, golden_tables_do_not_change) {
  EXPECT_EQ(checksum(Maglev(pool(10))), 0xb71759387f66e072u);
  EXPECT_EQ(checksum(Maglev(randomly_weighted(100, 1))), 0x11274dfb970dbcf5u);
  const Maglev t(weighted({1, 2, 4}), 251);
  EXPECT_EQ(t.lookup(random_hash(1), everybody), 0u);
  EXPECT_EQ(t.lookup(random_hash(2), everybody), 2u);
  EXPECT_EQ(t.lookup(random_hash(3), everybody), 2u);
  // Only two of a hundred up: the fallback decides most of these.
  const Maglev hundred(pool(100));
  std::vector<uint8_t> chosen;
  for (uint64_t c = 0; c < 4096; ++c) {
    const auto two = [](uint16_t i) { return i == 10 || i == 11; };
    chosen.push_back(static_cast<uint8_t>(hundred.lookup(random_hash(c), two)));
  }
  EXPECT_EQ(siphash(HashKey{}, chosen), 0x360b49856fd05c4eu);
}

TEST(Maglev, entries_are_within_2_percent_of_the_weights_share) {
  Members one_heavy = pool(100);
  one_heavy[17].weight = 256;
  Members one_light = pool(100);
  for (size_t i = 1; i < one_light.size(); ++i) one_light[i].weight = 256;
  Members few_light = pool(100);  // 2.84 entries each: 3, not 2
  for (size_t i = 0; i < 100; ++i) few_light[i].weight = i % 10 == 0 ? 1 : 256;
  const std::vector<Members> cases = {weighted({1}),
                                      weighted({1, 1}),
                                      weighted({1, 2}),
                                      weighted({256, 1}),
                                      weighted({1, 0, 3}),
                                      weighted({255, 256, 254}),
                                      few_light,
                                      pool(10),
                                      pool(100),
                                      randomly_weighted(10, 1),
                                      one_heavy,
                                      one_light,
                                      randomly_weighted(100, 1),
                                      randomly_weighted(100, 2),
                                      randomly_weighted(100, 3)};
  for (size_t c = 0; c < cases.size(); ++c) {
    const Members& m = cases[c];
    const Maglev t(m);
    double sum = 0;
    for (const MaglevMember& x : m) sum += x.weight;
    uint32_t total = 0;
    for (uint16_t i = 0; i < t.members(); ++i) {
      const double share = 65537.0 * m[i].weight / sum;
      const double error = std::abs(t.entries(i) - share);
      // A weight of 1 among 12,850 owns 5.1 entries, and there are no tenths of entries.
      EXPECT_LE(error, std::max(0.02 * share, 0.5))
          << "case " << c << ", member " << i << " of weight " << m[i].weight;
      EXPECT_EQ(t.entries(i), std::count(t.table().begin(), t.table().end(), i));
      total += t.entries(i);
    }
    EXPECT_EQ(total, 65537u) << "case " << c;
  }
}

TEST(Maglev, order_of_the_members_does_not_matter) {
  // Different weights are told apart by these; equal ones by the name alone.
  for (Members m : {randomly_weighted(30, 7), pool(30)}) {
    const auto expected = names(m, Maglev(m));
    std::mt19937 random(3);
    for (int round = 0; round < 5; ++round) {
      for (size_t i = m.size() - 1; i > 0; --i) std::swap(m[i], m[random() % (i + 1)]);
      const Maglev t(m);
      ASSERT_EQ(names(m, t), expected);
      for (uint16_t i = 0; i < t.members(); ++i) {
        EXPECT_EQ(t.entries(i), std::count(expected.begin(), expected.end(), m[i].name));
      }
    }
  }
}

struct Disruption {
  double worst = 0, mean = 0;  // entries that change hands / entries of the one who comes or goes
  double worst_excess = 0;     // entries of others that change hands / size
};

// Of all removals, or seen from the other side, of all additions to the smaller pool: the same two
// tables, the same entries that change hands.
Disruption disruption(const Members& m) {
  Disruption d;
  const Maglev full(m);
  for (size_t gone = 0; gone < m.size(); ++gone) {
    Members less = m;
    less.erase(less.begin() + static_cast<long>(gone));
    const Maglev t(less);
    uint32_t moved = 0;
    for (uint32_t s = 0; s < t.size(); ++s) {
      const uint16_t now = t.table()[s];
      moved += full.table()[s] != (now < gone ? now : now + 1);
    }
    const double ratio = double(moved) / full.entries(static_cast<uint16_t>(gone));
    d.worst = std::max(d.worst, ratio);
    d.mean += ratio / double(m.size());
    const uint32_t excess = moved - full.entries(static_cast<uint16_t>(gone));
    d.worst_excess = std::max(d.worst_excess, double(excess) / t.size());
  }
  return d;
}

TEST(Maglev, removal_moves_little_more_than_the_share_of_the_removed) {
  const auto report = [](const char* what, const Disruption& d) {
    fmt::print(
        "removal from {}: entries moved / share, worst {:.3f}, mean {:.3f}; beyond the share "
        "at most {:.2f} % of the table\n",
        what, d.worst, d.mean, d.worst_excess * 100);
  };
  for (const char* prefix : {"s", "web-"}) {
    const Disruption ten = disruption(pool(10, prefix));
    report("10", ten);
    EXPECT_LE(ten.worst, 1.1);
    EXPECT_GE(ten.worst, 1.0);  // whoever owned the removed entries must move
    const Disruption hundred = disruption(pool(100, prefix));
    report("100", hundred);
    EXPECT_LE(hundred.worst, 1.8);
  }
  Members one_two = pool(100);
  for (size_t i = 0; i < 100; i += 2) one_two[i].weight = 2;
  const Disruption mixed = disruption(one_two);
  report("100 of weights 1 and 2", mixed);
  EXPECT_LE(mixed.worst, 1.8);
  // With weights of 1 to 256 some own 5 entries: the ratio says little, so bound what else moves.
  const Disruption random = disruption(randomly_weighted(100, 1));
  report("100 of random weights", random);
  EXPECT_LE(random.worst_excess, 0.005);
}

TEST(Maglev, a_backend_that_goes_down_moves_its_own_clients_only_and_they_return) {
  const Members m = randomly_weighted(20, 5);
  const Maglev t(m, 1009);
  std::set<uint16_t> down;
  const auto usable = [&](uint16_t i) { return !down.contains(i); };
  constexpr uint64_t kClients = 20000;
  const auto where = [&] {
    std::vector<uint16_t> r;
    for (uint64_t c = 0; c < kClients; ++c) r.push_back(t.lookup(random_hash(c), usable));
    return r;
  };
  // One after the other until one is left: at the end nearly every look-up takes the fallback.
  std::vector<std::vector<uint16_t>> history = {where()};
  for (uint16_t victim = 0; victim + 1u < m.size(); ++victim) {
    down.insert(victim);
    history.push_back(where());
    const auto& before = history[history.size() - 2];
    const auto& after = history.back();
    for (uint64_t c = 0; c < kClients; ++c) {
      if (before[c] == victim) {
        ASSERT_TRUE(usable(after[c])) << "client " << c << " of the dead member " << victim;
      } else {
        ASSERT_EQ(after[c], before[c]) << "client " << c << " had nothing to do with " << victim;
      }
    }
  }
  while (!down.empty()) {  // and back, the last one first
    history.pop_back();
    down.erase(std::prev(down.end()));
    ASSERT_EQ(where(), history.back());
  }
}

TEST(Maglev, clients_of_a_dead_backend_spread_by_weight) {
  const Maglev t(weighted({4, 1, 2, 1}));
  std::vector<uint32_t> got(4);
  uint32_t moved = 0;
  for (uint64_t c = 0; c < 200000; ++c) {
    if (t.first_choice(random_hash(c)) != 0) continue;
    ++got[t.lookup(random_hash(c), [](uint16_t i) { return i != 0; })];
    ++moved;
  }
  EXPECT_EQ(got[0], 0u);
  EXPECT_NEAR(got[1], moved * 0.25, moved * 0.01);
  EXPECT_NEAR(got[2], moved * 0.50, moved * 0.01);
  EXPECT_NEAR(got[3], moved * 0.25, moved * 0.01);
}

// 97 of 100 down: 17 candidates miss in 60 % of the look-ups, so the exhaustive choice decides.
TEST(Maglev, the_fallback_spreads_by_weight_too) {
  Members m = pool(100);
  m[20].weight = 4;
  m[50].weight = 2;
  const Maglev t(m);
  const auto usable = [](uint16_t i) { return i == 20 || i == 50 || i == 80; };
  std::vector<uint32_t> got(100);
  constexpr uint32_t kClients = 200000;
  for (uint64_t c = 0; c < kClients; ++c) ++got[t.lookup(random_hash(c), usable)];
  EXPECT_NEAR(got[20], kClients * 4 / 7.0, kClients * 0.01);
  EXPECT_NEAR(got[50], kClients * 2 / 7.0, kClients * 0.01);
  EXPECT_NEAR(got[80], kClients * 1 / 7.0, kClients * 0.01);
}

TEST(Maglev, the_only_usable_backend_of_a_hundred_is_always_found) {
  const Maglev t(randomly_weighted(100, 9));
  for (uint16_t alive = 0; alive < 100; ++alive) {
    for (uint64_t c = 0; c < 1000; ++c) {
      ASSERT_EQ(t.lookup(random_hash(c), [&](uint16_t i) { return i == alive; }), alive);
    }
  }
}

TEST(Maglev, a_member_too_light_for_an_entry_is_still_found_when_alone) {
  const Maglev t(weighted({256, 256, 1}), 7);
  ASSERT_EQ(t.entries(2), 0u);
  EXPECT_EQ(t.lookup(random_hash(1), [](uint16_t i) { return i == 2; }), 2u);
}

TEST(Maglev, all_down_is_none) {
  EXPECT_EQ(Maglev(pool(100)).lookup(random_hash(1), nobody), Maglev::kNone);
}

TEST(Maglev, weight_0_is_never_chosen) {
  const Maglev t(weighted({0, 1, 0, 1}), 251);
  EXPECT_EQ(t.entries(0), 0u);
  EXPECT_EQ(t.members(), 4u);
  for (uint64_t c = 0; c < 1000; ++c) {
    EXPECT_EQ(t.lookup(random_hash(c), everybody) % 2, 1u);
    EXPECT_EQ(t.lookup(random_hash(c), [](uint16_t i) { return i % 2 == 0; }), Maglev::kNone);
  }
  const Maglev none(weighted({0, 0}));
  EXPECT_EQ(none.lookup(1, everybody), Maglev::kNone);
  EXPECT_EQ(none.first_choice(1), Maglev::kNone);
  EXPECT_EQ(none.entries(1), 0u);
}

TEST(Maglev, weight_0_changes_nothing_for_the_others) {
  const Maglev with(Members{{"a", 1}, {"b", 0}, {"c", 1}}, 251);
  const Maglev without(Members{{"a", 1}, {"c", 1}}, 251);
  for (uint64_t c = 0; c < 1000; ++c) {
    EXPECT_EQ(with.lookup(random_hash(c), everybody) / 2,
              without.lookup(random_hash(c), everybody));
  }
}

TEST(Maglev, hash_reaches_every_slot_and_stays_inside) {
  const Maglev t(pool(3), 7);
  EXPECT_EQ(t.first_choice(0), t.table()[0]);
  EXPECT_EQ(t.first_choice(~uint64_t{0}), t.table()[6]);
  EXPECT_EQ(t.first_choice((uint64_t{1} << 63) - 1), t.table()[3]);  // just below the half
}

}  // namespace
}  // namespace limpet::balance
