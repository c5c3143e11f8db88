// Ports with their networks, and routes.
#include <fmt/core.h>

#include <algorithm>
#include <map>

#include "validate.h"

namespace limpet::config {
namespace {

constexpr std::string_view kDeviceExpected =
    "the name of a vdev such as \"net_af_packet0\" or a PCI address such as \"0000:03:00.0\"";

bool is_hex(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
  });
}

// "03:00.0" and "0000:03:00.0" are the same device; EAL names it in the long form.
std::string canonical_device(const std::string& device) {
  std::string lower = device;
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'F' ? static_cast<char>(c | 0x20) : c; });
  const auto is_bus_form = [](std::string_view t) {  // BB:DD.F
    return t.size() == 7 && is_hex(t.substr(0, 2)) && t[2] == ':' && is_hex(t.substr(3, 2)) &&
           t[5] == '.' && t[6] >= '0' && t[6] <= '7';
  };
  if (is_bus_form(lower)) return "0000:" + lower;
  if (lower.size() == 12 && is_hex(std::string_view(lower).substr(0, 4)) && lower[4] == ':' &&
      is_bus_form(std::string_view(lower).substr(5)))
    return lower;
  return device;
}

std::optional<std::string> read_device(const Node& node, Report& report) {
  constexpr size_t kLongest = 63;  // RTE_DEV_NAME_MAX_LEN with its end
  const auto text = read_string(node, kDeviceExpected, report);
  if (!text) return std::nullopt;
  if (text->find(',') != std::string::npos) {
    report.add(node, fmt::format("{} has arguments; expected the name alone, and the arguments in "
                                 "eal (\"--vdev=...\" or \"-a ...\")",
                                 quote(*text)));
    return std::nullopt;
  }
  const bool printable =
      std::all_of(text->begin(), text->end(), [](char c) { return c > 0x20 && c < 0x7f; });
  if (text->empty() || text->size() > kLongest || !printable) {
    report.add(node,
               fmt::format("{} is no device name; expected {}", quote(*text), kDeviceExpected));
    return std::nullopt;
  }
  return canonical_device(*text);
}

// ADDRESS/LENGTH with the length given, in range and not 0.
std::optional<Prefix> read_prefix(const Node& node, std::string_view expected, bool bare_is_host,
                                  uint8_t shortest, Report& report) {
  const auto text = read_string(node, expected, report);
  if (!text) return std::nullopt;
  const size_t slash = text->find('/');
  const auto address = IpAddress::parse(std::string_view(*text).substr(0, slash));
  const auto prefix = Prefix::parse(*text);
  if (!address && (text->find("::ffff:") == 0 || text->find("::FFFF:") == 0)) {
    report.add(node, fmt::format("{} is an IPv4-mapped IPv6 prefix; expected the IPv4 form",
                                 quote(*text)));
  } else if (!address) {
    report.add(node, fmt::format("{} has no valid address; expected {}", quote(*text), expected));
  } else if (slash == std::string::npos && !bare_is_host) {
    report.add(node, fmt::format("{} has no prefix length; expected {}", quote(*text), expected));
  } else if (!prefix || prefix->length < shortest) {
    report.add(node, fmt::format("{} has a prefix length out of range; expected {} to {}",
                                 quote(*text), shortest, address->is_v4() ? 32 : 128));
  } else {
    return prefix;
  }
  return std::nullopt;
}

std::optional<Prefix> read_port_address(const Node& node, Report& report) {
  constexpr std::string_view kExpected =
      "an address with the length of its network, such as \"10.1.0.254/24\"";
  const auto prefix = read_prefix(node, kExpected, false, 1, report);
  if (!prefix) return std::nullopt;
  auto why = unusable(prefix->address);
  if (!why) why = reserved_in(*prefix, prefix->address);
  if (!why) return prefix;
  report.add(node, fmt::format("{} {}; expected {}", quote(node.text), *why, kExpected));
  return std::nullopt;
}

