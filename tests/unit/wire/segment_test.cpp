#include "limpet/wire/segment.h"

#include <gtest/gtest.h>

#include "frames.h"
#include "limpet/wire/splice.h"

namespace limpet::wire {
namespace {

using test::Bytes;

const Link kLink{{{2, 0, 0, 0, 0, 0x64}}, {{2, 0, 0, 0, 0, 1}}};

Segment syn_ack() {
  Segment s;
  s.source = *IpAddress::parse("10.1.0.100");
  s.destination = *IpAddress::parse("10.1.0.2");
  s.source_port = be16::from(80);
  s.destination_port = be16::from(40000);
  s.seq = 0xa0b0c0d0;
  s.ack = 0x01020305;
  s.flags = tcp_flag::syn | tcp_flag::ack;
  s.window = 0x4000;
  s.mss = 1460;
  s.window_scale = 7;
  s.sack_permitted = true;
  s.timestamps = TcpOptions::Timestamps{0x01234567, 0x89abcdef};
  return s;
}

Bytes built(const Segment& s) {
  Bytes b(200);
  b.resize(build_segment(b, kLink, s));
  return b;
}

TEST(Segment, a_syn_ack_byte_by_byte) {
  EXPECT_EQ(built(syn_ack()),
            test::repaired(test::hex("0200 0000 0001 0200 0000 0064 0800 "
                                     "4500 003c 0000 4000 4006 0000 0a01 0064 0a01 0002 "
                                     "0050 9c40 a0b0 c0d0 0102 0305 a012 4000 0000 0000 "
                                     "0204 05b4 0103 0307 0402 080a 0123 4567 89ab cdef")));
}

TEST(Segment, both_families_parse_back) {
  for (const bool v6 : {false, true}) {
    Segment s = syn_ack();
    if (v6) {
      s.source = *IpAddress::parse("fd00:1::100");
      s.destination = *IpAddress::parse("fd00:1::2");
    }
    const Bytes b = built(s);
    const Frame f = test::parse(b);
    ASSERT_EQ(f.kind, FrameKind::tcp) << drop_name(f.drop);
    EXPECT_EQ(f.source, s.source);
    EXPECT_EQ(f.destination_port.host(), 40000);
    EXPECT_EQ(tcp_sequence(b, f), s.seq);
    EXPECT_EQ(tcp_acknowledgment(b, f), s.ack);
    EXPECT_EQ(tcp_window(b, f), s.window);
    const TcpOptions o = tcp_options(b, f);
    EXPECT_EQ(o.mss, s.mss);
    EXPECT_EQ(o.window_scale, s.window_scale);
    EXPECT_TRUE(o.sack_permitted);
    EXPECT_EQ(o.timestamps->value, 0x01234567u);
    EXPECT_EQ(o.timestamps->echo, 0x89abcdefu);
    EXPECT_FALSE(o.malformed);
  }
}

TEST(Segment, every_choice_of_options_is_well_formed) {
  for (unsigned choice = 0; choice < 32; ++choice) {
    Segment s = syn_ack();
    if ((choice & 1) == 0) s.mss.reset();
    if ((choice & 2) == 0) s.window_scale.reset();
    if ((choice & 4) == 0) s.sack_permitted = false;
    if ((choice & 8) == 0) s.timestamps.reset();
    if ((choice & 16) != 0) s.sack = {{{{1, 2}, {5, 6}, {9, 10}, {13, 14}}}, 4};
    const Bytes b = built(s);
    const Frame f = test::parse(b);
    ASSERT_EQ(f.kind, FrameKind::tcp) << choice;
    const TcpOptions o = tcp_options(b, f);
    EXPECT_FALSE(o.malformed) << choice;
    EXPECT_EQ(o.mss, s.mss) << choice;
    EXPECT_EQ(o.window_scale, s.window_scale) << choice;
    EXPECT_EQ(o.sack_permitted, s.sack_permitted) << choice;
    EXPECT_EQ(o.timestamps.has_value(), s.timestamps.has_value()) << choice;
    EXPECT_EQ(f.payload - f.l4, static_cast<int>(tcp_header_size(s)));
    const SackBlocks blocks = sack_blocks(b, f);
    if ((choice & 16) == 0) {
      EXPECT_EQ(blocks.count, 0u);
    } else {
      EXPECT_GE(blocks.count, 1u) << choice;
      EXPECT_EQ(blocks.block[0], (SackBlock{1, 2}));
    }
  }
}

TEST(Segment, three_sack_blocks_fit_beside_timestamps) {
  Segment s = syn_ack();
  s.flags = tcp_flag::ack;
  s.mss.reset();
  s.window_scale.reset();
  s.sack_permitted = false;
  s.sack = {{{{1, 2}, {5, 6}, {9, 10}, {13, 14}}}, 4};
  Bytes b = built(s);
  EXPECT_EQ(sack_blocks(b, test::parse(b)).count, 3u);
  s.timestamps.reset();
  b = built(s);
  EXPECT_EQ(sack_blocks(b, test::parse(b)).count, 4u);
}

TEST(Segment, payload_is_written_between_begin_and_finish) {
  Segment s = syn_ack();
  s.flags = tcp_flag::ack | tcp_flag::psh;
  Bytes b(200);
  const SegmentRoom room = begin_segment(b, kLink, s, 5);
  ASSERT_NE(room.end, 0u);
  std::copy_n("hello", 5, b.begin() + static_cast<ptrdiff_t>(room.payload));
  finish_segment(b, s, room);
  b.resize(room.end);
  const Frame f = test::parse(b);
  ASSERT_EQ(f.kind, FrameKind::tcp) << drop_name(f.drop);
  EXPECT_EQ(tcp_data_length(f), 5);
  EXPECT_EQ(b[f.payload], 'h');
}

TEST(Segment, parts_that_we_split_may_be_fragmented) {
  Segment s = syn_ack();
  s.may_fragment = true;
  EXPECT_EQ(built(s)[20] & 0x40, 0);
  s.may_fragment = false;
  EXPECT_EQ(built(s)[20] & 0x40, 0x40);
}

TEST(Segment, too_little_room_writes_nothing) {
  const Segment s = syn_ack();
  Bytes b(73);
  EXPECT_EQ(build_segment(b, kLink, s), 0u);
  EXPECT_EQ(begin_segment(b, kLink, s, 0).end, 0u);
  Bytes c(74);
  EXPECT_EQ(build_segment(c, kLink, s), 74u);
}

class Spliced : public testing::Test {
 protected:
  // A segment with these option bytes and a payload.
  Bytes with_options(const Bytes& options, uint8_t flags = tcp_flag::ack) {
    Segment s = syn_ack();
    s.flags = flags;
    s.urgent = 2;
    s.mss.reset();
    s.window_scale.reset();
    s.sack_permitted = false;
    s.timestamps.reset();
    Bytes b(300);
    const SegmentRoom room = begin_segment(b, kLink, s, options.size() + 3);
    std::copy(options.begin(), options.end(), b.begin() + static_cast<ptrdiff_t>(room.payload));
    b[room.l4 + 12] = static_cast<uint8_t>((20 + options.size()) / 4 << 4);
    finish_segment(b, s, room);
    b.resize(room.end);
    return b;
  }
  Bytes rewritten(Bytes b) {
    rewrite_spliced(b, test::parse(b), *IpAddress::parse("10.2.0.254"), be16::from(1024),
                    *IpAddress::parse("10.2.0.10"), be16::from(8080), numbers);
    return b;
  }
  SpliceNumbers numbers{.seq = 0x11223344,
                        .ack = 0x55667788,
                        .window = 0x99aa,
                        .tsval_shift = 0xfffffff0u,
                        .tsecr_shift = 0x10,
                        .sack = {{{{100, 200}, {300, 400}}}, 2}};
};

TEST_F(Spliced, every_number_is_translated_and_the_checksum_is_right) {
  const Bytes b = rewritten(with_options(test::hex(
      "0101 080a 0000 0005 0000 0007 0101 0512 0000 0001 0000 0002 0000 0003 0000 0004")));
  const Frame f = test::parse(b);
  ASSERT_EQ(f.kind, FrameKind::tcp) << drop_name(f.drop);
  EXPECT_EQ(f.source, *IpAddress::parse("10.2.0.254"));
  EXPECT_EQ(f.destination_port.host(), 8080);
  EXPECT_EQ(tcp_sequence(b, f), 0x11223344u);
  EXPECT_EQ(tcp_acknowledgment(b, f), 0x55667788u);
  EXPECT_EQ(tcp_window(b, f), 0x99aa);
  const TcpOptions o = tcp_options(b, f);
  EXPECT_EQ(o.timestamps->value, 0xfffffff5u);
  EXPECT_EQ(o.timestamps->echo, 0x17u);
  const SackBlocks s = sack_blocks(b, f);
  ASSERT_EQ(s.count, 2u);
  EXPECT_EQ(s.block[0], (SackBlock{100, 200}));
  EXPECT_EQ(s.block[1], (SackBlock{300, 400}));
}

TEST_F(Spliced, options_at_odd_offsets_are_summed_up_right) {
  const Bytes b = rewritten(
      with_options(test::hex("01 080a 0102 0304 0506 0708 050a 0000 0001 0000 0002 01 01 01")));
  const Frame f = test::parse(b);
  ASSERT_EQ(f.kind, FrameKind::tcp) << drop_name(f.drop);
  EXPECT_EQ(tcp_options(b, f).timestamps->value, 0x010202f4u);
  EXPECT_EQ(sack_blocks(b, f).block[0], (SackBlock{100, 200}));
}

TEST_F(Spliced, blocks_that_are_gone_leave_nops) {
  numbers.sack.count = 1;
  const Bytes options = test::hex("0101 0512 0000 0001 0000 0002 0000 0003 0000 0004");
  Bytes b = rewritten(with_options(options));
  Frame f = test::parse(b);
  ASSERT_EQ(f.kind, FrameKind::tcp);
  EXPECT_EQ(sack_blocks(b, f).count, 1u);
  EXPECT_FALSE(tcp_options(b, f).malformed);
  numbers.sack.count = 0;
  b = rewritten(with_options(options));
  f = test::parse(b);
  ASSERT_EQ(f.kind, FrameKind::tcp);
  EXPECT_EQ(sack_blocks(b, f).count, 0u);
  EXPECT_FALSE(tcp_options(b, f).malformed);
}

TEST_F(Spliced, more_blocks_than_the_segment_had_are_not_written) {
  numbers.sack = {{{{1, 2}, {3, 4}, {5, 6}}}, 3};
  const Bytes b = rewritten(with_options(test::hex("0101 050a 0000 0001 0000 0002")));
  EXPECT_EQ(sack_blocks(b, test::parse(b)).count, 1u);
}

TEST_F(Spliced, without_ack_the_acknowledgment_and_the_echo_stay) {
  const Bytes b =
      rewritten(with_options(test::hex("0101 080a 0000 0005 0000 0007"), tcp_flag::rst));
  const Frame f = test::parse(b);
  ASSERT_EQ(f.kind, FrameKind::tcp) << drop_name(f.drop);
  EXPECT_EQ(tcp_acknowledgment(b, f), 0u);
  EXPECT_EQ(tcp_options(b, f).timestamps->value, 0xfffffff5u);
  EXPECT_EQ(tcp_options(b, f).timestamps->echo, 7u);
}

TEST_F(Spliced, a_malformed_option_stops_the_walk_and_keeps_the_checksum) {
  const Bytes b = rewritten(with_options(test::hex("0101 08ff 0000 0005 0000 0007")));
  EXPECT_EQ(test::parse(b).kind, FrameKind::tcp);
}

TEST_F(Spliced, urgent_data_becomes_data) {
  Bytes b = with_options({}, tcp_flag::ack | tcp_flag::psh | tcp_flag::urg);
  b = rewritten(b);
  const Frame f = test::parse(b);
  ASSERT_EQ(f.kind, FrameKind::tcp) << drop_name(f.drop);
  EXPECT_EQ(f.tcp_flags, tcp_flag::ack | tcp_flag::psh);
  EXPECT_EQ(load<be16>(&b[f.l4 + tcp_header::kUrgent]).host(), 0);
}

TEST_F(Spliced, a_wrong_checksum_stays_wrong) {
  Bytes b = with_options(test::hex("0101 080a 0000 0005 0000 0007"));
  b.back() ^= 1;
  const Frame f = parse_frame(b, {.ip_checksum = true, .l4_checksum = true});
  rewrite_spliced(b, f, *IpAddress::parse("10.2.0.254"), be16::from(1024),
                  *IpAddress::parse("10.2.0.10"), be16::from(8080), numbers);
  EXPECT_EQ(test::parse(b).drop, Drop::tcp_checksum_bad);
}

}  // namespace
}  // namespace limpet::wire
