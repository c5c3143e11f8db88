// How many health checks can run at once, and how many a configuration may need.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "limpet/config/document.h"

namespace limpet::control {

constexpr size_t kMaxChecks = 1024;  // at once; each has a descriptor

struct CheckLimit {
  size_t checks = kMaxChecks;
  uint64_t files = 0;  // RLIMIT_NOFILE
};

// For a process that may have so many descriptors: checks get half of them, the rest is for ports,
// clients and libraries.
CheckLimit check_limit(uint64_t files);
// For this one, after raising its limit as far as it is of use.
CheckLimit raise_check_limit();

// At once when no backend answers: each check then takes its whole time-out of every interval.
size_t checks_needed(const config::Document& document);

// What the operator should know when that is more than there can be.
std::optional<std::string> too_many_checks(const config::Document& document, CheckLimit limit);

}  // namespace limpet::control
