// Cookie and Set-Cookie headers: which cookies are seen, and what is left when one is stripped.
#include <gtest/gtest.h>

#include "sniffing.h"

namespace limpet::http {
namespace {

using test::bytes;
using test::Compiled;
using test::cut;
using test::describe;
using test::sniff;

struct CookieCase {
  const char* says;
  std::string lines;  // of the head, without the start line
  std::string hits;
  std::string left;  // of the lines, without SRV and APP
};
void PrintTo(const CookieCase& c, std::ostream* out) {
  *out << c.says;
}

SnifferSpec request_spec() {
  return {{{Look::cookie, "SRV", 1, true},
           {Look::cookie, "SID", 2, false},
           {Look::cookie, "APP", 3, true}}};
}

class Cookies : public testing::TestWithParam<CookieCase> {};
TEST_P(Cookies, are_seen_and_stripped_as_HAProxy_does) {
  static Compiled compiled(request_spec());
  // A response's, as requests are neither folded nor end in bare LF; who sniffs does not care.
  const std::string start = "HTTP/1.1 200 OK\r\n";
  const std::string head = start + GetParam().lines + "\r\n";
  const auto hits = sniff(compiled, head);
  EXPECT_EQ(describe(head, hits), GetParam().hits);
  EXPECT_EQ(cut(head, hits), start + GetParam().left + "\r\n");
}

// As browsers read and write them, beside one that is read and stripped as HAProxy does.
TEST(WholeCookies, end_at_the_semicolon_only) {
  Compiled compiled({{{Look::cookie, "J", 1, false, true},
                      {Look::cookie, "SRV", 2, true},
                      {Look::cookie, "K", 3, false, true}}});
  const std::pair<std::string, std::string> cases[] = {
      {"J=a", "J=a"},
      {R"(J={"a":1,"b":2}; x=y)", R"(J={"a":1,"b":2})"},
      {R"(x="; J="a; K=b")", R"(J="a | K=b")"},
      {"SRV=s1; J=a,SRV=s2; K=", "SRV=s1 | SRV=s2 | J=a,SRV=s2 | K="},
      {" J =\t a b \t;J=c", "J=a b | J=c"},
      {"J; =J; $J=a; JJ=b; j=c", ""},
      {"J=a=b; J", "J=a=b"},
      {";;J=a;", "J=a"},
      {"a,J=b", ""},
  };
  for (const auto& [value, hits] : cases) {
    const std::string head = "GET / HTTP/1.1\r\nCookie: " + value + "\r\n\r\n";
    EXPECT_EQ(describe(head, sniff(compiled, head)), hits) << value;
  }
}

const CookieCase kCookies[] = {
    {"alone", "Cookie: SRV=a\r\n", "SRV=a", ""},
    {"alone among headers", "A: b\r\nCookie: SRV=a\r\nC: d\r\n", "SRV=a", "A: b\r\nC: d\r\n"},
    {"first", "Cookie: SRV=a; x=1\r\n", "SRV=a", "Cookie: x=1\r\n"},
    {"last", "Cookie: x=1; SRV=a\r\n", "SRV=a", "Cookie: x=1\r\n"},
    {"in the middle", "Cookie: x=1; SRV=a; y=2\r\n", "SRV=a", "Cookie: x=1; y=2\r\n"},
    {"without blanks", "Cookie: x=1;SRV=a;y=2\r\n", "SRV=a", "Cookie: x=1;y=2\r\n"},
    {"without blanks, first", "Cookie:SRV=a;y=2\r\n", "SRV=a", "Cookie:y=2\r\n"},
    {"blanks before separators", "Cookie: x=1 ; SRV=a ; y=2\r\n", "SRV=a", "Cookie: x=1; y=2\r\n"},
    {"commas", "Cookie: x=1, SRV=a, y=2\r\n", "SRV=a", "Cookie: x=1, y=2\r\n"},
    {"a separator at the end", "Cookie: SRV=a;\r\n", "SRV=a", ""},
    {"a separator and blanks at the end", "Cookie: SRV=a ; \r\n", "SRV=a", ""},
    {"another and a separator at the end", "Cookie: x=1; SRV=a;\r\n", "SRV=a", "Cookie: x=1;\r\n"},
    {"twice", "Cookie: SRV=a; SRV=b\r\n", "SRV=a | SRV=b", ""},
    {"twice in front", "Cookie: SRV=a; SRV=b; x=1\r\n", "SRV=a | SRV=b", "Cookie: x=1\r\n"},
    {"twice behind", "Cookie: x=1; SRV=a; SRV=b\r\n", "SRV=a | SRV=b", "Cookie: x=1\r\n"},
    {"twice around", "Cookie: SRV=a; x=1; SRV=b\r\n", "SRV=a | SRV=b", "Cookie: x=1\r\n"},
    {"twice in the middle", "Cookie: x=1; SRV=a; SRV=b; y=2\r\n", "SRV=a | SRV=b",
     "Cookie: x=1; y=2\r\n"},
    {"twice with an empty pair between", "Cookie: SRV=a;;SRV=b\r\n", "SRV=a | SRV=b", ""},
    {"in two lines", "Cookie: x=1; SRV=a\r\nCookie: SRV=b\r\nCookie: y=2\r\n", "SRV=a | SRV=b",
     "Cookie: x=1\r\nCookie: y=2\r\n"},
    {"two that are stripped fill a line", "Cookie: SRV=a; APP=b\r\n", "SRV=a | APP=b", ""},
    {"two that are stripped, one that is not", "Cookie: APP=b; SID=c; SRV=a\r\n",
     "APP=b | SID=c | SRV=a", "Cookie: SID=c\r\n"},
    {"one that is not stripped", "Cookie: SID=c\r\n", "SID=c", "Cookie: SID=c\r\n"},
    {"an empty value", "Cookie: SRV=; x=1\r\n", "SRV=", "Cookie: x=1\r\n"},
    {"an empty value at the end", "Cookie: SRV=\r\n", "SRV=", ""},
    {"a value of blanks", "Cookie: SRV=   ; x=1\r\n", "SRV=", "Cookie: x=1\r\n"},
    {"no equal sign", "Cookie: SRV; x=1\r\n", "", "Cookie: SRV; x=1\r\n"},
    {"a pair without an equal sign stays", "Cookie: SRV=a; flag\r\n", "SRV=a", "Cookie: flag\r\n"},
    {"blanks around the equal sign", "Cookie: SRV \t=  a ; x=1\r\n", "SRV=a", "Cookie: x=1\r\n"},
    {"an equal sign in the value", "Cookie: SRV=a=b; x=1\r\n", "SRV=a=b", "Cookie: x=1\r\n"},
    {"a blank in the value", "Cookie: SRV=a b; x=1\r\n", "SRV=a b", "Cookie: x=1\r\n"},
    {"quotes belong to the value", "Cookie: SRV=\"a\"; x=1\r\n", "SRV=\"a\"", "Cookie: x=1\r\n"},
    {"separators in quotes", "Cookie: SRV=\"a;b,c\"; x=1\r\n", "SRV=\"a;b,c\"", "Cookie: x=1\r\n"},
    {"a quote in quotes", "Cookie: SRV=\"a\\\";b\"; x=1\r\n", "SRV=\"a\\\";b\"", "Cookie: x=1\r\n"},
    {"a quote that never ends", "Cookie: y=\"1; SRV=a\r\n", "", "Cookie: y=\"1; SRV=a\r\n"},
    {"a quote in a name means nothing", "Cookie: a\"b; SRV=a\r\n", "SRV=a", "Cookie: a\"b\r\n"},
    {"a backslash outside quotes means nothing", "Cookie: y=\\; SRV=a\r\n", "SRV=a",
     "Cookie: y=\\\r\n"},
    {"a name in another case", "Cookie: srv=a\r\n", "", "Cookie: srv=a\r\n"},
    {"a name that begins alike", "Cookie: SRVX=a; XSRV=b; SR=c\r\n", "",
     "Cookie: SRVX=a; XSRV=b; SR=c\r\n"},
    {"a name within a value", "Cookie: x=SRV=a\r\n", "", "Cookie: x=SRV=a\r\n"},
    {"an empty name", "Cookie: =a; SRV=b\r\n", "SRV=b", "Cookie: =a\r\n"},
    {"$Version in front stays with others", "Cookie: $Version=1; SRV=a; $Path=/; x=1\r\n", "SRV=a",
     "Cookie: $Version=1; x=1\r\n"},
    {"$Version alone does not keep the line", "Cookie: $Version=1; SRV=a; $Path=/\r\n", "SRV=a",
     ""},
    {"the attributes of another stay", "Cookie: x=1; $Path=/; SRV=a; $Path=/a\r\n", "SRV=a",
     "Cookie: x=1; $Path=/\r\n"},
    {"$SRV is no cookie", "Cookie: $SRV=a\r\n", "", "Cookie: $SRV=a\r\n"},
    {"a header name in another case", "cOOKIE: SRV=a\r\n", "SRV=a", ""},
    {"bare LF", "Cookie: x=1; SRV=a\nA: b\n", "SRV=a", "Cookie: x=1\nA: b\n"},
    {"on a folded line", "Cookie: x=1;\r\n SRV=a;\r\n\ty=2\r\n", "SRV=a",
     "Cookie: x=1;\r\n\ty=2\r\n"},
    {"alone on a folded line", "Cookie:\r\n SRV=a\r\nA: b\r\n", "SRV=a", "A: b\r\n"},
    {"in another header", "X: Cookie: SRV=a\r\nXCookie: SRV=b\r\nCookieX: SRV=c\r\n", "",
     "X: Cookie: SRV=a\r\nXCookie: SRV=b\r\nCookieX: SRV=c\r\n"},
    {"folded into another header", "X: y\r\n Cookie: SRV=a\r\n", "", "X: y\r\n Cookie: SRV=a\r\n"},
    {"an empty header", "Cookie:\r\n", "", "Cookie:\r\n"},
    {"blanks behind the value", "Cookie: x=1; SRV=a \t \r\n", "SRV=a", "Cookie: x=1 \t \r\n"},
    {"an empty pair in front", "Cookie: ;SRV=a; x=1\r\n", "SRV=a", "Cookie: x=1\r\n"},
    {"an empty pair in front and behind", "Cookie: ; SRV=a;\r\n", "SRV=a", ""},
    {"two empty pairs in front", "Cookie: ;;SRV=a\r\n", "SRV=a", "Cookie: ;\r\n"},
    {"several empty pairs", "Cookie: ;; SRV=a ;;x=1\r\n", "SRV=a", "Cookie: ;;;x=1\r\n"},
};
INSTANTIATE_TEST_SUITE_P(Request, Cookies, testing::ValuesIn(kCookies));

TEST(Stripping, says_when_the_whole_line_goes) {
  Compiled compiled(request_spec());
  const std::string head = "GET / HTTP/1.1\r\nCookie: SRV=a; SRV=b\r\n\r\n";
  const auto hits = sniff(compiled, head);
  ASSERT_EQ(hits.size(), 2u);
  EXPECT_TRUE(hits[0].removes_line);
  EXPECT_EQ(hits[0].remove, hits[0].line);
  EXPECT_FALSE(hits[1].removes_line);
  EXPECT_FALSE(hits[1].remove.present());
}

TEST(Stripping, leaves_cookies_that_are_only_looked_at) {
  Compiled compiled({{{Look::cookie, "SRV", 1, false}}});
  const auto hits = sniff(compiled, "GET / HTTP/1.1\r\nCookie: SRV=a\r\n\r\n");
  ASSERT_EQ(hits.size(), 1u);
  EXPECT_FALSE(hits[0].remove.present());
}

// A prefix cookie's value is replaced in place, so name and value must be exact.
TEST(Cookies, have_ranges_to_edit_by) {
  Compiled compiled(request_spec());
  std::string head = "GET / HTTP/1.1\r\nCookie: x=1; SID = s1~app ; y=2\r\n\r\n";
  const auto hits = sniff(compiled, head);
  ASSERT_EQ(hits.size(), 1u);
  EXPECT_EQ(hits[0].id, 2);
  EXPECT_EQ(hits[0].look, Look::cookie);
  EXPECT_EQ(test::text(bytes(head), hits[0].line), "Cookie: x=1; SID = s1~app ; y=2\r\n");
  head.erase(hits[0].value.begin, 3);
  EXPECT_EQ(head, "GET / HTTP/1.1\r\nCookie: x=1; SID = app ; y=2\r\n\r\n");
}

class SetCookies : public testing::TestWithParam<CookieCase> {};
TEST_P(SetCookies, are_seen_with_their_attributes) {
  static Compiled compiled(
      {{{Look::set_cookie, "SRV", 1, true}, {Look::set_cookie, "SID", 2, false}}});
  const std::string start = "HTTP/1.1 200 OK\r\n";
  const std::string head = start + GetParam().lines + "\r\n";
  const auto hits = sniff(compiled, head);
  EXPECT_EQ(describe(head, hits), GetParam().hits);
  EXPECT_EQ(cut(head, hits), start + GetParam().left + "\r\n");
}

const CookieCase kSetCookies[] = {
    {"alone", "Set-Cookie: SRV=a\r\n", "SRV=a", ""},
    {"among others", "Set-Cookie: x=1\r\nSet-Cookie: SRV=a\r\nSet-Cookie: y=2\r\n", "SRV=a",
     "Set-Cookie: x=1\r\nSet-Cookie: y=2\r\n"},
    {"every attribute",
     "Set-Cookie: SID=a; Path=/x; Domain=.d.e; Expires=Thu, 01 Jan 1970 00:00:00 GMT; "
     "Max-Age=5; Secure; HttpOnly; SameSite=Lax\r\n",
     "SID=a",
     "Set-Cookie: SID=a; Path=/x; Domain=.d.e; Expires=Thu, 01 Jan 1970 00:00:00 GMT; "
     "Max-Age=5; Secure; HttpOnly; SameSite=Lax\r\n"},
    {"attributes in any case, without blanks", "Set-Cookie: SRV=a;PATH=/;max-AGE=0\r\n", "SRV=a",
     ""},
    {"blanks everywhere", "Set-Cookie:  SRV = a ; path = / x ; domain= \r\n", "SRV=a", ""},
    {"an attribute without a value", "Set-Cookie: SRV=a; path\r\n", "SRV=a", ""},
    {"a value ends at a comma", "Set-Cookie: SRV=a, b; path=/\r\n", "SRV=a", ""},
    {"an empty value", "Set-Cookie: SRV=; path=/\r\n", "SRV=", ""},
    {"a quoted value", "Set-Cookie: SRV=\"a;b\"; path=/\r\n", "SRV=\"a;b\"", ""},
    {"no equal sign", "Set-Cookie: SRV; path=/\r\n", "", "Set-Cookie: SRV; path=/\r\n"},
    {"an attribute with the name", "Set-Cookie: x=1; SRV=a\r\n", "", "Set-Cookie: x=1; SRV=a\r\n"},
    {"a second cookie behind a comma", "Set-Cookie: x=1, SRV=a\r\n", "",
     "Set-Cookie: x=1, SRV=a\r\n"},
    {"the name in another case", "Set-Cookie: srv=a\r\n", "", "Set-Cookie: srv=a\r\n"},
    {"the header in another case", "SET-COOKIE: SRV=a\r\n", "SRV=a", ""},
    {"on a folded line", "Set-Cookie: SRV=a;\r\n path=/\r\nA: b\r\n", "SRV=a", "A: b\r\n"},
    {"Cookie is another header", "Cookie: SRV=a\r\n", "", "Cookie: SRV=a\r\n"},
    {"Set-Cookie2 is another header", "Set-Cookie2: SRV=a\r\n", "", "Set-Cookie2: SRV=a\r\n"},
    {"an empty header", "Set-Cookie:\r\n", "", "Set-Cookie:\r\n"},
};
INSTANTIATE_TEST_SUITE_P(Response, SetCookies, testing::ValuesIn(kSetCookies));

TEST(SetCookies, can_be_rewritten_prefixed_and_deleted_by_their_ranges) {
  Compiled compiled({{{Look::set_cookie, "SRV", 1, true}}});
  const std::string head = "HTTP/1.1 200 OK\r\nSet-Cookie: SRV=app; path=/\r\n\r\n";
  const auto hits = sniff(compiled, head);
  ASSERT_EQ(hits.size(), 1u);
  std::string rewritten = head, prefixed = head, deleted = head;
  rewritten.replace(hits[0].value.begin, hits[0].value.size(), "s1");
  prefixed.insert(hits[0].value.begin, "s1~");
  deleted.erase(hits[0].remove.begin, hits[0].remove.size());
  EXPECT_EQ(rewritten, "HTTP/1.1 200 OK\r\nSet-Cookie: SRV=s1; path=/\r\n\r\n");
  EXPECT_EQ(prefixed, "HTTP/1.1 200 OK\r\nSet-Cookie: SRV=s1~app; path=/\r\n\r\n");
  EXPECT_EQ(deleted, "HTTP/1.1 200 OK\r\n\r\n");
  EXPECT_TRUE(hits[0].removes_line);
}

}  // namespace
}  // namespace limpet::http
