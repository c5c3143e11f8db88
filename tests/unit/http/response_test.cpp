// Response heads, and where their bodies end given the request's method.
#include "limpet/http/response.h"

#include <gtest/gtest.h>

#include "split.h"

namespace limpet::http {
namespace {

using test::bytes;
using test::Case;
using namespace std::string_view_literals;

class Response : public testing::TestWithParam<Case> {};
TEST_P(Response, is_framed_the_same_in_any_pieces) {
  test::expect_framed<ResponseFramer, ResponseHead>(GetParam().input, GetParam().expected,
                                                    ResponseFramer(Method::get));
}
class ResponseToHead : public testing::TestWithParam<Case> {};
TEST_P(ResponseToHead, has_no_body) {
  test::expect_framed<ResponseFramer, ResponseHead>(GetParam().input, GetParam().expected,
                                                    ResponseFramer(Method::head));
}
class ResponseToConnect : public testing::TestWithParam<Case> {};
TEST_P(ResponseToConnect, opens_a_tunnel_when_it_says_yes) {
  test::expect_framed<ResponseFramer, ResponseHead>(GetParam().input, GetParam().expected,
                                                    ResponseFramer(Method::connect));
}

constexpr Case kAnswers[] = {
    {"a length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
     "HTTP/1.1 200 'OK', body length 5, keep-alive"},
    {"a length of zero", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
     "HTTP/1.1 200 'OK', body none, keep-alive"},
    {"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
     "HTTP/1.1 200 'OK', body chunked, keep-alive"},
    {"neither", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 'OK', body until close, close"},
    {"bare LF", "HTTP/1.1 200 OK\nContent-Length: 1\n\nx",
     "HTTP/1.1 200 'OK', body length 1, keep-alive"},
    {"empty lines first", "\r\n\nHTTP/1.1 204 No Content\r\n\r\n",
     "HTTP/1.1 204 'No Content', body none, keep-alive"},
    {"no reason", "HTTP/1.1 200\r\nContent-Length: 1\r\n\r\n",
     "HTTP/1.1 200 '', body length 1, keep-alive"},
    {"an empty reason", "HTTP/1.1 200 \r\nContent-Length: 1\r\n\r\n",
     "HTTP/1.1 200 '', body length 1, keep-alive"},
    {"an odd reason", "HTTP/1.1 299 \xe9\x01 x\tz \r\nContent-Length: 1\r\n\r\n",
     "HTTP/1.1 299 '\xe9\x01 x\tz ', body length 1, keep-alive"},
    {"several blanks", "HTTP/1.1  200 \t OK\r\nContent-Length: 1\r\n\r\n",
     "HTTP/1.1 200 'OK', body length 1, keep-alive"},
    {"204 with a length", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
     "HTTP/1.1 204 'No Content', body none, keep-alive"},
    {"304 with a length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
     "HTTP/1.1 304 'Not Modified', body none, keep-alive"},
    {"100 is interim", "HTTP/1.1 100 Continue\r\n\r\n",
     "HTTP/1.1 100 'Continue', body none, keep-alive, interim"},
    {"103 is interim", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n",
     "HTTP/1.1 103 'Early Hints', body none, keep-alive, interim"},
    {"101 is the end of HTTP", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
     "HTTP/1.1 101 'Switching Protocols', body tunnel, close"},
    {"close", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n",
     "HTTP/1.1 200 'OK', body length 1, close"},
    {"HTTP/1.0 closes", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n",
     "HTTP/1.0 200 'OK', body length 1, close"},
    {"HTTP/1.0 with keep-alive",
     "HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\n",
     "HTTP/1.0 200 'OK', body length 1, keep-alive"},
    {"HTTP/1.0 without length", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n",
     "HTTP/1.0 200 'OK', body until close, close"},
    {"chunks in HTTP/1.0",
     "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n",
     "HTTP/1.0 200 'OK', body chunked, close"},
    {"encoding beats length",
     "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
     "HTTP/1.1 200 'OK', body chunked, close"},
    {"a server that says HTTP/2", "HTTP/2.0 200 OK\r\nContent-Length: 1\r\n\r\n",
     "HTTP/2.0 200 'OK', body length 1, keep-alive"},
    {"a folded length", "HTTP/1.1 200 OK\r\nContent-Length:\r\n 5\r\n\r\n",
     "HTTP/1.1 200 'OK', body length 5, keep-alive"},
    {"the same length twice", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
     "HTTP/1.1 200 'OK', body length 5, keep-alive"},
    {"control characters in a value", "HTTP/1.1 200 OK\nX: \x01\v\x7f\nContent-Length: 1\n\nx",
     "HTTP/1.1 200 'OK', body length 1, keep-alive"},
    {"folded lines and both line ends", "HTTP/1.1 200 OK\r\nX: a\n b\r\nContent-Length: 1\r\n\nx",
     "HTTP/1.1 200 'OK', body length 1, keep-alive"},
    {"not complete", "HTTP/1.1 200 OK\r\nA: b\r\n", "needs more"},
    {"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
     "HTTP/1.1 200 'OK', body until close, close, doubt length_differs"},
    {"another encoding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
     "HTTP/1.1 200 'OK', body until close, close, doubt encoding_unsupported"},
    {"an encoding behind chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
     "HTTP/1.1 200 'OK', body until close, close, doubt encoding_unsupported"},
    {"an empty encoding", "HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n\r\n",
     "HTTP/1.1 200 'OK', body until close, close, doubt encoding_bad"},
    {"chunked twice", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
     "HTTP/1.1 200 'OK', body until close, close, doubt encoding_bad"},
    {"chunked on two lines",
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
     "HTTP/1.1 200 'OK', body until close, close, doubt encoding_bad"},
    {"a length that is none, and chunks",
     "HTTP/1.1 200 OK\r\nContent-Length: x\r\nTransfer-Encoding: chunked\r\n\r\n",
     "HTTP/1.1 200 'OK', body until close, close, doubt length_bad"},
    {"a bad length of 304", "HTTP/1.1 304 Not Modified\r\nContent-Length: x\r\n\r\n",
     "HTTP/1.1 304 'Not Modified', body none, keep-alive"},
    {"not HTTP", "SSH-2.0-OpenSSH_9.2\r\n", "refused: version_bad"},
    {"lower case", "http/1.1 200 OK\r\n\r\n", "refused: version_bad"},
    {"TLS", "\x16\x03\x03", "refused: tls"},
    {"binary", "\x80", "refused: not_http"},
    {"HTTP/0.9", "HTTP/0.9 200 OK\r\n\r\n", "refused: version_unsupported"},
    {"a version alone", "HTTP/1.1\r\n\r\n", "refused: version_bad"},
    {"no status", "HTTP/1.1 OK\r\n\r\n", "refused: status_bad"},
    {"two digits", "HTTP/1.1 20 OK\r\n\r\n", "refused: status_bad"},
    {"four digits", "HTTP/1.1 2000 OK\r\n\r\n", "refused: status_bad"},
    {"a status below 100", "HTTP/1.1 099 OK\r\n\r\n", "refused: status_bad"},
    {"a status with a letter", "HTTP/1.1 200x OK\r\n\r\n", "refused: status_bad"},
    {"no status at all", "HTTP/1.1 \r\n\r\n", "refused: status_bad"},
    {"CR alone in the reason", "HTTP/1.1 200 O\rK\r\n\r\n", "refused: line_end_bad"},
    {"a line without a colon", "HTTP/1.1 200 OK\r\nBroken\r\n\r\n", "refused: colon_missing"},
    {"NUL in a value", "HTTP/1.1 200 OK\r\nX: \0\r\n\r\n"sv, "refused: value_bad"},
};

constexpr Case kToHead[] = {
    {"a length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
     "HTTP/1.1 200 'OK', body none, keep-alive"},
    {"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
     "HTTP/1.1 200 'OK', body none, keep-alive"},
    {"neither", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 'OK', body none, keep-alive"},
    {"chunked twice", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
     "HTTP/1.1 200 'OK', body none, keep-alive"},
    {"101 all the same", "HTTP/1.1 101 Switching Protocols\r\n\r\n",
     "HTTP/1.1 101 'Switching Protocols', body tunnel, close"},
};

constexpr Case kToConnect[] = {
    {"200", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 'OK', body tunnel, close"},
    {"200 with a length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
     "HTTP/1.1 200 'OK', body tunnel, close"},
    {"299", "HTTP/1.1 299 OK\r\n\r\n", "HTTP/1.1 299 'OK', body tunnel, close"},
    {"100", "HTTP/1.1 100 Continue\r\n\r\n",
     "HTTP/1.1 100 'Continue', body none, keep-alive, interim"},
    {"407", "HTTP/1.1 407 No\r\nContent-Length: 5\r\n\r\n",
     "HTTP/1.1 407 'No', body length 5, keep-alive"},
};

INSTANTIATE_TEST_SUITE_P(To, Response, testing::ValuesIn(kAnswers));
INSTANTIATE_TEST_SUITE_P(To, ResponseToHead, testing::ValuesIn(kToHead));
INSTANTIATE_TEST_SUITE_P(To, ResponseToConnect, testing::ValuesIn(kToConnect));

TEST(ResponseBounds, name_both_places_where_a_header_may_be_inserted) {
  const std::string head = "HTTP/1.1 200 OK\r\nA: b\r\nC: d\r\n\r\n";
  const auto b = bytes(head + "body");
  ResponseFramer framer(Method::get);
  ResponseHead r;
  ASSERT_EQ(framer.feed(b, r), Fed::complete);
  EXPECT_TRUE(r.bounds.crlf);
  std::string first = head, last = head;
  first.insert(r.bounds.headers, "X: y\r\n");
  last.insert(r.bounds.empty_line, "X: y\r\n");
  EXPECT_EQ(first, "HTTP/1.1 200 OK\r\nX: y\r\nA: b\r\nC: d\r\n\r\n");
  EXPECT_EQ(last, "HTTP/1.1 200 OK\r\nA: b\r\nC: d\r\nX: y\r\n\r\n");
  EXPECT_EQ(r.bounds.end, head.size());
}

TEST(ResponseBounds, of_a_head_without_headers) {
  const auto b = bytes("HTTP/1.1 200 OK\n\n");
  ResponseFramer framer(Method::get);
  ResponseHead r;
  ASSERT_EQ(framer.feed(b, r), Fed::complete);
  EXPECT_EQ(r.bounds, (HeadBounds{0, 16, 16, 17, false}));
}

TEST(ResponseFramer, is_made_anew_behind_an_interim_response) {
  const std::string interim = "HTTP/1.1 100 Continue\r\n\r\n";
  const auto b = bytes(interim + "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
  ResponseFramer framer(Method::post);
  ResponseHead r;
  ASSERT_EQ(framer.feed(b, r), Fed::complete);
  ASSERT_TRUE(r.is_interim());
  ASSERT_EQ(r.bounds.end, interim.size());
  ResponseFramer next(Method::post);
  ASSERT_EQ(next.feed(std::span(b).subspan(r.bounds.end), r), Fed::complete);
  EXPECT_EQ(r.status, 201);
  EXPECT_FALSE(r.is_interim());
}

}  // namespace
}  // namespace limpet::http
