// The configuration, first and again: all or nothing.
#include <fmt/core.h>

#include <algorithm>
#include <ctime>
#include <utility>

#include "controller_impl.h"
#include "key_steps.h"
#include "limpet/base/log.h"
#include "limpet/config/load.h"

namespace limpet::control {
namespace {

std::string plural(size_t n, const char* what) {
  return fmt::format("{} {}{}", n, what, n == 1 ? "" : "s");
}

std::string extent(const config::Document& d) {
  size_t backends = 0;
  for (const config::Pool& p : d.pools) backends += p.backends.size();
  return fmt::format("{}, {}, {}", plural(d.services.size(), "service"),
                     plural(d.pools.size(), "pool"), plural(backends, "backend"));
}

}  // namespace

Status Controller::Impl::apply(const config::Document& document) {
  const Instant now = control_now();
  const std::vector<balance::BackendStatus> before = publisher_->statuses();
  const affinity::CookieKeys keys_before = publisher_->keys();
  const Result<affinity::CookieKeys> keys = keys_for(document);
  if (!keys) return Error{keys.error()};
  if (Status s = console_->prepare_metrics(document.metrics); !s) return s;
  if (Status s = request_log_->prepare(document.log); !s) {
    console_->abandon_metrics();
    return s;
  }
  publisher_->set_keys(*keys);
  Result<publish::Publisher::Applied> applied = publisher_->apply(document, now);
  if (!applied) {
    publisher_->set_keys(keys_before);
    console_->abandon_metrics();
    request_log_->abandon();
    return Error{applied.error()};
  }
  console_->commit_metrics();
  request_log_->commit();
  facts_.last_reload_time = static_cast<double>(std::time(nullptr));
  facts_.last_reload_good = true;
  log_keys(keys_before, document.cookie_keys_file);
  setup_.document = document;
  const publish::Slots& slots = publisher_->slots();
  std::vector<bool> is_new(slots.backends.size());
  for (const uint16_t slot : applied->new_backends) is_new[slot] = true;
  for (const uint16_t slot : applied->new_backends) {
    const char* reason = "not checked yet";
    if (publisher_->status(slot).health != balance::Health::unknown)
      reason =
          checks_->find(slot) != nullptr ? "configured again; checked all the time" : "not checked";
    baselines_.new_backend(slot, slots.backends[slot], reason, now);
  }
  for (size_t i = 0; i < slots.backends.size(); ++i)
    if (slots.backends[i].configured && !is_new[i])
      log_state(static_cast<uint16_t>(i), before[i], "checks switched off");
  for (const uint16_t slot : applied->new_services)
    baselines_.new_service(slot, slots.services[slot].entry);
  for (const config::Service& service : document.services)
    baselines_.set_entries(slots.find_service(service.name), service.persistence);
  sessions_logged_ = std::any_of(document.services.begin(), document.services.end(),
                                 [](const config::Service& s) { return s.session_log; });
  checks_->configure(document, *publisher_->current(), now);
  if (auto warning = too_many_checks(document, check_limit_))
    applied->warnings.push_back(std::move(*warning));
  for (const std::string& warning : applied->warnings)
    log(LogLevel::warning, "control", "{}", warning);
  return Ok{};
}

Status Controller::Impl::publish_first() {
  if (Status s = apply(setup_.document); !s) return s;
  log(LogLevel::info, "control", "configuration {}: {}", setup_.config_file,
      extent(setup_.document));
  return Ok{};
}

console::Reloaded Controller::Impl::refused(std::string why, std::vector<std::string> problems) {
  facts_.last_reload_good = false;
  log(LogLevel::error, "control", "reload refused, nothing changed: {}", why);
  for (const std::string& p : problems) log(LogLevel::error, "control", "reload: {}", p);
  return {false, "nothing changed: " + why, std::move(problems), {}, 0};
}

// What the file says now, at once or when answers under way have left; a file that is read while
// another one waits takes its place, and its time.
void Controller::Impl::read_again(std::optional<console::ClientId> asker) {
  std::vector<console::ClientId> askers;
  if (asker) askers.push_back(*asker);
  config::Loaded loaded = config::load_file(setup_.config_file);
  if (!loaded.ok()) {
    std::vector<std::string> problems;
    for (const config::Problem& p : loaded.problems) problems.push_back(p.to_string());
    const std::string why = plural(problems.size(), "problem") + " in the configuration";
    return tell(askers, refused(why, std::move(problems)));
  }
  std::vector<std::string> restart = config::restart_needed(setup_.document, loaded.document);
  if (!restart.empty())
    return tell(askers, refused("the changes need a restart", std::move(restart)));
  Instant by = control_now() + setup_.reload_patience;
  if (waiting_) {
    askers.insert(askers.begin(), waiting_->askers.begin(), waiting_->askers.end());
    by = waiting_->by;
  }
  waiting_ = Waiting{std::move(loaded.document), std::move(askers), by};
  const std::vector<uint16_t> crowded = publisher_->crowded(waiting_->document);
  if (!crowded.empty())
    log(LogLevel::notice, "control",
        "reload waits up to {} s for answers of {}, whose requests were read {} changes ago",
        console::seconds(setup_.reload_patience), name_services(crowded), dataplane::kMaxKeptRules);
  turn_waiting(control_now());
}

// No answer is waited for for ever: then requests get the new rules that were read by the oldest.
void Controller::Impl::turn_waiting(Instant now) {
  const std::vector<uint16_t> crowded = publisher_->crowded(waiting_->document);
  if (!crowded.empty() && now < waiting_->by) return;
  if (!crowded.empty())
    log(LogLevel::warning, "control",
        "reload goes on without the answers of {} that it has waited for: they are edited by the "
        "new rules (rules_outlived)",
        name_services(crowded));
  const Waiting due = std::move(*waiting_);
  waiting_.reset();
  tell(due.askers, use(due.document));
}

std::string Controller::Impl::name_services(const std::vector<uint16_t>& slots) const {
  std::string names;
  for (const uint16_t slot : slots)
    names += fmt::format("{}\"{}\"", names.empty() ? "service " : ", ",
                         publisher_->slots().services[slot].entry.name);
  return names;
}

void Controller::Impl::tell(const std::vector<console::ClientId>& askers,
                            const console::Reloaded& result) {
  for (const console::ClientId client : askers) console_->reloaded(client, result);
}

console::Reloaded Controller::Impl::use(const config::Document& document) {
  if (Status s = apply(document); !s) return refused(s.error(), {});
  std::string done = fmt::format("reloaded {}: {}; snapshot {}", setup_.config_file,
                                 extent(setup_.document), publisher_->current()->serial);
  if (!publisher_->keys().list().empty())
    done += fmt::format("; cookie keys: {}", describe(publisher_->keys()));
  log(LogLevel::notice, "control", "{}", done);
  return {true, done, {}, setup_.config_file, publisher_->current()->serial};
}

}  // namespace limpet::control