Port read_port(const Node& node, Draft& draft) {
  Port port;
  port.line = node.line;
  Report& report = draft.report;
  if (!is_group(node, report)) return port;
  check_names(node, {{"name", "device", "addresses", "mtu"}, {}}, report);
  if (const Node* name = require(node, "name", "the name of the port", report))
    port.name = read_name(*name, report).value_or("");
  if (const Node* device = require(node, "device", kDeviceExpected, report)) {
    port.device_place = {device->file, device->line};
    port.device = read_device(*device, report).value_or("");
  }
  if (const Node* mtu = node.find("mtu"))
    if (const auto bytes = read_integer(*mtu, 1280, 9600, report))
      port.mtu = static_cast<uint16_t>(*bytes);
  const Node* addresses =
      require(node, "addresses",
              "a list of addresses with prefix length, such as [ \"10.1.0.254/24\" ]", report);
  if (addresses == nullptr) return port;
  const auto list = read_sequence(*addresses, "address", 1, kMaxPortAddresses, report);
  if (!list) return port;
  for (const Node& address : *list)
    port.addresses.push_back(read_port_address(address, report).value_or(Prefix{}));
  return port;
}

void check_duplicates(Draft& draft) {
  std::map<std::string, size_t> names, devices;
  for (size_t i = 0; i < draft.document.ports.size(); ++i) {
    const Port& port = draft.document.ports[i];
    const Node& node = element(draft.root, "ports", i);
    if (!port.name.empty())
      if (const auto [first, fresh] = names.emplace(port.name, i); !fresh)
        draft.report.add(member(node, "name"),
                         fmt::format("\"{}\" is already the name of ports[{}]; expected a name of "
                                     "its own",
                                     port.name, first->second));
    if (!port.device.empty())
      if (const auto [first, fresh] = devices.emplace(port.device, i); !fresh)
        draft.report.add(member(node, "device"),
                         fmt::format("\"{}\" is already the device of ports[{}]; expected a device "
                                     "of its own",
                                     port.device, first->second));
  }
}

bool overlap(const Prefix& a, const Prefix& b) {
  return a.length <= b.length ? a.contains(b.network()) : b.contains(a.network());
}

// Each address once, and a network on one port only: otherwise nobody could say which way it lies.
void check_networks(Draft& draft) {
  struct Seen {
    size_t port;
    const Node* node;
    Prefix prefix;
  };
  std::vector<Seen> seen;
  for (size_t i = 0; i < draft.document.ports.size(); ++i) {
    const Port& port = draft.document.ports[i];
    const Node& list = member(element(draft.root, "ports", i), "addresses");
    for (size_t j = 0; j < port.addresses.size(); ++j) {
      const Prefix& prefix = port.addresses[j];
      if (prefix.address.is_unspecified()) continue;
      const Node& node = list.children[j];
      const auto same = std::find_if(seen.begin(), seen.end(), [&](const Seen& s) {
        return s.prefix.address == prefix.address;
      });
      const auto crossing = std::find_if(seen.begin(), seen.end(), [&](const Seen& s) {
        return s.port != i && overlap(s.prefix, prefix);
      });
      if (same != seen.end() || crossing != seen.end()) draft.topology_known = false;
      if (same != seen.end())
        draft.report.add(node, fmt::format("{} is already {}; expected each address once",
                                           prefix.address.to_string(), same->node->path));
      else if (crossing != seen.end())
        draft.report.add(
            node, fmt::format("network {}/{} overlaps {}/{} of {}; expected networks of "
                              "different ports to be apart",
                              prefix.network().to_string(), prefix.length,
                              crossing->prefix.network().to_string(), crossing->prefix.length,
                              crossing->node->path));
      seen.push_back({i, &node, prefix});
    }
  }
}

