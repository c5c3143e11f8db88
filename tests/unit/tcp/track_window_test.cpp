// Nobody moves a tracked flow who does not know its numbers, and everybody does who does.
#include <gtest/gtest.h>

#include <cstring>

#include "limpet/tcp/track.h"
#include "limpet/wire/frame.h"

namespace limpet::tcp {
namespace {

using wire::ack;
using wire::fin;
using wire::psh;
using wire::rst;
using wire::syn;

constexpr Side kClient = Side::client, kBackend = Side::backend;

// An established flow: the client's ISN is 1000, its window 20000 << 3; the backend's 5000 and
// 30000
// << 7. The client has sent 1001 to 2000, the backend 5001 to 8000, all of it acknowledged.
class TrackWindow : public testing::Test {
 protected:
  Bounds e;
  Scales scales;
  Track state = Track::syn_sent;
  Step last;

  TrackWindow() {
    begin({.flags = syn, .scale = 3, .window = 64240, .seq = Seq{1000}}, e, scales);
    say(kBackend,
        {.flags = syn | ack, .scale = 7, .window = 65160, .seq = Seq{5000}, .ack = Seq{1001}});
    say(kClient, segment(ack, 1001, 5001, 0, 20000));
    say(kClient, segment(ack | psh, 1001, 5001, 1000, 20000));
    say(kBackend, segment(ack | psh, 5001, 2001, 3000, 30000));
    say(kClient, segment(ack, 2001, 8001, 0, 20000));
  }

