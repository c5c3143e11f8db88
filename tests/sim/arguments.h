// The command line of the programs that run seeds: --seed N, --seeds A..B, --trace. No library for
// so little: CLI11's header costs the sanitizers' build two minutes.
#pragma once

#include <charconv>
#include <cstdint>
#include <string_view>

namespace limpet::sim {

struct Arguments {
  uint64_t first = 0, last = 0;
  bool trace = false;

  // `other(name, value)`: takes an option of the program's own; false: there is no such one.
  template <class Other>
  bool read(int argc, char** argv, Other&& other) {
    for (int i = 1; i < argc; ++i) {
      const std::string_view name = argv[i];
      if (name == "--trace") {
        trace = true;
        continue;
      }
      if (i + 1 == argc) return false;
      const std::string_view value = argv[++i];
      const size_t dots = value.find("..");
      if (name == "--seed" && number(value, first)) {
        last = first;
      } else if (name == "--seeds") {
        if (dots == std::string_view::npos || !number(value.substr(0, dots), first) ||
            !number(value.substr(dots + 2), last) || last < first)
          return false;
      } else if (!other(name, value)) {
        return false;
      }
    }
    return true;
  }

  template <class Number>
  static bool number(std::string_view text, Number& into) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), into);
    return error == std::errc{} && end == text.data() + text.size();
  }
};

}  // namespace limpet::sim
