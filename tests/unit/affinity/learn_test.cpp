#include "limpet/affinity/learn.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace limpet::affinity {
namespace {

using namespace std::chrono_literals;
using balance::Admin;
using balance::BackendStatus;
using balance::Health;
using balance::Maglev;

constexpr uint64_t kUnixNow = 784111777;  // Sun, 06 Nov 1994 08:49:37 GMT
constexpr Instant kNow{1'000'000'000'000};

TEST(SetCookie, is_taken_apart_as_user_agents_do) {
  const auto c = parse_set_cookie(
      "JSESSIONID=abc=d; Path=/; Max-Age=60 ;Expires="
      "Sun, 06 Nov 1994 08:49:37 GMT; HttpOnly");
  ASSERT_TRUE(c);
  EXPECT_EQ(c->name, "JSESSIONID");
  EXPECT_EQ(c->value, "abc=d");
  EXPECT_EQ(c->max_age, 60);
  EXPECT_EQ(c->expires, kUnixNow);
  const auto spaced = parse_set_cookie("  a \t=  \"b c\"  ");
  ASSERT_TRUE(spaced);
  EXPECT_EQ(spaced->name, "a");
  EXPECT_EQ(spaced->value, "\"b c\"");
  EXPECT_FALSE(spaced->max_age || spaced->expires);
  EXPECT_EQ(parse_set_cookie("a=")->value, "");
  for (const char* bad : {"", "a", "; a=b", "=b", "a; b=c"})
    EXPECT_FALSE(parse_set_cookie(bad)) << bad;
}

TEST(SetCookie, the_last_attribute_that_can_be_read_counts) {
  const auto max_age = [](const std::string& attributes) {
    return parse_set_cookie("a=b;" + attributes)->max_age;
  };
  EXPECT_EQ(max_age("max-age=5;MAX-AGE=7"), 7);
  EXPECT_EQ(max_age("max-age=5;max-age=x"), 5);
  EXPECT_EQ(max_age("max-age=-1"), -1);
  EXPECT_EQ(max_age("max-age=99999999999999999999999"), int64_t{1} << 40);
  for (const char* bad : {"max-age", "max-age=", "max-age=-", "max-age=+1", "max-age=1.5",
                          "max-age=0x1", "x-max-age=1", "max-ag=1"})
    EXPECT_FALSE(max_age(bad)) << bad;
  EXPECT_FALSE(parse_set_cookie("a=b; expires=never")->expires);
}

TEST(SetCookie, deletion_is_an_empty_value_no_age_or_a_date_gone_by) {
  const auto deleted = [](const char* field) {
    return deletes(*parse_set_cookie(field), kUnixNow);
  };
  EXPECT_FALSE(deleted("a=b"));
  EXPECT_TRUE(deleted("a="));
  EXPECT_TRUE(deleted("a=; Max-Age=60"));
  EXPECT_TRUE(deleted("a=b; Max-Age=0"));
  EXPECT_TRUE(deleted("a=b; Max-Age=-1"));
  EXPECT_FALSE(deleted("a=b; Max-Age=1"));
  EXPECT_TRUE(deleted("a=b; Expires=Thu, 01-Jan-1970 00:00:01 GMT"));
  EXPECT_TRUE(deleted("a=b; Expires=Sun, 06 Nov 1994 08:49:37 GMT"));
  EXPECT_FALSE(deleted("a=b; Expires=Sun, 06 Nov 1994 08:49:38 GMT"));
  EXPECT_FALSE(deleted("a=b; Expires=Thu, 01-Jan-1970 00:00:01 GMT; Max-Age=60"));
  EXPECT_TRUE(deleted("a=b; Expires=Sun, 06 Nov 2094 08:49:37 GMT; Max-Age=0"));
}

struct Rig {
  BackendIds backends{{"s0", "s1", "s2"}};
  std::vector<BackendStatus> status{3};
  StickTable table{{100, 30min, WhenFull::evict}, HashKey{7}};

