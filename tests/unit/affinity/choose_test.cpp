#include "limpet/affinity/choose.h"

#include <gtest/gtest.h>

#include <set>
#include <string_view>
#include <vector>

#include "limpet/balance/backend_state.h"

namespace limpet::affinity {
namespace {

using balance::Admin;
using balance::BackendStatus;
using balance::Health;
using balance::Maglev;
using balance::MaglevMember;

const std::vector<MaglevMember> kMembers = {{"s0", 1}, {"s1", 1}, {"s2", 1}, {"s3", 1}};
const Maglev kTable(kMembers, 1009);
const auto everybody = [](uint16_t) { return true; };
const auto nobody = [](uint16_t) { return false; };

Client client(uint8_t host, uint16_t port) {
  return {IpAddress::v4(10, 1, 0, host), be16::from(port)};
}

TEST(Choose, source_brings_every_connection_of_a_client_to_one_backend) {
  const Policy policy = Policy("web").add_source(32, 64);
  std::set<uint16_t> used;
  for (uint8_t host = 1; host < 65; ++host) {
    const Choice first = choose(policy, client(host, 1024), kTable, everybody);
    EXPECT_EQ(first.reason, Reason::source);
    EXPECT_EQ(first.member,
              kTable.first_choice(hash_source({32, 64, seed_of("web")}, client(host, 0).address)));
    for (uint16_t port = 1025; port < 1200; ++port) {
      ASSERT_EQ(choose(policy, client(host, port), kTable, everybody), first);
    }
    used.insert(first.member);
  }
  EXPECT_EQ(used.size(), kMembers.size());
}

TEST(Choose, without_persistence_each_connection_goes_its_own_way) {
  const Policy policy("web");
  std::vector<uint32_t> got(kMembers.size());
  for (uint16_t port = 1024; port < 5024; ++port) {
    const Choice c = choose(policy, client(1, port), kTable, everybody);
    ASSERT_EQ(c.reason, Reason::connection);
    ASSERT_EQ(c, choose(policy, client(1, port), kTable, everybody));
    ++got[c.member];
  }
  for (const uint32_t n : got) EXPECT_NEAR(n, 1000, 120);
}

TEST(Choose, a_client_of_a_dead_backend_is_redirected_and_returns) {
  const Policy policy = Policy("web").add_source(32, 64);
  std::vector<BackendStatus> status(kMembers.size());
  const auto usable = [&](uint16_t i) { return status[i].accepts_new(); };
  const Choice home = choose(policy, client(7, 1024), kTable, usable);
  ASSERT_EQ(home.reason, Reason::source);

  status[home.member].health = Health::down;
  const Choice away = choose(policy, client(7, 1025), kTable, usable);
  EXPECT_EQ(away.reason, Reason::source_redirected);
  EXPECT_NE(away.member, home.member);
  EXPECT_EQ(choose(policy, client(7, 1026), kTable, usable), away);

  status[home.member] = {Admin::drain, Health::up};  // nothing but its address binds it: still new
  EXPECT_EQ(choose(policy, client(7, 1027), kTable, usable), away);

  status[home.member] = {Admin::up, Health::up};
  EXPECT_EQ(choose(policy, client(7, 1028), kTable, usable), home);
}

TEST(Choose, no_usable_backend_is_said_so) {
  const Choice none{Maglev::kNone, Reason::no_backend};
  EXPECT_EQ(choose(Policy("web"), client(1, 1), kTable, nobody), none);
  EXPECT_EQ(choose(Policy("web").add_source(32, 64), client(1, 1), kTable, nobody), none);
  EXPECT_EQ(choose(Policy("web").add_source(32, 64), client(1, 1), Maglev(), everybody), none);
}

TEST(Choose, services_of_one_pool_agree_and_pools_do_not) {
  const Policy a = Policy("web").add_source(32, 64), b = Policy("web").add_source(32, 64);
  const Policy other = Policy("api").add_source(32, 64);
  unsigned differ = 0;
  for (uint8_t host = 1; host < 255; ++host) {
    const uint16_t member = choose(a, client(host, 1), kTable, everybody).member;
    EXPECT_EQ(choose(b, client(host, 1), kTable, everybody).member, member);
    differ += choose(other, client(host, 1), kTable, everybody).member != member;
  }
  EXPECT_NEAR(differ, 254 * 0.75, 30);
}

TEST(Reason, names_are_stable) {
  EXPECT_STREQ(reason_name(Reason::no_backend), "no_backend");
  EXPECT_STREQ(reason_name(Reason::connection), "connection");
  EXPECT_STREQ(reason_name(Reason::source), "source");
  EXPECT_STREQ(reason_name(Reason::source_redirected), "source_redirected");
  EXPECT_STREQ(reason_name(Reason::source_pinned), "source_pinned");
  EXPECT_STREQ(reason_name(Reason::cookie), "cookie");
  EXPECT_STREQ(reason_name(Reason::cookie_draining), "cookie_draining");
  EXPECT_STREQ(reason_name(Reason::cookie_none), "cookie_none");
  EXPECT_STREQ(reason_name(Reason::cookie_invalid), "cookie_invalid");
  EXPECT_STREQ(reason_name(Reason::cookie_down), "cookie_down");
  EXPECT_STREQ(reason_name(Reason::cookie_expired), "cookie_expired");
  EXPECT_STREQ(reason_name(Reason::cookie_old), "cookie_old");
  EXPECT_EQ(kReasonCount, 12u);
  for (size_t r = 0; r < kReasonCount; ++r) {
    EXPECT_FALSE(std::string_view(reason_text(static_cast<Reason>(r))).empty());
  }
}

}  // namespace
}  // namespace limpet::affinity
