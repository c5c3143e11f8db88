// The EAL for test programs: once, without hugepages, PCI devices and root.
#pragma once

#include <fmt/core.h>
#include <rte_eal.h>
#include <sched.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "runtime_dir.h"

namespace limpet {

// Runs `body` between the EAL's start and end; returns what it returned, or 1 when the EAL does not
// start.
template <class Body>
int with_eal(char* program, Body&& body) {
  cpu_set_t allowed;
  sched_getaffinity(0, sizeof allowed, &allowed);
  int cpu = 0;
  while (cpu + 1 < CPU_SETSIZE && !CPU_ISSET(cpu, &allowed)) ++cpu;
  const std::string prefix = fmt::format("limpet_worker_{}", getpid());
  std::vector<std::string> words = {
      program, "--no-huge", "--no-pci",          "--no-telemetry",      "-m",
      "256",   "-l",        std::to_string(cpu), "--log-level=*:error", "--file-prefix",
      prefix};
  std::vector<char*> arguments;
  for (std::string& w : words) arguments.push_back(w.data());
  if (rte_eal_init(static_cast<int>(arguments.size()), arguments.data()) < 0) {
    fmt::print(stderr, "the EAL does not start\n");
    return 1;
  }
  // The EAL nails the thread to that CPU, where every other test program would stand too.
  sched_setaffinity(0, sizeof allowed, &allowed);
  const int result = body();
  rte_eal_cleanup();
  remove_runtime_dir(prefix);
  return result;
}

}  // namespace limpet
