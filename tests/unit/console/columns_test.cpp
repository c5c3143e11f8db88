#include "limpet/console/columns.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace limpet::console {
namespace {

using Json = nlohmann::json;

TEST(Human, numbers_have_three_digits_and_a_unit) {
  EXPECT_EQ(human_count(0), "0");
  EXPECT_EQ(human_count(9999), "9999");
  EXPECT_EQ(human_count(10000), "10.0k");
  EXPECT_EQ(human_count(999'499), "999k");
  EXPECT_EQ(human_count(999'600), "1.00M");
  EXPECT_EQ(human_count(1'234'567'890), "1.23G");
  EXPECT_EQ(human_bytes(1023), "1023 B");
  EXPECT_EQ(human_bytes(1536 * 1024), "1.5 MB");
  EXPECT_EQ(human_seconds(0.42), "0.4s");
  EXPECT_EQ(human_seconds(192), "3m12s");
  EXPECT_EQ(human_seconds(18060), "5h01m");
  EXPECT_EQ(human_seconds(-1), "0.0s");
}

TEST(Table, numbers_stand_right_and_words_left) {
  const Table t{{"NAME", "N"}, {{"a", "7"}, {"longer", "1234"}}};
  EXPECT_EQ(t.to_string(),
            "NAME       N\n"
            "a          7\n"
            "longer  1234\n");
}

TEST(Render, backends_are_named_by_pool_and_name) {
  const Json data = {{"backends",
                      {{{"pool", "web"},
                        {"name", "s0"},
                        {"address", "fd00:2::10"},
                        {"port", 80},
                        {"state", "down"},
                        {"reason", "refused"}}}}};
  const std::string text = render("backends", data, false);
  EXPECT_NE(text.find("web/s0"), std::string::npos);
  EXPECT_NE(text.find("[fd00:2::10]:80"), std::string::npos);
  EXPECT_NE(text.find("refused"), std::string::npos);
}

TEST(Render, ports_show_what_the_nic_lost) {
  const Json data = {{"ports",
                      {{{"name", "front"},
                        {"device", "0000:03:00.0"},
                        {"link", "up"},
                        {"rss", true},
                        {"imissed", 12345},
                        {"ierrors", 7},
                        {"rx_nombuf", 9}}}}};
  const std::string text = render("ports", data, false);
  for (const char* part : {"front", "0000:03:00.0", "yes", "12.3k", "  7", "  9", "MISSED"})
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
}

TEST(Render, drops_are_summed_over_workers_explained_and_zeros_left_out) {
  const auto row = [](const char* reason, unsigned worker, unsigned packets) {
    return Json{{"reason", reason},
                {"worker", worker},
                {"port", "front"},
                {"packets", packets},
                {"bytes", packets * 60}};
  };
  const Json data = {
      {"drops",
       {row("ip_checksum_bad", 0, 3), row("ip_checksum_bad", 1, 4), row("no_route", 0, 0)}}};
  const std::string text = render("drops", data, false);
  EXPECT_NE(text.find("ip_checksum_bad  front        7  420 B  IPv4 header checksum"),
            std::string::npos)
      << text;
  EXPECT_EQ(text.find("no_route"), std::string::npos);
  EXPECT_NE(render("drops", data, true).find("no_route"), std::string::npos);
  EXPECT_EQ(render("drops", Json{{"drops", Json::array()}}, false), "no frame was dropped\n");
}

TEST(Render, keys_say_what_their_state_means) {
  const Json data = {
      {"file", "/etc/limpet/cookie.keys"},
      {"keys", {{{"id", "B"}, {"state", "sealing"}}, {{"id", "A"}, {"state", "listed"}}}}};
  EXPECT_EQ(render("keys", data, false),
            "KEY  STATE    MEANING\n"
            "B    sealing  seals new cookies, opens its own\n"
            "A    listed   opens its own cookies, seals none\n"
            "file /etc/limpet/cookie.keys\n");
}

TEST(Render, refusals_shows_what_was_refused_and_leaves_zeros_out) {
  const Json data = {
      {"refusals",
       {{{"service", "shop"}, {"reason", "line_feed_bare"}, {"total", 7}, {"meaning", "a line"}},
        {{"service", "shop"}, {"reason", "tls"}, {"total", 0}, {"meaning", "TLS"}}}}};
  const std::string text = render("refusals", data, false);
  EXPECT_NE(text.find("shop     line_feed_bare      7  a line"), std::string::npos) << text;
  EXPECT_EQ(text.find("tls"), std::string::npos);
  EXPECT_NE(render("refusals", data, true).find("tls"), std::string::npos);
  EXPECT_EQ(render("refusals", Json{{"refusals", Json::array()}}, false), "nothing was refused\n");
}

TEST(Render, persistence_shows_what_happened_and_leaves_zeros_out) {
  const Json data = {{"persistence",
                      {{{"service", "shop"},
                        {"entry", 0},
                        {"type", "cookie"},
                        {"name", "SRV"},
                        {"mode", "insert"},
                        {"request", {{"none", 12}, {"valid", 340}, {"old", 0}}},
                        {"response", {{"inserted", 12}}},
                        {"invalid_detail", {{"forged", 0}}},
                        {"decided", 340},
                        {"redispatched", 3},
                        {"table", {{"used", 5}, {"capacity", 64}}}}}}};
  const std::string text = render("persistence", data, false);
  EXPECT_NE(text.find("valid 340, none 12  inserted 12 "), std::string::npos) << text;
  EXPECT_NE(text.find("shop         0  cookie  SRV   insert      340      3"), std::string::npos)
      << text;
  EXPECT_NE(text.find("5/64"), std::string::npos);
  EXPECT_NE(render("persistence", data, true).find("old 0"), std::string::npos);
  EXPECT_EQ(render("persistence", Json{{"persistence", Json::array()}}, false),
            "no service has a persistence list\n");
}

TEST(Render, says_when_there_is_more) {
  const Json data = {{"flows", {Json::object()}}, {"truncated", true}};
  EXPECT_NE(render("flows", data, false).find("the first 1 only; more with --limit"),
            std::string::npos);
}

TEST(Render, a_flow_without_a_backend_has_no_endpoints_there) {
  const Json flow = {{"service", "web"},  {"protocol", "tcp"}, {"client", "192.0.2.7"},
                     {"client_port", 81}, {"source", ""},      {"source_port", 0},
                     {"backend", ""},     {"backend_port", 0}, {"state", "head"},
                     {"reason", ""},      {"age_s", 1},        {"idle_s", 1},
                     {"expires_s", 9},    {"worker", 0}};
  const std::string text = render("flows", {{"flows", {flow}}}, false);
  EXPECT_NE(text.find("192.0.2.7:81       -        -  head        -"), std::string::npos) << text;
}

TEST(Render, survives_whatever_a_daemon_sends) {
  const Json shapes[] = {
      Json(),
      Json(1),
      Json("x"),
      Json::array({1, 2}),
      Json::object(),
      Json::array({Json::object(), nullptr, "x", 1.5, Json::array()}),
      Json::array(
          {{{"reason", 5}, {"packets", "many"}, {"rx", -3}, {"held", 1}, {"since_s", "x"}}})};
  for (const char* what : {"services", "backends", "workers", "ports", "drops", "persistence",
                           "neighbors", "flows", "keys", "other"})
    for (const Json& shape : shapes) {
      EXPECT_NO_THROW(render(what, shape, true));
      EXPECT_NO_THROW(render(what, Json{{what, shape}, {"truncated", shape}}, true));
    }
}

}  // namespace
}  // namespace limpet::console
