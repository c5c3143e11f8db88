// The relay: one received segment of an established splice becomes what its receiver may see.
#include "limpet/tcp/splice.h"

#include <algorithm>

#include "limpet/wire/frame.h"

namespace limpet::tcp {
namespace {

// A sender that has more to say fills its segments; one that sends less waits, perhaps for our ACK
// (Nagle, RFC 9293, 3.7.4).
constexpr size_t kShort = 536;

}  // namespace

using wire::tcp_flag;

bool Splice::note_timestamp(SpliceFlow& f, Side from, const SegmentIn& in) const {
  const size_t s = index_of(from);
  if (!in.timestamps || !f.timestamps[s]) return false;
  const bool newest = static_cast<int32_t>(in.timestamps->value - f.ts_value[s]) > 0;
  if (newest) f.ts_value[s] = in.timestamps->value;
  // Only what begins where its receiver has acknowledged to: of one flight that is the first
  // segment, and whatever of it comes out of order is not older.
  uint32_t& recent = f.ts_recent[s];
  if (in.seq <= f.map[s].una() &&
      (recent == 0 || static_cast<int32_t>(in.timestamps->value - recent) > 0))
    recent = in.timestamps->value;
  return newest;
}

// Whether the receiver would discard it for its age (PAWS: RFC 7323, 5.3, R1). Its octets leave as
// they were judged anyway; this is for what the segment would do to us. In doubt it passes: we hear
// of the receiver's ACKs late, so our TS.Recent is never newer than its own, and Linux's exceptions
// are ours: one tick, no option, a zero (of a stack whose clock begins with its second segment),
// and an ACK that says nothing new. Nothing is idle for 24 days here (timeouts are at most 7).
bool Splice::too_old(const SpliceFlow& f, Side from, const SegmentIn& in) {
  const size_t s = index_of(from);
  if (!in.timestamps || !f.timestamps[s] || f.ts_recent[s] == 0) return false;
  if (static_cast<int32_t>(f.ts_recent[s] - in.timestamps->value) <= kTicksBack) return false;
  const bool bare = in.payload.empty() && (in.flags & tcp_flag::fin) == 0;
  return !bare || in.ack > f.map[index_of(other(from))].ack();
}

// Of the blocks that a receiver reports in mapped numbers, what the sender may be told: whole
// octets only, nothing at or below the cumulative ACK but what says that octets came twice: without
// that a sender takes every probe for the repair of a loss, and slows down (RFC 8985, 7.4).
wire::SackBlocks Splice::translate(const StreamMap& map, Seq told, const wire::SackBlocks& in,
                                   bool permitted) {
  wire::SackBlocks r;
  if (!permitted) return r;
  for (unsigned i = 0; i < in.count; ++i) {
    Seq left{in.block[i].left}, right{in.block[i].right};
    // Only the first block can be one of these (RFC 2883, 4).
    if (const auto twice = i == 0 ? map.acknowledged(edits_, left, right) : std::nullopt) {
      r.block[r.count++] = {twice->first.value, twice->second.value};
      ++counters_.sack_translated;
      continue;
    }
    if (right <= map.ack() || right > map.emitted()) {
      ++counters_.sack_dropped;
      continue;
    }
    left = map.ceil(edits_, left < map.ack() ? map.ack() : left);
    right = map.floor(edits_, right);
    // A block that begins at the ACK would seem to be taken back (RFC 2018, 8).
    if (left <= told || left >= right) {
      ++counters_.sack_dropped;
      continue;
    }
    r.block[r.count++] = {left.value, right.value};
    ++counters_.sack_translated;
  }
  return r;
}

Handled Splice::relay(SpliceFlow& f, Side from, const SegmentIn& in, Instant now) {
  const Side to = other(from);
  StreamMap& back = f.map[index_of(to)];
  Handled h;
  h.numbers.tsval_shift = from == Side::backend ? f.ts_offset : 0;
  h.numbers.tsecr_shift = from == Side::client ? 0 - f.ts_offset : 0;

  if ((in.flags & tcp_flag::rst) != 0) return reset(f, from, in, h);
  if ((in.flags & tcp_flag::syn) != 0) {  // the handshake again: its answer was lost
    acknowledge_to(f, from);
    return h;
  }
  if ((in.flags & tcp_flag::ack) == 0) {
    h.fate = Fate::dropped;
    h.reason = Drop::tcp_flags_bad;
    return h;
  }
  // Somebody else's, or ages old: nothing that it says is believed, neither its ACK nor its clock.
  // It is answered unless it is an ACK itself: two who disagree would go on for ever.
  if (!in_window(f, from, in.seq) || in.ack < back.ack() - oldest_ack(f, from)) {
    if (!in.payload.empty() || (in.flags & tcp_flag::fin) != 0) acknowledge_to(f, from);
    h.fate = Fate::dropped;
    h.reason = Drop::outside_window;
    return h;
  }
  if (in.ack > back.emitted()) {  // RFC 9293, 3.10.7.4: of what was never sent
    acknowledge_to(f, from);
    h.fate = Fate::dropped;
    h.reason = Drop::ack_unsent;
    return h;
  }
  if (too_old(f, from, in)) {
    if (!in.payload.empty() || (in.flags & tcp_flag::fin) != 0) acknowledge_to(f, from);
    h.fate = Fate::dropped;
    h.reason = Drop::old_timestamp;
    return h;
  }
  const bool later = note_timestamp(f, from, in);
  f.hear(from, in);

  const bool news = in.ack > back.ack();
  back.acknowledge(edits_, in.ack);
  if (to == Side::client) retire(f);
  const bool was_closed = closed(f, to);
  const bool shut = f.right[index_of(to)] <= back.ack();
  const bool less = hear_window(f, from, in, news, later);
  const Seq takes = back.window_edge(edits_, back.ack(), f.right[index_of(to)]);
  const Seq edge = with_copies(f, to, takes);
  const Seq before = f.edge[index_of(to)];
  if (less) take_back(f, to, takes);
  if (const SpliceWork* w = work_of(f); w != nullptr && w->hold[index_of(to)].active())
    acknowledged(f, to, news, shut && f.right[index_of(to)] > back.ack(), now);
  Seq told = back.floor(edits_, in.ack);
  if (const SpliceWork* w = work_of(f); w != nullptr && w->owns(index_of(to), told)) {
    told = w->owned[index_of(to)];
    ++counters_.clamped_acks;
  }
  const bool moved = edge > before || f.edge[index_of(to)] < before || closed(f, to) != was_closed;
  h.numbers.ack = told.value;
  h.numbers.window = tell_window(f, to, told, edge);
  h.numbers.sack = translate(back, told, in.sack, f.sack);
  return data(f, from, in, h, news || moved, now);
}

// A reset is believed at one number only, the next that its receiver expects; at another one in its
// window it is asked for (RFC 5961, 3.2). Who has lost its connection learns that number from the
// answer. So it passes with the number that it has, or whoever knows the four addresses and ports
// could end the connection with two guesses; but where the two ends disagree because of us, it is
// put right.
Handled Splice::reset(SpliceFlow& f, Side from, const SegmentIn& in, Handled h) {
  const size_t s = index_of(from);
  const StreamMap& out = f.map[s];
  if (in.seq < out.una() || in.seq > f.edge[s] + 1) {
    h.fate = Fate::dropped;
    h.reason = Drop::outside_window;
    return h;
  }
  Seq seq = out.position_of_empty(edits_, in.seq);
  if (!out.covers(in.seq)) seq = seq + static_cast<uint32_t>(in.seq - out.frontier());
  const bool ours = seq > out.emitted() && at_our_end(f, from, in.seq);
  if (ours) seq = out.emitted();
  if (seq > f.right[s]) {  // beyond it nobody would answer
    // Its receiver may expect just that number next: of whoever hit the window it would be exact.
    if (!ours && f.right[s] <= out.emitted()) {
      h.fate = Fate::dropped;
      h.reason = Drop::outside_window;
      return h;
    }
    seq = f.right[s];
  }
  h.fate = Fate::in_place;
  h.numbers.seq = seq.value;
  h.numbers.ack = f.map[index_of(other(from))].floor(edits_, in.ack).value;
  return h;
}

// Whether this is what we have acknowledged to `from`, or the end of what we hold of its stream.
bool Splice::at_our_end(const SpliceFlow& f, Side from, Seq seq) const {
  if (seq == ack_to(f, from)) return true;
  const SpliceWork* w = work_of(f);
  if (w == nullptr || !w->hold[index_of(from)].active()) return false;
  const Hold& held = w->hold[index_of(from)];
  return seq == held.end() || (held.has_fin() && seq == held.end() + 1);
}

// The segment's own octets; `h` has everything else. `news`: its ACK tells the receiver something,
// so it must pass although its octets may not.
Handled Splice::data(SpliceFlow& f, Side from, const SegmentIn& in, Handled h, bool news,
                     Instant now) {
  const Side to = other(from);
  StreamMap& out = f.map[index_of(from)];
  const bool fin = (in.flags & tcp_flag::fin) != 0;
  const auto length = static_cast<uint32_t>(in.payload.size());
  const Seq end = in.seq + length;
  // A receiver that agreed to timestamps gets them in every segment, another one never (RFC 7323,
  // 3.2).
  const bool rebuild = f.timestamps[index_of(to)] != in.timestamps.has_value();

  SegmentOut segment = blank(f, to);
  segment.relayed = true;
  segment.ttl = in.ttl > 1 ? static_cast<uint8_t>(in.ttl - 1) : uint8_t{1};
  segment.ack = Seq{h.numbers.ack};
  segment.window = h.numbers.window;
  segment.sack = h.numbers.sack;
  if (in.timestamps && segment.timestamps && f.timestamps[index_of(from)])
    segment.timestamps = {in.timestamps->value + h.numbers.tsval_shift,
                          in.timestamps->echo + h.numbers.tsecr_shift};
  const auto pass_ack = [&] {
    if (news || segment.sack.count != 0) sink_.emit(to, segment);
  };

  const SpliceWork* w = work_of(f);
  const bool holding = w != nullptr && w->hold[index_of(from)].active();
  if (length == 0 && !fin) {
    if (holding && w->owns(index_of(from), out.una()) &&
        in.seq < w->owned[index_of(from)]) {  // a probe for what we have: we answer
      pass_ack();
      acknowledge_to(f, from);
      return h;
    }
    segment.seq = out.position_of_empty(edits_, in.seq);
    // Beyond the window its ACK would not be read either.
    if (segment.seq > f.right[index_of(from)]) segment.seq = f.right[index_of(from)];
    h.numbers.seq = segment.seq.value;
    h.fate = rebuild ? Fate::consumed : Fate::in_place;
    if (rebuild) sink_.emit(to, segment);
    return h;
  }

  // Octets that are in the hold leave from there; those in front of it have gone before, and this
  // is a retransmission of them.
  Seq stop = end;
  bool with_fin = fin;
  const Seq judged = out.frontier();  // and before the octets of this segment are
  const Seq held_from = holding ? w->next[index_of(from)] : judged;
  const bool beyond = !out.is_open() && (fin ? end + 1 : end) > out.frontier();
  bool in_hold = holding && !beyond && in.seq >= held_from &&
                 in.seq < w->hold[index_of(from)].end();  // waits for the window
  if (beyond) {
    in_hold = show(f, from, in, now);
    // What has just left from the hold may have told a further edge, in its own rounding.
    h.numbers.window = segment.window = tell_window(f, to, segment.ack, std::nullopt);
  }
  if (in_hold) {
    if (in.seq >= held_from) {
      pass_ack();
      return h;
    }
    if (stop > held_from) stop = held_from;
    with_fin = false;
  }
  if (!out.covers(with_fin ? stop + 1 : stop)) {
    with_fin = false;
    if (!out.covers(stop)) stop = out.frontier();
  }
  if (from == Side::client) {
    // The end of a stream is judged too: nothing follows the FIN that was taken, and none comes in
    // front of what has followed.
    if (f.ended && stop > out.frontier()) stop = out.frontier();
    if (with_fin && !may_end(f, end)) with_fin = false;
  }
  // What we have acknowledged is ours to deliver, and from the hold: whatever its sender says about
  // it again may be the garbage of a keep-alive probe (RFC 1122, 4.2.3.6).
  Seq begin = in.seq;
  w = work_of(f);
  if (w != nullptr && w->hold[index_of(from)].active() && w->owns(index_of(from), out.una()) &&
      begin < w->owned[index_of(from)]) {
    begin = w->owned[index_of(from)];
    if (stop <= begin && !with_fin) {
      pass_ack();
      acknowledge_to(f, from);
      return h;
    }
    if (stop < begin) begin = stop;
  }
  if (stop <= in.seq && !with_fin) {
    ++counters_.beyond_frontier;
    pass_ack();
    h.fate = Fate::dropped;
    h.reason = Drop::beyond_frontier;
    return h;
  }
  StreamMap::Cut cut(out, edits_, begin, stop, with_fin);
  const std::span<const uint8_t> said =
      from == Side::client ? as_judged(f, in.seq, in.payload, begin, stop, judged) : in.payload;
  const bool whole = begin == in.seq && stop == end && with_fin == fin && !rebuild &&
                     said.data() == in.payload.data();
  const std::span<const uint8_t> payload = said.subspan(static_cast<size_t>(begin - in.seq));
  if (cut.old()) {
    // Something that the receiver has: a retransmission whose ACK was lost, or a probe. It is asked
    // for its ACK, but not with octets that no longer mean what they meant. The one octet of a
    // keep-alive probe is garbage anyway (RFC 1122, 4.2.3.6).
    if (whole && length == 1 && end == out.una()) {
      h.fate = Fate::in_place;
      h.numbers.seq = cut.old_position().value;
      return h;
    }
    // Where they mean the same the receiver says that they came twice, and their sender learns that
    // it was not the octets that were lost (RFC 3708).
    const std::optional<Seq> again = out.again(edits_, in.seq, fin ? end + 1 : end);
    if (whole && again && length <= limit_in_place(f, to, in)) {
      h.fate = Fate::in_place;
      h.numbers.seq = again->value;
      return h;
    }
    segment.seq = out.ack() - 1;
    sink_.emit(to, segment);
    return h;
  }
  const uint32_t in_place = limit_in_place(f, to, in);
  const bool untouched = whole && length <= in_place && begin >= out.una() &&
                         length <= room(f, from, cut.at()) &&
                         !out.touches(edits_, begin, fin ? end + 1 : end);
  const uint32_t limit =
      untouched ? in_place
                : payload_limit(f, to, segment.timestamps.has_value(), segment.sack.count);
  Emission e;
  unsigned parts = 0;
  for (;;) {
    const uint32_t space = room(f, from, cut.at());
    if (space == 0) {  // its sender will try again
      if (parts == 0) {
        pass_ack();
        h.fate = Fate::dropped;
        h.reason = Drop::beyond_window;
      }
      return h;
    }
    if (!cut.next(std::min(limit, space), e)) break;
    const bool as_it_is = parts == 0 && whole && e.last && e.fin == fin && length <= in_place &&
                          ((e.pieces == 1 && e.piece[0].edit == kNoEdit && e.piece[0].offset == 0 &&
                            e.piece[0].length == length) ||
                           (e.pieces == 0 && length == 0));
    if (as_it_is) {
      h.fate = Fate::in_place;
      h.numbers.seq = e.seq.value;
      return h;
    }
    segment.split = parts != 0 || !e.last;
    if (segment.split && parts != 0) ++counters_.splits;
    emit(f, from, e, payload, in.flags, in.traffic_class & 3, segment);
    ++parts;
  }
  if (cut.swallowed()) {  // its receiver will never acknowledge it
    ++counters_.swallowed;
    pass_ack();
    acknowledge_to(f, from);
  }
  return h;
}

bool Splice::begin(SpliceFlow& f, Seq first, Seq answer, uint32_t window) {
  f.map[index_of(Side::client)] = StreamMap(first, first);
  f.map[index_of(Side::backend)] = StreamMap(Seq{}, answer);
  f.edge[index_of(Side::client)] = first + window;
  f.first = first;
  if (!start_hold(f, Side::client, first, 1)) return false;
  SpliceWork& w = *work_of(f);
  w.paused = true;
  w.window = window;
  f.right[index_of(Side::backend)] = answer;
  f.wl1[index_of(Side::client)] = first;
  f.right[index_of(Side::client)] = first;
  return true;
}

bool Splice::collect(SpliceFlow& f, const SegmentIn& in, Instant now) {
  SpliceWork& w = *work_of(f);
  const bool fin = (in.flags & tcp_flag::fin) != 0;
  // Nothing was sent to it but the SYN-ACK.
  if (!in_window(f, Side::client, in.seq) || in.ack != f.map[index_of(Side::backend)].ack()) {
    if (!in.payload.empty() || fin) acknowledge_to(f, Side::client);
    return false;
  }
  const bool later = note_timestamp(f, Side::client, in);
  f.hear(Side::client, in);
  hear_window(f, Side::client, in, false, later);
  if (in.payload.empty() && !fin) {
    // A probe of an octet that we have (RFC 1122, 4.2.3.6) wants to hear from us.
    if (in.seq < w.hold[index_of(Side::client)].end() ||
        in.seq < w.hold[index_of(Side::client)].base())
      acknowledge_to(f, Side::client);
    return false;
  }
  const bool moved = put(f, Side::client, in);
  if (!moved) {  // again, or behind a gap: the sender wants to hear what we have
    own(f, Side::client, now);
    return false;
  }
  const bool before = w.shown;
  if (!before) w.shown = show_held(f, Side::client);
  wait(f, Side::client, !w.shown && in.payload.size() < kShort, now);
  return w.shown && !before;
}

void Splice::connected(SpliceFlow& f, Seq first, uint32_t window, std::optional<uint32_t> tsval,
                       Instant now) {
  StreamMap& up = f.map[index_of(Side::client)];
  StreamMap& down = f.map[index_of(Side::backend)];
  SpliceWork& w = *work_of(f);
  const bool open = down.is_open();
  down = StreamMap(first, down.ack());
  if (open) down.open();
  f.timestamps[index_of(Side::backend)] = tsval.has_value();
  if (tsval) {  // so that the client sees one clock go on
    f.ts_offset = f.ts_value[index_of(Side::backend)] - *tsval;
    f.ts_value[index_of(Side::backend)] = *tsval;
  }
  f.edge[index_of(Side::backend)] = first;
  tell_window(f, Side::backend, first,
              down.window_edge(edits_, down.ack(), f.right[index_of(Side::backend)]));
  f.right[index_of(Side::client)] = up.ack() + window;
  f.wl1[index_of(Side::backend)] = first - 1;  // its SYN
  f.promised = 1u << index_of(Side::client);   // what it was told when nobody had granted anything
  w.paused = false;
  // More than the first head may have come meanwhile.
  if (!up.is_open() && w.hold[index_of(Side::client)].end() > up.frontier())
    show_held(f, Side::client);
  pump(f, Side::client, now);
}

bool Splice::answer(SpliceFlow& f, std::span<const uint8_t> bytes, bool closed, Instant now) {
  copies_.release(f.copies);
  StreamMap& down = f.map[index_of(Side::backend)];
  const Seq told = ack_to(f, Side::client);
  if (const SpliceWork* before = work_of(f); before != nullptr && before->hold[1].active())
    release(f, Side::backend);
  down = StreamMap(Seq{}, down.ack());
  if (!start_hold(f, Side::backend, Seq{}, static_cast<uint32_t>(bytes.size()))) return false;
  down.open();
  SpliceWork& w = *work_of(f);
  if (!w.hold[index_of(Side::client)].active()) w.owned[index_of(Side::client)] = told;
  w.client_fin = closed;
  w.answers = w.paused = true;  // what the client says goes nowhere
  Hold& h = w.hold[index_of(Side::backend)];
  h.put(Seq{}, bytes, true);
  w.owned[index_of(Side::backend)] = h.end() + 1;  // its FIN too: nobody else will send it again
  tell_window(f, Side::client, ack_to(f, Side::client), ack_to(f, Side::client) + kDiscarded);
  own(f, Side::client, now);
  w.own_at[index_of(Side::client)] = {};
  pump(f, Side::backend, now);
  return true;
}

bool Splice::answered(SpliceFlow& f, const SegmentIn& in, Instant now) {
  SpliceWork& w = *work_of(f);
  StreamMap& down = f.map[index_of(Side::backend)];
  const bool fin = (in.flags & tcp_flag::fin) != 0;
  if (!in_window(f, Side::client, in.seq)) {
    if (!in.payload.empty() || fin) acknowledge_to(f, Side::client);
    return false;
  }
  const bool later = note_timestamp(f, Side::client, in);
  f.hear(Side::client, in);
  if ((in.flags & tcp_flag::ack) != 0 && in.ack <= down.emitted()) {
    const bool news = in.ack > down.ack();
    down.acknowledge(edits_, in.ack);
    hear_window(f, Side::client, in, news, later);
    if (news) {
      w.backoff[index_of(Side::backend)] = 0;
      w.resend_at[index_of(Side::backend)] = {};
    }
    pump(f, Side::backend, now);
  }
  // What the client still says is taken in order and thrown away; its window stays open, as it may
  // not look for an answer before it has said everything. A probe wants to hear from us.
  Seq& owned = w.owned[index_of(Side::client)];
  const Seq end = in.seq + static_cast<uint32_t>(in.payload.size());
  if (!in.payload.empty() || fin || in.seq < owned) {
    if (in.seq <= owned && end > owned) owned = end;
    if (fin && !w.client_fin && end == owned) {
      w.client_fin = true;
      owned = owned + 1;
    }
    tell_window(f, Side::client, owned, owned + kDiscarded);
    acknowledge_to(f, Side::client);
  }
  return w.client_fin && down.una() >= w.hold[index_of(Side::backend)].end() + 1;
}

bool Splice::believed(SpliceFlow& f, const SegmentIn& in) {
  constexpr size_t c = index_of(Side::client);
  if (in.seq < f.map[c].una() || in.seq > f.edge[c] + 1) return false;
  if (at_our_end(f, Side::client, in.seq)) return true;
  acknowledge_to(f, Side::client);
  return false;
}

std::optional<Splice::TooBig> Splice::too_big(SpliceFlow& f, Side to, Seq seq, uint32_t mtu,
                                              uint32_t headers) {
  const StreamMap& map = f.map[index_of(other(to))];
  // Old octets are in flight again when their sender does not know that they have arrived. (Found
  // by simulation: nobody told it that the path had become too small for them, and it never heard.)
  Seq quoted = map.floor(edits_, seq);
  if (seq < map.ack()) {
    const auto old = map.acknowledged(edits_, seq, seq + 1);
    if (!old || seq < map.ack() - (0xffffu << f.told[index_of(other(to))])) return std::nullopt;
    quoted = old->first;
  }
  if (seq > map.emitted()) return std::nullopt;
  const uint32_t least = headers == 40 ? kLeastMtu4 : kLeastMtu6;
  mtu = std::max(mtu, least);
  const uint32_t most = mtu - headers;
  if (most < f.most[index_of(to)]) f.most[index_of(to)] = static_cast<uint16_t>(most);
  // What is still to be inserted travels beside what the sender fills its segments with.
  const uint32_t inserted = map.largest_insertion(edits_);
  // Below the least nobody would believe it, and we cut.
  return TooBig{quoted, mtu > least + inserted ? mtu - inserted : least};
}

bool Splice::in_flight(const SpliceFlow& f, Side to, Seq seq) {
  const size_t from = index_of(other(to));
  const Seq oldest = f.map[from].ack() - (0xffffu << f.told[from]);
  return seq.value - oldest.value <= f.map[from].emitted().value - oldest.value;
}

uint32_t Splice::mtu_for(const SpliceFlow& f, Side from, uint32_t mtu, bool v6) const {
  // Less than this no host believes, or it stops to set DF (RFC 8201, 4; Linux' min_pmtu): what
  // does not fit then is split.
  const uint32_t least = std::min<uint32_t>(mtu, v6 ? 1280 : 552);
  const uint32_t inserted = f.map[index_of(from)].largest_insertion(edits_);
  return mtu > least + inserted ? mtu - inserted : least;
}

void Splice::end(SpliceFlow& f) {
  for (StreamMap& m : f.map) m.release(edits_);
  copies_.release(f.copies);
  if (f.work == kNoWork) return;
  for (Hold& h : memory_.work(f.work).hold)
    if (h.active()) memory_.give({h.memory(), h.capacity()});
  memory_.give_work(f.work);
  f.work = kNoWork;
}

}  // namespace limpet::tcp
