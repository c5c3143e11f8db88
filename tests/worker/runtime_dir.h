// What an EAL leaves behind: 3.3 MB in memory-backed /var/run for each file prefix, and test
// programs have a prefix for each process.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

namespace limpet {

inline void remove_runtime_dir(const std::string& file_prefix) {
  const char* user = std::getenv("XDG_RUNTIME_DIR");
  for (const std::string base : {"/var/run", user == nullptr ? "/tmp" : user}) {
    std::error_code none;
    std::filesystem::remove_all(base + "/dpdk/" + file_prefix, none);
  }
}

}  // namespace limpet
