// Both handshakes of a splice: the client's, of which a place among the half-open ones is kept
// (half_open.h) or nothing but a cookie in its numbers (syn_cookie.h), and later the backend's,
// opened with the client's own numbers, so that what the client sends needs no translation but for
// edits.
//
// Pure: segments in, segments out.
#pragma once

#include <cstdint>
#include <optional>

#include "limpet/base/time.h"
#include "limpet/tcp/half_open.h"
#include "limpet/tcp/splice.h"
#include "limpet/tcp/syn_cookie.h"

namespace limpet::tcp {

// What a SYN-ACK of ours may say: no more than every backend of the pool accepts later.
struct SynAckOptions {
  uint16_t mss = 1460;
  uint8_t window_scale = 7;  // of the windows that the client will be told
  bool scaling = true;
  bool sack = true;
  bool timestamps = true;
  uint16_t window = 16384;  // octets that we can keep of a client; never 0
  friend bool operator==(const SynAckOptions&, const SynAckOptions&) = default;
};

// A segment to a service from a client of which there is no flow.
enum class Heard : uint8_t {
  answered,  // `answer` goes back, and no flow begins
  silent,    // all is well, and there is nothing to say: the client goes on by itself
  open,      // data of a proven client: a flow begins (start(), then opened())
  early,     // of a handshake that is under way, but not what comes next: that was lost or is late,
             // and comes again with this behind it
  stale,     // its cookie is too old: a reset lets it try again at once
  stranger,  // of a connection that is not known, or not any more
  ignored,   // no segment that anybody answers
};

struct Hearing {
  Heard what = Heard::ignored;
  SegmentOut answer;
  Offer offer;  // open: what the client's SYN said, as far as it was promised
  HalfOpen::Place place = HalfOpen::kNone;  // open: of the client
};

// Hears whoever has no flow. Nobody is believed who does not know the numbers: with a place among
// the half-open clients all 32 bits of ours. A number that is nobody's is taken for a cookie only
// while cookies that are still good were given (as Linux' tcp_synq_no_recent_overflow), so what a
// guess costs then, 2^29 instead of 2^32, it costs only during a flood and for five minutes behind
// it.
//
// Owner: one worker, to which all segments of a client come.
class Listener {
 public:
  struct Counters {
    uint64_t cookies_sent = 0;
    uint64_t cookies_accepted = 0;  // connections that began by one
  };

  // `half_open`: places for clients.
  Listener(const HashKey& secret, uint32_t half_open, Instant now);

  Hearing hear(const Tuple& tuple, const SegmentIn& in, const SynAckOptions& syn_ack, Instant now);
  // The flow of this Heard::open stands. To be told before anybody else is heard.
  void opened(const Hearing& heard);
  void tick(Instant now) { half_open_.sweep(now); }

  const HalfOpen& half_open() const { return half_open_; }
  const Counters& counters() const { return counters_; }

 private:
  uint64_t hash(const Tuple& tuple) const;
  Hearing greet(Family family, uint64_t hash, const SegmentIn& in, const SynAckOptions& p,
                Instant now);
  Hearing expected(HalfOpen::Place place, uint64_t hash, const SegmentIn& in,
                   const SynAckOptions& p, Instant now);
  Hearing by_cookie(Family family, uint64_t hash, const SegmentIn& in, const SynAckOptions& p,
                    Instant now);
  bool cookies_are_out(Instant now) const;

  HashKey tuple_key_, isn_key_;
  HalfOpen half_open_;
  SynCookies cookies_;
  uint64_t isns_ = 0;      // made so far
  Instant last_cookie_{};  // 0: never
  Counters counters_;
};

// Fills `flow` for a client whose first data segment is `in`. False: no memory.
bool start(Splice& splice, SpliceFlow& flow, const Offer& offer, const SynAckOptions& syn_ack,
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
