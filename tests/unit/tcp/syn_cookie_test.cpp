#include "limpet/tcp/syn_cookie.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace limpet::tcp {
namespace {

using namespace std::chrono_literals;

constexpr HashKey kSecret = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
constexpr uint64_t kTuple = 0x1122334455667788;  // its hash; the stage is 0x11

class SynCookieTest : public testing::Test {
 protected:
  static std::optional<uint32_t> echo(const Offer& o, const SynAck& s) {
    return o.timestamps ? std::optional(s.tsval) : std::nullopt;
  }
  CookieVerdict check(uint64_t tuple, uint32_t a, uint32_t isn, std::optional<uint32_t> tsecr) {
    return cookies.check(Family::v4, tuple, a, isn, tsecr, now).verdict;
  }
  CookieVerdict later(const Offer& o, Duration by) {
    const SynAck s = cookies.make(Family::v4, kTuple, 5, o, now);
    return cookies.check(Family::v4, kTuple, 5, s.isn, echo(o, s), now + by).verdict;
  }
  SynCookies cookies{kSecret};
  Instant now{uint64_t{24} * 150 * 1000000000u};  // an epoch begins
};

TEST_F(SynCookieTest, with_timestamps_every_offer_comes_back) {
  for (const Family family : {Family::v4, Family::v6})
    for (const bool sack : {false, true})
      for (int scale = -1; scale <= 14; ++scale)
        for (const uint16_t mss : {88, 536, 1024, 1440, 1460}) {
          Offer o{mss, std::nullopt, sack, true};
          if (scale >= 0) o.window_scale = static_cast<uint8_t>(scale);
          ASSERT_EQ(SynCookies::representable(family, o), o);
          const SynAck s = cookies.make(family, kTuple, 0xfffffff0u, o, now);
          const CookieCheck c =
              cookies.check(family, kTuple, 0xfffffff0u, s.isn, s.tsval, now + 3s);
          EXPECT_EQ(c.verdict, CookieVerdict::valid);
          EXPECT_EQ(c.offer, o) << "scale " << scale << " mss " << mss;
        }
}

TEST_F(SynCookieTest, without_timestamps_the_mss_comes_back_and_nothing_else_is_promised) {
  for (const Family family : {Family::v4, Family::v6})
    for (const uint16_t mss : {88, 536, family == Family::v4 ? 1240 : 1440}) {
      const Offer o = SynCookies::representable(family, {mss, uint8_t{7}, true, false});
      EXPECT_EQ(o, (Offer{mss, std::nullopt, false, false}));
      const SynAck s = cookies.make(family, kTuple, 9, o, now);
      const CookieCheck c = cookies.check(family, kTuple, 9, s.isn, std::nullopt, now);
      EXPECT_EQ(c.verdict, CookieVerdict::valid);
      EXPECT_EQ(c.offer, o);
    }
}

TEST_F(SynCookieTest, an_mss_between_two_of_the_table_becomes_the_smaller) {
  const auto mss = [](Family family, uint16_t offered, bool timestamps) {
    return SynCookies::representable(family, {offered, std::nullopt, false, timestamps}).mss;
  };
  EXPECT_EQ(mss(Family::v4, 1459, true), 1440);
  EXPECT_EQ(mss(Family::v4, 65535, true), 8960);
  EXPECT_EQ(mss(Family::v6, 65535, true), 8940);
  EXPECT_EQ(mss(Family::v6, 1239, true), 1220);
  EXPECT_EQ(mss(Family::v4, 8960, false), 1460);
  EXPECT_EQ(mss(Family::v4, 1459, false), 1240);
  EXPECT_EQ(mss(Family::v6, 1460, false), 1440);
  for (const bool timestamps : {false, true}) {
    EXPECT_EQ(mss(Family::v4, 535, timestamps), 88);
    EXPECT_EQ(mss(Family::v6, 40, timestamps), 88);
  }
}

TEST_F(SynCookieTest, a_cookie_is_good_for_150_seconds_at_least_and_stale_as_long_again) {
  for (const bool timestamps : {false, true}) {
    const Offer o{1460, std::nullopt, false, timestamps};
    EXPECT_EQ(later(o, 150s), CookieVerdict::valid);
    EXPECT_EQ(later(o, 299s), CookieVerdict::valid);  // `now` begins an epoch
    EXPECT_EQ(later(o, 300s), CookieVerdict::stale);
    EXPECT_EQ(later(o, 599s), CookieVerdict::stale);
    EXPECT_EQ(later(o, 600s), CookieVerdict::forged);
    EXPECT_EQ(later(o, 6000s), CookieVerdict::forged);
  }
}

TEST_F(SynCookieTest, every_number_is_authenticated) {
  for (const bool timestamps : {false, true}) {
    const Offer o{1460, std::nullopt, false, timestamps};
    const SynAck s = cookies.make(Family::v4, kTuple, 1000, o, now);
    ASSERT_EQ(check(kTuple, 1000, s.isn, echo(o, s)), CookieVerdict::valid);
    EXPECT_EQ(check(kTuple, 1001, s.isn, echo(o, s)), CookieVerdict::forged);
    for (unsigned bit = 0; bit < 32; ++bit)
      EXPECT_EQ(check(kTuple, 1000, s.isn ^ 1u << bit, echo(o, s)), CookieVerdict::forged) << bit;
    for (unsigned bit = 0; bit < 64; ++bit)
      EXPECT_EQ(check(kTuple ^ uint64_t{1} << bit, 1000, s.isn, echo(o, s)), CookieVerdict::forged)
          << bit;
  }
}

TEST_F(SynCookieTest, the_options_in_the_timestamp_are_authenticated) {
  const Offer o{1460, uint8_t{7}, true, true};
  const SynAck s = cookies.make(Family::v4, kTuple, 1000, o, now);
  for (unsigned bit = 0; bit < SynCookies::kTsBits; ++bit)
    EXPECT_EQ(check(kTuple, 1000, s.isn, s.tsval ^ 1u << bit), CookieVerdict::forged) << bit;
  // The clock above them is not: a SYN-ACK sent again a second later has another one.
  EXPECT_EQ(check(kTuple, 1000, s.isn, s.tsval + 1024), CookieVerdict::valid);
  EXPECT_EQ(check(kTuple, 1000, s.isn, std::nullopt), CookieVerdict::forged);
}

TEST_F(SynCookieTest, the_timestamp_is_never_ahead_of_the_clock_and_never_far_behind) {
  const Offer o{1460, uint8_t{14}, true, true};
  for (int i = 0; i < 1000; ++i, now = now + 7ms) {
    const uint32_t ms = static_cast<uint32_t>(now.ns / 1000000);
    const uint32_t ts = cookies.make(Family::v4, kTuple, 1, o, now).tsval;
    EXPECT_LE(ms - ts, 255u);
  }
}

TEST_F(SynCookieTest, another_process_has_other_cookies) {
  HashKey other = kSecret;
  other[0] ^= 1;
  SynCookies theirs(other);
  const Offer o{1460, uint8_t{7}, true, true};
  const SynAck s = theirs.make(Family::v4, kTuple, 1000, o, now);
  EXPECT_EQ(check(kTuple, 1000, s.isn, s.tsval), CookieVerdict::forged);
}

TEST_F(SynCookieTest, epochs_have_keys_of_their_own) {
  const Offer o{1460, uint8_t{7}, true, true};
  const SynAck first = cookies.make(Family::v4, kTuple, 1000, o, now);
  const SynAck second = cookies.make(Family::v4, kTuple, 1000, o, now + SynCookies::kEpoch);
  EXPECT_NE(first.isn & 0x1fffff00u, second.isn & 0x1fffff00u);
  EXPECT_EQ(check(kTuple, 1000, first.isn, first.tsval), CookieVerdict::valid);
}

TEST_F(SynCookieTest, the_stage_is_of_the_tuple_alone_and_changes_with_the_first_octet) {
  for (const bool timestamps : {false, true})
    for (const uint32_t a : {0u, 1000u, 0xffffffffu})
      for (const Duration when : {0s, 150s, 6000s}) {
        const Offer o{1460, std::nullopt, false, timestamps};
        const uint32_t isn = cookies.make(Family::v4, kTuple, a, o, now + when).isn;
        EXPECT_EQ(isn & SynCookies::kStage, SynCookies::stage(kTuple));
        for (const uint32_t octets : {1u, 100u, 255u})
          EXPECT_NE((isn + octets) & SynCookies::kStage, SynCookies::stage(kTuple));
      }
}

// All numbers with the right stage that end like `isn` in the low `low` bits of their MAC.
std::set<uint32_t> good_like(SynCookies& cookies, uint32_t isn, unsigned low,
                             std::optional<uint32_t> tsecr, Instant now) {
  const uint64_t step = uint64_t{256} << low;
  std::set<uint32_t> good;
  for (uint64_t x = isn & (step - 1); x < uint64_t{1} << 32; x += step) {
    const auto guess = static_cast<uint32_t>(x);
    if (cookies.check(Family::v4, kTuple, 1000, guess, tsecr, now).verdict == CookieVerdict::valid)
      good.insert(guess);
  }
  return good;
}

// Of 2^32 that a blind ACK may try. Looked for are those that end like one of the eight: an eighth
// of all that have the right stage.
TEST_F(SynCookieTest, eight_numbers_are_good_29_bits_of_a_guess) {
  for (const bool timestamps : {false, true}) {
    const Offer offer{1460, std::nullopt, false, timestamps};
    const SynAck one = cookies.make(Family::v4, kTuple, 1000, offer, now);
    std::set<uint32_t> good;
    for (const uint16_t mss : {8960, 1460, 1440, 1400, 1240, 1024, 536, 88})
      for (const Duration ago : {0s, 150s}) {
        if (timestamps && ago != 0s) continue;  // the echo tells the epoch
        const Offer o = SynCookies::representable(Family::v4, {mss, {}, false, timestamps});
        const Instant then{now.ns - static_cast<uint64_t>(ago.count())};
        const SynAck s = cookies.make(Family::v4, kTuple, 1000, o, then);
        EXPECT_EQ(check(kTuple, 1000, s.isn, echo(offer, one)), CookieVerdict::valid);
        good.insert(s.isn);
      }
    EXPECT_EQ(good.size(), 8u);
    std::erase_if(good, [&](uint32_t isn) { return ((isn ^ one.isn) & 0x7ff) != 0; });
    EXPECT_EQ(good_like(cookies, one.isn, 3, echo(offer, one), now), good);
  }
}

TEST_F(SynCookieTest, blind_guesses_fail) {
  std::mt19937 random(7);
  for (int i = 0; i < 500000; ++i) {
    const auto a = static_cast<uint32_t>(random()), isn = static_cast<uint32_t>(random());
    EXPECT_NE(check(kTuple, a, isn, std::nullopt), CookieVerdict::valid);  // 0.001 expected
  }
}

}  // namespace
}  // namespace limpet::tcp
