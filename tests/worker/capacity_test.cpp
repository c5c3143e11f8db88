// Limits: the flow table, source ports, and ports that come back before the backend has forgotten
// their last connection.
#include "connection.h"

namespace limpet::worker_test {
namespace {

using dataplane::WorkerCounters;
using tcp::Track;

// One backend, four source ports.
const std::string kFourPorts =
    with(with(kTwoArms, "source_ports = [ 1024, 65535 ]", "source_ports = [ 2000, 2003 ]"),
         R"({ name = "s1"; address = "10.2.0.11"; port = 8080; },
                 { name = "s2"; address = "10.2.0.12"; port = 8080; },
                 { name = "s3"; address = "10.2.0.13"; port = 8080; })",
         R"({ name = "s1"; address = "10.2.0.11"; port = 8080; weight = 0; })");

IpAddress client(unsigned n) {
  return IpAddress::v4(198, 51, static_cast<uint8_t>(n >> 8), static_cast<uint8_t>(n));
}

std::map<Track, unsigned> states(Rig& rig) {
  std::map<Track, unsigned> r;
  const flow::Table& t = rig.worker().flows();
  for (flow::FlowId id = 0; id < t.capacity(); ++id)
    if (t.live(id)) ++r[t.at(id).state];
  return r;
}

void finish(Connection& s) {
  s.client_says("client's FIN", {.flags = kFin | kAck, .seq = 1001, .ack = 5001});
  s.backend_says("backend's FIN", {.flags = kFin | kAck, .seq = 5001, .ack = 1002});
}

TEST(FlowTable, full_of_half_open_flows_makes_room_for_new_ones) {
  Rig rig({.flows = 64});
  for (unsigned i = 0; i < 200; ++i) Connection(rig, client(i), 40000, kVip4, 80).open();
  EXPECT_EQ(rig.flows(), 64u);
  EXPECT_EQ(rig.sum(&WorkerCounters::flows_evicted), 136u);
  EXPECT_EQ(rig.sum(&WorkerCounters::flows_created), 200u);
  EXPECT_EQ(rig.drops(), 0u);
}

// Those that say nothing, or have stood still: crowded_test.cpp.
TEST(FlowTable, connections_that_carry_data_are_never_evicted) {
  Rig rig({.flows = 64});
  std::vector<Connection> all;
  for (unsigned i = 0; i < 64; ++i) {
    all.emplace_back(rig, client(i), 40000, kVip4, 80).establish();
    all.back().client_says("request", {.flags = kAck, .seq = 1001, .ack = 5001, .data = {'G'}});
  }
  const Bytes syn =
      tcp_frame(rig.to_us(client(99)), {.from = client(99), .to = kVip4}, 1, 80, {.flags = kSyn});
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(nothing(rig.send(kFront, syn)));
  EXPECT_EQ(rig.drops(Drop::flow_table_full), 50u);
  EXPECT_EQ(rig.sum(&WorkerCounters::flows_evicted), 0u);
  for (Connection& s : all) s.client_says("still there", {.flags = kAck, .seq = 1002, .ack = 5001});
  EXPECT_EQ(rig.stats().services[rig.service("web")].connections_total.get(), 64u);
  // Datagram flows are in use like established ones.
  Connection u(rig, client(5), 5353, kVip4, 7, kUdp);
  EXPECT_TRUE(nothing(rig.send(kFront, u.from_client({.data = pattern(3)}))));
  EXPECT_EQ(rig.drops(Drop::flow_table_full), 51u);
}

TEST(FlowTable, ended_flows_go_before_half_open_ones) {
  Rig rig({.flows = 64});
  std::vector<Connection> half;
  for (unsigned i = 0; i < 32; ++i) {
    Connection s(rig, client(i), 40000, kVip4, 80);
    s.establish();
    s.client_says("reset", {.flags = kRst, .seq = 1001, .window = 0});
    half.emplace_back(rig, client(100 + i), 40000, kVip4, 80).open();
  }
  ASSERT_EQ(states(rig), (std::map<Track, unsigned>{{Track::closed, 32}, {Track::syn_sent, 32}}));
  for (unsigned i = 0; i < 20; ++i) Connection(rig, client(200 + i), 40000, kVip4, 80).open();
  EXPECT_EQ(states(rig), (std::map<Track, unsigned>{{Track::closed, 12}, {Track::syn_sent, 52}}));
}

TEST(SourcePorts, used_up_is_a_named_drop_until_one_is_free) {
  Rig rig({.config = kFourPorts});
  std::vector<Connection> all;
  std::set<uint16_t> ports;
  for (unsigned i = 0; i < 4; ++i) {
    all.emplace_back(rig, client(i), 40000, kVip4, 80).establish();
    ports.insert(all.back().source_port);
  }
  EXPECT_EQ(ports, (std::set<uint16_t>{2000, 2001, 2002, 2003}));
  Connection fifth(rig, client(9), 40000, kVip4, 80);
  EXPECT_TRUE(nothing(rig.send(kFront, fifth.from_client({.flags = kSyn, .seq = 1000}))));
  EXPECT_EQ(rig.drops(Drop::source_ports_exhausted), 1u);
  EXPECT_EQ(rig.flows(), 4u) << "and no record is lost";
  finish(all[2]);
  rig.pass(2200ms);
  fifth.open();
  EXPECT_EQ(fifth.source_port, all[2].source_port);
  EXPECT_EQ(rig.sum(&WorkerCounters::port_early_reuse), 1u);
}

TEST(SourcePorts, held_by_half_open_flows_make_room_and_nobody_is_kept_out) {
  Rig rig({.config = kFourPorts});
  for (unsigned i = 0; i < 3; ++i) Connection(rig, client(i), 40000, kVip4, 80).open();
  Connection(rig, client(3), 40000, kVip4, 80).establish();
  Connection fifth(rig, client(9), 40000, kVip4, 80);
  fifth.establish();
  EXPECT_EQ(rig.drops(Drop::source_ports_exhausted), 0u);
  EXPECT_EQ(rig.sum(&WorkerCounters::flows_evicted), 1u);
  EXPECT_EQ(states(rig),
            (std::map<Track, unsigned>{{Track::syn_sent, 2}, {Track::established, 2}}));
}

// Idle connections fill the ports of one backend: its other clients go to the others, and only when
// no port of any is left a SYN is dropped.
TEST(SourcePorts, of_a_backend_that_run_out_send_its_new_clients_to_another) {
  Rig rig({.config =
               with(kTwoArms, "source_ports = [ 1024, 65535 ]", "source_ports = [ 2000, 2003 ]")});
  std::map<IpAddress, unsigned> at;
  std::vector<Connection> all;
  for (unsigned i = 0; i < 16; ++i) {
    all.emplace_back(rig, client(7), static_cast<uint16_t>(40000 + i), kVip4, 80).establish();
    ++at[all.back().backend];
  }
  EXPECT_EQ(at.size(), 4u) << "one client by its address, sixteen ports of four backends";
  for (const auto& [backend, connections] : at) EXPECT_EQ(connections, 4u);
  EXPECT_EQ(rig.drops(), 0u);
  const uint16_t third = rig.backend_at(all[8].backend, 8080);
  EXPECT_EQ(rig.stats().backends[third].redispatched.get(), 4u);
  EXPECT_TRUE(nothing(rig.send(
      kFront,
      Connection(rig, client(9), 40000, kVip4, 80).from_client({.flags = kSyn, .seq = 1}))));
  EXPECT_EQ(rig.drops(Drop::source_ports_exhausted), 1u) << "not no_backend: they are up";
  EXPECT_EQ(rig.flows(), 16u);
}

TEST(SourcePorts, of_one_backend_are_taken_from_an_ended_flow_before_another_backend_is_chosen) {
  Rig rig({.config =
               with(kTwoArms, "source_ports = [ 1024, 65535 ]", "source_ports = [ 2000, 2003 ]")});
  std::vector<Connection> all;
  for (unsigned i = 0; i < 4; ++i)
    all.emplace_back(rig, client(7), static_cast<uint16_t>(40000 + i), kVip4, 80).establish();
  finish(all[1]);
  Connection fifth(rig, client(7), 41000, kVip4, 80);
  fifth.establish();
  EXPECT_EQ(fifth.backend, all[1].backend);
  EXPECT_EQ(fifth.source_port, all[1].source_port);
}

TEST(SourcePorts, oldest_comes_first) {
  Rig rig({.config = kFourPorts});
  std::vector<uint16_t> freed;
  for (unsigned i = 0; i < 12; ++i) {
    Connection s(rig, client(i), 40000, kVip4, 80);
    s.establish();
    if (i >= 4) {
      EXPECT_EQ(s.source_port, freed[i - 4]);
    }
    freed.push_back(s.source_port);
    finish(s);
    rig.pass(2200ms);
  }
  EXPECT_EQ(rig.sum(&WorkerCounters::port_early_reuse), 8u);
  rig.pass(61s);
  Connection s(rig, client(50), 40000, kVip4, 80);
  s.establish();
  EXPECT_EQ(rig.sum(&WorkerCounters::port_early_reuse), 8u) << "rested for a minute";
}

TEST(SourcePorts, more_addresses_mean_more_ports) {
  Rig rig({.config = with(kFourPorts, "source_ports = [ 2000, 2003 ]",
                          "source_addresses = [ \"10.2.0.254\", \"10.2.0.200\" ]; source_ports = [ "
                          "2000, 2003 ]")});
  std::set<std::pair<std::string, uint16_t>> seen;
  for (unsigned i = 0; i < 8; ++i) {
    Connection s(rig, client(i), 40000, kVip4, 80);
    s.establish();
    seen.emplace(s.source.to_string(), s.source_port);
  }
  EXPECT_EQ(seen.size(), 8u);
  EXPECT_EQ(rig.drops(), 0u) << rig.drop_list();
  // Where backends are, limpet answers for the address that no port has.
  EXPECT_EQ(rig.send(kBack, arp_request(ip("10.2.0.10"), ip("10.2.0.200"))).size(), 1u);
}

TEST(SourcePorts, pools_with_the_same_backend_share_its_ports) {
  // Otherwise two flows could get one tuple towards the backend.
  std::string config = kTwoArms;
  config = with(config,
                "{ name = \"e0\"; address = \"10.2.0.10\"; port = 7; },\n"
                "                 { name = \"e1\"; address = \"10.2.0.11\"; port = 7; }",
                "{ name = \"e0\"; address = \"10.2.0.10\"; port = 8080; }");
  config = with(
      config,
      "name = \"echo\"; vip = \"10.1.0.100\"; port = 7; protocol = \"udp\"; pool = \"echo\";\n"
      "    persistence = ( { type = \"source\"; } ); timeouts = { idle = \"10s\"; };",
      "name = \"echo\"; vip = \"10.1.0.101\"; port = 81; protocol = \"tcp\"; pool = \"echo\";");
  Rig rig({.config = config});
  std::set<uint16_t> ports;
  unsigned there = 0;
  for (unsigned i = 0; i < 40; ++i) {
    Connection a(rig, client(i), 40000, kVip4, 80), b(rig, client(i), 40000, ip("10.1.0.101"), 81);
    a.establish();
    b.establish();
    for (const Connection* s : {&a, &b})
      if (s->backend == ip("10.2.0.10")) {
        ports.insert(s->source_port);
        ++there;
      }
  }
  EXPECT_GT(there, 40u);
  EXPECT_EQ(ports.size(), there);
}

// Two services whose pools name one backend, the first with four source ports, the second with
// sixteen, these four among them.
std::string ranges_of_one_backend() {
  std::string config = kFourPorts;
  config = with(config,
                "{ name = \"e0\"; address = \"10.2.0.10\"; port = 7; },\n"
                "                 { name = \"e1\"; address = \"10.2.0.11\"; port = 7; }",
                "{ name = \"e0\"; address = \"10.2.0.10\"; port = 8080; }");
  config = with(config, "{ name = \"echo\"; maglev_size",
                "{ name = \"echo\"; source_ports = [ 1994, 2009 ]; maglev_size");
  return with(
      config,
      "name = \"echo\"; vip = \"10.1.0.100\"; port = 7; protocol = \"udp\"; pool = \"echo\";\n"
      "    persistence = ( { type = \"source\"; } ); timeouts = { idle = \"10s\"; };",
      "name = \"echo\"; vip = \"10.1.0.101\"; port = 81; protocol = \"tcp\"; pool = \"echo\";");
}

TEST(SourcePorts, of_overlapping_ranges_are_all_used_before_a_syn_is_dropped) {
  for (uint64_t seed = 1; seed <= 8; ++seed) {  // ranges begin at random
    Rig rig({.config = ranges_of_one_backend(), .seed = seed});
    std::set<uint16_t> ports;
    std::vector<Connection> narrow, wide;
    for (unsigned i = 0; i < 4; ++i) {
      narrow.emplace_back(rig, client(i), 40000, kVip4, 80).establish();
      ports.insert(narrow.back().source_port);
    }
    EXPECT_EQ(ports, (std::set<uint16_t>{2000, 2001, 2002, 2003}));
    for (unsigned i = 0; i < 12; ++i) {
      wide.emplace_back(rig, client(i), 40000, ip("10.1.0.101"), 81).establish();
      ports.insert(wide.back().source_port);
    }
    EXPECT_EQ(ports.size(), 16u);
    EXPECT_EQ(rig.drops(), 0u) << rig.drop_list();
    Connection more(rig, client(99), 40000, ip("10.1.0.101"), 81);
    EXPECT_TRUE(nothing(rig.send(kFront, more.from_client({.flags = kSyn, .seq = 1000}))));
    EXPECT_EQ(rig.drops(Drop::source_ports_exhausted), 1u);
    // Either pool's port comes back to both.
    finish(narrow[1]);
    rig.pass(2200ms);
    more.establish();
    EXPECT_EQ(more.source_port, narrow[1].source_port);
    // And one of each piece to its own.
    for (Connection& w : wide) {
      finish(w);
      rig.pass(2200ms);
      Connection next(rig, client(100), w.source_port, ip("10.1.0.101"), 81);
      next.establish();
      EXPECT_EQ(next.source_port, w.source_port);
    }
    EXPECT_EQ(rig.drops(Drop::source_ports_exhausted), 1u);
  }
}

TEST(SourcePorts, that_rested_go_before_those_of_another_piece_of_the_range) {
  Rig rig({.config = ranges_of_one_backend()});
  // One port after the other is used and let go: none twice while another never was.
  std::set<uint16_t> ports;
  for (unsigned i = 0; i < 16; ++i) {
    Connection s(rig, client(i), 40000, ip("10.1.0.101"), 81);
    s.establish();
    ports.insert(s.source_port);
    finish(s);
    rig.pass(2200ms);
  }
  EXPECT_EQ(ports.size(), 16u);
  EXPECT_EQ(rig.sum(&WorkerCounters::port_early_reuse), 0u);
}

// ---- early reuse

class StaleBackend : public testing::Test {
 protected:
  Rig rig{{.config = kFourPorts}};
  Tcp syn{.flags = kSyn, .seq = 70000, .options = Connection::syn_options()};

