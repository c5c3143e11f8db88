#include "limpet/affinity/choose.h"

#include <gtest/gtest.h>

#include <chrono>
#include <set>
#include <span>
#include <string_view>
#include <utility>
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

Client with(Client c, std::span<const CookieOutcome> cookies) {
  c.cookies = cookies;
  return c;
}

TEST(Choose, a_cookie_brings_its_client_back_before_any_hash) {
  const Policy policy = Policy("web").add_cookie().add_source(32, 64);
  for (uint16_t member = 0; member < 4; ++member) {
    CookieOutcome c{member, RequestFlag::valid, false};
    EXPECT_EQ(choose(policy, with(client(1, 1), {&c, 1}), kTable, nobody),
              (Choice{member, Reason::cookie, 0}));
    c.draining = true;
    EXPECT_EQ(choose(policy, with(client(1, 1), {&c, 1}), kTable, nobody),
              (Choice{member, Reason::cookie_draining, 0}));
  }
}

TEST(Choose, without_a_cookie_the_source_decides_and_is_the_reason) {
  const Policy policy = Policy("web").add_cookie().add_source(32, 64);
  const Choice plain = choose(Policy("web").add_source(32, 64), client(1, 1), kTable, everybody);
  EXPECT_EQ(plain.entry, 0);
  const CookieOutcome none;
  EXPECT_EQ(choose(policy, client(1, 1), kTable, everybody),
            (Choice{plain.member, Reason::source, 1}));
  EXPECT_EQ(choose(policy, with(client(1, 1), {&none, 1}), kTable, everybody),
            (Choice{plain.member, Reason::source, 1}));
}

TEST(Choose, a_cookie_that_failed_is_the_reason_whoever_decides) {
  const std::pair<RequestFlag, Reason> cases[] = {
      {RequestFlag::none, Reason::cookie_none},       {RequestFlag::unused, Reason::cookie_none},
      {RequestFlag::invalid, Reason::cookie_invalid}, {RequestFlag::down, Reason::cookie_down},
      {RequestFlag::expired, Reason::cookie_expired}, {RequestFlag::old, Reason::cookie_old},
      {RequestFlag::valid, Reason::cookie_down}};  // valid without a member: it could not be
                                                   // connected
  for (const auto& [flag, reason] : cases) {
    const CookieOutcome c{Maglev::kNone, flag, false};
    const Choice balanced =
        choose(Policy("web").add_cookie(), with(client(1, 9), {&c, 1}), kTable, everybody);
    EXPECT_EQ(balanced.reason, reason);
    EXPECT_EQ(balanced.entry, Choice::kNoEntry);
    EXPECT_EQ(balanced.member, choose(Policy("web"), client(1, 9), kTable, everybody).member);
    const Choice source = choose(Policy("web").add_cookie().add_source(32, 64),
                                 with(client(1, 9), {&c, 1}), kTable, everybody);
    EXPECT_EQ(source.reason, reason == Reason::cookie_none ? Reason::source : reason);
    EXPECT_EQ(source.entry, 1);
  }
}

TEST(Choose, of_two_cookies_the_first_that_decides_wins_and_the_first_that_failed_is_told) {
  const Policy policy = Policy("web").add_cookie().add_cookie();
  EXPECT_EQ(policy.cookies(), 2);
  CookieOutcome c[2] = {{Maglev::kNone, RequestFlag::old, false}, {3, RequestFlag::valid, false}};
  EXPECT_EQ(choose(policy, with(client(1, 1), c), kTable, everybody),
            (Choice{3, Reason::cookie, 1}));
  c[1] = {Maglev::kNone, RequestFlag::down, false};
  EXPECT_EQ(choose(policy, with(client(1, 1), c), kTable, everybody).reason, Reason::cookie_old);
  c[0] = {};
  EXPECT_EQ(choose(policy, with(client(1, 1), c), kTable, everybody).reason, Reason::cookie_down);
  c[0] = {2, RequestFlag::valid, false};
  EXPECT_EQ(choose(policy, with(client(1, 1), c), kTable, everybody),
            (Choice{2, Reason::cookie, 0}));
  EXPECT_EQ(choose(policy, with(client(1, 1), c), kTable, nobody).member, 2);
  c[0] = c[1] = {};
  EXPECT_EQ(choose(policy, with(client(1, 1), c), kTable, nobody).reason, Reason::no_backend);
}

struct PinRig {
  BackendIds backends{{"s0", "s1", "s2", "s3"}};
  std::vector<BackendStatus> status{4};
  StickTable stick{{100, std::chrono::minutes(30), WhenFull::evict}, HashKey{7}};
  Policy policy = Policy("web").add_cookie().add_source(24, 64);

  // `usable` as a worker with its own idea of who is up would say it.
  template <class Usable>
  Choice ask(const Client& c, Usable&& usable) {
    return choose(policy, c, kTable, usable,
                  Pins{stick, backends, [&](uint16_t m) { return status[m].accepts_existing(); },
                       Instant{1}});
  }
  Choice ask(const Client& c) {
    return ask(c, [&](uint16_t m) { return status[m].accepts_new(); });
  }
};

