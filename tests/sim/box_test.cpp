// Endpoints and checker through translations: right ones pass whole seeds, and each fault that a
// splice could have is caught, with the words that say what was wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "boxes.h"
#include "scenario.h"

namespace limpet::sim {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using Verdict = ShiftingBox::Verdict;
using Passing = ShiftingBox::Passing;

constexpr Shifts kShifts{0x12345678, 0xfedcba98, 0x80000000, 77};

// 64 kB each way over a calm network that keeps the order.
Scenario calm() {
  Scenario s;
  s.seed = 1;
  for (EndpointOptions* o : {&s.client, &s.server}) {
    o->isn = 0xffff8000;
    o->check.in_order = true;
    o->check.data_probes = false;
  }
  s.client_app.sends = s.server_app.expects = 1;
  s.server_app.sends = s.client_app.expects = 2;
  s.client_app.close = s.server_app.close = PatternOptions::Close::when_received;
  s.limit = std::chrono::minutes(10);
  return s;
}

Scenario with_loss(unsigned per_mille) {
  Scenario s = calm();
  s.client_up.loss = s.client_down.loss = per_mille;
  return s;
}

std::vector<std::string> failures(const Scenario& s, ShiftingBox box) {
  return run(s, box).failures;
}

TEST(Boxes, right_translation_of_a_calm_connection_passes) {
  EXPECT_THAT(failures(calm(), ShiftingBox(kShifts)), IsEmpty());
  EXPECT_THAT(failures(with_loss(100), ShiftingBox(kShifts)), IsEmpty());
}

TEST(Boxes, right_translation_of_seeds_passes) {
  Counts counts;
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    Random r(seed ^ 99);
    const auto any = [&] { return static_cast<uint32_t>(r.next()); };
    ShiftingBox box({any(), any(), any(), any()});
    const Scenario s = derive(seed);
    const Outcome outcome = run(s, box);
    EXPECT_THAT(outcome.failures, IsEmpty()) << s.describe();
    counts += outcome.counts;
  }
  EXPECT_GT(counts.sack_blocks_received, 0u);
  EXPECT_GT(counts.dsacks_received, 0u);
  EXPECT_GT(counts.mtu_reductions, 0u);
}

TEST(Boxes, an_octet_changed_under_a_right_checksum_is_caught) {
  Bytes changed;
  const auto fault = [&](Passing& p) {
    if (p.from_client && p.number == 20 && !p.segment.data.empty()) {
      changed.assign(p.segment.data.begin(), p.segment.data.end());
      changed.back() ^= 1;
      p.segment.data = changed;
    }
    return Verdict::pass;
  };
  EXPECT_THAT(failures(calm(), ShiftingBox({}, fault)), Contains(HasSubstr("of the stream is")));
}

TEST(Boxes, an_octet_changed_in_a_second_copy_only_is_caught) {
  // The server has the octets already, so its stream is right: only the comparison can tell.
  uint32_t highest = 0;
  bool seen = false;
  Bytes changed;
  const auto fault = [&](Passing& p) {
    if (!p.from_client || p.segment.data.empty()) return Verdict::pass;
    const uint32_t end = p.segment.seq + static_cast<uint32_t>(p.segment.data.size());
    if (seen && static_cast<int32_t>(end - highest) <= 0) {
      changed.assign(p.segment.data.begin(), p.segment.data.end());
      changed.front() ^= 0x80;
      p.segment.data = changed;
    } else {
      highest = end;
    }
    seen = true;
    return Verdict::pass;
  };
  Scenario s = calm();
  s.client_up.duplicate = 200;
  s.server.check.in_order = false;
  EXPECT_THAT(failures(s, ShiftingBox({}, fault)),
              Contains(HasSubstr("is not what came there before")));
}

TEST(Boxes, sack_edges_that_were_not_translated_are_caught) {
  ShiftingBox box(kShifts);
  box.translate_sack = false;
  EXPECT_THAT(failures(with_loss(50), box), Contains(HasSubstr("outside of what was sent")));
}