  LearnedRequest ask(const std::vector<std::string_view>& values, Instant now = kNow) {
    return learned_request(backends, table, 0, values, now, [&](uint16_t m) { return status[m]; });
  }
  Learned answer(const char* field, uint64_t brought, uint16_t member) {
    return learn_response(backends, table, 0, *parse_set_cookie(field), brought, member, kUnixNow,
                          kNow, handle);
  }
  StickHandle handle;  // of the last answer
};

TEST(Learn, a_session_returns_to_the_backend_that_opened_it) {
  Rig rig;
  const LearnedRequest first = rig.ask({});
  EXPECT_EQ(first.decision.flag, RequestFlag::none);
  EXPECT_EQ(rig.answer("J=abc", 0, 2), Learned::stored);
  const LearnedRequest r = rig.ask({"abc"});
  EXPECT_EQ(r.decision.flag, RequestFlag::valid);
  EXPECT_EQ(r.decision.member, 2);
  EXPECT_FALSE(r.decision.draining);
  EXPECT_EQ(rig.ask({"abd"}).decision.flag, RequestFlag::invalid);
  EXPECT_EQ(rig.ask({"abd"}).decision.detail, InvalidDetail::not_learned);
  EXPECT_EQ(rig.ask({""}).decision.detail, InvalidDetail::empty);
}

TEST(Learn, what_a_request_makes_up_is_not_stored) {
  Rig rig;
  rig.ask({"made", "up"});
  EXPECT_EQ(rig.table.counters().used, 0u);
}

TEST(Learn, use_keeps_a_session_and_idleness_ends_it) {
  Rig rig;
  rig.answer("J=abc", 0, 2);
  EXPECT_EQ(rig.ask({"abc"}, kNow + 29min).decision.flag, RequestFlag::valid);
  EXPECT_EQ(rig.ask({"abc"}, kNow + 58min).decision.flag, RequestFlag::valid);
  EXPECT_EQ(rig.ask({"abc"}, kNow + 90min).decision.detail, InvalidDetail::not_learned);
}

TEST(Learn, the_first_value_with_a_usable_backend_decides) {
  Rig rig;
  rig.answer("J=dead", 0, 0);
  rig.answer("J=good", 0, 1);
  rig.status[0].health = Health::down;
  LearnedRequest r = rig.ask({"", "unknown", "dead", "good"});
  EXPECT_EQ(r.decision.flag, RequestFlag::valid);
  EXPECT_EQ(r.decision.member, 1);
  EXPECT_EQ(r.decision.detail, InvalidDetail::none);
  r = rig.ask({"unknown", "dead", ""});
  EXPECT_EQ(r.decision.flag, RequestFlag::down);
  EXPECT_EQ(r.decision.member, Maglev::kNone);
}

TEST(Learn, draining_backends_keep_their_sessions) {
  Rig rig;
  rig.answer("J=abc", 0, 1);
  rig.status[1].admin = Admin::drain;
  const LearnedRequest r = rig.ask({"abc"});
  EXPECT_EQ(r.decision.flag, RequestFlag::valid);
  EXPECT_TRUE(r.decision.draining);
}

TEST(Learn, two_workers_that_move_a_session_agree) {
  Rig rig;
  rig.answer("J=abc", 0, 0);
  rig.status[0].health = Health::down;
  const LearnedRequest one = rig.ask({"abc"}), two = rig.ask({"abc"});
  EXPECT_EQ(one.decision.flag, RequestFlag::down);
  StickHandle moved, told, none;
  EXPECT_EQ(move_learned(rig.backends, rig.table, one, 1, kNow, moved), 1);
  EXPECT_EQ(move_learned(rig.backends, rig.table, two, 2, kNow, told), 1);
  EXPECT_TRUE(moved.present());
  EXPECT_EQ(moved, told) << "one entry";
  EXPECT_EQ(rig.ask({"abc"}).decision.member, 1);
  EXPECT_EQ(move_learned(rig.backends, rig.table, rig.ask({"unknown"}), 2, kNow, none), 2);
  EXPECT_FALSE(none.present());
  EXPECT_EQ(rig.table.counters().used, 1u);
}

TEST(Learn, a_deleted_session_is_forgotten_and_a_new_one_learned_beside_the_old) {
  Rig rig;
  rig.answer("J=abc", 0, 1);
  LearnedRequest r = rig.ask({"abc"});
  EXPECT_EQ(rig.answer("J=xyz", r.hash(), 1),
            Learned::stored);  // a login: both may be on their way
  EXPECT_EQ(rig.ask({"abc"}).decision.member, 1);
  EXPECT_EQ(rig.ask({"xyz"}).decision.member, 1);
  EXPECT_EQ(rig.answer("J=bye; Max-Age=0", r.hash(), 1), Learned::forgotten);
  EXPECT_EQ(rig.ask({"abc"}).decision.flag, RequestFlag::invalid);
  EXPECT_EQ(rig.ask({"bye"}).decision.flag, RequestFlag::invalid);
  EXPECT_EQ(rig.answer("J=", r.hash(), 1), Learned::nothing);
  EXPECT_EQ(rig.answer("J=", 0, 1), Learned::nothing);
  EXPECT_EQ(rig.answer("J=abc", 0, Maglev::kNone), Learned::nothing);
}

TEST(Learn, the_backend_that_answers_last_owns_the_value) {
  Rig rig;
  rig.answer("J=abc", 0, 1);
  EXPECT_EQ(rig.answer("J=abc", 0, 2), Learned::stored);
  EXPECT_EQ(rig.ask({"abc"}).decision.member, 2);
}

TEST(Learn, sessions_follow_the_name_when_the_pool_changes) {
  Rig rig;
  rig.answer("J=abc", 0, 1);
  rig.backends = BackendIds({"new", "s0", "s1"});
  EXPECT_EQ(rig.ask({"abc"}).decision.member, 2);
  rig.backends = BackendIds({"s0"});
  EXPECT_EQ(rig.ask({"abc"}).decision.flag, RequestFlag::down);
  EXPECT_EQ(rig.ask({"abc"}).decision.member, Maglev::kNone);
}

TEST(Learn, a_full_table_says_that_it_could_not_learn) {
  Rig rig;
  StickTable small({1, 30min, WhenFull::refuse}, HashKey{});
  const SetCookie a = *parse_set_cookie("J=a"), b = *parse_set_cookie("J=b");
  EXPECT_EQ(learn_response(rig.backends, small, 0, a, 0, 1, kUnixNow, kNow, rig.handle),
            Learned::stored);
  EXPECT_EQ(learn_response(rig.backends, small, 0, b, 0, 1, kUnixNow, kNow, rig.handle),
            Learned::refused);
}

}  // namespace
}  // namespace limpet::affinity
