// Configuration that changes under running flows: what stays, what is refused, and when an old
// snapshot may be freed.
#include "connection.h"
#include "splice_fixture.h"

namespace limpet::worker_test {
namespace {

using dataplane::WorkerCounters;
using tcp::Track;

IpAddress client(unsigned n) {
  return IpAddress::v4(198, 51, static_cast<uint8_t>(n >> 8), static_cast<uint8_t>(n));
}

const std::string kWithoutS2 = with(
    kTwoArms, "                 { name = \"s2\"; address = \"10.2.0.12\"; port = 8080; },\n", "");
const std::string kWithS4 =
    with(kTwoArms, "{ name = \"s3\"; address = \"10.2.0.13\"; port = 8080; }",
         "{ name = \"s3\"; address = \"10.2.0.13\"; port = 8080; }, { name = \"s4\"; address = "
         "\"10.2.0.14\"; port = 8080; }");

std::string without_web() {
  const std::string text = kTwoArms;
  const size_t from = text.find("  { name = \"web\"; vip");
  const size_t to = text.find("  { name = \"web6\"; vip");
  return text.substr(0, from) + text.substr(to);
}

const Tcp kUp{.flags = kAck, .seq = 1001, .ack = 5001, .data = pattern(30)};
const Tcp kDown{.flags = kAck, .seq = 5001, .ack = 1001, .data = pattern(40)};

std::vector<Connection> sessions(Rig& rig, unsigned count, uint16_t port = 40000) {
  std::vector<Connection> r;
  for (unsigned i = 0; i < count; ++i) r.emplace_back(rig, client(i), port, kVip4, 80).establish();
  return r;
}

TEST(Reload, flows_of_a_removed_backend_go_on_and_new_ones_go_elsewhere) {
  Rig rig;
  auto before = sessions(rig, 100);
  const uint16_t gone = rig.backend("web", "s2");
  const uint64_t flows = rig.stats().backends[gone].connections_active.get();
  ASSERT_GT(flows, 5u);
  rig.reload(kWithoutS2);
  rig.run();
  for (Connection& s : before) {
    s.client_says("goes on", kUp);
    s.backend_says("goes on", kDown);
  }
  for (unsigned i = 0; i < 100; ++i) {
    Connection s(rig, client(i), 40001, kVip4, 80);
    s.open();
    EXPECT_NE(s.slot(), gone);
  }
  // Its slot is free when its last flow has ended, not before.
  rig.pass(30s);
  rig.control_turn();
  EXPECT_TRUE(rig.publisher().slots().backends[gone].used);
  rig.pass(46s);  // idle, and then its tombstones
  EXPECT_EQ(rig.flows(), 0u);
  for (int i = 0; i < 3; ++i) {
    rig.pass(2s);
    rig.control_turn();
  }
  EXPECT_FALSE(rig.publisher().slots().backends[gone].used);
  EXPECT_EQ(rig.drops(), 0u) << rig.drop_list();
}

TEST(Reload, source_ports_of_a_removed_backend_come_back) {
  const std::string few =
      with(kTwoArms, "source_ports = [ 1024, 65535 ]", "source_ports = [ 2000, 2007 ]");
  Rig rig({.config = few});
  for (int round = 0; round < 3; ++round) {
    for (unsigned i = 0; i < 60; ++i)
      Connection(rig, client(i), static_cast<uint16_t>(40000 + round), kVip4, 80).open();
    EXPECT_EQ(rig.flows(), 32u) << "four backends, eight ports each, in round " << round;
    rig.reload(with(
        few, "                 { name = \"s2\"; address = \"10.2.0.12\"; port = 8080; },\n", ""));
    rig.run();
    rig.pass(6s);  // connect time: all end
    EXPECT_EQ(rig.flows(), 0u);
    rig.reload(few);
    rig.run();
  }
}

TEST(Reload, new_backend_takes_its_share_and_moves_nobodys_flow) {
  Rig rig;
  auto before = sessions(rig, 200);
  rig.reload(kWithS4);
  rig.run();
  unsigned to_the_new_one = 0, elsewhere = 0;
  for (Connection& s : before) {
    s.client_says("goes on", kUp);
    Connection again(rig, s.client, 50000, kVip4, 80);
    again.open();
    if (again.backend == s.backend) continue;
    ++(again.backend == ip("10.2.0.14") ? to_the_new_one : elsewhere);
  }
  EXPECT_GT(to_the_new_one, 20u);
  EXPECT_LT(to_the_new_one, 60u);
  EXPECT_LT(elsewhere, 12u);
}

TEST(Reload, removed_service_keeps_its_flows_and_refuses_new_ones) {
  Rig rig;
  auto before = sessions(rig, 5);
  rig.reload(without_web());
  rig.run();
  for (Connection& s : before) {
    s.client_says("goes on", kUp);
    s.backend_says("goes on", kDown);
  }
  Connection late(rig, client(77), 40000, kVip4, 80);
  EXPECT_TRUE(is(rig.send(kFront, late.from_client({.flags = kSyn, .seq = 4})), kFront,
                 tcp_frame(rig.from_us(late.client), {.from = kVip4, .to = late.client}, 80, 40000,
                           {.flags = kRst | kAck, .ack = 5, .window = 0})));
  EXPECT_EQ(rig.drops(Drop::no_service), 1u);
  // An ended flow of it is not reopened either.
  Connection& s = before[0];
  s.client_says("reset", {.flags = kRst, .seq = 1001, .window = 0});
  EXPECT_EQ(rig.send(kFront, s.from_client({.flags = kSyn, .seq = 9})).size(), 1u);
  EXPECT_EQ(rig.drops(Drop::no_service), 2u);
  EXPECT_EQ(rig.flows(), 4u);
  rig.reload(kTwoArms);
  rig.run();
  before[1].client_says("and when it is back", kUp);
  late.open();
}

TEST(Reload, tuple_of_an_ended_flow_is_forwarded_as_its_service_says_now) {
  Rig rig;
  auto before = sessions(rig, 2);
  rig.reload(spliced());
  rig.run();
  before[1].client_says("goes on as it began", kUp);
  Connection& s = before[0];
  s.client_says("reset", {.flags = kRst, .seq = 1001, .window = 0});
  const auto out = rig.send(kFront, s.from_client({.flags = kSyn, .seq = 900000}));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].port, kFront);
  EXPECT_EQ(look(out[0].frame).flags, kSyn | kAck) << "limpet itself answers";
  EXPECT_EQ(rig.flows(), 1u) << "and has no flow before the client's data";
}

