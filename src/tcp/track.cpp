// Connection tracking of pass-through TCP flows: one table from (state, side, kind of segment) to
// state.
#include "limpet/tcp/track.h"

#include <cstddef>

#include "limpet/wire/frame.h"

namespace limpet::tcp {
namespace {

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

// A SYN may carry data (RFC 7413), and the RST that refuses it acknowledges that too.
constexpr int32_t kMostDataInSyn = 65535;

bool is_exact(Track state, Side from, const Segment& rst, const Edges& edges) {
  if (from == Side::client) return rst.seq == edges.backend_ack;
  if (state != Track::syn_sent) return rst.seq == edges.client_ack;
  const int32_t beyond_syn = rst.ack - edges.backend_ack;
  return (rst.flags & wire::tcp_flag::ack) != 0 && beyond_syn >= 0 && beyond_syn <= kMostDataInSyn;
}

Kind classify(Track state, Side from, const Segment& s, const Edges& edges) {
  const bool has_ack = (s.flags & wire::tcp_flag::ack) != 0;
  const bool has_fin = (s.flags & wire::tcp_flag::fin) != 0;
  const bool has_rst = (s.flags & wire::tcp_flag::rst) != 0;
  if ((s.flags & wire::tcp_flag::syn) != 0) {
    if (has_fin || has_rst) return nothing;
    return has_ack ? syn_ack : syn;
  }
  if (has_rst) return is_exact(state, from, s, edges) ? exact_rst : nothing;
  if (!has_ack) return nothing;
  return has_fin ? fin : ack;
}

void note_numbers(Track state, Track next, Side from, Kind kind, const Segment& s, Edges& edges) {
  const bool handshake = state == Track::syn_sent || state == Track::syn_received;
  if (kind == syn && from == Side::client && next == Track::syn_sent) {
    edges.backend_ack = s.seq + 1;
  } else if (kind == syn_ack && from == Side::backend && handshake) {
    edges.client_ack = s.seq + 1;
    edges.backend_ack = s.ack;
  } else if ((kind == ack || kind == fin) && state != Track::syn_sent) {
    Seq& edge = from == Side::client ? edges.client_ack : edges.backend_ack;
    if (s.ack > edge) edge = s.ack;
  }
}

}  // namespace

Step advance(Track state, Side from, const Segment& segment, Edges& edges) {
  Step step;
  if (state >= Track::datagram) {  // these have their own ways to change
    step.next = state;
    return step;
  }
  const Kind kind = classify(state, from, segment, edges);
  step.next = kNext[static_cast<size_t>(state)][static_cast<size_t>(from)][kind];
  step.reopened = state != Track::syn_sent && step.next == Track::syn_sent;
  step.stale_ack =
      state == Track::syn_sent && from == Side::backend && (kind == ack || kind == fin);
  step.unproven_reset =
      kind == nothing && state != Track::closed &&
      (segment.flags & (wire::tcp_flag::rst | wire::tcp_flag::syn)) == wire::tcp_flag::rst;
  note_numbers(state, step.next, from, kind, segment, edges);
  return step;
}

const char* track_name(Track t) {
  static constexpr const char* kNames[kStates] = {
      "syn_sent", "syn_received", "established", "fin_client", "fin_backend", "time_wait",
      "closed",   "datagram",     "head",        "connecting", "answering",   "dead"};
  const auto i = static_cast<size_t>(t);
  return i < kStates ? kNames[i] : "unknown";
}

}  // namespace limpet::tcp
