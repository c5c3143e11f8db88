// The relay and the holds in small numbers, segment by segment: the client's octets are 1001.. for
// both ends, the backend's 7001.. are 5001.. for the client. What happens between two real ends
// under loss is the simulation's business.
#include "limpet/tcp/splice.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "limpet/wire/frame.h"

namespace limpet::tcp {
namespace {

using namespace std::chrono_literals;
using wire::tcp_flag;

constexpr Side kClient = Side::client, kBackend = Side::backend;
constexpr uint8_t kAck = tcp_flag::ack, kFin = tcp_flag::fin | tcp_flag::ack;

std::span<const uint8_t> bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

struct Emitted {
  Side to = kClient;
  uint32_t seq = 0, ack = 0;
  uint16_t window = 0;
  std::string data;
  bool fin = false, split = false;
  std::optional<wire::TcpOptions::Timestamps> timestamps;
};

// The editor's heads are lines: final once they are complete.
class SpliceTest : public testing::Test, SpliceSink, SpliceEditor, HoldMemory {
 protected:
  SpliceTest() {
    flow.map[0] = StreamMap(Seq{1001}, Seq{1001});
    flow.map[1] = StreamMap(Seq{7001}, Seq{5001});
    flow.right[0] = flow.edge[0] = Seq{21001};
    flow.right[1] = Seq{25001};
    flow.edge[1] = Seq{27001};
    flow.most[0] = flow.most[1] = 1460;
    flow.sack = true;
  }
  void TearDown() override {
    splice.end(flow);
    EXPECT_EQ(edits.live(), 0u);
    EXPECT_TRUE(memory_.empty()) << "what was held goes back";
    EXPECT_FALSE(working_);
  }
  void emit(Side to, const SegmentOut& s) override {
    Emitted e{to,      s.seq.value, s.ack.value, s.window, {}, (s.flags & tcp_flag::fin) != 0,
              s.split, s.timestamps};
    for (unsigned i = 0; i < s.piece_count; ++i)
      e.data.append(s.pieces[i].begin(), s.pieces[i].end());
    EXPECT_EQ(e.data.size(), s.length);
    out.push_back(std::move(e));
  }
  Shown show(SpliceFlow& f, Side from, std::span<const uint8_t> octets, bool) override {
    const size_t s = index_of(from);
    const std::string_view text(reinterpret_cast<const char*>(octets.data()), octets.size());
    uint32_t final = 0;
    for (size_t end; (end = text.find('\n', final)) != text.npos;) {
      if (!inserted[s].empty()) {
        EXPECT_TRUE(f.map[s].append(edits, f.map[s].frontier() + static_cast<uint32_t>(end), 0,
                                    bytes(inserted[s])));
      }
      final = static_cast<uint32_t>(end) + 1;
      if (opens) return {static_cast<uint32_t>(text.size()), true};
    }
    return {final, false};
  }
  std::span<uint8_t> take(uint32_t size) override {
    if (no_memory) return {};
    memory_.push_back(std::make_unique<uint8_t[]>(size));
    return {memory_.back().get(), size};
  }
  void give(std::span<uint8_t> m) override {
    std::erase_if(memory_, [&](const auto& one) { return one.get() == m.data(); });
  }
  uint32_t take_work(SpliceFlow&) override { return working_ = true, 0; }
  void give_work(uint32_t) override { working_ = false; }
  SpliceWork& work(uint32_t) override { return work_; }
  void due(uint32_t, Instant) override {}

