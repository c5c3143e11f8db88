// Connections of mode nat that nobody ends: silence is all there is to see, and what limpet forgets
// it ends, at numbers that both hosts believe. (Of mode splice: splice_wait_test.cpp.)
#include "connection.h"

namespace limpet::worker_test {
namespace {

using dataplane::WorkerCounters;
using tcp::Track;

class Quiet : public testing::TestWithParam<bool> {
 protected:
  explicit Quiet(const std::string& config = kTwoArms)
      : rig([&] {
          Rig::Setup setup;
          setup.config = config;
          return setup;
        }()),
        s(rig, ip(GetParam() ? "fd00:1::2" : "10.1.0.2"), 40000, GetParam() ? kVip6 : kVip4, 80) {}

  // The client has 5001 to 5020, the backend 1001 to 1010.
  void talk() {
    s.establish();
    s.client_says("request", {.flags = kAck, .seq = 1001, .ack = 5001, .data = pattern(10)});
    s.backend_says("answer", {.flags = kAck, .seq = 5001, .ack = 1011, .data = pattern(20)});
    s.client_says("its ACK", {.flags = kAck, .seq = 1011, .ack = 5021});
  }
  testing::AssertionResult both_are_told(uint32_t client, uint32_t backend) {
    return are(by_port(rig.take()),
               {{s.front(), s.reset_at_client(client)}, {s.back(), s.reset_at_backend(backend)}});
  }

