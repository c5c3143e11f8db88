// A long random life: valid, damaged and hostile frames, ports that refuse to send, buffers that
// run out, workers that lag behind, backends that flap, configurations that change. After every
// step the counter identities hold; at the end no buffer is missing. A failure names its seed:
//   LIMPET_SOAK_SEED=n LIMPET_SOAK_STEPS=n test_worker_soak
#include <fmt/core.h>

#include <cstdlib>

#include "connection.h"

namespace limpet::worker_test {
namespace {

using dataplane::Query;
using dataplane::QueryKind;
using dataplane::WorkerCounters;

uint64_t from_environment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 0);
}

class Life {
 public:
  Life(unsigned workers, uint64_t seed)
      : r_(seed),
        rig_({.workers = workers,
              .flows = 64,
              .held_packets = 100,
              .neighbors = 24,
              .hold_syns = 20s,
              .mbufs = 1023,
              .seed = seed}) {
    rig_.run();
    rig_.spread_randomly();
    rig_.accept = [this](uint16_t, uint16_t count) {
      return congested_ ? static_cast<uint16_t>(below(count + 1u)) : count;
    };
    const std::string base = kTwoArms;
    configs_ = {
        base,
        with(base, "                 { name = \"s2\"; address = \"10.2.0.12\"; port = 8080; },\n",
             ""),
        with(base, "via = \"10.1.0.1\"", "via = \"10.1.0.3\""),
        with(base, "{ name = \"s3\"; address = \"10.2.0.13\"; port = 8080; }",
             "{ name = \"s3\"; address = \"10.2.0.13\"; port = 8080; }, { name = \"s4\"; address = "
             "\"10.2.0.14\"; port = 8080; }"),
        with(base, "name = \"echo\"; vip = \"10.1.0.100\"; port = 7",
             "name = \"echo\"; vip = \"10.1.0.101\"; port = 9"),
        with(base, "source_ports = [ 1024, 65535 ];",
             "source_addresses = [ \"10.2.0.200\", \"10.2.0.254\" ];")};
  }
  ~Life() {
    for (rte_mbuf* m : hoard_) rte_pktmbuf_free(m);
  }

  void step() {
    surroundings();
    for (uint64_t n = below(60); n > 0; --n) {
      const auto [port, frame] = arriving();
      if (frame.size() <= 2000) rig_.inject(port, frame);
      ++frames_;
    }
    if (one_in(4))
      rig_.poll_worker(static_cast<unsigned>(below(rig_.workers())));
    else
      rig_.poll();
    for (const Left& l : rig_.take()) judge(l);
    for (const Left& l : std::exchange(rig_.asked, {})) judge(l);
    for (const Left& l : std::exchange(rig_.announced, {})) judge(l);
    rig_.check_identity("in between");
  }
  Rig& rig() { return rig_; }
  uint64_t frames() const { return frames_; }

 private:
  uint64_t below(uint64_t n) { return r_() % n; }
  bool one_in(uint64_t n) { return below(n) == 0; }

  void surroundings() {
    rig_.now = rig_.now + std::chrono::milliseconds(below(one_in(50) ? 8000 : 40));
    if (one_in(20)) congested_ = !congested_;
    if (one_in(30)) rig_.nobody_answers = !rig_.nobody_answers;
    if (one_in(40)) rig_.silent.insert(ip("10.2.0.11"));
    if (one_in(40)) rig_.silent.clear();
    if (one_in(25)) hoard();
    if (one_in(12)) {
      const auto& slots = rig_.publisher().slots().backends;
      const auto slot = static_cast<uint16_t>(below(slots.size()));
      if (slots[slot].used)
        rig_.set_backend(slot, static_cast<balance::Admin>(below(10) / 4),
                         static_cast<balance::Health>(below(3)));
    }
    if (one_in(60)) rig_.reload(configs_[below(configs_.size())]);
    if (one_in(5)) rig_.control_turn();
    if (one_in(15)) {
      rig_.keep.push_back(std::make_unique<Query>());
      Query& q = *rig_.keep.back();
      q.kind = one_in(2) ? QueryKind::flows : QueryKind::neighbors;
      q.flows.resize(below(300));
      q.neighbors.resize(below(30));
      rig_.publisher().ask(static_cast<unsigned>(below(rig_.workers())), &q);
    }
    if (one_in(30)) {  // naps as the loop's
      const auto w = static_cast<unsigned>(below(rig_.workers()));
      rig_.worker(w).offline();
      rig_.control_turn();
      rig_.worker(w).online();
    }
  }

  void hoard() {
    if (!hoard_.empty()) {
      for (rte_mbuf* m : hoard_) rte_pktmbuf_free(m);
      hoard_.clear();
      return;
    }
    const unsigned leave = static_cast<unsigned>(below(40));
    while (rig_.free_mbufs() > leave) hoard_.push_back(rte_pktmbuf_alloc(rig_.pool()));
  }

