// Windows that their receiver takes back or closes: who is told, and what no reset makes of it.
#include "splice_fixture.h"

namespace limpet::tcp {
namespace {

constexpr uint8_t kRst = tcp_flag::rst;

class ShrinkTest : public SpliceTest {
 protected:
  // The backend takes up to 1301. The client was promised more, for a head that is complete now.
  void promise_for_a_head() {
    flow.ends[0].edge = flow.ends[0].right = Seq{1301};
    client(1001, "one line\n");
    backend_acks(1010, 291);
    client(1010, "half a li");
    client(1019, "ne\n");
  }
};

TEST_F(SpliceTest, a_window_that_its_receiver_takes_back_is_told_so) {
  open(kClient);
  client(1001, std::string(100, 'a'));
  const Handled h = backend_acks(1101, 500);
  EXPECT_EQ(h.numbers.window, 500u);
  EXPECT_EQ(flow.ends[0].edge, Seq{1601});
  EXPECT_EQ(flow.ends[0].right, Seq{1601});
  client(1101, std::string(600, 'b'));
  EXPECT_EQ(data_to(kBackend).size(), 500u) << "no more than it takes";
  EXPECT_EQ(backend_acks(1601, 0).numbers.window, 0u);
  EXPECT_EQ(backend_acks(1601, 9000).numbers.window, 9000u) << "and open again";
}

TEST_F(SpliceTest, a_window_of_zero_arrives) {
  open(kClient);
  client(1001, std::string(100, 'a'));
  EXPECT_EQ(backend_acks(1101, 0).numbers.window, 0u);
  EXPECT_EQ(flow.ends[0].edge, Seq{1101});
  out.clear();
  splice.acknowledge_to(flow, kClient);
  EXPECT_EQ(out.at(0).window, 0u) << "also in an ACK of our own";
}

// Our unit is larger than what is left of the window: the sender was told a little more.
TEST_F(SpliceTest, a_window_of_zero_arrives_in_a_coarser_scale) {
  open(kClient);
  flow.advertised[0] = 7;
  flow.ends[0].right = flow.ends[0].edge = Seq{1001};
  backend_acks(1001, 1000);
  client(1001, std::string(109, 'a'));
  backend_acks(1100, 901);
  EXPECT_EQ(flow.ends[0].edge, Seq{1996});
  backend_acks(1110, 891);
  EXPECT_EQ(flow.ends[0].edge, Seq{2006}) << "rounded up, so that it does not move back";
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
  EXPECT_EQ(flow.ends[0].right, Seq{21101});
  SegmentIn in = segment(7001, 1101, "abcd");  // late, or again
  for (const uint16_t window : {100, 0}) {
    in.window = window;
    relay(kBackend, in);
    EXPECT_EQ(flow.ends[0].right, Seq{21101}) << "SND.WL1";
  }
  in = segment(7009, 1051);
  in.window = 100;
  relay(kBackend, in);
  EXPECT_EQ(flow.ends[0].right, Seq{21101}) << "SND.WL2";
  in = segment(7009, 1101);
  in.window = 100;
  relay(kBackend, in);
  EXPECT_EQ(flow.ends[0].right, Seq{1201}) << "newer than what told the last";
  in.window = 50;
  relay(kBackend, in);
  EXPECT_EQ(flow.ends[0].right, Seq{1201}) << "as new: nobody knows which came first";
  in.window = 0;
  relay(kBackend, in);
  EXPECT_EQ(flow.ends[0].right, Seq{1101}) << "but for zero";
  EXPECT_EQ(flow.ends[0].edge, Seq{1201}) << "which may be late: what was told is told again";
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
  EXPECT_EQ(flow.ends[0].edge, Seq{21101}) << "of the same tick";
  in.timestamps = {501, 0};
  relay(kBackend, in);
  EXPECT_EQ(flow.ends[0].edge, Seq{1401});
  EXPECT_EQ(flow.ends[0].right, Seq{1401});
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
  EXPECT_EQ(flow.ends[0].edge, Seq{1551});
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
  EXPECT_EQ(flow.ends[1].edge, Seq{7701});
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
  EXPECT_EQ(flow.ends[0].edge, Seq{1981});
}

TEST_F(SpliceTest, an_old_window_does_not_come_back) {
  open(kClient);
  client(1001, std::string(200, 'a'));
  backend_acks(1101, 100);
  EXPECT_EQ(flow.ends[0].right, Seq{1201});
  backend_acks(1051, 20000);
  EXPECT_EQ(flow.ends[0].right, Seq{1201});
  backend_acks(1101, 20000);
  EXPECT_EQ(flow.ends[0].right, Seq{21101}) << "a new one does";
}

TEST_F(SpliceTest, rounding_is_no_shrinking) {
  open(kClient);
  flow.scale[1] = 7;
  flow.ends[0].right = flow.ends[0].edge = Seq{21001};
  client(1001, std::string(100, 'a'));
  EXPECT_EQ(backend_acks(1101, 155).numbers.window, 19900u) << "edge 20941, 60 less";
  EXPECT_EQ(flow.ends[0].right, Seq{21001});
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
  EXPECT_EQ(flow.ends[1].map.una(), Seq{7005}) << "its ACK counts";
  in = segment(15001, 5005, "data");
  EXPECT_EQ(relay(kClient, in).reason, Drop::beyond_window) << "its octets come again";
  EXPECT_EQ(relay(kClient, segment(15001, 5005, {}, kRst)).reason, Drop::outside_window);
  EXPECT_EQ(relay(kClient, segment(1101, 5005, "p")).fate, Fate::in_place) << "a probe";
}

TEST_F(SpliceTest, a_hold_keeps_the_window_that_it_was_promised) {
  flow.ends[0].edge = Seq{1301};
  flow.ends[0].right = Seq{1301};
  client(1001, "one line\n");
  backend_acks(1010, 291);
  client(1010, "half a li");  // owned, and so promised the rest of the hold
  const Seq promised = flow.ends[0].edge;
  EXPECT_GE(promised, Seq{1010 + 16384});
  EXPECT_GE(backend_acks(1010, 0).numbers.window, 16000u);
  EXPECT_EQ(flow.ends[0].edge, promised);
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
  EXPECT_EQ(flow.ends[0].edge, Seq{31010});
  client(1019, "");
  backend_acks(1010, 0);
  SegmentIn in = segment(7001, 1010);
  for (const uint16_t window : {30000, 100}) {
    in.seq = in.seq + 1;
    in.window = window;
    relay(kBackend, in);
  }
  EXPECT_EQ(flow.ends[0].edge, Seq{1010 + 16384}) << "as much as a hold takes";
}

TEST_F(SpliceTest, who_knows_no_numbers_does_not_hit_a_window_that_shrank) {
  open(kClient);
  flow.advertised[0] = 14;
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

TEST_F(SpliceTest, a_blind_reset_is_not_made_exact_by_a_window_that_closes) {
  open(kClient);
  client(1001, std::string(100, 'a'));
  backend_acks(1101, 20000);
  backend_acks(1101, 0);
  EXPECT_EQ(flow.ends[0].edge, Seq{21101});
  const Handled h = relay(kClient, segment(15000, 5001, {}, kRst));
  EXPECT_FALSE(h.fate == Fate::in_place && h.numbers.seq == 1101u)
      << "the backend believes it: " << h.numbers.seq;
}

TEST_F(ShrinkTest, a_blind_reset_is_not_made_exact_by_a_promise) {
  promise_for_a_head();
  backend_acks(1022, 0);
  const Handled h = relay(kClient, segment(15000, 5001, {}, kRst));
  EXPECT_FALSE(h.fate == Fate::in_place && h.numbers.seq == 1022u)
      << "the backend believes it: " << h.numbers.seq;
}

TEST_F(SpliceTest, a_blind_reset_of_the_backend_is_not_made_exact) {
  open(kClient);
  open(kBackend);
  relay(kBackend, segment(7001, 1001, std::string(100, 'a')));
  SegmentIn in = segment(1001, 5101);
  relay(kClient, in);
  in.window = 0;
  relay(kClient, in);
  const Handled h = relay(kBackend, segment(20000, 1001, {}, kRst));
  EXPECT_FALSE(h.fate == Fate::in_place && h.numbers.seq == 5101u)
      << "the client believes it: " << h.numbers.seq;
}

TEST_F(SpliceTest, rounding_is_no_promise) {
  flow.advertised[0] = 7;
  flow.ends[0].right = flow.ends[0].edge = Seq{1001};
  backend_acks(1001, 60000);
  client(1001, "one line\n");
  backend_acks(1010, 59991);
  const Seq granted = flow.ends[0].right;
  client(1010, "half a li");  // owned; the hold's promise is far below what the receiver granted
  EXPECT_GT(granted, Seq{1010 + 16384});
  EXPECT_EQ(flow.granted, 0u) << "nothing was promised beyond the receiver's grant; edge "
                              << flow.ends[0].edge.value;
  client(1019, "ne\n");
  EXPECT_EQ(backend_acks(1022, 640).numbers.window, 5u) << "the receiver has taken its window back";
}

TEST_F(SpliceTest, an_opening_in_a_segment_that_is_held_is_told) {
  open(kClient);
  client(1001, std::string(100, 'a'));
  backend_acks(1101, 20000);
  EXPECT_EQ(backend_acks(1101, 0).numbers.window, 0u);  // the client waits now
  SegmentIn in = segment(7001, 1101, "half a he");
  relay(kBackend, in);
  ASSERT_FALSE(out.empty());
  bool told = false;
  for (const Emitted& e : out) told |= e.to == kClient && e.window != 0;
  EXPECT_TRUE(told) << "the client hears of it only when it asks";
}

TEST_F(ShrinkTest, a_closing_in_a_segment_that_is_held_is_told) {
  promise_for_a_head();
  backend_acks(1022, 279);
  SegmentIn in = segment(7001, 1022, "half a he");
  in.window = 0;
  relay(kBackend, in);
  bool told = false;
  for (const Emitted& e : out) told |= e.to == kClient && e.window == 0;
  EXPECT_TRUE(told);
}

TEST_F(SpliceTest, what_is_owned_goes_when_a_window_opens) {
  client(1001, "one line\n");
  backend_acks(1010, 20000);
  client(1010, "half a li");
  client(1019, "ne\n");
  EXPECT_EQ(data_to(kBackend), "half a line\n");
  backend_acks(1010, 0);  // it has discarded that
  for (int i = 0; i < 1200; ++i) {
    pass(100ms);
    if (!out.empty()) backend_acks(1010, 0);
  }
  backend_acks(1010, 20000);
  std::string sent = data_to(kBackend);
  int waited = 0;
  while (sent.empty() && waited < 1000) {
    pass(100ms);
    sent = data_to(kBackend);
    ++waited;
  }
  EXPECT_LE(waited, 4) << "tenths of a second";
}

TEST_F(SpliceTest, one_overtaken_by_a_retransmission_shrinks_nothing) {
  flow.timestamps[0] = flow.timestamps[1] = true;
  open(kClient);
  open(kBackend);
  client(1001, std::string(200, 'a'));
  SegmentIn a = segment(7001, 1101, "abcd");
  a.timestamps = {500, 0};
  relay(kBackend, a);
  SegmentIn late = segment(7005, 1151);  // sent second
  late.window = 100;
  late.timestamps = {501, 0};
  SegmentIn again = segment(7001, 1151, "abcd");  // sent third: again, and its window is open
  again.timestamps = {502, 0};
  relay(kBackend, again);
  EXPECT_EQ(flow.ends[0].right, Seq{21151});
  relay(kBackend, late);
  EXPECT_EQ(flow.ends[0].right, Seq{21151}) << "nobody has taken anything back";
}

TEST_F(SpliceTest, an_answered_client_whose_window_was_closed_is_told_an_open_one) {
  open(kClient);
  client(1001, std::string(100, 'a'));
  backend_acks(1101, 0);
  out.clear();
  ASSERT_TRUE(splice.answer(flow, bytes("HTTP/1.1 503 No\r\n\r\n"), false, now));
  ASSERT_FALSE(out.empty());
  EXPECT_NE(out.back().window, 0u);
}

TEST_F(SpliceTest, a_probe_is_answered_without_memory) {
  client(1001, "one line\n");
  EXPECT_EQ(backend_acks(1010, 0).numbers.window, 0u);
  no_memory = true;
  client(1010, "h");
  EXPECT_FALSE(out.empty());
}

TEST_F(SpliceTest, a_blind_reset_at_a_full_window) {
  flow.ends[0].edge = Seq{21001};
  flow.ends[0].right = Seq{1301};
  open(kClient);
  client(1001, std::string(300, 'a'));
  const Handled h = relay(kClient, segment(15000, 5001, {}, kRst));
  EXPECT_FALSE(h.fate == Fate::in_place && h.numbers.seq == 1301u) << h.numbers.seq;
}

TEST_F(AnsweredTest, numbers_wrap) {
  splice.end(flow);
  for (const uint32_t first :
       {0xffffffffu, 0u, 1u, 0x7fffffffu, 0x80000000u, 0xffffff00u, 0xfffffffau})
    for (const uint32_t answer : {0xfffffffeu, 0u, 0x7ffffff0u, 0x80000001u})
      for (const uint32_t other : {0xffffffffu, 0u, 0x7fffffffu, 0x80000000u, 0x12345678u}) {
        flow = SpliceFlow{};
        flow.ends[0].most = flow.ends[1].most = 1460;
        ASSERT_TRUE(splice.begin(flow, Seq{first}, Seq{answer}, 16384));
        SegmentIn c = segment(first, answer, "half a li");
        splice.collect(flow, c, now);
        c = segment(first + 9, answer, "ne\n");
        c.window = 300;
        EXPECT_TRUE(splice.collect(flow, c, now));
        EXPECT_EQ(splice.client_window(flow), 300u);
        splice.connected(flow, Seq{other}, 65535, std::nullopt, now);
        SegmentIn b = segment(other, first + 12);  // more than was promised before it was there
        relay(kBackend, b);
        b = segment(other + 1, first + 12);
        b.window = 500;
        EXPECT_EQ(relay(kBackend, b).numbers.window, 500u)
            << first << ' ' << answer << ' ' << other;
        b = segment(other, first + 12, "line\n");
        b.window = 400;
        relay(kBackend, b);
        b = segment(other + 5, first + 12);
        b.window = 100;
        EXPECT_EQ(relay(kBackend, b).numbers.window, 100u)
            << first << ' ' << answer << ' ' << other;
        c = segment(first + 12, answer + 5);
        c.window = 77;
        EXPECT_EQ(relay(kClient, c).numbers.window, 77u);
        c = segment(first + 12, answer + 5, "x");
        c.window = 0;
        relay(kClient, c);
        EXPECT_EQ(flow.ends[1].right, flow.ends[1].map.ack());
        splice.end(flow);
      }
}

TEST_F(SpliceTest, a_blind_reset_is_not_made_exact_by_rounding) {
  open(kClient);
  flow.advertised[0] = 14;
  client(1001, std::string(300, 'a'));
  SegmentIn in = segment(7002, 1201);
  in.window = 100;
  relay(kBackend, in);
  const Handled h = relay(kClient, segment(9000, 5001, {}, kRst));
  EXPECT_FALSE(h.fate == Fate::in_place && h.numbers.seq == 1301u) << flow.ends[0].edge.value;
}

// Its head is not complete, and its edge was its receiver's: now it is ours.
TEST_F(SpliceTest, a_shrinking_that_comes_during_a_head_leaves_the_room_for_it) {
  flow.ends[0].edge = flow.ends[0].right = Seq{10001};
  client(1001, "one line\nhalf a li");
  SegmentIn in = segment(7002, 1001);
  in.window = 1000;
  relay(kBackend, in);
  EXPECT_EQ(flow.ends[0].right, Seq{2001});
  EXPECT_EQ(flow.granted, 1u);
  client(1019, "ne\n");
  in = segment(7002, 1022);
  in.window = 979;
  EXPECT_EQ(relay(kBackend, in).numbers.window, 8979u);
  in = segment(7003, 1022);
  in.window = 10000;
  EXPECT_EQ(relay(kBackend, in).numbers.window, 10000u);
  in = segment(7004, 1022);
  in.window = 500;
  EXPECT_EQ(relay(kBackend, in).numbers.window, 500u) << "and its receiver's again";
}

TEST_F(AnsweredTest, what_was_promised_before_a_backend_stands_stays) {
  splice.collect(flow, segment(1010, 5001, "ne\n"), now);
  EXPECT_EQ(flow.ends[0].edge, Seq{1001 + 16384});
  splice.connected(flow, Seq{7001}, 65535, std::nullopt, now);
  SegmentIn in = segment(7001, 1001);
  in.window = 200;
  relay(kBackend, in);
  EXPECT_EQ(flow.ends[0].edge, Seq{1001 + 16384});
}

TEST_F(SpliceTest, a_window_that_is_taken_back_takes_nothing_from_a_hold) {
  flow = SpliceFlow{};
  flow.ends[0].most = flow.ends[1].most = 1460;
  ASSERT_TRUE(splice.begin(flow, Seq{1001}, Seq{5001}, 65535));
  std::string first(40000, 'x');
  first.back() = '\n';
  for (uint32_t at = 0; at < 40000; at += 1000)
    splice.collect(flow, segment(1001 + at, 5001, std::string_view(first).substr(at, 1000)), now);
  splice.collect(flow, segment(41001, 5001, "half a li"), now);
  splice.connected(flow, Seq{7001}, 65535, std::nullopt, now);
  for (const uint32_t window : {65535u, 1000u}) {
    SegmentIn in = segment(7001 + (window == 1000), 1001);
    in.window = static_cast<uint16_t>(window);
    relay(kBackend, in);
    flow.granted = 0;
    EXPECT_GE(flow.ends[0].edge, Seq{41010}) << window;
  }
}

}  // namespace
}  // namespace limpet::tcp
