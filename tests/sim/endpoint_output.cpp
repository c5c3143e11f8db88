// What an endpoint sends: segments, windows, the decision when.
#include <algorithm>

#include "endpoint.h"

namespace limpet::sim {

size_t Endpoint::segment_size() const {
  const size_t ours = options_.mtu - header_bytes(options_.local.is_v4());
  return std::min<size_t>(ours, peer_mss_) - (timestamps_on_ ? 12 : 0);
}

// Octets that SACK blocks take of the next segment.
size_t Endpoint::option_room() const {
  if (!sack_on_) return 0;
  const size_t most = timestamps_on_ ? 3 : 4;
  const size_t blocks = std::min(most, in_.recent().size() + (dsack_ ? 1 : 0));
  return blocks > 0 ? 4 + 8 * blocks : 0;
}

Segment Endpoint::blank(uint8_t flags, Position seq, Instant now) {
  Segment s;
  s.from_mac = options_.local_mac;
  s.to_mac = options_.remote_mac;
  s.from = options_.local;
  s.to = options_.remote;
  s.from_port = options_.local_port;
  s.to_port = options_.remote_port;
  s.flags = flags;
  s.seq = wire(seq);
  if ((flags & kAck) != 0) s.ack = irs_ + static_cast<uint32_t>(rcv_nxt_);
  const bool syn = (flags & kSyn) != 0;
  s.window = advertise(syn);
  if (timestamps_on_ && !syn) s.options.timestamps = Timestamps{timestamp(now), ts_recent_};
  return s;
}

// RFC 9293, 3.8.6.2.2: the edge moves in steps worth a segment. Never back: what scaling cannot
// say is rounded up, as Linux does (RFC 7323, 2.4 allows less).
uint16_t Endpoint::advertise(bool syn) {
  const unsigned scale = syn ? 0 : rcv_scale_;
  const Position unit = Position{1} << scale;
  if (syn && !active_ && rcv_edge_ == 0) rcv_edge_ = rcv_nxt_;
  const auto buffer = static_cast<Position>(options_.receive_buffer);
  const Position wanted =
      rcv_nxt_ + std::max<Position>(0, buffer - static_cast<Position>(in_.unread()));
  if (shrunk_until_ != kNever) {
    const auto room = std::min(buffer, static_cast<Position>(options_.shrunk_to)) -
                      static_cast<Position>(in_.unread());
    const Position units = std::clamp<Position>(room / unit, 0, 65535);
    rcv_edge_ = rcv_nxt_ + units * unit;
    furthest_edge_ = std::max(furthest_edge_, rcv_edge_);
    return static_cast<uint16_t>(units);
  }
  const Position quantum = std::min<Position>(options_.mss, (buffer + 1) / 2);
  const Position edge = wanted - rcv_edge_ >= quantum ? wanted : rcv_edge_;
  Position units = std::max<Position>(0, edge - rcv_nxt_) / unit;
  if (rcv_nxt_ + units * unit < rcv_edge_) units = (rcv_edge_ - rcv_nxt_ + unit - 1) / unit;
  units = std::min<Position>(units, 65535);
  if (irs_known_) rcv_edge_ = std::max(rcv_edge_, rcv_nxt_ + units * unit);
  furthest_edge_ = std::max(furthest_edge_, rcv_edge_);
  return static_cast<uint16_t>(units);
}

// RFC 9293, 3.8.6: not to be done, but to be lived with.
void Endpoint::take_window_back(Instant now) {
  if (options_.shrink_every == 0 || shrunk_until_ != kNever || peer_closed()) return;
  if (shrink_at_ == 0) shrink_at_ = static_cast<Position>(options_.shrink_every);
  if (rcv_nxt_ < shrink_at_) return;
  ++counts_.windows_taken_back;
  shrunk_since_ = now;
  shrunk_until_ = now + options_.shrunk_for;
  ack_now_ = true;
}

// The reader has made room that the peer does not know of and could use.
bool Endpoint::update_due() const {
  if (!synchronized() || peer_closed() || state_ == State::time_wait) return false;
  if (shrunk_until_ != kNever) return false;
  const auto buffer = static_cast<Position>(options_.receive_buffer);
  const Position wanted = rcv_nxt_ + buffer - static_cast<Position>(in_.unread());
  const Position units = std::min<Position>((wanted - rcv_nxt_) >> rcv_scale_, 65535);
  const Position step = std::min<Position>(2 * Position{options_.mss}, (buffer + 1) / 2);
  return rcv_nxt_ + (units << rcv_scale_) - rcv_edge_ >= step;
}

void Endpoint::add_sacks(TcpOptions& options) {
  if (!sack_on_) return;
  const uint8_t most = timestamps_on_ ? 3 : 4;
  const auto add = [&](const Interval& i) {
    if (options.sacks == most) return;
    options.sack[options.sacks++] = {irs_ + static_cast<uint32_t>(i.left),
                                     irs_ + static_cast<uint32_t>(i.right)};
    ++counts_.sack_blocks_sent;
  };
  // RFC 2883, 4: the duplicate first, then the block that contains it, then the others.
  const Interval* around = nullptr;
  if (dsack_) {
    add(*dsack_);
    ++counts_.dsacks_sent;
    around = in_.beyond().at(dsack_->left);
    if (around != nullptr) add(*around);
    dsack_.reset();
  }
  for (const Interval& i : in_.recent()) {
    if (around == nullptr || !(i == *around)) add(i);
  }
}

void Endpoint::emit_segment(const Segment& s) {
  ++counts_.segments_sent;
  if (s.options.timestamps) {
    if (s.options.timestamps->value < options_.timestamp_start && counts_.timestamp_wraps == 0) {
      ++counts_.timestamp_wraps;
    }
    checker_.sent_timestamp(s.options.timestamps->value);
  }
  if (s.has(kAck) && !s.has(kRst)) {
    last_ack_sent_ = rcv_nxt_;
    ack_now_ = false;
    delack_at_ = kNever;
    unacked_octets_ = 0;
    if (synchronized()) {
      counts_.zero_windows += s.window == 0 && window_was_open_ ? 1 : 0;
      window_was_open_ = s.window != 0;
    }
  }
  out_.push_back(emit(s));
}

void Endpoint::send_syn(Instant now) {
  Segment s = blank(active_ ? kSyn : kSyn | kAck, 0, now);
  if (options_.announces) s.options.mss = options_.mss;
  const bool stamps = active_ ? options_.timestamps : timestamps_on_;
  const bool scale = active_ ? options_.scale.has_value() : scale_on_;
  s.options.sack_permitted = active_ ? options_.sack : sack_on_;
  if (scale) s.options.scale = options_.scale;
  if (stamps) {
    s.options.timestamps = Timestamps{timestamp(now), ts_recent_};
    syn_timestamps_.push_back(timestamp(now));
  }
  if (!timed_ && tries_ == 0) timed_ = {1, now};
  emit_segment(s);
}

// Linux' tcp_acceptable_seq: an octet that probed a closed window must not take the ACK with it.
void Endpoint::send_ack(Instant now) {
  Segment s = blank(kAck, std::max(snd_una_, std::min(snd_nxt_, snd_edge_)), now);
  if (closing_ && snd_nxt_ == write_end()) s.seq = wire(snd_nxt_);
  add_sacks(s.options);
  emit_segment(s);
}

void Endpoint::send_reset(uint32_t seq, Instant now) {
  ++counts_.resets_sent;
  Segment s = blank(synchronized() ? kRst | kAck : kRst, 0, now);
  s.seq = seq;
  s.window = 0;
  emit_segment(s);
}

// From `from` as far as one segment reaches; a FIN takes no room.
Interval Endpoint::cut(Position from, Position limit) const {
  const auto most = static_cast<Position>(segment_size() - option_room());
  Position right = std::min(from + most, limit);
  if (!options_.coalesce && from < snd_nxt_) {
    const auto next = std::upper_bound(cuts_.begin(), cuts_.end(), from);
    if (next != cuts_.end()) right = std::min(right, *next);
  }
  if (right == data_end() && limit > right) right = limit;
  return {from, right};
}

void Endpoint::send_range(Interval range, bool again, Instant now) {
  Segment s = blank(kAck, range.left, now);
  add_sacks(s.options);
  const Position data_right = std::min(range.right, data_end());
  if (data_right > range.left) {
    s.data = {unacked_.data() + unacked_head_ + (range.left - buffer_start_),
              static_cast<size_t>(data_right - range.left)};
    if (data_right == data_end()) s.flags |= kPsh;
  }
  if (range.right > data_end()) s.flags |= kFin;
  if (again) {
    ++counts_.retransmissions;
    counts_.fins_again += s.has(kFin) ? 1 : 0;
    timed_.reset();  // Karn: nobody can tell which copy is acknowledged
  } else {
    cuts_.push_back(range.right);
    counts_.seq_wraps += wire(range.right) < wire(range.left) ? 1 : 0;
    if (!timed_) timed_ = {range.right, now};
  }
  snd_nxt_ = std::max(snd_nxt_, range.right);
  emit_segment(s);
}

void Endpoint::transmit(Instant now) {
  if (!may_send()) return;
  // A window that was taken back is probed with an octet (RFC 9293, 3.8.6.1).
  const Position most =
      checker_.rules().windows_go_back ? std::max(snd_edge_, snd_una_ + 1) : write_end();
  const auto again = [&](const Interval& lost) {
    const Interval range = cut(lost.left, std::min(lost.right, most));
    send_range(range, true, now);
    resent_to_ = std::max(resent_to_, range.right);
  };
  if (std::exchange(resend_first_, false) && flight() > 0) {
    again(sacked_.gap(snd_una_, snd_nxt_));
  }
  if (probe_out_) return;
  for (;;) {
    const size_t under_way = pipe();
    if (under_way > 0 && under_way + segment_size() > cwnd_) return;
    if (const auto lost = next_lost(false)) {
      if (lost->left >= most) return;
      again(*lost);
    } else if (transmit_new(now)) {
    } else if (const auto rest = next_lost(true); rest && rest->left < most) {
      again(*rest);
    } else {
      return;
    }
  }
}

bool Endpoint::transmit_new(Instant now) {
  if (snd_nxt_ >= write_end() || snd_edge_ <= snd_nxt_) return false;
  const Interval range = cut(snd_nxt_, std::min(write_end(), snd_edge_));
  const bool everything = range.right >= data_end();
  const auto full = static_cast<Position>(segment_size() - option_room());
  if (flight() > 0 && range.size() < full && !(closing_ && everything)) {
    if (!everything) {
      // RFC 9293, 3.8.6.2.1: no silly pieces because of the window.
      if (range.size() < std::min<Position>(full, largest_window_ / 2)) return false;
    } else if (options_.nagle) {
      ++counts_.nagle_waits;
      return false;
    }
  }
  send_range(range, false, now);
  return true;
}

// RFC 9293, 3.8.6.1: the update that opened the window may be lost.
void Endpoint::probe_window(Instant now) {
  ++counts_.persist_probes;
  backoff_ = std::min(backoff_ + 1, 16u);
  if (options_.persist_with_data && snd_una_ < data_end()) {
    send_range({snd_una_, snd_una_ + 1}, snd_nxt_ > snd_una_, now);
    probe_out_ = true;
    return;
  }
  Segment s = blank(kAck, snd_una_ - 1, now);
  emit_segment(s);
}

void Endpoint::arm(Instant now) {
  const auto after = [&] {
    const auto wait = rto_ * (int64_t{1} << std::min(backoff_, 16u));
    return now + std::min<Duration>(wait, options_.rto_max);
  };
  if (state_ == State::syn_sent || state_ == State::syn_received) {
    if (rto_at_ == kNever) rto_at_ = after();
    return;
  }
  if (!may_send()) {
    rto_at_ = tail_at_ = persist_at_ = kNever;
    return;
  }
  const bool shut = snd_edge_ <= snd_una_ && write_end() > snd_una_;
  if (shut && (flight() == 0 || probe_out_)) {
    rto_at_ = tail_at_ = kNever;
    if (persist_at_ == kNever) persist_at_ = after();
    return;
  }
  if (persist_at_ != kNever) {
    persist_at_ = kNever;
    backoff_ = 0;
  }
  if (flight() == 0) {
    rto_at_ = tail_at_ = kNever;
  } else if (rto_at_ == kNever) {
    rto_at_ = after();
    // RFC 8985, 7.2; the worst delayed ACK as in Linux.
    if (options_.tail_probes && sack_on_ && mode_ == Mode::open && !tail_probed_ &&
        srtt_.count() != 0) {
      const bool alone = flight() <= segment_size();
      tail_at_ = now + 2 * srtt_ + (alone ? Duration(200ms) : Duration(2ms));
      if (tail_at_ >= rto_at_) tail_at_ = kNever;
    }
  }
}

void Endpoint::flush(Instant now) {
  if (state_ == State::closed || state_ == State::listen) return;
  transmit(now);
  if (update_due()) {
    counts_.window_updates += ack_now_ ? 0 : 1;
    ack_now_ = true;
  }
  if (ack_now_) send_ack(now);
  arm(now);
}

}  // namespace limpet::sim
