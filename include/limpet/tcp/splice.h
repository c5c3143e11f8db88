// The splice: one TCP connection made of two, a client's that a SYN cookie answered and a backend's
// that was opened later with the client's own numbers. This is what relays between them once both
// stand, and what holds a direction's octets while it may not yet relay them.
//
// Pure: segments come in as values, leave through a SpliceSink, time is a parameter. What the bytes
// mean is an Editor's business (HTTP, cookies): it is shown each octet of a stream once, in order,
// until it opens the stream, and appends edits to the stream map before it lets octets go.
//
// Rules kept here (see stream_map.h for the numbers):
// - What the backend has not acknowledged is not acknowledged by us, so the two ends repair losses
//   between themselves. But octets that had to be withheld for longer than kPatience, or whose
//   sender waits for an ACK (a short segment), are acknowledged, and from then on *owned*: sent
//   again by us until the receiver has them.
// - An ACK to the sender is the larger of the receiver's, translated, and the end of what we own.
// - The right edge of a window once told never moves back of our own accord. Where its receiver
//   takes it back it follows, but not below what we promised for a head. An open window is never
//   told as closed, nor a closed one as open but for such a head. What a receiver's own window does
//   not take is not sent to it, whatever its sender was told before that window was known.
// - Octets of the client that the editor has judged leave as they were judged until the backend has
//   acknowledged them: from the hold, or from a copy made beside their first transmission
//   (copies.h). Where there is no room for a copy the frontier stops, and what follows waits.
// - Nobody is told of a sequence number, timestamp or SACK block that its peer did not mean.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>

#include "limpet/base/drop.h"
#include "limpet/base/time.h"
#include "limpet/tcp/copies.h"
#include "limpet/tcp/edit_pool.h"
#include "limpet/tcp/hold.h"
#include "limpet/tcp/seq.h"
#include "limpet/tcp/stream_map.h"
#include "limpet/tcp/track.h"
#include "limpet/wire/segment.h"
#include "limpet/wire/splice.h"

namespace limpet::tcp {

// A received segment, numbers in host order.
struct SegmentIn {
  Seq seq;
  Seq ack;
  uint8_t flags = 0;
  uint16_t window = 0;  // as in the header
  std::optional<wire::TcpOptions::Timestamps> timestamps;
  wire::SackBlocks sack;
  std::span<const uint8_t> payload;
  bool discarded = false;  // for its options (wire/tcp.h); not for the splice
  uint8_t options = 0;     // bytes of the header's options, padding included
  // Of the IP header.
  uint8_t ttl = 64;
  uint8_t traffic_class = 0;
  // Read from SYNs only.
  std::optional<uint16_t> mss;
  std::optional<uint8_t> window_scale;
  bool sack_permitted = false;
};

// A segment that we originate or cut anew, without addresses.
struct SegmentOut {
  Seq seq;
  Seq ack;
  uint8_t flags = 0;
  uint16_t window = 0;
  std::optional<wire::TcpOptions::Timestamps> timestamps;
  wire::SackBlocks sack;
  std::array<std::span<const uint8_t>, Emission::kMaxPieces> pieces;
  unsigned piece_count = 0;
  uint32_t length = 0;   // bytes of all pieces
  bool split = false;    // a part of a segment that was sent whole
  bool relayed = false;  // carries what a peer just sent, else it is all our own doing
  uint8_t ttl = 64;
  uint8_t traffic_class = 0;
  // SYNs only.
  std::optional<uint16_t> mss;
  std::optional<uint8_t> window_scale;
  bool sack_permitted = false;
};

constexpr uint32_t kNoBinding = 0xffffffffu;
// Path MTUs below these are not believed: RFC 8201, 4; over IPv4 what Linux believes.
constexpr uint32_t kLeastMtu6 = 1280;
constexpr uint32_t kLeastMtu4 = 552;

// Two numbers below 16, by side.
class Nibbles {
 public:
  class Place {
   public:
    Place(uint8_t& both, unsigned shift) : both_(both), shift_(shift) {}
    Place(const Place&) = default;
    Place& operator=(const Place& o) { return *this = unsigned{o}; }
    operator uint8_t() const { return both_ >> shift_ & 15; }
    Place& operator=(unsigned value) {
      both_ = static_cast<uint8_t>((both_ & ~(15u << shift_)) | (value & 15) << shift_);
      return *this;
    }

