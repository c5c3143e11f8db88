#include "limpet/affinity/cookie_keys.h"

#include <gtest/gtest.h>

#include "limpet/affinity/sealed_cookie.h"

namespace limpet::affinity {
namespace {

CookieKeyBytes bytes(uint8_t first) {
  CookieKeyBytes b;
  for (uint8_t i = 0; i < 16; ++i) b[i] = static_cast<uint8_t>(first + i);
  return b;
}

std::string ids(const CookieKeys& keys) {
  std::string s;
  for (const CookieKey& k : keys.list()) {
    s += k.id;
    if (k.sealing) s += '*';
  }
  return s;
}

constexpr std::string_view kHex = "000102030405060708090a0b0c0d0e0f";
constexpr std::string_view kOther = "101112131415161718191a1b1c1d1e1f";

std::string error_of(const std::string& text) {
  const auto r = parse_cookie_keys(text, "k.keys");
  return r ? "" : r.error();
}

TEST(CookieKeys, a_first_start_has_one_key_that_seals) {
  const CookieKeys keys = CookieKeys::first(bytes(0));
  EXPECT_EQ(ids(keys), "A*");
  EXPECT_EQ(keys.list()[0].bytes, bytes(0));
  EXPECT_EQ(keys.sealing(), 0u);
}

TEST(CookieKeys, rotation_is_list_seal_retire) {
  CookieKeys keys = CookieKeys::first(bytes(0));
  EXPECT_EQ(keys.add(bytes(1)).value(), 'B');
  EXPECT_EQ(ids(keys), "BA*");  // a key that others may not list yet does not seal
  EXPECT_FALSE(keys.retire('A'));
  ASSERT_TRUE(keys.seal('B'));
  EXPECT_EQ(ids(keys), "B*A");
  ASSERT_TRUE(keys.retire('A'));
  EXPECT_EQ(ids(keys), "B*");
  EXPECT_EQ(keys.list()[0].bytes, bytes(1));
}

TEST(CookieKeys, unknown_ids_are_refused_and_change_nothing) {
  CookieKeys keys = CookieKeys::first(bytes(0));
  EXPECT_FALSE(keys.seal('B'));
  EXPECT_FALSE(keys.retire('B'));
  EXPECT_EQ(ids(keys), "A*");
}

TEST(CookieKeys, ids_go_round_the_alphabet_past_those_in_use) {
  CookieKeys keys = CookieKeys::first(bytes(0));
  std::string seen = "A";
  for (uint8_t i = 1; i < 70; ++i) {
    const char id = keys.add(bytes(i)).value();
    seen += id;
    if (i == 1) continue;  // A stays, as somebody has forgotten to retire it
    ASSERT_TRUE(keys.retire(seen[i - 1]));
  }
  EXPECT_EQ(seen.substr(62, 6), "-_BCDE");  // behind '_' comes B: A is taken
}

TEST(CookieKeys, eight_keys_are_the_most_and_keys_do_not_repeat) {
  CookieKeys keys = CookieKeys::first(bytes(0));
  EXPECT_FALSE(keys.add(bytes(0)));
  EXPECT_FALSE(keys.add(CookieKeyBytes{}));
  for (uint8_t i = 1; i < 8; ++i) ASSERT_TRUE(keys.add(bytes(i)));
  const auto ninth = keys.add(bytes(8));
  ASSERT_FALSE(ninth);
  EXPECT_EQ(ninth.error(), "8 cookie keys are listed already; retire an old one first");
  EXPECT_EQ(ids(keys), "HGFEDCBA*");
}

TEST(CookieKeys, what_is_printed_parses_back) {
  CookieKeys keys = CookieKeys::first(bytes(0));
  ASSERT_TRUE(keys.add(bytes(16)));
  const std::string text = print_cookie_keys(keys);
  EXPECT_NE(text.find("\nB listed 101112131415161718191a1b1c1d1e1f\n"
                      "A sealing 000102030405060708090a0b0c0d0e0f\n"),
            std::string::npos);
  const auto parsed = parse_cookie_keys(text, "k.keys");
  ASSERT_TRUE(parsed) << parsed.error();
  EXPECT_EQ(*parsed, keys);
}

TEST(CookieKeys, parsing_takes_comments_empty_lines_and_either_case) {
  const auto r = parse_cookie_keys(
      "# x\n\n_ listed 101112131415161718191A1B1C1D1E1F\n"
      "A sealing 000102030405060708090a0b0c0d0e0f",  // no newline at the end
      "f");
  ASSERT_TRUE(r) << r.error();
  EXPECT_EQ(ids(*r), "_A*");
  EXPECT_EQ(r->list()[0].bytes, bytes(16));
}

TEST(CookieKeys, errors_name_file_and_line_and_show_no_key) {
  const std::string good = "A sealing " + std::string(kHex) + "\n";
  EXPECT_EQ(error_of(""),
            "k.keys:1: no key; expected lines \"<id> <listed|sealing> <32 hexadecimal digits>\"");
  EXPECT_EQ(error_of("# a\nA listed " + std::string(kHex) + "\n"),
            "k.keys:2: no key seals; expected exactly one \"sealing\"");
  EXPECT_EQ(error_of(good + "B sealing " + std::string(kOther)),
            "k.keys:2: a second key seals, the first is on line 1; expected exactly one");
  EXPECT_EQ(error_of(good + "A listed " + std::string(kOther)),
            "k.keys:2: key id 'A' again, first on line 1; expected each once");
  EXPECT_EQ(error_of(good + "B listed " + std::string(kHex)),
            "k.keys:2: the key of line 1 again; expected different keys");
  EXPECT_EQ(error_of("A sealing 00000000000000000000000000000000"),
            "k.keys:1: a key of zeros only; expected 16 random bytes");
  const std::string bad_key =
      "k.keys:1: bad key; expected 32 hexadecimal digits and nothing behind "
      "them";
  EXPECT_EQ(error_of("A sealing " + std::string(kHex.substr(1))), bad_key);
  EXPECT_EQ(error_of("A sealing " + std::string(kHex) + " "), bad_key);
  EXPECT_EQ(error_of("A sealing " + std::string(kHex) + "\r\n"), bad_key);
  EXPECT_EQ(error_of("A sealing  " + std::string(kHex)), bad_key);
  EXPECT_EQ(error_of("A sealing g" + std::string(kHex.substr(1))), bad_key);
  EXPECT_EQ(error_of("A sealed " + std::string(kHex)),
            "k.keys:1: bad state; expected \"listed\" or \"sealing\"");
  for (const char* id : {"AB", "", "+", "/", "="})
    EXPECT_EQ(error_of(std::string(id) + " sealing " + std::string(kHex)),
              "k.keys:1: bad key id; expected one letter, digit, '-' or '_'");
  for (const char* line : {"A", "A sealing", " #"})
    EXPECT_EQ(error_of(line).substr(0, 26), "k.keys:1: not three fields") << line;
}

TEST(CookieKeys, a_ninth_key_is_refused_with_its_line) {
  CookieKeys keys = CookieKeys::first(bytes(0));
  for (uint8_t i = 1; i < 8; ++i) ASSERT_TRUE(keys.add(bytes(i)));
  std::string text = print_cookie_keys(keys);
  const auto lines = std::count(text.begin(), text.end(), '\n');
  text += "Z listed ffffffffffffffffffffffffffffffff\n";
  EXPECT_EQ(error_of(text), "k.keys:" + std::to_string(lines + 1) +
                                ": too many keys; expected at most 8, retire the oldest");
}

TEST(CookieKeys, a_file_that_others_can_read_or_write_is_refused) {
  EXPECT_TRUE(check_cookie_key_mode(0100600, "f"));
  EXPECT_TRUE(check_cookie_key_mode(0100400, "f"));
  for (const uint32_t mode : {0100640u, 0100604u, 0100620u, 0100602u})
    EXPECT_FALSE(check_cookie_key_mode(mode, "f")) << mode;
  EXPECT_EQ(check_cookie_key_mode(0100644, "/etc/c.keys").error(),
            "/etc/c.keys: mode 0644 lets others read or write the cookie keys; expected 0600 "
            "(chmod 600 /etc/c.keys)");
}

}  // namespace
}  // namespace limpet::affinity
