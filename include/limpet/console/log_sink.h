// Where lines go that must not be waited for: a file, the process' error output or a syslog,
// written by a thread of its own from a buffer that is bounded. Whoever writes a line never waits:
// what does not fit is counted.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "limpet/base/result.h"
#include "limpet/config/document.h"

namespace limpet::console {

// Lines since the start of the process, of all sinks that there were.
struct LogTotals {
  std::atomic<uint64_t> written{0};
  std::atomic<uint64_t> lost_rate{0};    // more than the configured rate
  std::atomic<uint64_t> lost_buffer{0};  // the buffer was full: its reader is too slow
  std::atomic<uint64_t> lost_write{0};   // could not be written
};

class LogSink {
 public:
  static constexpr size_t kBuffer = 1 << 20;
  // How long the end waits for a reader that is too slow.
  static constexpr int kPatienceMs = 1000;

  // The error names the place and what is wrong with it. `totals` must outlive the sink.
  static Result<std::unique_ptr<LogSink>> open(const config::Log& log, LogTotals& totals);
  ~LogSink();  // as retire(), and waits for it
  LogSink(const LogSink&) = delete;
  LogSink& operator=(const LogSink&) = delete;

  void write(std::string_view line);  // without its end; from one thread
  // Nothing more will come: what is in the buffer is written, if that does not take too long.
  void retire();
  bool retired() const { return done_; }  // it has been, and nobody has to wait for it

 private:
  LogSink(const config::Log& log, LogTotals& totals) : log_(log), totals_(totals) {}
  void run();
  void write_lines(std::string_view lines);
  void send_lines(std::string_view lines);
  bool ready();  // false: it is not, and will not be waited for any more
  bool connect();
  void lose(std::string_view lines, int error);

  const config::Log log_;
  LogTotals& totals_;
  int fd_ = -1;
  bool torn_ = false;    // a part of a line was written
  int64_t told_at_ = 0;  // of the operator, seconds
  std::mutex mutex_;
  std::condition_variable news_;
  std::string pending_;  // guarded
  std::atomic<bool> stop_{false}, done_{false};
  int64_t stop_by_ = 0;  // ms of CLOCK_MONOTONIC; guarded
  std::thread thread_;
};

}  // namespace limpet::console
