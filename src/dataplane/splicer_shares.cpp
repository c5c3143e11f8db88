// Who gives when memory becomes short: what each connection holds while something is waited for is
// counted by source (flow/shares.h), and the source that has most gives first.
//
//   below 3/4 of a pool   nothing is looked at: one source may have all of it
//   at 3/4                whoever takes a place costs the heaviest source one, of those looked at:
//                         the one that has got on least lately
//   from then to 1/4      what has not got on for kStuck goes, the heaviest sources' first
//
// Never given: a complete head that waits for its backend. A connection that stands is not looked
// at while it gets on: flows that carry data count against nobody.
#include <algorithm>

#include "limpet/base/hash.h"
#include "pressure.h"
#include "splicer.h"

namespace limpet::dataplane {
namespace {

using flow::Places;
using flow::Pool;

constexpr unsigned kSamples = 32;          // looked at for one that gives
constexpr unsigned kFewSamples = 8;        // in a tick, while a pool empties
constexpr unsigned kMostAnIteration = 64;  // connections ended, each with up to two resets

}  // namespace

uint64_t Splicer::used_of(Pool pool) const {
  switch (pool) {
    case Pool::bindings:
      return pool_.bindings_used();
    case Pool::holds:
      return pool_.bytes_used();
    case Pool::edits:
      return edits_.bytes_used();
    case Pool::count_:
      break;
  }
  return 0;
}

uint64_t Splicer::total_of(Pool pool) const {
  switch (pool) {
    case Pool::bindings:
      return pool_.bindings_total();
    case Pool::holds:
      return pool_.bytes_total();
    case Pool::edits:
      return edits_.bytes_total();
    case Pool::count_:
      break;
  }
  return 0;
}

// After everything that may have changed what a connection holds. Nearly always it held nothing and
// holds nothing.
void Splicer::settle(flow::FlowId id) {
  const tcp::SpliceFlow& f = flows_[id];
  const bool waits =
      f.binding != tcp::kNoBinding || f.ends[0].map.edited() || f.ends[1].map.edited();
  if (!waits && !waiting_.contains(id)) return;
  const Places before = waiting_.at(id).places;
  Places now{};
  const auto places_of = [&now](Pool p) -> uint16_t& { return now[static_cast<size_t>(p)]; };
  // Numbers that move when a side says something new; an ACK that repeats itself moves none.
  uint32_t said = f.ends[0].map.ack().value + f.ends[1].map.ack().value;
  if (f.binding != tcp::kNoBinding) {
    const tcp::SpliceBinding& w = pool_.binding(f.binding);
    places_of(Pool::bindings) = 1;
    for (const tcp::HeldStream& held : w.streams)
      places_of(Pool::holds) =
          static_cast<uint16_t>(places_of(Pool::holds) + held.hold.capacity() / HoldPool::kUnit);
    said += w.streams[0].hold.active() ? w.streams[0].hold.end().value : 0;
  }
  for (const tcp::SpliceEnd& end : f.ends)
    for (tcp::EditId e = end.map.first_edit(); e != tcp::kNoEdit; e = edits_.header(e).next)
      places_of(Pool::edits) =
          static_cast<uint16_t>(places_of(Pool::edits) + (1u << edits_.header(e).size_class));
  if (now != before) shares_.change(book_.at(id).client, before, now);
  if (waits)
    waiting_.set(id, now, said, core_.tick);
  else
    waiting_.remove(id);
}

bool Splicer::may_give(flow::FlowId id, Tick quiet, bool busy_too) const {
  const Tick still = core_.tick - waiting_.at(id).progress;
  switch (book_.at(id).state) {
    case tcp::Track::connecting:
      return false;
    case tcp::Track::established:
    case tcp::Track::fin_client:
    case tcp::Track::fin_backend:
      return still >= (busy_too ? quiet : std::max(quiet, kGetsOn));
    default:
      return still >= quiet;
  }
}

// Of some that hold places of this pool and have not got on for `quiet`: the heaviest source's, of
// those the one that has not got on for longest.
flow::FlowId Splicer::pick(Pool pool, unsigned samples, Tick quiet, bool busy_too) {
  flow::FlowId best = flow::kNoFlow;
  uint32_t weight = 0;
  Tick still = 0;
  const uint64_t random = core_.random();
  for (unsigned i = 0; i < samples && waiting_.size() != 0; ++i) {
    const auto at = static_cast<uint32_t>((mix64(random + i) >> 32) * waiting_.size() >> 32);
    const flow::FlowId id = waiting_[at];
    if (waiting_.at(id).places[static_cast<size_t>(pool)] == 0 || !may_give(id, quiet, busy_too))
      continue;
    const uint32_t heavy = shares_.weight(book_.at(id).client, pool);
    const Tick age = core_.tick - waiting_.at(id).progress;
    if (best != flow::kNoFlow && (heavy < weight || (heavy == weight && age <= still))) continue;
    best = id;
    weight = heavy;
    still = age;
  }
  return best;
}

// Its client hears of it, and its backend. False: there was no buffer for that.
bool Splicer::give_up(flow::FlowId id, Pool pool) {
  const tcp::Track state = book_.at(id).state;
  bool gone = true;
  switch (state) {
    case tcp::Track::established:
    case tcp::Track::fin_client:
    case tcp::Track::fin_backend:
      gone = must_end(id, Ending::gave_way);
      break;
    case tcp::Track::head:
      not_served(id, affinity::Reason::no_memory);
      [[fallthrough]];
    case tcp::Track::answering:
      send_reset(id, tcp::Side::client);
      [[fallthrough]];
    default:
      blame(id, Ending::gave_way);
      book_.end(id);
      break;
  }
  if (gone) core_.n.gave_way[static_cast<size_t>(pool)].add();
  return gone;
}

// A network of three lengths of IPv6 each that has some: whoever reads them sees how they are
// spread.
void Splicer::top(Query& q) const {
  const size_t most = q.top.size() / flow::kPools;
  for (size_t i = 0; i < flow::kPools; ++i) {
    const std::span<TopView> all(q.top.data() + q.filled, most);
    size_t n = 0;
    for (size_t cell = 0; cell < shares_.cells(); ++cell) {
      const uint32_t places = shares_.at(cell).places[i];
      if (places == 0 || (n == most && (most == 0 || places <= all[n - 1].places))) continue;
      size_t at = n == most ? n - 1 : n++;
      for (; at != 0 && all[at - 1].places < places; --at) all[at] = all[at - 1];
      all[at] = {static_cast<Pool>(i), shares_.at(cell).prefix, places};
    }
    q.filled += static_cast<uint32_t>(n);
  }
}

// Before a place is taken, and in every iteration. Returns how many connections may still end in
// it.
unsigned Splicer::make_room() {
  unsigned left = kMostAnIteration;
  for (size_t i = 0; i < flow::kPools; ++i) {
    const auto pool = static_cast<Pool>(i);
    const uint64_t total = total_of(pool);
    while (used_of(pool) >= mark_of(total) && left != 0) {
      short_[i] = true;
      flow::FlowId id = pick(pool, kSamples, 0, false);
      // Whoever lets nothing stand still keeps his places only as long as there are others.
      if (id == flow::kNoFlow && nearly_full(used_of(pool), total))
        id = pick(pool, kSamples, 0, true);
      if (id == flow::kNoFlow || !give_up(id, pool)) break;
      --left;
    }
  }
  return left;
}

void Splicer::empty_out(unsigned most) {
  for (size_t i = 0; i < flow::kPools; ++i) {
    const auto pool = static_cast<Pool>(i);
    if (!short_[i]) continue;
    short_[i] = used_of(pool) >= emptied(total_of(pool));
    for (unsigned few = 0; short_[i] && few < 4 && most != 0; ++few, --most) {
      const flow::FlowId id = pick(pool, kFewSamples, kStuck, false);
      if (id == flow::kNoFlow || !give_up(id, pool)) break;
    }
  }
}

}  // namespace limpet::dataplane