   private:
    uint8_t& both_;
    unsigned shift_;
  };
  uint8_t operator[](size_t i) const { return both_ >> 4 * i & 15; }
  Place operator[](size_t i) { return {both_, static_cast<unsigned>(4 * i)}; }

 private:
  uint8_t both_ = 0;
};

// One end of a connection.
struct SpliceEnd {
  StreamMap map;           // the stream that it sends
  Seq edge;                // right edge of the window told to it, in its own numbers
  Seq right;               // right edge of the window of its stream's receiver, in mapped numbers
  Seq wl1;                 // number of its newest segment whose window counted (SND.WL1)
  uint32_t ts_value = 0;   // newest TSval that it sent, as it sent it
  uint32_t ts_recent = 0;  // TS.Recent of its stream's receiver (RFC 7323, 4.3), as far as it is
                           // known; 0: not at all
  uint16_t most = 536;     // most bytes of options and payload in a segment to it
  // Of its newest segment that was accepted, for those that we make in its place.
  uint8_t ttl = 0;   // 0: there was none
  uint8_t dscp = 0;  // as in the traffic class, without ECN
};
static_assert(sizeof(SpliceEnd) == 52);

// Per connection, beside the flow record; [side] as index means what the comment says.
struct SpliceFlow {
  SpliceEnd ends[2];
  Seq first;                      // the client's first octet
  uint32_t ts_offset = 0;         // client's view of the backend's TSval = backend's + this
  Nibbles scale;                  // [side] shift of the windows that it sends
  Nibbles advertised;             // [side] shift of the windows that it is told
  Nibbles timestamps;             // [side] 1: it uses them
  bool sack : 1 = false;          // the client permits SACK blocks; later: both do
  bool scaled : 1 = false;        // the client's windows are scaled
  bool ended : 1 = false;         // the client's FIN was taken: at the frontier
  uint8_t shrunk : 2 = 0;         // bit [side]: it was told less than before, for good
  bool logged : 1 = false;        // the editor's own: requests of it will have lines in the log
  uint8_t granted : 2 = 0;        // bit [side]: its edge is a promise of ours, not its receiver's
  uint32_t binding = kNoBinding;  // index of its SpliceBinding, while it has one
  uint32_t editor = kNoBinding;   // the editor's own; nobody else looks at it
  CopyList copies = kNoCopies;    // of what the client sent and the editor judged

  SpliceEnd& at(Side side) { return ends[index_of(side)]; }
  const SpliceEnd& at(Side side) const { return ends[index_of(side)]; }

  void hear(Side from, const SegmentIn& in) {
    constexpr uint8_t kDscp = 0xfc;
    at(from).ttl = in.ttl;
    at(from).dscp = in.traffic_class & kDscp;
  }
  // What is ours to deliver must not end on the way because its sender's own copy would.
  static constexpr uint8_t kLeastHops = 32;
  void mark(Side from, SegmentOut& out) const {
    const uint8_t t = at(from).ttl;
    if (t != 0) out.ttl = t > kLeastHops ? static_cast<uint8_t>(t - 1) : kLeastHops;
    out.traffic_class = at(from).dscp;
  }
};
static_assert(sizeof(SpliceFlow) <= 128 && std::is_trivially_copyable_v<SpliceFlow>);

// What waits of the stream of one end.
struct HeldStream {
  Hold hold;
  Seq owned;          // behind what we have acknowledged to it ourselves; base when nothing
  Seq next;           // next octet of its hold to be sent on
  Instant own_at;     // when patience ends; 0: nothing waits
  Instant resend_at;  // when what is owned goes again; 0: nothing to resend
  uint8_t backoff = 0;

