#include "lexer.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace limpet::config {
namespace {

std::vector<Token> tokens(std::string_view text) {
  Lexer lexer(text);
  std::vector<Token> all;
  do all.push_back(lexer.next());
  while (all.back().kind != TokenKind::end && all.size() < 100);
  all.pop_back();
  return all;
}

TokenKind only(std::string_view text) {
  const auto all = tokens(text);
  EXPECT_EQ(all.size(), 1u) << text;
  return all.empty() ? TokenKind::end : all[0].kind;
}

TEST(Lexer, tells_numbers_apart) {
  for (const char* text : {"0", "42", "-7", "+7", "08", "0x1F", "0XaB"})
    EXPECT_EQ(only(text), TokenKind::integer) << text;
  for (const char* text : {"42L", "-7LL", "0x1FL", "0x1FLL"})
    EXPECT_EQ(only(text), TokenKind::integer64) << text;
  for (const char* text : {"1.5", "-1.5", ".5", "1.", ".", "1e5", "1E-5", "+1.5e+5", "-."})
    EXPECT_EQ(only(text), TokenKind::real) << text;
  for (const char* text : {"true", "False", "TRUE"})
    EXPECT_EQ(only(text), TokenKind::boolean) << text;
  for (const char* text : {"truer", "held_packets", "x-y", "*", "a1", "e5"})
    EXPECT_EQ(only(text), TokenKind::name) << text;
}

TEST(Lexer, takes_the_longest_match_and_no_more) {
  const auto all = tokens("80abc 1e 0x 5LLL");
  const std::vector<std::string_view> expected = {"80", "abc", "1", "e", "0", "x", "5LL", "L"};
  ASSERT_EQ(all.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_EQ(all[i].text, expected[i]);
}

TEST(Lexer, sees_no_token_in_comments) {
  EXPECT_TRUE(tokens("// a = 5000000000\n# b\n/* c = \" */").empty());
  EXPECT_TRUE(tokens("// at the end without a newline").empty());
  EXPECT_TRUE(tokens("/***/").empty());
  EXPECT_EQ(only("/*/"), TokenKind::open_comment);
  EXPECT_EQ(only("/* a"), TokenKind::open_comment);
  EXPECT_EQ(only("/"), TokenKind::garbage);
}

TEST(Lexer, sees_no_comment_and_no_number_in_strings) {
  EXPECT_EQ(only(R"("// 5000000000 /* # { ")"), TokenKind::string);
  EXPECT_EQ(only(R"("a \" b \\")"), TokenKind::string);
  EXPECT_EQ(only("\"two\nlines\""), TokenKind::string);
  EXPECT_EQ(only(R"("a \")"), TokenKind::open_string);
  EXPECT_EQ(only("\""), TokenKind::open_string);
}

TEST(Lexer, counts_lines_through_strings_and_comments) {
  const auto all = tokens("a\n/*\n*/ b \"x\ny\" c // d\n e");
  ASSERT_EQ(all.size(), 5u);
  const int lines[] = {1, 3, 3, 4, 5};
  for (size_t i = 0; i < all.size(); ++i) EXPECT_EQ(all[i].line, lines[i]) << all[i].text;
}

TEST(Lexer, knows_an_include_at_the_start_of_a_line_only) {
  EXPECT_EQ(only("@include \"x\""), TokenKind::include);
  const auto indented = tokens("a\n \t@include\t \"x.cfg\" b");
  ASSERT_EQ(indented.size(), 3u);
  EXPECT_EQ(indented[1].kind, TokenKind::include);
  EXPECT_EQ(indented[1].line, 2);
  EXPECT_EQ(tokens("a @include \"x\"")[1].kind, TokenKind::garbage);
  EXPECT_EQ(tokens("@include\"x\"")[0].kind, TokenKind::garbage);
  EXPECT_EQ(tokens("@include \"x")[0].kind, TokenKind::open_string);
  EXPECT_EQ(tokens("@include \"x\n\"")[0].kind, TokenKind::open_string);
}

TEST(String, has_a_zero_byte_where_libconfig_reads_one) {
  for (const char* text : {R"("\x00")", R"("a\X00b")", R"("\\\x00")", R"("\x01\x00")"})
    EXPECT_TRUE(string_has_zero(text)) << text;
  for (const char* text : {R"("")", R"("x00")", R"("\\x00")", R"("\x01")", R"("\x0")", R"("\x0g")",
                           R"("\0")", R"("\")"})
    EXPECT_FALSE(string_has_zero(text)) << text;
}

TEST(Literal, is_wrapped_beyond_32_bits_without_a_suffix) {
  for (const char* text :
       {"0", "2147483647", "-2147483648", "+2147483647", "0x7fffffff", "000001", "2147483648L",
        "9223372036854775807L", "-9223372036854775808LL", "0x7fffffffffffffffL"})
    EXPECT_FALSE(literal_is_wrapped(text)) << text;
  for (const char* text : {"2147483648", "-2147483649", "5000000000", "0x80000000", "0x100000000",
                           "99999999999999999999", "9223372036854775808L", "-9223372036854775809L",
                           "0xffffffffffffffffL", "36893488147419103232L"})
    EXPECT_TRUE(literal_is_wrapped(text)) << text;
}

}  // namespace
}  // namespace limpet::config
