// Why something is missing, and the cure: looks at the machine after a failure, so that the
// operator need not. Changes nothing.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace limpet::port {

// Where to look; tests look elsewhere.
struct Host {
  std::string sys = "/sys";
  std::string proc = "/proc";
};

// The device of a port is not among those that the EAL found.
std::string explain_missing_device(const Host& host, const std::string& port_name,
                                   const std::string& device,
                                   const std::vector<std::string>& eal_arguments,
                                   const std::vector<std::string>& present);

// rte_eal_init failed with `error` (rte_errno). `said` are the EAL's own errors, oldest first;
// `runtime_dir` its directory.
std::string explain_eal_failure(const Host& host, const std::vector<std::string>& eal_arguments,
                                const std::string& runtime_dir, int error,
                                const std::vector<std::string>& said);

// Not enough EAL memory for `bytes`.
std::string explain_memory(const std::vector<std::string>& eal_arguments, const std::string& what,
                           uint64_t bytes);

}  // namespace limpet::port
