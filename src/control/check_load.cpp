#include "check_load.h"

#include <fmt/core.h>
#include <sys/resource.h>

#include <algorithm>
#include <cmath>

namespace limpet::control {
namespace {

constexpr rlim_t kWantedFiles = 4096;
constexpr size_t kLeastChecks = 16;

}  // namespace

CheckLimit check_limit(uint64_t files) {
  return {std::clamp<size_t>(files / 2, kLeastChecks, kMaxChecks), files};
}

CheckLimit raise_check_limit() {
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) return {64, 0};
  if (files.rlim_cur < kWantedFiles) {
    rlimit more = files;
    more.rlim_cur = std::min(kWantedFiles, files.rlim_max);
    if (setrlimit(RLIMIT_NOFILE, &more) == 0) files = more;
  }
  return check_limit(files.rlim_cur);
}

size_t checks_needed(const config::Document& document) {
  double needed = 0;
  for (const config::Pool& pool : document.pools) {
    if (pool.health.type == config::HealthType::none) continue;
    needed += static_cast<double>(pool.backends.size()) *
              static_cast<double>(pool.health.timeout.count()) /
              static_cast<double>(pool.health.interval.count());
  }
  return static_cast<size_t>(std::ceil(needed));
}

std::optional<std::string> too_many_checks(const config::Document& document, CheckLimit limit) {
  const size_t needed = checks_needed(document);
  if (needed <= limit.checks) return std::nullopt;
  std::string text = fmt::format(
      "health checks: backends that do not answer may need {} at once (backends x timeout / "
      "interval of `health`), {} can run; the rest wait, and dead backends are found late. ",
      needed, limit.checks);
  if (limit.checks < kMaxChecks)
    text += fmt::format("Allow {} open files (now {}: ulimit -n, LimitNOFILE= of systemd)",
                        2 * std::min(needed, kMaxChecks), limit.files);
  if (needed > kMaxChecks)
    text += fmt::format("{} a longer interval or a shorter timeout",
                        limit.checks < kMaxChecks ? ", and set" : "Set");
  return text;
}

}  // namespace limpet::control
