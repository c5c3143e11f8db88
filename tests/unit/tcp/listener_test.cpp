// Who is heard without a flow: handshakes with a place and with a cookie, what comes early, and who
// is a stranger.
#include <gtest/gtest.h>

#include <random>
#include <set>
#include <string_view>

#include "limpet/tcp/handshake.h"
#include "limpet/wire/frame.h"

namespace limpet::tcp {
namespace {

using namespace std::chrono_literals;
using wire::tcp_flag;

constexpr uint8_t kSyn = tcp_flag::syn, kAck = tcp_flag::ack, kRst = tcp_flag::rst,
                  kFin = tcp_flag::fin;

struct Case {
  const char* name;
  uint32_t places;  // 0: everybody gets a cookie
  bool timestamps;
};

class ListenerTest : public testing::TestWithParam<Case> {
 protected:
  explicit ListenerTest(uint32_t places = GetParam().places)
      : listener{HashKey{1, 2, 3}, places, Instant{uint64_t{3600} * 1000000000u}} {}

  SegmentIn segment(uint8_t flags, uint32_t seq, uint32_t ack, std::string_view data = {}) const {
    SegmentIn in;
    in.flags = flags;
    in.seq = Seq{seq};
    in.ack = Seq{ack};
    in.window = 1000;
    in.payload = {reinterpret_cast<const uint8_t*>(data.data()), data.size()};
    if (timestamps) in.timestamps = {9, echo};
    return in;
  }
  Hearing hear(const SegmentIn& in) { return listener.hear(tuple, in, syn_ack, now); }
  // Our number.
  uint32_t greet(uint32_t a = 1000) {
    SegmentIn in = segment(kSyn, a, 0);
    in.mss = 1337;
    in.window_scale = 6;
    in.sack_permitted = true;
    const Hearing h = hear(in);
    EXPECT_EQ(h.what, Heard::answered);
    EXPECT_EQ(h.answer.flags, kSyn | kAck);
    EXPECT_EQ(h.answer.ack, Seq{a + 1});
    if (h.answer.timestamps) echo = h.answer.timestamps->value;
    told = h.answer;
    return h.answer.seq.value;
  }
  Heard what(uint8_t flags, uint32_t seq, uint32_t ack, std::string_view data = {}) {
    return hear(segment(flags, seq, ack, data)).what;
  }
  void pass(Duration d) {
    for (const Instant end = now + d; now < end; now = now + 100ms) listener.tick(now);
  }

