#include "nearest.h"

#include <fmt/core.h>

#include <algorithm>

namespace limpet::config {

unsigned edit_distance(std::string_view a, std::string_view b) {
  std::vector<unsigned> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) last[j] = static_cast<unsigned>(j);
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = static_cast<unsigned>(i);
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] =
          std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0u : 1u)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before[j - 2] + 1);
    }
    std::swap(before, last);
    std::swap(last, row);
  }
  return last[b.size()];
}

std::string_view nearest(std::string_view name, const std::vector<std::string_view>& known) {
  constexpr size_t kLongest = 64;  // nothing known is longer; keeps the distance cheap
  if (name.size() > kLongest) return {};
  std::string_view best;
  unsigned best_distance = 0;
  for (const std::string_view candidate : known) {
    if (candidate.size() > kLongest) continue;
    const unsigned distance = edit_distance(name, candidate);
    const auto reach =
        static_cast<unsigned>(std::max<size_t>(1, std::max(name.size(), candidate.size()) / 3));
    if (distance <= reach && (best.empty() || distance < best_distance)) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

std::string suggestion(std::string_view name, const std::vector<std::string_view>& known,
                       std::string_view nothing) {
  if (const std::string_view near = nearest(name, known); !near.empty())
    return fmt::format("\"{}\"", near);
  if (known.empty()) return std::string(nothing);
  if (known.size() == 1) return fmt::format("\"{}\"", known[0]);
  constexpr size_t kListed = 16;
  std::string list = "one of ";
  for (size_t i = 0; i < known.size() && i < kListed; ++i)
    list += fmt::format("{}{}", i == 0 ? "" : ", ", known[i]);
  if (known.size() > kListed) list += ", ...";
  return list;
}

}  // namespace limpet::config