TEST(Pins, the_second_connection_goes_where_the_first_went_whatever_the_worker_believes) {
  PinRig rig;
  const Choice first = rig.ask(client(1, 1));
  EXPECT_EQ(first.reason, Reason::source);
  // Another worker has heard that this backend takes no new clients; the pin holds all the same.
  const auto without_it = [&](uint16_t m) { return m != first.member; };
  EXPECT_EQ(rig.ask(client(1, 2), without_it), (Choice{first.member, Reason::source_pinned, 1}));
  EXPECT_EQ(rig.ask(client(99, 3), without_it).member, first.member);  // one /24
  EXPECT_NE(choose(rig.policy, client(1, 2), kTable, without_it).member, first.member);
}

TEST(Pins, a_draining_backend_keeps_its_pins_and_a_dead_one_loses_them) {
  PinRig rig;
  const uint16_t home = rig.ask(client(1, 1)).member;
  rig.status[home].admin = Admin::drain;
  EXPECT_EQ(rig.ask(client(1, 2)).member, home);
  rig.status[home].health = Health::down;
  const Choice moved = rig.ask(client(1, 3));
  EXPECT_NE(moved.member, home);
  EXPECT_TRUE(moved.moved);
  EXPECT_EQ(moved.reason, Reason::source_redirected);
  rig.status[home] = {};
  const Choice stays = rig.ask(client(1, 4));  // its sessions are there now
  EXPECT_EQ(stays, (Choice{moved.member, Reason::source_pinned, 1}));
}

TEST(Pins, a_parallel_connection_that_was_faster_decides) {
  PinRig rig;
  const Choice hashed = choose(rig.policy, client(1, 1), kTable, everybody);
  const auto other = static_cast<uint16_t>((hashed.member + 1) % 4);
  const StickKey key =
      rig.stick.key(1, network_of({24, 64, rig.policy.seed()}, client(1, 1).address).bytes);
  // The other connection's store comes between this one's look-up and its own store.
  const auto meanwhile = [&](uint16_t) {
    rig.stick.get_or_insert(key, value_of(rig.backends, other), Instant{1});
    return true;
  };
  const Choice c = rig.ask(client(1, 1), meanwhile);
  EXPECT_EQ(c.member, other);
  EXPECT_TRUE(c.raced);
  EXPECT_FALSE(rig.ask(client(1, 2)).raced);
}

TEST(Pins, workers_that_move_a_client_at_once_agree) {
  PinRig rig;
  const uint16_t home = rig.ask(client(1, 1)).member;
  rig.status[home].health = Health::down;
  const auto a = static_cast<uint16_t>((home + 1) % 4), b = static_cast<uint16_t>((home + 2) % 4);
  const StickKey key =
      rig.stick.key(1, network_of({24, 64, rig.policy.seed()}, client(1, 1).address).bytes);
  const auto meanwhile = [&](uint16_t m) {
    rig.stick.update_if(key, value_of(rig.backends, home), value_of(rig.backends, a), Instant{1});
    return m == b;
  };
  const Choice c = rig.ask(client(1, 2), meanwhile);
  EXPECT_EQ(c.member, a);
  EXPECT_TRUE(c.raced && c.moved);
}

TEST(Pins, a_choice_that_this_worker_knows_to_be_dead_is_not_followed) {
  PinRig rig;
  const uint16_t home = rig.ask(client(1, 1)).member;
  const auto dead = static_cast<uint16_t>((home + 1) % 4);
  rig.status[home].health = rig.status[dead].health = Health::down;
  const StickKey key =
      rig.stick.key(1, network_of({24, 64, rig.policy.seed()}, client(1, 1).address).bytes);
  const auto meanwhile = [&](uint16_t m) {
    rig.stick.update_if(key, value_of(rig.backends, home), value_of(rig.backends, dead),
                        Instant{1});
    return rig.status[m].accepts_new();
  };
  const Choice c = rig.ask(client(1, 2), meanwhile);
  EXPECT_NE(c.member, home);
  EXPECT_NE(c.member, dead);
}

TEST(Pins, nobody_left_is_said_so_and_stores_nothing) {
  PinRig rig;
  EXPECT_EQ(rig.ask(client(1, 1), nobody).reason, Reason::no_backend);
  EXPECT_EQ(rig.stick.counters().used, 0u);
}

TEST(Pins, a_cookie_needs_no_pin) {
  PinRig rig;
  const CookieOutcome c{2, RequestFlag::valid, false};
  EXPECT_EQ(rig.ask(with(client(1, 1), {&c, 1})).member, 2);
  EXPECT_EQ(rig.stick.counters().used, 0u);
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
  EXPECT_STREQ(reason_name(Reason::bad_request), "bad_request");
  EXPECT_STREQ(reason_name(Reason::slow_request), "slow_request");
  EXPECT_STREQ(reason_name(Reason::client_gone), "client_gone");
  EXPECT_STREQ(reason_name(Reason::response_timeout), "response_timeout");
  EXPECT_STREQ(reason_name(Reason::no_memory), "no_memory");
  EXPECT_EQ(kReasonCount, 17u);
  for (size_t r = 0; r < kReasonCount; ++r) {
    EXPECT_FALSE(std::string_view(reason_text(static_cast<Reason>(r))).empty());
  }
}

}  // namespace
}  // namespace limpet::affinity