  IpAddress client(bool v4) {
    const auto n = static_cast<uint8_t>(2 + below(40));
    if (one_in(2)) return v4 ? IpAddress::v4(10, 1, 0, n) : on_link6(n);
    return v4 ? IpAddress::v4(198, 51, 100, n) : far6(n);
  }
  static IpAddress on_link6(uint8_t n) {
    IpAddress a = ip("fd00:1::");
    a.bytes[15] = n;
    return a;
  }
  static IpAddress far6(uint8_t n) {
    IpAddress a = ip("2001:db8::");
    a.bytes[15] = n;
    return a;
  }
  Tcp segment() {
    static constexpr uint8_t kUsual[] = {kSyn, kAck,        kAck | kPsh, kAck | kFin,
                                         kRst, kRst | kAck, kSyn | kAck, kUrg | kAck};
    return {.flags = kUsual[below(8)],
            .seq = static_cast<uint32_t>(1000 + below(4)),
            .ack = static_cast<uint32_t>(5000 + below(4)),
            .data = pattern(one_in(3) ? below(1460) : 0)};
  }

  std::pair<uint16_t, Bytes> arriving() {
    auto [port, frame] = valid();
    if (one_in(6)) damage(frame);
    if (one_in(200)) {
      frame = pattern(below(1600));
      for (uint8_t& b : frame) b = static_cast<uint8_t>(r_());
    }
    if (one_in(50)) port = static_cast<uint16_t>(below(2));
    return {port, frame};
  }

  std::pair<uint16_t, Bytes> valid() {
    const bool v4 = one_in(2);
    const IpAddress who = client(v4);
    const IpAddress vip = v4 ? kVip4 : kVip6;
    const Ip towards{.from = who, .to = vip, .ttl = static_cast<uint8_t>(one_in(30) ? 1 : 64)};
    const Link link = rig_.to_us(who);
    const auto from_port = static_cast<uint16_t>(40000 + below(3));
    switch (below(12)) {
      case 0:
      case 1:
      case 2:
        return {kFront, tcp_frame(link, towards, from_port, one_in(20) ? 81 : 80,
                                  {.flags = kSyn, .seq = 999})};
      case 3:
        return {kFront, tcp_frame(link, towards, from_port, 80, segment())};
      case 4:
        return {kFront, udp_frame(link, towards, from_port, one_in(10) ? 9 : 7,
                                  pattern(below(1400)), !v4 || !one_in(5))};
      case 5:
        return {kFront, echo_frame(link, towards, true, 1, 1, pattern(below(1200)))};
      case 6:
        return discovery(who);
      case 7:
        return about_something();
      default:
        return reaction();
    }
  }

  std::pair<uint16_t, Bytes> discovery(const IpAddress& who) {
    static const IpAddress kTargets[] = {
        kVip4, kVip6, ip("10.1.0.254"), ip("10.1.0.77"), ip("fd00:1::254"), ip("fd00:1::78")};
    const IpAddress target = kTargets[below(6)];
    if (target.is_v4()) {
      const IpAddress sender = who.is_v4() ? who : ip("10.1.0.9");
      return {kFront, one_in(3) ? arp_reply(sender, rig_.port_mac(kFront), ip("10.1.0.254"))
                                : arp_request(sender, target)};
    }
    const IpAddress sender = who.is_v4() ? on_link6(9) : who;
    const IpAddress group = solicited_node(target);
    const MacAddress mac = mac_of(sender);
    if (one_in(3))
      return {kFront, advertisement({rig_.port_mac(kFront), mac}, sender, ip("fd00:1::254"), sender,
                                    static_cast<uint8_t>(r_()),
                                    one_in(2) ? std::optional(mac) : std::nullopt)};
    return {kFront, solicitation({group_mac(group), mac}, sender, group, target, mac)};
  }

  // The other end of something that left answers it.
  std::pair<uint16_t, Bytes> reaction() {
    if (recent_.empty()) return valid();
    const Left& l = recent_[below(recent_.size())];
    const Seen s = look(l.frame);
    const Link link{s.from_mac, s.to_mac};
    const Ip back{.from = s.to, .to = s.from};
    if (s.protocol == kUdp)
      return {l.port, udp_frame(link, back, s.to_port, s.from_port, pattern(below(900)))};
    if (s.protocol != kTcp) return valid();
    Tcp t = segment();
    if (!one_in(5)) {  // mostly as a stack would
      t.seq = s.ack;
      t.ack =
          s.seq + static_cast<uint32_t>(s.data.size()) + ((s.flags & (kSyn | kFin)) != 0 ? 1 : 0);
      t.flags = (s.flags & (kSyn | kAck)) == kSyn
                    ? kSyn | kAck
                    : static_cast<uint8_t>(kAck | (one_in(4) ? kFin : 0));
    }
    return {l.port, tcp_frame(link, back, s.to_port, s.from_port, t)};
  }

  // A router's complaint about something that left.
  std::pair<uint16_t, Bytes> about_something() {
    if (recent_.empty()) return valid();
    const Left& l = recent_[below(recent_.size())];
    const Seen s = look(l.frame);
    const IpAddress router = s.v6 ? (l.port == kFront ? ip("fd00:1::1") : ip("fd00:2::1"))
                                  : (l.port == kFront ? ip("10.1.0.1") : ip("10.2.0.1"));
    const auto type = static_cast<uint8_t>(s.v6 ? 1 + below(4) : (one_in(2) ? 3 : 11));
    return {l.port,
            icmp_frame({s.from_mac, mac_of(router)}, {.from = router, .to = s.from}, type,
                       static_cast<uint8_t>(below(5)), 1280, packet_of(l.frame, 20 + below(500)))};
  }

