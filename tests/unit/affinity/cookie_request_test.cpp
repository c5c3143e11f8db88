// Which backend a request's cookies name, and what is said of them.
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "limpet/affinity/cookie_policy.h"

namespace limpet::affinity {
namespace {

using balance::Admin;
using balance::BackendStatus;
using balance::Health;
using balance::Maglev;

constexpr uint64_t kNow = 1700000000;

CookieSettings settings(bool sealed) {
  CookieSettings s;
  s.service = "web";
  s.name = "SRV";
  s.sealed = sealed;
  return s;
}

struct Rig {
  BackendIds backends{{"s0", "s1", "s2"}};
  std::vector<BackendStatus> status{3};
  CookieCrypter crypter{CookieKeys::first({1, 2, 3})};

  RequestDecision ask(const CookieSettings& s, const std::vector<std::string>& values,
                      CookieUse use = CookieUse::decide, uint64_t now = kNow) {
    const auto policy = CookiePolicy::compile(s);
    const std::vector<std::string_view> views(values.begin(), values.end());
    return policy.request(
        backends, &crypter, views, now, [&](uint16_t m) { return status[m]; }, use);
  }
  std::string seal(const char* backend, uint64_t issued_ago, uint64_t used_ago = 0) {
    std::string text(kSealedSize, '?');
    const uint32_t issued = minute_of(kNow - issued_ago);
    crypter.seal({backend_id(backend), issued,
                  static_cast<uint32_t>(minutes_since(minute_of(kNow - used_ago), issued))},
                 cookie_context("web", "SRV"),
                 std::span<char, kSealedSize>(text.data(), kSealedSize));
    return text;
  }
};

// "V1", "I- unknown_backend": flag, member, detail where there is one.
std::string told(const RequestDecision& d) {
  std::string s(1, letter(d.flag));
  s += d.member == Maglev::kNone ? std::string("-") : std::to_string(d.member);
  if (d.detail != InvalidDetail::none) s += std::string(" ") + name(d.detail);
  return s;
}

TEST(CookieRequest, plain_values_name_a_backend_exactly) {
  Rig rig;
  const CookieSettings s = settings(false);
  EXPECT_EQ(told(rig.ask(s, {})), "N-");
  EXPECT_EQ(told(rig.ask(s, {"s1"})), "V1");
  EXPECT_EQ(told(rig.ask(s, {"S1"})), "I- unknown_backend");
  EXPECT_EQ(told(rig.ask(s, {"s"})), "I- unknown_backend");
  EXPECT_EQ(told(rig.ask(s, {"s11"})), "I- unknown_backend");
  EXPECT_EQ(told(rig.ask(s, {"\"s1\""})), "I- unknown_backend");
  EXPECT_EQ(told(rig.ask(s, {""})), "I- empty");
  EXPECT_EQ(told(rig.ask(s, {"|ZVPxA"})), "I- empty");
  EXPECT_EQ(told(rig.ask(s, {"s1|ZVPxA"})), "V1");
}

TEST(CookieRequest, an_id_alone_is_not_enough_where_the_name_is_at_hand) {
  Rig rig;
  ASSERT_EQ(backend_id("b1039"), backend_id("b4253"));
  rig.backends = BackendIds({"b1039", "s1", "s2"});
  EXPECT_EQ(told(rig.ask(settings(false), {"b4253"})), "I- unknown_backend");
  EXPECT_EQ(told(rig.ask(settings(false), {"b1039"})), "V0");
}

TEST(CookieRequest, the_first_usable_one_of_several_cookies_decides) {
  Rig rig;
  const CookieSettings s = settings(false);
  EXPECT_EQ(told(rig.ask(s, {"s2", "s1"})), "V2");
  EXPECT_EQ(told(rig.ask(s, {"gone", "s1"})), "V1");
  EXPECT_EQ(told(rig.ask(s, {"", "s1"})), "V1");
  rig.status[2].health = Health::down;
  EXPECT_EQ(told(rig.ask(s, {"s2", "s1"})), "V1");
  EXPECT_EQ(told(rig.ask(s, {"s2", "gone"})), "D-");
  EXPECT_EQ(told(rig.ask(s, {"gone", "s2"})), "D-");
  EXPECT_EQ(told(rig.ask(s, {"", "gone"})), "I- empty");  // what was first wrong
}

TEST(CookieRequest, down_is_not_used_and_drain_is) {
  Rig rig;
  const CookieSettings s = settings(false);
  const auto with = [&](Admin admin, Health health) {
    rig.status[1] = {admin, health};
    const RequestDecision d = rig.ask(s, {"s1"});
    return told(d) + (d.draining ? " draining" : "");
  };
  EXPECT_EQ(with(Admin::up, Health::up), "V1");
  EXPECT_EQ(with(Admin::up, Health::unknown), "V1");
  EXPECT_EQ(with(Admin::drain, Health::up), "V1 draining");
  EXPECT_EQ(with(Admin::drain, Health::down), "D-");
  EXPECT_EQ(with(Admin::up, Health::down), "D-");
  EXPECT_EQ(with(Admin::down, Health::up), "D-");
}

TEST(CookieRequest, several_backends_may_share_a_value_and_the_first_usable_one_is_taken) {
  Rig rig;
  rig.backends = BackendIds({"a", "b", "a"});
  EXPECT_EQ(told(rig.ask(settings(false), {"a"})), "V0");
  rig.status[0].health = Health::down;
  EXPECT_EQ(told(rig.ask(settings(false), {"a"})), "V2");
  rig.status[2].health = Health::down;
  EXPECT_EQ(told(rig.ask(settings(false), {"a"})), "D-");
}

TEST(CookieRequest, plain_dates_are_judged_like_haproxy_absolute_first) {
  Rig rig;
  CookieSettings s = settings(false);
  s.idle_timeout = 1800, s.absolute_timeout = 28800;
  EXPECT_EQ(told(rig.ask(s, {"s1|ZVPxA|ZVOAg"})), "V1");  // now, 28800 s ago
  EXPECT_EQ(told(rig.ask(s, {"s1|ZVPxA|ZVOAf"})), "O-");  // 28804 s ago
  EXPECT_EQ(told(rig.ask(s, {"s1|ZVPp+|ZVOAg"})), "V1");  // used 1800 s ago
  EXPECT_EQ(told(rig.ask(s, {"s1|ZVPp9|ZVOAg"})), "E-");  // 1804 s
  EXPECT_EQ(told(rig.ask(s, {"s1|ZVPp9|ZVOAf"})), "O-");  // both
  EXPECT_EQ(told(rig.ask(s, {"s1|ZVVCg|ZVVCg"})), "V1");  // 24 h ahead
  EXPECT_EQ(told(rig.ask(s, {"s1|ZVVCg|ZVVCh"})), "O- future_dated");
  EXPECT_EQ(told(rig.ask(s, {"s1|ZVVCh|ZVVCg"})), "E- future_dated");
  EXPECT_EQ(told(rig.ask(s, {"s1"})), "V1");          // no date: accepted, to be stamped
  EXPECT_EQ(told(rig.ask(s, {"gone|ZVPp9"})), "E-");  // dates come before names
  s.absolute_timeout = 0;
  EXPECT_EQ(told(rig.ask(s, {"s1|ZVPxA|ZVOAf"})), "V1");
  EXPECT_EQ(told(rig.ask(s, {"s1|ZVPp9|ZVOAg"})), "E-");
  s.idle_timeout = 0;
  EXPECT_EQ(told(rig.ask(s, {"s1|ZVPp9|ZVOAf"})), "V1");
  EXPECT_EQ(told(rig.ask(s, {"s1|ZVVCh|ZVVCh"})), "V1");
}

TEST(CookieRequest, a_refused_cookie_hands_its_first_date_on_unless_the_date_was_the_reason) {
  Rig rig;
  CookieSettings s = settings(false);
  s.idle_timeout = 1800, s.absolute_timeout = 28800;
  rig.status[1].health = Health::down;
  RequestDecision d = rig.ask(s, {"s1|ZVPxA|ZVOAg"});
  EXPECT_EQ(told(d), "D-");
  EXPECT_TRUE(d.has_first);
  EXPECT_EQ(d.first, kNow - 28800);
  d = rig.ask(s, {"gone|ZVPxA|ZVOAg"});
  EXPECT_EQ(told(d), "I- unknown_backend");
  EXPECT_TRUE(d.has_first && d.has_last);
  EXPECT_EQ(d.last, kNow);
  d = rig.ask(s, {"s0|ZVPxA|ZVOAf"});
  EXPECT_EQ(told(d), "O-");
  EXPECT_FALSE(d.has_first || d.has_last);
}

TEST(CookieRequest, an_expired_cookie_does_not_hide_a_good_one_behind_it) {
  Rig rig;
  CookieSettings s = settings(false);
  s.idle_timeout = 1800;
  EXPECT_EQ(told(rig.ask(s, {"s1|ZVPp9", "s2|ZVPxA"})), "V2");
  EXPECT_EQ(told(rig.ask(s, {"s1|ZVPp9", "gone"})), "E-");
  EXPECT_EQ(told(rig.ask(s, {"s2|ZVPxA", "s1|ZVPp9"})), "V2");
}

TEST(CookieRequest, sealed_values_name_a_backend_and_nothing_else_does) {
  Rig rig;
  const CookieSettings s = settings(true);
  const std::string good = rig.seal("s1", 0);
  EXPECT_EQ(told(rig.ask(s, {})), "N-");
  EXPECT_EQ(told(rig.ask(s, {good})), "V1");
  EXPECT_EQ(told(rig.ask(s, {"s1"})), "I- truncated");
  EXPECT_EQ(told(rig.ask(s, {""})), "I- empty");
  EXPECT_EQ(told(rig.ask(s, {good + "x"})), "I- too_long");
  EXPECT_EQ(told(rig.ask(s, {'"' + good + '"'})), "I- too_long");
  EXPECT_EQ(told(rig.ask(s, {good.substr(0, 22) + "="})), "I- bad_character");
  EXPECT_EQ(told(rig.ask(s, {good.substr(0, 22) + "_"})), "I- trailing_bits");
  EXPECT_EQ(told(rig.ask(s, {"B" + good.substr(1)})), "I- unknown_key");
  EXPECT_EQ(told(rig.ask(s, {"AAAAAAAAAAAAAAAAAAAAAAA"})), "I- forged");
  EXPECT_EQ(told(rig.ask(s, {rig.seal("gone", 0)})), "I- unknown_backend");
  CookieSettings other = s;
  other.service = "api";
  EXPECT_EQ(told(rig.ask(other, {good})), "I- forged");
  other = s;
  other.name = "SRW";
  EXPECT_EQ(told(rig.ask(other, {good})), "I- forged");
  rig.status[1].health = Health::down;
  EXPECT_EQ(told(rig.ask(s, {good})), "D-");
}

TEST(CookieRequest, sealed_dates_are_judged_in_whole_minutes) {
  Rig rig;
  CookieSettings s = settings(true);
  s.idle_timeout = 1790, s.absolute_timeout = 28800;  // 30 minutes, rounded up
  EXPECT_EQ(told(rig.ask(s, {rig.seal("s1", 28800, 1800)})), "V1");
  EXPECT_EQ(told(rig.ask(s, {rig.seal("s1", 28800, 1860)})), "E-");
  EXPECT_EQ(told(rig.ask(s, {rig.seal("s1", 28860, 0)})), "O-");
  EXPECT_EQ(told(rig.ask(s, {rig.seal("s1", 28860, 1860)})), "O-");
  EXPECT_EQ(told(rig.ask(s, {rig.seal("s1", -86460ull, -86460ull)})), "O- future_dated");
  EXPECT_EQ(told(rig.ask(s, {rig.seal("s1", -86400ull, -86400ull)})), "V1");
  s.absolute_timeout = 0;
  EXPECT_EQ(told(rig.ask(s, {rig.seal("s1", -86460ull, -86460ull)})), "E- future_dated");
  s.idle_timeout = 0;
  EXPECT_EQ(told(rig.ask(s, {rig.seal("s1", 864000, 864000)})), "V1");
}

TEST(CookieRequest, what_something_else_decided_makes_a_cookie_unused) {
  Rig rig;
  CookieSettings s = settings(false);
  s.idle_timeout = 1800;
  constexpr CookieUse use = CookieUse::decided;
  EXPECT_EQ(told(rig.ask(s, {}, use)), "N-");
  EXPECT_EQ(told(rig.ask(s, {"s1"}, use)), "U-");
  EXPECT_EQ(told(rig.ask(s, {"gone"}, use)), "U-");
  EXPECT_EQ(told(rig.ask(s, {"s1|ZVPp9"}, use)), "E-");  // dates are looked at all the same
}

TEST(CookieRequest, a_prefix_names_the_backend_and_is_stripped_whatever_it_names) {
  Rig rig;
  CookieSettings s = settings(false);
  s.mode = CookieMode::prefix;
  const CookiePolicy p = CookiePolicy::compile(s);
  EXPECT_EQ(told(rig.ask(s, {"s1~abc"})), "V1");
  EXPECT_EQ(told(rig.ask(s, {"s1"})), "V1");
  EXPECT_EQ(told(rig.ask(s, {"s9~abc"})), "I- unknown_backend");
  EXPECT_EQ(told(rig.ask(s, {"~abc"})), "I- empty");
  EXPECT_EQ(told(rig.ask(s, {"s1|ZVPxA~abc"})), "I- unknown_backend");  // dates are of other modes
  EXPECT_EQ(p.strip("s1~abc"), 3u);
  EXPECT_EQ(p.strip("s9~abc~d"), 3u);
  EXPECT_EQ(p.strip("~abc"), 1u);
  EXPECT_EQ(p.strip("abc"), 0u);
  EXPECT_FALSE(p.strips_requests());
  s.sealed = true;
  EXPECT_EQ(told(rig.ask(s, {rig.seal("s1", 0) + "~abc"})), "V1");
  EXPECT_EQ(told(rig.ask(s, {"abc"})), "I- truncated");
}

TEST(CookieRequest, only_insert_with_indirect_hides_the_cookie_from_the_server) {
  CookieSettings s = settings(true);
  EXPECT_FALSE(CookiePolicy::compile(s).strips_requests());
  EXPECT_EQ(CookiePolicy::compile(s).strip("s1~abc"), 0u);
  s.indirect = true;
  EXPECT_TRUE(CookiePolicy::compile(s).strips_requests());
  s.mode = CookieMode::prefix;
  EXPECT_FALSE(CookiePolicy::compile(s).strips_requests());
}

}  // namespace
}  // namespace limpet::affinity
