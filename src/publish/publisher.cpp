// Snapshots, states and queries on their way to the workers.
#include "limpet/publish/publisher.h"

#include <rte_ring_elem.h>

#include <algorithm>
#include <new>
#include <set>
#include <utility>

#include "limpet/base/log.h"

namespace limpet::publish {
namespace {

constexpr Duration kSoon = std::chrono::milliseconds(2);       // a ring is full, a token is open
constexpr Duration kReclaim = std::chrono::milliseconds(250);  // between looks for unused slots
constexpr Duration kIdle = std::chrono::seconds(60);

SlotLimits limits_of(const Publisher::Setup& setup) {
  SlotLimits limits;
  limits.backends = std::min(limits.backends, setup.shared->endpoints.size());
  for (const dataplane::WorkerStats* stats : setup.stats) {
    limits.backends = std::min(limits.backends, stats->backends.size());
    limits.services = std::min(limits.services, stats->services.size());
  }
  return limits;
}

}  // namespace

Publisher::Publisher(Setup setup)
    : setup_(std::move(setup)),
      shared_(*setup_.shared),
      slots_(limits_of(setup_)),
      status_(slots_.limits().backends),
      pending_(shared_.workers()),
      offers_(slots_.limits().backends),
      resident_(setup_.memory ? setup_.memory().resident : 0) {}

// Sets of source ports touch their memory as ports come back, so what those that exist will still
// touch is promised already. What else the process has touched meanwhile counts as theirs.
std::optional<uint64_t> Publisher::memory_left() const {
  if (!setup_.memory) return std::nullopt;
  const Memory memory = setup_.memory();
  if (memory.available == 0) return std::nullopt;
  std::set<const PortSet*> sets;
  for (const BackendSlot& b : slots_.backends)
    for (const BackendSource& s : b.sources) sets.insert(s.ports.get());
  uint64_t promised = 0;
  for (const PortSet* set : sets)
    promised += flow::SourcePorts::bytes(set->last - set->first + 1u, shared_.workers());
  const uint64_t touched = memory.resident - std::min(memory.resident, resident_);
  const uint64_t to_come = promised - std::min(promised, touched);
  return memory.available - std::min(memory.available, to_come);
}

Result<Built> Publisher::build_next(const config::Document& document) const {
  BuildInput input;
  input.document = &document;
  input.ports = setup_.ports;
  input.workers = shared_.workers();
  input.toeplitz = setup_.toeplitz;
  input.serial = serial_ + 1;
  input.random = setup_.random + (serial_ << 32);
  input.keys = keys_;
  input.stick_secret = setup_.stick_secret;
  input.offers = offers_;
  input.previous = current_.snapshot.get();
  input.memory = memory_left();
  try {
    return build(slots_, input);
  } catch (const std::bad_alloc&) {
    return Error{"out of memory while building the tables of the configuration"};
  }
}

Result<Publisher::Applied> Publisher::apply(const config::Document& document, Instant now) {
  Result<Built> built = build_next(document);
  if (!built) return Error{built.error()};
  Applied applied{built->new_backends, built->new_services, built->warnings};
  document_ = document;
  publish(std::move(*built), now);
  return applied;
}

Status Publisher::refresh(Instant now) {
  Result<Built> built = build_next(document_);
  if (!built) return Error{built.error()};
  publish(std::move(*built), now);
  return Ok{};
}

bool Publisher::set_offer(uint16_t slot, const tcp::Agreed& options) {
  offers_[slot] = options;
  for (const dataplane::ServiceEntry& s : current()->services) {
    if (!s.configured || s.splice == nullptr) continue;
    const std::vector<uint16_t>& members = current()->pools[s.pool].members;
    if (std::find(members.begin(), members.end(), slot) == members.end()) continue;
    const tcp::SynAckOptions& now = s.splice->syn_ack;
    if (syn_ack_options_for(members, offers_, s.splice->most_mss, now.window) != now) return true;
  }
  return false;
}

void Publisher::publish(Built&& built, Instant now) {
  std::vector<bool> returns(built.slots.backends.size());
  for (const uint16_t slot : built.new_backends)
    returns[slot] = slot < slots_.backends.size() && slots_.backends[slot].used;
  slots_ = std::move(built.slots);
  for (const uint16_t slot : built.new_backends) {
    // A backend that returns to the configuration finds its slot, and workers may read it right
    // now.
    const flow::Endpoint& endpoint = slots_.backends[slot].endpoint;
    flow::Endpoint& shared = shared_.endpoints[slot];
    if (shared.address != endpoint.address || shared.port != endpoint.port) shared = endpoint;
    // What its checks know of it holds, what an operator said of it when it was removed does not.
    if (returns[slot]) {
      status_[slot].admin = balance::Admin::up;
      continue;
    }
    status_[slot] = {};
    offers_[slot].reset();
  }
  // States first: no worker may choose a backend by what it knew of the slot's former owner.
  std::vector<bool> send(slots_.backends.size());
  for (const uint16_t slot : built.new_backends) send[slot] = true;
  for (size_t p = 0; p < document_.pools.size(); ++p) {
    if (document_.pools[p].health.type != config::HealthType::none) continue;
    for (const uint16_t slot : built.owned.snapshot->pools[p].members) {
      if (status_[slot].health == balance::Health::up) continue;
      status_[slot].health = balance::Health::up;
      send[slot] = true;
    }
  }
  for (size_t slot = 0; slot < send.size(); ++slot)
    if (send[slot]) send_state(static_cast<uint16_t>(slot));

  serial_ = built.owned.snapshot->serial;
  shared_.snapshot.store(built.owned.snapshot.get(), std::memory_order_release);
  // Only now: a worker that reports quiescent from here on has the new pointer.
  const uint64_t token = rte_rcu_qsbr_start(shared_.rcu);
  if (current_.snapshot != nullptr) old_.push_back({std::move(current_), token});
  current_ = std::move(built.owned);
  free_old(now);
}

void Publisher::set_status(uint16_t slot, balance::BackendStatus status) {
  if (status_[slot] == status) return;
  status_[slot] = status;
  send_state(slot);
}

void Publisher::send_state(uint16_t slot) {
  dataplane::ToWorker message;
  message.type = dataplane::ToWorker::Type::backend;
  message.slot = slot;
  message.generation = slots_.backends[slot].generation;
  message.status = status_[slot];
  for (unsigned w = 0; w < pending_.size(); ++w)
    if (!pending_[w].states.empty() || !enqueue(w, message)) pending_[w].states[slot] = message;
}

void Publisher::announce(uint16_t port) {
  pending_[0].announcements.insert(port);
  send_pending();
}

void Publisher::ask(unsigned worker, dataplane::Query* query) {
  pending_[worker].queries.push_back(query);
  send_pending();
}

bool Publisher::enqueue(unsigned worker, dataplane::ToWorker message) {
  return rte_ring_sp_enqueue_elem(shared_.rings[worker].control, &message, sizeof message) == 0;
}

void Publisher::send_pending() {
  for (unsigned w = 0; w < pending_.size(); ++w) {
    Pending& p = pending_[w];
    while (!p.states.empty() && enqueue(w, p.states.begin()->second))
      p.states.erase(p.states.begin());
    while (p.states.empty() && !p.announcements.empty()) {
      dataplane::ToWorker message;
      message.type = dataplane::ToWorker::Type::announce;
      message.slot = *p.announcements.begin();
      if (!enqueue(w, message)) break;
      p.announcements.erase(p.announcements.begin());
    }
    while (p.states.empty() && !p.queries.empty()) {
      dataplane::ToWorker message;
      message.type = dataplane::ToWorker::Type::query;
      message.query = p.queries.front();
      if (!enqueue(w, message)) break;
      p.queries.pop_front();
    }
  }
}

size_t Publisher::pending() const {
  size_t n = 0;
  for (const Pending& p : pending_)
    n += p.states.size() + p.announcements.size() + p.queries.size();
  return n;
}

void Publisher::free_old(Instant now) {
  while (!old_.empty() && rte_rcu_qsbr_check(shared_.rcu, old_.front().token, false) == 1)
    old_.erase(old_.begin());
  const uint64_t settled = old_.empty() ? serial_ : old_.front().owned.snapshot->serial;
  if (settled == settled_) return;
  settled_ = settled;
  settled_at_ = now;
}

void Publisher::free_rules() {
  const Slots::Freed freed = slots_.reclaim_rules(
      settled_, [this](uint16_t slot, size_t place) { return rules_in_use(slot, place); });
  const bool keys = keys_ != slots_.keys && freed != Slots::Freed::nothing;
  lighter_ = lighter_ || keys || freed == Slots::Freed::table;
}

bool Publisher::reclaim(Instant now) {
  if (now - settled_at_ < kGrace) return true;
  bool freed = slots_.reclaim(
      settled_, [this](uint16_t slot) { return backend_flows(slot); },
      [this](uint16_t slot) { return service_flows(slot); });
  freed = std::exchange(lighter_, false) || freed;
  if (!freed) return true;
  // Workers should stop answering for what is gone, and its memory come back.
  Result<Built> built = build_next(document_);
  if (built)
    publish(std::move(*built), now);
  else
    log(LogLevel::warning, "control", "removed backends keep their memory: {}", built.error());
  return slots_.anything_removed();
}

Duration Publisher::turn(Instant now) {
  send_pending();
  free_old(now);
  free_rules();
  Duration next = slots_.any_kept() ? kReclaim : kIdle;
  if (now >= reclaim_at_ && current_.snapshot != nullptr) {
    const bool wanted = (slots_.anything_removed() || lighter_) && reclaim(now);
    reclaim_at_ = now + kReclaim;
    if (wanted) next = kReclaim;
  } else if (now < reclaim_at_) {
    next = reclaim_at_ - now;
  }
  return pending() != 0 || !old_.empty() ? kSoon : next;
}

uint64_t Publisher::backend_flows(uint16_t slot) const {
  uint64_t n = 0;
  for (const dataplane::WorkerStats* stats : setup_.stats)
    n += stats->backends[slot].connections_active.get();
  return n;
}

uint64_t Publisher::rules_in_use(uint16_t service, size_t place) const {
  uint64_t n = 0;
  for (const dataplane::WorkerStats* stats : setup_.stats)
    n += stats->services[service].rules_in_use[place].get();
  return n;
}

uint64_t Publisher::service_flows(uint16_t slot) const {
  uint64_t n = 0;
  for (const dataplane::WorkerStats* stats : setup_.stats)
    n += stats->services[slot].connections_active.get();
  return n;
}

}  // namespace limpet::publish
