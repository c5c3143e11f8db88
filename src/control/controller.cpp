// The event loop: one turn does a bounded piece of everything that is due, then sleeps until a
// descriptor speaks or the next thing is due.
#include "limpet/control/controller.h"

#include <fmt/core.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <ctime>
#include <random>
#include <utility>

#include "controller_impl.h"
#include "limpet/base/log.h"
#include "limpet/base/memory.h"
#include "limpet/base/os_error.h"

namespace limpet::control {
namespace {

// How often a reload that waits looks whether it may go on.
constexpr Duration kWaiting = std::chrono::milliseconds(20);

sigset_t our_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int s : {SIGHUP, SIGINT, SIGTERM}) sigaddset(&set, s);
  return set;
}

uint64_t random_seed() {
  std::random_device device;
  return uint64_t{device()} << 32 | device();
}

publish::AllStats stats_of(const std::vector<console::WorkerInfo>& workers) {
  publish::AllStats stats;
  for (const console::WorkerInfo& w : workers) stats.push_back(w.stats);
  return stats;
}

}  // namespace

Instant control_now() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return {static_cast<uint64_t>(std::chrono::duration_cast<Duration>(now).count())};
}

void block_signals() {
  const sigset_t set = our_signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

Controller::Impl::Impl(Setup s)
    : setup_(std::move(s)),
      started_(control_now()),
      checked_(started_),
      baselines_(stats_of(setup_.workers)),
      conflicts_(stats_of(setup_.workers), setup_.ports.size()),
      links_(setup_.link_up, setup_.ports.size()) {
  facts_.start_time = static_cast<double>(std::time(nullptr));
}

// Parts go in the reverse order of their making; the loop goes last.
Controller::Impl::~Impl() {
  console_.reset();
  if (publisher_ != nullptr && session_log_ != nullptr)
    while (session_log_->turn(publisher_->slots())) {  // the workers have ended: so does this
    }
  if (publisher_ != nullptr && request_log_ != nullptr)
    while (request_log_->turn(publisher_->slots(), wall_clock())) {
    }
  for (const int fd : {signal_fd_, wake_fd_})
    if (fd >= 0) {
      loop_->forget(fd);
      close(fd);
    }
}

Status Controller::Impl::open() {
  auto loop = Loop::create(control_now);
  if (!loop) return Error{loop.error()};
  loop_ = std::move(*loop);

  publish::Publisher::Setup publishing;
  publishing.shared = setup_.shared;
  publishing.ports = setup_.ports;
  publishing.stats = stats_of(setup_.workers);
  publishing.toeplitz = setup_.toeplitz;
  publishing.random = random_seed();
  if (Status s = fill_random(publishing.stick_secret); !s) return s;
  publishing.memory = &memory_now;
  publisher_ = std::make_unique<publish::Publisher>(std::move(publishing));

  session_log_ = std::make_unique<console::SessionLog>(
      *setup_.shared, [](const std::string& line) { log(LogLevel::info, "session", "{}", line); });

  request_log_ = std::make_unique<console::RequestLog>(*setup_.shared);
  facts_.log = &request_log_->totals();

  auto prober = health::Prober::create();
  if (!prober) return Error{prober.error()};
  prober_ = std::move(*prober);
  checks_ = std::make_unique<health::HealthChecks>(
      *prober_, check_limit_.checks,
      [this](uint16_t slot, const health::HealthState::Transition& t) { on_health(slot, t); },
      [this](uint16_t slot, const tcp::Agreed& o) { on_options(slot, o); });
  loop_->watch(prober_->fd(), EPOLLIN, [](uint32_t) {});  // every turn runs it

  wake_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  block_signals();
  const sigset_t set = our_signals();
  signal_fd_ = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (wake_fd_ < 0 || signal_fd_ < 0)
    return Error{fmt::format("no descriptor for signals: {}", errno_text(errno))};
  loop_->watch(signal_fd_, EPOLLIN, [this](uint32_t) { on_signal(); });
  loop_->watch(wake_fd_, EPOLLIN, [this](uint32_t) {
    uint64_t count = 0;
    [[maybe_unused]] const ssize_t n = read(wake_fd_, &count, sizeof count);
  });

  console::Console::Setup telling;
  telling.loop = loop_.get();
  telling.host = this;
  telling.socket = setup_.runtime_dir + "/limpet.sock";
  telling.workers = setup_.shared->workers();
  telling.started = started_;
  telling.wake = [this] { wake(); };
  auto console = console::Console::create(std::move(telling));
  if (!console) return Error{console.error()};
  console_ = std::move(*console);
  return Ok{};
}

console::View Controller::Impl::view() const {
  return {setup_.document,
          *publisher_->current(),
          publisher_->slots(),
          baselines_,
          [this](uint16_t slot) { return publisher_->status(slot); },
          [this](uint16_t slot) { return checks_->find(slot); },
          setup_.workers,
          setup_.mbuf_pool_size,
          setup_.mbufs_in_use ? setup_.mbufs_in_use() : 0,
          control_now(),
          setup_.nic,
          static_cast<uint64_t>(std::time(nullptr))};
}

void Controller::Impl::ask(unsigned worker, dataplane::Query* query) {
  publisher_->ask(worker, query);
}

void Controller::Impl::wake() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = write(wake_fd_, &one, sizeof one);
}

