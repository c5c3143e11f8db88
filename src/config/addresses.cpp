// The sections together: every address has one owner (us, a service, a backend, a router), every
// backend is reached by one port, and every pool has source addresses that its backends can answer.
#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <set>

#include "validate.h"

namespace limpet::config {
namespace {

// Longest prefix first; of equals the on-link network.
std::optional<uint32_t> reach(const Document& document, const IpAddress& address) {
  std::optional<uint32_t> best;
  int length = -1;
  for (uint32_t i = 0; i < document.ports.size(); ++i)
    for (const Prefix& p : document.ports[i].addresses)
      if (!p.address.is_unspecified() && p.contains(address) && p.length > length) {
        length = p.length;
        best = i;
      }
  for (const Route& r : document.routes)
    if (!r.via.is_unspecified() && r.to.contains(address) && r.to.length > length) {
      length = r.to.length;
      best = r.port;
    }
  return best;
}

// Who has an address, for a message: "ports[0].addresses[0]".
using Owners = std::map<IpAddress, std::string>;

Owners port_addresses(const Draft& draft) {
  Owners owners;
  for (size_t i = 0; i < draft.document.ports.size(); ++i)
    for (size_t j = 0; j < draft.document.ports[i].addresses.size(); ++j) {
      const Prefix& p = draft.document.ports[i].addresses[j];
      if (!p.address.is_unspecified())
        owners.emplace(p.address, fmt::format("ports[{}].addresses[{}]", i, j));
    }
  return owners;
}

Owners routers(const Draft& draft) {
  Owners owners;
  for (size_t i = 0; i < draft.document.routes.size(); ++i)
    if (const Route& r = draft.document.routes[i]; !r.via.is_unspecified())
      owners.emplace(r.via, fmt::format("routes[{}].via", i));
  return owners;
}

std::optional<std::string> reserved_on_link(const Document& document, const IpAddress& address) {
  for (const Port& port : document.ports)
    for (const Prefix& p : port.addresses)
      if (!p.address.is_unspecified())
        if (auto why = reserved_in(p, address)) return why;
  return std::nullopt;
}

const std::string* owner(const Owners& owners, const IpAddress& address) {
  const auto found = owners.find(address);
  return found == owners.end() ? nullptr : &found->second;
}

Owners check_vips(Draft& draft, const Owners& own, const Owners& via) {
  Owners vips;
  for (size_t i = 0; i < draft.document.services.size(); ++i) {
    const Service& s = draft.document.services[i];
    if (s.vip.is_unspecified()) continue;
    vips.emplace(s.vip, fmt::format("services[{}].vip", i));
    const Node& service = element(draft.root, "services", i);
    const Node& node = member(service, "vip");
    const std::string vip = s.vip.to_string();
    if (const std::string* who = owner(own, s.vip))
      draft.report.add(
          node,
          fmt::format("{} is {} itself; expected an address of its own for the VIP", vip, *who));
    else if (const std::string* router = owner(via, s.vip))
      draft.report.add(node,
                       fmt::format("{} is the router {}; expected an address of its own for the "
                                   "VIP",
                                   vip, *router));
    else if (const auto why = reserved_on_link(draft.document, s.vip))
      draft.report.add(node,
                       fmt::format("{} {}; expected an address that a host can have", vip, *why));
    if (s.pool == kNoPool) continue;
    const Pool& pool = draft.document.pools[s.pool];
    const auto known = std::find_if(pool.backends.begin(), pool.backends.end(),
                                    [](const Backend& b) { return !b.address.is_unspecified(); });
    if (known != pool.backends.end() && known->address.family() != s.vip.family())
      draft.report.add(
          member(service, "pool"),
          fmt::format("pool \"{}\" has {} backends, the VIP {} does not fit; expected a "
                      "pool of {} backends",
                      pool.name, known->address.is_v4() ? "IPv4" : "IPv6", vip,
                      s.vip.is_v4() ? "IPv4" : "IPv6"));
  }
  return vips;
}

class PoolCheck {
 public:
  PoolCheck(Draft& draft, const Owners& own, const Owners& vips, const Owners& via)
      : draft_(draft), own_(own), vips_(vips), via_(via) {
    for (size_t i = 0; i < draft.document.pools.size(); ++i)
      for (size_t j = 0; j < draft.document.pools[i].source_addresses.size(); ++j) {
        const IpAddress& a = draft.document.pools[i].source_addresses[j];
        if (!a.is_unspecified())
          sources_.emplace(a, fmt::format("pools[{}].source_addresses[{}]", i, j));
      }
    for (size_t i = 0; i < draft.document.pools.size(); ++i)
      for (size_t j = 0; j < draft.document.pools[i].backends.size(); ++j) {
        const IpAddress& a = draft.document.pools[i].backends[j].address;
        if (!a.is_unspecified()) backends_.emplace(a, fmt::format("pools[{}].backends[{}]", i, j));
      }
  }