  void open(Side side) { flow.map[index_of(side)].open(); }
  // Before open().
  void edit(Side side, uint32_t at, uint32_t removed, std::string_view text) {
    ASSERT_TRUE(flow.map[index_of(side)].append(edits, Seq{at}, removed, bytes(text)));
  }
  Handled relay(Side from, SegmentIn in) {
    out.clear();
    return splice.relay(flow, from, in, now);
  }
  static SegmentIn segment(uint32_t seq, uint32_t ack, std::string_view data = {},
                           uint8_t flags = kAck) {
    SegmentIn in;
    in.seq = Seq{seq};
    in.ack = Seq{ack};
    in.flags = flags;
    in.window = 20000;
    in.payload = bytes(data);
    return in;
  }
  Handled client(uint32_t seq, std::string_view data, uint8_t flags = kAck) {
    return relay(kClient, segment(seq, 5001, data, flags));
  }
  // What the backend says of the client's stream.
  Handled backend_acks(uint32_t ack, uint16_t window = 20000,
                       std::initializer_list<wire::SackBlock> sack = {}) {
    SegmentIn in = segment(7001, ack);
    in.window = window;
    for (const wire::SackBlock& b : sack) in.sack.block[in.sack.count++] = b;
    return relay(kBackend, in);
  }
  void pass(Duration d) {
    out.clear();
    now = now + d;
    splice.on_time(flow, now);
  }
  std::string data_to(Side to) const {
    std::string all;
    for (const Emitted& e : out)
      if (e.to == to) all += e.data;
    return all;
  }
  static std::vector<wire::SackBlock> blocks(const Handled& h) {
    return {h.numbers.sack.block.begin(), h.numbers.sack.block.begin() + h.numbers.sack.count};
  }

  EditPool edits{1 << 16};
  Splice splice{edits, *this, *this, *this};
  SpliceFlow flow;
  Instant now{1000000000};
  std::vector<Emitted> out;
  std::string inserted[2];  // in front of the end of every line
  bool opens = false;       // the first line is the last that is looked at
  bool no_memory = false;

 private:
  std::vector<std::unique_ptr<uint8_t[]>> memory_;
  SpliceWork work_;
  bool working_ = false;
};

using Blocks = std::vector<wire::SackBlock>;

TEST_F(SpliceTest, timestamps_are_shifted_towards_the_client_and_back) {
  open(kClient);
  open(kBackend);
  flow.timestamps[0] = flow.timestamps[1] = true;
  flow.ts_offset = 1000;
  SegmentIn down = segment(7001, 1001, "hello"), up = segment(1001, 5006, "hello");
  down.timestamps = {50, 7};
  up.timestamps = {8, 1050};
  const Handled d = relay(kBackend, down);
  EXPECT_EQ(d.numbers.tsval_shift, 1000u);
  EXPECT_EQ(d.numbers.tsecr_shift, 0u);
  const Handled u = relay(kClient, up);
  EXPECT_EQ(u.numbers.tsval_shift, 0u);
  EXPECT_EQ(u.numbers.tsecr_shift, 0u - 1000u);
}

TEST_F(SpliceTest, an_edited_segment_has_the_timestamps_of_its_sender) {
  edit(kClient, 1003, 0, "+");
  edit(kBackend, 7003, 0, "+");
  open(kClient);
  open(kBackend);
  flow.timestamps[0] = flow.timestamps[1] = true;
  flow.ts_offset = 1000;
  SegmentIn down = segment(7001, 1001, "hello"), up = segment(1001, 5007, "hello");
  down.timestamps = {50, 7};
  up.timestamps = {8, 1050};
  relay(kBackend, down);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].data, "he+llo");
  EXPECT_EQ(out[0].timestamps->value, 1050u);
  EXPECT_EQ(out[0].timestamps->echo, 7u);
  relay(kClient, up);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].timestamps->value, 8u);
  EXPECT_EQ(out[0].timestamps->echo, 50u);
}

TEST_F(SpliceTest, our_own_segments_echo_the_newest_timestamp) {
  open(kBackend);
  flow.timestamps[0] = flow.timestamps[1] = true;
  flow.ts_offset = 1000;
  SegmentIn down = segment(7001, 1001, "hello");
  down.timestamps = {50, 7};
  relay(kBackend, down);
  down.timestamps = {49, 7};  // one that was overtaken
  relay(kBackend, down);
  SegmentIn half = segment(1001, 5001, "GE");
  half.timestamps = {9, 1050};
  relay(kClient, half);
  ASSERT_FALSE(out.empty());
  EXPECT_EQ(out[0].timestamps->value, 1050u);
  EXPECT_EQ(out[0].timestamps->echo, 9u);
}

