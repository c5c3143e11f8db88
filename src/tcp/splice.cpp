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

struct Splice::Passing {
  Side from;
  const SegmentIn& in;
  Handled h;  // what becomes of it
  bool news;  // its ACK tells the receiver something
  Instant now;
  bool rebuild = false;  // it must not pass as it is
  SegmentOut segment{};  // what goes in its place

  bool fin() const { return (in.flags & tcp_flag::fin) != 0; }
  Seq end() const { return in.seq + static_cast<uint32_t>(in.payload.size()); }
  void in_place(Seq seq) {
    h.fate = Fate::in_place;
    h.numbers.seq = seq.value;
  }
  void drop(Drop reason) {
    h.fate = Fate::dropped;
    h.reason = reason;
  }
};

bool Splice::note_timestamp(SpliceFlow& f, Side from, const SegmentIn& in) const {
  const size_t s = index_of(from);
  if (!in.timestamps || !f.timestamps[s]) return false;
  const bool newest = static_cast<int32_t>(in.timestamps->value - f.ends[s].ts_value) > 0;
  if (newest) f.ends[s].ts_value = in.timestamps->value;
  // Only what begins where its receiver has acknowledged to: of one flight that is the first
  // segment, and whatever of it comes out of order is not older.
  uint32_t& recent = f.ends[s].ts_recent;
  if (in.seq <= f.ends[s].map.una() &&
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
  if (!in.timestamps || !f.timestamps[s] || f.ends[s].ts_recent == 0) return false;
  if (static_cast<int32_t>(f.ends[s].ts_recent - in.timestamps->value) <= kTicksBack) return false;
  const bool bare = in.payload.empty() && (in.flags & tcp_flag::fin) == 0;
  return !bare || in.ack > f.at(other(from)).map.ack();
}

// Of the blocks that a receiver reports in mapped numbers, what the sender may be told: whole
// octets only, nothing at or below the cumulative ACK but what says that octets came twice: without
// that a sender takes every probe for the repair of a loss, and slows down (RFC 8985, 7.4).
wire::SackBlocks Splice::translate(const StreamMap& map, Seq advertised, const wire::SackBlocks& in,
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
    if (left <= advertised || left >= right) {
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
  StreamMap& back = f.at(to).map;
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
  const bool shut = f.at(to).right <= back.ack();
  const bool less = hear_window(f, from, in, news, later);
  const Seq takes = back.window_edge(edits_, back.ack(), f.at(to).right);
  const Seq edge = with_copies(f, to, takes);
  const Seq before = f.at(to).edge;
  if (less) take_back(f, to, takes);
  if (const SpliceBinding* w = splice_binding_of(f); w != nullptr && w->at(to).hold.active())
    acknowledged(f, to, news, shut && f.at(to).right > back.ack(), now);
  Seq advertised = back.floor(edits_, in.ack);
  if (const SpliceBinding* w = splice_binding_of(f); w != nullptr && w->at(to).owns(advertised)) {
    advertised = w->at(to).owned;
    ++counters_.clamped_acks;
  }
  const bool moved = edge > before || f.at(to).edge < before || closed(f, to) != was_closed;
  h.numbers.ack = advertised.value;
  h.numbers.window = tell_window(f, to, advertised, edge);
  h.numbers.sack = translate(back, advertised, in.sack, f.sack);
  return data(f, {.from = from, .in = in, .h = h, .news = news || moved, .now = now});
}

// A reset is believed at one number only, the next that its receiver expects; at another one in its
// window it is asked for (RFC 5961, 3.2). Who has lost its connection learns that number from the
// answer. So it passes with the number that it has, or whoever knows the four addresses and ports
// could end the connection with two guesses; but where the two ends disagree because of us, it is
// put right.
Handled Splice::reset(SpliceFlow& f, Side from, const SegmentIn& in, Handled h) {
  const size_t s = index_of(from);
  const StreamMap& out = f.ends[s].map;
  if (in.seq < out.una() || in.seq > f.ends[s].edge + 1) {
    h.fate = Fate::dropped;
    h.reason = Drop::outside_window;
    return h;
  }
  Seq seq = out.position_of_empty(edits_, in.seq);
  if (!out.covers(in.seq)) seq = seq + static_cast<uint32_t>(in.seq - out.frontier());
  const bool ours = seq > out.emitted() && at_our_end(f, from, in.seq);
  if (ours) seq = out.emitted();
  if (seq > f.ends[s].right) {  // beyond it nobody would answer
    // Its receiver may expect just that number next: of whoever hit the window it would be exact.
    if (!ours && f.ends[s].right <= out.emitted()) {
      h.fate = Fate::dropped;
      h.reason = Drop::outside_window;
      return h;
    }
    seq = f.ends[s].right;
  }
  h.fate = Fate::in_place;
  h.numbers.seq = seq.value;
  h.numbers.ack = f.at(other(from)).map.floor(edits_, in.ack).value;
  return h;
}

// Whether this is what we have acknowledged to `from`, or the end of what we hold of its stream.
bool Splice::at_our_end(const SpliceFlow& f, Side from, Seq seq) const {
  if (seq == ack_to(f, from)) return true;
  const SpliceBinding* w = splice_binding_of(f);
  if (w == nullptr || !w->at(from).hold.active()) return false;
  const Hold& held = w->at(from).hold;
  return seq == held.end() || (held.has_fin() && seq == held.end() + 1);
}

// The segment's own octets; `p.h` has everything else.
Handled Splice::data(SpliceFlow& f, Passing p) {
  const Side to = other(p.from);
  const SegmentIn& in = p.in;
  // A receiver that agreed to timestamps gets them in every segment, another one never (RFC 7323,
  // 3.2).
  p.rebuild = f.timestamps[index_of(to)] != in.timestamps.has_value();
  p.segment = blank(f, to);
  p.segment.relayed = true;
  p.segment.ttl = in.ttl > 1 ? static_cast<uint8_t>(in.ttl - 1) : uint8_t{1};
  p.segment.ack = Seq{p.h.numbers.ack};
  p.segment.window = p.h.numbers.window;
  p.segment.sack = p.h.numbers.sack;
  if (in.timestamps && p.segment.timestamps && f.timestamps[index_of(p.from)])
    p.segment.timestamps = {in.timestamps->value + p.h.numbers.tsval_shift,
                            in.timestamps->echo + p.h.numbers.tsecr_shift};
  if (in.payload.empty() && !p.fin()) {
    pass_bare(f, p);
  } else if (const std::optional<Part> part = part_that_leaves(f, p)) {
    pass_part(f, p, *part);
  }
  return p.h;
}

// What its ACK tells the receiver must pass though its octets may not.
void Splice::pass_ack(SpliceFlow& f, const Passing& p) {
  if (p.news || p.segment.sack.count != 0) sink_.emit(f, other(p.from), p.segment);
}

// A segment without octets.
void Splice::pass_bare(SpliceFlow& f, Passing& p) {
  const StreamMap& out = f.at(p.from).map;
  const SpliceBinding* w = splice_binding_of(f);
  if (w != nullptr && w->at(p.from).owns(out.una()) &&
      p.in.seq < w->at(p.from).owned) {  // a probe for what we have: we answer
    pass_ack(f, p);
    return acknowledge_to(f, p.from);
  }
  Seq& seq = p.segment.seq;
  seq = out.position_of_empty(edits_, p.in.seq);
  // Beyond the window its ACK would not be read either.
  if (seq > f.at(p.from).right) seq = f.at(p.from).right;
  p.h.numbers.seq = seq.value;
  if (p.rebuild)
    sink_.emit(f, other(p.from), p.segment);
  else
    p.h.fate = Fate::in_place;
}

// Which of its octets leave with it: octets that are in the hold leave from there; those in front
// of it have gone before, and this is a retransmission of them. Nothing: its fate is known.
std::optional<Splice::Part> Splice::part_that_leaves(SpliceFlow& f, Passing& p) {
  const SegmentIn& in = p.in;
  const StreamMap& out = f.at(p.from).map;
  const SpliceBinding* w = splice_binding_of(f);
  const bool holding = w != nullptr && w->at(p.from).hold.active();
  Part part{.begin = in.seq, .stop = p.end(), .fin = p.fin(), .judged = out.frontier()};
  const Seq held_from = holding ? w->at(p.from).next : part.judged;
  const bool beyond = !out.is_open() && (p.fin() ? p.end() + 1 : p.end()) > out.frontier();
  bool in_hold = holding && !beyond && in.seq >= held_from &&
                 in.seq < w->at(p.from).hold.end();  // waits for the window
  if (beyond) {
    in_hold = show(f, p.from, in, p.now);
    // What has just left from the hold may have told a further edge, in its own rounding.
    p.h.numbers.window = p.segment.window =
        tell_window(f, other(p.from), p.segment.ack, std::nullopt);
  }
  if (in_hold) {
    if (in.seq >= held_from) return pass_ack(f, p), std::nullopt;
    if (part.stop > held_from) part.stop = held_from;
    part.fin = false;
  }
  if (!out.covers(part.fin ? part.stop + 1 : part.stop)) {
    part.fin = false;
    if (!out.covers(part.stop)) part.stop = out.frontier();
  }
  if (p.from == Side::client) {
    // The end of a stream is judged too: nothing follows the FIN that was taken, and none comes in
    // front of what has followed.
    if (f.ended && part.stop > out.frontier()) part.stop = out.frontier();
    if (part.fin && !may_end(f, p.end())) part.fin = false;
  }
  // What we have acknowledged is ours to deliver, and from the hold: whatever its sender says about
  // it again may be the garbage of a keep-alive probe (RFC 1122, 4.2.3.6).
  w = splice_binding_of(f);
  if (w != nullptr && w->at(p.from).owns(out.una()) && in.seq < w->at(p.from).owned) {
    part.begin = w->at(p.from).owned;
    if (part.stop <= part.begin && !part.fin) {
      pass_ack(f, p);
      acknowledge_to(f, p.from);
      return std::nullopt;
    }
    if (part.stop < part.begin) part.begin = part.stop;
  }
  if (part.stop > in.seq || part.fin) return part;
  ++counters_.beyond_frontier;
  pass_ack(f, p);
  p.drop(Drop::beyond_frontier);
  return std::nullopt;
}

// Something that the receiver has: a retransmission whose ACK was lost, or a probe. It is asked for
// its ACK, but not with octets that no longer mean what they meant.
void Splice::pass_old(SpliceFlow& f, Passing& p, Seq position, bool whole) {
  const StreamMap& out = f.at(p.from).map;
  const size_t length = p.in.payload.size();
  // The one octet of a keep-alive probe is garbage anyway (RFC 1122, 4.2.3.6).
  if (whole && length == 1 && p.end() == out.una()) return p.in_place(position);
  // Where they mean the same the receiver says that they came twice, and their sender learns that
  // it was not the octets that were lost (RFC 3708).
  const std::optional<Seq> again = out.again(edits_, p.in.seq, p.fin() ? p.end() + 1 : p.end());
  if (whole && again && length <= limit_in_place(f, other(p.from), p.in)) return p.in_place(*again);
  p.segment.seq = out.ack() - 1;
  sink_.emit(f, other(p.from), p.segment);
}

// These of its octets: the segment itself where nothing of it changes, else segments of our own.
void Splice::pass_part(SpliceFlow& f, Passing& p, const Part& part) {
  const Side to = other(p.from);
  const SegmentIn& in = p.in;
  const auto length = static_cast<uint32_t>(in.payload.size());
  StreamMap& out = f.at(p.from).map;
  StreamMap::Cut cut(out, edits_, part.begin, part.stop, part.fin);
  const std::span<const uint8_t> said =
      p.from == Side::client ? as_judged(f, in.seq, in.payload, part.begin, part.stop, part.judged)
                             : in.payload;
  const bool whole = part.begin == in.seq && part.stop == p.end() && part.fin == p.fin() &&
                     !p.rebuild && said.data() == in.payload.data();
  if (cut.old()) return pass_old(f, p, cut.old_position(), whole);
  const std::span<const uint8_t> payload = said.subspan(static_cast<size_t>(part.begin - in.seq));
  const uint32_t in_place = limit_in_place(f, to, in);
  const bool untouched = whole && length <= in_place && part.begin >= out.una() &&
                         length <= room(f, p.from, cut.at()) &&
                         !out.touches(edits_, part.begin, p.fin() ? p.end() + 1 : p.end());
  const uint32_t limit =
      untouched ? in_place
                : payload_limit(f, to, p.segment.timestamps.has_value(), p.segment.sack.count);
  Emission e;
  for (unsigned parts = 0;; ++parts) {
    const uint32_t space = room(f, p.from, cut.at());
    if (space == 0) {  // its sender will try again
      if (parts != 0) return;
      pass_ack(f, p);
      return p.drop(Drop::beyond_window);
    }
    if (!cut.next(std::min(limit, space), e)) break;
    const bool as_it_is = parts == 0 && whole && e.last && e.fin == p.fin() && length <= in_place &&
                          ((e.pieces == 1 && e.piece[0].edit == kNoEdit && e.piece[0].offset == 0 &&
                            e.piece[0].length == length) ||
                           (e.pieces == 0 && length == 0));
    if (as_it_is) return p.in_place(e.seq);
    p.segment.split = parts != 0 || !e.last;
    if (parts != 0) ++counters_.splits;
    emit(f, p.from, e, payload, in.flags, in.traffic_class & 3, p.segment);
  }
  if (!cut.swallowed()) return;
  ++counters_.swallowed;  // its receiver will never acknowledge it
  pass_ack(f, p);
  acknowledge_to(f, p.from);
}

bool Splice::begin(SpliceFlow& f, Seq first, Seq answer, uint32_t window) {
  f.at(Side::client).map = StreamMap(first, first);
  f.at(Side::backend).map = StreamMap(Seq{}, answer);
  f.at(Side::client).edge = first + window;
  f.first = first;
  if (!start_hold(f, Side::client, first, 1)) return false;
  SpliceBinding& w = *splice_binding_of(f);
  w.stage = SpliceBinding::Stage::head;
  w.window = window;
  f.at(Side::backend).right = answer;
  f.at(Side::client).wl1 = first;
  f.at(Side::client).right = first;
  return true;
}

bool Splice::collect(SpliceFlow& f, const SegmentIn& in, Instant now) {
  SpliceBinding& w = *splice_binding_of(f);
  const bool fin = (in.flags & tcp_flag::fin) != 0;
  // Nothing was sent to it but the SYN-ACK.
  if (!in_window(f, Side::client, in.seq) || in.ack != f.at(Side::backend).map.ack()) {
    if (!in.payload.empty() || fin) acknowledge_to(f, Side::client);
    return false;
  }
  const bool later = note_timestamp(f, Side::client, in);
  f.hear(Side::client, in);
  hear_window(f, Side::client, in, false, later);
  if (in.payload.empty() && !fin) {
    // A probe of an octet that we have (RFC 1122, 4.2.3.6) wants to hear from us.
    if (in.seq < w.at(Side::client).hold.end() || in.seq < w.at(Side::client).hold.base())
      acknowledge_to(f, Side::client);
    return false;
  }
  const bool moved = put(f, Side::client, in);
  if (!moved) {  // again, or behind a gap: the sender wants to hear what we have
    own(f, Side::client, now);
    return false;
  }
  const bool begins = w.stage == SpliceBinding::Stage::head && show_held(f, Side::client);
  if (begins) w.stage = SpliceBinding::Stage::decided;
  wait(f, Side::client, w.stage == SpliceBinding::Stage::head && in.payload.size() < kShort, now);
  return begins;
}

void Splice::connected(SpliceFlow& f, Seq first, uint32_t window, std::optional<uint32_t> tsval,
                       Instant now) {
  StreamMap& up = f.at(Side::client).map;
  StreamMap& down = f.at(Side::backend).map;
  SpliceBinding& w = *splice_binding_of(f);
  const bool open = down.is_open();
  down = StreamMap(first, down.ack());
  if (open) down.open();
  f.timestamps[index_of(Side::backend)] = tsval.has_value();
  if (tsval) {  // so that the client sees one clock go on
    f.ts_offset = f.at(Side::backend).ts_value - *tsval;
    f.at(Side::backend).ts_value = *tsval;
  }
  f.at(Side::backend).edge = first;
  tell_window(f, Side::backend, first,
              down.window_edge(edits_, down.ack(), f.at(Side::backend).right));
  f.at(Side::client).right = up.ack() + window;
  f.at(Side::backend).wl1 = first - 1;       // its SYN
  f.granted = 1u << index_of(Side::client);  // what it was told when nobody had granted anything
  w.stage = SpliceBinding::Stage::relaying;
  // More than the first head may have come meanwhile.
  if (!up.is_open() && w.at(Side::client).hold.end() > up.frontier()) show_held(f, Side::client);
  pump(f, Side::client, now);
}

bool Splice::answer(SpliceFlow& f, std::span<const uint8_t> bytes, bool closed, Instant now) {
  copies_.release(f.copies);
  StreamMap& down = f.at(Side::backend).map;
  const Seq advertised = ack_to(f, Side::client);
  if (const SpliceBinding* before = splice_binding_of(f);
      before != nullptr && before->streams[1].hold.active())
    release(f, Side::backend);
  down = StreamMap(Seq{}, down.ack());
  if (!start_hold(f, Side::backend, Seq{}, static_cast<uint32_t>(bytes.size()))) return false;
  down.open();
  SpliceBinding& w = *splice_binding_of(f);
  if (!w.at(Side::client).hold.active()) w.at(Side::client).owned = advertised;
  // What the client says goes nowhere.
  w.stage = closed ? SpliceBinding::Stage::closing : SpliceBinding::Stage::answering;
  Hold& h = w.at(Side::backend).hold;
  h.put(Seq{}, bytes, true);
  w.at(Side::backend).owned = h.end() + 1;  // its FIN too: nobody else will send it again
  tell_window(f, Side::client, ack_to(f, Side::client), ack_to(f, Side::client) + kDiscarded);
  own(f, Side::client, now);
  w.at(Side::client).own_at = {};
  pump(f, Side::backend, now);
  return true;
}

bool Splice::answered(SpliceFlow& f, const SegmentIn& in, Instant now) {
  SpliceBinding& w = *splice_binding_of(f);
  StreamMap& down = f.at(Side::backend).map;
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
      w.at(Side::backend).backoff = 0;
      w.at(Side::backend).resend_at = {};
    }
    pump(f, Side::backend, now);
  }
  // What the client still says is taken in order and thrown away; its window stays open, as it may
  // not look for an answer before it has said everything. A probe wants to hear from us.
  Seq& owned = w.at(Side::client).owned;
  const Seq end = in.seq + static_cast<uint32_t>(in.payload.size());
  if (!in.payload.empty() || fin || in.seq < owned) {
    if (in.seq <= owned && end > owned) owned = end;
    if (fin && w.stage != SpliceBinding::Stage::closing && end == owned) {
      w.stage = SpliceBinding::Stage::closing;
      owned = owned + 1;
    }
    tell_window(f, Side::client, owned, owned + kDiscarded);
    acknowledge_to(f, Side::client);
  }
  return w.stage == SpliceBinding::Stage::closing &&
         down.una() >= w.at(Side::backend).hold.end() + 1;
}