  // Whether octets beyond `una` are ours to deliver.
  bool owns(Seq una) const { return hold.active() && owned > hold.base() && owned > una; }
};

// What a connection needs only while octets of it are held.
struct SpliceBinding {
  // How far it has got.
  enum class Stage : uint8_t {
    head,       // the editor has not seen enough of what the client sent to begin
    decided,    // it has; the backend is not there yet
    relaying,   // both ends stand
    answering,  // limpet itself plays the backend
    closing     // and the client has closed
  };
  HeldStream streams[2];  // by side
  Stage stage = Stage::relaying;
  uint32_t window = 0;  // octets that the client was promised before the backend was there

  HeldStream& at(Side side) { return streams[index_of(side)]; }
  const HeldStream& at(Side side) const { return streams[index_of(side)]; }
  // What the client sends goes nowhere.
  bool paused() const { return stage != Stage::relaying; }
  bool answers() const { return stage == Stage::answering || stage == Stage::closing; }
};

// Where segments of our own go. Each call says whose they are; spans in them are read before it
// returns.
class SpliceSink {
 public:
  virtual ~SpliceSink() = default;
  virtual void emit(SpliceFlow& flow, Side to, const SegmentOut& segment) = 0;
  // Most bytes of options and payload that a frame to `to` holds by the MTU of its port.
  virtual uint32_t most(const SpliceFlow&, Side /*to*/) { return 65535; }
};

// Runs of octets that nobody judges: what is in bodies. Offsets from the first octet shown, in
// order. All others that become final are judged.
class Bodies {
 public:
  struct Run {
    uint32_t begin = 0, end = 0;
  };
  // Short ones, and those for which there is no place, count as judged.
  void add(uint32_t begin, uint32_t end) {
    if (end - begin >= CopyPool::kLeastGap && count_ < runs_.size()) runs_[count_++] = {begin, end};
  }
  std::span<const Run> runs() const { return {runs_.data(), count_}; }

 private:
  std::array<Run, 16> runs_;
  uint32_t count_ = 0;
};

// What an editor makes of the octets it was shown.
struct Shown {
  // Octets from the front that need no further edit: perhaps more than were shown, when it is known
  // that the next ones are none of its business (a body of known length). Below 2^30 beyond them.
  uint32_t final = 0;
  bool open = false;  // and no edit will ever follow: the stream is no longer shown
  Bodies bodies{};    // of the client's stream
};

class SpliceEditor {
 public:
  virtual ~SpliceEditor() = default;
  // The stream that `from` sends, from its frontier on; `fin`: its FIN follows these octets.
  // Appends edits for what it calls final. The same octets are shown again, with more behind them
  // or by again(), until they are final. A FIN passes once the stream is open.
  virtual Shown show(SpliceFlow& flow, Side from, std::span<const uint8_t> bytes, bool fin) = 0;
  // What it was shown last and has not called final was not kept. It comes again, and may be
  // anything then: nothing that was read in it counts.
  virtual void not_kept(SpliceFlow&, Side /*from*/) {}
};

// Memory for holds, owned by the worker.
class HoldMemory {
 public:
  virtual ~HoldMemory() = default;
  // At least `size` bytes, empty when there are none. Never called with 0.
  virtual std::span<uint8_t> take(uint32_t size) = 0;
  virtual void give(std::span<uint8_t> memory) = 0;
  virtual uint32_t take_binding(SpliceFlow& flow) = 0;  // kNoBinding when there is none
  virtual void give_binding(uint32_t binding) = 0;
  virtual SpliceBinding& binding(uint32_t index) = 0;
  // A deadline of this binding has been set or moved forward.
  virtual void due(uint32_t binding, Instant at) = 0;
};

struct SpliceCounters {
  uint64_t splits = 0;           // segments that were cut because they outgrew the path
  uint64_t sack_translated = 0;  // blocks
  uint64_t sack_dropped = 0;     // blocks that said nothing after translation
  uint64_t clamped_acks = 0;     // ACKs raised to the end of what we own
  uint64_t owned_bytes = 0;      // acknowledged by us before their receiver had them
  uint64_t resent_bytes = 0;     // of those, sent again
  uint64_t swallowed = 0;        // segments of removed octets only
  uint64_t beyond_frontier = 0;  // segments not taken, to come again
  uint64_t copied_bytes = 0;     // judged octets of which a copy was made
  uint64_t uncopied = 0;         // segments that waited, as there was no room for copies
  uint64_t unlike = 0;           // repetitions that said something else than what was judged
};

enum class Fate : uint8_t {
  in_place,  // rewrite it with `numbers` and send it on
  consumed,  // it has left otherwise, or was for us
  dropped,   // by `reason`
};
struct Handled {
  Fate fate = Fate::consumed;
  Drop reason = Drop::none;
  wire::SpliceNumbers numbers;
};

class Splice {
 public:
  static constexpr Duration kPatience = std::chrono::milliseconds(20);
  static constexpr Duration kResend = std::chrono::milliseconds(200);
  static constexpr unsigned kMaxBackoff = 8;
  static constexpr int32_t kTicksBack = 1;         // that a timestamp may be, as for Linux
  static constexpr uint32_t kOldestAck = 4096;     // octets behind the newest, when overtaken
  static constexpr uint32_t kPartialHold = 16384;  // of a head in the middle of a connection
  static constexpr uint32_t kDiscarded = 65535;    // window for what an answered client still says
  static constexpr uint32_t kLeastRoom = 4096;  // told beyond the frontier, however full copies are
  static constexpr size_t kMaxPayload = 65536;
  // A smaller MSS is not believed: all options and eight octets, as Linux (tcp_min_snd_mss).
  // Whoever announces less would be a multiplier of packets (CVE-2019-11479).
  static constexpr uint32_t kLeastMss = 48;

