// The stream map: one direction of a spliced connection, from the numbers of its sender (original)
// to those of its receiver (mapped), with bytes inserted and removed on the way.
//
// Every change of a stream (a cookie inserted or stripped, X-Forwarded-For, PROXY) is an edit
// {at, removed, bytes}: the octets [at, at + removed) go, the bytes come in their place. The list
// is ordered, edits never touch (between two of them at least one octet survives), and all edits
// in front of the frontier are known: what lies beyond may still be changed and cannot be mapped.
//
// Position P(x) is the mapped number of original octet x. It is a step function that never falls:
//
//   x      <= at                 x + shift of the edits before
//   x in   [at, at + removed]    P(at), where the inserted bytes begin
//   x      >  at + removed       x + shift of all edits up to this one
//
// So an insertion belongs to the octet (or FIN) that *follows* it, q = at + removed: it is emitted
// with every segment that contains q, the same bytes each time, and by nobody else. A receiver that
// lost it has not got q either; the sender will send q again, and the insertion goes with it. The
// converse direction (ACKs, SACK edges, windows) is by the two inverses of P:
//
//   floor(y) = the largest x with P(x) <= y   ACK, right SACK edge: never claim a part of q
//   ceil(y)  = the smallest x with P(x) >= y  left SACK edge
//
// What the receiver has acknowledged is never emitted again: a segment below `una` (a keep-alive or
// window probe with a byte of garbage) maps by distance to the receiver's last ACK, so that it
// stays old data; and edits below are retired into the shift. Linux's conntrack keeps one
// correction position a direction, which is not enough for two insertions in flight; counting
// edits beside the segments, as synproxies that insert PROXY do, shifts a retransmission without
// its bytes.
//
// Pure: no clock, no memory of its own but 28 bytes; edits live in the worker's EditPool.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include "limpet/tcp/edit_pool.h"
#include "limpet/tcp/seq.h"

namespace limpet::tcp {

// A run of bytes of an emitted segment: of the original payload (offset from the segment's first
// octet as it arrived) or of an edit.
struct Piece {
  uint32_t offset = 0;
  uint32_t length = 0;
  EditId edit = kNoEdit;  // kNoEdit: of the payload
};

// One segment to emit.
struct Emission {
  static constexpr unsigned kMaxPieces = 16;

  Seq seq;              // mapped
  uint32_t length = 0;  // bytes in all pieces
  bool fin = false;
  bool last = false;  // nothing of the segment remains
  unsigned pieces = 0;
  Piece piece[kMaxPieces];
};

class StreamMap {
 public:
  // The first octet is numbered `original` by the sender and `mapped` towards the receiver. Nothing
  // has passed: the frontier is there too.
  StreamMap(Seq original, Seq mapped)
      : shift_(mapped.value - original.value),
        una_(original),
        ack_(mapped),
        plain_(mapped),
        emitted_(mapped),
        frontier_(original) {}
  StreamMap() : StreamMap(Seq{}, Seq{}) {}

  // In order, at or beyond the frontier, not touching the edit before: the caller merges what
  // touches. False, and nothing has changed, when the pool has no room.
  bool append(EditPool& pool, Seq at, uint32_t removed, std::span<const uint8_t> bytes);
  // All edits in front of `frontier` have been appended; a smaller one than before is ignored.
  void advance(Seq frontier);
  // No edit can follow any more.
  void open() { open_ = 1; }
  bool is_open() const { return open_ != 0; }
  Seq frontier() const { return frontier_; }
  // Whether all octets before `end` can be mapped.
  bool covers(Seq end) const { return is_open() || end <= frontier_; }

  Seq position(const EditPool& pool, Seq x) const;  // P(x); x within or above what is in flight
  // Both are una for what is acknowledged: an ACK that comes late says nothing that its sender has
  // not said before, and distances behind edits that are gone mean nothing.
  Seq floor(const EditPool& pool, Seq y) const;
  Seq ceil(const EditPool& pool, Seq y) const;

