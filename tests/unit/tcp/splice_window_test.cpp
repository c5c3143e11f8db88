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
  flow.ends[0].right = Seq{1030};
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
  flow.ends[0].ts_value = 100, flow.ends[1].ts_value = 200;
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
  EXPECT_EQ(flow.ends[0].ts_value, 100u) << "its clock is not believed";
  EXPECT_EQ(flow.ends[1].map.una(), Seq{7001}) << "nor its ACK";
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
  flow.ends[0].edge = Seq{21001};
  EXPECT_NE(relay(kClient, segment(21002, 5001)).reason, Drop::outside_window);
  EXPECT_EQ(relay(kClient, segment(21003, 5001)).reason, Drop::outside_window);
  EXPECT_NE(relay(kClient, segment(1001 - 65535, 5001)).reason, Drop::outside_window);
  EXPECT_EQ(relay(kClient, segment(1001 - 65536, 5001)).reason, Drop::outside_window);
}

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

}  // namespace
}  // namespace limpet::tcp