  const Tuple tuple{IpAddress::v4(192, 0, 2, 7), IpAddress::v4(10, 1, 0, 100), be16::from(40000),
                    be16::from(80)};
  SynAckOptions syn_ack;
  Instant now{uint64_t{3600} * 1000000000u};
  bool timestamps = false;
  uint32_t echo = 0;
  SegmentOut told;
  Listener listener;
};

// With and without timestamps, with a place and with a cookie: what a client notices is the same.
class EveryClient : public ListenerTest {
 protected:
  EveryClient() { timestamps = GetParam().timestamps; }
};
INSTANTIATE_TEST_SUITE_P(Clients, EveryClient,
                         testing::Values(Case{"place", 64, false}, Case{"cookie", 0, false},
                                         Case{"place_timestamps", 64, true},
                                         Case{"cookie_timestamps", 0, true}),
                         [](const auto& i) { return i.param.name; });

TEST_P(EveryClient, opens_a_flow_by_its_first_octets_and_once) {
  const uint32_t isn = greet();
  EXPECT_EQ(what(kAck, 1001, isn + 1), Heard::silent);
  const Hearing h = hear(segment(kAck, 1001, isn + 1, "GET"));
  ASSERT_EQ(h.what, Heard::open);
  EXPECT_EQ(h.offer.timestamps, timestamps);
  EXPECT_EQ(h.offer.sack, told.sack_permitted);
  EXPECT_EQ(h.offer.window_scale.has_value(), told.window_scale.has_value());
  listener.opened(h);
  EXPECT_EQ(listener.half_open().used(), 0u);
  EXPECT_EQ(listener.counters().cookies_sent, GetParam().places == 0 ? 1u : 0u);
  EXPECT_EQ(listener.counters().cookies_accepted, GetParam().places == 0 ? 1u : 0u);
}

TEST_P(EveryClient, may_say_something_much_later) {
  const uint32_t isn = greet();
  EXPECT_EQ(what(kAck, 1001, isn + 1), Heard::silent);
  pass(149s);
  EXPECT_EQ(what(kAck, 1001, isn + 1, "GET"), Heard::open);
}

TEST_P(EveryClient, hears_the_same_answer_to_the_same_syn) {
  const uint32_t isn = greet();
  const std::optional<uint8_t> scale = told.window_scale;
  pass(1s);
  EXPECT_EQ(greet(), isn);
  EXPECT_EQ(told.window_scale, scale);
  EXPECT_EQ(what(kAck, 1001, isn + 1, "GET"), Heard::open);
}

TEST_P(EveryClient, who_has_sent_two_syns_may_go_on_by_either) {
  const uint32_t first = greet(1000), second = greet(2000);
  EXPECT_NE(first, second);
  EXPECT_EQ(what(kAck, 1001, first + 1, "GET"), Heard::open);
  EXPECT_EQ(what(kAck, 2001, second + 1, "GET"), Heard::open);
  EXPECT_NE(what(kAck, 1001, second + 1, "GET"), Heard::open);
}

// Its head is in several segments, and the first was lost: whatever it says then is no reset's
// fault.
TEST_P(EveryClient, is_early_with_whatever_does_not_come_first) {
  const uint32_t isn = greet();
  for (const uint32_t at : {1002u, 2461u, 16000u, 70000u}) {
    EXPECT_EQ(what(kAck, at, isn + 1, "more"), Heard::early) << at;
    EXPECT_EQ(what(kAck | kFin, at, isn + 1, "more"), Heard::early) << at;
    EXPECT_EQ(what(kAck | kFin, at, isn + 1), Heard::early) << at;
    EXPECT_EQ(what(kAck, at, isn + 1), Heard::early) << at;
  }
  EXPECT_EQ(what(kAck, 1001, isn + 1, "first"), Heard::open);
}

TEST_P(EveryClient, that_acknowledges_what_was_never_said_is_a_stranger) {
  const uint32_t isn = greet();
  for (const uint32_t off : {0u, 2u, 3u, 200u})
    EXPECT_EQ(what(kAck, 1001, isn + off, "GET"), Heard::stranger) << off;
}

TEST_P(EveryClient, that_asks_only_whether_the_port_is_open_is_answered) {
  const uint32_t isn = greet();
  for (int i = 0; i < 2; ++i) {  // our answer was lost
    const Hearing h = hear(segment(kAck | kFin, 1001, isn + 1));
    EXPECT_EQ(h.what, Heard::answered);
    EXPECT_EQ(h.answer.flags, kFin | kAck);
    EXPECT_EQ(h.answer.seq, Seq{isn + 1});
    EXPECT_EQ(h.answer.ack, Seq{1002});
  }
}

TEST_P(EveryClient, that_probes_whether_we_live_is_answered) {
  const uint32_t isn = greet();
  for (const char* octets : {"", "?"}) {
    const Hearing h = hear(segment(kAck, 1000, isn + 1, octets));
    EXPECT_EQ(h.what, Heard::answered);
    EXPECT_EQ(h.answer.flags, kAck);
    EXPECT_EQ(h.answer.ack, Seq{1001});
  }
}

TEST_P(EveryClient, that_is_not_known_is_a_stranger) {
  EXPECT_EQ(what(kAck, 1001, 5, "GET"), Heard::stranger);
  EXPECT_EQ(what(kAck | kFin, 1001, 5), Heard::stranger);
  EXPECT_EQ(what(kRst, 1001, 0), Heard::ignored);
  EXPECT_EQ(what(kSyn | kAck, 1001, 5), Heard::ignored);
  EXPECT_EQ(what(0, 1001, 5, "GET"), Heard::ignored);
}

// A client with a place.
class ListenerPlaces : public ListenerTest {
 protected:
  ListenerPlaces() : ListenerTest(64) {}
};

TEST_F(ListenerPlaces, is_promised_what_it_offered_and_its_mss_is_not_rounded) {
  const uint32_t isn = greet();
  EXPECT_EQ(told.window_scale, 7);
  EXPECT_TRUE(told.sack_permitted);
  const Hearing h = hear(segment(kAck, 1001, isn + 1, "GET"));
  EXPECT_EQ(h.offer, (Offer{1337, uint8_t{6}, true, false}));
}

TEST_F(ListenerPlaces, opens_one_connection_by_one_handshake) {
  const uint32_t isn = greet();
  listener.opened(hear(segment(kAck, 1001, isn + 1, "GET")));
  EXPECT_EQ(what(kAck, 1001, isn + 1, "GET"), Heard::stranger) << "a copy of it opens nothing";
}

// Every bit of both numbers counts.
TEST_F(ListenerPlaces, is_believed_at_its_exact_numbers_only) {
  const uint32_t isn = greet();
  for (unsigned bit = 0; bit < 32; ++bit) {
    EXPECT_EQ(what(kAck, 1001, (isn + 1) ^ 1u << bit, "GET"), Heard::stranger) << bit;
    EXPECT_EQ(what(kAck, 1001 ^ 1u << bit, isn + 1, "GET"), Heard::early) << bit;
  }
  EXPECT_EQ(what(kAck, 1001, isn + 1, "GET"), Heard::open);
}

TEST_F(ListenerPlaces, has_another_number_each_time) {
  std::set<uint32_t> isns;
  uint32_t ones = 0, both = ~0u;
  for (uint32_t a = 0; a < 200; ++a) {
    const uint32_t isn = greet(a);
    isns.insert(isn);
    ones |= isn;
    both &= isn;
  }
  EXPECT_EQ(isns.size(), 200u);
  EXPECT_EQ(ones, ~0u) << "no bit is always 0";
  EXPECT_EQ(both, 0u) << "nor always 1";
}

// A cookie that nobody was given opens nothing, however well it is made.
TEST_F(ListenerPlaces, no_cookie_is_believed_while_none_is_out) {
  Listener generous{HashKey{1, 2, 3}, 0, now};  // the same secret
  const Hearing h = generous.hear(tuple, segment(kSyn, 1000, 0), syn_ack, now);
  EXPECT_EQ(
      generous.hear(tuple, segment(kAck, 1001, h.answer.seq.value + 1, "GET"), syn_ack, now).what,
      Heard::open);
  EXPECT_EQ(what(kAck, 1001, h.answer.seq.value + 1, "GET"), Heard::stranger);
}

TEST_F(ListenerPlaces, without_the_timestamps_that_it_offered_is_taken_to_have_none) {
  timestamps = true;
  const uint32_t isn = greet();
  timestamps = false;
  const Hearing h = hear(segment(kAck, 1001, isn + 1, "GET"));
  EXPECT_EQ(h.what, Heard::open);
  EXPECT_FALSE(h.offer.timestamps);
}

// As some do when their first SYN is not answered. Either SYN-ACK may be the one that arrives.
TEST_F(ListenerPlaces, that_offers_less_in_its_second_syn_gets_another_number_for_it) {
  const uint32_t first = greet();
  const Hearing less = hear(segment(kSyn, 1000, 0));
  EXPECT_NE(less.answer.seq.value, first);
  EXPECT_FALSE(less.answer.window_scale);
  EXPECT_EQ(hear(segment(kAck, 1001, less.answer.seq.value + 1, "GET")).offer,
            (Offer{536, std::nullopt, false, false}));
  EXPECT_TRUE(hear(segment(kAck, 1001, first + 1, "GET")).offer.sack);
}

TEST_F(ListenerPlaces, that_has_proved_itself_keeps_its_place_whoever_sends_syns_in_its_name) {
  const uint32_t isn = greet();
  EXPECT_EQ(what(kAck, 1001, isn + 1), Heard::silent);
  for (uint32_t a = 0; a < 10; ++a) greet(0x80000000u + a);
  EXPECT_EQ(what(kAck, 1001, isn + 1, "GET"), Heard::open);
}

TEST_F(ListenerPlaces, is_forgotten_when_it_resets_at_the_exact_number) {
  const uint32_t isn = greet();
  EXPECT_EQ(what(kRst, 1000, 0), Heard::ignored);
  EXPECT_EQ(what(kRst, 1002, 0), Heard::ignored);
  EXPECT_EQ(what(kRst, 1001, 0), Heard::silent);
  EXPECT_EQ(listener.half_open().used(), 0u);
  EXPECT_EQ(what(kAck, 1001, isn + 1, "GET"), Heard::stranger);
}

TEST_F(ListenerPlaces, that_has_closed_is_forgotten_with_its_last_ack) {
  const uint32_t isn = greet();
  hear(segment(kAck | kFin, 1001, isn + 1));
  EXPECT_EQ(what(kAck, 1002, isn + 2), Heard::silent) << "no stranger, or it would be reset";
  EXPECT_EQ(listener.half_open().used(), 0u);
}

TEST_F(ListenerPlaces, that_has_closed_may_begin_anew_with_the_same_number) {
  const uint32_t isn = greet();
  hear(segment(kAck | kFin, 1001, isn + 1));
  EXPECT_EQ(what(kAck, 1001, isn + 1, "GET"), Heard::early) << "behind a FIN nothing comes";
  EXPECT_EQ(what(kAck, 1001, greet() + 1, "GET"), Heard::open);
}

TEST_F(ListenerPlaces, is_a_stranger_after_five_minutes) {
  const uint32_t isn = greet();
  EXPECT_EQ(what(kAck, 1001, isn + 1), Heard::silent);
  pass(302s);
  EXPECT_EQ(what(kAck, 1001, isn + 1, "GET"), Heard::stranger);
}

// When the places are short.
class UnderPressure : public ListenerPlaces {
 protected:
  UnderPressure() {
    Tuple t = tuple;
    for (uint16_t port = 1; listener.counters().cookies_sent == 0; ++port) {
      t.client_port = be16::from(port);
      listener.hear(t, segment(kSyn, 5, 0), syn_ack, now);
    }
  }
};

TEST_F(UnderPressure, places_are_given_up_to_three_quarters) {
  EXPECT_EQ(listener.half_open().used(), 48u);
}

TEST_F(UnderPressure, a_client_without_timestamps_is_promised_neither_scale_nor_sack) {
  const uint32_t isn = greet();
  EXPECT_FALSE(told.window_scale);
  EXPECT_FALSE(told.sack_permitted);
  EXPECT_EQ(hear(segment(kAck, 1001, isn + 1, "GET")).offer,
            (Offer{1240, std::nullopt, false, false}));
}

TEST_F(UnderPressure, a_client_with_timestamps_is_promised_both) {
  timestamps = true;
  const uint32_t isn = greet();
  EXPECT_EQ(told.window_scale, 7);
  EXPECT_TRUE(told.sack_permitted);
  EXPECT_EQ(hear(segment(kAck, 1001, isn + 1, "GET")).offer, (Offer{1240, uint8_t{6}, true, true}));
}

TEST_F(UnderPressure, who_has_a_place_needs_its_exact_numbers_still) {
  listener = Listener{HashKey{1, 2, 3}, 64, now};
  const uint32_t isn = greet();
  Tuple t = tuple;
  for (uint16_t port = 1; listener.counters().cookies_sent == 0; ++port) {
    t.client_port = be16::from(port);
    listener.hear(t, segment(kSyn, 5, 0), syn_ack, now);
  }
  EXPECT_EQ(what(kAck, 1001, isn + 1, "GET"), Heard::open);
  EXPECT_EQ(greet(), isn) << "the same SYN, the same answer";
}

// The SYN-ACK with the cookie is late: the client goes by the one that it got first.
TEST_F(UnderPressure, a_cookie_is_good_also_when_there_is_a_place_for_its_client_later) {
  const uint32_t cookie = greet();
  pass(63s);
  EXPECT_LE(listener.half_open().used(), 24u);
  const uint32_t isn = greet();
  EXPECT_NE(isn, cookie);
  EXPECT_EQ(what(kAck, 1001, cookie + 1, "GET"), Heard::open);
}

TEST_F(UnderPressure, cookies_are_believed_as_long_as_they_may_be_out_and_no_longer) {
  Listener generous{HashKey{1, 2, 3}, 0, now};
  const auto made_now = [&] {
    return generous.hear(tuple, segment(kSyn, 1000, 0), syn_ack, now).answer.seq.value;
  };
  pass(299s);
  EXPECT_EQ(what(kAck, 1001, made_now() + 1, "GET"), Heard::open);
  pass(2s);
  EXPECT_EQ(what(kAck, 1001, made_now() + 1, "GET"), Heard::stranger);
}

TEST_F(UnderPressure, a_client_that_was_silent_too_long_is_told_so) {
  const uint32_t isn = greet();
  for (int i = 0; i < 45; ++i) {  // the pressure stays
    pass(10s);
    Tuple t = tuple;
    for (uint16_t port = 1; port < 60; ++port) {
      t.client_port = be16::from(port);
      listener.hear(t, segment(kSyn, 5, 0), syn_ack, now);
    }
  }
  EXPECT_EQ(what(kAck, 1001, isn + 1, "GET"), Heard::stale);
}

// Of connections from before a restart, one in 256 looks early, by chance.
TEST_F(UnderPressure, strangers_are_told_apart_but_for_one_in_256) {
  std::mt19937 random(3);
  unsigned early = 0;
  for (int i = 0; i < 25600; ++i) {
    Tuple t = tuple;
    t.client_port = be16::from(static_cast<uint16_t>(random()));
    const SegmentIn in = segment(kAck, static_cast<uint32_t>(random()),
                                 static_cast<uint32_t>(random()), "GET / HTTP/1.1");
    const Heard h = listener.hear(t, in, syn_ack, now).what;
    ASSERT_TRUE(h == Heard::early || h == Heard::stranger);
    early += h == Heard::early ? 1 : 0;
  }
  EXPECT_NEAR(early, 100, 40);
}

// What an attacker who sees no answers needs: 2^32 tries with a place, 2^29 under pressure.
TEST_F(ListenerPlaces, blind_guesses_open_nothing) {
  std::mt19937 random(11);
  for (int i = 0; i < 300000; ++i) {
    if (i % 1000 == 0) greet(static_cast<uint32_t>(i));
    EXPECT_NE(what(kAck, static_cast<uint32_t>(random()), static_cast<uint32_t>(random()), "GET"),
              Heard::open);
  }
}
TEST_F(UnderPressure, blind_guesses_open_nothing) {
  std::mt19937 random(11);
  for (int i = 0; i < 300000; ++i) {
    timestamps = (i & 1) != 0;
    echo = static_cast<uint32_t>(random());
    EXPECT_NE(what(kAck, static_cast<uint32_t>(random()), static_cast<uint32_t>(random()), "GET"),
              Heard::open);
  }
}

}  // namespace
}  // namespace limpet::tcp
