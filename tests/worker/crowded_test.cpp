// Source ports and places of the flow table when they are short: who has most connections standing
// still gives, and nobody else.
#include "splice_fixture.h"

namespace limpet::worker_test {
namespace {

using dataplane::WorkerCounters;
using tcp::Track;

// One backend with a hundred source ports, in both families.
std::string narrow(const char* ports = "[ 2000, 2099 ]") {
  std::string config =
      with(kTwoArms, "source_ports = [ 1024, 65535 ]", std::string("source_ports = ") + ports);
  config = with(config, R"({ name = "s1"; address = "10.2.0.11"; port = 8080; },
                 { name = "s2"; address = "10.2.0.12"; port = 8080; },
                 { name = "s3"; address = "10.2.0.13"; port = 8080; })",
                R"({ name = "s1"; address = "10.2.0.11"; port = 8080; weight = 0; })");
  return with(config, R"({ name = "web6"; maglev_size = 251;
    backends = ( { name = "s0"; address = "fd00:2::10"; port = 8080; },
                 { name = "s1"; address = "fd00:2::11"; port = 8080; } ); })",
              std::string(R"({ name = "web6"; maglev_size = 251; source_ports = )") + ports + R"(;
    backends = ( { name = "s0"; address = "fd00:2::10"; port = 8080; } ); })");
}

class Crowded : public testing::TestWithParam<bool> {
 protected:
  explicit Crowded(const std::string& config = narrow(), uint32_t flows = 4096)
      : rig([&] {
          Rig::Setup s;
          s.config = config;
          s.flows = flows;
          return s;
        }()) {}

  const bool v6 = GetParam();
  Rig rig;
  uint16_t next_port = 30000;

  // Hosts of networks of their own; 0 is the attacker.
  IpAddress host(unsigned n) const {
    return v6 ? ip("2001:db8:" + std::to_string(n) + "::1")
              : IpAddress::v4(198, 51, 100, static_cast<uint8_t>(1 + n));
  }
  Connection dial(unsigned n) {
    return Connection(rig, host(n), next_port++, v6 ? kVip6 : kVip4, 80);
  }
  // As Connection::establish(), while others may be reset.
  bool join(Connection& s) {
    unsigned syns = 0;
    for (const Left& l :
         rig.send(kFront, s.from_client({.flags = kSyn, .seq = 1000, .window = 65535}))) {
      const Seen seen = look(l.frame);
      if (seen.flags != kSyn) continue;
      ++syns;
      s.source = seen.from;
      s.backend = seen.to;
      s.source_port = seen.from_port;
      s.backend_port = seen.to_port;
    }
    if (syns != 1) return false;
    rig.send(kBack, s.from_backend({.flags = kSyn | kAck, .seq = 5000, .ack = 1001}));
    rig.send(kFront, s.from_client({.flags = kAck, .seq = 1001, .ack = 5001}));
    return true;
  }
  void fill(unsigned connections, unsigned from = 0) {
    for (unsigned i = 0; i < connections; ++i) {
      Connection s = dial(from);
      join(s);
    }
  }
  uint64_t gave() { return rig.sum(&WorkerCounters::ports_gave_way); }
  void speak(Connection& s) {
    s.client_says("data", {.flags = kAck, .seq = 1001, .ack = 5001, .data = pattern(3)});
  }
};

INSTANTIATE_TEST_SUITE_P(Families, Crowded, testing::Bool(),
                         [](const auto& family) { return family.param ? "v6" : "v4"; });

TEST_P(Crowded, one_source_may_have_three_quarters_of_the_source_ports) {
  fill(75);
  rig.pass(20s);
  EXPECT_EQ(gave(), 0u);
  EXPECT_EQ(rig.flows(), 75u);
}

TEST_P(Crowded, above_that_it_gives_its_oldest_and_both_ends_hear) {
  Connection oldest = dial(0);
  EXPECT_TRUE(join(oldest));
  rig.pass(100ms);
  fill(74);
  Connection other = dial(1);  // above the mark, as nobody had been still for a second
  EXPECT_TRUE(join(other));
  EXPECT_EQ(gave(), 0u);
  rig.pass(3s);
  rig.take();
  // Whoever is heavy gives, by the one that has stood longest of those looked at.
  const auto out = rig.send(kFront, dial(2).from_client({.flags = kSyn, .seq = 1000}));
  EXPECT_EQ(gave(), 1u);
  unsigned resets = 0, syns = 0;
  for (const Left& l : out) {
    const Seen s = look(l.frame);
    resets += (s.flags & kRst) != 0;
    syns += s.flags == kSyn;
    EXPECT_FALSE((s.flags & kRst) != 0 && l.port == kFront && s.to != host(0));
  }
  EXPECT_EQ(resets, 2u);
  EXPECT_EQ(syns, 1u);
  speak(other);
}

