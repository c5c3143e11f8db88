// "Did you mean": the known name that a mistyped one is closest to.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace limpet::config {

// Insertions, deletions, replacements and swaps of neighbours that turn one into the other
// (Damerau-Levenshtein, optimal string alignment).
unsigned edit_distance(std::string_view a, std::string_view b);

// The known name within reach of a typing error (a third of its length, at least 1), the first of
// equals; empty when none is.
std::string_view nearest(std::string_view name, const std::vector<std::string_view>& known);

// "\"weight\"" when there is a nearest, else "one of a, b, c" (or `nothing` when none is known).
std::string suggestion(std::string_view name, const std::vector<std::string_view>& known,
                       std::string_view nothing);

}  // namespace limpet::config
