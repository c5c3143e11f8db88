// The log of requests and flows: from a worker's record to the line.
#include "limpet/console/request_log.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <rte_ring_elem.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "limpet/affinity/reason.h"
#include "limpet/publish/builder.h"
#include "sample.h"

namespace limpet::console {
namespace {

using namespace std::chrono_literals;
using dataplane::Ending;
using dataplane::kNever;
using dataplane::LogRecord;
using dataplane::Phase;

class RequestLogTest : public ::testing::Test {
 protected:
  void SetUp() override {
    static int count = 0;
    auto shared = dataplane::Shared::create(2, "requests" + std::to_string(++count));
    ASSERT_TRUE(shared.ok()) << shared.error();
    shared_ = std::move(*shared);
    const config::Document d =
        document(with(kSample, R"(persistence = ( { type = "source"; prefix4 = 24; } );)",
                      R"(mode = "splice"; persistence = ( { type = "cookie"; session_name = "SRV";
                         value = "plain"; } );)"));
    const auto ports = ports_of(d, 1);
    publish::BuildInput input;
    input.document = &d;
    input.ports = ports;
    Result<publish::Built> built = build(publish::Slots(), input);
    ASSERT_TRUE(built) << built.error();
    slots = built->slots;
  }
  static LogRecord record() {
    LogRecord r;
    r.ended = {5'000'000'000};
    r.total = 12004us;
    r.head = 21us;
    r.connect = 402us;
    r.first_byte = 3118us;
    r.in = 120;
    r.out = 5120;
    r.client = ip("198.51.100.7");
    r.client_port = be16::from(4711);
    r.source_port = be16::from(31000);
    r.service = 0;
    r.source = 0;
    r.backend = 1;
    r.backend_generation = 1;
    r.status = 200;
    r.forwarding = Forwarding::splice;
    r.protocol = IPPROTO_TCP;
    r.reason = static_cast<uint8_t>(affinity::Reason::cookie);
    r.entry = 0;
    r.tries = 1;
    set(r.verb, "GET");
    path(r, "/cart");
    return r;
  }
  template <size_t N>
  static void set(std::array<char, N>& out, std::string_view text) {
    out = {};
    std::copy(text.begin(), text.end(), out.begin());
  }
  static void path(LogRecord& r, std::string_view text) {
    set(r.path, text);
    r.path_length = static_cast<uint8_t>(text.size());
  }
  // At which 5 s of the monotonic clock are 2026-12-01T12:00:00.
  const WallClock clock{{5'500'000'000}, 1796126400.5};
  std::string text(const LogRecord& r) { return text_line(slots, r, clock); }
  nlohmann::json json(const LogRecord& r) {
    const std::string line = json_line(slots, r, clock);
    EXPECT_EQ(line.find('\n'), std::string::npos);
    return nlohmann::json::parse(line);
  }

  publish::Slots slots;
  std::unique_ptr<dataplane::Shared> shared_;
};

TEST_F(RequestLogTest, a_line_tells_the_story_of_a_request) {
  const std::string source = slots.sources[0].address.to_string();
  EXPECT_EQ(text(record()),
            "2026-12-01T12:00:00.000Z web 198.51.100.7:4711 -> web/s1 10.2.0.11:80 via " + source +
                ":31000 GET /cart 200 reason=cookie entry=SRV head_ms=0.021 connect_ms=0.402 "
                "first_byte_ms=3.118 total_ms=12.004 tries=1 in=120 out=5120 end=done --");
}

TEST_F(RequestLogTest, what_was_not_reached_is_a_dash) {
  LogRecord r = record();
  r.client = ip("2001:db8::7");
  r.backend = r.source = dataplane::kNoSlot;
  r.head = r.connect = r.first_byte = kNever;
  r.entry = LogRecord::kNoEntry;
  r.status = 400;
  r.reason = static_cast<uint8_t>(affinity::Reason::bad_request);
  r.ending = Ending::refused;
  r.phase = Phase::request;
  r.verb = {};
  r.path_length = 0;
  r.tries = 0;
  EXPECT_EQ(text(r),
            "2026-12-01T12:00:00.000Z web [2001:db8::7]:4711 -> nobody via - - - 400 "
            "reason=bad_request entry=- head_ms=- connect_ms=- first_byte_ms=- total_ms=12.004 "
            "tries=0 in=120 out=5120 end=refused PR");
  const nlohmann::json j = json(r);
  for (const char* key :
       {"backend", "backend_address", "backend_port", "source_address", "source_port", "entry",
        "method", "path", "head_ms", "connect_ms", "first_byte_ms"})
    EXPECT_TRUE(j.at(key).is_null()) << key;
  EXPECT_EQ(j.at("state"), "PR");
}

TEST_F(RequestLogTest, json_has_the_same) {
  const nlohmann::json j = json(record());
  EXPECT_EQ(j.at("time"), "2026-12-01T12:00:00.000Z");
  EXPECT_EQ(j.at("client"), "198.51.100.7");
  EXPECT_EQ(j.at("client_port"), 4711);
  EXPECT_EQ(j.at("backend"), "web/s1");
  EXPECT_EQ(j.at("source_port"), 31000);
  EXPECT_EQ(j.at("method"), "GET");
  EXPECT_EQ(j.at("path"), "/cart");
  EXPECT_EQ(j.at("status"), 200);
  EXPECT_EQ(j.at("total_ms"), 12.004);
  EXPECT_EQ(j.at("out"), 5120);
  EXPECT_EQ(j.at("end"), "done");
}

TEST_F(RequestLogTest, a_path_is_in_its_field_whatever_octets_it_has) {
  LogRecord r = record();
  path(r, "/\x1b[2J\n\"\\ \x80\xff~");
  set(r.verb, "G\tT");
  const std::string line = text(r);
  EXPECT_NE(line.find(R"( G\x09T /\x1b[2J\x0a\x22\x5c\x20\x80\xff~ 200 )"), std::string::npos)
      << line;
  EXPECT_EQ(json(r).at("path"), "/\x1b[2J\n\"\\ \xc2\x80\xc3\xbf~");
  for (const char c : json_line(slots, r, clock)) EXPECT_TRUE(c >= 0x20 && c < 0x7f) << int{c};
  r.path_cut = true;
  EXPECT_NE(text(r).find("~... 200"), std::string::npos) << "more of it there was";
}

TEST_F(RequestLogTest, a_flow_tells_who_it_was_and_when) {
  LogRecord r = record();
  r.forwarding = Forwarding::nat;
  r.protocol = IPPROTO_UDP;
  r.total = 90s;
  r.ending = Ending::idle;
  r.phase = Phase::data;
  r.reason = static_cast<uint8_t>(affinity::Reason::source);
  const std::string source = slots.sources[0].address.to_string();
  EXPECT_EQ(text(r), "2026-12-01T12:00:00.000Z web 198.51.100.7:4711 -> web/s1 10.2.0.11:80 via " +
                         source +
                         ":31000 udp reason=source begin=2026-12-01T11:58:30.000Z "
                         "total_ms=90000.000 end=idle cD");
  EXPECT_EQ(json(r).count("path"), 0u);
}

TEST_F(RequestLogTest, a_backend_that_another_one_has_replaced_is_unknown) {
  LogRecord r = record();
  r.backend_generation = 2;
  EXPECT_NE(text(r).find("-> unknown - via "), std::string::npos) << text(r);
  EXPECT_NE(text(r).find(":31000 GET"), std::string::npos) << "what is known is told";
  r.service = 999;
  EXPECT_NE(text(r).find("Z unknown 198.51.100.7"), std::string::npos);
  r.reason = 255;
  EXPECT_NE(text(r).find("reason=unknown"), std::string::npos);
}

TEST(LogRecordTest, endings_have_haproxy_s_letters) {
  const auto letters = [](Ending e, Phase p) {
    const std::array<char, 2> two = ending_letters(e, p);
    return std::string(two.begin(), two.end());
  };
  EXPECT_EQ(letters(Ending::done, Phase::none), "--");
  EXPECT_EQ(letters(Ending::client_abort, Phase::request), "CR");
  EXPECT_EQ(letters(Ending::client_abort, Phase::data), "CD");
  EXPECT_EQ(letters(Ending::client_timeout, Phase::request), "cR");
  EXPECT_EQ(letters(Ending::backend_abort, Phase::head), "SH");
  EXPECT_EQ(letters(Ending::backend_timeout, Phase::head), "sH");
  EXPECT_EQ(letters(Ending::connect_failed, Phase::connect), "SC");
  EXPECT_EQ(letters(Ending::connect_timeout, Phase::connect), "sC");
  EXPECT_EQ(letters(Ending::no_backend, Phase::request), "SC");
  EXPECT_EQ(letters(Ending::refused, Phase::request), "PR");
  EXPECT_EQ(letters(Ending::bad_response, Phase::head), "PH");
  EXPECT_EQ(letters(Ending::backend_down, Phase::data), "DD");
  EXPECT_EQ(letters(Ending::count_, Phase::data), "??");
  std::string all;
  for (size_t i = 0; i < dataplane::kEndings; ++i)
    all += std::string(ending_name(static_cast<Ending>(i))) + " ";
  EXPECT_EQ(all,
            "done client_abort client_timeout backend_abort backend_timeout connect_failed "
            "connect_timeout no_backend refused bad_response no_memory backend_down gave_way "
            "replaced idle ");
}

TEST(LineRateTest, so_many_a_second) {
  LineRate rate(10);
  Instant now{1'000'000'000};
  unsigned taken = 0;
  for (int i = 0; i < 100; ++i) taken += rate.take(now) ? 1 : 0;
  EXPECT_EQ(taken, 10u) << "a second's at once";
  for (int i = 0; i < 100; ++i) taken += rate.take(now = now + 10ms) ? 1 : 0;
  EXPECT_EQ(taken, 20u);
  for (int i = 0; i < 100; ++i) taken += rate.take(now = now + (i == 0 ? 1h : 0ms)) ? 1 : 0;
  EXPECT_EQ(taken, 30u) << "what was not used is not saved up";
  EXPECT_TRUE(rate.take(now = now + 1h));
  for (int i = 0; i < 100; ++i) taken += rate.take(now = now + (i == 0 ? 1h : 0ms)) ? 1 : 0;
  EXPECT_EQ(taken, 40u) << "neither what was left over";
}

class RequestLogRings : public RequestLogTest {
 protected:
  void leave(unsigned worker, unsigned count) {
    LogRecord r = record();
    for (unsigned i = 0; i < count; ++i)
      ASSERT_EQ(rte_ring_sp_enqueue_elem(shared_->rings[worker].log, &r, sizeof r), 0);
  }
  config::Log to(const std::string& path) {
    config::Log log;
    log.to = config::Log::To::file;
    log.path = path;
    return log;
  }
  std::string temporary(const char* name) {
    return std::filesystem::temp_directory_path() / ("limpet_requests_" + std::string(name));
  }
  static size_t lines(const std::string& path) {
    std::ostringstream all;
    all << std::ifstream(path).rdbuf();
    const std::string t = all.str();
    return static_cast<size_t>(std::count(t.begin(), t.end(), '\n'));
  }
};

TEST_F(RequestLogRings, are_emptied_in_pieces_into_a_file_that_may_be_rotated) {
  const std::string path = temporary("a"), old = temporary("b");
  for (const std::string& p : {path, old}) std::filesystem::remove(p);
  {
    RequestLog log(*shared_);
    ASSERT_TRUE(log.prepare(to(path)).ok());
    EXPECT_FALSE(log.on());
    log.commit();
    EXPECT_TRUE(log.on());
    leave(0, 300);
    leave(1, 1);
    EXPECT_TRUE(log.turn(slots, clock)) << "256 of a worker at a time";
    EXPECT_FALSE(log.turn(slots, clock));
    std::filesystem::rename(path, old);
    ASSERT_TRUE(log.prepare(to(path)).ok());
    log.commit();
    leave(0, 7);
    EXPECT_FALSE(log.turn(slots, clock));
    EXPECT_FALSE(log.prepare(to("/nowhere/at/all")).ok());
    log.abandon();
    leave(0, 1);
    log.turn(slots, clock);
    EXPECT_TRUE(log.prepare({}).ok());
    log.commit();
    EXPECT_FALSE(log.on());
    leave(0, 5);
    EXPECT_FALSE(log.turn(slots, clock)) << "nobody wants them, and they are not kept";
    for (int i = 0; i < 500 && log.totals().written != 309; ++i) usleep(10000);
    EXPECT_EQ(log.totals().written, 309u);
  }
  EXPECT_EQ(lines(old), 301u);
  EXPECT_EQ(lines(path), 8u);
  for (const std::string& p : {path, old}) std::filesystem::remove(p);
}

TEST_F(RequestLogRings, hold_the_rate_and_count_what_is_above) {
  const std::string path = temporary("rate");
  std::filesystem::remove(path);
  config::Log wanted = to(path);
  wanted.rate = 20;
  RequestLog log(*shared_);
  ASSERT_TRUE(log.prepare(wanted).ok());
  log.commit();
  leave(0, 100);
  log.turn(slots, clock);
  EXPECT_EQ(log.totals().lost_rate, 80u);
  ASSERT_TRUE(log.prepare(wanted).ok());
  log.commit();
  leave(0, 1);
  log.turn(slots, clock);
  EXPECT_EQ(log.totals().lost_rate, 81u) << "a reload does not make more of them";
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace limpet::console
