#include "limpet/tcp/syn_cookie.h"

#include <gtest/gtest.h>

#include <random>

namespace limpet::tcp {
namespace {

using namespace std::chrono_literals;

constexpr HashKey kSecret = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
const Tuple kTuple{IpAddress::v4(192, 0, 2, 7), IpAddress::v4(10, 1, 0, 100), be16::from(40000),
                   be16::from(80)};
Tuple tuple6() {
  Tuple t = kTuple;
  t.client.bytes = {0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7};
  t.vip.bytes = {0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  return t;
}

class SynCookieTest : public testing::Test {
 protected:
  std::optional<uint32_t> echo(const Offer& o, const SynAck& s) {
    return o.timestamps ? std::optional(s.tsval) : std::nullopt;
  }
  CookieCheck back(const Tuple& t, uint32_t a, const Offer& o, Duration later) {
    const SynAck s = cookies.make(t, a, o, now);
    return cookies.check(t, a, s.isn, echo(o, s), now + later);
  }
  SynCookies cookies{kSecret};
  Instant now{uint64_t{3600} * 1000000000u};
};

TEST_F(SynCookieTest, every_offer_comes_back) {
  for (const bool v6 : {false, true})
    for (const bool timestamps : {false, true})
      for (const bool sack : {false, true})
        for (int scale = -1; scale <= 14; ++scale)
          for (const uint16_t mss : {uint16_t{536}, uint16_t{1460}, uint16_t{1440}}) {
            Offer o{mss, std::nullopt, sack, timestamps};
            if (scale >= 0) o.window_scale = static_cast<uint8_t>(scale);
            const CookieCheck c = back(v6 ? tuple6() : kTuple, 0xfffffff0u, o, 3s);
            EXPECT_EQ(c.verdict, CookieVerdict::valid);
            EXPECT_EQ(c.offer, o) << "scale " << scale << " mss " << mss;
          }
}

TEST_F(SynCookieTest, an_mss_between_two_of_the_table_becomes_the_smaller) {
  EXPECT_EQ(SynCookies::representable_mss(Family::v4, 1459), 1440);
  EXPECT_EQ(SynCookies::representable_mss(Family::v4, 65535), 8960);
  EXPECT_EQ(SynCookies::representable_mss(Family::v4, 1240), 1240);
  EXPECT_EQ(SynCookies::representable_mss(Family::v6, 1220), 1220);
  EXPECT_EQ(SynCookies::representable_mss(Family::v6, 8940), 8940);
  EXPECT_EQ(SynCookies::representable_mss(Family::v6, 1239), 1220);
}

TEST_F(SynCookieTest, an_mss_below_all_counts_as_the_least) {
  EXPECT_EQ(SynCookies::representable_mss(Family::v4, 88), 88);
  EXPECT_EQ(SynCookies::representable_mss(Family::v4, 40), 88);
  EXPECT_EQ(SynCookies::representable_mss(Family::v6, 535), 88);
  EXPECT_EQ(SynCookies::representable_mss(Family::v6, 536), 536);
}

TEST_F(SynCookieTest, a_cookie_is_good_for_two_hundred_seconds_and_stale_after_three) {
  const Offer o{1460, uint8_t{7}, true, false};
  EXPECT_EQ(back(kTuple, 5, o, 200s).verdict, CookieVerdict::valid);
  EXPECT_EQ(back(kTuple, 5, o, 299s).verdict, CookieVerdict::valid);  // `now` begins an epoch
  EXPECT_EQ(back(kTuple, 5, o, 300s).verdict, CookieVerdict::stale);
  EXPECT_EQ(back(kTuple, 5, o, 399s).verdict, CookieVerdict::stale);
  EXPECT_EQ(back(kTuple, 5, o, 400s).verdict, CookieVerdict::forged);
  EXPECT_EQ(back(kTuple, 5, o, 4000s).verdict, CookieVerdict::forged);
}

TEST_F(SynCookieTest, every_number_is_authenticated) {
  for (const bool timestamps : {false, true}) {
    const Offer o{1460, uint8_t{7}, true, timestamps};
    const SynAck s = cookies.make(kTuple, 1000, o, now);
    ASSERT_EQ(cookies.check(kTuple, 1000, s.isn, echo(o, s), now).verdict, CookieVerdict::valid);
    EXPECT_EQ(cookies.check(kTuple, 1001, s.isn, echo(o, s), now).verdict, CookieVerdict::forged);
    for (unsigned bit = 0; bit < 32; ++bit)
      EXPECT_EQ(cookies.check(kTuple, 1000, s.isn ^ 1u << bit, echo(o, s), now).verdict,
                CookieVerdict::forged)
          << bit;
    Tuple t = kTuple;
    t.client_port = be16::from(40001);
    EXPECT_EQ(cookies.check(t, 1000, s.isn, echo(o, s), now).verdict, CookieVerdict::forged);
    t = kTuple;
    t.port = be16::from(81);
    EXPECT_EQ(cookies.check(t, 1000, s.isn, echo(o, s), now).verdict, CookieVerdict::forged);
    t = kTuple;
    t.vip = IpAddress::v4(10, 1, 0, 101);
    EXPECT_EQ(cookies.check(t, 1000, s.isn, echo(o, s), now).verdict, CookieVerdict::forged);
    t = kTuple;
    t.client = IpAddress::v4(192, 0, 2, 8);
    EXPECT_EQ(cookies.check(t, 1000, s.isn, echo(o, s), now).verdict, CookieVerdict::forged);
  }
}

TEST_F(SynCookieTest, the_options_in_the_timestamp_are_authenticated) {
  const Offer o{1460, uint8_t{7}, true, true};
  const SynAck s = cookies.make(kTuple, 1000, o, now);
  for (unsigned bit = 0; bit < SynCookies::kTsBits; ++bit)
    EXPECT_EQ(cookies.check(kTuple, 1000, s.isn, s.tsval ^ 1u << bit, now).verdict,
              CookieVerdict::forged)
        << bit;
  // The clock above them is not: a SYN-ACK sent again a second later has another one.
  EXPECT_EQ(cookies.check(kTuple, 1000, s.isn, s.tsval + 1024, now).verdict, CookieVerdict::valid);
  EXPECT_EQ(cookies.check(kTuple, 1000, s.isn, std::nullopt, now).verdict, CookieVerdict::forged);
}

TEST_F(SynCookieTest, the_timestamp_is_never_ahead_of_the_clock_and_never_far_behind) {
  const Offer o{1460, uint8_t{14}, true, true};
  for (int i = 0; i < 1000; ++i, now = now + 7ms) {
    const uint32_t ms = static_cast<uint32_t>(now.ns / 1000000);
    const uint32_t ts = cookies.make(kTuple, 1, o, now).tsval;
    EXPECT_LE(ms - ts, 255u);
  }
}

TEST_F(SynCookieTest, another_process_has_other_cookies) {
  HashKey other = kSecret;
  other[0] ^= 1;
  SynCookies theirs(other);
  const Offer o{1460, uint8_t{7}, true, true};
  const SynAck s = theirs.make(kTuple, 1000, o, now);
  EXPECT_EQ(cookies.check(kTuple, 1000, s.isn, s.tsval, now).verdict, CookieVerdict::forged);
}

TEST_F(SynCookieTest, epochs_have_keys_of_their_own) {
  const Offer o{1460, uint8_t{7}, true, true};
  const SynAck first = cookies.make(kTuple, 1000, o, now);
  const SynAck second = cookies.make(kTuple, 1000, o, now + SynCookies::kEpoch);
  EXPECT_NE(first.isn & 0x1fffffffu, second.isn & 0x1fffffffu);
  EXPECT_EQ(cookies.check(kTuple, 1000, first.isn, first.tsval, now).verdict, CookieVerdict::valid);
}

TEST_F(SynCookieTest, blind_guesses_fail) {
  std::mt19937 random(7);
  unsigned passed = 0;
  for (int i = 0; i < 200000; ++i)
    if (cookies
            .check(kTuple, static_cast<uint32_t>(random()), static_cast<uint32_t>(random()),
                   std::nullopt, now)
            .verdict == CookieVerdict::valid)
      ++passed;
  EXPECT_LE(passed, 3u);  // 0.14 expected
}

}  // namespace
}  // namespace limpet::tcp
