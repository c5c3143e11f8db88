#include "limpet/port/eal_values.h"

#include <fmt/core.h>
#include <fmt/ranges.h>
#include <rte_config.h>

#include <algorithm>
#include <array>
#include <bitset>
#include <charconv>
#include <initializer_list>

#include "limpet/port/runtime.h"

namespace limpet::port {
namespace {

constexpr unsigned kMaxLcores = RTE_MAX_LCORE;
constexpr unsigned kMaxCpus = 1024;  // CPU_SETSIZE, the EAL's limit for what stands behind '@'
using Lcores = std::bitset<kMaxLcores>;
using Cpus = std::bitset<kMaxCpus>;

bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

std::optional<uint64_t> number(std::string_view text, int base = 10) {
  uint64_t n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n, base);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return n;
}

bool is_within(std::string_view text, uint64_t low, uint64_t high) {
  const auto n = number(text);
  return n && *n >= low && *n <= high;
}

// Reads a text from its beginning; blanks may stand between what it reads.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  bool take(char c) {
    skip();
    if (text_.empty() || text_.front() != c) return false;
    text_.remove_prefix(1);
    return true;
  }
  std::optional<uint64_t> take_number() {
    skip();
    const auto digits = std::min(text_.find_first_not_of("0123456789"), text_.size());
    const auto n = number(text_.substr(0, digits));
    text_.remove_prefix(digits);
    return n;
  }
  bool at_end() {
    skip();
    return text_.empty();
  }

 private:
  void skip() {
    while (!text_.empty() && is_blank(text_.front())) text_.remove_prefix(1);
  }
  std::string_view text_;
};

// N or N-M. --lcores takes a range that falls for the same one that rises, -l for an empty one.
template <size_t kMost>
bool take_range(Scanner& in, std::bitset<kMost>& set, bool may_fall, bool* is_range = nullptr) {
  const auto first = in.take_number();
  if (!first || *first >= kMost) return false;
  auto last = first;
  const bool range = in.take('-');
  if (range) last = in.take_number();
  if (is_range != nullptr) *is_range = range;
  if (!last || *last >= kMost || (*last < *first && !may_fall)) return false;
  for (uint64_t i = std::min(*first, *last); i <= std::max(*first, *last); ++i) set.set(i);
  return true;
}

// N, N-M (`is_range`) or (N,N-M,...).
bool take_set(Scanner& in, Cpus& set, bool& is_range) {
  if (!in.take('(')) return take_range(in, set, true, &is_range);
  do {
    if (!take_range(in, set, true)) return false;
  } while (in.take(','));
  return in.take(')');
}

std::optional<Lcores> read_list(std::string_view text) {
  Scanner in(text);
  Lcores lcores;
  do {
    if (!take_range(in, lcores, false)) return std::nullopt;
  } while (in.take(','));
  return in.at_end() ? std::optional(lcores) : std::nullopt;
}

// LCORES[@CPUS],...
std::optional<Lcores> read_map(std::string_view text) {
  Scanner in(text);
  Lcores lcores;
  do {
    Cpus ids, cpus;
    bool is_range = false;
    if (!take_set(in, ids, is_range)) return std::nullopt;
    // 0-2@1 would be one lcore on CPU 1 or three: the EAL wants (0-2)@1.
    if (in.take('@') && (is_range || !take_set(in, cpus, is_range))) return std::nullopt;
    for (unsigned i = 0; i < kMaxCpus; ++i)
      if (ids.test(i)) {
        if (i >= kMaxLcores) return std::nullopt;
        lcores.set(i);
      }
  } while (in.take(','));
  return in.at_end() ? std::optional(lcores) : std::nullopt;
}

std::optional<Lcores> read_mask(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  if (text.starts_with("0x") || text.starts_with("0X")) text.remove_prefix(2);
  Lcores lcores;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto digit = number(text.substr(text.size() - 1 - i, 1), 16);
    if (!digit) return std::nullopt;
    for (unsigned bit = 0; bit < 4; ++bit)
      if ((*digit >> bit & 1) != 0) {
        if (4 * i + bit >= kMaxLcores) return std::nullopt;
        lcores.set(4 * i + bit);
      }
  }
  return lcores.any() ? std::optional(lcores) : std::nullopt;
}

