// What Prometheus is told, from the counters of a view.
#include "metrics.h"

#include <fmt/core.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <map>

#include "view_fixture.h"

namespace limpet::console {
namespace {

using affinity::Reason;
using affinity::RequestFlag;

class MetricsTest : public ViewTest {
 protected:
  std::string told(MetricFormat format = MetricFormat::prometheus) {
    MetricsWalk walk(format);
    turns = 1;
    while (!walk.turn(view(), facts)) ++turns;
    return walk.text();
  }
  // Of a sample as it stands there, "" when it does not.
  static std::string value(const std::string& text, const std::string& sample) {
    const size_t at = text.find("\n" + sample + " ");
    if (at == std::string::npos) return "";
    const size_t from = at + sample.size() + 2;
    return text.substr(from, text.find('\n', from) - from);
  }
  void splice() {
    build_from(with(kSample, R"(persistence = ( { type = "source"; prefix4 = 24; } );)",
                    R"(mode = "splice"; persistence = ( { type = "cookie"; name = "SRV"; },
                                                        { type = "header"; name = "U"; },
                                                        { type = "source"; } );)"));
  }
  ProcessFacts facts{1000, 2000.5, true};
  int turns = 0;
};

TEST_F(MetricsTest, counters_of_all_workers_are_one_sample_by_name) {
  stats_[0].backends[0].connections_total.add(3);
  stats_[1].backends[0].connections_total.add(4);
  stats_[1].services[0].bytes_in.add(100);
  stats_[0].services[0].no_backend.add(2);
  stats_[1].worker.rx.add(9);
  stats_[0].drops[0][static_cast<size_t>(Drop::no_flow)].packets.add(5);
  stats_[1].drops[0][static_cast<size_t>(Drop::no_flow)].packets.add(6);
  status_[0] = {balance::Admin::up, balance::Health::up};
  status_[1] = {balance::Admin::up, balance::Health::down};
  const std::string text = told();
  EXPECT_EQ(value(text, R"(limpet_backend_connections_total{pool="web",backend="s0"})"), "7");
  EXPECT_EQ(value(text, R"(limpet_service_bytes_in_total{service="web"})"), "100");
  EXPECT_EQ(value(text, R"(limpet_service_no_backend_total{service="web"})"), "2");
  EXPECT_EQ(value(text, R"(limpet_worker_rx_total{worker="1"})"), "9");
  EXPECT_EQ(value(text, R"(limpet_worker_rx_total{worker="0"})"), "0");
  EXPECT_EQ(value(text, fmt::format("limpet_drops_total{{port=\"{}\",reason=\"no_flow\"}}",
                                    document_.ports[0].name)),
            "11");
  EXPECT_EQ(value(text, R"(limpet_backend_up{pool="web",backend="s0"})"), "1");
  EXPECT_EQ(value(text, R"(limpet_backend_up{pool="web",backend="s1"})"), "0");
  EXPECT_EQ(value(text, R"(limpet_service_up{service="web"})"), "1");
  EXPECT_EQ(value(text, "limpet_config_last_reload_successful"), "1");
  EXPECT_EQ(value(text, "limpet_config_last_reload_success_timestamp_seconds"), "2000.500");
  EXPECT_EQ(value(text, "limpet_mbufs_used"), "17");
}

TEST_F(MetricsTest, source_ports_are_those_towards_the_backend) {
  const std::string limit =
      value(told(), R"(limpet_backend_source_ports_limit{pool="web",backend="s0"})");
  EXPECT_GT(std::stoull(limit), 1000u);
  auto& source = built_.owned.snapshot->backends[0].sources[0];
  ASSERT_TRUE(source.ports[0]->take(0));
  ASSERT_TRUE(source.ports[1]->take(0));
  const std::string text = told();
  EXPECT_EQ(value(text, R"(limpet_backend_source_ports_used{pool="web",backend="s0"})"), "2");
  EXPECT_EQ(value(text, R"(limpet_backend_source_ports_used{pool="web",backend="s1"})"), "0");
  EXPECT_EQ(value(text, R"(limpet_backend_source_ports_limit{pool="web",backend="s0"})"), limit);
}

TEST_F(MetricsTest, decisions_say_whether_stickiness_held) {
  splice();
  auto& cookie = stats_[0].persistence[0][0];
  const auto add = [&](RequestFlag f, uint64_t n) {
    cookie.request[static_cast<size_t>(f)].add(n);
  };
  add(RequestFlag::valid, 100);
  add(RequestFlag::none, 20);
  add(RequestFlag::down, 5);
  add(RequestFlag::expired, 3);
  add(RequestFlag::old, 4);
  add(RequestFlag::invalid, 2);
  add(RequestFlag::unused, 50);
  cookie.kept.add(90);
  cookie.moved_down.add(4);
  cookie.redispatched.add(1);
  cookie.other_backend_on_keepalive.add(10);
  auto& header = stats_[1].persistence[0][1];
  header.request[static_cast<size_t>(RequestFlag::valid)].add(8);
  header.request[static_cast<size_t>(RequestFlag::down)].add(6);
  header.redispatched.add(6);
  header.kept.add(8);
  header.moved_down.add(6);
  auto& reasons = stats_[0].services[0].reasons;
  reasons[static_cast<size_t>(Reason::source)].add(30);
  reasons[static_cast<size_t>(Reason::source_pinned)].add(2);
  reasons[static_cast<size_t>(Reason::source_redirected)].add(7);
  const std::string text = told();
  const auto of = [&](int entry, const char* result) {
    return value(text,
                 fmt::format("limpet_persistence_decisions_total{{service=\"web\",entry=\"{}\","
                             "result=\"{}\"}}",
                             entry, result));
  };
  EXPECT_EQ(of(0, "kept"), "90") << "ten were with another user's backend";
  EXPECT_EQ(of(0, "other_backend"), "10");
  EXPECT_EQ(of(0, "new"), "20");
  EXPECT_EQ(of(0, "moved_down"), "4");
  EXPECT_EQ(of(0, "moved_refused"), "1");
  EXPECT_EQ(value(text, R"(limpet_persistence_redispatched_total{service="web",entry="0"})"), "1");
  EXPECT_EQ(of(0, "expired"), "7");
  EXPECT_EQ(of(0, "invalid"), "2");
  EXPECT_EQ(of(1, "kept"), "8");
  EXPECT_EQ(of(1, "moved_down"), "6");
  EXPECT_EQ(of(1, "moved_refused"), "") << "of a header nobody counts whether it was asked";
  EXPECT_EQ(of(2, "kept"), "32");
  EXPECT_EQ(of(2, "moved_down"), "7");
  EXPECT_EQ(of(2, "new"), "") << "a hash cannot know";
}

TEST_F(MetricsTest, in_mode_nat_the_address_s_decisions_are_the_reasons) {
  auto& reasons = stats_[0].services[0].reasons;
  reasons[static_cast<size_t>(Reason::source)].add(9);
  reasons[static_cast<size_t>(Reason::source_redirected)].add(2);
  const std::string text = told();
  const std::string of = R"(limpet_persistence_decisions_total{service="web",entry="0",result=")";
  EXPECT_EQ(value(text, of + "kept\"}"), "9");
  EXPECT_EQ(value(text, of + "moved_down\"}"), "2");
  EXPECT_EQ(value(text, R"(limpet_service_choices_total{service="web",reason="source"})"), "9");
}

TEST_F(MetricsTest, pools_are_those_of_all_workers) {
  stats_[0].worker.hold_bytes_used.add(10);
  stats_[1].worker.hold_bytes_used.add(5);
  stats_[0].worker.hold_bytes_total.set(100);
  stats_[1].worker.hold_bytes_total.set(100);
  stats_[1].worker.gave_way[static_cast<size_t>(flow::Pool::holds)].add(3);
  stats_[0].worker.flows_evicted.add(1);
  stats_[1].worker.flows_gave_way.add(1);
  stats_[0].worker.ports_gave_way.add(4);
  stats_[0].worker.held_packets.add(6);
  const std::string text = told();
  EXPECT_EQ(value(text, R"(limpet_pool_used{kind="holds"})"), "15");
  EXPECT_EQ(value(text, R"(limpet_pool_limit{kind="holds"})"), "200");
  EXPECT_EQ(value(text, R"(limpet_pool_limit{kind="flows"})"), "2000");
  EXPECT_EQ(value(text, R"(limpet_pool_used{kind="held_packets"})"), "6");
  EXPECT_EQ(value(text, R"(limpet_pool_limit{kind="held_packets"})"), "1024");
  EXPECT_EQ(value(text, R"(limpet_pool_gave_way_total{kind="holds"})"), "3");
  EXPECT_EQ(value(text, R"(limpet_pool_gave_way_total{kind="flows"})"), "2");
  EXPECT_EQ(value(text, R"(limpet_pool_gave_way_total{kind="ports"})"), "4");
  EXPECT_EQ(value(text, R"(limpet_pool_used{kind="ports"})"), "") << "of different backends";
  EXPECT_EQ(value(text, R"(limpet_pool_gave_way_total{kind="copies"})"), "") << "they never do";
}

// Whatever `show workers` puts together with others is there by itself, and no gauge is a total.
TEST_F(MetricsTest, every_counter_of_a_worker_is_told) {
  stats_[1].worker.ring_out_dropped.add(2);
  stats_[1].worker.neighbors_total.set(512);
  const std::string text = told();
  EXPECT_EQ(value(text, R"(limpet_worker_ring_out_dropped_total{worker="1"})"), "2");
  EXPECT_EQ(value(text, R"(limpet_worker_neighbors_limit{worker="1"})"), "512");
  EXPECT_EQ(value(text, R"(limpet_worker_neighbors_used{worker="1"})"), "0");
  size_t told_of = 0;
  for (size_t at = 0; (at = text.find("# TYPE limpet_worker_", at)) != std::string::npos; ++at)
    ++told_of;
  EXPECT_EQ(told_of, std::size(publish::kWorkerCounters));
}

TEST_F(MetricsTest, a_stick_table_says_how_full_it_is) {
  EXPECT_EQ(told().find("limpet_table_used{"), std::string::npos) << "nobody has one";
  build_from(with(kSample, R"(persistence = ( { type = "source"; prefix4 = 24; } );)",
                  R"(mode = "splice"; table = { size = 2000; };
                     persistence = ( { type = "cookie"; name = "SRV"; mode = "learn"; } );)"));
  const std::string text = told();
  EXPECT_EQ(value(text, R"(limpet_table_used{service="web"})"), "0");
  EXPECT_EQ(value(text, R"(limpet_table_refused_total{service="web"})"), "0");
  EXPECT_EQ(value(text, R"(limpet_table_limit{service="web"})"), "2000");
}

TEST_F(MetricsTest, cookies_say_what_was_done_and_what_was_wrong) {
  splice();
  auto& cookie = stats_[0].persistence[0][0];
  cookie.response[static_cast<size_t>(affinity::ResponseFlag::inserted)].add(4);
  cookie.detail[static_cast<size_t>(affinity::InvalidDetail::forged)].add(2);
  const std::string text = told();
  const std::string of = R"({service="web",entry="0",)";
  EXPECT_EQ(value(text, "limpet_persistence_responses_total" + of + R"(result="inserted"})"), "4");
  EXPECT_EQ(value(text, "limpet_persistence_invalid_total" + of + R"(reason="forged"})"), "2");
  EXPECT_EQ(value(text, "limpet_persistence_invalid_total" + of + R"(reason="none"})"), "");
  EXPECT_EQ(text.find(R"(_responses_total{service="web",entry="1")"), std::string::npos);
}

TEST_F(MetricsTest, a_new_meaning_of_a_slot_counts_from_zero) {
  stats_[0].services[0].connections_total.add(500);
  const std::string moved =
      with(kSample, "vip = \"10.1.0.100\"; port = 80", "vip = \"10.1.0.101\"; port = 80");
  build_from(moved);
  ASSERT_TRUE(built_.slots.reclaim(
      2, [](uint16_t) { return 0; }, [](uint16_t) { return 0; }));
  build_from(with(moved, "10.1.0.101", "10.1.0.102"));
  EXPECT_EQ(value(told(), R"(limpet_service_connections_total{service="web"})"), "0");
}

// Each family once, its samples behind it, and no sample twice: what a scrape is refused for.
TEST_F(MetricsTest, every_family_and_every_sample_is_there_once) {
  splice();
  for (const MetricFormat format : {MetricFormat::prometheus, MetricFormat::open_metrics}) {
    std::map<std::string, int> helps, types, samples;
    std::string family;
    const std::string all = told(format);
    for (size_t at = 0; at < all.size();) {
      const std::string line = all.substr(at, all.find('\n', at) - at);
      at += line.size() + 1;
      if (line == "# EOF") continue;
      if (line.rfind("# HELP ", 0) == 0) {
        family = line.substr(7, line.find(' ', 7) - 7);
        ++helps[family];
      } else if (line.rfind("# TYPE ", 0) == 0) {
        EXPECT_EQ(line.substr(7, line.find(' ', 7) - 7), family);
        ++types[family];
      } else {
        EXPECT_EQ(line.rfind(family, 0), 0u) << line;
        ++samples[line.substr(0, line.rfind(' '))];
      }
    }
    EXPECT_GT(helps.size(), 80u);
    EXPECT_EQ(helps.size(), types.size());
    for (const auto& counts : {helps, types, samples})
      for (const auto& [name, n] : counts) EXPECT_EQ(n, 1) << name;
    if (format == MetricFormat::open_metrics) {
      EXPECT_EQ(all.substr(all.size() - 6), "# EOF\n");
    }
  }
}

TEST_F(MetricsTest, an_answer_is_made_in_slices_and_begins_anew_with_another_configuration) {
  // So many services that their text is several slices.
  std::string services;
  for (int i = 0; i < 12; ++i)
    services += fmt::format(
        "{{ name = \"s{}\"; vip = \"10.1.0.{}\"; port = 81; pool = \"web\";"
        " mode = \"splice\"; }}, ",
        i, 10 + i);
  build_from(with(kSample, "services = (", "services = ( " + services));
  MetricsWalk slices(MetricFormat::prometheus);
  size_t before = 0;
  for (turns = 1; !slices.turn(view(), facts); ++turns) {
    EXPECT_LT(slices.text().size() - before, MetricsWalk::kSliceBytes + 8192);
    before = slices.text().size();
  }
  EXPECT_GT(slices.text().size(), 2 * MetricsWalk::kSliceBytes);
  EXPECT_GT(turns, 2);
  MetricsWalk walk(MetricFormat::prometheus);
  (void)walk.turn(view(), facts);
  build_from(with(kSample, "\"s1\"", "\"s9\""));
  while (!walk.turn(view(), facts)) {
  }
  EXPECT_EQ(walk.text().find("# HELP limpet_build_info"), 0u);
  EXPECT_EQ(walk.text().find("# HELP limpet_build_info", 1), std::string::npos);
  EXPECT_NE(walk.text().find("backend=\"s9\""), std::string::npos);
  EXPECT_EQ(walk.text().find("backend=\"s1\""), std::string::npos);
}

// Debian's own judge of names, types and help texts.
TEST_F(MetricsTest, promtool_has_nothing_to_say) {
  ASSERT_EQ(std::system("command -v promtool > /dev/null"), 0) << "run scripts/bootstrap.sh";
  splice();
  const std::string text = told();
  char path[] = "/tmp/limpet-metrics-XXXXXX";
  const int fd = mkstemp(path);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  close(fd);
  std::FILE* said = popen(fmt::format("promtool check metrics < {} 2>&1", path).c_str(), "r");
  ASSERT_NE(said, nullptr);
  char buffer[4096];
  std::string words;
  while (const size_t n = std::fread(buffer, 1, sizeof buffer, said)) words.append(buffer, n);
  EXPECT_EQ(pclose(said), 0) << words;
  EXPECT_EQ(words, "");
  std::remove(path);
}

}  // namespace
}  // namespace limpet::console
