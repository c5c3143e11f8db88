#include "limpet/wire/nd.h"

#include <gtest/gtest.h>

#include "frames.h"

namespace limpet::wire {
namespace {

using test::Bytes;
using test::Edit;
using test::edited;
using test::hex;
using test::parse;
using test::repaired;
constexpr MacAddress kOurs{{0x02, 0, 0, 0, 0, 0x64}};
constexpr MacAddress kTheirs{{0x02, 0, 0, 0, 0, 0x01}};
IpAddress ip(const char* text) {
  return *IpAddress::parse(text);
}

Drop read(const Bytes& b, NeighborMessage& m) {
  const Frame f = parse(b);
  EXPECT_TRUE(is_neighbor_message(f)) << drop_name(f.drop);
  return read_neighbor_message(b, f, m);
}
Drop read(const Bytes& b) {
  NeighborMessage m;
  return read(b, m);
}

TEST(NeighborMessage, reads_a_solicitation) {
  NeighborMessage m;
  ASSERT_EQ(read(test::kSolicitation, m), Drop::none);
  EXPECT_TRUE(m.solicitation);
  EXPECT_EQ(m.target, ip("fd00:1::64"));
  EXPECT_EQ(m.link_address, kTheirs);
}

TEST(NeighborMessage, reads_a_check_for_duplicates) {
  NeighborMessage m;
  ASSERT_EQ(read(test::kDuplicateDetection, m), Drop::none);
  EXPECT_TRUE(m.solicitation);
  EXPECT_EQ(m.target, ip("fd00:1::64"));
  EXPECT_FALSE(m.link_address);
}

TEST(NeighborMessage, reads_an_advertisement) {
  NeighborMessage m;
  ASSERT_EQ(read(test::kAdvertisement, m), Drop::none);
  EXPECT_FALSE(m.solicitation);
  EXPECT_FALSE(m.router);
  EXPECT_TRUE(m.solicited);
  EXPECT_TRUE(m.overrides);
  EXPECT_EQ(m.target, ip("fd00:1::2"));
  EXPECT_EQ(m.link_address, kTheirs);
}

TEST(NeighborMessage, reads_each_flag_for_itself) {
  NeighborMessage m;
  ASSERT_EQ(read(repaired(edited(test::kAdvertisement, {{58, {0x80}}})), m), Drop::none);
  EXPECT_TRUE(m.router && !m.solicited && !m.overrides);
  ASSERT_EQ(read(repaired(edited(test::kAdvertisement, {{58, {0x20}}})), m), Drop::none);
  EXPECT_TRUE(!m.router && !m.solicited && m.overrides);
}

TEST(NeighborMessage, skips_options_that_it_does_not_know) {
  // A nonce (RFC 3971) in front of the link-layer address.
  Bytes b = test::slice(test::kSolicitation, 0, 78) + hex("0e01 1122 3344 5566") +
            test::slice(test::kSolicitation, 78, 86);
  b = repaired(edited(b, {{18, {0, 40}}}));
  NeighborMessage m;
  ASSERT_EQ(read(b, m), Drop::none);
  EXPECT_EQ(m.link_address, kTheirs);
}

TEST(NeighborMessage, does_not_take_the_other_kind_of_link_address) {
  NeighborMessage m;
  ASSERT_EQ(read(repaired(edited(test::kSolicitation, {{78, {2}}})), m), Drop::none);
  EXPECT_FALSE(m.link_address);
  ASSERT_EQ(read(repaired(edited(test::kAdvertisement, {{78, {1}}})), m), Drop::none);
  EXPECT_FALSE(m.link_address);
}

TEST(NeighborMessage, takes_the_first_of_two_link_addresses) {
  Bytes b = test::kSolicitation + hex("0101 0200 0000 0099");
  NeighborMessage m;
  ASSERT_EQ(read(repaired(edited(b, {{18, {0, 40}}})), m), Drop::none);
  EXPECT_EQ(m.link_address, kTheirs);
}

TEST(NeighborMessage, is_refused_when_malformed) {
  struct {
    const char* what;
    const Bytes& base;
    std::vector<Edit> edits;
  } const cases[] = {
      {"solicitation from another link", test::kSolicitation, {{21, {254}}}},
      {"advertisement from another link", test::kAdvertisement, {{21, {64}}}},
      {"code 1", test::kSolicitation, {{55, {1}}}},
      {"code 1 of an advertisement", test::kAdvertisement, {{55, {1}}}},
      {"no room for the target", test::kSolicitation, {{18, {0, 23}}}},
      {"multicast target", test::kSolicitation, {{62, hex("ff02")}}},
      {"multicast target of an advertisement", test::kAdvertisement, {{62, hex("ff02")}}},
      {"unspecified target", test::kSolicitation, {{62, Bytes(16, 0)}}},
      {"loopback target",
       test::kSolicitation,
       {{62, hex("0000 0000 0000 0000 0000 0000 0000 0001")}}},
      {"IPv4-mapped target",
       test::kAdvertisement,
       {{62, hex("0000 0000 0000 0000 0000 ffff 0a01 0002")}}},
      {"option of length zero", test::kSolicitation, {{79, {0}}}},
      {"option of length zero in an advertisement", test::kAdvertisement, {{79, {0}}}},
      {"option beyond the packet", test::kSolicitation, {{79, {2}}}},
      {"option of less than eight bytes", test::kSolicitation, {{18, {0, 31}}}},
      {"group address in the option", test::kSolicitation, {{80, {0x03}}}},
      {"solicited advertisement to many", test::kAdvertisement, {{38, hex("ff02")}}},
      {"from :: with a link address", test::kSolicitation, {{22, Bytes(16, 0)}}},
      {"from :: to a unicast address", test::kDuplicateDetection, {{38, hex("fd00")}}},
      {"from :: to all nodes",
       test::kDuplicateDetection,
       {{38, hex("ff02 0000 0000 0000 0000 0000 0000 0001")}}},
  };
  for (const auto& c : cases)
    EXPECT_EQ(read(repaired(edited(c.base, c.edits))), Drop::nd_bad) << c.what;
}

TEST(NeighborMessage, is_refused_with_a_link_address_of_another_link) {
  const Bytes b =
      edited(test::kSolicitation + hex("0000 0000 0000 0000"), {{18, {0, 40}}, {79, {2}}});
  EXPECT_EQ(read(repaired(b)), Drop::nd_bad);
}

TEST(NeighborMessage, changes_nothing_when_refused) {
  NeighborMessage m;
  m.target = ip("fd00::7");
  EXPECT_EQ(read(repaired(edited(test::kSolicitation, {{79, {0}}})), m), Drop::nd_bad);
  EXPECT_EQ(m.target, ip("fd00::7"));
}

TEST(NeighborMessage, stays_inside_whatever_its_options_say) {
  test::Random random(8);
  for (int round = 0; round < 20000; ++round) {
    Bytes b = test::slice(test::kSolicitation, 0, 78) + Bytes(test::below(random, 60));
    for (size_t i = 78; i < b.size(); ++i) b[i] = static_cast<uint8_t>(random() % 5);
    test::put16(b, 18, static_cast<uint16_t>(b.size() - 54));
    b = test::exactly(repaired(b), b.size());
    NeighborMessage m;
    read_neighbor_message(b, parse(b), m);
  }
}

TEST(Multicast, groups_and_their_macs) {
  // RFC 4291, 2.7.1: the example of solicited-node addresses.
  const IpAddress group = solicited_node_address(ip("4037::1:800:200e:8c6c"));
  EXPECT_EQ(group, ip("ff02::1:ff0e:8c6c"));
  EXPECT_EQ(multicast_mac(group).to_string(), "33:33:ff:0e:8c:6c");
  EXPECT_EQ(multicast_mac(ip("ff02::1")).to_string(), "33:33:00:00:00:01");
}

TEST(Solicitation, asks_the_group_of_the_target) {
  Bytes out(kMaxNeighborFrame);
  EXPECT_EQ(build_neighbor_solicitation(out, kOurs, ip("fd00:1::64"), ip("fd00:1::2")), 86u);
  EXPECT_EQ(out, hex("3333 ff00 0002 0200 0000 0064 86dd "
                     "6000 0000 0020 3aff fd00 0001 0000 0000 0000 0000 0000 0064 "
                     "ff02 0000 0000 0000 0000 0001 ff00 0002 "
                     "8700 7ccf 0000 0000 fd00 0001 0000 0000 0000 0000 0000 0002 "
                     "0101 0200 0000 0064"));
}

TEST(Solicitation, asks_a_known_neighbor_alone) {
  Bytes out(kMaxNeighborFrame);
  EXPECT_EQ(build_neighbor_solicitation(out, kOurs, ip("fd00:1::64"), ip("fd00:1::2"), kTheirs),
            86u);
  const Frame f = parse(out);
  EXPECT_EQ(f.destination_mac, kTheirs);
  EXPECT_EQ(f.destination, ip("fd00:1::2"));
  NeighborMessage m;
  ASSERT_EQ(read(out, m), Drop::none);
  EXPECT_EQ(m.target, ip("fd00:1::2"));
  EXPECT_EQ(m.link_address, kOurs);
}

TEST(Solicitation, checks_for_duplicates_without_an_option) {
  Bytes out(kMaxNeighborFrame);
  out.resize(build_neighbor_solicitation(out, kTheirs, ip("::"), ip("fd00:1::64")));
  EXPECT_EQ(out, test::kDuplicateDetection);
}

TEST(Advertisement, answers_who_asked) {
  Bytes out(kMaxNeighborFrame);
  NeighborMessage m;
  ASSERT_EQ(read(test::kSolicitation, m), Drop::none);
  EXPECT_EQ(build_advertisement_for(out, kOurs, parse(test::kSolicitation), m), 86u);
  EXPECT_EQ(out, hex("0200 0000 0001 0200 0000 0064 86dd "
                     "6000 0000 0020 3aff fd00 0001 0000 0000 0000 0000 0000 0064 "
                     "fd00 0001 0000 0000 0000 0000 0000 0002 "
                     "8800 1b70 6000 0000 fd00 0001 0000 0000 0000 0000 0000 0064 "
                     "0201 0200 0000 0064"));
}

TEST(Advertisement, goes_to_the_frame_s_source_when_the_solicitation_names_none) {
  const Bytes b = repaired(edited(test::kSolicitation, {{78, {14}}}));
  Bytes out(kMaxNeighborFrame);
  NeighborMessage m;
  ASSERT_EQ(read(b, m), Drop::none);
  build_advertisement_for(out, kOurs, parse(b), m);
  EXPECT_EQ(parse(out).destination_mac, kTheirs);
}

TEST(Advertisement, defends_an_address_towards_all_nodes) {
  Bytes out(kMaxNeighborFrame);
  NeighborMessage m;
  ASSERT_EQ(read(test::kDuplicateDetection, m), Drop::none);
  EXPECT_EQ(build_advertisement_for(out, kOurs, parse(test::kDuplicateDetection), m), 86u);
  EXPECT_EQ(out, hex("3333 0000 0001 0200 0000 0064 86dd "
                     "6000 0000 0020 3aff fd00 0001 0000 0000 0000 0000 0000 0064 "
                     "ff02 0000 0000 0000 0000 0000 0000 0001 "
                     "8800 5970 2000 0000 fd00 0001 0000 0000 0000 0000 0000 0064 "
                     "0201 0200 0000 0064"));
}

TEST(NeighborFrames, refuse_a_buffer_that_is_too_short) {
  Bytes out(85);
  EXPECT_EQ(build_unsolicited_advertisement(out, kOurs, ip("fd00:1::64")), 0u);
  EXPECT_EQ(build_neighbor_solicitation(out, kOurs, ip("fd00:1::64"), ip("fd00:1::2")), 0u);
}

}  // namespace
}  // namespace limpet::wire