TEST_F(SpliceTest, who_agreed_to_timestamps_gets_them_in_every_segment) {
  open(kClient);
  flow.timestamps[1] = true;
  flow.ts_value[0] = 77;
  EXPECT_EQ(client(1001, "hello").fate, Fate::consumed);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].data, "hello");
  ASSERT_TRUE(out[0].timestamps);
  EXPECT_EQ(out[0].timestamps->value, 77u);
}

TEST_F(SpliceTest, sack_edges_are_those_of_whole_octets) {
  edit(kClient, 1005, 0, "0123456789");  // 1005 to 1014 for the backend
  open(kClient);
  client(1001, "abcdefghijklmnop");
  EXPECT_EQ(blocks(backend_acks(1001, 20000, {{1003, 1012}})), (Blocks{{1003, 1005}}));
  EXPECT_EQ(blocks(backend_acks(1001, 20000, {{1010, 1020}})), (Blocks{{1006, 1010}}));
  EXPECT_EQ(blocks(backend_acks(1001, 20000, {{1007, 1012}, {1020, 1027}})), (Blocks{{1010, 1017}}))
      << "a part of an insertion says nothing";
  EXPECT_EQ(splice.counters().sack_translated, 3u);
  EXPECT_EQ(splice.counters().sack_dropped, 1u);
}

TEST_F(SpliceTest, a_sack_block_of_what_was_never_sent_is_not_told) {
  open(kClient);
  client(1001, "abcdefghij");
  EXPECT_EQ(blocks(backend_acks(1001, 20000, {{1005, 1012}})), Blocks{});
  EXPECT_EQ(blocks(backend_acks(1001, 20000, {{1005, 1011}})), (Blocks{{1005, 1011}}));
}

TEST_F(SpliceTest, without_sack_permitted_nobody_is_told_blocks) {
  flow.sack = false;
  open(kClient);
  client(1001, "abcdefghij");
  EXPECT_EQ(blocks(backend_acks(1001, 20000, {{1005, 1011}})), Blocks{});
}

TEST_F(SpliceTest, a_reset_has_a_number_that_its_receiver_can_have) {
  edit(kClient, 1005, 0, "0123456789");
  open(kClient);
  client(1001, "abcdefgh");
  SegmentIn rst = segment(1009, 5001, {}, tcp_flag::rst | tcp_flag::ack);
  EXPECT_EQ(relay(kClient, rst).numbers.seq, 1019u) << "behind the insertion";
  rst.seq = Seq{1500};  // its data was lost
  EXPECT_EQ(relay(kClient, rst).numbers.seq, 1019u);
  flow.right[0] = Seq{1012};
  EXPECT_EQ(relay(kClient, rst).numbers.seq, 1012u) << "within the window";
}

TEST_F(SpliceTest, an_ack_of_what_was_never_sent_goes_no_further) {
  open(kClient);
  client(1001, "hello");
  const Handled h = backend_acks(1007);
  EXPECT_EQ(h.fate, Fate::dropped);
  EXPECT_EQ(h.reason, Drop::ack_unsent);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].to, kBackend) << "it is told where we are";
  EXPECT_EQ(flow.map[0].una(), Seq{1001});
}

TEST_F(SpliceTest, what_fits_goes_in_place_and_what_does_not_is_cut) {
  open(kClient);
  flow.most[1] = 1000;
  EXPECT_EQ(client(1001, std::string(1000, 'a')).fate, Fate::in_place);
  EXPECT_TRUE(out.empty());
  EXPECT_EQ(client(2001, std::string(1001, 'b')).fate, Fate::consumed);
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(out[0].data.size(), 1000u);
  EXPECT_EQ(out[1].data.size(), 1u);
  EXPECT_EQ(out[1].seq, 3001u);
  EXPECT_TRUE(out[0].split && out[1].split);
  EXPECT_EQ(splice.counters().splits, 1u);
}