  void damage(Bytes& frame) {
    for (uint64_t n = 1 + below(4); n > 0 && !frame.empty(); --n) {
      switch (below(5)) {
        case 0:
          frame[below(frame.size())] ^= static_cast<uint8_t>(1u << below(8));
          break;
        case 1:
          frame[below(std::min<size_t>(frame.size(), 80))] = static_cast<uint8_t>(r_());
          break;
        case 2:
          frame.resize(below(frame.size() + 1));
          break;
        case 3:
          frame.resize(frame.size() + below(64), 0xab);
          break;
        default:
          if (frame.size() > 20)
            put16(frame, 12 + below(frame.size() - 14), static_cast<uint32_t>(r_() & 0xffff));
          break;
      }
    }
    if (one_in(2)) {
      try {
        fix_checksums(frame);
      } catch (const std::out_of_range&) {  // too little is left of it
      }
    }
  }

  // Nothing leaves that is not right and not ours to send.
  void judge(const Left& l) {
    const Seen s = look(l.frame);
    const std::string text = describe(l.frame);
    EXPECT_EQ(s.from_mac, rig_.port_mac(l.port)) << text;
    EXPECT_FALSE(s.to_mac.is_zero()) << text;
    if (s.type == kArp) return;
    ASSERT_TRUE(s.type == kIpv4 || s.type == kIpv6) << text;
    EXPECT_EQ(s.end, l.frame.size()) << "padding: " << text;
    EXPECT_GT(s.ttl, 0) << text;
    const bool known =
        s.protocol == kTcp || s.protocol == kUdp || s.protocol == kIcmp || s.protocol == kIcmp6;
    if (known) {
      EXPECT_TRUE(s.sums_right) << text;
    }
    const bool vip = s.from == kVip4 || s.from == kVip6 || s.from == ip("10.1.0.101");
    const bool own = s.from == ip("10.1.0.254") || s.from == ip("fd00:1::254") ||
                     s.from == kSource4 || s.from == kSource6 || s.from == ip("10.2.0.200");
    EXPECT_TRUE(vip || own) << "from a foreign address: " << text;
    if (known && (s.protocol == kTcp || s.protocol == kUdp)) {
      if (recent_.size() < 64)
        recent_.push_back(l);
      else
        recent_[below(64)] = l;
    }
  }

  std::mt19937_64 r_;
  Rig rig_;
  std::vector<std::string> configs_;
  std::vector<rte_mbuf*> hoard_;
  std::vector<Left> recent_;
  bool congested_ = false;
  uint64_t frames_ = 0;

  friend class Soak;
};

class Soak : public testing::TestWithParam<unsigned> {
 protected:
  void live(uint64_t seed, uint64_t steps) {
    SCOPED_TRACE(fmt::format("LIMPET_SOAK_SEED={} with {} workers", seed, GetParam()));
    Life life(GetParam(), seed);
    for (uint64_t step = 0; step < steps; ++step) {
      life.step();
      if (HasFailure()) {
        ADD_FAILURE() << "in step " << step;
        break;
      }
    }
    for (rte_mbuf* m : life.hoard_) rte_pktmbuf_free(m);
    life.hoard_.clear();
    Rig& rig = life.rig();
    if (!HasFailure() && steps >= 500) {
      // It was a life worth the name.
      EXPECT_GT(rig.sum(&WorkerCounters::forwarded), steps) << rig.drop_list();
      EXPECT_GT(rig.sum(&WorkerCounters::icmp_translated), 0u);
      EXPECT_GT(rig.sum(&WorkerCounters::flows_reset), 0u);
      EXPECT_GT(rig.sum(&WorkerCounters::flows_evicted), 0u);
      EXPECT_GT(rig.sum(&WorkerCounters::tx_failed), 0u);
      EXPECT_GT(rig.sum(&WorkerCounters::originated_lost), 0u);
      EXPECT_GT(rig.drops(Drop::neighbor_unresolved), 0u);
    }
    RecordProperty("frames", static_cast<int>(life.frames()));
    RecordProperty("drops", rig.drop_list());
    rig.finish();
  }
};

INSTANTIATE_TEST_SUITE_P(Workers, Soak, testing::Values(1u, 2u, 3u, 4u),
                         [](const auto& w) { return "of_" + std::to_string(w.param); });

TEST_P(Soak, identities_hold_after_every_step) {
  const uint64_t steps = from_environment("LIMPET_SOAK_STEPS", 600);
  const uint64_t seed = from_environment("LIMPET_SOAK_SEED", 0);
  if (seed != 0) return live(seed, steps);
  for (uint64_t n = 1; n <= 3 && !HasFailure(); ++n) live(n * 1000 + GetParam(), steps);
}

}  // namespace
}  // namespace limpet::worker_test