  Splice(EditPool& edits, CopyPool& copies, HoldMemory& memory, SpliceSink& sink,
         SpliceEditor& editor)
      : edits_(edits),
        copies_(copies),
        memory_(memory),
        sink_(sink),
        editor_(editor),
        as_judged_(new uint8_t[kMaxPayload]) {}

  // A segment of an established splice. Its checksum is right and its flags make sense.
  Handled relay(SpliceFlow& flow, Side from, const SegmentIn& in, Instant now);

  // Before the backend is there. begin(): the client's first octet is numbered `first`, the first
  // one that it will get `answer`, and it was told a window of `window` octets, all of which can be
  // kept. False when there is no memory. collect(): takes octets; true when the editor has made
  // some final, so that the connection to the backend may begin, and false ever after.
  bool begin(SpliceFlow& flow, Seq first, Seq answer, uint32_t window);
  bool collect(SpliceFlow& flow, const SegmentIn& in, Instant now);
  // The backend stands, its first octet is numbered `first`: what is held goes, within `window`
  // octets. The timestamp of its SYN-ACK continues what the client was told.
  void connected(SpliceFlow& flow, Seq first, uint32_t window, std::optional<uint32_t> tsval,
                 Instant now);
  // Nobody is left to answer: these bytes and a FIN go to the client as if a backend had sent them,
  // and whatever it says is acknowledged; `closed`: it has closed, and knows that we know. What is
  // held of a backend's stream goes, all that was sent of it must be acknowledged. Then segments go
  // to answered(); true when both ends have closed. False of answer(): no memory.
  bool answer(SpliceFlow& flow, std::span<const uint8_t> bytes, bool closed, Instant now);
  bool answered(SpliceFlow& flow, const SegmentIn& in, Instant now);
  // A reset from the client while there is no backend: whether it has the number that we expect
  // next, or that of all that it has said. In the window else it is asked for (RFC 5961, 3.2).
  bool believed(SpliceFlow& flow, const SegmentIn& in);

  // While the backend is not there: octets that the client takes.
  uint32_t client_window(const SpliceFlow& flow) const {
    return static_cast<uint32_t>(flow.at(Side::backend).right - flow.at(Side::backend).map.ack());
  }