void Controller::Impl::stop(int status) {
  status_.store(status, std::memory_order_relaxed);
  stop_asked_.store(true, std::memory_order_release);
  wake();
}

void Controller::Impl::on_signal() {
  signalfd_siginfo info{};
  while (read(signal_fd_, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    if (info.ssi_signo == SIGHUP) {
      read_again(std::nullopt);
      continue;
    }
    log(LogLevel::notice, "control", "stopping: {}", strsignal(static_cast<int>(info.ssi_signo)));
    stopping_ = true;
  }
}

void Controller::Impl::tell_conflicts(Instant now) {
  for (const Conflicts::News& n : conflicts_.turn(now))
    log(LogLevel::warning, "control",
        "port {}: {} claims an address of ours ({} such ARP or ND messages); clients may reach "
        "that "
        "machine instead of us",
        setup_.ports[n.port].name, n.claimant.to_string(), n.packets);
}

void Controller::Impl::watch_links(Instant now) {
  for (const Links::News& n : links_.turn(now)) {
    const std::string& name = setup_.ports[n.port].name;
    if (!n.up) {
      log(LogLevel::warning, "control", "port {}: the link is down", name);
      continue;
    }
    log(LogLevel::notice, "control", "port {}: the link is up; announcing our addresses", name);
    publisher_->announce(static_cast<uint16_t>(n.port));
  }
}

// Also without a service that wants lines: what connections have left before a reload goes out.
std::optional<Duration> Controller::Impl::log_sessions() {
  if (session_log_->turn(publisher_->slots())) return Duration(0);
  return sessions_logged_ ? std::optional(console::SessionLog::kLook) : std::nullopt;
}

console::WallClock Controller::Impl::wall_clock() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return {control_now(), static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9};
}

std::optional<Duration> Controller::Impl::log_requests() {
  if (request_log_->turn(publisher_->slots(), wall_clock())) return Duration(0);
  return request_log_->on() ? std::optional(console::RequestLog::kLook) : std::nullopt;
}

Duration Controller::Impl::turn() {
  const Instant now = control_now();
  Duration wait = std::min({Conflicts::kLook, Links::kLook, publisher_->turn(now)});
  const auto sooner = [&wait](std::optional<Duration> d) {
    if (d) wait = std::min(wait, *d);
  };
  if (waiting_) turn_waiting(now);
  if (waiting_)
    sooner(std::min<Duration>(kWaiting, std::max(waiting_->by - now, Duration::zero())));
  if (const auto* current = publisher_->current(); current != nullptr)
    checks_->forget_reclaimed(*current);
  const Instant checked = control_now();
  checks_->turn(checked, checked - checked_ - loop_->slept());
  checked_ = checked;
  if (syn_ack_options_due_) renew_syn_ack_options(now);
  if (syn_ack_options_due_) sooner(std::max(*syn_ack_options_due_ - now, Duration::zero()));
  tell_conflicts(now);
  watch_links(now);
  sooner(log_sessions());
  sooner(log_requests());
  console_->turn(now);
  sooner(checks_->wait(now));
  sooner(console_->wait());
  if (publisher_->pending() != 0) sooner(std::chrono::milliseconds(1));
  return wait;
}

int Controller::Impl::run() {
  for (;;) {
    if (stop_asked_.load(std::memory_order_acquire)) stopping_ = true;
    if (stopping_) return status_.load(std::memory_order_relaxed);
    loop_->wait(turn());
  }
}

Controller::Controller(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Controller::~Controller() = default;

Result<std::unique_ptr<Controller>> Controller::create(Setup setup) {
  auto impl = std::make_unique<Impl>(std::move(setup));
  if (Status s = impl->open(); !s) return Error{s.error()};
  return std::unique_ptr<Controller>(new Controller(std::move(impl)));
}

Status Controller::publish_first() {
  return impl_->publish_first();
}

int Controller::run() {
  return impl_->run();
}

void Controller::stop(int status) {
  impl_->stop(status);
}

}  // namespace limpet::control
