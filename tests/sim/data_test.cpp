// An endpoint sends and receives: windows, ACKs, SACK, recovery, timers; as scripts.
#include <gmock/gmock.h>

#include "script.h"

namespace limpet::sim {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using Lines = Script::Lines;

EndpointOptions with_sack() {
  EndpointOptions o = Script::plain();
  o.sack = true;
  return o;
}
const TcpOptions kSackSyn{.mss = 100, .sack_permitted = true};

TEST(Receive, the_first_ack_waits_the_second_does_not) {
  Script s(Script::plain());
  s.accepts();
  EXPECT_THAT(s.says({.data = octets(100)}), IsEmpty());
  EXPECT_THAT(s.says({.seq = 101, .data = octets(100)}),
              ElementsAre(". seq 1001 ack 5201 win 400 len 0"));
  EXPECT_THAT(s.says({.seq = 201, .data = octets(50)}), IsEmpty());
  EXPECT_THAT(s.pass(39ms), IsEmpty());
  EXPECT_THAT(s.pass(1ms), ElementsAre(". seq 1001 ack 5251 win 350 len 0"));
}

TEST(Receive, octets_beyond_a_gap_wait_and_are_reported_latest_first) {
  Script s(with_sack());
  s.accepts(kSackSyn);
  EXPECT_THAT(s.says({.seq = 4, .data = "def"}),
              ElementsAre(". seq 1001 ack 5001 win 400 <sack 5004:5007> len 0"));
  EXPECT_THAT(s.says({.seq = 10, .data = "jkl"}),
              ElementsAre(". seq 1001 ack 5001 win 400 <sack 5010:5013,sack 5004:5007> len 0"));
  EXPECT_THAT(s.says({.seq = 7, .data = "g"}),
              ElementsAre(". seq 1001 ack 5001 win 400 <sack 5004:5008,sack 5010:5013> len 0"));
  EXPECT_EQ(s.received, "");
  EXPECT_THAT(s.says({.seq = 1, .data = "abc"}),
              ElementsAre(". seq 1001 ack 5008 win 393 <sack 5010:5013> len 0"));
  s.says({.seq = 8, .data = "hi"});
  EXPECT_EQ(s.received, "abcdefghijkl");
}

TEST(Receive, four_blocks_fit_and_three_beside_timestamps) {
  for (const bool with_time : {false, true}) {
    EndpointOptions o = with_sack();
    o.timestamps = with_time;
    Script s(o);
    TcpOptions syn = kSackSyn;
    if (with_time) syn.timestamps = {{9, 0}};
    s.accepts(syn);
    Lines last;
    for (uint32_t i = 1; i <= 5; ++i) {
      last = s.says(
          {.seq = 10 * i, .data = "x", .options = with_time ? stamps(9, s.stamp()) : TcpOptions{}});
    }
    EXPECT_THAT(
        last, ElementsAre(with_time ? ". seq 1001 ack 5001 win 400 <TS 1 9,sack 5050:5051,sack "
                                      "5040:5041,sack 5030:5031> len 0"
                                    : ". seq 1001 ack 5001 win 400 <sack 5050:5051,sack 5040:5041,"
                                      "sack 5030:5031,sack 5020:5021> len 0"));
  }
}

TEST(Receive, duplicates_are_reported_first) {  // RFC 2883, 4
  Script s(with_sack());
  s.accepts(kSackSyn);
  s.says({.data = "abc"});
  EXPECT_THAT(s.says({.data = "abc"}),
              ElementsAre(". seq 1001 ack 5004 win 397 <sack 5001:5004> len 0"));
  s.says({.seq = 10, .data = "jklm"});
  EXPECT_THAT(s.says({.seq = 11, .data = "kl"}),
              ElementsAre(". seq 1001 ack 5004 win 397 <sack 5011:5013,sack 5010:5014> len 0"));
  EXPECT_EQ(s.endpoint.counts().dsacks_sent, 2u);
}

TEST(Receive, octets_that_contradict_themselves_are_a_violation) {
  Script s(with_sack());
  s.accepts(kSackSyn);
  s.says({.data = "abc"});
  s.says({.seq = 2, .data = "bX"});
  EXPECT_EQ(s.endpoint.violations().size(), 1u);
  s.says({.seq = 8, .data = "hij"});
  s.says({.seq = 7, .data = "gHij"});
  EXPECT_EQ(s.endpoint.violations().size(), 2u) << "beyond a gap";
  s.says({.seq = 4, .data = "def"});
  EXPECT_EQ(s.received, "abcdefghij");
}

TEST(Receive, a_window_is_filled_closed_and_opened_by_the_reader) {
  EndpointOptions o = Script::plain();
  o.read_every = 10ms;
  o.read_chunk = 150;
  Script s(o);
  s.accepts();
  for (uint32_t i = 0; i < 3; ++i) s.says({.seq = 1 + 100 * i, .data = octets(100)});
  EXPECT_THAT(s.says({.seq = 301, .data = octets(100)}),
              ElementsAre(". seq 1001 ack 5401 win 0 len 0"));
  EXPECT_THAT(s.says({.seq = 401, .data = "!"}), ElementsAre(". seq 1001 ack 5401 win 0 len 0"));
  EXPECT_THAT(s.endpoint.violations(), IsEmpty()) << "one octet is a probe";
  EXPECT_THAT(s.pass(10ms), IsEmpty()) << "150 of 400 octets are not worth an update";
  EXPECT_THAT(s.pass(10ms), ElementsAre(". seq 1001 ack 5401 win 300 len 0"));
  s.says({.seq = 601, .data = octets(100)});
  EXPECT_THAT(s.endpoint.violations(), IsEmpty()) << "the edge is at 701";
  s.says({.seq = 603, .data = octets(100)});
  EXPECT_EQ(s.endpoint.violations().size(), 2u) << "beyond it, and not the octets of before";
}

TEST(Receive, a_scaled_window_is_rounded_up_rather_than_taken_back) {
  EndpointOptions o = Script::plain();
  o.scale = 6;
  o.receive_buffer = 640;
  o.read_every = 1s;
  o.read_chunk = 1000;
  o.delayed_ack = false;
  Script s(o);
  s.accepts({.mss = 100, .scale = 0});
  EXPECT_EQ(s.endpoint.rcv_edge(), 641);
  EXPECT_THAT(s.says({.data = octets(10)}), ElementsAre(". seq 1001 ack 5011 win 10 len 0"));
  EXPECT_EQ(s.endpoint.rcv_edge(), 651) << "9.8 units became ten";
}

TEST(Receive, an_old_timestamp_is_dropped_and_acknowledged) {  // PAWS
  EndpointOptions o = Script::plain();
  o.timestamps = true;
  o.check.timestamps_may_go_back = 100;
  o.check.in_order = false;
  Script s(o);
  s.accepts({.mss = 100, .timestamps = {{50, 0}}});
  s.says({.data = "abc", .options = stamps(60, s.stamp())});
  EXPECT_EQ(s.says({.seq = 4, .data = "old", .options = stamps(55, s.stamp())}).size(), 1u);
  EXPECT_EQ(s.received, "abc");
  EXPECT_EQ(s.endpoint.counts().paws_drops, 1u);
  s.says({.seq = 4, .data = "new", .options = stamps(60, s.stamp())});
  EXPECT_EQ(s.received, "abcnew");
}

TEST(Send, the_initial_window_then_two_for_each_acknowledged) {
  EndpointOptions o = Script::plain();
  o.initial_window = 2;
  Script s(o);
  s.accepts();
  EXPECT_THAT(s.writes(1000), ElementsAre(". seq 1001 ack 5001 win 400 len 100",
                                          ". seq 1101 ack 5001 win 400 len 100"));
  EXPECT_THAT(s.says({.ack = 101}), ElementsAre(". seq 1201 ack 5001 win 400 len 100",
                                                ". seq 1301 ack 5001 win 400 len 100"));
}

TEST(Send, nagle_keeps_a_short_segment_until_everything_is_acknowledged) {
  Script s(Script::plain());
  s.accepts();
  EXPECT_EQ(s.writes(10).size(), 1u);
  EXPECT_THAT(s.writes(10), IsEmpty());
  EXPECT_THAT(s.says({.ack = 11}), ElementsAre("P. seq 1011 ack 5001 win 400 len 10"));
  EndpointOptions o = Script::plain();
  o.nagle = false;
  Script off(o);
  off.accepts();
  off.writes(10);
  EXPECT_EQ(off.writes(10).size(), 1u);
}

TEST(Send, a_small_window_is_used_in_worthwhile_pieces) {  // RFC 9293, 3.8.6.2.1
  Script s(Script::plain());
  s.accepts({.mss = 100}, 150);
  EXPECT_EQ(s.writes(300).size(), 1u) << "100 of 150: half a window of 50 is silly";
  EXPECT_THAT(s.says({.ack = 101, .window = 150}),
              ElementsAre(". seq 1101 ack 5001 win 400 len 100"));
}

TEST(Send, three_duplicate_acks_resend_the_first_a_partial_ack_the_next) {  // RFC 6582
  Script s(Script::plain());
  s.accepts();
  EXPECT_EQ(s.writes(600).size(), 6u);
  EXPECT_THAT(s.says({.ack = 1}), IsEmpty());
  EXPECT_THAT(s.says({.ack = 1}), IsEmpty());
  EXPECT_THAT(s.says({.ack = 1}), ElementsAre(". seq 1001 ack 5001 win 400 len 100"));
  EXPECT_THAT(s.says({.ack = 301, .window = 700}),
              ElementsAre(". seq 1301 ack 5001 win 400 len 100"));
  EXPECT_EQ(s.endpoint.counts().fast_retransmits, 1u);
}

TEST(Send, with_sack_only_the_holes_are_sent_again) {  // RFC 6675
  Script s(with_sack());
  s.accepts(kSackSyn);
  EXPECT_EQ(s.writes(800).size(), 8u);
  s.says({.ack = 1, .options = sacks({{101, 201}})});
  s.says({.ack = 1, .options = sacks({{301, 401}, {101, 201}})});
  EXPECT_THAT(
      s.says({.ack = 1, .options = sacks({{301, 601}, {101, 201}})}),
      ElementsAre(". seq 1001 ack 5001 win 400 len 100", ". seq 1201 ack 5001 win 400 len 100"));
}

TEST(Send, a_time_out_doubles_and_cuts_anew) {
  EndpointOptions o = Script::plain();
  o.nagle = false;
  Script s(o);
  s.accepts();
  s.writes(30);
  s.writes(30);
  s.writes(30);
  EXPECT_THAT(s.pass(200ms), ElementsAre("P. seq 1001 ack 5001 win 400 len 90"));
  EXPECT_THAT(s.pass(399ms), IsEmpty());
  EXPECT_EQ(s.pass(1ms).size(), 1u);
  EXPECT_EQ(s.endpoint.counts().rtos, 2u);
  EXPECT_EQ(s.endpoint.cwnd(), 100u);

  o.coalesce = false;
  Script same(o);
  same.accepts();
  same.writes(30);
  same.writes(30);
  EXPECT_THAT(same.pass(200ms), ElementsAre(". seq 1001 ack 5001 win 400 len 30"));
  EXPECT_THAT(same.says({.ack = 31}), ElementsAre("P. seq 1031 ack 5001 win 400 len 30"));
}

TEST(Send, nobody_answers_for_ever) {
  EndpointOptions o = Script::plain();
  o.retries = 3;
  Script s(o);
  s.accepts();
  s.writes(10);
  EXPECT_EQ(s.pass(10min).size(), 3u);
  EXPECT_EQ(s.received, "<timed_out>");
}

TEST(Send, a_closed_window_is_probed_less_and_less_often) {
  Script s(Script::plain());
  s.accepts({.mss = 100}, 0);
  EXPECT_THAT(s.writes(50), IsEmpty());
  EXPECT_THAT(s.pass(200ms), ElementsAre(". seq 1000 ack 5001 win 400 len 0"));
  EXPECT_THAT(s.pass(399ms), IsEmpty());
  EXPECT_EQ(s.pass(1ms).size(), 1u);
  EXPECT_EQ(s.endpoint.counts().persist_probes, 2u);
  EXPECT_THAT(s.says({.window = 100}), ElementsAre("P. seq 1001 ack 5001 win 400 len 50"));
}

TEST(Send, a_probe_may_be_an_octet_of_data) {
  EndpointOptions o = Script::plain();
  o.persist_with_data = true;
  Script s(o);
  s.accepts({.mss = 100}, 0);
  s.writes(50);
  EXPECT_THAT(s.pass(200ms), ElementsAre(". seq 1001 ack 5001 win 400 len 1"));
  EXPECT_THAT(s.says({.window = 0}), IsEmpty());
  EXPECT_THAT(s.says({.window = 100}), ElementsAre(". seq 1001 ack 5001 win 400 len 1"))
      << "nobody has it yet";
  EXPECT_THAT(s.says({.ack = 2, .window = 99}), ElementsAre("P. seq 1002 ack 5001 win 400 len 49"));
}

TEST(Send, too_big_counts_only_for_what_is_in_flight) {  // RFC 5927, 4
  EndpointOptions o = Script::plain();
  o.mtu = 1500;
  Script s(o);
  s.accepts({.mss = 1460}, 5000);
  s.writes(1460);
  for (const uint32_t seq : {0u, 1461u}) s.endpoint.on_too_big(s.too_big(seq, 600), s.now);
  EXPECT_THAT(s.sent(), IsEmpty());
  EXPECT_EQ(s.endpoint.counts().mtu_ignored, 2u);
  s.endpoint.on_too_big(s.too_big(1, 600), s.now);
  EXPECT_THAT(s.sent(), ElementsAre(". seq 1001 ack 5001 win 400 len 560",
                                    ". seq 1561 ack 5001 win 400 len 560",
                                    "P. seq 2121 ack 5001 win 400 len 340"));
  s.endpoint.on_too_big(s.too_big(1, 100), s.now);
  EXPECT_EQ(s.endpoint.options().mtu, 552) << "Linux' floor";
}

TEST(Send, keep_alive_probes_one_below) {
  EndpointOptions o = Script::plain();
  o.keepalive = 5s;
  Script s(o);
  s.accepts();
  EXPECT_THAT(s.pass(5s), ElementsAre(". seq 1000 ack 5001 win 400 len 0"));
  EXPECT_THAT(s.says({}), IsEmpty());
  o.keepalive_garbage = true;
  Script garbage(o);
  garbage.accepts();
  EXPECT_THAT(garbage.pass(5s), ElementsAre(". seq 1000 ack 5001 win 400 len 1"));
  garbage.pass(20s);
  EXPECT_EQ(garbage.received, "<timed_out>");
}

TEST(Receive, a_keep_alive_probe_is_acknowledged_and_its_octet_is_nothing) {
  EndpointOptions o = Script::plain();
  o.check.garbage_probes = true;
  Script s(o);
  s.accepts();
  s.says({.data = "abc"});
  EXPECT_EQ(s.says({.seq = 3, .data = "?"}).size(), 1u);
  EXPECT_EQ(s.received, "abc");
  EXPECT_THAT(s.endpoint.violations(), IsEmpty());
}

TEST(Send, numbers_pass_two_to_the32) {
  EndpointOptions o = Script::plain();
  o.isn = 0xffffffd0;  // 48 below
  Script s(o);
  s.accepts();
  EXPECT_THAT(s.writes(200), ElementsAre(". seq 4294967249 ack 5001 win 400 len 100",
                                         "P. seq 53 ack 5001 win 400 len 100"));
  s.says({.ack = 201});
  EXPECT_TRUE(s.endpoint.all_acknowledged());
  EXPECT_EQ(s.endpoint.counts().seq_wraps, 1u);
}

}  // namespace
}  // namespace limpet::sim
