#include "limpet/wire/quote.h"

#include <gtest/gtest.h>

#include "frames.h"

namespace limpet::wire {
namespace {

using test::Bytes;
using test::edited;
using test::hex;
using test::parse;
using test::repaired;
using test::slice;
IpAddress ip(const char* text) {
  return *IpAddress::parse(text);
}

std::optional<Quote> quote_of(const Bytes& b) {
  const Frame f = parse(b);
  EXPECT_NE(f.kind, FrameKind::bad) << drop_name(f.drop);
  return parse_quote(b, f);
}

// An error about `quoted` (a packet from its IP header on) between two addresses, by the reference.
Bytes error_about(const Bytes& quoted, const IpAddress& from, const IpAddress& to,
                  const Bytes& icmp) {
  const bool v6 = !from.is_v4();
  Bytes b = slice(v6 ? test::kPortUnreachable6 : test::kFragmentationNeeded4, 0, v6 ? 54 : 34);
  for (size_t i = 0; i < (v6 ? 16u : 4u); ++i) {
    b[(v6 ? 22u : 26u) + i] = from.bytes[(v6 ? 0u : 12u) + i];
    b[(v6 ? 38u : 30u) + i] = to.bytes[(v6 ? 0u : 12u) + i];
  }
  b = b + icmp + quoted;
  test::put16(b, v6 ? 18 : 16, static_cast<uint16_t>(b.size() - (v6 ? 54 : 14)));
  return repaired(b);
}

TEST(ParseQuote, finds_the_tcp_packet_that_was_too_big) {
  const auto q = quote_of(test::kFragmentationNeeded4);
  ASSERT_TRUE(q);
  EXPECT_EQ(q->protocol, 6);
  EXPECT_FALSE(q->v6);
  EXPECT_EQ(q->l3, 42);
  EXPECT_EQ(q->l4, 62);
  EXPECT_EQ(q->end, 70);
  EXPECT_EQ(q->source, ip("10.1.0.100"));
  EXPECT_EQ(q->destination, ip("10.1.0.2"));
  EXPECT_EQ(q->source_port, be16::from(80));
  EXPECT_EQ(q->destination_port, be16::from(40000));
  EXPECT_EQ(q->tcp_sequence, 0xa0b0c0d0u);
  EXPECT_EQ(q->mtu, 1400u);
}

TEST(ParseQuote, finds_the_udp_packet_that_found_no_port) {
  const auto q = quote_of(test::kPortUnreachable6);
  ASSERT_TRUE(q);
  EXPECT_EQ(q->protocol, 17);
  EXPECT_TRUE(q->v6);
  EXPECT_EQ(q->l3, 62);
  EXPECT_EQ(q->l4, 102);
  EXPECT_EQ(q->end, 117);
  EXPECT_EQ(q->source, ip("fd00:1::64"));
  EXPECT_EQ(q->destination, ip("fd00:1::2"));
  EXPECT_EQ(q->source_port, be16::from(9000));
  EXPECT_EQ(q->destination_port, be16::from(5353));
  EXPECT_EQ(q->mtu, 0u);
}

TEST(ParseQuote, reads_the_mtu_of_packet_too_big) {
  const auto q =
      quote_of(repaired(edited(test::kPortUnreachable6, {{54, {2, 0}}, {58, hex("0001 1170")}})));
  ASSERT_TRUE(q);
  EXPECT_EQ(q->mtu, 70000u);
}

TEST(ParseQuote, takes_only_errors_that_quote) {
  for (const uint8_t type : {3, 11, 12})
    EXPECT_TRUE(quote_of(repaired(edited(test::kFragmentationNeeded4, {{34, {type}}}))))
        << int{type};
  for (const uint8_t type : {0, 4, 5, 8, 13})
    EXPECT_FALSE(quote_of(repaired(edited(test::kFragmentationNeeded4, {{34, {type}}}))))
        << int{type};
  for (const uint8_t type : {1, 2, 3, 4})
    EXPECT_TRUE(quote_of(repaired(edited(test::kPortUnreachable6, {{54, {type}}})))) << int{type};
  for (const uint8_t type : {0, 5, 128, 137})
    EXPECT_FALSE(quote_of(repaired(edited(test::kPortUnreachable6, {{54, {type}}})))) << int{type};
  EXPECT_FALSE(quote_of(test::kTcp4Data));
}

TEST(ParseQuote, needs_eight_bytes_of_transport_and_no_more) {
  for (const Bytes& whole : {test::kFragmentationNeeded4, test::kPortUnreachable6}) {
    const bool v6 = whole[12] == 0x86;
    for (size_t length = v6 ? 62 : 42; length <= whole.size(); ++length) {
      Bytes b = test::exactly(whole, length);
      test::put16(b, v6 ? 18 : 16, static_cast<uint16_t>(length - (v6 ? 54 : 14)));
      b = test::exactly(repaired(b), length);
      const auto q = quote_of(b);
      EXPECT_EQ(q.has_value(), length >= (v6 ? 110u : 70u)) << length;
      if (q) {
        EXPECT_EQ(q->end, length);
      }
    }
  }
}

TEST(ParseQuote, leaves_padding_behind_the_quoted_packet_out) {
  const Bytes padded = error_about(slice(test::kUdp4, 14, 48) + Bytes(20, 0), ip("10.1.0.100"),
                                   ip("10.1.0.2"), hex("0303 0000 0000 0000"));
  EXPECT_EQ(quote_of(padded)->end, padded.size() - 20);
}

// RFC 4884: 128 bytes of a long packet, then an extension structure.
TEST(ParseQuote, leaves_extensions_out) {
  test::Random random(9);
  for (const bool v6 : {false, true}) {
    const Bytes packet = slice(test::random_frame(random, v6, true, 400), 14, 14 + 128);
    const Bytes icmp = v6 ? hex("0104 0000 1000 0000") : hex("0301 0000 0020 0000");
    const Bytes b =
        error_about(packet + hex("2000 0000 0008 0101 1234 5678"),
                    v6 ? ip("fd00::1") : ip("10.0.0.1"), v6 ? ip("fd00::2") : ip("10.0.0.2"), icmp);
    const auto q = quote_of(b);
    ASSERT_TRUE(q);
    EXPECT_EQ(q->end, q->l3 + 128);
    // A length that RFC 4884 does not allow is junk in a field that once was unused.
    Bytes junk = b;
    junk[(v6 ? 58u : 39u)] = 1;
    EXPECT_EQ(quote_of(repaired(junk))->end, b.size());
    // And a length beyond the message cuts nothing.
    junk[(v6 ? 58u : 39u)] = 255;
    EXPECT_EQ(quote_of(repaired(junk))->end, b.size());
  }
}

TEST(ParseQuote, passes_over_options_and_extension_headers) {
  Bytes options = slice(test::kUdp4, 14, 34) + hex("9404 0000") + slice(test::kUdp4, 34, 48);
  options = edited(options, {{0, {0x46}}, {2, {0, 38}}});
  const auto q4 =
      quote_of(error_about(options, ip("10.0.0.1"), ip("10.0.0.2"), hex("0303 0000 0000 0000")));
  ASSERT_TRUE(q4);
  EXPECT_EQ(q4->l4, q4->l3 + 24);
  EXPECT_EQ(q4->destination_port, be16::from(9000));
  Bytes extension =
      slice(test::kUdp6, 14, 54) + hex("1100 0104 0000 0000") + slice(test::kUdp6, 54, 69);
  extension = edited(extension, {{4, {0, 23}}, {6, {60}}});
  const auto q6 =
      quote_of(error_about(extension, ip("fd00::1"), ip("fd00::2"), hex("0104 0000 0000 0000")));
  ASSERT_TRUE(q6);
  EXPECT_EQ(q6->l4, q6->l3 + 48);
  EXPECT_EQ(q6->destination_port, be16::from(9000));
}

TEST(ParseQuote, takes_first_fragments_and_no_others) {
  const auto with_word = [](const char* word) {
    return quote_of(repaired(edited(test::kFragmentationNeeded4, {{48, hex(word)}})));
  };
  EXPECT_TRUE(with_word("2000"));
  EXPECT_FALSE(with_word("2001"));
  EXPECT_FALSE(with_word("0001"));
  const auto with_header = [](const char* word) {
    Bytes p = slice(test::kUdp6, 14, 54) + hex("1100") + hex(word) + hex("0000 0001") +
              slice(test::kUdp6, 54, 69);
    return quote_of(error_about(edited(p, {{4, {0, 23}}, {6, {44}}}), ip("fd00::1"), ip("fd00::2"),
                                hex("0104 0000 0000 0000")));
  };
  EXPECT_TRUE(with_header("0001"));
  EXPECT_TRUE(with_header("0000"));
  EXPECT_FALSE(with_header("0008"));
}

TEST(ParseQuote, has_no_ports_of_other_protocols) {
  const auto q = quote_of(repaired(edited(test::kFragmentationNeeded4, {{51, {1}}})));
  ASSERT_TRUE(q);
  EXPECT_EQ(q->protocol, 1);
  EXPECT_EQ(q->source_port, be16{});
  EXPECT_EQ(q->tcp_sequence, 0u);
}

TEST(ParseQuote, refuses_what_is_no_packet) {
  for (const test::Edit& e :
       std::vector<test::Edit>{{42, {0x65}}, {42, {0x44}}, {42, {0x4f}}, {44, {0, 27}}})
    EXPECT_FALSE(quote_of(repaired(edited(test::kFragmentationNeeded4, {e})))) << e.at;
  for (const test::Edit& e :
       std::vector<test::Edit>{{62, {0x45}},
                               {66, {0, 7}},
                               {68, {60}},
                               {70, hex("0000 0000 0000 0000 0000 ffff 0a01 0002")},
                               {86, hex("0000 0000 0000 0000 0000 ffff 0a01 0002")}})
    EXPECT_FALSE(quote_of(repaired(edited(test::kPortUnreachable6, {e})))) << e.at;
}

TEST(ParseQuote, survives_any_byte_of_the_quote_being_any_value) {
  for (const Bytes& whole : {test::kFragmentationNeeded4, test::kPortUnreachable6}) {
    const size_t l4 = whole[12] == 0x86 ? 54 : 34;
    for (size_t at = l4; at < whole.size(); ++at)
      for (unsigned value = 0; value < 256; ++value) {
        Bytes b = whole;
        b[at] = static_cast<uint8_t>(value);
        b = test::exactly(repaired(b), b.size());
        const auto q = parse_quote(b, parse(b));
        if (q) {
          ASSERT_LE(q->l4 + 8, q->end) << at;
          ASSERT_LE(q->end, b.size()) << at;
        }
      }
  }
}

TEST(TranslateError, brings_path_mtu_discovery_to_the_backend) {
  Bytes b = test::kFragmentationNeeded4;
  const Frame f = parse(b);
  translate_error(b, f, *parse_quote(b, f),
                  {.source = ip("10.1.0.100"),
                   .destination = ip("10.2.0.10"),
                   .quoted_source = ip("10.2.0.254"),
                   .quoted_destination = ip("10.2.0.10"),
                   .quoted_source_port = be16::from(1024),
                   .quoted_destination_port = be16::from(8080)});
  EXPECT_EQ(b, hex("0200 0000 0064 0200 0000 0001 0800 "
                   "4500 0038 1c46 4000 3f01 0b0f 0a01 0064 0a02 000a 0304 7272 0000 0578 "
                   "4500 0050 1c46 4000 3f06 0a57 0a02 00fe 0a02 000a 0400 1f90 a0b0 c0d0"));
}

TEST(TranslateError, does_so_over_ipv6_with_the_quoted_checksum) {
  Bytes b = test::kPortUnreachable6;
  const Frame f = parse(b);
  translate_error(b, f, *parse_quote(b, f),
                  {.source = ip("fd00:1::64"),
                   .destination = ip("fd00:2::10"),
                   .quoted_source = ip("fd00:2::fe"),
                   .quoted_destination = ip("fd00:2::10"),
                   .quoted_source_port = be16::from(1024),
                   .quoted_destination_port = be16::from(7)});
  EXPECT_EQ(b,
            hex("0200 0000 0064 0200 0000 0001 86dd "
                "6000 0000 003f 3a3f fd00 0001 0000 0000 0000 0000 0000 0064 "
                "fd00 0002 0000 0000 0000 0000 0000 0010 0104 92db 0000 0000 "
                "6000 0000 000f 113f fd00 0002 0000 0000 0000 0000 0000 00fe "
                "fd00 0002 0000 0000 0000 0000 0000 0010 0400 0007 000f a067 6c69 6d70 6574 21"));
}

TEST(TranslateError, leaves_a_quoted_udp_checksum_of_zero) {
  const Bytes packet = edited(slice(test::kUdp4, 14, 48), {{26, {0, 0}}});
  Bytes b = error_about(packet, ip("10.0.0.1"), ip("10.0.0.2"), hex("0303 0000 0000 0000"));
  const Frame f = parse(b);
  const auto q = parse_quote(b, f);
  translate_error(b, f, *q,
                  {.source = ip("10.0.0.3"),
                   .destination = ip("10.0.0.4"),
                   .quoted_source = ip("10.0.0.5"),
                   .quoted_destination = ip("10.0.0.6"),
                   .quoted_source_port = be16::from(1),
                   .quoted_destination_port = be16::from(2)});
  EXPECT_EQ(test::get16(b, q->l4 + 6u), 0);
  EXPECT_EQ(parse(b).kind, FrameKind::icmp);
}

// The oracle: the packet as the other side would have sent it, its checksums computed in full, cut
// to the same length and quoted in an error with the new outer addresses.
TEST(TranslateError, equals_an_error_about_the_translated_packet) {
  test::Random random(10);
  for (int round = 0; round < 20000; ++round) {
    const bool v6 = random() % 2, tcp = random() % 2;
    const size_t l4 = v6 ? 40 : 20, header = tcp ? 20 : 8;
    const Bytes before = test::random_frame(random, v6, tcp, test::below(random, 60));
    const ErrorAddresses to{.source = test::random_address(random, v6),
                            .destination = test::random_address(random, v6),
                            .quoted_source = test::random_address(random, v6),
                            .quoted_destination = test::random_address(random, v6),
                            .quoted_source_port = test::random_port(random),
                            .quoted_destination_port = test::random_port(random)};
    Bytes after = before;
    for (size_t i = 0; i < (v6 ? 16u : 4u); ++i) {
      after[(v6 ? 22u : 26u) + i] = to.quoted_source.bytes[(v6 ? 0u : 12u) + i];
      after[(v6 ? 38u : 30u) + i] = to.quoted_destination.bytes[(v6 ? 0u : 12u) + i];
    }
    test::put16(after, 14 + l4, to.quoted_source_port.host());
    test::put16(after, 14 + l4 + 2, to.quoted_destination_port.host());
    after = repaired(after);

    // As little as eight bytes of transport, in steps of one: also a cut through the checksum.
    size_t quoted = l4 + 8 + test::below(random, before.size() - 14 - l4 - 8 + 1);
    const Bytes icmp = v6 ? hex("0200 0000 0000 0500") : hex("0304 0000 0000 0578");
    Bytes b = error_about(slice(before, 14, 14 + quoted), test::random_address(random, v6),
                          test::random_address(random, v6), icmp);
    Bytes expected = error_about(slice(after, 14, 14 + quoted), to.source, to.destination, icmp);
    // Half a checksum cannot be updated, and whoever reads it cannot check it.
    if (tcp && quoted == l4 + 17) {
      expected.back() = b.back();
      expected = repaired(expected);
    }
    expected[v6 ? 21 : 22] = static_cast<uint8_t>(expected[v6 ? 21 : 22] - 1);
    expected = repaired(expected);

    const Frame f = parse(b);
    ASSERT_NE(f.kind, FrameKind::bad) << drop_name(f.drop);
    const auto q = parse_quote(b, f);
    ASSERT_TRUE(q);
    translate_error(b, f, *q, to);
    ASSERT_EQ(b, expected) << "round " << round << (v6 ? " IPv6" : " IPv4")
                           << (tcp ? " TCP " : " UDP ") << quoted << " of header " << header;
    const Frame g = parse(b);
    ASSERT_NE(g.kind, FrameKind::bad) << drop_name(g.drop);
    const auto r = parse_quote(b, g);
    ASSERT_TRUE(r);
    ASSERT_EQ(r->source, to.quoted_source);
    ASSERT_EQ(r->destination_port, to.quoted_destination_port);
  }
}

}  // namespace
}  // namespace limpet::wire
