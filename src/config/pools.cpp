// Pools and their backends, each looked at alone; what needs the ports is in addresses.cpp.
#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "validate.h"

namespace limpet::config {
namespace {

bool is_prime(uint32_t n) {
  if (n < 4) return n > 1;
  if (n % 2 == 0) return false;
  for (uint32_t d = 3; d <= n / d; d += 2)
    if (n % d == 0) return false;
  return true;
}

constexpr uint32_t kMaglevLeast = 251, kMaglevMost = 5000011;  // both prime

// Settings of the language whose neutral value this version has anyway; any other value is refused.
void check_neutral_number(const Node& group, std::string_view name, Report& report) {
  const Node* node = group.find(name);
  if (node == nullptr) return;
  const bool zero = (node->kind == Kind::integer && node->integer == 0 && node->wrapped.empty()) ||
                    (node->kind == Kind::real && node->real == 0);
  if (node->kind != Kind::integer && node->kind != Kind::real)
    wrong_kind(*node, "0 (off)", report);
  else if (!zero)
    report.add(*node, fmt::format("{} is not supported by this version; expected 0 (off)",
                                  describe(*node)));
}

void check_neutral_duration(const Node& group, std::string_view name, Report& report) {
  const Node* node = group.find(name);
  if (node == nullptr) return;
  const auto d = read_duration(*node, Duration(0), std::chrono::hours(24 * 7), report);
  if (d && *d != Duration(0))
    report.add(*node, fmt::format("{} is not supported by this version; expected \"0s\" (off)",
                                  quote(node->text)));
}

void check_neutral_backend(const Node& node, Report& report) {
  check_neutral_number(node, "max_connections", report);
  if (const Node* buddy = node.find("buddy"))
    if (const auto text = read_string(*buddy, "\"\" (none)", report); text && !text->empty())
      report.add(*buddy, fmt::format("{} is not supported by this version; expected \"\" (none)",
                                     quote(*text)));
  if (const Node* backup = node.find("backup"))
    if (read_boolean(*backup, report).value_or(false))
      report.add(*backup, "true is not supported by this version; expected false");
}

Backend read_backend(const Node& node, Report& report) {
  Backend backend;
  backend.line = node.line;
  if (!is_group(node, report)) return backend;
  check_names(node,
              {{"name", "address", "port", "weight", "buddy", "max_connections", "backup"}, {}},
              report);
  check_neutral_backend(node, report);
  if (const Node* name = require(node, "name", "the name of the backend", report))
    backend.name = read_name(*name, report).value_or("");
  if (const Node* address = require(node, "address", "an IPv4 or IPv6 address", report))
    backend.address = read_address(*address, report).value_or(IpAddress{});
  if (const Node* port = require(node, "port", "an integer from 1 to 65535", report))
    backend.port = static_cast<uint16_t>(read_integer(*port, 1, 65535, report).value_or(0));
  if (const Node* weight = node.find("weight"))
    backend.weight = static_cast<uint32_t>(read_integer(*weight, 0, 256, report).value_or(1));
  return backend;
}

void check_backends(const Pool& pool, const Node& list, Report& report) {
  std::map<std::string, size_t> names;
  std::map<std::pair<IpAddress, uint16_t>, size_t> endpoints;
  const Backend* first_known = nullptr;
  for (size_t i = 0; i < pool.backends.size(); ++i) {
    const Backend& b = pool.backends[i];
    const Node& node = list.children[i];
    if (!b.name.empty())
      if (const auto [first, fresh] = names.emplace(b.name, i); !fresh)
        report.add(member(node, "name"),
                   fmt::format("\"{}\" is already the name of {}; expected a name of its own",
                               b.name, list.children[first->second].path));
    if (b.address.is_unspecified()) continue;
    if (first_known == nullptr) first_known = &b;
    if (b.address.family() != first_known->address.family())
      report.add(member(node, "address"),
                 fmt::format("{} is of another family than {} in the same pool; expected an {} "
                             "address, or a pool for each family",
                             b.address.to_string(), first_known->address.to_string(),
                             first_known->address.is_v4() ? "IPv4" : "IPv6"));
    if (b.port == 0) continue;
    if (const auto [first, fresh] = endpoints.emplace(std::pair(b.address, b.port), i); !fresh)
      report.add(member(node, "address"),
                 fmt::format("{} port {} is already {}; expected each backend once, with a weight",
                             b.address.to_string(), b.port, list.children[first->second].path));
  }
  if (std::all_of(pool.backends.begin(), pool.backends.end(),
                  [](const Backend& b) { return b.weight == 0; }))
    report.add(list,
               "all weights are 0; expected at least one backend with a weight from 1 to 256");
}

void read_source_addresses(const Node& node, Pool& pool, Report& report) {
  const auto list = read_sequence(node, "address", 1, kMaxPoolSources, report);
  if (!list) return;
  for (size_t i = 0; i < list->size(); ++i) {
    const IpAddress address = read_address(list->data()[i], report).value_or(IpAddress{});
    const auto same =
        std::find(pool.source_addresses.begin(), pool.source_addresses.end(), address);
    if (!address.is_unspecified() && same != pool.source_addresses.end())
      report.add(list->data()[i],
                 fmt::format("{} is already in the list; expected each address once",
                             address.to_string()));
    pool.source_addresses.push_back(address);
  }
}

void read_source_ports(const Node& node, Pool& pool, Report& report) {
  constexpr std::string_view kExpected = "the first and the last port, such as [ 1024, 65535 ]";
  if (!node.is_sequence()) return wrong_kind(node, kExpected, report);
  if (node.children.size() != 2) {
    report.add(node, fmt::format("{} instead of 2 elements; expected {}", node.children.size(),
                                 kExpected));
    return;
  }
  const auto first = read_integer(node.children[0], 1, 65535, report);
  const auto last = read_integer(node.children[1], 1, 65535, report);
  if (!first || !last) return;
  if (*first > *last) {
    report.add(node, fmt::format("first port {} is above the last port {}; expected {}", *first,
                                 *last, kExpected));
    return;
  }
  pool.source_ports_place = {node.file, node.line};
  pool.source_port_first = static_cast<uint16_t>(*first);
  pool.source_port_last = static_cast<uint16_t>(*last);
}

void read_maglev_size(const Node& node, Pool& pool, Report& report) {
  const auto n = read_integer(node, kMaglevLeast, kMaglevMost, report);
  if (!n) return;
  pool.maglev_size = static_cast<uint32_t>(*n);
  if (is_prime(pool.maglev_size)) return;
  uint32_t prime = pool.maglev_size;
  while (!is_prime(prime)) ++prime;  // ends at kMaglevMost
  report.add(node, fmt::format("{} is not prime; expected a prime from {} to {}, such as {}", *n,
                               kMaglevLeast, kMaglevMost, prime));
}

Pool read_pool(const Node& node, Draft& draft) {
  Pool pool;
  pool.line = node.line;
  Report& report = draft.report;
  draft.health_given.push_back(node.find("health") != nullptr);
  if (!is_group(node, report)) return pool;
  check_names(node,
              {{"name", "backends", "source_addresses", "source_ports", "maglev_size", "health",
                "scheduler", "load_factor", "slow_start"},
               {"drain_timeout"}},
              report);
  if (const Node* scheduler = node.find("scheduler"))
    if (read_word(*scheduler, {"maglev", "roundrobin"}, {"leastconn", "p2c", "random"}, report) ==
        1u)
      pool.scheduler = balance::SchedulerType::roundrobin;
  check_neutral_number(node, "load_factor", report);
  check_neutral_duration(node, "slow_start", report);
  if (const Node* name = require(node, "name", "the name of the pool", report))
    pool.name = read_name(*name, report).value_or("");
  if (const Node* sources = node.find("source_addresses"))
    read_source_addresses(*sources, pool, report);
  if (const Node* ports = node.find("source_ports")) read_source_ports(*ports, pool, report);
  if (const Node* size = node.find("maglev_size")) read_maglev_size(*size, pool, report);
  if (const Node* health = node.find("health")) pool.health = read_health(*health, report);
  const Node* backends = require(node, "backends", "a list of at least one backend", report);
  if (backends == nullptr) return pool;
  if (const auto list = read_sequence(*backends, "backend", 1, kMaxPoolBackends, report)) {
    for (const Node& backend : *list) pool.backends.push_back(read_backend(backend, report));
    check_backends(pool, *backends, report);
  }
  if (pool.maglev_size <= pool.backends.size())
    report.add(member(node, "maglev_size"),
               fmt::format("{} entries for {} backends; expected more entries than backends",
                           pool.maglev_size, pool.backends.size()));
  return pool;
}

}  // namespace

void read_pools(Draft& draft) {
  const Node* node = require(draft.root, "pools", "a list of at least one pool", draft.report);
  if (node == nullptr) return;
  const auto list = read_sequence(*node, "pool", 1, kMaxPools, draft.report);
  if (!list) return;
  std::map<std::string, size_t> names;
  size_t backends = 0;
  for (size_t i = 0; i < list->size(); ++i) {
    Pool pool = read_pool(list->data()[i], draft);
    backends += pool.backends.size();
    if (!pool.name.empty())
      if (const auto [first, fresh] = names.emplace(pool.name, i); !fresh)
        draft.report.add(member(list->data()[i], "name"),
                         fmt::format("\"{}\" is already the name of pools[{}]; expected a name of "
                                     "its own",
                                     pool.name, first->second));
    draft.document.pools.push_back(std::move(pool));
  }
  if (backends > kMaxBackends)
    draft.report.add(
        *node, fmt::format("{} backends in all; expected at most {}", backends, kMaxBackends));
}

}  // namespace limpet::config
