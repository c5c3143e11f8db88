// An EAL can be started once in a process, so each test of module port runs in a child of its own.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "limpet/port/eal.h"
#include "runtime_dir.h"

namespace limpet::port {

inline std::string file_prefix_of(pid_t process) {
  return "limpet_port_" + std::to_string(process);
}

// Runs `body` with gtest's assertions in a child process; they fail this test.
inline void in_child(const std::function<void()>& body) {
  std::fflush(nullptr);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    body();
    std::fflush(nullptr);
    _exit(testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  remove_runtime_dir(file_prefix_of(child));
  EXPECT_TRUE(WIFEXITED(status)) << "signal " << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

// Without hugepages, PCI and root, beside any other process.
inline std::vector<std::string> eal_arguments(const std::vector<std::string>& more) {
  std::vector<std::string> words = {"--no-huge", "--no-pci",      "--no-telemetry",        "-m",
                                    "256",       "--file-prefix", file_prefix_of(getpid())};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

inline std::unique_ptr<Eal> start_eal(const std::vector<std::string>& more) {
  auto eal = Eal::start(eal_arguments(more));
  EXPECT_TRUE(eal.ok()) << eal.error();
  return eal.ok() ? std::move(eal).value() : nullptr;
}

}  // namespace limpet::port