  Rig rig;
  Connection s;
};

INSTANTIATE_TEST_SUITE_P(Families, Quiet, testing::Bool(),
                         [](const auto& family) { return family.param ? "v6" : "v4"; });

TEST_P(Quiet, both_ends_are_reset_at_their_exact_numbers) {
  talk();
  rig.pass(59s);
  EXPECT_TRUE(nothing(rig.take()));
  rig.pass(1200ms);
  EXPECT_TRUE(both_are_told(5021, 1011));
  EXPECT_EQ(rig.only_flow().state, Track::dead);
  EXPECT_EQ(rig.sum(&WorkerCounters::flows_expired), 1u);
  EXPECT_EQ(rig.sum(&WorkerCounters::flows_reset), 1u);
}

TEST_P(Quiet, a_tombstone_answers_what_still_comes_and_says_why) {
  talk();
  rig.pass(61s);
  rig.take();
  EXPECT_TRUE(is(rig.send(s.front(), s.from_client({.flags = kAck, .seq = 1011, .ack = 5021})),
                 s.front(), s.reset_at_client(5021)));
  EXPECT_TRUE(is(rig.send(s.back(), s.from_backend({.flags = kAck, .seq = 5021, .ack = 1011})),
                 s.back(), s.reset_at_backend(1011)));
  EXPECT_EQ(rig.drops(Drop::no_flow), 2u) << "its backend is not down";
  rig.pass(11s);
  EXPECT_EQ(rig.flows(), 0u);
  EXPECT_EQ(rig.sum(&WorkerCounters::flows_expired), 1u) << "once";
}

// The client has what the backend said, or not: its ACK may be lost, or the octets.
TEST_P(Quiet, both_are_reset_behind_what_they_have_not_acknowledged_too) {
  talk();
  s.backend_says("more", {.flags = kAck, .seq = 5021, .ack = 1011, .data = pattern(30)});
  s.client_says("more", {.flags = kAck, .seq = 1011, .ack = 5021, .data = pattern(40)});
  rig.pass(61s);
  EXPECT_TRUE(are(by_port(rig.take()), {{s.front(), s.reset_at_client(5021)},
                                        {s.front(), s.reset_at_client(5051)},
                                        {s.back(), s.reset_at_backend(1011)},
                                        {s.back(), s.reset_at_backend(1051)}}));
}

TEST_P(Quiet, a_client_that_has_closed_is_told_too) {
  talk();
  s.client_says("FIN", {.flags = kFin | kAck, .seq = 1011, .ack = 5021});
  s.backend_says("its ACK", {.flags = kAck, .seq = 5021, .ack = 1012});
  rig.pass(19s);
  EXPECT_TRUE(nothing(rig.take()));
  rig.pass(1200ms);
  EXPECT_TRUE(both_are_told(5021, 1012));
}

TEST_P(Quiet, so_is_the_client_of_a_backend_that_has_closed) {
  talk();
  s.backend_says("FIN", {.flags = kFin | kAck, .seq = 5021, .ack = 1011});
  s.client_says("its ACK", {.flags = kAck, .seq = 1011, .ack = 5022});
  rig.pass(21s);
  EXPECT_TRUE(both_are_told(5022, 1011));
}

TEST_P(Quiet, nobody_waits_where_both_have_closed) {
  talk();
  s.client_says("FIN", {.flags = kFin | kAck, .seq = 1011, .ack = 5021});
  s.backend_says("FIN", {.flags = kFin | kAck, .seq = 5021, .ack = 1012});
  rig.pass(3s);
  EXPECT_TRUE(nothing(rig.take()));
  EXPECT_EQ(rig.flows(), 0u);
}

TEST_P(Quiet, half_open_flows_end_in_silence) {
  s.open();
  rig.pass(6s);
  EXPECT_TRUE(nothing(rig.take()));
  EXPECT_EQ(rig.flows(), 0u);
}

TEST_P(Quiet, without_buffers_it_stays_due) {
  talk();
  rig.pass(59s);
  {
    const Hoard all(rig);
    rig.pass(3s);
    EXPECT_EQ(rig.only_flow().state, Track::established);
  }
  rig.pass(200ms);
  EXPECT_TRUE(both_are_told(5021, 1011));
}

class Silent : public Quiet {
 protected:
  Silent()
      : Quiet(with(kTwoArms, R"(time_wait = "2s"; };)",
                   R"(time_wait = "2s"; on_expiry = "silent"; };)")) {}
};
INSTANTIATE_TEST_SUITE_P(Families, Silent, testing::Bool());

TEST_P(Silent, nobody_is_told) {
  talk();
  rig.pass(61s);
  EXPECT_TRUE(nothing(rig.take()));
  EXPECT_EQ(rig.flows(), 0u);
  EXPECT_EQ(rig.sum(&WorkerCounters::flows_expired), 1u);
}

TEST(QuietDatagrams, have_nobody_to_tell) {
  Rig rig;
  Connection s(rig, ip("10.1.0.2"), 5353, kVip4, 7, kUdp);
  s.open();
  rig.send(kBack, s.from_backend({.data = pattern(4)}));
  rig.pass(11s);
  EXPECT_TRUE(nothing(rig.take()));
  EXPECT_EQ(rig.flows(), 0u);
}

IpAddress client(unsigned i) {
  return IpAddress::v4(10, 1, 0, static_cast<uint8_t>(2 + i % 40));
}

TEST(QuietMany, end_in_bounded_bites) {
  constexpr unsigned kFlows = 1000;
  Rig rig({.mbufs = 8191});
  for (unsigned i = 0; i < kFlows; ++i)
    Connection(rig, client(i), static_cast<uint16_t>(2000 + i / 40), kVip4, 80).establish();
  rig.pass(59s);
  rig.take();
  rig.now = rig.now + 1100ms;
  unsigned iterations = 0;
  uint64_t resets = 0;
  for (; rig.sum(&WorkerCounters::flows_reset) < kFlows && iterations < 100; ++iterations) {
    rig.poll();
    unsigned at_backends = 0;  // clients whose MAC is asked for anew hear a little later
    for (const Left& l : rig.take()) {
      resets += look(l.frame).protocol == kTcp;
      at_backends += look(l.frame).protocol == kTcp && l.port == kBack;
    }
    EXPECT_LE(at_backends, dataplane::Worker::kGonePerIteration);
  }
  EXPECT_EQ(resets, 2 * kFlows);
  EXPECT_GE(iterations, kFlows / dataplane::Worker::kGonePerIteration);
}

// Its port is the only one: the next client of that backend gets it, the first one is answered.
TEST(QuietPort, of_a_tombstone_goes_to_who_needs_it) {
  Rig::Setup setup;
  setup.config = with(kTwoArms, "source_ports = [ 1024, 65535 ]", "source_ports = [ 5000, 5000 ]");
  Rig rig(setup);
  for (const char* name : {"s1", "s2", "s3"}) rig.down(rig.backend("web", name));
  rig.run();
  Connection first(rig, ip("10.1.0.2"), 40000, kVip4, 80);
  first.establish();
  rig.pass(61s);
  rig.take();
  EXPECT_EQ(rig.only_flow().state, Track::dead);
  Connection next(rig, ip("10.1.0.3"), 40000, kVip4, 80);
  next.establish();
  EXPECT_EQ(next.source_port, 5000);
  EXPECT_EQ(rig.flows(), 2u);
  EXPECT_TRUE(is(rig.send(kFront, first.from_client({.flags = kAck, .seq = 1001, .ack = 5001})),
                 kFront, first.reset_at_client(5001)));
  EXPECT_EQ(rig.stats().backends[next.slot()].connections_active.get(), 1u);
  rig.pass(11s);
  EXPECT_EQ(rig.flows(), 1u);
}

}  // namespace
}  // namespace limpet::worker_test
