// What a client says again: judged octets leave as they were judged, those of bodies as they come.
#include "splice_fixture.h"

namespace limpet::tcp {
namespace {

class SpliceCopies : public SpliceTest {
 protected:
  // What the backend gets for a segment, whether rewritten in place or made anew.
  std::string passed(uint32_t seq, std::string_view data, uint8_t flags = kAck) {
    const Handled h = client(seq, data, flags);
    if (h.fate == Fate::in_place) return std::string(data);
    return data_to(kBackend);
  }
  uint64_t unlike() const { return splice.counters().unlike; }
};

TEST_F(SpliceCopies, the_first_transmission_passes_in_place) {
  EXPECT_EQ(client(1001, "GET a\n").fate, Fate::in_place);
  EXPECT_EQ(client(1007, "GET b\n").fate, Fate::in_place);
  EXPECT_EQ(client(1001, "GET a\nGET b\n").fate, Fate::in_place) << "the same again";
  EXPECT_EQ(splice.counters().copied_bytes, 12u);
  EXPECT_EQ(unlike(), 0u);
}

TEST_F(SpliceCopies, another_copy_leaves_as_the_first_one) {
  client(1001, "GET a\n");
  EXPECT_EQ(passed(1001, "EVIL!\n"), "GET a\n");
  EXPECT_EQ(unlike(), 1u);
}

TEST_F(SpliceCopies, however_it_is_cut) {
  client(1001, "GET a\n");
  client(1007, "GET b\n");
  EXPECT_EQ(passed(1003, "!!!!!!!"), "T a\nGET");
  EXPECT_EQ(passed(1006, "?"), "\n");
  EXPECT_EQ(passed(1005, "a\n!!!!!\nGET c\n"), "a\nGET b\nGET c\n");
  EXPECT_EQ(passed(1001, "GET a\nGET b\n!!!\n"), "GET a\nGET b\nGET ") << "and what went on";
  EXPECT_EQ(unlike(), 4u);
}

TEST_F(SpliceCopies, with_its_edits) {
  inserted[0] = "+++";
  client(1001, "GET a\n");
  EXPECT_EQ(data_to(kBackend), "GET a+++\n");
  EXPECT_EQ(passed(1001, "EVIL!\n"), "GET a+++\n");
}

TEST_F(SpliceCopies, octets_of_bodies_are_those_of_the_segment) {
  const std::string body(100, 'b'), other(100, 'c');
  client(1001, "POST" + body + "end\n");
  EXPECT_EQ(splice.counters().copied_bytes, 8u);
  EXPECT_EQ(passed(1001, "EVIL" + other + "EVIL"), "POST" + other + "end\n");
  EXPECT_EQ(passed(1001 + 50, other.substr(46)), other.substr(46));
  EXPECT_EQ(unlike(), 1u) << "a body is its sender's business";
}

TEST_F(SpliceCopies, a_repetition_has_clock_ack_and_window_of_its_own) {
  flow.timestamps[0] = flow.timestamps[1] = true;
  open(kBackend);
  SegmentIn in = segment(1001, 5001, "GET a\n");
  in.timestamps = {1000, 50};
  relay(kClient, in);
  relay(kBackend, segment(7001, 1001, "hello", kAck));
  in = segment(1001, 5006, "EVIL!\n");
  in.timestamps = {1001, 60};
  in.window = 777;
  relay(kClient, in);
  ASSERT_EQ(data_to(kBackend), "GET a\n");
  EXPECT_EQ(out[0].ack, 7006u);
  EXPECT_EQ(out[0].timestamps->value, 1001u);
  EXPECT_EQ(out[0].timestamps->echo, 60u);
}

TEST_F(SpliceCopies, they_are_kept_until_the_backend_has_acknowledged_them) {
  client(1001, "GET a\n");
  client(1007, "GET b\n");
  backend_acks(1009);
  EXPECT_EQ(passed(1007, "EVIL!\n"), "T b\n") << "what it has needs no second copy";
  backend_acks(1013);
  EXPECT_EQ(copies.bytes_used(), 0u);
  EXPECT_EQ(flow.copies, kNoCopies);
}

TEST_F(SpliceCopies, a_keep_alive_probe_s_garbage_is_no_repetition) {
  client(1001, "GET a\n");
  backend_acks(1007);
  EXPECT_EQ(client(1006, "?").fate, Fate::in_place);
  EXPECT_EQ(unlike(), 0u);
}

TEST_F(SpliceCopies, what_waits_in_a_hold_leaves_from_there) {
  client(1001, "GE");
  client(1003, "T a\n");
  EXPECT_EQ(data_to(kBackend), "GET a\n");
  EXPECT_EQ(passed(1001, "EVIL!\n"), "T a\n") << "two of it are owned: we send them again";
  EXPECT_EQ(passed(1001, "EVIL!\nGET b\n"), "T a\nGET b\n");
}

TEST_F(SpliceCopies, what_is_held_and_not_owned_leaves_as_it_was_held) {
  backend_acks(1001);
  client(1001, "GET a\nPOS");  // the second head waits behind the first
  EXPECT_EQ(data_to(kBackend), "GET a\n");
  client(1010, "T b\n");
  EXPECT_EQ(data_to(kBackend), "POST b\n");
  EXPECT_EQ(passed(1007, "EVIL!\n"), "POST b") << "the first one is not acknowledged yet";
  EXPECT_EQ(passed(1001, "EVIL!\nEVIL b\n"), "GET a\nPOST b\n");
  EXPECT_EQ(unlike(), 2u);
}

TEST_F(SpliceCopies, the_next_head_is_judged_with_what_lies_behind_a_gap) {
  client(1001, "GE");
  client(1006, "two\n");  // behind a gap
  client(1003, "T\n");
  EXPECT_EQ(data_to(kBackend), "GET\n");
  // One octet of it is known by now; the one that was held first counts.
  EXPECT_EQ(passed(1005, "-\n\n\n\nX\n"), "-two\nX\n");
  EXPECT_EQ(forgotten, 0u);
}

TEST_F(SpliceCopies, what_was_read_and_not_kept_is_forgotten) {
  no_memory = true;
  client(1001, "GET a\nPO");
  EXPECT_EQ(forgotten, 1u);
  no_memory = false;
  EXPECT_EQ(passed(1007, "EVIL!\n"), "EVIL!\n") << "nobody has judged it yet";
}

TEST_F(SpliceCopies, without_room_for_copies_the_frontier_stops) {
  flow.ends[0].edge = flow.ends[0].right = Seq{2001001};
  flow.advertised[0] = flow.scale[1] = 8;
  const std::string lines(1400, '\n');
  for (uint32_t at = 1001; splice.counters().uncopied == 0; at += 1400) client(at, lines);
  const size_t full = copies.bytes_used();
  EXPECT_GT(full, copies.bytes_total() / 5 - 4096);
  // What follows waits: its sender is told what it knows, by a duplicate ACK.
  const uint32_t frontier = flow.ends[0].map.frontier().value;
  const Handled h = client(frontier, lines);
  EXPECT_EQ(h.fate, Fate::dropped);
  EXPECT_EQ(h.reason, Drop::beyond_frontier);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].to, kClient);
  EXPECT_EQ(out[0].ack, 1001u);
  EXPECT_EQ(flow.ends[0].map.frontier().value, frontier);
  // The window says so too, as far as it was not promised before.
  flow.ends[0].edge = Seq{frontier};
  EXPECT_EQ(backend_acks(1001).numbers.window, (frontier + Splice::kLeastRoom - 1001) >> 8);
  // When the backend has something, it goes on.
  backend_acks(1001 + 14000);
  EXPECT_LT(copies.bytes_used(), full);
  EXPECT_EQ(client(frontier, lines).fate, Fate::in_place);
}

TEST_F(SpliceCopies, behind_a_fin_that_was_taken_nothing_passes) {
  client(1001, "GET a\n", kFin);
  EXPECT_TRUE(flow.ends[0].map.is_open());
  EXPECT_EQ(passed(1007, "GET b\n"), "");
  EXPECT_EQ(passed(1001, "GET a\nGET b\n"), "GET a\n");
  EXPECT_EQ(client(1001, "GET a\n", kFin).fate, Fate::in_place) << "the same again";
}

TEST_F(SpliceCopies, a_fin_in_front_of_what_has_passed_is_none) {
  client(1001, "GET a\n");
  client(1007, "GET b\n");
  client(1001, "GET", kFin);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].data, "GET");
  EXPECT_FALSE(out[0].fin);
  EXPECT_EQ(unlike(), 1u);
  EXPECT_EQ(client(1013, "", kFin).fate, Fate::in_place);
}

}  // namespace
}  // namespace limpet::tcp