TEST(Boxes, an_empty_sack_block_is_caught) {
  const auto fault = [](Passing& p) {
    if (p.segment.options.sacks > 0) {
      p.segment.options.sack[0].right = p.segment.options.sack[0].left;
    }
    return Verdict::pass;
  };
  EXPECT_THAT(failures(with_loss(50), ShiftingBox({}, fault)), Contains(HasSubstr("is empty")));
}

TEST(Boxes, a_sack_block_at_the_ack_itself_is_caught) {
  const auto fault = [](Passing& p) {
    if (p.segment.options.sacks == 1) p.segment.options.sack[0].left = p.segment.ack;
    return Verdict::pass;
  };
  EXPECT_THAT(failures(with_loss(50), ShiftingBox({}, fault)),
              Contains(HasSubstr("not above ACK")));
}

TEST(Boxes, timestamps_that_go_back_are_caught) {
  const auto fault = [](Passing& p) {
    if (!p.from_client && p.number == 40) p.segment.options.timestamps->value -= 60;
    return Verdict::pass;
  };
  EXPECT_THAT(failures(calm(), ShiftingBox({}, fault)), Contains(HasSubstr("TSval goes back by")));
}

TEST(Boxes, an_echo_that_was_never_sent_is_caught) {
  const auto fault = [](Passing& p) {
    if (p.from_client && p.number == 30) p.segment.options.timestamps->echo += 100000;
    return Verdict::pass;
  };
  EXPECT_THAT(failures(calm(), ShiftingBox({}, fault)), Contains(HasSubstr("was never sent")));
}

TEST(Boxes, the_first_ack_with_an_echo_outside_the_syn_acks_is_refused_and_caught) {
  const auto fault = [](Passing& p) {
    if (p.from_client && p.number >= 2 && p.now < Instant{} + 1s) {
      p.segment.options.timestamps->echo -= 3;
    }
    return Verdict::pass;
  };
  ShiftingBox box({}, fault);
  const Outcome outcome = run(calm(), box);
  EXPECT_GT(outcome.counts.syn_recv_refused, 0u);
  EXPECT_THAT(outcome.failures, Contains(HasSubstr("TSecr outside of our SYN-ACKs")));
}

TEST(Boxes, missing_timestamps_are_caught) {
  const auto fault = [](Passing& p) {
    if (p.from_client && p.number == 10) p.segment.options.timestamps.reset();
    return Verdict::pass;
  };
  EXPECT_THAT(failures(calm(), ShiftingBox({}, fault)),
              Contains(HasSubstr("segment without timestamps")));
}

TEST(Boxes, a_window_edge_that_shrinks_is_caught) {
  const auto fault = [](Passing& p) {
    if (!p.from_client && p.number == 12) p.segment.window /= 4;
    return Verdict::pass;
  };
  EXPECT_THAT(failures(calm(), ShiftingBox({}, fault)),
              Contains(HasSubstr("right window edge shrinks")));
}

TEST(Boxes, a_window_edge_that_shrinks_is_caught_where_frames_overtake) {
  Scenario s = calm();
  s.client.check.in_order = s.server.check.in_order = false;
  const auto fault = [](Passing& p) {
    if (!p.from_client && p.number >= 12) p.segment.window = 0;
    return Verdict::pass;
  };
  EXPECT_THAT(failures(s, ShiftingBox({}, fault)),
              Contains(HasSubstr("right window edge shrinks")));
}

// What a kernel does in TIME-WAIT; nobody is let off before the end.
TEST(Boxes, a_window_that_shrinks_in_the_ack_of_the_fin_is_forgiven_to_who_may_do_it) {
  for (const bool may : {false, true}) {
    Scenario s = calm();
    s.client.check.no_window_at_the_end = may;
    bool end = true;
    const auto behind_fin = static_cast<uint32_t>(s.client.isn + s.client_app.total + 2);
    const auto fault = [&](Passing& p) {
      if (!p.from_client && p.segment.ack == behind_fin) p.segment.window = 0;
      if (!p.from_client && !end && p.number == 12) p.segment.window /= 4;
      return Verdict::pass;
    };
    EXPECT_THAT(failures(s, ShiftingBox({}, fault)),
                may ? testing::Matcher<std::vector<std::string>>(IsEmpty())
                    : Contains(HasSubstr("right window edge shrinks")));
    end = false;
    EXPECT_THAT(failures(s, ShiftingBox({}, fault)),
                Contains(HasSubstr("right window edge shrinks")));
  }
}

