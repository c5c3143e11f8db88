#include "limpet/port/eal_args.h"

#include <fmt/core.h>

#include <algorithm>

namespace limpet::port {
namespace {

enum class Value { none, required, optional };  // optional: only as --name=value

// What an option says something about. A command-line option of a group removes the configured
// ones; `adds` never does.
enum Group : unsigned {
  adds,
  cores,
  main_core,
  memory_amount,
  no_hugepages,
  hugepages,
  devices,
  vdev,  // by device name
  telemetry,
  itself,
};

struct Option {
  std::string_view name;
  Value value;
  Group group;
  std::string_view same_as = {};  // another spelling
};

// The options of DPDK 22.11, Linux.
constexpr Option kOptions[] = {
    {"a", Value::required, devices},
    {"allow", Value::required, devices, "a"},
    {"b", Value::required, devices},
    {"base-virtaddr", Value::required, itself},
    {"block", Value::required, devices, "b"},
    {"c", Value::required, cores},
    {"create-uio-dev", Value::none, itself},
    {"d", Value::required, adds},
    {"file-prefix", Value::required, itself},
    {"force-max-simd-bitwidth", Value::required, itself},
    {"h", Value::none, itself},
    {"help", Value::none, itself, "h"},
    {"huge-dir", Value::required, hugepages},
    {"huge-unlink", Value::optional, hugepages},
    {"huge-worker-stack", Value::optional, hugepages},
    {"in-memory", Value::none, hugepages},
    {"iova-mode", Value::required, itself},
    {"l", Value::required, cores},
    {"lcores", Value::required, cores},
    {"legacy-mem", Value::none, itself},
    {"log-level", Value::required, adds},
    {"m", Value::required, memory_amount},
    {"main-lcore", Value::required, main_core},
    {"match-allocations", Value::none, hugepages},
    {"mbuf-pool-ops-name", Value::required, itself},
    {"n", Value::required, itself},
    {"no-hpet", Value::none, itself},
    {"no-huge", Value::none, no_hugepages},
    {"no-pci", Value::none, devices},
    {"no-shconf", Value::none, itself},
    {"no-telemetry", Value::none, telemetry},
    {"proc-type", Value::required, itself},
    {"r", Value::required, itself},
    {"s", Value::required, cores},
    {"S", Value::required, cores},
    {"single-file-segments", Value::none, itself},
    {"socket-limit", Value::required, hugepages},
    {"socket-mem", Value::required, memory_amount},
    {"syslog", Value::required, itself},
    {"telemetry", Value::none, telemetry},
    {"trace", Value::required, adds},
    {"trace-bufsz", Value::required, itself},
    {"trace-dir", Value::required, itself},
    {"trace-mode", Value::required, itself},
    {"v", Value::none, itself},
    {"vdev", Value::required, vdev},
    {"vfio-intr", Value::required, itself},
    {"vfio-vf-token", Value::required, itself},
    {"vmware-tsc-map", Value::none, itself},
};

const Option* known(std::string_view name) {
  const auto* end = std::end(kOptions);
  const auto* found =
      std::find_if(std::begin(kOptions), end, [&](const Option& o) { return o.name == name; });
  return found == end ? nullptr : found;
}

// getopt_long accepts the beginning of a long name when no other begins like it.
const Option* known_long(std::string_view name) {
  const Option* match = nullptr;
  for (const Option& o : kOptions) {
    if (o.name.size() == 1) continue;
    if (o.name == name) return &o;
    if (o.name.substr(0, name.size()) != name) continue;
    if (match != nullptr) return nullptr;
    match = &o;
  }
  return name.empty() ? nullptr : match;
}

struct Parsed {
  const Option* option = nullptr;
  std::string shown;  // "--lcores", "-l"
  std::string value;
  size_t first = 0, count = 0;  // words it takes
  std::string_view canonical() const {
    return option->same_as.empty() ? option->name : option->same_as;
  }
};

constexpr std::string_view kUnknown = " is no option of DPDK's EAL";

std::string unknown(std::string_view word) {
  return fmt::format("'{}'{}", word, kUnknown);
}

// For whoever confuses limpet's options with those of the EAL.
std::string with_cure(std::string_view where, const std::string& error) {
  return fmt::format(
      "{}: {}{}", where, error,
      error.ends_with(kUnknown)
          ? "; `limpet --help --` lists them, and limpet's own options stand after --"
          : "");
}

// One option at words[at], or an error.
Result<Parsed> parse_one(const std::vector<std::string>& words, size_t at) {
  const std::string& word = words[at];
  Parsed parsed;
  parsed.first = at;
  parsed.count = 1;
  if (word.size() < 2 || word[0] != '-')
    return Error{fmt::format("'{}' belongs to no EAL option", word)};

  std::optional<std::string> attached;
  std::string& shown = parsed.shown;
  if (word[1] == '-') {
    const size_t equals = word.find('=');
    const std::string name = word.substr(2, equals == std::string::npos ? equals : equals - 2);
    shown = "--" + name;
    parsed.option = known_long(name);
    if (parsed.option == nullptr) return Error{unknown(shown)};
    if (equals != std::string::npos) attached = word.substr(equals + 1);
  } else {
    shown = word.substr(0, 2);
    parsed.option = known(word.substr(1, 1));
    if (parsed.option == nullptr) return Error{unknown(shown)};
    if (word.size() > 2) attached = word.substr(2);
  }

  if (parsed.option->value == Value::none && attached)
    return Error{fmt::format("EAL option {} takes no value, but '{}' gives it one", shown, word)};
  if (attached) {
    parsed.value = *attached;
  } else if (parsed.option->value == Value::required) {
    if (at + 1 == words.size()) return Error{fmt::format("EAL option {} needs a value", shown)};
    parsed.value = words[at + 1];
    parsed.count = 2;
  }
  return parsed;
}

// `bad`: where to note the word of an error.
Result<std::vector<Parsed>> parse(const std::vector<std::string>& words, size_t* bad = nullptr) {
  std::vector<Parsed> all;
  for (size_t at = 0; at < words.size();) {
    auto one = parse_one(words, at);
    if (!one.ok()) {
      if (bad != nullptr) *bad = at;
      return Error{one.error()};
    }
    at += one->count;
    all.push_back(std::move(*one));
  }
  return all;
}

std::string_view device_of(std::string_view vdev_value) {
  return vdev_value.substr(0, vdev_value.find(','));
}

bool replaces(const Parsed& given, const Parsed& configured) {
  const Group g = given.option->group;
  const Group c = configured.option->group;
  switch (g) {
    case adds:
      return false;
    case cores:  // a main lcore that is not among the new ones would be an error
      return c == cores || c == main_core;
    case no_hugepages:  // the EAL refuses what speaks of hugepages beside --no-huge
      return c == no_hugepages || c == hugepages || configured.option->name == "socket-mem";
    case hugepages:
      return c == no_hugepages || configured.canonical() == given.canonical();
    case memory_amount:
      return c == memory_amount || (given.option->name == "socket-mem" && c == no_hugepages);
    case vdev:
      return c == vdev && device_of(given.value) == device_of(configured.value);
    case itself:
      return configured.canonical() == given.canonical();
    case main_core:
    case devices:
    case telemetry:
      return c == g;
  }
  return false;
}

bool replaced(const std::vector<Parsed>& given, const Parsed& configured) {
  return std::any_of(given.begin(), given.end(),
                     [&](const Parsed& g) { return replaces(g, configured); });
}

// Merged arguments parse by construction; anything else has no options.
template <class Visit>
void each_option(const std::vector<std::string>& eal, Visit visit) {
  const auto parsed = parse(eal);
  if (!parsed.ok()) return;
  for (const Parsed& p : *parsed) visit(p);
}

}  // namespace

CommandLine split_command_line(std::span<const std::string> arguments) {
  CommandLine line;
  const auto dashes = std::find(arguments.begin(), arguments.end(), "--");
  line.separated = dashes != arguments.end();
  if (line.separated) {
    line.eal.assign(arguments.begin(), dashes);
    line.own.assign(dashes + 1, arguments.end());
  } else {
    line.own.assign(arguments.begin(), arguments.end());
  }
  return line;
}

std::optional<BadWord> check_eal_arguments(const std::vector<std::string>& words) {
  BadWord bad;
  const auto parsed = parse(words, &bad.index);
  if (parsed.ok()) return std::nullopt;
  bad.why = parsed.error();
  return bad;
}

Result<std::vector<std::string>> merge_eal_arguments(const std::vector<std::string>& configured,
                                                     const std::vector<std::string>& given) {
  const auto from_file = parse(configured);
  if (!from_file.ok()) return Error{with_cure("in `eal` of the configuration", from_file.error())};
  const auto from_line = parse(given);
  if (!from_line.ok()) return Error{with_cure("on the command line", from_line.error())};

  std::vector<std::string> merged;
  for (const Parsed& c : *from_file)
    if (!replaced(*from_line, c))
      for (size_t i = 0; i < c.count; ++i) merged.push_back(configured[c.first + i]);
  merged.insert(merged.end(), given.begin(), given.end());
  return merged;
}

std::vector<EalOption> merged_eal_options(const std::vector<std::string>& configured,
                                          const std::vector<std::string>& given) {
  const auto from_file = parse(configured);
  const auto from_line = parse(given);
  std::vector<EalOption> options;
  if (!from_file.ok() || !from_line.ok()) return options;
  const auto add = [&](const Parsed& p, std::optional<size_t> at) {
    options.push_back({std::string(p.canonical()), p.shown, p.value, at});
  };
  for (const Parsed& c : *from_file)
    if (!replaced(*from_line, c)) add(c, c.first + c.count - 1);
  for (const Parsed& g : *from_line) add(g, std::nullopt);
  return options;
}

std::string file_prefix(const std::vector<std::string>& eal) {
  const auto values = option_values(eal, "file-prefix");
  return values.empty() ? "rte" : values.back();
}

bool has_option(const std::vector<std::string>& eal, std::string_view name) {
  bool found = false;
  each_option(eal, [&](const Parsed& p) { found |= p.canonical() == name; });
  return found;
}

std::vector<std::string> option_values(const std::vector<std::string>& eal, std::string_view name) {
  std::vector<std::string> values;
  each_option(eal, [&](const Parsed& p) {
    if (p.canonical() == name) values.push_back(p.value);
  });
  return values;
}

const std::string* VdevArguments::find(std::string_view key) const {
  for (const auto& [name, value] : pairs)
    if (name == key) return &value;
  return nullptr;
}

VdevArguments vdev_arguments(const std::vector<std::string>& eal, std::string_view device) {
  VdevArguments result;
  for (const std::string& value : option_values(eal, "vdev")) {
    if (device_of(value) != device) continue;
    result.found = true;
    result.pairs.clear();
    size_t at = value.find(',');
    while (at != std::string::npos) {
      const size_t end = value.find(',', at + 1);
      const std::string pair = value.substr(at + 1, end == std::string::npos ? end : end - at - 1);
      const size_t equals = pair.find('=');
      result.pairs.emplace_back(pair.substr(0, equals),
                                equals == std::string::npos ? "" : pair.substr(equals + 1));
      at = end;
    }
  }
  return result;
}

}  // namespace limpet::port
