// Readable tables from the JSON of `show`, for limpetctl. Pure: text in, text out. Fields that are
// missing or of another type (an older or newer daemon) print as "-"; nothing here throws.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace limpet::console {

// "0" .. "9999", then three digits and k, M, G, T in powers of 1000.
std::string human_count(uint64_t n);
std::string human_bytes(uint64_t n);        // powers of 1024: "512 B", "1.5 MB"
std::string human_seconds(double seconds);  // "0.4s" "59s" "3m12s" "5h01m" "2d03h"

// Columns are as wide as their widest cell; numbers stand right, words left.
struct Table {
  std::vector<std::string> heads;
  std::vector<std::vector<std::string>> rows;
  std::string to_string() const;
};

// `what`: services, backends, workers, ports, drops, persistence, refusals, neighbors, flows, keys.
// `data` is the envelope that interfaces.md describes. `all`: also what is zero (drops,
// persistence, refusals).
std::string render(const std::string& what, const nlohmann::json& data, bool all);

}  // namespace limpet::console
