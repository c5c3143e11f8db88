#include "limpet/affinity/choose.h"

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <optional>
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
  EXPECT_STREQ(reason_name(Reason::header), "header");
  EXPECT_STREQ(reason_name(Reason::header_redirected), "header_redirected");
  EXPECT_STREQ(reason_name(Reason::header_none), "header_none");
  EXPECT_EQ(kReasonCount, 20u);
  for (size_t r = 0; r < kReasonCount; ++r) {
    EXPECT_FALSE(std::string_view(reason_text(static_cast<Reason>(r))).empty());
  }
}

class ChooseByHeader : public ::testing::Test {
 protected:
  // Of whoever sends these values, one for each header of the list; null: he does not send it.
  Choice go(const Policy& policy, std::vector<const char*> values, uint8_t host = 1,
            std::span<const CookieOutcome> cookies = {}) {
    std::vector<std::optional<uint64_t>> keys;
    for (const char* v : values) keys.push_back(v == nullptr ? std::nullopt : hash_key(v));
    Client c = client(host, static_cast<uint16_t>(++port_ + 1024));
    c.cookies = cookies;
    c.headers = keys;
    return choose(policy, c, kTable, usable_);
  }
  uint16_t first(const char* value) {
    return kTable.first_choice(hash_header(seed_of("web"), *hash_key(value)));
  }
  std::function<bool(uint16_t)> usable_ = everybody;
  int port_ = 0;
};

TEST_F(ChooseByHeader, equal_values_share_a_backend_whoever_sends_them) {
  const Policy policy = Policy("web").add_header();
  std::vector<uint32_t> got(kMembers.size());
  for (int user = 0; user < 400; ++user) {
    const std::string value = std::to_string(user);
    const Choice c = go(policy, {value.c_str()}, 1);
    EXPECT_EQ(c.reason, Reason::header);
    EXPECT_EQ(c.entry, 0);
    EXPECT_EQ(c.member, first(value.c_str()));
    EXPECT_EQ(go(policy, {value.c_str()}, 2), c);
    ++got[c.member];
  }
  for (const uint32_t n : got) EXPECT_NEAR(n, 100, 40);
}

TEST_F(ChooseByHeader, who_has_no_value_is_balanced_or_goes_by_the_next_entry) {
  const Choice balanced = go(Policy("web").add_header(), {nullptr});
  EXPECT_EQ(balanced.reason, Reason::header_none);
  EXPECT_EQ(balanced.entry, Choice::kNoEntry);
  std::set<uint16_t> used;
  for (int i = 0; i < 100; ++i) used.insert(go(Policy("web").add_header(), {nullptr}).member);
  EXPECT_EQ(used.size(), kMembers.size()) << "each connection on its own";

  const Policy both = Policy("web").add_header().add_header();
  EXPECT_EQ(go(both, {nullptr, "b"}).member, first("b"));
  EXPECT_EQ(go(both, {nullptr, "b"}).entry, 1);
  EXPECT_EQ(go(both, {"a", "b"}).entry, 0) << "the first that is there";
  const Choice source = go(Policy("web").add_header().add_source(32, 64), {nullptr});
  EXPECT_EQ(source.reason, Reason::source);
  EXPECT_EQ(source.entry, 1);
}

TEST_F(ChooseByHeader, a_value_s_dead_backend_is_passed_over_until_it_returns) {
  const Policy policy = Policy("web").add_header();
  const uint16_t own = first("17");
  usable_ = [own](uint16_t m) { return m != own; };
  const Choice other = go(policy, {"17"});
  EXPECT_EQ(other.reason, Reason::header_redirected);
  EXPECT_NE(other.member, own);
  EXPECT_EQ(go(policy, {"17"}, 9).member, other.member) << "all of that value go on together";
  usable_ = everybody;
  EXPECT_EQ(go(policy, {"17"}).member, own);
  usable_ = nobody;
  EXPECT_EQ(go(policy, {"17"}), Choice{});
}

TEST_F(ChooseByHeader, a_cookie_in_front_of_it_wins_and_one_that_failed_is_the_reason) {
  const Policy policy = Policy("web").add_cookie().add_header();
  const CookieOutcome good{.member = 2, .flag = RequestFlag::valid};
  EXPECT_EQ(go(policy, {"17"}, 1, {&good, 1}).reason, Reason::cookie);
  EXPECT_EQ(go(policy, {"17"}, 1, {&good, 1}).member, 2);
  const CookieOutcome none{};
  EXPECT_EQ(go(policy, {"17"}, 1, {&none, 1}).reason, Reason::header);
  const CookieOutcome down{.flag = RequestFlag::down};
  const Choice moved = go(policy, {"17"}, 1, {&down, 1});
  EXPECT_EQ(moved.reason, Reason::cookie_down);
  EXPECT_EQ(moved.member, first("17"));
  EXPECT_EQ(moved.entry, 1);
  EXPECT_EQ(go(policy, {nullptr}, 1, {&none, 1}).reason, Reason::cookie_none);

  const Policy behind = Policy("web").add_header().add_cookie();
  EXPECT_EQ(go(behind, {"17"}, 1, {&good, 1}).reason, Reason::header);
  EXPECT_EQ(go(behind, {nullptr}, 1, {&good, 1}).reason, Reason::cookie);
}

TEST(PolicyOfSettings, has_the_entries_in_their_order) {
  Policy policy("web");
  policy.add(EntrySettings(HeaderSettings{"A"})).add(EntrySettings(CookieSettings{}));
  policy.add(EntrySettings(HeaderSettings{"B"})).add(EntrySettings(SourceSettings{24, 48}));
  ASSERT_EQ(policy.end() - policy.begin(), 4);
  EXPECT_EQ(policy.headers(), 2);
  EXPECT_EQ(policy.cookies(), 1);
  EXPECT_EQ(std::get<HeaderEntry>(policy.begin()[2]).index, 1);
  EXPECT_EQ(std::get<SourceKey>(policy.begin()[3]).prefix6, 48);
}

TEST(SameCarrier, is_what_is_read_and_how) {
  const EntrySettings source = SourceSettings{}, a = HeaderSettings{"A"}, b = HeaderSettings{"B"};
  CookieSettings c;
  c.name = "A";
  CookieSettings d = c;
  d.path = "/x", d.sealed = false;
  EXPECT_TRUE(same_carrier(source, SourceSettings{8, 8}));
  EXPECT_TRUE(same_carrier(a, a));
  EXPECT_TRUE(same_carrier(c, d));
  EXPECT_FALSE(same_carrier(a, b));
  EXPECT_FALSE(same_carrier(a, c)) << "of one name, but another kind";
  d.mode = CookieMode::prefix;
  EXPECT_FALSE(same_carrier(c, d));
}

}  // namespace
}  // namespace limpet::affinity
