// What an endpoint does with a segment: RFC 9293, 3.10.7, with the stricter checks of RFC 5961 and
// of Linux (tcp_rcv_state_process, tcp_validate_incoming, tcp_check_req).
#include <algorithm>

#include "endpoint.h"
#include "endpoint_busy.h"

namespace limpet::sim {

void Endpoint::on_segment(const Segment& s, Instant now) {
  if (state_ == State::closed) return;
  const Busy busy(*this, now);
  ++counts_.segments_received;
  switch (state_) {
    case State::listen:
      in_listen(s, now);
      break;
    case State::syn_sent:
      in_syn_sent(s, now);
      break;
    case State::syn_received:
      if (in_syn_received(s, now)) in_open(s, now);
      break;
    default:
      in_open(s, now);
  }
}

// What the peer's SYN or SYN-ACK settles.
void Endpoint::learn(const Segment& syn) {
  irs_ = syn.seq;
  irs_known_ = true;
  rcv_nxt_ = 1;
  last_ack_sent_ = 1;
  // Of an active open: what the SYN's window field said.
  rcv_edge_ =
      active_ ? 1 + std::min<Position>(static_cast<Position>(options_.receive_buffer), 65535) : 1;
  // RFC 9293, 3.7.1: without the option 536, and 1220 for IPv6.
  peer_mss_ = syn.options.mss.value_or(options_.local.is_v4() ? 536 : 1220);
  sack_on_ = options_.sack && syn.options.sack_permitted;
  scale_on_ = options_.scale && syn.options.scale;
  if (scale_on_) {
    snd_scale_ = std::min<uint8_t>(*syn.options.scale, 14);
    rcv_scale_ = *options_.scale;
  }
  timestamps_on_ = options_.timestamps && syn.options.timestamps;
  if (timestamps_on_) {
    ts_recent_ = syn.options.timestamps->value;
    checker_.timestamp_from_syn(ts_recent_);
  }
  // The window of a SYN is never scaled (RFC 7323, 2.2).
  snd_edge_ = 1 + Position{syn.window};
  largest_window_ = syn.window;
  checker_.edge_from_syn(1, syn.window);
}

void Endpoint::in_listen(const Segment& s, Instant now) {
  if (!s.only(kSyn | kAck | kRst, kSyn)) return;
  checker_.syn(s);
  learn(s);
  state_ = State::syn_received;
  snd_nxt_ = 1;
  send_syn(now);
}

void Endpoint::in_syn_sent(const Segment& s, Instant now) {
  const bool stamps = options_.timestamps && s.options.timestamps && s.has(kSyn);
  bool wrong = s.has(kAck) && s.ack != wire(1);
  if (!wrong && stamps && !syn_timestamps_.empty()) {  // Linux: PAWS for active opens
    const uint32_t first = syn_timestamps_.front();
    wrong = s.options.timestamps->echo - first > timestamp(now) - first;
    if (wrong) checker_.note("SYN-ACK with a TSecr that was never sent: " + sim::describe(s));
  }
  if (wrong) {
    if (!s.has(kRst)) send_reset(s.ack, now);
    return;
  }
  if (s.has(kRst)) {
    ++counts_.resets_received;
    if (s.has(kAck)) finish(End::refused, now);
    return;
  }
  if (!s.only(kSyn | kAck, kSyn | kAck)) return;  // simultaneous opens are not played here
  TcpOptions offered;
  offered.sack_permitted = options_.sack;
  offered.scale = options_.scale;
  if (options_.timestamps) offered.timestamps = Timestamps{};
  checker_.syn_ack(s, offered);
  learn(s);
  snd_una_ = 1;
  if (timed_) measure(now - timed_->second);
  timed_.reset();
  ack_now_ = true;
  establish(now);
}

// True: this segment has opened the connection and goes on as one of it. tcp_check_req.
bool Endpoint::in_syn_received(const Segment& s, Instant now) {
  const Position seq = rcv_position(s.seq);
  if (s.only(kSyn | kAck | kRst, kSyn) && seq == 0) {  // our SYN-ACK was lost
    send_syn(now);
    return false;
  }
  bool refused = seq < rcv_nxt_ || seq > rcv_edge_;
  if (timestamps_on_ && s.options.timestamps) {
    const auto [value, echo] = *s.options.timestamps;
    refused |= static_cast<int32_t>(value - ts_recent_) < 0;
    const uint32_t first = syn_timestamps_.front();
    if (s.has(kAck) && echo - first > syn_timestamps_.back() - first) {
      ++counts_.syn_recv_refused;
      checker_.note("TSecr outside of our SYN-ACKs' TSvals: " + sim::describe(s));
      refused = true;
    }
  }
  if (refused) {
    if (!s.has(kRst) && !limited(now)) send_ack(now);
    return false;
  }
  if (s.has(kRst)) {
    ++counts_.resets_received;
    finish(End::reset, now);
    return false;
  }
  if (s.has(kSyn) || !s.has(kAck)) return false;
  if (snd_position(s.ack) != 1) {
    send_reset(s.ack, now);
    return false;
  }
  snd_una_ = 1;
  wl2_ = 1;
  if (timed_) measure(now - timed_->second);
  timed_.reset();
  establish(now);
  return true;
}

Promises Endpoint::promises() const {
  return {.timestamps = timestamps_on_,
          .sack = sack_on_,
          .mss = options_.mss,
          .snd_una = snd_una_,
          .snd_nxt = snd_nxt_,
          .fin_sent = closing_ && snd_nxt_ == write_end(),
          .rcv_nxt = rcv_nxt_,
          .rcv_edge = std::max(rcv_edge_, furthest_edge_)};
}

// PAWS (RFC 7323, 5); Linux' tcp_disordered_ack: an ACK that only overtook others is let through.
bool Endpoint::old_timestamp(const Segment& s, Position seq) const {
  if (!timestamps_on_ || !s.options.timestamps) return false;
  if (static_cast<int32_t>(s.options.timestamps->value - ts_recent_) >= 0) return false;
  const bool harmless = s.length() == 0 && seq == rcv_nxt_ && snd_position(s.ack) == snd_una_;
  return !harmless;
}

bool Endpoint::limited(Instant now) {
  if (last_challenge_ != kNever && now - last_challenge_ < options_.challenge_limit) return true;
  last_challenge_ = now;
  return false;
}

// RFC 5961, limited per connection as in Linux.
void Endpoint::challenge(Instant now) {
  if (limited(now)) return;
  ++counts_.challenge_acks;
  send_ack(now);
}

// To what is not acceptable (RFC 9293, 3.10.7.4): Linux answers data always, the rest rarely.
void Endpoint::answer(const Segment& s, Position seq, Instant now) {
  const Position end = seq + s.length();
  if (sack_on_ && end > seq && seq < rcv_nxt_ && seq >= 0) dsack_ = {seq, std::min(end, rcv_nxt_)};
  if (s.length() > 0 || !limited(now)) send_ack(now);
}

bool Endpoint::acceptable(const Segment& s, Position seq, Instant now) {
  if (!s.has(kRst) && old_timestamp(s, seq)) {
    ++counts_.paws_drops;
    answer(s, seq, now);
    return false;
  }
  // tcp_sequence: from the last ACK that we sent, not from rcv_nxt.
  const Position end = seq + s.length();
  if (end >= last_ack_sent_ && seq <= rcv_edge_) return true;
  if (s.has(kRst)) {
    ++counts_.resets_ignored;
    return false;
  }
  ++counts_.unacceptable;
  answer(s, seq, now);
  return false;
}

// RFC 5961, 3.2; a FIN that its sender may think unreceived counts too (tcp_reset_check).
void Endpoint::on_reset(Position seq, Instant now) {
  const bool behind_fin =
      peer_closed() && seq == rcv_nxt_ - 1 &&
      (state_ == State::close_wait || state_ == State::last_ack || state_ == State::closing);
  if (seq == rcv_nxt_ || behind_fin) {
    ++counts_.resets_received;
    finish(state_ == State::time_wait ? End::none : End::reset, now);
    return;
  }
  ++counts_.resets_ignored;
  challenge(now);
}

void Endpoint::in_open(const Segment& s, Instant now) {
  const Position seq = rcv_position(s.seq);
  if (s.has(kSyn)) {  // RFC 5961, 4.2: wherever it lies
    challenge(now);
    return;
  }
  const uint32_t window = uint32_t{s.window} << snd_scale_;
  if (!s.has(kRst)) checker_.segment(s, seq, snd_position(s.ack), window, promises());
  if (timestamps_on_ && !s.options.timestamps && !s.has(kRst)) return;  // RFC 7323, 3.2
  // RFC 9293, 3.10.7.4: whoever still sends to us in TIME_WAIT has not seen the end.
  if (state_ == State::time_wait && s.length() > 0) wait_at_ = now + options_.time_wait;
  if (!acceptable(s, seq, now)) return;
  if (s.has(kRst)) {
    on_reset(seq, now);
    return;
  }
  if (!s.has(kAck)) return;
  last_heard_ = now;
  keepalives_unanswered_ = 0;
  if (timestamps_on_ && seq <= last_ack_sent_ &&
      static_cast<int32_t>(s.options.timestamps->value - ts_recent_) >= 0) {
    ts_recent_ = s.options.timestamps->value;
  }
  if (on_ack(s, seq, now)) on_data(s, seq, now);
}

bool Endpoint::on_ack(const Segment& s, Position seq, Instant now) {
  const Position ack = snd_position(s.ack);
  if (ack > snd_nxt_ || ack < snd_una_ - Position{largest_window_}) {  // RFC 5961, 5.2
    challenge(now);
    return false;
  }
  const uint32_t window = uint32_t{s.window} << snd_scale_;
  const Position edge_before = snd_edge_;
  if (checker_.rules().windows_go_back) {  // Linux' tcp_may_update_window
    const Position edge = ack + Position{window};
    const bool newer = ack > snd_una_ || (ack == snd_una_ && wl1_ < seq);
    const bool equal = ack == snd_una_ && (wl1_ == seq && (edge > snd_edge_ || window == 0));
    if (newer || equal) {
      counts_.windows_went_back += edge < snd_edge_ ? 1 : 0;
      snd_edge_ = edge;
      wl1_ = std::max(wl1_, seq);
      wl2_ = ack;
      largest_window_ = std::max(largest_window_, window);
    }
  } else if (wl1_ < seq || (wl1_ == seq && wl2_ <= ack)) {
    wl1_ = seq;
    wl2_ = ack;
    largest_window_ = std::max(largest_window_, window);
    snd_edge_ = std::max(snd_edge_, ack + Position{window});
  }
  learn_sacks(s, ack);
  if (ack > snd_una_) {
    acknowledged(ack, s, now);
    if (!told_room_ && room() >= options_.send_buffer / 3) {
      told_room_ = true;
      app_.on_room(*this, now);
    }
  } else if (ack == snd_una_ && flight() > 0 && s.length() == 0 && snd_edge_ == edge_before) {
    duplicate_ack();
  } else {
    enter_recovery_if_lost();  // SACK blocks on data tell it as well (RFC 6675, 5)
  }
  if (probe_out_ && (flight() == 0 || snd_edge_ > snd_una_)) {  // the window is open
    probe_out_ = false;
    if (flight() > 0) enter_loss();
  }
  if (closing_ && snd_una_ == write_end()) our_fin_acknowledged(now);
  return state_ != State::closed;
}

void Endpoint::our_fin_acknowledged(Instant now) {
  if (state_ == State::fin_wait_1) {
    enter(State::fin_wait_2, now);
  } else if (state_ == State::closing) {
    enter(State::time_wait, now);
  } else if (state_ == State::last_ack) {
    finish(End::none, now);
  }
}

void Endpoint::on_data(const Segment& s, Position seq, Instant now) {
  if (s.length() == 0) {
    if (seq < rcv_nxt_ && !limited(now)) ack_now_ = true;
    return;
  }
  const auto length = static_cast<Position>(s.data.size());
  const Position fit = std::clamp<Position>(rcv_edge_ - seq, 0, length);
  if (fit < length && length > 1 && shrunk_until_ != kNever && now > shrunk_since_ + 300ms)
    ++counts_.beyond_taken_back;
  if (fit == 0 && length > 0) {  // a probe of a closed window, or worse
    ack_now_ = true;
    return;
  }
  const auto added = in_.add(seq, s.data.first(static_cast<size_t>(fit)));
  if (added.contradicts) {
    checker_.octets_differ(*added.contradicts, s.data.size(), rcv_nxt_);
  }
  largest_segment_ = std::max(largest_segment_, s.data.size());
  if (!peer_closed()) rcv_nxt_ = in_.next();
  take_window_back(now);
  if (added.duplicate) {
    ++counts_.duplicate_data;
    if (sack_on_) dsack_ = added.duplicate;
  }
  if (s.has(kFin) && fit == length) peer_fin_ = seq + length;
  if (added.beyond || added.duplicate) {
    counts_.out_of_order += added.beyond ? 1 : 0;
    send_ack(now);  // RFC 5681, 4.2: at once, and alone
  }
  if (added.advanced) {
    counts_.seq_wraps += s.seq + s.data.size() > 0xffffffffu ? 1 : 0;
    unacked_octets_ += s.data.size();
    if (added.filled || !in_.beyond().empty() || !options_.delayed_ack ||
        unacked_octets_ >= 2 * largest_segment_) {
      ack_now_ = true;
    } else if (delack_at_ == kNever) {
      delack_at_ = now + options_.delayed_ack_time;
    }
  }
  if (peer_fin_ && !peer_closed() && rcv_nxt_ == *peer_fin_) {
    fin_arrived(now);
  } else if (s.has(kFin)) {
    ack_now_ = true;
  }
  deliver(now);
}

void Endpoint::fin_arrived(Instant now) {
  ++rcv_nxt_;
  rcv_edge_ = std::max(rcv_edge_, rcv_nxt_);
  ack_now_ = true;
  if (state_ == State::established) {
    enter(State::close_wait, now);
  } else if (state_ == State::fin_wait_1) {
    ++counts_.simultaneous_closes;
    enter(State::closing, now);
  } else if (state_ == State::fin_wait_2) {
    enter(State::time_wait, now);
  }
}

void Endpoint::on_too_big(const TooBig& t, Instant now) {
  if (state_ == State::closed || state_ == State::listen) return;
  const Busy busy(*this, now);
  // RFC 5927, 4: only about what is in flight. Linux' floor for IPv4, RFC 8201's for IPv6.
  const Position seq = snd_position(t.seq);
  const uint32_t floor = options_.local.is_v4() ? 552 : 1280;
  const uint32_t mtu = std::max(t.mtu, floor);
  if (seq < snd_una_ || seq >= snd_nxt_ || mtu >= options_.mtu) {
    ++counts_.mtu_ignored;
    return;
  }
  ++counts_.mtu_reductions;
  options_.mtu = static_cast<uint16_t>(mtu);
  if (synchronized() && flight() > 0 && !probe_out_) enter_loss();
}

}  // namespace limpet::sim
