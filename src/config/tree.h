// The configuration as a neutral tree: what libconfig read, without libconfig's types. The
// validator sees nothing else.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "limpet/config/load.h"
#include "source.h"

namespace limpet::config {

enum class Kind { group, list, array, integer, real, boolean, string };

struct Node {
  Kind kind = Kind::group;
  std::string name;  // empty for elements and the root
  std::string path;  // "pools[0].backends[1].weight"; empty for the root
  std::string file;
  int line = 1;
  int64_t integer = 0;
  double real = 0;
  bool boolean = false;
  std::string text;     // value of a string
  std::string wrapped;  // an integer too large for libconfig, as written; `integer` is wrong then
  std::vector<Node> children;

  bool is_sequence() const { return kind == Kind::list || kind == Kind::array; }
  const Node* find(std::string_view child) const {
    for (const Node& n : children)
      if (n.name == child) return &n;
    return nullptr;
  }
};

// libconfig lives in the implementation of this function only. source.problem must not be set.
std::optional<Problem> build_tree(const Source& source, Node& root);

}  // namespace limpet::config
