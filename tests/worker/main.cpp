// Starts the EAL once, without hugepages, PCI devices and root, then runs the tests.
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <rte_eal.h>
#include <sched.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "runtime_dir.h"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  cpu_set_t allowed;
  sched_getaffinity(0, sizeof allowed, &allowed);
  int cpu = 0;
  while (cpu + 1 < CPU_SETSIZE && !CPU_ISSET(cpu, &allowed)) ++cpu;
  const std::string prefix = fmt::format("limpet_worker_{}", getpid());
  std::vector<std::string> words = {
      argv[0], "--no-huge", "--no-pci",          "--no-telemetry",      "-m",
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
  const int result = RUN_ALL_TESTS();
  rte_eal_cleanup();
  limpet::remove_runtime_dir(prefix);
  return result;
}
