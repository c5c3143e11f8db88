// What limpet makes or enlarges fits the port that it leaves by, the path and its receiver's MSS.
#include "splice_fixture.h"

namespace limpet::tcp {
namespace {

TEST_F(SpliceTest, what_we_cut_fits_its_port) {
  edit(kClient, 1005, 0, std::string(50, '+'));
  open(kClient);
  port_takes[1] = 1360;
  EXPECT_EQ(client(1001, std::string(1360, 'a')).fate, Fate::consumed);
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(out[0].data.size(), 1360u);
  EXPECT_EQ(out[1].data.size(), 50u);
  EXPECT_EQ(client(2361, std::string(1400, 'b')).fate, Fate::in_place)
      << "no edit in it: its sender is told that the port takes less";
  EXPECT_EQ(splice.mtu_for(flow, kClient, 1400, false), 1350u) << "with room for the insertion";
  backend_acks(2411);
  EXPECT_EQ(splice.mtu_for(flow, kClient, 1400, false), 1400u) << "which has arrived";
}

// An edit that comes in front of its first octet, or of its FIN, or takes octets of it away.
TEST_F(SpliceTest, a_segment_with_an_edit_is_cut_and_its_neighbours_are_not) {
  edit(kClient, 1101, 0, "+");
  edit(kClient, 1301, 100, "");
  open(kClient);
  port_takes[1] = 80;
  EXPECT_EQ(client(1001, std::string(100, 'a')).fate, Fate::in_place) << "it goes with 1101";
  EXPECT_EQ(client(1101, std::string(100, 'b')).fate, Fate::consumed);
  EXPECT_EQ(data_to(kBackend), "+" + std::string(100, 'b'));
  EXPECT_EQ(client(1201, std::string(100, 'c')).fate, Fate::in_place);
  EXPECT_EQ(client(1201, std::string(101, 'c')).fate, Fate::consumed);
  EXPECT_EQ(client(1401, std::string(90, 'd')).fate, Fate::consumed) << "1401 carries the end";
  EXPECT_EQ(client(1402, std::string(90, 'd')).fate, Fate::in_place);
}

TEST_F(SpliceTest, a_fin_brings_what_is_inserted_in_front_of_it) {
  edit(kClient, 1101, 0, "+");
  open(kClient);
  port_takes[1] = 80;
  EXPECT_EQ(client(1001, std::string(100, 'a'), kFin).fate, Fate::consumed);
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(data_to(kBackend), std::string(100, 'a') + "+");
  EXPECT_TRUE(out[1].fin && !out[0].fin);
}

TEST_F(SpliceTest, nobody_is_told_an_mtu_that_he_would_not_believe) {
  edit(kClient, 1005, 0, std::string(50, '+'));
  open(kClient);
  EXPECT_EQ(splice.mtu_for(flow, kClient, 1300, true), 1280u);
  EXPECT_EQ(splice.mtu_for(flow, kClient, 1280, true), 1280u);
  EXPECT_EQ(splice.mtu_for(flow, kClient, 1331, true), 1281u);
  EXPECT_EQ(splice.mtu_for(flow, kClient, 600, false), 552u);
}

TEST_F(SpliceTest, a_part_that_the_window_has_cut_off_fits_its_port_too) {
  open(kClient);
  port_takes[1] = 1000;
  flow.ends[0].right = Seq{2201};
  client(1001, std::string(1400, 'a'));
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(out[0].data.size(), 1000u);
  EXPECT_EQ(out[1].data.size(), 200u);
}

TEST_F(SpliceTest, what_is_left_of_a_retransmission_fits_its_port_too) {
  open(kClient);
  client(1001, "a");
  backend_acks(1002);
  port_takes[1] = 1000;
  client(1001, std::string(1400, 'a'));
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(out[0].data.size(), 1000u);
  EXPECT_EQ(out[1].data.size(), 399u);
}

// Timestamps that only one end knows: each segment is made anew.
TEST_F(SpliceTest, what_is_rebuilt_fits_its_port_too) {
  open(kClient);
  flow.timestamps[1] = true;
  port_takes[1] = 1000;
  client(1001, std::string(1000, 'a'));
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(out[0].data.size(), 988u);
}

TEST_F(SpliceTest, an_mss_below_that_of_any_host_is_kept) {
  open(kClient);
  flow.timestamps[0] = flow.timestamps[1] = true;
  flow.ends[1].most = 100;
  SegmentIn in = segment(1001, 5001, {});
  const std::string large(880, 'a');
  in.timestamps = {8, 9};
  in.payload = bytes(large);
  in.options = 12;
  relay(kClient, in);
  EXPECT_EQ(out.size(), 10u);
  for (const Emitted& e : out) EXPECT_EQ(e.data.size(), 88u);
  EXPECT_EQ(data_to(kBackend), large);
  flow.ends[1].most = 1;
  in.payload = in.payload.subspan(0, 360);
  relay(kClient, in);
  EXPECT_EQ(out.size(), 10u) << "but not one that multiplies packets";
}

// As many octets are left as the largest options leave of the least MSS.
TEST_F(SpliceTest, all_options_and_the_least_mss_leave_room_for_octets) {
  edit(kClient, 1001, 0, "+");
  open(kClient);
  open(kBackend);
  flow.timestamps[0] = flow.timestamps[1] = true;
  relay(kBackend, segment(7001, 1001, std::string(100, 'b')));
  flow.ends[1].most = 20;
  SegmentIn in = segment(1001, 5001, "0123456789");
  in.timestamps = {8, 9};
  for (uint32_t i = 0; i < 4; ++i) in.sack.block[in.sack.count++] = {5011 + 20 * i, 5021 + 20 * i};
  relay(kClient, in);
  EXPECT_EQ(data_to(kBackend), "+0123456789");
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(out[0].data.size(), 8u);
}

// What other options take is not ours to leave out.
TEST_F(SpliceTest, options_that_we_do_not_know_take_their_room_in_place) {
  open(kClient);
  flow.ends[1].most = 1000;
  const std::string full(990, 'a');
  SegmentIn in = segment(1001, 5001, full);
  in.options = 8;
  EXPECT_EQ(relay(kClient, in).fate, Fate::in_place);
  in.options = 12;
  EXPECT_EQ(relay(kClient, in).fate, Fate::consumed);
  EXPECT_EQ(data_to(kBackend), full);
}

TEST_F(SpliceTest, what_is_held_fits_its_port) {
  port_takes[1] = 500;
  client(1001, "half a li");
  client(1010, std::string(1400, 'x') + "\n");
  EXPECT_EQ(data_to(kBackend).size(), 1410u);
  for (const Emitted& e : out) EXPECT_LE(e.data.size(), 500u);
  pass(1s);
  ASSERT_EQ(data_to(kBackend).size(), 500u) << "sent again";
}

// The receiver has most of an insertion that takes many segments.
TEST_F(SpliceTest, what_we_own_is_sent_again_from_within_an_insertion) {
  port_takes[1] = 100;
  inserted[0] = std::string(350, '+');
  client(1001, "GE");
  client(1003, "T\nPO");
  ASSERT_EQ(data_to(kBackend), "GET" + inserted[0] + "\n");
  backend_acks(1304);  // 300 of them
  pass(200ms);
  EXPECT_EQ(data_to(kBackend), inserted[0].substr(300) + "\n");
  ASSERT_FALSE(out.empty());
  EXPECT_EQ(out[0].seq, 1304u);
}

// Each ACK would bring it anew, and each segment an ACK: more and more of them.
TEST_F(SpliceTest, a_part_of_an_insertion_that_fills_the_window_goes_once) {
  inserted[0] = std::string(350, '+');
  flow.ends[0].right = Seq{1101};
  client(1001, "GE");
  client(1003, "T\n");
  EXPECT_EQ(data_to(kBackend).size(), 100u);
  backend_acks(1001, 100);
  EXPECT_EQ(data_to(kBackend), "") << "it has gone";
  backend_acks(1101, 100);
  EXPECT_EQ(data_to(kBackend).size(), 100u);
  EXPECT_EQ(out[0].seq, 1101u);
  backend_acks(1201, 1000);
  EXPECT_EQ(data_to(kBackend).size(), 154u);
}

constexpr uint8_t kExpedited = 0xb8, kEct0 = 2, kCe = 3;

TEST_F(SpliceTest, what_we_make_has_the_marks_of_the_newest_segment_in_whose_place_it_is) {
  client(1001, "half a li");
  ASSERT_FALSE(out.empty());
  EXPECT_EQ(out[0].to, kClient);
  EXPECT_EQ(out[0].ttl, 64) << "no backend has spoken";
  EXPECT_EQ(out[0].traffic_class, 0);
  SegmentIn in = segment(1010, 5001, "ne\n");
  in.ttl = 60;
  in.traffic_class = kExpedited | kEct0;
  relay(kClient, in);
  ASSERT_EQ(data_to(kBackend), "half a line\n");
  EXPECT_EQ(out[0].ttl, 59);
  EXPECT_EQ(out[0].traffic_class, kExpedited) << "octets that we had: perhaps they go again";
  in = segment(7001, 1001);
  in.ttl = 100;
  in.traffic_class = 0x28;
  relay(kBackend, in);
  pass(200ms);
  ASSERT_EQ(data_to(kBackend), "half a line\n");
  EXPECT_EQ(out[0].ttl, 59);
  in = segment(1013, 9001);  // of what was never sent
  in.ttl = 9;
  relay(kClient, in);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].ttl, 99) << "the backend's";
  EXPECT_EQ(out[0].traffic_class, 0x28);
  pass(400ms);
  EXPECT_EQ(out.at(0).ttl, 59) << "what was not accepted says nothing";
}

