// Request heads as they come, well-formed ones and those that somebody sends to be read in two
// ways.
#include "limpet/http/request.h"

#include <gtest/gtest.h>

#include <array>

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
    {"empty lines first", "\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n",
     "GET / HTTP/1.1, body none, keep-alive"},
    {"HTTP/1.0 closes", "GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.0, body none, close"},
    {"HTTP/1.0 with keep-alive", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
     "GET / HTTP/1.0, body none, keep-alive"},
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
    {"blanks around a value", "GET / HTTP/1.1\r\nHost: \t a\t \r\n\r\n",
     "GET / HTTP/1.1, body none, keep-alive, host a"},
    {"bytes above 127 and tabs in a value",
     "GET / HTTP/1.1\r\nX: \x80\xff\t\x85 aaaaaaaaaaaaaaaa\x9f\r\n\r\n",
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
    {"Connection without Upgrade asks for nothing", "GET / HTTP/1.1\r\nConnection: Upgrade\r\n\r\n",
     "GET / HTTP/1.1, body none, keep-alive"},
    {"HTTP/2 over cleartext",
     "GET / HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
     "HTTP2-Settings: AAEAAEAA\r\n\r\n",
     "GET / HTTP/1.1, body none, keep-alive, h2c"},
    {"HTTP/2 beside something else",
     "GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: H2C ,websocket\r\n\r\n",
     "GET / HTTP/1.1, body none, keep-alive, upgrade, h2c"},
    {"a user may have a connection of his own",
     "GET / HTTP/1.1\r\nConnection: TE, close\r\nTE: trailers\r\n\r\n",
     "GET / HTTP/1.1, body none, close"},
    {"an underscore in another name", "GET / HTTP/1.1\r\nApi_Key: x\r\n\r\n",
     "GET / HTTP/1.1, body none, keep-alive"},
    {"an address as host", "GET http://[::1]:8/ HTTP/1.1\r\nHost: [::1]:8\r\n\r\n",
     "GET http://[::1]:8/ HTTP/1.1, body none, keep-alive, host [::1]:8"},
    {"a host with bytes above 127", "GET / HTTP/1.1\r\nHost: b\xfc.cher\r\n\r\n",
     "GET / HTTP/1.1, body none, keep-alive, host b\xfc.cher"},
    {"an absolute target with a query only", "GET http://a?b HTTP/1.1\r\nHost: a\r\n\r\n",
     "GET http://a?b HTTP/1.1, body none, keep-alive, host a"},
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
    {"not complete", "GET / HTTP/1.1\r\nHost: a\r\n", "needs more"},
    {"nothing", "", "needs more"},
    {"only empty lines", "\r\n\r\n\n", "needs more"},
    {"a bare LF that nothing follows", "\n", "needs more"},
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
    {"HTTP/1.2", "GET / HTTP/1.2\r\n\r\n", "refused: version_unsupported"},
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
    {"no colon and bare LF", "GET / HTTP/1.1\r\nHost\n\n", "refused: colon_missing"},
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
     "refused: authority_bad"},
    {"CONNECT to a user", "CONNECT u@a:1 HTTP/1.1\r\n\r\n", "refused: authority_bad"},
    {"CONNECT with a path", "CONNECT a:1/b HTTP/1.1\r\n\r\n", "refused: authority_bad"},
    {"CONNECT to a port only", "CONNECT :1 HTTP/1.1\r\n\r\n", "refused: authority_bad"},
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
     "refused: value_bad"},
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
    {"a length with an underscore", "POST / HTTP/1.1\r\ncontent_Length: 5\r\n\r\n",
     "refused: name_alias"},
    {"an encoding with an underscore", "POST / HTTP/1.1\r\nTransfer_Encoding: chunked\r\n\r\n",
     "refused: name_alias"},
};

