// Mode nat and numbers: who does not know them is passed on and moves nothing, so that the ends of
// a connection hear of its end at exactly the number that they expect. Both families.
#include "connection.h"

namespace limpet::worker_test {
namespace {

using dataplane::WorkerCounters;
using tcp::Track;

struct World {
  const char* name;
  IpAddress client;
  IpAddress vip;
};

class Window4And6 : public testing::TestWithParam<World> {
 protected:
  Rig rig;
  Connection s{rig, GetParam().client, 40000, GetParam().vip, 80};

  flow::Listed flow() { return rig.only_flow(); }
  uint64_t outside() { return rig.sum(&WorkerCounters::outside_window); }
  // Established, and some has been said: the client expects 5301, the backend 1101.
  void talk() {
    s.establish();
    s.client_says("request", {.flags = kAck, .seq = 1001, .ack = 5001, .data = pattern(100)});
    s.backend_says("answer", {.flags = kAck, .seq = 5001, .ack = 1101, .data = pattern(300)});
    s.client_says("its ACK", {.flags = kAck, .seq = 1101, .ack = 5301});
  }
  // `unacknowledged`: octets that the backend was sent behind that.
  void told_at(uint32_t client, uint32_t backend, uint32_t unacknowledged = 0) {
    rig.down(s.slot());
    std::vector<std::pair<uint16_t, Bytes>> wanted = {{s.front(), s.reset_at_client(client)},
                                                      {s.back(), s.reset_at_backend(backend)}};
    if (unacknowledged != 0)
      wanted.emplace_back(s.back(), s.reset_at_backend(backend + unacknowledged));
    EXPECT_TRUE(are(rig.run(), wanted));
  }
};

INSTANTIATE_TEST_SUITE_P(Families, Window4And6,
                         testing::Values(World{"v4", ip("198.51.100.7"), kVip4},
                                         World{"v6", ip("2001:db8::7"), kVip6}),
                         [](const auto& w) { return std::string(w.param.name); });

TEST_P(Window4And6, blind_segments_pass_move_nothing_and_the_end_is_told_exactly) {
  talk();
  rig.pass(5s);
  const flow::Listed before = flow();
  const Tcp client[] = {{.flags = kRst, .seq = 0x61000000, .window = 0},
                        {.flags = kRst, .seq = 1100, .window = 0},
                        {.flags = kRst | kAck, .seq = 1102, .ack = 5301, .window = 0},
                        {.flags = kFin | kAck, .seq = 0x61000000, .ack = 5301},
                        {.flags = kFin | kAck, .seq = 1101, .ack = 0x61000000},
                        {.flags = kAck, .seq = 0x61000000, .ack = 5301},
                        {.flags = kAck, .seq = 1101, .ack = 5302},
                        {.flags = kAck, .seq = 1101, .ack = 0x61000000, .data = pattern(10)},
                        {.flags = kSyn | kAck, .seq = 1101, .ack = 5301},
                        {.flags = kFin, .seq = 1101}};
  for (const Tcp& t : client) s.client_says("blind " + std::to_string(t.flags), t);
  const Tcp backend[] = {{.flags = kRst, .seq = 0x61000000, .window = 0},
                         {.flags = kRst, .seq = 5302, .window = 0},
                         {.flags = kFin | kAck, .seq = 0x61000000, .ack = 1101},
                         {.flags = kFin | kAck, .seq = 5301, .ack = 0x61000000},
                         {.flags = kAck, .seq = 5301, .ack = 1102},
                         {.flags = kAck, .seq = 0x61000000, .ack = 1101, .data = pattern(10)},
                         {.flags = kSyn, .seq = 5301},
                         {.flags = kSyn | kAck, .seq = 0x61000000, .ack = 1101}};
  for (const Tcp& t : backend) s.backend_says("blind " + std::to_string(t.flags), t);
  EXPECT_EQ(outside(), std::size(client) + std::size(backend));
  EXPECT_EQ(flow().state, Track::established);
  EXPECT_EQ(flow().last_seen, before.last_seen);
  told_at(5301, 1101);
}

TEST_P(Window4And6, blind_resets_do_not_shorten_the_life_of_an_idle_connection) {
  talk();
  s.client_says("reset", {.flags = kRst, .seq = 1500, .window = 0});
  s.backend_says("reset", {.flags = kRst, .seq = 0x61000000, .window = 0});
  rig.pass(59s);
  EXPECT_EQ(rig.flows(), 1u) << "idle is sixty seconds here, half_closed twenty";
  rig.pass(2s);
  EXPECT_EQ(flow().state, Track::dead);
}

// A segment somewhere in a scaled window, and a reset right behind it.
TEST_P(Window4And6, blind_pairs_of_data_and_reset_end_nothing) {
  talk();
  rig.send(s.front(),
           s.from_client(
               {.flags = kAck, .seq = 1101 + 5000000, .ack = 5301 - 4000000u, .data = pattern(1)}));
  rig.send(s.front(), s.from_client({.flags = kRst, .seq = 1101 + 5000001}));
  EXPECT_EQ(flow().state, Track::established);
  EXPECT_EQ(outside(), 1u);
}

TEST_P(Window4And6, blind_segments_do_not_prolong_it_either) {
  talk();
  for (int i = 0; i < 3; ++i) {
    rig.pass(19s);
    s.client_says("blind", {.flags = kAck, .seq = 0x61000000, .ack = 5301});
  }
  rig.pass(5s);
  EXPECT_EQ(flow().state, Track::dead);
}

TEST_P(Window4And6, probes_and_retransmissions_are_signs_of_life) {
  talk();
  rig.pass(50s);
  s.client_says("keep-alive", {.flags = kAck, .seq = 1100, .ack = 5301});
  rig.pass(50s);
  s.client_says("an old segment", {.flags = kAck, .seq = 1001, .ack = 5301, .data = pattern(100)});
  rig.pass(50s);
  s.backend_says("D-SACK of it", {.flags = kAck,
                                  .seq = 5301,
                                  .ack = 1101,
                                  .options = {1, 1, 5, 10, 0, 0, 3, 0xe9, 0, 0, 4, 0x4d}});
  rig.pass(50s);
  EXPECT_EQ(rig.flows(), 1u);
  EXPECT_EQ(outside(), 0u);
  told_at(5301, 1101);
}

// Scale 7 on both sides: 64240 << 7 octets may be on their way.
TEST_P(Window4And6, megabytes_may_be_in_flight_where_windows_are_scaled) {
  talk();
  uint32_t seq = 5301;
  for (int i = 0; i < 100; ++i, seq += 80000)
    s.backend_says("a flight", {.flags = kAck, .seq = seq, .ack = 1101, .data = pattern(1000)});
  EXPECT_EQ(outside(), 0u);
  s.client_says("ACK of all", {.flags = kAck, .seq = 1101, .ack = seq - 79000});
  EXPECT_EQ(outside(), 0u);
  told_at(seq - 79000, 1101);
}

TEST_P(Window4And6, without_the_option_the_window_is_the_field) {
  s.open({.flags = kSyn, .seq = 1000, .window = 64240});
  s.backend_says("SYN-ACK", {.flags = kSyn | kAck, .seq = 5000, .ack = 1001});
  s.client_says("ACK", {.flags = kAck, .seq = 1001, .ack = 5001, .window = 1000});
  s.backend_says("in it", {.flags = kAck, .seq = 5001 + 64240, .ack = 1001, .data = pattern(1)});
  EXPECT_EQ(outside(), 0u);
  s.backend_says("behind", {.flags = kAck, .seq = 5001 + 64242, .ack = 1001, .data = pattern(1)});
  EXPECT_EQ(outside(), 1u);
}

TEST_P(Window4And6, tuple_that_is_used_again_begins_anew) {
  talk();
  s.client_says("SYN of who has forgotten",
                {.flags = kSyn, .seq = 0x70000000, .options = Connection::syn_options()});
  EXPECT_EQ(flow().state, Track::established);
  s.backend_says("SYN-ACK of who has too", {.flags = kSyn | kAck,
                                            .seq = 0x20000000,
                                            .ack = 0x70000001,
                                            .options = Connection::syn_options()});
  EXPECT_EQ(flow().state, Track::syn_received);
  EXPECT_EQ(rig.sum(&WorkerCounters::flows_begun_anew), 1u);
  s.client_says("ACK", {.flags = kAck, .seq = 0x70000001, .ack = 0x20000001});
  EXPECT_EQ(flow().state, Track::established);
  s.client_says("request",
                {.flags = kAck, .seq = 0x70000001, .ack = 0x20000001, .data = pattern(10)});
  s.backend_says("answer",
                 {.flags = kAck, .seq = 0x20000001, .ack = 0x7000000b, .data = pattern(20)});
  s.client_says("ACK of it", {.flags = kAck, .seq = 0x7000000b, .ack = 0x20000015});
  EXPECT_EQ(outside(), 0u);
  told_at(0x20000015, 0x7000000b);
}

TEST_P(Window4And6, blind_syn_changes_nothing_however_the_backend_answers_it) {
  talk();
  s.client_says("blind SYN", {.flags = kSyn, .seq = 0x70000000});
  s.backend_says("challenge", {.flags = kAck, .seq = 5301, .ack = 1101});
  s.backend_says("an answer to no SYN", {.flags = kSyn | kAck, .seq = 1, .ack = 0x70000002});
  EXPECT_EQ(outside(), 1u);
  s.client_says("more", {.flags = kAck, .seq = 1101, .ack = 5301, .data = pattern(5)});
  EXPECT_EQ(outside(), 1u);
  EXPECT_EQ(flow().state, Track::established);
  told_at(5301, 1101, 5);
}

TEST_P(Window4And6, blind_syn_does_not_cost_a_connection_that_is_being_opened) {
  s.open();
  s.client_says("blind SYN", {.flags = kSyn, .seq = 0x70000000});
  s.backend_says("SYN-ACK", {.flags = kSyn | kAck, .seq = 5000, .ack = 1001});
  s.client_says("ACK", {.flags = kAck, .seq = 1001, .ack = 5001});
  EXPECT_EQ(flow().state, Track::established);
  told_at(5001, 1001);
}

TEST_P(Window4And6, client_that_tries_again_with_another_number_is_heard) {
  s.open();
  s.client_says("another SYN", {.flags = kSyn, .seq = 0x70000000});
  s.backend_says("refusal", {.flags = kRst | kAck, .seq = 0, .ack = 0x70000001, .window = 0});
  EXPECT_EQ(flow().state, Track::closed);
  EXPECT_EQ(rig.stats().backends[s.slot()].connect_failures.get(), 1u);
}

TEST_P(Window4And6, reset_behind_all_that_was_sent_ends_the_flow) {
  talk();
  s.client_says("more", {.flags = kAck, .seq = 1101, .ack = 5301, .data = pattern(50)});
  s.client_says("abort", {.flags = kRst | kAck, .seq = 1151, .ack = 5301, .window = 0});
  EXPECT_EQ(flow().state, Track::closed);
  rig.pass(2300ms);
  EXPECT_EQ(rig.flows(), 0u);
}

TEST_P(Window4And6, syn_ack_with_data_and_fin_passes) {
  s.open();
  s.backend_says("all at once",
                 {.flags = kSyn | kAck | kFin, .seq = 5000, .ack = 1001, .data = pattern(200)});
  EXPECT_EQ(flow().state, Track::fin_backend);
  s.client_says("ACK", {.flags = kAck, .seq = 1001, .ack = 5202});
  s.client_says("FIN", {.flags = kFin | kAck, .seq = 1001, .ack = 5202});
  EXPECT_EQ(flow().state, Track::time_wait);
  s.backend_says("last ACK", {.flags = kAck, .seq = 5202, .ack = 1002});
  EXPECT_EQ(outside(), 0u);
  EXPECT_EQ(rig.drops(), 0u) << rig.drop_list();
}

}  // namespace
}  // namespace limpet::worker_test
