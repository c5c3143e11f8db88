// Mode splice and clients without a flow: what is remembered of a SYN and what a guess costs, who
// is a stranger and when it is told, floods.
#include <map>

#include "splice_fixture.h"

namespace limpet::worker_test {
namespace {

using tcp::Track;

const Bytes kOptions = {2, 4, 5, 0xb4, 4, 2, 1, 1};

struct Told {  // by the options of a SYN-ACK
  bool scale = false, sack = false;
  std::optional<uint32_t> timestamp;
};
Told options_of(const Bytes& frame) {
  Told t;
  const size_t tcp = look(frame).l4;
  for (size_t at = tcp + 20; at < tcp + (frame.at(tcp + 12) >> 4) * 4u;) {
    const uint8_t kind = frame.at(at);
    t.scale = t.scale || kind == 3;
    t.sack = t.sack || kind == 4;
    if (kind == 8) {
      t.timestamp = 0;
      for (size_t i = 2; i < 6; ++i) t.timestamp = *t.timestamp << 8 | frame.at(at + i);
    }
    at += kind <= 1 ? 1 : std::max<size_t>(frame.at(at + 1), 2);
  }
  return t;
}

class ListenTest : public SpliceTest {
 protected:
  using SpliceTest::SpliceTest;
  // Of the client at `from`.
  Bytes frame(const IpAddress& from, uint16_t port, const Tcp& t) {
    return tcp_frame(rig.to_us(from), {.from = from, .to = kVip4}, port, 80, t);
  }
  IpAddress anybody() {
    const auto r = static_cast<uint32_t>(rig.random());
    return IpAddress::v4(172, static_cast<uint8_t>(r), static_cast<uint8_t>(r >> 8),
                         static_cast<uint8_t>(r >> 16));
  }
  // SYNs from everywhere until there is no place for another one.
  void crowd() {
    for (int i = 0; i < 1000; ++i)
      rig.send(kFront, frame(anybody(), 1000, {.flags = kSyn, .seq = 7, .options = kOptions}));
    rig.pass(1100ms);
    rig.take();
    ASSERT_GT(cookies_sent(), 0u);
  }
  uint64_t cookies_sent() { return rig.sum(&dataplane::WorkerCounters::cookies_sent); }
  uint64_t cookies_accepted() { return rig.sum(&dataplane::WorkerCounters::cookies_accepted); }
  uint64_t half_open() { return rig.sum(&dataplane::WorkerCounters::half_open_used); }
  // ACKs with a request and numbers of which nothing is known, in the name of a client who has just
  // been answered. How many flows they opened.
  uint64_t guesses(unsigned count) {
    const uint64_t before = rig.sum(&dataplane::WorkerCounters::flows_created);
    for (unsigned i = 0; i < count; ++i) {
      const auto seq = static_cast<uint32_t>(rig.random());
      const auto ack = static_cast<uint32_t>(rig.random());
      rig.inject(kFront, client({.flags = kAck | kPsh, .seq = seq, .ack = ack, .data = kRequest}));
      if (i % 32 == 31) rig.run();
    }
    rig.run();
    return rig.sum(&dataplane::WorkerCounters::flows_created) - before;
  }
};

TEST_F(ListenTest, a_syn_has_a_place_until_its_client_has_said_something) {
  greet();
  rig.pass(1100ms);
  EXPECT_EQ(half_open(), 1u);
  EXPECT_EQ(rig.sum(&dataplane::WorkerCounters::half_open_total), 1024u);
  rig.send(kFront, client({.flags = kAck | kPsh, .seq = 1001, .ack = isn + 1, .data = kRequest}));
  EXPECT_EQ(rig.flows(), 1u);
  rig.pass(1100ms);
  EXPECT_EQ(half_open(), 0u);
  EXPECT_EQ(cookies_sent(), 0u);
}

TEST_F(ListenTest, the_same_syn_is_answered_with_the_same_number) {
  greet();
  const uint32_t first = isn;
  rig.pass(3s);
  greet();
  EXPECT_EQ(isn, first);
}

TEST_F(ListenTest, a_handshake_opens_one_connection) {
  establish();
  const uint32_t ours = isn;
  rig.send(kFront, client({.flags = kFin | kAck, .seq = 1028, .ack = isn + 1}));
  rig.send(kBack, from_backend({.flags = kFin | kAck, .seq = 7001, .ack = 1029}));
  rig.pass(3s);
  ASSERT_EQ(rig.flows(), 0u);
  // Whoever has a copy of the first segment has a copy, and no connection.
  EXPECT_TRUE(nothing(rig.send(
      kFront, client({.flags = kAck | kPsh, .seq = 1001, .ack = ours + 1, .data = kRequest}))));
  EXPECT_EQ(rig.flows(), 0u);
}

TEST_F(ListenTest, a_place_is_kept_while_there_is_no_room_for_the_flow) {
  greet();
  const Bytes first =
      client({.flags = kAck | kPsh, .seq = 1001, .ack = isn + 1, .data = bytes_of("GET ")});
  // Whole heads whose backends do not answer take all bindings, and give none up.
  unsigned others = 0;
  for (uint16_t port = 1; rig.drops(Drop::held_full) == 0 && port < 2000; ++port, ++others) {
    const Bytes syn = frame(ip("10.1.0.3"), port, {.flags = kSyn, .seq = 1, .options = kOptions});
    const std::vector<Left> out = rig.send(kFront, syn);
    ASSERT_EQ(out.size(), 1u);
    rig.send(kFront, frame(ip("10.1.0.3"), port,
                           {.flags = kAck,
                            .seq = 2,
                            .ack = look(out[0].frame).seq + 1,
                            .data = bytes_of("GET / HTTP/1.1\r\nHost: t\r\n\r\n")}));
  }
  EXPECT_GT(rig.drops(Drop::held_full), 0u) << others << rig.drop_list();
  const uint64_t created = rig.sum(&dataplane::WorkerCounters::flows_created);
  rig.send(kFront, first);
  EXPECT_EQ(rig.sum(&dataplane::WorkerCounters::flows_created), created);
  rig.pass(60s);  // the others are turned away
  rig.send(kFront, first);
  EXPECT_EQ(rig.sum(&dataplane::WorkerCounters::flows_created), created + 1);
}

TEST_F(ListenTest, the_last_ack_of_a_port_check_is_no_stranger_s) {
  greet();
  rig.send(kFront, client({.flags = kFin | kAck, .seq = 1001, .ack = isn + 1}));
  for (int i = 0; i < 2; ++i)
    EXPECT_TRUE(nothing(rig.send(kFront, client({.flags = kAck, .seq = 1002, .ack = isn + 2}))));
  EXPECT_EQ(rig.drops(Drop::no_flow), 1u) << "a second one is";
}

TEST_F(ListenTest, a_scan_leaves_nothing_behind) {
  greet();
  EXPECT_TRUE(nothing(rig.send(kFront, client({.flags = kRst, .seq = 1001}))));
  rig.pass(1100ms);
  EXPECT_EQ(half_open(), 0u);
}

TEST_F(ListenTest, later_segments_of_a_head_whose_first_was_lost_are_never_reset) {
  for (const bool pressure : {false, true}) {
    if (pressure) crowd();
    const uint32_t a = pressure ? 500000 : 1000;
    greet(a);
    for (int times = 0; times < 20; ++times) {
      for (uint32_t i = 1; i < 10; ++i)
        EXPECT_TRUE(nothing(rig.send(kFront, client({.flags = kAck,
                                                     .seq = a + 1 + i * 1460,
                                                     .ack = isn + 1,
                                                     .data = Bytes(1460, 'x')}))));
      rig.pass(500ms);
    }
    EXPECT_EQ(rig.drops(Drop::early_segment), pressure ? 360u : 180u) << rig.drop_list();
    EXPECT_EQ(rig.sum(&dataplane::WorkerCounters::resets_sent), 0u);
  }
}

// --- strangers

TEST_F(ListenTest, a_stranger_is_told_at_its_first_repetition_and_at_every_later_one) {
  const Bytes f = client({.flags = kAck, .seq = 1001, .ack = 12345, .data = kRequest});
  EXPECT_TRUE(nothing(rig.send(kFront, f)));
  for (int i = 0; i < 3; ++i) {
    rig.pass(200ms);
    const Seen told = only(rig.send(kFront, f), kFront);
    EXPECT_EQ(told.flags, kRst);
    EXPECT_EQ(told.seq, 12345u) << "the number that it expects (RFC 5961)";
  }
  EXPECT_EQ(rig.flows(), 0u);
}

TEST_F(ListenTest, a_stranger_is_not_told_of_what_it_said_minutes_ago) {
  const Bytes f = client({.flags = kAck, .seq = 1001, .ack = 12345, .data = kRequest});
  rig.send(kFront, f);
  rig.pass(121s);
  EXPECT_TRUE(nothing(rig.send(kFront, f)));
}

// The keep-alive connections of the process before this one: each has its next request, and repeats
// it as its round trips say (RFC 6298: between 200 ms and a second).
TEST_F(ListenTest, after_a_restart_20000_repeating_clients_are_told_within_a_second) {
  constexpr unsigned kClients = 20000;
  struct One {
    IpAddress from;
    uint16_t port;
    uint32_t seq, ack;
    bool told = false;
  };
  std::map<unsigned, std::vector<unsigned>> due;  // ms -> who speaks
  std::vector<One> all;
  std::map<std::pair<IpAddress, uint16_t>, unsigned> who;
  for (unsigned i = 0; i < kClients; ++i) {
    all.push_back({IpAddress::v4(172, 16, static_cast<uint8_t>(i >> 6), static_cast<uint8_t>(i)),
                   static_cast<uint16_t>(1024 + i % 60000), static_cast<uint32_t>(rig.random()),
                   static_cast<uint32_t>(rig.random())});
    who[{all[i].from, all[i].port}] = i;
    const auto first = static_cast<unsigned>(rig.random() % 400);
    const unsigned rto = 200 + static_cast<unsigned>(rig.random() % 350);
    due[first].push_back(i);
    due[first + rto].push_back(i);
  }
  unsigned told = 0;
  const auto look_at = [&](const std::vector<Left>& out) {
    for (const Left& l : out) {
      const Seen s = look(l.frame);
      ASSERT_EQ(s.flags, kRst);
      One& one = all.at(who.at({s.to, s.to_port}));
      EXPECT_EQ(s.seq, one.ack);
      told += one.told ? 0 : 1;
      one.told = true;
    }
  };
  unsigned at = 0;
  for (const auto& [ms, speakers] : due) {
    rig.now = rig.now + std::chrono::milliseconds(ms - at);
    at = ms;
    for (const unsigned i : speakers) {
      if (all[i].told) continue;
      rig.inject(
          kFront,
          frame(all[i].from, all[i].port,
                {.flags = kAck | kPsh, .seq = all[i].seq, .ack = all[i].ack, .data = kRequest}));
    }
    look_at(rig.run());
  }
  EXPECT_LT(at, 1000u);
  EXPECT_GE(told, kClients * 99 / 100);
  EXPECT_EQ(rig.flows(), 0u);
}

// Nor does a flood of made-up segments keep a stranger from being told.
TEST_F(ListenTest, a_stranger_is_told_at_its_repetition_during_a_flood_of_acks) {
  const Bytes f = client({.flags = kAck, .seq = 1001, .ack = 12345, .data = kRequest});
  rig.send(kFront, f);
  unsigned silent = 0;
  for (unsigned i = 0; i < 60000; ++i) {
    rig.inject(kFront, frame(anybody(), static_cast<uint16_t>(1024 + i % 50000),
                             {.flags = kAck, .seq = i, .ack = i}));
    if (i % 32 == 31) silent += 32 - static_cast<unsigned>(rig.run().size());
    if (i % 200 == 199) rig.now = rig.now + 1ms;
  }
  EXPECT_GT(silent, 15000u) << "most of what there is place for is not answered";
  rig.run();
  EXPECT_EQ(only(rig.send(kFront, f), kFront).flags, kRst);
}

// --- guesses

TEST_F(ListenTest, a_guess_opens_nothing) {
  for (int i = 0; i < 4; ++i) {
    greet(static_cast<uint32_t>(rig.random()));
    EXPECT_EQ(guesses(25000), 0u);
  }
}

TEST_F(ListenTest, a_guess_opens_nothing_under_pressure) {
  crowd();
  for (int i = 0; i < 4; ++i) {
    greet(static_cast<uint32_t>(rig.random()));
    EXPECT_EQ(guesses(25000), 0u);
  }
  EXPECT_EQ(cookies_accepted(), 0u);
}

// --- floods

struct Honest {
  const char* name;
  bool timestamps;
};
class Flood : public ListenTest, public testing::WithParamInterface<Honest> {};
INSTANTIATE_TEST_SUITE_P(OfSyns, Flood,
                         testing::Values(Honest{"with_timestamps", true},
                                         Honest{"without_timestamps", false}),
                         [](const auto& i) { return i.param.name; });

// 100,000 SYNs a second from everywhere, for a second of the worker's clock.
TEST_P(Flood, makes_no_flow_and_honest_clients_complete) {
  const Bytes more = {2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 1, 0, 0, 0, 0, 0, 3, 3, 7, 0};
  const bool timestamps = GetParam().timestamps;
  unsigned honest = 0;
  for (unsigned ms = 0; ms < 1000; ++ms) {
    for (unsigned i = 0; i < 100; ++i) {
      const auto r = static_cast<uint32_t>(rig.random());
      rig.inject(kFront, frame(anybody(), static_cast<uint16_t>(1024 + r % 60000),
                               {.flags = kSyn, .seq = r, .options = kOptions}));
      if (i % 25 == 24) rig.run();
    }
    if (ms % 10 == 0) {  // a hundred of them in the midst
      const auto port = static_cast<uint16_t>(50000 + honest);
      const std::vector<Left> answer = rig.send(
          kFront, frame(kClient, port,
                        {.flags = kSyn, .seq = 1000, .options = timestamps ? more : kOptions}));
      const Seen hello = only(answer, kFront);
      const Told told = options_of(answer.at(0).frame);
      EXPECT_EQ(told.timestamp.has_value(), timestamps);
      Bytes echo;
      if (timestamps) {
        EXPECT_TRUE(told.scale && told.sack);
        echo = {1, 1, 8, 10, 0, 0, 1, 1};
        for (int shift = 24; shift >= 0; shift -= 8)
          echo.push_back(static_cast<uint8_t>(*told.timestamp >> shift));
      } else if (ms > 20) {
        EXPECT_FALSE(told.scale || told.sack) << "as Linux";
      }
      const Seen syn = only(rig.send(kFront, frame(kClient, port,
                                                   {.flags = kAck,
                                                    .seq = 1001,
                                                    .ack = hello.seq + 1,
                                                    .data = kRequest,
                                                    .options = echo})),
                            kBack);
      backend = syn.to, source_port = syn.from_port;
      const Seen head = only(
          rig.send(kBack, from_backend({.flags = kSyn | kAck, .seq = 7000, .ack = 1001})), kBack);
      honest += head.data == kRequest ? 1 : 0;
    }
    rig.now = rig.now + 1ms;
  }
  EXPECT_EQ(honest, 100u);
  EXPECT_EQ(rig.flows(), 100u);
  EXPECT_EQ(rig.stats().worker.flows_created.get(), 100u);
  EXPECT_EQ(rig.stats().worker.splice_stateless_answers.get(), 100100u);
  rig.pass(1100ms);
  EXPECT_EQ(half_open(), 768u) << "the mark";
  EXPECT_GT(cookies_sent(), 99000u);
  EXPECT_GE(cookies_accepted(), 95u);
  rig.pass(62s);
  EXPECT_LE(half_open(), 384u) << "a flood is forgotten";
}

// SYN and ACK of a client come to whichever worker the port gives them.
TEST(ListenSeveral, a_handshake_comes_to_one_worker_whoever_receives_its_frames) {
  Rig::Setup setup;
  setup.config = spliced();
  setup.workers = 3;
  Rig rig(setup);
  rig.spread_randomly();
  for (uint16_t port = 1000; port < 1100; ++port) {
    const IpAddress from = ip("10.1.0.2");
    const auto frame = [&](const Tcp& t) {
      return tcp_frame(rig.to_us(from), {.from = from, .to = kVip4}, port, 80, t);
    };
    const std::vector<Left> hello =
        rig.send(kFront, frame({.flags = kSyn, .seq = 1000, .options = kOptions}));
    ASSERT_EQ(hello.size(), 1u);
    const uint32_t isn = look(hello[0].frame).seq;
    const std::vector<Left> syn =
        rig.send(kFront, frame({.flags = kAck, .seq = 1001, .ack = isn + 1, .data = kRequest}));
    ASSERT_EQ(syn.size(), 1u) << rig.drop_list();
    EXPECT_EQ(look(syn[0].frame).flags, kSyn);
  }
  EXPECT_EQ(rig.flows(), 100u);
  EXPECT_EQ(rig.drops(), 0u);
}

}  // namespace
}  // namespace limpet::worker_test
