// The control thread as a whole: over its socket, with threads that play the workers.
#include "limpet/control/controller.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "alone.h"
#include "controller_fixture.h"
#include "telemetry.h"

namespace limpet::control {
namespace {

using console::Telemetry;

TEST_F(ControllerTest, every_table_is_shown_in_its_envelope) {
  for (const char* what :
       {"services", "backends", "workers", "ports", "drops", "persistence", "neighbors", "flows"}) {
    const json data = show(what);
    EXPECT_EQ(data["schema"], 1);
    EXPECT_EQ(data["pid"], getpid());
    EXPECT_GE(data["uptime_s"].get<double>(), 0);
    EXPECT_EQ(data["truncated"], false) << what;
    EXPECT_FALSE(data[what].empty()) << what;
  }
  EXPECT_EQ(show("workers")["workers"][0]["mbufs"], (json{{"pool", 50}, {"in_use", 5}}));
  EXPECT_EQ(show("ports")["ports"][1]["imissed"], 101) << "what the NIC says of that port";
}

TEST_F(ControllerTest, flows_of_all_workers_up_to_the_limit) {
  EXPECT_EQ(show("flows")["flows"].size(), 6u);
  const json four = show("flows", {{"limit", 4}});
  EXPECT_EQ(four["flows"].size(), 4u);
  EXPECT_EQ(four["truncated"], true);
  EXPECT_EQ(show("flows", {{"limit", 6}})["truncated"], false);
  EXPECT_EQ(show("flows", {{"limit", 2}})["truncated"], true);
  EXPECT_EQ(show("flows", {{"name", "echo"}})["flows"][0]["service"], "echo");
  EXPECT_EQ(show("neighbors", {{"name", "back"}})["neighbors"].size(), 2u);
}

TEST_F(ControllerTest, names_that_do_not_exist_are_errors) {
  for (const auto& [what, none] : std::map<std::string, std::string>{{"services", "x"},
                                                                     {"backends", "x/y"},
                                                                     {"workers", "9"},
                                                                     {"ports", "x"},
                                                                     {"drops", "x"},
                                                                     {"persistence", "x"},
                                                                     {"flows", "x"},
                                                                     {"neighbors", "x"}}) {
    const json reply = ask({{"cmd", "show"}, {"what", what}, {"name", none}});
    EXPECT_EQ(reply["ok"], false) << what;
    EXPECT_FALSE(reply["error"].get<std::string>().empty());
  }
}

TEST_F(ControllerTest, a_worker_that_does_not_answer_is_an_error_after_the_deadline) {
  workers_[1]->answers = false;
  const auto start = std::chrono::steady_clock::now();
  const json reply = ask({{"cmd", "show"}, {"what", "flows"}});
  EXPECT_GE(std::chrono::steady_clock::now() - start, 1900ms);
  EXPECT_EQ(reply["ok"], false);
  EXPECT_NE(reply["error"].get<std::string>().find("did not answer"), std::string::npos);
  EXPECT_EQ(show("services")["services"].size(), 2u) << "the rest works";
  workers_[1]->answers = true;  // late: writes into the query, which is still there
  EXPECT_EQ(show("flows")["flows"].size(), 6u);
}

TEST_F(ControllerTest, a_question_delays_nobody_else) {
  workers_[0]->answers = false;
  std::atomic<bool> answered{false};
  std::thread slow([&] {
    ask({{"cmd", "show"}, {"what", "neighbors"}});
    answered = true;
  });
  std::this_thread::sleep_for(50ms);  // it is under way by then, or else this proves less
  show("services");
  EXPECT_FALSE(answered);
  workers_[0]->answers = true;
  slow.join();
}

TEST_F(ControllerTest, the_operator_takes_a_backend_out_and_puts_it_back) {
  for (const auto& [word, admin] :
       std::map<std::string, balance::Admin>{{"drain", balance::Admin::drain},
                                             {"down", balance::Admin::down},
                                             {"up", balance::Admin::up}}) {
    const json reply = ask({{"cmd", "backend"}, {"name", "web/s1"}, {"state", word}});
    ASSERT_EQ(reply["ok"], true) << reply;
    EXPECT_EQ(reply["data"]["admin"], word);
    const balance::Admin wanted = admin;  // clang 14 cannot capture a structured binding
    for (auto& worker : workers_)
      EXPECT_TRUE(eventually([&] { return worker->status(1).admin == wanted; })) << word;
    EXPECT_EQ(show("backends", {{"name", "web/s1"}})["backends"][0]["admin"], word);
    EXPECT_EQ(show("backends", {{"name", "web/s1"}})["backends"][0]["reason"], "operator: " + word);
  }
  EXPECT_EQ(ask({{"cmd", "backend"}, {"name", "web"}, {"state", "up"}})["ok"], false);
  EXPECT_EQ(ask({{"cmd", "backend"}, {"name", "web/s7"}, {"state", "up"}})["ok"], false);
}

TEST_F(ControllerTest, the_operator_ends_the_connections_of_a_removed_backend) {
  stats_[0].backends[1].connections_active.add(1);
  write_file(with(sample_, "10.2.0.11", "10.2.0.12"));
  ASSERT_EQ(ask({{"cmd", "reload"}})["ok"], true);
  const json down = {{"cmd", "backend"}, {"name", "web/s1"}, {"state", "down"}};
  ASSERT_EQ(ask(down)["ok"], true);
  for (auto& worker : workers_) {
    EXPECT_TRUE(eventually([&] { return worker->status(3).admin == balance::Admin::down; }))
        << "the name is that of the configured one first";
    EXPECT_EQ(worker->status(1).admin, balance::Admin::up);
  }
  write_file(
      with(sample_,
           ",\n                 { name = \"s1\"; address = \"10.2.0.11\"; port = 80; weight = 2; }",
           ""));
  ASSERT_EQ(ask({{"cmd", "reload"}})["ok"], true);
  ASSERT_EQ(ask(down)["ok"], true);
  for (auto& worker : workers_)
    EXPECT_TRUE(eventually([&] { return worker->status(1).admin == balance::Admin::down; }));
}

TEST_F(ControllerTest, a_reload_reaches_the_workers) {
  write_file(with(sample_, "weight = 2; } ); }",
                  "weight = 2; }, { name = \"s2\"; address = \"10.2.0.12\"; port = 80; } ); }"));
  const json reply = ask({{"cmd", "reload"}});
  ASSERT_EQ(reply["ok"], true) << reply;
  EXPECT_EQ(reply["data"]["snapshot"], 2);
  EXPECT_EQ(show("backends")["backends"].size(), 4u);
  for (auto& worker : workers_) EXPECT_TRUE(eventually([&] { return worker->serial() == 2; }));
}

TEST_F(ControllerTest, what_a_port_is_known_for_is_announced_again_when_its_link_is_back) {
  const auto looked = [this] {
    const unsigned before = link_asked_;
    return eventually([&] { return link_asked_ > before + 1; });
  };
  ASSERT_TRUE(looked());
  back_link_ = false;
  ASSERT_TRUE(looked());
  EXPECT_TRUE(workers_[0]->announced().empty());
  back_link_ = true;
  ASSERT_TRUE(looked());
  EXPECT_TRUE(eventually([&] { return !workers_[0]->announced().empty(); }));
  ASSERT_TRUE(looked());
  EXPECT_EQ(workers_[0]->announced(), std::vector<uint16_t>{1});
  EXPECT_TRUE(workers_[1]->announced().empty());
}

class ManyChecks : public ControllerTest {
 protected:
  std::string sample() override {
    std::string backends;
    for (unsigned i = 0; i < 1100; ++i)
      backends += "{ name = \"b" + std::to_string(i) + "\"; address = \"10.2." +
                  std::to_string(1 + i / 250) + "." + std::to_string(1 + i % 250) +
                  "\"; port = 80; },";
    return with(with(kSample, "\"10.2.0.254/24\"", "\"10.2.0.254/16\""),
                "{ name = \"web\";\n    backends = ( ",
                "{ name = \"web\"; source_ports = [ 1024, 1033 ];\n"
                "    health = { interval = \"1s\"; timeout = \"1s\"; };\n    backends = ( " +
                    backends);
  }
};

TEST_F(ManyChecks, more_than_can_run_at_once_are_told) {
  if (!g_alone) GTEST_SKIP() << "no network namespace, and the checks must not leave the machine";
  log_set_level(LogLevel::warning);
  testing::internal::CaptureStderr();
  const json reply = ask({{"cmd", "reload"}});
  const std::string said = testing::internal::GetCapturedStderr();
  ASSERT_EQ(reply["ok"], true) << reply;
  const size_t at = said.find("backends that do not answer may need 1102 at once");
  ASSERT_NE(at, std::string::npos) << said;
  EXPECT_EQ(said.find("may need", at + 40), std::string::npos) << said;
}

TEST_F(ControllerTest, the_operators_word_survives_a_reload) {
  ask({{"cmd", "backend"}, {"name", "web/s1"}, {"state", "drain"}});
  write_file(with(sample_, "weight = 2", "weight = 3"));
  ASSERT_EQ(ask({{"cmd", "reload"}})["ok"], true);
  const json row = show("backends", {{"name", "web/s1"}})["backends"][0];
  EXPECT_EQ(row["admin"], "drain");
  EXPECT_EQ(row["weight"], 3);
}

TEST_F(ControllerTest, checks_can_be_switched_on_and_off) {
  if (!g_alone) GTEST_SKIP() << "no network namespace, and the check must not leave the machine";
  EXPECT_EQ(show("backends", {{"name", "web/s1"}})["backends"][0]["reason"], "not checked");
  write_file(with(kSample, "{ name = \"web\";\n",
                  "{ name = \"web\"; health = { type = \"tcp\"; interval = \"50ms\"; timeout = "
                  "\"20ms\"; };\n"));
  ASSERT_EQ(ask({{"cmd", "reload"}})["ok"], true);
  const auto row = [this] { return show("backends", {{"name", "web/s1"}})["backends"][0]; };
  EXPECT_TRUE(eventually([&] { return row()["state"] == "down"; }));
  EXPECT_EQ(row()["reason"], "health check: network is unreachable; 1 failed");
  for (auto& worker : workers_)
    EXPECT_TRUE(eventually([&] { return worker->status(1).health == balance::Health::down; }));
  write_file(sample_);
  ASSERT_EQ(ask({{"cmd", "reload"}})["ok"], true);
  EXPECT_EQ(row()["state"], "up");
  EXPECT_EQ(row()["reason"], "checks switched off");
}

TEST_F(ControllerTest, a_bad_file_changes_nothing_and_every_problem_is_told) {
  write_file(
      with(with(sample_, "weight = 2", "weight = 999"), "pool = \"echo\"", "pool = \"ecko\""));
  const json reply = ask({{"cmd", "reload"}});
  EXPECT_EQ(reply["ok"], false);
  EXPECT_EQ(reply["problems"].size(), 2u) << reply;
  const std::string error = reply["error"].get<std::string>();
  EXPECT_EQ(error.find("nothing changed: 2 problems in the configuration\n"), 0u) << error;
  EXPECT_NE(error.find("999"), std::string::npos);
  EXPECT_EQ(show("backends", {{"name", "web/s1"}})["backends"][0]["weight"], 2);
  EXPECT_EQ(workers_[0]->serial(), 1u);
}

TEST_F(ControllerTest, a_file_that_is_gone_changes_nothing) {
  std::filesystem::remove(directory_ + "/limpet.cfg");
  EXPECT_EQ(ask({{"cmd", "reload"}})["ok"], false);
  EXPECT_EQ(show("services")["services"].size(), 2u);
}

TEST_F(ControllerTest, what_needs_a_restart_is_refused_with_the_reasons) {
  write_file(
      with(sample_, "ports = (", "poll = \"spin\"; capacity = { flows = 2048; };\nports = ("));
  const json reply = ask({{"cmd", "reload"}});
  EXPECT_EQ(reply["ok"], false);
  EXPECT_EQ(reply["problems"].size(), 2u) << reply;
  write_file(with(sample_, "{ name = \"echo\"; health",
                  "{ name = \"echo\"; source_ports = [ 2000, 3000 ]; health"));
  EXPECT_NE(ask({{"cmd", "reload"}})["error"].get<std::string>().find("restart"),
            std::string::npos);
}

TEST_F(ControllerTest, sighup_reloads) {
  write_file(with(sample_, "weight = 2", "weight = 3"));
  kill(getpid(), SIGHUP);
  EXPECT_TRUE(eventually([&] {
    return show("backends", {{"name", "web/s1"}})["backends"][0]["weight"] == 3;
  }));
}

TEST_F(ControllerTest, sigterm_ends_the_loop_with_0) {
  kill(getpid(), SIGTERM);
  thread_.join();
  EXPECT_EQ(status_, 0);
}

TEST_F(ControllerTest, stop_ends_the_loop_with_the_given_status) {
  controller_->stop(3);
  thread_.join();
  EXPECT_EQ(status_, 3);
}

TEST_F(ControllerTest, a_removed_backend_goes_once_its_flows_have_ended) {
  stats_[1].backends[1].connections_active.add(1);
  write_file(with(sample_, "10.2.0.11", "10.2.0.12"));
  ASSERT_EQ(ask({{"cmd", "reload"}})["ok"], true);
  EXPECT_EQ(show("backends")["backends"].size(), 4u) << "what has traffic is not hidden";
  EXPECT_EQ(show("backends", {{"all", true}})["backends"].size(), 4u);
  stats_[1].backends[1].connections_active.sub(1);
  EXPECT_TRUE(eventually([&] {
    return show("backends", {{"all", true}})["backends"].size() == 3;
  }));
  EXPECT_TRUE(eventually([&] { return workers_[0]->serial() == 3; }));
}

TEST_F(ControllerTest, reloads_in_quick_succession_under_readers) {
  for (int i = 0; i < 40; ++i) {
    write_file(with(sample_, "weight = 2", "weight = " + std::to_string(i % 9 + 1)));
    ASSERT_EQ(ask({{"cmd", "reload"}})["ok"], true);
  }
  for (auto& worker : workers_) EXPECT_TRUE(eventually([&] { return worker->serial() == 41; }));
}

// Eight reloads, each of which has found a request under way that it must not change.
class CrowdedReload : public ControllerTest {
 protected:
  std::string sample() override { return nth(0); }
  std::string nth(unsigned n) {
    return with(
        ControllerTest::sample(), "protocol = \"tcp\"; pool = \"web\";",
        "protocol = \"tcp\"; pool = \"web\"; mode = \"splice\"; limits = { head_bytes = \"" +
            std::to_string(n + 1) + "k\"; };");
  }
  void SetUp() override {
    ControllerTest::SetUp();
    for (dataplane::Counter& held : stats_[1].services[0].rules_in_use) held.add();
    for (unsigned n = 1; n <= 8; ++n) {
      write_file(nth(n));
      ASSERT_EQ(ask({{"cmd", "reload"}})["ok"], true) << n;
    }
    ASSERT_EQ(old_rules(), 8u);
  }
  size_t old_rules() { return show("services", {{"name", "web"}})["services"][0]["old_rules"]; }
  size_t snapshot() { return show("workers")["workers"][0]["snapshot"]; }
  void release() {
    for (dataplane::Counter& held : stats_[1].services[0].rules_in_use) held.sub();
  }
  std::thread reload_soon(json& reply) {
    return std::thread([this, &reply] { reply = ask({{"cmd", "reload"}}); });
  }
};

TEST_F(CrowdedReload, a_ninth_waits_for_the_answers_and_holds_up_nobody) {
  write_file(nth(9));
  json first, second;
  std::thread one = reload_soon(first), two = reload_soon(second);
  std::this_thread::sleep_for(200ms);
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(old_rules(), 8u) << "it answers all the time";
    EXPECT_EQ(
        ask({{"cmd", "backend"}, {"name", "web/s1"}, {"state", i % 2 == 0 ? "down" : "up"}})["ok"],
        true);
  }
  EXPECT_EQ(workers_[0]->serial(), 9u);
  write_file(nth(10));
  kill(getpid(), SIGHUP);  // what the file says last is what is used
  std::this_thread::sleep_for(50ms);
  release();
  one.join();
  two.join();
  EXPECT_EQ(first["ok"], true) << first;
  EXPECT_EQ(second["ok"], true) << second;
  EXPECT_EQ(first["data"]["snapshot"], 10);
  EXPECT_EQ(first["data"]["snapshot"], second["data"]["snapshot"]) << "one for all who have asked";
  EXPECT_TRUE(eventually([&] { return old_rules() == 0; }));
}

TEST_F(CrowdedReload, what_changes_nothing_of_the_service_waits_for_nobody) {
  write_file(with(nth(8), "weight = 2", "weight = 3"));
  EXPECT_EQ(ask({{"cmd", "reload"}})["ok"], true);
  EXPECT_EQ(old_rules(), 8u);
  release();
}

TEST_F(CrowdedReload, a_file_that_is_refused_leaves_the_one_that_waits_alone) {
  write_file(nth(9));
  json reply;
  std::thread one = reload_soon(reply);
  std::this_thread::sleep_for(100ms);
  write_file("nonsense");
  EXPECT_EQ(ask({{"cmd", "reload"}})["ok"], false);
  release();
  one.join();
  EXPECT_EQ(reply["ok"], true) << reply;
}

TEST_F(CrowdedReload, a_change_that_is_taken_back_waits_no_longer) {
  write_file(nth(9));
  json reply;
  std::thread one = reload_soon(reply);
  std::this_thread::sleep_for(100ms);
  write_file(nth(8));
  EXPECT_EQ(ask({{"cmd", "reload"}})["ok"], true);
  one.join();
  EXPECT_EQ(reply["ok"], true);
  EXPECT_EQ(old_rules(), 8u);
  release();
}

class ImpatientReload : public CrowdedReload {
 protected:
  Duration patience() override { return 400ms; }
};

TEST_F(ImpatientReload, a_ninth_does_not_wait_for_ever) {
  write_file(nth(9));
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(ask({{"cmd", "reload"}})["ok"], true);
  const auto took = std::chrono::steady_clock::now() - start;
  EXPECT_GE(took, 390ms);
  EXPECT_LT(took, 4s);
  EXPECT_EQ(old_rules(), 8u) << "the oldest was given up";
  EXPECT_TRUE(eventually([&] { return workers_[0]->serial() == 10; }));
  release();
}

TEST_F(ControllerTest, a_reload_waits_ten_seconds_at_most) {
  EXPECT_EQ(control::Setup().reload_patience, 10s);
}

TEST_F(ControllerTest, explain_and_log_level) {
  const json reply = ask({{"cmd", "explain"}, {"client", "192.0.2.7"}, {"service", "web"}});
  ASSERT_EQ(reply["ok"], true);
  EXPECT_EQ(reply["data"]["reason"], "source");
  EXPECT_EQ(ask({{"cmd", "explain"}, {"client", "x"}, {"service", "web"}})["ok"], false);
  EXPECT_EQ(ask({{"cmd", "log-level"}, {"level", "warning"}})["ok"], true);
  EXPECT_TRUE(log_enabled(LogLevel::warning));
  EXPECT_FALSE(log_enabled(LogLevel::notice));
}

TEST_F(ControllerTest, garbage_is_answered_and_nothing_breaks) {
  const console::Reply r = console::ask_daemon(directory_ + "/limpet.sock", "GET / HTTP/1.1");
  ASSERT_EQ(r.kind, console::Reply::Kind::answered);
  EXPECT_EQ(json::parse(r.line)["ok"], false);
  EXPECT_EQ(show("services")["services"].size(), 2u);
}

TEST_F(ControllerTest, telemetry_asks_the_control_thread) {
  EXPECT_EQ(Telemetry::question("/limpet/services", ""), (json{"web", "echo"}));
  EXPECT_EQ(Telemetry::question("/limpet/services", "1"), (json{"echo"}));
  EXPECT_EQ(Telemetry::question("/limpet/services", "9"), json::array());
  EXPECT_EQ(Telemetry::question("/limpet/backends", ""), (json{"web/s0", "web/s1", "echo/e0"}));
  EXPECT_EQ(Telemetry::question("/limpet/workers", ""), (json{"0", "1"}));
  EXPECT_EQ(Telemetry::question("/limpet/backend", "web/s1")["weight"], 2);
  EXPECT_EQ(Telemetry::question("/limpet/service", "web")["vip"], "10.1.0.100");
  EXPECT_EQ(Telemetry::question("/limpet/worker", "1")["lcore"], 2);
  EXPECT_EQ(Telemetry::question("/limpet/ports", ""), (json{"front", "back"}));
  EXPECT_EQ(Telemetry::question("/limpet/port", "front")["imissed"], 100);
  EXPECT_TRUE(Telemetry::question("/limpet/port", "side").is_null());
  EXPECT_TRUE(Telemetry::question("/limpet/backend", "web/s9").is_null());
  EXPECT_EQ(Telemetry::question("/limpet/persistence", ""), (json{"web/0"}));
  EXPECT_EQ(Telemetry::question("/limpet/persistence_entry", "web/0")["type"], "source");
  EXPECT_TRUE(Telemetry::question("/limpet/persistence_entry", "web").is_null());
  EXPECT_TRUE(Telemetry::question("/limpet/persistence_entry", "web/1").is_null());
  EXPECT_TRUE(Telemetry::question("/limpet/backend", "").is_null());
  EXPECT_TRUE(Telemetry::question("/limpet/nothing", "").is_null());
}

TEST_F(ControllerTest, telemetry_sums_drops_over_ports_and_workers) {
  stats_[0].drops[0][static_cast<size_t>(Drop::no_flow)].packets.add(2);
  stats_[1].drops[1][static_cast<size_t>(Drop::no_flow)].packets.add(3);
  const json all = Telemetry::question("/limpet/drops", "");
  EXPECT_EQ(all["no_flow"], 5);
  EXPECT_EQ(all["no_route"], 0);
  EXPECT_EQ(Telemetry::question("/limpet/drops", "1")["no_flow"], 3);
  EXPECT_TRUE(Telemetry::question("/limpet/drops", "7").is_null());
  EXPECT_EQ(Telemetry::question("/limpet/drops", "back")["no_flow"], 3);
  EXPECT_EQ(Telemetry::question("/limpet/drops", "no_flow"), (json{{"no_flow", 5}}));
}

TEST_F(ControllerTest, telemetry_does_not_wait_for_ever_for_a_control_thread_that_has_ended) {
  controller_->stop(0);
  thread_.join();
  EXPECT_TRUE(Telemetry::question("/limpet/services", "").is_null());  // or the test times out
}

TEST_F(ControllerTest, many_clients_at_a_time) {
  std::vector<std::thread> clients;
  std::atomic<int> good{0};
  for (int i = 0; i < 8; ++i)
    clients.emplace_back([&, i] {
      for (int n = 0; n < 20; ++n) {
        const char* what = i % 2 == 0 ? "flows" : "backends";
        if (show(what)[what].size() == (i % 2 == 0 ? 6u : 3u)) ++good;
      }
    });
  for (std::thread& t : clients) t.join();
  EXPECT_EQ(good, 160);
}

}  // namespace
}  // namespace limpet::control
