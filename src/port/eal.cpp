#include "limpet/port/eal.h"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_version.h>

#include "diagnose.h"
#include "eal_log.h"

namespace limpet::port {

Result<std::unique_ptr<Eal>> Eal::start(const std::vector<std::string>& arguments) {
  capture_eal_log();
  // The EAL keeps pointers into its arguments and reorders the array.
  static std::vector<std::string> words;
  static std::vector<char*> argv;
  words = {"limpet"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  argv.clear();
  for (std::string& w : words) argv.push_back(w.data());
  argv.push_back(nullptr);

  std::unique_ptr<Eal> eal(new Eal(arguments));
  if (rte_eal_init(static_cast<int>(words.size()), argv.data()) < 0) {
    const std::string reason = rte_strerror(rte_errno);
    const std::string directory = rte_eal_get_runtime_dir();
    (void)eal.release();  // nothing to clean up that the end of the process does not
    return Error{explain_eal_failure({}, arguments, directory, reason, recent_eal_errors())};
  }
  if (rte_eal_process_type() != RTE_PROC_PRIMARY)
    return Error{"limpet is a primary process of DPDK: remove --proc-type from the EAL arguments"};
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
