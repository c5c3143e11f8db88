// A small document that tests of what the control thread does change one thing of, and its ports.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "limpet/config/load.h"
#include "limpet/dataplane/snapshot.h"

namespace limpet {

inline IpAddress ip(const char* text) {
  return IpAddress::parse(text).value();
}

inline const char* kSample = R"(
ports = (
  { name = "front"; device = "net_ring0"; addresses = [ "10.1.0.254/24" ]; },
  { name = "back"; device = "net_ring1"; addresses = [ "10.2.0.254/24" ]; }
);
routes = ( { to = "10.9.0.0/16"; via = "10.2.0.1"; }, { to = "0.0.0.0/0"; via = "10.1.0.1"; } );
pools = (
  { name = "web";
    backends = ( { name = "s0"; address = "10.2.0.10"; port = 80; },
                 { name = "s1"; address = "10.2.0.11"; port = 80; weight = 2; } ); },
  { name = "echo"; health = { type = "none"; };
    backends = ( { name = "e0"; address = "10.2.0.10"; port = 7; } ); }
);
services = (
  { name = "web"; vip = "10.1.0.100"; port = 80; protocol = "tcp"; pool = "web";
    persistence = ( { type = "source"; prefix4 = 24; } );
    timeouts = { idle = "10s"; }; },
  { name = "echo"; vip = "10.1.0.100"; port = 7; protocol = "udp"; pool = "echo"; }
);
)";

// `text` with the one place of `from` replaced.
inline std::string with(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  EXPECT_EQ(text.find(from, at + 1), std::string::npos) << "twice: " << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

inline config::Document document(const std::string& text) {
  config::Loaded loaded = config::load_text(text, "sample");
  for (const config::Problem& p : loaded.problems) ADD_FAILURE() << p.to_string();
  return loaded.document;
}

inline std::vector<dataplane::PortEntry> ports_of(const config::Document& d, uint32_t workers) {
  std::vector<dataplane::PortEntry> ports;
  for (const config::Port& p : d.ports) {
    dataplane::PortEntry& e = ports.emplace_back();
    e.name = p.name;
    e.addresses = p.addresses;
    e.reta = {128, workers};
  }
  return ports;
}

}  // namespace limpet
