// A set ordered by due time; phases are kept by adding whole intervals.
#include "limpet/health/schedule.h"

#include <algorithm>

#include "limpet/base/hash.h"

namespace limpet::health {
namespace {

// Not secret: it only spreads names that the operator chose.
constexpr HashKey kPhaseKey = {'l', 'i', 'm', 'p', 'e', 't', ' ', 'p', 'h', 'a', 's', 'e'};

}  // namespace

void Schedule::set(uint32_t id, std::string_view name, Duration interval, Instant now) {
  const auto [at, added] = items_.try_emplace(id);
  Item& item = at->second;
  if (!added && item.interval == interval) return;
  const auto spread = static_cast<uint64_t>(std::min(interval, kFirstWithin).count());
  const uint64_t phase = spread == 0 ? 0 : siphash(kPhaseKey, name) % spread;
  if (!added && !item.running) waiting_.erase({item.due, id});
  item.interval = interval;
  item.due = {now.ns + phase};
  if (!item.running) waiting_.insert({item.due, id});
}

void Schedule::remove(uint32_t id) {
  const auto at = items_.find(id);
  if (at == items_.end()) return;
  if (at->second.running)
    --running_;
  else
    waiting_.erase({at->second.due, id});
  items_.erase(at);
}

std::optional<uint32_t> Schedule::start(Instant now) {
  if (running_ >= parallel_ || waiting_.empty() || waiting_.begin()->first > now)
    return std::nullopt;
  const uint32_t id = waiting_.begin()->second;
  waiting_.erase(waiting_.begin());
  items_.at(id).running = true;
  ++running_;
  return id;
}

Instant Schedule::following(uint32_t id, Instant now) const {
  const Item& item = items_.at(id);
  if (item.due > now) return item.due;  // a new interval was set while it ran
  const auto interval = static_cast<uint64_t>(std::max<int64_t>(item.interval.count(), 1));
  return {item.due.ns + ((now.ns - item.due.ns) / interval + 1) * interval};
}

void Schedule::ended(uint32_t id, Instant now) {
  const auto at = items_.find(id);
  if (at == items_.end() || !at->second.running) return;
  at->second.due = following(id, now);
  at->second.running = false;
  --running_;
  waiting_.insert({at->second.due, id});
}

std::optional<Instant> Schedule::next() const {
  if (running_ >= parallel_ || waiting_.empty()) return std::nullopt;
  return waiting_.begin()->first;
}

}  // namespace limpet::health
