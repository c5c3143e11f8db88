// Clients who are bound to a backend that does not take their connection: it may be back in a
// moment, and they have something there.
#include "splice_fixture.h"

namespace limpet::worker_test {
namespace {

using affinity::Reason;
using dataplane::WorkerCounters;
using tcp::Track;

std::string bound(const std::string& more = "") {
  const std::string plain =
      with(spliced(), R"({ name = "web6"; vip)", R"({ name = "web6"; mode = "splice"; vip)");
  return with(plain, R"(persistence = ( { type = "source"; } );
    timeouts = { connect = "1s";)",
              more + R"(persistence = (
      { type = "cookie"; mode = "insert"; session_name = "SRV"; value = "plain"; },
      { type = "source"; } );
    timeouts = { connect = "1s";)");
}

const std::string kHome = "GET / HTTP/1.1\r\nHost: a\r\nCookie: SRV=s1\r\n\r\n";
const std::string kNew = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

// A client of the rig's that has said hello and asked.
class Retry : public testing::TestWithParam<bool> {
 protected:
  explicit Retry(const std::string& config = bound())
      : rig([&] {
          Rig::Setup setup;
          setup.config = config;
          return setup;
        }()) {}

  const bool v6 = GetParam();
  const char* const pool = v6 ? "web6" : "web";
  const IpAddress vip = v6 ? kVip6 : kVip4;
  const IpAddress home = ip(v6 ? "fd00:2::11" : "10.2.0.11");
  const IpAddress host = ip(v6 ? "fd00:1::2" : "10.1.0.2");
  Rig rig;
  uint32_t isn = 0;

