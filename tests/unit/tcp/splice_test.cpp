// The relay of a splice, segment by segment. What happens between two real ends under loss is the
// simulation's business.
#include "splice_fixture.h"

namespace limpet::tcp {
namespace {

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
  flow.ends[0].ts_value = 77;
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

TEST_F(SpliceTest, an_ack_of_what_was_never_sent_goes_no_further) {
  open(kClient);
  client(1001, "hello");
  const Handled h = backend_acks(1007);
  EXPECT_EQ(h.fate, Fate::dropped);
  EXPECT_EQ(h.reason, Drop::ack_unsent);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].to, kBackend) << "it is told where we are";
  EXPECT_EQ(flow.ends[0].map.una(), Seq{1001});
}

TEST_F(SpliceTest, what_fits_goes_in_place_and_what_does_not_is_cut) {
  open(kClient);
  flow.ends[1].most = 1000;
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
  flow.ends[1].most = 1000;
  SegmentIn in = segment(1001, 5001, {});
  in.timestamps = {8, 9};
  in.options = 12;
  const std::string large(1000, 'a');
  in.payload = bytes(large);
  relay(kClient, in);
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(out[0].data.size(), 988u);
}

TEST_F(SpliceTest, a_full_segment_does_not_keep_the_room_of_blocks_that_say_nothing) {
  open(kClient);
  flow.ends[1].most = 1000;
  const std::string full(990, 'a');
  SegmentIn in = segment(1001, 5001, full);
  in.sack.block[in.sack.count++] = {9000, 9010};  // of what nobody has sent
  in.options = 12;
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
  flow.ends[0].edge = Seq{1001};
  EXPECT_EQ(backend_acks(1001, 5000).numbers.window, 5000);
  EXPECT_EQ(backend_acks(1001, 3000).numbers.window, 5000)
      << "its right edge stays: of equal numbers nobody knows which came first";
  EXPECT_EQ(backend_acks(1001, 6000).numbers.window, 6000);
}

TEST_F(SpliceTest, an_open_window_is_never_told_as_closed) {
  open(kClient);
  flow.ends[0].edge = Seq{1001};
  flow.advertised[0] = 7;
  EXPECT_EQ(backend_acks(1001, 100).numbers.window, 1);
  EXPECT_EQ(flow.ends[0].edge, Seq{1129});
  EXPECT_EQ(backend_acks(1001, 300).numbers.window, 2) << "in units of 128, rounded down";
  EXPECT_EQ(backend_acks(1001, 200).numbers.window, 2) << "perhaps said before that";
}

TEST_F(SpliceTest, a_closed_window_is_told_as_closed) {
  open(kClient);
  flow.ends[0].edge = Seq{1001};
  EXPECT_EQ(backend_acks(1001, 0).numbers.window, 0);
}

TEST_F(SpliceTest, a_window_smaller_than_an_insertion_lets_its_carrier_go) {
  edit(kClient, 1001, 0, std::string(400, '+'));
  open(kClient);
  flow.ends[0].edge = flow.ends[0].right = Seq{1001};
  EXPECT_EQ(backend_acks(1001, 100).numbers.window, 1);
  client(1001, "a");
  EXPECT_EQ(data_to(kBackend), std::string(100, '+')) << "as much as the window takes";
}

TEST_F(SpliceTest, a_closed_window_is_probed_with_one_octet) {
  open(kClient);
  flow.ends[0].right = Seq{1001};
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
  EXPECT_EQ(flow.ends[1].most, 1240);
  EXPECT_FALSE(splice.too_big(flow, kBackend, Seq{1000}, 600, 40));
  EXPECT_FALSE(splice.too_big(flow, kBackend, Seq{2102}, 600, 40));
  EXPECT_EQ(flow.ends[1].most, 1240) << "what is not in flight is not believed";
}

TEST_F(SpliceTest, no_router_makes_segments_smaller_than_the_least) {
  edit(kClient, 1001, 0, std::string(100, '+'));
  open(kClient);
  client(1001, std::string(1000, 'a'));
  const auto told = splice.too_big(flow, kBackend, Seq{1501}, 600, 40);
  ASSERT_TRUE(told);
  EXPECT_EQ(told->mtu, 552u) << "nobody would believe 500: the insertion is cut off instead";
  EXPECT_EQ(flow.ends[1].most, 560);
  ASSERT_TRUE(splice.too_big(flow, kBackend, Seq{1501}, 68, 40));
  EXPECT_EQ(flow.ends[1].most, 512);
  flow.ends[1].most = 1440;
  ASSERT_TRUE(splice.too_big(flow, kBackend, Seq{1501}, 68, 60));
  EXPECT_EQ(flow.ends[1].most, 1220) << "over IPv6";
}

TEST_F(SpliceTest, errors_are_about_octets_that_may_be_on_their_way) {
  open(kClient);
  client(1001, std::string(1000, 'a'));
  EXPECT_TRUE(Splice::in_flight(flow, kBackend, Seq{1001}));
  EXPECT_TRUE(Splice::in_flight(flow, kBackend, Seq{2001}));
  EXPECT_FALSE(Splice::in_flight(flow, kBackend, Seq{2002}));
  EXPECT_FALSE(Splice::in_flight(flow, kBackend, Seq{0x70000000}));
}

}  // namespace
}  // namespace limpet::tcp