  // A router says that a packet to `to`, with this sequence number as `to` sees it, is larger than
  // `mtu`; `headers` of IP and TCP without options are in that. What its sender may be told, if
  // anything: a host believes it only about octets in flight.
  struct TooBig {
    Seq seq;
    uint32_t mtu = 0;
  };
  std::optional<TooBig> too_big(SpliceFlow& flow, Side to, Seq seq, uint32_t mtu, uint32_t headers);
  // Whether a packet to `to` may have this number, for other errors (RFC 5927, 4.1).
  static bool in_flight(const SpliceFlow& flow, Side to, Seq seq);
  // A segment of `from` that would pass in place is larger than `mtu`, that of the port it would
  // leave by: what `from` is told, so that its next segments and what is inserted beside them fit.
  uint32_t mtu_for(const SpliceFlow& flow, Side from, uint32_t mtu, bool v6) const;

  // The editor may make more of what it was shown before, without new octets of that stream.
  void again(SpliceFlow& flow, Side from, Instant now);

  void on_time(SpliceFlow& flow, Instant now);
  // An ACK of ours to `side` that says all we know. Also answers what must be answered.
  void acknowledge_to(SpliceFlow& flow, Side side);
  // The connection is over: memory and edits go back.
  void end(SpliceFlow& flow);

  const SpliceCounters& counters() const { return counters_; }
  // Whether a segment of the client's can belong to this connection: it acknowledges what it was
  // sent, and its octets are not beyond the window, nor older than what it may send again because
  // it never heard an ACK (RFC 9293, 3.10.7.4; RFC 5961, 5.2).
  bool plausible(const SpliceFlow& flow, const SegmentIn& in) const {
    constexpr size_t c = index_of(Side::client);
    const StreamMap &up = flow.ends[c].map, &down = flow.at(Side::backend).map;
    return in.ack <= down.emitted() && in.ack >= down.ack() - kOldestAck &&
           in.seq <= furthest(flow, Side::client) &&
           in.seq >= up.una() - (0xffffu << flow.advertised[c]);
  }
  // What a reset must be numbered with to be believed by `side` (RFC 5961, 3.2).
  Seq exact(const SpliceFlow& flow, Side side) const { return flow.at(other(side)).map.ack(); }

