#include "limpet/config/check.h"

#include <fmt/core.h>

#include "limpet/config/load.h"

namespace limpet::config {
namespace {

std::string counted(size_t n, std::string_view what) {
  return fmt::format("{} {}{}", n, what, n == 1 ? "" : "s");
}

}  // namespace

int check_file(const std::string& path, std::FILE* out, std::FILE* err, const Further& further) {
  Loaded loaded = load_file(path);
  if (loaded.ok() && further) loaded.problems = further(loaded.document);
  for (const Problem& problem : loaded.problems) fmt::print(err, "{}\n", problem.to_string());
  if (!loaded.ok()) return 2;
  size_t backends = 0;
  for (const Pool& pool : loaded.document.pools) backends += pool.backends.size();
  fmt::print(out, "{}: ok ({}, {}, {}, {})\n", path, counted(loaded.document.ports.size(), "port"),
             counted(loaded.document.pools.size(), "pool"),
             counted(loaded.document.services.size(), "service"), counted(backends, "backend"));
  return 0;
}

}  // namespace limpet::config
