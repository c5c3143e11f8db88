// Both handshakes of a splice: the client's, answered without memory by a SYN cookie, and later
// the backend's, opened with the client's own numbers, so that what the client sends needs no
// translation but for edits.
//
// Pure: segments in, segments out.
#pragma once

#include <cstdint>
#include <optional>

#include "limpet/base/time.h"
#include "limpet/tcp/splice.h"
#include "limpet/tcp/syn_cookie.h"

namespace limpet::tcp {

// What a SYN-ACK of ours may say: no more than every backend of the pool accepts later.
struct Promise {
  uint16_t mss = 1460;
  uint8_t window_scale = 7;  // of the windows that the client will be told
  bool scaling = true;
  bool sack = true;
  bool timestamps = true;
  uint16_t window = 16384;  // octets that we can keep of a client; never 0
  friend bool operator==(const Promise&, const Promise&) = default;
};

// A segment to a service from a client of which there is no flow.
enum class Heard : uint8_t {
  answered,  // `answer` goes back, and nothing is remembered
  silent,    // all is well, and there is nothing to say: the client goes on by itself
  open,      // data of a proven client: a flow begins (start())
  stale,     // its cookie is too old: a reset lets it try again at once
  stranger,  // not a cookie of ours: a later segment of a connection that is not known (yet), whose
             // first may still come; or of one that is known no more
  ignored,   // no segment that anybody answers
};

struct Hearing {
  Heard what = Heard::ignored;
  SegmentOut answer;
  Offer offer;  // open: what the client's SYN said, as far as it was promised
};

Hearing listen(SynCookies& cookies, const Tuple& tuple, const SegmentIn& in, const Promise& promise,
               Instant now);

// Fills `flow` for a client whose first data segment is `in`. False: no memory.
bool start(Splice& splice, SpliceFlow& flow, const Offer& offer, const Promise& promise,
           const SegmentIn& in);

// The SYN to the backend. `mss`: the most that may be announced to it (path to us).
SegmentOut backend_syn(const Splice& splice, const SpliceFlow& flow, uint16_t mss);

enum class Connecting : uint8_t {
  connected,  // what was held is on its way (Splice::connected)
  refused,    // by a reset
  stale,      // it still has an older connection of our source port: reset at SEG.ACK, SYN again
  ignored,
};
Connecting on_connecting(Splice& splice, SpliceFlow& flow, const SegmentIn& in, Instant now);

}  // namespace limpet::tcp
