// The session log: from a worker's note to the line.
#include "limpet/console/session_log.h"

#include <gtest/gtest.h>
#include <rte_ring_elem.h>

#include <memory>
#include <string>
#include <vector>

#include "limpet/publish/builder.h"
#include "sample.h"

namespace limpet::console {
namespace {

using affinity::InvalidDetail;
using affinity::Reason;
using affinity::RequestFlag;
using dataplane::SessionNote;

class SessionLogTest : public ::testing::Test {
 protected:
  void SetUp() override {
    static int count = 0;
    auto shared = dataplane::Shared::create(2, "log" + std::to_string(++count));
    ASSERT_TRUE(shared.ok()) << shared.error();
    shared_ = std::move(*shared);
  }
  static publish::Slots slots_of(const std::string& text,
                                 const publish::Slots& before = publish::Slots()) {
    const config::Document d = document(text);
    const auto ports = ports_of(d, 1);
    publish::BuildInput input;
    input.document = &d;
    input.ports = ports;
    Result<publish::Built> built = build(before, input);
    EXPECT_TRUE(built) << built.error();
    return built->slots;
  }
  SessionNote note() {
    SessionNote n;
    n.client = ip("198.51.100.7");
    n.client_port = be16::from(4711);
    n.service = 0;
    n.backend = 1;
    n.backend_generation = 1;
    n.reason = static_cast<uint8_t>(Reason::cookie);
    if (rules_ == 0) rules_ = slots_of(sample_).services[0].entry.splice->rules->number;
    n.rules = rules_;
    n.cookies = 2;
    n.request = {RequestFlag::valid, RequestFlag::none};
    return n;
  }
  bool leave(unsigned worker, SessionNote n) {
    return rte_ring_sp_enqueue_elem(shared_->rings[worker].notes, &n, sizeof n) == 0;
  }

  const std::string sample_ =
      with(kSample, R"(persistence = ( { type = "source"; prefix4 = 24; } );)",
           R"(mode = "splice"; session_log = true;
              persistence = ( { type = "cookie"; session_name = "SRV"; value = "plain"; },
                              { type = "cookie"; session_name = "OLD"; value = "plain"; } );)");
  uint32_t rules_ = 0;  // the number of those that a note is written by
  std::unique_ptr<dataplane::Shared> shared_;
};

TEST_F(SessionLogTest, a_line_says_who_went_where_and_why) {
  const publish::Slots slots = slots_of(sample_);
  EXPECT_EQ(session_line(slots, note()),
            "web 198.51.100.7:4711 -> web/s1 10.2.0.11:80 reason=cookie SRV=V- OLD=N-");
  SessionNote n = note();
  n.client = ip("2001:db8::7");
  n.backend = dataplane::kNoSlot;
  n.reason = static_cast<uint8_t>(Reason::no_backend);
  n.request = {RequestFlag::invalid, RequestFlag::old};
  n.detail = {InvalidDetail::forged, InvalidDetail::none};
  EXPECT_EQ(session_line(slots, n),
            "web [2001:db8::7]:4711 -> nobody reason=no_backend SRV=I-(forged) OLD=O-");
  n.cookies = 0;
  EXPECT_EQ(session_line(slots, n), "web [2001:db8::7]:4711 -> nobody reason=no_backend")
      << "there was no request";
}

TEST_F(SessionLogTest, headers_stand_behind_the_cookies) {
  const publish::Slots slots =
      slots_of(with(sample_, R"({ type = "cookie"; session_name = "OLD"; value = "plain"; })",
                    R"({ type = "header"; name = "X-User-ID"; })"));
  SessionNote n = note();
  n.rules = slots.services[0].entry.splice->rules->number;
  n.reason = static_cast<uint8_t>(Reason::header);
  n.cookies = 1;
  n.headers = 1;
  n.request = {RequestFlag::none};
  n.header = {RequestFlag::valid};
  EXPECT_EQ(session_line(slots, n),
            "web 198.51.100.7:4711 -> web/s1 10.2.0.11:80 reason=header SRV=N- X-User-ID=V");
}

TEST_F(SessionLogTest, cookies_have_the_names_that_they_had_when_the_request_was_read) {
  publish::Slots slots = slots_of(sample_);
  const std::string line = session_line(slots, note());
  slots = slots_of(with(sample_, "session_name = \"SRV\"", "session_name = \"NEW\""), slots);
  EXPECT_EQ(session_line(slots, note()), line);
  SessionNote n = note();
  n.rules = slots.services[0].entry.splice->rules->number;
  EXPECT_EQ(session_line(slots, n),
            "web 198.51.100.7:4711 -> web/s1 10.2.0.11:80 reason=cookie NEW=V- OLD=N-");
  slots.services[0].kept.clear();
  EXPECT_EQ(session_line(slots, note()),
            "web 198.51.100.7:4711 -> web/s1 10.2.0.11:80 reason=cookie")
      << "nobody knows what these flags are of";
}

TEST_F(SessionLogTest, every_flag_has_the_letter_that_haproxy_gives_it) {
  const publish::Slots slots = slots_of(sample_);
  std::string letters;
  for (const RequestFlag f :
       {RequestFlag::none, RequestFlag::invalid, RequestFlag::down, RequestFlag::valid,
        RequestFlag::expired, RequestFlag::old, RequestFlag::unused}) {
    SessionNote n = note();
    n.request[0] = f;
    const std::string line = session_line(slots, n);
    letters += line.at(line.find("SRV=") + 4);
  }
  EXPECT_EQ(letters, "NIDVEOU");
}

TEST_F(SessionLogTest, slots_that_mean_something_else_by_now_give_no_line) {
  const publish::Slots slots = slots_of(sample_);
  SessionNote n = note();
  n.backend_generation = 2;
  EXPECT_EQ(session_line(slots, n), "");
  n = note();
  n.backend = 99;
  EXPECT_EQ(session_line(slots, n), "");
  n = note();
  n.service = 99;
  EXPECT_EQ(session_line(slots, n), "");
  n = note();
  n.reason = 255;
  EXPECT_EQ(session_line(slots, n), "");
}

TEST_F(SessionLogTest, a_turn_takes_so_many_and_says_when_there_are_more) {
  std::vector<std::string> lines;
  SessionLog log(*shared_, [&](const std::string& line) { lines.push_back(line); });
  const publish::Slots slots = slots_of(sample_);
  EXPECT_FALSE(log.turn(slots));
  for (unsigned i = 0; i < SessionLog::kPerTurn + 1; ++i) ASSERT_TRUE(leave(0, note()));
  ASSERT_TRUE(leave(1, note()));
  EXPECT_TRUE(log.turn(slots));
  EXPECT_EQ(lines.size(), SessionLog::kPerTurn + 1) << "one worker does not keep the other waiting";
  EXPECT_FALSE(log.turn(slots));
  EXPECT_EQ(lines.size(), SessionLog::kPerTurn + 2);
}

TEST_F(SessionLogTest, a_full_ring_refuses_and_keeps_what_it_has) {
  unsigned taken = 0;
  while (leave(0, note())) ++taken;
  EXPECT_GE(taken, 4000u);
  size_t lines = 0;
  SessionLog log(*shared_, [&](const std::string&) { ++lines; });
  const publish::Slots slots = slots_of(sample_);
  while (log.turn(slots)) {
  }
  EXPECT_EQ(lines, taken);
}

}  // namespace
}  // namespace limpet::console
