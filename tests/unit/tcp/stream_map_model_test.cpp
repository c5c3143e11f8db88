// The stream map against a model that knows the whole of both streams: random edits, random
// segments in random order, a receiver that takes what fits and acknowledges at random. Every
// emitted byte must stand at its place in the edited stream, every translated ACK, SACK edge and
// window must be one that the sender's stream allows, and in the end the receiver has everything.
// A failing seed prints itself.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "limpet/tcp/stream_map.h"

namespace limpet::tcp {
namespace {

struct ModelEdit {
  uint32_t at = 0, removed = 0;  // offsets in the original stream
  std::string text;
};

class Model {
 public:
  Model(std::mt19937& random, uint32_t length) : random_(random) {
    for (uint32_t i = 0; i < length; ++i) original += static_cast<char>('a' + i % 26);
    for (uint32_t at = pick(0, 40); at <= length;) {
      ModelEdit e{at, std::min(pick(0, 3) == 0 ? 0 : pick(0, 60), length - at), {}};
      if (e.removed == 0 || pick(0, 1) == 0) {
        const uint32_t n = pick(1, 200);
        for (uint32_t i = 0; i < n; ++i) e.text += static_cast<char>('A' + (at + i) % 26);
      }
      edits.push_back(e);
      at += e.removed + pick(1, 300);
    }
    uint32_t x = 0;
    for (const ModelEdit& e : edits) {
      edited += original.substr(x, e.at - x) + e.text;
      x = e.at + e.removed;
    }
    edited += original.substr(x);
  }
  uint32_t pick(uint32_t low, uint32_t high) {
    return std::uniform_int_distribution<uint32_t>(low, high)(random_);
  }
  // How much of the original an in-order receiver of edited[0, y) has, in whole octets; removed
  // ones count once everything before is there.
  uint32_t has(uint32_t y) const {
    uint32_t x = 0, m = 0;
    for (const ModelEdit& e : edits) {
      if (m + (e.at - x) > y) return x + (y - m);
      m += e.at - x;
      x = e.at + e.removed;
      if (m + e.text.size() >= y) return x;  // the carrier comes after the text
      m += static_cast<uint32_t>(e.text.size());
    }
    return x + (y - m);
  }
  std::string original, edited;
  std::vector<ModelEdit> edits;

