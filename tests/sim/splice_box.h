// A box with the product's splice in it, but without worker, tables and HTTP: one connection, a
// place among the half-open ones or a cookie for the client, and edits at places that a seed draws
// in both streams. So every rule of the splice meets every kind of loss, at many seeds a second.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "limpet/tcp/handshake.h"
#include "limpet/tcp/splice.h"
#include "middlebox.h"
#include "random.h"
#include "scenario.h"
#include "timestamp_watch.h"

namespace limpet::sim {

// What is to happen to a stream: heads, which are final as a whole only, and bodies, which pass;
// edits lie within heads. Offsets in the original stream.
struct EditPlan {
  struct Edit {
    uint32_t at = 0, removed = 0;
    Bytes text;
  };
  struct Head {
    uint32_t begin = 0, end = 0;
    std::vector<Edit> edits;
  };
  std::vector<Head> heads;  // behind the last the stream is open
  // `first`: most of the first head; `total`: octets of the stream.
  static EditPlan draw(Random& random, uint32_t first, uint32_t total);
  Bytes apply(uint64_t stream, size_t total) const;
};

class SpliceBox : public Middlebox, tcp::SpliceSink, tcp::SpliceEditor, tcp::HoldMemory {
 public:
  SpliceBox(const Scenario& scenario, EditPlan up, EditPlan down);
  ~SpliceBox() override;

  std::vector<Frame> on_frame(uint16_t port, Bytes bytes, Instant now) override;
  std::optional<Instant> next_timer() const override;
  std::vector<Frame> on_timer(Instant now) override;
  bool judges() const override { return true; }

  tcp::SpliceCounters counters() const { return splice_.counters(); }
  // Octets of the client's stream before this one are final.
  uint32_t judged() const;
  uint64_t syns_again = 0;
  uint64_t in_place = 0, edits_made = 0, told_too_big = 0;
  uint16_t port_mtu[2] = {9000, 9000};  // towards client and server
  uint64_t early = 0;      // segments of a handshake under way that came before the first
  uint64_t strangers = 0;  // segments of the client's, before there was a flow, that would be reset
  // Once the connection is over: everything that it used has come back.
  std::string leaks();

 private:
  void emit(tcp::SpliceFlow& flow, tcp::Side to, const tcp::SegmentOut& segment) override;
  uint32_t most(const tcp::SpliceFlow&, tcp::Side to) override {
    return port_mtu[tcp::index_of(to)] - headers();
  }
  uint32_t headers() const { return scenario_.v6 ? 60 : 40; }
  tcp::Shown show(tcp::SpliceFlow& flow, tcp::Side from, std::span<const uint8_t> bytes,
                  bool fin) override;
  std::span<uint8_t> take(uint32_t size) override;
  void give(std::span<uint8_t> memory) override;
  uint32_t take_binding(tcp::SpliceFlow& flow) override;
  void give_binding(uint32_t binding) override;
  tcp::SpliceBinding& binding(uint32_t) override { return binding_; }
  void due(uint32_t, Instant) override {}

  void tcp_segment(tcp::Side from, Segment& s, const Bytes& frame, Instant now);
  std::vector<Frame> leave();
  void no_flow(const Segment& s, const tcp::SegmentIn& in, Instant now);
  void send_syn(Instant now);
  void too_big(tcp::Side to, const TooBig& t);
  Segment towards(tcp::Side to) const;

  Scenario scenario_;
  tcp::EditPool edits_{1 << 20};
  tcp::CopyPool copies_;
  tcp::Splice splice_;
  std::optional<tcp::Listener> listener_;
  tcp::SynAckOptions syn_ack_;
  EditPlan plan_[2];
  size_t head_[2] = {0, 0};  // the next one of the plan
  tcp::Seq start_[2];        // number of each stream's first octet
  std::vector<std::unique_ptr<uint8_t[]>> memory_;

  enum class Phase { none, head, connecting, established } phase_ = Phase::none;
  tcp::SpliceFlow flow_;
  tcp::SpliceBinding binding_;
  bool work_used_ = false;
  Instant syn_at_{};
  Duration syn_wait_ = std::chrono::milliseconds(200);
  IpAddress client_, server_;
  uint16_t client_port_ = 0, server_port_ = 0;
  std::vector<Frame> out_;
  TimestampWatch watch_;
  std::string larger_;  // than its port takes
};

}  // namespace limpet::sim
