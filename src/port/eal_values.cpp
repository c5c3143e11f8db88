#include "limpet/port/eal_values.h"

#include <fmt/core.h>
#include <rte_config.h>

#include <algorithm>
#include <bitset>
#include <charconv>

#include "limpet/port/runtime.h"

namespace limpet::port {
namespace {

constexpr unsigned kMaxLcores = RTE_MAX_LCORE;
constexpr unsigned kMaxCpus = 1024;  // CPU_SETSIZE, the EAL's limit for what stands behind '@'
using Cpus = std::bitset<kMaxCpus>;

bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

std::optional<uint64_t> number(std::string_view text) {
  uint64_t n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return n;
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

// N or N-M, which may fall.
bool take_range(Scanner& in, Cpus& set, bool& is_range) {
  const auto first = in.take_number();
  auto last = first;
  is_range = in.take('-');
  if (is_range) last = in.take_number();
  if (!first || !last || *first >= kMaxCpus || *last >= kMaxCpus) return false;
  for (uint64_t i = std::min(*first, *last); i <= std::max(*first, *last); ++i) set.set(i);
  return true;
}

// N, N-M (`is_range`) or (N,N-M,...).
bool take_set(Scanner& in, Cpus& set, bool& is_range) {
  if (!in.take('(')) return take_range(in, set, is_range);
  do {
    if (!take_range(in, set, is_range)) return false;
  } while (in.take(','));
  is_range = false;
  return in.take(')');
}

// How many lcores LCORES[@CPUS],... are. -l takes a part of what --lcores takes.
std::optional<size_t> count_lcores(std::string_view text) {
  Scanner in(text);
  Cpus lcores;
  do {
    Cpus cpus;
    bool is_range = false;
    if (!take_set(in, lcores, is_range)) return std::nullopt;
    // 0-2@1 would be one lcore on CPU 1 or three: the EAL wants (0-2)@1.
    if (in.take('@') && (is_range || !take_set(in, cpus, is_range))) return std::nullopt;
  } while (in.take(','));
  if (!in.at_end() || (lcores >> kMaxLcores).any()) return std::nullopt;
  return lcores.count();
}

bool chooses_lcores(const EalOption& o) {
  return o.name == "l" || o.name == "lcores";
}

std::optional<std::string> fault_of(const EalOption& o) {
  if (o.name.empty())
    return fmt::format("'{}' belongs to no option; expected EAL options and their values", o.shown);
  if (o.configured && (o.name == "h" || (o.name == "log-level" && o.value == "help")))
    return fmt::format(
        "{} makes the EAL print a text and end; expected it on the command line only", o.shown);
  if (o.name == "m" && !read_megabytes(o.value))
    return fmt::format("{} cannot be '{}'; expected whole megabytes from 1 to {}, such as \"512\"",
                       o.shown, o.value, RTE_MAX_MEM_MB);
  if (!chooses_lcores(o)) return std::nullopt;
  const auto lcores = count_lcores(o.value);
  if (!lcores)
    return fmt::format(
        "{} cannot be '{}'; expected lcores from 0 to {}, with '@' and the CPUs that they run on "
        "if "
        "these are others, such as \"0@0,1@1\" or \"(0-2)@(0-1)\"",
        o.shown, o.value, kMaxLcores - 1);
  if (*lcores < 2)
    return fmt::format(
        "no worker: the only lcore of '{}' runs the control loop; expected at least one lcore "
        "more, such as "
        "\"--lcores\", \"0@0,1@1\" (\"0@0,1@0\" shares a CPU)",
        o.value);
  if (*lcores - 1 > kMaxWorkers)
    return fmt::format("{} workers; expected at most {}, and one lcore more", *lcores - 1,
                       kMaxWorkers);
  return std::nullopt;
}

}  // namespace

std::vector<EalFault> check_eal_values(const std::vector<EalOption>& options) {
  std::vector<EalFault> faults;
  for (size_t i = 0; i < options.size(); ++i)
    if (auto fault = fault_of(options[i])) faults.push_back({i, std::move(*fault)});
  return faults;
}

std::optional<unsigned> worker_count(const std::vector<EalOption>& options) {
  std::optional<unsigned> workers;
  for (const EalOption& o : options) {
    if (o.name == "c" || o.name == "s" || o.name == "S") return std::nullopt;
    if (!chooses_lcores(o)) continue;
    const auto lcores = count_lcores(o.value);
    if (!lcores || *lcores == 0) return std::nullopt;
    workers = static_cast<unsigned>(*lcores - 1);
  }
  return workers;
}

std::optional<uint64_t> read_megabytes(const std::string& value) {
  const auto n = number(value);
  return n && *n >= 1 && *n <= RTE_MAX_MEM_MB ? n : std::nullopt;
}

}  // namespace limpet::port