// What one receiver reads as one line, or as one host, and another as two.
constexpr Case kReadInTwoWays[] = {
    {"bare LF behind the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n",
     "refused: line_feed_bare"},
    {"bare LF behind a header", "GET / HTTP/1.1\r\nX: a\nHost: a\r\n\r\n",
     "refused: line_feed_bare"},
    {"bare LF instead of the empty line", "GET / HTTP/1.1\r\nX: a\r\n\n",
     "refused: line_feed_bare"},
    {"a header that hides what we add", "GET / HTTP/1.1\r\nX: a\n\r\n", "refused: line_feed_bare"},
    {"a header that hides a length", "POST / HTTP/1.1\r\nX: a\nContent-Length: 73\r\n\r\n",
     "refused: line_feed_bare"},
    {"bare LF only", "GET / HTTP/1.0\n\n", "refused: line_feed_bare"},
    {"bare LF first", "\nGET / HTTP/1.1\r\n\r\n", "refused: line_feed_bare"},
    {"bare LF among empty lines", "\r\n\n\r\nGET / HTTP/1.1\r\n\r\n", "refused: line_feed_bare"},
    {"a folded value", "GET / HTTP/1.1\r\nX: a\r\n\tb: c\r\n\r\n", "refused: line_folded"},
    {"an encoding on the next line", "POST / HTTP/1.1\r\nTransfer-Encoding:\r\n chunked\r\n\r\n",
     "refused: line_folded"},
    {"a length as a folded line", "POST / HTTP/1.1\r\nX: y\r\n Content-Length: 5\r\n\r\n",
     "refused: line_folded"},
    {"an empty line with a blank", "GET / HTTP/1.1\r\nX: y\r\n \r\n\r\n", "refused: line_folded"},
    {"a vertical tab in a value", "GET / HTTP/1.1\r\nX: a\vb\r\n\r\n", "refused: value_bad"},
    {"a form feed in a long value", "GET / HTTP/1.1\r\nX: aaaaaaaaaaaaaaaaa\fb\r\n\r\n",
     "refused: value_bad"},
    {"a separator in a value", "GET / HTTP/1.1\r\nX: aaaaaaaaaaaaaaaaaaaa\x1e\r\n\r\n",
     "refused: value_bad"},
    {"DEL in a value", "GET / HTTP/1.1\r\nX: aaaaaaaaaaaaaaaaaaaa\x7f\r\n\r\n",
     "refused: value_bad"},
    {"a control character in the Host", "GET / HTTP/1.1\r\nHost: a\x01\r\n\r\n",
     "refused: value_bad"},
    {"two spaces behind the method", "GET  / HTTP/1.1\r\n\r\n", "refused: request_line_blank"},
    {"two spaces behind the target", "GET /  HTTP/1.1\r\n\r\n", "refused: request_line_blank"},
    {"a tab behind the method", "GET\t/ HTTP/1.1\r\n\r\n", "refused: request_line_blank"},
    {"a tab behind the target", "GET /\tHTTP/1.1\r\n\r\n", "refused: request_line_blank"},
    {"a HEAD that is none", "Head / HTTP/1.1\r\n\r\n", "refused: method_case"},
    {"a CONNECT that is none", "connect a:1 HTTP/1.1\r\n\r\n", "refused: method_case"},
    {"a target without a slash", "GET a HTTP/1.1\r\nHost: a\r\n\r\n", "refused: target_form"},
    {"a target that is a host", "GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", "refused: target_form"},
    {"a scheme with one slash", "GET http:/a/ HTTP/1.1\r\nHost: a\r\n\r\n", "refused: target_form"},
    {"a scheme that is none", "GET 1http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "refused: target_form"},
    {"a user behind the query", "GET http://b?@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
     "refused: host_mismatch"},
    {"a user in the target", "GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
     "refused: authority_bad"},
    {"a backslash in the authority", "GET http://a\\b/ HTTP/1.1\r\nHost: a\r\n\r\n",
     "refused: authority_bad"},
    {"a target without a host", "GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n",
     "refused: authority_bad"},
    {"an absolute target and no Host", "GET http://a/ HTTP/1.0\r\n\r\n", "refused: host_missing"},
    {"a blank in the Host", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "refused: host_bad"},
    {"a list of hosts", "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", "refused: host_bad"},
    {"a user in the Host", "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", "refused: host_bad"},
    {"a path in the Host", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "refused: host_bad"},
    {"a query in the Host", "GET / HTTP/1.1\r\nHost: a?b\r\n\r\n", "refused: host_bad"},
    {"a fragment in the Host", "GET / HTTP/1.1\r\nHost: a#b\r\n\r\n", "refused: host_bad"},
    {"a backslash in the Host", "GET / HTTP/1.1\r\nHost: a\\b\r\n\r\n", "refused: host_bad"},
    {"a Connection that takes our header out",
     "GET / HTTP/1.1\r\nConnection: close, X-Forwarded-For\r\n\r\n", "refused: connection_bad"},
    {"a Connection that takes the cookie out",
     "GET / HTTP/1.1\r\nConnection: keep-alive\r\nConnection: \"x,cookie\r\n\r\n",
     "refused: connection_bad"},
    {"a Connection that takes the host out", "GET / HTTP/1.1\r\nConnection: HOST\r\n\r\n",
     "refused: connection_bad"},
    {"a Connection that takes the length out",
     "POST / HTTP/1.1\r\nContent-Length: 5\r\nConnection: content-length\r\n\r\n",
     "refused: connection_bad"},
    {"a Connection that takes the encoding out",
     "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: transfer-encoding\r\n\r\n",
     "refused: connection_bad"},
};

INSTANTIATE_TEST_SUITE_P(WellFormed, Request, testing::ValuesIn(kWellFormed));
INSTANTIATE_TEST_SUITE_P(Bodies, Request, testing::ValuesIn(kBodies));
INSTANTIATE_TEST_SUITE_P(Malformed, Request, testing::ValuesIn(kMalformed));
INSTANTIATE_TEST_SUITE_P(Smuggled, Request, testing::ValuesIn(kSmuggled));
INSTANTIATE_TEST_SUITE_P(ReadInTwoWays, Request, testing::ValuesIn(kReadInTwoWays));

// Each refusal that a request can get has a case above.
TEST(Refusals, each_has_a_request_that_gets_it) {
  for (size_t i = 1; i < kRefusalCount; ++i) {
    const auto r = static_cast<Refusal>(i);
    if (r == Refusal::status_bad) continue;  // of responses only
    const std::string wanted = std::string("refused: ") + refusal_name(r);
    size_t cases = 0;
    for (const std::span<const Case> list :
         {std::span<const Case>(kMalformed), std::span<const Case>(kSmuggled),
          std::span<const Case>(kReadInTwoWays)})
      for (const Case& c : list) cases += c.expected == wanted;
    EXPECT_NE(cases, 0u) << wanted;
  }
}

// What is left of a head that asks for HTTP/2.
std::string without_h2c(const std::string& lines) {
  std::string head = "GET / HTTP/1.1\r\n" + lines + "\r\n";
  const auto b = bytes(head);
  RequestFramer framer;
  RequestHead r;
  if (framer.feed(b, r) != Fed::complete) return "refused";
  if (!r.h2c) return "not asked for";
  std::array<Range, 16> cuts;
  const size_t count = cut_h2c(b, r, cuts);
  if (count > cuts.size()) return "too many";
  uint32_t end = 0;
  for (size_t i = 0; i < count; ++i) {
    EXPECT_LE(end, cuts[i].begin);
    EXPECT_LT(cuts[i].begin, cuts[i].end);
    end = cuts[i].end;
  }
  for (size_t i = count; i-- > 0;) head.erase(cuts[i].begin, cuts[i].size());
  // What is left is a request that asks for nothing any more, or for something else.
  RequestFramer again;
  RequestHead left;
  EXPECT_EQ(again.feed(bytes(head), left), Fed::complete);
  EXPECT_FALSE(left.h2c);
  EXPECT_EQ(left.upgrade, r.upgrade);
  head.erase(0, left.bounds.headers);
  return head.substr(0, head.size() - 2);
}

TEST(CutH2c, leaves_plain_http) {
  const std::pair<std::string, std::string> cases[] = {
      // Java's HttpClient
      {"Connection: Upgrade, HTTP2-Settings\r\nHost: a\r\nHTTP2-Settings: AAEAAEAA\r\n"
       "Upgrade: h2c\r\nUser-Agent: Java-http-client/17\r\n",
       "Host: a\r\nUser-Agent: Java-http-client/17\r\n"},
      // curl --http2
      {"Host: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
       "HTTP2-Settings: AAMAAABk\r\n",
       "Host: a\r\n"},
      {"upgrade:H2C\r\nconnection:upgrade\r\n", ""},
      {"Upgrade: h2c, websocket\r\nConnection: Upgrade, HTTP2-Settings\r\n",
       "Upgrade: websocket\r\nConnection: Upgrade\r\n"},
      {"Upgrade: websocket ,h2c\r\nConnection: keep-alive, Upgrade\r\n",
       "Upgrade: websocket \r\nConnection: keep-alive, Upgrade\r\n"},
      {"Upgrade: a,h2c,b, \th2c\t ,c,h2c,H2c\r\n", "Upgrade: a,b,c\r\n"},
      {"Upgrade: ,, h2c ,\t,\r\n", ""},
      {"Upgrade: , h2c,, x\r\n", "Upgrade: ,, x\r\n"},
      {"Upgrade: h2c\r\nUpgrade: x\r\nConnection: upgrade\r\n",
       "Upgrade: x\r\nConnection: upgrade\r\n"},
      {"Upgrade: h2c\r\nX: y\r\nUpgrade: h2c\r\nConnection: upgrade\r\nConnection: "
       "close,upgrade\r\n",
       "X: y\r\nConnection: close\r\n"},
      {"HTTP2-Settings: a\r\nHTTP2-SETTINGS: b\r\nX: y\r\n", "X: y\r\n"},
      {"Upgrade: \"h2c\r\n", "not asked for"},
      {"Upgrade: \"a, h2c\r\n", "Upgrade: \"a\r\n"},
      {"Upgrade: h2c2\r\nConnection: upgrade\r\n", "not asked for"},
      {"Connection: HTTP2-Settings\r\n", "not asked for"},
  };
  for (const auto& [lines, left] : cases) EXPECT_EQ(without_h2c(lines), left) << lines;
}

TEST(CutH2c, says_how_many_there_are_where_not_all_fit) {
  const auto b = bytes("GET / HTTP/1.1\r\nUpgrade: a,h2c,b,h2c,c,h2c,d\r\n\r\n");
  RequestFramer framer;
  RequestHead r;
  ASSERT_EQ(framer.feed(b, r), Fed::complete);
  EXPECT_EQ(cut_h2c(b, r, {}), 3u);
}

TEST(RequestBounds, name_every_place_where_a_caller_may_edit) {
  const auto b = bytes("\r\nGET / HTTP/1.1\r\nA: b\r\n\r\nbody");
  RequestFramer framer;
  RequestHead r;
  ASSERT_EQ(framer.feed(b, r), Fed::complete);
  EXPECT_EQ(r.bounds, (HeadBounds{2, 18, 24, 26, true}));
  EXPECT_EQ(text(b, {r.bounds.end, static_cast<uint32_t>(b.size())}), "body");
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
    const std::string target = method == Method::connect ? " a:1" : " /";
    ASSERT_EQ(framer.feed(bytes(std::string(name) + target + " HTTP/1.1\r\n\r\n"), r),
              Fed::complete);
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
