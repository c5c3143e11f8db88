// One client cannot shut a service down: pools of a few places, an attacker who fills them from one
// address or from many, and honest clients who come meanwhile.
#include "splice_fixture.h"

namespace limpet::worker_test {
namespace {

using dataplane::WorkerCounters;
using flow::Pool;
using tcp::Track;

std::string edited() {
  return with(spliced(),
              R"(mode = "splice"; vip = "10.1.0.100"; port = 80; protocol = "tcp"; pool = "web";
    persistence = ( { type = "source"; } );)",
              R"(mode = "splice"; vip = "10.1.0.100"; port = 80; protocol = "tcp"; pool = "web";
    forwarded = "x-forwarded-for";
    persistence = ( { type = "cookie"; mode = "insert"; session_name = "S"; value = "plain"; } );)");
}

const Bytes kOptions = {2, 4, 5, 0xb4, 4, 2, 1, 1};

class Fair : public testing::Test {
 protected:
  static constexpr unsigned kBindings = 64;
  explicit Fair(const std::string& config = spliced(), size_t edit_bytes = 1 << 20)
      : rig([&] {
          Rig::Setup s;
          s.config = config;
          s.held_packets = kBindings;
          s.edit_bytes = edit_bytes;
          return s;
        }()) {}

  // One connection, as far as its owner goes.
  struct Connection {
    IpAddress from;
    uint16_t port = 0;
    uint32_t isn = 0;
    IpAddress backend;
    uint16_t source_port = 0;
    uint32_t seq = 1001, ack = 0, theirs = 7001;
    std::string told;  // of what limpet or the backend says
    bool reset = false;
  };
  Bytes frame(const Connection& c, const Tcp& t) {
    return tcp_frame(rig.to_us(c.from), {.from = c.from, .to = kVip4}, c.port, 80, t);
  }
  Bytes answer(const Connection& c, const Tcp& t) {
    return tcp_frame(rig.to_us(c.backend), {.from = c.backend, .to = kSource4}, 8080, c.source_port,
                     t);
  }
  Connection greet(const IpAddress& from) {
    Connection c{.from = from, .port = next_port++, .isn = 0};
    const auto out = rig.send(kFront, frame(c, {.flags = kSyn, .seq = 1000, .options = kOptions}));
    for (const Left& l : out)
      if (const Seen s = look(l.frame); s.to == from && s.to_port == c.port) c.isn = s.seq;
    c.ack = c.isn + 1;
    return c;
  }
  std::vector<Left> says(Connection& c, const Bytes& data) {
    auto out = rig.send(kFront,
                        frame(c, {.flags = kAck | kPsh, .seq = c.seq, .ack = c.ack, .data = data}));
    c.seq += static_cast<uint32_t>(data.size());
    for (const Left& l : out) hear(c, l);
    return out;
  }
  // Backends of this test accept at once.
  bool connect(Connection& c, const std::vector<Left>& out) {
    for (const Left& l : out) {
      const Seen s = look(l.frame);
      if (l.port != kBack || s.flags != kSyn) continue;
      c.backend = s.to;
      c.source_port = s.from_port;
      const auto more =
          rig.send(kBack, answer(c, {.flags = kSyn | kAck, .seq = 7000, .ack = 1001}));
      for (const Left& m : more) at_backend.push_back(look(m.frame));
      return true;
    }
    return false;
  }
  void hear(Connection& c, const Left& l) {
    const Seen s = look(l.frame);
    if (l.port != kFront || s.to != c.from || s.to_port != c.port) return;
    c.told.append(s.data.begin(), s.data.end());
    c.reset = c.reset || (s.flags & kRst) != 0;
    last_end = s.seq + static_cast<uint32_t>(s.data.size());
  }
  void responds(Connection& c, const std::string& text) {
    const auto out = rig.send(kBack, answer(c, {.flags = kAck | kPsh,
                                                .seq = c.theirs,
                                                .ack = backend_has(c),
                                                .data = bytes_of(text)}));
    c.theirs += static_cast<uint32_t>(text.size());
    for (const Left& l : out) hear(c, l);
  }
  // Everything that was forwarded is acknowledged by the backend.
  uint32_t backend_has(const Connection& c) const {
    uint32_t end = 1001;
    for (const Seen& s : at_backend)
      if (s.from_port == c.source_port && s.to == c.backend)
        end = std::max(end, s.seq + static_cast<uint32_t>(s.data.size()));
    return end;
  }
  // An honest client's request and its answer.
  bool served(const IpAddress& from) {
    Connection c = greet(from);
    const auto out = says(c, kRequest);
    if (!connect(c, out)) return false;
    responds(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    const bool good = c.told.starts_with("HTTP/1.1 200 OK\r\n") && !c.reset;
    // He acknowledges and closes.
    rig.send(kFront, frame(c, {.flags = kAck | kRst, .seq = c.seq, .ack = last_end}));
    return good;
  }
  uint64_t bindings() {
    rig.pass(1100ms);  // gauges are told once a second
    return rig.sum(&WorkerCounters::bindings_used);
  }
  uint64_t gave_way(Pool p) { return rig.stats().worker.gave_way[static_cast<size_t>(p)].get(); }

  const IpAddress kHonest = ip("10.1.0.2");
  Rig rig;
  uint16_t next_port = 20000;
  std::vector<Seen> at_backend;
  uint32_t last_end = 0;
};

IpAddress attacker(unsigned n) {
  return IpAddress::v4(198, 51, 100, static_cast<uint8_t>(n));
}

class OneOctet : public Fair, public testing::WithParamInterface<unsigned> {};

TEST_P(OneOctet, floods_cost_their_senders_their_own_places) {
  unsigned good = 0, asked = 0;
  for (unsigned i = 0; i < 400; ++i) {
    Connection c = greet(attacker(i % GetParam()));
    says(c, bytes_of("G"));
    if (i % 8 != 0) continue;
    ++asked;
    good += served(kHonest) ? 1 : 0;
  }
  EXPECT_EQ(good, asked);
  EXPECT_EQ(rig.drops(Drop::held_full), 0u);
  EXPECT_GE(gave_way(Pool::bindings), 400u - kBindings);
  EXPECT_LE(bindings(), kBindings * 3 / 4);
  // Then he is silent.
  rig.pass(14s);
  EXPECT_LT(bindings(), kBindings / 4);
  EXPECT_TRUE(served(kHonest));
}
INSTANTIATE_TEST_SUITE_P(Addresses, OneOctet, testing::Values(1u, 64u),
                         [](const auto& p) { return "from_" + std::to_string(p.param); });

TEST_F(Fair, below_the_mark_one_source_may_have_all_of_it) {
  std::vector<Connection> all;
  for (unsigned i = 0; i < kBindings * 3 / 4 - 3; ++i) {  // honest clients need one or two
    all.push_back(greet(attacker(1)));
    says(all.back(), bytes_of("GET / HTTP/1.1\r\n"));
  }
  for (unsigned i = 0; i < 20; ++i) EXPECT_TRUE(served(kHonest));
  EXPECT_EQ(gave_way(Pool::bindings), 0u);
  for (Connection& c : all) EXPECT_TRUE(connect(c, says(c, bytes_of("Host: a\r\n\r\n"))));
}

TEST_F(Fair, the_heaviest_source_gives_and_within_it_who_has_got_on_least_lately) {
  std::vector<Connection> heavy, light;
  for (unsigned i = 0; i < 10; ++i) {
    light.push_back(greet(attacker(100 + i)));
    says(light.back(), bytes_of("G"));
  }
  rig.pass(100ms);
  for (unsigned i = 0; i < 37; ++i) {
    heavy.push_back(greet(attacker(1)));
    says(heavy.back(), bytes_of("G"));
    rig.pass(20ms);
  }
  rig.take();
  // The pool is at its mark with the next one; each costs the heaviest source one.
  for (unsigned i = 0; i < 20; ++i) {
    light.push_back(greet(attacker(200 + i)));
    says(light.back(), bytes_of("G"));
  }
  unsigned kept = 0;
  for (Connection& c : light) {
    rig.take();
    kept += connect(c, says(c, bytes_of("ET / HTTP/1.1\r\nHost: a\r\n\r\n"))) ? 1 : 0;
  }
  EXPECT_EQ(kept, light.size()) << "the others had waited longer, but had less";
  EXPECT_GT(gave_way(Pool::bindings), 10u);
}

TEST_F(Fair, a_complete_head_is_never_refused_for_its_source_s_sake) {
  std::vector<Connection> waiting;
  // All of the pool and more, from one address, each waits for its backend.
  for (unsigned i = 0; i < kBindings; ++i) {
    waiting.push_back(greet(attacker(1)));
    const auto out = says(waiting.back(), kRequest);
    ASSERT_FALSE(out.empty());
    const Seen syn = look(out[0].frame);
    EXPECT_EQ(syn.flags, kSyn);
    waiting.back().backend = syn.to;
    waiting.back().source_port = syn.from_port;
  }
  EXPECT_EQ(gave_way(Pool::bindings), 0u);
  for (Connection& c : waiting)
    EXPECT_FALSE(
        rig.send(kBack, answer(c, {.flags = kSyn | kAck, .seq = 7000, .ack = 1001})).empty());
}

class LargeHeads : public Fair {};

TEST_F(LargeHeads, cost_their_sender_what_they_hold) {
  // 4 kB a place is what the memory of holds has; heads of 12 kB fill it with a quarter of the
  // places.
  const Bytes piece = bytes_of("GET / HTTP/1.1\r\nX: " + std::string(1300, 'x'));
  const Bytes more(1400, 'x');
  unsigned good = 0;
  for (unsigned i = 0; i < 60; ++i) {
    Connection c = greet(attacker(1));
    says(c, piece);
    for (int n = 0; n < 8; ++n) says(c, more);
    good += served(kHonest) ? 1 : 0;
  }
  EXPECT_EQ(good, 60u);
  EXPECT_GT(gave_way(Pool::holds), 10u);
  EXPECT_EQ(gave_way(Pool::bindings), 0u);
  rig.pass(15s);
  bindings();
  EXPECT_LT(rig.sum(&WorkerCounters::hold_bytes_used), uint64_t{kBindings} * 4096 / 4);
}

class Unacknowledged : public Fair {
 protected:
  // 256 units: a request's edit and a response's take two or three each.
  Unacknowledged() : Fair(edited(), 16384) {}
};

TEST_F(Unacknowledged, responses_fill_no_memory_of_edits_that_others_need) {
  std::vector<Connection> all;
  unsigned good = 0;
  for (unsigned i = 0; i < 60; ++i) {
    Connection c = greet(attacker(1));
    Bytes eight;
    for (int n = 0; n < 8; ++n) eight = eight + kRequest;
    ASSERT_TRUE(connect(c, says(c, eight))) << i << c.told;
    std::string answers;
    for (int n = 0; n < 8; ++n) answers += "HTTP/1.1 204 No Content\r\n\r\n";
    responds(c, answers);  // and he never acknowledges them
    rig.pass(1100ms);
    good += served(kHonest) ? 1 : 0;
    all.push_back(c);
  }
  EXPECT_EQ(good, 60u);
  EXPECT_GT(gave_way(Pool::edits), 20u);
  EXPECT_EQ(rig.sum(&WorkerCounters::splice_bad_heads), 0u);
  EXPECT_EQ(rig.sum(&WorkerCounters::splice_no_memory), 0u);
  EXPECT_EQ(rig.sum(&WorkerCounters::splice_edits_lost), 0u);
  rig.pass(15s);
  bindings();
  EXPECT_LT(rig.sum(&WorkerCounters::edit_bytes_used), 16384u / 4);
  // Both ends of what was ended have heard of it.
  EXPECT_GT(rig.sum(&WorkerCounters::flows_reset), 20u);
}

class NoEdits : public Fair {
 protected:
  NoEdits() : Fair(edited(), 64) {}  // room for one short one; ours needs 128
};

TEST_F(NoEdits, lack_of_memory_is_503_and_not_the_client_s_fault) {
  Connection c = greet(kHonest);
  says(c, bytes_of("GET / HTTP/1.1\r\nHost: a\r\nCookie: S=abcdefgh\r\n\r\n"));
  Connection d = greet(kHonest);
  says(d, bytes_of("GET / HTTP/1.1\r\nHost: a\r\nCookie: S=abcdefgh; T=1\r\n\r\n"));
  const std::string told = c.told + d.told;
  EXPECT_NE(told.find("HTTP/1.1 503 "), std::string::npos) << told;
  EXPECT_EQ(told.find("HTTP/1.1 400 "), std::string::npos);
  EXPECT_GE(rig.sum(&WorkerCounters::splice_no_memory), 1u);
  EXPECT_EQ(rig.sum(&WorkerCounters::splice_bad_heads), 0u);
}

TEST_F(Fair, an_answer_that_nobody_reads_ends_after_five_seconds_and_says_so) {
  Connection c = greet(attacker(1));
  says(c, bytes_of("\x16\x03\x01 hello"));
  EXPECT_EQ(rig.only_flow().state, Track::answering);
  rig.pass(2s);
  says(c, bytes_of("x"));  // progress of his does not move it
  rig.pass(2900ms);
  EXPECT_EQ(rig.flows(), 1u);
  rig.take();
  rig.pass(300ms);
  EXPECT_EQ(rig.flows(), 0u);
  for (const Left& l : rig.take()) hear(c, l);
  EXPECT_TRUE(c.reset);
}

}  // namespace
}  // namespace limpet::worker_test