TEST_F(SpliceTest, options_take_their_room_from_a_segment) {
  open(kClient);
  flow.timestamps[0] = flow.timestamps[1] = true;
  flow.most[1] = 1000;
  SegmentIn in = segment(1001, 5001, {});
  in.timestamps = {8, 9};
  const std::string large(1000, 'a');
  in.payload = bytes(large);
  relay(kClient, in);
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(out[0].data.size(), 988u);
}

TEST_F(SpliceTest, a_full_segment_does_not_keep_the_room_of_blocks_that_say_nothing) {
  open(kClient);
  flow.most[1] = 1000;
  const std::string full(990, 'a');
  SegmentIn in = segment(1001, 5001, full);
  in.sack.block[in.sack.count++] = {9000, 9010};  // of what nobody has sent
  EXPECT_EQ(relay(kClient, in).fate, Fate::consumed);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].data, full);
}

TEST_F(SpliceTest, an_edit_goes_with_each_retransmission_until_it_is_acknowledged) {
  edit(kClient, 1003, 2, "++++");
  open(kClient);
  client(1001, "abcdef");
  EXPECT_EQ(data_to(kBackend), "ab++++ef");
  client(1001, "abcdef");
  EXPECT_EQ(data_to(kBackend), "ab++++ef");
  backend_acks(1003);
  client(1001, "abcdef");
  EXPECT_EQ(data_to(kBackend), "++++ef") << "what it has need not travel again";
  backend_acks(1009);
  client(1001, "abcdef");
  EXPECT_EQ(data_to(kBackend), "");
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].seq, 1008u) << "it is asked for its ACK";
}

TEST_F(SpliceTest, removed_octets_alone_are_answered_by_us) {
  edit(kClient, 1001, 5, "");
  open(kClient);
  EXPECT_EQ(client(1001, "abcde").fate, Fate::consumed);
  EXPECT_EQ(splice.counters().swallowed, 1u);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].to, kClient);
}

TEST_F(SpliceTest, a_keep_alive_probe_stays_one) {
  open(kClient);
  client(1001, "abcde");
  backend_acks(1006);
  const Handled h = client(1005, "?");
  EXPECT_EQ(h.fate, Fate::in_place);
  EXPECT_EQ(h.numbers.seq, 1005u);
}

TEST_F(SpliceTest, a_window_once_told_does_not_shrink) {
  open(kClient);
  flow.edge[0] = Seq{1001};
  EXPECT_EQ(backend_acks(1001, 5000).numbers.window, 5000);
  EXPECT_EQ(backend_acks(1001, 3000).numbers.window, 5000) << "its right edge stays";
  EXPECT_EQ(backend_acks(1001, 6000).numbers.window, 6000);
}

TEST_F(SpliceTest, an_open_window_is_never_told_as_closed) {
  open(kClient);
  flow.edge[0] = Seq{1001};
  flow.told[0] = 7;
  EXPECT_EQ(backend_acks(1001, 100).numbers.window, 1);
  EXPECT_EQ(flow.edge[0], Seq{1129});
  EXPECT_EQ(backend_acks(1001, 300).numbers.window, 2) << "in units of 128, rounded down";
  EXPECT_EQ(backend_acks(1001, 0).numbers.window, 2);
}

TEST_F(SpliceTest, a_closed_window_is_told_as_closed) {
  open(kClient);
  flow.edge[0] = Seq{1001};
  EXPECT_EQ(backend_acks(1001, 0).numbers.window, 0);
}

TEST_F(SpliceTest, a_window_smaller_than_an_insertion_lets_its_carrier_go) {
  edit(kClient, 1001, 0, std::string(400, '+'));
  open(kClient);
  flow.edge[0] = flow.right[0] = Seq{1001};
  EXPECT_EQ(backend_acks(1001, 100).numbers.window, 1);
  client(1001, "a");
  EXPECT_EQ(data_to(kBackend), std::string(100, '+')) << "as much as the window takes";
}