  void pool(size_t index) {
    Pool& pool = draft_.document.pools[index];
    const Node& node = element(draft_.root, "pools", index);
    bool reached = true;
    for (size_t i = 0; i < pool.backends.size(); ++i)
      reached &= backend(pool.backends[i], element(node, "backends", i));
    if (!pool.source_addresses.empty()) {
      for (size_t i = 0; i < pool.source_addresses.size(); ++i)
        source(pool, pool.source_addresses[i], element(node, "source_addresses", i), reached);
      for (Backend& b : pool.backends) b.sources = pool.source_addresses;
    } else if (node.find("source_addresses") == nullptr && reached) {
      default_sources(pool);
    }
  }

 private:
  // Whether it is known by which port the backend is reached.
  bool backend(Backend& b, const Node& node) {
    if (b.address.is_unspecified()) return false;
    const Node& at = member(node, "address");
    const std::string address = b.address.to_string();
    constexpr std::string_view kExpected = "the address of a server that is not limpet itself";
    if (const std::string* who = owner(own_, b.address)) {
      draft_.report.add(at, fmt::format("{} is {}; expected {}", address, *who, kExpected));
    } else if (const std::string* vip = owner(vips_, b.address)) {
      draft_.report.add(at, fmt::format("{} is {}; expected {}", address, *vip, kExpected));
    } else if (const std::string* source = owner(sources_, b.address)) {
      draft_.report.add(at, fmt::format("{} is {}; expected {}", address, *source, kExpected));
    } else if (const auto why = reserved_on_link(draft_.document, b.address)) {
      draft_.report.add(at, fmt::format("{} {}; expected the address of a server", address, *why));
    } else {
      const auto port = reach(draft_.document, b.address);
      b.reached_by = port.value_or(0);
      if (!port && draft_.topology_known)
        draft_.report.add(at, fmt::format("{} is in no port's network and no route leads there; "
                                          "expected an on-link address or a route",
                                          address));
      return port.has_value();
    }
    return false;
  }

  void source(const Pool& pool, const IpAddress& a, const Node& node, bool reached) {
    if (a.is_unspecified()) return;
    const auto other =
        std::find_if(pool.backends.begin(), pool.backends.end(), [&](const Backend& b) {
          return !b.address.is_unspecified() && b.address.family() != a.family();
        });
    const std::string address = a.to_string();
    if (other != pool.backends.end()) {
      draft_.report.add(node, fmt::format("{} is of another family than backend {}; expected an {} "
                                          "address",
                                          address, other->address.to_string(),
                                          other->address.is_v4() ? "IPv4" : "IPv6"));
    } else if (const std::string* vip = owner(vips_, a)) {
      draft_.report.add(node,
                        fmt::format("{} is {}; expected an address that is no VIP", address, *vip));
    } else if (const std::string* router = owner(via_, a)) {
      draft_.report.add(
          node, fmt::format("{} is the router {}; expected an address of limpet's own", address,
                            *router));
    } else if (owner(own_, a) == nullptr && owner(backends_, a) == nullptr) {
      if (const auto why = reserved_on_link(draft_.document, a))
        draft_.report.add(
            node, fmt::format("{} {}; expected an address that a host can have", address, *why));
      else if (reached && draft_.topology_known && !in_network_of_backends(pool, a))
        draft_.report.add(node,
                          fmt::format("{} is neither a port's address nor in the network of the "
                                      "port that reaches the backends; expected one of these, as "
                                      "answers would not come back",
                                      address));
    }
  }

  bool in_network_of_backends(const Pool& pool, const IpAddress& a) const {
    return std::any_of(pool.backends.begin(), pool.backends.end(), [&](const Backend& b) {
      const std::vector<Prefix>& networks = draft_.document.ports[b.reached_by].addresses;
      return std::any_of(networks.begin(), networks.end(), [&](const Prefix& p) {
        return !p.address.is_unspecified() && p.contains(a);
      });
    });
  }

  // A backend is on-link or behind an on-link router of its family, so its port has such an
  // address.
  void default_sources(Pool& pool) {
    for (Backend& b : pool.backends)
      for (const Prefix& p : draft_.document.ports[b.reached_by].addresses) {
        if (p.address.is_unspecified() || p.address.family() != b.address.family()) continue;
        b.sources.push_back(p.address);
        if (std::find(pool.source_addresses.begin(), pool.source_addresses.end(), p.address) ==
            pool.source_addresses.end())
          pool.source_addresses.push_back(p.address);
      }
  }

  Draft& draft_;
  const Owners& own_;
  const Owners& vips_;
  const Owners& via_;
  Owners sources_;  // given in pools
  Owners backends_;
};

}  // namespace

void check_addresses(Draft& draft) {
  const Owners own = port_addresses(draft);
  const Owners via = routers(draft);
  const Owners vips = check_vips(draft, own, via);
  PoolCheck check(draft, own, vips, via);
  std::set<IpAddress> sources;
  for (size_t i = 0; i < draft.document.pools.size(); ++i) {
    check.pool(i);
    const std::vector<IpAddress>& used = draft.document.pools[i].source_addresses;
    sources.insert(used.begin(), used.end());
  }
  if (sources.size() > kMaxSources)
    draft.report.add(member(draft.root, "pools"),
                     fmt::format("{} different source addresses in all; expected at most {}",
                                 sources.size(), kMaxSources));
}

}  // namespace limpet::config
