#include "summary.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <vector>

#include "limpet/base/drop.h"

namespace limpet::apps {
namespace {

using dataplane::Counter;
using dataplane::WorkerCounters;

std::string clock_time(Duration d) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(d).count();
  const auto days = seconds / 86400;
  return fmt::format("{}{}:{:02}:{:02}", days == 0 ? "" : fmt::format("{} d ", days),
                     seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
}

struct Reason {
  Drop reason = Drop::none;
  uint64_t packets = 0;
};

// Most frequent first.
std::vector<Reason> drops_of(const Run& run) {
  std::array<uint64_t, kDropCount> sums{};
  for (const dataplane::WorkerStats* w : run.workers)
    for (const auto& port : w->drops)
      for (size_t i = 0; i < kDropCount; ++i) sums[i] += port[i].packets.get();
  std::vector<Reason> reasons;
  for (size_t i = 0; i < kDropCount; ++i)
    if (sums[i] != 0) reasons.push_back({static_cast<Drop>(i), sums[i]});
  std::sort(reasons.begin(), reasons.end(), [](const Reason& a, const Reason& b) {
    return a.packets != b.packets ? a.packets > b.packets : a.reason < b.reason;
  });
  return reasons;
}

}  // namespace

std::string summarize(const Run& run) {
  const auto sum = [&](Counter WorkerCounters::*counter) {
    uint64_t n = 0;
    for (const dataplane::WorkerStats* w : run.workers) n += (w->worker.*counter).get();
    return n;
  };
  uint64_t connections = 0;
  uint64_t active = 0;
  for (const dataplane::WorkerStats* w : run.workers)
    for (const dataplane::ServiceCounters& s : w->services) {
      connections += s.connections_total.get();
      active += s.connections_active.get();
    }
  const std::vector<Reason> reasons = drops_of(run);
  uint64_t dropped = sum(&WorkerCounters::ring_out_dropped);
  for (const Reason& r : reasons) dropped += r.packets;

  std::string text = fmt::format(
      "limpet ran {} with {} worker{}\n"
      "  connections  {} balanced, {} open at the end\n"
      "  packets      {} received, {} forwarded, {} answered or consumed, {} left to the kernel, "
      "{} dropped\n"
      "               {} made by limpet, {} not sent\n",
      clock_time(run.uptime), run.workers.size(), run.workers.size() == 1 ? "" : "s", connections,
      active, sum(&WorkerCounters::rx), sum(&WorkerCounters::forwarded),
      sum(&WorkerCounters::consumed), sum(&WorkerCounters::punted), dropped,
      sum(&WorkerCounters::originated), sum(&WorkerCounters::tx_failed));
  for (const Reason& r : reasons)
    text += fmt::format("  dropped      {:>10}  {}: {}\n", r.packets, drop_name(r.reason),
                        drop_text(r.reason));
  if (const uint64_t lost = sum(&WorkerCounters::ring_out_dropped); lost != 0)
    text += fmt::format("  dropped      {:>10}  the ring towards another worker was full\n", lost);
  if (run.leaked_mbufs != 0)
    text += fmt::format("  LEAKED       {:>10}  packet buffers: please report this\n",
                        run.leaked_mbufs);
  return text;
}

}  // namespace limpet::apps
