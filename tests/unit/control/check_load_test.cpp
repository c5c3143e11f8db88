// More health checks than can run at once are told, not passed over in silence.
#include "check_load.h"

#include <gtest/gtest.h>

namespace limpet::control {
namespace {

using namespace std::chrono_literals;

// One pool of so many backends, and one without checks.
config::Document document_of(size_t backends, Duration interval, Duration timeout) {
  config::Document d;
  config::Pool& pool = d.pools.emplace_back();
  pool.health.type = config::HealthType::tcp;
  pool.health.interval = interval;
  pool.health.timeout = timeout;
  pool.backends.resize(backends);
  config::Pool& unchecked = d.pools.emplace_back();
  unchecked.health.type = config::HealthType::none;
  unchecked.backends.resize(10000);
  return d;
}

TEST(CheckLoad, a_check_that_is_not_answered_takes_its_share_of_the_interval) {
  EXPECT_EQ(checks_needed(document_of(3000, 1s, 500ms)), 1500u);
  EXPECT_EQ(checks_needed(document_of(7, 1s, 1s)), 7u);
  EXPECT_EQ(checks_needed(document_of(1, 1h, 1ms)), 1u);
  EXPECT_EQ(checks_needed(document_of(0, 1s, 1s)), 0u);
}

TEST(CheckLoad, half_of_the_descriptors_are_for_checks) {
  EXPECT_EQ(check_limit(1024).checks, 512u);
  EXPECT_EQ(check_limit(8).checks, 16u);
  EXPECT_EQ(check_limit(UINT64_MAX).checks, 1024u);
}

TEST(CheckLoad, nothing_is_said_while_all_fit) {
  EXPECT_EQ(too_many_checks(document_of(2048, 1s, 500ms), check_limit(4096)), std::nullopt);
  EXPECT_EQ(too_many_checks(document_of(512, 1s, 1s), check_limit(1024)), std::nullopt);
}

const std::string kText =
    "health checks: backends that do not answer may need {} at once (backends x timeout / interval "
    "of `health`), {} can run; the rest wait, and dead backends are found late. ";

std::string text(const char* needed, const char* limit, const char* cure) {
  std::string t = kText;
  t.replace(t.find("{}"), 2, needed);
  t.replace(t.find("{}"), 2, limit);
  return t + cure;
}

TEST(CheckLoad, the_cure_is_what_stands_in_the_way) {
  EXPECT_EQ(too_many_checks(document_of(2050, 1s, 500ms), check_limit(4096)),
            text("1025", "1024", "Set a longer interval or a shorter timeout"));
  EXPECT_EQ(
      too_many_checks(document_of(600, 1s, 1s), check_limit(1024)),
      text("600", "512", "Allow 1200 open files (now 1024: ulimit -n, LimitNOFILE= of systemd)"));
  EXPECT_EQ(too_many_checks(document_of(5000, 1s, 1s), check_limit(1024)),
            text("5000", "512",
                 "Allow 2048 open files (now 1024: ulimit -n, LimitNOFILE= of systemd), and set a "
                 "longer interval or a shorter timeout"));
}

}  // namespace
}  // namespace limpet::control
