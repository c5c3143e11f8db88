// A time for each thing that a spliced connection can wait for, and how its ends hear of it.
#include <tuple>

#include "splice_fixture.h"

namespace limpet::worker_test {
namespace {

using affinity::Reason;
using dataplane::WorkerCounters;
using tcp::Track;

constexpr const char* kTimes = R"(timeouts = { connect = "1s"; response = "10s"; keep_alive = "20s";
    tunnel = "100s"; idle = "60s"; half_closed = "30s"; time_wait = "2s"; };)";

std::string waiting(const std::string& more) {
  const std::string both =
      with(spliced(), R"({ name = "web6"; vip)", R"({ name = "web6"; mode = "splice"; vip)");
  return with(
      both,
      R"(timeouts = { connect = "1s"; idle = "60s"; half_closed = "20s"; time_wait = "2s"; };)",
      more + kTimes);
}
const char* const kFollowed = R"(forwarded = "x-forwarded-for"; )";

class Waiting : public testing::TestWithParam<bool> {
 protected:
  explicit Waiting(const std::string& config = waiting(kFollowed))
      : rig([&] {
          Rig::Setup setup;
          setup.config = config;
          return setup;
        }()) {}

  const bool v6 = GetParam();
  const char* const service = v6 ? "web6" : "web";
  const IpAddress host = ip(v6 ? "fd00:1::2" : "10.1.0.2");
  const IpAddress vip = v6 ? kVip6 : kVip4;
  const IpAddress source = v6 ? kSource6 : kSource4;
  Rig rig;
  uint32_t isn = 0, up = 1001, grown = 0;  // next number of the client's; what X-F-F adds
  IpAddress backend;
  uint16_t source_port = 0;

  Bytes client(const Tcp& t) {
    return tcp_frame(rig.to_us(host), {.from = host, .to = vip}, 40000, 80, t);
  }
  Bytes server(const Tcp& t) {
    return tcp_frame(rig.to_us(backend), {.from = backend, .to = source}, 8080, source_port, t);
  }
  std::vector<Left> says(const std::string& text, uint8_t flags = 0, uint32_t ack = 0) {
    const uint32_t seq = up;
    up += static_cast<uint32_t>(text.size()) + ((flags & kFin) != 0 ? 1 : 0);
    return rig.send(kFront, client({.flags = static_cast<uint8_t>(kAck | flags),
                                    .seq = seq,
                                    .ack = isn + 1 + ack,
                                    .data = bytes_of(text)}));
  }
  // `at`: octets of its stream that went before.
  std::vector<Left> answers(const std::string& text, uint32_t at = 0, uint8_t flags = 0) {
    return rig.send(kBack, server({.flags = static_cast<uint8_t>(kAck | flags),
                                   .seq = 7001 + at,
                                   .ack = up + grown,
                                   .data = bytes_of(text)}));
  }
  // The backend has the request, and says so. It numbers its octets from 7001.
  void ask(const std::string& text = "GET / HTTP/1.1\r\nHost: a\r\n\r\n", uint8_t flags = 0) {
    const auto hello = rig.send(
        kFront, client({.flags = kSyn, .seq = 1000, .options = {2, 4, 5, 0xb4, 4, 2, 1, 1}}));
    ASSERT_EQ(hello.size(), 1u);
    isn = look(hello[0].frame).seq;
    const auto out = says(text, flags);
    ASSERT_EQ(out.size(), 1u) << rig.drop_list();
    const Seen syn = look(out[0].frame);
    backend = syn.to;
    source_port = syn.from_port;
    rig.send(kBack,
             server({.flags = kSyn | kAck, .seq = 7000, .ack = 1001, .options = {2, 4, 5, 0xb4}}));
    if (followed()) grown = static_cast<uint32_t>(19 + host.to_string().size());
    rig.send(kBack, server({.flags = kAck, .seq = 7001, .ack = up + grown}));
    ASSERT_EQ(rig.flows(), 1u);
  }
  virtual bool followed() const { return true; }

