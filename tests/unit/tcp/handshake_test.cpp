// Both handshakes of a splice: what a SYN-ACK of ours promises, and what the backend is told of the
// client.
#include "limpet/tcp/handshake.h"

#include <gtest/gtest.h>

#include <string_view>

#include "limpet/wire/frame.h"

namespace limpet::tcp {
namespace {

using wire::tcp_flag;

constexpr uint8_t kSyn = tcp_flag::syn, kAck = tcp_flag::ack, kRst = tcp_flag::rst;

class HandshakeTest : public testing::Test, SpliceSink, SpliceEditor, HoldMemory {
 protected:
  void emit(SpliceFlow&, Side, const SegmentOut& s) override { last = s; }
  Shown show(SpliceFlow&, Side, std::span<const uint8_t> b, bool) override {
    return {static_cast<uint32_t>(b.size()), false};
  }
  std::span<uint8_t> take(uint32_t size) override { return {memory_, size}; }
  void give(std::span<uint8_t>) override {}
  uint32_t take_binding(SpliceFlow&) override { return 0; }
  void give_binding(uint32_t) override {}
  SpliceBinding& binding(uint32_t) override { return binding_; }
  void due(uint32_t, Instant) override {}

  static SegmentIn segment(uint8_t flags, uint32_t seq, uint32_t ack, std::string_view data = {}) {
    SegmentIn in;
    in.flags = flags;
    in.seq = Seq{seq};
    in.ack = Seq{ack};
    in.window = 1000;
    in.payload = {reinterpret_cast<const uint8_t*>(data.data()), data.size()};
    return in;
  }
  static SegmentIn syn() {
    SegmentIn in = segment(kSyn, 1000, 0);
    in.mss = 1400;
    in.window_scale = 6;
    in.sack_permitted = true;
    in.timestamps = {7, 0};
    return in;
  }
  Hearing hear(const SegmentIn& in) { return listener.hear(tuple, in, syn_ack, now); }
  // As far as the head of the client.
  void begin() {
    const SegmentOut a = hear(syn()).answer;
    SegmentIn in = segment(kAck, 1001, a.seq.value + 1, "GET\n");
    in.timestamps = {8, a.timestamps->value};
    const Hearing h = hear(in);
    ASSERT_EQ(h.what, Heard::open);
    ASSERT_TRUE(start(splice, flow, h.offer, syn_ack, in));
    ASSERT_TRUE(splice.collect(flow, in, now));
  }
  static SegmentIn backend_s_syn_ack() {
    SegmentIn in = segment(kSyn | kAck, 7000, 1001);
    in.mss = 1300;
    in.window_scale = 9;
    in.sack_permitted = true;
    in.timestamps = {300, 8};
    return in;
  }
  Connecting hear_backend(const SegmentIn& in) { return on_connecting(splice, flow, in, now); }

  EditPool edits{4096};
  CopyPool copies{1 << 20};
  Splice splice{edits, copies, *this, *this, *this};
  SpliceFlow flow;
  SynAckOptions syn_ack;
  const Tuple tuple{IpAddress::v4(192, 0, 2, 7), IpAddress::v4(10, 1, 0, 100), be16::from(40000),
                    be16::from(80)};
  Instant now{uint64_t{3600} * 1000000000u};
  Listener listener{HashKey{1, 2, 3}, 64, now};
  SegmentOut last;

 private:
  uint8_t memory_[65536];
  SpliceBinding binding_;
};

TEST_F(HandshakeTest, a_syn_ack_promises_what_was_offered_and_may_be_promised) {
  SegmentOut a = hear(syn()).answer;
  EXPECT_EQ(a.ack, Seq{1001});
  EXPECT_EQ(a.window_scale, 7);
  EXPECT_TRUE(a.sack_permitted);
  EXPECT_EQ(a.timestamps->echo, 7u);
  SegmentIn in = syn();
  in.sack_permitted = false;
  in.window_scale.reset();
  in.timestamps.reset();
  a = hear(in).answer;
  EXPECT_FALSE(a.window_scale);
  EXPECT_FALSE(a.sack_permitted);
  EXPECT_FALSE(a.timestamps);
  syn_ack.sack = syn_ack.scaling = syn_ack.timestamps = false;
  a = hear(syn()).answer;
  EXPECT_FALSE(a.window_scale);
  EXPECT_FALSE(a.sack_permitted);
  EXPECT_FALSE(a.timestamps);
}

TEST_F(HandshakeTest, the_backend_s_syn_is_the_client_s) {
  begin();
  flow.ends[1].right = flow.ends[1].map.ack() + 100000;
  const SegmentOut s = backend_syn(splice, flow, 1460);
  EXPECT_EQ(s.seq, Seq{1000});
  EXPECT_EQ(s.mss, 1400);
  EXPECT_EQ(s.window, 65535) << "never scaled in a SYN";
  EXPECT_EQ(s.window_scale, 6);
  EXPECT_TRUE(s.sack_permitted);
  EXPECT_EQ(s.timestamps->value, 8u);
  EXPECT_EQ(backend_syn(splice, flow, 1200).mss, 1200) << "what the path to us takes";
}

TEST_F(HandshakeTest, the_backend_s_options_count_from_its_syn_ack_on) {
  begin();
  EXPECT_EQ(hear_backend(backend_s_syn_ack()), Connecting::connected);
  EXPECT_EQ(flow.ends[1].most, 1300);
  EXPECT_EQ(flow.scale[1], 9);
  EXPECT_EQ(flow.advertised[1], 6);
  EXPECT_TRUE(flow.sack);
  EXPECT_EQ(last.seq, Seq{1001});
  EXPECT_EQ(last.ack, Seq{7001});
  EXPECT_EQ(last.timestamps->echo, 300u);
  EXPECT_EQ(flow.ends[0].right, Seq{2001}) << "the window of a SYN-ACK is not scaled";
}

TEST_F(HandshakeTest, a_backend_without_options_gets_none) {
  begin();
  SegmentIn in = backend_s_syn_ack();
  in.mss.reset();
  in.window_scale.reset();
  in.sack_permitted = false;
  in.timestamps.reset();
  EXPECT_EQ(hear_backend(in), Connecting::connected);
  EXPECT_EQ(flow.ends[1].most, 536);
  EXPECT_EQ(flow.scale[1], 0);
  EXPECT_EQ(flow.advertised[1], 0);
  EXPECT_FALSE(flow.sack);
  EXPECT_FALSE(last.timestamps);
}

TEST_F(HandshakeTest, a_refusal_must_acknowledge_our_syn) {
  begin();
  EXPECT_EQ(hear_backend(segment(kRst | kAck, 0, 1002)), Connecting::ignored);
  EXPECT_EQ(hear_backend(segment(kRst, 1001, 0)), Connecting::ignored);
  EXPECT_EQ(hear_backend(segment(kRst | kAck, 0, 1001)), Connecting::refused);
}

TEST_F(HandshakeTest, an_old_connection_of_the_backend_is_told_apart) {
  begin();
  EXPECT_EQ(hear_backend(segment(kAck, 7000, 555)), Connecting::stale);
  EXPECT_EQ(hear_backend(segment(kSyn | kAck, 7000, 555)), Connecting::stale);
  EXPECT_EQ(hear_backend(segment(kSyn, 7000, 0)), Connecting::ignored);
}

}  // namespace
}  // namespace limpet::tcp
