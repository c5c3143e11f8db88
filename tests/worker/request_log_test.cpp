// What the log is told of requests in mode splice and of flows in mode nat.
#include <rte_ring_elem.h>

#include "splice_fixture.h"

namespace limpet::worker_test {
namespace {

using dataplane::Ending;
using dataplane::kNever;
using dataplane::LogRecord;
using dataplane::Phase;

std::string logged(const std::string& config, const std::string& more = "") {
  return config + "log = { to = \"stderr\"; " + more + "};\n";
}

std::vector<LogRecord> take_records(Rig& rig) {
  std::vector<LogRecord> all;
  LogRecord r;
  while (rte_ring_sc_dequeue_elem(rig.shared().rings[0].log, &r, sizeof r) == 0) all.push_back(r);
  return all;
}

class RequestLog : public SpliceTest {
 protected:
  explicit RequestLog(const std::string& config = logged(spliced())) : SpliceTest(config) {}
  ~RequestLog() override { EXPECT_EQ(rig.worker().transactions(), 0u) << "nothing is forgotten"; }

  std::vector<Left> says(const std::string& text, uint8_t flags = 0) {
    const uint32_t seq = up;
    up += static_cast<uint32_t>(text.size()) + ((flags & kFin) != 0 ? 1 : 0);
    return rig.send(kFront, client({.flags = static_cast<uint8_t>(kAck | flags),
                                    .seq = seq,
                                    .ack = isn + 1 + got,
                                    .data = bytes_of(text)}));
  }
  std::vector<Left> answers(const std::string& text, uint8_t flags = 0) {
    const uint32_t seq = 7001 + got;
    got += static_cast<uint32_t>(text.size()) + ((flags & kFin) != 0 ? 1 : 0);
    return rig.send(kBack, from_backend({.flags = static_cast<uint8_t>(kAck | flags),
                                         .seq = seq,
                                         .ack = up,
                                         .data = bytes_of(text)}));
  }
  void begin() {
    establish();
    up = 1001 + static_cast<uint32_t>(kRequest.size());
  }
  // Without its request.
  void ask(const std::string& request) {
    greet();
    up = 1001;
    says(request);
  }
  LogRecord only() {
    const std::vector<LogRecord> all = take_records(rig);
    EXPECT_EQ(all.size(), 1u);
    return all.empty() ? LogRecord{} : all[0];
  }
  void expect_end(const LogRecord& r, Ending ending, Phase phase, uint16_t status) {
    EXPECT_EQ(ending_name(r.ending), ending_name(ending));
    EXPECT_EQ(static_cast<int>(r.phase), static_cast<int>(phase));
    EXPECT_EQ(r.status, status);
  }
  using SpliceTest::only;

