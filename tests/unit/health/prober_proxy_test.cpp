// Checks that begin with a PROXY header.
#include <gtest/gtest.h>

#include "limpet/health/checks.h"
#include "limpet/publish/builder.h"
#include "prober_fixture.h"
#include "tls_server.h"

namespace limpet::health {
namespace {

// PROXY protocol, 2.1 and 2.2: connections that are nobody's.
const std::string kProxyV1 = "PROXY UNKNOWN\r\n";
const std::string kProxyV2 = std::string("\r\n\r\n\0\r\nQUIT\n", 12) + std::string("\x20\0\0\0", 4);

TEST_F(ProberTest, a_proxy_header_comes_before_the_request) {
  for (const auto& [proxy, header] : {std::pair(config::HealthProxy::v1, kProxyV1),
                                      std::pair(config::HealthProxy::v2, kProxyV2)}) {
    std::string seen;
    {
      HttpServer server([&seen, length = header.size()](int fd, const std::string& first) {
        seen = first;  // the signature of version 2 has an empty line in it
        char buffer[4096];
        while (seen.find("\r\n\r\n", length) == std::string::npos) {
          const ssize_t n = read(fd, buffer, sizeof buffer);
          if (n <= 0) break;
          seen.append(buffer, static_cast<size_t>(n));
        }
        answers("200 OK")(fd, seen);
      });
      Probe p = probe(config::HealthType::http, server.port);
      p.proxy = proxy;
      p.host = "www.example.org";
      const CheckResult r = check(p);
      EXPECT_TRUE(r.ok) << r.error;
      EXPECT_EQ(server.connections, 1);
    }
    EXPECT_EQ(seen.substr(0, header.size()), header);
    EXPECT_EQ(seen.substr(header.size(), 16), "GET / HTTP/1.1\r\n");
    EXPECT_NE(seen.find("\r\nHost: www.example.org\r\n"), std::string::npos) << seen;
  }
}

TEST_F(ProberTest, a_proxy_header_comes_from_bare_connections_too) {
  for (const auto& [proxy, header] : {std::pair(config::HealthProxy::v1, kProxyV1),
                                      std::pair(config::HealthProxy::v2, kProxyV2)}) {
    std::string seen;
    {
      HttpServer server(
          [&seen](int fd, const std::string&) {
            char buffer[64];
            for (ssize_t n; (n = read(fd, buffer, sizeof buffer)) > 0;)
              seen.append(buffer, static_cast<size_t>(n));
          },
          false);
      Probe p = probe(config::HealthType::tcp, server.port);
      p.proxy = proxy;
      EXPECT_TRUE(check(p).ok);
      while (server.closed == 0) std::this_thread::sleep_for(1ms);
    }
    EXPECT_EQ(seen, header);
  }
}

TEST_F(ProberTest, with_a_proxy_header_failures_are_told_as_without) {
  Probe p = probe(config::HealthType::http, closed_port(), 5s);
  p.proxy = config::HealthProxy::v1;
  EXPECT_EQ(check(p).error, "connection refused");
  const size_t before = open_descriptors();
  for (unsigned i = 0; i < 100; ++i) check(p);
  EXPECT_LE(open_descriptors(), before);
  HttpServer silent([](int, const std::string&) { std::this_thread::sleep_for(400ms); });
  p.port = silent.port;
  p.timeout = 150ms;
  EXPECT_EQ(check(p).error, "no complete answer within 150ms");
  HttpServer oops(answers("500 Oops"));
  p.port = oops.port;
  p.timeout = 5s;
  EXPECT_EQ(check(p).error, "status 500, expected 200-399");
}

TEST_F(ProberTest, a_proxy_header_comes_before_tls) {
  TlsServer server("200 OK", kProxyV2.size());
  Probe p = probe(config::HealthType::https, server.port);
  p.proxy = config::HealthProxy::v2;
  p.host = "www.example.org";
  const CheckResult r = check(p);
  EXPECT_TRUE(r.ok) << r.error;
  const auto& seen = server.stop();
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].first, kProxyV2);
  EXPECT_EQ(seen[0].server_name, "www.example.org");
}

TEST_F(ProberTest, the_checks_of_a_pool_speak_as_it_says) {
  std::string seen;
  {
    HttpServer server([&seen](int, const std::string& request) { seen = request; });
    config::Document d = document(kSample);
    const auto ports = ports_of(d, 1);
    publish::BuildInput input;
    input.document = &d;
    input.ports = ports;
    Result<publish::Built> built = build(publish::Slots(), input);
    ASSERT_TRUE(built) << built.error();
    d.pools.resize(1);
    d.pools[0].backends.resize(1);
    d.pools[0].backends[0].address = ip("127.0.0.1");  // which the validator refuses
    d.pools[0].backends[0].port = server.port;
    d.pools[0].health.type = config::HealthType::http;
    d.pools[0].health.proxy = config::HealthProxy::v1;
    HealthChecks checks(*prober_, 1, [](uint16_t, const HealthState::Transition&) {});
    const Instant now{1'000'000'000};
    checks.configure(d, *built->owned.snapshot, now);
    for (unsigned i = 0; i < 10'000 && server.closed == 0; ++i) {
      checks.turn(now + std::chrono::milliseconds(i));
      std::this_thread::sleep_for(1ms);
    }
  }
  EXPECT_EQ(seen.substr(0, 20), "PROXY UNKNOWN\r\nGET /");
}

}  // namespace
}  // namespace limpet::health
