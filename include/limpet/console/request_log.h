// The log of requests and flows: workers leave records in rings (dataplane/log_record.h) and never
// wait; this takes them out, a bounded number in each turn of the event loop, holds the rate, looks
// names up and hands lines to a sink, which does not wait either. What does not get through is
// counted, each in its place.
// Owner: the control thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "limpet/base/result.h"
#include "limpet/base/time.h"
#include "limpet/config/document.h"
#include "limpet/console/log_sink.h"
#include "limpet/dataplane/shared.h"
#include "limpet/publish/slots.h"

namespace limpet::console {

// So many lines a second, and no more than a second's at once.
class LineRate {
 public:
  explicit LineRate(uint32_t per_second) : rate_(per_second), credit_(rate_ * kLine) {}
  bool take(Instant now);

 private:
  static constexpr uint64_t kLine = 1'000'000'000;  // what a line costs; a nanosecond brings `rate`
  uint64_t rate_;
  uint64_t credit_;
  Instant at_{};
};

// When a record says that something was: seconds since 1970 of an Instant.
struct WallClock {
  Instant now;          // of CLOCK_MONOTONIC
  double unix_now = 0;  // the same moment
  double at(Instant then) const {
    return unix_now - std::chrono::duration<double>(now - then).count();
  }
};

class RequestLog {
 public:
  static constexpr unsigned kPerTurn = 256;                         // records of each worker
  static constexpr Duration kLook = std::chrono::milliseconds(20);  // while the log is on

  explicit RequestLog(dataplane::Shared& shared) : shared_(shared) {}

  // A change in two steps, as a reload may still fail for another reason. prepare() opens the
  // place, anew also when it is the same: so a file that was rotated is left. Then commit() or
  // abandon().
  Status prepare(const config::Log& log);
  void commit();
  void abandon() { fresh_.reset(); }

  bool on() const { return sink_ != nullptr; }
  bool turn(const publish::Slots& slots, const WallClock& clock);  // true: there is more
  const LogTotals& totals() const { return totals_; }

 private:
  dataplane::Shared& shared_;
  LogTotals totals_;
  config::Log settings_, wanted_;
  std::optional<LineRate> rate_;
  std::unique_ptr<LogSink> sink_, fresh_;
  std::vector<std::unique_ptr<LogSink>> old_;  // that still write what they have
};

// "2026-12-01T12:00:00.123Z web 198.51.100.7:4711 -> web/s1 10.2.0.11:80 via 10.2.0.1:31000 GET
// /cart 200 reason=cookie entry=SRV head_ms=0.021 connect_ms=0.402 first_byte_ms=3.118
// total_ms=12.004 tries=1 in=120 out=5120 end=done --"; of a flow in mode nat the protocol stands
// for request and status. What was not reached is "-". An octet of a method or path that is not
// printable, a blank, a quote and a backslash are \xNN, so that a line is one line and its fields
// are where they are.
std::string text_line(const publish::Slots& slots, const dataplane::LogRecord& record,
                      const WallClock& clock);
// The same as one flat JSON object; null where nothing was reached.
std::string json_line(const publish::Slots& slots, const dataplane::LogRecord& record,
                      const WallClock& clock);

}  // namespace limpet::console