  uint32_t up = 1001, got = 0;
};

const std::string kAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

TEST_F(RequestLog, a_request_is_told_when_the_last_octet_of_its_answer_has_left) {
  greet();
  rig.pass(3ms);
  const Seen syn =
      only(rig.send(kFront, client({.flags = kAck, .seq = 1001, .ack = isn + 1, .data = kRequest})),
           kBack);
  backend = syn.to;
  source_port = syn.from_port;
  up = 1001 + static_cast<uint32_t>(kRequest.size());
  rig.pass(40ms);
  rig.send(
      kBack,
      from_backend({.flags = kSyn | kAck, .seq = 7000, .ack = 1001, .options = {2, 4, 5, 0xb4}}));
  rig.pass(200ms);
  answers(kAnswer.substr(0, 20));
  rig.pass(100ms);
  answers(kAnswer.substr(20, 20));
  EXPECT_TRUE(take_records(rig).empty()) << "octets of it are missing";
  rig.pass(100ms);
  answers(kAnswer.substr(40));
  const LogRecord r = only();
  expect_end(r, Ending::done, Phase::none, 200);
  EXPECT_EQ(r.verb_text(), "GET");
  EXPECT_EQ(r.path_text(), "/");
  EXPECT_EQ(r.in, kRequest.size());
  EXPECT_EQ(r.out, kAnswer.size());
  EXPECT_EQ(r.client, kClient);
  EXPECT_EQ(r.client_port.host(), 40000);
  EXPECT_EQ(r.source_port.host(), source_port);
  EXPECT_EQ(r.backend, rig.backend_at(backend, 8080));
  EXPECT_EQ(r.tries, 1);
  EXPECT_FALSE(r.own);
  EXPECT_GE(r.connect, 40ms);
  EXPECT_LT(r.connect, 60ms);
  EXPECT_GE(r.first_byte, 200ms) << "from when the backend was there";
  EXPECT_LT(r.first_byte, 230ms) << "the first octet counts, not the last of the head";
  EXPECT_GE(r.total, 440ms);
  says("", kFin);
  answers("", kFin);
  EXPECT_TRUE(take_records(rig).empty()) << "once";
}

TEST_F(RequestLog, each_request_of_a_connection_has_its_own) {
  begin();
  answers(kAnswer);
  EXPECT_EQ(only().tries, 1);
  const std::string purge = "PURGE /b?secret=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n";
  says(purge);
  says("abcd");
  answers("HTTP/1.1 204 No Content\r\n\r\n");
  const LogRecord r = only();
  expect_end(r, Ending::done, Phase::none, 204);
  EXPECT_EQ(r.verb_text(), "PURGE");
  EXPECT_EQ(r.path_text(), "/b") << "without its query";
  EXPECT_EQ(r.in, purge.size() + 4);
  EXPECT_EQ(r.out, 27u);
  EXPECT_EQ(r.tries, 0) << "the connection stood";
  EXPECT_EQ(r.connect, kNever);
  EXPECT_EQ(r.backend, rig.backend_at(backend, 8080));
}

TEST_F(RequestLog, answers_in_one_segment_are_told_apart) {
  begin();
  says("HEAD /b HTTP/1.1\r\nHost: a\r\n\r\nGET /c HTTP/1.1\r\nHost: a\r\n\r\n");
  const std::string head = "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n";
  answers(kAnswer + head + "HTTP/1.1 404 Not Found\r\nContent-Length: 1\r\n\r\nx");
  const std::vector<LogRecord> all = take_records(rig);
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0].out, kAnswer.size());
  EXPECT_EQ(all[1].path_text(), "/b");
  EXPECT_EQ(all[1].out, head.size()) << "a response to HEAD has no body";
  EXPECT_EQ(all[2].path_text(), "/c");
  EXPECT_EQ(all[2].status, 404);
  EXPECT_EQ(all[2].out, 46u);
}

TEST_F(RequestLog, interim_responses_are_not_the_answer) {
  begin();
  answers("HTTP/1.1 103 Early Hints\r\n\r\n");
  EXPECT_TRUE(take_records(rig).empty());
  answers(kAnswer);
  EXPECT_EQ(only().status, 200);
}

TEST_F(RequestLog, whoever_resets_has_ended_it) {
  begin();
  answers(kAnswer.substr(0, 41));
  rig.send(kFront, client({.flags = kRst, .seq = up, .ack = 0}));
  const LogRecord r = only();
  expect_end(r, Ending::client_abort, Phase::data, 200);
  EXPECT_EQ(r.out, 41u);
}

TEST_F(RequestLog, a_backend_that_resets_has_not_answered) {
  begin();
  rig.send(kBack, from_backend({.flags = kRst, .seq = 7001}));
  const LogRecord r = only();
  expect_end(r, Ending::backend_abort, Phase::head, 0);
  EXPECT_EQ(r.in, kRequest.size()) << "it has left with the handshake";
}

TEST_F(RequestLog, a_response_that_is_cut_short_is_not_done) {
  begin();
  answers(kAnswer.substr(0, 41), kFin);
  says("", kFin);
  rig.send(kBack, from_backend({.flags = kAck, .seq = 7001 + got, .ack = up}));
  expect_end(only(), Ending::backend_abort, Phase::data, 200);
}

