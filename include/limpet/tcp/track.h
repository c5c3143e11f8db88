// Connection tracking of a TCP flow that passes through us untouched but for addresses (mode nat).
// A pure table [state][side][segment class] -> state: no clock, no memory. The end hosts validate
// sequence numbers; we only need to know how long the flow must be kept, and the exact numbers at
// which a reset would be accepted (RFC 5961, 3.2), which are the last ACK of either side.
#pragma once

#include <cstdint>

#include "limpet/tcp/seq.h"

namespace limpet::tcp {

enum class Track : uint8_t {
  syn_sent,      // client's SYN passed, no answer yet
  syn_received,  // backend's SYN-ACK passed
  established,   // data or ACK from the client after the SYN-ACK
  fin_client,    // the client's FIN passed, the backend's has not
  fin_backend,   // the reverse
  time_wait,     // both FINs passed
  closed,        // an exact RST passed; late segments still find the flow for a moment
  datagram,      // UDP: not a TCP state, so that one byte in the flow record serves both
  head,          // spliced: the client's request head is not complete, no backend is chosen
  connecting,    // spliced: a SYN to the backend is under way
  answering,     // spliced: nobody is left, limpet itself answers
  dead,          // its backend is gone: every further segment is refused (tombstone)
  count_
};

enum class Side : uint8_t { client, backend };

struct Segment {
  uint8_t flags = 0;  // wire::tcp_flag bits
  Seq seq;
  Seq ack;
};

// What the flow remembers of the numbers, 8 bytes in the flow record. The handshake fills both in
// advance of the first ACK: the client's SYN says what the backend will expect, the SYN-ACK what
// the client will. Later only an ACK that is newer moves them, so reordered ACKs do no harm.
struct Edges {
  Seq client_ack;   // last ACK from the client: what it expects next, where a RST to it must lie
  Seq backend_ack;  // last ACK from the backend
};

struct Step {
  Track next = Track::syn_sent;
  bool reopened = false;  // a new SYN on a flow that had ended: a new incarnation of the tuple
  bool stale_ack =
      false;  // ACK without SYN from the backend to our SYN: TIME_WAIT or a stale flow there
  // A RST passed that we cannot prove: data that the receiver has but has not acknowledged through
  // us would make it exact. Keep the state, but do not wait for the full idle time if nothing
  // follows.
  bool unproven_reset = false;
};

// The flow is in `state`; `segment` arrives from `from`. Updates `edges` for segments that carry
// ACK. The SYN that makes a flow goes through here as well (state syn_sent), so that `edges` knows
// its number. A RST closes only when it is exact: seq equals the other side's last ACK, or it
// answers our SYN (ACK covers it; RFC 9293, 3.10.7.3); any other RST is forwarded and changes
// nothing.
Step advance(Track state, Side from, const Segment& segment, Edges& edges);

const char* track_name(Track t);  // "syn_sent", ...

}  // namespace limpet::tcp