TEST_F(SpliceTest, a_closed_window_is_probed_with_one_octet) {
  open(kClient);
  flow.right[0] = Seq{1001};
  client(1001, "abc");
  EXPECT_EQ(data_to(kBackend), "a");
  const Handled h = client(1002, "bc");
  EXPECT_EQ(h.fate, Fate::dropped);
  EXPECT_EQ(h.reason, Drop::beyond_window);
}

TEST_F(SpliceTest, beyond_the_frontier_nothing_passes) {
  no_memory = true;
  const Handled h = client(1001, "GET");
  EXPECT_EQ(h.fate, Fate::dropped);
  EXPECT_EQ(h.reason, Drop::beyond_frontier);
  EXPECT_EQ(data_to(kBackend), "");
  client(1001, "GET\nPO");
  EXPECT_EQ(data_to(kBackend), "GET\n") << "the rest comes again";
}

TEST_F(SpliceTest, a_router_s_error_is_told_in_the_numbers_of_the_sender) {
  edit(kClient, 1001, 0, std::string(100, '+'));
  open(kClient);
  client(1001, std::string(1000, 'a'));  // 1001 to 2100 for the backend
  const auto told = splice.too_big(flow, kBackend, Seq{1501}, 1280, 40);
  ASSERT_TRUE(told);
  EXPECT_EQ(told->seq, Seq{1401});
  EXPECT_EQ(told->mtu, 1180u) << "the insertion travels beside";
  EXPECT_EQ(flow.most[1], 1240);
  EXPECT_FALSE(splice.too_big(flow, kBackend, Seq{1000}, 600, 40));
  EXPECT_FALSE(splice.too_big(flow, kBackend, Seq{2102}, 600, 40));
  EXPECT_EQ(flow.most[1], 1240) << "what is not in flight is not believed";
}

// Holds ------------------------------------------------------------------------------------------

TEST_F(SpliceTest, half_a_head_is_acknowledged_and_waits) {
  client(1001, "GE");
  EXPECT_EQ(data_to(kBackend), "");
  ASSERT_FALSE(out.empty());
  for (const Emitted& e : out) {
    EXPECT_EQ(e.to, kClient);
    EXPECT_EQ(e.ack, 1003u);
  }
  EXPECT_EQ(splice.counters().owned_bytes, 2u);
  inserted[0] = "+++";
  client(1003, "T\nPO");
  EXPECT_EQ(data_to(kBackend), "GET+++\n");
  backend_acks(1008);
  EXPECT_EQ(splice.exact(flow, kBackend), Seq{1008});
  client(1007, "ST\n");
  EXPECT_EQ(data_to(kBackend), "POST+++\n");
  backend_acks(1016);
  EXPECT_EQ(flow.work, kNoWork) << "all of it has arrived";
}

TEST_F(SpliceTest, the_receiver_s_ack_is_raised_to_what_we_own) {
  opens = true;
  client(1001, "GE");
  client(1003, "T\n");
  client(1005, "body");
  EXPECT_EQ(backend_acks(1001).numbers.ack, 1003u);
  EXPECT_EQ(splice.counters().clamped_acks, 1u);
  EXPECT_EQ(backend_acks(1004).numbers.ack, 1004u);
}

TEST_F(SpliceTest, a_sack_block_does_not_begin_at_the_ack) {
  opens = true;
  client(1001, "GE");
  client(1003, "T\n");
  client(1005, "body");
  const Handled h = backend_acks(1001, 20000, {{1003, 1009}, {1005, 1009}});
  EXPECT_EQ(h.numbers.ack, 1003u);
  EXPECT_EQ(blocks(h), (Blocks{{1005, 1009}}));
}

TEST_F(SpliceTest, what_we_own_is_sent_again_until_it_has_arrived) {
  client(1001, "GE");
  client(1003, "T\n");
  EXPECT_EQ(data_to(kBackend), "GET\n");
  pass(199ms);
  EXPECT_EQ(data_to(kBackend), "");
  pass(1ms);
  EXPECT_EQ(data_to(kBackend), "GET\n");
  EXPECT_EQ(out[0].seq, 1001u);
  pass(399ms);
  EXPECT_EQ(data_to(kBackend), "") << "after twice as long";
  pass(1ms);
  EXPECT_EQ(data_to(kBackend), "GET\n");
  EXPECT_EQ(splice.counters().resent_bytes, 8u);
  backend_acks(1005);
  pass(10s);
  EXPECT_TRUE(out.empty());
}

