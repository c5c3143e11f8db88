// What a splice holds and owns, also before its backend is there, segment by segment.
#include "splice_fixture.h"

namespace limpet::tcp {
namespace {

using Blocks = std::vector<wire::SackBlock>;

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
  EXPECT_EQ(flow.binding, kNoBinding) << "all of it has arrived";
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

// However long its head takes: nobody was asked for an ACK meanwhile.
TEST_F(SpliceTest, what_we_own_is_sent_again_in_time_when_its_head_took_long) {
  client(1001, "GE");
  for (int i = 0; i < 90; ++i) pass(100ms);
  EXPECT_EQ(data_to(kBackend), "");
  client(1003, "T\n");
  EXPECT_EQ(data_to(kBackend), "GET\n");
  pass(199ms);
  EXPECT_EQ(data_to(kBackend), "");
  pass(1ms);
  EXPECT_EQ(data_to(kBackend), "GET\n");
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
  flow.ends[0].right = Seq{1004};
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
  flow.advertised[1] = 7;
  flow.ends[1].edge = Seq{7001};
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
  flow.ends[1].ts_value = 5000;  // what the SYN-ACK to the client said
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
  flow.ends[1].right = Seq{5001};
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
  flow.ends[1].right = Seq{25001};
  splice.collect(flow, segment(1001, 5001, "\x16\x03"), now);
  out.clear();
  ASSERT_TRUE(splice.answer(flow, bytes("no"), false, now));
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

// In the middle of a connection nothing need be held; the request may be on its way to the backend,
// which goes.
TEST_F(SpliceTest, our_own_answer_may_come_when_nothing_is_held) {
  client(1001, "GET\n");
  out.clear();
  ASSERT_TRUE(splice.answer(flow, bytes("no"), false, now));
  EXPECT_EQ(data_to(kClient), "no");
  EXPECT_EQ(out.back().seq, 5001u);
  EXPECT_EQ(out.back().ack, 1001u) << "nobody has acknowledged the request";
  out.clear();
  EXPECT_FALSE(splice.answered(flow, segment(1001, 5004, "GET\n"), now));
  EXPECT_EQ(out.back().ack, 1005u);
  EXPECT_TRUE(splice.answered(flow, segment(1005, 5004, {}, kFin), now));
}

TEST_F(SpliceTest, our_own_answer_takes_the_place_of_half_a_head) {
  relay(kBackend, segment(7001, 1001, "HTT"));
  out.clear();
  ASSERT_TRUE(splice.answer(flow, bytes("no"), false, now));
  EXPECT_EQ(data_to(kClient), "no");
  EXPECT_EQ(out.back().seq, 5001u);
}

TEST_F(SpliceTest, a_client_whose_fin_is_acknowledged_need_not_send_it_again) {
  open(kClient);
  client(1001, "GET\n", kFin);
  backend_acks(1006);
  out.clear();
  ASSERT_TRUE(splice.answer(flow, bytes("no"), true, now));
  EXPECT_EQ(out.back().ack, 1006u);
  EXPECT_TRUE(splice.answered(flow, segment(1006, 5004), now));
}

}  // namespace
}  // namespace limpet::tcp
