// The parts of the console put together. console.cpp gives them their turns, commands.cpp answers.
#pragma once

#include <list>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "limpet/console/console.h"
#include "listing.h"
#include "metrics_server.h"
#include "queries.h"
#include "server.h"
#include "sessions.h"
#include "telemetry.h"

namespace limpet::console {

class Console::Impl {
 public:
  explicit Impl(Setup setup);

  // console.cpp
  Status open();
  void turn(Instant now);
  std::optional<Duration> wait() const;
  MetricsServer& metrics() { return metrics_; }

  // commands.cpp
  void reloaded(ClientId asker, const Reloaded& result);

 private:
  // console.cpp
  void list(Instant now);

  // commands.cpp
  void on_line(ClientId client, const std::string& line);
  void show(ClientId client, const Request& request);
  void show_queried(ClientId client, const Request& request);
  void walk_sessions(ClientId client, const Request& request);
  void set_backend(ClientId client, const Request& request);
  void step_keys(ClientId client, const Request& request);
  void reply(ClientId client, const nlohmann::json& data);
  void refuse(ClientId client, const std::string& error,
              const std::vector<std::string>& problems = {});

  Setup setup_;
  Host& host_;
  Queries queries_;
  std::list<std::pair<ClientId, std::variant<Listing, SessionWalk>>> listings_;  // take turns
  MetricsServer metrics_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<Telemetry> telemetry_;
};

// What DPDK's telemetry is told; null: no such thing.
nlohmann::json answer_telemetry(const View& view, const std::string& command,
                                const std::string& parameters);

}  // namespace limpet::console
