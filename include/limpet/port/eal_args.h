// The EAL's part of the command line: where it ends, and how it joins the `eal` list of the
// configuration. The EAL itself ignores or refuses a second --lcores, so the two are merged here
// before it sees them. Pure: no EAL, no file, no environment.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "limpet/base/result.h"

namespace limpet::port {

// DPDK's convention: `limpet [EAL options] -- [limpet's options]`. Without "--" everything is
// limpet's. The program's name is in neither.
struct CommandLine {
  std::vector<std::string> eal;
  std::vector<std::string> own;
  bool separated = false;  // there was a "--"
};
CommandLine split_command_line(std::span<const std::string> arguments);

// The arguments for the EAL: `configured`, without what `given` on the command line replaces,
// followed by `given`. An option replaces every configured one of its group:
//   -l -c --lcores -s -S                 which cores (and --main-lcore with them)
//   -m --socket-mem                      how much memory
//   --no-huge | --huge-dir --huge-unlink --in-memory ...   whether there are hugepages
//   -a -b --no-pci                       which devices
//   --vdev of the same device            its arguments
// and otherwise every configured occurrence of itself; -d, --log-level and --trace add up.
// An error for an option that the EAL does not know, that lacks its value or has one too many, and
// for a word that belongs to no option.
Result<std::vector<std::string>> merge_eal_arguments(const std::vector<std::string>& configured,
                                                     const std::vector<std::string>& given);

// The first of the same errors in one list alone, and which word it is about.
struct BadWord {
  size_t index = 0;
  std::string why;
};
std::optional<BadWord> check_eal_arguments(const std::vector<std::string>& words);

// What the EAL is told, option by option.
struct EalOption {
  std::string name;   // without dashes, always in the same spelling: "a" for --allow
  std::string shown;  // as written, for messages: "--allow"
  std::string value;
  std::optional<size_t> configured;  // word of `configured` with its value; none: command line
};
// The options of merge_eal_arguments(configured, given), in order; empty when that is an error.
std::vector<EalOption> merged_eal_options(const std::vector<std::string>& configured,
                                          const std::vector<std::string>& given);

// Looking into merged arguments; the last occurrence counts, as in the EAL.
std::string file_prefix(const std::vector<std::string>& eal);  // "rte" when not given
bool has_option(const std::vector<std::string>& eal, std::string_view name);  // "no-huge", "a"
// Every value of an option, in order.
std::vector<std::string> option_values(const std::vector<std::string>& eal, std::string_view name);
// "iface=l0,qpairs=2" of --vdev=DEVICE,iface=l0,qpairs=2; `found` false when there is no such vdev.
struct VdevArguments {
  bool found = false;
  std::vector<std::pair<std::string, std::string>> pairs;
  const std::string* find(std::string_view key) const;
};
VdevArguments vdev_arguments(const std::vector<std::string>& eal, std::string_view device);

}  // namespace limpet::port
