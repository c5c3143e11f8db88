// Handshakes of a splice.
#include "limpet/tcp/handshake.h"

#include <algorithm>

#include "limpet/wire/frame.h"

namespace limpet::tcp {
namespace {

using wire::tcp_flag;

constexpr size_t kClient = index_of(Side::client);
constexpr size_t kBackend = index_of(Side::backend);

SegmentOut syn_ack(SynCookies& cookies, const Tuple& tuple, const SegmentIn& in, const Promise& p,
                   Instant now) {
  Offer offer;
  offer.mss = in.mss.value_or(536);
  if (p.scaling) offer.window_scale = in.window_scale;
  offer.sack = p.sack && in.sack_permitted;
  offer.timestamps = p.timestamps && in.timestamps.has_value();
  const SynAck numbers = cookies.make(tuple, in.seq.value, offer, now);
  SegmentOut s;
  s.flags = tcp_flag::syn | tcp_flag::ack;
  s.seq = Seq{numbers.isn};
  s.ack = in.seq + 1;  // data on a SYN is not taken: the client sends it again (RFC 9293, 3.10.7.2)
  s.window = std::max<uint16_t>(p.window, 1);
  s.mss = p.mss;
  if (offer.window_scale) s.window_scale = p.window_scale;
  s.sack_permitted = offer.sack;
  if (offer.timestamps) s.timestamps = {numbers.tsval, in.timestamps->value};
  return s;
}

// An ACK for a client of which nothing is kept.
SegmentOut bare_answer(const SegmentIn& in, uint8_t flags, Seq ack, const Promise& p,
                       const Offer& offer) {
  SegmentOut s;
  s.flags = flags;
  s.seq = in.ack;
  s.ack = ack;
  const unsigned shift = offer.window_scale ? p.window_scale : 0u;
  s.window = std::max<uint16_t>(static_cast<uint16_t>(p.window >> shift), 1);
  if (offer.timestamps && in.timestamps) s.timestamps = {in.timestamps->echo, in.timestamps->value};
  return s;
}

}  // namespace

Hearing listen(SynCookies& cookies, const Tuple& tuple, const SegmentIn& in, const Promise& promise,
               Instant now) {
  Hearing h;
  const uint8_t kind = in.flags & (tcp_flag::syn | tcp_flag::ack | tcp_flag::rst | tcp_flag::fin);
  if (kind == tcp_flag::syn) {
    h.what = Heard::answered;
    h.answer = syn_ack(cookies, tuple, in, promise, now);
    return h;
  }
  if ((kind & (tcp_flag::syn | tcp_flag::rst)) != 0 || (kind & tcp_flag::ack) == 0) return h;
  const bool fin = (kind & tcp_flag::fin) != 0;
  std::optional<uint32_t> echo;
  if (in.timestamps) echo = in.timestamps->echo;
  const uint32_t isn = in.ack.value - 1;
  CookieCheck check = cookies.check(tuple, in.seq.value - 1, isn, echo, now);
  h.what = Heard::stranger;
  if (check.verdict == CookieVerdict::forged) {
    // A keep-alive probe of a connection that has sent nothing: one octet back, with or without
    // garbage (RFC 1122, 4.2.3.6).
    if (in.payload.size() <= 1 && !fin) {
      check = cookies.check(tuple, in.seq.value, isn, echo, now);
      if (check.verdict == CookieVerdict::valid) {
        h.what = Heard::answered;
        h.answer = bare_answer(in, tcp_flag::ack, in.seq + 1, promise, check.offer);
      }
    }
    return h;
  }
  if (!in.payload.empty()) {
    h.what = check.verdict == CookieVerdict::valid ? Heard::open : Heard::stale;
    h.offer = check.offer;
    return h;
  }
  if (fin) {  // a port check: nothing was said and nothing will be
    h.what = Heard::answered;
    h.answer = bare_answer(in, tcp_flag::fin | tcp_flag::ack, in.seq + 1, promise, check.offer);
    return h;
  }
  h.what = Heard::silent;
  return h;
}

bool start(Splice& splice, SpliceFlow& f, const Offer& offer, const Promise& promise,
           const SegmentIn& in) {
  f = SpliceFlow{};
  f.most[kClient] = offer.mss;
  f.scaled = offer.window_scale.has_value();
  f.scale[kClient] = offer.window_scale.value_or(0);
  f.told[kClient] = f.scaled ? promise.window_scale : 0;
  f.sack = offer.sack;
  f.timestamps[kClient] = offer.timestamps;
  if (offer.timestamps) {
    f.ts_value[kClient] = in.timestamps->value;
    f.ts_value[kBackend] = in.timestamps->echo;  // what we said last
  }
  return splice.begin(f, in.seq, in.ack, promise.window);
}

SegmentOut backend_syn(const Splice& splice, const SpliceFlow& f, uint16_t mss) {
  SegmentOut s;
  s.flags = tcp_flag::syn;
  f.mark(Side::client, s);
  s.seq = f.map[kClient].una() - 1;
  // Never scaled in a SYN (RFC 7323, 2.2).
  s.window = static_cast<uint16_t>(std::min<uint32_t>(splice.client_window(f), 65535));
  s.mss = std::min(f.most[kClient], mss);
  if (f.scaled) s.window_scale = f.scale[kClient];
  s.sack_permitted = f.sack;
  if (f.timestamps[kClient]) s.timestamps = {f.ts_value[kClient], 0};
  return s;
}

Connecting on_connecting(Splice& splice, SpliceFlow& f, const SegmentIn& in, Instant now) {
  const bool acks = (in.flags & tcp_flag::ack) != 0 && in.ack == f.map[kClient].una();
  if ((in.flags & tcp_flag::rst) != 0) return acks ? Connecting::refused : Connecting::ignored;
  if ((in.flags & tcp_flag::ack) == 0) return Connecting::ignored;
  if ((in.flags & tcp_flag::syn) == 0 || !acks) return Connecting::stale;
  f.most[kBackend] = in.mss.value_or(536);
  const bool scaled = f.scaled && in.window_scale.has_value();
  f.scale[kBackend] = scaled ? *in.window_scale : 0;
  f.told[kBackend] = scaled ? f.scale[kClient] : 0;
  f.sack = f.sack && in.sack_permitted;
  std::optional<uint32_t> tsval;
  if (f.timestamps[kClient] && in.timestamps) tsval = in.timestamps->value;
  f.hear(Side::backend, in);
  splice.connected(f, in.seq + 1, in.window, tsval, now);
  return Connecting::connected;
}

}  // namespace limpet::tcp
