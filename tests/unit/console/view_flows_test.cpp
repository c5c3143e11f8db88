// The JSON of `show flows`, and of `explain`.
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "limpet/affinity/choose.h"
#include "limpet/affinity/reason.h"
#include "limpet/tcp/track.h"
#include "view_fixture.h"

namespace limpet::console {
namespace {

using balance::Admin;
using balance::Health;
using std::chrono::seconds;

class FlowsViewTest : public ViewTest {};

TEST_F(FlowsViewTest, flows_have_the_promised_fields) {
  dataplane::Query q;
  q.flows.resize(2);
  q.filled = 1;
  q.now = to_tick(kNow);
  flow::Listed& r = q.flows[0];
  r.client = ip("198.51.100.7");
  r.client_port = be16::from(4711);
  r.source_port = be16::from(1024);
  r.service = 0;
  r.source = 0;
  r.backend = 1;
  r.backend_generation = 1;
  r.protocol = 6;
  r.state = tcp::Track::established;
  r.reason = static_cast<uint8_t>(affinity::Reason::source);
  r.created = q.now - to_ticks(seconds(60));
  r.last_seen = q.now - to_ticks(seconds(4));
  const Rows rows = flow_rows(view(), 1, q);
  ASSERT_EQ(rows.size(), 1u);
  expect_fields(rows[0],
                {"worker", "service", "protocol", "client", "client_port", "vip", "vip_port",
                 "source", "source_port", "backend", "backend_port", "state", "spliced", "reason",
                 "age_s", "idle_s", "expires_s", "edits_in", "edits_out"});
  EXPECT_EQ(rows[0]["worker"], 1);
  EXPECT_EQ(rows[0]["service"], "web");
  EXPECT_EQ(rows[0]["client"], "198.51.100.7");
  EXPECT_EQ(rows[0]["client_port"], 4711);
  EXPECT_EQ(rows[0]["vip"], "10.1.0.100");
  EXPECT_EQ(rows[0]["vip_port"], 80);
  EXPECT_EQ(rows[0]["source"], "10.2.0.254");
  EXPECT_EQ(rows[0]["source_port"], 1024);
  EXPECT_EQ(rows[0]["backend"], "10.2.0.11");
  EXPECT_EQ(rows[0]["backend_port"], 80);
  EXPECT_EQ(rows[0]["pool"], "web");
  EXPECT_EQ(rows[0]["backend_name"], "s1");
  EXPECT_EQ(rows[0]["state"], "established");
  EXPECT_EQ(rows[0]["reason"], "source");
  EXPECT_EQ(rows[0]["spliced"], false);
  EXPECT_NEAR(rows[0]["age_s"].get<double>(), 60, 0.01);
  EXPECT_NEAR(rows[0]["idle_s"].get<double>(), 4, 0.01);
  EXPECT_NEAR(rows[0]["expires_s"].get<double>(), 6, 0.01) << "idle = 10s";
  EXPECT_EQ(rows[0]["edits_in"], 0);
  q.edits = {{1, 2}, {}};
  EXPECT_EQ(flow_rows(view(), 1, q)[0]["edits_in"], 1);
  EXPECT_EQ(flow_rows(view(), 1, q)[0]["edits_out"], 2);
}

TEST_F(FlowsViewTest, flows_whose_slots_changed_meanwhile_are_left_out) {
  dataplane::Query q;
  q.flows.resize(4);
  q.filled = 4;
  for (flow::Listed& r : q.flows) {
    r.protocol = 6;
    r.backend_generation = 1;
  }
  q.flows[1].backend_generation = 2;
  q.flows[2].service = 99;
  q.flows[3].source = 99;
  EXPECT_EQ(flow_rows(view(), 0, q).size(), 1u);
}

TEST_F(FlowsViewTest, a_flow_that_has_no_backend_yet_is_shown_without_one) {
  dataplane::Query q;
  q.flows.resize(3);
  q.filled = 3;
  q.now = to_tick(kNow);
  for (flow::Listed& r : q.flows) {
    r.client = ip("198.51.100.7");
    r.protocol = 6;
    flow::set_forwarding(r, Forwarding::splice);
    r.bound = false;
    r.backend = 0;
    r.backend_generation = 0;  // of none
    r.state = tcp::Track::head;
    r.created = r.last_seen = q.now;
  }
  q.flows[1].state = tcp::Track::answering;
  q.flows[1].backend = 99;
  q.flows[1].source = 99;
  q.flows[2].service = 99;
  const Rows rows = flow_rows(view(), 0, q);
  ASSERT_EQ(rows.size(), 2u) << "no service, no row";
  EXPECT_EQ(rows[0]["state"], "head");
  EXPECT_EQ(rows[0]["client"], "198.51.100.7");
  EXPECT_EQ(rows[1]["state"], "answering");
  for (const json& r : rows) {
    for (const char* field : {"source", "pool", "backend_name", "backend", "reason"})
      EXPECT_EQ(r[field], "") << field;
    for (const char* field : {"source_port", "backend_port"}) EXPECT_EQ(r[field], 0) << field;
  }
}

TEST_F(FlowsViewTest, explain_says_where_a_client_goes_and_why) {
  const json a = *explain(view(), "198.51.100.7", "web");
  EXPECT_EQ(a["reason"], "source");
  EXPECT_EQ(a["backend"], a["first_choice"]);
  EXPECT_EQ(a["backend"].get<std::string>().substr(0, 5), "web/s");
  EXPECT_EQ(*explain(view(), "198.51.100.8:99", "web")->find("backend"), a["backend"])
      << "prefix4 = 24: a neighbor goes the same way";

  const uint16_t slot = a["backend"] == "web/s0" ? 0 : 1;
  status_[slot] = {Admin::up, Health::down};
  const json b = *explain(view(), "198.51.100.7", "web");
  EXPECT_EQ(b["reason"], "source_redirected");
  EXPECT_NE(b["backend"], a["backend"]);
  EXPECT_EQ(b["first_choice"], a["backend"]);
  EXPECT_EQ(b["first_choice_state"], "down");
  EXPECT_NE(b["text"].get<std::string>().find(" is down"), std::string::npos) << b["text"];

  status_[1 - slot] = {Admin::drain, Health::up};
  const json none = *explain(view(), "198.51.100.7", "web");
  EXPECT_EQ(none["reason"], "no_backend");
  EXPECT_TRUE(none["backend"].is_null());
}

class AskingViewTest : public ViewTest {
 protected:
  void SetUp() override {
    build_from(with(kSample, R"(persistence = ( { type = "source"; prefix4 = 24; } );)",
                    R"(mode = "splice"; persistence = (
                         { type = "cookie"; name = "SRV"; value = "plain"; },
                         { type = "header"; name = "X-User-ID"; },
                         { type = "source"; prefix4 = 24; } );)"));
  }
  json ask(std::vector<std::string> headers, const char* client = "198.51.100.7") {
    return *explain(view(), client, "web", {"", "", std::move(headers)});
  }
};

TEST_F(AskingViewTest, explain_reads_a_request_as_a_worker_does) {
  const json with_cookie = ask({"cookie: SRV=s1", "X-User-ID: 17"});
  EXPECT_EQ(with_cookie["backend"], "web/s1");
  EXPECT_EQ(with_cookie["reason"], "cookie");
  ASSERT_EQ(with_cookie["entries"].size(), 2u);
  EXPECT_EQ(with_cookie["entries"][0]["request"], "valid");

  const json by_header = ask({"X-User-ID: 17"});
  EXPECT_EQ(by_header["reason"], "header");
  EXPECT_EQ(by_header["entries"][1]["name"], "X-User-ID");
  EXPECT_EQ(by_header["entries"][1]["request"], "valid");
  EXPECT_EQ(ask({"x-user-id:  17 , 18", "Host: a"}, "203.0.113.9")["backend"], by_header["backend"])
      << "whoever says it";
  EXPECT_NE(
      by_header["text"].get<std::string>().find("; cookie SRV: none; header X-User-ID: valid"),
      std::string::npos)
      << by_header["text"];
  EXPECT_EQ(ask({"Accept: */*"})["reason"], "source");

  const json unknown = ask({"Cookie: SRV=s9"});
  EXPECT_EQ(unknown["reason"], "cookie_invalid");
  EXPECT_EQ(unknown["entries"][0]["invalid_detail"], "unknown_backend");
  EXPECT_EQ(explain(view(), "198.51.100.7", "web")->at("entries"), json::array())
      << "nothing was asked";

  // Each value's own backend, and who stands in for it.
  std::set<std::string> used;
  for (int user = 0; user < 20; ++user)
    used.insert(ask({"X-User-ID: " + std::to_string(user)})["backend"]);
  EXPECT_EQ(used.size(), 2u);
  status_[by_header["backend"] == "web/s0" ? 0 : 1] = {Admin::up, Health::down};
  EXPECT_EQ(ask({"X-User-ID: 17"})["reason"], "header_redirected");
  EXPECT_EQ(ask({"X-User-ID: 17"})["first_choice"], by_header["backend"]);
}

TEST_F(AskingViewTest, explain_refuses_what_is_no_request) {
  const auto refused = [this](Asking asking, const char* service = "web") {
    const auto answer = explain(view(), "198.51.100.7", service, asking);
    return answer ? answer->dump() : answer.error();
  };
  EXPECT_EQ(refused({"", "", {"no colon"}}),
            "\"no colon\" is no header; expected NAME: VALUE on one line");
  EXPECT_EQ(refused({"", "", {"A: b\r\nX-User-ID: 1"}}).substr(0, 4), "\"A: ");
  EXPECT_EQ(refused({"", "", {"Content-Length: x"}}).substr(0, 29),
            "the request would be refused:");
  EXPECT_EQ(refused({"G T", "/", {}}).substr(0, 29), "the request would be refused:");
  EXPECT_EQ(refused({"", "", {"A: " + std::string(20000, 'x')}}).substr(0, 29),
            "the request would be refused:");
  build_from(kSample);
  EXPECT_EQ(
      refused({"", "/x", {}}),
      "service \"web\" has mode \"nat\", which does not read requests: only the address counts");
}

TEST_F(FlowsViewTest, explain_says_where_turns_decide_and_takes_none) {
  build_from(with(with(kSample, R"(persistence = ( { type = "source"; prefix4 = 24; } );)", ""),
                  "{ name = \"web\";\n", "{ name = \"web\"; scheduler = \"roundrobin\";\n"));
  const auto next = [this] {
    return built_.owned.snapshot->pools[0].scheduler(0).pick(0, [](uint16_t) { return true; });
  };
  const std::vector<uint16_t> before{next(), next(), next()};
  const json a = *explain(view(), "198.51.100.7", "web");
  EXPECT_EQ(a["scheduler"], "roundrobin");
  EXPECT_TRUE(a["backend"].is_null());
  EXPECT_TRUE(a["first_choice"].is_null());
  EXPECT_NE(a["text"].get<std::string>().find("whose turn it is"), std::string::npos) << a["text"];
  EXPECT_EQ((std::vector<uint16_t>{next(), next(), next()}), before) << "explain took a turn";
  status_[0] = status_[1] = {Admin::up, Health::down};
  EXPECT_EQ((*explain(view(), "198.51.100.7", "web"))["reason"], "no_backend");
  EXPECT_EQ((*service_rows(view(), "web", false))[0]["scheduler"], "roundrobin");
}

class PinnedViewTest : public ViewTest {
 protected:
  void SetUp() override {
    build_from(with(kSample, R"(persistence = ( { type = "source"; prefix4 = 24; } );)",
                    R"(mode = "splice"; table = { size = 64; expire = "10m"; };
                       persistence = ( { type = "cookie"; session_name = "SRV"; },
                                       { type = "source"; prefix4 = 24; } );)"));
    hashed = explained()["backend"];
    other = hashed == "web/s0" ? "web/s1" : "web/s0";
    const dataplane::ServiceEntry& s = service();
    const dataplane::PoolEntry& pool = built_.owned.snapshot->pools[s.pool];
    const auto wanted = [&](uint16_t member) {
      return "web/" + built_.owned.snapshot->backends[pool.members[member]].name == other;
    };
    // As a worker does it when the client comes and only that backend is up.
    const affinity::Choice pinned =
        affinity::choose(s.policy, {ip("198.51.100.99"), be16::from(1)}, pool.maglev, wanted,
                         affinity::Pins{*s.splice->table, pool.ids, wanted, kNow});
    ASSERT_NE(pinned.member, balance::Maglev::kNone);
    slot = pool.members[pinned.member];
  }
  const dataplane::ServiceEntry& service() { return built_.owned.snapshot->services[0]; }
  json explained() { return *explain(view(), "198.51.100.7", "web"); }

  std::string hashed, other;
  uint16_t slot = 0;
};

TEST_F(PinnedViewTest, explain_knows_the_stick_table) {
  const json a = explained();
  EXPECT_EQ(a["backend"], other);
  EXPECT_EQ(a["reason"], "source_pinned");
  EXPECT_EQ(a["first_choice"], hashed);
  EXPECT_NE(a["text"].get<std::string>().find("; by its hash it would be " + hashed.substr(4)),
            std::string::npos)
      << a["text"];
  status_[slot] = {Admin::drain, Health::up};
  EXPECT_EQ(explained()["backend"], other) << "sessions go on";
}

TEST_F(PinnedViewTest, explain_leaves_no_trace_in_the_stick_table) {
  const affinity::StickTable& table = *service().splice->table;
  const affinity::StickCounters before = table.counters();
  explained();
  *explain(view(), "192.0.2.1", "web");
  const affinity::StickCounters after = table.counters();
  EXPECT_EQ(after.found, before.found);
  EXPECT_EQ(after.absent, before.absent);
  EXPECT_EQ(after.used, 1u);
}

TEST_F(PinnedViewTest, explain_says_that_a_pin_moves) {
  status_[slot] = {Admin::up, Health::down};
  const json a = explained();
  EXPECT_EQ(a["backend"], hashed);
  EXPECT_EQ(a["reason"], "source");
  EXPECT_NE(a["text"].get<std::string>().find(
                "; the backend that the stick table has for it may not be used"),
            std::string::npos)
      << a["text"];
}

TEST_F(FlowsViewTest, explain_asks_for_the_port_where_it_counts) {
  EXPECT_NE(
      (*explain(view(), "198.51.100.7", "echo"))["text"].get<std::string>().find("ADDRESS:PORT"),
      std::string::npos);
  const json with_port = *explain(view(), "198.51.100.7:5000", "echo");
  EXPECT_EQ(with_port["reason"], "connection");
  EXPECT_EQ(with_port["client_port"], 5000);
  EXPECT_EQ(with_port["text"].get<std::string>().find("ADDRESS:PORT"), std::string::npos);
}

TEST_F(FlowsViewTest, explain_refuses_what_it_cannot_read) {
  for (const char* bad : {"", "x", "1.2.3", "1.2.3.4:99999", "1.2.3.4:x", "[", "[]:1"}) {
    EXPECT_FALSE(explain(view(), bad, "web")) << bad;
  }
  EXPECT_FALSE(explain(view(), "1.2.3.4", "nope"));
  EXPECT_FALSE(explain(view(), "2001:db8::1", "web")) << "other family";
  EXPECT_FALSE(explain(view(), "[2001:db8::1]:80", "web"));
}

}  // namespace
}  // namespace limpet::console
