// Segments that a splice makes itself: ACKs, cut and edited data, what is owned.
#include <algorithm>

#include "limpet/tcp/splice.h"
#include "limpet/wire/frame.h"

namespace limpet::tcp {

using wire::tcp_flag;

uint16_t Splice::window_to(const SpliceFlow& f, Side side, Seq ack) const {
  const int32_t room = f.edge[index_of(side)] - ack;
  if (room <= 0) return 0;
  const uint32_t scaled = static_cast<uint32_t>(room) >> f.told[index_of(side)];
  return static_cast<uint16_t>(std::clamp<uint32_t>(scaled, 1, 65535));
}

Seq Splice::ack_to(const SpliceFlow& f, Side side) const {
  const Seq una = f.map[index_of(side)].una();
  const SpliceWork* w = work_of(f);
  if (w == nullptr) return una;
  const bool keeps = w->hold[index_of(side)].active() || (w->answers && side == Side::client);
  return keeps && w->owned[index_of(side)] > una ? w->owned[index_of(side)] : una;
}

std::optional<wire::TcpOptions::Timestamps> Splice::timestamps_to(const SpliceFlow& f,
                                                                  Side side) const {
  if (!f.timestamps[index_of(side)]) return std::nullopt;
  uint32_t value = f.ts_value[index_of(other(side))];
  if (side == Side::client) value += f.ts_offset;
  return wire::TcpOptions::Timestamps{value, f.ts_value[index_of(side)]};
}

SegmentOut Splice::blank(const SpliceFlow& f, Side to) const {
  SegmentOut s;
  s.seq = f.map[index_of(other(to))].emitted();
  s.ack = ack_to(f, to);
  s.flags = tcp_flag::ack;
  s.window = window_to(f, to, s.ack);
  s.timestamps = timestamps_to(f, to);
  return s;
}

void Splice::acknowledge_to(SpliceFlow& f, Side side) {
  sink_.emit(side, blank(f, side));
}

// The MSS counts neither header nor options, but whoever sends options must leave room for them
// (RFC 6691).
uint32_t Splice::payload_limit(const SpliceFlow& f, Side to, const SegmentOut& s) const {
  uint32_t options = s.timestamps ? 12 : 0;
  if (s.sack.count != 0) options += 4 + 8 * s.sack.count;
  return std::max<uint32_t>(f.most[index_of(to)], options + 64) - options;
}

void Splice::emit(const SpliceFlow&, Side from, const Emission& e, std::span<const uint8_t> payload,
                  uint8_t flags, SegmentOut& s) {
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
  sink_.emit(other(from), s);
}

// Octets [begin, end) of the hold, and the FIN behind them.
void Splice::send_held(SpliceFlow& f, Side from, Seq begin, Seq end, bool fin) {
  const Hold& h = work_of(f)->hold[index_of(from)];
  SegmentOut s = blank(f, other(from));
  const std::span<const uint8_t> bytes =
      h.bytes(begin).subspan(0, static_cast<size_t>(end - begin));
  StreamMap::Cut cut(f.map[index_of(from)], edits_, begin, end, fin);
  const uint32_t limit = payload_limit(f, other(from), s);
  Emission e;
  while (cut.next(limit, e)) emit(f, from, e, bytes, tcp_flag::psh, s);
}

}  // namespace limpet::tcp
