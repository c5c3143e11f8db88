// Handshakes of a splice.
#include "limpet/tcp/handshake.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "limpet/wire/frame.h"

namespace limpet::tcp {
namespace {

using wire::tcp_flag;

constexpr size_t kClient = index_of(Side::client);
constexpr size_t kBackend = index_of(Side::backend);

SegmentOut syn_ack(const SegmentIn& in, const Offer& offer, const SynAck& numbers,
                   const SynAckOptions& p) {
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

// An ACK for a client without a flow.
SegmentOut bare_answer(const SegmentIn& in, uint8_t flags, Seq ack, const SynAckOptions& p,
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

Listener::Listener(const HashKey& secret, uint32_t half_open, Instant now)
    // Epochs of cookies use the numbers below 2^32.
    : tuple_key_(derived_key(secret, uint64_t{1} << 32)),
      isn_key_(derived_key(secret, uint64_t{2} << 32)),
      half_open_(half_open, now),
      cookies_(secret) {}

uint64_t Listener::hash(const Tuple& tuple) const {
  std::array<uint8_t, 36> input;
  uint8_t* p = input.data();
  std::memcpy(p, tuple.client.bytes.data(), 16);
  std::memcpy(p + 16, tuple.vip.bytes.data(), 16);
  std::memcpy(p + 32, &tuple.client_port.raw, 2);
  std::memcpy(p + 34, &tuple.port.raw, 2);
  return siphash(tuple_key_, input);
}

bool Listener::cookies_are_out(Instant now) const {
  return last_cookie_.ns != 0 &&
         now - last_cookie_ <= SynCookies::kEpoch * int64_t{SynCookies::kGoodEpochs};
}

Hearing Listener::hear(const Tuple& tuple, const SegmentIn& in, const SynAckOptions& syn_ack,
                       Instant now) {
  const uint8_t kind = in.flags & (tcp_flag::syn | tcp_flag::ack | tcp_flag::rst | tcp_flag::fin);
  const uint64_t h = hash(tuple);
  if (kind == tcp_flag::syn) return greet(tuple.client.family(), h, in, syn_ack, now);
  Hearing heard;
  if ((kind & tcp_flag::rst) != 0) {
    // A scan, or a client that wants no more: a reset has the number that we expect (RFC
    // 5961, 3.2).
    const HalfOpen::Place p = half_open_.find(
        h, [&](const HalfOpen::Client& c) { return in.seq.value == c.isn_client + 1; });
    if (p == HalfOpen::kNone) return heard;
    half_open_.remove(p);
    heard.what = Heard::silent;
    return heard;
  }
  if ((kind & tcp_flag::syn) != 0 || (kind & tcp_flag::ack) == 0) return heard;
  const HalfOpen::Place p = half_open_.find(h, [&](const HalfOpen::Client& c) {
    return in.ack.value == c.isn + 1 ||
           (c.state == HalfOpen::State::closed && in.ack.value == c.isn + 2);
  });
  if (p != HalfOpen::kNone) return expected(p, h, in, syn_ack, now);
  if (cookies_are_out(now)) return by_cookie(tuple.client.family(), h, in, syn_ack, now);
  heard.what = Heard::stranger;
  return heard;
}

// A SYN proves nothing. The same one again is answered as before: the SYN-ACK was lost, or is late
// and will be what the client goes by. With another number, or other options, it is another.
Hearing Listener::greet(Family family, uint64_t h, const SegmentIn& in, const SynAckOptions& p,
                        Instant now) {
  Hearing heard;
  heard.what = Heard::answered;
  Offer offer;
  offer.mss = in.mss.value_or(536);
  if (p.scaling) offer.window_scale = in.window_scale;
  offer.sack = p.sack && in.sack_permitted;
  offer.timestamps = p.timestamps && in.timestamps.has_value();
  SynAck numbers;
  numbers.tsval = static_cast<uint32_t>(now.ns / 1000000);
  HalfOpen::Place place = half_open_.find(h, [&](const HalfOpen::Client& c) {
    return c.isn_client == in.seq.value && c.offer() == offer;
  });
  if (place != HalfOpen::kNone) {
    numbers.isn = half_open_.at(place).isn;
    half_open_.greet(place, now);
  } else {
    std::array<uint8_t, 20> input;
    ++isns_;
    std::memcpy(input.data(), &h, 8);
    std::memcpy(input.data() + 8, &isns_, 8);
    std::memcpy(input.data() + 16, &in.seq.value, 4);
    numbers.isn = static_cast<uint32_t>(siphash(isn_key_, input));
    place = half_open_.add(h, in.seq.value, numbers.isn, offer, now);
  }
  if (place == HalfOpen::kNone) {
    offer = SynCookies::representable(family, offer);
    numbers = cookies_.make(family, h, in.seq.value, offer, now);
    last_cookie_ = now;
    ++counters_.cookies_sent;
  }
  heard.answer = syn_ack(in, offer, numbers, p);
  return heard;
}

// It knows our number.
Hearing Listener::expected(HalfOpen::Place place, uint64_t h, const SegmentIn& in,
                           const SynAckOptions& p, Instant now) {
  const HalfOpen::Client& c = half_open_.at(place);
  Hearing heard;
  heard.what = Heard::silent;
  if (in.ack.value != c.isn + 1) {  // it has heard our FIN
    half_open_.remove(place);
    return heard;
  }
  const bool fin = (in.flags & tcp_flag::fin) != 0;
  const bool closed = c.state == HalfOpen::State::closed;
  const auto at = static_cast<int32_t>(in.seq.value - (c.isn_client + 1));
  Offer offer = c.offer();
  // Who said that it would use timestamps, and does not: then it does not (RFC 7323, 3.2).
  offer.timestamps = offer.timestamps && in.timestamps.has_value();
  if (at == 0 && !in.payload.empty() && !closed) {
    heard.what = Heard::open;
    heard.offer = offer;
    heard.place = place;
  } else if (at == 0 && in.payload.empty() && fin) {  // a port check: nothing was said
    heard.what = Heard::answered;
    heard.answer = bare_answer(in, tcp_flag::fin | tcp_flag::ack, in.seq + 1, p, offer);
    half_open_.close(place, now);
  } else if (at == 0 && in.payload.empty() && !closed) {
    half_open_.prove(h, place, now);
  } else if (at == -1 && in.payload.size() <= 1 && !fin && !closed) {
    // A keep-alive probe of a connection that has sent nothing: one octet back, with or without
    // garbage (RFC 1122, 4.2.3.6).
    heard.what = Heard::answered;
    heard.answer = bare_answer(in, tcp_flag::ack, in.seq + 1, p, offer);
    half_open_.prove(h, place, now);
  } else {
    heard.what = Heard::early;
  }
  return heard;
}

Hearing Listener::by_cookie(Family family, uint64_t h, const SegmentIn& in, const SynAckOptions& p,
                            Instant now) {
  Hearing heard;
  const bool fin = (in.flags & tcp_flag::fin) != 0;
  std::optional<uint32_t> echo;
  if (in.timestamps) echo = in.timestamps->echo;
  const uint32_t isn = in.ack.value - 1;
  CookieCheck check = cookies_.check(family, h, in.seq.value - 1, isn, echo, now);
  if (check.verdict == CookieVerdict::forged) {
    heard.what =
        (isn & SynCookies::kStage) == SynCookies::stage(h) ? Heard::early : Heard::stranger;
    if (in.payload.size() <= 1 && !fin) {  // a keep-alive probe, as above
      check = cookies_.check(family, h, in.seq.value, isn, echo, now);
      if (check.verdict == CookieVerdict::valid) {
        heard.what = Heard::answered;
        heard.answer = bare_answer(in, tcp_flag::ack, in.seq + 1, p, check.offer);
      }
    }
    return heard;
  }
  if (!in.payload.empty()) {
    heard.what = check.verdict == CookieVerdict::valid ? Heard::open : Heard::stale;
    heard.offer = check.offer;
  } else if (fin) {
    heard.what = Heard::answered;
    heard.answer = bare_answer(in, tcp_flag::fin | tcp_flag::ack, in.seq + 1, p, check.offer);
  } else {
    heard.what = Heard::silent;
  }
  return heard;
}

void Listener::opened(const Hearing& heard) {
  if (heard.place == HalfOpen::kNone)
    ++counters_.cookies_accepted;
  else
    half_open_.remove(heard.place);
}

bool start(Splice& splice, SpliceFlow& f, const Offer& offer, const SynAckOptions& syn_ack,
           const SegmentIn& in) {
  f = SpliceFlow{};
  f.ends[kClient].most = offer.mss;
  f.scaled = offer.window_scale.has_value();
  f.scale[kClient] = offer.window_scale.value_or(0);
  f.advertised[kClient] = f.scaled ? syn_ack.window_scale : 0;
  f.sack = offer.sack;
  f.timestamps[kClient] = offer.timestamps;
  if (offer.timestamps) {
    f.ends[kClient].ts_value = in.timestamps->value;
    f.ends[kBackend].ts_value = in.timestamps->echo;  // what we said last
  }
  return splice.begin(f, in.seq, in.ack, syn_ack.window);
}

SegmentOut backend_syn(const Splice& splice, const SpliceFlow& f, uint16_t mss) {
  SegmentOut s;
  s.flags = tcp_flag::syn;
  f.mark(Side::client, s);
  s.seq = f.ends[kClient].map.una() - 1;
  // Never scaled in a SYN (RFC 7323, 2.2).
  s.window = static_cast<uint16_t>(std::min<uint32_t>(splice.client_window(f), 65535));
  s.mss = std::min(f.ends[kClient].most, mss);
  if (f.scaled) s.window_scale = f.scale[kClient];
  s.sack_permitted = f.sack;
  if (f.timestamps[kClient]) s.timestamps = {f.ends[kClient].ts_value, 0};
  return s;
}

Connecting on_connecting(Splice& splice, SpliceFlow& f, const SegmentIn& in, Instant now) {
  const bool acks = (in.flags & tcp_flag::ack) != 0 && in.ack == f.ends[kClient].map.una();
  if ((in.flags & tcp_flag::rst) != 0) return acks ? Connecting::refused : Connecting::ignored;
  if ((in.flags & tcp_flag::ack) == 0) return Connecting::ignored;
  if ((in.flags & tcp_flag::syn) == 0 || !acks) return Connecting::stale;
  f.ends[kBackend].most = in.mss.value_or(536);
  const bool scaled = f.scaled && in.window_scale.has_value();
  f.scale[kBackend] = scaled ? *in.window_scale : 0;
  f.advertised[kBackend] = scaled ? f.scale[kClient] : 0;
  f.sack = f.sack && in.sack_permitted;
  std::optional<uint32_t> tsval;
  if (f.timestamps[kClient] && in.timestamps) tsval = in.timestamps->value;
  f.hear(Side::backend, in);
  splice.connected(f, in.seq + 1, in.window, tsval, now);
  return Connecting::connected;
}

}  // namespace limpet::tcp
