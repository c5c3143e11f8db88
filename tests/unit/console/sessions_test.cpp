// `show sessions` and `clear sessions`.
#include "sessions.h"

#include <fmt/core.h>

#include "limpet/affinity/source.h"
#include "view_fixture.h"

namespace limpet::console {
namespace {

class SessionsTest : public ViewTest {
 protected:
  void SetUp() override {
    build_from(with(kSample, R"(persistence = ( { type = "source"; prefix4 = 24; } );)",
                    R"(mode = "splice"; table = { size = 4096; expire = "10m"; };
                       persistence = ( { type = "cookie"; name = "APP"; mode = "learn"; },
                                       { type = "source"; prefix4 = 24; } );)"));
  }
  affinity::StickTable& table() { return *built_.owned.snapshot->services[0].splice->table; }
  void learn(const std::string& value, const char* backend) {
    table().assign(table().key(0, value), {affinity::backend_id(backend), 0}, kNow);
  }
  void pin(const char* client, const char* backend) {
    table().assign(table().key(1, affinity::network_of({24, 64, 0}, ip(client)).bytes),
                   {affinity::backend_id(backend), 0}, kNow);
  }
  // The data of the reply, or the error as a string.
  json asked(SessionWalk::Wanted wanted) {
    if (wanted.service.empty()) wanted.service = "web";
    if (wanted.limit == 0) wanted.limit = 1000;
    Result<SessionWalk> walk = SessionWalk::begin(view(), std::move(wanted));
    if (!walk) return walk.error();
    turns = 1;
    while (!walk->turn(view())) ++turns;
    return json::parse(walk->text(Duration(0)));
  }
  int turns = 0;
};

TEST_F(SessionsTest, each_is_a_row_with_what_it_goes_by) {
  learn("abc", "s1");
  pin("198.51.100.7", "s0");
  const json all = asked({})["sessions"];
  ASSERT_EQ(all.size(), 2u);
  const json& cookie = all[0]["type"] == "cookie" ? all[0] : all[1];
  const json& source = all[0]["type"] == "cookie" ? all[1] : all[0];
  expect_fields(cookie, {"service", "table", "key", "backend", "age_s", "idle_s", "expires_s",
                         "connections", "origin"});
  EXPECT_EQ(cookie["key"], "abc");
  EXPECT_EQ(cookie["backend"], "s1");
  EXPECT_EQ(cookie["entry"], 0);
  EXPECT_EQ(cookie["origin"], "local");
  EXPECT_EQ(source["key"], "198.51.100.0") << "by its prefix";
  EXPECT_EQ(source["backend"], "s0");
  EXPECT_EQ(source["entry"], 1);
  EXPECT_EQ(source["connections"], 0);
}

TEST_F(SessionsTest, a_key_is_looked_up_whatever_it_is_of) {
  learn("abc", "s1");
  learn("198.51.100.7", "s1");
  pin("198.51.100.7", "s0");
  EXPECT_EQ(asked({.key = "abc"})["sessions"].size(), 1u);
  EXPECT_EQ(asked({.key = "198.51.100.99"})["sessions"].size(), 1u);
  EXPECT_EQ(asked({.key = "198.51.100.7"})["sessions"].size(), 2u) << "an address and a value";
  EXPECT_EQ(asked({.key = "xyz"})["sessions"].size(), 0u);
  const std::string longer(40, 'k');
  learn(longer, "s0");
  const json found = asked({.key = longer})["sessions"];
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0]["key"].get<std::string>().substr(0, 5), "hash:");
}

TEST_F(SessionsTest, keys_that_somebody_chose_do_not_speak_to_a_terminal) {
  learn("a\x1b[2Jb\xff\\", "s0");
  EXPECT_EQ(asked({})["sessions"][0]["key"], "a\\x1b[2Jb\\xff\\x5c");
}

TEST_F(SessionsTest, a_walk_has_slices_and_a_limit) {
  for (int i = 0; i < 3000; ++i) learn(fmt::format("v{}", i), i % 2 == 0 ? "s0" : "s1");
  const json some = asked({.limit = 700});
  EXPECT_EQ(some["sessions"].size(), 700u);
  EXPECT_EQ(some["truncated"], true);
  EXPECT_GT(turns, 2);
  const json all = asked({.limit = 5000});
  EXPECT_EQ(all["sessions"].size(), 3000u);
  EXPECT_EQ(all["truncated"], false);
  const json exactly = asked({.limit = 3000});
  EXPECT_EQ(exactly["sessions"].size(), 3000u);
  EXPECT_EQ(exactly["truncated"], false);
}

TEST_F(SessionsTest, clear_forgets_all_or_one_or_those_of_a_backend) {
  for (int i = 0; i < 3000; ++i) learn(fmt::format("v{}", i), i % 3 == 0 ? "s0" : "s1");
  EXPECT_EQ(asked({.key = "v1", .clear = true})["cleared"], 1);
  EXPECT_EQ(asked({.key = "v1", .clear = true})["cleared"], 0);
  EXPECT_EQ(asked({.key = "v2", .backend = "s0", .clear = true})["cleared"], 0) << "it is s1's";
  EXPECT_EQ(table().counters().used, 2999u);
  EXPECT_EQ(asked({.backend = "s0", .clear = true})["cleared"], 1000);
  EXPECT_EQ(table().counters().used, 1999u);
  const json rest = asked({.clear = true});
  EXPECT_EQ(rest["cleared"], 1999);
  EXPECT_NE(rest["text"].get<std::string>().find("1999 sessions forgotten"), std::string::npos);
  EXPECT_EQ(table().counters().used, 0u);
}

TEST_F(SessionsTest, a_backend_that_has_left_has_no_name) {
  learn("abc", "gone");
  EXPECT_TRUE(asked({})["sessions"][0]["backend"].is_null());
}

TEST_F(SessionsTest, where_there_are_none_it_says_why) {
  EXPECT_EQ(asked({.service = "nope"}), "no service \"nope\"");
  EXPECT_EQ(
      asked({.service = "echo"}),
      "service \"echo\" has no stick table; its sessions are in cookies, or follow from a hash");
  EXPECT_EQ(asked({.backend = "s9", .clear = true}), "no backend \"s9\" in pool \"web\"");
}

}  // namespace
}  // namespace limpet::console
