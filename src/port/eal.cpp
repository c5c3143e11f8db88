#include "limpet/port/eal.h"

#include <fcntl.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_version.h>
#include <unistd.h>

#include <cstdio>

#include "diagnose.h"
#include "eal_log.h"
#include "limpet/port/eal_args.h"

namespace limpet::port {
namespace {

constexpr const char* kPrimary =
    "limpet is a primary process of DPDK: remove --proc-type from the EAL arguments";

// While it lives, what is printed on stdout goes nowhere.
class QuietStdout {
 public:
  QuietStdout() {
    std::fflush(stdout);
    saved_ = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (saved_ >= 0 && nowhere >= 0) dup2(nowhere, STDOUT_FILENO);
    if (nowhere >= 0) close(nowhere);
  }
  ~QuietStdout() {
    std::fflush(stdout);
    if (saved_ < 0) return;
    dup2(saved_, STDOUT_FILENO);
    close(saved_);
  }
  QuietStdout(const QuietStdout&) = delete;
  QuietStdout& operator=(const QuietStdout&) = delete;

 private:
  int saved_ = -1;
};

}  // namespace

Result<std::unique_ptr<Eal>> Eal::start(const std::vector<std::string>& arguments) {
  capture_eal_log();
  for (const std::string& type : option_values(arguments, "proc-type"))
    if (type != "primary" && type != "auto") return Error{kPrimary};
  // The EAL keeps pointers into its arguments and reorders the array.
  static std::vector<std::string> words;
  static std::vector<char*> argv;
  words = {"limpet"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  argv.clear();
  for (std::string& w : words) argv.push_back(w.data());
  argv.push_back(nullptr);

  int result = 0;
  if (has_option(arguments, "h")) {
    result = rte_eal_init(static_cast<int>(words.size()), argv.data());
  } else {
    // The EAL answers a wrong argument with a hundred lines of help that bury the reason, which is
    // on stderr.
    const QuietStdout quiet;
    result = rte_eal_init(static_cast<int>(words.size()), argv.data());
  }
  // Nothing to clean up after a failure that the end of the process does not.
  if (result < 0)
    return Error{explain_eal_failure({}, arguments, rte_eal_get_runtime_dir(), rte_errno,
                                     recent_eal_errors())};
  std::unique_ptr<Eal> eal(new Eal(arguments));
  if (rte_eal_process_type() != RTE_PROC_PRIMARY) return Error{kPrimary};
  return eal;
}

Eal::~Eal() {
  rte_eal_cleanup();
}

std::string Eal::runtime_dir() const {
  return rte_eal_get_runtime_dir();
}

std::vector<unsigned> Eal::worker_lcores() const {
  std::vector<unsigned> lcores;
  unsigned id = 0;
  RTE_LCORE_FOREACH_WORKER(id) lcores.push_back(id);
  return lcores;
}

std::vector<std::string> Eal::devices() const {
  std::vector<std::string> names;
  for (uint64_t id = rte_eth_find_next(0); id < RTE_MAX_ETHPORTS;
       id = rte_eth_find_next(static_cast<uint16_t>(id + 1))) {
    char name[RTE_ETH_NAME_MAX_LEN];
    if (rte_eth_dev_get_name_by_port(static_cast<uint16_t>(id), name) == 0)
      names.emplace_back(name);
  }
  return names;
}

std::string Eal::dpdk_version() {
  return rte_version();
}

}  // namespace limpet::port
