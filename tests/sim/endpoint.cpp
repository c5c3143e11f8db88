// An endpoint's life: opening, the app's calls, timers, closing.
#include "endpoint.h"

#include <algorithm>

#include "endpoint_busy.h"

namespace limpet::sim {

const char* name(State state) {
  static constexpr const char* kNames[] = {
      "closed",     "listen",  "syn_sent",  "syn_received", "established", "fin_wait_1",
      "fin_wait_2", "closing", "time_wait", "close_wait",   "last_ack"};
  return kNames[static_cast<size_t>(state)];
}

const char* name(End end) {
  static constexpr const char* kNames[] = {"none", "reset", "refused", "aborted", "timed_out"};
  return kNames[static_cast<size_t>(end)];
}

Endpoint::Endpoint(EndpointOptions options, App& app)
    : options_(std::move(options)), app_(app), checker_(options_.check), rto_(options_.rto_first) {}

void Endpoint::connect(Instant now) {
  const Busy busy(*this, now);
  active_ = true;
  state_ = State::syn_sent;
  snd_nxt_ = 1;
  send_syn(now);
}

void Endpoint::enter(State state, Instant now) {
  state_ = state;
  if (state == State::time_wait) {
    rto_at_ = tail_at_ = persist_at_ = keepalive_at_ = kNever;
    wait_at_ = now + options_.time_wait;
  }
}

void Endpoint::finish(End end, Instant now) {
  state_ = State::closed;
  end_ = end;
  rto_at_ = tail_at_ = persist_at_ = delack_at_ = keepalive_at_ = wait_at_ = reader_at_ =
      shrunk_until_ = kNever;
  ack_now_ = false;
  if (end != End::none) {
    app_.on_end(*this, now);
    return;
  }
  // What came stays readable when the connection is over.
  options_.read_every = Duration{};
  deliver(now);
}

void Endpoint::establish(Instant now) {
  state_ = State::established;
  cwnd_ = options_.initial_window * segment_size();
  recover_ = snd_una_;
  tries_ = backoff_ = 0;
  rto_at_ = kNever;
  if (options_.keepalive.count() > 0) keepalive_at_ = now + options_.keepalive;
  app_.on_open(*this, now);
}

Instant Endpoint::next_timer() const {
  if (state_ == State::closed) return kNever;
  Instant next = std::min({rto_at_, tail_at_, persist_at_, delack_at_, keepalive_at_, wait_at_,
                           reader_at_, shrunk_until_});
  if (const auto app = app_.next_timer()) next = std::min(next, *app);
  return next;
}

void Endpoint::on_timer(Instant now) {
  if (state_ == State::closed) return;
  const Busy busy(*this, now);
  const auto due = [now](Instant& timer) {
    if (timer > now) return false;
    timer = kNever;
    return true;
  };
  if (const auto app = app_.next_timer(); app && *app <= now) app_.on_timer(*this, now);
  if (due(reader_at_)) {
    read(options_.read_chunk, now);
    deliver(now);
  }
  if (due(shrunk_until_)) {
    shrink_at_ = rcv_nxt_ + static_cast<Position>(options_.shrink_every);
    ack_now_ = synchronized() && !peer_closed() && state_ != State::time_wait;
  }
  if (due(delack_at_)) {
    ++counts_.delayed_acks;
    ack_now_ = true;
  }
  if (due(tail_at_)) probe_tail(now);
  if (due(rto_at_)) on_rto(now);
  if (due(persist_at_)) probe_window(now);
  if (due(keepalive_at_)) probe_idle(now);
  if (due(wait_at_)) finish(End::none, now);
}

// RFC 9293, 3.8.4: at snd_una - 1, which the peer has acknowledged, so it answers.
void Endpoint::probe_idle(Instant now) {
  const bool open = state_ == State::established || state_ == State::close_wait;
  if (!open || closing_) return;
  const Instant due = last_heard_ + options_.keepalive;
  if (flight() > 0 || buffered() > 0 || (now < due && keepalives_unanswered_ == 0)) {
    keepalive_at_ = std::max(due, now + options_.keepalive);
    return;
  }
  if (++keepalives_unanswered_ > 9) {
    send_reset(wire(snd_nxt_), now);
    finish(End::timed_out, now);
    return;
  }
  ++counts_.keepalives;
  static constexpr uint8_t kGarbage[1] = {0x5a};
  Segment s = blank(kAck, snd_una_ - 1, now);
  if (options_.keepalive_garbage) s.data = kGarbage;
  emit_segment(s);
  keepalive_at_ = now + options_.keepalive_again;
}

size_t Endpoint::write(std::span<const uint8_t> data, Instant now) {
  const Busy busy(*this, now);
  if (closing_ || state_ == State::closed) return 0;
  const size_t n = std::min(room(), data.size());
  unacked_.insert(unacked_.end(), data.begin(), data.begin() + static_cast<ptrdiff_t>(n));
  if (n < data.size()) told_room_ = false;
  return n;
}

void Endpoint::close(Instant now) {
  const Busy busy(*this, now);
  if (closing_ || state_ == State::closed) return;
  if (!synchronized()) {
    if (state_ != State::syn_received) finish(End::aborted, now);
    return;
  }
  closing_ = true;
  if (state_ == State::established) enter(State::fin_wait_1, now);
  if (state_ == State::close_wait) enter(State::last_ack, now);
}

void Endpoint::abort(Instant now) {
  if (state_ == State::closed) return;
  if (synchronized() || state_ == State::syn_received) send_reset(wire(snd_nxt_), now);
  finish(End::aborted, now);
}

void Endpoint::pause_reading(bool paused, Instant now) {
  const Busy busy(*this, now);
  paused_ = paused;
  if (!paused) deliver(now);
}

void Endpoint::read(size_t most, Instant now) {
  if (paused_) return;
  const std::span<const uint8_t> data = in_.read(most);
  if (!data.empty()) app_.on_data(*this, data, now);
}

void Endpoint::deliver(Instant now) {
  if (paused_) return;
  if (options_.read_every.count() == 0) {
    read(~size_t{0}, now);
  } else if (in_.unread() > 0 && reader_at_ == kNever) {
    reader_at_ = now + options_.read_every;
  }
  if (peer_closed() && in_.unread() == 0 && !peer_close_told_) {
    peer_close_told_ = true;
    app_.on_peer_close(*this, now);
  }
}

bool Endpoint::yields_to(const Segment& syn) const {
  if (state_ != State::time_wait || !syn.only(kSyn | kAck | kRst | kFin, kSyn)) return false;
  const bool stamps = timestamps_on_ && syn.options.timestamps;
  const int32_t newer =
      stamps ? static_cast<int32_t>(syn.options.timestamps->value - ts_recent_) : 0;
  if (newer < 0) return false;
  const uint32_t expected = irs_ + static_cast<uint32_t>(rcv_nxt_);
  return static_cast<int32_t>(syn.seq - expected) > 0 || newer > 0;
}

std::string Endpoint::describe() const {
  static constexpr const char* kModes[] = {"open", "recovery", "loss"};
  const auto number = [](auto n) { return std::to_string(n); };
  std::string text = std::string(name(state_)) + " end " + name(end_) + " una " + number(snd_una_) +
                     " nxt " + number(snd_nxt_) + " edge " + number(snd_edge_) + " written " +
                     number(write_end()) + " rcv " + number(rcv_nxt_) + " edge " +
                     number(rcv_edge_) + " unread " + number(in_.unread()) + " cwnd " +
                     number(cwnd_) + " pipe " + number(pipe()) + " " +
                     kModes[static_cast<size_t>(mode_)] + " resent " + number(resent_to_) +
                     " recover " + number(recover_) + " backoff " + number(backoff_);
  for (const Interval& i : sacked_.all()) {
    text += " sacked " + number(i.left) + ":" + number(i.right);
  }
  for (const Interval& i : in_.beyond().all()) {
    text += " beyond " + number(i.left) + ":" + number(i.right);
  }
  return text;
}

}  // namespace limpet::sim
