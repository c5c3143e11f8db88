// The parts of the control thread put together. controller.cpp runs the loop, commands.cpp answers
// clients, reload.cpp changes the configuration, keys.cpp the cookie keys, states.cpp is told of
// backends.
#pragma once

#include <atomic>
#include <list>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "check_load.h"
#include "limpet/base/loop.h"
#include "limpet/control/conflicts.h"
#include "limpet/control/controller.h"
#include "limpet/control/key_file.h"
#include "limpet/control/links.h"
#include "limpet/control/request.h"
#include "limpet/control/view.h"
#include "limpet/health/checks.h"
#include "limpet/health/prober.h"
#include "limpet/publish/baselines.h"
#include "limpet/publish/publisher.h"
#include "listing.h"
#include "metrics.h"
#include "metrics_server.h"
#include "queries.h"
#include "server.h"
#include "session_log.h"
#include "sessions.h"
#include "telemetry.h"

namespace limpet::control {

// The clock of the control thread; monotonic, unrelated to the workers'.
Instant control_now();

class Controller::Impl {
 public:
  explicit Impl(Setup s);
  ~Impl();

  Status open();           // everything that can fail: descriptors, socket
  Status publish_first();  // reload.cpp
  int run();
  void stop(int status);

 private:
  // controller.cpp
  void on_signal();
  void wake();
  Duration turn();
  void tell_conflicts(Instant now);
  void watch_links(Instant now);
  std::optional<Duration> log_sessions();

  // reload.cpp
  struct Reloaded {
    bool ok = false;
    std::string text;                   // one sentence
    std::vector<std::string> problems;  // why not, one sentence each
  };
  // A reload that would give up rules by which requests under way are to be answered.
  struct Waiting {
    config::Document document;
    std::vector<Server::ClientId> askers;
    Instant by;  // then it does
  };
  void reload(std::optional<Server::ClientId> asker);
  void turn_waiting(Instant now);
  Reloaded use(const config::Document& document);
  Reloaded refused(std::string why, std::vector<std::string> problems);
  void tell(const std::vector<Server::ClientId>& askers, const Reloaded& result);
  std::string name_services(const std::vector<uint16_t>& slots) const;
  Status apply(const config::Document& document);

  // keys.cpp
  Result<affinity::CookieKeys> keys_for(const config::Document& document);
  void log_keys(const affinity::CookieKeys& before, const std::string& path) const;
  nlohmann::json key_list() const;
  void on_keys(Server::ClientId client, const Request& request);

  // states.cpp
  void on_health(uint16_t slot, const health::HealthState::Transition& transition);
  void on_options(uint16_t slot, const tcp::Agreed& options);
  void renew_promises(Instant now);
  void set_admin(uint16_t slot, balance::Admin admin);
  void log_state(uint16_t slot, balance::BackendStatus before, const std::string& reason);

  // commands.cpp
  void on_line(Server::ClientId client, const std::string& line);
  void show(Server::ClientId client, const Request& request);
  void show_queried(Server::ClientId client, const Request& request);
  void list(Instant now);
  void walk_sessions(Server::ClientId client, const Request& request);
  void set_backend(Server::ClientId client, const Request& request);
  void reply(Server::ClientId client, const nlohmann::json& data);
  void refuse(Server::ClientId client, const std::string& error,
              const std::vector<std::string>& problems = {});
  nlohmann::json telemetry(const std::string& command, const std::string& parameters) const;
  View view() const;

  Setup setup_;
  const CheckLimit check_limit_ = raise_check_limit();
  Instant started_;
  Instant checked_;  // when health checks last had their turn
  std::unique_ptr<Loop> loop_;
  std::unique_ptr<publish::Publisher> publisher_;
  std::unique_ptr<health::Prober> prober_;
  std::unique_ptr<health::HealthChecks> checks_;
  std::unique_ptr<Queries> queries_;
  std::list<std::pair<Server::ClientId, std::variant<Listing, SessionWalk>>>
      listings_;  // take turns
  std::unique_ptr<SessionLog> session_log_;
  bool sessions_logged_ = false;         // some service wants it
  std::optional<Waiting> waiting_;       // the newest file, as long as it waits
  std::optional<Instant> promises_due_;  // clients are to be promised something else from then on
  publish::Baselines baselines_;
  std::unique_ptr<MetricsServer> metrics_;
  ProcessFacts facts_;
  Conflicts conflicts_;
  Links links_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<Telemetry> telemetry_;
  int signal_fd_ = -1;
  int wake_fd_ = -1;
  bool stopping_ = false;                // control thread
  std::atomic<bool> stop_asked_{false};  // any thread
  std::atomic<int> status_{0};           // any thread
};

}  // namespace limpet::control
