// Positions, their inverses, and the cutting of segments; the concept is told in the header.
#include "limpet/tcp/stream_map.h"

#include <algorithm>
#include <cassert>

namespace limpet::tcp {
namespace {

// An edit with its place on the mapped side.
struct Placed {
  Seq at;       // original: first octet removed
  Seq carrier;  // original: the octet (or FIN) that carries the insertion
  Seq begin;    // mapped: where the inserted bytes begin
  Seq end;      // mapped: number of the carrier itself
};

Placed place(const EditHeader& e, uint32_t shift) {
  const Seq at{e.at};
  const Seq begin = at + shift;
  return {at, at + e.removed, begin, begin + e.length};
}

}  // namespace

bool StreamMap::append(EditPool& pool, Seq at, uint32_t removed, std::span<const uint8_t> bytes) {
  assert(!is_open() && at >= frontier_ && (removed != 0 || !bytes.empty()));
  const EditId id = pool.allocate(at.value, removed, bytes);
  if (id == kNoEdit) return false;
  if (edits_ == kNoEdit) {
    edits_ = id;
  } else {
    EditId last = edits_;
    while (pool.header(last).next != kNoEdit) last = pool.header(last).next;
    assert(at > Seq{pool.header(last).at} + pool.header(last).removed);
    pool.link(last, id);
  }
  return true;
}

void StreamMap::advance(Seq frontier) {
  if (frontier > frontier_) frontier_ = frontier;
}

Seq StreamMap::position(const EditPool& pool, Seq x) const {
  if (x < una_) return ack_ - static_cast<uint32_t>(una_ - x);
  uint32_t shift = shift_;
  for (EditId id = edits_; id != kNoEdit; id = pool.header(id).next) {
    const EditHeader& e = pool.header(id);
    const Placed p = place(e, shift);
    if (x <= p.at) break;
    if (x <= p.carrier) return p.begin;
    shift += e.length - e.removed;
  }
  return x + shift;
}

Seq StreamMap::position_of_empty(const EditPool& pool, Seq x) const {
  if (!covers(x)) x = frontier_;
  // Late, or a probe: it is old for the receiver as well. How old means nothing behind edits.
  if (x < una_) return ack_ - 1;
  uint32_t shift = shift_;
  for (EditId id = edits_; id != kNoEdit; id = pool.header(id).next) {
    const EditHeader& e = pool.header(id);
    const Placed p = place(e, shift);
    if (x < p.at) break;
    if (x <= p.carrier) {
      if (emitted_ <= p.begin) return p.begin;
      return emitted_ < p.end ? emitted_ : p.end;
    }
    shift += e.length - e.removed;
  }
  return x + shift;
}

Seq StreamMap::floor(const EditPool& pool, Seq y) const {
  if (y < ack_) return una_;
  uint32_t shift = shift_;
  for (EditId id = edits_; id != kNoEdit; id = pool.header(id).next) {
    const EditHeader& e = pool.header(id);
    const Placed p = place(e, shift);
    if (y < p.begin) break;
    if (y <= p.end) return p.carrier;
    shift += e.length - e.removed;
  }
  return y - shift;
}

Seq StreamMap::ceil(const EditPool& pool, Seq y) const {
  if (y < ack_) return una_;
  uint32_t shift = shift_;
  for (EditId id = edits_; id != kNoEdit; id = pool.header(id).next) {
    const EditHeader& e = pool.header(id);
    const Placed p = place(e, shift);
    if (y <= p.begin) break;
    if (y <= p.end) return p.carrier + 1;
    shift += e.length - e.removed;
  }
  return y - shift;
}

bool StreamMap::touches(const EditPool& pool, Seq seq, Seq end) const {
  for (EditId id = edits_; id != kNoEdit; id = pool.header(id).next) {
    const EditHeader& e = pool.header(id);
    if (Seq{e.at} >= end) return false;
    if (Seq{e.at} + e.removed >= seq) return true;
  }
  return false;
}

Seq StreamMap::acknowledge(EditPool& pool, Seq y) {
  constexpr uint32_t kFar = 1u << 30;  // half of that is more than any window
  if (y <= ack_ || y > emitted_) return una_;
  const Seq una = floor(pool, y);
  ack_ = y;
  una_ = una;
  while (edits_ != kNoEdit) {
    const EditHeader& e = pool.header(edits_);
    if (Seq{e.at} + e.removed >= una_) break;  // its carrier is not acknowledged yet
    plain_ = place(e, shift_).end;
    shift_ += e.length - e.removed;
    const EditId next = e.next;
    pool.release(edits_);
    edits_ = next;
  }
  if (static_cast<uint32_t>(ack_ - plain_) > kFar) plain_ = ack_ - kFar / 2;
  return una_;
}

std::optional<std::pair<Seq, Seq>> StreamMap::acknowledged(const EditPool& pool, Seq left,
                                                           Seq right) const {
  if (left < plain_ || left >= right || right > ack_) return std::nullopt;
  // The ACK may stand within an insertion.
  if (edits_ != kNoEdit && right > place(pool.header(edits_), shift_).begin) return std::nullopt;
  return std::pair(left - shift_, right - shift_);
}

std::optional<Seq> StreamMap::again(const EditPool& pool, Seq seq, Seq end) const {
  if (seq + shift_ < plain_ || end > una_) return std::nullopt;
  if (edits_ != kNoEdit && end > Seq{pool.header(edits_).at}) return std::nullopt;
  return seq + shift_;
}

Seq StreamMap::window_edge(const EditPool& pool, Seq ack, Seq edge) const {
  const Seq first = floor(pool, ack);
  const Seq last = floor(pool, edge);
  return edge > ack && last <= first ? first + 1 : last;
}

uint32_t StreamMap::largest_insertion(const EditPool& pool) const {
  uint32_t largest = 0;
  for (EditId id = edits_; id != kNoEdit; id = pool.header(id).next)
    largest = std::max<uint32_t>(largest, pool.header(id).length);
  return largest;
}

void StreamMap::release(EditPool& pool) {
  while (edits_ != kNoEdit) {
    const EditId next = pool.header(edits_).next;
    pool.release(edits_);
    edits_ = next;
  }
}

StreamMap::Cut::Cut(StreamMap& map, const EditPool& pool, Seq seq, Seq end, bool fin)
    : map_(map), pool_(pool), first_(seq), x_(seq), end_(end), fin_(fin) {
  assert(map.covers(fin ? end + 1 : end));
  edit_ = map.edits_;
  if ((fin ? end + 1 : end) <= map.una_) {
    old_ = true;
    return;
  }
  uint32_t shift = map.shift_;
  if (seq <= map.una_) {  // what is acknowledged need not travel again
    x_ = map.una_;
    y_ = map.ack_;
    // Edits in front of una are retired, so the first one has its carrier at or behind it. The ACK
    // may lie within its insertion.
    if (edit_ != kNoEdit && x_ >= Seq{pool.header(edit_).at})
      from_ = static_cast<uint32_t>(y_ - place(pool.header(edit_), shift).begin);
    return;
  }
  y_ = x_ + shift;
  for (; edit_ != kNoEdit; edit_ = pool.header(edit_).next) {
    const EditHeader& e = pool.header(edit_);
    const Placed p = place(e, shift);
    y_ = x_ + shift;
    if (x_ <= p.at) return;
    if (x_ <= p.carrier) {
      y_ = p.begin;
      return;
    }
    shift += e.length - e.removed;
    y_ = x_ + shift;
  }
}

Seq StreamMap::Cut::old_position() const {
  return map_.position(pool_, first_);
}

bool StreamMap::Cut::next(uint32_t limit, Emission& out) {
  assert(limit != 0);
  if (old_) return false;
  out.seq = y_;
  out.length = 0;
  out.fin = false;
  out.last = false;
  out.pieces = 0;
  bool carried = true;  // nothing of an edit at the end is left over
  while (out.length < limit && out.pieces < Emission::kMaxPieces) {
    if (edit_ != kNoEdit && x_ >= Seq{pool_.header(edit_).at}) {
      const EditHeader& e = pool_.header(edit_);
      const Seq carrier = Seq{e.at} + e.removed;
      if (x_ < carrier) x_ = carrier < end_ ? carrier : end_;
      if (x_ < carrier || (x_ == end_ && !fin_)) break;  // the carrier is in a later segment
      const uint32_t n = std::min<uint32_t>(e.length - from_, limit - out.length);
      if (n != 0) out.piece[out.pieces++] = {from_, n, edit_};
      out.length += n;
      from_ += n;
      carried = from_ == e.length;
      if (!carried) break;
      from_ = 0;
      edit_ = e.next;
      continue;
    }
    const bool stops = edit_ != kNoEdit && Seq{pool_.header(edit_).at} < end_;
    const Seq until = stops ? Seq{pool_.header(edit_).at} : end_;
    const uint32_t n = std::min(static_cast<uint32_t>(until - x_), limit - out.length);
    if (n == 0) break;  // the end
    out.piece[out.pieces++] = {static_cast<uint32_t>(x_ - first_), n, kNoEdit};
    out.length += n;
    x_ = x_ + n;
  }
  if (edit_ != kNoEdit && from_ == 0 && x_ >= Seq{pool_.header(edit_).at}) {
    const Seq carrier = Seq{pool_.header(edit_).at} + pool_.header(edit_).removed;
    if (carrier > end_ || (carrier == end_ && !fin_)) x_ = end_;  // only removed octets remain
  }
  const bool edit_left = fin_ && edit_ != kNoEdit && x_ == end_ &&
                         Seq{pool_.header(edit_).at} + pool_.header(edit_).removed == end_;
  if (x_ == end_ && carried && !edit_left) {
    out.last = true;
    out.fin = fin_;
    fin_ = false;
  }
  if (out.length == 0 && !out.fin) {
    swallowed_ = !started_;
    return false;
  }
  started_ = true;
  y_ = out.seq + out.length;
  map_.emit(y_ + (out.fin ? 1u : 0u));
  return true;
}

}  // namespace limpet::tcp
