#include "check.h"

#include <algorithm>

namespace limpet::sim {

namespace {

std::string range(Position left, Position right) {
  return std::to_string(left) + ":" + std::to_string(right);
}

}  // namespace

void Checker::sent_timestamp(uint32_t value) {
  if (sent_timestamps_.empty() || sent_timestamps_.back() != value) {
    sent_timestamps_.push_back(value);
  }
}

void Checker::syn(const Segment& s) {
  if (s.options.scale && *s.options.scale > 14) note("window scale above 14 (RFC 7323, 2.3)");
  if (!s.data.empty()) note("SYN with data that nobody asked for");
}

void Checker::syn_ack(const Segment& s, const TcpOptions& offered) {
  syn(s);
  if (s.options.timestamps && !offered.timestamps) note("SYN-ACK with timestamps not offered");
  if (s.options.scale && !offered.scale) note("SYN-ACK with window scale not offered");
  if (s.options.sack_permitted && !offered.sack_permitted) note("SYN-ACK with SACK not offered");
  if (s.options.unknown > 0) note("SYN-ACK with options that we do not know");
}

void Checker::timestamps(const Segment& s, const Promises& p) {
  if (!s.options.timestamps) {
    if (p.timestamps) note("segment without timestamps (RFC 7323, 3.2): " + describe(s));
    return;
  }
  if (!p.timestamps) {
    note("timestamps were not agreed: " + describe(s));
    return;
  }
  const auto [value, echo] = *s.options.timestamps;
  // The list is sorted by the time of sending, which is the distance from its first.
  const uint32_t first = sent_timestamps_.empty() ? 0 : sent_timestamps_.front();
  if (!std::binary_search(sent_timestamps_.begin(), sent_timestamps_.end(), echo,
                          [&](uint32_t a, uint32_t b) { return a - first < b - first; })) {
    note("TSecr " + std::to_string(echo) + " was never sent: " + describe(s));
  }
  if (newest_timestamp_) {
    const auto back = static_cast<int32_t>(*newest_timestamp_ - value);
    const uint32_t most = rules_.in_order ? 0 : rules_.timestamps_may_go_back;
    if (back > 0 && static_cast<uint32_t>(back) > most) {
      note("TSval goes back by " + std::to_string(back) + ": " + describe(s));
    }
    if (back >= 0) return;
  }
  newest_timestamp_ = value;
}

void Checker::sack(const Segment& s, Position ack, const Promises& p) {
  const auto blocks = s.options.blocks();
  if (blocks.empty()) return;
  if (!p.sack) {
    note("SACK was not agreed: " + describe(s));
    return;
  }
  const auto position = [&](uint32_t edge) { return ack + static_cast<int32_t>(edge - s.ack); };
  std::vector<Interval> all;
  for (const SackBlock& b : blocks) all.push_back({position(b.left), position(b.right)});
  // RFC 2883: only the first may report duplicates, below the ACK or inside the second.
  const bool dsack = all[0].right <= ack ||
                     (all.size() > 1 && all[0].left >= all[1].left && all[0].right <= all[1].right);
  for (size_t i = 0; i < all.size(); ++i) {
    const std::string what = "SACK block " + range(all[i].left, all[i].right);
    if (all[i].left >= all[i].right) note(what + " is empty: " + describe(s));
    if (all[i].right > p.snd_nxt || all[i].left < 0) {
      note(what + " is outside of what was sent, 0:" + std::to_string(p.snd_nxt) + ": " +
           describe(s));
    } else if (all[i].left <= ack && !(i == 0 && dsack)) {
      note(what + " is not above ACK " + std::to_string(ack) + ": " + describe(s));
    }
  }
}

// A higher ACK was sent later than all lower ones, so its right edge is not below theirs; equal
// ACKs tell nothing unless nothing overtakes.
void Checker::edge(Position ack, uint32_t window, const std::string& what) {
  const Position right = ack + window;
  Position least = edge_below_;
  if (ack > highest_ack_) {
    edge_below_ = std::max(edge_below_, edge_at_);
    least = edge_below_;
    edge_at_ = right;
    highest_ack_ = ack;
  } else if (ack == highest_ack_) {
    if (rules_.in_order) least = std::max(least, edge_at_);
    edge_at_ = std::max(edge_at_, right);
  } else {
    return;
  }
  if (right < least && !rules_.windows_go_back && !(rules_.windows_close && window == 0)) {
    note("right window edge shrinks from " + std::to_string(least) + " to " +
         std::to_string(right) + ": " + what);
  }
}

void Checker::ends(const Segment& s, Position seq) {
  const Position end = seq + static_cast<Position>(s.data.size());
  if (fin_ && end > *fin_ && !s.data.empty()) {
    note("data behind the FIN at " + std::to_string(*fin_) + ": " + describe(s));
  }
  if (s.has(kFin)) {
    if (fin_ && *fin_ != end) {
      note("FIN moves from " + std::to_string(*fin_) + " to " + std::to_string(end));
    } else if (end < highest_) {
      note("FIN at " + std::to_string(end) + " below data up to " + std::to_string(highest_));
    }
    fin_ = end;
  }
  if (!s.data.empty()) highest_ = std::max(highest_, end);
}

void Checker::segment(const Segment& s, Position seq, Position ack, uint32_t window,
                      const Promises& p) {
  const auto length = static_cast<Position>(s.data.size());
  if (s.data.size() + s.option_bytes > p.mss) {
    note("segment of " + std::to_string(s.data.size()) + " octets and " +
         std::to_string(s.option_bytes) + " of options above the MSS of " + std::to_string(p.mss) +
         " that we announced: " + describe(s));
  }
  if (length > 0 && seq + length > p.rcv_edge && !(length == 1 && rules_.data_probes)) {
    note("data up to " + std::to_string(seq + length) + " beyond the window's edge " +
         std::to_string(p.rcv_edge) + ": " + describe(s));
  }
  if (seq < 0 || seq > p.rcv_edge + 2) {
    note("sequence number outside of everything, at " + std::to_string(seq) + ": " + describe(s));
  }
  timestamps(s, p);
  ends(s, seq);
  if (!s.has(kAck)) {
    note("segment without ACK: " + describe(s));
    return;
  }
  if (ack > p.snd_nxt || ack < 1) {
    note("ACK of " + std::to_string(ack) + ", which was never sent (up to " +
         std::to_string(p.snd_nxt) + "): " + describe(s));
    return;
  }
  sack(s, ack, p);
  if (rules_.no_window_at_the_end && p.fin_sent && ack == p.snd_nxt) return;
  edge(ack, window, describe(s));
}

void Checker::octets_differ(Position at, size_t length, Position rcv_nxt) {
  if (length == 1 && at < rcv_nxt && rules_.garbage_probes) return;
  if (at < rcv_nxt && rules_.old_octets_may_differ) return;
  note("octet " + std::to_string(at) + " is not what came there before, in a segment of " +
       std::to_string(length));
}

}  // namespace limpet::sim
