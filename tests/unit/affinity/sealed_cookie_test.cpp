#include "limpet/affinity/sealed_cookie.h"

#include <gtest/gtest.h>
#include <openssl/crypto.h>

#include <random>
#include <set>
#include <string>

#include "limpet/affinity/backend_ids.h"

namespace limpet::affinity {
namespace {

// OpenSSL's memory goes through here from before its first use, so that a test can count.
size_t allocations = 0;
const bool counting = CRYPTO_set_mem_functions(
                          [](size_t n, const char*, int) {
                            ++allocations;
                            return std::malloc(n);
                          },
                          [](void* p, size_t n, const char*, int) {
                            ++allocations;
                            return std::realloc(p, n);
                          },
                          [](void* p, const char*, int) { std::free(p); }) == 1;

CookieKeyBytes bytes(int first, int step) {
  CookieKeyBytes b;
  for (int i = 0; i < 16; ++i) b[static_cast<size_t>(i)] = static_cast<uint8_t>(first + i * step);
  return b;
}

CookieKeys parse(const std::string& text) {
  return parse_cookie_keys(text, "test").value();
}

const uint64_t kWeb = cookie_context("web", "SRV");
constexpr CookieLimits kNoLimits;

std::string seal(CookieCrypter& c, const SealedPayload& p, uint64_t context = kWeb) {
  std::string s(kSealedSize, '?');
  c.seal(p, context, std::span<char, kSealedSize>(s.data(), kSealedSize));
  return s;
}

Sealed open(CookieCrypter& c, std::string_view text, uint64_t context = kWeb, uint32_t now = 0,
            CookieLimits limits = kNoLimits) {
  return c.open(text, context, now, limits).what;
}

// The vectors were made by a Python SipHash and `openssl enc -aes-128-ecb -nopad`. To change one is
// to invalidate the cookies of every user.
TEST(SealedCookie, known_answers) {
  EXPECT_EQ(kWeb, 0x28f9e84916bd118cu);
  EXPECT_EQ(cookie_context("we", "bSRV"), 0x9526fe8a4265a298u);
  CookieCrypter a(CookieKeys::first(bytes(0, 1)));
  EXPECT_EQ(seal(a, {backend_id("s0"), 0, 0}), "AaK2LTLeFZkiuFE3fOGBvRQ");
  EXPECT_EQ(seal(a, {backend_id("s1"), 2000000, 16383}), "A0QKfN4gDlnokA1GG6ysCTA");
  EXPECT_EQ(seal(a, {backend_id("s1"), 5, 262144}), "ASWe8FYsoNY7Q9J27RVhDuA");
  CookieCrypter dash(parse("- sealing fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0"));
  EXPECT_EQ(seal(dash, {backend_id("s0"), 4194303, 16384}, cookie_context("api", "SERVERID")),
            "-LCKtnkOWJllhaXTXrRJ9Nw");
}

TEST(SealedCookie, known_answers_of_other_versions_are_refused) {
  CookieCrypter a(CookieKeys::first(bytes(0, 1)));
  EXPECT_EQ(open(a, "AaK2LTLeFZkiuFE3fOGBvRQ"), Sealed::valid);
  EXPECT_EQ(open(a, "AaTHRb4yO6CeqrJ4t5xmWLQ"), Sealed::bad_version);  // version 0
  EXPECT_EQ(open(a, "AkQv9tzovKkiJSKZGqkoeDA"), Sealed::bad_version);  // 4
  EXPECT_EQ(open(a, "Ar8gT6xQCMFu6FsBmIbwogw"), Sealed::bad_version);  // 15
  EXPECT_EQ(open(a, "AIbKOGfsA-8rVApq7Tc1eUw"), Sealed::bad_version);  // 2, where 1 would do
}

TEST(SealedCookie, contexts_keep_service_and_name_apart) {
  EXPECT_NE(cookie_context("a", "bc"), cookie_context("ab", "c"));
  EXPECT_NE(cookie_context("", "web"), cookie_context("web", ""));
}

TEST(SealedCookie, payloads_round_trip) {
  CookieCrypter c(CookieKeys::first(bytes(3, 7)));
  std::mt19937_64 random(1);
  for (int i = 0; i < 20000; ++i) {
    SealedPayload p{static_cast<uint32_t>(random()) & kBackendIdMask,
                    static_cast<uint32_t>(random()) & kMinuteMask,
                    static_cast<uint32_t>(random()) % (1u << (1 + random() % 22))};
    const std::string text = seal(c, p);
    const auto r = c.open(text, kWeb, 0, kNoLimits);
    ASSERT_EQ(r.what, Sealed::valid);
    EXPECT_FALSE(r.older_key);
    ASSERT_EQ(r.payload.backend, p.backend);
    ASSERT_EQ(r.payload.issued, p.issued);
    // Rounded up to the unit that fits.
    const uint32_t unit = p.idle < 1u << 14 ? 1 : p.idle <= 16383u * 16 ? 16 : 256;
    ASSERT_EQ(r.payload.idle, (p.idle + unit - 1) / unit * unit);
    ASSERT_EQ(seal(c, r.payload), text);  // what opens is what would be sealed
  }
}

TEST(SealedCookie, every_other_character_in_every_place_is_refused) {
  CookieCrypter c(CookieKeys::first(bytes(0, 1)));
  const std::string good = seal(c, {backend_id("s0"), 1234567, 89});
  std::set<Sealed> seen;
  for (size_t at = 0; at < kSealedSize; ++at) {
    for (int other = 0; other < 256; ++other) {
      std::string bad = good;
      bad[at] = static_cast<char>(other);
      if (bad == good) continue;
      const Sealed s = open(c, bad);
      ASSERT_NE(s, Sealed::valid) << at << " " << other;
      ASSERT_TRUE(s == Sealed::bad_character || s == Sealed::trailing_bits ||
                  s == Sealed::unknown_key || s == Sealed::forged)
          << static_cast<int>(s);
      seen.insert(s);
    }
  }
  EXPECT_EQ(seen.size(), 4u);
}

TEST(SealedCookie, every_single_bit_of_every_cookie_counts) {
  CookieCrypter c(CookieKeys::first(bytes(0, 1)));
  std::mt19937_64 random(2);
  for (int i = 0; i < 200; ++i) {
    const std::string good = seal(c, {static_cast<uint32_t>(random()) & kBackendIdMask,
                                      static_cast<uint32_t>(random()) & kMinuteMask, 0});
    ASSERT_EQ(open(c, good), Sealed::valid);
    for (size_t bit = 0; bit < 8 * kSealedSize; ++bit) {
      std::string bad = good;
      bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ 1 << bit % 8);
      ASSERT_NE(open(c, bad), Sealed::valid) << good << " " << bad;
    }
  }
}

TEST(SealedCookie, each_way_to_be_wrong_has_its_word) {
  CookieCrypter c(CookieKeys::first(bytes(0, 1)));
  const std::string good = "AaK2LTLeFZkiuFE3fOGBvRQ";
  EXPECT_EQ(open(c, ""), Sealed::truncated);
  EXPECT_EQ(open(c, good.substr(0, 22)), Sealed::truncated);
  EXPECT_EQ(open(c, good + "="), Sealed::too_long);
  EXPECT_EQ(open(c, "AaK2LTLeFZkiuFE3fOGBvR="), Sealed::bad_character);
  EXPECT_EQ(open(c, "AaK2LTLeFZkiuFE3fOGBv+Q"), Sealed::bad_character);  // the other alphabet
  EXPECT_EQ(open(c, "=aK2LTLeFZkiuFE3fOGBvRQ"), Sealed::bad_character);
  for (const char last :
       {'R', 'S', 'U', 'Y', 'f'})  // Q with one, or all, of its last four bits set
    EXPECT_EQ(open(c, good.substr(0, 22) + last), Sealed::trailing_bits) << last;
  EXPECT_EQ(open(c, "BaK2LTLeFZkiuFE3fOGBvRQ"), Sealed::unknown_key);
  EXPECT_EQ(open(c, "AbK2LTLeFZkiuFE3fOGBvRQ"), Sealed::forged);
  EXPECT_EQ(open(c, good, cookie_context("api", "SRV")), Sealed::forged);  // another service
  EXPECT_EQ(open(c, good, cookie_context("web", "srv")), Sealed::forged);  // another cookie
}

TEST(SealedCookie, without_keys_nothing_opens_and_nothing_is_sealed) {
  CookieCrypter none{CookieKeys()};
  EXPECT_FALSE(none.can_seal());
  EXPECT_EQ(open(none, "AaK2LTLeFZkiuFE3fOGBvRQ"), Sealed::unknown_key);
}

TEST(SealedCookie, listed_keys_open_and_the_sealing_one_seals) {
  const std::string kA = "000102030405060708090a0b0c0d0e0f",
                    kB = "101112131415161718191a1b1c1d1e1f",
                    kC = "202122232425262728292a2b2c2d2e2f";
  CookieCrypter before(parse("A sealing " + kA));
  CookieCrypter listed(parse("C listed " + kC + "\nB sealing " + kB + "\nA listed " + kA));
  CookieCrypter after(parse("C sealing " + kC));
  const SealedPayload p{backend_id("s1"), 77, 3};
  EXPECT_EQ(seal(listed, p)[0], 'B');
  const auto old = listed.open(seal(before, p), kWeb, 77, kNoLimits);
  EXPECT_EQ(old.what, Sealed::valid);
  EXPECT_TRUE(old.older_key);  // to be issued again before A retires
  const auto own = listed.open(seal(listed, p), kWeb, 77, kNoLimits);
  EXPECT_EQ(own.what, Sealed::valid);
  EXPECT_FALSE(own.older_key);
  // Another node seals with C already: not to be taken back to B with every answer.
  const auto newer = listed.open(seal(after, p), kWeb, 77, kNoLimits);
  EXPECT_EQ(newer.what, Sealed::valid);
  EXPECT_FALSE(newer.older_key);
  EXPECT_EQ(newer.payload, p);
  EXPECT_EQ(open(after, seal(listed, p)), Sealed::unknown_key);
}

TEST(SealedCookie, minutes_go_round) {
  EXPECT_EQ(minute_of(0), 0u);
  EXPECT_EQ(minute_of(59), 0u);
  EXPECT_EQ(minute_of(60), 1u);
  EXPECT_EQ(minute_of(60ull << 22), 0u);
  EXPECT_EQ(minutes_since(5, 3), 2);
  EXPECT_EQ(minutes_since(3, 5), -2);
  EXPECT_EQ(minutes_since(1, kMinuteMask), 2);
  EXPECT_EQ(minutes_since(kMinuteMask, 1), -2);
  EXPECT_EQ(minutes_since((1u << 21) - 1, 0), (1 << 21) - 1);
  EXPECT_EQ(minutes_since(1u << 21, 0), -(1 << 21));
}

struct DateCase {
  int32_t issued_ago, used_ago;  // minutes
  CookieLimits limits;           // absolute, idle
  Sealed expected;
};

TEST(SealedCookie, dates_are_judged_absolute_first) {
  const DateCase cases[] = {
      {0, 0, {480, 30}, Sealed::valid},
      {480, 0, {480, 30}, Sealed::valid},  // strictly more is too much
      {481, 0, {480, 30}, Sealed::expired_absolute},
      {480, 30, {480, 30}, Sealed::valid},
      {480, 31, {480, 30}, Sealed::expired_idle},
      {481, 31, {480, 30}, Sealed::expired_absolute},
      {481, 31, {0, 30}, Sealed::expired_idle},
      {481, 31, {480, 0}, Sealed::expired_absolute},
      {5000, 4000, {0, 0}, Sealed::valid},
      {-1440, -1440, {480, 30}, Sealed::valid},  // 24 hours ahead are another node's clock
      {-1441, -1441, {480, 30}, Sealed::future_dated_issue},
      {-1441, -1441, {0, 30}, Sealed::future_dated_use},
      {-1440, -1441, {480, 30}, Sealed::future_dated_use},
      {-1441, -1441, {480, 0}, Sealed::future_dated_issue},
      {-100000, -100000, {0, 0}, Sealed::valid},
      {(1 << 21) - 1, 0, {480, 30}, Sealed::expired_absolute},  // nearly four years
      {1 << 21, 0, {480, 30}, Sealed::future_dated_issue},      // from then on it looks like that
  };
  for (const uint32_t now : {2000000u, 100u, kMinuteMask}) {
    for (const DateCase& c : cases) {
      const uint32_t issued = (now - static_cast<uint32_t>(c.issued_ago)) & kMinuteMask;
      const auto idle = static_cast<uint32_t>(c.issued_ago - c.used_ago);
      EXPECT_EQ(check_dates({1, issued, idle & kMinuteMask}, now, c.limits), c.expected)
          << now << ": " << c.issued_ago << " " << c.used_ago << " "
          << static_cast<int>(c.expected);
    }
  }
}

TEST(SealedCookie, open_judges_dates_and_still_tells_them) {
  CookieCrypter c(CookieKeys::first(bytes(0, 1)));
  const auto r = c.open(seal(c, {backend_id("s0"), 1000, 10}), kWeb, 1041, {480, 30});
  EXPECT_EQ(r.what, Sealed::expired_idle);
  EXPECT_EQ(r.payload.last(), 1010u);
  EXPECT_EQ(open(c, seal(c, {backend_id("s0"), 1000, 10}), kWeb, 1040, {480, 30}), Sealed::valid);
}

TEST(SealedCookie, opening_and_sealing_allocate_nothing) {
  ASSERT_TRUE(counting);
  CookieKeys keys = CookieKeys::first(bytes(0, 1));
  ASSERT_TRUE(keys.add(bytes(5, 3)));
  CookieCrypter c(keys);
  ASSERT_GT(allocations, 0u);
  const size_t before = allocations;
  std::array<char, kSealedSize> text;
  for (uint32_t i = 0; i < 1000; ++i) {
    c.seal({i, i, i}, kWeb, text);
    ASSERT_EQ(open(c, {text.data(), text.size()}), Sealed::valid);
    text[9] = text[9] == 'x' ? 'y' : 'x';
    ASSERT_EQ(open(c, {text.data(), text.size()}), Sealed::forged);
  }
  EXPECT_EQ(allocations, before);
}

}  // namespace
}  // namespace limpet::affinity
