// Sums over the workers, compared with what was said.
#include "limpet/control/conflicts.h"

#include "limpet/base/drop.h"

namespace limpet::control {
namespace {

constexpr auto kReason = static_cast<size_t>(Drop::address_conflict);

MacAddress mac_of(uint64_t number) {
  MacAddress mac{};
  for (size_t i = mac.bytes.size(); i-- > 0; number >>= 8)
    mac.bytes[i] = static_cast<uint8_t>(number);
  return mac;
}

}  // namespace

std::vector<Conflicts::News> Conflicts::turn(Instant now) {
  std::vector<News> news;
  for (size_t i = 0; i < ports_.size(); ++i) {
    Port& port = ports_[i];
    if (now < port.quiet_until) continue;
    uint64_t packets = 0, most = 0, claimant = 0;
    for (const dataplane::WorkerStats* stats : stats_) {
      if (i >= stats->drops.size()) continue;
      const uint64_t seen = stats->drops[i][kReason].packets.get();
      packets += seen;
      if (seen > most) claimant = stats->worker.conflict_mac.get();
      most = std::max(most, seen);
    }
    if (packets == port.told) continue;
    news.push_back({i, packets - port.told, mac_of(claimant)});
    port.told = packets;
    port.quiet_until = now + kQuiet;
  }
  return news;
}

}  // namespace limpet::control