Route read_route(const Node& node, Draft& draft) {
  constexpr std::string_view kToExpected = "a network such as \"0.0.0.0/0\" or \"fd00:9::/32\"";
  Route route;
  Report& report = draft.report;
  if (!is_group(node, report)) return route;
  check_names(node, {{"to", "via"}, {}}, report);
  bool to_known = false;
  if (const Node* to = require(node, "to", kToExpected, report)) {
    const auto prefix = read_prefix(*to, kToExpected, true, 0, report);
    if (prefix && prefix->address != prefix->network()) {
      report.add(*to, fmt::format("{} has bits behind its length; expected \"{}/{}\"",
                                  quote(to->text), prefix->network().to_string(), prefix->length));
    } else if (prefix) {
      route.to = *prefix;
      to_known = true;
    }
  }
  const Node* via =
      require(node, "via", "the address of a router in the network of a port", report);
  if (via == nullptr) return route;
  const auto address = read_address(*via, report);
  if (!address) return route;
  if (to_known && address->family() != route.to.address.family()) {
    report.add(*via, fmt::format("{} is of another family than {}; expected an {} address",
                                 address->to_string(), route.to.to_string(),
                                 route.to.address.is_v4() ? "IPv4" : "IPv6"));
    return route;
  }
  for (uint32_t i = 0; i < draft.document.ports.size(); ++i)
    for (const Prefix& prefix : draft.document.ports[i].addresses) {
      if (prefix.address.is_unspecified() || !prefix.contains(*address)) continue;
      auto why = reserved_in(prefix, *address);
      if (prefix.address == *address)
        why = fmt::format("is the address of port \"{}\" itself", draft.document.ports[i].name);
      if (why) {
        report.add(*via, fmt::format("{} {}; expected the address of a router",
                                     address->to_string(), *why));
        return route;
      }
      route.port = i;
      if (to_known) route.via = *address;
    }
  if (to_known && route.via.is_unspecified() && draft.topology_known)
    report.add(*via, fmt::format("{} is in no port's network; expected an on-link address",
                                 address->to_string()));
  return route;
}

}  // namespace

std::optional<std::string> reserved_in(const Prefix& on_link, const IpAddress& address) {
  const bool v4 = on_link.address.is_v4();
  if (on_link.length + 1 >= (v4 ? 32 : 128) || !on_link.contains(address)) return std::nullopt;
  const std::string network = fmt::format("{}/{}", on_link.network().to_string(), on_link.length);
  if (address == on_link.network())
    return fmt::format("is the {} address of {}", v4 ? "network" : "subnet-router anycast",
                       network);
  if (!v4) return std::nullopt;
  const uint32_t host = 0xffffffffu >> on_link.length;
  if ((address.v4_word().host() & host) == host)
    return fmt::format("is the broadcast address of {}", network);
  return std::nullopt;
}

void read_ports(Draft& draft) {
  const size_t before = draft.report.count();
  const Node* node = require(draft.root, "ports", "a list of at least one port", draft.report);
  if (node != nullptr)
    if (const auto list = read_sequence(*node, "port", 1, kMaxPorts, draft.report)) {
      for (const Node& port : *list) draft.document.ports.push_back(read_port(port, draft));
      check_duplicates(draft);
    }
  for (const Port& port : draft.document.ports) {
    if (port.addresses.empty()) draft.topology_known = false;
    for (const Prefix& prefix : port.addresses)
      if (prefix.address.is_unspecified()) draft.topology_known = false;
  }
  if (draft.document.ports.empty() && draft.report.count() > before) draft.topology_known = false;
  check_networks(draft);
}

void read_routes(Draft& draft) {
  const Node* node = draft.root.find("routes");
  if (node == nullptr) return;
  const auto list = read_sequence(*node, "route", 0, kMaxRoutes, draft.report);
  if (!list) {
    draft.topology_known = false;
    return;
  }
  for (const Node& route : *list) draft.document.routes.push_back(read_route(route, draft));
  std::vector<Route>& routes = draft.document.routes;
  for (size_t i = 0; i < routes.size(); ++i) {
    if (routes[i].via.is_unspecified()) {
      draft.topology_known = false;
      continue;
    }
    const Node& to = member(list->data()[i], "to");
    for (size_t j = 0; j < i; ++j)
      if (routes[j].to == routes[i].to && !routes[j].via.is_unspecified()) {
        draft.report.add(to, fmt::format("{} is already the target of routes[{}]; expected one "
                                         "route to a network",
                                         routes[i].to.to_string(), j));
        break;
      }
    for (const Port& port : draft.document.ports)
      for (const Prefix& prefix : port.addresses)
        if (!prefix.address.is_unspecified() && prefix.length == routes[i].to.length &&
            prefix.contains(routes[i].to.address))
          draft.report.add(to, fmt::format("{} is the network of port \"{}\" itself; expected a "
                                           "network that is not on-link",
                                           routes[i].to.to_string(), port.name));
  }
}

}  // namespace limpet::config