TEST(Reload, removed_vip_is_no_longer_answered_for_once_its_flows_ended) {
  std::string config = with(kTwoArms, "name = \"web\"; vip = \"10.1.0.100\"",
                            "name = \"web\"; vip = \"10.1.0.105\"");
  Rig rig({.config = config});
  Connection s(rig, client(1), 40000, ip("10.1.0.105"), 80);
  s.establish();
  rig.reload(without_web());
  rig.run();
  EXPECT_EQ(rig.send(kFront, arp_request(ip("10.1.0.2"), ip("10.1.0.105"))).size(), 1u);
  s.client_says("reset", {.flags = kRst, .seq = 1001, .window = 0});
  for (int i = 0; i < 5; ++i) {
    rig.pass(2s);
    rig.control_turn();
  }
  EXPECT_TRUE(nothing(rig.send(kFront, arp_request(ip("10.1.0.2"), ip("10.1.0.105")))));
}

TEST(Reload, flows_keep_their_source_address_when_the_pool_gets_another) {
  Rig rig;
  Connection s(rig, client(1), 40000, kVip4, 80);
  s.establish();
  const std::string other =
      with(kTwoArms, "source_ports = [ 1024, 65535 ];", "source_addresses = [ \"10.2.0.200\" ];");
  rig.reload(other);
  rig.run();
  s.client_says("goes on", kUp);
  s.backend_says("goes on", kDown);
  EXPECT_EQ(s.source, kSource4);
  for (uint16_t port = 40001; port < 40005; ++port) {  // source addresses take turns
    Connection fresh(rig, client(1), port, kVip4, 80);
    fresh.establish();
    EXPECT_EQ(fresh.slot(), s.slot());
    EXPECT_EQ(fresh.source, ip("10.2.0.200"));
  }
}

TEST(Reload, flows_follow_the_new_routes) {
  Rig rig;
  Connection s(rig, client(1), 40000, kVip4, 80);
  s.establish();
  rig.reload(with(kTwoArms, "via = \"10.1.0.1\"", "via = \"10.1.0.3\""));
  rig.run();
  s.backend_says("by the new router", kDown);  // the rig's hosts know the new document
  EXPECT_EQ(rig.next_hop(s.client), ip("10.1.0.3"));
}

TEST(Reload, what_waits_for_a_neighbor_leaves_though_the_configuration_changed) {
  Rig rig;
  rig.nobody_answers = true;
  Connection s(rig, client(1), 40000, kVip4, 80);
  EXPECT_TRUE(nothing(rig.send(kFront, s.from_client({.flags = kSyn, .seq = 1000}))));
  const IpAddress backend = look(rig.asked[0].frame).to;
  rig.reload(kWithS4);
  rig.run();
  rig.inject(kBack, arp_reply(backend, rig.port_mac(kBack), kSource4));
  EXPECT_EQ(rig.run().size(), 1u);
}

