// The stream map in small numbers: octets 100.. of the sender arrive as 1000.. at the receiver.
#include "limpet/tcp/stream_map.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

namespace limpet::tcp {
namespace {

std::span<const uint8_t> bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

struct Sent {
  uint32_t seq = 0;
  std::string data;
  bool fin = false;
  bool last = false;
  friend bool operator==(const Sent&, const Sent&) = default;
  friend std::ostream& operator<<(std::ostream& out, const Sent& s) {
    return out << s.seq << " \"" << s.data << '"' << (s.fin ? " FIN" : "")
               << (s.last ? "" : " ...");
  }
};

class StreamMapTest : public testing::Test {
 protected:
  EditPool pool{4096};
  StreamMap map{Seq{100}, Seq{1000}};

  void edit(uint32_t at, uint32_t removed, std::string_view text) {
    ASSERT_TRUE(map.append(pool, Seq{at}, removed, bytes(text)));
  }
  std::vector<Sent> send(uint32_t seq, std::string_view data, bool fin = false,
                         uint32_t limit = 1460) {
    StreamMap::Cut cut(map, pool, Seq{seq}, Seq{seq} + static_cast<uint32_t>(data.size()), fin);
    std::vector<Sent> all;
    Emission e;
    while (cut.next(limit, e)) {
      Sent s{e.seq.value, {}, e.fin, e.last};
      for (unsigned i = 0; i < e.pieces; ++i) {
        const Piece& p = e.piece[i];
        if (p.edit == kNoEdit) {
          s.data += data.substr(p.offset, p.length);
        } else {
          const auto b = pool.bytes(p.edit);
          s.data.append(reinterpret_cast<const char*>(b.data()) + p.offset, p.length);
        }
      }
      EXPECT_EQ(s.data.size(), e.length);
      all.push_back(s);
    }
    old = cut.old() ? cut.old_position().value : 0;
    swallowed = cut.swallowed();
    return all;
  }
  uint32_t ack(uint32_t y) { return map.acknowledge(pool, Seq{y}).value; }
  uint32_t pos(uint32_t x) { return map.position(pool, Seq{x}).value; }
  uint32_t empty(uint32_t x) { return map.position_of_empty(pool, Seq{x}).value; }
  uint32_t floor(uint32_t y) { return map.floor(pool, Seq{y}).value; }
  uint32_t ceil(uint32_t y) { return map.ceil(pool, Seq{y}).value; }
  uint32_t edge(uint32_t a, uint32_t e) { return map.window_edge(pool, Seq{a}, Seq{e}).value; }