// Its tombstone has nobody towards the backend any more.
TEST_P(Crowded, an_error_about_who_gave_its_port_goes_nowhere) {
  std::vector<Connection> all;
  for (unsigned i = 0; i < 75; ++i) EXPECT_TRUE(join(all.emplace_back(dial(0))));
  rig.pass(3s);
  rig.take();
  uint16_t gave_way = 0;
  for (const Left& l : rig.send(kFront, dial(2).from_client({.flags = kSyn, .seq = 1000})))
    if (const Seen s = look(l.frame); l.port == kFront && (s.flags & kRst) != 0)
      gave_way = s.to_port;
  ASSERT_NE(gave_way, 0) << "somebody did";
  for (const Connection& s : all) {
    Bytes about = s.at_client({.flags = kAck, .seq = 5001, .ack = 1001});
    about[v6 ? 21 : 22]--;  // a hop further
    fix_checksums(about);
    const IpAddress router = rig.next_hop(s.client);
    const auto out = rig.send(kFront, icmp_frame(rig.to_us(router), {.from = router, .to = s.vip},
                                                 v6 ? 1 : 3, 1, 0, packet_of(about, 100)));
    EXPECT_EQ(out.size(), s.client_port == gave_way ? 0u : 1u) << s.client_port;
  }
  EXPECT_EQ(rig.drops(Drop::icmp_unrelated), 1u);
}

TEST_P(Crowded, newcomers_get_ports_however_many_one_source_opens) {
  Connection neighbor = dial(3);
  EXPECT_TRUE(join(neighbor));
  for (unsigned round = 0; round < 4; ++round) {
    fill(40);
    rig.pass(1500ms);
  }
  EXPECT_EQ(rig.drops(Drop::source_ports_exhausted), 0u);
  for (unsigned i = 10; i < 30; ++i) {
    Connection s = dial(i);
    EXPECT_TRUE(join(s));
    speak(s);
  }
  EXPECT_EQ(rig.drops(Drop::source_ports_exhausted), 0u);
  speak(neighbor);  // still was longest of all
}

TEST_P(Crowded, whoever_is_heard_of_counts_against_nobody) {
  std::vector<Connection> busy;
  for (unsigned i = 0; i < 64; ++i) EXPECT_TRUE(join(busy.emplace_back(dial(0))));
  for (unsigned i = 0; i < 16; ++i) fill(1, 10 + i);
  rig.pass(600ms);
  for (Connection& s : busy) speak(s);
  rig.pass(600ms);
  Connection next = dial(2);
  EXPECT_TRUE(join(next));
  EXPECT_EQ(gave(), 1u) << "one that stands still, though its source has one only";
  for (Connection& s : busy)
    s.client_says("more", {.flags = kAck, .seq = 1004, .ack = 5001, .data = pattern(3)});
}

// Faster than anything could stand still for a second.
TEST_P(Crowded, whoever_opens_and_says_nothing_gives_at_once_when_nearly_all_are_gone) {
  Connection early = dial(1);
  EXPECT_TRUE(join(early));
  speak(early);
  fill(300);
  EXPECT_EQ(rig.drops(Drop::source_ports_exhausted), 0u);
  EXPECT_GE(gave(), 200u);
  for (unsigned i = 10; i < 30; ++i) {
    Connection s = dial(i);
    EXPECT_TRUE(join(s));
    speak(s);
  }
  early.client_says("more", {.flags = kAck, .seq = 1004, .ack = 5001, .data = pattern(3)});
}

TEST_P(Crowded, a_flood_of_syns_ends_no_connection) {
  std::vector<Connection> quiet;
  for (unsigned i = 0; i < 4; ++i) EXPECT_TRUE(join(quiet.emplace_back(dial(100 + i))));
  rig.pass(5s);
  for (unsigned i = 0; i < 400; ++i)
    rig.send(kFront, dial(1 + i % 90).from_client({.flags = kSyn, .seq = 1}));
  EXPECT_EQ(gave(), 0u);
  for (Connection& s : quiet) speak(s);
}

TEST_P(Crowded, ports_empty_to_a_quarter_when_nobody_says_anything_more) {
  Connection talker = dial(1);
  EXPECT_TRUE(join(talker));
  rig.pass(5s);
  speak(talker);  // it has done so for longer than a beginning takes
  for (unsigned i = 0; i < 76; ++i) fill(1, 10 + i);
  rig.pass(15s);
  EXPECT_LT(rig.flows() - rig.sum(&WorkerCounters::ports_gave_way), 26u);
  EXPECT_LT(rig.sum(&WorkerCounters::ports_used), 25u);
  EXPECT_EQ(rig.sum(&WorkerCounters::ports_total), 100u);
  rig.take();
  talker.client_says("more", {.flags = kAck, .seq = 1004, .ack = 5001, .data = pattern(3)});
  // Below a quarter nothing more is looked at.
  const uint64_t before = gave();
  rig.pass(5s);
  EXPECT_EQ(gave(), before);
}

class CrowdedTable : public Crowded {
 protected:
  CrowdedTable() : Crowded(kTwoArms, 64) {}
};

