// sim: runs seeds through a real worker. Each seed is an HTTP conversation between two model
// endpoints, with options, edits and a network of its own; both streams must arrive as they must be
// edited, both sides must close, nothing may be left in the worker. Ends with how often what
// happened: a run of many seeds that never saw one of these fails.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <ctime>
#include <functional>
#include <optional>
#include <string>

#include "../worker/eal.h"
#include "arguments.h"
#include "conversation.h"
#include "hostile.h"
#include "scenario.h"
#include "silence.h"
#include "tokens.h"
#include "trace.h"
#include "worker_box.h"

namespace {

using namespace limpet::sim;
using limpet::dataplane::Counter;
using limpet::dataplane::WorkerCounters;

struct Row {
  const char* name;
  Counter WorkerCounters::*counter;
};
// In the order of the table.
constexpr Row kRows[] = {
    {"splits", &WorkerCounters::splice_splits},
    {"sack_blocks_translated", &WorkerCounters::splice_sack_translated},
    {"sack_blocks_dropped", &WorkerCounters::splice_sack_dropped},
    {"clamped_acks", &WorkerCounters::splice_clamped_acks},
    {"owned_bytes", &WorkerCounters::splice_owned_bytes},
    {"owned_bytes_resent", &WorkerCounters::splice_resent_bytes},
    {"swallowed", &WorkerCounters::splice_swallowed},
    {"beyond_frontier", &WorkerCounters::splice_beyond_frontier},
    {"redispatched", &WorkerCounters::splice_redispatched},
    {"retried", &WorkerCounters::splice_retried},
    {"stateless_answers", &WorkerCounters::splice_stateless_answers},
    {"cookies_accepted", &WorkerCounters::cookies_accepted},
    {"rules_kept", &WorkerCounters::rules_kept},
};

struct Totals {
  uint64_t seeds = 0, failed = 0, lossy = 0, wrapped = 0, edits_up = 0, edits_down = 0;
  uint64_t rows[std::size(kRows)] = {};
  uint64_t outside_window = 0, early_segment = 0;
  uint64_t read = 0;    // requests, by the readers
  uint64_t logged = 0;  // lines, of them and of others
  CookieCounts cookies;
  HostileCounts hostile;
  Counts counts;
  Silences silences;
};

bool table(const Totals& t) {
  bool good = true;
  const auto row = [&good](const char* name, uint64_t n) {
    fmt::print("{:>12}  {}{}\n", n, name, n == 0 ? "   <- never happened" : "");
    good = good && n > 0;
  };
  row("retransmissions", t.counts.retransmissions);
  row("rtos", t.counts.rtos);
  row("dsacks_received", t.counts.dsacks_received);
  row("zero_windows", t.counts.zero_windows);
  row("windows_taken_back", t.counts.windows_taken_back);
  row("windows_went_back", t.counts.windows_went_back);
  row("keepalives", t.counts.keepalives);
  row("challenge_acks", t.counts.challenge_acks);
  row("seq_wraps", t.counts.seq_wraps);
  row("mtu_reductions", t.counts.mtu_reductions);
  row("simultaneous_closes", t.counts.simultaneous_closes);
  for (size_t i = 0; i < std::size(kRows); ++i) row(kRows[i].name, t.rows[i]);
  row("outside_window", t.outside_window);
  row("early_segment", t.early_segment);
  row("tail_probes", t.counts.tail_probes);
  for (const auto& [name, n] : t.cookies) row(name.c_str(), n);
  row("hostile_lies", t.hostile.lies);
  row("hostile_longer", t.hostile.longer);
  row("hostile_shorter", t.hostile.shorter);
  row("hostile_straddling", t.hostile.straddling);
  row("hostile_expired", t.hostile.expired);
  row("hostile_old_clocks", t.hostile.old_clocks);
  row("hostile_odd_options", t.hostile.odd_options);
  row("hostile_acks_kept", t.hostile.acks_kept);
  row("hostile_single_octets", t.hostile.single_octets);
  row("requests_read", t.read);
  row("lines_of_the_log", t.logged);
  row("silent seeds", t.silences.seeds);
  row("silent: reset", t.silences.reset);
  row("silent: 504", t.silences.told);
  row("silent: mode nat", t.silences.nat);
  row("edits_up", t.edits_up);
  row("edits_down", t.edits_down);
  if (t.lossy * 5 < t.seeds || t.wrapped * 20 < t.seeds) {
    fmt::print("only {} lossy and {} wrapped of {} seeds\n", t.lossy, t.wrapped, t.seeds);
    good = false;
  }
  return good;
}

constexpr size_t kLeast = 65536;    // octets each way
constexpr uint64_t kEnough = 5000;  // fewer seeds may miss what is rare

// The first octets of every head are pieces of their own.
void say_singly(Conversation& talk) {
  for (HttpRequest& r : talk.client.requests) {
    r.cuts.clear();
    for (size_t at = 1; at < std::min<size_t>(r.head.size(), 100); ++at) r.cuts.push_back(at);
    r.pause = {};
  }
}

// What the readers say to what the backend has got.
std::string read(const Conversation& talk, const HttpServerApp& server, bool all,
                 uint64_t& requests) {
  if (!talk.readable) return "";
  const bool upgrades = !talk.client.upgraded.empty();
  limpet::oracle::Got got{.octets = server.received(), .all = all};
  if (upgrades) got.switches = talk.requests.messages.size() - 1;
  requests += server.requests().size();
  return limpet::oracle::complaint(talk.requests, got, talk.promises);
}

// What went wrong with one seed; empty: nothing.
std::vector<std::string> run_seed(uint64_t n, bool trace, Totals& totals) {
  if (n % 16 == 15) {  // an end falls silent instead
    Trace printer(stdout);
    ++totals.seeds;
    return fall_silent(n, trace ? &printer : nullptr, totals.silences);
  }
  Scenario s = derive(n);
  draw_small_mss(n, s);
  draw_shrinking(n, s);
  Random r(n ^ 0x68747470);
  const auto port = static_cast<uint16_t>(40000 + n % 20000);
  Conversation talk = draw_conversation(r, client_address(s.v6).to_string(),
                                        WorkerBox::vip(s.v6).to_string(), port, kLeast);
  const bool dead_answers = r.chance(90);
  const Hostile hostile = draw_hostile(n);
  prepare(s, hostile);
  if (hostile == Hostile::single_octets) say_singly(talk);
  // limpet probes windows and sends held octets again, with the newest timestamp that it knows: a
  // minute old when a backend that says nothing was tried first.
  s.client.check.data_probes = s.server.check.data_probes = true;
  for (EndpointOptions* e : {&s.client, &s.server}) {
    e->check.in_order = false;
    e->check.windows_close = true;
    e->check.timestamps_may_go_back += dead_answers ? 60000 : 500000;
    e->rto_max = std::chrono::seconds(1);
    e->retries = 200;
  }
  WorkerBoxOptions o;
  o.v6 = s.v6;
  o.seed = n;
  o.service = talk.service;
  // What a client who is bound to a dead backend waits for takes minutes of polling.
  const unsigned retries = dead_answers ? r.pick({0u, 1u, 3u}) : r.pick({0u, 0u, 1u});
  o.service += fmt::format(" retries = {};", retries);
  o.keys = talk.keys;
  o.unix_time = &Tokens::now;
  Random ports(n ^ 0x6d7475);
  o.front_mtu = ports.pick<uint16_t>({1280, 1400, 1500, 9000});
  o.back_mtu = ports.pick<uint16_t>({1280, 1400, 1500, 9000});
  o.dead_answers = dead_answers;
  o.crowd = n % 8 == 3;
  o.reloads = n % 4 == 2 ? 6 : 0;
  s.client.tail_probes = n % 2 == 0;
  s.server.tail_probes = n % 4 < 2;
  WorkerBox box(o);
  const HostileBox::Target target{
      [&](uint32_t at) { return at < talk.judged.size() && talk.judged[at]; },
      [&](uint32_t left, uint32_t acknowledged) {
        return std::max(static_cast<uint32_t>(talk.judged_before(left)), acknowledged);
      }};
  HostileBox outer(box, hostile, n, target);
  Trace printer(stdout);
  const std::string what =
      fmt::format("{}  client: {}\n  {}", s.describe(), name(hostile), talk.describe);
  if (trace) fmt::print("{}\n", what);
  std::fflush(stdout);

  HttpClientApp client(talk.client);
  HttpServerApp* server = nullptr;
  const Meeting meeting{
      client,
      [&] {
        auto app = std::make_unique<HttpServerApp>(
            [&](const HttpMessage&, size_t i) {
              return i < talk.answers.size() ? talk.answers[i] : HttpAnswer{};
            },
            "HTTP/1.1 100 Continue\r\n\r\n", talk.preamble);
        server = app.get();
        return app;
      },
      WorkerBox::vip(s.v6),
      [&](const App* app) -> std::string {
        if (app == &client) {
          if (!s.ends) return "";
          if (!client.complete())
            return fmt::format("{} of {} answers", client.responses().size(), talk.answers.size());
          return compare(client.received(), talk.down_wanted);
        }
        const std::string complaint = read(talk, *server, s.ends, totals.read);
        if (!complaint.empty()) return complaint;
        return compare(
            server->received(),
            s.ends ? talk.up_wanted : talk.up_wanted.substr(0, server->received().size()));
      }};
  const Outcome outcome = converse(s, outer, meeting, trace ? &printer : nullptr);
  std::vector<std::string> failures = outcome.failures;
  if (const std::string leaks = box.leaks(); !leaks.empty()) failures.push_back(leaks);
  totals.logged += box.logged;
  box.rig().finish();
  if (talk.edits_up == 0 || talk.edits_down == 0) failures.push_back("no edit in a direction");
  if (talk.up_wanted.size() < kLeast || talk.down_wanted.size() < kLeast)
    failures.push_back("too little in a direction");

  ++totals.seeds;
  totals.lossy += s.lossy ? 1 : 0;
  totals.wrapped += outcome.counts.seq_wraps > 0 ? 1 : 0;
  for (const auto& [name, count] : talk.cookies) totals.cookies[name] += count;
  totals.edits_up += talk.edits_up;
  totals.edits_down += talk.edits_down;
  totals.counts += outcome.counts;
  totals.hostile += outer.counts();
  const WorkerCounters& c = box.rig().stats().worker;
  for (size_t i = 0; i < std::size(kRows); ++i) totals.rows[i] += (c.*kRows[i].counter).get();
  totals.outside_window += box.rig().drops(limpet::Drop::outside_window);
  totals.early_segment += box.rig().drops(limpet::Drop::early_segment);
  if (!failures.empty()) failures.insert(failures.begin(), what);
  return failures;
}

int run_all(uint64_t first, uint64_t last, bool trace, const char* program) {
  Totals totals;
  const std::clock_t start = std::clock();
  for (uint64_t n = first; n <= last; ++n) {
    std::vector<std::string> failures = run_seed(n, trace, totals);
    if (testing::UnitTest::GetInstance()->ad_hoc_test_result().Failed() && failures.empty())
      failures.push_back("the rig objects, see above");
    if (failures.empty()) continue;
    fmt::print("FAILED seed {}\n", n);
    for (const std::string& text : failures) fmt::print("  {}\n", text);
    fmt::print("  replay: {} --seed {} --trace\n", program, n);
    if (++totals.failed >= 10) break;
  }
  // Of processor time: the machine may be shared.
  const double took = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  const bool complete = totals.seeds < kEnough || totals.failed > 0 || table(totals);
  fmt::print("{} seeds, {} failed; {} lossy, {} wrapped; {:.1f} s of CPU, {:.0f} seeds/s\n",
             totals.seeds, totals.failed, totals.lossy, totals.wrapped, took,
             static_cast<double>(totals.seeds) / took);
  return totals.failed > 0 || !complete ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  if (!arguments.read(argc, argv, [](auto, auto) { return false; })) {
    fmt::print(stderr, "usage: sim [--seed N | --seeds A..B] [--trace]\n");
    return 2;
  }
  int gtest_argc = 1;
  testing::InitGoogleTest(&gtest_argc, argv);
  return limpet::with_eal(
      argv[0], [&] { return run_all(arguments.first, arguments.last, arguments.trace, argv[0]); });
}
