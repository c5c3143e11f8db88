#include "limpet/wire/frame.h"

#include <gtest/gtest.h>

#include <string>

#include "frames.h"

namespace limpet::wire {
namespace {

using test::Bytes;
using test::Edit;
using test::edited;
using test::hex;
using test::parse;
using test::repaired;
using test::slice;

IpAddress ip(const char* text) {
  return *IpAddress::parse(text);
}

TEST(ParseFrame, finds_everything_in_a_tcp_segment) {
  const Frame f = parse(test::kTcp4Syn);
  EXPECT_EQ(f.kind, FrameKind::tcp);
  EXPECT_EQ(f.drop, Drop::none);
  EXPECT_EQ(f.protocol, 6);
  EXPECT_EQ(f.ttl, 64);
  EXPECT_FALSE(f.v6);
  EXPECT_EQ(f.tcp_flags, tcp_flag::syn);
  EXPECT_EQ(f.l3, 14);
  EXPECT_EQ(f.l4, 34);
  EXPECT_EQ(f.payload, 74);
  EXPECT_EQ(f.end, 74);
  EXPECT_EQ(f.source_port, be16::from(40000));
  EXPECT_EQ(f.destination_port, be16::from(80));
  EXPECT_EQ(f.source_mac.to_string(), "02:00:00:00:00:01");
  EXPECT_EQ(f.destination_mac.to_string(), "02:00:00:00:00:64");
  EXPECT_EQ(f.source, ip("10.1.0.2"));
  EXPECT_EQ(f.destination, ip("10.1.0.100"));
}

TEST(ParseFrame, finds_everything_in_a_tcp_segment_over_ipv6) {
  const Frame f = parse(test::kTcp6Data);
  EXPECT_EQ(f.kind, FrameKind::tcp);
  EXPECT_TRUE(f.v6);
  EXPECT_EQ(f.protocol, 6);
  EXPECT_EQ(f.ttl, 64);
  EXPECT_EQ(f.tcp_flags, tcp_flag::psh | tcp_flag::ack);
  EXPECT_EQ(f.l4, 54);
  EXPECT_EQ(f.payload, 74);
  EXPECT_EQ(f.end, 80);
  EXPECT_EQ(f.source_port, be16::from(40000));
  EXPECT_EQ(f.source, ip("fd00:1::2"));
  EXPECT_EQ(f.destination, ip("fd00:1::64"));
}

TEST(ParseFrame, finds_udp) {
  for (const Bytes& b : {test::kUdp4, test::kUdp6}) {
    const Frame f = parse(b);
    EXPECT_EQ(f.kind, FrameKind::udp) << drop_name(f.drop);
    EXPECT_EQ(f.payload, f.l4 + 8);
    EXPECT_EQ(f.end, b.size());
    EXPECT_EQ(f.source_port, be16::from(5353));
    EXPECT_EQ(f.destination_port, be16::from(9000));
    EXPECT_EQ(f.tcp_flags, 0);
  }
}

TEST(ParseFrame, finds_echo_and_its_identifier) {
  const Frame f4 = parse(test::kEcho4);
  EXPECT_EQ(f4.kind, FrameKind::icmp);
  EXPECT_EQ(f4.icmp_type, 8);
  EXPECT_EQ(f4.icmp_code, 0);
  EXPECT_EQ(f4.source_port, be16::from(0x1234));
  EXPECT_EQ(f4.destination_port, be16{});
  const Frame f6 = parse(test::kEcho6);
  EXPECT_EQ(f6.kind, FrameKind::icmp6);
  EXPECT_EQ(f6.icmp_type, 128);
  EXPECT_EQ(f6.source_port, be16::from(0x1234));
}

TEST(ParseFrame, finds_icmp_errors_without_an_identifier) {
  const Frame f4 = parse(test::kFragmentationNeeded4);
  EXPECT_EQ(f4.kind, FrameKind::icmp) << drop_name(f4.drop);
  EXPECT_EQ(f4.icmp_type, 3);
  EXPECT_EQ(f4.icmp_code, 4);
  EXPECT_EQ(f4.source_port, be16{});
  const Frame f6 = parse(test::kPortUnreachable6);
  EXPECT_EQ(f6.kind, FrameKind::icmp6) << drop_name(f6.drop);
  EXPECT_EQ(f6.icmp_type, 1);
  EXPECT_EQ(f6.icmp_code, 4);
}

TEST(ParseFrame, finds_arp) {
  const Frame f = parse(test::kArpRequest);
  EXPECT_EQ(f.kind, FrameKind::arp);
  EXPECT_EQ(f.l3, 14);
  EXPECT_EQ(f.end, 42);
  EXPECT_EQ(f.source, ip("10.1.0.2"));
  EXPECT_EQ(f.destination, ip("10.1.0.100"));
  EXPECT_EQ(f.protocol, 0);
}

TEST(ParseFrame, accepts_an_arp_probe_from_nowhere) {
  EXPECT_EQ(parse(edited(test::kArpRequest, {{28, {0, 0, 0, 0}}})).kind, FrameKind::arp);
}

TEST(ParseFrame, leaves_padding_out) {
  for (const Bytes& b : {test::kTcp4Data, test::kUdp4, test::kTcp6Data, test::kUdp6, test::kEcho4,
                         test::kEcho6, test::kArpRequest}) {
    const Frame f = parse(b + Bytes(18, 0xa5));
    EXPECT_EQ(f.drop, Drop::none) << drop_name(f.drop);
    EXPECT_EQ(f.end, b.size());
  }
}

TEST(ParseFrame, hands_other_ethertypes_on) {
  for (const char* type : {"88cc", "05dc", "0000", "9100", "8847"}) {
    const Frame f = parse(edited(test::kUdp4, {{12, hex(type)}}));
    EXPECT_EQ(f.kind, FrameKind::other) << type;
    EXPECT_EQ(f.source_mac.to_string(), "02:00:00:00:00:01");
  }
  EXPECT_EQ(parse(edited(slice(test::kUdp4, 0, 14), {{12, hex("88cc")}})).kind, FrameKind::other);
}

TEST(ParseFrame, hands_other_protocols_on) {
  const Frame gre = parse(repaired(edited(test::kUdp4, {{23, {47}}})));
  EXPECT_EQ(gre.kind, FrameKind::ip_other);
  EXPECT_EQ(gre.protocol, 47);
  EXPECT_EQ(gre.l4, 34);
  // ICMP of the other family is no ICMP; ESP, AH and "no next header" end the chain.
  EXPECT_EQ(parse(repaired(edited(test::kUdp4, {{23, {58}}, {40, {0, 0}}}))).kind,
            FrameKind::ip_other);
  for (const uint8_t next : {1, 50, 51, 59, 135})
    EXPECT_EQ(parse(edited(test::kUdp6, {{20, {next}}})).kind, FrameKind::ip_other);
}

TEST(ParseFrame, accepts_multicast_and_broadcast_destinations) {
  for (const Bytes& to : {Bytes{224, 0, 0, 1}, Bytes{255, 255, 255, 255}, Bytes{10, 1, 0, 255}})
    EXPECT_EQ(parse(repaired(edited(test::kUdp4, {{30, to}}))).kind, FrameKind::udp);
  EXPECT_EQ(parse(repaired(edited(test::kUdp6, {{38, hex("ff02")}}))).kind, FrameKind::udp);
}

TEST(ParseFrame, accepts_udp_without_checksum_over_ipv4_only) {
  EXPECT_EQ(parse(edited(test::kUdp4, {{40, {0, 0}}})).kind, FrameKind::udp);
  const Frame f = parse_frame(edited(test::kUdp6, {{60, {0, 0}}}), {.l4_checksum = true});
  EXPECT_EQ(f.drop, Drop::udp_checksum_bad);
}

TEST(ParseFrame, accepts_udp_shorter_than_its_datagram) {
  Bytes b = edited(test::kUdp4, {{38, {0, 10}}, {40, {0, 1}}});
  b = repaired(b);
  EXPECT_EQ(parse(b).kind, FrameKind::udp);
  b[44] ^= 0xff;  // behind the UDP length: covered by no checksum
  EXPECT_EQ(parse(b).kind, FrameKind::udp);
  b[43] ^= 0xff;
  EXPECT_EQ(parse(b).drop, Drop::udp_checksum_bad);
}

TEST(ParseFrame, keeps_explicit_congestion_flags_out_of_the_tcp_flags) {
  const Frame f = parse(repaired(edited(test::kTcp4Syn, {{47, {0xc2}}})));
  EXPECT_EQ(f.kind, FrameKind::tcp);
  EXPECT_EQ(f.tcp_flags, tcp_flag::syn);
}

TEST(ParseFrame, accepts_every_header_length_of_tcp) {
  for (unsigned words = 5; words <= 9; ++words) {  // 39 bytes of segment
    const Frame f = parse(repaired(edited(test::kTcp4Data, {{46, {uint8_t(words << 4)}}})));
    EXPECT_EQ(f.kind, FrameKind::tcp);
    EXPECT_EQ(f.payload, 34 + words * 4);
  }
}

Bytes with_ip4_options(const Bytes& options) {
  Bytes b = slice(test::kUdp4, 0, 34) + options + slice(test::kUdp4, 34, test::kUdp4.size());
  b[14] = static_cast<uint8_t>(0x45 + options.size() / 4);
  test::put16(b, 16, static_cast<uint16_t>(34 + options.size()));
  return repaired(b);
}

TEST(ParseFrame, walks_ip4_options) {
  for (const char* good : {"9404 0000", "0101 0100", "00ff ffff", "0707 0400 0000 0000",
                           "440c 0500 0000 0000 0000 0000", "9404 0000 0101 0100"}) {
    const Frame f = parse(with_ip4_options(hex(good)));
    EXPECT_EQ(f.kind, FrameKind::udp) << good << " " << drop_name(f.drop);
    EXPECT_EQ(f.l4, 34 + hex(good).size());
  }
}

TEST(ParseFrame, refuses_bad_ip4_options_and_source_routes) {
  for (const char* bad : {"8307 0400 0000 0000", "8907 0400 0000 0000", "9400 0000", "9401 0000",
                          "9405 0000", "01 01 01 94", "0101 0183", "9404 0000 0702 07ff"})
    EXPECT_EQ(parse(with_ip4_options(hex(bad))).drop, Drop::ip_options_bad) << bad;
}

// UDP behind `headers`, of which the first is of kind `first`.
Bytes with_ip6_headers(uint8_t first, const Bytes& headers) {
  Bytes b = slice(test::kUdp6, 0, 54) + headers + slice(test::kUdp6, 54, test::kUdp6.size());
  test::put16(b, 18, static_cast<uint16_t>(15 + headers.size()));
  b[20] = first;
  return b;
}

TEST(ParseFrame, walks_ip6_extension_headers) {
  struct {
    const char* what;
    uint8_t first;
    const char* headers;
  } const cases[] = {
      {"hop-by-hop with router alert", 0, "1100 0502 0000 0100"},
      {"destination options, padded", 60, "1100 0104 0000 0000"},
      {"destination options of 16 bytes", 60, "1101 010c 0000 0000 0000 0000 0000 0000"},
      {"destination options, Pad1", 60, "1100 0000 0000 0000"},
      {"unknown option that may be skipped", 60, "1100 1e04 0000 0000"},
      {"used up routing header of type 0", 43, "1100 0000 0000 0000"},
      {"used up routing header of type 2", 43,
       "1102 0200 0000 0000 fd00 0001 0000 0000 0000 0000 0000 0064"},
      {"hop-by-hop, destination, routing, destination", 0,
       "3c00 0104 0000 0000 2b00 0104 0000 0000 3c00 0000 0000 0000 1100 0104 0000 0000"},
  };
  for (const auto& c : cases) {
    const Frame f = parse(with_ip6_headers(c.first, hex(c.headers)));
    EXPECT_EQ(f.kind, FrameKind::udp) << c.what << ": " << drop_name(f.drop);
    EXPECT_EQ(f.l4, 54 + hex(c.headers).size()) << c.what;
    EXPECT_EQ(f.protocol, 17) << c.what;
    EXPECT_EQ(f.destination_port, be16::from(9000)) << c.what;
  }
}

TEST(ParseFrame, refuses_bad_ip6_extension_headers) {
  struct {
    const char* what;
    const char* headers;
    uint8_t first;
    Drop drop;
  } const cases[] = {
      {"hop-by-hop behind another header", "0000 0104 0000 0000 1100 0104 0000 0000", 60,
       Drop::ip_options_bad},
      {"two hop-by-hop headers", "0000 0104 0000 0000 1100 0104 0000 0000", 0,
       Drop::ip_options_bad},
      {"source route of type 0", "1102 0001 0000 0000 fd00 0001 0000 0000 0000 0000 0000 0064", 43,
       Drop::ip_options_bad},
      {"segment routing that goes on",
       "1102 0401 0000 0000 fd00 0001 0000 0000 0000 0000 0000 0064", 43, Drop::ip_options_bad},
      {"jumbo payload", "1100 c204 0001 0000", 0, Drop::ip_options_bad},
      {"home address", "1102 0102 0000 c910 fd00 0001 0000 0000 0000 0000 0000 0064", 60,
       Drop::ip_options_bad},
      {"unknown option that asks to discard", "1100 4104 0000 0000", 60, Drop::ip_options_bad},
      {"option beyond its header", "1100 0105 0000 0000", 60, Drop::ip_options_bad},
      {"option cut behind its kind", "1100 0103 0000 0001", 60, Drop::ip_options_bad},
      {"too many options", "1102 0000 0000 0000 0000 0000 0000 0000 0000 0000 0000 0000", 60,
       Drop::ip_options_bad},
      {"nine headers",
       "3c00 0104 0000 0000 3c00 0104 0000 0000 3c00 0104 0000 0000 3c00 0104 0000 0000 "
       "3c00 0104 0000 0000 3c00 0104 0000 0000 3c00 0104 0000 0000 3c00 0104 0000 0000 "
       "1100 0104 0000 0000",
       60, Drop::ip_options_bad},
      {"header beyond the packet", "11ff 0104 0000 0000", 60, Drop::ip_length_bad},
  };
  for (const auto& c : cases) {
    const Frame f = parse(with_ip6_headers(c.first, hex(c.headers)));
    EXPECT_EQ(f.kind, FrameKind::bad) << c.what;
    EXPECT_EQ(f.drop, c.drop) << c.what << ": " << drop_name(f.drop);
  }
}

TEST(ParseFrame, accepts_as_many_ip6_extension_headers_as_its_limit) {
  Bytes eight;
  for (int i = 0; i < 7; ++i) eight = eight + hex("3c00 0104 0000 0000");
  EXPECT_EQ(parse(with_ip6_headers(60, eight + hex("1100 0104 0000 0000"))).kind, FrameKind::udp);
}

TEST(ParseFrame, refuses_an_ip6_chain_that_ends_without_its_last_header) {
  Bytes b = slice(test::kUdp6, 0, 54);
  test::put16(b, 18, 0);
  b[20] = 60;
  EXPECT_EQ(parse(b).drop, Drop::ip_length_bad);
  Bytes seven = b + Bytes(7, 0);
  test::put16(seven, 18, 7);
  EXPECT_EQ(parse(seven).drop, Drop::ip_length_bad);
}

TEST(ParseFrame, tells_fragments) {
  // UDP4 carries 14 bytes: only a last fragment may have that length.
  const Frame last = parse(repaired(edited(test::kUdp4, {{20, hex("0010")}})));
  EXPECT_EQ(last.kind, FrameKind::fragment);
  EXPECT_EQ(last.protocol, 17);
  EXPECT_EQ(last.source, ip("10.1.0.2"));
  EXPECT_EQ(last.source_port, be16{});
  const Bytes eight =
      repaired(edited(slice(test::kUdp4, 0, 42), {{16, {0, 28}}, {20, hex("2000")}, {38, {0, 8}}}));
  EXPECT_EQ(parse(eight).kind, FrameKind::fragment);
  // IPv6: first, middle and last.
  for (const char* word : {"0001", "0009", "0010"}) {
    const bool more = word[3] == '1' || word[3] == '9';
    Bytes b = with_ip6_headers(44, hex("1100") + hex(word) + hex("0000 0001"));
    if (more) b = b + Bytes{0};
    if (more) test::put16(b, 18, 24);
    const Frame f = parse(b);
    EXPECT_EQ(f.kind, FrameKind::fragment) << word << drop_name(f.drop);
    EXPECT_EQ(f.protocol, 17);
    EXPECT_EQ(f.l4, 62);
    EXPECT_EQ(f.destination_port, be16{});
  }
}

TEST(ParseFrame, ignores_the_reserved_byte_of_a_fragment_header) {
  const Frame f = parse(with_ip6_headers(44, hex("11ff 0010 0000 0001")));
  EXPECT_EQ(f.kind, FrameKind::fragment) << drop_name(f.drop);
  EXPECT_EQ(f.l4, 62);
}

// RFC 6946: a fragment header that says "all of it", whatever its reserved bits, and perhaps with
// options behind it.
TEST(ParseFrame, takes_an_atomic_fragment_for_a_whole_datagram) {
  for (const char* header : {"1100 0000 0000 0001", "11ff 0006 ffff ffff"}) {
    const Frame f = parse(with_ip6_headers(44, hex(header)));
    EXPECT_EQ(f.kind, FrameKind::udp) << header << drop_name(f.drop);
    EXPECT_EQ(f.protocol, 17);
    EXPECT_EQ(f.l4, 62);
    EXPECT_NE(f.destination_port, be16{});
  }
  const Frame f = parse(with_ip6_headers(44, hex("3c00 0000 0000 0001 1100 0104 0000 0000")));
  EXPECT_EQ(f.kind, FrameKind::udp) << drop_name(f.drop);
  EXPECT_EQ(f.l4, 70);
}

TEST(ParseFrame, refuses_neighbor_discovery_in_an_atomic_fragment) {
  Bytes b = test::kDuplicateDetection;
  b[20] = 44;
  const Bytes header = hex("3a00 0000 0000 0001");
  b.insert(b.begin() + 54, header.begin(), header.end());
  test::put16(b, 18, b.size() - 54);
  EXPECT_EQ(parse(b).drop, Drop::nd_bad) << "RFC 6980, 5";
}

TEST(ParseFrame, refuses_fragments_that_can_never_be_assembled) {
  const Bytes twelve = edited(slice(test::kUdp4, 0, 46), {{16, {0, 32}}, {38, {0, 12}}});
  EXPECT_EQ(parse(repaired(edited(twelve, {{20, hex("2000")}}))).drop, Drop::ip_length_bad);
  EXPECT_EQ(parse(repaired(edited(test::kUdp4, {{20, hex("2000")}}))).drop, Drop::ip_length_bad);
  EXPECT_EQ(parse(repaired(edited(test::kUdp4, {{20, hex("1fff")}}))).drop, Drop::ip_length_bad);
  EXPECT_EQ(parse(with_ip6_headers(44, hex("1100 0001 0000 0001"))).drop, Drop::ip_length_bad);
  EXPECT_EQ(parse(with_ip6_headers(44, hex("1100 fff8 0000 0001"))).drop, Drop::ip_length_bad);
}

TEST(ParseFrame, accepts_who_looks_for_a_free_address_or_a_router) {
  EXPECT_EQ(parse(test::kDuplicateDetection).kind, FrameKind::icmp6);
  EXPECT_EQ(parse(repaired(edited(test::kDuplicateDetection, {{54, {133}}}))).kind,
            FrameKind::icmp6);
}

TEST(ParseFrame, believes_the_nic_about_checksums) {
  const Bytes ip_bad = edited(test::kTcp4Data, {{24, {0, 0}}});
  EXPECT_EQ(parse_frame(ip_bad, {.l4_checksum = true}).drop, Drop::ip_checksum_bad);
  EXPECT_EQ(parse_frame(ip_bad, {.ip_checksum = true}).kind, FrameKind::tcp);
  const Bytes tcp_bad = edited(test::kTcp4Data, {{50, {0, 0}}});
  EXPECT_EQ(parse_frame(tcp_bad, {.ip_checksum = true}).drop, Drop::tcp_checksum_bad);
  EXPECT_EQ(parse_frame(tcp_bad, {.l4_checksum = true}).kind, FrameKind::tcp);
  const Bytes udp_bad = edited(test::kUdp6, {{60, {1, 1}}});
  EXPECT_EQ(parse_frame(udp_bad, {}).drop, Drop::udp_checksum_bad);
  EXPECT_EQ(parse_frame(udp_bad, {.l4_checksum = true}).kind, FrameKind::udp);
  // Not about ICMP.
  const Bytes icmp_bad = edited(test::kEcho4, {{36, {0, 0}}});
  EXPECT_EQ(parse_frame(icmp_bad, {.ip_checksum = true, .l4_checksum = true}).drop, Drop::icmp_bad);
}

struct Refusal {
  const char* what;
  const Bytes& base;
  std::vector<Edit> edits;
  bool repair;  // checksums made right again: the edit alone is to blame
  Drop drop;
};

TEST(ParseFrame, refuses_with_the_right_reason) {
  const Refusal cases[] = {
      {"802.1Q tag", test::kTcp4Data, {{12, hex("8100")}}, false, Drop::vlan_unsupported},
      {"802.1ad tag", test::kTcp4Data, {{12, hex("88a8")}}, false, Drop::vlan_unsupported},

      {"ARP for another link", test::kArpRequest, {{14, {0, 6}}}, false, Drop::arp_bad},
      {"ARP for another protocol", test::kArpRequest, {{16, hex("86dd")}}, false, Drop::arp_bad},
      {"ARP with long MACs", test::kArpRequest, {{18, {8}}}, false, Drop::arp_bad},
      {"ARP with short addresses", test::kArpRequest, {{19, {3}}}, false, Drop::arp_bad},
      {"ARP operation 0", test::kArpRequest, {{20, {0, 0}}}, false, Drop::arp_bad},
      {"reverse ARP", test::kArpRequest, {{20, {0, 3}}}, false, Drop::arp_bad},
      {"ARP from a group MAC", test::kArpRequest, {{22, {0x03}}}, false, Drop::arp_bad},
      {"ARP from multicast", test::kArpRequest, {{28, {224}}}, false, Drop::arp_bad},
      {"ARP from loopback", test::kArpRequest, {{28, {127}}}, false, Drop::arp_bad},
      {"ARP from broadcast", test::kArpRequest, {{28, hex("ffff ffff")}}, false, Drop::arp_bad},

      {"IPv6 header behind the IPv4 EtherType",
       test::kTcp6Data,
       {{12, hex("0800")}},
       false,
       Drop::ip_version_bad},
      {"IPv4 header behind the IPv6 EtherType",
       test::kTcp4Data,
       {{12, hex("86dd")}},
       false,
       Drop::ip_version_bad},
      {"version 5", test::kTcp4Data, {{14, {0x55}}}, false, Drop::ip_version_bad},
      {"version 0 over IPv6", test::kTcp6Data, {{14, {0}}}, false, Drop::ip_version_bad},
      {"IHL 4", test::kTcp4Data, {{14, {0x44}}}, false, Drop::ip_header_bad},
      {"IHL 0", test::kTcp4Data, {{14, {0x40}}}, false, Drop::ip_header_bad},
      {"total length below the header",
       test::kTcp4Data,
       {{16, {0, 19}}},
       false,
       Drop::ip_length_bad},
      {"total length 0", test::kTcp4Data, {{16, {0, 0}}}, false, Drop::ip_length_bad},
      {"total length below a header with options",
       test::kTcp4Data,
       {{14, {0x46}}, {16, {0, 20}}},
       false,
       Drop::ip_length_bad},
      {"total length beyond the frame",
       test::kTcp4Data,
       {{16, {0, 60}}},
       false,
       Drop::frame_truncated},
      {"payload length beyond the frame",
       test::kTcp6Data,
       {{18, {0, 27}}},
       false,
       Drop::frame_truncated},
      {"wrong IPv4 checksum", test::kTcp4Data, {{24, hex("0a11")}}, false, Drop::ip_checksum_bad},
      {"changed TTL", test::kTcp4Data, {{22, {63}}}, false, Drop::ip_checksum_bad},
      {"changed identification", test::kTcp4Data, {{18, {0}}}, false, Drop::ip_checksum_bad},

      {"from 0.0.0.0", test::kUdp4, {{26, {0, 0, 0, 0}}}, true, Drop::ip_address_bad},
      {"from this network", test::kUdp4, {{26, {0}}}, true, Drop::ip_address_bad},
      {"from loopback", test::kUdp4, {{26, {127}}}, true, Drop::ip_address_bad},
      {"from multicast", test::kUdp4, {{26, {224}}}, true, Drop::ip_address_bad},
      {"from the last multicast", test::kUdp4, {{26, {239}}}, true, Drop::ip_address_bad},
      {"from broadcast", test::kUdp4, {{26, hex("ffff ffff")}}, true, Drop::ip_address_bad},
      {"to loopback", test::kUdp4, {{30, {127}}}, true, Drop::ip_address_bad},
      {"to this network", test::kUdp4, {{30, {0}}}, true, Drop::ip_address_bad},
      {"to nowhere", test::kUdp4, {{30, {0, 0, 0, 0}}}, true, Drop::ip_address_bad},
      {"from :: with UDP", test::kUdp6, {{22, Bytes(16, 0)}}, true, Drop::ip_address_bad},
      {"from :: with TCP", test::kTcp6Data, {{22, Bytes(16, 0)}}, true, Drop::ip_address_bad},
      {"from :: with an echo", test::kEcho6, {{22, Bytes(16, 0)}}, true, Drop::ip_address_bad},
      {"from :: with an advertisement",
       test::kAdvertisement,
       {{22, Bytes(16, 0)}},
       true,
       Drop::ip_address_bad},
      {"from ::1", test::kUdp6, {{22, Bytes(15, 0)}, {37, {1}}}, true, Drop::ip_address_bad},
      {"from multicast over IPv6", test::kUdp6, {{22, {0xff}}}, true, Drop::ip_address_bad},
      {"from a mapped address",
       test::kUdp6,
       {{22, hex("0000 0000 0000 0000 0000 ffff 0a01 0002")}},
       true,
       Drop::ip_address_bad},
      {"to a mapped address",
       test::kUdp6,
       {{38, hex("0000 0000 0000 0000 0000 ffff 0a01 0002")}},
       true,
       Drop::ip_address_bad},
      {"to ::1", test::kUdp6, {{38, Bytes(15, 0)}, {53, {1}}}, true, Drop::ip_address_bad},
      {"to ::", test::kUdp6, {{38, Bytes(16, 0)}}, true, Drop::ip_address_bad},

      {"TCP data offset 4", test::kTcp4Data, {{46, {0x40}}}, true, Drop::tcp_header_bad},
      {"TCP data offset beyond the segment",
       test::kTcp4Data,
       {{46, {0xa0}}},
       true,
       Drop::tcp_header_bad},
      {"TCP header cut by the total length",
       test::kTcp4Data,
       {{16, {0, 39}}},
       true,
       Drop::tcp_header_bad},
      {"TCP header cut by the payload length",
       test::kTcp6Data,
       {{18, {0, 19}}},
       true,
       Drop::tcp_header_bad},
      {"no TCP flags", test::kTcp4Data, {{47, {0x00}}}, true, Drop::tcp_flags_bad},
      {"only congestion flags", test::kTcp4Data, {{47, {0xc0}}}, true, Drop::tcp_flags_bad},
      {"SYN and FIN", test::kTcp4Data, {{47, {0x03}}}, true, Drop::tcp_flags_bad},
      {"SYN, FIN, RST and ACK", test::kTcp6Data, {{67, {0x17}}}, true, Drop::tcp_flags_bad},
      {"SYN and RST", test::kTcp4Data, {{47, {0x06}}}, true, Drop::tcp_flags_bad},
      {"changed TCP data", test::kTcp4Data, {{72, {2}}}, false, Drop::tcp_checksum_bad},
      {"changed TCP data over IPv6", test::kTcp6Data, {{79, {2}}}, false, Drop::tcp_checksum_bad},
      {"changed address over IPv6", test::kTcp6Data, {{53, {2}}}, false, Drop::tcp_checksum_bad},
      {"TCP from port 0", test::kTcp4Data, {{34, {0, 0}}}, true, Drop::port_zero},
      {"TCP to port 0", test::kTcp6Data, {{56, {0, 0}}}, true, Drop::port_zero},

      {"UDP length 7", test::kUdp4, {{38, {0, 7}}}, false, Drop::udp_length_bad},
      {"UDP length 0", test::kUdp6, {{58, {0, 0}}}, false, Drop::udp_length_bad},
      {"UDP length beyond the datagram", test::kUdp4, {{38, {0, 15}}}, false, Drop::udp_length_bad},
      {"UDP header cut by the total length",
       test::kUdp4,
       {{16, {0, 27}}, {40, {0, 0}}},
       true,
       Drop::udp_length_bad},
      {"changed UDP data", test::kUdp4, {{42, {0}}}, false, Drop::udp_checksum_bad},
      {"changed UDP data over IPv6", test::kUdp6, {{68, {0}}}, false, Drop::udp_checksum_bad},
      {"UDP checksum 0 over IPv6", test::kUdp6, {{60, {0, 0}}}, false, Drop::udp_checksum_bad},
      {"UDP from port 0", test::kUdp4, {{34, {0, 0}}}, true, Drop::port_zero},
      {"UDP to port 0", test::kUdp6, {{56, {0, 0}}}, true, Drop::port_zero},

      {"changed ICMP data", test::kEcho4, {{42, {0}}}, false, Drop::icmp_bad},
      {"changed ICMPv6 data", test::kEcho6, {{62, {0}}}, false, Drop::icmp_bad},
      {"ICMPv6 checksum without a pseudo header",
       test::kEcho6,
       {{56, hex("dd67")}},
       false,
       Drop::icmp_bad},
  };
  for (const Refusal& c : cases) {
    const Bytes b = c.repair ? repaired(edited(c.base, c.edits)) : edited(c.base, c.edits);
    const Frame f = parse(test::exactly(b, b.size()));
    EXPECT_EQ(f.kind, FrameKind::bad) << c.what;
    EXPECT_EQ(f.drop, c.drop) << c.what << ": " << drop_name(f.drop);
  }
}

TEST(ParseFrame, a_syn_ack_may_bring_data_and_fin) {
  const Frame f = parse(repaired(edited(test::kTcp6Data, {{67, {0x13}}})));
  EXPECT_EQ(f.kind, FrameKind::tcp);
  EXPECT_EQ(f.tcp_flags, tcp_flag::syn | tcp_flag::fin | tcp_flag::ack);
}

TEST(ParseFrame, refuses_icmp_shorter_than_its_header) {
  Bytes b = repaired(edited(slice(test::kEcho4, 0, 41), {{16, {0, 27}}}));
  EXPECT_EQ(parse(b).drop, Drop::icmp_bad);
  b = repaired(edited(slice(test::kEcho6, 0, 61), {{18, {0, 7}}}));
  EXPECT_EQ(parse(b).drop, Drop::icmp_bad);
}

}  // namespace
}  // namespace limpet::wire
