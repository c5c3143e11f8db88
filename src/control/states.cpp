// Backends change state: workers are told, and the operator by one line.
#include <fmt/core.h>

#include "controller_impl.h"
#include "limpet/base/log.h"

namespace limpet::control {

using balance::BackendStatus;

namespace {

const char* shout(balance::State state) {
  switch (state) {
    case balance::State::up:
      return "UP";
    case balance::State::down:
      return "DOWN";
    case balance::State::drain:
      return "DRAINING";
    case balance::State::unknown:
      return "UNKNOWN";
  }
  return "?";
}

}  // namespace

void Controller::Impl::on_health(uint16_t slot, const health::HealthState::Transition& transition) {
  const BackendStatus before = publisher_->status(slot);
  BackendStatus after = before;
  after.health = transition.to;
  publisher_->set_status(slot, after);
  if (after == before)  // up already, for lack of checks: now there is a better reason
    baselines_.set_reason(slot, transition.reason, baselines_.backend(slot).since);
  log_state(slot, before, transition.reason);
}

void Controller::Impl::set_admin(uint16_t slot, balance::Admin admin) {
  const BackendStatus before = publisher_->status(slot);
  BackendStatus after = before;
  after.admin = admin;
  publisher_->set_status(slot, after);
  log_state(slot, before, fmt::format("operator: {}", balance::name(admin)));
}

void Controller::Impl::log_state(uint16_t slot, BackendStatus before, const std::string& reason) {
  const BackendStatus after = publisher_->status(slot);
  if (after == before) return;
  // Behind the operator's "down" the checks go on, but say nothing new.
  if (after.state() == before.state() && after.admin == before.admin) return;
  baselines_.set_reason(slot, reason, control_now());
  const publish::BackendSlot& b = publisher_->slots().backends[slot];
  size_t left = 0, all = 0;
  for (const dataplane::PoolEntry& pool : publisher_->current()->pools) {
    if (pool.name != b.pool) continue;
    all = pool.members.size();
    for (const uint16_t member : pool.members)
      left += publisher_->status(member).accepts_new() ? 1 : 0;
  }
  if (!b.configured)
    return log(LogLevel::notice, "control", "pool {} backend {}, no longer configured, is {} ({})",
               b.pool, b.name, shout(after.state()), reason);
  const bool worse = !after.accepts_new();
  const LogLevel level = left == 0 ? LogLevel::error : worse ? LogLevel::warning : LogLevel::notice;
  log(level, "control", "pool {} backend {} is {} ({}), {} of {} left", b.pool, b.name,
      shout(after.state()), reason, left, all);
}

// A snapshot for each answer of each backend of a starting limpet would be many: what is learned
// within a second goes together.
void Controller::Impl::on_options(uint16_t slot, const tcp::Agreed& options) {
  if (publisher_->set_offer(slot, options) && !syn_ack_options_due_)
    syn_ack_options_due_ = control_now() + std::chrono::seconds(1);
}

void Controller::Impl::renew_syn_ack_options(Instant now) {
  if (now < *syn_ack_options_due_) return;
  syn_ack_options_due_.reset();
  std::vector<tcp::SynAckOptions> before;
  for (const dataplane::ServiceEntry& s : publisher_->current()->services)
    before.push_back(s.splice == nullptr ? tcp::SynAckOptions{} : s.splice->syn_ack);
  if (const Status s = publisher_->refresh(now); !s)
    return log(LogLevel::error, "control", "what backends accept is not told to clients: {}",
               s.error());
  const auto& services = publisher_->current()->services;
  for (size_t i = 0; i < services.size() && i < before.size(); ++i) {
    if (services[i].splice == nullptr || services[i].splice->syn_ack == before[i]) continue;
    const tcp::SynAckOptions& p = services[i].splice->syn_ack;
    log(LogLevel::info, "control",
        "service {}: clients are offered what all backends accept: MSS {}{}{}", services[i].name,
        p.mss, p.sack ? ", SACK" : ", no SACK", p.timestamps ? ", timestamps" : ", no timestamps");
  }
}

}  // namespace limpet::control
