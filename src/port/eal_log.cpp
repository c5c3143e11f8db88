#include "eal_log.h"

#include <rte_log.h>

#include <deque>
#include <mutex>
#include <string_view>

#include "limpet/base/log.h"

namespace limpet::port {
namespace {

constexpr size_t kKept = 4;

// DPDK's log is one per process.
std::mutex g_mutex;
std::deque<std::string> g_errors;

LogLevel translate(unsigned level, std::string_view line) {
  // At every start, and means nothing to anybody.
  if (line.starts_with("TELEMETRY: No legacy callbacks")) return LogLevel::debug;
  if (level <= RTE_LOG_ERR) return LogLevel::error;
  if (level == RTE_LOG_WARNING) return LogLevel::warning;
  if (level == RTE_LOG_NOTICE) return LogLevel::info;
  return LogLevel::debug;  // "Detected CPU lcores: 2"
}

ssize_t take_line(void*, const char* text, size_t size) {
  std::string_view line(text, size);
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.remove_suffix(1);
  if (line.empty()) return static_cast<ssize_t>(size);
  const LogLevel level = translate(static_cast<unsigned>(rte_log_cur_msg_loglevel()), line);
  if (log_enabled(level)) log_line(level, "dpdk", line);
  if (level == LogLevel::error) {
    const std::lock_guard hold(g_mutex);
    if (g_errors.size() == kKept) g_errors.pop_front();
    g_errors.emplace_back(line);
  }
  return static_cast<ssize_t>(size);
}

}  // namespace

void capture_eal_log() {
  static std::FILE* const stream = fopencookie(
      nullptr, "w", {.read = nullptr, .write = take_line, .seek = nullptr, .close = nullptr});
  if (stream != nullptr) rte_openlog_stream(stream);
}

std::vector<std::string> recent_eal_errors() {
  const std::lock_guard hold(g_mutex);
  return {g_errors.begin(), g_errors.end()};
}

}  // namespace limpet::port