TEST(Reload, state_of_a_backend_outlives_it) {
  Rig rig;
  const uint16_t slot = rig.backend("web", "s1");
  rig.down(slot);
  rig.run();
  rig.reload(kWithS4);
  rig.run();
  for (unsigned i = 0; i < 60; ++i) {
    Connection s(rig, client(i), 40000, kVip4, 80);
    s.open();
    EXPECT_NE(s.slot(), slot);
  }
}

TEST(Reload, slot_with_a_new_owner_is_not_judged_by_the_former_one) {
  Rig rig;
  const uint16_t slot = rig.backend("web", "s2");
  rig.down(slot);
  rig.reload(kWithoutS2);
  rig.run();
  for (int i = 0; i < 3; ++i) {
    rig.pass(2s);
    rig.control_turn();
  }
  rig.run();
  ASSERT_FALSE(rig.publisher().slots().backends[slot].used);
  rig.reload(with(kWithoutS2, "{ name = \"s3\"; address = \"10.2.0.13\"; port = 8080; }",
                  "{ name = \"s3\"; address = \"10.2.0.13\"; port = 8080; }, { name = \"new\"; "
                  "address = \"10.2.0.20\"; port = 8080; }"));
  ASSERT_EQ(rig.backend("web", "new"), slot);
  rig.run();
  unsigned there = 0;
  for (unsigned i = 0; i < 60; ++i) {
    Connection s(rig, client(i), 40000, kVip4, 80);
    s.open();
    there += s.slot() == slot ? 1 : 0;
  }
  EXPECT_GT(there, 5u);
}

// ---- when the old snapshot may go

TEST(Rcu, old_snapshot_stays_until_every_worker_has_reported) {
  Rig rig({.workers = 3});
  rig.reload(kWithS4);
  EXPECT_EQ(rig.publisher().old_snapshots(), 1u);
  for (unsigned w = 0; w < 3; ++w) {
    rig.control_turn();
    EXPECT_EQ(rig.publisher().old_snapshots(), 1u) << w << " workers have reported";
    rig.poll_worker(w);
    EXPECT_EQ(rig.stats(w).worker.snapshot.get(), rig.publisher().current()->serial);
  }
  rig.control_turn();
  EXPECT_EQ(rig.publisher().old_snapshots(), 0u);
}

TEST(Rcu, worker_reads_the_new_snapshot_from_its_next_burst_on) {
  Rig rig;
  rig.reload(without_web());
  Connection s(rig, client(1), 40000, kVip4, 80);
  rig.inject(kFront, s.from_client({.flags = kSyn, .seq = 1}));
  rig.poll();
  EXPECT_EQ(rig.drops(Drop::no_service), 0u) << "this burst was before its report";
  rig.inject(kFront, tcp_frame(rig.to_us(client(2)), {.from = client(2), .to = kVip4}, 1, 80,
                               {.flags = kSyn}));
  rig.poll();
  EXPECT_EQ(rig.drops(Drop::no_service), 1u);
}

TEST(Rcu, sleeper_holds_nothing_up_and_reads_the_newest_when_it_wakes) {
  Rig rig({.workers = 2});
  rig.run();
  // Often: a new snapshot may come to stand where a freed one stood.
  for (int round = 0; round < 40; ++round) {
    rig.worker(1).offline();
    for (int i = 0; i <= round % 3; ++i) {
      rig.reload(i % 2 == 0 ? kWithS4 : kTwoArms);
      rig.poll_worker(0);
      rig.control_turn();
      EXPECT_EQ(rig.publisher().old_snapshots(), 0u) << "held up by a sleeper";
    }
    rig.worker(1).online();
    EXPECT_EQ(rig.stats(1).worker.snapshot.get(), rig.publisher().current()->serial) << round;
    rig.run();
  }
}

TEST(Rcu, many_snapshots_between_two_reports_are_freed_together) {
  Rig rig;
  for (int i = 0; i < 10; ++i) rig.reload(i % 2 == 0 ? kWithS4 : kTwoArms);
  EXPECT_EQ(rig.publisher().old_snapshots(), 10u);
  rig.poll();
  rig.control_turn();
  EXPECT_EQ(rig.publisher().old_snapshots(), 0u);
  Connection s(rig, client(1), 40000, kVip4, 80);
  s.establish();
}

}  // namespace
}  // namespace limpet::worker_test
