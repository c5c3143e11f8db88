// Operator's log: one line per state change, never one per packet. Goes to stderr; callable from
// any control thread, never from a worker's loop.
#pragma once

#include <fmt/core.h>

#include <string_view>
#include <utility>

namespace limpet {

enum class LogLevel : int { debug, info, notice, warning, error };

void log_set_level(LogLevel level);
bool log_enabled(LogLevel level);
void log_line(LogLevel level, std::string_view module, std::string_view text);

template <class... A>
void log(LogLevel level, std::string_view module, fmt::format_string<A...> f, A&&... a) {
  if (log_enabled(level)) log_line(level, module, fmt::format(f, std::forward<A>(a)...));
}

}  // namespace limpet
