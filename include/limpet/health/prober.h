// Runs single checks without blocking: TCP connects and HTTP requests from kernel sockets, each
// over a connection of its own. The only user of libcurl. Owner: the control thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "limpet/base/address.h"
#include "limpet/base/result.h"
#include "limpet/base/time.h"
#include "limpet/config/document.h"
#include "limpet/health/health_state.h"
#include "limpet/tcp/agreed.h"

namespace limpet::health {

struct Probe {
  config::HealthType type = config::HealthType::tcp;  // not none
  IpAddress address;
  uint16_t port = 0;
  std::string uri = "/";
  std::string host;  // Host header and TLS server name; empty: the address
  std::vector<config::StatusRange> expect = {{200, 399}};
  bool verify = false;
  config::HealthProxy proxy = config::HealthProxy::none;  // sent first, before TLS too
  Duration timeout = std::chrono::milliseconds(500);
  std::optional<Duration> patience;  // give up after this instead; messages tell of `timeout`
};

struct ProbeResult {
  uint64_t id = 0;
  CheckResult result;
  std::optional<tcp::Agreed> tcp;  // of successful probes of type tcp
};

class Prober {
 public:
  static Result<std::unique_ptr<Prober>> create();
  ~Prober();
  Prober(const Prober&) = delete;
  Prober& operator=(const Prober&) = delete;

  // One result follows by harvest(), unless cancelled. `id` is free to choose, unique while
  // running.
  void start(uint64_t id, const Probe& probe);
  void cancel(uint64_t id);
  size_t running() const;

  int fd() const;                        // readable: call run()
  std::optional<Duration> wait() const;  // call run() at the latest after this long
  // `busy`: how long since the last run() the caller did other things instead of waiting for fd().
  // A backend is not to blame for that: the deadlines of what is under way move by it. In all by
  // the longest such time, or the time-out if that is longer: a caller who is always busy learns of
  // dead backends all the same.
  void run(Duration busy = Duration::zero());
  std::vector<ProbeResult> harvest();

 private:
  class Impl;
  explicit Prober(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace limpet::health