bool chooses_lcores(const EalOption& o) {
  return o.name == "l" || o.name == "c" || o.name == "lcores";
}
bool chooses_service_lcores(const EalOption& o) {
  return o.name == "s" || o.name == "S";
}

std::optional<Lcores> read_lcores(const EalOption& o) {
  if (o.name == "lcores") return read_map(o.value);
  return o.name == "l" || o.name == "S" ? read_list(o.value) : read_mask(o.value);
}

std::optional<unsigned> read_main(std::string_view text) {
  const bool hex = text.starts_with("0x") || text.starts_with("0X");
  const auto n = hex ? number(text.substr(2), 16) : number(text);
  if (!n || *n >= kMaxLcores) return std::nullopt;
  return static_cast<unsigned>(*n);
}

const EalOption* find(const std::vector<EalOption>& options, std::string_view name) {
  const auto found = std::find_if(options.rbegin(), options.rend(),
                                  [&](const EalOption& o) { return o.name == name; });
  return found == options.rend() ? nullptr : &*found;
}

// Who does what, when that is known from the options alone.
struct Cores {
  Lcores lcores;  // all of them
  unsigned main = 0;
  Lcores workers;
};
std::optional<Cores> find_cores(const std::vector<EalOption>& options) {
  Cores cores;
  bool chosen = false;
  for (const EalOption& o : options)
    if (chooses_lcores(o)) {
      const auto lcores = read_lcores(o);
      if (!lcores) return std::nullopt;
      chosen = true;
      cores.lcores = *lcores;
    }
  if (!chosen) return std::nullopt;
  while (!cores.lcores.test(cores.main)) ++cores.main;
  if (const EalOption* given = find(options, "main-lcore")) {
    const auto id = read_main(given->value);
    if (!id) return std::nullopt;
    cores.main = *id;
  }
  cores.workers = cores.lcores;
  for (const EalOption& o : options)
    if (chooses_service_lcores(o)) {
      const auto service = read_lcores(o);
      if (!service) return std::nullopt;
      cores.workers &= ~*service;
    }
  cores.workers.reset(cores.main);
  return cores;
}

constexpr std::string_view kFacilities[] = {
    "auth", "cron",   "daemon", "ftp",    "kern",   "lpr",    "mail",   "news",   "syslog", "user",
    "uucp", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"};

bool socket_memory_ok(std::string_view text) {
  size_t sockets = 0;
  for (;; text.remove_prefix(text.find(',') + 1)) {
    if (!is_within(text.substr(0, text.find(',')), 0, RTE_MAX_MEM_MB)) return false;
    ++sockets;
    if (text.find(',') == std::string_view::npos) return sockets <= RTE_MAX_NUMA_NODES;
  }
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; });
  return text;
}

bool simd_width_ok(std::string_view text) {
  const auto n = number(text);
  return n && (*n == 0 || (*n >= 64 && *n <= 32768 && (*n & (*n - 1)) == 0));
}

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), text) != words.end();
}

