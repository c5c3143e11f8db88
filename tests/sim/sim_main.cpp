// sim_endpoints: runs seeds. Each seed is a connection between two model endpoints with options,
// apps and a network of its own; both streams must arrive, both sides must close, nobody may break
// a rule. Ends with how often what happened: a run of many seeds that never saw one of these fails.
#include <fmt/format.h>

#include <ctime>
#include <optional>
#include <string>
#include <string_view>

#include "arguments.h"
#include "scenario.h"

namespace {

using namespace limpet::sim;

struct Totals {
  Counts counts;
  NetworkCounts network;
  uint64_t seeds = 0, failed = 0, lossy = 0, wrapped = 0;
};

void report(uint64_t seed, const Scenario& scenario, const Outcome& outcome,
            const std::string& replay) {
  fmt::print("FAILED {}", scenario.describe());
  for (const std::string& text : outcome.failures) fmt::print("  {}\n", text);
  fmt::print("  replay: {} --seed {} --trace\n", replay, seed);
}

// False if a column is zero.
bool table(const Totals& t) {
  bool good = true;
  const auto row = [&](const char* name, uint64_t n, bool must) {
    fmt::print("{:>12}  {}{}\n", n, name, must && n == 0 ? "   <- never happened" : "");
    good &= n > 0 || !must;
  };
  t.counts.each([&](const std::string& name, uint64_t n) {
    // These need a box that errs, or damage; tails are probed where there is a box
    // (splice_main.cpp).
    const bool rare = name == "syn_recv_refused" || name == "tail_probes" ||
                      name == "beyond_taken_back" || name == "resets_sent" ||
                      name == "resets_received" || name == "checksum_drops";
    row(name.c_str(), n, !rare);
  });
  row("frames", t.network.frames, true);
  row("frames_lost", t.network.lost, true);
  row("frames_duplicated", t.network.duplicated, true);
  row("frames_late", t.network.reordered, true);
  row("frames_too_big", t.network.too_big, true);
  if (t.lossy * 5 < t.seeds) {
    fmt::print("only {} of {} seeds have 10 to 20 % loss\n", t.lossy, t.seeds);
    good = false;
  }
  if (t.wrapped * 20 < t.seeds) {
    fmt::print("only {} of {} seeds wrap sequence numbers\n", t.wrapped, t.seeds);
    good = false;
  }
  return good;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  std::optional<unsigned> loss;
  const auto other = [&loss](std::string_view name, std::string_view value) {
    return name == "--loss" && Arguments::number(value, loss.emplace());
  };
  if (!arguments.read(argc, argv, other)) {
    fmt::print(stderr,
               "usage: sim_endpoints [--seed N | --seeds A..B] [--trace] [--loss PER_MILLE]\n"
               "--loss replaces what the seed draws, on every link.\n");
    return 2;
  }
  const auto& [first, last, trace] = arguments;

  std::string replay = argv[0];
  if (loss) replay += fmt::format(" --loss {}", *loss);
  Totals totals;
  const std::clock_t start = std::clock();
  for (uint64_t n = first; n <= last; ++n) {
    Scenario scenario = derive(n, loss);
    draw_shrinking(n, scenario);
    Trace printer(stdout);
    Wire wire;
    if (trace) fmt::print("{}", scenario.describe());
    std::fflush(stdout);
    const Outcome outcome = run(scenario, wire, trace ? &printer : nullptr);
    ++totals.seeds;
    totals.lossy += scenario.lossy ? 1 : 0;
    totals.wrapped += outcome.counts.seq_wraps > 0 ? 1 : 0;
    totals.counts += outcome.counts;
    totals.network += outcome.network;
    if (!outcome.failures.empty()) {
      report(n, scenario, outcome, replay);
      if (++totals.failed >= 10) break;
    }
  }
  // Of processor time: the machine may be shared.
  const double took = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  const bool complete = totals.seeds < 200 || totals.failed > 0 || table(totals);
  fmt::print(
      "{} seeds, {} failed; {} with 10 to 20 % loss, {} wrapped; {:.1f} s of CPU, {:.0f} seeds/s\n",
      totals.seeds, totals.failed, totals.lossy, totals.wrapped, took,
      static_cast<double>(totals.seeds) / took);
  return totals.failed > 0 || !complete ? 1 : 0;
}
