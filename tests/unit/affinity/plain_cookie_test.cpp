#include "limpet/affinity/plain_cookie.h"

#include <gtest/gtest.h>

#include <string>

#include "limpet/affinity/http_date.h"

namespace limpet::affinity {
namespace {

std::string encode(uint32_t units) {
  std::string s(kDateSize, '?');
  encode_date(units, std::span<char, kDateSize>(s.data(), kDateSize));
  return s;
}

// Vectors by an independent encoder (Python), of HAProxy's format.
TEST(PlainCookie, dates_are_thirty_bits_of_standard_base64) {
  EXPECT_EQ(encode(0), "AAAAA");
  EXPECT_EQ(encode(1), "AAAAB");
  EXPECT_EQ(encode(425000000), "ZVPxA");
  EXPECT_EQ(encode(424999550), "ZVPp+");
  EXPECT_EQ(encode(1073741823), "/////");
  for (const uint32_t units : {0u, 1u, 63u, 64u, 425000000u, 1073741823u})
    EXPECT_EQ(decode_date(encode(units)), static_cast<int32_t>(units));
  for (const char* bad : {"ZVP-A", "ZVP_A", "ZVPx=", "ZVPx|", " VPxA", "ZVPx\xff"})
    EXPECT_EQ(decode_date(bad), -1) << bad;
}

TEST(PlainCookie, dates_are_rounded_up_to_four_seconds) {
  EXPECT_EQ(date_units(1700000000), 425000000u);
  EXPECT_EQ(date_units(1700000001), 425000001u);
  EXPECT_EQ(date_units(1700000004), 425000001u);
  EXPECT_EQ(date_units(uint64_t{1} << 32), 0u);  // 2106: it wraps
}

struct PlainCase {
  const char* value;
  PlainValue expected;
};

TEST(PlainCookie, values_are_taken_apart_as_haproxy_does) {
  const PlainCase cases[] = {
      {"s1", {"s1", 0, 0}},
      {"", {"", 0, 0}},
      {"s1|ZVPxA", {"s1", 1700000000, 0}},
      {"s1|ZVPxA|ZVOAg", {"s1", 1700000000, 1699971200}},
      {"s1|/////", {"s1", 4294967292, 0}},
      {"s1|", {"s1", 0, 0}},
      {"s1|ZVPx", {"s1", 0, 0}},                // too short
      {"s1|ZVPxAjunk", {"s1", 1700000000, 0}},  // what follows is ignored
      {"s1|ZVPxA|ZVOAgjunk", {"s1", 1700000000, 1699971200}},
      {"s1|ZVPxA|ZVOA", {"s1", 1700000000, 0}},
      {"s1||ZVOAg", {"s1", 0, 1699971200}},  // no last date, a first one
      {"s1|Z|ZVOAg", {"s1", 0, 1699971200}},
      {"s1|AAAAA|AAAAA", {"s1", 0, 0}},  // zero is no date
      {"s1|ZVP-A|ZVOAg", {"s1", 0, 1699971200}},
      {"|ZVPxA", {"", 1700000000, 0}},
      {"s1|ZVPxA|ZVOAg|ZVPp+", {"s1", 1700000000, 1699971200}},
      {"s~1|ZVPxA", {"s~1", 1700000000, 0}},
  };
  for (const PlainCase& c : cases) EXPECT_EQ(parse_plain(c.value), c.expected) << c.value;
}

TEST(PlainCookie, a_prefix_ends_at_the_first_tilde) {
  EXPECT_EQ(parse_prefix("s1~abc~d"), (PrefixValue{"s1", 3}));
  EXPECT_EQ(parse_prefix("~abc"), (PrefixValue{"", 1}));
  EXPECT_EQ(parse_prefix("s1~"), (PrefixValue{"s1", 3}));
  EXPECT_EQ(parse_prefix("s1"), (PrefixValue{"s1", 0}));
  EXPECT_EQ(parse_prefix(""), (PrefixValue{"", 0}));
}

std::string date(uint64_t t) {
  std::string s(kHttpDateSize, '?');
  format_http_date(t, std::span<char, kHttpDateSize>(s.data(), kHttpDateSize));
  return s;
}

TEST(HttpDate, is_written_as_imf_fixdate) {
  EXPECT_EQ(date(784111777), "Sun, 06 Nov 1994 08:49:37 GMT");  // RFC 9110's own
  EXPECT_EQ(date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
  EXPECT_EQ(date(951782400), "Tue, 29 Feb 2000 00:00:00 GMT");
  EXPECT_EQ(date(1709164800), "Thu, 29 Feb 2024 00:00:00 GMT");
  EXPECT_EQ(date(1735689599), "Tue, 31 Dec 2024 23:59:59 GMT");
  EXPECT_EQ(date(4107542400), "Mon, 01 Mar 2100 00:00:00 GMT");
  EXPECT_EQ(date(253402300799), "Fri, 31 Dec 9999 23:59:59 GMT");
  EXPECT_EQ(date(253402300800), "Fri, 31 Dec 9999 23:59:59 GMT");
}

TEST(HttpDate, every_day_until_2200_reads_back) {
  for (uint64_t day = 0; day < 84000; ++day) {
    const uint64_t t = day * 86400 + day % 86400;
    ASSERT_EQ(parse_cookie_date(date(t)), t) << date(t);
  }
}

TEST(HttpDate, cookies_are_read_as_user_agents_do) {
  const uint64_t t = 784111777;
  for (const char* text :
       {"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994", "6 november 1994 8:49:37", "1994 NOV 06 08:49:37 +0200",
        "08:49:37;06;nov;1994", "Sun, 06-Nov-1994 08:49:37", "06 Nov 1994 08:49:37x"})
    EXPECT_EQ(parse_cookie_date(text), t) << text;
  EXPECT_EQ(parse_cookie_date("Thu, 01-Jan-1970 00:00:01 GMT"), 1u);
  EXPECT_EQ(parse_cookie_date("Mon, 01 Jan 1601 00:00:00 GMT"), 0u);  // before 1970
  EXPECT_EQ(parse_cookie_date("01 Jan 69 00:00:00"), 3124224000u);    // 2069
  EXPECT_EQ(parse_cookie_date("01 Jan 70 00:00:00"), 0u);             // 1970
}

TEST(HttpDate, what_is_no_date_is_none) {
  for (const char* text : {"",
                           "0",
                           "-1",
                           "Sun, 06 Nov 1994",
                           "08:49:37",
                           "Sun, 06 Nov 08:49:37",
                           "06 1994 08:49:37",
                           "Nov 1994 08:49:37",
                           "31 Apr 1994 08:49:37",
                           "29 Feb 2023 00:00:00",
                           "00 Nov 1994 08:49:37",
                           "32 Nov 1994 08:49:37",
                           "06 Nov 1600 08:49:37",
                           "06 Nov 1994 24:00:00",
                           "06 Nov 1994 00:60:00",
                           "06 Nov 1994 00:00:60",
                           "06 Nov 19941 00:00:00",
                           "06 Nov 1994 08:49",
                           "06 Nov 1994 008:49:37",
                           "06 No 1994 08:49:37"})
    EXPECT_FALSE(parse_cookie_date(text)) << text;
}

}  // namespace
}  // namespace limpet::affinity