INSTANTIATE_TEST_SUITE_P(Families, CrowdedTable, testing::Bool(),
                         [](const auto& family) { return family.param ? "v6" : "v4"; });

TEST_P(CrowdedTable, has_room_for_newcomers_however_many_one_source_opens) {
  Connection neighbor = dial(1);
  EXPECT_TRUE(join(neighbor));
  fill(60);
  rig.pass(2s);
  for (unsigned i = 2; i < 22; ++i) {
    Connection s = dial(i);
    EXPECT_TRUE(join(s));
    speak(s);
  }
  EXPECT_EQ(rig.drops(Drop::flow_table_full), 0u);
  EXPECT_GE(rig.sum(&WorkerCounters::flows_gave_way), 17u);
  speak(neighbor);
}

TEST_P(CrowdedTable, empties_to_a_quarter_when_nobody_says_anything_more) {
  fill(50);
  rig.pass(15s);
  EXPECT_LT(rig.flows(), 16u);
}

// Services of both modes share the ports of a backend.
TEST(CrowdedByBoth, a_whole_request_that_waits_for_its_backend_gives_its_port_to_nobody) {
  Rig::Setup setup;
  setup.config = with(with(narrow("[ 2000, 2003 ]"), R"({ name = "web"; vip)",
                           R"({ name = "natted"; vip = "10.1.0.100"; port = 81; protocol = "tcp";
    pool = "web"; },
  { name = "web"; mode = "splice"; vip)"),
                      R"(connect = "5s")", R"(connect = "1s")");
  Rig rig(setup);
  const IpAddress host = ip("10.1.0.2");
  const auto frame = [&](uint16_t from, uint16_t to, const Tcp& t) {
    return tcp_frame(rig.to_us(host), {.from = host, .to = kVip4}, from, to, t);
  };
  for (uint16_t port = 40000; port < 40004; ++port) {
    const auto hello = rig.send(kFront, frame(port, 80, {.flags = kSyn, .seq = 1000}));
    ASSERT_EQ(hello.size(), 1u);
    const uint32_t isn = look(hello[0].frame).seq;
    const auto out = rig.send(
        kFront, frame(port, 80, {.flags = kAck, .seq = 1001, .ack = isn + 1, .data = kRequest}));
    ASSERT_EQ(out.size(), 1u) << rig.drop_list();
    ASSERT_EQ(look(out[0].frame).flags, kSyn);
  }
  EXPECT_TRUE(nothing(rig.send(kFront, frame(50000, 81, {.flags = kSyn, .seq = 1}))));
  EXPECT_EQ(rig.drops(Drop::source_ports_exhausted), 1u);
  EXPECT_EQ(rig.flows(), 4u);
}

class CrowdedSplice : public SpliceTest {
 protected:
  CrowdedSplice()
      : SpliceTest(
            with(narrow(), R"({ name = "web"; vip)", R"({ name = "web"; mode = "splice"; vip)")) {}
  std::vector<Left> ask(const IpAddress& from, uint16_t port) {
    const auto frame = [&](const Tcp& t) {
      return tcp_frame(rig.to_us(from), {.from = from, .to = kVip4}, port, 80, t);
    };
    for (const Left& l : rig.send(kFront, frame({.flags = kSyn, .seq = 1000})))
      if (const Seen s = look(l.frame); s.to_port == port) isn = s.seq;
    return rig.send(kFront,
                    frame({.flags = kAck | kPsh, .seq = 1001, .ack = isn + 1, .data = kRequest}));
  }
};

// The one that gives is told in the same moment in which the other one's SYN is to leave.
TEST_F(CrowdedSplice, whoever_gets_a_port_uses_it_at_once) {
  for (uint16_t port = 30000; port < 30080; ++port) {
    const auto out = ask(ip("198.51.100.1"), port);
    ASSERT_EQ(out.size(), 1u);
    const Seen syn = look(out[0].frame);
    ASSERT_EQ(syn.flags, kSyn);
    backend = syn.to;
    source_port = syn.from_port;
    rig.send(kBack, from_backend({.flags = kSyn | kAck, .seq = 7000, .ack = 1001}));
    rig.send(kBack, from_backend({.flags = kAck, .seq = 7001, .ack = 1028}));
  }
  rig.pass(3s);
  rig.take();
  unsigned syns = 0, resets = 0;
  for (const Left& l : ask(ip("198.51.100.9"), 5000)) {
    syns += look(l.frame).flags == kSyn;
    resets += (look(l.frame).flags & kRst) != 0;
  }
  EXPECT_EQ(syns, 1u);
  EXPECT_EQ(resets, 2u);
  EXPECT_EQ(rig.sum(&WorkerCounters::ports_gave_way), 1u);
}

TEST(CrowdedGauge, is_read_wherever_the_ticks_begin) {
  Rig rig({.start = Instant{(uint64_t{1} << 51) + uint64_t{3600} * 1000000000u}});
  rig.pass(3s);
  EXPECT_GT(rig.sum(&WorkerCounters::ports_total), 0u);
}

}  // namespace
}  // namespace limpet::worker_test