TEST_F(RequestLog, a_response_without_a_length_is_done_when_the_backend_closes) {
  begin();
  const std::string open = "HTTP/1.1 200 OK\r\n\r\nhello";
  answers(open);
  EXPECT_TRUE(take_records(rig).empty());
  answers("more", kFin);
  const LogRecord r = only();
  expect_end(r, Ending::done, Phase::none, 200);
  EXPECT_EQ(r.out, open.size() + 4);
}

TEST_F(RequestLog, a_tunnel_is_told_at_its_end_with_all_its_octets) {
  const std::string request =
      "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
  ask(request);
  const flow::Listed f = rig.only_flow();
  backend = rig.shared().endpoints[f.backend].address;
  source_port = f.source_port.host();
  rig.send(
      kBack,
      from_backend({.flags = kSyn | kAck, .seq = 7000, .ack = 1001, .options = {2, 4, 5, 0xb4}}));
  const std::string head =
      "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
  answers(head);
  says("0123456789");
  answers("abc");
  EXPECT_TRUE(take_records(rig).empty());
  says("", kFin);
  answers("", kFin);
  const LogRecord r = only();
  expect_end(r, Ending::done, Phase::none, 101);
  EXPECT_EQ(r.out, head.size() + 3);
  EXPECT_EQ(r.in, request.size() + 10);
}

TEST_F(RequestLog, what_is_no_request_is_refused) {
  ask("GET / HTTP/1.1\r\nHo st: a\r\n\r\n");
  const LogRecord r = only();
  expect_end(r, Ending::refused, Phase::request, 400);
  EXPECT_TRUE(r.own);
  EXPECT_EQ(r.backend, dataplane::kNoSlot);
  EXPECT_EQ(r.verb_text(), "") << "nothing of it is believed";
  EXPECT_EQ((ending_letters(r.ending, r.phase)), (std::array{'P', 'R'}));
}

TEST_F(RequestLog, a_later_one_that_is_refused_has_its_line_too) {
  begin();
  answers(kAnswer);
  take_records(rig);
  says("", 0);
  says("GET /x y HTTP/1.1\r\n\r\n");
  expect_end(only(), Ending::refused, Phase::request, 400);
}

TEST_F(RequestLog, a_head_that_never_ends_is_the_client_s_doing) {
  ask("GET / HTTP/1.1\r\nHost");
  rig.pass(12s);
  expect_end(only(), Ending::client_timeout, Phase::request, 408);
}

TEST_F(RequestLog, a_client_that_goes_before_its_head_is_complete) {
  ask("GET / HTTP/1.1\r\nHost");
  rig.send(kFront, client({.flags = kRst, .seq = up, .ack = 0}));
  expect_end(only(), Ending::client_abort, Phase::request, 0);
}

TEST_F(RequestLog, a_head_in_pieces_is_one_request) {
  ask("GET /a HTTP/1.1\r\n");
  says("Host: a\r\n");
  says("X: y\r\n");
  EXPECT_EQ(rig.worker().transactions(), 1u);
  rig.send(kFront, client({.flags = kRst, .seq = up, .ack = 0}));
  expect_end(only(), Ending::client_abort, Phase::request, 0);
}

TEST_F(RequestLog, empty_lines_are_no_request) {
  ask("\r\n\r\n");
  rig.send(kFront, client({.flags = kRst, .seq = up, .ack = 0}));
  EXPECT_TRUE(take_records(rig).empty());
}

TEST_F(RequestLog, backends_that_say_nothing) {
  ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  rig.pass(20s);
  const LogRecord r = only();
  expect_end(r, Ending::connect_timeout, Phase::connect, 503);
  EXPECT_EQ(r.tries, 4) << "all of the pool";
  EXPECT_TRUE(r.own);
  EXPECT_NE(r.backend, dataplane::kNoSlot) << "the last one";
}

TEST_F(RequestLog, backends_that_refuse) {
  greet();
  std::vector<Left> out =
      rig.send(kFront, client({.flags = kAck, .seq = 1001, .ack = isn + 1, .data = kRequest}));
  for (unsigned i = 0; i < 4; ++i) {
    const Seen syn = only(out, kBack);
    backend = syn.to;
    source_port = syn.from_port;
    out = rig.send(kBack, from_backend({.flags = kRst | kAck, .seq = 0, .ack = 1001}));
  }
  expect_end(only(), Ending::connect_failed, Phase::connect, 503);
}

