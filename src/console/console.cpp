// Turns of the console: a bounded piece of everything that is due.
#include "limpet/console/console.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "console_impl.h"
#include "metrics.h"

namespace limpet::console {
namespace {

// Metrics are made from a view of their own in each turn.
struct Walk : MetricsServer::Answer {
  Walk(const Host& h, MetricFormat format) : host(h), walk(format) {}
  bool turn() override { return walk.turn(host.view(), host.facts()); }
  const std::string& text() const override { return walk.text(); }
  const Host& host;
  MetricsWalk walk;
};

}  // namespace

Console::Impl::Impl(Setup setup)
    : setup_(std::move(setup)),
      host_(*setup_.host),
      queries_(setup_.workers,
               [this](unsigned worker, dataplane::Query* query) { host_.ask(worker, query); }),
      metrics_(*setup_.loop,
               [this](MetricFormat format) { return std::make_unique<Walk>(host_, format); }) {}

Status Console::Impl::open() {
  auto server =
      Server::create(*setup_.loop, setup_.socket,
                     [this](ClientId client, const std::string& line) { on_line(client, line); });
  if (!server) return Error{server.error()};
  server_ = std::move(*server);
  telemetry_ = std::make_unique<Telemetry>(
      [this](const std::string& command, const std::string& parameters) {
        return answer_telemetry(host_.view(), command, parameters);
      },
      setup_.wake);
  return Ok{};
}

// One slice of one table, so that a turn stays short whatever is asked.
void Console::Impl::list(Instant now) {
  if (listings_.empty()) return;
  auto& [client, listing] = listings_.front();
  const View v = host_.view();
  if (!std::visit([&v](auto& l) { return l.turn(v); }, listing))
    return listings_.splice(listings_.end(), listings_, listings_.begin());
  const std::string text =
      std::visit([&](const auto& l) { return l.text(now - setup_.started); }, listing);
  server_->reply(client, R"({"data":)" + text + R"(,"ok":true})");
  listings_.pop_front();
}

void Console::Impl::turn(Instant now) {
  queries_.turn(now);
  list(now);
  server_->turn(now);
  metrics_.turn(now);
  telemetry_->run();
}

std::optional<Duration> Console::Impl::wait() const {
  std::optional<Duration> wait;
  if (!listings_.empty()) wait = Duration::zero();
  for (const std::optional<Duration> d : {queries_.wait(), server_->wait(), metrics_.wait()})
    if (d) wait = wait ? std::min(*wait, *d) : *d;
  return wait;
}

Console::Console(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Console::~Console() = default;

Result<std::unique_ptr<Console>> Console::create(Setup setup) {
  auto impl = std::make_unique<Impl>(std::move(setup));
  if (Status s = impl->open(); !s) return Error{s.error()};
  return std::unique_ptr<Console>(new Console(std::move(impl)));
}

Status Console::prepare_metrics(const std::vector<config::Listen>& on) {
  return impl_->metrics().prepare(on);
}

void Console::commit_metrics() {
  impl_->metrics().commit();
}

void Console::abandon_metrics() {
  impl_->metrics().abandon();
}

void Console::reloaded(ClientId asker, const Reloaded& result) {
  impl_->reloaded(asker, result);
}

void Console::turn(Instant now) {
  impl_->turn(now);
}

std::optional<Duration> Console::wait() const {
  return impl_->wait();
}

}  // namespace limpet::console
