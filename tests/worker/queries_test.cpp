// Questions of the control thread: flows and neighbors, answered in pieces between bursts.
#include "connection.h"

namespace limpet::worker_test {
namespace {

using dataplane::Query;
using dataplane::QueryKind;

IpAddress client(unsigned n) {
  return IpAddress::v4(198, 51, static_cast<uint8_t>(n >> 8), static_cast<uint8_t>(n));
}

Query& ask(Rig& rig, QueryKind kind, size_t limit, uint16_t service = dataplane::kNoSlot,
           unsigned worker = 0) {
  rig.keep.push_back(std::make_unique<Query>());
  Query& q = *rig.keep.back();
  q.kind = kind;
  q.service = service;
  q.flows.resize(kind == QueryKind::flows ? limit : 0);
  q.neighbors.resize(kind == QueryKind::neighbors ? limit : 0);
  rig.publisher().ask(worker, &q);
  return q;
}

TEST(Queries, all_flows_are_reported_once) {
  Rig rig;
  for (unsigned i = 0; i < 50; ++i) Connection(rig, client(i), 40000, kVip4, 80).establish();
  Query& q = ask(rig, QueryKind::flows, 1000);
  EXPECT_FALSE(q.done.load());
  rig.run();
  ASSERT_TRUE(q.done.load());
  EXPECT_FALSE(q.truncated);
  ASSERT_EQ(q.filled, 50u);
  std::set<IpAddress> seen;
  for (uint32_t i = 0; i < q.filled; ++i) {
    seen.insert(q.flows[i].client);
    EXPECT_EQ(q.flows[i].state, tcp::Track::established);
    EXPECT_EQ(q.flows[i].client_port.host(), 40000);
  }
  EXPECT_EQ(seen.size(), 50u);
  EXPECT_EQ(q.now, to_tick(rig.now));
}

TEST(Queries, limit_is_kept_and_said_and_exact_fit_is_not_truncated) {
  Rig rig;
  for (unsigned i = 0; i < 20; ++i) Connection(rig, client(i), 40000, kVip4, 80).open();
  Query& tight = ask(rig, QueryKind::flows, 19);
  Query& fits = ask(rig, QueryKind::flows, 20);
  Query& none = ask(rig, QueryKind::flows, 0);
  rig.run();
  ASSERT_TRUE(tight.done.load() && fits.done.load() && none.done.load());
  EXPECT_EQ(tight.filled, 19u);
  EXPECT_TRUE(tight.truncated);
  EXPECT_EQ(fits.filled, 20u);
  EXPECT_FALSE(fits.truncated);
  EXPECT_EQ(none.filled, 0u);
  EXPECT_TRUE(none.truncated);
}

TEST(Queries, one_service_alone) {
  Rig rig;
  for (unsigned i = 0; i < 7; ++i) Connection(rig, client(i), 40000, kVip4, 80).open();
  for (unsigned i = 0; i < 5; ++i) Connection(rig, client(i), 40000, kVip4, 7, kUdp).open();
  Query& q = ask(rig, QueryKind::flows, 100, rig.service("echo"));
  rig.run();
  ASSERT_EQ(q.filled, 5u);
  for (uint32_t i = 0; i < q.filled; ++i) EXPECT_EQ(q.flows[i].protocol, kUdp);
}

TEST(Queries, large_table_is_walked_in_pieces_while_traffic_goes_on) {
  Rig rig({.flows = 20000});
  for (unsigned i = 0; i < 3000; ++i) Connection(rig, client(i), 40000, kVip4, 80).open();
  Query& q = ask(rig, QueryKind::flows, 5000);
  unsigned iterations = 0;
  while (!q.done.load() && iterations < 100) {
    rig.poll();
    ++iterations;
    EXPECT_EQ(rig.worker().may_sleep(), q.done.load());
  }
  EXPECT_EQ(q.filled, 3000u);
  EXPECT_GE(iterations, 5u);
  EXPECT_LE(iterations, 20u);
}

TEST(Queries, neighbors_with_what_waits_for_them) {
  Rig rig;
  rig.send(kFront, arp_request(ip("10.1.0.2"), ip("10.1.0.254")));
  Connection(rig, ip("10.1.0.2"), 40000, kVip4, 80).establish();
  rig.silent.insert(ip("10.1.0.1"));  // the router
  for (int i = 0; i < 3; ++i)
    rig.send(kFront, echo_frame(rig.to_us(ip("203.0.113.9")),
                                {.from = ip("203.0.113.9"), .to = kVip4}, true, 1, 1, {}));
  rig.pass(500ms);
  Query& q = ask(rig, QueryKind::neighbors, 16);
  Query& tight = ask(rig, QueryKind::neighbors, 2);
  rig.run();
  ASSERT_EQ(q.filled, 3u);
  EXPECT_FALSE(q.truncated);
  unsigned waiting = 0;
  for (uint32_t i = 0; i < q.filled; ++i) {
    const dataplane::NeighborView& n = q.neighbors[i];
    const bool incomplete = n.address == ip("10.1.0.1");
    EXPECT_EQ(n.state, static_cast<uint8_t>(incomplete ? dataplane::NeighborState::incomplete
                                                       : dataplane::NeighborState::reachable));
    EXPECT_EQ(n.port, rig.port_towards(n.address));
    if (!incomplete) {
      EXPECT_EQ(n.mac, mac_of(n.address));
      EXPECT_NEAR(n.age, to_ticks(500ms), 2);
    }
    waiting += n.waiting;
  }
  EXPECT_EQ(waiting, 3u);
  EXPECT_EQ(tight.filled, 2u);
  EXPECT_TRUE(tight.truncated);
}

TEST(Queries, come_back_from_a_worker_that_ends) {
  Rig rig({.flows = 20000});
  ask(rig, QueryKind::flows, 10);
  rig.poll();                      // read, not finished
  ask(rig, QueryKind::flows, 10);  // not even read
  rig.finish();                    // expects both done
}

TEST(Queries, each_worker_tells_of_its_own) {
  Rig rig({.workers = 3});
  rig.spread_randomly();
  for (unsigned i = 0; i < 60; ++i) Connection(rig, client(i), 40000, kVip4, 80).establish();
  uint32_t sum = 0;
  for (unsigned w = 0; w < 3; ++w) {
    Query& q = ask(rig, QueryKind::flows, 100, dataplane::kNoSlot, w);
    rig.run();
    EXPECT_EQ(q.filled, rig.worker(w).flows().used());
    EXPECT_GT(q.filled, 5u);
    sum += q.filled;
  }
  EXPECT_EQ(sum, 60u);
}

}  // namespace
}  // namespace limpet::worker_test