 private:
  std::mt19937& random_;
};

void run(uint32_t seed) {
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  const uint32_t length = std::uniform_int_distribution<uint32_t>(1, 3000)(random);
  Model model(random, length);
  EditPool pool(64 * 1024);
  const Seq sender{static_cast<uint32_t>(random())}, receiver{static_cast<uint32_t>(random())};
  StreamMap map(sender, receiver);

  const auto total = static_cast<uint32_t>(model.edited.size());
  std::vector<bool> got(total + 1);  // the FIN last
  uint32_t next = 0;                 // receiver's in-order end
  uint32_t una = 0;                  // sender's
  uint32_t known = 0;                // frontier
  size_t appended = 0;
  for (unsigned step = 0; step < 20000 && una != length + 1; ++step) {
    // The parser goes on.
    if (known <= length && model.pick(0, 2) == 0) {
      known = std::min(length + 1, known + model.pick(1, 400));
      while (appended < model.edits.size() &&
             model.edits[appended].at + model.edits[appended].removed < known) {
        const ModelEdit& e = model.edits[appended++];
        ASSERT_TRUE(map.append(pool, sender + e.at, e.removed,
                               {reinterpret_cast<const uint8_t*>(e.text.data()), e.text.size()}));
      }
      // An edit whose carrier is beyond the frontier is not known yet: no octet of it may pass.
      uint32_t frontier = known;
      if (appended < model.edits.size()) frontier = std::min(frontier, model.edits[appended].at);
      map.advance(sender + frontier);
      if (known == length + 1 && model.pick(0, 1) == 0) map.open();
    }
    // The sender (re)transmits any piece from una (or one before it, as probes do) on.
    const uint32_t from = una > 0 && model.pick(0, 9) == 0 ? una - 1 : una + model.pick(0, 800);
    if (from > length) continue;
    const uint32_t to = std::min(length, from + model.pick(0, 500));
    const bool fin = to == length && model.pick(0, 1) == 0;
    if (!map.covers(sender + to + (fin ? 1u : 0u)) || (from == to && !fin)) continue;
    StreamMap::Cut cut(map, pool, sender + from, sender + to, fin);
    Emission e;
    const uint32_t limit = model.pick(1, 600);
    uint32_t parts = 0;
    bool last = false;
    while (cut.next(limit, e)) {
      ASSERT_FALSE(last);
      last = e.last;
      ++parts;
      ASSERT_LE(e.length, limit);
      const auto at = static_cast<uint32_t>(e.seq - receiver);
      ASSERT_LE(at + e.length, total);
      std::string data;
      for (unsigned i = 0; i < e.pieces; ++i) {
        const Piece& p = e.piece[i];
        if (p.edit == kNoEdit) {
          ASSERT_LE(from + p.offset + p.length, to);
          data += model.original.substr(from + p.offset, p.length);
        } else {
          const auto b = pool.bytes(p.edit);
          data.append(reinterpret_cast<const char*>(b.data()) + p.offset, p.length);
        }
      }
      ASSERT_EQ(data, model.edited.substr(at, e.length));
      if (e.fin) {
        ASSERT_EQ(at + e.length, total);
      }
      if (model.pick(0, 3) == 0) continue;  // lost
      for (uint32_t i = 0; i < e.length; ++i) got[at + i] = true;
      if (e.fin) got[total] = true;
    }
    ASSERT_EQ(cut.old(), to + (fin ? 1u : 0u) <= una);
    if (parts != 0) {
      ASSERT_TRUE(last);
    }
    if (cut.old()) {  // stays old for the receiver
      ASSERT_EQ(parts, 0u);
      ASSERT_LE(cut.old_position() + (to - from), receiver + next);
    }
    // The receiver answers, at times with an older ACK.
    while (next <= total && got[next]) ++next;
    const uint32_t y = model.pick(0, 5) == 0 ? model.pick(0, next) : next;
    const Seq mapped = receiver + y;
    if (y >= static_cast<uint32_t>(map.ack() - receiver)) {
      const uint32_t window = model.pick(0, 400);
      const auto right =
          static_cast<uint32_t>(map.window_edge(pool, mapped, mapped + window) - sender);
      const uint32_t has = y > total ? length + 1 : model.has(y);
      ASSERT_EQ(static_cast<uint32_t>(map.floor(pool, mapped) - sender), has);
      if (window == 0) {
        ASSERT_EQ(right, has);
      }
      if (window != 0) {
        ASSERT_GT(right, has);
      }
      // A block [l, r) of what it has: whole octets only.
      uint32_t l = y + model.pick(0, 50), r = l;
      while (l < total && !got[l]) ++l;
      for (r = l; r < total && got[r] && r - l < 300; ++r) {
      }
      if (l < r) {
        const auto left = static_cast<uint32_t>(map.ceil(pool, receiver + l) - sender);
        const auto end = static_cast<uint32_t>(map.floor(pool, receiver + r) - sender);
        for (uint32_t x = left; x < end; ++x) {
          const auto m0 = static_cast<uint32_t>(map.position(pool, sender + x) - receiver);
          const auto m1 = static_cast<uint32_t>(map.position(pool, sender + x + 1) - receiver);
          for (uint32_t m = m0; m < m1; ++m)
            ASSERT_TRUE(got[m]) << x << " in " << left << "," << end;
        }
      }
    }
    const uint32_t before = una;
    una = std::max(una, static_cast<uint32_t>(map.acknowledge(pool, mapped) - sender));
    ASSERT_GE(una, before);
    const uint32_t most = next > total ? length + 1 : model.has(next);
    ASSERT_LE(una, std::max(most, before));
  }
  EXPECT_EQ(next, total + 1);
  EXPECT_EQ(una, length + 1);
  EXPECT_EQ(pool.live(), 0u);
}

TEST(StreamMapModel, random_streams_arrive_edited_and_whole) {
  for (uint32_t seed = 1; seed <= 400 && !testing::Test::HasFatalFailure(); ++seed) run(seed);
}

}  // namespace
}  // namespace limpet::tcp
