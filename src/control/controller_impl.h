// The parts of the control thread put together. controller.cpp runs the loop and is the console's
// host, reload.cpp changes the configuration, keys.cpp the cookie keys, states.cpp is told of
// backends.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "check_load.h"
#include "limpet/base/loop.h"
#include "limpet/console/console.h"
#include "limpet/console/request_log.h"
#include "limpet/console/session_log.h"
#include "limpet/control/conflicts.h"
#include "limpet/control/controller.h"
#include "limpet/control/key_file.h"
#include "limpet/control/links.h"
#include "limpet/health/checks.h"
#include "limpet/health/prober.h"
#include "limpet/publish/baselines.h"
#include "limpet/publish/publisher.h"

namespace limpet::control {

// The clock of the control thread; monotonic, unrelated to the workers'.
Instant control_now();

class Controller::Impl final : public console::Host {
 public:
  explicit Impl(Setup s);
  ~Impl() override;

  Status open();           // everything that can fail: descriptors, socket
  Status publish_first();  // reload.cpp
  int run();
  void stop(int status);

  // console::Host
  console::View view() const override;
  console::ProcessFacts facts() const override { return facts_; }
  void ask(unsigned worker, dataplane::Query* query) override;
  void set_admin(uint16_t slot, balance::Admin admin) override;             // states.cpp
  void reload(console::ClientId asker) override { read_again(asker); }      // reload.cpp
  Result<Keys> keys(console::Request::KeyAction action, char id) override;  // keys.cpp

 private:
  // controller.cpp
  void on_signal();
  void wake();
  Duration turn();
  void tell_conflicts(Instant now);
  void watch_links(Instant now);
  std::optional<Duration> log_sessions();
  std::optional<Duration> log_requests();
  static console::WallClock wall_clock();

  // reload.cpp
  // A reload that would give up rules by which requests under way are to be answered.
  struct Waiting {
    config::Document document;
    std::vector<console::ClientId> askers;
    Instant by;  // then it does
  };
  void read_again(std::optional<console::ClientId> asker);
  void turn_waiting(Instant now);
  console::Reloaded use(const config::Document& document);
  console::Reloaded refused(std::string why, std::vector<std::string> problems);
  void tell(const std::vector<console::ClientId>& askers, const console::Reloaded& result);
  std::string name_services(const std::vector<uint16_t>& slots) const;
  Status apply(const config::Document& document);

  // keys.cpp
  Result<affinity::CookieKeys> keys_for(const config::Document& document);
  void log_keys(const affinity::CookieKeys& before, const std::string& path) const;
  Keys told_keys(std::string text) const;

  // states.cpp
  void on_health(uint16_t slot, const health::HealthState::Transition& transition);
  void on_options(uint16_t slot, const tcp::Agreed& options);
  void renew_syn_ack_options(Instant now);
  void log_state(uint16_t slot, balance::BackendStatus before, const std::string& reason);

  Setup setup_;
  const CheckLimit check_limit_ = raise_check_limit();
  Instant started_;
  Instant checked_;  // when health checks last had their turn
  std::unique_ptr<Loop> loop_;
  std::unique_ptr<publish::Publisher> publisher_;
  std::unique_ptr<health::Prober> prober_;
  std::unique_ptr<health::HealthChecks> checks_;
  std::unique_ptr<console::SessionLog> session_log_;
  std::unique_ptr<console::RequestLog> request_log_;
  bool sessions_logged_ = false;    // some service wants it
  std::optional<Waiting> waiting_;  // the newest file, as long as it waits
  std::optional<Instant>
      syn_ack_options_due_;  // clients are to be promised something else from then on
  publish::Baselines baselines_;
  console::ProcessFacts facts_;
  Conflicts conflicts_;
  Links links_;
  std::unique_ptr<console::Console> console_;
  int signal_fd_ = -1;
  int wake_fd_ = -1;
  bool stopping_ = false;                // control thread
  std::atomic<bool> stop_asked_{false};  // any thread
  std::atomic<int> status_{0};           // any thread
};

}  // namespace limpet::control