TEST_F(SpliceTest, what_we_own_is_not_taken_from_its_sender_again) {
  client(1001, "GE");
  client(1003, "T\n");
  client(1001, "??");
  EXPECT_EQ(data_to(kBackend), "");
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].ack, 1003u) << "its sender missed our ACK";
  client(1002, "?T\n");
  EXPECT_EQ(data_to(kBackend), "T\n") << "the rest is its sender's";
  EXPECT_EQ(out.back().seq, 1003u);
}

TEST_F(SpliceTest, a_probe_of_what_we_own_is_answered_by_us) {
  client(1001, "GE");
  EXPECT_EQ(client(1002, "").fate, Fate::consumed);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].to, kClient);
  EXPECT_EQ(out[0].ack, 1003u);
}

TEST_F(SpliceTest, what_follows_octets_in_flight_is_not_owned_before_they_have_arrived) {
  client(1001, "GET\n");
  client(1005, "PO");
  for (const Emitted& e : out) EXPECT_EQ(e.ack, 1001u);
  EXPECT_EQ(splice.counters().owned_bytes, 0u);
  pass(20ms);
  EXPECT_EQ(splice.counters().owned_bytes, 0u);
  backend_acks(1005);
  pass(20ms);
  ASSERT_FALSE(out.empty());
  EXPECT_EQ(out[0].ack, 1007u);
  EXPECT_EQ(splice.counters().owned_bytes, 2u);
}

TEST_F(SpliceTest, held_octets_go_when_the_window_opens) {
  flow.right[0] = Seq{1004};
  client(1001, "GE");
  client(1003, "TTING\n");
  EXPECT_EQ(data_to(kBackend), "GET");
  backend_acks(1004, 0);
  EXPECT_EQ(data_to(kBackend), "T") << "a closed window is probed";
  backend_acks(1004, 0);
  EXPECT_EQ(data_to(kBackend), "") << "then by time alone";
  backend_acks(1004, 3);
  EXPECT_EQ(data_to(kBackend), "IN");
  backend_acks(1007, 100);
  EXPECT_EQ(data_to(kBackend), "G\n");
}

// What leaves from the hold tells a window behind another ACK, so rounded differently.
TEST_F(SpliceTest, a_window_told_while_a_head_leaves_does_not_shrink_either) {
  edit(kBackend, 7001, 2, "");
  open(kBackend);
  flow.told[1] = 7;
  flow.edge[1] = Seq{7001};
  relay(kBackend, segment(7001, 1001, "abcd"));
  client(1001, "GE");
  SegmentIn rest = segment(1003, 5001, "T\n");
  rest.window = 30000;
  relay(kClient, rest);
  EXPECT_EQ(data_to(kBackend), "GET\n");
  ASSERT_EQ(out.size(), 2u) << "and what the client says of the backend's stream";
  EXPECT_EQ(out[1].to, kBackend);
  EXPECT_GE(out[1].ack + (uint32_t{out[1].window} << 7),
            out[0].ack + (uint32_t{out[0].window} << 7));
}

TEST_F(SpliceTest, a_gap_in_a_head_is_told_and_filled) {
  client(1001, "GE");
  client(1005, "G\n");
  ASSERT_FALSE(out.empty());
  EXPECT_EQ(out[0].ack, 1003u) << "as a receiver would";
  EXPECT_EQ(data_to(kBackend), "");
  client(1003, "TT");
  EXPECT_EQ(data_to(kBackend), "GETTG\n");
}

TEST_F(SpliceTest, a_fin_leaves_behind_the_octets_in_front_of_it) {
  opens = true;
  inserted[0] = "+++";
  client(1001, "GE");
  client(1003, "T\n", kFin);
  ASSERT_FALSE(out.empty());
  EXPECT_EQ(data_to(kBackend), "GET+++\n");
  EXPECT_TRUE(out.back().fin);
  EXPECT_EQ(backend_acks(1009).numbers.ack, 1006u) << "the FIN too";
}

