// DPDK's Environment Abstraction Layer, once per process: starts it, turns its failures into
// sentences that name the cure, and takes its log lines over into limpet's log. Made by main before
// anything else of DPDK, destroyed last. Signals must be blocked before (control/controller.h): the
// threads that are made here inherit the mask.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "limpet/base/result.h"

namespace limpet::port {

class Eal {
 public:
  // `arguments` as merge_eal_arguments() gives them. Can succeed once in a process. With --help
  // among them the EAL prints its options and ends the process.
  static Result<std::unique_ptr<Eal>> start(const std::vector<std::string>& arguments);
  ~Eal();
  Eal(const Eal&) = delete;
  Eal& operator=(const Eal&) = delete;

  const std::vector<std::string>& arguments() const { return arguments_; }
  std::string runtime_dir() const;              // of this file prefix: /var/run/dpdk/rte
  std::vector<unsigned> worker_lcores() const;  // all but the main one, ascending
  std::vector<std::string> devices() const;     // names of the Ethernet devices that were found

  static std::string dpdk_version();  // "DPDK 22.11.11"

 private:
  explicit Eal(std::vector<std::string> arguments) : arguments_(std::move(arguments)) {}
  std::vector<std::string> arguments_;
};

}  // namespace limpet::port
