#include "eal_check.h"

#include <fmt/core.h>

#include <algorithm>

#include "limpet/port/eal_args.h"

namespace limpet::apps {
namespace {

// --vdev=NAME,... or, for the EAL the same, -a NAME,...
bool is_created(const std::string& device, const std::vector<std::string>& eal) {
  if (port::vdev_arguments(eal, device).found) return true;
  const auto allowed = port::option_values(eal, "a");
  return std::any_of(allowed.begin(), allowed.end(), [&](const std::string& value) {
    return value.substr(0, value.find(',')) == device;
  });
}

}  // namespace

std::vector<config::Problem> check_eal(const config::Document& document,
                                       const std::vector<std::string>& given) {
  const config::Place& at = document.eal_place;
  if (const auto checked = port::check_eal_arguments(document.eal); !checked.ok())
    return {{at.file, at.line, "eal",
             fmt::format("{}; expected options of DPDK's EAL as `limpet --help --` lists them",
                         checked.error())}};
  const auto merged = port::merge_eal_arguments(document.eal, given);
  if (!merged.ok() || document.eal.empty()) return {};
  std::vector<config::Problem> problems;
  for (size_t i = 0; i < document.ports.size(); ++i) {
    const config::Port& p = document.ports[i];
    if (!p.device.starts_with("net_") || is_created(p.device, *merged)) continue;
    problems.push_back(
        {p.device_place.file, p.device_place.line, fmt::format("ports[{}].device", i),
         fmt::format("no EAL argument creates \"{}\"; expected \"--vdev={},...\" in `eal`",
                     p.device, p.device)});
  }
  return problems;
}

}  // namespace limpet::apps
