// What an endpoint takes for lost and how much it has under way: RFC 5681 and 6582 without SACK,
// RFC 6675 with it, RFC 6298 for the timer. After a time-out everything that is not SACKed counts
// as lost and is sent again in slow start.
#include <algorithm>

#include "endpoint.h"

namespace limpet::sim {

void Endpoint::acknowledged(Position ack, const Segment& s, Instant now) {
  const auto octets = static_cast<size_t>(ack - snd_una_);
  const size_t size = segment_size();
  if (timestamps_on_ && s.options.timestamps) {
    // The echo of a copy sent before the last time-out says how long ACKs were lost, not how long
    // the way is.
    const uint32_t echo = s.options.timestamps->echo;
    if (static_cast<int32_t>(echo - last_rto_timestamp_) >= 0 || last_rto_timestamp_ == 0) {
      measure(options_.timestamp_tick * int64_t{timestamp(now) - echo});
    }
    backoff_ = 0;
    timed_.reset();
  } else if (timed_ && ack >= timed_->first) {
    measure(now - timed_->second);
    timed_.reset();
  }
  snd_una_ = ack;
  const Position data = std::min(ack, data_end());
  if (data > buffer_start_) {
    unacked_head_ += static_cast<size_t>(data - buffer_start_);
    buffer_start_ = data;
    if (unacked_head_ > 65536 && unacked_head_ * 2 > unacked_.size()) {
      unacked_.erase(unacked_.begin(), unacked_.begin() + static_cast<ptrdiff_t>(unacked_head_));
      unacked_head_ = 0;
    }
  }
  while (!cuts_.empty() && cuts_.front() <= ack) cuts_.pop_front();
  sacked_.erase_below(ack);
  resent_to_ = std::max(resent_to_, ack);
  dupacks_ = 0;
  tries_ = 0;
  rto_at_ = tail_at_ = kNever;  // RFC 6298, 5.3: armed anew
  tail_probed_ = false;

  if (mode_ != Mode::open && ack >= recover_) {
    if (mode_ == Mode::recovery) cwnd_ = std::max(ssthresh_, size);
    mode_ = Mode::open;
  } else if (mode_ == Mode::recovery && !sack_on_) {  // RFC 6582, 3.2: partial
    cwnd_ = std::max(cwnd_ - std::min(cwnd_, octets) + size, size);
    resend_first_ = true;
    return;
  }
  if (mode_ == Mode::recovery) return;
  if (cwnd_ < ssthresh_) {
    cwnd_ += std::min(octets, size);
  } else {
    cwnd_ += std::max<size_t>(1, size * std::min(octets, size) / cwnd_);
  }
}

void Endpoint::learn_sacks(const Segment& s, Position ack) {
  if (!sack_on_ || s.options.sacks == 0) return;
  std::vector<Interval> blocks;
  for (const SackBlock& b : s.options.blocks()) {
    blocks.push_back(
        {ack + static_cast<int32_t>(b.left - s.ack), ack + static_cast<int32_t>(b.right - s.ack)});
  }
  counts_.sack_blocks_received += blocks.size();
  // RFC 2883, 4: the first is a duplicate's if it lies below the ACK or inside the second.
  const bool duplicate =
      blocks[0].right <= ack ||
      (blocks.size() > 1 && blocks[0].left >= blocks[1].left && blocks[0].right <= blocks[1].right);
  counts_.dsacks_received += duplicate ? 1 : 0;
  for (Interval& b : blocks) {
    b.left = std::max(b.left, snd_una_);
    if (b.right <= snd_nxt_) sacked_.add(b);
  }
}

void Endpoint::duplicate_ack() {
  ++counts_.duplicate_acks;
  ++dupacks_;
  if (mode_ == Mode::recovery && !sack_on_) {
    cwnd_ += segment_size();
  } else {
    enter_recovery_if_lost();
  }
}

void Endpoint::enter_recovery_if_lost() {
  if (mode_ != Mode::open || flight() == 0) return;
  const bool lost = sack_on_ ? lost_below() > snd_una_ : dupacks_ >= 3;
  // RFC 6582, 4: not for what an earlier recovery sent.
  if (!lost || snd_una_ < recover_) return;
  ++counts_.fast_retransmits;
  const size_t size = segment_size();
  mode_ = Mode::recovery;
  recover_ = snd_nxt_;
  ssthresh_ = std::max(flight() / 2, 2 * size);
  cwnd_ = ssthresh_ + (sack_on_ ? 0 : 3 * size);
  resent_to_ = snd_una_;
  resend_first_ = true;
}

void Endpoint::enter_loss() {
  tail_at_ = kNever;
  mode_ = Mode::loss;
  recover_ = snd_nxt_;
  resent_to_ = snd_una_;
  resend_first_ = false;
  dupacks_ = 0;
  timed_.reset();
  // RFC 2018, 8: a receiver that has let go of what it SACKed is believed no more.
  if (sacked_.at(snd_una_) != nullptr) sacked_.clear();
}

// RFC 6298, 2.
void Endpoint::measure(Duration rtt) {
  if (rtt.count() < 0) return;
  const Duration granule = std::max<Duration>(options_.timestamp_tick, 1ms);
  if (srtt_.count() == 0) {
    srtt_ = std::max<Duration>(rtt, 1ns);
    rttvar_ = rtt / 2;
  } else {
    const Duration off = srtt_ > rtt ? srtt_ - rtt : rtt - srtt_;
    rttvar_ = (3 * rttvar_ + off) / 4;
    srtt_ = std::max<Duration>((7 * srtt_ + rtt) / 8, 1ns);
  }
  rto_ = std::clamp(srtt_ + std::max(granule, 4 * rttvar_), options_.rto_min, options_.rto_max);
  backoff_ = 0;
}

// RFC 8985, 7.3: something new, or the last segment again; the ACK will say what is lost.
void Endpoint::probe_tail(Instant now) {
  if (mode_ != Mode::open || flight() == 0 || tail_probed_) return;
  ++counts_.tail_probes;
  tail_probed_ = true;
  if (!transmit_new(now)) {
    const Position left = cuts_.size() > 1 ? cuts_[cuts_.size() - 2] : snd_una_;
    send_range({std::max(left, snd_una_), snd_nxt_}, true, now);
  }
  rto_at_ = kNever;  // armed anew
}

void Endpoint::on_rto(Instant now) {
  ++counts_.rtos;
  ++tries_;
  ++backoff_;
  if (tries_ > options_.retries) {
    finish(End::timed_out, now);
    return;
  }
  if (!synchronized()) {
    timed_.reset();
    send_syn(now);
    return;
  }
  const size_t size = segment_size();
  if (mode_ != Mode::loss) ssthresh_ = std::max(flight() / 2, 2 * size);
  cwnd_ = size;
  last_rto_timestamp_ = timestamp(now);
  enter_loss();
}

// RFC 6675, IsLost: everything not SACKed below has three ranges, or more than two segments' worth
// of octets, SACKed above it.
Position Endpoint::lost_below() const {
  Position octets = 0;
  unsigned ranges = 0;
  const auto& all = sacked_.all();
  for (auto i = all.rbegin(); i != all.rend(); ++i) {
    octets += i->size();
    if (++ranges >= 3 || octets > 2 * static_cast<Position>(segment_size())) return i->left;
  }
  return snd_una_;
}

size_t Endpoint::pipe() const {
  const auto missing = [&](Position left, Position right) {
    return right > left ? right - left - sacked_.count({left, right}) : Position{0};
  };
  Position octets = 0;
  if (mode_ == Mode::loss) {
    octets = missing(snd_una_, std::min(resent_to_, recover_)) + missing(recover_, snd_nxt_);
  } else if (mode_ == Mode::recovery && sack_on_) {
    octets = missing(std::max(snd_una_, lost_below()), snd_nxt_) + missing(snd_una_, resent_to_);
  } else {
    octets = snd_nxt_ - snd_una_;
  }
  return static_cast<size_t>(octets);
}

// What to send again next; with `anything`, also what may only be late (RFC 6675, NextSeg rule 3).
std::optional<Interval> Endpoint::next_lost(bool anything) {
  const Position from = std::max(snd_una_, resent_to_);
  Position limit = snd_una_;
  if (mode_ == Mode::loss) {
    limit = std::min(recover_, snd_nxt_);
  } else if (mode_ == Mode::recovery && sack_on_) {
    limit = anything ? sacked_.end() : lost_below();
  }
  if (from >= limit) return std::nullopt;
  const Interval gap = sacked_.gap(from, limit);
  if (gap.left >= gap.right) return std::nullopt;
  return gap;
}

}  // namespace limpet::sim
