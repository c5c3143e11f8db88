// The text of a configuration with every @include put in its place, and what its tokens say about
// each value: where it stands and whether libconfig would wrap it. libconfig gets this text and
// never opens a file itself. The first syntax error or duplicate setting ends the reading.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "limpet/config/load.h"

namespace limpet::config {

constexpr unsigned kMaxNesting = 16;               // groups, lists and arrays in each other
constexpr unsigned kMaxIncludeDepth = 10;          // files in each other
constexpr unsigned kMaxFiles = 256;                // inclusions in all
constexpr size_t kMaxTextBytes = 4 * 1024 * 1024;  // of the whole configuration

struct Origin {
  uint32_t file = 0;  // index into Source::files
  int line = 0;
};

struct Source {
  std::vector<std::string> files;                        // [0] is the configuration itself
  std::string text;                                      // includes expanded, ends in a newline
  std::vector<Origin> lines;                             // where each line of `text` comes from
  std::unordered_map<std::string, Origin> places;        // setting path -> where it begins
  std::unordered_map<std::string, std::string> wrapped;  // setting path -> literal as written
  std::optional<Problem> problem;                        // set: the rest is not to be used

  const std::string& file_of(Origin o) const { return files[o.file]; }
};

Source read_source_file(const std::string& path);
Source read_source_text(std::string_view text, const std::string& name);  // refuses @include

}  // namespace limpet::config
