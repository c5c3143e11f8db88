// Starts the EAL once, without hugepages, PCI devices and root, then runs the tests that need
// rings.
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <rte_eal.h>
#include <sched.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include "alone.h"

bool limpet::g_alone = false;

namespace {

// As the program does: threads of the EAL inherit it.
void block_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int s : {SIGHUP, SIGINT, SIGTERM}) sigaddset(&set, s);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  block_signals();
  limpet::g_alone = unshare(CLONE_NEWNET) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0;
  cpu_set_t allowed;
  sched_getaffinity(0, sizeof allowed, &allowed);
  int cpu = 0;
  while (cpu + 1 < CPU_SETSIZE && !CPU_ISSET(cpu, &allowed)) ++cpu;
  std::vector<std::string> words = {argv[0],
                                    "--no-huge",
                                    "--no-pci",
                                    "--no-telemetry",
                                    "-m",
                                    "64",
                                    "-l",
                                    std::to_string(cpu),
                                    "--log-level=*:error",
                                    "--file-prefix",
                                    fmt::format("limpet_control_{}", getpid())};
  std::vector<char*> arguments;
  for (std::string& w : words) arguments.push_back(w.data());
  if (rte_eal_init(static_cast<int>(arguments.size()), arguments.data()) < 0) {
    fmt::print(stderr, "the EAL does not start\n");
    return 1;
  }
  sched_setaffinity(0, sizeof allowed, &allowed);  // the EAL nails the thread to one CPU
  const std::string directory = rte_eal_get_runtime_dir();
  const int result = RUN_ALL_TESTS();
  rte_eal_cleanup();
  std::error_code none;
  std::filesystem::remove_all(directory, none);
  return result;
}
