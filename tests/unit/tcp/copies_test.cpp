// Lists of copies beside a model that keeps every octet by itself.
#include "limpet/tcp/copies.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace limpet::tcp {
namespace {

std::span<const uint8_t> bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

class CopiesTest : public testing::Test {
 protected:
  // Whether there was room for all of it.
  bool keep(CopyList& list, uint32_t at, std::string_view text) {
    const uint32_t n = pool.reserve(list, static_cast<uint32_t>(text.size()));
    if (n == text.size()) pool.keep(list, Seq{at}, bytes(text));
    pool.settle();
    return n == text.size();
  }
  // What is kept of [begin, end), '.' where nothing is.
  std::string kept(CopyList list, uint32_t begin, uint32_t end) const {
    std::string text(end - begin, '.');
    pool.each(list, Seq{begin}, Seq{end}, [&](std::span<const uint8_t> octets, size_t at) {
      EXPECT_LE(at + octets.size(), text.size());
      text.replace(at, octets.size(), std::string(octets.begin(), octets.end()));
      return true;
    });
    return text;
  }
  CopyPool pool{1 << 20};
};

TEST_F(CopiesTest, ranges_are_found_however_they_are_asked_for) {
  CopyList list = kNoCopies;
  EXPECT_TRUE(keep(list, 0xfffffff8u, "abcdef"));
  EXPECT_TRUE(keep(list, 0xfffffffeu, "ghij"));
  EXPECT_TRUE(keep(list, 100, "chunk"));
  EXPECT_EQ(kept(list, 0xfffffff6u, 4), "..abcdefghij..");
  EXPECT_EQ(kept(list, 0xfffffffdu, 1), "fghi");
  EXPECT_EQ(kept(list, 98, 103), "..chu");
  EXPECT_EQ(kept(list, 105, 110), ".....");
  pool.release(list);
  EXPECT_EQ(pool.bytes_used(), 0u);
}

TEST_F(CopiesTest, what_is_acknowledged_gives_its_blocks_back) {
  CopyList list = kNoCopies;
  for (uint32_t i = 0; i < 200; ++i) EXPECT_TRUE(keep(list, i * 1000, std::string(900, 'x')));
  const size_t all = pool.bytes_used();
  EXPECT_GE(all, 200u * 900);
  pool.retire(list, Seq{100 * 1000});
  EXPECT_LE(pool.bytes_used(), all / 2 + 4096);
  EXPECT_EQ(kept(list, 100 * 1000, 100 * 1000 + 4), "xxxx");
  pool.retire(list, Seq{200 * 1000});
  EXPECT_EQ(list, kNoCopies);
  EXPECT_EQ(pool.bytes_used(), 0u);
}

TEST_F(CopiesTest, one_list_takes_a_bounded_part) {
  CopyPool large(size_t{16} << 20);
  CopyList list = kNoCopies;
  const std::string text(1400, 'x');
  uint32_t octets = 0;
  for (uint32_t at = 0;; at += 1400) {
    const uint32_t n = large.reserve(list, 1400);
    large.keep(list, Seq{at}, bytes(text).first(n));
    large.settle();
    octets += n;
    if (n < 1400) break;
  }
  EXPECT_LE(large.bytes_used(), CopyPool::kMost);
  EXPECT_GE(octets, CopyPool::kMost * 9 / 10) << "rounding takes little";
  EXPECT_EQ(large.room(list), 0u);
  large.release(list);
}

TEST_F(CopiesTest, there_is_the_room_that_was_told_of) {
  for (uint32_t seed = 1; seed <= 200; ++seed) {
    std::mt19937 random(seed);
    CopyPool large((size_t{1} << 20) + random() % 4096 * 64);
    CopyList list = kNoCopies;
    const std::string text(9000, 'x');
    const auto most = static_cast<uint32_t>(1 + random() % (seed % 2 != 0 ? 9000 : 300));
    uint32_t at = 0, told = 0;
    for (int turn = 0; turn < 400; ++turn) {
      told = std::max(told, at + large.room(list));
      const uint32_t n = std::min(told - at, static_cast<uint32_t>(1 + random() % most));
      ASSERT_EQ(large.reserve(list, n), n) << "seed " << seed;
      large.keep(list, Seq{at}, bytes(text).first(n - std::min<uint32_t>(n, random() % 3 * 70)));
      large.settle();
      at += n;
      if (random() % 50 == 0)
        large.retire(list, Seq{at - std::min<uint32_t>(at, random() % 40000)});
    }
    large.release(list);
  }
}

TEST_F(CopiesTest, whoever_comes_next_finds_room_for_a_head) {
  std::vector<CopyList> lists(100, kNoCopies);
  const std::string text(1400, 'x');
  for (CopyList& list : lists)
    for (uint32_t at = 0; keep(list, at, text); at += 1400) {
    }
  CopyList late = kNoCopies;
  EXPECT_TRUE(keep(late, 0, std::string(600, 'h')));
  lists.push_back(late);
  for (CopyList& list : lists) pool.release(list);
  EXPECT_EQ(pool.bytes_used(), 0u);
}

TEST_F(CopiesTest, what_was_reserved_suffices_for_any_ranges) {
  for (uint32_t seed = 1; seed <= 100; ++seed) {
    std::mt19937 random(seed);
    const auto below = [&](uint32_t n) { return static_cast<uint32_t>(random() % n); };
    CopyPool small(size_t{1} << (12 + below(8)));
    CopyList list = kNoCopies;
    std::map<uint32_t, uint8_t> model;  // by distance from `base`
    const Seq base{0xffff0000u + below(0x20000)};
    uint32_t end = 0, una = 0;
    for (int turn = 0; turn < 200; ++turn) {
      std::string text(below(3000), '\0');
      for (char& c : text) c = static_cast<char>(random());
      const uint32_t n = small.reserve(list, static_cast<uint32_t>(text.size()));
      ASSERT_LE(n, text.size());
      for (uint32_t at = 0; at < n;) {
        const uint32_t range = std::min(n - at, 1 + below(below(4) == 0 ? 1000 : 12));
        small.keep(list, base + (end + at), bytes(text).subspan(at, range));
        for (uint32_t i = 0; i < range; ++i)
          model[end + at + i] = static_cast<uint8_t>(text[at + i]);
        at += range + CopyPool::kLeastGap + below(50);
      }
      small.settle();
      end += n;
      if (below(3) == 0) {
        una += below(end - una + 1);
        small.retire(list, base + una);
      }
      const uint32_t from = una + below(end - una + 1), to = from + below(end - from + 1);
      std::map<uint32_t, uint8_t> found;
      small.each(list, base + from, base + to, [&](std::span<const uint8_t> octets, size_t at) {
        for (size_t i = 0; i < octets.size(); ++i)
          found[from + static_cast<uint32_t>(at + i)] = octets[i];
        return true;
      });
      const std::map<uint32_t, uint8_t> expected(model.lower_bound(from), model.lower_bound(to));
      ASSERT_TRUE(found == expected) << "seed " << seed << " turn " << turn;
    }
    small.release(list);
    ASSERT_EQ(small.bytes_used(), 0u) << "seed " << seed;
  }
}

}  // namespace
}  // namespace limpet::tcp