// What is expected of the option's value instead of what it is; empty when it is right.
std::string expected_instead(const EalOption& o) {
  const std::string& v = o.value;
  if (o.name == "lcores" && !read_lcores(o))
    return fmt::format(
        "lcores from 0 to {}, with '@' and the CPUs that they run on if these are others, such as "
        "\"0@0,1@1\" or \"(0-2)@(0-1)\"",
        kMaxLcores - 1);
  if ((o.name == "l" || o.name == "S") && !read_lcores(o))
    return fmt::format("lcores from 0 to {}, such as \"0-3\" or \"0,2\"", kMaxLcores - 1);
  if ((o.name == "c" || o.name == "s") && !read_lcores(o))
    return fmt::format("a hexadecimal mask of lcores from 0 to {}, such as \"0x3\"",
                       kMaxLcores - 1);
  if (o.name == "main-lcore" && !read_main(v))
    return fmt::format("an lcore from 0 to {}", kMaxLcores - 1);
  if (o.name == "m" && !is_within(v, 1, RTE_MAX_MEM_MB))
    return fmt::format("whole megabytes from 1 to {}, such as \"512\"", RTE_MAX_MEM_MB);
  if (o.name == "socket-mem" && !socket_memory_ok(v))
    return fmt::format(
        "whole megabytes up to {} for each of at most {} sockets, such as "
        "\"512,512\"",
        RTE_MAX_MEM_MB, RTE_MAX_NUMA_NODES);
  if (o.name == "n" && !is_within(v, 1, INT32_MAX)) return "a number of memory channels from 1 on";
  if (o.name == "r" && !is_within(v, 1, 16)) return "a number of memory ranks from 1 to 16";
  if (o.name == "proc-type" && !is_one_of(lower(v), {"primary", "auto"}))
    return "\"primary\", as limpet owns its memory and ports, or no such option";
  if (o.name == "iova-mode" && !is_one_of(v, {"pa", "va"})) return "\"pa\" or \"va\"";
  if (o.name == "vfio-intr" && !is_one_of(v, {"legacy", "msi", "msix"}))
    return "\"legacy\", \"msi\" or \"msix\"";
  if (o.name == "huge-unlink" && !is_one_of(v, {"", "existing", "always", "never"}))
    return "\"existing\", \"always\" or \"never\"";
  if (o.name == "syslog" &&
      std::find(std::begin(kFacilities), std::end(kFacilities), v) == std::end(kFacilities))
    return "a facility such as \"daemon\" or \"local0\"";
  if (o.name == "base-virtaddr" && !number(v.starts_with("0x") ? v.substr(2) : v, 16))
    return "a hexadecimal address";
  if (o.name == "force-max-simd-bitwidth" && !simd_width_ok(v))
    return "0 or a power of two from 64 to 32768";
  if (o.name == "file-prefix" && (v.empty() || v.find('%') != std::string::npos))
    return "a name without '%'";
  if ((o.name == "huge-dir" || o.name == "mbuf-pool-ops-name") && v.empty()) return "a name";
  return {};
}

std::optional<std::string> value_fault(const EalOption& o) {
  if (o.name == "h" || (o.name == "log-level" && o.value == "help"))
    return fmt::format(
        "{} makes the EAL print a text and end; expected it on the command line only", o.shown);
  if (const std::string expected = expected_instead(o); !expected.empty())
    return fmt::format("{} cannot be '{}'; expected {}", o.shown, o.value, expected);
  return std::nullopt;
}

// Options that the EAL refuses beside each other.
constexpr std::array<std::string_view, 2> kApart[] = {
    {"no-huge", "socket-mem"},
    {"no-huge", "in-memory"},
    {"no-huge", "huge-unlink"},
    {"no-huge", "match-allocations"},
    {"m", "socket-mem"},
    {"no-huge", "huge-worker-stack"},
    {"legacy-mem", "in-memory"},
    {"legacy-mem", "match-allocations"},
    {"a", "b"},
    {"single-file-segments", "huge-unlink"},
};

bool means(const EalOption& o, std::string_view name) {
  // "existing" is what the EAL does anyway, and "never" has nothing to unlink.
  return o.name == name && (name != "huge-unlink" || is_one_of(o.value, {"", "always"}));
}

std::optional<std::string> neighbour_fault(const std::vector<EalOption>& options, size_t at) {
  const EalOption& o = options[at];
  for (size_t i = 0; i < at; ++i) {
    const EalOption& before = options[i];
    if (chooses_lcores(o) && chooses_lcores(before))
      return fmt::format(
          "{} says again which lcores there are, besides {}; expected one of -l, -c "
          "and --lcores, once",
          o.shown, before.shown);
    for (const auto& [one, other] : kApart)
      if ((means(before, one) && means(o, other)) || (means(before, other) && means(o, one)))
        return fmt::format("{} cannot stand beside {}; expected one of them", o.shown,
                           before.shown);
  }
  return std::nullopt;
}