  uint32_t old = 0;
  bool swallowed = false;
};

using All = std::vector<Sent>;

TEST_F(StreamMapTest, without_edits_a_stream_is_only_shifted) {
  map.open();
  EXPECT_EQ(send(100, "hello"), (All{{1000, "hello", false, true}}));
  EXPECT_EQ(send(105, " world", true), (All{{1005, " world", true, true}}));
  EXPECT_EQ(ack(1005), 105u);
  EXPECT_EQ(ack(1012), 112u);  // the FIN too
  EXPECT_EQ(pos(112), 1012u);
}

TEST_F(StreamMapTest, an_insertion_travels_with_the_octet_behind_it) {
  edit(105, 0, "<new>");
  map.open();
  EXPECT_EQ(send(100, "hello"), (All{{1000, "hello", false, true}}));  // ends where it begins
  EXPECT_EQ(send(105, "world"), (All{{1005, "<new>world", false, true}}));
  EXPECT_EQ(send(110, "!"), (All{{1015, "!", false, true}}));
}

TEST_F(StreamMapTest, a_retransmission_carries_the_same_bytes_again) {
  edit(105, 0, "<new>");
  map.open();
  send(100, "helloworld");
  EXPECT_EQ(send(103, "lowor"), (All{{1003, "lo<new>wor", false, true}}));
  EXPECT_EQ(send(105, "w"), (All{{1005, "<new>w", false, true}}));
}

TEST_F(StreamMapTest, a_fin_carries_an_insertion_too) {
  edit(105, 0, "bye");
  map.open();
  EXPECT_EQ(send(100, "hello"), (All{{1000, "hello", false, true}}));
  EXPECT_EQ(send(105, "", true), (All{{1005, "bye", true, true}}));
  EXPECT_EQ(send(100, "hello", true), (All{{1000, "hellobye", true, true}}));
  EXPECT_EQ(ack(1008), 105u);  // the insertion, not the FIN
  EXPECT_EQ(ack(1009), 106u);
}

TEST_F(StreamMapTest, acks_within_an_insertion_do_not_move) {
  edit(105, 0, "<new>");
  map.open();
  send(100, "helloworld");
  EXPECT_EQ(ack(1004), 104u);
  EXPECT_EQ(ack(1005), 105u);
  EXPECT_EQ(ack(1007), 105u);
  EXPECT_EQ(ack(1010), 105u);
  EXPECT_EQ(map.first_edit() != kNoEdit, true);
  EXPECT_EQ(ack(1011), 106u);  // its carrier: the edit retires
  EXPECT_EQ(map.first_edit(), kNoEdit);
  EXPECT_EQ(pool.live(), 0u);
  EXPECT_EQ(pos(110), 1015u);
}

TEST_F(StreamMapTest, what_is_acknowledged_of_an_insertion_is_not_sent_again) {
  edit(105, 0, "<new>");
  map.open();
  send(100, "helloworld");
  ack(1007);
  EXPECT_EQ(send(100, "helloworld"), (All{{1007, "ew>world", false, true}}));
  EXPECT_EQ(send(105, "wo"), (All{{1007, "ew>wo", false, true}}));
}

TEST_F(StreamMapTest, an_empty_segment_counts_an_insertion_once_it_was_sent) {
  edit(105, 0, "<new>");
  map.open();
  send(100, "hello");
  EXPECT_EQ(empty(105), 1005u);
  send(105, "w");
  EXPECT_EQ(empty(105), 1010u);
  EXPECT_EQ(empty(106), 1011u);
  EXPECT_EQ(empty(104), 1004u);
}

TEST_F(StreamMapTest, an_empty_segment_beyond_the_frontier_stays_at_it) {
  map.advance(Seq{103});
  EXPECT_EQ(empty(110), 1003u);
}

TEST_F(StreamMapTest, removed_octets_are_not_sent) {
  edit(102, 3, "");
  map.open();
  EXPECT_EQ(send(100, "abXXXcd"), (All{{1000, "abcd", false, true}}));
  EXPECT_EQ(send(100, "abXX"), (All{{1000, "ab", false, true}}));
  EXPECT_EQ(send(104, "Xcd"), (All{{1002, "cd", false, true}}));
  EXPECT_EQ(send(105, "cd"), (All{{1002, "cd", false, true}}));
}

TEST_F(StreamMapTest, a_segment_of_removed_octets_only_is_swallowed) {
  edit(102, 3, "");
  map.open();
  EXPECT_EQ(send(102, "XXX"), All{});
  EXPECT_TRUE(swallowed);
  EXPECT_EQ(send(103, "X"), All{});
  EXPECT_TRUE(swallowed);
  EXPECT_EQ(send(100, "abX"), (All{{1000, "ab", false, true}}));
  EXPECT_FALSE(swallowed);
}

TEST_F(StreamMapTest, an_ack_up_to_a_removal_acknowledges_it) {
  edit(102, 3, "");
  map.open();
  send(100, "abXXXcd");
  EXPECT_EQ(ack(1001), 101u);
  EXPECT_EQ(ack(1002), 105u);
  EXPECT_EQ(ack(1003), 106u);
  EXPECT_EQ(pool.live(), 0u);
}

TEST_F(StreamMapTest, a_replacement_is_removal_and_insertion_at_one_place) {
  edit(102, 3, "new");
  map.open();
  EXPECT_EQ(send(100, "abOLDcd"), (All{{1000, "abnewcd", false, true}}));
  EXPECT_EQ(send(100, "abOLD"), (All{{1000, "ab", false, true}}));  // the carrier follows
  EXPECT_EQ(send(103, "LDc"), (All{{1002, "newc", false, true}}));
  EXPECT_EQ(pos(102), 1002u);
  EXPECT_EQ(pos(104), 1002u);
  EXPECT_EQ(pos(105), 1002u);
  EXPECT_EQ(pos(106), 1006u);
}

TEST_F(StreamMapTest, a_segment_that_begins_behind_what_was_removed_brings_the_replacement) {
  edit(103, 2, "++++");
  map.open();
  EXPECT_EQ(send(100, "abcde"), (All{{1000, "abc", false, true}}));
  EXPECT_EQ(send(105, "fg"), (All{{1003, "++++fg", false, true}}));
}

TEST_F(StreamMapTest, garbage_of_a_probe_stays_old_data) {
  edit(102, 3, "");
  map.open();
  send(100, "abXXXcd");
  ack(1002);  // una is 105, behind the removal
  EXPECT_EQ(send(104, "?"), All{});
  EXPECT_EQ(old, 1001u);
  ack(1004);
  EXPECT_EQ(send(106, "?"), All{});
  EXPECT_EQ(old, 1003u);
  EXPECT_FALSE(swallowed);
}

TEST_F(StreamMapTest, an_ack_of_what_was_never_sent_is_not_believed) {
  edit(105, 0, "<new>");
  map.open();
  send(100, "hello");
  EXPECT_EQ(ack(1006), 100u);
  EXPECT_EQ(ack(1005), 105u);
  EXPECT_EQ(ack(1003), 105u);  // and an old one changes nothing
}

TEST_F(StreamMapTest, sack_edges_never_cover_a_part_of_the_carrier) {
  edit(105, 0, "<new>");
  map.open();
  send(100, "helloworld");
  EXPECT_EQ(ceil(1003), 103u);
  EXPECT_EQ(ceil(1005), 105u);
  EXPECT_EQ(ceil(1006),
            106u);  // the block misses the first inserted byte: the carrier is not in it
  EXPECT_EQ(ceil(1010), 106u);
  EXPECT_EQ(ceil(1011), 106u);
  EXPECT_EQ(ceil(1012), 107u);
  EXPECT_EQ(floor(1005), 105u);
  EXPECT_EQ(floor(1010), 105u);
  EXPECT_EQ(floor(1011), 106u);
  EXPECT_EQ(floor(1012), 107u);
}

TEST_F(StreamMapTest, what_came_twice_is_told_unless_an_edit_was_in_it_or_behind_it) {
  edit(105, 0, "<new>");
  map.open();
  send(100, "helloworld");
  ack(1004);
  using Range = std::pair<Seq, Seq>;
  const auto twice = [&](uint32_t left, uint32_t right) {
    return map.acknowledged(pool, Seq{left}, Seq{right});
  };
  EXPECT_EQ(twice(1001, 1003), Range(Seq{101}, Seq{103})) << "none so far";
  EXPECT_FALSE(twice(1003, 1005)) << "not acknowledged";
  ack(1010);
  EXPECT_FALSE(twice(1003, 1008)) << "a part of a live insertion";
  EXPECT_EQ(twice(1003, 1005), Range(Seq{103}, Seq{105}));
  ack(1013);
  EXPECT_EQ(twice(1010, 1013), Range(Seq{105}, Seq{108}));
  EXPECT_FALSE(twice(1009, 1012)) << "a part of the insertion";
  EXPECT_FALSE(twice(1001, 1003)) << "an edit follows that is forgotten";
  EXPECT_FALSE(twice(1011, 1011)) << "nothing";
}

TEST_F(StreamMapTest, old_octets_go_again_unless_an_edit_was_in_them_or_behind_them) {
  edit(105, 2, "<new>");
  map.open();
  send(100, "helloXXworld");
  ack(1004);
  const auto again = [&](uint32_t seq, uint32_t end) {
    return map.again(pool, Seq{seq}, Seq{end});
  };
  EXPECT_EQ(again(100, 104), Seq{1000});
  EXPECT_FALSE(again(100, 105)) << "not all of it is old";
  ack(1010);
  EXPECT_EQ(again(100, 105), Seq{1000});
  EXPECT_FALSE(again(100, 107)) << "with octets that were removed";
  ack(1013);
  EXPECT_FALSE(again(100, 105)) << "an edit follows that is forgotten";
  EXPECT_FALSE(again(106, 108)) << "a part of it was removed";
  EXPECT_EQ(again(107, 110), Seq{1010});
}

// Numbers come round: what was an edit 2^32 octets ago is none now.
TEST_F(StreamMapTest, an_edit_is_far_away_at_some_time) {
  edit(105, 0, "<new>");
  map.open();
  send(100, "helloworld");
  constexpr uint32_t kStep = 1u << 28;
  uint32_t x = 110, y = 1015;
  ack(y);
  for (int i = 0; i < 40; ++i, x += kStep, y += kStep) {
    StreamMap::Cut cut(map, pool, Seq{x}, Seq{x + kStep}, false);
    Emission e;
    while (cut.next(kStep, e)) {
    }
    ack(y + kStep);
    EXPECT_TRUE(map.acknowledged(pool, Seq{y + kStep - 1000}, Seq{y + kStep - 10})) << i;
  }
}

TEST_F(StreamMapTest, a_segment_that_grows_is_cut_with_fin_on_the_last_part) {
  edit(102, 0, "<new>");
  map.open();
  EXPECT_EQ(
      send(100, "abcdef", true, 4),
      (All{{1000, "ab<n", false, false}, {1004, "ew>c", false, false}, {1008, "def", true, true}}));
}

TEST_F(StreamMapTest, the_last_part_is_known_although_removed_octets_follow) {
  edit(104, 9, "");
  map.open();
  EXPECT_EQ(send(100, "abcdXX", false, 4), (All{{1000, "abcd", false, true}}));
}

TEST_F(StreamMapTest, a_cut_may_fall_between_insertion_and_fin) {
  edit(103, 0, "bye");
  map.open();
  EXPECT_EQ(send(100, "abc", true, 5),
            (All{{1000, "abcby", false, false}, {1005, "e", true, true}}));
  EXPECT_EQ(send(100, "abc", true, 6), (All{{1000, "abcbye", true, true}}));
  EXPECT_EQ(send(100, "abc", true, 3),
            (All{{1000, "abc", false, false}, {1003, "bye", true, true}}));
}

TEST_F(StreamMapTest, several_edits_add_up) {
  edit(101, 0, "11");
  edit(103, 2, "");
  edit(106, 0, "22");
  map.open();
  EXPECT_EQ(send(100, "abcXXde"), (All{{1000, "a11bcd22e", false, true}}));
  EXPECT_EQ(pos(107), 1009u);
  EXPECT_EQ(floor(1009), 107u);
  EXPECT_EQ(ack(1009), 107u);
  EXPECT_EQ(pool.live(), 0u);
  EXPECT_EQ(pos(107), 1009u);
}

TEST_F(StreamMapTest, a_window_within_an_insertion_lets_its_carrier_go) {
  edit(105, 0, std::string(120, 'c'));
  map.open();
  send(100, "hello");
  EXPECT_EQ(edge(1005, 1005), 105u);  // closed stays closed
  EXPECT_EQ(edge(1005, 1055), 106u);
  EXPECT_EQ(edge(1003, 1055), 105u);
  EXPECT_EQ(edge(1005, 1126), 106u);
  EXPECT_EQ(edge(1005, 1130), 110u);
}

TEST_F(StreamMapTest, numbers_wrap) {
  StreamMap m(Seq{0xfffffffe}, Seq{0xfffffff0});
  ASSERT_TRUE(m.append(pool, Seq{1}, 2, bytes("wrap")));
  m.open();
  EXPECT_EQ(m.position(pool, Seq{1}).value, 0xfffffff3u);
  EXPECT_EQ(m.position(pool, Seq{3}).value, 0xfffffff3u);
  EXPECT_EQ(m.position(pool, Seq{4}).value, 0xfffffff8u);
  EXPECT_EQ(m.floor(pool, Seq{0xfffffff5}).value, 3u);
  EXPECT_EQ(m.ceil(pool, Seq{0xfffffff5}).value, 4u);
}

TEST_F(StreamMapTest, a_full_pool_refuses_an_edit_and_changes_nothing) {
  EditPool small(128);
  StreamMap m(Seq{100}, Seq{1000});
  EXPECT_FALSE(m.append(small, Seq{101}, 0, bytes(std::string(200, 'x'))));
  EXPECT_TRUE(m.append(small, Seq{101}, 0, bytes("x")));
  EXPECT_TRUE(m.append(small, Seq{103}, 0, bytes("x")));
  EXPECT_FALSE(m.append(small, Seq{105}, 0, bytes("x")));
  m.open();
  EXPECT_EQ(m.position(small, Seq{110}).value, 1012u);
  EXPECT_EQ(small.live(), 2u);
  EXPECT_EQ(small.bytes_used(), 128u);
  m.release(small);
  EXPECT_EQ(small.live(), 0u);
  EXPECT_EQ(small.bytes_used(), 0u);
}

TEST(EditPool, an_edit_is_what_was_allocated_last_in_its_place) {
  EditPool pool(1024);
  const std::string text(100, 'x');  // 116 with its header: two units
  const EditId a = pool.allocate(1, 0, bytes(text));
  const EditId b = pool.allocate(2, 0, bytes(text));
  ASSERT_NE(a, kNoEdit);
  ASSERT_NE(b, kNoEdit);
  pool.release(a);
  EXPECT_EQ(pool.allocate(3, 7, bytes(text)), a);
  EXPECT_EQ(pool.header(a).at, 3u);
  EXPECT_EQ(pool.header(a).removed, 7u);
  EXPECT_EQ(pool.bytes(a).size(), 100u);
  EXPECT_EQ(pool.header(b).at, 2u);
}

TEST(EditPool, a_burst_of_cookies_leaves_room_for_edits_of_other_sizes) {
  EditPool pool(size_t{64} << 10);
  for (const size_t length : {120u, 40u, 2000u, 40u, 500u}) {
    const std::string text(length, 'x');
    std::vector<EditId> ids;
    for (EditId id; (id = pool.allocate(1, 0, bytes(text))) != kNoEdit;) ids.push_back(id);
    EXPECT_EQ(pool.bytes_used(), pool.bytes_total()) << length;
    for (const EditId id : ids) pool.release(id);
    EXPECT_EQ(pool.bytes_used(), 0u);
  }
}

TEST(EditPool, refuses_what_is_too_long) {
  EditPool pool(8192);
  EXPECT_EQ(pool.allocate(1, 0, bytes(std::string(EditPool::kMaxBytes + 1, 'x'))), kNoEdit);
  EXPECT_NE(pool.allocate(1, 0, bytes(std::string(EditPool::kMaxBytes, 'x'))), kNoEdit);
  EXPECT_EQ(pool.allocate(1, EditPool::kMaxRemoved + 1, {}), kNoEdit);
  EXPECT_EQ(pool.bytes_used(), 2048u);
}

}  // namespace
}  // namespace limpet::tcp