  // A range [left, right) of what is acknowledged, in the sender's numbers (a D-SACK, RFC 2883);
  // nothing when there is an edit in it, or was one in it or behind it.
  std::optional<std::pair<Seq, Seq>> acknowledged(const EditPool& pool, Seq left, Seq right) const;
  // The other way round: the mapped number of old octets [seq, end) that their sender sends again,
  // when they still mean what they meant.
  std::optional<Seq> again(const EditPool& pool, Seq seq, Seq end) const;

  // Whether an edit changes a segment of octets [seq, end), a FIN counted: removes some of them, or
  // comes in front of one.
  bool touches(const EditPool& pool, Seq seq, Seq end) const;

  // The sequence number of a segment that carries no octet (pure ACK, window update): an insertion
  // at x counts once it has been emitted.
  Seq position_of_empty(const EditPool& pool, Seq x) const;

  // A cumulative ACK of the receiver: what the sender may be told, and edits that it ends. An ACK
  // beyond everything emitted is not believed (nothing changes; RFC 9293, 3.10.7.4).
  Seq acknowledge(EditPool& pool, Seq y);
  // The right edge of the sender's window, from the receiver's ACK plus window. A window that is
  // not closed is never told as closed: an insertion larger than it would wait for ever, as the
  // octet that carries it could not be sent.
  Seq window_edge(const EditPool& pool, Seq ack, Seq edge) const;

  // Cuts one segment of the sender into what is emitted for it: octets [seq, end), FIN at end when
  // `fin`. The caller has made sure that covers(end) (covers(end + 1) with a FIN).
  class Cut;

  Seq una() const { return una_; }          // original: the receiver has everything before
  Seq ack() const { return ack_; }          // mapped: its last cumulative ACK
  Seq emitted() const { return emitted_; }  // mapped: the highest end that was emitted
  bool edited() const { return edits_ != kNoEdit; }
  EditId first_edit() const { return edits_; }
  uint32_t largest_insertion(const EditPool& pool) const;  // of live edits, for path MTUs
  void release(EditPool& pool);  // the connection is over: all edits go back

 private:
  friend class Cut;
  void emit(Seq end) {
    if (end > emitted_) emitted_ = end;
  }

  uint32_t shift_;  // of everything before the first live edit
  Seq una_;
  Seq ack_;
  Seq plain_;  // mapped: from here to ack_ there was no edit
  Seq emitted_;
  Seq frontier_;
  EditId edits_ : 31 = kNoEdit;
  EditId open_ : 1 = 0;
};
static_assert(sizeof(StreamMap) == 28);

class StreamMap::Cut {
 public:
  Cut(StreamMap& map, const EditPool& pool, Seq seq, Seq end, bool fin);

  // The next segment to emit, at most `limit` bytes of payload (at least 1). False when there is
  // none: the octets are old (old() tells where they belong), or all removed (swallowed()).
  bool next(uint32_t limit, Emission& out);

  Seq at() const { return y_; }  // mapped number of what next() would emit

  // Every octet was acknowledged before, so nothing is emitted. The segment may be a probe that
  // wants an answer: sent on with this number, its octets stay old data for the receiver.
  bool old() const { return old_; }
  Seq old_position() const;
  // Every octet that is new to the receiver was removed: nobody will acknowledge them but we.
  bool swallowed() const { return swallowed_; }

 private:
  StreamMap& map_;
  const EditPool& pool_;
  Seq first_;          // original number of the payload's first octet
  Seq x_;              // next original octet
  Seq end_;            // behind the last octet, FIN excluded
  Seq y_;              // mapped number of what is emitted next
  EditId edit_;        // first edit that is not behind x_
  uint32_t from_ = 0;  // bytes of that edit already emitted, or known to the receiver
  bool fin_;
  bool old_ = false;
  bool swallowed_ = false;
  bool started_ = false;
};

}  // namespace limpet::tcp