TEST_F(RequestLog, nobody_is_there) {
  for (const char* name : {"s0", "s1", "s2", "s3"}) rig.down(rig.backend("web", name));
  rig.run();
  ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  const LogRecord r = only();
  expect_end(r, Ending::no_backend, Phase::connect, 503);
  EXPECT_EQ(r.tries, 0);
  EXPECT_EQ(r.backend, dataplane::kNoSlot);
}

TEST_F(RequestLog, a_backend_that_goes_down_takes_its_requests_with_it) {
  begin();
  rig.down(rig.backend_at(backend, 8080));
  rig.pass(10ms);
  expect_end(only(), Ending::backend_down, Phase::head, 0);
}

TEST_F(RequestLog, queries_and_long_paths_are_cut_off) {
  const std::string path = "/" + std::string(200, 'a');
  ask("GET http://example.org" + path + "?q=1 HTTP/1.1\r\nHost: example.org\r\n\r\n");
  rig.send(kFront, client({.flags = kRst, .seq = up, .ack = 0}));
  const LogRecord r = only();
  EXPECT_EQ(r.path_text(), ("http://example.org" + path).substr(0, LogRecord::kMaxPath));
  EXPECT_TRUE(r.path_cut);
  expect_end(r, Ending::client_abort, Phase::connect, 0);
}