bool Splice::believed(SpliceFlow& f, const SegmentIn& in) {
  constexpr size_t c = index_of(Side::client);
  if (in.seq < f.ends[c].map.una() || in.seq > f.ends[c].edge + 1) return false;
  if (at_our_end(f, Side::client, in.seq)) return true;
  acknowledge_to(f, Side::client);
  return false;
}

std::optional<Splice::TooBig> Splice::too_big(SpliceFlow& f, Side to, Seq seq, uint32_t mtu,
                                              uint32_t headers) {
  const StreamMap& map = f.at(other(to)).map;
  // Old octets are in flight again when their sender does not know that they have arrived. (Found
  // by simulation: nobody told it that the path had become too small for them, and it never heard.)
  Seq quoted = map.floor(edits_, seq);
  if (seq < map.ack()) {
    const auto old = map.acknowledged(edits_, seq, seq + 1);
    if (!old || seq < map.ack() - (0xffffu << f.advertised[index_of(other(to))]))
      return std::nullopt;
    quoted = old->first;
  }
  if (seq > map.emitted()) return std::nullopt;
  const uint32_t least = headers == 40 ? kLeastMtu4 : kLeastMtu6;
  mtu = std::max(mtu, least);
  const uint32_t most = mtu - headers;
  if (most < f.at(to).most) f.at(to).most = static_cast<uint16_t>(most);
  // What is still to be inserted travels beside what the sender fills its segments with.
  const uint32_t inserted = map.largest_insertion(edits_);
  // Below the least nobody would believe it, and we cut.
  return TooBig{quoted, mtu > least + inserted ? mtu - inserted : least};
}

