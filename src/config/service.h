// The parts of a service, each read by a file of its own. They share what is known of the service
// so far: a part that depends on a setting which could not be read says nothing, since its own
// mistake is not known either.
#pragma once

#include "validate.h"

namespace limpet::config {

struct ServiceReading {
  const Node& node;
  Service& service;
  Report& report;
  bool mode_known = true;
  bool protocol_known = true;

  bool is_nat() const { return mode_known && service.mode == Forwarding::nat; }
};

void read_persistence(ServiceReading& reading);                               // persistence.cpp
void read_cookie(const Node& entry, CookieSettings& cookie, Report& report);  // cookie.cpp
// The setting that names what an entry reads: `name`, or for a cookie `session_name`, which means
// the same. Null when there is none, which is reported, as both together are. persistence.cpp
const Node* carrier_node(const Node& entry, std::string_view expected, Report& report);
const Node& carrier_node(const Node& entry);  // the entry itself when there is none
// After read_persistence; `persistence_known`: that had nothing to report.
void read_table(ServiceReading& reading, bool persistence_known);
void check_tables(Draft& draft);            // table.cpp: all of them together
void read_splice(ServiceReading& reading);  // splice.cpp: what only this mode has
// Ports of protocols in which the server speaks first; after the service's pool is known.
void check_server_first(ServiceReading& reading, const Draft& draft);

}  // namespace limpet::config
