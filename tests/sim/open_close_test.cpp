// An endpoint opens, closes, and does not let itself be reset: as scripts.
#include <gmock/gmock.h>

#include "script.h"

namespace limpet::sim {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

EndpointOptions with_everything() {
  EndpointOptions o = Script::plain();
  o.sack = o.timestamps = true;
  o.scale = 2;
  o.timestamp_start = 700;
  return o;
}
TcpOptions everything(uint32_t value, uint32_t echo) {
  TcpOptions o = stamps(value, echo);
  o.mss = 90;
  o.scale = 3;
  o.sack_permitted = true;
  return o;
}

TEST(Open, an_active_open_offers_what_it_has) {
  Script plain(Script::plain());
  EXPECT_THAT(plain.connects(), ElementsAre("S seq 1000 win 400 <mss 100> len 0"));
  Script full(with_everything());
  EXPECT_THAT(full.connects(),
              ElementsAre("S seq 1000 win 400 <mss 100,sackOK,TS 700 0,wscale 2> len 0"));
}

TEST(Open, the_syn_ack_is_acknowledged_and_its_options_hold) {
  Script s(with_everything());
  s.connects();
  EXPECT_THAT(s.says({.flags = kSyn | kAck, .seq = 0, .options = everything(33, 700)}),
              ElementsAre(". seq 1001 ack 5001 win 100 <TS 700 33> len 0"));
  EXPECT_TRUE(s.endpoint.sack_agreed());
  EXPECT_EQ(s.endpoint.scales(), (std::pair<uint8_t, uint8_t>{3, 2}));
  EXPECT_EQ(s.endpoint.segment_size(), 78u);  // 90 without 12 of timestamps
}

TEST(Open, a_passive_open_answers_only_what_was_offered) {
  Script s(with_everything());
  s.endpoint.listen();
  EXPECT_THAT(s.says({.flags = kSyn, .seq = 0, .options = {.mss = 90}}),
              ElementsAre("S. seq 1000 ack 5001 win 400 <mss 100> len 0"));
}

TEST(Open, a_syn_is_sent_again_after_one_two_and_four_seconds) {
  Script s(Script::plain());
  s.connects();
  EXPECT_THAT(s.pass(999ms), IsEmpty());
  EXPECT_THAT(s.pass(1ms), ElementsAre("S seq 1000 win 400 <mss 100> len 0"));
  EXPECT_THAT(s.pass(1999ms), IsEmpty());
  EXPECT_EQ(s.pass(1ms).size(), 1u);
  EXPECT_THAT(s.pass(3999ms), IsEmpty());
  EXPECT_EQ(s.pass(1ms).size(), 1u);
}

TEST(Open, a_syn_ack_that_acknowledges_something_else_is_reset) {
  Script s(Script::plain());
  s.connects();
  EXPECT_THAT(s.says({.flags = kSyn | kAck, .seq = 0, .ack = 7}),
              ElementsAre("R seq 1007 win 0 len 0"));
  EXPECT_EQ(s.endpoint.state(), State::syn_sent);
}

TEST(Open, a_reset_refuses_only_with_the_right_ack) {
  Script s(Script::plain());
  s.connects();
  s.says({.flags = kRst | kAck, .seq = 0, .ack = 2});
  EXPECT_EQ(s.endpoint.state(), State::syn_sent);
  s.says({.flags = kRst | kAck, .seq = 0, .ack = 1});
  EXPECT_EQ(s.received, "<refused>");
}

TEST(Open, a_syn_that_comes_again_is_answered_again) {
  Script s(Script::plain());
  s.endpoint.listen();
  const auto first = s.says({.flags = kSyn, .seq = 0, .options = {.mss = 100}});
  EXPECT_EQ(s.says({.flags = kSyn, .seq = 0, .options = {.mss = 100}}), first);
}

// Linux, tcp_check_req: three too early and thirty too late are refused, both measured.
TEST(Open, the_first_echo_must_lie_within_the_timestamps_of_the_syn_acks) {
  Script s(with_everything());
  s.endpoint.listen();
  s.says({.flags = kSyn, .seq = 0, .options = everything(33, 0)});
  s.pass(1000ms);  // the SYN-ACK went out at 700 and at 1700
  for (const uint32_t echo : {697u, 699u, 1701u, 1730u}) {
    s.says({.options = stamps(34, echo)});
    EXPECT_EQ(s.endpoint.state(), State::syn_received) << echo;
  }
  EXPECT_EQ(s.endpoint.counts().syn_recv_refused, 4u);
  EXPECT_EQ(s.endpoint.violations().size(), 4u);
  s.says({.options = stamps(34, 700)});
  EXPECT_EQ(s.endpoint.state(), State::established);
}

TEST(Open, an_ack_that_is_not_of_the_syn_ack_is_reset) {
  Script s(Script::plain());
  s.endpoint.listen();
  s.says({.flags = kSyn, .seq = 0});
  EXPECT_THAT(s.says({.ack = 2}), ElementsAre("R seq 1002 win 0 len 0"));
  EXPECT_EQ(s.endpoint.state(), State::syn_received);
}

TEST(Close, who_closes_first_waits) {
  Script s(Script::plain());
  s.accepts();
  EXPECT_THAT(s.closes(), ElementsAre("F. seq 1001 ack 5001 win 400 len 0"));
  s.says({.ack = 2});
  EXPECT_EQ(s.endpoint.state(), State::fin_wait_2);
  EXPECT_THAT(s.says({.flags = kFin | kAck, .ack = 2}),
              ElementsAre(". seq 1002 ack 5002 win 399 len 0"));
  EXPECT_EQ(s.endpoint.state(), State::time_wait);
  s.pass(59s);
  EXPECT_EQ(s.endpoint.state(), State::time_wait);
  EXPECT_THAT(s.says({.flags = kFin | kAck, .ack = 2}),  // our ACK was lost
              ElementsAre(". seq 1002 ack 5002 win 399 len 0"));
  s.pass(59s);
  EXPECT_EQ(s.endpoint.state(), State::time_wait);
  s.pass(1s);
  EXPECT_EQ(s.endpoint.state(), State::closed);
  EXPECT_EQ(s.received, "<FIN>");
}

TEST(Close, who_closes_second_is_gone_with_the_last_ack) {
  Script s(Script::plain());
  s.accepts();
  EXPECT_THAT(s.says({.flags = kFin | kAck}), ElementsAre(". seq 1001 ack 5002 win 399 len 0"));
  EXPECT_EQ(s.endpoint.state(), State::close_wait);
  EXPECT_EQ(s.closes().size(), 1u);
  EXPECT_EQ(s.endpoint.state(), State::last_ack);
  s.says({.seq = 2, .ack = 2});
  EXPECT_EQ(s.endpoint.state(), State::closed);
  EXPECT_EQ(s.endpoint.end(), End::none);
}

TEST(Close, both_at_once) {
  Script s(Script::plain());
  s.accepts();
  s.closes();
  s.says({.flags = kFin | kAck, .ack = 1});
  EXPECT_EQ(s.endpoint.state(), State::closing);
  s.says({.seq = 2, .ack = 2});
  EXPECT_EQ(s.endpoint.state(), State::time_wait);
  EXPECT_EQ(s.endpoint.counts().simultaneous_closes, 1u);
}

TEST(Close, after_a_half_close_data_still_arrives) {
  Script s(Script::plain());
  s.accepts();
  s.closes();
  s.says({.ack = 2, .data = "late"});
  s.says({.flags = kFin | kAck, .seq = 5, .ack = 2});
  EXPECT_EQ(s.received, "late<FIN>");
}

TEST(Close, the_fin_comes_behind_the_last_octet_and_again_when_it_was_lost) {
  Script s(Script::plain());
  s.accepts();
  s.writes(150);
  EXPECT_THAT(s.closes(), ElementsAre("FP. seq 1101 ack 5001 win 400 len 50"));
  s.says({.ack = 151});
  const auto again = s.pass(1100ms);
  ASSERT_FALSE(again.empty());
  EXPECT_EQ(again[0], "F. seq 1151 ack 5001 win 400 len 0");
  EXPECT_GE(s.endpoint.counts().fins_again, 1u);
}

TEST(Close, a_fin_beyond_a_gap_waits_for_the_gap) {
  Script s(Script::plain());
  s.accepts();
  s.says({.flags = kFin | kAck, .seq = 4, .data = "def"});
  EXPECT_EQ(s.received, "");
  EXPECT_THAT(s.says({.data = "abc"}), ElementsAre(". seq 1001 ack 5008 win 393 len 0"));
  EXPECT_EQ(s.received, "abcdef<FIN>");
}

TEST(Reset, only_the_exact_number_resets) {  // RFC 5961, 3.2
  Script s(Script::plain());
  s.accepts();
  EXPECT_THAT(s.says({.flags = kRst, .seq = 2}), ElementsAre(". seq 1001 ack 5001 win 400 len 0"));
  EXPECT_THAT(s.says({.flags = kRst, .seq = 402}), IsEmpty());
  EXPECT_THAT(s.says({.flags = kRst, .seq = 0}), IsEmpty());
  EXPECT_EQ(s.endpoint.state(), State::established);
  EXPECT_EQ(s.endpoint.counts().resets_ignored, 3u);
  EXPECT_THAT(s.says({.flags = kRst, .seq = 1}), IsEmpty());
  EXPECT_EQ(s.received, "<reset>");
}

TEST(Reset, a_syn_in_the_middle_is_challenged_once_in_half_a_second) {  // RFC 5961, 4.2
  Script s(Script::plain());
  s.accepts();
  EXPECT_EQ(s.says({.flags = kSyn, .seq = 10}).size(), 1u);
  EXPECT_THAT(s.says({.flags = kSyn, .seq = 100000}), IsEmpty());
  s.pass(500ms);
  EXPECT_EQ(s.says({.flags = kSyn, .seq = 100000}).size(), 1u);
  EXPECT_EQ(s.endpoint.counts().challenge_acks, 2u);
  EXPECT_EQ(s.endpoint.state(), State::established);
}

TEST(Reset, an_ack_of_what_was_never_sent_changes_nothing) {  // RFC 5961, 5.2
  Script s(Script::plain());
  s.accepts();
  s.writes(50);
  EXPECT_EQ(s.says({.ack = 52, .data = "evil"}).size(), 1u);
  EXPECT_EQ(s.received, "");
  EXPECT_EQ(s.endpoint.snd_una(), 1);
  EXPECT_EQ(s.endpoint.violations().size(), 1u);
  s.says({.ack = 51, .data = "good"});
  EXPECT_EQ(s.received, "good");
}

TEST(Reset, abort_sends_one) {
  Script s(Script::plain());
  s.accepts();
  s.endpoint.abort(s.now);
  EXPECT_THAT(s.sent(), ElementsAre("R. seq 1001 ack 5001 win 0 len 0"));
  EXPECT_EQ(s.endpoint.state(), State::closed);
}

TEST(TimeWait, yields_to_a_higher_number_or_a_newer_clock) {
  Script s(with_everything());
  s.accepts(everything(33, 0));
  Segment syn;
  syn.flags = kSyn;
  syn.seq = 6000;
  syn.options = stamps(34, 0);
  EXPECT_FALSE(s.endpoint.yields_to(syn));  // established
  s.closes();
  s.says({.flags = kFin | kAck, .ack = 2, .options = stamps(40, 700)});
  ASSERT_EQ(s.endpoint.state(), State::time_wait);
  EXPECT_FALSE(s.endpoint.yields_to(syn)) << "an older clock is an old SYN";
  syn.options = stamps(40, 0);
  EXPECT_TRUE(s.endpoint.yields_to(syn)) << "a higher number";
  syn.seq = 4000;
  EXPECT_FALSE(s.endpoint.yields_to(syn)) << "lower number, same clock";
  syn.options = stamps(41, 0);
  EXPECT_TRUE(s.endpoint.yields_to(syn)) << "lower number, newer clock";
}

}  // namespace
}  // namespace limpet::sim
