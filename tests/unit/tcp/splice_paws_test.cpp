// Old timestamps (RFC 7323, 5): what their receiver discards moves nothing, and what is only late
// passes. A clock of one tick a segment, as of a kernel with a tick of a millisecond.
#include "splice_fixture.h"

namespace limpet::tcp {
namespace {

class SplicePaws : public SpliceTest {
 protected:
  SplicePaws() {
    flow.timestamps[0] = flow.timestamps[1] = true;
    open(kClient);
    open(kBackend);
  }
  static SegmentIn at(uint32_t tsval, uint32_t seq, std::string_view data, uint8_t flags = kAck) {
    SegmentIn in = segment(seq, 5001, data, flags);
    in.timestamps = {tsval, 50};
    return in;
  }
  static SegmentIn acked(uint32_t ack) {
    SegmentIn in = segment(7001, ack);
    in.timestamps = {70, 1};
    return in;
  }
  bool old(const SegmentIn& in) { return relay(kClient, in).reason == Drop::old_timestamp; }
};

TEST_F(SplicePaws, no_two_segments_of_a_flight_harm_each_other) {
  constexpr uint32_t kFlight = 10;
  uint32_t begin = 1001, clock = 0xfffffff0u;
  for (uint32_t i = 0; i < kFlight; ++i)
    for (uint32_t j = i; j < kFlight; ++j) {
      for (uint32_t n = 0; n < kFlight; ++n) {
        const uint32_t k = n == i ? j : n == j ? i : n;
        ASSERT_FALSE(old(at(clock + k, begin + 4 * k, "data"))) << i << " and " << j;
      }
      begin += 4 * kFlight;
      clock += kFlight;
      relay(kBackend, acked(begin));
    }
}

TEST_F(SplicePaws, older_than_what_its_receiver_has_moves_nothing) {
  EXPECT_FALSE(old(at(1000, 1001, "abcd")));
  relay(kBackend, acked(1005));
  EXPECT_FALSE(old(at(1010, 1005, "efgh")));
  const Seq edge = flow.ends[1].right;
  SegmentIn in = at(1008, 1009, "ijkl");
  in.window = 65535;
  in.ack = Seq{5001};
  EXPECT_TRUE(old(in));
  ASSERT_EQ(out.size(), 1u) << "it is answered (RFC 7323, 5.3, R1)";
  EXPECT_EQ(out[0].to, kClient);
  EXPECT_EQ(flow.ends[1].right, edge) << "not even its window counts";
  EXPECT_EQ(flow.ends[0].map.emitted(), Seq{1009});
  EXPECT_TRUE(old(at(1000, 1009, "", kFin)));
  EXPECT_FALSE(old(at(1011, 1009, "ijkl")));
}

TEST_F(SplicePaws, what_linux_lets_pass_passes) {
  EXPECT_FALSE(old(at(1000, 1001, "abcd")));
  EXPECT_FALSE(old(at(999, 1005, "efgh"))) << "one tick";
  EXPECT_TRUE(old(at(998, 1009, "ijkl")));
  EXPECT_FALSE(old(at(10, 1009, ""))) << "an ACK that says nothing new";
  EXPECT_FALSE(old(segment(1009, 5001, "ijkl"))) << "no option";
  EXPECT_NE(relay(kClient, at(10, 1013, "", tcp_flag::rst)).fate, Fate::dropped);
}

TEST_F(SplicePaws, an_old_ack_that_says_something_new_is_not_believed) {
  EXPECT_FALSE(old(at(1000, 1001, "abcd")));
  SegmentIn data = segment(7001, 1001, "hello");
  data.timestamps = {70, 1000};
  relay(kBackend, data);
  SegmentIn in = at(900, 1005, "");
  in.ack = Seq{5006};
  EXPECT_TRUE(old(in));
  EXPECT_TRUE(out.empty()) << "two who disagree would go on for ever";
  EXPECT_EQ(flow.ends[1].map.ack(), Seq{5001});
}

TEST_F(SplicePaws, a_zero_is_no_clock) {
  EXPECT_FALSE(old(at(0, 1001, "abcd")));
  EXPECT_FALSE(old(at(0xf0000000u, 1005, "efgh")));
}

TEST_F(SplicePaws, both_sides_have_their_own_clock) {
  EXPECT_FALSE(old(at(1000, 1001, "abcd")));
  SegmentIn in = segment(7001, 1001, "hello");
  in.timestamps = {70, 1};
  EXPECT_EQ(relay(kBackend, in).fate, Fate::in_place);
  in.timestamps = {60, 1};
  in.seq = Seq{7006};
  EXPECT_EQ(relay(kBackend, in).reason, Drop::old_timestamp);
}

}  // namespace
}  // namespace limpet::tcp
