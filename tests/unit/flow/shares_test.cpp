// Who holds how much: by source, in both families, whatever else shares a cell.
#include "limpet/flow/shares.h"

#include <gtest/gtest.h>

#include <random>

namespace limpet::flow {
namespace {

IpAddress ip(std::string_view text) {
  return IpAddress::parse(text).value();
}
constexpr Places kNothing{};
constexpr Places kBinding{1, 1, 0};

TEST(Shares, count_places_of_each_pool_by_source) {
  Shares s(7);
  for (int i = 0; i < 5; ++i) s.change(ip("192.0.2.1"), kNothing, kBinding);
  s.change(ip("192.0.2.2"), kNothing, {1, 4, 30});
  EXPECT_EQ(s.weight(ip("192.0.2.1"), Pool::bindings), 5u);
  EXPECT_EQ(s.weight(ip("192.0.2.1"), Pool::edits), 0u);
  EXPECT_EQ(s.weight(ip("192.0.2.2"), Pool::holds), 4u);
  EXPECT_EQ(s.weight(ip("192.0.2.2"), Pool::edits), 30u);
  EXPECT_EQ(s.weight(ip("192.0.2.3"), Pool::bindings), 0u) << "a neighbor is somebody else";
  s.change(ip("192.0.2.1"), kBinding, {1, 8, 2});
  EXPECT_EQ(s.weight(ip("192.0.2.1"), Pool::holds), 12u);
  s.change(ip("192.0.2.1"), {1, 8, 2}, kNothing);
  EXPECT_EQ(s.weight(ip("192.0.2.1"), Pool::bindings), 4u);
}

TEST(Shares, of_ipv6_count_hosts_then_homes_then_sites) {
  Shares s(7);
  // One host with many addresses.
  for (unsigned i = 0; i < 40; ++i)
    s.change(ip("2001:db8:1:1::" + std::to_string(i)), kNothing, kBinding);
  EXPECT_EQ(s.weight(ip("2001:db8:1:1::ffff"), Pool::bindings), 40u);
  // His neighbors are weighed less, the nearer ones more.
  EXPECT_EQ(s.weight(ip("2001:db8:1:2::1"), Pool::bindings), 10u);
  EXPECT_EQ(s.weight(ip("2001:db8:1:ff00::1"), Pool::bindings), 2u);
  EXPECT_EQ(s.weight(ip("2001:db8:2:1::1"), Pool::bindings), 0u);
}

TEST(Shares, of_whoever_spreads_over_his_networks_add_up) {
  Shares s(7);
  char text[64];
  for (unsigned i = 0; i < 1024; ++i) {
    snprintf(text, sizeof text, "2001:db8:7:%x::1", i * 61 & 0xffff);
    s.change(ip(text), kNothing, kBinding);
  }
  EXPECT_GE(s.weight(ip("2001:db8:7:ffff::9"), Pool::bindings), 1024u / 16);
  EXPECT_EQ(s.weight(ip("2001:db8:8::9"), Pool::bindings), 0u);
}

TEST(Shares, of_sources_in_one_cell_are_weighed_together_and_come_apart_again) {
  Shares s(7, 1);
  s.change(ip("192.0.2.1"), kNothing, kBinding);
  s.change(ip("192.0.2.2"), kNothing, kBinding);
  EXPECT_EQ(s.weight(ip("192.0.2.1"), Pool::bindings), 2u);
  s.change(ip("192.0.2.1"), kBinding, kNothing);
  EXPECT_EQ(s.weight(ip("192.0.2.2"), Pool::bindings), 1u);
  EXPECT_EQ(s.at(0).prefix.to_string(), "192.0.2.1/32") << "whoever came first names it";
  s.change(ip("192.0.2.2"), kBinding, kNothing);
  s.change(ip("192.0.2.2"), kNothing, kBinding);
  EXPECT_EQ(s.at(0).prefix.to_string(), "192.0.2.2/32");
}

TEST(Shares, are_what_a_map_says_and_empty_in_the_end) {
  std::mt19937 random(5);
  Shares s(11);
  std::vector<std::pair<IpAddress, Places>> all;
  for (int step = 0; step < 20000; ++step) {
    if (all.empty() || random() % 2 == 0) {
      const auto client = random() % 2 == 0
                              ? IpAddress::v4(10, 0, 0, static_cast<uint8_t>(random() % 50))
                              : ip("2001:db8::" + std::to_string(random() % 50));
      all.emplace_back(client, Places{});
    }
    auto& [client, had] = all[random() % all.size()];
    const Places now{static_cast<uint16_t>(random() % 2), static_cast<uint16_t>(random() % 60),
                     static_cast<uint16_t>(random() % 900)};
    s.change(client, had, now);
    had = now;
  }
  std::array<uint32_t, kPools> v4{};
  for (const auto& [client, has] : all)
    if (client == IpAddress::v4(10, 0, 0, 7))
      for (size_t i = 0; i < kPools; ++i) v4[i] += has[i];
  for (size_t i = 0; i < kPools; ++i)
    EXPECT_GE(s.weight(IpAddress::v4(10, 0, 0, 7), static_cast<Pool>(i)), v4[i]);
  for (auto& [client, had] : all) s.change(client, had, kNothing);
  for (size_t i = 0; i < s.cells(); ++i)
    for (const uint32_t n : s.at(i).places) EXPECT_EQ(n, 0u);
}

TEST(Shares, fall_into_other_cells_under_another_key) {
  // Who looks for addresses that fall into an honest client's cell must know the key.
  const auto together = [](uint64_t key) {
    Shares s(key, 64);
    s.change(ip("192.0.2.1"), kNothing, kBinding);
    std::vector<int> r;
    for (uint8_t i = 0; i < 255; ++i)
      if (s.weight(IpAddress::v4(10, 0, 0, i), Pool::bindings) != 0) r.push_back(i);
    return r;
  };
  EXPECT_FALSE(together(1).empty());
  EXPECT_NE(together(1), together(2));
}

}  // namespace
}  // namespace limpet::flow
