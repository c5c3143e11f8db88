// A model of one TCP connection's end, for simulations: RFC 9293 with the options of RFC 7323, SACK
// and D-SACK (RFC 2018, 2883), NewReno and SACK recovery (RFC 5681, 6582, 6675), RTO (RFC 6298) and
// the checks of RFC 5961, as strict as Linux where Linux is strict. Deterministic: the time is
// told, nothing is random. Sequence numbers are 64-bit positions inside and become 32 bits on the
// wire.
//
// It is a test's oracle as well: Checker holds what it receives against what it promised.
//
// Drive it: connect() or listen(), then on_segment() for what arrives and on_timer() when
// next_timer() is due; after each call take() what it wants to send.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "app.h"
#include "check.h"
#include "counts.h"
#include "intervals.h"
#include "limpet/base/time.h"
#include "packet.h"
#include "receive_queue.h"

namespace limpet::sim {

using namespace std::chrono_literals;

struct EndpointOptions {
  IpAddress local, remote;
  uint16_t local_port = 0, remote_port = 0;
  MacAddress local_mac, remote_mac;

  uint32_t isn = 1000;
  uint16_t mss = 1460;    // that we announce: what the peer may send
  bool announces = true;  // it; else the peer must know (RFC 9293, 3.7.1)
  uint16_t mtu = 1500;    // of our interface: what we may send
  std::optional<uint8_t> scale = 7;
  bool sack = true;
  bool timestamps = true;
  uint32_t timestamp_start = 1;  // at time 0
  Duration timestamp_tick = 1ms;

  unsigned initial_window = 10;  // segments (RFC 6928)
  size_t send_buffer = size_t{1} << 20;
  size_t receive_buffer = 65536;
  size_t read_chunk = 0;  // the slow reader: so many octets...
  Duration read_every{};  // ...at these intervals; 0: everything at once
  // Each time that so many octets have come the window is taken back for a while; 0: never.
  size_t shrink_every = 0;
  size_t shrunk_to = 0;
  Duration shrunk_for{};
  bool nagle = true;
  bool tail_probes = false;  // RFC 8985, 7: what was sent last is sent again before the time-out
  bool delayed_ack = true;
  bool coalesce = true;            // retransmissions are cut anew; else as they were sent
  bool persist_with_data = false;  // one octet beyond the window (RFC 9293); else Linux' una - 1
  Duration keepalive{};            // idle time before a probe; 0: none
  Duration keepalive_again = 1s;   // between probes that nobody answers
  bool keepalive_garbage = false;  // with RFC 1122's octet

  Duration rto_first = 1s, rto_min = 200ms, rto_max = 120s;
  unsigned retries = 15;
  Duration delayed_ack_time = 40ms;
  Duration time_wait = 60s;
  Duration challenge_limit = 500ms;  // between ACKs that answer what is not acceptable (Linux)
  CheckRules check;
};

enum class State : uint8_t {
  closed,
  listen,
  syn_sent,
  syn_received,
  established,
  fin_wait_1,
  fin_wait_2,
  closing,
  time_wait,
  close_wait,
  last_ack,
};
const char* name(State state);

enum class End : uint8_t {
  none,       // still there, or closed by both sides
  reset,      // by the peer
  refused,    // RST for our SYN
  aborted,    // by us
  timed_out,  // nobody answered
};
const char* name(End end);

class Endpoint {
 public:
  static constexpr Instant kNever{~uint64_t{0}};

  Endpoint(EndpointOptions options, App& app);

  void connect(Instant now);
  void listen() { state_ = State::listen; }
  void on_segment(const Segment& s, Instant now);
  void on_too_big(const TooBig& t, Instant now);
  Instant next_timer() const;  // kNever: none
  void on_timer(Instant now);

  // For the app; from its callbacks or from outside.
  size_t write(std::span<const uint8_t> data, Instant now);  // what there was room for
  size_t room() const { return options_.send_buffer - std::min(options_.send_buffer, buffered()); }
  void close(Instant now);  // FIN behind everything written; reading goes on
  void abort(Instant now);  // RST
  void pause_reading(bool paused, Instant now);

  std::vector<Bytes> take() { return std::exchange(out_, {}); }
  bool quiet() const { return out_.empty(); }

