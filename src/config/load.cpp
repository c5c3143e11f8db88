// The door of the module: file or text -> Loaded.
#include "limpet/config/load.h"

#include <fmt/core.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "source.h"
#include "tree.h"
#include "validate.h"

namespace limpet::config {
namespace {

Loaded load(const Source& source) {
  Loaded loaded;
  if (source.problem) {
    loaded.problems.push_back(*source.problem);
    loaded.unreadable = true;
    return loaded;
  }
  Node root;
  if (auto problem = build_tree(source, root)) {
    loaded.problems.push_back(std::move(*problem));
    loaded.unreadable = true;
    return loaded;
  }
  Report report;
  Draft draft{root, report, {}, true, {}};
  validate(draft);
  loaded.problems = std::move(report).sorted();
  loaded.document = std::move(draft.document);
  loaded.document.file = source.files[0];
  return loaded;
}

}  // namespace

std::string Problem::to_string() const {
  std::string out = file;
  if (line > 0) out += fmt::format(":{}", line);
  if (!path.empty()) out += fmt::format(": {}", path);
  return out + ": " + text;
}

void sort(std::vector<Problem>& problems) {
  std::stable_sort(problems.begin(), problems.end(), [](const Problem& a, const Problem& b) {
    return std::tie(a.file, a.line) < std::tie(b.file, b.line);
  });
}

Loaded load_file(const std::string& path) {
  return load(read_source_file(path));
}

Loaded load_text(const std::string& text, const std::string& name) {
  return load(read_source_text(text, name));
}

}  // namespace limpet::config
