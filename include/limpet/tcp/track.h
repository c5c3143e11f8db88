// Connection tracking of a TCP flow that passes through us untouched but for addresses (mode nat).
// Pure: a table [state][side][segment class] -> state behind a judgement of the numbers. No clock,
// no memory. The end hosts judge better than a box between them, so every segment is forwarded; but
// one that no receiver would take (outside its window, RFC 9293, 3.4; acknowledging what was never
// sent, 3.10.7.4; older than any window, RFC 5961, 5.2) moves nothing here, or whoever knows the
// addresses and ports could move a flow to another state, or the numbers at which its ends are told
// when it must end (RFC 5961, 3.2).
//
// Conntrack keeps the highest end, edge and window of each direction. The window need not be kept:
// how far behind a segment may lie follows from the scale. That is more than any window that was
// told, but what is old moves nothing beyond what is known already; what is new must lie between
// numbers that are kept exactly.
#pragma once

#include <cstddef>
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

constexpr Side other(Side s) {
  return s == Side::client ? Side::backend : Side::client;
}
constexpr size_t index_of(Side s) {
  return static_cast<size_t>(s);
}

constexpr uint8_t kNoScale = 15;  // a SYN without the option (RFC 7323, 2.2 allows 0 to 14)

struct Segment {
  uint8_t flags = 0;         // wire::tcp_flag bits
  uint8_t scale = kNoScale;  // of a SYN: its window scale option
  uint16_t window = 0;       // as in the header
  Seq seq;
  Seq ack;
  uint32_t length = 0;  // of the data
};

// What the flow remembers of the numbers, 24 bytes in the flow record; [side] as index means what
// the comment says. All only grow while a connection lives.
struct Bounds {
  Seq ack[2];    // [side] its last ACK: what it expects next, where a RST to it must lie
  Seq end[2];    // [side] behind the last octet that it has sent, SYN and FIN counted
  Seq right[2];  // [side] right edge of the window that it has told
};

// Window scales of both sides in one byte. Until the handshake is complete each is what its SYN
// says.
class Scales {
 public:
  unsigned of(Side side) const { return both_ >> (4 * index_of(side)) & 15u; }
  void set(Side side, unsigned scale) {
    const unsigned shift = 4 * static_cast<unsigned>(index_of(side));
    both_ = static_cast<uint8_t>((both_ & ~(15u << shift)) | scale << shift);
  }
  // Both, or neither (RFC 7323, 2.2).
  void agree() {
    if (of(Side::client) == kNoScale || of(Side::backend) == kNoScale) both_ = 0;
  }

 private:
  uint8_t both_ = 0;
};
static_assert(sizeof(Scales) == 1);

// Segments of one flight overtake each other by less than this; scaled windows may be far larger.
constexpr uint32_t kNear = 0xffff;

// Of a reset: at its receiver's last ACK, or at the end of all that its receiver was sent, which it
// may have without having said so. Not where that end is far from the ACK: one segment somewhere in
// a scaled window would move it, and the reset behind it be believed.
constexpr bool is_exact(Seq seq, Seq ack, Seq end) {
  return seq == ack || (seq == end && end.value - ack.value <= kNear);
}

struct Step {
  Track next = Track::syn_sent;
  bool reopened = false;  // a new SYN on a flow that had ended: a new incarnation of the tuple
  // ACK without SYN from the backend to our SYN: TIME_WAIT or a stale flow there.
  bool stale_ack = false;
  bool outside = false;  // it fits no number of this connection, and has changed nothing
  // A SYN of the client on a living connection: who has forgotten it begins anew, but only the
  // backend's answer proves that (begin_anew). Until then the SYN says nothing.
  bool knocks = false;
};

// The client's first SYN.
void begin(const Segment& syn, Bounds& bounds, Scales& scales);

// The flow is in `state`; `segment` arrives from `from`. Moves `bounds` as far as it is believed.
// A RST closes only when it is exact: at the other side's last ACK, or at the end of all that its
// own side has sent (which the other one may have and not have acknowledged through us), or when it
// answers our SYN (ACK covers it; RFC 9293, 3.10.7.3). A FIN counts when its octet is new and its
// numbers are near the newest ones: it decides how long the flow lives.
Step advance(Track state, Side from, const Segment& segment, Bounds& bounds, Scales& scales);

// `answer` is a backend's segment that was `outside`, and `syn` one that knocked before. True when
// it is the SYN-ACK or the refusal of that SYN: the numbers are then those of the connection that
// begins, in state syn_sent, and advance() takes the answer.
bool begins_anew(const Segment& syn, const Segment& answer, Bounds& bounds, Scales& scales);

// For a flow whose numbers somebody else keeps (mode splice) and has judged: the table alone.
// `exact` is asked about resets only.
Track next_state(Track state, Side from, uint8_t flags, bool exact);

// Whether a packet with this number may be on its way from `from` (RFC 5927, 4.1), for ICMP errors
// that quote one: octets in flight, or again as their ACK was lost, a probe, or a bare ACK.
bool in_flight(const Bounds& bounds, Scales scales, Side from, Seq seq);

const char* track_name(Track t);  // "syn_sent", ...

}  // namespace limpet::tcp