  State state() const { return state_; }
  End end() const { return end_; }
  bool gone() const { return state_ == State::closed; }
  // Nothing more will come from here unless the peer asks again, and the app has read everything.
  bool done() const {
    return state_ == State::closed || (state_ == State::time_wait && in_.unread() == 0);
  }
  std::span<const uint8_t> received() const { return in_.stream(); }
  bool peer_closed() const { return peer_fin_ && rcv_nxt_ > *peer_fin_; }
  bool all_acknowledged() const { return snd_una_ == snd_nxt_ && snd_una_ == write_end(); }
  // Linux' rule for a SYN in TIME_WAIT (tcp_timewait_state_process); RFC 9293, 3.10.7.4.
  bool yields_to(const Segment& syn) const;

  const EndpointOptions& options() const { return options_; }
  const Counts& counts() const { return counts_; }
  const std::vector<std::string>& violations() const { return checker_.violations(); }
  Checker& checker() { return checker_; }
  // "established una 1 nxt 101 rcv 51 cwnd 14600 ...": for traces and failures.
  std::string describe() const;

  // Looking inside, for tests. Positions are relative: the first octet is 1.
  Position snd_una() const { return snd_una_; }
  Position snd_nxt() const { return snd_nxt_; }
  Position rcv_nxt() const { return rcv_nxt_; }
  Position rcv_edge() const { return rcv_edge_; }
  uint32_t expected() const { return irs_ + static_cast<uint32_t>(rcv_nxt_); }
  size_t cwnd() const { return cwnd_; }
  size_t segment_size() const;  // octets of data that fit in a segment without SACK blocks
  Duration rto() const { return rto_; }
  bool timestamps_agreed() const { return timestamps_on_; }
  bool sack_agreed() const { return sack_on_; }
  std::pair<uint8_t, uint8_t> scales() const { return {snd_scale_, rcv_scale_}; }

 private:
  enum class Mode : uint8_t { open, recovery, loss };
  class Busy;  // callbacks do not send; the call that caused them does, at its end

  // endpoint.cpp: life
  void enter(State state, Instant now);
  void finish(End end, Instant now);
  void establish(Instant now);
  void read(size_t most, Instant now);
  void deliver(Instant now);
  void probe_idle(Instant now);

  // endpoint_input.cpp: what arrives
  void in_listen(const Segment& s, Instant now);
  void in_syn_sent(const Segment& s, Instant now);
  bool in_syn_received(const Segment& s, Instant now);
  void in_open(const Segment& s, Instant now);
  bool acceptable(const Segment& s, Position seq, Instant now);
  void on_reset(Position seq, Instant now);
  bool on_ack(const Segment& s, Position seq, Instant now);
  void on_data(const Segment& s, Position seq, Instant now);
  void fin_arrived(Instant now);
  void our_fin_acknowledged(Instant now);
  void learn(const Segment& syn);
  bool old_timestamp(const Segment& s, Position seq) const;
  void challenge(Instant now);
  void answer(const Segment& s, Position seq, Instant now);
  bool limited(Instant now);
  Promises promises() const;

  // endpoint_output.cpp: what leaves
  Segment blank(uint8_t flags, Position seq, Instant now);
  void add_sacks(TcpOptions& options);
  void emit_segment(const Segment& s);
  void send_syn(Instant now);
  void send_ack(Instant now);
  void send_reset(uint32_t seq, Instant now);
  void send_range(Interval range, bool again, Instant now);
  uint16_t advertise(bool syn);
  bool update_due() const;
  void take_window_back(Instant now);
  void transmit(Instant now);
  bool transmit_new(Instant now);
  void arm(Instant now);
  void probe_window(Instant now);
  void flush(Instant now);
  size_t option_room() const;

  // endpoint_recovery.cpp: what is lost, and how much may be under way
  void acknowledged(Position ack, const Segment& s, Instant now);
  void duplicate_ack();
  void learn_sacks(const Segment& s, Position ack);
  void enter_recovery_if_lost();
  void enter_loss();
  void measure(Duration rtt);
  Position lost_below() const;
  size_t pipe() const;
  std::optional<Interval> next_lost(bool anything);
  void on_rto(Instant now);
  void probe_tail(Instant now);
  Interval cut(Position from, Position limit) const;

