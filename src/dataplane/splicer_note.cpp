// What control is told of a spliced flow: how many of its edits are live.
#include "splicer.h"

namespace limpet::dataplane {
namespace {

constexpr uint16_t kMostCounted = 1000;  // of one stream; a worker must not walk for long

uint16_t count(const tcp::StreamMap& map, const tcp::EditPool& edits) {
  uint16_t n = 0;
  for (tcp::EditId e = map.first_edit(); e != tcp::kNoEdit && n < kMostCounted;
       e = edits.header(e).next)
    ++n;
  return n;
}

}  // namespace

FlowEdits Worker::Splicer::live_edits(flow::FlowId id) const {
  const tcp::SpliceFlow& f = flows_[id];
  return {count(f.map[tcp::index_of(tcp::Side::client)], edits_),
          count(f.map[tcp::index_of(tcp::Side::backend)], edits_)};
}

}  // namespace limpet::dataplane
