// Checks in their course: due -> probe -> result -> state.
#include "limpet/health/checks.h"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

namespace limpet::health {
namespace {

constexpr unsigned kStartsPerTurn = 64;
constexpr Duration kRounding = std::chrono::milliseconds(3);  // of libcurl's timers and the loop's
constexpr Duration kShortest = std::chrono::milliseconds(5);  // an options probe in less is noise

// A backend has at most one probe under way: the check, or after it the one for TCP options.
uint64_t check_id(uint16_t slot) {
  return uint64_t{slot} * 2;
}
uint64_t options_id(uint16_t slot) {
  return uint64_t{slot} * 2 + 1;
}

Probe probe_of(const config::Health& health, const config::Backend& backend) {
  Probe p;
  p.type = health.type;
  p.address = backend.address;
  p.port = health.port != 0 ? health.port : backend.port;
  p.uri = health.uri;
  p.host = health.host;
  p.expect = health.expect;
  p.verify = health.verify;
  p.proxy = health.proxy;
  p.timeout = health.timeout;
  return p;
}

// The slot is still that backend's.
bool owns(const dataplane::Snapshot& snapshot, uint16_t slot, const HealthChecks::Item& item) {
  return slot < snapshot.backends.size() && snapshot.backends[slot].used &&
         snapshot.backends[slot].generation == item.generation;
}

}  // namespace

Duration time_left(Duration timeout, Duration late) {
  return timeout - std::min(timeout / 10, std::max(late, Duration::zero()) + kRounding);
}

void HealthChecks::configure(const config::Document& document, const dataplane::Snapshot& snapshot,
                             Instant now) {
  std::set<uint16_t> wanted;
  for (size_t p = 0; p < document.pools.size(); ++p) {
    const config::Pool& pool = document.pools[p];
    if (pool.health.type == config::HealthType::none) continue;
    for (size_t b = 0; b < pool.backends.size(); ++b) {
      const config::Backend& backend = pool.backends[b];
      const uint16_t slot = snapshot.pools[p].members[b];
      wanted.insert(slot);
      const uint16_t generation = snapshot.backends[slot].generation;
      const auto known = items_.find(slot);
      if (known != items_.end() && known->second.generation != generation) remove(slot);
      const auto [at, added] = items_.try_emplace(slot);
      Item& item = at->second;
      if (added) item.state = HealthState(pool.health.rise, pool.health.fall);
      item.state.set_limits(pool.health.rise, pool.health.fall);
      item.generation = generation;
      item.probe = probe_of(pool.health, backend);
      schedule_.set(slot, pool.name + "/" + backend.name, pool.health.interval, now);
    }
  }
  // What was removed is checked as before while it has connections: they, too, want to know when it
  // dies.
  keep([&](uint16_t slot, const Item& item) {
    return wanted.contains(slot) ||
           (owns(snapshot, slot, item) && !snapshot.backends[slot].configured);
  });
}

void HealthChecks::forget_reclaimed(const dataplane::Snapshot& snapshot) {
  if (std::exchange(seen_, snapshot.serial) == snapshot.serial) return;
  keep([&](uint16_t slot, const Item& item) { return owns(snapshot, slot, item); });
}

template <class Wanted>
void HealthChecks::keep(Wanted wanted) {
  std::vector<uint16_t> unwanted;
  for (const auto& [slot, item] : items_)
    if (!wanted(slot, item)) unwanted.push_back(slot);
  for (const uint16_t slot : unwanted) remove(slot);
}

void HealthChecks::remove(uint16_t slot) {
  prober_.cancel(check_id(slot));
  prober_.cancel(options_id(slot));
  schedule_.remove(slot);
  items_.erase(slot);
}

void HealthChecks::turn(Instant now, Duration busy) {
  prober_.run(busy);
  for (const ProbeResult& result : prober_.harvest()) take(result, now);
  for (unsigned i = 0; i < kStartsPerTurn; ++i) {
    const std::optional<uint32_t> due = schedule_.start(now);
    if (!due) break;
    const auto slot = static_cast<uint16_t>(*due);
    Probe probe = items_.at(slot).probe;
    probe.patience = time_left(probe.timeout, now - schedule_.due(slot));
    prober_.start(check_id(slot), probe);
  }
}

void HealthChecks::take(const ProbeResult& result, Instant now) {
  const auto slot = static_cast<uint16_t>(result.id / 2);
  const auto at = items_.find(slot);
  if (at == items_.end()) return;
  Item& item = at->second;
  if (result.id == options_id(slot)) {
    if (result.tcp)
      learn(slot, item, *result.tcp);
    else
      item.tcp.reset();
    schedule_.ended(slot, now);
    return;
  }
  if (result.tcp) learn(slot, item, *result.tcp);
  const auto transition = item.state.feed(result.result, now);
  if (!result.result.ok || !ask_options(slot, item, now)) schedule_.ended(slot, now);
  if (transition) on_change_(slot, *transition);
}

void HealthChecks::learn(uint16_t slot, Item& item, const tcp::Agreed& options) {
  const bool news = item.tcp != options;
  item.tcp = options;
  if (news && on_options_) on_options_(slot, options);
}

// HTTP checks do not show the connection's TCP options (a finished transfer has no socket), so a
// bare connection asks now and then, in what is left of the interval.
bool HealthChecks::ask_options(uint16_t slot, Item& item, Instant now) {
  if (item.probe.type == config::HealthType::tcp) return false;
  if (item.tcp_at && now - *item.tcp_at < kOptionsAge) return false;
  Probe probe = item.probe;
  probe.type = config::HealthType::tcp;
  probe.timeout = std::min(probe.timeout, schedule_.following(slot, now) - now - kShortest);
  if (probe.timeout < kShortest) return false;
  item.tcp_at = now;
  prober_.start(options_id(slot), probe);
  return true;
}

std::optional<Duration> HealthChecks::wait(Instant now) const {
  std::optional<Duration> wait = prober_.wait();
  if (const std::optional<Instant> next = schedule_.next()) {
    const Duration left = std::max(Duration::zero(), *next - now);
    wait = wait ? std::min(*wait, left) : left;
  }
  return wait;
}

const HealthChecks::Item* HealthChecks::find(uint16_t slot) const {
  const auto at = items_.find(slot);
  return at == items_.end() ? nullptr : &at->second;
}

}  // namespace limpet::health
