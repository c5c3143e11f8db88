// `limpet --check FILE`: the verdict on a file for a person, and an exit status for a script.
#pragma once

#include <cstdio>
#include <string>

namespace limpet::config {

// Every problem on a line of its own to `err` and 2; or "FILE: ok (2 ports, 3 pools, 4 services,
// 9 backends)" to `out` and 0.
int check_file(const std::string& path, std::FILE* out, std::FILE* err);

}  // namespace limpet::config
