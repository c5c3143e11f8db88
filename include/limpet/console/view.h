// The state of the process as `show` prints it: rows of JSON, one function a table. Field names are
// a public interface: add, never rename. Reads only; called by the control thread.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "limpet/balance/backend_state.h"
#include "limpet/base/result.h"
#include "limpet/base/time.h"
#include "limpet/config/document.h"
#include "limpet/console/log_sink.h"
#include "limpet/console/worker_info.h"
#include "limpet/dataplane/shared.h"
#include "limpet/dataplane/snapshot.h"
#include "limpet/health/checks.h"
#include "limpet/publish/baselines.h"
#include "limpet/publish/slots.h"

namespace limpet::console {

struct View {
  const config::Document& document;  // what the snapshot was built from
  const dataplane::Snapshot& snapshot;
  const publish::Slots& slots;
  const publish::Baselines& baselines;
  std::function<balance::BackendStatus(uint16_t slot)> status;
  std::function<const health::HealthChecks::Item*(uint16_t slot)> checks;  // null: not checked
  std::span<const WorkerInfo> workers;
  uint32_t mbuf_pool_size = 0;
  uint32_t mbufs_in_use = 0;
  Instant now;
  std::function<dataplane::NicCounters(size_t port)> nic = nullptr;  // null: zeros
  uint64_t unix_now = 0;                                             // seconds
};

// Of the process; not in a View.
struct ProcessFacts {
  double start_time = 0;        // unix seconds
  double last_reload_time = 0;  // unix seconds, of the last one that was applied, the start's too
  bool last_reload_good = true;
  const LogTotals* log = nullptr;  // of the log of requests and flows; null: there is none
};

// Rows of the table, those only that `name` selects ("" selects all): a service; a pool or
// POOL/NAME; a worker's number; a port; for drops a worker's number, a reason or a port. With
// `removed` also what is no longer configured but still has flows. An error when a name selects
// nothing that could be there.
using Rows = std::vector<nlohmann::json>;
// With `busy`, of what is no longer configured only what still has flows.
Result<Rows> service_rows(const View& view, std::string_view name, bool removed, bool busy = false);
Result<Rows> backend_rows(const View& view, std::string_view name, bool removed, bool busy = false);
// One row for each entry of a service's persistence list; `name`: SERVICE or SERVICE/ENTRY.
Result<Rows> persistence_rows(const View& view, std::string_view name);
// One row for each service in mode splice and each reason why its clients' requests, or backends'
// responses, are refused; `name`: a SERVICE.
Result<Rows> refusal_rows(const View& view, std::string_view name);
Result<Rows> worker_rows(const View& view, std::string_view name);
Result<Rows> port_rows(const View& view, std::string_view name);
Result<Rows> drop_rows(const View& view, std::string_view name);

// Answers of one worker: `count` of them from `first` on. What ended meanwhile is left out.
Rows flow_rows(const View& view, unsigned worker, const dataplane::Query& answer, size_t first = 0,
               size_t count = SIZE_MAX);
Rows top_rows(unsigned worker, const dataplane::Query& answer, size_t first = 0,
              size_t count = SIZE_MAX);
Rows neighbor_rows(const View& view, unsigned worker, const dataplane::Query& answer,
                   size_t first = 0, size_t count = SIZE_MAX);

// A request, in curl's words; everything may be left out.
struct Asking {
  std::string method;                // GET
  std::string path;                  // "/"
  std::vector<std::string> headers;  // "NAME: VALUE"
};

// Where a client would go now, and why: {client, service, backend, address, port, reason, text,
// first_choice, entries: [...], ...}. `client` is an address with or without a port
// ("192.0.2.1:4711",
// "[2001:db8::1]:4711"). With something asked: as the first request of a connection in mode splice.
Result<nlohmann::json> explain(const View& view, std::string_view client, std::string_view service,
                               const Asking& asking = {});

// {"schema":1,"pid":..,"uptime_s":..,WHAT:[...],"truncated":..}, the first `limit` rows of `rows`
// (0: all); `more` when there are others that are not in `rows`.
nlohmann::json envelope(const char* what, Rows rows, uint32_t limit, bool more, Duration uptime);

double seconds(Duration d);  // to the millisecond

}  // namespace limpet::console