  Bytes reset_of_client(uint32_t seq) {
    return tcp_frame(rig.from_us(host), {.from = vip, .to = host, .ttl = 63}, 80, 40000,
                     {.flags = kRst, .seq = seq, .window = 0});
  }
  Bytes reset_of_backend(uint32_t seq) {
    return tcp_frame(rig.from_us(backend), {.from = source, .to = backend, .ttl = 63}, source_port,
                     8080, {.flags = kRst, .seq = seq, .window = 0});
  }
  // `down`: octets that the client has acknowledged.
  testing::AssertionResult both_are_told(uint32_t down) {
    return are(by_port(rig.take()),
               {{kFront, reset_of_client(isn + 1 + down)}, {kBack, reset_of_backend(up + grown)}});
  }
  uint64_t reason(Reason r) {
    return rig.stats().services[rig.service(service)].reasons[static_cast<size_t>(r)].get();
  }
  // What the client reads; the rest must be resets of the backend at the exact number, one.
  std::string said(std::vector<Left> out) {
    std::string text;
    unsigned resets = 0;
    for (const Left& l : out) {
      const Seen s = look(l.frame);
      EXPECT_TRUE(s.sums_right);
      if (l.port == kBack) {
        EXPECT_EQ(l.frame, reset_of_backend(up + grown));
        ++resets;
        continue;
      }
      EXPECT_TRUE(s.data.empty() || s.seq == isn + 1 + text.size());
      EXPECT_EQ(s.ack, up);
      text.append(s.data.begin(), s.data.end());
    }
    EXPECT_EQ(resets, 1u);
    return text;
  }
  flow::Wait wait() { return flow::wait_of(rig.only_flow()); }
};

#define LIMPET_BOTH_FAMILIES(Suite)                          \
  INSTANTIATE_TEST_SUITE_P(Families, Suite, testing::Bool(), \
                           [](const auto& family) { return family.param ? "v6" : "v4"; })
LIMPET_BOTH_FAMILIES(Waiting);

TEST_P(Waiting, a_request_without_an_answer_is_told_504_and_its_backend_reset) {
  ask();
  rig.pass(9800ms);
  EXPECT_TRUE(nothing(rig.take()));
  rig.pass(400ms);
  const std::string text = said(rig.take());
  EXPECT_EQ(text.substr(0, 29), "HTTP/1.1 504 Gateway Timeout\r");
  EXPECT_NE(text.find("</html>\n"), text.npos);
  EXPECT_NE(text.find("\r\nConnection: close\r\n"), text.npos);
  EXPECT_EQ(rig.only_flow().state, Track::answering);
  EXPECT_EQ(reason(Reason::response_timeout), 1u);
  // The client reads it and closes.
  const auto length = static_cast<uint32_t>(text.size());
  rig.send(kFront, client({.flags = kAck | kFin, .seq = up, .ack = isn + 2 + length}));
  EXPECT_EQ(rig.only_flow().state, Track::time_wait);
  rig.pass(3s);
  EXPECT_EQ(rig.flows(), 0u);
  EXPECT_EQ(rig.sum(&WorkerCounters::bindings_used), 0u);
  EXPECT_EQ(rig.sum(&WorkerCounters::sessions_used), 0u);
}

