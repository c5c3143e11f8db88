#include "limpet/tcp/track.h"

#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <string>
#include <utility>

#include "limpet/wire/frame.h"

namespace limpet::tcp {
namespace {

using wire::ack;
using wire::fin;
using wire::psh;
using wire::rst;
using wire::syn;

// One flow and its life story: the client's ISN is 1000, the backend's 5000.
struct Story {
  Track state = Track::syn_sent;
  Bounds bounds;
  Scales scales;
  Step last;
  bool opened = false;

  Track client(unsigned flags, uint32_t seq, uint32_t ack_number = 0) {
    return say(Side::client, flags, seq, ack_number);
  }
  Track backend(unsigned flags, uint32_t seq, uint32_t ack_number = 0) {
    return say(Side::backend, flags, seq, ack_number);
  }
  Track say(Side from, unsigned flags, uint32_t seq, uint32_t ack_number) {
    return say(from, {.flags = static_cast<uint8_t>(flags),
                      .window = 64240,
                      .seq = Seq{seq},
                      .ack = Seq{ack_number}});
  }
  Track say(Side from, const Segment& s) {
    if (!std::exchange(opened, true)) {
      begin(s, bounds, scales);
      return state;
    }
    last = advance(state, from, s, bounds, scales);
    state = last.next;
    return state;
  }
  // Octets behind those that it has sent before.
  Track data(Side from, uint32_t length) {
    return say(from, {.flags = psh | ack,
                      .window = 64240,
                      .seq = bounds.end[index_of(from)],
                      .ack = bounds.ack[index_of(from)],
                      .length = length});
  }
  Seq client_ack() const { return bounds.ack[index_of(Side::client)]; }
  Seq backend_ack() const { return bounds.ack[index_of(Side::backend)]; }
};

Story after_syn() {
  Story s;
  s.client(syn, 1000);
  return s;
}

Story after_syn_ack() {
  Story s = after_syn();
  s.backend(syn | ack, 5000, 1001);
  return s;
}

Story established() {
  Story s = after_syn_ack();
  s.client(ack, 1001, 5001);
  return s;
}

Story after_client_fin() {
  Story s = established();
  s.client(fin | ack, 1001, 5001);
  return s;
}

Story after_backend_fin() {
  Story s = established();
  s.backend(fin | ack, 5001, 1001);
  return s;
}

Story in_time_wait() {
  Story s = after_client_fin();
  s.backend(fin | ack, 5001, 1002);
  s.client(ack, 1002, 5002);
  return s;
}

TEST(Track, a_request_and_its_answer_until_both_sides_have_closed) {
  Story s;
  EXPECT_EQ(s.client(syn, 1000), Track::syn_sent);
  EXPECT_EQ(s.backend(syn | ack, 5000, 1001), Track::syn_received);
  EXPECT_EQ(s.client(ack, 1001, 5001), Track::established);
  EXPECT_EQ(s.data(Side::client, 100), Track::established);
  EXPECT_EQ(s.backend(ack, 5001, 1101), Track::established);
  EXPECT_EQ(s.data(Side::backend, 200), Track::established);
  EXPECT_EQ(s.client(fin | ack, 1101, 5201), Track::fin_client);
  EXPECT_EQ(s.backend(fin | ack, 5201, 1102), Track::time_wait);
  EXPECT_EQ(s.client(ack, 1102, 5202), Track::time_wait);
  EXPECT_EQ(s.client_ack(), Seq{5202});
  EXPECT_EQ(s.backend_ack(), Seq{1102});
}

TEST(Track, the_backend_closes_first_and_the_client_sends_on) {
  Story s = established();
  EXPECT_EQ(s.backend(fin | ack, 5001, 1001), Track::fin_backend);
  EXPECT_EQ(s.client(ack, 1001, 5002), Track::fin_backend);
  EXPECT_EQ(s.data(Side::client, 200), Track::fin_backend) << "half-closed: data still flows";
  EXPECT_EQ(s.backend(ack, 5002, 1201), Track::fin_backend);
  EXPECT_EQ(s.client(fin | ack, 1201, 5002), Track::time_wait);
}

TEST(Track, both_sides_close_at_the_same_time) {
  Story s = established();
  EXPECT_EQ(s.client(fin | ack, 1001, 5001), Track::fin_client);
  EXPECT_EQ(s.backend(fin | ack, 5001, 1001), Track::time_wait);
  EXPECT_EQ(s.client(ack, 1002, 5002), Track::time_wait);
  EXPECT_EQ(s.backend(ack, 5002, 1002), Track::time_wait);
}

TEST(Track, data_may_come_with_the_ack_that_completes_the_handshake) {
  Story s = after_syn_ack();
  EXPECT_EQ(s.client(psh | ack, 1001, 5001), Track::established);
}

TEST(Track, a_client_that_only_knocks_sends_its_fin_right_after_the_syn_ack) {
  Story s = after_syn_ack();
  EXPECT_EQ(s.client(fin | ack, 1001, 5001), Track::fin_client);
}

TEST(Track, a_backend_may_close_before_it_has_seen_the_last_ack_of_the_handshake) {
  Story s = after_syn_ack();
  EXPECT_EQ(s.backend(fin | ack, 5001, 1001), Track::fin_backend);
}

TEST(Track, retransmitted_handshake_segments_change_nothing) {
  Story s = after_syn();
  EXPECT_EQ(s.client(syn, 1000), Track::syn_sent);
  EXPECT_FALSE(s.last.reopened);
  EXPECT_EQ(s.backend(syn | ack, 5000, 1001), Track::syn_received);
  EXPECT_EQ(s.client(syn, 1000), Track::syn_received);
  EXPECT_EQ(s.backend(syn | ack, 5000, 1001), Track::syn_received);
  EXPECT_EQ(s.client(ack, 1001, 5001), Track::established);
  EXPECT_EQ(s.backend(syn | ack, 5000, 1001), Track::established) << "the client's ACK was lost";
  EXPECT_EQ(s.client(syn, 1000), Track::established) << "a late duplicate";
  EXPECT_FALSE(s.last.reopened);
}

TEST(Track, an_ecn_setup_syn_is_a_syn) {
  constexpr unsigned ece_cwr = 0xc0;
  Story s;
  EXPECT_EQ(s.client(syn | ece_cwr, 1000), Track::syn_sent);
  EXPECT_EQ(s.backend_ack(), Seq{1001});
  EXPECT_EQ(s.backend(syn | ack | 0x40u, 5000, 1001), Track::syn_received);
}

TEST(Track, retransmitted_fins_and_late_data_change_nothing) {
  Story s = after_client_fin();
  EXPECT_EQ(s.client(fin | ack, 1001, 5001), Track::fin_client);
  EXPECT_EQ(s.backend(ack, 5001, 1002), Track::fin_client);
  EXPECT_EQ(s.data(Side::backend, 100), Track::fin_client) << "data after the other side's FIN";
  EXPECT_EQ(s.backend(fin | psh | ack, 5101, 1002), Track::time_wait);
  EXPECT_EQ(s.backend(fin | ack, 5101, 1002), Track::time_wait);
  EXPECT_EQ(s.client(fin | ack, 1001, 5001), Track::time_wait);
  EXPECT_EQ(s.client(psh | ack, 901, 5001), Track::time_wait);
}

TEST(Track, a_syn_from_the_client_while_closing_changes_nothing) {
  for (Story s : {after_client_fin(), after_backend_fin()}) {
    const Track before = s.state;
    const Seq backend_ack = s.backend_ack();
    EXPECT_EQ(s.client(syn, 900000), before);
    EXPECT_FALSE(s.last.reopened);
    EXPECT_EQ(s.backend_ack(), backend_ack);
  }
}

TEST(Track, a_client_that_forgot_the_connection_gets_a_new_one_by_challenge_ack_and_reset) {
  Story s = established();
  EXPECT_EQ(s.client(syn, 70000), Track::established);
  EXPECT_EQ(s.backend(ack, 5001, 1001), Track::established) << "RFC 5961, 4.2: challenge ACK";
  EXPECT_EQ(s.client(rst, 1001), Track::closed);
  EXPECT_EQ(s.client(syn, 70000), Track::syn_sent);
  EXPECT_TRUE(s.last.reopened);
  EXPECT_EQ(s.backend(syn | ack, 9000, 70001), Track::syn_received);
}

TEST(Track, a_new_syn_after_the_end_reopens_the_flow) {
  Story s = in_time_wait();
  EXPECT_EQ(s.client(syn, 0x80001000u), Track::syn_sent);
  EXPECT_TRUE(s.last.reopened);
  EXPECT_EQ(s.backend_ack(), Seq{0x80001001u}) << "older than before, but a new incarnation";
  EXPECT_EQ(s.backend(syn | ack, 0x90000000u, 0x80001001u), Track::syn_received);
  EXPECT_EQ(s.client_ack(), Seq{0x90000001u});
  EXPECT_EQ(s.client(ack, 0x80001001u, 0x90000001u), Track::established);
}

TEST(Track, only_the_clients_bare_syn_reopens) {
  for (const unsigned flags :
       std::initializer_list<unsigned>{ack, syn | ack, fin | ack, rst, syn | fin, syn | rst}) {
    Story s = in_time_wait();
    s.client(flags, 1);
    EXPECT_FALSE(s.last.reopened) << flags;
    EXPECT_NE(s.state, Track::syn_sent) << flags;
  }
  Story s = in_time_wait();
  EXPECT_EQ(s.backend(syn, 1), Track::time_wait);
  EXPECT_FALSE(s.last.reopened);
}

TEST(Track, the_backends_time_wait_answers_our_syn_with_a_bare_ack) {
  Story s = after_syn();
  EXPECT_EQ(s.backend(ack, 777, 88888), Track::syn_sent);
  EXPECT_TRUE(s.last.stale_ack);
  EXPECT_EQ(s.backend_ack(), Seq{1001}) << "a number of the old incarnation";
  EXPECT_EQ(s.client(syn, 1000), Track::syn_sent);
  EXPECT_FALSE(s.last.stale_ack);
  EXPECT_EQ(s.backend(syn | ack, 5000, 1001), Track::syn_received);
  EXPECT_FALSE(s.last.stale_ack);
}

TEST(Track, a_stale_flow_that_repeats_its_fin_is_stale_as_well) {
  Story s = after_syn();
  EXPECT_EQ(s.backend(fin | ack, 777, 888), Track::syn_sent);
  EXPECT_TRUE(s.last.stale_ack);
}

TEST(Track, an_ack_from_the_client_or_after_the_handshake_is_not_stale) {
  Story s = after_syn();
  EXPECT_EQ(s.client(ack, 1, 1), Track::syn_sent);
  EXPECT_FALSE(s.last.stale_ack);
  s = after_syn_ack();
  EXPECT_EQ(s.backend(ack, 5001, 1001), Track::syn_received);
  EXPECT_FALSE(s.last.stale_ack);
}

TEST(Track, a_refused_connection_closes_the_flow) {
  Story s = after_syn();
  EXPECT_EQ(s.backend(rst | ack, 0, 1001), Track::closed);
}

TEST(Track, a_refusal_may_acknowledge_data_that_came_with_the_syn) {
  Story s;
  s.say(Side::client, {.flags = syn, .window = 64240, .seq = Seq{1000}, .length = 1460});
  Story all = s;
  EXPECT_EQ(all.backend(rst | ack, 0, 1001 + 1460), Track::closed);
  EXPECT_EQ(s.backend(rst | ack, 0, 1001), Track::closed);
}

TEST(Track, a_reset_that_does_not_answer_our_syn_changes_nothing) {
  for (const uint32_t wrong : {1000u, 0u, 1001u + 65536u, 0x80000000u}) {
    Story s = after_syn();
    EXPECT_EQ(s.backend(rst | ack, 0, wrong), Track::syn_sent) << wrong;
  }
  Story s = after_syn();
  EXPECT_EQ(s.backend(rst, 0, 1001), Track::syn_sent)
      << "without the ACK flag the number means nothing";
}

TEST(Track, a_client_that_does_not_want_the_syn_ack_resets_at_its_ack) {
  Story s = after_syn_ack();
  EXPECT_EQ(s.client(rst, 1001), Track::closed);
}

TEST(Track, a_backend_resets_before_the_handshake_is_complete) {
  Story s = after_syn_ack();
  EXPECT_EQ(s.backend(rst, 5000), Track::syn_received);
  EXPECT_EQ(s.backend(rst, 5001), Track::closed);
}

TEST(Track, a_reset_closes_only_at_an_exact_number) {
  Story s = established();
  s.data(Side::client, 100);
  s.backend(ack, 5001, 1101);
  s.data(Side::backend, 300);
  s.client(ack, 1101, 5201);

  for (const uint32_t wrong : {1001u, 1100u, 1102u, 5201u}) {
    EXPECT_EQ(s.client(rst, wrong), Track::established) << wrong;
    EXPECT_TRUE(s.last.outside);
  }
  for (const uint32_t wrong : {5001u, 5200u, 5202u, 5300u, 5302u, 1101u}) {
    EXPECT_EQ(s.backend(rst, wrong), Track::established) << wrong;
    EXPECT_TRUE(s.last.outside);
  }
  Story by_client = s;
  EXPECT_EQ(by_client.client(rst | ack, 1101, 5301), Track::closed);
  EXPECT_FALSE(by_client.last.outside);
  Story by_backend = s;
  EXPECT_EQ(by_backend.backend(rst, 5201), Track::closed);
  Story behind_all = s;
  EXPECT_EQ(behind_all.backend(rst, 5301), Track::closed)
      << "the client may have all of it and not have said so";
}

TEST(Track, a_reset_never_moves_the_edges) {
  Story s = established();
  s.client(rst | ack, 999999, 888888);
  s.backend(rst | ack, 999999, 888888);
  EXPECT_EQ(s.client_ack(), Seq{5001});
  EXPECT_EQ(s.backend_ack(), Seq{1001});
}

TEST(Track, resets_close_half_closed_and_ended_flows) {
  Story s = after_client_fin();
  EXPECT_EQ(s.backend(rst, 5001), Track::closed);
  s = after_backend_fin();
  EXPECT_EQ(s.client(rst, 1001), Track::closed);
  s = in_time_wait();
  EXPECT_EQ(s.client(rst, 1002), Track::closed);
  EXPECT_EQ(s.client(ack, 1002, 5002), Track::closed) << "late segments";
}

TEST(Track, edges_know_where_a_reset_must_lie_from_the_first_segment_on) {
  Story s = after_syn();
  EXPECT_EQ(s.backend_ack(), Seq{1001});
  s.backend(syn | ack, 5000, 1001);
  EXPECT_EQ(s.client_ack(), Seq{5001});
  EXPECT_EQ(s.backend_ack(), Seq{1001});
}

TEST(Track, edges_follow_the_newest_ack_even_across_the_wrap) {
  Story s;
  s.client(syn, 0xffffff00u);
  s.backend(syn | ack, 0xfffffff0u, 0xffffff01u);
  s.client(ack, 0xffffff01u, 0xfffffff1u);
  EXPECT_EQ(s.client_ack(), Seq{0xfffffff1u});
  s.data(Side::backend, 0x2f);
  s.data(Side::client, 0x10f);
  s.client(ack, 0xffffff01u, 0x20u);
  EXPECT_EQ(s.client_ack(), Seq{0x20u});
  s.client(ack, 0xffffff01u, 0xfffffff1u);
  EXPECT_EQ(s.client_ack(), Seq{0x20u}) << "a reordered ACK";
  s.backend(psh | ack, 0x20u, 0x10u);
  EXPECT_EQ(s.backend_ack(), Seq{0x10u});
}

TEST(Track, a_datagram_flow_has_no_tcp_states) {
  Story s;
  s.opened = true;
  s.state = Track::datagram;
  EXPECT_EQ(s.client(0, 0), Track::datagram);
  EXPECT_EQ(s.backend(0, 0), Track::datagram);
  EXPECT_EQ(s.client(0xff, 1, 1), Track::datagram);
  EXPECT_EQ(s.client_ack(), Seq{0});
}

TEST(Track, simultaneous_open_is_not_supported) {
  Story s = after_syn();
  EXPECT_EQ(s.backend(syn, 5000), Track::syn_sent);
  EXPECT_EQ(s.backend_ack(), Seq{1001});
}

TEST(Track, every_state_has_its_own_name) {
  std::set<std::string> names;
  for (int i = 0; i < static_cast<int>(Track::count_); ++i) {
    names.insert(track_name(static_cast<Track>(i)));
  }
  EXPECT_EQ(names.size(), static_cast<size_t>(Track::count_));
  EXPECT_EQ(names.count("unknown"), 0u);
  EXPECT_STREQ(track_name(Track::fin_client), "fin_client");
}

// How far a flow is on its way; every step keeps or raises it, but for a reopening.
int progress(Track t) {
  switch (t) {
    case Track::syn_sent:
      return 0;
    case Track::syn_received:
      return 1;
    case Track::established:
      return 2;
    case Track::fin_client:
    case Track::fin_backend:
      return 3;
    case Track::time_wait:
      return 4;
    case Track::closed:
      return 5;
    case Track::datagram:
    case Track::head:
    case Track::connecting:
    case Track::answering:
    case Track::dead:
    case Track::count_:
      break;
  }
  return -1;
}

// All (state, side, flags, right or wrong numbers), checked against rules instead of against the
// table.
TEST(Track, every_step_keeps_the_invariants) {
  unsigned checked = 0;
  for (int st = 0; st < static_cast<int>(Track::count_); ++st) {
    for (const Side from : {Side::client, Side::backend}) {
      for (unsigned flags = 0; flags < 64; ++flags) {
        for (const bool right : {false, true}) {
          const auto state = static_cast<Track>(st);
          SCOPED_TRACE(std::string(track_name(state)) +
                       (from == Side::client ? " client " : " backend ") + std::to_string(flags) +
                       (right ? " right" : " wrong"));
          const bool from_client = from == Side::client;
          Bounds bounds{{Seq{5001}, Seq{1001}}, {Seq{1001}, Seq{5001}}, {Seq{69001}, Seq{65001}}};
          const Bounds before = bounds;
          Scales scales;
          const uint32_t seq = from_client ? 1001 : 5001, acked = from_client ? 5001 : 1001;
          const Segment seg{.flags = static_cast<uint8_t>(flags),
                            .window = 64000,
                            .seq = Seq{right ? seq : seq + 0x40000000u},
                            .ack = Seq{right ? acked : acked + 0x40000000u}};
          const Step step = advance(state, from, seg, bounds, scales);
          ++checked;

          const bool moved = step.next != state;
          const bool same = std::memcmp(&bounds, &before, sizeof bounds) == 0;
          const bool only_syn = (flags & (syn | ack | rst | fin)) == syn;
          if (state >= Track::datagram) {  // these change in other ways
            EXPECT_EQ(step.next, state);
            EXPECT_TRUE(same);
            EXPECT_FALSE(step.reopened || step.stale_ack || step.outside || step.knocks);
            continue;
          }
          EXPECT_NE(step.next, Track::dead) << "only the worker declares a flow dead";
          EXPECT_NE(step.next, Track::datagram);
          EXPECT_EQ(step.reopened, moved && step.next == Track::syn_sent);
          EXPECT_EQ(step.reopened, only_syn && from_client &&
                                       (state == Track::time_wait || state == Track::closed));
          if (step.outside || step.knocks) {
            EXPECT_FALSE(moved);
            EXPECT_TRUE(same);
          }
          if (!right && !step.reopened) {
            EXPECT_FALSE(moved) << "nobody who does not know the numbers";
            EXPECT_TRUE(same);
            EXPECT_TRUE(step.outside || step.knocks || step.stale_ack);
          }
          if (!step.reopened) {
            EXPECT_GE(progress(step.next), progress(state));
          }
          if (step.next == Track::closed && moved) {
            EXPECT_NE(flags & rst, 0u);
          }
          if ((flags & (syn | ack | rst)) == 0) {
            EXPECT_FALSE(moved) << "neither ACK, SYN nor RST: nobody would accept it";
          }
          if ((flags & (syn | rst)) == syn && moved) {
            EXPECT_TRUE(step.reopened || (!from_client && (state == Track::syn_sent ||
                                                           state == Track::syn_received)));
          }
          if (step.next == Track::established && moved) {
            EXPECT_EQ(state, Track::syn_received);
            EXPECT_TRUE(from_client);
          }
          if (step.next == Track::fin_client && moved) {
            EXPECT_TRUE(from_client);
          }
          if (step.next == Track::fin_backend && moved) {
            EXPECT_FALSE(from_client);
          }
          EXPECT_EQ(step.stale_ack,
                    state == Track::syn_sent && !from_client && (flags & (syn | rst | ack)) == ack);
          // A side's segment tells what that side expects; the other edge is touched by handshakes
          // alone.
          const bool syn_ack = (flags & (syn | ack)) == (syn | ack) && !from_client;
          if (!only_syn && !syn_ack && !step.reopened) {
            const size_t you = index_of(other(from));
            EXPECT_EQ(bounds.ack[you], before.ack[you]);
            EXPECT_EQ(bounds.end[you], before.end[you]);
            EXPECT_EQ(bounds.right[you], before.right[you]);
          }
        }
      }
    }
  }
  EXPECT_EQ(checked, 12u * 2 * 64 * 2);
}

}  // namespace
}  // namespace limpet::tcp
