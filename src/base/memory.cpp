#include "limpet/base/memory.h"

#include <fstream>
#include <string>

namespace limpet {
namespace {

// The value of a line "KEY:  N kB" in bytes; 0 when there is none.
uint64_t value_of(const char* path, const std::string& key) {
  std::ifstream in(path);
  for (std::string word, rest; in >> word; std::getline(in, rest)) {
    uint64_t kilobytes = 0;
    if (word == key) return in >> kilobytes ? kilobytes << 10 : 0;
  }
  return 0;
}

}  // namespace

Memory memory_now() {
  return {.available = value_of("/proc/meminfo", "MemAvailable:"),
          .resident = value_of("/proc/self/status", "RssAnon:")};
}

}  // namespace limpet