  static Segment segment(unsigned flags, uint32_t seq, uint32_t acked, uint32_t length = 0,
                         uint16_t window = 20000) {
    return {.flags = static_cast<uint8_t>(flags),
            .window = window,
            .seq = Seq{seq},
            .ack = Seq{acked},
            .length = length};
  }
  void say(Side from, const Segment& s) {
    last = advance(state, from, s, e, scales);
    state = last.next;
  }
  // True when the segment is inside.
  bool taken(Side from, const Segment& s) {
    say(from, s);
    return !last.outside && !last.knocks;
  }
  // It is outside, and nothing has moved.
  void refused(Side from, const Segment& s, const char* what) {
    const Bounds before = e;
    const Track was = state;
    say(from, s);
    EXPECT_TRUE(last.outside) << what;
    EXPECT_EQ(state, was) << what;
    EXPECT_EQ(std::memcmp(&before, &e, sizeof e), 0) << what;
  }
  Seq client_ack() const { return e.ack[index_of(kClient)]; }
  Seq backend_ack() const { return e.ack[index_of(kBackend)]; }
};

TEST_F(TrackWindow, windows_are_scaled_as_both_have_agreed) {
  EXPECT_EQ(state, Track::established);
  EXPECT_EQ(client_ack(), Seq{8001});
  EXPECT_EQ(backend_ack(), Seq{2001});
  EXPECT_EQ(e.end[0], Seq{2001});
  EXPECT_EQ(e.end[1], Seq{8001});
  EXPECT_EQ(e.right[0], Seq{8001 + (20000 << 3)});
  EXPECT_EQ(e.right[1], Seq{2001 + (30000 << 7)});
}

TEST_F(TrackWindow, a_blind_reset_changes_nothing) {
  for (const uint32_t seq : {0u, 2000u, 2002u, 5001u, 0x80000000u})
    refused(kClient, segment(rst, seq, 0), "client");
  for (const uint32_t seq : {0u, 8000u, 8002u, 2001u, 0x80000000u})
    refused(kBackend, segment(rst | ack, seq, 2001), "backend");
}

TEST_F(TrackWindow, a_blind_fin_changes_nothing) {
  refused(kClient, segment(fin | ack, 0x70000000u, 8001), "its number");
  refused(kClient, segment(fin | ack, 2001, 0x70000000u), "its ACK");
  refused(kBackend, segment(fin | ack, 0x70000000u, 2001), "its number");
  refused(kBackend, segment(fin | ack, 8001, 0x70000000u), "its ACK");
}

TEST_F(TrackWindow, a_blind_ack_changes_nothing) {
  refused(kClient, segment(ack, 2001, 8002), "one more than was sent");
  refused(kClient, segment(ack, 2001, 0x70000000u), "far ahead");
  refused(kClient, segment(ack, 0x90000000u, 8001), "from nowhere");
  refused(kBackend, segment(ack, 8001, 2002), "one more than was sent");
  refused(kBackend, segment(ack, 8001, 0x90000000u), "from another age");
}

TEST_F(TrackWindow, the_edges_of_a_window_belong_to_it) {
  const uint32_t right = 2001 + (30000 << 7);
  EXPECT_TRUE(taken(kClient, segment(ack, right + 1, 8001))) << "behind a probe of a full window";
  refused(kClient, segment(ack, right + 2, 8001), "beyond that");
  const uint32_t oldest = 2001 - (0xffff << 7);
  EXPECT_TRUE(taken(kClient, segment(ack, oldest, 8001))) << "nothing but lost ACKs since";
  refused(kClient, segment(ack, oldest - 1, 8001), "older than any window");
  EXPECT_TRUE(taken(kClient, segment(ack, 2001, 8001 - (0xffff << 3))));
  refused(kClient, segment(ack, 2001, 8001 - (0xffff << 3) - 1), "an ACK older than any window");
}

TEST_F(TrackWindow, probes_retransmissions_and_duplicates_are_inside) {
  EXPECT_TRUE(taken(kClient, segment(ack, 2000, 8001))) << "keep-alive";
  EXPECT_TRUE(taken(kClient, segment(ack, 2000, 8001, 1))) << "with its octet of garbage";
  EXPECT_TRUE(taken(kClient, segment(ack | psh, 1001, 5001, 1000))) << "a retransmission";
  EXPECT_TRUE(taken(kBackend, segment(ack, 8001, 1001))) << "an ACK that was overtaken";
  EXPECT_EQ(backend_ack(), Seq{2001});
  EXPECT_TRUE(taken(kBackend, segment(ack, 8001, 2001))) << "as with a D-SACK";
}

TEST_F(TrackWindow, a_full_window_is_probed_by_the_octet_behind_it) {
  const uint32_t right = 2001 + (30000 << 7);
  EXPECT_TRUE(taken(kClient, segment(ack, 2001, 8001, right - 2001)));
  EXPECT_TRUE(taken(kBackend, segment(ack, 8001, right, 0, 0))) << "window of zero";
  EXPECT_TRUE(taken(kClient, segment(ack, right, 8001, 1)));
  EXPECT_TRUE(taken(kBackend, segment(ack, 8001, right, 0, 0)));
  EXPECT_TRUE(taken(kClient, segment(fin | ack, right + 1, 8001))) << "and ends behind it";
  EXPECT_EQ(state, Track::fin_client);
  EXPECT_TRUE(taken(kBackend, segment(ack, 8001, right + 2, 0, 100)));
  EXPECT_EQ(backend_ack(), Seq{right + 2});
}

// Linux takes a segment that begins in its window whole, if it has the memory.
TEST_F(TrackWindow, what_begins_in_the_window_counts_as_a_whole) {
  const uint32_t right = 2001 + (30000 << 7);
  EXPECT_TRUE(taken(kClient, segment(ack, 2001, 8001, right - 2001 - 10)));
  EXPECT_TRUE(taken(kClient, segment(ack, right - 10, 8001, 1460)));
  EXPECT_TRUE(taken(kBackend, segment(ack, 8001, right + 1450)));
}

TEST_F(TrackWindow, octets_behind_a_gap_may_be_acknowledged_once_it_is_filled_elsewhere) {
  EXPECT_TRUE(taken(kClient, segment(ack, 3461, 8001, 1460))) << "2001 to 3460 were lost before us";
  EXPECT_TRUE(taken(kBackend, segment(ack, 8001, 2001)));
  EXPECT_TRUE(taken(kClient, segment(ack, 2001, 8001, 1460)));
  EXPECT_TRUE(taken(kBackend, segment(ack, 8001, 4921)));
  EXPECT_EQ(backend_ack(), Seq{4921});
}

TEST_F(TrackWindow, an_old_fin_is_no_end) {
  EXPECT_TRUE(taken(kClient, segment(fin | ack, 1500, 8001))) << "inside, as a retransmission";
  EXPECT_EQ(state, Track::established) << "but its octet has been acknowledged as another";
  EXPECT_TRUE(taken(kClient, segment(fin | ack, 2001, 8001 - 0x10000)));
  EXPECT_EQ(state, Track::established) << "its ACK is too old for the end of a stream";
  EXPECT_TRUE(taken(kClient, segment(fin | ack, 2001, 8001 - 0xffff)));
  EXPECT_EQ(state, Track::fin_client);
}

TEST_F(TrackWindow, without_the_option_on_both_sides_windows_are_not_scaled) {
  for (const bool client_has : {false, true}) {
    begin({.flags = syn,
           .scale = client_has ? uint8_t{5} : kNoScale,
           .window = 1000,
           .seq = Seq{1000}},
          e, scales);
    state = Track::syn_sent;
    say(kBackend, {.flags = syn | ack,
                   .scale = client_has ? kNoScale : uint8_t{7},
                   .window = 2000,
                   .seq = Seq{5000},
                   .ack = Seq{1001}});
    EXPECT_EQ(e.right[0], Seq{5001 + 1000}) << "as the SYN said";
    EXPECT_EQ(e.right[1], Seq{1001 + 2000});
    say(kClient, segment(ack, 1001, 5001, 0, 3000));
    EXPECT_EQ(state, Track::established);
    EXPECT_EQ(e.right[0], Seq{5001 + 3000});
    say(kBackend, segment(ack, 5001, 1001, 0, 4000));
    EXPECT_EQ(e.right[1], Seq{1001 + 4000});
  }
}

TEST_F(TrackWindow, a_syn_that_is_repeated_without_options_takes_none_away) {
  begin({.flags = syn, .scale = 5, .window = 1000, .seq = Seq{1000}}, e, scales);
  state = Track::syn_sent;
  say(kClient, {.flags = syn, .window = 1000, .seq = Seq{1000}});
  EXPECT_FALSE(last.knocks || last.outside);
  say(kBackend,
      {.flags = syn | ack, .scale = 7, .window = 2000, .seq = Seq{5000}, .ack = Seq{1001}});
  say(kClient, segment(ack, 1001, 5001, 0, 100));
  EXPECT_EQ(e.right[0], Seq{5001 + (100 << 5)}) << "the backend has answered the first one";
}

TEST_F(TrackWindow, a_syn_ack_must_acknowledge_the_syn) {
  begin({.flags = syn, .window = 64240, .seq = Seq{1000}, .length = 100}, e, scales);
  state = Track::syn_sent;
  for (const uint32_t wrong : {1000u, 1102u, 0u, 0x80000000u})
    refused(kBackend, {.flags = syn | ack, .window = 65160, .seq = Seq{5000}, .ack = Seq{wrong}},
            "SYN-ACK");
  EXPECT_TRUE(
      taken(kBackend, {.flags = syn | ack, .window = 65160, .seq = Seq{5000}, .ack = Seq{1101}}))
      << "with the data of a fast open";
  EXPECT_EQ(state, Track::syn_received);
}

TEST_F(TrackWindow, the_handshake_is_complete_when_the_syn_ack_is_acknowledged) {
  begin({.flags = syn, .window = 64240, .seq = Seq{1000}}, e, scales);
  state = Track::syn_sent;
  refused(kClient, segment(ack, 1001, 5001), "nobody has answered");
  say(kBackend, {.flags = syn | ack, .window = 65160, .seq = Seq{5000}, .ack = Seq{1001}});
  refused(kClient, segment(ack, 1001, 5000), "not the SYN-ACK");
  EXPECT_TRUE(taken(kClient, segment(ack, 1001, 5001)));
  EXPECT_EQ(state, Track::established);
}

TEST_F(TrackWindow, a_syn_ack_that_is_repeated_says_nothing_new) {
  const Bounds before = e;
  EXPECT_TRUE(
      taken(kBackend, {.flags = syn | ack, .window = 65160, .seq = Seq{5000}, .ack = Seq{1001}}));
  EXPECT_EQ(std::memcmp(&before, &e, sizeof e), 0);
  refused(kBackend, {.flags = syn | ack, .window = 65160, .seq = Seq{0x50000000}, .ack = Seq{1001}},
          "another SYN-ACK");
}

TEST_F(TrackWindow, a_syn_in_the_life_of_a_connection_only_knocks) {
  const Bounds before = e;
  say(kClient, {.flags = syn, .window = 64240, .seq = Seq{90000}});
  EXPECT_TRUE(last.knocks);
  EXPECT_EQ(state, Track::established);
  EXPECT_EQ(std::memcmp(&before, &e, sizeof e), 0);
  refused(kBackend, {.flags = syn, .window = 64240, .seq = Seq{90000}}, "a backend's SYN");
}

TEST_F(TrackWindow, a_syn_with_another_number_does_not_replace_the_first_one) {
  begin({.flags = syn, .window = 64240, .seq = Seq{1000}}, e, scales);
  state = Track::syn_sent;
  say(kClient, {.flags = syn, .window = 64240, .seq = Seq{40000}});
  EXPECT_TRUE(last.knocks);
  EXPECT_TRUE(
      taken(kBackend, {.flags = syn | ack, .window = 65160, .seq = Seq{5000}, .ack = Seq{1001}}))
      << "a blind SYN does not cost the client its connection";
  EXPECT_EQ(state, Track::syn_received);
}

TEST_F(TrackWindow, the_answer_to_a_syn_that_knocked_begins_anew) {
  const Segment knock{.flags = syn, .scale = 2, .window = 64240, .seq = Seq{90000}, .length = 5};
  const auto answer = [](unsigned flags, uint32_t acked) {
    return Segment{.flags = static_cast<uint8_t>(flags),
                   .scale = 7,
                   .window = 65160,
                   .seq = Seq{0x60000000},
                   .ack = Seq{acked}};
  };
  const Bounds before = e;
  for (const uint32_t wrong : {90000u, 90007u, 2001u})
    EXPECT_FALSE(begins_anew(knock, answer(syn | ack, wrong), e, scales)) << wrong;
  EXPECT_FALSE(begins_anew(knock, answer(ack, 90001), e, scales));
  EXPECT_FALSE(begins_anew(knock, answer(syn, 90001), e, scales));
  EXPECT_FALSE(begins_anew(knock, answer(rst, 90001), e, scales));
  EXPECT_EQ(std::memcmp(&before, &e, sizeof e), 0);
  for (const uint32_t right : {90001u, 90006u}) {
    Bounds fresh = e;
    Scales both = scales;
    ASSERT_TRUE(begins_anew(knock, answer(syn | ack, right), fresh, both)) << right;
    const Step step = advance(Track::syn_sent, kBackend, answer(syn | ack, right), fresh, both);
    EXPECT_EQ(step.next, Track::syn_received);
    EXPECT_EQ(fresh.ack[0], Seq{0x60000001});
    EXPECT_EQ(fresh.ack[1], Seq{right});
    EXPECT_EQ(fresh.right[0], Seq{0x60000001 + 64240});
    EXPECT_EQ(both.of(kClient), 2u);
  }
  Bounds fresh = e;
  ASSERT_TRUE(begins_anew(knock, answer(rst | ack, 90001), fresh, scales));
  EXPECT_EQ(advance(Track::syn_sent, kBackend, answer(rst | ack, 90001), fresh, scales).next,
            Track::closed)
      << "or it is refused";
}

TEST_F(TrackWindow, a_syn_ack_may_bring_everything_and_the_end_of_it) {
  begin({.flags = syn, .window = 64240, .seq = Seq{1000}}, e, scales);
  state = Track::syn_sent;
  EXPECT_TRUE(taken(kBackend, {.flags = syn | ack | fin,
                               .window = 65160,
                               .seq = Seq{5000},
                               .ack = Seq{1001},
                               .length = 500}));
  EXPECT_EQ(state, Track::fin_backend);
  EXPECT_TRUE(taken(kClient, segment(ack, 1001, 5502)));
  EXPECT_EQ(client_ack(), Seq{5502});
  EXPECT_TRUE(taken(kClient, segment(fin | ack, 1001, 5502)));
  EXPECT_EQ(state, Track::time_wait);
}

TEST_F(TrackWindow, errors_are_about_octets_that_may_be_on_their_way) {
  EXPECT_TRUE(taken(kClient, segment(ack, 2001, 8001, 1000)));
  for (const uint32_t seq : {2000u, 2001u, 3001u, 2001u - (0xffff << 7)})
    EXPECT_TRUE(in_flight(e, scales, kClient, Seq{seq})) << seq;
  for (const uint32_t seq : {3002u, 2001u - (0xffff << 7) - 1, 0x80000000u})
    EXPECT_FALSE(in_flight(e, scales, kClient, Seq{seq})) << seq;
  EXPECT_TRUE(in_flight(e, scales, kBackend, Seq{8001})) << "a bare ACK";
  EXPECT_FALSE(in_flight(e, scales, kBackend, Seq{8002}));
}

// The splice judges numbers itself, and has no use for any of these.
TEST(TrackTable, of_flows_whose_numbers_somebody_else_keeps) {
  EXPECT_EQ(next_state(Track::established, kClient, rst, true), Track::closed);
  EXPECT_EQ(next_state(Track::established, kClient, rst, false), Track::established);
  EXPECT_EQ(next_state(Track::established, kBackend, fin | ack, false), Track::fin_backend);
  EXPECT_EQ(next_state(Track::fin_backend, kClient, fin | ack, true), Track::time_wait);
  EXPECT_EQ(next_state(Track::head, kClient, rst, true), Track::head);
}

}  // namespace
}  // namespace limpet::tcp