  Position rcv_position(uint32_t seq) const {
    return rcv_nxt_ + static_cast<int32_t>(seq - (irs_ + static_cast<uint32_t>(rcv_nxt_)));
  }
  Position snd_position(uint32_t ack) const {
    return snd_una_ + static_cast<int32_t>(ack - (options_.isn + static_cast<uint32_t>(snd_una_)));
  }
  uint32_t wire(Position p) const { return options_.isn + static_cast<uint32_t>(p); }
  uint64_t ticks(Instant now) const {
    return now.ns / static_cast<uint64_t>(options_.timestamp_tick.count());
  }
  uint32_t timestamp(Instant now) const {
    return options_.timestamp_start + static_cast<uint32_t>(ticks(now));
  }
  size_t buffered() const { return unacked_.size() - unacked_head_; }
  // One behind the last octet written; a FIN stands there.
  Position data_end() const { return buffer_start_ + static_cast<Position>(buffered()); }
  Position write_end() const { return data_end() + (closing_ ? 1 : 0); }
  size_t flight() const { return static_cast<size_t>(snd_nxt_ - snd_una_); }
  bool synchronized() const { return state_ >= State::established; }
  bool may_send() const { return synchronized() && state_ != State::time_wait; }

  EndpointOptions options_;
  App& app_;
  Checker checker_;
  Counts counts_;
  State state_ = State::closed;
  End end_ = End::none;
  std::vector<Bytes> out_;
  int busy_ = 0;
  bool told_room_ = true;  // the app knows that there is room

  // Agreed in the handshake.
  bool timestamps_on_ = false, sack_on_ = false;
  uint8_t snd_scale_ = 0, rcv_scale_ = 0;
  uint16_t peer_mss_ = 536;
  uint32_t irs_ = 0;
  bool active_ = false;
  bool scale_on_ = false;
  bool irs_known_ = false;
  std::vector<uint32_t> syn_timestamps_;  // of our SYNs or SYN-ACKs

  // Sending.
  Bytes unacked_;  // from buffer_start_, behind unacked_head_
  size_t unacked_head_ = 0;
  Position buffer_start_ = 1;
  Position snd_una_ = 0, snd_nxt_ = 0;
  Position snd_edge_ = 0;        // right edge of the peer's window
  uint32_t largest_window_ = 0;  // that the peer ever offered
  Position wl1_ = 0, wl2_ = 0;
  bool closing_ = false;       // the app has closed: a FIN at data_end()
  std::deque<Position> cuts_;  // ends of segments as they were sent
  bool probe_out_ = false;     // an octet beyond the closed window

  // Recovery.
  Mode mode_ = Mode::open;
  size_t cwnd_ = 0, ssthresh_ = ~size_t{0};
  IntervalSet sacked_;
  unsigned dupacks_ = 0;
  Position recover_ = 0;    // snd_nxt when recovery or loss began
  Position resent_to_ = 0;  // everything lost below was sent again
  bool resend_first_ = false;
  Duration rto_{}, srtt_{}, rttvar_{};
  unsigned backoff_ = 0, tries_ = 0;
  uint32_t last_rto_timestamp_ = 0;
  std::optional<std::pair<Position, Instant>> timed_;  // one octet's way there and back

  // Receiving.
  ReceiveQueue in_;
  Position rcv_nxt_ = 0, rcv_edge_ = 0;
  Position furthest_edge_ = 0;  // that was ever advertised
  Position shrink_at_ = 0;
  Instant shrunk_since_{}, shrunk_until_ = kNever;
  std::optional<Position> peer_fin_;
  bool peer_close_told_ = false;
  bool paused_ = false;
  uint32_t ts_recent_ = 0;
  Position last_ack_sent_ = 0;
  std::optional<Interval> dsack_;
  bool ack_now_ = false;
  size_t unacked_octets_ = 0;  // received and not acknowledged yet
  size_t largest_segment_ = 0;
  Instant last_challenge_ = kNever;
  bool window_was_open_ = true;

  Instant last_heard_{};
  unsigned keepalives_unanswered_ = 0;
  bool tail_probed_ = false;  // since the last ACK of something new
  Instant rto_at_ = kNever, tail_at_ = kNever, persist_at_ = kNever, delack_at_ = kNever,
          keepalive_at_ = kNever, wait_at_ = kNever, reader_at_ = kNever;
};

}  // namespace limpet::sim
