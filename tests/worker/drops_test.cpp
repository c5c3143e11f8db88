// Every reason for which a worker ends a frame, reached from outside: {what, frame, reason}.
#include <fmt/core.h>

#include "connection.h"

namespace limpet::worker_test {
namespace {

using dataplane::WorkerCounters;

const IpAddress kClient4 = ip("10.1.0.2");
const IpAddress kClient6 = ip("fd00:1::2");

struct Case {
  std::string what;
  Bytes frame;
  Drop reason;
};

Bytes cut(Bytes b, size_t length) {
  b.resize(length);
  return b;
}
template <class Change>
Bytes but(Bytes b, Change change, bool fix = true) {
  change(b);
  if (fix) fix_checksums(b);
  return b;
}
Bytes set(Bytes b, size_t at, uint8_t value, bool fix = true) {
  return but(
      std::move(b), [&](Bytes& f) { f.at(at) = value; }, fix);
}
Bytes set16(Bytes b, size_t at, uint16_t value, bool fix = true) {
  return but(
      std::move(b), [&](Bytes& f) { put16(f, at, value); }, fix);
}

std::vector<Case> cases(Rig& rig) {
  const Link link4 = rig.to_us(kClient4);
  const Ip ip4{.from = kClient4, .to = kVip4};
  const Ip ip6{.from = kClient6, .to = kVip6};
  const Link link6 = rig.to_us(kClient6);
  const Tcp syn{.flags = kSyn, .seq = 1, .data = pattern(4)};
  const Bytes t4 = tcp_frame(link4, ip4, 40000, 80, syn);
  const Bytes t6 = tcp_frame(link6, ip6, 40000, 80, syn);
  const Bytes u4 = udp_frame(link4, ip4, 5353, 7, pattern(8));
  const Bytes u6 = udp_frame(link6, ip6, 5353, 7, pattern(8));
  const Bytes e4 = echo_frame(link4, ip4, true, 1, 1, pattern(8));
  const Bytes e6 = echo_frame(link6, ip6, true, 1, 1, pattern(8));
  const Bytes arp = arp_request(kClient4, kVip4);
  const IpAddress group = solicited_node(kVip6);
  const Bytes ns =
      solicitation({group_mac(group), mac_of(kClient6)}, kClient6, group, kVip6, mac_of(kClient6));
  Link own = link4;
  own.from = rig.port_mac(kFront);
  Link foreign = link4;
  foreign.to = mac_of(ip("10.1.0.99"));
  Ip mapped = ip6;
  mapped.from = ip("fd00:1::1");
  Bytes from_mapped = tcp_frame(link6, mapped, 40000, 80, syn);
  std::fill(from_mapped.begin() + 22, from_mapped.begin() + 38, uint8_t{0});
  from_mapped[32] = from_mapped[33] = 0xff;
  fix_checksums(from_mapped);
  const Bytes stranger = tcp_frame(link4, {.from = kClient4, .to = ip("10.1.0.77")}, 1, 2, syn);
  const auto tagged = [](uint16_t type, Bytes inner) {
    inner.insert(inner.begin() + 12,
                 {static_cast<uint8_t>(type >> 8), static_cast<uint8_t>(type), 0, 5});
    return inner;
  };
  return {
      {"empty", {}, Drop::frame_truncated},
      {"half an Ethernet header", cut(t4, 10), Drop::frame_truncated},
      {"IPv4 header cut", cut(t4, 30), Drop::frame_truncated},
      {"IPv4 shorter than it says", cut(t4, t4.size() - 1), Drop::frame_truncated},
      {"IPv6 header cut", cut(t6, 40), Drop::frame_truncated},
      {"IPv6 shorter than it says", cut(t6, t6.size() - 1), Drop::frame_truncated},
      {"ARP cut", cut(arp, 41), Drop::frame_truncated},
      {"our own source MAC", tcp_frame(own, ip4, 40000, 80, syn), Drop::own_source_mac},
      {"our own source MAC on garbage", cut(ethernet(own, kIpv4, {}), 14), Drop::own_source_mac},
      {"another host's MAC", tcp_frame(foreign, ip4, 40000, 80, syn), Drop::not_ours},
      {"another host's address", stranger, Drop::not_ours},
      {"fragment for another host", set16(stranger, 20, 0x2000), Drop::not_ours},
      {"802.1Q", tagged(0x8100, t4), Drop::vlan_unsupported},
      {"802.1ad", tagged(0x88a8, t6), Drop::vlan_unsupported},
      {"LLDP", ethernet({{{1, 0x80, 0xc2, 0, 0, 0x0e}}, mac_of(kClient4)}, 0x88cc, pattern(46)),
       Drop::ethertype_unsupported},
      {"802.3 length", ethernet(link4, 46, pattern(46)), Drop::ethertype_unsupported},
      {"ARP of another hardware", set(arp, 15, 6, false), Drop::arp_bad},
      {"ARP operation 3", set(arp, 21, 3, false), Drop::arp_bad},
      {"ARP of a group", set(arp, 22, 1, false), Drop::arp_bad},
      {"version 5", set(t4, 14, 0x55, false), Drop::ip_version_bad},
      {"IPv6 in an IPv4 frame", set16(t6, 12, kIpv4, false), Drop::ip_version_bad},
      {"header of four words", set(t4, 14, 0x44), Drop::ip_header_bad},
      {"total length within the header", set16(t4, 16, 19), Drop::ip_length_bad},
      {"IPv4 checksum", set(t4, 24, static_cast<uint8_t>(t4[24] ^ 1), false),
       Drop::ip_checksum_bad},
      {"source 127.0.0.1", set(t4, 26, 127), Drop::ip_address_bad},
      {"source 224.x", set(t4, 26, 224), Drop::ip_address_bad},
      {"source mapped IPv4 in IPv6", from_mapped, Drop::ip_address_bad},
      {"source ff02::", set(t6, 22, 0xff), Drop::ip_address_bad},
      {"source route",
       tcp_frame(link4, {.from = kClient4, .to = kVip4, .options = {131, 3, 4, 0}}, 1, 80, syn),
       Drop::ip_options_bad},
      {"option without end",
       tcp_frame(link4, {.from = kClient4, .to = kVip4, .options = {7, 9, 4, 0}}, 1, 80, syn),
       Drop::ip_options_bad},
      {"first fragment", set16(u4, 20, 0x2000), Drop::ip_fragment},
      {"later fragment", set16(u4, 20, 0x0010), Drop::ip_fragment},
      {"IPv6 fragment", ip_frame(link6, ip6, 44, Bytes{17, 0, 0, 1, 0, 0, 0, 9} + pattern(16)),
       Drop::ip_fragment},
      {"hop limit 1", set(t4, 22, 1), Drop::ip_ttl_expired},
      {"hop limit 1, IPv6", set(t6, 21, 1), Drop::ip_ttl_expired},
      {"SCTP", ip_frame(link4, ip4, 132, pattern(20)), Drop::protocol_unsupported},
      {"IPv6 no next header", ip_frame(link6, ip6, 59, {}), Drop::protocol_unsupported},
      {"TCP header cut", ip_frame(link4, ip4, kTcp, pattern(19)), Drop::tcp_header_bad},
      {"TCP data offset 4", set(t4, 46, 0x40), Drop::tcp_header_bad},
      {"TCP data offset beyond", set(t6, 66, 0xf0), Drop::tcp_header_bad},
      {"SYN and FIN", set(t4, 47, kSyn | kFin), Drop::tcp_flags_bad},
      {"SYN and RST", set(t4, 47, kSyn | kRst), Drop::tcp_flags_bad},
      {"no flags", set(t6, 67, 0), Drop::tcp_flags_bad},
      {"TCP checksum", set(t4, 57, 0xaa, false), Drop::tcp_checksum_bad},
      {"TCP checksum, IPv6", set(t6, 77, 0xaa, false), Drop::tcp_checksum_bad},
      {"UDP length beyond", set16(u4, 38, 17), Drop::udp_length_bad},
      {"UDP length 7", set16(u4, 38, 7), Drop::udp_length_bad},
      {"UDP checksum", set(u4, 44, 0xaa, false), Drop::udp_checksum_bad},
      {"UDP checksum 0 over IPv6", set16(u6, 60, 0, false), Drop::udp_checksum_bad},
      {"TCP source port 0", set16(t4, 34, 0), Drop::port_zero},
      {"UDP destination port 0", set16(u6, 56, 0), Drop::port_zero},
      {"ICMP checksum", set(e4, 42, static_cast<uint8_t>(e4[42] ^ 1), false), Drop::icmp_bad},
      {"ICMPv6 checksum", set(e6, 62, static_cast<uint8_t>(e6[62] ^ 1), false), Drop::icmp_bad},
      {"ICMP of four bytes", ip_frame(link4, ip4, kIcmp, {8, 0, 0xf7, 0xff}), Drop::icmp_bad},
      {"error about nothing", icmp_frame(link4, ip4, 3, 1, 0, packet_of(t4)), Drop::icmp_unrelated},
      {"timestamp request", icmp_frame(link4, ip4, 13, 0, 0, pattern(12)), Drop::icmp_unsupported},
      {"ND through a router", set(ns, 21, 64), Drop::nd_bad},
      {"ND with an option of length 0", set(ns, 79, 0), Drop::nd_bad},
      {"TCP to no service", set16(t4, 36, 81), Drop::no_service},
      {"UDP to no service", set16(u6, 56, 9), Drop::no_service},
      {"segment of no flow", set(t4, 47, kAck), Drop::no_flow},
  };
}

TEST(Drops, each_ends_by_its_name_and_is_counted_with_its_bytes) {
  Rig rig;
  rig.run();
  for (const Case& c : cases(rig)) {
    for (const uint16_t port : {kFront}) {
      const auto& counter = rig.stats().drops[port][static_cast<size_t>(c.reason)];
      const uint64_t packets = counter.packets.get(), bytes = counter.bytes.get();
      const uint64_t all = rig.drops(), forwarded = rig.sum(&WorkerCounters::forwarded);
      rig.send(port, c.frame);
      EXPECT_EQ(counter.packets.get() - packets, 1u) << c.what << ": " << rig.drop_list();
      EXPECT_EQ(counter.bytes.get() - bytes, c.frame.size()) << c.what;
      EXPECT_EQ(rig.drops() - all, 1u) << c.what;
      EXPECT_EQ(rig.sum(&WorkerCounters::forwarded), forwarded) << c.what;
    }
  }
  EXPECT_EQ(rig.flows(), 0u);
}

TEST(Drops, are_counted_at_the_port_they_came_in_by) {
  Rig rig;
  rig.send(kBack, ethernet(rig.to_us(ip("10.2.0.10")), 0x1234, pattern(46)));
  const auto reason = static_cast<size_t>(Drop::ethertype_unsupported);
  EXPECT_EQ(rig.stats().drops[kFront][reason].packets.get(), 0u);
  EXPECT_EQ(rig.stats().drops[kBack][reason].packets.get(), 1u);
}

TEST(Drops, frames_in_several_buffers) {
  Rig rig;
  rte_mbuf* head = rte_pktmbuf_alloc(rig.pool());
  rte_mbuf* tail = rte_pktmbuf_alloc(rig.pool());
  rte_pktmbuf_append(head, 60);
  rte_pktmbuf_append(tail, 60);
  ASSERT_EQ(rte_pktmbuf_chain(head, tail), 0);
  const unsigned before = rig.free_mbufs();
  rig.worker().begin(rig.now);
  rig.worker().receive(kFront, &head, 1);
  EXPECT_EQ(rig.drops(Drop::mbuf_segmented), 1u);
  EXPECT_EQ(rig.free_mbufs(), before + 2);
  rig.note_received(1);
}

TEST(Drops, no_route_and_hairpin) {
  // Without a default route an off-link client cannot be answered; a client that claims to be one
  // of our own addresses would make us send to ourselves.
  Rig rig({.config = with(kTwoArms, "{ to = \"0.0.0.0/0\"; via = \"10.1.0.1\"; }, ", "")});
  const IpAddress far = ip("203.0.113.9");
  const Link link{rig.port_mac(kFront), mac_of(ip("10.1.0.1"))};
  for (const auto& [client, reason] :
       {std::pair(far, Drop::no_route), std::pair(ip("10.1.0.254"), Drop::hairpin)}) {
    const auto out = rig.send(kFront, tcp_frame(link, {.from = client, .to = kVip4}, 40000, 80,
                                                {.flags = kSyn, .seq = 1}));
    ASSERT_EQ(out.size(), 1u) << rig.drop_list();
    const Seen syn = look(out[0].frame);
    EXPECT_TRUE(nothing(
        rig.send(kBack, tcp_frame(rig.to_us(syn.to), {.from = syn.to, .to = syn.from}, syn.to_port,
                                  syn.from_port, {.flags = kSyn | kAck, .seq = 1, .ack = 2}))));
    EXPECT_EQ(rig.drops(reason), 1u) << rig.drop_list();
  }
  // Answers of our own to nowhere are counted apart.
  const uint64_t lost = rig.sum(&WorkerCounters::originated_lost);
  EXPECT_TRUE(
      nothing(rig.send(kFront, echo_frame(link, {.from = far, .to = kVip4}, true, 1, 1, {}))));
  EXPECT_EQ(rig.sum(&WorkerCounters::originated_lost), lost + 1);
}

TEST(Drops, no_backend) {
  Rig rig;
  for (const char* name : {"s0", "s1", "s2", "s3"}) rig.down(rig.backend("web", name));
  Connection s(rig, kClient4, 40000, kVip4, 80);
  EXPECT_TRUE(is(rig.send(kFront, s.from_client({.flags = kSyn, .seq = 9})), kFront,
                 tcp_frame(rig.from_us(kClient4), {.from = kVip4, .to = kClient4}, 80, 40000,
                           {.flags = kRst | kAck, .ack = 10, .window = 0})));
  EXPECT_EQ(rig.drops(Drop::no_backend), 1u);
  EXPECT_EQ(rig.stats().services[rig.service("web")].no_backend.get(), 1u);
  for (const char* name : {"e0", "e1"}) rig.down(rig.backend("echo", name));
  const Bytes datagram =
      udp_frame(rig.to_us(kClient4), {.from = kClient4, .to = kVip4}, 5353, 7, pattern(3));
  EXPECT_TRUE(is(rig.send(kFront, datagram), kFront,
                 icmp_frame(rig.from_us(kClient4), {.from = kVip4, .to = kClient4, .tos = 0xc0}, 3,
                            3, 0, packet_of(datagram))));
  EXPECT_EQ(rig.drops(Drop::no_backend), 2u);
  EXPECT_EQ(rig.stats().services[rig.service("echo")].no_backend.get(), 1u);
}

TEST(Drops, no_buffer_for_an_answer) {
  Rig rig({.mbufs = 63});
  rig.send(kFront, arp_request(kClient4, kVip4));
  std::vector<rte_mbuf*> taken;
  const auto take = [&] {
    while (rte_mbuf* m = rte_pktmbuf_alloc(rig.pool())) taken.push_back(m);
    for (int i = 0; i < 1; ++i) {  // one for the frame that comes in
      rte_pktmbuf_free(taken.back());
      taken.pop_back();
    }
  };
  take();
  EXPECT_TRUE(nothing(rig.send(kFront, arp_request(kClient4, kVip4))));
  EXPECT_EQ(rig.drops(Drop::mbuf_exhausted), 1u) << rig.drop_list();
  const IpAddress group = solicited_node(kVip6);
  EXPECT_TRUE(nothing(rig.send(
      kFront, solicitation({group_mac(group), mac_of(kClient6)}, kClient6, group, kVip6, {}))));
  EXPECT_EQ(rig.drops(Drop::mbuf_exhausted), 2u);
  // Refusals: the frame has its own reason, the lost answer is counted.
  const uint64_t lost = rig.sum(&WorkerCounters::originated_lost);
  EXPECT_TRUE(
      nothing(rig.send(kFront, tcp_frame(rig.to_us(kClient4), {.from = kClient4, .to = kVip4}, 1,
                                         81, {.flags = kSyn}))));
  EXPECT_TRUE(nothing(
      rig.send(kFront, udp_frame(rig.to_us(kClient4), {.from = kClient4, .to = kVip4}, 1, 9, {}))));
  EXPECT_EQ(rig.drops(Drop::no_service), 2u);
  EXPECT_EQ(rig.sum(&WorkerCounters::originated_lost), lost + 2);
  for (rte_mbuf* m : taken) rte_pktmbuf_free(m);
}

TEST(Drops, before_the_first_snapshot_nothing_is_ours) {
  Rig rig({.publish = false});
  rig.send(kFront, arp_request(kClient4, kVip4));
  EXPECT_EQ(rig.drops(Drop::not_ours), 1u);
  rig.reload(kTwoArms);
  rig.run();
  EXPECT_EQ(rig.send(kFront, arp_request(kClient4, kVip4)).size(), 1u);
}

TEST(Drops, failed_transmission_is_counted) {
  Rig rig;
  Connection s(rig, kClient4, 40000, kVip4, 80);
  s.establish();
  rig.accept = [](uint16_t, uint16_t count) { return static_cast<uint16_t>(count / 2); };
  for (int i = 0; i < 10; ++i)
    rig.inject(kFront, s.from_client({.flags = kAck, .seq = 1001, .ack = 5001}));
  EXPECT_EQ(rig.run().size(), 5u);
  EXPECT_EQ(rig.sum(&WorkerCounters::tx_failed), 5u);
}

}  // namespace
}  // namespace limpet::worker_test
