// Segments of somebody who does not know the connection's numbers: what they say is not believed,
// and above all no reset of theirs becomes one that is.
#include "splice_fixture.h"

namespace limpet::tcp {
namespace {

constexpr uint8_t kRst = tcp_flag::rst;

// Far outside, on both sides, and where signed comparison turns over.
constexpr uint32_t kFar[] = {0x00100000u, 0x10000000u, 0x40000000u, 0x7ffffff0u,
                             0x80000000u, 0xc0000000u, 0xfff00000u};

TEST_F(SpliceTest, a_reset_has_the_number_behind_what_was_inserted) {
  edit(kClient, 1005, 0, "0123456789");
  open(kClient);
  client(1001, "abcdefgh");
  const Handled h = relay(kClient, segment(1009, 5001, {}, kRst | kAck));
  EXPECT_EQ(h.fate, Fate::in_place);
  EXPECT_EQ(h.numbers.seq, 1019u);
}

// Its receiver asks for it and learns the right number from who has lost the connection: nothing
// but that number ends a connection (RFC 5961, 3.2).
TEST_F(SpliceTest, a_reset_in_the_window_is_not_made_exact) {
  edit(kClient, 1005, 0, "0123456789");
  open(kClient);
  client(1001, "abcdefgh");
  EXPECT_EQ(relay(kClient, segment(1500, 5001, {}, kRst)).numbers.seq, 1510u);
  flow.right[0] = Seq{1030};
  EXPECT_EQ(relay(kClient, segment(1500, 5001, {}, kRst)).numbers.seq, 1030u)
      << "beyond the window nobody would ask";
}

TEST_F(SpliceTest, a_blind_reset_goes_nowhere) {
  open(kClient);
  open(kBackend);
  client(1001, "abcdefgh");
  backend_acks(1009);
  for (const uint32_t far : kFar) {
    const Handled h = relay(kClient, segment(1009 + far, 5001, {}, kRst));
    EXPECT_EQ(h.fate, Fate::dropped) << far;
    EXPECT_EQ(h.reason, Drop::outside_window) << far;
    EXPECT_EQ(relay(kBackend, segment(7001 + far, 1009, {}, kRst)).fate, Fate::dropped) << far;
    EXPECT_TRUE(out.empty()) << "nor is it answered";
  }
  EXPECT_EQ(relay(kClient, segment(1008, 5001, {}, kRst)).fate, Fate::dropped) << "acknowledged";
  EXPECT_EQ(relay(kClient, segment(1009, 5001, {}, kRst)).numbers.seq, 1009u) << "the right one";
}

// What its sender was told, or has said, its receiver does not have yet: that is our doing.
TEST_F(SpliceTest, a_reset_at_the_end_of_what_we_hold_is_put_right) {
  client(1001, "one line\n");
  backend_acks(1010);
  client(1010, "half a li");  // short: acknowledged at once
  EXPECT_EQ(relay(kClient, segment(1019, 5001, {}, kRst)).numbers.seq, 1010u);
  EXPECT_EQ(relay(kClient, segment(1018, 5001, {}, kRst)).numbers.seq, 1018u) << "any other is not";
  EXPECT_EQ(relay(kClient, segment(1020, 5001, {}, kRst)).numbers.seq, 1020u);
}

TEST_F(SpliceTest, a_segment_outside_the_window_says_nothing) {
  flow.timestamps[0] = flow.timestamps[1] = true;
  flow.ts_value[0] = 100, flow.ts_value[1] = 200;
  open(kClient);
  open(kBackend);
  relay(kBackend, segment(7001, 1001, "abcdefgh"));
  for (const uint32_t far : kFar) {
    SegmentIn in = segment(1001 + far, 5009);
    in.timestamps = {0x70000000u, 200};
    Handled h = relay(kClient, in);
    EXPECT_EQ(h.fate, Fate::dropped) << far;
    EXPECT_EQ(h.reason, Drop::outside_window) << far;
    EXPECT_TRUE(out.empty()) << "ACKs of two who disagree would never end";
    in.payload = bytes("data");
    EXPECT_EQ(relay(kClient, in).fate, Fate::dropped) << far;
    ASSERT_EQ(out.size(), 1u) << far;
    EXPECT_EQ(out[0].to, kClient) << "it is told where we are";
    EXPECT_EQ(out[0].ack, 1001u);
  }
  EXPECT_EQ(flow.ts_value[0], 100u) << "its clock is not believed";
  EXPECT_EQ(flow.map[1].una(), Seq{7001}) << "nor its ACK";
}

TEST_F(SpliceTest, an_ack_older_than_any_window_is_not_believed) {
  open(kBackend);
  relay(kBackend, segment(7001, 1001, "abcdefgh"));
  EXPECT_EQ(relay(kClient, segment(1001, 5001 - 70000)).fate, Fate::dropped);
  EXPECT_EQ(relay(kClient, segment(1001, 5001 - 60000)).fate, Fate::in_place) << "late, perhaps";
}

// A FIN or a probe stands behind a window that is full; a probe of what was acknowledged before it.
TEST_F(SpliceTest, the_edges_of_a_window_belong_to_it) {
  open(kClient);
  flow.edge[0] = Seq{21001};
  EXPECT_NE(relay(kClient, segment(21002, 5001)).reason, Drop::outside_window);
  EXPECT_EQ(relay(kClient, segment(21003, 5001)).reason, Drop::outside_window);
  EXPECT_NE(relay(kClient, segment(1001 - 65535, 5001)).reason, Drop::outside_window);
  EXPECT_EQ(relay(kClient, segment(1001 - 65536, 5001)).reason, Drop::outside_window);
}

class AnsweredTest : public SpliceTest {
 protected:
  void SetUp() override {
    flow = SpliceFlow{};
    flow.most[0] = flow.most[1] = 1460;
    ASSERT_TRUE(splice.begin(flow, Seq{1001}, Seq{5001}, 16384));
    EXPECT_FALSE(splice.collect(flow, segment(1001, 5001, "half a li"), now));
  }
  bool says(const SegmentIn& in) {
    out.clear();
    return splice.answered(flow, in, now);
  }
};

TEST_F(AnsweredTest, before_a_backend_is_there_forged_octets_are_not_taken) {
  out.clear();
  EXPECT_FALSE(splice.collect(flow, segment(1010, 5002, "ne\n"), now)) << "of what was never sent";
  EXPECT_FALSE(splice.collect(flow, segment(1010, 0x80005001, "ne\n"), now));
  EXPECT_FALSE(splice.collect(flow, segment(0x40001010, 5001, "ne\n"), now));
  EXPECT_EQ(out.size(), 3u) << "each is told where we are";
  EXPECT_TRUE(splice.collect(flow, segment(1010, 5001, "ne\n"), now));
}

TEST_F(AnsweredTest, a_reset_before_a_backend_is_there_must_be_exact) {
  out.clear();
  EXPECT_FALSE(splice.believed(flow, segment(1005, 5001, {}, kRst)));
  EXPECT_EQ(out.size(), 1u) << "in the window: it is asked for";
  EXPECT_FALSE(splice.believed(flow, segment(1005 + 0x40000000, 5001, {}, kRst)));
  EXPECT_EQ(out.size(), 1u);
  EXPECT_TRUE(splice.believed(flow, segment(1010, 5001, {}, kRst)));
}

// Who writes all before it reads must get to the end of what it writes.
TEST_F(AnsweredTest, the_window_of_an_answered_client_stays_open) {
  ASSERT_TRUE(splice.answer(flow, bytes("HTTP/1.1 503 No\r\n\r\n"), false, now));
  const std::string piece(1460, 'x');
  uint32_t seq = 1010;
  for (unsigned i = 0; i < 100; ++i) {
    EXPECT_FALSE(says(segment(seq, 5001, piece)));
    seq += 1460;
    ASSERT_FALSE(out.empty());
    EXPECT_EQ(out.back().ack, seq);
    EXPECT_GE(out.back().window, 16384u);
  }
  EXPECT_FALSE(says(segment(seq - 1, 5001)));
  ASSERT_EQ(out.size(), 1u) << "a probe is answered";
  EXPECT_EQ(out[0].ack, seq);
  EXPECT_FALSE(says(segment(seq, 5001)));
  EXPECT_TRUE(out.empty()) << "an ACK is not";
}

// A receiver's own window.

TEST_F(SpliceTest, a_window_that_its_receiver_takes_back_is_told_so) {
  open(kClient);
  client(1001, std::string(100, 'a'));
  const Handled h = backend_acks(1101, 500);
  EXPECT_EQ(h.numbers.window, 500u);
  EXPECT_EQ(flow.edge[0], Seq{1601});
  EXPECT_EQ(flow.right[0], Seq{1601});
  client(1101, std::string(600, 'b'));
  EXPECT_EQ(data_to(kBackend).size(), 500u) << "no more than it takes";
  EXPECT_EQ(backend_acks(1601, 0).numbers.window, 0u);
  EXPECT_EQ(backend_acks(1601, 9000).numbers.window, 9000u) << "and open again";
}

TEST_F(SpliceTest, a_window_of_zero_arrives) {
  open(kClient);
  client(1001, std::string(100, 'a'));
  EXPECT_EQ(backend_acks(1101, 0).numbers.window, 0u);
  EXPECT_EQ(flow.edge[0], Seq{1101});
  out.clear();
  splice.acknowledge_to(flow, kClient);
  EXPECT_EQ(out.at(0).window, 0u) << "also in an ACK of our own";
}

// Our unit is larger than what is left of the window: the sender was told a little more.
TEST_F(SpliceTest, a_window_of_zero_arrives_in_a_coarser_scale) {
  open(kClient);
  flow.told[0] = 7;
  flow.right[0] = flow.edge[0] = Seq{1001};
  backend_acks(1001, 1000);
  client(1001, std::string(109, 'a'));
  backend_acks(1100, 901);
  EXPECT_EQ(flow.edge[0], Seq{1996});
  backend_acks(1110, 891);
  EXPECT_EQ(flow.edge[0], Seq{2006}) << "rounded up, so that it does not move back";
  client(1110, std::string(891, 'a'));
  EXPECT_EQ(backend_acks(2001, 0).numbers.window, 0u);
  EXPECT_EQ(relay(kClient, segment(2006, 5001)).fate, Fate::in_place) << "it may have sent that";
}

TEST_F(SpliceTest, old_segments_do_not_shrink_a_window) {
  open(kClient);
  open(kBackend);
  client(1001, std::string(200, 'a'));
  relay(kBackend, segment(7001, 1101, "abcd"));
  relay(kBackend, segment(7005, 1101, "efgh"));
  EXPECT_EQ(flow.right[0], Seq{21101});
  SegmentIn in = segment(7001, 1101, "abcd");  // late, or again
  for (const uint16_t window : {100, 0}) {
    in.window = window;
    relay(kBackend, in);
    EXPECT_EQ(flow.right[0], Seq{21101}) << "SND.WL1";
  }
  in = segment(7009, 1051);
  in.window = 100;
  relay(kBackend, in);
  EXPECT_EQ(flow.right[0], Seq{21101}) << "SND.WL2";
  in = segment(7009, 1101);
  in.window = 100;
  relay(kBackend, in);
  EXPECT_EQ(flow.right[0], Seq{1201}) << "newer than what told the last";
  in.window = 50;
  relay(kBackend, in);
  EXPECT_EQ(flow.right[0], Seq{1201}) << "as new: nobody knows which came first";
  in.window = 0;
  relay(kBackend, in);
  EXPECT_EQ(flow.right[0], Seq{1101}) << "but for zero";
  EXPECT_EQ(flow.edge[0], Seq{1201}) << "which may be late: what was told is told again";
}

TEST_F(SpliceTest, of_equal_numbers_the_newer_clock_shrinks_a_window) {
  flow.timestamps[0] = flow.timestamps[1] = true;
  open(kClient);
  client(1001, std::string(100, 'a'));
  SegmentIn in = segment(7001, 1101);
  in.timestamps = {500, 0};
  relay(kBackend, in);
  in.window = 300;
  relay(kBackend, in);
  EXPECT_EQ(flow.edge[0], Seq{21101}) << "of the same tick";
  in.timestamps = {501, 0};
  relay(kBackend, in);
  EXPECT_EQ(flow.edge[0], Seq{1401});
  EXPECT_EQ(flow.right[0], Seq{1401});
}

TEST_F(SpliceTest, what_is_sent_again_with_more_acknowledged_shrinks_a_window) {
  open(kClient);
  open(kBackend);
  client(1001, std::string(200, 'a'));
  relay(kBackend, segment(7001, 1101, "abcd"));
  relay(kBackend, segment(7005, 1101, "efgh"));
  SegmentIn in = segment(7001, 1151, "abcd");
  in.window = 400;
  EXPECT_EQ(relay(kBackend, in).numbers.window, 400u);
  EXPECT_EQ(flow.edge[0], Seq{1551});
  in = segment(7005, 1151, "efgh");
  in.window = 300;
  EXPECT_EQ(relay(kBackend, in).numbers.window, 300u) << "and what follows it";
}

TEST_F(SpliceTest, a_larger_window_counts_whatever_its_number) {
  open(kClient);
  open(kBackend);
  client(1001, std::string(100, 'a'));
  relay(kBackend, segment(7001, 1101, "abcd"));
  SegmentIn in = segment(7005, 1101);
  in.window = 0;
  EXPECT_EQ(relay(kBackend, in).numbers.window, 0u);
  in = segment(7001, 1101);  // who may not send says so with what is acknowledged
  EXPECT_EQ(relay(kBackend, in).numbers.window, 20000u);
}

TEST_F(SpliceTest, a_client_s_shrinking_is_told_to_the_backend) {
  open(kClient);
  open(kBackend);
  relay(kBackend, segment(7001, 1001, std::string(100, 'a')));
  SegmentIn in = segment(1001, 5101);
  in.window = 600;
  const Handled h = relay(kClient, in);
  EXPECT_EQ(h.numbers.ack, 7101u);
  EXPECT_EQ(h.numbers.window, 600u);
  EXPECT_EQ(flow.edge[1], Seq{7701});
  in.ack = Seq{5101};
  in.window = 0;
  EXPECT_EQ(relay(kClient, in).numbers.window, 0u);
}

// The shrinking of a window behind an insertion is told in the sender's numbers.
TEST_F(SpliceTest, a_window_is_taken_back_by_what_was_inserted_too) {
  edit(kClient, 1051, 0, std::string(40, '+'));
  open(kClient);
  client(1001, std::string(100, 'a'));
  EXPECT_EQ(backend_acks(1021, 1000).numbers.window, 960u);
  EXPECT_EQ(flow.edge[0], Seq{1981});
}

TEST_F(SpliceTest, an_old_window_does_not_come_back) {
  open(kClient);
  client(1001, std::string(200, 'a'));
  backend_acks(1101, 100);
  EXPECT_EQ(flow.right[0], Seq{1201});
  backend_acks(1051, 20000);
  EXPECT_EQ(flow.right[0], Seq{1201});
  backend_acks(1101, 20000);
  EXPECT_EQ(flow.right[0], Seq{21101}) << "a new one does";
}

TEST_F(SpliceTest, rounding_is_no_shrinking) {
  open(kClient);
  flow.scale[1] = 7;
  flow.right[0] = flow.edge[0] = Seq{21001};
  client(1001, std::string(100, 'a'));
  EXPECT_EQ(backend_acks(1101, 155).numbers.window, 19900u) << "edge 20941, 60 less";
  EXPECT_EQ(flow.right[0], Seq{21001});
  client(1101, "b");
  EXPECT_EQ(backend_acks(1102, 154).numbers.window, 154u * 128) << "edge 20814";
}

// What was sent before its sender heard.
TEST_F(SpliceTest, what_was_sent_into_the_larger_window_is_still_of_this_connection) {
  open(kClient);
  open(kBackend);
  relay(kBackend, segment(7001, 1001, "abcd"));
  client(1001, std::string(100, 'a'));
  backend_acks(1101, 0);
  SegmentIn in = segment(15001, 5005);
  EXPECT_EQ(relay(kClient, in).fate, Fate::in_place);
  EXPECT_EQ(flow.map[1].una(), Seq{7005}) << "its ACK counts";
  in = segment(15001, 5005, "data");
  EXPECT_EQ(relay(kClient, in).reason, Drop::beyond_window) << "its octets come again";
  EXPECT_EQ(relay(kClient, segment(15001, 5005, {}, kRst)).reason, Drop::outside_window);
  EXPECT_EQ(relay(kClient, segment(1101, 5005, "p")).fate, Fate::in_place) << "a probe";
}

TEST_F(SpliceTest, a_hold_keeps_the_window_that_it_was_promised) {
  flow.edge[0] = Seq{1301};
  flow.right[0] = Seq{1301};
  client(1001, "one line\n");
  backend_acks(1010, 291);
  client(1010, "half a li");  // owned, and so promised the rest of the hold
  const Seq promised = flow.edge[0];
  EXPECT_GE(promised, Seq{1010 + 16384});
  EXPECT_GE(backend_acks(1010, 0).numbers.window, 16000u);
  EXPECT_EQ(flow.edge[0], promised);
  client(1019, "ne\n");
  EXPECT_EQ(backend_acks(1010, 0).numbers.window, 0u) << "nothing is to be held any more";
  backend_acks(1010, 200);
  EXPECT_EQ(backend_acks(1015, 100).numbers.window, promised - Seq{1019})
      << "the promise stands, behind what we own";
  backend_acks(1022, 30000);
  client(1022, "next\n");
  EXPECT_EQ(backend_acks(1027, 500).numbers.window, 500u) << "until the receiver grants more";
}

TEST_F(SpliceTest, a_window_that_is_taken_back_leaves_room_for_a_head) {
  client(1001, "one line\n");
  backend_acks(1010, 30000);
  client(1010, "half a li");
  EXPECT_EQ(flow.edge[0], Seq{31010});
  client(1019, "");
  backend_acks(1010, 0);
  SegmentIn in = segment(7001, 1010);
  for (const uint16_t window : {30000, 100}) {
    in.seq = in.seq + 1;
    in.window = window;
    relay(kBackend, in);
  }
  EXPECT_EQ(flow.edge[0], Seq{1010 + 16384}) << "as much as a hold takes";
}

TEST_F(SpliceTest, who_knows_no_numbers_does_not_hit_a_window_that_shrank) {
  open(kClient);
  flow.told[0] = 14;
  client(1001, std::string(100, 'a'));
  backend_acks(1101, 100);
  EXPECT_EQ(relay(kClient, segment(1101 + (1u << 28), 5001)).reason, Drop::outside_window);
}

TEST_F(AnsweredTest, a_client_takes_its_window_back_before_a_backend_is_there) {
  SegmentIn in = segment(1010, 5001, "ne");
  in.window = 300;
  splice.collect(flow, in, now);
  EXPECT_EQ(splice.client_window(flow), 300u);
}

}  // namespace
}  // namespace limpet::tcp
