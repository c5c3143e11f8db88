// The JSON of `show`: the fields that users rely on are the oracle, written out by hand.
#include "limpet/console/view.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <set>

#include "limpet/dataplane/neighbors.h"
#include "telemetry.h"
#include "view_fixture.h"

namespace limpet::console {
namespace {

using balance::Admin;
using balance::Health;
using std::chrono::seconds;

TEST_F(ViewTest, services_have_the_promised_fields) {
  const Rows rows = *service_rows(view(), "", false);
  ASSERT_EQ(rows.size(), 2u);
  expect_fields(rows[0], {"name", "vip", "port", "protocol", "mode", "pool", "state", "backends_up",
                          "backends_total", "connections_active", "connections_total", "packets_in",
                          "packets_out", "bytes_in", "bytes_out", "no_backend_total"});
  EXPECT_EQ(rows[0]["name"], "web");
  EXPECT_EQ(rows[0]["vip"], "10.1.0.100");
  EXPECT_EQ(rows[0]["port"], 80);
  EXPECT_EQ(rows[0]["protocol"], "tcp");
  EXPECT_EQ(rows[1]["protocol"], "udp");
  EXPECT_EQ(rows[0]["mode"], "nat");
  EXPECT_TRUE(rows[0]["tcp"].is_null());
  EXPECT_EQ(rows[0]["pool"], "web");
  EXPECT_EQ(rows[0]["backends_total"], 2);
}

TEST_F(ViewTest, a_service_is_up_while_one_backend_takes_new_clients) {
  const auto row = [this] { return (*service_rows(view(), "web", false))[0]; };
  EXPECT_EQ(row()["state"], "up") << "unknown takes clients";
  EXPECT_EQ(row()["backends_up"], 0) << "but no check has seen it up";
  status_[0] = {Admin::drain, Health::up};
  status_[1] = {Admin::up, Health::up};
  EXPECT_EQ(row()["state"], "up");
  EXPECT_EQ(row()["backends_up"], 1);
  status_[1] = {Admin::up, Health::down};
  EXPECT_EQ(row()["state"], "down");
  EXPECT_EQ(row()["backends_up"], 0);
}

TEST_F(ViewTest, counters_are_summed_over_the_workers) {
  stats_[0].services[0].packets_in.add(3);
  stats_[1].services[0].packets_in.add(4);
  stats_[1].services[0].no_backend.add(2);
  stats_[0].backends[1].bytes_out.add(100);
  stats_[1].backends[1].bytes_out.add(11);
  stats_[0].backends[1].connections_active.add(2);
  EXPECT_EQ((*service_rows(view(), "web", false))[0]["packets_in"], 7);
  EXPECT_EQ((*service_rows(view(), "web", false))[0]["no_backend_total"], 2);
  const json s1 = (*backend_rows(view(), "web/s1", false))[0];
  EXPECT_EQ(s1["bytes_out"], 111);
  EXPECT_EQ(s1["connections_active"], 2);
}

TEST_F(ViewTest, backends_have_the_promised_fields) {
  const Rows rows = *backend_rows(view(), "", false);
  ASSERT_EQ(rows.size(), 3u);
  for (const json& row : rows) {
    expect_fields(row, {"pool",
                        "name",
                        "address",
                        "port",
                        "state",
                        "admin",
                        "since_s",
                        "reason",
                        "check",
                        "weight",
                        "effective_weight",
                        "maglev_entries",
                        "connections_active",
                        "connections_total",
                        "connect_failures",
                        "redispatched_total",
                        "packets_in",
                        "packets_out",
                        "bytes_in",
                        "bytes_out"});
    expect_fields(row["check"], {"type", "last_ok_s", "last_error", "tcp"});
  }
  EXPECT_EQ(rows[1]["pool"], "web");
  EXPECT_EQ(rows[1]["name"], "s1");
  EXPECT_EQ(rows[1]["address"], "10.2.0.11");
  EXPECT_EQ(rows[1]["port"], 80);
  EXPECT_EQ(rows[1]["state"], "unknown");
  EXPECT_EQ(rows[1]["admin"], "up");
  EXPECT_EQ(rows[1]["since_s"], 90.0);
  EXPECT_EQ(rows[1]["weight"], 2);
  EXPECT_EQ(rows[1]["effective_weight"], 2);
  EXPECT_NEAR(rows[1]["maglev_entries"].get<double>(), 65537 * 2 / 3.0, 2);
  EXPECT_EQ(rows[1]["check"]["type"], "tcp");
  EXPECT_EQ(rows[2]["check"]["type"], "none");
  EXPECT_TRUE(rows[2]["check"]["tcp"].is_null());
}

TEST_F(ViewTest, a_check_says_what_it_knows) {
  health::HealthChecks::Item& item = items_[1];
  item.state = health::HealthState(1, 1);
  item.state.feed({true, ""}, {kNow.ns - 2'500'000'000});
  item.state.feed({false, "connection refused"}, {kNow.ns - 500'000'000});
  item.tcp = tcp::Agreed{1460, 7, true, false};
  const json check = (*backend_rows(view(), "web/s1", false))[0]["check"];
  EXPECT_EQ(check["last_ok_s"], 2.5);
  EXPECT_EQ(check["last_error"], "connection refused");
  EXPECT_EQ(check["tcp"],
            (json{{"mss", 1460}, {"wscale", 7}, {"sack", true}, {"timestamps", false}}));
}

TEST_F(ViewTest, what_takes_no_new_client_has_no_effective_weight) {
  for (const BackendStatus s :
       {BackendStatus{Admin::drain, Health::up}, BackendStatus{Admin::down, Health::up},
        BackendStatus{Admin::up, Health::down}}) {
    status_[1] = s;
    const json row = (*backend_rows(view(), "web/s1", false))[0];
    EXPECT_EQ(row["effective_weight"], 0);
    EXPECT_EQ(row["weight"], 2);
  }
}

TEST_F(ViewTest, names_select_and_unknown_ones_are_errors) {
  EXPECT_EQ(backend_rows(view(), "web", false)->size(), 2u);
  EXPECT_EQ(backend_rows(view(), "web/s0", false)->size(), 1u);
  EXPECT_EQ(backend_rows(view(), "web/s7", false).error(),
            "no pool or backend \"web/s7\"; expected POOL or POOL/NAME");
  EXPECT_FALSE(backend_rows(view(), "s0", false));
  EXPECT_EQ(service_rows(view(), "nope", false).error(), "no service \"nope\"");
  EXPECT_EQ(worker_rows(view(), "1")->size(), 1u);
  for (const char* none : {"2", "-1", "x", "1x", "99999999999999999999"})
    EXPECT_EQ(worker_rows(view(), none).error(),
              std::string("no worker \"") + none + "\"; expected 0 to 1");
}

TEST_F(ViewTest, removed_backends_show_only_when_asked_for) {
  build_from(with(kSample, "10.2.0.11", "10.2.0.12"));
  EXPECT_EQ(backend_rows(view(), "", false)->size(), 3u);
  const Rows all = *backend_rows(view(), "", true);
  ASSERT_EQ(all.size(), 4u);
  EXPECT_EQ(all[3]["address"], "10.2.0.11");
  EXPECT_EQ(all[3]["configured"], false);
  EXPECT_EQ(all[3]["weight"], 0);
  EXPECT_EQ(all[3]["maglev_entries"], 0);
}

TEST_F(ViewTest, a_removed_backend_that_has_traffic_is_not_hidden) {
  stats_[0].backends[1].connections_active.add(2);
  build_from(with(kSample, "10.2.0.11", "10.2.0.12"));
  const Rows rows = *backend_rows(view(), "", false, true);
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_EQ(rows[3]["configured"], false);
  EXPECT_EQ(rows[3]["connections_active"], 2);
  stats_[0].backends[1].connections_active.sub(2);
  EXPECT_EQ(backend_rows(view(), "", false, true)->size(), 3u);
}

TEST_F(ViewTest, a_slot_with_a_new_meaning_counts_from_zero) {
  stats_[0].backends[1].packets_in.add(500);
  stats_[0].backends[1].connections_total.add(5);
  build_from(with(kSample, R"({ name = "s1"; address = "10.2.0.11"; port = 80; weight = 2; })",
                  R"({ name = "s5"; address = "10.2.0.15"; port = 80; })"));
  ASSERT_TRUE(built_.slots.reclaim(
      2, [](uint16_t) { return 0; }, [](uint16_t) { return 0; }));
  build_from(kSample);
  ASSERT_EQ(built_.slots.find_backend("web", "s1"), 1) << "the reused slot";
  stats_[0].backends[1].packets_in.add(3);
  const json row = (*backend_rows(view(), "web/s1", false))[0];
  EXPECT_EQ(row["packets_in"], 3);
  EXPECT_EQ(row["connections_total"], 0);
}

TEST_F(ViewTest, a_backend_that_came_back_in_time_counts_on) {
  stats_[0].backends[1].packets_in.add(500);
  build_from(with(kSample, "name = \"s1\"", "name = \"other\""));
  build_from(kSample);
  EXPECT_EQ((*backend_rows(view(), "web/s1", false))[0]["packets_in"], 500);
}

TEST_F(ViewTest, a_service_slot_with_a_new_meaning_counts_from_zero) {
  stats_[0].services[1].packets_in.add(500);
  const std::string moved =
      with(kSample, "vip = \"10.1.0.100\"; port = 7", "vip = \"10.1.0.101\"; port = 7");
  build_from(moved);
  ASSERT_TRUE(built_.slots.reclaim(
      2, [](uint16_t) { return 0; }, [](uint16_t) { return 0; }));
  build_from(with(kSample, "vip = \"10.1.0.100\"; port = 7", "vip = \"10.1.0.102\"; port = 7"));
  ASSERT_EQ(built_.slots.find_service("echo"), 1);
  EXPECT_EQ((*service_rows(view(), "echo", false))[0]["packets_in"], 0);
}

TEST_F(ViewTest, workers_have_the_promised_fields) {
  stats_[1].worker.rx.add(10);
  stats_[1].worker.held_packets.add(2);
  stats_[1].worker.flows_used.add(7);
  stats_[1].drops[0][static_cast<size_t>(Drop::no_route)].packets.add(3);
  stats_[1].drops[1][static_cast<size_t>(Drop::no_flow)].packets.add(4);
  const Rows rows = *worker_rows(view(), "");
  ASSERT_EQ(rows.size(), 2u);
  const json& w = rows[1];
  expect_fields(w, {"id",
                    "lcore",
                    "poll",
                    "iterations",
                    "empty_polls",
                    "busy_cycles",
                    "total_cycles",
                    "rx",
                    "handed_in",
                    "forwarded",
                    "consumed",
                    "handed_out",
                    "punted",
                    "drops_total",
                    "originated",
                    "tx_failed",
                    "tx",
                    "held",
                    "neighbors",
                    "flows",
                    "spliced",
                    "rings",
                    "snapshot",
                    "mbufs",
                    "flows_created",
                    "flows_expired",
                    "flows_evicted",
                    "flows_reset",
                    "port_early_reuse",
                    "stale_answered",
                    "outside_window",
                    "flows_begun_anew",
                    "resets_sent",
                    "icmp_sent",
                    "icmp_translated",
                    "originated_lost",
                    "originated_too_big"});
  expect_fields(w["held"], {"packets", "bytes", "limit"});
  expect_fields(w["neighbors"], {"used", "capacity", "replaced"});
  expect_fields(w["flows"], {"used", "capacity", "bytes_each"});
  expect_fields(w["spliced"], {"used", "capacity", "bytes_each"});
  expect_fields(w["rings"], {"in_dropped", "out_dropped"});
  expect_fields(w["mbufs"], {"pool", "in_use"});
  EXPECT_EQ(w["id"], 1);
  EXPECT_EQ(w["lcore"], 2);
  EXPECT_EQ(w["rx"], 10);
  EXPECT_EQ(w["held"]["packets"], 2);
  EXPECT_EQ(w["held"]["limit"], 512);
  EXPECT_EQ(w["flows"], (json{{"used", 7}, {"capacity", 1000}, {"bytes_each", 81}}));
  EXPECT_EQ(w["drops_total"], 7);
  EXPECT_EQ(w["mbufs"], (json{{"pool", 4096}, {"in_use", 17}}));
}

TEST_F(ViewTest, workers_say_how_full_each_pool_is_and_who_gave_way) {
  dataplane::WorkerCounters& c = stats_[1].worker;
  uint64_t n = 0;
  for (dataplane::Counter* counter :
       {&c.bindings_used, &c.bindings_total, &c.hold_bytes_used, &c.hold_bytes_total,
        &c.edit_bytes_used, &c.edit_bytes_total, &c.sessions_used, &c.flows_used, &c.flows_evicted,
        &c.neighbors_used, &c.neighbors_total, &c.neighbors_replaced, &c.ports_used, &c.ports_total,
        &c.ports_gave_way, &c.flows_gave_way, &c.copy_bytes_used, &c.copy_bytes_total})
    counter->set(++n);
  for (size_t i = 0; i < flow::kPools; ++i) c.gave_way[i].set(100 + i);
  const json pools = (*worker_rows(view(), "1"))[0]["pools"];
  EXPECT_EQ(pools["bindings"], (json{{"used", 1}, {"limit", 2}, {"gave_way", 100}}));
  EXPECT_EQ(pools["holds"], (json{{"used", 3}, {"limit", 4}, {"gave_way", 101}}));
  EXPECT_EQ(pools["edits"], (json{{"used", 5}, {"limit", 6}, {"gave_way", 102}}));
  EXPECT_EQ(pools["sessions"], (json{{"used", 7}, {"limit", 1000}}));
  EXPECT_EQ(pools["flows"], (json{{"used", 8}, {"limit", 1000}, {"gave_way", 9 + 16}}));
  EXPECT_EQ(pools["copies"], (json{{"used", 17}, {"limit", 18}}));
  EXPECT_EQ(pools["ports"], (json{{"used", 13}, {"limit", 14}, {"gave_way", 15}}));
  EXPECT_EQ(pools["neighbors"], (json{{"used", 10}, {"limit", 11}, {"gave_way", 12}}));
}

TEST_F(ViewTest, workers_say_what_splicing_takes) {
  dataplane::WorkerCounters& c = stats_[1].worker;
  uint64_t n = 0;
  for (dataplane::Counter* counter :
       {&c.sessions_used, &c.session_bytes, &c.edits_live, &c.edit_bytes_used, &c.edit_bytes_total,
        &c.bindings_used, &c.hold_bytes_used, &c.hold_bytes_total, &c.splice_bad_responses,
        &c.splice_edits_lost, &c.session_notes_lost, &c.splice_unasked_upgrades, &c.rules_kept,
        &c.rules_outlived})
    counter->set(++n);
  c.neighbors_used.set(31);
  c.neighbors_total.set(32);
  c.neighbors_replaced.set(33);
  c.neighbors_refused.set(34);
  stats_[1].services[0].connections_active.add(5);
  stats_[1].services[1].connections_active.add(3);
  json w = (*worker_rows(view(), "1"))[0];
  EXPECT_EQ(w["sessions"], (json{{"used", 1}, {"bytes_each", 2}}));
  EXPECT_EQ(w["edits"], (json{{"live", 3}, {"bytes_used", 4}, {"bytes_total", 5}}));
  EXPECT_EQ(w["neighbors"],
            (json{{"used", 31}, {"capacity", 32}, {"replaced", 33}, {"refused", 34}}));
  EXPECT_EQ(w["bindings"], (json{{"used", 6}, {"bytes_used", 7}, {"bytes_total", 8}}));
  EXPECT_EQ(w["splice_bad_responses"], 9);
  EXPECT_EQ(w["splice_edits_lost"], 10);
  EXPECT_EQ(w["session_notes_lost"], 11);
  EXPECT_EQ(w["splice_unasked_upgrades"], 12);
  EXPECT_EQ(w["rules_kept"], 13);
  EXPECT_EQ(w["rules_outlived"], 14);
  c.splice_splits.set(20);
  c.splice_beyond_frontier.set(27);
  c.copy_bytes_used.set(28);
  c.copy_bytes_total.set(29);
  c.splice_copied_bytes.set(30);
  c.splice_uncopied.set(31);
  c.splice_unlike.set(32);
  EXPECT_EQ((*worker_rows(view(), "1"))[0]["splice_splits"], 20);
  EXPECT_EQ((*worker_rows(view(), "1"))[0]["splice_beyond_frontier"], 27);
  EXPECT_EQ((*worker_rows(view(), "1"))[0]["copies"],
            (json{{"bytes_used", 28}, {"bytes_total", 29}}));
  EXPECT_EQ((*worker_rows(view(), "1"))[0]["splice_copied_bytes"], 30);
  EXPECT_EQ((*worker_rows(view(), "1"))[0]["splice_uncopied"], 31);
  EXPECT_EQ((*worker_rows(view(), "1"))[0]["splice_unlike"], 32);
  EXPECT_EQ(w["spliced"]["used"], 0) << "both services are in mode nat";
  EXPECT_EQ(w["spliced"]["capacity"], 1000);
  EXPECT_GE(w["spliced"]["bytes_each"], 56) << "two stream maps";
  build_from(with(kSample, "persistence = (", "mode = \"splice\"; persistence = ("));
  w = (*worker_rows(view(), "1"))[0];
  EXPECT_EQ(w["spliced"]["used"], 5);
}

TEST_F(ViewTest, there_is_a_row_for_every_reason_worker_and_port) {
  stats_[1].drops[0][static_cast<size_t>(Drop::ip_checksum_bad)].packets.add(3);
  stats_[1].drops[0][static_cast<size_t>(Drop::ip_checksum_bad)].bytes.add(180);
  const Rows rows = *drop_rows(view(), "");
  EXPECT_EQ(rows.size(), (kDropCount - 1) * 2 * 2);
  size_t found = 0;
  for (const json& row : rows) {
    EXPECT_EQ(keys(row), (std::set<std::string>{"reason", "worker", "port", "packets", "bytes"}));
    if (row["packets"] == 0) continue;
    ++found;
    EXPECT_EQ(row, (json{{"reason", "ip_checksum_bad"},
                         {"worker", 1},
                         {"port", "front"},
                         {"packets", 3},
                         {"bytes", 180}}));
  }
  EXPECT_EQ(found, 1u);
  EXPECT_EQ(drop_rows(view(), "0")->size(), (kDropCount - 1) * 2);
}

TEST_F(ViewTest, drops_of_one_worker_reason_or_port) {
  const Rows worker = *drop_rows(view(), "1");
  EXPECT_EQ(worker.size(), (kDropCount - 1) * 2);
  for (const json& row : worker) EXPECT_EQ(row["worker"], 1);
  const Rows reason = *drop_rows(view(), "no_flow");
  EXPECT_EQ(reason.size(), 2u * 2u);
  for (const json& row : reason) EXPECT_EQ(row["reason"], "no_flow");
  const Rows port = *drop_rows(view(), "back");
  EXPECT_EQ(port.size(), (kDropCount - 1) * 2);
  for (const json& row : port) EXPECT_EQ(row["port"], "back");
  for (const char* nothing : {"2", "none", "backs", "no_flo"})
    EXPECT_EQ(drop_rows(view(), nothing).error(),
              std::string("no worker, reason or port \"") + nothing +
                  "\"; `limpetctl show drops --all` lists them");
}

TEST_F(ViewTest, ports_have_the_counters_of_their_nics) {
  View v = view();
  v.nic = [](size_t port) {
    return dataplane::NicCounters{.link_up = port == 1,
                                  .rx_packets = 1 + port,
                                  .rx_bytes = 2 + port,
                                  .tx_packets = 3 + port,
                                  .tx_bytes = 4 + port,
                                  .missed = 5 + port,
                                  .rx_errors = 6 + port,
                                  .tx_errors = 7 + port,
                                  .no_mbuf = 8 + port};
  };
  const Rows rows = *port_rows(v, "");
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[1], (json{{"name", "back"},
                           {"device", "net_ring1"},
                           {"mac", ports_[1].mac.to_string()},
                           {"mtu", 1500},
                           {"link", "up"},
                           {"rss", false},
                           {"rx_packets", 2},
                           {"rx_bytes", 3},
                           {"tx_packets", 4},
                           {"tx_bytes", 5},
                           {"imissed", 6},
                           {"ierrors", 7},
                           {"oerrors", 8},
                           {"rx_nombuf", 9}}));
  EXPECT_EQ(rows[0]["link"], "down");
  EXPECT_EQ(*port_rows(v, "back"), Rows{rows[1]});
  EXPECT_EQ(port_rows(v, "side").error(), "no port \"side\"");
}

TEST_F(ViewTest, neighbors_have_the_promised_fields) {
  dataplane::Query q;
  q.kind = dataplane::QueryKind::neighbors;
  q.neighbors.resize(3);
  q.filled = 2;
  q.neighbors[0].port = 1;
  q.neighbors[0].address = ip("10.2.0.10");
  q.neighbors[0].mac = {{2, 0, 0, 0, 0, 9}};
  q.neighbors[0].state = static_cast<uint8_t>(dataplane::NeighborState::reachable);
  q.neighbors[0].age = to_ticks(seconds(3));
  q.neighbors[0].waiting = 0;
  q.neighbors[1].port = 0;
  q.neighbors[1].state = static_cast<uint8_t>(dataplane::NeighborState::incomplete);
  q.neighbors[1].waiting = 5;
  const Rows rows = neighbor_rows(view(), 0, q);
  ASSERT_EQ(rows.size(), 2u);
  expect_fields(rows[0], {"port", "address", "mac", "state", "age_s", "waiting"});
  EXPECT_EQ(rows[0]["port"], "back");
  EXPECT_EQ(rows[0]["address"], "10.2.0.10");
  EXPECT_EQ(rows[0]["mac"], "02:00:00:00:00:09");
  EXPECT_EQ(rows[0]["state"], "reachable");
  EXPECT_NEAR(rows[0]["age_s"].get<double>(), 3, 0.01);
  EXPECT_TRUE(rows[1]["mac"].is_null()) << "nobody knows it yet";
  EXPECT_EQ(rows[1]["waiting"], 5);
}

TEST_F(ViewTest, the_envelope_is_the_promised_one) {
  Rows rows = {json(1), json(2), json(3)};
  const json all = envelope("flows", rows, 0, false, std::chrono::milliseconds(1500));
  EXPECT_EQ(all, (json{{"schema", 1},
                       {"pid", getpid()},
                       {"uptime_s", 1.5},
                       {"flows", {1, 2, 3}},
                       {"truncated", false}}));
  const json two = envelope("flows", rows, 2, false, seconds(1));
  EXPECT_EQ(two["flows"].size(), 2u);
  EXPECT_EQ(two["truncated"], true);
  EXPECT_EQ(envelope("flows", rows, 3, false, seconds(1))["truncated"], false);
  EXPECT_EQ(envelope("flows", rows, 5, true, seconds(1))["truncated"], true);
  EXPECT_EQ(envelope("flows", {}, 5, false, seconds(1))["flows"], json::array());
}

TEST_F(ViewTest, telemetry_rows_are_flat_and_plain) {
  const json flat = flatten((*backend_rows(view(), "web/s1", false))[0]);
  EXPECT_EQ(flat["name"], "s1");
  EXPECT_EQ(flat["check_type"], "tcp");
  EXPECT_EQ(flat["check_tcp"], "") << "nothing known";
  EXPECT_EQ(flat["since_s"], 90u);
  EXPECT_TRUE(flat["since_s"].is_number_unsigned());
  EXPECT_EQ(flat["configured"], 1u);
  const json worker = flatten((*worker_rows(view(), "0"))[0]);
  EXPECT_EQ(worker["flows_capacity"], 1000u);
  EXPECT_LE(worker.size(), 256u);
  for (const auto& [key, value] : worker.items()) {
    EXPECT_EQ(
        key.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_/"),
        std::string::npos)
        << key;
    EXPECT_TRUE(value.is_number_unsigned() || value.is_string()) << key;
  }
}

}  // namespace
}  // namespace limpet::console
