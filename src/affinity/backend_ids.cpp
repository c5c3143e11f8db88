#include "limpet/affinity/backend_ids.h"

#include <algorithm>
#include <cassert>

#include "limpet/base/hash.h"

namespace limpet::affinity {

namespace {

// Constant, as all nodes must agree and a restart must not move anyone: a changed letter makes
// every cookie that is out there name nobody.
constexpr HashKey kIdKey = {'a', 'f', 'f', 'i', 'n', 'i', 't', 'y',
                            '/', 'n', 'a', 'm', 'e', '/', 'v', '1'};

}  // namespace

uint32_t backend_id(std::string_view name) {
  return static_cast<uint32_t>(siphash(kIdKey, name)) & kBackendIdMask;
}

std::optional<std::pair<size_t, size_t>> find_id_collision(std::span<const std::string> names) {
  std::vector<std::pair<uint32_t, size_t>> ids;
  ids.reserve(names.size());
  for (size_t i = 0; i < names.size(); ++i) ids.emplace_back(backend_id(names[i]), i);
  std::sort(ids.begin(), ids.end());
  for (size_t i = 1; i < ids.size(); ++i)
    if (ids[i].first == ids[i - 1].first && names[ids[i].second] != names[ids[i - 1].second])
      return std::pair(ids[i - 1].second, ids[i].second);
  return std::nullopt;
}

BackendIds::BackendIds(std::vector<std::string> names) : names_(std::move(names)) {
  assert(names_.size() <= kMaxMembers);
  for (size_t i = 0; i < names_.size(); ++i) {
    ids_.push_back(backend_id(names_[i]));
    entries_.push_back({ids_.back(), static_cast<uint16_t>(i)});
  }
  // Stable: members of one value are tried in the order of the configuration.
  std::stable_sort(entries_.begin(), entries_.end(),
                   [](const Entry& a, const Entry& b) { return a.id < b.id; });
}

std::span<const BackendIds::Entry> BackendIds::find(uint32_t id) const {
  const auto by_id = [](const Entry& a, const Entry& b) { return a.id < b.id; };
  const auto [first, last] =
      std::equal_range(entries_.begin(), entries_.end(), Entry{id, 0}, by_id);
  return {entries_.data() + (first - entries_.begin()), static_cast<size_t>(last - first)};
}

}  // namespace limpet::affinity
