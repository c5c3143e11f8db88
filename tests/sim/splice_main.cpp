// sim_splice: seeds through the product's splice. As sim, with the box of splice_box.h in between
// and edits in both streams; a column of zeros fails.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <string>

#include "arguments.h"
#include "hostile.h"
#include "splice_box.h"

namespace {

using namespace std::chrono_literals;
using namespace limpet::sim;
namespace tcp = limpet::tcp;

// Fewer seeds than this may miss what is rare.
constexpr uint64_t kEnough = 5000;

struct Totals {
  Counts counts;
  tcp::SpliceCounters splice;
  HostileCounts hostile;
  uint64_t seeds = 0, failed = 0, lossy = 0, wrapped = 0, in_place = 0, edits = 0, syns_again = 0;
  uint64_t told_too_big = 0, early = 0;
};

bool table(const Totals& t) {
  bool good = true;
  const auto row = [&](const char* name, uint64_t n) {
    fmt::print("{:>12}  {}{}\n", n, name, n == 0 ? "   <- never happened" : "");
    good &= n > 0;
  };
  row("retransmissions", t.counts.retransmissions);
  row("rtos", t.counts.rtos);
  row("dsacks_received", t.counts.dsacks_received);
  row("zero_windows", t.counts.zero_windows);
  row("windows_taken_back", t.counts.windows_taken_back);
  row("windows_went_back", t.counts.windows_went_back);
  row("persist_probes", t.counts.persist_probes);
  row("keepalives", t.counts.keepalives);
  row("challenge_acks", t.counts.challenge_acks);
  row("seq_wraps", t.counts.seq_wraps);
  row("mtu_reductions", t.counts.mtu_reductions);
  row("told_too_big", t.told_too_big);
  row("simultaneous_closes", t.counts.simultaneous_closes);
  row("sack_translated", t.splice.sack_translated);
  row("sack_dropped", t.splice.sack_dropped);
  row("splits", t.splice.splits);
  row("clamped_acks", t.splice.clamped_acks);
  row("owned_bytes", t.splice.owned_bytes);
  row("owned_bytes_resent", t.splice.resent_bytes);
  row("swallowed", t.splice.swallowed);
  row("beyond_frontier", t.splice.beyond_frontier);
  row("edits", t.edits);
  row("syns_again", t.syns_again);
  row("early", t.early);
  row("tail_probes", t.counts.tail_probes);
  row("rewritten_in_place", t.in_place);
  row("hostile_lies", t.hostile.lies);
  row("hostile_longer", t.hostile.longer);
  row("hostile_shorter", t.hostile.shorter);
  row("hostile_straddling", t.hostile.straddling);
  row("hostile_expired", t.hostile.expired);
  row("hostile_old_clocks", t.hostile.old_clocks);
  row("hostile_acks_kept", t.hostile.acks_kept);
  row("hostile_single_octets", t.hostile.single_octets);
  if (t.lossy * 5 < t.seeds || t.wrapped * 20 < t.seeds) good = false;
  return good;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  if (!arguments.read(argc, argv, [](auto, auto) { return false; })) {
    fmt::print(stderr, "usage: sim_splice [--seed N | --seeds A..B] [--trace]\n");
    return 2;
  }
  const auto& [first, last, trace] = arguments;
  Totals totals;
  const auto start = std::chrono::steady_clock::now();
  for (uint64_t n = first; n <= last; ++n) {
    Scenario s = derive(n);
    draw_small_mss(n, s);
    draw_shrinking(n, s);
    Random r(n ^ 0x656469);
    EditPlan up = EditPlan::draw(r, 6000, static_cast<uint32_t>(s.client_app.total));
    EditPlan down = EditPlan::draw(r, 6000, static_cast<uint32_t>(s.server_app.total));
    s.server_app.expected =
        std::make_shared<Bytes>(up.apply(s.client_app.sends, s.client_app.total));
    s.client_app.expected =
        std::make_shared<Bytes>(down.apply(s.server_app.sends, s.server_app.total));
    s.server_app.awaits = s.server_app.expected->size();
    s.client_app.awaits = s.client_app.expected->size();
    // What was promised before the other end was known may be more than its window: limpet probes.
    s.client.check.data_probes = s.server.check.data_probes = true;
    // It holds octets, and sends some again with the newest timestamp: what a link delays comes
    // later.
    for (EndpointOptions* e : {&s.client, &s.server}) {
      e->check.in_order = false;
      e->check.windows_close = true;
      e->check.timestamps_may_go_back += 60000;
      // A client is promised more than a backend with a window of 66 octets takes; what is cut off
      // is sent again by time-outs alone, and these are to end.
      e->rto_max = 1s;
      e->retries = 200;
    }
    Hostile hostile = draw_hostile(n);
    if (hostile == Hostile::odd_option) hostile = Hostile::again;  // the splice sees no options
    prepare(s, hostile);
    s.client.tail_probes = s.seed % 2 == 0;
    s.server.tail_probes = s.seed % 4 < 2;
    SpliceBox box(s, up, down);
    const HostileBox::Target target{
        [&up](uint32_t at) {
          return std::any_of(up.heads.begin(), up.heads.end(),
                             [at](const EditPlan::Head& h) { return h.begin <= at && at < h.end; });
        },
        [&box](uint32_t, uint32_t acknowledged) { return std::max(box.judged(), acknowledged); }};
    HostileBox outer(box, hostile, n, target);
    Trace printer(stdout);
    if (trace) {
      fmt::print("{}  client: {}\n", s.describe(), name(hostile));
      for (const auto& [which, plan] : {std::pair("up", &up), std::pair("down", &down)})
        for (const auto& h : plan->heads) {
          fmt::print("  {} head {}..{}:", which, h.begin, h.end);
          for (const auto& e : h.edits) fmt::print(" {}-{}+{}", e.at, e.removed, e.text.size());
          fmt::print("\n");
        }
    }
    std::fflush(stdout);
    Outcome outcome = run(s, outer, trace ? &printer : nullptr);
    const tcp::SpliceCounters c = box.counters();
    if (const std::string leaks = box.leaks(); !leaks.empty()) outcome.failures.push_back(leaks);
    ++totals.seeds;
    totals.lossy += s.lossy ? 1 : 0;
    totals.wrapped += outcome.counts.seq_wraps > 0 ? 1 : 0;
    totals.counts += outcome.counts;
    totals.hostile += outer.counts();
    totals.in_place += box.in_place;
    totals.edits += box.edits_made;
    totals.syns_again += box.syns_again;
    totals.told_too_big += box.told_too_big;
    totals.early += box.early;
    totals.splice.splits += c.splits;
    totals.splice.sack_translated += c.sack_translated;
    totals.splice.sack_dropped += c.sack_dropped;
    totals.splice.clamped_acks += c.clamped_acks;
    totals.splice.owned_bytes += c.owned_bytes;
    totals.splice.resent_bytes += c.resent_bytes;
    totals.splice.swallowed += c.swallowed;
    totals.splice.beyond_frontier += c.beyond_frontier;
    if (!outcome.failures.empty()) {
      fmt::print("FAILED {}  client: {}\n", s.describe(), name(hostile));
      for (const std::string& text : outcome.failures) fmt::print("  {}\n", text);
      fmt::print("  replay: {} --seed {} --trace\n", argv[0], n);
      if (++totals.failed >= 10) break;
    }
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  const bool complete = totals.seeds < kEnough || totals.failed > 0 || table(totals);
  fmt::print("{} seeds, {} failed; {} lossy, {} wrapped; {:.1f} s, {:.0f} seeds/s\n", totals.seeds,
             totals.failed, totals.lossy, totals.wrapped, took.count(),
             static_cast<double>(totals.seeds) / took.count());
  return totals.failed > 0 || !complete ? 1 : 0;
}
