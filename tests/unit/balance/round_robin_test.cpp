// Properties of the turns, by drawn weights; and the schedulers as one value.
#include "limpet/balance/round_robin.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "limpet/balance/scheduler.h"

namespace limpet::balance {
namespace {

const auto everybody = [](uint16_t) { return true; };

std::vector<uint16_t> picks(RoundRobin& turns, size_t n, auto&& usable) {
  std::vector<uint16_t> out;
  for (size_t i = 0; i < n; ++i) out.push_back(turns.pick(usable));
  return out;
}

std::string letters(const std::vector<uint16_t>& picked) {
  std::string text;
  for (const uint16_t m : picked) text += static_cast<char>('A' + m);
  return text;
}

size_t total(const std::vector<uint32_t>& weights) {
  return std::accumulate(weights.begin(), weights.end(), size_t{0});
}

// How many of each there are in [from, from + length).
std::vector<size_t> counted(const std::vector<uint16_t>& picked, size_t from, size_t length,
                            size_t members) {
  std::vector<size_t> n(members);
  for (size_t i = from; i < from + length; ++i) ++n[picked[i]];
  return n;
}

std::vector<uint32_t> drawn(std::mt19937& random) {
  std::vector<uint32_t> weights(1 + random() % 12);
  for (uint32_t& w : weights) w = random() % 4 == 0 ? random() % 257 : random() % 4;
  if (total(weights) == 0) weights[0] = 1;
  return weights;
}

TEST(RoundRobin, equal_members_alternate) {
  RoundRobin turns(std::vector<uint32_t>{1, 1, 1, 1}, 0, 1);
  EXPECT_EQ(letters(picks(turns, 12, everybody)), "ABCDABCDABCD");
}

TEST(RoundRobin, a_heavy_member_s_turns_are_spread) {
  RoundRobin turns(std::vector<uint32_t>{5, 1, 1}, 0, 1);
  const std::string text = letters(picks(turns, 21, everybody));
  for (const std::string run : {"BB", "CC", "BC", "CB", "AAAAA"})
    EXPECT_EQ(text.find(run), std::string::npos) << text;
}

// The numbers wrap after three rounds, so every test is one of that too.
TEST(RoundRobin, whatever_the_weights_each_gets_its_part_of_every_window) {
  for (unsigned seed = 1; seed <= 300; ++seed) {
    std::mt19937 random(seed);
    const std::vector<uint32_t> weights = drawn(random);
    const size_t round = total(weights);
    RoundRobin turns(weights, seed % 3, 3);
    const std::vector<uint16_t> picked = picks(turns, 12 * round, everybody);
    for (size_t from = 0; from + round <= picked.size(); from += 1 + random() % round) {
      const std::vector<size_t> n = counted(picked, from, round, weights.size());
      for (size_t m = 0; m < weights.size(); ++m)
        ASSERT_LE(std::abs(static_cast<int>(n[m]) - static_cast<int>(weights[m])),
                  weights[m] == 0 ? 0 : 1)
            << "seed " << seed << " member " << m << " from " << from;
    }
  }
}

TEST(RoundRobin, nobody_waits_for_twice_his_share) {
  for (unsigned seed = 1; seed <= 300; ++seed) {
    std::mt19937 random(seed);
    const std::vector<uint32_t> weights = drawn(random);
    const size_t round = total(weights);
    RoundRobin turns(weights, 0, 1);
    std::vector<size_t> last(weights.size());
    for (size_t i = 1; i <= 10 * round; ++i) {
      const uint16_t m = turns.pick(everybody);
      ASSERT_LE(i - last[m], 2 * (round / weights[m] + 1) + weights.size()) << "seed " << seed;
      last[m] = i;
    }
  }
}

TEST(RoundRobin, the_others_share_by_weight_while_one_is_away) {
  for (unsigned seed = 1; seed <= 200; ++seed) {
    std::mt19937 random(seed);
    std::vector<uint32_t> weights = drawn(random);
    weights.push_back(1 + random() % 9);
    weights.push_back(1 + random() % 9);
    const auto away = static_cast<uint16_t>(weights.size() - 1);
    const size_t rest = total(weights) - weights[away];
    RoundRobin turns(weights, 0, 1);
    picks(turns, random() % 50, everybody);
    const auto here = [away](uint16_t m) { return m != away; };
    const std::vector<uint16_t> picked = picks(turns, 6 * rest, here);
    const std::vector<size_t> n = counted(picked, rest, 5 * rest, weights.size());
    EXPECT_EQ(n[away], 0u);
    for (size_t m = 0; m + 1 < weights.size(); ++m)
      ASSERT_NEAR(static_cast<double>(n[m]), 5.0 * weights[m], 1.01) << "seed " << seed;
  }
}

TEST(RoundRobin, who_returns_gets_his_part_and_nothing_of_what_he_missed) {
  for (unsigned seed = 1; seed <= 200; ++seed) {
    std::mt19937 random(seed);
    std::vector<uint32_t> weights = drawn(random);
    weights.push_back(1 + random() % 9);
    weights.push_back(1 + random() % 9);
    const auto away = static_cast<uint16_t>(weights.size() - 1);
    const size_t round = total(weights);
    RoundRobin turns(weights, 0, 1);
    picks(turns, random() % (4 * round) + round * (random() % 40),
          [away](uint16_t m) { return m != away; });
    const std::vector<uint16_t> picked = picks(turns, 4 * round, everybody);
    for (size_t from : {size_t{0}, round, 2 * round}) {
      const std::vector<size_t> n = counted(picked, from, round, weights.size());
      ASSERT_LE(n[away], weights[away] + 2) << "seed " << seed;
      ASSERT_GE(n[away] + 2, weights[away]) << "seed " << seed;
    }
  }
}

// Half of a pool comes back at once: its members take turns with the rest, not all in a row.
TEST(RoundRobin, many_who_return_together_do_not_come_in_a_row) {
  std::vector<uint32_t> weights(20, 1);
  weights.insert(weights.begin(), 20);
  RoundRobin turns(weights, 0, 1);
  picks(turns, 400, [](uint16_t m) { return m == 0; });
  const std::string text = letters(picks(turns, 80, everybody));
  size_t longest = 0, run = 0;
  for (const char c : text) {
    run = c == 'A' ? 0 : run + 1;
    longest = std::max(longest, run);
  }
  EXPECT_LE(longest, 2u) << text;
}

TEST(RoundRobin, workers_begin_apart) {
  for (const unsigned workers : {2u, 4u, 8u, 16u}) {
    std::set<uint16_t> first;
    for (unsigned w = 0; w < workers; ++w) {
      RoundRobin turns(std::vector<uint32_t>(16, 3), w, workers);
      first.insert(turns.pick(everybody));
    }
    EXPECT_EQ(first.size(), workers);
  }
}

TEST(RoundRobin, nobody_usable_is_nobody_and_costs_nobody_a_turn) {
  RoundRobin turns(std::vector<uint32_t>{1, 1}, 0, 1);
  EXPECT_EQ(turns.pick(everybody), 0);
  EXPECT_EQ(turns.pick([](uint16_t) { return false; }), Maglev::kNone);
  EXPECT_EQ(turns.pick(everybody), 1);
  EXPECT_EQ(RoundRobin().pick(everybody), Maglev::kNone);
  EXPECT_EQ(RoundRobin(std::vector<uint32_t>{0, 0}, 0, 1).pick(everybody), Maglev::kNone);
}

TEST(RoundRobin, who_was_away_for_ages_is_not_taken_for_somebody_ahead) {
  RoundRobin turns(std::vector<uint32_t>{256, 1}, 0, 1);
  for (int i = 0; i < 3000000; ++i) turns.pick([](uint16_t m) { return m == 0; });
  const std::vector<uint16_t> picked = picks(turns, 600, everybody);
  EXPECT_GE(std::count(picked.begin(), picked.end(), 1), 2);
}

TEST(Scheduler, asks_the_one_that_it_was_made_of) {
  const std::vector<MaglevMember> members = {{"s0", 1}, {"s1", 1}};
  const Maglev table(members, 251);
  RoundRobin turns(std::vector<uint32_t>{1, 1}, 0, 1);
  const Scheduler hashed(table), in_turn(turns);
  for (uint64_t hash = 0; hash < 100; ++hash)
    EXPECT_EQ(hashed.pick(hash << 57, everybody), table.lookup(hash << 57, everybody));
  const Scheduler copy = in_turn;
  EXPECT_EQ(in_turn.pick(0, everybody), 0);
  EXPECT_EQ(copy.pick(0, everybody), 1) << "the turns are not the value's own";
  EXPECT_STREQ(name(SchedulerType::roundrobin), "roundrobin");
}

}  // namespace
}  // namespace limpet::balance
