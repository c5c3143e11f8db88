// What a reload cannot change: EAL, lcores' polling, preallocated tables and ports exist once a
// process. A service may change its mode, persistence and all else while it runs, since that is for
// connections to come: but for the two things here that are memory.
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "limpet/config/load.h"

namespace limpet::config {
namespace {

const char* name(Poll poll) {
  return poll == Poll::spin ? "spin" : "adaptive";
}

std::string addresses(const Port& port) {
  std::string list;
  for (const Prefix& p : port.addresses) list += (list.empty() ? "" : ", ") + p.to_string();
  return list;
}

void compare_port(const Port& running, const Port& wanted, std::vector<std::string>& out) {
  if (running.device != wanted.device)
    out.push_back(fmt::format("port \"{}\" runs on device {}, the file says {}", running.name,
                              running.device, wanted.device));
  if (running.mtu != wanted.mtu)
    out.push_back(fmt::format("port \"{}\" runs with mtu {}, the file says {}", running.name,
                              running.mtu, wanted.mtu));
  if (running.addresses != wanted.addresses)
    out.push_back(fmt::format("port \"{}\" runs with addresses {}, the file says {}", running.name,
                              addresses(running), addresses(wanted)));
}

const Port* find(const std::vector<Port>& ports, const std::string& port_name) {
  for (const Port& port : ports)
    if (port.name == port_name) return &port;
  return nullptr;
}

void compare_ports(const std::vector<Port>& running, const std::vector<Port>& wanted,
                   std::vector<std::string>& out) {
  bool same_names = running.size() == wanted.size();
  for (const Port& port : running) {
    if (const Port* other = find(wanted, port.name))
      compare_port(port, *other, out);
    else
      out.push_back(
          fmt::format("port \"{}\" is running, the file has none of that name", port.name)),
          same_names = false;
  }
  for (const Port& port : wanted)
    if (find(running, port.name) == nullptr) {
      out.push_back(fmt::format("port \"{}\" is new in the file", port.name));
      same_names = false;
    }
  if (!same_names) return;
  for (size_t i = 0; i < running.size(); ++i)
    if (running[i].name != wanted[i].name) {
      // Flows and neighbours hold port indices.
      out.push_back("the ports are in another order in the file");
      return;
    }
}

// Workers write into a table all the time: it cannot be copied into one of another size without
// losing sessions. A service that is new, or gets its first table, or gives it up, is another
// thing.
void compare_tables(const Document& running, const Document& wanted,
                    std::vector<std::string>& out) {
  std::map<std::tuple<IpAddress, uint16_t, Protocol>, const Service*> services;
  for (const Service& s : running.services)
    if (s.table.size != 0) services[{s.vip, s.port, s.protocol}] = &s;
  for (const Service& s : wanted.services) {
    if (s.table.size == 0) continue;
    const auto found = services.find({s.vip, s.port, s.protocol});
    if (found != services.end() && found->second->table.size != s.table.size)
      out.push_back(fmt::format("the table of service \"{}\" has {} entries, the file says {}",
                                s.name, found->second->table.size, s.table.size));
  }
}

}  // namespace

std::vector<std::string> restart_needed(const Document& running, const Document& wanted) {
  std::vector<std::string> out;
  if (running.eal != wanted.eal)
    out.push_back(fmt::format("eal runs with [{}], the file says [{}]", fmt::join(running.eal, " "),
                              fmt::join(wanted.eal, " ")));
  if (running.poll != wanted.poll)
    out.push_back(fmt::format("poll runs as \"{}\", the file says \"{}\"", name(running.poll),
                              name(wanted.poll)));
  if (running.capacity.flows != wanted.capacity.flows)
    out.push_back(fmt::format("capacity.flows is {}, the file says {}", running.capacity.flows,
                              wanted.capacity.flows));
  if (running.capacity.held_packets != wanted.capacity.held_packets)
    out.push_back(fmt::format("capacity.held_packets is {}, the file says {}",
                              running.capacity.held_packets, wanted.capacity.held_packets));
  compare_ports(running.ports, wanted.ports, out);
  compare_tables(running, wanted, out);
  return out;
}

}  // namespace limpet::config