TEST(Boxes, a_promised_window_that_is_not_there_is_caught) {
  Scenario s = calm();
  s.server.receive_buffer = 4000;
  s.server.read_every = 5ms;
  s.server.read_chunk = 1000;
  const auto fault = [](Passing& p) {
    if (!p.from_client) p.segment.window = 40000;
    return Verdict::pass;
  };
  EXPECT_THAT(failures(s, ShiftingBox({}, fault)), Contains(HasSubstr("beyond the window's edge")));
}

TEST(Boxes, an_ack_of_what_was_never_sent_is_caught) {
  const auto fault = [](Passing& p) {
    if (!p.from_client && p.number == 15) p.segment.ack += 200000;
    return Verdict::pass;
  };
  EXPECT_THAT(failures(calm(), ShiftingBox({}, fault)),
              Contains(HasSubstr("which was never sent")));
}

TEST(Boxes, a_segment_above_the_announced_mss_is_caught) {
  Scenario s = calm();
  s.server.mss = 1000;
  const auto fault = [](Passing& p) {
    if (p.segment.options.mss) p.segment.options.mss = 1460;
    return Verdict::pass;
  };
  EXPECT_THAT(failures(s, ShiftingBox({}, fault)), Contains(HasSubstr("above the MSS")));
}

TEST(Boxes, a_fin_that_is_dropped_for_ever_is_caught) {
  const auto fault = [](Passing& p) {
    return p.from_client && p.segment.has(kFin) ? Verdict::drop : Verdict::pass;
  };
  EXPECT_THAT(failures(calm(), ShiftingBox({}, fault)), Contains(HasSubstr("not closed within")));
}

TEST(Boxes, a_fin_that_moves_is_caught) {
  // The first FIN comes with its last octet missing, the retransmission is right.
  unsigned fins = 0;
  Scenario s = calm();
  s.client_app.close = PatternOptions::Close::when_written;
  const auto fault = [&](Passing& p) {
    if (p.from_client && p.segment.has(kFin) && ++fins == 1 && !p.segment.data.empty()) {
      p.segment.data = p.segment.data.first(p.segment.data.size() - 1);
    }
    return Verdict::pass;
  };
  EXPECT_THAT(failures(s, ShiftingBox({}, fault)), Contains(HasSubstr("FIN")));
}

TEST(Boxes, a_reset_that_is_not_exact_is_ignored) {
  const auto fault = [](Passing& p) {
    if (p.from_client && p.number == 25) {
      p.segment.flags = kRst | kAck;
      p.segment.seq += 1;
      p.segment.data = {};
    }
    return Verdict::pass;
  };
  ShiftingBox box({}, fault);
  const Outcome outcome = run(calm(), box);
  EXPECT_THAT(outcome.failures, IsEmpty());
  EXPECT_EQ(outcome.counts.resets_ignored, 1u);
  EXPECT_EQ(outcome.counts.challenge_acks, 1u);
}

TEST(Boxes, an_exact_reset_is_caught) {
  const auto fault = [](Passing& p) {
    if (p.from_client && p.number == 25) {
      p.segment.flags = kRst | kAck;
      p.segment.data = {};
    }
    return Verdict::pass;
  };
  EXPECT_THAT(failures(calm(), ShiftingBox({}, fault)), Contains(HasSubstr("ended by reset")));
}

TEST(Boxes, a_quoted_number_that_was_not_translated_reduces_no_mtu) {
  Scenario s = calm();
  s.server_down.mtu = 1000;
  ShiftingBox right(kShifts), wrong(kShifts);
  wrong.translate_quoted = false;
  EXPECT_THAT(run(s, right).failures, IsEmpty());
  const Outcome outcome = run(s, wrong);
  EXPECT_EQ(outcome.counts.mtu_reductions, 0u);
  EXPECT_THAT(outcome.failures, Contains(HasSubstr("not closed within")));
}

}  // namespace
}  // namespace limpet::sim
