// Request heads as they come, well-formed ones and those that somebody sends to be read in two
// ways.
#include "limpet/http/request.h"

#include <gtest/gtest.h>

#include "split.h"

namespace limpet::http {
namespace {

using test::bytes;
using test::Case;
using test::text;
using namespace std::string_view_literals;

class Request : public testing::TestWithParam<Case> {};

TEST_P(Request, is_framed_the_same_in_any_pieces) {
  test::expect_framed<RequestFramer, RequestHead>(GetParam().input, GetParam().expected, {});
}

constexpr Case kWellFormed[] = {
    {"the smallest", "GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1, body none, keep-alive"},
    {"with a host", "GET /a?b=c HTTP/1.1\r\nHost: x.y:80\r\n\r\n",
     "GET /a?b=c HTTP/1.1, body none, keep-alive, host x.y:80"},
    {"with bare LF", "GET / HTTP/1.1\nHost: a\n\n",
     "GET / HTTP/1.1, body none, keep-alive, host a"},
    {"with both line ends", "GET / HTTP/1.1\nHost: a\r\nX: y\n\r\n",
     "GET / HTTP/1.1, body none, keep-alive, host a"},
    {"empty lines first", "\r\n\n\r\nGET / HTTP/1.1\r\n\r\n",
     "GET / HTTP/1.1, body none, keep-alive"},
    {"several blanks in the request line", "GET \t /  HTTP/1.1\r\n\r\n",
     "GET / HTTP/1.1, body none, keep-alive"},
    {"HTTP/1.0 closes", "GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.0, body none, close"},
    {"HTTP/1.0 with keep-alive", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
     "GET / HTTP/1.0, body none, keep-alive"},
    {"a later minor version is 1.1", "GET / HTTP/1.7\r\n\r\n",
     "GET / HTTP/1.7, body none, keep-alive"},
    {"close", "GET / HTTP/1.1\r\nconnection: close\r\n\r\n", "GET / HTTP/1.1, body none, close"},
    {"close in a list", "GET / HTTP/1.1\r\nConnection: x, CLOSE ,y\r\n\r\n",
     "GET / HTTP/1.1, body none, close"},
    {"close beats keep-alive",
     "GET / HTTP/1.0\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n",
     "GET / HTTP/1.0, body none, close"},
    {"closed is not close", "GET / HTTP/1.1\r\nConnection: closed\r\n\r\n",
     "GET / HTTP/1.1, body none, keep-alive"},
    {"no value, no blank", "GET / HTTP/1.1\r\nHost:\r\nX:y\r\n\r\n",
     "GET / HTTP/1.1, body none, keep-alive, host "},
    {"a value of blanks", "GET / HTTP/1.1\r\nHost: \t \r\n\r\n",
     "GET / HTTP/1.1, body none, keep-alive, host "},
    {"blanks around a value", "GET / HTTP/1.1\r\nHost: \t a b\t \r\n\r\n",
     "GET / HTTP/1.1, body none, keep-alive, host a b"},
    {"a folded value", "GET / HTTP/1.1\r\nX: a\r\n\tb: c\r\n  d\r\nHost: e\r\n\r\n",
     "GET / HTTP/1.1, body none, keep-alive, host e"},
    {"a value that is only on the folded line", "GET / HTTP/1.1\nHost:\n a\n\n",
     "GET / HTTP/1.1, body none, keep-alive, host a"},
    {"a Host within a folded line is none", "GET / HTTP/1.1\r\nX: a\r\n Host: b\r\n\r\n",
     "GET / HTTP/1.1, body none, keep-alive"},
    {"control and high characters in a value", "GET / HTTP/1.1\r\nX: \x01\x7f\xff\t\v\r\n\r\n",
     "GET / HTTP/1.1, body none, keep-alive"},
    {"a lower-case method is another method", "get / HTTP/1.1\r\n\r\n",
     "get / HTTP/1.1, body none, keep-alive"},
    {"an absolute target", "GET http://a/b HTTP/1.1\r\nHost: A\r\n\r\n",
     "GET http://a/b HTTP/1.1, body none, keep-alive, host A"},
    {"OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
     "OPTIONS * HTTP/1.1, body none, keep-alive, host a"},
    {"expects continue", "PUT / HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\nabc",
     "PUT / HTTP/1.1, body length 3, keep-alive, expects continue"},
    {"HTTP/1.0 expects nothing", "PUT / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n",
     "PUT / HTTP/1.0, body none, close"},
    {"an upgrade", "GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
     "GET / HTTP/1.1, body none, keep-alive, upgrade"},
    {"CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
     "CONNECT a:443 HTTP/1.1, body tunnel, keep-alive, host a"},
    {"CONNECT that names the port twice", "CONNECT a:8 HTTP/1.1\r\nHost: A:8\r\n\r\n",
     "CONNECT a:8 HTTP/1.1, body tunnel, keep-alive, host A:8"},
    {"default port in the target only", "GET http://a:80/ HTTP/1.1\r\nHost: a\r\n\r\n",
     "GET http://a:80/ HTTP/1.1, body none, keep-alive, host a"},
    {"default port in Host only", "GET https://a/ HTTP/1.1\r\nHost: a:443\r\n\r\n",
     "GET https://a/ HTTP/1.1, body none, keep-alive, host a:443"},
    {"user information in the target", "GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
     "GET http://u:p@a/ HTTP/1.1, body none, keep-alive, host a"},
    {"not complete", "GET / HTTP/1.1\r\nHost: a\r\n", "needs more"},
    {"nothing", "", "needs more"},
    {"only empty lines", "\r\n\r\n\n", "needs more"},
    {"all but the last LF", "GET / HTTP/1.1\r\n\r", "needs more"},
};

constexpr Case kBodies[] = {
    {"a length", "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
     "POST / HTTP/1.1, body length 5, keep-alive"},
    {"a length of zero is no body", "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
     "POST / HTTP/1.1, body none, keep-alive"},
    {"GET with a body", "GET / HTTP/1.1\r\nContent-Length: 1\r\n\r\nx",
     "GET / HTTP/1.1, body length 1, keep-alive"},
    {"leading zeros are decimal", "POST / HTTP/1.1\r\nContent-Length: 0010\r\n\r\n",
     "POST / HTTP/1.1, body length 10, keep-alive"},
    {"the longest", "POST / HTTP/1.1\r\nContent-Length: 9223372036854775807\r\n\r\n",
     "POST / HTTP/1.1, body length 9223372036854775807, keep-alive"},
    {"chunked", "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n",
     "POST / HTTP/1.1, body chunked, keep-alive"},
    {"CONNECT with length zero", "CONNECT a:1 HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
     "CONNECT a:1 HTTP/1.1, body tunnel, keep-alive"},
    {"POST of HTTP/1.0 with a body", "POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\n",
     "POST / HTTP/1.0, body length 5, close"},
};

constexpr Case kMalformed[] = {
    {"TLS", "\x16\x03\x01\x02\x01", "refused: tls"},
    {"HTTP/2 with prior knowledge", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "refused: http2_preface"},
    {"a blank first", " GET / HTTP/1.1\r\n\r\n", "refused: not_http"},
    {"binary", "\x00\x01\x02"sv, "refused: not_http"},
    {"HTTP/0.9", "GET /\r\n", "refused: http09"},
    {"HTTP/0.9 with a blank behind", "GET / \r\n", "refused: http09"},
    {"a word", "QUIT\r\n", "refused: http09"},
    {"a method and no target", "GET \r\n", "refused: http09"},
    {"a method with a colon", "G:T / HTTP/1.1\r\n\r\n", "refused: method_bad"},
    {"a method with a high byte", "G\xe9T / HTTP/1.1\r\n\r\n", "refused: method_bad"},
    {"a target with a high byte", "GET /\xe9 HTTP/1.1\r\n\r\n", "refused: target_bad"},
    {"a target with a fragment", "GET /a#b HTTP/1.1\r\n\r\n", "refused: target_bad"},
    {"a target that is a fragment", "GET #b HTTP/1.1\r\n\r\n", "refused: target_bad"},
    {"a target with DEL", "GET /\x7f HTTP/1.1\r\n\r\n", "refused: target_bad"},
    {"a target with NUL", "GET /\0 HTTP/1.1\r\n\r\n"sv, "refused: target_bad"},
    {"three words", "GET /a b HTTP/1.1\r\n\r\n", "refused: version_bad"},
    {"a blank behind the version", "GET / HTTP/1.1 \r\n\r\n", "refused: version_bad"},
    {"a lower-case version", "GET / http/1.1\r\n\r\n", "refused: version_bad"},
    {"a version too long", "GET / HTTP/1.10\r\n\r\n", "refused: version_bad"},
    {"a version too short", "GET / HTTP/1\r\n\r\n", "refused: version_bad"},
    {"another protocol", "GET / RTSP/1.0\r\n\r\n", "refused: version_bad"},
    {"HTTP/2.0", "GET / HTTP/2.0\r\n\r\n", "refused: version_unsupported"},
    {"HTTP/0.9 said aloud", "GET / HTTP/0.9\r\n\r\n", "refused: version_unsupported"},
    {"CR alone before the request line", "\rGET / HTTP/1.1\r\n\r\n", "refused: line_end_bad"},
    {"CR alone behind the request line", "GET / HTTP/1.1\rHost: a\r\n\r\n",
     "refused: line_end_bad"},
    {"CR alone in a value", "GET / HTTP/1.1\r\nX: a\rb\r\n\r\n", "refused: line_end_bad"},
    {"CR twice", "GET / HTTP/1.1\r\nX: a\r\r\n\r\n", "refused: line_end_bad"},
    {"CR alone at the end", "GET / HTTP/1.1\r\n\rX", "refused: line_end_bad"},
    {"a folded first line", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", "refused: name_blank"},
    {"a blank before the colon", "GET / HTTP/1.1\r\nContent-Length : 5\r\n\r\n",
     "refused: name_blank"},
    {"a blank in a name", "GET / HTTP/1.1\r\nA B: c\r\n\r\n", "refused: name_blank"},
    {"a name with a high byte", "GET / HTTP/1.1\r\nX\xe9: a\r\n\r\n", "refused: name_bad"},
    {"a name with NUL", "GET / HTTP/1.1\r\nX\0: a\r\n\r\n"sv, "refused: name_bad"},
    {"no name", "GET / HTTP/1.1\r\n: a\r\n\r\n", "refused: name_empty"},
    {"no colon", "GET / HTTP/1.1\r\nHost\r\n\r\n", "refused: colon_missing"},
    {"no colon and bare LF", "GET / HTTP/1.1\nHost\n\n", "refused: colon_missing"},
    {"NUL in a value", "GET / HTTP/1.1\r\nX: aaaaaaaaaaaa\0b\r\n\r\n"sv, "refused: value_bad"},
    {"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "refused: host_differs"},
    {"the same host twice", "GET / HTTP/1.1\r\nHost: a\r\nHOST: A\r\n\r\n",
     "refused: host_repeated"},
    {"another host than the target's", "GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n",
     "refused: host_mismatch"},
    {"another port than the target's", "GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n",
     "refused: host_mismatch"},
    {"the default port of another scheme", "GET http://a/ HTTP/1.1\r\nHost: a:443\r\n\r\n",
     "refused: host_mismatch"},
    {"the user is not the host", "GET http://b@a/ HTTP/1.1\r\nHost: b\r\n\r\n",
     "refused: host_mismatch"},
    {"CONNECT without a port", "CONNECT a HTTP/1.1\r\n\r\n", "refused: authority_bad"},
    {"CONNECT to an empty port", "CONNECT a: HTTP/1.1\r\n\r\n", "refused: authority_bad"},
    {"CONNECT to a path", "CONNECT /a:1 HTTP/1.1\r\n\r\n", "refused: authority_bad"},
    {"CONNECT to a URI", "CONNECT http://a:1 HTTP/1.1\r\n\r\n", "refused: authority_bad"},
    {"CONNECT with another host", "CONNECT a:1 HTTP/1.1\r\nHost: b:1\r\n\r\n",
     "refused: host_mismatch"},
    {"CONNECT with another port", "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
     "refused: host_mismatch"},
};

constexpr Case kSmuggled[] = {
    {"the same length twice", "POST / HTTP/1.1\r\nContent-Length: 5\r\ncontent-length: 05\r\n\r\n",
     "refused: length_repeated"},
    {"a list of equal lengths", "POST / HTTP/1.1\r\nContent-Length: 5, 5 ,5\r\n\r\n",
     "refused: length_repeated"},
    {"two lengths", "POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
     "refused: length_differs"},
    {"a list of two lengths", "POST / HTTP/1.1\r\nContent-Length: 5,6\r\n\r\n",
     "refused: length_differs"},
    {"a signed length", "POST / HTTP/1.1\r\nContent-Length: +5\r\n\r\n", "refused: length_bad"},
    {"a negative length", "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "refused: length_bad"},
    {"a hexadecimal length", "POST / HTTP/1.1\r\nContent-Length: 0x5\r\n\r\n",
     "refused: length_bad"},
    {"an empty length", "POST / HTTP/1.1\r\nContent-Length:\r\n\r\n", "refused: length_bad"},
    {"a length and an empty one", "POST / HTTP/1.1\r\nContent-Length: 5,\r\n\r\n",
     "refused: length_bad"},
    {"a length with a blank in it", "POST / HTTP/1.1\r\nContent-Length: 1 2\r\n\r\n",
     "refused: length_bad"},
    {"a length of 2^63", "POST / HTTP/1.1\r\nContent-Length: 9223372036854775808\r\n\r\n",
     "refused: length_bad"},
    {"a length of 2^64 + 5", "POST / HTTP/1.1\r\nContent-Length: 18446744073709551621\r\n\r\n",
     "refused: length_bad"},
    {"length and encoding",
     "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
     "refused: encoding_and_length"},
    {"encoding and length",
     "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
     "refused: encoding_and_length"},
    {"chunked and then gzip", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
     "refused: encoding_bad"},
    {"gzip and then chunked", "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
     "refused: encoding_unsupported"},
    {"xchunked", "POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n",
     "refused: encoding_unsupported"},
    {"chunked in quotes", "POST / HTTP/1.1\r\nTransfer-Encoding: \"chunked\"\r\n\r\n",
     "refused: encoding_unsupported"},
    {"chunked behind a vertical tab", "POST / HTTP/1.1\r\nTransfer-Encoding: \vchunked\r\n\r\n",
     "refused: encoding_unsupported"},
    {"identity", "POST / HTTP/1.1\r\nTransfer-Encoding: identity\r\n\r\n",
     "refused: encoding_unsupported"},
    {"an empty encoding", "POST / HTTP/1.1\r\nTransfer-Encoding:\r\n\r\n", "refused: encoding_bad"},
    {"an empty element", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked,\r\n\r\n",
     "refused: encoding_bad"},
    {"chunked twice",
     "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n"
     "Transfer-Encoding: chunked\r\n\r\n",
     "refused: encoding_bad"},
    {"chunked in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
     "refused: encoding_in_http10"},
    {"GET of HTTP/1.0 with a body", "GET / HTTP/1.0\r\nContent-Length: 5\r\n\r\n",
     "refused: body_forbidden"},
    {"HEAD of HTTP/1.0 with a body", "HEAD / HTTP/1.0\r\nContent-Length: 5\r\n\r\n",
     "refused: body_forbidden"},
    {"DELETE of HTTP/1.0 with a body", "DELETE / HTTP/1.0\r\nContent-Length: 5\r\n\r\n",
     "refused: body_forbidden"},
    {"CONNECT with a body", "CONNECT a:1 HTTP/1.1\r\nContent-Length: 5\r\n\r\n",
     "refused: body_forbidden"},
    {"CONNECT with chunks", "CONNECT a:1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
     "refused: body_forbidden"},
    {"an encoding on the next line", "POST / HTTP/1.1\r\nTransfer-Encoding:\r\n chunked\r\n\r\n",
     "refused: framing_folded"},
    {"a length that goes on", "POST / HTTP/1.1\r\nContent-Length: 1\r\n 0\r\n\r\n",
     "refused: framing_folded"},
    {"a length as a folded line", "POST / HTTP/1.1\r\nX: y\r\n\tContent-Length: 5\r\n\r\n",
     "refused: framing_folded"},
    {"an encoding as the second folded line",
     "POST / HTTP/1.1\nX: y\n z\n  transfer-encoding : chunked\n\n", "refused: framing_folded"},
};

INSTANTIATE_TEST_SUITE_P(WellFormed, Request, testing::ValuesIn(kWellFormed));
INSTANTIATE_TEST_SUITE_P(Bodies, Request, testing::ValuesIn(kBodies));
INSTANTIATE_TEST_SUITE_P(Malformed, Request, testing::ValuesIn(kMalformed));
INSTANTIATE_TEST_SUITE_P(Smuggled, Request, testing::ValuesIn(kSmuggled));

TEST(RequestBounds, name_every_place_where_a_caller_may_edit) {
  const auto b = bytes("\r\nGET / HTTP/1.1\r\nA: b\r\n\r\nbody");
  RequestFramer framer;
  RequestHead r;
  ASSERT_EQ(framer.feed(b, r), Fed::complete);
  EXPECT_EQ(r.bounds, (HeadBounds{2, 18, 24, 26, true}));
  EXPECT_EQ(text(b, {r.bounds.end, static_cast<uint32_t>(b.size())}), "body");
}

TEST(RequestBounds, tell_bare_line_feeds) {
  const auto b = bytes("GET / HTTP/1.1\n\n");
  RequestFramer framer;
  RequestHead r;
  ASSERT_EQ(framer.feed(b, r), Fed::complete);
  EXPECT_EQ(r.bounds, (HeadBounds{0, 15, 15, 16, false}));
}

TEST(RequestMethod, is_known_by_its_exact_name) {
  const std::pair<std::string_view, Method> cases[] = {
      {"GET", Method::get},         {"HEAD", Method::head},       {"POST", Method::post},
      {"OPTIONS", Method::options}, {"DELETE", Method::other},    {"get", Method::other},
      {"GETS", Method::other},      {"CONNECT", Method::connect},
  };
  for (const auto& [name, method] : cases) {
    RequestFramer framer;
    RequestHead r;
    ASSERT_EQ(framer.feed(bytes(std::string(name) + " a:1 HTTP/1.1\r\n\r\n"), r), Fed::complete);
    EXPECT_EQ(r.kind, method) << name;
  }
}

TEST(RequestFramer, says_where_it_refuses) {
  RequestFramer framer;
  RequestHead r;
  ASSERT_EQ(framer.feed(bytes("GET / HTTP/1.1\r\nA B: c\r\n\r\n"), r), Fed::refused);
  EXPECT_EQ(framer.position(), 17u);
  EXPECT_EQ(framer.feed(bytes("GET / HTTP/1.1\r\nAB: c\r\n\r\n"), r), Fed::refused);
}

TEST(RequestFramer, leaves_the_head_alone_until_it_is_complete) {
  RequestFramer framer;
  RequestHead r;
  r.minor = 77;
  EXPECT_EQ(framer.feed(bytes("GET / HTTP/1.0\r\n"), r), Fed::need_more);
  EXPECT_EQ(r.minor, 77);
  EXPECT_EQ(framer.feed(bytes("GET / HTTP/1.0\r\nContent-Length: x\r\n\r\n"), r), Fed::refused);
  EXPECT_EQ(r.minor, 77);
}

// A head that comes byte by byte costs linear time: what was seen once is not looked at again until
// the head is complete, so it may as well be gone.
TEST(RequestFramer, looks_at_no_byte_twice_while_the_head_arrives) {
  std::string head = "GET / HTTP/1.1\r\n";
  const size_t start_line = head.size();
  while (head.size() < 16000) head += test::numbered("Name-", head.size()) + ": value\r\n";
  head += "\r\n";
  RequestFramer framer;
  RequestHead r;
  auto b = bytes(head);
  for (size_t size = 1; size < b.size(); ++size) {
    ASSERT_EQ(framer.feed(std::span(b).first(size), r), Fed::need_more);
    if (size > start_line) b[size - 1] = 0;
  }
  EXPECT_EQ(framer.feed(bytes(head), r), Fed::complete);
}

TEST(Refusals, have_names_and_texts_that_differ) {
  EXPECT_STREQ(refusal_name(Refusal::length_differs), "length_differs");
  EXPECT_STREQ(refusal_text(Refusal::none), "not refused");
  for (size_t i = 0; i < kRefusalCount; ++i)
    for (size_t j = 0; j < i; ++j) {
      EXPECT_STRNE(refusal_name(static_cast<Refusal>(i)), refusal_name(static_cast<Refusal>(j)));
      EXPECT_STRNE(refusal_text(static_cast<Refusal>(i)), refusal_text(static_cast<Refusal>(j)));
    }
}

}  // namespace
}  // namespace limpet::http