  // All ports were used a moment ago; the next connection reuses one.
  Connection reuse() {
    for (unsigned i = 0; i < 4; ++i) {
      Connection s(rig, client(i), 40000, kVip4, 80);
      s.establish();
      finish(s);
    }
    rig.pass(2200ms);
    EXPECT_EQ(rig.flows(), 0u);
    Connection s(rig, client(7), 41000, kVip4, 80);
    s.open(syn);
    EXPECT_EQ(rig.sum(&WorkerCounters::port_early_reuse), 1u);
    return s;
  }
};

TEST_F(StaleBackend, answers_from_time_wait_and_is_reset_and_asked_again) {
  Connection s = reuse();
  const unsigned before = rig.free_mbufs();
  // The old connection's ACK: RFC 9293, 3.10.7.4 from TIME_WAIT, or a challenge (RFC 5961).
  const Tcp stale{.flags = kAck, .seq = 5002, .ack = 1002};
  EXPECT_TRUE(are(rig.send(kBack, s.from_backend(stale)),
                  {{kBack, s.reset_at_backend(1002)}, {kBack, s.at_backend(syn)}}));
  EXPECT_EQ(rig.sum(&WorkerCounters::stale_answered), 1u);
  EXPECT_EQ(rig.sum(&WorkerCounters::consumed), rig.asked.size() + 1)
      << "ARP answers, and the stale ACK";
  EXPECT_EQ(rig.only_flow().state, Track::syn_sent);
  s.backend_says("now it accepts", {.flags = kSyn | kAck, .seq = 9000, .ack = 70001});
  EXPECT_EQ(rig.free_mbufs(), before + 1) << "the SYN is kept no longer";
  s.client_says("ACK", {.flags = kAck, .seq = 70001, .ack = 9001});
  EXPECT_EQ(rig.only_flow().state, Track::established);
}

TEST_F(StaleBackend, from_a_still_open_connection_too) {
  Connection s = reuse();
  const Tcp stale{.flags = kAck | kPsh, .seq = 5002, .ack = 1002, .data = pattern(20)};
  EXPECT_EQ(rig.send(kBack, s.from_backend(stale)).size(), 2u);
  const Tcp fin{.flags = kAck | kFin, .seq = 5002, .ack = 1002};
  EXPECT_EQ(rig.send(kBack, s.from_backend(fin)).size(), 2u);
  EXPECT_EQ(rig.sum(&WorkerCounters::stale_answered), 2u);
}

TEST_F(StaleBackend, that_never_gives_in_is_not_asked_forever) {
  Connection s = reuse();
  const Tcp stale{.flags = kAck, .seq = 5002, .ack = 1002};
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(rig.send(kBack, s.from_backend(stale)).size(), 2u) << "a reset and the SYN again";
  EXPECT_TRUE(is(rig.send(kBack, s.from_backend(stale)), kBack, s.reset_at_backend(1002)));
  EXPECT_FALSE(rig.only_flow().syn_held);
  EXPECT_EQ(rig.send(kFront, s.from_client(syn)).size(), 1u) << "the client asks again";
  EXPECT_EQ(rig.send(kBack, s.from_backend(stale)).size(), 2u);
}

TEST_F(StaleBackend, kept_syn_goes_with_its_flow) {
  rig.run();
  const unsigned before = rig.free_mbufs();
  reuse();
  EXPECT_EQ(rig.free_mbufs(), before - 1);
  EXPECT_TRUE(rig.only_flow().syn_held);
  rig.pass(6s);
  EXPECT_EQ(rig.flows(), 0u);
  EXPECT_EQ(rig.free_mbufs(), before);
}

TEST_F(StaleBackend, kept_syn_goes_when_the_client_gives_up) {
  rig.run();
  const unsigned before = rig.free_mbufs();
  Connection s = reuse();
  rig.down(s.slot());
  rig.run();
  EXPECT_EQ(rig.flows(), 0u);
  EXPECT_EQ(rig.free_mbufs(), before);
}

TEST_F(StaleBackend, refusal_is_a_refusal_though_the_port_was_reused) {
  Connection s = reuse();
  s.backend_says("refusal", {.flags = kRst | kAck, .seq = 0, .ack = 70001, .window = 0});
  EXPECT_EQ(rig.only_flow().state, Track::closed);
  EXPECT_EQ(rig.sum(&WorkerCounters::stale_answered), 0u);
}

TEST(FirstMinute, every_syn_is_kept_as_the_past_is_unknown_and_later_none) {
  Rig rig({.hold_syns = 60s});
  Connection a(rig, client(1), 40000, kVip4, 80), b(rig, client(2), 40000, kVip4, 80);
  a.open();
  EXPECT_TRUE(are(
      rig.send(kBack, a.from_backend({.flags = kAck, .seq = 1, .ack = 2})),
      {{kBack, a.reset_at_backend(2)},
       {kBack, a.at_backend({.flags = kSyn, .seq = 1000, .options = Connection::syn_options()})}}));
  rig.pass(61s);
  b.open();
  EXPECT_TRUE(is(rig.send(kBack, b.from_backend({.flags = kAck, .seq = 1, .ack = 2})), kBack,
                 b.reset_at_backend(2)))
      << "the client will send its SYN again";
  // Ticks wrap after 52 days: the minute is over for good.
  for (int day = 0; day < 30; ++day) {
    rig.now = rig.now + 24h;
    rig.poll();
  }
  Connection c(rig, client(3), 40000, kVip4, 80);
  c.open();
  EXPECT_FALSE(rig.only_flow().syn_held);
}

TEST(FirstMinute, kept_syns_are_bounded_and_displaced_ones_leave_nothing_behind) {
  Rig rig({.flows = 8192, .hold_syns = 60s, .mbufs = 8191});
  rig.run();
  const unsigned before = rig.free_mbufs();
  for (unsigned i = 0; i < 5000; ++i) Connection(rig, client(i), 40000, kVip4, 80).open();
  EXPECT_EQ(before - rig.free_mbufs(), 4096u);
  unsigned kept = 0;
  for (flow::FlowId id = 0; id < 5000; ++id) kept += rig.worker().flows().at(id).syn_held ? 1 : 0;
  EXPECT_EQ(kept, 4096u);
  rig.pass(6s);
  EXPECT_EQ(rig.flows(), 0u);
  EXPECT_EQ(rig.free_mbufs(), before);
}

}  // namespace
}  // namespace limpet::worker_test
