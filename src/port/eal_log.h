// DPDK's log lines as limpet's: levels translated, one line each, and the last errors kept so that
// a failure can quote them.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

namespace limpet::port {

// Takes the lines over from here on, for the rest of the process.
void capture_eal_log();
std::vector<std::string> recent_eal_errors();  // oldest first, a handful

}  // namespace limpet::port
