// Tree -> Document, in passes. The readers look at one section each and fill the document in the
// file's own order, so that element i of a list in the file is element i of the document. A value
// that could not be read stays at a mark that no valid file can give (unspecified address, port 0,
// empty name), and later passes skip marks: one mistake, one report. The last pass looks at the
// sections together.
#pragma once

#include "limpet/config/document.h"
#include "reader.h"
#include "tree.h"

namespace limpet::config {

struct Draft {
  const Node& root;
  Report& report;
  Document document;
  // A port address or route could not be read: what else is unreachable is not known.
  bool topology_known = true;
  std::vector<bool> health_given;  // of each pool
};

constexpr uint32_t kNoPool = 0xffffffffu;  // mark: service without a usable pool

void validate(Draft& draft);  // all passes below, in order

void read_process(Draft& draft);   // eal, poll, capacity; the names of the top level
void read_metrics(Draft& draft);   // metrics
void check_metrics(Draft& draft);  // that limpet's own addresses are not among them
void read_log(Draft& draft);       // log
void read_ports(Draft& draft);     // ports
void read_routes(Draft& draft);    // routes
void read_pools(Draft& draft);     // pools with backends
Health read_health(const Node& node, Report& report);
std::optional<HealthProxy> read_health_proxy(const Node& pool, Report& report);
void read_services(Draft& draft);    // services, and what they say of their pools
void check_sealing(Draft& draft);    // cookie_keys, and what sealed cookies ask of backends
void check_addresses(Draft& draft);  // who owns which address, who reaches whom; resolves sources

// Element of a list in the file, or the closest node that exists: children of (root, "pools", 1).
const Node& element(const Node& root, std::string_view list, size_t index);
const Node& member(const Node& group, std::string_view name);  // the group itself when absent

// First and last address of an IPv4 network or the subnet-router anycast address of an IPv6 one
// (RFC 4291, 2.6.1): "is the broadcast address of 10.0.0.0/24". Nothing for host and point-to-point
// prefixes (RFC 3021, RFC 6164).
std::optional<std::string> reserved_in(const Prefix& on_link, const IpAddress& address);

}  // namespace limpet::config
