// The EAL's part of the command line: where it ends, and how it joins the `eal` list of the
// configuration. The EAL itself ignores or refuses a second --lcores, so the two are merged here
// before it sees them. Pure: no EAL, no file, no environment.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace limpet::port {

// DPDK's convention: `limpet [EAL options] -- [limpet's options]`. Without "--" everything is
// limpet's. The program's name is in neither.
struct CommandLine {
  std::vector<std::string> eal;
  std::vector<std::string> own;
  bool separated = false;  // there was a "--"
};
CommandLine split_command_line(std::span<const std::string> arguments);

// What the EAL is told, option by option. Which options there are and what they take is the EAL's
// to know: an option here is a word that begins with '-' and the word behind it, if that does not.
struct EalOption {
  std::string name;   // without dashes, in one spelling: "a" for --allow; empty: no option at all
  std::string shown;  // as written, for messages: "--allow"
  std::string value;
  std::vector<std::string> words;    // as the EAL gets them
  std::optional<size_t> configured;  // word of `configured` with its value; none: command line
};

// `configured`, without what `given` on the command line replaces, followed by `given`. An option
// replaces every configured one of its group:
//   -l -c --lcores -s -S                 which cores (and --main-lcore with them)
//   -m --socket-mem                      how much memory
//   --no-huge | --huge-dir --huge-unlink --in-memory ...   whether there are hugepages
//   -a -b --no-pci                       which devices
//   --vdev of the same device            its arguments
// and otherwise every configured occurrence of itself; -d, --log-level and --trace add up. Names
// must be written out: the EAL takes the beginning of a long one, here it is another option.
std::vector<EalOption> merge_eal_options(const std::vector<std::string>& configured,
                                         const std::vector<std::string>& given);
// The same as the arguments for the EAL.
std::vector<std::string> merge_eal_arguments(const std::vector<std::string>& configured,
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
