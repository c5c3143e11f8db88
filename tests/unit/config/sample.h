// A small valid configuration with gaps for what a test is about.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "limpet/config/load.h"

namespace limpet::config {

struct Sample {
  std::string process;
  std::string front;  // more settings of ports[0]
  std::string routes;
  std::string pool;      // more settings of pools[0]
  std::string backend;   // more settings of pools[0].backends[0]
  std::string backends;  // ", { ... }"
  std::string service;   // more settings of services[0]
  std::string more;      // more elements of services
  std::string pools;     // ", { ... }"

  std::string text() const {
    return process +
           "ports = (\n"
           "  { name = \"front\"; device = \"net_ring0\";\n"
           "    addresses = [ \"10.1.0.254/24\", \"fd00:1::254/64\" ]; " +
           front +
           " },\n"
           "  { name = \"back\"; device = \"net_ring1\";\n"
           "    addresses = [ \"10.2.0.254/24\", \"10.2.0.253/24\", \"fd00:2::254/64\" ]; }\n"
           ");\n" +
           (routes.empty() ? "" : "routes = ( " + routes + " );\n") +
           "pools = ( { name = \"web\"; " + pool +
           "\n  backends = ( { name = \"s0\"; address = \"10.2.0.10\"; port = 80; " + backend +
           " }" + backends + " ); }" + pools +
           " );\n"
           "services = ( { name = \"web\"; vip = \"10.1.0.100\"; port = 80; pool = \"web\"; " +
           service + " }" + more + " );\n";
  }
  Loaded load() const { return load_text(text(), "t.cfg"); }
  // The document of a configuration that must be valid.
  Document document() const {
    Loaded loaded = load();
    for (const Problem& problem : loaded.problems) ADD_FAILURE() << problem.to_string();
    return loaded.document;
  }
  std::string problems() const {
    std::string all;
    for (const Problem& problem : load().problems) all += problem.path + ": " + problem.text + "\n";
    return all;
  }
};

}  // namespace limpet::config
