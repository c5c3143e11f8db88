// Where our addresses are: told at start, after a reload and when a link is back.
#include "connection.h"

namespace limpet::worker_test {
namespace {

// What announces an address of ours on a port.
std::pair<uint16_t, Bytes> announcement(Rig& rig, uint16_t port, const IpAddress& address) {
  const IpAddress all = ip("ff02::1");
  const MacAddress mac = rig.port_mac(port);
  if (address.is_v4()) return {port, arp_frame({kBroadcastMac, mac}, 1, mac, address, {}, address)};
  return {port, advertisement({group_mac(all), mac}, address, all, address, 0x20, mac)};
}

using Announced = std::vector<std::pair<uint16_t, Bytes>>;

Announced all_of(Rig& rig) {
  return {announcement(rig, kFront, kVip4), announcement(rig, kFront, kVip6),
          announcement(rig, kBack, kSource4), announcement(rig, kBack, kSource6)};
}

const IpAddress kAdded = ip("fd00:1::101");
const std::string kWithAdded = with(kTwoArms, "name = \"echo6\"; vip = \"fd00:1::100\"",
                                    "name = \"echo6\"; vip = \"fd00:1::101\"");

// Until nothing is said any more.
void quiet(Rig& rig) {
  rig.pass(5s);
  rig.announced.clear();
}

TEST(Announcements, tell_three_times_where_vips_and_source_addresses_are) {
  Rig rig;
  rig.run();
  for (int round = 0; round < 3; ++round) {
    EXPECT_TRUE(are(rig.announced, all_of(rig))) << round;
    rig.announced.clear();
    rig.pass(900ms);
    EXPECT_TRUE(nothing(rig.announced)) << round;
    rig.pass(150ms);
  }
  EXPECT_TRUE(nothing(rig.announced));
  rig.pass(10s);
  EXPECT_TRUE(nothing(rig.announced));
}

TEST(Announcements, source_addresses_that_no_port_has_are_told) {
  Rig rig(
      {.config = with(kTwoArms, "{ name = \"echo\"; maglev_size",
                      "{ name = \"echo\"; source_addresses = [ \"10.2.0.200\" ]; maglev_size")});
  rig.run();
  const auto told = announcement(rig, kBack, ip("10.2.0.200"));
  EXPECT_EQ(std::count_if(rig.announced.begin(), rig.announced.end(),
                          [&](const Left& l) { return l.frame == told.second; }),
            1);
}

TEST(Announcements, tell_after_a_reload_only_what_is_new) {
  Rig rig;
  quiet(rig);
  rig.reload(kWithAdded);
  rig.run();
  for (int round = 0; round < 3; ++round) {
    EXPECT_TRUE(are(rig.announced, {announcement(rig, kFront, kAdded)})) << round;
    rig.announced.clear();
    rig.pass(1050ms);
  }
  EXPECT_TRUE(nothing(rig.announced));
}

TEST(Announcements, tell_only_what_is_new_whatever_was_missed_in_a_nap) {
  Rig rig;
  quiet(rig);
  rig.worker().offline();
  rig.reload(kWithAdded);
  rig.control_turn();  // the snapshot that the worker had is gone
  rig.reload(kWithAdded + " ");
  rig.worker().online();
  rig.run();
  EXPECT_TRUE(are(rig.announced, {announcement(rig, kFront, kAdded)}));
}

TEST(Announcements, under_way_are_not_cut_short_by_a_reload) {
  Rig rig;
  rig.run();
  rig.announced.clear();
  rig.reload(kWithAdded);
  rig.run();
  EXPECT_TRUE(
      are(rig.announced, {announcement(rig, kFront, kVip4), announcement(rig, kFront, kVip6),
                          announcement(rig, kFront, kAdded)}))
      << "the port's whole list once more";
  rig.announced.clear();
  rig.pass(1050ms);
  EXPECT_EQ(rig.announced.size(), 5u) << "both ports";
}

TEST(Announcements, tell_all_of_a_port_whose_link_is_back) {
  Rig rig;
  quiet(rig);
  rig.publisher().announce(kBack);
  rig.run();
  for (int round = 0; round < 3; ++round) {
    EXPECT_TRUE(are(rig.announced,
                    {announcement(rig, kBack, kSource4), announcement(rig, kBack, kSource6)}))
        << round;
    rig.announced.clear();
    rig.pass(1050ms);
  }
  EXPECT_TRUE(nothing(rig.announced));
}

TEST(Announcements, of_many_addresses_leave_a_few_at_a_time) {
  std::string config = kTwoArms;
  for (unsigned i = 0; i < 40; ++i)
    config.insert(config.find("services = (") + 12,
                  "{ name = \"v" + std::to_string(i) + "\"; vip = \"10.1.0." +
                      std::to_string(120 + i) +
                      "\"; port = 80; protocol = \"tcp\"; pool = \"web\"; },");
  Rig rig({.config = config});
  rig.poll();
  EXPECT_EQ(rig.announced.size(), 16u) << "a transmit queue has other frames to take, too";
  rig.run();
  EXPECT_EQ(rig.announced.size(), 44u);
}

TEST(Announcements, come_from_one_worker_only) {
  Rig rig({.workers = 3});
  rig.run();
  EXPECT_EQ(rig.announced.size(), 4u);
}

}  // namespace
}  // namespace limpet::worker_test