// Behind such a response requests are read on, and nobody answers them.
TEST_F(RequestLog, requests_that_nobody_answers_do_not_pile_up) {
  begin();
  answers("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
  for (unsigned i = 0; i < 50; ++i) says("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_LE(rig.worker().transactions(), 12u);
  EXPECT_GE(rig.sum(&dataplane::WorkerCounters::log_untold), 39u);
  rig.send(kFront, client({.flags = kRst, .seq = up, .ack = 0}));
}

TEST_F(RequestLog, nothing_is_said_of_a_request_after_its_line) {
  begin();
  answers("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhell", kFin);
  says("", kFin);
  rig.send(kBack, from_backend({.flags = kAck, .seq = 7001 + got, .ack = up}));
  EXPECT_EQ(take_records(rig).size(), 1u);
  // Its place is another one's by now, and the flow is in TIME_WAIT.
  rig.send(kBack,
           from_backend({.flags = kAck | kFin,
                         .seq = 7001,
                         .ack = up,
                         .data = bytes_of("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhell")}));
  EXPECT_TRUE(take_records(rig).empty());
  EXPECT_EQ(rig.worker().transactions(), 0u);
}

TEST_F(RequestLog, what_the_ring_does_not_take_is_counted) {
  unsigned free = rte_ring_free_count(rig.shared().rings[0].log);
  LogRecord filler;
  while (free-- != 0) rte_ring_sp_enqueue_elem(rig.shared().rings[0].log, &filler, sizeof filler);
  begin();
  answers(kAnswer);
  EXPECT_EQ(rig.sum(&dataplane::WorkerCounters::log_lost), 1u);
}

TEST_F(RequestLog, times_and_classes_are_counted_for_the_backend) {
  begin();
  rig.pass(30ms);
  answers(kAnswer);
  const dataplane::BackendTimes& t = rig.stats().times[rig.backend_at(backend, 8080)];
  EXPECT_EQ(t.responses[1].get(), 1u);
  uint64_t connects = 0, answers = 0;
  for (const auto& b : t.connect.buckets) connects += b.get();
  for (const auto& b : t.first_byte.buckets) answers += b.get();
  EXPECT_EQ(connects, 1u);
  EXPECT_EQ(answers, 1u);
  EXPECT_GE(t.first_byte.sum_us.get(), 30000u);
  EXPECT_EQ(t.first_byte.buckets[8].get(), 1u) << "above 25 ms, at most 50";
}

class NotLogged : public SpliceTest {};

TEST_F(NotLogged, without_a_log_nothing_is_told) {
  establish();
  rig.send(kBack,
           from_backend({.flags = kAck, .seq = 7001, .ack = 1028, .data = bytes_of(kAnswer)}));
  EXPECT_TRUE(take_records(rig).empty());
  EXPECT_EQ(rig.worker().transactions(), 0u);
}

TEST(RequestLogReload, ends_what_was_begun_and_begins_nothing_more) {
  Rig::Setup setup;
  setup.config = logged(spliced());
  struct Fixture : SpliceTest {
    explicit Fixture(Rig::Setup s) : SpliceTest(std::move(s)) {}
    void TestBody() override {
      establish();
      rig.reload(spliced());
      rig.send(kBack,
               from_backend({.flags = kAck, .seq = 7001, .ack = 1028, .data = bytes_of(kAnswer)}));
      EXPECT_EQ(take_records(rig).size(), 1u);
      rig.send(kFront, client({.flags = kAck, .seq = 1028, .ack = isn + 1, .data = kRequest}));
      rig.send(kBack, from_backend({.flags = kAck,
                                    .seq = 7001 + static_cast<uint32_t>(kAnswer.size()),
                                    .ack = 1055,
                                    .data = bytes_of(kAnswer)}));
      EXPECT_TRUE(take_records(rig).empty());
      EXPECT_EQ(rig.worker().transactions(), 0u);
    }
  } fixture(std::move(setup));
  fixture.TestBody();
}

TEST(RequestLogSample, a_part_of_connections_has_lines) {
  Rig rig({.config = logged(kTwoArms, "sample = 0.25; ")});
  for (uint16_t i = 0; i < 400; ++i) {
    Connection c(rig, ip("10.1.0.2"), static_cast<uint16_t>(20000 + i), kVip4, 80);
    c.establish();
    c.client_says("reset", {.flags = kRst, .seq = 1001, .ack = 0});
  }
  rig.pass(60s);
  const size_t n = take_records(rig).size();
  EXPECT_GT(n, 60u);
  EXPECT_LT(n, 140u);
}

TEST(FlowLog, a_connection_tells_who_it_was_towards_its_backend) {
  Rig rig({.config = logged(kTwoArms)});
  Connection c(rig, ip("10.1.0.2"), 40000, kVip4, 80);
  c.establish();
  rig.pass(2s);
  c.client_says("FIN", {.flags = kFin | kAck, .seq = 1001, .ack = 5001});
  c.backend_says("FIN", {.flags = kFin | kAck, .seq = 5001, .ack = 1002});
  c.client_says("ACK", {.flags = kAck, .seq = 1002, .ack = 5002});
  rig.pass(200s);
  const std::vector<LogRecord> all = take_records(rig);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].forwarding, Forwarding::nat);
  EXPECT_EQ(all[0].client_port.host(), 40000);
  EXPECT_EQ(all[0].source_port.host(), c.source_port);
  EXPECT_EQ(all[0].backend, c.slot());
  EXPECT_EQ(ending_name(all[0].ending), "done");
  EXPECT_GE(all[0].total, 2s);
}

TEST(FlowLog, connections_that_never_stood_have_no_line) {
  Rig rig({.config = logged(kTwoArms)});
  Connection(rig, ip("10.1.0.2"), 40000, kVip4, 80).open();
  rig.pass(200s);
  EXPECT_EQ(rig.flows(), 0u);
  EXPECT_TRUE(take_records(rig).empty());
}

TEST(FlowLog, a_connection_is_told_once_when_its_backend_goes_down_and_when_it_is_quiet) {
  for (const bool down : {true, false}) {
    Rig rig({.config = logged(kTwoArms)});
    Connection c(rig, ip("10.1.0.2"), 40000, kVip4, 80);
    c.establish();
    if (down) rig.down(c.slot());
    rig.pass(400s);
    EXPECT_EQ(rig.flows(), 0u);
    const std::vector<LogRecord> all = take_records(rig);
    ASSERT_EQ(all.size(), 1u);
    EXPECT_EQ(ending_name(all[0].ending), down ? "backend_down" : "idle");
  }
}

}  // namespace
}  // namespace limpet::worker_test
