// Services in mode "splice": what they have, their defaults, and their limits from the inside. What
// is refused stands in config/invalid.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include "sample.h"

namespace limpet::config {
namespace {

using namespace std::chrono_literals;

Service splice(const std::string& settings) {
  Sample s;
  s.service = "mode = \"splice\"; " + settings;
  return s.document().services[0];
}

TEST(Splice, has_defaults_of_its_own) {
  const Service s = splice("");
  EXPECT_EQ(s.mode, Forwarding::splice);
  EXPECT_EQ(s.timeouts.connect, 1s) << "of one try, not of the whole handshake as with nat";
  EXPECT_EQ(s.timeouts.idle, 5min);
  EXPECT_EQ(s.timeouts.half_closed, 2min);
  EXPECT_EQ(s.timeouts.response, 1min);
  EXPECT_EQ(s.timeouts.keep_alive, 1min);
  EXPECT_EQ(s.timeouts.tunnel, 1h);
  EXPECT_EQ(s.retries, 3u);
  EXPECT_EQ(s.on_no_backend, OnNoBackend::unavailable);
  EXPECT_NE(s.unavailable.body.find("Service unavailable"), std::string::npos);
  EXPECT_EQ(s.unavailable.content_type, "text/html");
  EXPECT_EQ(s.unavailable.retry_after, 5s);
  EXPECT_EQ(s.limits.bytes, 16384u);
  EXPECT_EQ(s.limits.time, 10s);
  EXPECT_EQ(s.forwarded, Forwarded::none);
  EXPECT_TRUE(s.redispatch);
  EXPECT_FALSE(s.session_log);
}

TEST(Splice, a_default_may_be_longer_than_idle_which_counts_then) {
  const Service s = splice("timeouts = { idle = \"10s\"; };");
  EXPECT_EQ(s.timeouts.idle, 10s);
  EXPECT_EQ(splice("retries = 0;").retries, 0u);
}

TEST(Splice, leaves_the_defaults_of_nat_alone) {
  const Service s = Sample().document().services[0];
  EXPECT_EQ(s.mode, Forwarding::nat);
  EXPECT_EQ(s.timeouts.connect, 10s);
  EXPECT_EQ(s.on_no_backend, OnNoBackend::reset);
}

TEST(Splice, keeps_every_value_given) {
  const Service s = splice(
      "redispatch = false; on_no_backend = \"503\"; session_log = true;"
      "unavailable = { body = \"gone\\n\"; content_type = \"text/plain; charset=utf-8\";"
      "  retry_after = \"2m\"; };"
      "limits = { head_bytes = \"8k\"; head_time = \"3s\"; }; timeouts = { connect = \"250ms\"; "
      "response = \"5m\"; keep_alive = \"100ms\"; tunnel = \"7d\"; }; retries = 60;");
  EXPECT_FALSE(s.redispatch);
  EXPECT_EQ(s.on_no_backend, OnNoBackend::unavailable);
  EXPECT_TRUE(s.session_log);
  EXPECT_EQ(s.unavailable.body, "gone\n");
  EXPECT_EQ(s.unavailable.content_type, "text/plain; charset=utf-8");
  EXPECT_EQ(s.unavailable.retry_after, 2min);
  EXPECT_EQ(s.limits.bytes, 8192u);
  EXPECT_EQ(s.limits.time, 3s);
  EXPECT_EQ(s.timeouts.connect, 250ms);
  EXPECT_EQ(s.timeouts.response, 5min);
  EXPECT_EQ(s.timeouts.keep_alive, 100ms);
  EXPECT_EQ(s.timeouts.tunnel, 168h);
  EXPECT_EQ(s.retries, 60u);
  EXPECT_EQ(splice("on_no_backend = \"reset\";").on_no_backend, OnNoBackend::reset);
}

TEST(Splice, tells_backends_who_the_client_is_in_each_way) {
  EXPECT_EQ(splice("forwarded = \"none\";").forwarded, Forwarded::none);
  EXPECT_EQ(splice("forwarded = \"x-forwarded-for\";").forwarded, Forwarded::x_forwarded_for);
  EXPECT_EQ(splice("forwarded = \"proxy-v1\";").forwarded, Forwarded::proxy_v1);
  EXPECT_EQ(splice("forwarded = \"proxy-v2\";").forwarded, Forwarded::proxy_v2);
}

TEST(Splice, limits_are_inclusive_at_both_ends) {
  EXPECT_EQ(splice("limits = { head_bytes = \"1k\"; head_time = \"100ms\"; };").limits.bytes,
            1024u);
  EXPECT_EQ(splice("limits = { head_bytes = \"16384\"; head_time = \"10m\"; };").limits.bytes,
            16384u);
  EXPECT_EQ(splice("unavailable = { retry_after = \"0s\"; };").unavailable.retry_after, 0s);
  EXPECT_EQ(splice("unavailable = { retry_after = \"1d\"; };").unavailable.retry_after, 24h);
  EXPECT_EQ(splice("unavailable = { body = \"\"; };").unavailable.body, "");
  const std::string longest(kMaxUnavailableBody, 'x');
  EXPECT_EQ(splice("unavailable = { body = \"" + longest + "\"; };").unavailable.body, longest);
}

TEST(Splice, content_types_are_two_tokens_and_perhaps_parameters) {
  const auto with = [](const std::string& type) {
    Sample s;
    s.service = "mode = \"splice\"; unavailable = { content_type = \"" + type + "\"; };";
    return s.problems();
  };
  EXPECT_EQ(with("application/problem+json"), "");
  EXPECT_EQ(with("text/html;charset=utf-8"), "");
  for (const char* type : {"", "text", "/html", "text/", "te xt/html", "text/ht ml", "text/a/b"})
    EXPECT_NE(with(type), "") << type;
  EXPECT_EQ(with("a/" + std::string(126, 'b')), "");
  EXPECT_NE(with("a/" + std::string(127, 'b')), "");
}

// The ports of protocols in which the client waits for the server.
TEST(ServerFirst, ports_are_refused_with_splice_and_welcome_with_nat) {
  const auto with = [](int port, const std::string& service) {
    Sample s;
    s.service = service;
    std::string text = s.text();
    const std::string own = "vip = \"10.1.0.100\"; port = 80;";
    text.replace(text.find(own), own.size(), fmt::format("vip = \"10.1.0.100\"; port = {};", port));
    return load_text(text, "t.cfg").problems.size();
  };
  for (const int port : {13,  17,  19,  21,   22,   23,   25,   37,   109,  110,  119,
                         143, 220, 587, 2628, 3306, 4190, 5900, 5901, 5902, 5903, 6600}) {
    EXPECT_EQ(with(port, "mode = \"splice\";"), 1u) << port;
    EXPECT_EQ(with(port, ""), 0u) << port;
    EXPECT_EQ(with(port, "mode = \"splice\"; application = \"http\";"), 0u) << port;
  }
  for (const int port : {20, 24, 80, 443, 3000, 3307, 5899, 5904, 6379, 8000, 8080})
    EXPECT_EQ(with(port, "mode = \"splice\";"), 0u) << port;
}

TEST(ServerFirst, ports_of_backends_count_too) {
  Sample s;
  s.backends = ", { name = \"s1\"; address = \"10.2.0.11\"; port = 3306; }";
  EXPECT_EQ(s.problems(), "");
  s.service = "mode = \"splice\";";
  EXPECT_EQ(
      s.problems(),
      "services[0].pool: backend \"s1\" has port 3306, that of MySQL, where the server speaks "
      "first and mode \"splice\" would wait for the client; expected mode \"nat\", or "
      "application = \"http\" if that is what is spoken there\n");
  s.service += " application = \"http\";";
  EXPECT_EQ(s.problems(), "");
}

}  // namespace
}  // namespace limpet::config
