#include "limpet/port/eal_args.h"

#include <algorithm>

namespace limpet::port {
namespace {

// What an option says something about. A command-line option of a group removes the configured
// ones; `adds` never does, `itself` only those of its name.
enum class Group {
  itself,
  adds,
  cores,
  main_core,
  memory_amount,
  no_hugepages,
  hugepages,
  devices,
  vdev,  // by device name
  telemetry,
};

struct Grouped {
  std::string_view name;
  Group group;
};

// All that are not `itself`.
constexpr Grouped kGrouped[] = {
    {"a", Group::devices},
    {"b", Group::devices},
    {"c", Group::cores},
    {"d", Group::adds},
    {"huge-dir", Group::hugepages},
    {"huge-unlink", Group::hugepages},
    {"huge-worker-stack", Group::hugepages},
    {"in-memory", Group::hugepages},
    {"l", Group::cores},
    {"lcores", Group::cores},
    {"log-level", Group::adds},
    {"m", Group::memory_amount},
    {"main-lcore", Group::main_core},
    {"match-allocations", Group::hugepages},
    {"no-huge", Group::no_hugepages},
    {"no-pci", Group::devices},
    {"no-telemetry", Group::telemetry},
    {"s", Group::cores},
    {"S", Group::cores},
    {"socket-limit", Group::hugepages},
    {"socket-mem", Group::memory_amount},
    {"telemetry", Group::telemetry},
    {"trace", Group::adds},
    {"vdev", Group::vdev},
};

Group group_of(const EalOption& o) {
  for (const Grouped& g : kGrouped)
    if (g.name == o.name) return g.group;
  return Group::itself;
}

std::string canonical(const std::string& name) {
  if (name == "allow") return "a";
  if (name == "block") return "b";
  return name == "help" ? "h" : name;
}

bool is_option(const std::string& word) {
  return word.size() > 1 && word[0] == '-';
}

// `configured`: the words are of the file.
std::vector<EalOption> parse(const std::vector<std::string>& words, bool configured = false) {
  std::vector<EalOption> all;
  for (size_t at = 0; at < words.size(); ++at) {
    const std::string& word = words[at];
    EalOption o;
    o.words = {word};
    o.shown = word;
    if (word.starts_with("--")) {
      const size_t equals = word.find('=');
      o.shown = word.substr(0, equals);
      o.name = canonical(o.shown.substr(2));
      if (equals != std::string::npos) o.value = word.substr(equals + 1);
    } else if (is_option(word)) {
      o.shown = word.substr(0, 2);
      o.name = word.substr(1, 1);
      o.value = word.substr(2);
    }
    if (!o.name.empty() && o.shown == word && at + 1 < words.size() && !is_option(words[at + 1])) {
      o.value = words[++at];
      o.words.push_back(o.value);
    }
    if (configured) o.configured = at;
    all.push_back(std::move(o));
  }
  return all;
}

std::string_view device_of(std::string_view vdev_value) {
  return vdev_value.substr(0, vdev_value.find(','));
}

bool replaces(const EalOption& given, const EalOption& configured) {
  const Group g = group_of(given);
  const Group c = group_of(configured);
  switch (g) {
    case Group::adds:
      return false;
    case Group::cores:  // a main lcore that is not among the new ones would be an error
      return c == Group::cores || c == Group::main_core;
    case Group::no_hugepages:  // the EAL refuses what speaks of hugepages beside --no-huge
      return c == Group::no_hugepages || c == Group::hugepages || configured.name == "socket-mem";
    case Group::hugepages:
      return c == Group::no_hugepages || configured.name == given.name;
    case Group::memory_amount:
      return c == Group::memory_amount || (given.name == "socket-mem" && c == Group::no_hugepages);
    case Group::vdev:
      return c == Group::vdev && device_of(given.value) == device_of(configured.value);
    case Group::itself:
      return configured.name == given.name && !given.name.empty();
    case Group::main_core:
    case Group::devices:
    case Group::telemetry:
      return c == g;
  }
  return false;
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

std::vector<EalOption> merge_eal_options(const std::vector<std::string>& configured,
                                         const std::vector<std::string>& given) {
  std::vector<EalOption> merged = parse(configured, true);
  const std::vector<EalOption> from_line = parse(given);
  std::erase_if(merged, [&](const EalOption& c) {
    return std::any_of(from_line.begin(), from_line.end(),
                       [&](const EalOption& g) { return replaces(g, c); });
  });
  merged.insert(merged.end(), from_line.begin(), from_line.end());
  return merged;
}

std::vector<std::string> merge_eal_arguments(const std::vector<std::string>& configured,
                                             const std::vector<std::string>& given) {
  std::vector<std::string> words;
  for (const EalOption& o : merge_eal_options(configured, given))
    words.insert(words.end(), o.words.begin(), o.words.end());
  return words;
}

std::string file_prefix(const std::vector<std::string>& eal) {
  const auto values = option_values(eal, "file-prefix");
  return values.empty() ? "rte" : values.back();
}

bool has_option(const std::vector<std::string>& eal, std::string_view name) {
  const auto options = parse(eal);
  return std::any_of(options.begin(), options.end(),
                     [&](const EalOption& o) { return o.name == name; });
}

std::vector<std::string> option_values(const std::vector<std::string>& eal, std::string_view name) {
  std::vector<std::string> values;
  for (const EalOption& o : parse(eal))
    if (o.name == name) values.push_back(o.value);
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