std::optional<std::string> cores_fault(const EalOption& o, const Cores& cores) {
  if (o.name == "main-lcore" && !cores.lcores.test(cores.main))
    return fmt::format("lcore {} is none of those that the EAL is given; expected one of them",
                       cores.main);
  if (!chooses_lcores(o) || !cores.lcores.test(cores.main)) return std::nullopt;
  if (cores.workers.none())
    return fmt::format(
        "no worker: lcore {} runs the control loop{}; expected at least one lcore "
        "more, such as \"--lcores\", \"0@0,1@1\" (\"0@0,1@0\" shares a CPU)",
        cores.main, cores.lcores.count() > 1 ? ", and the others are service cores" : "");
  if (cores.workers.count() > kMaxWorkers)
    return fmt::format("{} workers; expected at most {}, and one lcore more", cores.workers.count(),
                       kMaxWorkers);
  return std::nullopt;
}

// Drivers of virtual devices, and what they do not start without.
struct Driver {
  std::string_view name, other_name;
  std::initializer_list<std::string_view> one_of;  // arguments
  std::string_view example;
  std::initializer_list<std::string_view> all = {};  // arguments that there are; empty: not known
};
const Driver kDrivers[] = {
    {"net_af_packet",
     "eth_af_packet",
     {"iface"},
     "iface=eth0",
     {"iface", "qpairs", "blocksz", "framesz", "framecnt", "qdisc_bypass"}},
    {"net_af_xdp", "eth_af_xdp", {"iface"}, "iface=eth0"},
    {"net_bonding", "eth_bond", {"mode"}, "mode=1,slave=0000:03:00.0"},
    {"net_pcap",
     "eth_pcap",
     {"iface", "rx_iface", "rx_iface_in", "tx_iface", "rx_pcap", "tx_pcap"},
     "iface=eth0"},
    {"net_vhost", "eth_vhost", {"iface"}, "iface=/run/vhost0.sock"},
    {"net_virtio_user", "virtio_user", {"path"}, "path=/dev/vhost-net"},
};

}  // namespace

std::vector<EalFault> check_eal_values(const std::vector<EalOption>& options) {
  const auto cores = find_cores(options);
  std::vector<EalFault> faults;
  for (size_t i = 0; i < options.size(); ++i) {
    auto fault = value_fault(options[i]);
    if (!fault) fault = neighbour_fault(options, i);
    if (!fault && cores) fault = cores_fault(options[i], *cores);
    if (fault) faults.push_back({i, std::move(*fault)});
  }
  return faults;
}

std::optional<unsigned> worker_count(const std::vector<EalOption>& options) {
  const auto cores = find_cores(options);
  if (!cores) return std::nullopt;
  return static_cast<unsigned>(cores->workers.count());
}

std::optional<std::string> vdev_fault(std::string_view value) {
  constexpr size_t kLongestInterface = 15;  // IFNAMSIZ without its end
  const std::string device(value.substr(0, value.find(',')));
  const auto* driver = std::find_if(std::begin(kDrivers), std::end(kDrivers), [&](const Driver& d) {
    return device.starts_with(d.name) || device.starts_with(d.other_name);
  });
  if (driver == std::end(kDrivers)) return std::nullopt;
  const VdevArguments arguments = vdev_arguments({"--vdev", std::string(value)}, device);
  bool enough = false;
  for (const auto& [key, text] : arguments.pairs) {
    const bool needed = is_one_of(key, driver->one_of);
    enough |= needed;
    if (needed && text.empty())
      return fmt::format("{}= of {} is empty; expected \"--vdev={},{}\"", key, device, device,
                         driver->example);
    if (driver->all.size() != 0 && !is_one_of(key, driver->all))
      return fmt::format("{} has no argument {}; expected some of {}", driver->name, key,
                         fmt::join(driver->all, ", "));
    if (driver->name.starts_with("net_af_") && key == "iface" && text.size() > kLongestInterface)
      return fmt::format("'{}' is too long for an interface; expected at most {} characters", text,
                         kLongestInterface);
  }
  if (enough) return std::nullopt;
  return fmt::format("{} gets no {}=; expected \"--vdev={},{}\"", device, *driver->one_of.begin(),
                     device, driver->example);
}

}  // namespace limpet::port
