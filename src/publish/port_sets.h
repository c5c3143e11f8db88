// The sets of source ports of a snapshot under construction. Towards one endpoint from one source
// address a port is in exactly one set, so no two flows can get the same tuple. Where pools with
// different ranges name the same endpoint, their ranges are cut wherever one of them begins or
// ends, and a pool draws from each piece of its own:
//
//   pool a  1024 ............................. 65535         three sets: a draws from all of them,
//   pool b           20000 ...... 29999                      b from the second
//
// A set that workers use already is never cut: what would do that needs a restart.
// Owner: the builder. Order of calls: keep(), want(), needed(), get().
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "limpet/base/address.h"
#include "limpet/base/result.h"
#include "limpet/publish/slots.h"

namespace limpet::publish {

std::string endpoint_text(const IpAddress& address, uint16_t port);

class PortSets {
 public:
  using Id = std::tuple<IpAddress, uint16_t, IpAddress>;  // endpoint, source address
  struct Range {
    uint16_t first = 0, last = 0;
    bool operator==(const Range&) const = default;
  };

  // One that exists; again is harmless.
  void keep(const Id& id, const std::shared_ptr<PortSet>& set);
  // `pool` is to draw from that range. An error when that would cut a set that exists.
  Status want(const Id& id, Range range, const std::string& pool);

  // Of the sets that get() will make for all that is wanted.
  struct Needed {
    uint64_t bytes = 0;
    size_t sets = 0;
  };
  Needed needed(unsigned workers) const;

  // Those that make up a wanted range, in ascending order; `make` makes what is not there yet.
  using Make = std::function<std::shared_ptr<PortSet>(Range)>;
  std::vector<std::shared_ptr<PortSet>> get(const Id& id, Range range, const Make& make);

 private:
  struct Group {
    std::vector<std::shared_ptr<PortSet>> sets;
    std::vector<Range> wanted;  // different ones
    std::set<uint32_t> cuts;    // a piece begins here, and ends in front of the next
  };
  std::map<Id, Group> groups_;
};

}  // namespace limpet::publish