// RFC 3168, 5.3 and 6.1.4.
TEST_F(SpliceTest, each_part_of_a_segment_has_its_ecn_mark_and_an_ack_has_none) {
  edit(kClient, 1005, 0, std::string(50, '+'));
  edit(kClient, 1061, 10, "");
  open(kClient);
  port_takes[1] = 100;
  SegmentIn in = segment(1001, 5001,
                         std::string_view("0123456789012345678901234567890123456789"
                                          "01234567890123456789"));
  in.traffic_class = kExpedited | kCe;
  relay(kClient, in);
  ASSERT_EQ(out.size(), 2u);
  for (const Emitted& e : out) EXPECT_EQ(e.traffic_class, kExpedited | kCe);
  open(kBackend);
  relay(kBackend, segment(7001, 1001, "abc"));
  in = segment(1061, 5004, "0123456789");  // all of them removed: its ACK goes on
  in.traffic_class = kExpedited | kEct0;
  relay(kClient, in);
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(out[0].to, kBackend);
  EXPECT_EQ(out[0].traffic_class, kExpedited);
}

// What was acknowledged must arrive, though its sender has chosen that its own segments do not.
TEST_F(SpliceTest, what_we_own_has_hops_enough) {
  SegmentIn in = segment(1001, 5001, "ha");
  in.ttl = 2;
  relay(kClient, in);
  in = segment(1003, 5001, "lf\n");
  in.ttl = 2;
  relay(kClient, in);
  ASSERT_EQ(data_to(kBackend), "half\n");
  EXPECT_EQ(out.at(0).ttl, 32);
  pass(200ms);
  ASSERT_EQ(data_to(kBackend), "half\n");
  EXPECT_EQ(out.at(0).ttl, 32);
}

TEST_F(SpliceTest, what_is_cut_has_one_hop_less_than_it_came_with) {
  edit(kClient, 1005, 0, "+");
  open(kClient);
  SegmentIn in = segment(1001, 5001, "0123456789");
  in.ttl = 17;
  relay(kClient, in);
  EXPECT_EQ(data_to(kBackend), "0123+456789");
  EXPECT_EQ(out.at(0).ttl, 16) << "a loop ends";
}

}  // namespace
}  // namespace limpet::tcp
