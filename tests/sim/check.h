// What a peer is held to: faults of whoever made or translated the segments that an endpoint
// receives, each with a text. Knows what the endpoint promised and sent, and judges only what no
// correct peer and no lossy network can produce; an endpoint goes on as its RFC says either way.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "intervals.h"
#include "packet.h"

namespace limpet::sim {

struct CheckRules {
  // Nothing on the way overtakes: TSvals and window edges may then never go back at all.
  bool in_order = false;
  // Else, how far back in ticks of the peer's clock a TSval may lie behind the newest.
  uint32_t timestamps_may_go_back = 1u << 30;
  // The peer sends RFC 1122's garbage octet in keep-alive probes.
  bool garbage_probes = false;
  // The peer says other octets than before of what has come: nobody reads them.
  bool old_octets_may_differ = false;
  // The peer probes a closed window with an octet of data.
  bool data_probes = true;
  // The peer takes windows back.
  bool windows_go_back = false;
  // A window of zero is told whatever somebody in between has promised, or rounded up to its unit.
  bool windows_close = false;
  // What the peer tells of its window once it has our FIN means nothing: Linux does so in one of
  // sixty connections without window scaling, in the ACK of TIME-WAIT.
  bool no_window_at_the_end = false;
  // The network damages frames, so wrong checksums are no fault.
  bool corruption = false;
};

// What an endpoint knows when it looks at a segment.
struct Promises {
  bool timestamps = false;       // negotiated
  bool sack = false;             // negotiated
  size_t mss = 536;              // that we announced
  Position snd_una = 0;          //
  Position snd_nxt = 0;          // one behind the last octet (or FIN) that we sent
  bool fin_sent = false;         // and it was the FIN
  Position rcv_nxt = 0;          //
  Position rcv_edge = 0;         // furthest right edge that we advertised
  uint32_t first_timestamp = 0;  // TSvals that we sent
  uint32_t last_timestamp = 0;   //
};

class Checker {
 public:
  explicit Checker(CheckRules rules) : rules_(rules) {}

  void note(std::string text) {
    ++faults_;
    if (violations_.size() < 20) violations_.push_back(std::move(text));
  }
  const std::vector<std::string>& violations() const { return violations_; }
  const CheckRules& rules() const { return rules_; }

  void syn(const Segment& syn);
  // A SYN-ACK against the SYN that it answers.
  void syn_ack(const Segment& synack, const TcpOptions& offered);
  // A segment of an open connection. `seq` and `ack` are its positions; `window` is scaled.
  void segment(const Segment& s, Position seq, Position ack, uint32_t window, const Promises& p);
  void octets_differ(Position at, size_t length, Position rcv_nxt);
  void edge_from_syn(Position ack, uint32_t window) { edge(ack, window, ""); }
  void timestamp_from_syn(uint32_t value) { newest_timestamp_ = value; }
  // What the endpoint sent: echoes must be among them.
  void sent_timestamp(uint32_t value);

 private:
  void timestamps(const Segment& s, const Promises& p);
  void sack(const Segment& s, Position ack, const Promises& p);
  void edge(Position ack, uint32_t window, const std::string& what);
  void ends(const Segment& s, Position seq);

  CheckRules rules_;
  std::vector<std::string> violations_;
  uint64_t faults_ = 0;
  std::vector<uint32_t> sent_timestamps_;  // in the order of sending, each once
  std::optional<uint32_t> newest_timestamp_;
  std::optional<Position> fin_;
  Position highest_ = 0;  // end of the furthest octet seen
  // Right edges of the window: of the highest ACK, and of all lower ones.
  Position highest_ack_ = -1;
  Position edge_at_ = 0, edge_below_ = 0;
};

}  // namespace limpet::sim
