// Segments that a splice makes itself: ACKs, cut and edited data, what is owned.
#include <algorithm>

#include "limpet/tcp/splice.h"
#include "limpet/wire/frame.h"

namespace limpet::tcp {

using wire::tcp_flag;

// Notes the window of a segment that acknowledges all that is acknowledged, `news`: and more; or
// `later`: by its clock. True when its receiver has taken octets back, which only who was sent
// later can say. RFC 9293, 3.10.7.4 compares SEG.SEQ with SND.WL1; SND.WL2 needs no place, as
// nobody has acknowledged more than what is acknowledged. Who acknowledges more was sent later
// whatever its number: it is sent again (Linux' tcp_may_update_window); behind that a higher number
// with an older clock was sent earlier. Of equal numbers the RFC believes the one that comes last:
// on a path that reorders, who opens his window would seem to take it back, and the shrinking would
// be ours. There a newer timestamp decides, else the larger window, as in Linux; but a window of
// zero counts, as there, without taking back what was told: it is asked again. A larger one counts
// from any segment: who believes too much loses octets, who believes too little waits for ever.
// Less than a unit of the receiver's scale is its rounding.
bool Splice::hear_window(SpliceFlow& f, Side from, const SegmentIn& in, bool news, bool later) {
  const size_t s = index_of(from), d = index_of(other(from));
  if (in.ack < f.ends[d].map.ack()) return false;
  const bool older = in.timestamps && f.timestamps[s] != 0 &&
                     static_cast<int32_t>(f.ends[s].ts_value - in.timestamps->value) > 0;
  const bool closes = in.window == 0 && in.seq >= f.ends[s].wl1 && !older;
  const bool newer =
      news || (in.seq > f.ends[s].wl1 && !older) || (later && in.seq == f.ends[s].wl1);
  if (newer) f.ends[s].wl1 = in.seq;
  const Seq right = in.ack + (uint32_t{in.window} << f.scale[s]);
  const bool less = right + (1u << f.scale[s]) <= f.ends[d].right;
  if (right >= f.ends[d].right || closes || (newer && (less || in.window == 0)))
    f.ends[d].right = right;
  return less && newer;
}

// Whether a head of what `side` sends is not complete: room for it was promised.
bool Splice::collects(const SpliceFlow& f, Side side) const {
  const SpliceBinding* w = splice_binding_of(f);
  if (w == nullptr) return false;
  const Hold& h = w->at(side).hold;
  return w->paused() || (h.active() && !f.at(side).map.covers(h.end()));
}

// The receiver of what `side` sends has taken octets back and takes those before `edge`: `side` is
// told no more from now on, in its unit rounded up. A promise of ours stands, also while a head is
// not complete.
void Splice::take_back(SpliceFlow& f, Side side, Seq edge) const {
  const size_t s = index_of(side);
  if ((f.granted >> s & 1) != 0) return;
  if (collects(f, side)) {
    const Hold& h = splice_binding_of(f)->streams[s].hold;
    const Seq una = f.ends[s].map.una();
    Seq most = (una > h.base() ? una : h.base()) + kPartialHold;
    if (most < h.end()) most = h.end();
    if (most > edge) {
      edge = most;
      f.granted = (f.granted | 1u << s) & 3;
    }
  }
  const unsigned shift = f.advertised[s];
  const Seq ack = ack_to(f, side);
  const uint32_t takes = edge > ack ? static_cast<uint32_t>(edge - ack) : 0;
  const Seq advertised = ack + ((takes + (1u << shift) - 1) >> shift << shift);
  if (advertised >= f.ends[s].edge) return;
  f.ends[s].edge = advertised;
  f.shrunk = (f.shrunk | 1u << s) & 3;
}

// Whether the receiver of what `side` sends takes nothing, and we do not either.
bool Splice::closed(const SpliceFlow& f, Side side) const {
  const size_t s = index_of(side);
  return f.ends[s].right <= f.ends[s].map.ack() && !collects(f, side);
}

// Tells `side` that there is room behind `ack` which its receiver has not granted.
void Splice::grant(SpliceFlow& f, Side side, Seq ack, Seq edge) const {
  const size_t s = index_of(side);
  const Seq before = f.ends[s].edge;
  tell_window(f, side, ack, edge);
  if (f.ends[s].edge > before && edge > before) f.granted = (f.granted | 1u << s) & 3;
}

// The field that tells `side` a window up to `edge` (none: what it was told before) behind `ack`,
// and notes what it was told, which is a multiple of its unit. Rounded down, but never so that the
// edge moves back (then up, as Linux does) or an open window seems closed. One that is closed is
// told so, whatever was rounded or promised, unless a head is not complete.
uint16_t Splice::tell_window(SpliceFlow& f, Side side, Seq ack, std::optional<Seq> edge) const {
  const unsigned shift = f.advertised[index_of(side)];
  Seq& advertised = f.at(side).edge;
  uint32_t units = 0;
  if (edge && *edge > ack)
    units = std::max<uint32_t>(static_cast<uint32_t>(*edge - ack) >> shift, 1);
  if (advertised > ack + (units << shift))
    units = (static_cast<uint32_t>(advertised - ack) + (1u << shift) - 1) >> shift;
  units = std::min<uint32_t>(units, 65535);
  if (const Seq now = ack + (units << shift); now > advertised) {
    if (edge && *edge > advertised) f.granted &= ~(1u << index_of(side)) & 3;
    advertised = now;
  }
  if (closed(f, side)) return 0;
  return static_cast<uint16_t>(units);
}

Seq Splice::ack_to(const SpliceFlow& f, Side side) const {
  const Seq una = f.at(side).map.una();
  const SpliceBinding* w = splice_binding_of(f);
  if (w == nullptr) return una;
  const size_t s = index_of(side);
  const bool taken = w->answers() && side == Side::client && w->streams[s].owned > una;
  return w->streams[s].owns(una) || taken ? w->streams[s].owned : una;
}

std::optional<wire::TcpOptions::Timestamps> Splice::timestamps_to(const SpliceFlow& f,
                                                                  Side side) const {
  if (!f.timestamps[index_of(side)]) return std::nullopt;
  uint32_t value = f.at(other(side)).ts_value;
  if (side == Side::client) value += f.ts_offset;
  return wire::TcpOptions::Timestamps{value, f.at(side).ts_value};
}

SegmentOut Splice::blank(SpliceFlow& f, Side to) const {
  SegmentOut s;
  s.seq = f.at(other(to)).map.emitted();
  if (s.seq > f.at(other(to)).right) s.seq = f.at(other(to)).right;
  s.ack = ack_to(f, to);
  s.flags = tcp_flag::ack;
  s.window = tell_window(f, to, s.ack, std::nullopt);
  s.timestamps = timestamps_to(f, to);
  f.mark(other(to), s);
  return s;
}

void Splice::acknowledge_to(SpliceFlow& f, Side side) {
  sink_.emit(f, side, blank(f, side));
}

// Of a segment of our own. The MSS counts neither header nor options, but whoever sends options
// must leave room for them (RFC 6691). Beside the MSS and the path the port that it leaves by must
// take it: nobody would hear of it else.
uint32_t Splice::payload_limit(const SpliceFlow& f, Side to, bool timestamps,
                               unsigned sack_blocks) const {
  uint32_t options = timestamps ? 12 : 0;
  if (sack_blocks != 0) options = std::min<uint32_t>(options + 4 + 8 * sack_blocks, 40);
  const uint32_t most = std::min<uint32_t>(f.at(to).most, sink_.most(f, to));
  return std::max(most, kLeastMss) - options;
}

// Of one that passes as it is. Its port is not asked: its sender is told when it takes less.
// Rewritten in place it keeps the room of SACK blocks that say nothing any more.
uint32_t Splice::limit_in_place(const SpliceFlow& f, Side to, const SegmentIn& in) {
  return std::max<uint32_t>(f.at(to).most, kLeastMss) - in.options;
}

// `ecn`: of the segment whose octets these are, and of none else: an ACK, a retransmission of our
// own and a window probe are not ECN-capable (RFC 3168, 6.1.4 to 6.1.6). Each part of a segment has
// its mark, as each fragment would (5.3). Neither SYN of ours offers ECN (6.1.1), so an end that
// keeps to that sends none.
void Splice::emit(SpliceFlow& f, Side from, const Emission& e, std::span<const uint8_t> payload,
                  uint8_t flags, uint8_t ecn, SegmentOut& s) {
  constexpr uint8_t kDscp = 0xfc;
  s.traffic_class = static_cast<uint8_t>((s.traffic_class & kDscp) | (e.length == 0 ? 0 : ecn));
  s.seq = e.seq;
  s.flags = tcp_flag::ack;
  if (e.last) s.flags |= flags & tcp_flag::psh;
  if (e.fin) s.flags |= tcp_flag::fin;
  s.length = e.length;
  s.piece_count = e.pieces;
  for (unsigned i = 0; i < e.pieces; ++i) {
    const Piece& p = e.piece[i];
    s.pieces[i] = p.edit == kNoEdit ? payload.subspan(p.offset, p.length)
                                    : edits_.bytes(p.edit).subspan(p.offset, p.length);
  }
  sink_.emit(f, other(from), s);
}

// How many mapped octets from `at` on the receiver's window takes. A closed one is probed with a
// single octet: only so a lost window update is noticed (RFC 9293, 3.8.6.1).
uint32_t Splice::room(const SpliceFlow& f, Side from, Seq at) const {
  const Seq ack = f.at(from).map.ack();
  Seq right = f.at(from).right;
  if (right <= ack) right = ack + 1;
  return right > at ? static_cast<uint32_t>(right - at) : 0;
}

// Octets [begin, end) of the hold, and the FIN behind them, as far as the window goes. Returns
// where it stopped; end + 1 behind a FIN.
Seq Splice::send_held(SpliceFlow& f, Side from, Seq begin, Seq end, bool fin) {
  const Hold& h = splice_binding_of(f)->at(from).hold;
  SegmentOut s = blank(f, other(from));
  const std::span<const uint8_t> bytes =
      h.bytes(begin).subspan(0, static_cast<size_t>(end - begin));
  StreamMap& map = f.at(from).map;
  StreamMap::Cut cut(map, edits_, begin, end, fin);
  const uint32_t limit = payload_limit(f, other(from), s.timestamps.has_value(), 0);
  Emission e;
  for (;;) {
    const uint32_t space = room(f, from, cut.at());
    // A part of an insertion counts as its carrier not sent.
    if (space == 0) return map.floor(edits_, cut.at());
    if (!cut.next(std::min(limit, space), e)) return fin ? end + 1 : end;
    emit(f, from, e, bytes, tcp_flag::psh, 0, s);
  }
}

}  // namespace limpet::tcp
