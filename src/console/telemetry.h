// Mirror of the tables in DPDK's telemetry (dpdk-telemetry.py): names as lists, one row as one flat
// dictionary. Its callbacks run in threads of DPDK and touch nothing of ours: they post the
// question to the control loop and wait for the answer, a second at most.
//
//   /limpet/services[,OFFSET]   names      /limpet/service,NAME
//   /limpet/backends[,OFFSET]   POOL/NAME  /limpet/backend,POOL/NAME
//   /limpet/persistence[,OFFSET] SERVICE/N /limpet/persistence_entry,SERVICE/N
//   /limpet/workers             numbers    /limpet/worker,N
//   /limpet/drops[,WORKER]      packets by reason, summed over ports
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace limpet::console {

class Telemetry {
 public:
  // Answers one question in the control thread: an array of strings or a flat object; null: no such
  // thing.
  using Answer =
      std::function<nlohmann::json(const std::string& command, const std::string& parameters)>;

  // `wake` makes the control loop call run(); from any thread.
  Telemetry(Answer answer, std::function<void()> wake);
  ~Telemetry();  // waiting callbacks fail, later ones too
  Telemetry(const Telemetry&) = delete;
  Telemetry& operator=(const Telemetry&) = delete;

  void run();  // control thread: answers what waits

  // The callbacks' side. Null when nobody answers in time.
  static nlohmann::json question(const std::string& command, const std::string& parameters);

 private:
  struct Job;
  Answer answer_;
  std::function<void()> wake_;
  std::deque<std::shared_ptr<Job>> jobs_;  // under the lock of telemetry.cpp
};

// A row as telemetry can show it: nested objects become prefix_name, null "", booleans 0 and 1,
// fractions whole numbers; keys of [A-Za-z0-9_/].
nlohmann::json flatten(const nlohmann::json& row);

}  // namespace limpet::console
