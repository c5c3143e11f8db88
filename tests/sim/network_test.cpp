// Codec, hosts and the network: what scenarios rely on.
#include "network.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pattern_app.h"
#include "scenario.h"

namespace limpet::sim {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Segment example(bool v6) {
  static const Bytes kData = {'h', 'e', 'l', 'l', 'o'};
  Segment s;
  s.from_mac = {{2, 0, 0, 0, 0, 1}};
  s.to_mac = {{2, 0, 0, 0, 0, 2}};
  s.from = client_address(v6);
  s.to = server_address(v6);
  s.from_port = 1234;
  s.to_port = 80;
  s.seq = 0xfffffff0;
  s.ack = 7;
  s.flags = kAck | kPsh;
  s.window = 512;
  s.options = {.timestamps = {{1, 2}}};
  s.options.sack[s.options.sacks++] = {10, 20};
  s.data = kData;
  return s;
}

TEST(Codec, what_is_written_is_read) {
  for (const bool v6 : {false, true}) {
    const Bytes frame = emit(example(v6));
    const Packet p = parse(frame);
    ASSERT_EQ(p.kind, Packet::Kind::tcp);
    EXPECT_EQ(describe(p.tcp), "P. seq 4294967280 ack 7 win 512 <TS 1 2,sack 10:20> len 5");
    EXPECT_EQ(p.tcp.from, client_address(v6));
    EXPECT_EQ(p.tcp.option_bytes, 24u);
    EXPECT_EQ(emit(p.tcp), frame);
  }
}

// The frame of RFC 1071's rule, summed by hand: 10.1.0.1:1 -> 10.2.0.1:2, seq 1, SYN.
TEST(Codec, checksums_are_those_of_the_rfc) {
  Segment s;
  s.from = client_address(false);
  s.to = server_address(false);
  s.from_port = 1;
  s.to_port = 2;
  s.seq = 1;
  s.flags = kSyn;
  const Bytes f = emit(s);
  // IP: 4500 0028 0000 4000 4006 0000 0a01 0001 0a02 0001 -> d933.
  EXPECT_EQ(f[24] << 8 | f[25], 0x26cc);
  // TCP: 0a01+0001+0a02+0001+0006+0014 + 0001+0002+0000+0001+0000+0000+5002+0000 -> 6425.
  EXPECT_EQ(f[50] << 8 | f[51], 0x9bda);
}

TEST(Codec, every_damaged_bit_is_noticed) {
  for (const bool v6 : {false, true}) {
    const Bytes frame = emit(example(v6));
    for (size_t bit = 0; bit < (frame.size() - kEthernet) * 8; ++bit) {
      // IPv6 protects neither class and flow label nor the hop limit.
      if (v6 && (bit < 32 || bit / 8 == 7)) continue;
      Bytes damaged = frame;
      damaged[kEthernet + bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
      EXPECT_NE(parse(damaged).kind, Packet::Kind::tcp) << "bit " << bit << " of v6 " << v6;
      fix_checksums(damaged = frame);
      EXPECT_EQ(damaged, frame);
    }
  }
}

TEST(Codec, packet_too_big_quotes_the_segment) {
  for (const bool v6 : {false, true}) {
    const IpAddress router = v6 ? *IpAddress::parse("2001:db8::1") : IpAddress::v4(192, 0, 2, 1);
    const Packet p = parse(emit_too_big(emit(example(v6)), router, 1280));
    ASSERT_EQ(p.kind, Packet::Kind::too_big);
    EXPECT_EQ(p.too_big.from, client_address(v6));
    EXPECT_EQ(p.too_big.seq, 0xfffffff0u);
    EXPECT_EQ(p.too_big.mtu, 1280u);
  }
}

// Two hosts on a wire, 20,000 octets from the server.
struct Lab {
  explicit Lab(LinkOptions link = {})
      : network(wire, 3),
        client("client", client_address(false), {{2, 0, 0, 0, 0, 1}}, {{2, 0, 0, 0, 0, 2}}),
        server("server", server_address(false), {{2, 0, 0, 0, 0, 2}}, {{2, 0, 0, 0, 0, 1}}),
        app({.sends = 1, .expects = 2, .total = 0, .awaits = 20000}) {
    network.trace = &trace;
    network.join(client, 0, link, link);
    network.join(server, 1, link, link);
    server.listen(80, [](const Segment&) {
      PatternOptions p{.sends = 2, .expects = 1, .total = 20000, .awaits = 0};
      return Host::Accepted{{}, std::make_unique<PatternApp>(p)};
    });
  }
  Endpoint& connect(uint16_t port = 4000) {
    EndpointOptions o;
    o.local_port = port;
    o.remote = server.address;
    o.remote_port = 80;
    return client.connect(o, app, network.now());
  }
  void run() {
    const bool done = network.run(
        [&] {
          return client.connections()[0].endpoint->done() && !server.connections().empty() &&
                 server.connections()[0].endpoint->done();
        },
        network.now() + 100s);
    EXPECT_TRUE(done);
    EXPECT_TRUE(app.complete()) << app.describe();
    EXPECT_THAT(client.violations(), IsEmpty());
    EXPECT_THAT(server.violations(), IsEmpty());
  }

  Wire wire;
  Trace trace;
  Network network;
  Host client, server;
  PatternApp app;
};

TEST(Network, a_rule_drops_the_third_data_segment_of_the_server) {
  Lab lab;
  lab.network.rule({.name = "third data segment",
                    .host = "server",
                    .match = [](const Passing& p) { return p.data(); },
                    .first = 3});
  lab.connect();
  lab.run();
  EXPECT_THAT(lab.network.unused_rules(), IsEmpty());
  EXPECT_THAT(lab.trace.text(), HasSubstr("seq 2897:4345(1448)"));
  EXPECT_THAT(lab.trace.text(), HasSubstr("** dropped: third data segment"));
  EXPECT_EQ(lab.server.counts().retransmissions, 1u);
  EXPECT_EQ(lab.server.counts().fast_retransmits, 1u);
}

TEST(Network, a_rule_holds_a_frame_until_others_have_passed) {
  Lab lab;
  lab.network.rule({.name = "late",
                    .host = "client",
                    .up = false,
                    .match = [](const Passing& p) { return p.data(); },
                    .what = Rule::What::hold,
                    .hold = 5ms});
  lab.connect();
  lab.run();
  EXPECT_GT(lab.client.counts().out_of_order, 5u);
  EXPECT_EQ(lab.client.counts().dsacks_sent, 1u) << "it came again before it came";
}

TEST(Network, a_rule_that_met_nothing_is_reported) {
  Lab lab;
  lab.network.rule({.name = "never", .match = [](const Passing& p) { return p.has(kUrg); }});
  lab.network.rule({.name = "copy",
                    .match = [](const Passing& p) { return p.has(kSyn); },
                    .what = Rule::What::duplicate});
  unsigned seen = 0;
  lab.network.rule({.name = "look",
                    .match = [](const Passing& p) { return p.has(kFin); },
                    .what = Rule::What::call,
                    .call =
                        [&](const Passing& p) {
                          ++seen;
                          EXPECT_TRUE(p.up);
                        }});
  lab.connect();
  lab.run();
  EXPECT_EQ(seen, 1u);
  EXPECT_THAT(lab.network.unused_rules(), ElementsAre("never: applied 0 times, not 1"));
}

TEST(Network, a_link_with_a_small_mtu_tells_the_sender) {
  Lab lab;
  lab.network.set_link(lab.client, false, {.mtu = 1000});
  lab.connect();
  lab.run();
  EXPECT_EQ(lab.server.counts().mtu_reductions, 1u);
  EXPECT_EQ(lab.server.connections()[0].endpoint->options().mtu, 1000);
  EXPECT_THAT(lab.trace.text(), HasSubstr("packet too big, mtu 1000"));
}

TEST(Network, damage_is_noticed_and_repaired) {
  Lab lab({.corrupt = 100});
  lab.client.corruption = lab.server.corruption = true;
  lab.connect();
  lab.run();
  EXPECT_GT(lab.client.counts().checksum_drops + lab.server.counts().checksum_drops, 0u);
  Lab strict({.corrupt = 1000});
  strict.connect();
  strict.network.run_for(5s);
  EXPECT_THAT(strict.server.violations(), testing::Not(IsEmpty()));
}

TEST(Network, a_seed_is_the_same_every_time) {
  std::string first;
  for (int i = 0; i < 2; ++i) {
    Trace trace;
    Wire wire;
    const Outcome outcome = run(derive(12), wire, &trace);
    EXPECT_THAT(outcome.failures, IsEmpty());
    EXPECT_GT(trace.text().size(), 1000u);
    if (i == 0) first = trace.text();
    EXPECT_EQ(trace.text(), first);
  }
}

TEST(Network, a_storm_is_stopped) {
  struct Echo : Middlebox {
    std::vector<Frame> on_frame(uint16_t port, Bytes bytes, Instant) override {
      std::vector<Frame> out;
      for (int i = 0; i < 2; ++i) out.push_back({static_cast<uint16_t>(port ^ 1), bytes});
      return out;
    }
  } echo;
  Lab lab;
  Network network(echo, 1);
  network.event_limit = 1000;
  network.join(lab.client, 0, {}, {});
  network.join(lab.server, 1, {}, {});
  lab.connect();
  for (int i = 0; i < 2000; ++i) {
    network.inject_to_box(0, emit(example(false)), Instant{} + Duration(i));
  }
  EXPECT_FALSE(network.run([] { return false; }, Instant{} + 1s));
  EXPECT_THAT(network.violations(), ElementsAre(HasSubstr("a storm")));
}

TEST(Host, refuses_what_belongs_to_nobody) {
  Host host("h", client_address(false), {{2, 0, 0, 0, 0, 1}}, {{2, 0, 0, 0, 0, 2}});
  Segment s = example(false);
  std::swap(s.from, s.to);
  std::swap(s.from_mac, s.to_mac);
  host.on_frame(emit(s), {});
  s.flags = kSyn;
  s.data = {};
  host.on_frame(emit(s), {});
  s.flags = kRst;
  host.on_frame(emit(s), {});
  const std::vector<Bytes> out = host.take();
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(describe(parse(out[0]).tcp), "R seq 7 win 0 len 0");
  EXPECT_EQ(describe(parse(out[1]).tcp), "R. seq 0 ack 4294967281 win 0 len 0");
}

TEST(Host, a_new_syn_follows_a_connection_in_time_wait) {
  Lab lab;
  lab.server.close_listener(80);
  lab.server.listen(80, [](const Segment&) {
    PatternOptions p{.sends = 2, .expects = 1, .total = 20000, .awaits = 0};
    EndpointOptions o;
    return Host::Accepted{o, std::make_unique<PatternApp>(p)};
  });
  lab.connect();
  lab.run();
  // The client answers last, so whoever closed first waits; a second one on the same ports.
  lab.client.forget_connections();
  PatternApp again({.sends = 1, .expects = 2, .total = 0, .awaits = 20000});
  EndpointOptions o;
  o.isn = 5'000'000;
  o.local_port = 4000;
  o.remote = lab.server.address;
  o.remote_port = 80;
  Endpoint& second = lab.client.connect(o, again, lab.network.now());
  lab.network.run([&] { return second.done(); }, lab.network.now() + 100s);
  EXPECT_TRUE(again.complete()) << again.describe();
  EXPECT_EQ(lab.server.connections().size(), 2u);
}

}  // namespace
}  // namespace limpet::sim