TEST_F(SpliceTest, a_fin_waits_with_what_is_in_front_of_it) {
  client(1001, "GE", kFin);
  for (const Emitted& e : out) EXPECT_FALSE(e.fin) << "the stream may still be edited";
  for (const Emitted& e : out) EXPECT_EQ(e.ack, 1003u) << "not the FIN";
}

TEST_F(SpliceTest, a_hold_grows_and_keeps_what_it_has) {
  const std::string half(1000, 'a'), rest(1000, 'b');
  client(1001, half);
  client(2001, rest);
  EXPECT_EQ(data_to(kBackend), "");
  client(3001, "\n");
  EXPECT_EQ(data_to(kBackend), half + rest + "\n");
}

// Before the backend is there --------------------------------------------------------------------

TEST_F(SpliceTest, the_client_s_clock_goes_on_with_the_backend_s) {
  flow.timestamps[0] = true;
  flow.ts_value[1] = 5000;  // what the SYN-ACK to the client said
  ASSERT_TRUE(splice.begin(flow, Seq{1001}, Seq{5001}, 16384));
  SegmentIn in = segment(1001, 5001, "GET\n");
  in.timestamps = {8, 5000};
  ASSERT_TRUE(splice.collect(flow, in, now));
  splice.connected(flow, Seq{7001}, 20000, 300, now);
  EXPECT_EQ(flow.ts_offset, 4700u);
  ASSERT_EQ(data_to(kBackend), "GET\n");
  EXPECT_EQ(out.back().ack, 7001u);
  EXPECT_EQ(out.back().timestamps->value, 8u);
  EXPECT_EQ(out.back().timestamps->echo, 300u);
}

TEST_F(SpliceTest, the_backend_is_told_the_client_s_window) {
  ASSERT_TRUE(splice.begin(flow, Seq{1001}, Seq{5001}, 16384));
  flow.right[1] = Seq{5001};
  ASSERT_TRUE(splice.collect(flow, segment(1001, 5001, "GET\n"), now));
  EXPECT_EQ(splice.client_window(flow), 20000u);
  splice.connected(flow, Seq{7001}, 2, std::nullopt, now);
  EXPECT_EQ(data_to(kBackend), "GE") << "its own window is kept";
  EXPECT_EQ(out.back().window, 20000);
}

TEST_F(SpliceTest, a_large_piece_of_a_head_waits_for_patience_only) {
  ASSERT_TRUE(splice.begin(flow, Seq{1001}, Seq{5001}, 16384));
  EXPECT_FALSE(splice.collect(flow, segment(1001, 5001, std::string(1000, 'a')), now));
  EXPECT_TRUE(out.empty());
  pass(19ms);
  EXPECT_TRUE(out.empty());
  pass(1ms);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].ack, 2001u);
  EXPECT_EQ(out[0].to, kClient);
}

TEST_F(SpliceTest, our_own_answer_is_sent_again_with_its_fin) {
  ASSERT_TRUE(splice.begin(flow, Seq{1001}, Seq{5001}, 16384));
  flow.right[1] = Seq{25001};
  splice.collect(flow, segment(1001, 5001, "\x16\x03"), now);
  out.clear();
  ASSERT_TRUE(splice.answer(flow, bytes("no"), now));
  EXPECT_EQ(data_to(kClient), "no");
  EXPECT_TRUE(out.back().fin);
  EXPECT_EQ(out.back().ack, 1003u);
  EXPECT_FALSE(splice.answered(flow, segment(1003, 5003), now)) << "its FIN is not acknowledged";
  pass(200ms);
  ASSERT_FALSE(out.empty());
  EXPECT_TRUE(out.back().fin);
  EXPECT_EQ(out.back().seq, 5003u);
  EXPECT_TRUE(splice.answered(flow, segment(1003, 5004, {}, kFin), now));
}

}  // namespace
}  // namespace limpet::tcp