bool Splice::in_flight(const SpliceFlow& f, Side to, Seq seq) {
  const size_t from = index_of(other(to));
  const Seq oldest = f.ends[from].map.ack() - (0xffffu << f.advertised[from]);
  return seq.value - oldest.value <= f.ends[from].map.emitted().value - oldest.value;
}

uint32_t Splice::mtu_for(const SpliceFlow& f, Side from, uint32_t mtu, bool v6) const {
  // Less than this no host believes, or it stops to set DF (RFC 8201, 4; Linux' min_pmtu): what
  // does not fit then is split.
  const uint32_t least = std::min<uint32_t>(mtu, v6 ? 1280 : 552);
  const uint32_t inserted = f.at(from).map.largest_insertion(edits_);
  return mtu > least + inserted ? mtu - inserted : least;
}

void Splice::end(SpliceFlow& f) {
  for (SpliceEnd& e : f.ends) e.map.release(edits_);
  copies_.release(f.copies);
  if (f.binding == kNoBinding) return;
  for (HeldStream& held : memory_.binding(f.binding).streams)
    if (held.hold.active()) memory_.give({held.hold.memory(), held.hold.capacity()});
  memory_.give_binding(f.binding);
  f.binding = kNoBinding;
}

}  // namespace limpet::tcp
