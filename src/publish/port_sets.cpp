// Cutting ranges of source ports into pieces that nobody else draws from.
#include "port_sets.h"

#include <fmt/core.h>

#include <algorithm>
#include <iterator>

#include "limpet/flow/ports.h"

namespace limpet::publish {

std::string endpoint_text(const IpAddress& address, uint16_t port) {
  return address.is_v4() ? fmt::format("{}:{}", address.to_string(), port)
                         : fmt::format("[{}]:{}", address.to_string(), port);
}

void PortSets::keep(const Id& id, const std::shared_ptr<PortSet>& set) {
  Group& group = groups_[id];
  if (std::find(group.sets.begin(), group.sets.end(), set) != group.sets.end()) return;
  group.sets.push_back(set);
  group.cuts.insert({set->first, set->last + 1u});
}

Status PortSets::want(const Id& id, Range range, const std::string& pool) {
  Group& group = groups_[id];
  if (std::find(group.wanted.begin(), group.wanted.end(), range) != group.wanted.end()) return Ok{};
  for (const auto& set : group.sets) {
    const bool apart = range.last < set->first || set->last < range.first;
    const bool within = range.first <= set->first && set->last <= range.last;
    if (!apart && !within)
      return Error{fmt::format(
          "pool \"{}\" wants source ports {}-{} from {} towards {}, where {}-{} are in use by "
          "another pool or by connections of a removed one: give it that range or one without any "
          "of them, or restart",
          pool, range.first, range.last, std::get<2>(id).to_string(),
          endpoint_text(std::get<0>(id), std::get<1>(id)), set->first, set->last)};
  }
  group.wanted.push_back(range);
  group.cuts.insert({range.first, range.last + 1u});
  return Ok{};
}

PortSets::Needed PortSets::needed(unsigned workers) const {
  Needed needed;
  for (const auto& [id, group] : groups_) {
    for (auto at = group.cuts.begin(); at != group.cuts.end(); ++at) {
      const uint32_t first = *at;
      const bool wanted =
          std::any_of(group.wanted.begin(), group.wanted.end(),
                      [first](const Range& r) { return r.first <= first && first <= r.last; });
      const bool there = std::any_of(group.sets.begin(), group.sets.end(),
                                     [first](const auto& s) { return s->first == first; });
      if (!wanted || there) continue;
      ++needed.sets;
      needed.bytes += flow::SourcePorts::bytes(*std::next(at) - first, workers);
    }
  }
  return needed;
}

std::vector<std::shared_ptr<PortSet>> PortSets::get(const Id& id, Range range, const Make& make) {
  Group& group = groups_[id];
  std::vector<std::shared_ptr<PortSet>> pieces;
  for (auto at = group.cuts.find(range.first); *at <= range.last; ++at) {
    const auto first = static_cast<uint16_t>(*at);
    const auto known = std::find_if(group.sets.begin(), group.sets.end(),
                                    [first](const auto& s) { return s->first == first; });
    if (known == group.sets.end()) {
      group.sets.push_back(make({first, static_cast<uint16_t>(*std::next(at) - 1)}));
      pieces.push_back(group.sets.back());
    } else {
      pieces.push_back(*known);
    }
  }
  return pieces;
}

}  // namespace limpet::publish