TEST_P(Waiting, an_answer_to_head_ends_with_its_head) {
  ask("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
  rig.pass(10200ms);
  const std::string text = said(rig.take());
  EXPECT_EQ(text.find("\r\n\r\n"), text.size() - 4) << text;
}

TEST_P(Waiting, a_client_that_has_closed_is_told_and_ends_at_once) {
  ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n", kFin);
  EXPECT_EQ(rig.only_flow().state, Track::fin_client);
  rig.pass(10200ms);
  const std::string text = said(rig.take());
  EXPECT_EQ(text.substr(9, 3), "504");
  rig.send(kFront,
           client({.flags = kAck, .seq = up, .ack = isn + 2 + static_cast<uint32_t>(text.size())}));
  EXPECT_EQ(rig.only_flow().state, Track::time_wait);
}

TEST_P(Waiting, neither_acks_nor_probes_move_the_end_of_a_wait) {
  ask();
  for (int i = 0; i < 3; ++i) {
    rig.pass(3s);
    rig.send(kFront, client({.flags = kAck, .seq = up, .ack = isn + 1}));
    rig.send(kFront, client({.flags = kAck, .seq = up - 1, .ack = isn + 1}));
    rig.send(kBack, server({.flags = kAck, .seq = 7001, .ack = up + grown}));
    rig.send(kBack, server({.flags = kAck, .seq = 7000, .ack = up + grown}));
  }
  rig.take();
  rig.pass(1200ms);
  EXPECT_EQ(said(rig.take()).substr(9, 3), "504");
}

TEST_P(Waiting, octets_that_come_again_do_not_either) {
  ask();
  rig.pass(9s);
  up = 1001;
  says("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  rig.take();
  rig.pass(1200ms);
  EXPECT_EQ(said(rig.take()).substr(9, 3), "504");
}

TEST_P(Waiting, half_a_head_of_an_answer_is_no_answer) {
  ask();
  rig.pass(4s);
  answers("HTTP/1.1 200 OK\r\nContent-Le");
  rig.take();
  rig.pass(9500ms);
  EXPECT_TRUE(nothing(rig.take())) << "but octets of one";
  rig.pass(700ms);
  EXPECT_EQ(said(rig.take()).substr(9, 3), "504");
}

TEST_P(Waiting, behind_the_head_of_an_answer_both_are_reset) {
  ask();
  const std::string head = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n";
  answers(head);
  const auto n = static_cast<uint32_t>(head.size());
  says("", 0, n);
  rig.take();
  EXPECT_EQ(wait(), flow::Wait::response);
  rig.pass(9s);
  answers("0123456789", n);
  says("", 0, n + 10);
  rig.take();
  rig.pass(9700ms);
  EXPECT_TRUE(nothing(rig.take())) << "octets move it";
  rig.pass(500ms);
  EXPECT_TRUE(both_are_told(n + 10));
  EXPECT_EQ(reason(Reason::response_timeout), 1u);
  EXPECT_EQ(rig.sum(&WorkerCounters::sessions_used), 0u);
}

TEST_P(Waiting, what_is_under_way_to_the_client_forbids_504) {
  ask("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
  grown *= 2;
  answers("HTTP/1.1 204 No\r\n\r\n");  // of the first; never acknowledged
  rig.take();
  rig.pass(10200ms);
  const auto out = by_port(rig.take());
  ASSERT_EQ(out.size(), 3u);
  EXPECT_EQ(out[0].frame, reset_of_client(isn + 1));
  EXPECT_EQ(out[1].frame, reset_of_client(isn + 1 + 19)) << "where its ACK was lost";
}

TEST_P(Waiting, the_rest_of_a_body_forbids_504) {
  ask("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
  grown *= 2;
  const std::string part = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + std::string(40, 'x');
  answers(part);
  const auto n = static_cast<uint32_t>(part.size());
  says("", 0, n);
  rig.take();
  rig.pass(10200ms);
  EXPECT_TRUE(both_are_told(n));
}

TEST_P(Waiting, without_buffers_it_stays_due) {
  ask();
  rig.pass(9s);
  {
    const Hoard all(rig);
    rig.pass(3s);
    EXPECT_EQ(rig.only_flow().state, Track::established);
  }
  rig.pass(200ms);
  EXPECT_EQ(said(rig.take()).substr(9, 3), "504");
}

TEST_P(Waiting, between_two_requests_has_a_time_of_its_own) {
  ask();
  const std::string answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
  const auto n = static_cast<uint32_t>(answer.size());
  answers(answer);
  says("", 0, n);
  EXPECT_EQ(wait(), flow::Wait::keep_alive);
  rig.pass(19s);
  rig.send(kFront, client({.flags = kAck, .seq = up - 1, .ack = isn + 1 + n}));
  rig.take();
  rig.pass(1200ms);
  EXPECT_TRUE(both_are_told(n));
  EXPECT_EQ(reason(Reason::response_timeout), 0u);
}

TEST_P(Waiting, the_next_request_begins_a_wait_for_its_own_answer) {
  ask();
  const std::string answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
  const auto n = static_cast<uint32_t>(answer.size());
  answers(answer);
  says("", 0, n);
  rig.pass(15s);
  says("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n", 0, n);
  EXPECT_EQ(wait(), flow::Wait::response);
  rig.take();
  rig.pass(9500ms);
  EXPECT_TRUE(nothing(rig.take()));
  rig.pass(700ms);
  std::string text;
  for (const Left& l : rig.take())
    if (l.port == kFront) {
      const Bytes data = look(l.frame).data;
      text.append(data.begin(), data.end());
    }
  EXPECT_EQ(text.substr(0, 12), "HTTP/1.1 504");
}

TEST_P(Waiting, a_body_under_way_to_the_backend_has_the_ceiling) {
  ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n0123456789");
  EXPECT_EQ(wait(), flow::Wait::other);
  rig.pass(59s);
  EXPECT_TRUE(nothing(rig.take()));
  rig.pass(1200ms);
  EXPECT_TRUE(both_are_told(0));
  EXPECT_EQ(reason(Reason::response_timeout), 0u);
}

TEST_P(Waiting, the_end_of_a_body_begins_the_wait) {
  ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234");
  rig.pass(30s);
  says("56789");
  EXPECT_EQ(wait(), flow::Wait::response);
  rig.send(kBack, server({.flags = kAck, .seq = 7001, .ack = up + grown}));
  rig.take();
  rig.pass(10200ms);
  EXPECT_EQ(said(rig.take()).substr(9, 3), "504");
}

TEST_P(Waiting, a_closed_window_stops_the_backends_time) {
  ask();
  const std::string head = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";
  answers(head);
  std::string body(1400, 'b');
  for (auto at = static_cast<uint32_t>(head.size()); at < 64240; at += 1400)
    answers(body.substr(0, std::min<size_t>(1400, 64240 - at)), at);
  rig.take();
  rig.send(kFront, client({.flags = kAck, .seq = up, .ack = isn + 1 + 64240, .window = 0}));
  EXPECT_EQ(wait(), flow::Wait::other);
  rig.pass(30s);
  rig.send(kFront, client({.flags = kAck, .seq = up, .ack = isn + 1 + 64240, .window = 0}));
  rig.pass(50s);
  EXPECT_EQ(rig.only_flow().state, Track::established) << "probes prolong it";
  rig.send(kFront, client({.flags = kAck, .seq = up, .ack = isn + 1 + 64240, .window = 60000}));
  answers(body, 64240);
  EXPECT_EQ(wait(), flow::Wait::response);
}

TEST_P(Waiting, a_tunnel_has_a_time_of_its_own) {
  ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
  EXPECT_EQ(wait(), flow::Wait::response) << "it may be refused";
  const std::string yes =
      "HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
  const auto n = static_cast<uint32_t>(yes.size());
  answers(yes);
  says("", 0, n);
  EXPECT_EQ(wait(), flow::Wait::tunnel);
  rig.pass(90s);
  rig.send(kFront, client({.flags = kAck, .seq = up - 1, .ack = isn + 1 + n}));
  rig.take();
  rig.pass(99s);
  EXPECT_TRUE(nothing(rig.take())) << "probes prolong the life of a tunnel";
  rig.pass(1200ms);
  EXPECT_TRUE(both_are_told(n));
}

TEST_P(Waiting, an_upgrade_that_is_not_answered_is_a_request_without_an_answer) {
  ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
  rig.pass(10200ms);
  EXPECT_EQ(said(rig.take()).substr(9, 3), "504");
}

TEST_P(Waiting, the_client_of_a_backend_that_closes_without_an_answer_is_told) {
  ask();
  answers("", 0, kFin);
  rig.send(kFront, client({.flags = kAck, .seq = up, .ack = isn + 2}));
  rig.take();
  rig.pass(31s);
  EXPECT_TRUE(both_are_told(1));
}

TEST_P(Waiting, what_the_client_repeats_after_504_is_acknowledged) {
  ask();
  rig.pass(10200ms);
  rig.take();
  up = 1001;
  const auto out = says("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_FALSE(out.empty());
  EXPECT_EQ(look(out.back().frame).ack, up);
}

class WaitingInSilence : public Waiting {
 protected:
  WaitingInSilence()
      : Waiting(with(waiting(kFollowed), R"(time_wait = "2s"; };)",
                     R"(time_wait = "2s"; on_expiry = "silent"; };)")) {}
};
LIMPET_BOTH_FAMILIES(WaitingInSilence);

TEST_P(WaitingInSilence, nobody_is_told) {
  ask();
  rig.pass(10200ms);
  EXPECT_TRUE(nothing(rig.take()));
  EXPECT_EQ(rig.flows(), 0u);
}

// No edit follows the first head, so nobody reads what its ends say.
class Unread : public Waiting {
 protected:
  Unread() : Waiting(waiting("")) {}
  bool followed() const override { return false; }
};
LIMPET_BOTH_FAMILIES(Unread);

TEST_P(Unread, the_first_request_is_waited_for) {
  ask();
  EXPECT_EQ(wait(), flow::Wait::response);
  rig.pass(10200ms);
  EXPECT_TRUE(both_are_told(0)) << "504 is for those who know that nothing else was said";
}

TEST_P(Unread, behind_its_first_answer_it_is_a_tunnel) {
  ask();
  answers("H");
  EXPECT_EQ(wait(), flow::Wait::tunnel);
  says("", 0, 1);
  rig.take();
  rig.pass(99s);
  EXPECT_TRUE(nothing(rig.take()));
  rig.pass(1200ms);
  EXPECT_TRUE(both_are_told(1));
}

TEST_P(Unread, a_first_body_has_the_ceiling) {
  ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n0123456789");
  EXPECT_EQ(wait(), flow::Wait::other);
  rig.pass(60200ms);
  EXPECT_TRUE(both_are_told(0));
}

// The defaults: GET, the client's FIN, an answer after 36 seconds.
class Default : public Waiting {
 protected:
  Default()
      : Waiting(with(
            with(spliced(), R"({ name = "web6"; vip)", R"({ name = "web6"; mode = "splice"; vip)"),
            R"(timeouts = { connect = "1s"; idle = "60s"; half_closed = "20s"; time_wait = "2s"; };)",
            kFollowed)) {}
};
LIMPET_BOTH_FAMILIES(Default);

TEST_P(Default, a_slow_answer_to_a_client_that_has_closed_arrives) {
  ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n", kFin);
  rig.pass(36s);
  EXPECT_TRUE(nothing(rig.take()));
  const auto out = answers("HTTP/1.1 204 No\r\n\r\n");
  ASSERT_EQ(out.size(), 1u) << rig.drop_list();
  EXPECT_EQ(out[0].port, kFront);
}

}  // namespace
}  // namespace limpet::worker_test
