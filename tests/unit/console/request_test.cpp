// Requests of the control socket: what is understood, and what is said of the rest.
#include "limpet/console/request.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

namespace limpet::console {
namespace {

std::string error_of(const std::string& line) {
  const Result<Request> r = parse_request(line);
  return r ? "" : r.error();
}

TEST(Request, show_with_everything) {
  const auto r =
      parse_request(R"({"cmd":"show","what":"flows","name":"web","limit":7,"all":true})");
  ASSERT_TRUE(r) << r.error();
  EXPECT_EQ(r->command, Request::Command::show);
  EXPECT_EQ(r->what, Request::What::flows);
  EXPECT_EQ(r->name, "web");
  EXPECT_EQ(r->limit, 7u);
  EXPECT_TRUE(r->all);
}

TEST(Request, show_with_nothing_but_what) {
  const auto r = parse_request(R"({"cmd":"show","what":"drops","name":null,"limit":null})");
  ASSERT_TRUE(r) << r.error();
  EXPECT_EQ(r->what, Request::What::drops);
  EXPECT_EQ(r->name, "");
  EXPECT_EQ(r->limit, 0u);
  EXPECT_FALSE(r->all);
}

TEST(Request, every_table_has_the_name_of_its_rows) {
  for (const char* what : {"services", "backends", "workers", "ports", "drops", "persistence",
                           "refusals", "neighbors", "flows"}) {
    const auto r = parse_request(std::string(R"({"cmd":"show","what":")") + what + "\"}");
    ASSERT_TRUE(r) << what;
    EXPECT_STREQ(name(r->what), what);
  }
}

TEST(Request, backend_states) {
  const auto r = parse_request(R"({"cmd":"backend","name":"web/s0","state":"drain"})");
  ASSERT_TRUE(r) << r.error();
  EXPECT_EQ(r->command, Request::Command::backend);
  EXPECT_EQ(r->name, "web/s0");
  EXPECT_EQ(r->admin, balance::Admin::drain);
  EXPECT_EQ(error_of(R"({"cmd":"backend","name":"web/s0","state":"off"})"),
            "no state \"off\"; expected up, drain or down");
  EXPECT_NE(error_of(R"({"cmd":"backend","state":"up"})"), "");
}

TEST(Request, steps_on_the_keys) {
  for (const auto& [word, action] : {std::pair{"list", Request::KeyAction::list},
                                     std::pair{"rotate", Request::KeyAction::rotate},
                                     std::pair{"add", Request::KeyAction::add}}) {
    const auto r = parse_request(std::string(R"({"cmd":"keys","action":")") + word + "\"}");
    ASSERT_TRUE(r) << r.error();
    EXPECT_EQ(r->command, Request::Command::keys);
    EXPECT_EQ(r->keys, action);
  }
  const auto seal = parse_request(R"({"cmd":"keys","action":"seal","id":"B"})");
  ASSERT_TRUE(seal) << seal.error();
  EXPECT_EQ(seal->keys, Request::KeyAction::seal);
  EXPECT_EQ(seal->key_id, 'B');
  EXPECT_EQ(parse_request(R"({"cmd":"keys","action":"retire","id":"-"})")->keys,
            Request::KeyAction::retire);
  EXPECT_EQ(error_of(R"({"cmd":"keys","action":"retire"})"),
            "\"id\" is missing: of the key, see `limpetctl keys list`");
  EXPECT_EQ(error_of(R"({"cmd":"keys","action":"seal","id":"BB"})"),
            "\"BB\" is no key id; expected one character, see `limpetctl keys list`");
  EXPECT_EQ(error_of(R"({"cmd":"keys","action":"turn"})"),
            "nothing called \"turn\" to do with the keys; expected list, rotate, add, seal or "
            "retire");
}

TEST(Request, sessions_are_shown_and_cleared_of_one_service) {
  const auto show =
      parse_request(R"({"cmd":"show","what":"sessions","name":"web","key":"192.0.2.7"})");
  ASSERT_TRUE(show) << show.error();
  EXPECT_EQ(show->what, Request::What::sessions);
  EXPECT_EQ(show->key, "192.0.2.7");
  const auto clear =
      parse_request(R"({"cmd":"clear","what":"sessions","name":"web","backend":"s0"})");
  ASSERT_TRUE(clear) << clear.error();
  EXPECT_EQ(clear->command, Request::Command::clear);
  EXPECT_EQ(clear->only_backend, "s0");
  EXPECT_NE(error_of(R"({"cmd":"show","what":"sessions"})"), "");
  EXPECT_NE(error_of(R"({"cmd":"clear","what":"sessions"})"), "");
  EXPECT_NE(error_of(R"({"cmd":"clear","what":"flows","name":"web"})"), "");
}

TEST(Request, explain_reload_and_log_level) {
  const auto e = parse_request(R"({"cmd":"explain","client":"192.0.2.1","service":"web"})");
  ASSERT_TRUE(e);
  EXPECT_EQ(e->client, "192.0.2.1");
  EXPECT_EQ(e->service, "web");
  EXPECT_NE(error_of(R"({"cmd":"explain","client":"192.0.2.1"})"), "");
  const auto asking = parse_request(
      R"({"cmd":"explain","client":"192.0.2.1","service":"web","method":"HEAD","path":"/x",
          "headers":["A: b","C: d"]})");
  ASSERT_TRUE(asking);
  EXPECT_EQ(asking->method, "HEAD");
  EXPECT_EQ(asking->path, "/x");
  EXPECT_EQ(asking->headers, (std::vector<std::string>{"A: b", "C: d"}));
  for (const char* wrong : {"1", "\"A: b\"", "[1]", "{}"})
    EXPECT_NE(error_of(std::string(
                           R"({"cmd":"explain","client":"192.0.2.1","service":"web","headers":)") +
                       wrong + "}"),
              "")
        << wrong;
  ASSERT_TRUE(parse_request(R"({"cmd":"reload"})"));
  const auto l = parse_request(R"({"cmd":"log-level","level":"warning"})");
  ASSERT_TRUE(l);
  EXPECT_EQ(l->level, LogLevel::warning);
  EXPECT_NE(error_of(R"({"cmd":"log-level","level":"loud"})").find("debug"), std::string::npos);
}

TEST(Request, unknown_members_are_left_to_later_versions) {
  EXPECT_TRUE(parse_request(R"({"cmd":"reload","colour":"red"})"));
}

TEST(Request, what_is_wrong_is_said) {
  EXPECT_EQ(error_of(R"({"cmd":"show","what":"shoes"})"),
            "nothing called \"shoes\" to show; expected services, backends, workers, ports, drops, "
            "persistence, refusals, neighbors, flows, top or sessions");
  EXPECT_EQ(
      error_of(R"({"cmd":"dance"})"),
      "no command \"dance\"; expected show, clear, backend, reload, keys, explain or log-level");
  for (const char* limit : {"0", "-1", "1.5", "\"7\"", "4294967296", "true", "[]"})
    EXPECT_EQ(error_of(std::string(R"({"cmd":"show","what":"flows","limit":)") + limit + "}"),
              "\"limit\" is no positive number of rows")
        << limit;
  EXPECT_EQ(error_of(R"({"cmd":"show","what":"flows","name":5})"), "\"name\" is no string");
  EXPECT_EQ(error_of(R"({"cmd":["show"]})"), "\"cmd\" is no string");
}

TEST(Request, garbage_is_an_error_and_nothing_else) {
  const std::string deep(60000, '[');
  std::string deep_objects;
  for (int i = 0; i < 10000; ++i) deep_objects += "{\"a\":";
  const std::string cases[] = {"",
                               " ",
                               "{",
                               "}",
                               "null",
                               "17",
                               "\"show\"",
                               "[]",
                               "{\"cmd\"}",
                               "{\"cmd\":\"show\"",
                               "GET / HTTP/1.1",
                               std::string("\0\0\0", 3),
                               "\xff\xfe{\"cmd\":\"reload\"}",
                               "{\"cmd\":\"\xff\xff\"}",
                               "{\"cmd\":\"\\ud800\"}",
                               deep,
                               deep_objects,
                               "{\"cmd\":\"reload\"}{\"cmd\":\"reload\"}"};
  for (const std::string& line : cases) EXPECT_NE(error_of(line), "") << line.substr(0, 40);
}

TEST(Request, what_is_nested_deeper_than_any_request_is_refused_although_it_is_json) {
  const auto nested = [](size_t depth) {
    return R"({"cmd":"reload","x":)" + std::string(depth, '[') + std::string(depth, ']') + "}";
  };
  EXPECT_TRUE(parse_request(nested(3)));
  EXPECT_FALSE(parse_request(nested(100)));
}

TEST(Request, brackets_in_strings_are_no_depth) {
  EXPECT_TRUE(
      parse_request(R"({"cmd":"show","what":"backends","name":"[[[[[[[[[[[[[[[[[[[[\"[["})"));
}

TEST(Request, an_error_reply_is_one_line_of_json_whatever_it_quotes) {
  const std::string reply = error_reply("no \"\xff\" here\n", {"a.cfg:3: x", "a.cfg:4: y"});
  EXPECT_EQ(reply.find('\n'), std::string::npos);
  const auto j = nlohmann::json::parse(reply);
  EXPECT_EQ(j["ok"], false);
  EXPECT_EQ(j["problems"].size(), 2u);
  EXPECT_NE(j["error"].get<std::string>().find("\na.cfg:4: y"), std::string::npos)
      << "a client that knows only `error` prints them all";
}

}  // namespace
}  // namespace limpet::console
