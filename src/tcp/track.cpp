// Connection tracking of pass-through TCP flows: one table from (state, side, kind of segment) to
// state.
#include "limpet/tcp/track.h"

#include <cstddef>

#include "limpet/wire/frame.h"

namespace limpet::tcp {
namespace {

using wire::tcp_flag;

// What a segment means to the table. A segment without ACK that is neither SYN nor RST is dropped
// by every synchronised receiver (RFC 9293, 3.10.7.4, fifth), so it says nothing; SYN with FIN or
// RST neither.
enum Kind : uint8_t { syn, syn_ack, ack, fin, exact_rst, nothing, kKinds };

constexpr size_t kStates = static_cast<size_t>(Track::count_);

constexpr Track ss = Track::syn_sent;
constexpr Track sr = Track::syn_received;
constexpr Track es = Track::established;
constexpr Track fc = Track::fin_client;
constexpr Track fb = Track::fin_backend;
constexpr Track tw = Track::time_wait;
constexpr Track cl = Track::closed;
constexpr Track dg = Track::datagram;
constexpr Track hd = Track::head;
constexpr Track co = Track::connecting;
constexpr Track an = Track::answering;
constexpr Track de = Track::dead;

// A SYN within a living connection is answered by the receiver with a challenge ACK (RFC
// 5961, 4.2); if the sender has really forgotten the connection, the exact RST that follows closes
// it here.
// clang-format off
constexpr Track kNext[kStates][2][kKinds] = {
    //                          syn syn_ack ack fin exact_rst nothing
    /* syn_sent     client  */ {{ss, ss, ss, ss, cl, ss},
    /*              backend */  {ss, sr, ss, ss, cl, ss}},
    /* syn_received client  */ {{sr, sr, es, fc, cl, sr},
    /*              backend */  {sr, sr, sr, fb, cl, sr}},
    /* established  client  */ {{es, es, es, fc, cl, es},
    /*              backend */  {es, es, es, fb, cl, es}},
    /* fin_client   client  */ {{fc, fc, fc, fc, cl, fc},
    /*              backend */  {fc, fc, fc, tw, cl, fc}},
    /* fin_backend  client  */ {{fb, fb, fb, tw, cl, fb},
    /*              backend */  {fb, fb, fb, fb, cl, fb}},
    /* time_wait    client  */ {{ss, tw, tw, tw, cl, tw},
    /*              backend */  {tw, tw, tw, tw, cl, tw}},
    /* closed       client  */ {{ss, cl, cl, cl, cl, cl},
    /*              backend */  {cl, cl, cl, cl, cl, cl}},
    /* datagram     client  */ {{dg, dg, dg, dg, dg, dg},
    /*              backend */  {dg, dg, dg, dg, dg, dg}},
    /* head         client  */ {{hd, hd, hd, hd, hd, hd},
    /*              backend */  {hd, hd, hd, hd, hd, hd}},
    /* connecting   client  */ {{co, co, co, co, co, co},
    /*              backend */  {co, co, co, co, co, co}},
    /* answering    client  */ {{an, an, an, an, an, an},
    /*              backend */  {an, an, an, an, an, an}},
    /* dead         client  */ {{de, de, de, de, de, de},
    /*              backend */  {de, de, de, de, de, de}},
};
// clang-format on

// `value` lies in [first, last], which are at most 2^32 - 1 apart.
constexpr bool within(Seq value, Seq first, Seq last) {
  return value.value - first.value <= last.value - first.value;
}

Kind classify(uint8_t flags, bool exact) {
  const bool has_ack = (flags & tcp_flag::ack) != 0;
  if ((flags & tcp_flag::syn) != 0) {
    if ((flags & (tcp_flag::fin | tcp_flag::rst)) != 0) return nothing;
    return has_ack ? syn_ack : syn;
  }
  if ((flags & tcp_flag::rst) != 0) return exact ? exact_rst : nothing;
  if (!has_ack) return nothing;
  return (flags & tcp_flag::fin) != 0 ? fin : ack;
}

// How far behind what `side` expects a segment may lie: a window that it may have told, as ACKs of
// all of that may be lost on their way to the sender.
uint32_t behind(Scales scales, Side side) {
  return 0xffffu << scales.of(side);
}

// A window may be full: a probe is the octet behind it, and a FIN may follow that.
bool inside(Side from, const Segment& s, const Bounds& e, Scales scales) {
  const size_t me = index_of(from), you = index_of(other(from));
  return within(s.seq, e.ack[you] - behind(scales, other(from)), e.right[you] + 1) &&
         within(s.ack, e.ack[me] - behind(scales, from), e.end[you]);
}

// The SYN-ACK repeated, as the ACK of it was lost.
bool repeats(const Segment& syn_ack, const Bounds& e, Scales scales) {
  const size_t c = index_of(Side::client), b = index_of(Side::backend);
  return within(syn_ack.seq + 1, e.ack[c] - behind(scales, Side::client), e.ack[c]) &&
         within(syn_ack.ack, e.ack[b] - behind(scales, Side::backend), e.ack[b]);
}

// ACKs what the SYN says, no more: its number, or that and its data (RFC 7413).
bool answers_syn(Seq number, const Bounds& e) {
  return within(number, e.ack[index_of(Side::backend)], e.end[index_of(Side::client)]);
}

bool exact_reset(Track state, Side from, const Segment& s, const Bounds& e) {
  if (state == Track::syn_sent && from == Side::backend)
    return (s.flags & tcp_flag::ack) != 0 && answers_syn(s.ack, e);
  return is_exact(s.seq, e.ack[index_of(other(from))], e.end[index_of(from)]);
}

void raise(Seq& edge, Seq to) {
  if (to > edge) edge = to;
}

Step on_syn(Track state, Side from, const Segment& s, Bounds& e, Scales& scales) {
  Step step{.next = state};
  // Simultaneous open needs no balancer.
  if (from == Side::backend || (s.flags & tcp_flag::fin) != 0) {
    step.outside = true;
  } else if (state == Track::time_wait || state == Track::closed) {
    begin(s, e, scales);
    step.next = Track::syn_sent;
    step.reopened = true;
  } else if (state == Track::syn_sent && s.seq + 1 == e.ack[index_of(Side::backend)]) {
    // Again; perhaps without options, as some try when nobody answers. The SYN-ACK will tell.
    if (s.scale != kNoScale) scales.set(Side::client, s.scale);
    raise(e.end[index_of(Side::client)], s.seq + 1 + s.length);
  } else {
    step.knocks = true;
  }
  return step;
}

Step on_syn_ack(Track state, Side from, const Segment& s, Bounds& e, Scales& scales) {
  Step step{.next = state};
  const size_t c = index_of(Side::client), b = index_of(Side::backend);
  if (from == Side::client) {
    step.outside = true;
  } else if (state != Track::syn_sent && state != Track::syn_received) {
    step.outside = !repeats(s, e, scales);
  } else if (!answers_syn(s.ack, e)) {
    step.outside = true;
  } else {
    const auto advertised = static_cast<uint32_t>(e.right[c] - e.ack[c]);  // by the SYN, unscaled
    const bool has_fin = (s.flags & tcp_flag::fin) != 0;
    e.ack[c] = s.seq + 1;
    e.right[c] = e.ack[c] + advertised;
    e.end[b] = s.seq + 1 + s.length + (has_fin ? 1 : 0);
    e.ack[b] = s.ack;
    e.right[b] = s.ack + s.window;
    scales.set(Side::backend, s.scale);
    step.next = has_fin ? Track::fin_backend : Track::syn_received;
    if (has_fin) scales.agree();
  }
  return step;
}

Step on_reset(Track state, Side from, const Segment& s, const Bounds& e) {
  Step step{.next = state};
  if (exact_reset(state, from, s, e))
    step.next = next_state(state, from, s.flags, true);
  else
    step.outside = true;
  return step;
}

}  // namespace

void begin(const Segment& s, Bounds& e, Scales& scales) {
  const size_t c = index_of(Side::client), b = index_of(Side::backend);
  e = {};
  e.ack[b] = s.seq + 1;
  e.right[b] = e.ack[b];
  e.end[c] = s.seq + 1 + s.length;
  e.right[c] = e.ack[c] + s.window;
  scales = {};
  scales.set(Side::client, s.scale);
}

Step advance(Track state, Side from, const Segment& s, Bounds& e, Scales& scales) {
  Step step{.next = state};
  if (state >= Track::datagram) return step;  // these have their own ways to change
  const unsigned control = s.flags & (tcp_flag::syn | tcp_flag::rst | tcp_flag::ack);
  if (control != tcp_flag::ack) [[unlikely]] {
    if ((control & tcp_flag::rst) != 0) return on_reset(state, from, s, e);
    if (control == tcp_flag::syn) return on_syn(state, from, s, e, scales);
    if ((control & tcp_flag::syn) != 0) return on_syn_ack(state, from, s, e, scales);
    step.outside = true;  // without ACK nobody would take it (RFC 9293, 3.10.7.4, fifth)
    return step;
  }
  if (state <= Track::syn_received) [[unlikely]] {
    if (state == Track::syn_sent) {
      step.stale_ack = from == Side::backend;
      step.outside = from == Side::client;
      return step;
    }
    scales.agree();
  }
  const size_t me = index_of(from), you = index_of(other(from));
  if (!inside(from, s, e, scales) ||
      (state == Track::syn_received && from == Side::client && s.ack < e.ack[me])) [[unlikely]] {
    step.outside = true;
    return step;
  }
  // A bare ACK changes the state in the handshake only.
  if (state == Track::syn_received) [[unlikely]]
    step.next = next_state(state, from, tcp_flag::ack, false);
  Seq end = s.seq + s.length;
  if ((s.flags & tcp_flag::fin) != 0) [[unlikely]] {
    end = end + 1;
    const bool fresh =
        end > e.ack[you] && s.seq + kNear >= e.ack[you] && s.ack + kNear >= e.ack[me];
    if (fresh) step.next = next_state(state, from, s.flags, false);
  }
  raise(e.ack[me], s.ack);
  raise(e.right[me], s.ack + (uint32_t{s.window} << scales.of(from)));
  raise(e.end[me], end);
  return step;
}

bool begins_anew(const Segment& syn, const Segment& answer, Bounds& bounds, Scales& scales) {
  const unsigned control = answer.flags & (tcp_flag::syn | tcp_flag::rst | tcp_flag::ack);
  if (control != (tcp_flag::syn | tcp_flag::ack) && control != (tcp_flag::rst | tcp_flag::ack))
    return false;
  Bounds e;
  Scales s;
  begin(syn, e, s);
  if (!answers_syn(answer.ack, e)) return false;
  bounds = e;
  scales = s;
  return true;
}

bool in_flight(const Bounds& e, Scales scales, Side from, Seq seq) {
  const Side to = other(from);
  return within(seq, e.ack[index_of(to)] - behind(scales, to), e.end[index_of(from)]);
}

Track next_state(Track state, Side from, uint8_t flags, bool exact) {
  if (state >= Track::datagram) return state;
  return kNext[static_cast<size_t>(state)][static_cast<size_t>(from)][classify(flags, exact)];
}

const char* track_name(Track t) {
  static constexpr const char* kNames[kStates] = {
      "syn_sent", "syn_received", "established", "fin_client", "fin_backend", "time_wait",
      "closed",   "datagram",     "head",        "connecting", "answering",   "dead"};
  const auto i = static_cast<size_t>(t);
  return i < kStates ? kNames[i] : "unknown";
}

}  // namespace limpet::tcp
