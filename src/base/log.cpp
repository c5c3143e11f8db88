#include "limpet/base/log.h"

#include <atomic>
#include <cstdio>
#include <ctime>
#include <string>

namespace limpet {
namespace {

std::atomic<int> g_level{static_cast<int>(LogLevel::info)};  // process-wide by nature, like stderr

const char* name(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return "debug";
    case LogLevel::info:
      return "info";
    case LogLevel::notice:
      return "notice";
    case LogLevel::warning:
      return "warning";
    case LogLevel::error:
      return "error";
  }
  return "?";
}

}  // namespace

void log_set_level(LogLevel level) {
  g_level.store(static_cast<int>(level), std::memory_order_relaxed);
}

bool log_enabled(LogLevel level) {
  return static_cast<int>(level) >= g_level.load(std::memory_order_relaxed);
}

void log_line(LogLevel level, std::string_view module, std::string_view text) {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  tm utc{};
  gmtime_r(&now.tv_sec, &utc);
  char stamp[32];
  strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
  // One write per line, so that lines of several threads do not interleave.
  std::string line =
      fmt::format("{}.{:03}Z {} {}: {}\n", stamp, now.tv_nsec / 1000000, name(level), module, text);
  fwrite(line.data(), 1, line.size(), stderr);
  fflush(stderr);
}

}  // namespace limpet