  Bytes client(const Tcp& t, uint16_t port = 40000) {
    return tcp_frame(rig.to_us(host), {.from = host, .to = vip}, port, 80, t);
  }
  // What it makes limpet send to a backend.
  std::vector<Left> ask(const std::string& text, uint16_t port = 40000) {
    const auto hello =
        rig.send(kFront, client({.flags = kSyn, .seq = 1000, .options = {2, 4, 5, 0xb4}}, port));
    isn = look(hello.at(0).frame).seq;
    return rig.send(
        kFront, client({.flags = kAck, .seq = 1001, .ack = isn + 1, .data = bytes_of(text)}, port));
  }
  // The SYN among these; there is exactly one.
  Seen syn(const std::vector<Left>& out) {
    Seen found;
    unsigned n = 0;
    for (const Left& l : out) {
      const Seen s = look(l.frame);
      if (l.port != kBack || s.flags != kSyn) continue;
      found = s;
      ++n;
    }
    EXPECT_EQ(n, 1u);
    return found;
  }
  Bytes reply(const Seen& syn, const Tcp& t) {
    return tcp_frame(rig.to_us(syn.to), {.from = syn.to, .to = syn.from}, syn.to_port,
                     syn.from_port, t);
  }
  std::vector<Left> refuse(const Seen& s) {
    return rig.send(kBack, reply(s, {.flags = kRst | kAck, .seq = 0, .ack = 1001}));
  }
  std::vector<Left> accept(const Seen& s) {
    return rig.send(
        kBack,
        reply(s, {.flags = kSyn | kAck, .seq = 7000, .ack = 1001, .options = {2, 4, 5, 0xb4}}));
  }
  std::vector<Left> after(Duration d) {
    rig.pass(d);
    return rig.take();
  }
  static unsigned to_backends(const std::vector<Left>& out) {
    unsigned n = 0;
    for (const Left& l : out) n += l.port == kBack ? 1 : 0;
    return n;
  }
};

#define LIMPET_BOTH_FAMILIES(Suite)                          \
  INSTANTIATE_TEST_SUITE_P(Families, Suite, testing::Bool(), \
                           [](const auto& family) { return family.param ? "v6" : "v4"; })
LIMPET_BOTH_FAMILIES(Retry);

TEST_P(Retry, who_is_refused_comes_again_at_one_two_and_three_seconds_and_is_moved_then) {
  Seen s = syn(ask(kHome));
  ASSERT_EQ(s.to, home);
  const uint16_t port = s.from_port;
  for (int second = 1; second <= 3; ++second) {
    EXPECT_EQ(to_backends(refuse(s)), 0u);
    EXPECT_EQ(to_backends(after(940ms)), 0u) << second;
    s = syn(after(80ms));
    EXPECT_EQ(s.to, home);
    EXPECT_EQ(s.from_port, port);
  }
  const Seen other = syn(refuse(s));
  EXPECT_NE(other.to, home);
  EXPECT_EQ(rig.sum(&WorkerCounters::splice_retried), 3u);
  EXPECT_EQ(rig.sum(&WorkerCounters::splice_redispatched), 1u);
  EXPECT_EQ(rig.stats().backends[rig.backend(pool, "s1")].connect_failures.get(), 4u);
  accept(other);
  EXPECT_EQ(rig.only_flow().reason, static_cast<uint8_t>(Reason::cookie_down));
}

TEST_P(Retry, a_backend_that_is_back_in_time_keeps_its_user) {
  Seen s = syn(ask(kHome));
  for (int i = 0; i < 3; ++i) {
    refuse(s);
    s = syn(after(1050ms));
  }
  const auto out = accept(s);
  ASSERT_EQ(to_backends(out), 1u);
  for (const Left& l : out) {
    if (l.port != kBack) continue;
    EXPECT_EQ(look(l.frame).to, home);
    EXPECT_EQ(look(l.frame).data.size(), kNew.size()) << "without our cookie";
  }
  EXPECT_EQ(rig.only_flow().state, Track::established);
  EXPECT_EQ(rig.only_flow().reason, static_cast<uint8_t>(Reason::cookie));
  EXPECT_EQ(rig.sum(&WorkerCounters::splice_redispatched), 0u);
}

TEST_P(Retry, a_time_out_is_a_try) {
  EXPECT_EQ(syn(ask(kHome)).to, home);
  unsigned others = 0;
  for (int ms = 0; ms < 3950; ms += 50)
    for (const Left& l : after(50ms)) others += l.port == kBack && look(l.frame).to != home;
  EXPECT_EQ(others, 0u);
  for (const Left& l : after(150ms)) others += l.port == kBack && look(l.frame).to != home;
  EXPECT_EQ(others, 1u);
  EXPECT_EQ(rig.sum(&WorkerCounters::splice_retried), 3u);
}

// As on a path with loss: the answer to any SYN will do, and each try begins with a quick one.
TEST_P(Retry, an_answer_to_a_later_try_keeps_its_user) {
  const Seen s = syn(ask(kHome));
  after(3900ms);
  EXPECT_EQ(to_backends(accept(s)), 1u);
  EXPECT_EQ(rig.only_flow().state, Track::established);
  EXPECT_EQ(rig.sum(&WorkerCounters::splice_redispatched), 0u);
}

TEST_P(Retry, a_refusal_that_comes_twice_is_one) {
  const Seen s = syn(ask(kHome));
  for (int i = 0; i < 5; ++i) EXPECT_EQ(to_backends(refuse(s)), 0u);
  EXPECT_EQ(rig.sum(&WorkerCounters::splice_retried), 1u);
}

TEST_P(Retry, nobody_waits_for_a_backend_that_is_known_to_be_down) {
  const Seen s = syn(ask(kHome));
  refuse(s);
  after(300ms);
  rig.down(rig.backend(pool, "s1"));
  EXPECT_NE(syn(rig.run()).to, home);
  after(10s);
  EXPECT_EQ(rig.sum(&WorkerCounters::splice_retried), 1u);
}

TEST_P(Retry, a_backend_that_was_left_because_it_was_down_was_not_tried) {
  refuse(syn(ask(kHome)));
  rig.down(rig.backend(pool, "s1"));
  Seen s = syn(rig.run());
  EXPECT_NE(s.to, home);
  rig.up(rig.backend(pool, "s1"));
  rig.run();
  EXPECT_EQ(syn(refuse(s)).to, home);
}

TEST_P(Retry, a_new_client_is_moved_at_once) {
  const Seen s = syn(ask(kNew));
  EXPECT_NE(syn(refuse(s)).to, s.to);
  EXPECT_EQ(rig.sum(&WorkerCounters::splice_retried), 0u);
}

TEST_P(Retry, a_client_that_goes_leaves_its_place) {
  refuse(syn(ask(kHome)));
  rig.send(kFront, client({.flags = kRst, .seq = 1001 + static_cast<uint32_t>(kHome.size())}));
  EXPECT_EQ(rig.flows(), 0u);
  EXPECT_EQ(to_backends(after(5s)), 0u);
  EXPECT_EQ(rig.sum(&WorkerCounters::bindings_used), 0u);
}

// 256 bindings: 64 may wait for one backend.
TEST_P(Retry, a_quarter_of_the_bindings_may_wait_for_one_backend) {
  for (int round = 0; round < 2; ++round) {
    std::vector<Seen> all;
    for (uint16_t i = 0; i < 65; ++i)
      all.push_back(syn(ask(kHome, static_cast<uint16_t>(41000 + 100 * round + i))));
    for (size_t i = 0; i < 64; ++i) EXPECT_EQ(to_backends(refuse(all[i])), 0u) << i;
    EXPECT_NE(syn(refuse(all[64])).to, home);
    rig.down(rig.backend(pool, "s1"));
    rig.run();
    rig.up(rig.backend(pool, "s1"));
    rig.run();
  }
}

class NoRetry : public Retry {
 protected:
  NoRetry() : Retry(bound("retries = 0; ")) {}
};
LIMPET_BOTH_FAMILIES(NoRetry);

TEST_P(NoRetry, moves_at_once) {
  EXPECT_NE(syn(refuse(syn(ask(kHome)))).to, home);
}

class OneRetry : public Retry {
 protected:
  OneRetry() : Retry(bound("retries = 1; redispatch = false; ")) {}
};
LIMPET_BOTH_FAMILIES(OneRetry);

TEST_P(OneRetry, where_nobody_is_moved_the_last_one_decides) {
  refuse(syn(ask(kHome)));
  const auto out = refuse(syn(after(1050ms)));
  EXPECT_EQ(to_backends(out), 0u);
  std::string text;
  for (const Left& l : out) {
    const Bytes data = look(l.frame).data;
    text.append(data.begin(), data.end());
  }
  EXPECT_EQ(text.substr(0, 12), "HTTP/1.1 503");
}

class Pinned : public Retry {
 protected:
  Pinned() : Retry(bound("table = { size = 100; }; ")) {}
};
LIMPET_BOTH_FAMILIES(Pinned);

TEST_P(Pinned, an_earlier_connection_of_the_address_binds_too) {
  const Seen first = syn(ask(kNew));
  accept(first);
  Seen s = syn(ask(kNew, 40001));
  ASSERT_EQ(s.to, first.to);
  EXPECT_EQ(to_backends(refuse(s)), 0u);
  s = syn(after(1050ms));
  EXPECT_EQ(s.to, first.to);
  EXPECT_EQ(to_backends(accept(s)), 1u);
}

}  // namespace
}  // namespace limpet::worker_test