 private:
  SpliceBinding* splice_binding_of(const SpliceFlow& f) const {
    return f.binding == kNoBinding ? nullptr : &memory_.binding(f.binding);
  }
  // splice.cpp: segments of both sides
  struct Passing;  // a segment on its way to the other end
  // Of its octets: those that leave with it.
  struct Part {
    Seq begin, stop;
    bool fin;    // and the FIN behind them
    Seq judged;  // the frontier before it came
  };
  Handled data(SpliceFlow& f, Passing p);
  void pass_ack(SpliceFlow& f, const Passing& p);
  void pass_bare(SpliceFlow& f, Passing& p);
  std::optional<Part> part_that_leaves(SpliceFlow& f, Passing& p);
  void pass_old(SpliceFlow& f, Passing& p, Seq position, bool whole);
  void pass_part(SpliceFlow& f, Passing& p, const Part& part);
  Handled reset(SpliceFlow& f, Side from, const SegmentIn& in, Handled h);
  bool at_our_end(const SpliceFlow& f, Side from, Seq seq) const;
  // Not beyond the window that `from` was told (but for a FIN or a probe behind it), nor older than
  // what it may send again (RFC 9293, 3.4). How far behind an ACK may be: RFC 5961, 5.2.
  static bool in_window(const SpliceFlow& f, Side from, Seq seq) {
    const size_t s = index_of(from);
    return seq <= furthest(f, from) + 1 &&
           seq >= f.ends[s].map.una() - (0xffffu << f.advertised[s]);
  }
  // The right edge of what `from` may have sent. It was told of a window that it has no more: what
  // it sent until then is still right, and is at most what a host lets be under way (Linux'
  // tcp_wmem), or who knows no numbers would hit every fourth one of a window in units of 2^14.
  static constexpr uint32_t kMostUnderWay = 4u << 20;
  static Seq furthest(const SpliceFlow& f, Side from) {
    const size_t s = index_of(from);
    if ((f.shrunk >> s & 1) == 0) return f.ends[s].edge;
    const uint32_t advertised = 0xffffu << f.advertised[s];
    const Seq most =
        f.ends[s].map.una() + (advertised < kMostUnderWay ? advertised : kMostUnderWay);
    return most > f.ends[s].edge ? most : f.ends[s].edge;
  }
  static uint32_t oldest_ack(const SpliceFlow& f, Side from) {
    return 0xffffu << f.scale[index_of(from)];
  }
  // Whether it is the newest that it has sent.
  bool note_timestamp(SpliceFlow& f, Side from, const SegmentIn& in) const;
  static bool too_old(const SpliceFlow& f, Side from, const SegmentIn& in);
  wire::SackBlocks translate(const StreamMap& map, Seq advertised, const wire::SackBlocks& in,
                             bool permitted);
  // splice_send.cpp: windows and segments of our own
  static bool hear_window(SpliceFlow& f, Side from, const SegmentIn& in, bool news, bool later);
  bool collects(const SpliceFlow& f, Side side) const;
  bool closed(const SpliceFlow& f, Side side) const;
  void take_back(SpliceFlow& f, Side side, Seq edge) const;
  void grant(SpliceFlow& f, Side side, Seq ack, Seq edge) const;
  uint16_t tell_window(SpliceFlow& f, Side side, Seq ack, std::optional<Seq> edge) const;
  Seq ack_to(const SpliceFlow& f, Side side) const;
  std::optional<wire::TcpOptions::Timestamps> timestamps_to(const SpliceFlow& f, Side side) const;
  SegmentOut blank(SpliceFlow& f, Side to) const;
  void emit(SpliceFlow& f, Side from, const Emission& e, std::span<const uint8_t> payload,
            uint8_t flags, uint8_t ecn, SegmentOut& out);
  uint32_t room(const SpliceFlow& f, Side from, Seq at) const;
  Seq send_held(SpliceFlow& f, Side from, Seq begin, Seq end, bool fin);
  uint32_t payload_limit(const SpliceFlow& f, Side to, bool timestamps, unsigned sack_blocks) const;
  // splice_copy.cpp: octets that were judged
  std::span<const uint8_t> as_judged(const SpliceFlow& f, Seq seq, std::span<const uint8_t> payload,
                                     Seq begin, Seq end, Seq shown);
  void keep(SpliceFlow& f, Seq at, std::span<const uint8_t> bytes, const Shown& s);
  bool may_end(const SpliceFlow& f, Seq end);
  void retire(SpliceFlow& f);
  Seq with_copies(const SpliceFlow& f, Side side, Seq edge) const;
  static uint32_t limit_in_place(const SpliceFlow& f, Side to, const SegmentIn& in);
  // splice_hold.cpp: octets that wait
  bool show(SpliceFlow& f, Side from, const SegmentIn& in, Instant now);
  void advance(SpliceFlow& f, Side from, Seq frontier, uint32_t length, bool fin, const Shown& s);
  bool show_held(SpliceFlow& f, Side from);
  bool start_hold(SpliceFlow& f, Side from, Seq base, uint32_t need);
  bool put(SpliceFlow& f, Side from, const SegmentIn& in);
  void wait(SpliceFlow& f, Side from, bool urgent, Instant now);
  void own(SpliceFlow& f, Side from, Instant now);
  void pump(SpliceFlow& f, Side from, Instant now);
  void resend(SpliceFlow& f, Side from, Instant now);
  void acknowledged(SpliceFlow& f, Side from, bool news, bool opened, Instant now);
  void release(SpliceFlow& f, Side from);

  EditPool& edits_;
  CopyPool& copies_;
  HoldMemory& memory_;
  SpliceSink& sink_;
  SpliceEditor& editor_;
  SpliceCounters counters_;
  std::unique_ptr<uint8_t[]> as_judged_;  // a payload that was not what was judged, put right
};

}  // namespace limpet::tcp
