// Octets that wait: heads that are not complete, and what we have acknowledged and must deliver.
#include <algorithm>

#include "limpet/tcp/splice.h"
#include "limpet/wire/frame.h"

namespace limpet::tcp {

bool Splice::start_hold(SpliceFlow& f, Side from, Seq base, uint32_t need) {
  if (f.binding == kNoBinding) {
    f.binding = memory_.take_binding(f);
    if (f.binding == kNoBinding) return false;
    memory_.binding(f.binding) = SpliceBinding{};
  }
  SpliceBinding& w = memory_.binding(f.binding);
  const std::span<uint8_t> memory = memory_.take(std::max<uint32_t>(need, 1));
  if (memory.empty()) {
    release(f, from);
    return false;
  }
  const size_t s = index_of(from);
  w.streams[s].hold = Hold(memory, base);
  w.streams[s].owned = base;
  w.streams[s].next = base;
  w.streams[s].own_at = w.streams[s].resend_at = {};
  w.streams[s].backoff = 0;
  return true;
}

// Takes a segment's octets into a hold, which grows when it must.
bool Splice::put(SpliceFlow& f, Side from, const SegmentIn& in) {
  SpliceBinding& w = *splice_binding_of(f);
  Hold& h = w.at(from).hold;
  const Seq end = in.seq + static_cast<uint32_t>(in.payload.size());
  const uint32_t most = w.paused() ? w.window : kPartialHold;
  if (end > h.limit() && !w.paused()) {
    const Seq una = f.at(from).map.una();
    h.forget(una < h.end() ? una : h.end());
  }
  if (end > h.limit() && h.capacity() < most) {
    const int32_t need = end - h.base();
    const std::span<uint8_t> memory = memory_.take(std::min<uint32_t>(
        most, std::max<uint32_t>(need > 0 ? static_cast<uint32_t>(need) : 0, 2 * h.capacity())));
    if (!memory.empty()) {
      const std::span<uint8_t> before{h.memory(), h.capacity()};
      h.move_to(memory);
      memory_.give(before);
    }
  }
  return h.put(in.seq, in.payload, (in.flags & wire::tcp_flag::fin) != 0);
}

// The editor has looked at `length` octets from the frontier on. Behind a FIN nothing comes.
void Splice::advance(SpliceFlow& f, Side from, Seq frontier, uint32_t length, bool fin,
                     const Shown& s) {
  StreamMap& map = f.at(from).map;
  f.ended = f.ended || (s.open && fin && from == Side::client);
  map.advance(frontier + (s.open && fin ? std::min(s.final, length) : s.final));
  if (s.open) map.open();
}

// Shows the editor what is contiguous behind the frontier. True when the frontier has moved, or the
// stream is open now.
bool Splice::show_held(SpliceFlow& f, Side from) {
  StreamMap& map = f.at(from).map;
  const Seq frontier = map.frontier();
  const Hold& h = splice_binding_of(f)->at(from).hold;
  const Shown s = editor_.show(f, from, h.bytes(frontier), h.has_fin());
  advance(f, from, frontier, static_cast<uint32_t>(h.bytes(frontier).size()), h.has_fin(), s);
  return map.is_open() || s.final != 0;
}

void Splice::again(SpliceFlow& f, Side from, Instant now) {
  const SpliceBinding* w = splice_binding_of(f);
  if (w == nullptr || w->paused() || f.at(from).map.is_open()) return;
  const Hold& h = w->at(from).hold;
  if (!h.active() || f.at(from).map.frontier() > h.end()) return;
  if (show_held(f, from)) pump(f, from, now);
}

// Octets beyond the frontier have come, of a stream that is not open. True when they are in the
// hold now and leave from there.
bool Splice::show(SpliceFlow& f, Side from, const SegmentIn& in, Instant now) {
  StreamMap& map = f.at(from).map;
  const bool fin = (in.flags & wire::tcp_flag::fin) != 0;
  SpliceBinding* w = splice_binding_of(f);
  const Seq frontier = map.frontier();
  const bool holding = w != nullptr && w->at(from).hold.active();
  // An incomplete head, or octets behind a gap that belong to the next one: what fills it is shown
  // together with them, as they stay.
  const bool waiting =
      holding && (w->at(from).hold.end() > frontier ||
                  (w->at(from).hold.end() == frontier && w->at(from).hold.has_gap()));
  if (!waiting && in.seq <= frontier) {
    const auto skip = static_cast<size_t>(frontier - in.seq);
    std::span<const uint8_t> bytes = in.payload.subspan(std::min(skip, in.payload.size()));
    if (from == Side::client) {
      const auto size = static_cast<uint32_t>(bytes.size());
      if (const uint32_t copied = copies_.reserve(f.copies, size); copied != size) {
        // The rest comes again when there is room for copies of it.
        ++counters_.uncopied;
        SegmentIn first = in;
        first.payload = in.payload.first(skip + copied);
        first.flags &= static_cast<uint8_t>(~wire::tcp_flag::fin);
        copies_.settle();
        acknowledge_to(f, from);
        return copied != 0 && show(f, from, first, now);
      }
    }
    const Shown s = editor_.show(f, from, bytes, fin);
    advance(f, from, frontier, static_cast<uint32_t>(bytes.size()), fin, s);
    if (from == Side::client) keep(f, frontier, bytes, s);
    if (map.is_open() || s.final >= bytes.size()) return false;
    // What is left follows an older hold, or waits until that one has drained.
    const bool kept = holding ? w->at(from).hold.end() == map.frontier()
                              : start_hold(f, from, map.frontier(),
                                           static_cast<uint32_t>(bytes.size() - s.final));
    if (kept)
      put(f, from, in);
    else
      acknowledge_to(f, from);  // it may be a probe, and wants an answer
    const Seq end = in.seq + static_cast<uint32_t>(in.payload.size());
    if (!kept || splice_binding_of(f)->at(from).hold.end() < end) editor_.not_kept(f, from);
    // The part that is final leaves from the segment itself.
    if (kept) wait(f, from, true, now);
    return kept && holding && s.final == 0;
  }
  // A gap: its sender is told as a receiver would, so that it does not wait for a time-out.
  if (!waiting) return acknowledge_to(f, from), false;
  if (!put(f, from, in)) {
    own(f, from, now);  // again, or behind a gap
    return true;
  }
  show_held(f, from);
  pump(f, from, now);
  w = splice_binding_of(f);
  if (w->at(from).hold.end() > w->at(from).next)
    wait(f, from, !map.is_open() && w->at(from).hold.end() > map.frontier(), now);
  return true;
}

// What is withheld is acknowledged when its sender has waited long enough; at once when it may be
// waiting for just that.
void Splice::wait(SpliceFlow& f, Side from, bool urgent, Instant now) {
  SpliceBinding& w = *splice_binding_of(f);
  if (urgent) return own(f, from, now);
  if (w.at(from).own_at.ns != 0) return;
  w.at(from).own_at = now + kPatience;
  memory_.due(f.binding, w.at(from).own_at);
}

void Splice::own(SpliceFlow& f, Side from, Instant now) {
  SpliceBinding& w = *splice_binding_of(f);
  HeldStream& mine = w.at(from);
  const Hold& h = mine.hold;
  mine.own_at = {};
  // An ACK says that everything before has arrived, and of what went before the hold only its
  // receiver can say so.
  if (h.active() && f.at(from).map.una() < h.base()) {
    mine.own_at = now + kPatience;
    return memory_.due(f.binding, mine.own_at);
  }
  if (h.active() && h.end() > mine.owned) {
    const Seq una = f.at(from).map.una();
    const Seq from_there = mine.owned > una ? mine.owned : una;
    if (h.end() > from_there) counters_.owned_bytes += static_cast<uint32_t>(h.end() - from_there);
    mine.owned = h.end();
    // A head may be larger than its receiver's window, and must still become complete.
    if (!w.paused() && !f.at(from).map.covers(h.end()))
      grant(f, from, h.end(), h.base() + kPartialHold);
    if (!w.paused() && mine.resend_at.ns == 0) {
      mine.resend_at = now + kResend;
      memory_.due(f.binding, mine.resend_at);
    }
  }
  acknowledge_to(f, from);
}

// Sends what the editor has let go and the receiver's window takes.
void Splice::pump(SpliceFlow& f, Side from, Instant now) {
  SpliceBinding& w = *splice_binding_of(f);
  HeldStream& mine = w.at(from);
  const Hold& h = mine.hold;
  if (!h.active() || (w.paused() && from == Side::client)) return;
  StreamMap& map = f.at(from).map;
  Seq stop = h.end();
  if (!map.is_open() && stop > map.frontier()) stop = map.frontier();
  Seq next = mine.next < map.una() ? map.una() : mine.next;
  const bool fin = h.has_fin() && next <= h.end() && map.is_open();
  // A closed window is probed by time alone.
  const bool closed = f.at(from).right <= map.ack() && next > map.una();
  // As much of an insertion as the window takes has gone; each ACK would bring it anew, and each
  // part of it an ACK. (Found by simulation: a storm.)
  const bool full = f.at(from).right <= map.emitted() && map.emitted() > map.ack();
  if (!closed && !full && (next < stop || fin)) next = send_held(f, from, next, stop, fin);
  mine.next = next;
  if (mine.owns(map.una()) && mine.resend_at.ns == 0) {
    mine.resend_at = now + kResend;
    memory_.due(f.binding, mine.resend_at);
  }
}

// The receiver has not acknowledged what we own: its first segment goes again, or a single octet
// into a closed window (RFC 9293, 3.8.6.1).
void Splice::resend(SpliceFlow& f, Side from, Instant now) {
  SpliceBinding& w = *splice_binding_of(f);
  HeldStream& mine = w.at(from);
  const Hold& h = mine.hold;
  StreamMap& map = f.at(from).map;
  mine.resend_at = {};
  if (!mine.owns(map.una())) return;
  Seq sendable = h.end();
  if (!map.is_open() && sendable > map.frontier()) sendable = map.frontier();
  const Seq una = map.una();
  // As much as makes a segment for the receiver: of octets that an edit removes none would go. From
  // its ACK on, which may stand within an insertion that takes many segments. (Found by
  // simulation.)
  Seq stop = map.ceil(
      edits_, map.ack() + payload_limit(f, other(from), f.timestamps[index_of(other(from))], 0));
  if (stop > sendable) stop = sendable;
  const bool fin = h.has_fin() && stop == h.end() && map.is_open();
  // Nothing of it may pass yet. Its time begins when it does, in pump(): by then this would have
  // backed off from a receiver that was never asked. (Found by the oracle's fuzzer.)
  if (stop <= una && !fin) return;
  const Seq sent = send_held(f, from, una, stop, fin);
  counters_.resent_bytes += sent > una ? static_cast<uint32_t>(sent - una) : 0;
  if (sent > mine.next) mine.next = sent;
  mine.backoff = static_cast<uint8_t>(std::min<unsigned>(mine.backoff + 1u, kMaxBackoff));
  mine.resend_at = now + kResend * (1u << mine.backoff);
  memory_.due(f.binding, mine.resend_at);
}

// An ACK or a larger window for the stream of `from` has come from its receiver.
void Splice::acknowledged(SpliceFlow& f, Side from, bool news, bool opened, Instant now) {
  SpliceBinding& w = *splice_binding_of(f);
  HeldStream& mine = w.at(from);
  const StreamMap& map = f.at(from).map;
  const Hold& h = mine.hold;
  const bool final = map.is_open() || map.frontier() >= h.end();
  if (final && map.una() >= h.end() && !(w.answers() && from == Side::backend))
    return release(f, from);
  if (news) {
    const bool recovering = mine.backoff != 0;
    mine.backoff = 0;
    if (mine.resend_at.ns != 0) {
      mine.resend_at = now + kResend;
      memory_.due(f.binding, mine.resend_at);
    }
    // After a loss not every segment waits for a time-out of its own (RFC 6582).
    if (recovering && mine.next > map.una()) resend(f, from, now);
  }
  // By probes of a closed window it has backed off from one that is open now.
  if (opened && mine.resend_at.ns != 0 && mine.resend_at > now + kResend) {
    mine.backoff = 0;
    mine.resend_at = now + kResend;
    memory_.due(f.binding, mine.resend_at);
  }
  pump(f, from, now);
  if (news && !map.covers(h.end())) {
    // What was acknowledged makes room for the rest of a head. A sender that had filled the hold
    // hears of it from nobody else.
    const Seq ack = ack_to(f, from);
    const bool closed = f.at(from).edge <= ack;
    grant(f, from, ack, (map.una() > h.base() ? map.una() : h.base()) + kPartialHold);
    if (closed) acknowledge_to(f, from);
  }
}

void Splice::release(SpliceFlow& f, Side from) {
  SpliceBinding& w = *splice_binding_of(f);
  Hold& h = w.at(from).hold;
  if (h.active()) memory_.give({h.memory(), h.capacity()});
  h = Hold();
  w.at(from).own_at = w.at(from).resend_at = {};
  if (w.streams[0].hold.active() || w.streams[1].hold.active()) return;
  memory_.give_binding(f.binding);
  f.binding = kNoBinding;
}

void Splice::on_time(SpliceFlow& f, Instant now) {
  for (const Side side : {Side::client, Side::backend}) {
    const size_t s = index_of(side);
    SpliceBinding* w = splice_binding_of(f);
    if (w == nullptr) return;
    if (w->streams[s].own_at.ns != 0 && w->streams[s].own_at <= now) own(f, side, now);
    if (w->streams[s].resend_at.ns != 0 && w->streams[s].resend_at <= now) resend(f, side, now);
    for (const Instant at : {w->streams[s].own_at, w->streams[s].resend_at})
      if (at.ns != 0) memory_.due(f.binding, at);
  }
}

}  // namespace limpet::tcp
