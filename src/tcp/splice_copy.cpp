// Octets that were judged: copies beside their first transmission, and what repetitions become.
#include <algorithm>
#include <cstring>

#include "limpet/tcp/splice.h"

namespace limpet::tcp {

// The payload of a segment whose first octet is `seq`, of which [begin, end) is about to leave:
// with what was judged in the place of what it says. Octets from `shown` on have just been looked
// at in this very segment. The first copy of an octet is what counts (RFC 9293, 3.10.7.4), as the
// receiver may have discarded the one that was judged, and would believe this one.
std::span<const uint8_t> Splice::as_judged(const SpliceFlow& f, Seq seq,
                                           std::span<const uint8_t> payload, Seq begin, Seq end,
                                           Seq shown) {
  const SpliceBinding* w = splice_binding_of(f);
  const Hold* held =
      w == nullptr || !w->at(Side::client).hold.active() ? nullptr : &w->at(Side::client).hold;
  if (f.copies == kNoCopies && held == nullptr) return payload;
  const Seq una = f.at(Side::client).map.una();  // what is old may be a probe's garbage
  if (begin < una) begin = una;
  bool same = true;
  const auto compare = [&](std::span<const uint8_t> kept, Seq at) {
    same = std::memcmp(kept.data(), payload.data() + (at - seq), kept.size()) == 0;
    return same;
  };
  const auto restore = [&](std::span<const uint8_t> kept, Seq at) {
    std::memcpy(as_judged_.get() + (at - seq), kept.data(), kept.size());
    return true;
  };
  const auto each = [&](auto&& visit) {
    const Seq until = end < shown ? end : shown;
    if (begin < until)
      copies_.each(f.copies, begin, until, [&](std::span<const uint8_t> kept, size_t at) {
        return visit(kept, begin + static_cast<uint32_t>(at));
      });
    if (held == nullptr) return;
    const Seq from = begin < held->base() ? held->base() : begin;
    const Seq to = end < held->end() ? end : held->end();
    if (from < to) visit(held->bytes(from).first(static_cast<size_t>(to - from)), from);
  };
  each([&](std::span<const uint8_t> kept, Seq at) { return !same || compare(kept, at); });
  if (same || payload.size() > kMaxPayload) return payload;
  ++counters_.unlike;
  std::memcpy(as_judged_.get(), payload.data(), payload.size());
  each(restore);
  return {as_judged_.get(), payload.size()};
}

// The octets from `at` on have been shown: what has become final leaves from the segment itself,
// and of what was judged of it a copy stays. Room for that has been reserved.
void Splice::keep(SpliceFlow& f, Seq at, std::span<const uint8_t> bytes, const Shown& s) {
  const auto end = std::min(s.final, static_cast<uint32_t>(bytes.size()));
  uint32_t from = 0;
  const auto judged = [&](uint32_t to) {
    if (from >= to) return;
    copies_.keep(f.copies, at + from, bytes.subspan(from, to - from));
    counters_.copied_bytes += to - from;
  };
  for (const Bodies::Run& body : s.bodies.runs()) {
    judged(std::min(body.begin, end));
    from = body.end;
  }
  judged(end);
  copies_.settle();
}

// Whether a FIN of the client may stand at `end`: not in front of octets that have passed or wait.
bool Splice::may_end(const SpliceFlow& f, Seq end) {
  const StreamMap& map = f.at(Side::client).map;
  if (end < map.una()) return true;  // old: its receiver knows better
  const SpliceBinding* w = splice_binding_of(f);
  const bool waits =
      w != nullptr && w->at(Side::client).hold.active() && w->at(Side::client).hold.end() > end;
  if (!waits && (!f.ended || end == map.frontier()) &&
      map.position(edits_, end + 1) >= map.emitted())
    return true;
  ++counters_.unlike;
  return false;
}

void Splice::retire(SpliceFlow& f) {
  if (f.copies != kNoCopies) copies_.retire(f.copies, f.at(Side::client).map.una());
}

// The edge of the window that `side` may be told: what could not be copied would have to wait.
Seq Splice::with_copies(const SpliceFlow& f, Side side, Seq edge) const {
  const StreamMap& map = f.at(side).map;
  if (side != Side::client || map.is_open()) return edge;
  const Seq most = map.frontier() + std::max(copies_.room(f.copies), kLeastRoom);
  return edge < most ? edge : most;
}

}  // namespace limpet::tcp
