#include "limpet/config/check.h"

#include <fmt/core.h>

#include <utility>

#include "limpet/config/load.h"

namespace limpet::config {
namespace {

std::string counted(size_t n, std::string_view what) {
  return fmt::format("{} {}{}", n, what, n == 1 ? "" : "s");
}

}  // namespace

Loaded load_checked(const std::string& path, const Further& further) {
  Loaded loaded = load_file(path);
  if (loaded.unreadable || !further) return loaded;
  for (Problem& problem : further(loaded.document)) loaded.problems.push_back(std::move(problem));
  sort(loaded.problems);
  return loaded;
}

int check_file(const std::string& path, std::FILE* out, std::FILE* err, const Further& further) {
  const Loaded loaded = load_checked(path, further);
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
