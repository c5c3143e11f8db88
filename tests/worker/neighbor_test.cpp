// ARP and ND: answering for what is ours, finding next hops, and what waits meanwhile.
#include "connection.h"

namespace limpet::worker_test {
namespace {

using dataplane::Neighbors;
using dataplane::NeighborState;
using dataplane::WorkerCounters;

const IpAddress kClient4 = ip("10.1.0.2");
const IpAddress kClient6 = ip("fd00:1::2");

// The neighbor that worker 0 knows under this address.
uint64_t number_of(const MacAddress& mac) {
  uint64_t n = 0;
  for (const uint8_t byte : mac.bytes) n = n << 8 | byte;
  return n;
}

dataplane::Neighbor neighbor(Rig& rig, const IpAddress& address, unsigned worker = 0) {
  const Neighbors& all = rig.worker(worker).neighbors();
  const uint16_t i = all.find(rig.port_towards(address), address);
  return i == Neighbors::kNone ? dataplane::Neighbor{} : all.at(i);
}

std::vector<std::pair<uint16_t, Bytes>> questions(Rig& rig) {
  std::vector<std::pair<uint16_t, Bytes>> r;
  for (const Left& l : rig.asked) r.emplace_back(l.port, l.frame);
  rig.asked.clear();
  return r;
}

Bytes arp_question(Rig& rig, const IpAddress& target, std::optional<MacAddress> to = {}) {
  const uint16_t port = rig.port_towards(target);
  return arp_frame({to.value_or(kBroadcastMac), rig.port_mac(port)}, 1, rig.port_mac(port),
                   port == kFront ? ip("10.1.0.254") : ip("10.2.0.254"), {}, target);
}

Bytes nd_question(Rig& rig, const IpAddress& target, std::optional<MacAddress> to = {}) {
  const uint16_t port = rig.port_towards(target);
  const IpAddress group = solicited_node(target);
  return solicitation({to.value_or(group_mac(group)), rig.port_mac(port)},
                      port == kFront ? ip("fd00:1::254") : ip("fd00:2::254"), to ? target : group,
                      target, rig.port_mac(port));
}

Bytes syn_of(Rig& rig, const IpAddress& client, uint16_t port, const IpAddress& vip) {
  return tcp_frame(rig.to_us(client), {.from = client, .to = vip}, port, 80,
                   {.flags = kSyn, .seq = 1});
}

// ---- answering

struct Asked {
  const char* what;
  uint16_t port;
  const char* target;
  bool answered;
};

TEST(Arp, answers_for_what_is_ours_on_that_link) {
  Rig rig;
  for (const Asked& a :
       {Asked{"VIP", kFront, "10.1.0.100", true}, Asked{"own address", kFront, "10.1.0.254", true},
        Asked{"own address of the other port", kFront, "10.2.0.254", false},
        Asked{"VIP on the wrong link", kBack, "10.1.0.100", false},
        Asked{"source address where backends are", kBack, "10.2.0.254", true},
        Asked{"somebody else", kFront, "10.1.0.77", false}}) {
    const IpAddress who = a.port == kFront ? kClient4 : ip("10.2.0.10");
    const auto out = rig.send(a.port, arp_request(who, ip(a.target)));
    if (a.answered)
      EXPECT_TRUE(is(out, a.port,
                     arp_frame({mac_of(who), rig.port_mac(a.port)}, 2, rig.port_mac(a.port),
                               ip(a.target), mac_of(who), who)))
          << a.what;
    else
      EXPECT_TRUE(nothing(out)) << a.what;
  }
  EXPECT_EQ(rig.sum(&WorkerCounters::consumed), 3u);
  EXPECT_EQ(rig.drops(Drop::not_ours), 3u) << rig.drop_list();
}

TEST(Arp, answers_a_probe_for_a_vip) {
  Rig rig;
  const Bytes probe =
      arp_frame({kBroadcastMac, mac_of(kClient4)}, 1, mac_of(kClient4), ip("0.0.0.0"), {}, kVip4);
  EXPECT_TRUE(is(rig.send(kFront, probe), kFront,
                 arp_frame({mac_of(kClient4), rig.port_mac(kFront)}, 2, rig.port_mac(kFront), kVip4,
                           mac_of(kClient4), ip("0.0.0.0"))));
}

TEST(Arp, who_asks_for_us_is_known_from_then_on) {
  Rig rig;
  rig.nobody_answers = true;
  rig.send(kFront, arp_request(kClient4, kVip4));
  EXPECT_EQ(neighbor(rig, kClient4).state, NeighborState::reachable);
  EXPECT_EQ(neighbor(rig, kClient4).mac, mac_of(kClient4));
  // Others' questions to others fill no cache.
  rig.send(kFront, arp_request(ip("10.1.0.3"), ip("10.1.0.4")));
  EXPECT_EQ(neighbor(rig, ip("10.1.0.3")).state, NeighborState::free);
}

TEST(Arp, off_link_senders_fill_no_cache) {
  Rig rig;
  rig.send(kFront, arp_request(ip("192.0.2.1"), kVip4));
  EXPECT_EQ(rig.worker().neighbors().find(kFront, ip("192.0.2.1")), Neighbors::kNone);
}

TEST(Arp, claims_to_our_addresses_are_refused) {
  Rig rig;
  EXPECT_TRUE(nothing(rig.send(kFront, arp_frame({kBroadcastMac, mac_of(kClient4)}, 1,
                                                 mac_of(kClient4), kVip4, {}, kVip4))));
  EXPECT_EQ(rig.drops(Drop::address_conflict), 1u);
  EXPECT_EQ(rig.stats().worker.conflict_mac.get(), number_of(mac_of(kClient4)));
  // A reply to somebody else claims it as well; who only probes for it (RFC 5227, 2.1.1) does not.
  rig.send(kFront, arp_frame({kBroadcastMac, mac_of(kClient4)}, 2, mac_of(kClient4), kVip4,
                             mac_of(ip("10.1.0.3")), ip("10.1.0.3")));
  EXPECT_EQ(rig.drops(Drop::address_conflict), 2u);
  rig.send(kFront, arp_frame({kBroadcastMac, mac_of(kClient4)}, 1, mac_of(kClient4), ip("0.0.0.0"),
                             {}, kVip4));
  EXPECT_EQ(rig.drops(Drop::address_conflict), 2u);
  EXPECT_EQ(rig.drops(Drop::arp_bad), 0u);
}

TEST(Arp, gratuitous_news_move_a_known_neighbor) {
  Rig rig;
  Connection s(rig, kClient4, 40000, kVip4, 80);
  s.establish();
  const MacAddress moved{{2, 9, 9, 9, 9, 9}};
  for (const uint16_t operation : {1, 2}) {
    MacAddress mac = moved;
    mac.bytes[5] = static_cast<uint8_t>(operation);
    EXPECT_TRUE(nothing(
        rig.send(kFront, arp_frame({kBroadcastMac, mac}, operation, mac, kClient4, {}, kClient4))));
    Bytes wanted = s.at_client({.flags = kAck, .seq = 5001, .ack = 1001});
    std::copy(mac.bytes.begin(), mac.bytes.end(), wanted.begin());
    EXPECT_TRUE(is(rig.send(kBack, s.from_backend({.flags = kAck, .seq = 5001, .ack = 1001})),
                   kFront, wanted));
  }
}

TEST(Nd, answers_for_what_is_ours_on_that_link) {
  Rig rig;
  for (const Asked& a : {Asked{"VIP", kFront, "fd00:1::100", true},
                         Asked{"own address", kFront, "fd00:1::254", true},
                         Asked{"VIP on the wrong link", kBack, "fd00:1::100", false},
                         Asked{"source address where backends are", kBack, "fd00:2::254", true},
                         Asked{"somebody else", kFront, "fd00:1::77", false}}) {
    const IpAddress who = a.port == kFront ? kClient6 : ip("fd00:2::10");
    const IpAddress group = solicited_node(ip(a.target));
    const auto out = rig.send(a.port, solicitation({group_mac(group), mac_of(who)}, who, group,
                                                   ip(a.target), mac_of(who)));
    if (a.answered)
      EXPECT_TRUE(is(out, a.port,
                     advertisement({mac_of(who), rig.port_mac(a.port)}, ip(a.target), who,
                                   ip(a.target), 0x60, rig.port_mac(a.port))))
          << a.what;
    else
      EXPECT_TRUE(nothing(out)) << a.what;
  }
  EXPECT_EQ(rig.drops(Drop::not_ours), 2u) << rig.drop_list();
  EXPECT_EQ(neighbor(rig, kClient6).state, NeighborState::reachable);
}

TEST(Nd, answers_duplicate_address_detection_to_all) {
  Rig rig;
  const IpAddress group = solicited_node(kVip6);
  const IpAddress all = ip("ff02::1");
  rig.run();
  rig.announced.clear();
  rig.send(kFront, solicitation({group_mac(group), mac_of(kClient6)}, ip("::"), group, kVip6, {}));
  ASSERT_EQ(rig.announced.size(), 1u);
  EXPECT_EQ(rig.announced[0].frame, advertisement({group_mac(all), rig.port_mac(kFront)}, kVip6,
                                                  all, kVip6, 0x20, rig.port_mac(kFront)))
      << describe(rig.announced[0].frame);
}

TEST(Nd, unicast_probe_is_answered_even_without_the_option) {
  Rig rig;
  EXPECT_TRUE(is(rig.send(kFront, solicitation({rig.port_mac(kFront), mac_of(kClient6)}, kClient6,
                                               kVip6, kVip6, {})),
                 kFront,
                 advertisement({mac_of(kClient6), rig.port_mac(kFront)}, kVip6, kClient6, kVip6,
                               0x60, rig.port_mac(kFront))));
}

TEST(Nd, advertisement_moves_a_known_neighbor_only_with_the_override_flag) {
  Rig rig;
  Connection s(rig, kClient6, 40000, kVip6, 80);
  s.establish();
  const MacAddress moved{{2, 9, 9, 9, 9, 9}};
  const IpAddress all = ip("ff02::1");
  rig.send(kFront, advertisement({group_mac(all), moved}, kClient6, all, kClient6, 0, moved));
  EXPECT_EQ(neighbor(rig, kClient6).mac, mac_of(kClient6));
  rig.send(kFront, advertisement({group_mac(all), moved}, kClient6, all, kClient6, 0x20, moved));
  EXPECT_EQ(neighbor(rig, kClient6).mac, moved);
}

TEST(Nd, claims_to_our_addresses_and_bad_messages_are_refused) {
  Rig rig;
  const IpAddress all = ip("ff02::1");
  rig.send(kFront, advertisement({group_mac(all), mac_of(kClient6)}, kVip6, all, kVip6, 0x20,
                                 mac_of(kClient6)));
  EXPECT_EQ(rig.drops(Drop::address_conflict), 1u);
  EXPECT_EQ(rig.stats().worker.conflict_mac.get(), number_of(mac_of(kClient6)));
  const MacAddress other{{2, 9, 9, 9, 9, 9}};
  rig.send(kFront, solicitation({rig.port_mac(kFront), other}, kVip6, kVip6, kVip6, other));
  EXPECT_EQ(rig.drops(Drop::address_conflict), 2u);
  EXPECT_EQ(rig.stats().worker.conflict_mac.get(), number_of(other));
  EXPECT_EQ(rig.drops(Drop::nd_bad), 0u);
  Bytes routed = solicitation({rig.port_mac(kFront), mac_of(kClient6)}, kClient6, kVip6, kVip6, {});
  routed[21] = 254;  // hop limit: it came through a router
  EXPECT_TRUE(nothing(rig.send(kFront, routed)));
  EXPECT_EQ(rig.drops(Drop::nd_bad), 1u);
}

// ---- resolving

TEST(Resolving, packets_wait_and_then_leave_in_order) {
  Rig rig;
  const IpAddress backends[] = {ip("10.2.0.10"), ip("10.2.0.11"), ip("10.2.0.12"), ip("10.2.0.13")};
  for (const IpAddress& b : backends) rig.silent.insert(b);
  for (uint16_t i = 0; i < 10; ++i)
    EXPECT_TRUE(
        nothing(rig.send(kFront, syn_of(rig, kClient4, static_cast<uint16_t>(40000 + i), kVip4))));
  EXPECT_EQ(rig.sum(&WorkerCounters::held_packets), 10u);
  EXPECT_EQ(rig.sum(&WorkerCounters::held_bytes), 10u * 54);
  ASSERT_EQ(rig.asked.size(), 1u) << "one question, however many wait";
  const IpAddress backend = look(rig.asked[0].frame).to;
  EXPECT_EQ(rig.asked[0].frame, arp_question(rig, backend));
  rig.check_identity("while packets wait");

  rig.inject(kBack, arp_reply(backend, rig.port_mac(kBack), kSource4));
  const auto out = rig.run();
  ASSERT_EQ(out.size(), 10u);
  for (uint16_t i = 0; i < 10; ++i) {
    const Seen s = look(out[i].frame);
    EXPECT_EQ(s.to_mac, mac_of(backend));
    EXPECT_EQ(s.from_mac, rig.port_mac(kBack));
    EXPECT_EQ(s.from_port, static_cast<uint16_t>(look(out[0].frame).from_port + i));
    EXPECT_TRUE(s.sums_right);
  }
  EXPECT_EQ(rig.sum(&WorkerCounters::held_packets), 0u);
  EXPECT_EQ(rig.sum(&WorkerCounters::held_bytes), 0u);
}

TEST(Resolving, ipv6_asks_the_solicited_node_group) {
  Rig rig;
  rig.silent = {ip("fd00:2::10"), ip("fd00:2::11")};
  EXPECT_TRUE(nothing(rig.send(kFront, syn_of(rig, kClient6, 40000, kVip6))));
  ASSERT_EQ(rig.asked.size(), 1u);
  const IpAddress backend = IpAddress::v6(rig.asked[0].frame.data() + 62);
  EXPECT_EQ(rig.asked[0].frame, nd_question(rig, backend));
  // The answer may leave out its MAC (RFC 4861, 4.4): the frame's sender is it.
  rig.inject(kBack, advertisement({rig.port_mac(kBack), mac_of(backend)}, backend, kSource6,
                                  backend, 0x60, {}));
  EXPECT_EQ(rig.run().size(), 1u);
}

TEST(Resolving, asked_three_times_then_what_waits_is_dropped) {
  Rig rig;
  rig.nobody_answers = true;
  rig.send(kFront, syn_of(rig, kClient4, 40000, kVip4));
  for (unsigned asked = 1; asked <= 3; ++asked) {
    EXPECT_EQ(questions(rig).size(), 1u) << asked;
    EXPECT_EQ(rig.drops(Drop::neighbor_unresolved), 0u);
    rig.pass(1050ms);
  }
  EXPECT_EQ(rig.drops(Drop::neighbor_unresolved), 1u) << rig.drop_list();
  EXPECT_EQ(rig.sum(&WorkerCounters::held_packets), 0u);
  EXPECT_TRUE(questions(rig).empty());
  // Known not to answer: what comes now ends at once.
  rig.send(kFront, syn_of(rig, kClient4, 40000, kVip4));
  EXPECT_EQ(rig.drops(Drop::neighbor_unresolved), 2u);
}

TEST(Resolving, failed_neighbor_is_asked_again_more_and_more_seldom) {
  Rig rig({.config = with(kTwoArms, "connect = \"5s\"", "connect = \"10m\"")});
  rig.nobody_answers = true;
  // One packet every 100 ms for two minutes; note when a round of questions begins.
  std::vector<double> rounds;
  const Instant begin = rig.now;
  double last = -10;
  for (int i = 0; i < 1200; ++i) {
    rig.inject(kFront, syn_of(rig, kClient4, 40000, kVip4));
    rig.pass(100ms);
    for (const Left& l : rig.asked) {
      (void)l;
      const double at = std::chrono::duration<double>(rig.now - begin).count();
      if (at - last > 1.5) rounds.push_back(at);
      last = at;
    }
    rig.asked.clear();
  }
  // A round takes three seconds, then the pause doubles: 1, 2, 4, 8, 16, 32.
  ASSERT_GE(rounds.size(), 7u);
  double pause = 1;
  for (size_t i = 1; i < 7; ++i, pause = std::min(pause * 2, 32.0))
    EXPECT_NEAR(rounds[i] - rounds[i - 1], 3 + pause, 0.5) << i;
  EXPECT_GT(rig.drops(Drop::neighbor_unresolved), 500u);
}

TEST(Resolving, failed_neighbor_that_comes_back_is_used_at_once) {
  Rig rig;
  rig.nobody_answers = true;
  rig.send(kFront, syn_of(rig, kClient4, 40000, kVip4));
  const IpAddress backend = look(rig.asked[0].frame).to;
  rig.pass(4s);
  EXPECT_EQ(neighbor(rig, backend).state, NeighborState::failed);
  // It says by itself that it is there.
  rig.send(kBack,
           arp_frame({kBroadcastMac, mac_of(backend)}, 1, mac_of(backend), backend, {}, backend));
  EXPECT_EQ(neighbor(rig, backend).state, NeighborState::reachable);
  EXPECT_EQ(rig.send(kFront, syn_of(rig, kClient4, 40000, kVip4)).size(), 1u);
}

TEST(Resolving, no_more_than_its_share_waits_for_one_neighbor_or_for_all) {
  Rig rig({.held_packets = 100});
  rig.nobody_answers = true;
  for (unsigned i = 0; i < Neighbors::kMaxWaiting + 5; ++i)
    rig.send(kFront, syn_of(rig, kClient4, static_cast<uint16_t>(40000 + i), kVip4));
  EXPECT_EQ(rig.sum(&WorkerCounters::held_packets), Neighbors::kMaxWaiting);
  EXPECT_EQ(rig.drops(Drop::held_full), 5u);
  for (unsigned i = 0; i < 60; ++i)
    rig.send(kFront, syn_of(rig, kClient6, static_cast<uint16_t>(40000 + i), kVip6));
  EXPECT_EQ(rig.sum(&WorkerCounters::held_packets), 100u);
  EXPECT_EQ(rig.drops(Drop::held_full), 5u + 60 - 36);
  rig.pass(4s);
  EXPECT_EQ(rig.sum(&WorkerCounters::held_packets), 0u);
}

TEST(Resolving, held_frames_end_by_name_when_the_worker_ends) {
  Rig rig;
  rig.nobody_answers = true;
  rig.send(kFront, syn_of(rig, kClient4, 40000, kVip4));
  rig.send(kFront, echo_frame(rig.to_us(ip("203.0.113.1")),
                              {.from = ip("203.0.113.1"), .to = kVip4}, true, 1, 1, {}));
  rig.finish();
  EXPECT_EQ(rig.drops(Drop::shutdown), 1u);
  EXPECT_EQ(rig.sum(&WorkerCounters::originated_lost), 1u) << "the echo reply was ours";
}

TEST(Refreshing, neighbor_in_use_is_confirmed_by_a_unicast_probe) {
  Rig rig;
  Connection s(rig, kClient4, 40000, kVip4, 80);
  s.establish();
  rig.asked.clear();
  const Tcp ack{.flags = kAck, .seq = 1001, .ack = 5001};
  for (int i = 0; i < 29; ++i) {
    rig.pass(1s);
    s.client_says("data", ack);
  }
  EXPECT_TRUE(questions(rig).empty());
  rig.pass(1100ms);
  s.client_says("data", ack);
  rig.pass(100ms);
  auto asked = questions(rig);
  ASSERT_EQ(asked.size(), 1u) << "the backend; nobody used the client's entry for thirty seconds";
  EXPECT_EQ(asked[0].second, arp_question(rig, s.backend, mac_of(s.backend)));
  EXPECT_EQ(neighbor(rig, s.backend).state, NeighborState::reachable);
}

TEST(Refreshing, ipv6_neighbor_is_probed_by_unicast_too) {
  Rig rig;
  Connection s(rig, kClient6, 40000, kVip6, 80);
  s.establish();
  rig.asked.clear();
  rig.pass(25s);
  s.client_says("data", {.flags = kAck, .seq = 1001, .ack = 5001});
  rig.pass(6s);
  auto asked = questions(rig);
  ASSERT_EQ(asked.size(), 1u);
  EXPECT_EQ(asked[0].second, nd_question(rig, s.backend, mac_of(s.backend)));
}

TEST(Refreshing, traffic_goes_on_while_probed_and_stops_when_it_is_gone) {
  Rig rig;
  Connection s(rig, kClient4, 40000, kVip4, 80);
  s.establish();
  rig.asked.clear();
  rig.silent.insert(s.backend);
  const Tcp ack{.flags = kAck, .seq = 1001, .ack = 5001};
  rig.pass(29s);
  s.client_says("before the probe", ack);
  rig.pass(2500ms);
  EXPECT_EQ(neighbor(rig, s.backend).state, NeighborState::probe);
  s.client_says("while probed", ack);
  rig.pass(2s);
  // Three probes to its MAC, then everybody is asked: it may have moved.
  auto asked = questions(rig);
  ASSERT_EQ(asked.size(), 4u);
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(asked[static_cast<size_t>(i)].second,
              arp_question(rig, s.backend, mac_of(s.backend)));
  EXPECT_EQ(asked[3].second, arp_question(rig, s.backend));
  EXPECT_TRUE(nothing(rig.send(kFront, s.from_client(ack))));
  EXPECT_EQ(rig.sum(&WorkerCounters::held_packets), 1u);
  rig.pass(3s);
  EXPECT_EQ(rig.drops(Drop::neighbor_unresolved), 1u);
}

TEST(Refreshing, unused_neighbor_is_forgotten_and_flows_find_it_again) {
  Rig rig({.config = with(kTwoArms, "idle = \"60s\"", "idle = \"1h\"")});
  Connection s(rig, kClient4, 40000, kVip4, 80);
  s.establish();
  rig.pass(5min + 35s);
  EXPECT_EQ(neighbor(rig, s.backend).state, NeighborState::free);
  EXPECT_EQ(neighbor(rig, s.client).state, NeighborState::free);
  rig.asked.clear();
  s.client_says("data after a long time", {.flags = kAck, .seq = 1001, .ack = 5001});
  EXPECT_EQ(questions(rig).size(), 1u);
}

TEST(Capacity, full_cache_replaces_what_is_not_used) {
  Rig rig({.neighbors = 8});
  Connection s(rig, ip("198.51.100.7"), 40000, kVip4, 80);
  s.establish();
  for (uint8_t i = 1; i < 60; ++i) {
    // Each on-link client is a neighbor; the gateway and the backend stay in use.
    const IpAddress from = IpAddress::v4(10, 1, 0, static_cast<uint8_t>(i + 10));
    rig.send(kFront, arp_request(from, ip("10.1.0.254")));
    Connection(rig, from, 40000, kVip4, 80).establish();
    s.client_says("data", {.flags = kAck, .seq = 1001, .ack = 5001});
    s.backend_says("data", {.flags = kAck, .seq = 5001, .ack = 1001});
    rig.pass(600ms);
  }
  EXPECT_EQ(rig.drops(), 0u) << rig.drop_list();
  EXPECT_EQ(rig.sum(&WorkerCounters::neighbors_used), 8u);
  EXPECT_EQ(rig.sum(&WorkerCounters::neighbors_total), 8u);
  EXPECT_GE(rig.sum(&WorkerCounters::neighbors_replaced), 61u - 8u)
      << "fifty-nine clients, the gateway and the backend";
}

// Somebody on the client's link invents addresses there.
IpAddress invented(unsigned n) {
  return IpAddress::v6(std::array<uint8_t, 16>{0xfd, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
                                               static_cast<uint8_t>(n >> 8),
                                               static_cast<uint8_t>(n)}
                           .data());
}

TEST(Capacity, answers_to_invented_sources_take_no_place_and_go_where_they_came_from) {
  Rig rig({.neighbors = 8});
  rig.nobody_answers = true;
  for (unsigned i = 0; i < 200; ++i) {
    const IpAddress from = invented(i);
    // Echo, a port without service, a segment of no flow: all that is answered without a flow.
    const std::vector<Bytes> asks{
        echo_frame(rig.to_us(from), {.from = from, .to = kVip6}, true, 1, 1, {}),
        tcp_frame(rig.to_us(from), {.from = from, .to = kVip6}, 1, 81, {.flags = kSyn, .seq = 1}),
        tcp_frame(rig.to_us(from), {.from = from, .to = kVip6}, 1, 80,
                  {.flags = kAck, .seq = 1, .ack = 1}),
        udp_frame(rig.to_us(from), {.from = from, .to = kVip6}, 1, 9, pattern(3))};
    for (const Bytes& ask : asks) {
      const auto out = rig.send(kFront, ask);
      ASSERT_EQ(out.size(), 1u) << i;
      EXPECT_EQ(look(out[0].frame).to_mac, mac_of(from));
    }
  }
  EXPECT_EQ(rig.sum(&WorkerCounters::neighbors_used), 0u);
  EXPECT_EQ(rig.sum(&WorkerCounters::originated_lost), 0u);
}

TEST(Capacity, invented_clients_displace_no_way_to_a_backend_or_a_router_and_delay_nobody) {
  Rig rig({.neighbors = 16});
  Connection far(rig, ip("2001:db8::7"), 40000, kVip6, 80);
  far.establish();
  std::vector<Connection> honest;
  for (unsigned i = 0; i < 300; ++i) {
    const IpAddress from = invented(i);
    rig.silent.insert(from);
    Connection flood(rig, from, 40000, kVip6, 80);
    flood.open();
    rig.send(kBack, flood.from_backend({.flags = kSyn | kAck, .seq = 5000, .ack = 1001}));
    if (i % 20 != 0) continue;
    // Everybody new is answered at once: none of his frames waits for a neighbor.
    honest.emplace_back(rig, ip("fd00:1::5:" + std::to_string(i)), 40000, kVip6, 80).establish();
    far.client_says("far client", {.flags = kAck, .seq = 1001, .ack = 5001});
    far.backend_says("backend", {.flags = kAck, .seq = 5001, .ack = 1001});
    EXPECT_EQ(neighbor(rig, far.backend).state, NeighborState::reachable);
  }
  EXPECT_EQ(rig.drops(), 0u) << rig.drop_list();
  EXPECT_EQ(rig.sum(&WorkerCounters::originated_lost), 0u);
  EXPECT_EQ(rig.worker().neighbors().held_in_all(), 0u);
  EXPECT_LE(rig.sum(&WorkerCounters::neighbors_used), 16u);
}

TEST(Capacity, a_full_cache_is_a_named_drop_and_is_counted) {
  Rig rig({.config = with(kTwoArms, "idle = \"60s\"", "idle = \"1h\""), .neighbors = 8});
  std::vector<Connection> all;
  for (uint8_t i = 0; i < 7; ++i)
    all.emplace_back(rig, IpAddress::v4(10, 1, 0, static_cast<uint8_t>(i + 10)), 40000, kVip4, 80)
        .establish();
  rig.pass(6min);
  ASSERT_EQ(rig.sum(&WorkerCounters::neighbors_used), 0u) << "all are forgotten";
  // Then none of them answers, and a frame waits for each: six are three quarters of the places.
  rig.nobody_answers = true;
  for (Connection& s : all)
    rig.send(kBack, s.from_backend({.flags = kAck, .seq = 5001, .ack = 1001}));
  EXPECT_EQ(rig.drops(Drop::neighbor_table_full), 1u);
  EXPECT_EQ(rig.sum(&WorkerCounters::neighbors_refused), 1u);
  EXPECT_EQ(rig.sum(&WorkerCounters::held_packets), 6u);
  // The way to a backend has a place of its own.
  rig.nobody_answers = false;
  all[0].client_says("to the backend", {.flags = kAck, .seq = 1001, .ack = 5001});
}

}  // namespace
}  // namespace limpet::worker_test
