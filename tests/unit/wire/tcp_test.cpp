#include "limpet/wire/tcp.h"

#include <gtest/gtest.h>

#include "frames.h"

namespace limpet::wire {
namespace {

using test::Bytes;
using test::hex;

TEST(TcpAccessors, read_the_header) {
  const Bytes& b = test::kTcp4Data;
  const Frame f = test::parse(b);
  EXPECT_EQ(tcp_sequence(b, f), 0x01020305u);
  EXPECT_EQ(tcp_acknowledgment(b, f), 0xa0b0c0d0u);
  EXPECT_EQ(tcp_window(b, f), 502);
  EXPECT_EQ(tcp_data_length(f), 19);
  EXPECT_EQ(tcp_segment_length(f), 19u);
  EXPECT_EQ(tcp_data(b, f)[0], 'G');
}

TEST(TcpAccessors, do_not_count_ethernet_padding_as_data) {
  const Bytes b = test::kTcp6Data + Bytes(20, 0xee);
  EXPECT_EQ(tcp_data_length(test::parse(b)), 6);
}

TEST(TcpSegmentLength, counts_syn_and_fin) {
  EXPECT_EQ(tcp_segment_length(test::parse(test::kTcp4Syn)), 1u);
  const Bytes fin = test::repaired(test::edited(test::kTcp4Data, {{47, {0x11}}}));
  EXPECT_EQ(tcp_segment_length(test::parse(fin)), 20u);
}

TEST(TcpOptions, reads_those_of_a_linux_syn) {
  const TcpOptions o = tcp_options(test::kTcp4Syn, test::parse(test::kTcp4Syn));
  EXPECT_EQ(o.mss, 1460);
  EXPECT_EQ(o.window_scale, 7);
  EXPECT_TRUE(o.sack_permitted);
  ASSERT_TRUE(o.timestamps);
  EXPECT_EQ(o.timestamps->value, 0x00112233u);
  EXPECT_EQ(o.timestamps->echo, 0u);
  EXPECT_FALSE(o.malformed);
}

TEST(TcpOptions, of_a_header_without_any_are_absent) {
  const TcpOptions o = tcp_options(test::kTcp4Data, test::parse(test::kTcp4Data));
  EXPECT_FALSE(o.mss || o.window_scale || o.sack_permitted || o.timestamps || o.malformed);
}

TcpOptions with_options(std::string_view twenty_bytes) {
  const Bytes b = test::repaired(test::edited(test::kTcp4Syn, {{54, hex(twenty_bytes)}}));
  const Frame f = test::parse(b);
  EXPECT_EQ(f.kind, FrameKind::tcp);
  return tcp_options(b, f);
}

TEST(TcpOptions, read_a_scale_above_14_as_14) {
  EXPECT_EQ(with_options("030363 00").window_scale, 14);
  EXPECT_EQ(with_options("03030e 00").window_scale, 14);
  EXPECT_EQ(with_options("03030d 00").window_scale, 13);
}

TEST(TcpOptions, take_the_first_of_two) {
  EXPECT_EQ(with_options("0204 0064 0204 05b4 00").mss, 100);
}

TEST(TcpOptions, say_for_which_a_host_discards_the_segment) {
  EXPECT_FALSE(with_options("0204 05b4 0101 080a 00000001 00000002 00").discarded);
  EXPECT_FALSE(with_options("4d04 0000 00").discarded) << "one that nobody knows";
  EXPECT_TRUE(with_options("1312 00000000 00000000 00000000 00000000 01").discarded) << "MD5";
  EXPECT_TRUE(with_options("1d04 0101 00").discarded) << "TCP-AO";
  EXPECT_TRUE(with_options("0101 4d00 00").discarded) << "a length of nothing";
  EXPECT_TRUE(with_options("4d28 0101 00").discarded) << "a length beyond the header";
  EXPECT_TRUE(with_options("080a 00000001 00000002 080a 00000001 00000002").discarded)
      << "Linux believes the last of two timestamps";
}

TEST(TcpOptions, ignore_those_of_the_wrong_length) {
  const TcpOptions o = with_options("0203 05 0302 0403 01 0803 01 0204 05b4 00 00 00 00");
  EXPECT_EQ(o.mss, 1460);
  EXPECT_FALSE(o.window_scale);
  EXPECT_FALSE(o.sack_permitted);
  EXPECT_FALSE(o.timestamps);
  EXPECT_FALSE(o.malformed);
}

TEST(TcpOptions, end_at_the_end_of_list) {
  const TcpOptions o = with_options("0101 00 0204 05b4 01 01010101 01010101 01010101");
  EXPECT_FALSE(o.mss);
  EXPECT_FALSE(o.malformed);
}

TEST(TcpOptions, stop_at_an_impossible_length) {
  for (const char* bad :
       {"0204 05b4 0300 0402 0101", "0204 05b4 0301 0402 0101", "0204 05b4 08ff 0402 0101",
        "0204 05b4 0101 0101 0101 0101 0101 0101 0101 0103"}) {
    const TcpOptions o = with_options(bad);
    EXPECT_TRUE(o.malformed) << bad;
    EXPECT_EQ(o.mss, 1460);
    EXPECT_FALSE(o.sack_permitted);
  }
}

TEST(TcpOptionReader, never_leaves_the_bytes_and_always_ends) {
  test::Random random(4);
  for (int round = 0; round < 20000; ++round) {
    Bytes garbage(test::below(random, 41));
    for (uint8_t& byte : garbage) byte = static_cast<uint8_t>(random() % 12);
    TcpOptionReader reader(garbage);
    size_t steps = 0, covered = 0;
    while (const auto o = reader.next()) {
      covered += o->kind == tcp_option::kNop ? 1 : 2 + o->data.size();
      ASSERT_LE(++steps, garbage.size());
    }
    ASSERT_LE(covered, garbage.size());
    ASSERT_FALSE(reader.next());
  }
}

constexpr Link kBack{{{0x02, 0, 0, 0, 0, 0x64}}, {{0x02, 0, 0, 0, 0, 0x01}}};

Bytes reset_answer(const Bytes& segment) {
  Bytes out(kMaxResetFrame);
  const Frame f = test::parse(segment);
  EXPECT_EQ(f.kind, FrameKind::tcp) << drop_name(f.drop);
  const auto reset = reset_for(segment, f);
  out.resize(reset ? build_reset(out, reply_link(f), *reset) : 0);
  return out;
}

TEST(Reset, answers_a_syn_with_reset_and_ack_of_seq_plus_one) {
  EXPECT_EQ(reset_answer(test::kTcp4Syn), hex("0200 0000 0001 0200 0000 0064 0800 "
                                              "4500 0028 0000 4000 4006 2669 0a01 0064 0a01 0002 "
                                              "0050 9c40 0000 0000 0102 0305 5014 0000 fad1 0000"));
}

TEST(Reset, answers_an_ack_with_its_number_and_no_ack) {
  EXPECT_EQ(reset_answer(test::kTcp4Data),
            hex("0200 0000 0001 0200 0000 0064 0800 "
                "4500 0028 0000 4000 4006 2669 0a01 0064 0a01 0002 "
                "0050 9c40 a0b0 c0d0 0000 0000 5004 0000 9d67 0000"));
}

TEST(Reset, answers_over_ipv6) {
  EXPECT_EQ(reset_answer(test::kTcp6Data),
            hex("0200 0000 0001 0200 0000 0064 86dd "
                "6000 0000 0014 0640 fd00 0001 0000 0000 0000 0000 0000 0064 "
                "fd00 0001 0000 0000 0000 0000 0000 0002 "
                "0050 9c40 a0b0 c0d0 0000 0000 5004 0000 b765 0000"));
}

TEST(Reset, without_ack_covers_data_and_fin) {
  const Bytes fin = test::repaired(test::edited(test::kTcp4Data, {{47, {0x01}}}));
  const auto r = reset_for(fin, test::parse(fin));
  ASSERT_TRUE(r);
  EXPECT_EQ(r->sequence, 0u);
  EXPECT_EQ(r->acknowledgment, 0x01020305u + 20);
}

TEST(Reset, numbers_wrap) {
  const Bytes syn = test::repaired(test::edited(test::kTcp4Syn, {{38, hex("ffff ffff")}}));
  EXPECT_EQ(reset_for(syn, test::parse(syn))->acknowledgment, 0u);
}

TEST(Reset, never_answers_a_reset) {
  for (const uint8_t flags : {0x04, 0x14})
    EXPECT_TRUE(
        reset_answer(test::repaired(test::edited(test::kTcp4Data, {{47, {flags}}}))).empty());
}

TEST(Reset, never_answers_what_was_sent_to_many) {
  EXPECT_TRUE(
      reset_answer(test::repaired(test::edited(test::kTcp4Syn, {{30, {224, 0, 0, 1}}}))).empty());
  EXPECT_TRUE(
      reset_answer(test::repaired(test::edited(test::kTcp4Syn, {{30, {255, 255, 255, 255}}})))
          .empty());
  EXPECT_TRUE(
      reset_answer(test::repaired(test::edited(test::kTcp6Data, {{38, {0xff, 0x02}}}))).empty());
  EXPECT_TRUE(reset_answer(test::edited(test::kTcp4Syn, {{0, {0x33, 0x33}}})).empty());
}

TEST(Reset, of_explicit_numbers_parses_as_it_was_asked_for) {
  for (const char* prefix : {"10.2.0.", "fd00:2::"}) {
    const Reset want{.source = *IpAddress::parse(std::string(prefix) + "1"),
                     .destination = *IpAddress::parse(std::string(prefix) + "2"),
                     .source_port = be16::from(80),
                     .destination_port = be16::from(81),
                     .sequence = 0xfffffff0,
                     .acknowledgment = 7};
    Bytes out(kMaxResetFrame);
    out.resize(build_reset(out, kBack, want));
    const Frame f = test::parse(out);
    ASSERT_EQ(f.kind, FrameKind::tcp) << drop_name(f.drop);
    EXPECT_EQ(f.end, out.size());
    EXPECT_EQ(f.tcp_flags, tcp_flag::rst | tcp_flag::ack);
    EXPECT_EQ(f.source, want.source);
    EXPECT_EQ(f.destination, want.destination);
    EXPECT_EQ(f.source_port, want.source_port);
    EXPECT_EQ(f.destination_port, want.destination_port);
    EXPECT_EQ(tcp_sequence(out, f), want.sequence);
    EXPECT_EQ(tcp_acknowledgment(out, f), 7u);
    EXPECT_EQ(f.source_mac, kBack.source);
    EXPECT_EQ(f.destination_mac, kBack.destination);
  }
}

TEST(Reset, refuses_a_buffer_that_is_too_short) {
  Bytes out(53);
  const Frame f = test::parse(test::kTcp4Syn);
  const auto reset = reset_for(test::kTcp4Syn, f);
  ASSERT_TRUE(reset);
  EXPECT_EQ(build_reset(out, kBack, *reset), 0u);
  Bytes enough(54);
  EXPECT_EQ(build_reset(enough, kBack, *reset), 54u);
}

}  // namespace
}  // namespace limpet::wire
