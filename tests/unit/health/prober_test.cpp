// Checks against real sockets of this machine.
#include "limpet/health/prober.h"

#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <map>
#include <thread>

#include "limpet/health/checks.h"
#include "limpet/publish/builder.h"
#include "prober_fixture.h"
#include "sample.h"
#include "tls_server.h"

namespace limpet::health {
namespace {

using namespace std::chrono_literals;

TEST_F(ProberTest, http_200_passes) {
  HttpServer server(answers("200 OK"));
  const CheckResult r = check(probe(config::HealthType::http, server.port));
  EXPECT_TRUE(r.ok) << r.error;
}

TEST_F(ProberTest, http_500_fails_and_says_so) {
  HttpServer server(answers("500 Oops"));
  const CheckResult r = check(probe(config::HealthType::http, server.port));
  EXPECT_FALSE(r.ok);
  EXPECT_EQ(r.error, "status 500, expected 200-399");
}

TEST_F(ProberTest, the_expected_status_is_configured) {
  HttpServer server(answers("503 Maintenance"));
  Probe p = probe(config::HealthType::http, server.port);
  p.expect = {{200, 204}, {503, 503}};
  EXPECT_TRUE(check(p).ok);
  p.expect = {{200, 204}, {404, 404}};
  EXPECT_EQ(check(p).error, "status 503, expected 200-204,404");
  p.expect = {{500, 502}, {504, 599}};  // both ends belong to a range, their neighbours do not
  EXPECT_EQ(check(p).error, "status 503, expected 500-502,504-599");
  p.expect = {{500, 503}};
  EXPECT_TRUE(check(p).ok);
  p.expect = {{503, 599}};
  EXPECT_TRUE(check(p).ok);
}

TEST_F(ProberTest, redirects_are_a_status_and_not_followed) {
  HttpServer server([](int fd, const std::string&) {
    say(fd, "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n");
  });
  EXPECT_TRUE(check(probe(config::HealthType::http, server.port)).ok);
  EXPECT_EQ(server.connections, 1);
}

TEST_F(ProberTest, the_request_has_uri_and_host) {
  std::string seen;
  {
    HttpServer server([&](int fd, const std::string& request) {
      seen = request;
      say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    });
    Probe p = probe(config::HealthType::http, server.port);
    p.uri = "/health/../x?deep=1";
    p.host = "www.example.org";
    EXPECT_TRUE(check(p).ok);
  }
  EXPECT_EQ(seen.substr(0, seen.find('\r')), "GET /health/../x?deep=1 HTTP/1.1");
  EXPECT_NE(seen.find("\r\nHost: www.example.org\r\n"), std::string::npos) << seen;
  EXPECT_EQ(seen.find("127.0.0.1"), std::string::npos) << "one Host header only";
}

TEST_F(ProberTest, a_proxy_in_the_environment_means_nothing) {
  setenv("http_proxy", "http://127.0.0.1:1", 1);
  HttpServer server(answers("200 OK"));
  EXPECT_TRUE(check(probe(config::HealthType::http, server.port)).ok);
  unsetenv("http_proxy");
}

TEST_F(ProberTest, a_closed_port_is_refused) {
  for (const auto type : {config::HealthType::tcp, config::HealthType::http}) {
    const CheckResult r = check(probe(type, closed_port()));
    EXPECT_FALSE(r.ok);
    EXPECT_EQ(r.error, "connection refused");
  }
}

TEST_F(ProberTest, a_silent_server_times_out) {
  HttpServer server([](int, const std::string&) { std::this_thread::sleep_for(400ms); });
  const CheckResult r = check(probe(config::HealthType::http, server.port, 150ms));
  EXPECT_FALSE(r.ok);
  EXPECT_EQ(r.error, "no complete answer within 150ms");
}

TEST_F(ProberTest, a_server_that_never_ends_its_head_times_out) {
  HttpServer server([](int fd, const std::string&) {
    say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n");
    std::this_thread::sleep_for(400ms);
  });
  EXPECT_EQ(check(probe(config::HealthType::http, server.port, 150ms)).error,
            "no complete answer within 150ms");
}

TEST_F(ProberTest, the_body_is_not_waited_for) {
  std::atomic<bool> over{false};
  HttpServer server([&](int fd, const std::string&) {
    say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    while (!over) std::this_thread::sleep_for(1ms);
  });
  const CheckResult r = check(probe(config::HealthType::http, server.port, 15s));
  EXPECT_TRUE(r.ok) << r.error;
  EXPECT_EQ(server.closed, 0) << "its answer has not ended";
  over = true;
}

TEST_F(ProberTest, an_interim_response_is_not_the_answer) {
  HttpServer server([](int fd, const std::string&) {
    say(fd, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 500 Oops\r\n\r\n");
  });
  EXPECT_EQ(check(probe(config::HealthType::http, server.port)).error,
            "status 500, expected 200-399");
}

TEST_F(ProberTest, what_came_in_time_counts_however_late_it_is_looked_at) {
  HttpServer server([](int fd, const std::string&) { answers("200 OK")(fd, ""); });
  prober_->start(1, probe(config::HealthType::tcp, server.port, 1s));
  prober_->run();
  std::this_thread::sleep_for(1100ms);
  prober_->run();
  const auto results = prober_->harvest();
  ASSERT_EQ(results.size(), 1u);
  EXPECT_TRUE(results[0].result.ok) << results[0].result.error;
}

TEST_F(ProberTest, a_busy_caller_is_no_fault_of_the_backend) {
  HttpServer server(answers("200 OK"));
  prober_->start(1, probe(config::HealthType::http, server.port, 200ms));
  std::this_thread::sleep_for(300ms);
  prober_->run(15s);  // the request is sent only now; a loaded machine may take its time
  const auto results = wait_for(1);
  ASSERT_EQ(results.size(), 1u);
  EXPECT_TRUE(results[0].result.ok) << results[0].result.error;
}

TEST_F(ProberTest, a_caller_who_is_always_busy_learns_of_the_dead) {
  HttpServer server([](int, const std::string&) { std::this_thread::sleep_for(3s); });
  prober_->start(1, probe(config::HealthType::http, server.port, 100ms));
  const auto give_up = std::chrono::steady_clock::now() + 20s;
  std::vector<ProbeResult> results;
  while (results.empty() && std::chrono::steady_clock::now() < give_up) {
    prober_->run(500ms);
    results = prober_->harvest();
    std::this_thread::sleep_for(1ms);
  }
  ASSERT_EQ(results.size(), 1u);
  EXPECT_EQ(results[0].result.error, "no complete answer within 100ms");
}

TEST_F(ProberTest, a_head_cut_short_fails) {
  HttpServer server([](int fd, const std::string&) { say(fd, "HTTP/1.1 200 OK\r\nContent-Le"); });
  EXPECT_EQ(check(probe(config::HealthType::http, server.port)).error,
            "the answer ends within its head");
}

TEST_F(ProberTest, an_endless_body_passes_by_its_status) {
  HttpServer server([](int fd, const std::string&) {
    say(fd, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    say(fd, std::string(512 * 1024, 'x'));
  });
  const CheckResult r = check(probe(config::HealthType::http, server.port));
  EXPECT_TRUE(r.ok) << r.error;
}

TEST_F(ProberTest, closing_without_an_answer_fails) {
  HttpServer server([](int, const std::string&) {});
  EXPECT_EQ(check(probe(config::HealthType::http, server.port)).error,
            "connection closed without an answer");
}

TEST_F(ProberTest, what_is_not_http_fails) {
  HttpServer server([](int fd, const std::string&) { say(fd, "SSH-2.0-OpenSSH_9.2\r\n"); });
  const CheckResult r = check(probe(config::HealthType::http, server.port));
  EXPECT_FALSE(r.ok);
  EXPECT_NE(r.error, "");
}

TEST_F(ProberTest, https_to_a_plain_server_fails) {
  HttpServer server([](int fd, const std::string&) { say(fd, "HTTP/1.1 400 Bad\r\n\r\n"); }, false);
  const CheckResult r = check(probe(config::HealthType::https, server.port));
  EXPECT_FALSE(r.ok);
  EXPECT_NE(r.error, "");
}

TEST_F(ProberTest, https_200_passes) {
  TlsServer server("200 OK");
  const CheckResult r = check(probe(config::HealthType::https, server.port));
  EXPECT_TRUE(r.ok) << r.error;
  const auto& seen = server.stop();
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].request.substr(0, seen[0].request.find('\r')), "GET / HTTP/1.1");
  EXPECT_EQ(seen[0].server_name, "") << "an address is no server name (RFC 6066, section 3)";
}

TEST_F(ProberTest, https_has_an_expected_status) {
  TlsServer server("503 Maintenance");
  Probe p = probe(config::HealthType::https, server.port);
  p.expect = {{200, 204}, {404, 404}};
  CheckResult r = check(p);
  EXPECT_FALSE(r.ok);
  EXPECT_EQ(r.error, "status 503, expected 200-204,404");
  p.expect = {{503, 503}};
  r = check(p);
  EXPECT_TRUE(r.ok) << r.error;
}

TEST_F(ProberTest, verify_refuses_a_certificate_that_nobody_signed) {
  TlsServer server("200 OK");
  Probe p = probe(config::HealthType::https, server.port);
  p.host = "www.example.org";
  p.verify = true;
  const CheckResult r = check(p);
  EXPECT_FALSE(r.ok);
  EXPECT_NE(r.error.find("self-signed certificate"), std::string::npos) << r.error;
  p.verify = false;
  EXPECT_TRUE(check(p).ok) << "what one check was told means nothing to the next";
  p.verify = true;
  EXPECT_FALSE(check(p).ok);
  const auto& seen = server.stop();
  ASSERT_EQ(seen.size(), 3u);
  EXPECT_EQ(seen[0].request, "") << "nothing was said to a server that nobody vouches for";
}

TEST_F(ProberTest, host_is_the_tls_server_name_and_the_host_header) {
  TlsServer server("200 OK");
  Probe p = probe(config::HealthType::https, server.port);
  p.uri = "/health?deep=1";
  for (const char* host : {"www.example.org", "www.example.org:8443"}) {
    p.host = host;
    const CheckResult r = check(p);
    EXPECT_TRUE(r.ok) << host << ": " << r.error;
  }
  const auto& seen = server.stop();
  ASSERT_EQ(seen.size(), 2u);
  for (const TlsServer::Seen& s : seen) {
    EXPECT_EQ(s.server_name, "www.example.org") << "without a port";
    EXPECT_EQ(s.request.substr(0, s.request.find('\r')), "GET /health?deep=1 HTTP/1.1");
    EXPECT_EQ(s.request.find("127.0.0.1"), std::string::npos) << s.request;
  }
  EXPECT_NE(seen[0].request.find("\r\nHost: www.example.org\r\n"), std::string::npos);
  EXPECT_NE(seen[1].request.find("\r\nHost: www.example.org:8443\r\n"), std::string::npos);
}

TEST_F(ProberTest, a_tcp_check_learns_what_the_stack_offers) {
  HttpServer server([](int, const std::string&) { std::this_thread::sleep_for(10ms); }, false);
  prober_->start(7, probe(config::HealthType::tcp, server.port));
  const auto results = wait_for(1);
  ASSERT_EQ(results.size(), 1u);
  EXPECT_EQ(results[0].id, 7u);
  EXPECT_TRUE(results[0].result.ok) << results[0].result.error;
  ASSERT_TRUE(results[0].tcp);
  EXPECT_GT(results[0].tcp->mss, 500u);
  EXPECT_LE(results[0].tcp->wscale, 14);
  EXPECT_TRUE(results[0].tcp->sack);
  EXPECT_TRUE(results[0].tcp->mss_at_least) << "both ends are on the same interface";
}

TEST_F(ProberTest, an_mss_below_our_own_is_the_backend_s) {
  HttpServer server([](int, const std::string&) { std::this_thread::sleep_for(10ms); }, false,
                    1000);
  prober_->start(7, probe(config::HealthType::tcp, server.port));
  const auto results = wait_for(1);
  ASSERT_EQ(results.size(), 1u);
  ASSERT_TRUE(results[0].tcp);
  EXPECT_EQ(results[0].tcp->mss, 1000u);
  EXPECT_FALSE(results[0].tcp->mss_at_least);
}

TEST_F(ProberTest, every_check_has_a_connection_of_its_own_and_closes_it) {
  HttpServer server(answers("200 OK"));
  check(probe(config::HealthType::http, server.port));
  while (server.closed < 1) std::this_thread::sleep_for(1ms);
  const size_t before = open_descriptors();
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(check(probe(config::HealthType::http, server.port)).ok);
    EXPECT_TRUE(check(probe(config::HealthType::tcp, server.port)).ok);
    EXPECT_FALSE(check(probe(config::HealthType::tcp, closed_port())).ok);
  }
  while (server.closed < 41) std::this_thread::sleep_for(1ms);
  EXPECT_EQ(server.connections, 41);
  EXPECT_EQ(open_descriptors(), before);
}

TEST_F(ProberTest, many_run_at_a_time) {
  HttpServer server(answers("200 OK"));
  for (uint64_t i = 0; i < 40; ++i) prober_->start(i, probe(config::HealthType::http, server.port));
  EXPECT_EQ(prober_->running(), 40u);
  size_t passed = 0;
  for (const ProbeResult& r : wait_for(40)) passed += r.result.ok ? 1 : 0;
  EXPECT_EQ(passed, 40u);
  EXPECT_EQ(prober_->running(), 0u);
}

TEST_F(ProberTest, a_cancelled_check_gives_no_result) {
  HttpServer server([](int, const std::string&) { std::this_thread::sleep_for(100ms); });
  const size_t before = open_descriptors();
  prober_->start(1, probe(config::HealthType::http, server.port));
  prober_->run();
  prober_->cancel(1);
  prober_->cancel(2);  // never started
  EXPECT_EQ(prober_->running(), 0u);
  prober_->start(3, probe(config::HealthType::tcp, closed_port()));
  const auto results = wait_for(1);
  ASSERT_EQ(results.size(), 1u);
  EXPECT_EQ(results[0].id, 3u);
  EXPECT_LE(open_descriptors(), before + 1);  // the server's end may still be open
}

// The whole of it: two backends of which one dies and returns, and one that nobody runs.
TEST_F(ProberTest, backends_go_down_and_come_back_by_their_checks) {
  std::atomic<bool> broken{false};
  HttpServer a([&](int fd, const std::string& request) {
    answers(broken ? "500 Oops" : "200 OK")(fd, request);
  });
  HttpServer b(answers("200 OK"));
  const std::string pool =
      "{ name = \"web\"; source_addresses = [ \"10.2.0.254\" ]; health = { type = "
      "\"http\"; interval = \"40ms\"; timeout = \"30ms\"; rise = 2; fall = 3; };";
  config::Document d = document(with(kSample, "{ name = \"web\";\n", pool));
  const auto ports = ports_of(d, 1);
  publish::BuildInput input;
  input.document = &d;
  input.ports = ports;
  Result<publish::Built> built = build(publish::Slots(), input);
  ASSERT_TRUE(built) << built.error();
  // The validator refuses loopback backends, so they move there behind its back.
  for (config::Backend& backend : d.pools[0].backends) backend.address = ip("127.0.0.1");
  d.pools[0].backends[0].port = a.port;
  d.pools[0].backends[1].port = b.port;

  std::map<uint16_t, std::vector<std::string>> seen;
  std::map<uint16_t, unsigned> learned;
  HealthChecks checks(
      *prober_, 16,
      [&](uint16_t slot, const HealthState::Transition& t) { seen[slot].push_back(t.reason); },
      [&](uint16_t slot, const tcp::Agreed& o) {
        ++learned[slot];
        EXPECT_GT(o.mss, 500u);
      });
  const auto now = [] {
    return Instant{static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch() /
                                         std::chrono::nanoseconds(1))};
  };
  const auto run_until = [&](const std::function<bool()>& done) {
    const Instant deadline = now() + 10s;
    while (!done() && now() < deadline) {
      checks.turn(now());
      const auto wait = std::min<Duration>(checks.wait(now()).value_or(10ms), 10ms);
      pollfd p{prober_->fd(), POLLIN, 0};
      poll(&p, 1, static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(wait).count()));
    }
    EXPECT_TRUE(done());
  };
  checks.configure(d, *built->owned.snapshot, now());
  run_until([&] { return seen.size() == 2; });
  EXPECT_EQ(seen[0], std::vector<std::string>{"health check: passed"});
  EXPECT_EQ(checks.find(2), nullptr) << "health none";

  // A reload that changes nothing for them starts nothing anew.
  checks.configure(d, *built->owned.snapshot, now());
  EXPECT_EQ(checks.find(0)->state.health(), balance::Health::up);

  broken = true;
  run_until([&] { return seen[0].size() == 2; });
  EXPECT_EQ(seen[0][1], "health check: status 500, expected 200-399; 3 failed");
  broken = false;
  run_until([&] { return seen[0].size() == 3; });
  EXPECT_EQ(seen[0][2], "health check: passed 2 in a row");
  EXPECT_EQ(seen[1].size(), 1u) << "the other was never touched";
  run_until([&] { return checks.find(0)->tcp.has_value(); });
  EXPECT_GT(checks.find(0)->tcp->mss, 500u) << "learnt by a bare connection";
  EXPECT_EQ(learned[0], 1u) << "told once";

  // A removed backend is checked until its slot is somebody else's.
  config::Document removed = d;
  removed.pools[0].backends.erase(removed.pools[0].backends.begin());
  dataplane::Snapshot snapshot;
  snapshot.backends = built->owned.snapshot->backends;
  snapshot.pools.resize(2);
  snapshot.pools[0].members = {1};
  snapshot.pools[1].members = {2};
  snapshot.backends[0].configured = false;
  checks.configure(removed, snapshot, now());
  broken = true;
  run_until([&] { return seen[0].size() == 4; });
  checks.forget_reclaimed(snapshot);
  ASSERT_NE(checks.find(0), nullptr);
  ++snapshot.serial;
  ++snapshot.backends[0].generation;
  checks.forget_reclaimed(snapshot);
  EXPECT_EQ(checks.find(0), nullptr);
  EXPECT_NE(checks.find(1), nullptr);

  config::Document without = d;
  without.pools[0].health.type = config::HealthType::none;
  checks.configure(without, *built->owned.snapshot, now());
  EXPECT_EQ(checks.find(0), nullptr);
  EXPECT_EQ(prober_->running(), 0u);
}

}  // namespace
}  // namespace limpet::health
