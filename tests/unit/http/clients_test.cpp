// What programs that people use send, and what becomes of it: whoever makes the list in
// limpet/http/head.h stricter sees here whom it costs.
#include <gtest/gtest.h>

#include "split.h"

namespace limpet::http {
namespace {

using test::Case;
using namespace std::string_view_literals;

class Client : public testing::TestWithParam<Case> {};
TEST_P(Client, is_understood_or_refused_by_name) {
  test::expect_framed<RequestFramer, RequestHead>(GetParam().input, GetParam().expected, {});
}

constexpr Case kTools[] = {
    {"curl", "GET / HTTP/1.1\r\nHost: a.example\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n",
     "GET / HTTP/1.1, body none, keep-alive, host a.example"},
    {"curl --http2",
     "GET / HTTP/1.1\r\nHost: a.example\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n"
     "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
     "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n",
     "GET / HTTP/1.1, body none, keep-alive, host a.example, h2c"},
    {"curl -x",
     "GET http://a.example:8080/x HTTP/1.1\r\nHost: a.example:8080\r\n"
     "User-Agent: curl/7.88.1\r\nAccept: */*\r\nProxy-Connection: Keep-Alive\r\n\r\n",
     "GET http://a.example:8080/x HTTP/1.1, body none, keep-alive, host a.example:8080"},
    {"curl -T -",
     "PUT /x HTTP/1.1\r\nHost: a.example\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n"
     "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
     "PUT /x HTTP/1.1, body chunked, keep-alive, host a.example, expects continue"},
    {"curl -d",
     "POST / HTTP/1.1\r\nHost: [fd00::1]:8080\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n"
     "Content-Length: 3\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\na=b",
     "POST / HTTP/1.1, body length 3, keep-alive, host [fd00::1]:8080"},
    {"curl -0",
     "GET / HTTP/1.0\r\nHost: a.example\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n",
     "GET / HTTP/1.0, body none, close, host a.example"},
    {"wget",
     "GET / HTTP/1.1\r\nHost: a.example\r\nUser-Agent: Wget/1.21.3\r\nAccept: */*\r\n"
     "Accept-Encoding: identity\r\nConnection: Keep-Alive\r\n\r\n",
     "GET / HTTP/1.1, body none, keep-alive, host a.example"},
    {"wget of busybox",
     "GET / HTTP/1.1\r\nHost: a.example\r\nUser-Agent: Wget\r\nConnection: close\r\n\r\n",
     "GET / HTTP/1.1, body none, close, host a.example"},
    {"ab",
     "GET / HTTP/1.0\r\nHost: a.example\r\nUser-Agent: ApacheBench/2.3\r\nAccept: */*\r\n\r\n",
     "GET / HTTP/1.0, body none, close, host a.example"},
    {"ab -k",
     "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\nHost: a.example\r\n"
     "User-Agent: ApacheBench/2.3\r\nAccept: */*\r\n\r\n",
     "GET / HTTP/1.0, body none, keep-alive, host a.example"},
    {"ab -p",
     "POST / HTTP/1.0\r\nContent-length: 4\r\nContent-type: text/plain\r\nHost: a.example\r\n"
     "User-Agent: ApacheBench/2.3\r\nAccept: */*\r\n\r\nabcd",
     "POST / HTTP/1.0, body length 4, close, host a.example"},
    {"wrk", "GET / HTTP/1.1\r\nHost: 198.51.100.1:80\r\n\r\n",
     "GET / HTTP/1.1, body none, keep-alive, host 198.51.100.1:80"},
    {"hey",
     "GET / HTTP/1.1\r\nHost: a.example\r\nUser-Agent: hey/0.0.1\r\nContent-Type: text/html\r\n"
     "Accept-Encoding: gzip\r\n\r\n",
     "GET / HTTP/1.1, body none, keep-alive, host a.example"},
    {"siege",
     "GET / HTTP/1.1\r\nHost: a.example\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate\r\n"
     "User-Agent: Mozilla/5.0 (pc-x86_64-linux-gnu) Siege/4.0.7\r\nConnection: close\r\n\r\n",
     "GET / HTTP/1.1, body none, close, host a.example"},
    {"printf with CRLF to nc", "GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.0, body none, close"},
    // Lost: readers of CRLF see one endless line, and others a request.
    {"printf with LF to nc", "GET / HTTP/1.0\n\n", "refused: line_feed_bare"},
    {"echo to nc", "GET / HTTP/1.1\nHost: a.example\n\n", "refused: line_feed_bare"},
    {"echo -e with one CRLF too few", "GET / HTTP/1.0\r\n\n", "refused: line_feed_bare"},
    {"a line typed into nc", "GET /\n", "refused: http09"},
    {"telnet", "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
     "GET / HTTP/1.1, body none, keep-alive, host a.example"},
    {"a health check of HAProxy", "OPTIONS / HTTP/1.0\r\n\r\n",
     "OPTIONS / HTTP/1.0, body none, close"},
    {"a health check of keepalived",
     "GET /up HTTP/1.0\r\nUser-Agent: KeepAliveClient\r\nHost: 198.51.100.1:80\r\n\r\n",
     "GET /up HTTP/1.0, body none, close, host 198.51.100.1:80"},
    {"a probe of Kubernetes",
     "GET /healthz HTTP/1.1\r\nHost: 10.0.0.9:8080\r\nUser-Agent: kube-probe/1.27\r\n"
     "Accept: */*\r\nConnection: close\r\n\r\n",
     "GET /healthz HTTP/1.1, body none, close, host 10.0.0.9:8080"},
    {"nginx in front",
     "GET /a%20b HTTP/1.0\r\nHost: web\r\nConnection: close\r\n"
     "X-Forwarded-For: 192.0.2.7\r\nUser-Agent: x\r\n\r\n",
     "GET /a%20b HTTP/1.0, body none, close, host web"},
    {"a crawler",
     "GET /robots.txt HTTP/1.1\r\nHost: a.example\r\nConnection: keep-alive\r\n"
     "Accept: text/plain,text/html;q=0.9,*/*;q=0.1\r\nFrom: googlebot(at)googlebot.com\r\n"
     "User-Agent: Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)\r\n"
     "Accept-Encoding: gzip, deflate, br\r\n\r\n",
     "GET /robots.txt HTTP/1.1, body none, keep-alive, host a.example"},
};

constexpr Case kLibraries[] = {
    {"Java's HttpClient",
     "GET / HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nContent-Length: 0\r\n"
     "Host: a.example\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n"
     "Upgrade: h2c\r\nUser-Agent: Java-http-client/11.0.21\r\n\r\n",
     "GET / HTTP/1.1, body none, keep-alive, host a.example, h2c"},
    {"Java's HttpURLConnection",
     "GET / HTTP/1.1\r\nUser-Agent: Java/17.0.9\r\nHost: a.example\r\n"
     "Accept: text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2\r\n"
     "Connection: keep-alive\r\n\r\n",
     "GET / HTTP/1.1, body none, keep-alive, host a.example"},
    {"Apache HttpClient",
     "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Keep-Alive\r\n"
     "User-Agent: Apache-HttpClient/4.5.14 (Java/17.0.9)\r\nAccept-Encoding: gzip,deflate\r\n\r\n",
     "GET / HTTP/1.1, body none, keep-alive, host a.example"},
    {"Apache HttpClient 5, which offers TLS",
     "GET / HTTP/1.1\r\nHost: a.example\r\nUpgrade: TLS/1.2\r\nConnection: Upgrade\r\n\r\n",
     "GET / HTTP/1.1, body none, keep-alive, host a.example, upgrade"},
    {"OkHttp",
     "POST /x HTTP/1.1\r\nContent-Type: application/json; charset=utf-8\r\n"
     "Transfer-Encoding: chunked\r\nHost: a.example\r\nConnection: Keep-Alive\r\n"
     "Accept-Encoding: gzip\r\nUser-Agent: okhttp/4.12.0\r\n\r\n",
     "POST /x HTTP/1.1, body chunked, keep-alive, host a.example"},
    {"Go",
     "GET / HTTP/1.1\r\nHost: a.example\r\nUser-Agent: Go-http-client/1.1\r\n"
     "Accept-Encoding: gzip\r\n\r\n",
     "GET / HTTP/1.1, body none, keep-alive, host a.example"},
    {"Go, with trailers",
     "POST / HTTP/1.1\r\nHost: a.example\r\nUser-Agent: Go-http-client/1.1\r\n"
     "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\nAccept-Encoding: gzip\r\n\r\n",
     "POST / HTTP/1.1, body chunked, keep-alive, host a.example"},
    {"requests of Python",
     "GET / HTTP/1.1\r\nHost: a.example\r\nUser-Agent: python-requests/2.28.1\r\n"
     "Accept-Encoding: gzip, deflate\r\nAccept: */*\r\nConnection: keep-alive\r\n"
     "Cookie: a=b; c=\"d e\"\r\n\r\n",
     "GET / HTTP/1.1, body none, keep-alive, host a.example"},
    {"http.client of Python",
     "GET / HTTP/1.1\r\nHost: a.example\r\nAccept-Encoding: identity\r\n\r\n",
     "GET / HTTP/1.1, body none, keep-alive, host a.example"},
    {"urllib of Python",
     "GET / HTTP/1.1\r\nAccept-Encoding: identity\r\nHost: a.example\r\n"
     "User-Agent: Python-urllib/3.11\r\nConnection: close\r\n\r\n",
     "GET / HTTP/1.1, body none, close, host a.example"},
    {"aiohttp of Python",
     "GET /?q=%E4 HTTP/1.1\r\nHost: a.example\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate\r\n"
     "User-Agent: Python/3.11 aiohttp/3.8.4\r\n\r\n",
     "GET /?q=%E4 HTTP/1.1, body none, keep-alive, host a.example"},
    {"fetch of Node",
     "GET / HTTP/1.1\r\nhost: a.example\r\nconnection: keep-alive\r\naccept: */*\r\n"
     "accept-language: *\r\nsec-fetch-mode: cors\r\nuser-agent: node\r\n"
     "accept-encoding: gzip, deflate\r\n\r\n",
     "GET / HTTP/1.1, body none, keep-alive, host a.example"},
    {"Net::HTTP of Ruby",
     "GET / HTTP/1.1\r\nAccept-Encoding: gzip;q=1.0,deflate;q=0.6,identity;q=0.3\r\n"
     "Accept: */*\r\nUser-Agent: Ruby\r\nHost: a.example\r\n\r\n",
     "GET / HTTP/1.1, body none, keep-alive, host a.example"},
    {"LWP of Perl",
     "GET / HTTP/1.1\r\nTE: deflate,gzip;q=0.3\r\nConnection: TE, close\r\nHost: a.example\r\n"
     "User-Agent: libwww-perl/6.68\r\n\r\n",
     "GET / HTTP/1.1, body none, close, host a.example"},
    {"a stream of PHP", "GET / HTTP/1.0\r\nHost: a.example\r\nConnection: close\r\n\r\n",
     "GET / HTTP/1.0, body none, close, host a.example"},
    {"HttpClient of .NET", "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
     "GET / HTTP/1.1, body none, keep-alive, host a.example"},
    {"WebRequest of PowerShell",
     "POST / HTTP/1.1\r\nUser-Agent: Mozilla/5.0 (Windows NT; Windows NT 10.0; de-DE) "
     "WindowsPowerShell/5.1\r\nContent-Type: application/x-www-form-urlencoded\r\n"
     "Host: a.example\r\nContent-Length: 3\r\nExpect: 100-continue\r\n"
     "Connection: Keep-Alive\r\n\r\na=b",
     "POST / HTTP/1.1, body length 3, keep-alive, host a.example, expects continue"},
};

constexpr Case kBrowsers[] = {
    {"Chrome",
     "GET /a?b=c&d=%20 HTTP/1.1\r\nHost: a.example\r\nConnection: keep-alive\r\n"
     "sec-ch-ua: \"Chromium\";v=\"119\", \"Not?A_Brand\";v=\"24\"\r\nsec-ch-ua-mobile: ?0\r\n"
     "sec-ch-ua-platform: \"Linux\"\r\nUpgrade-Insecure-Requests: 1\r\n"
     "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
     "Chrome/119.0.0.0 Safari/537.36\r\nAccept: text/html,application/xhtml+xml,*/*;q=0.8\r\n"
     "Sec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-User: ?1\r\n"
     "Sec-Fetch-Dest: document\r\nAccept-Encoding: gzip, deflate, br\r\n"
     "Accept-Language: en-US,en;q=0.9\r\nCookie: JSESSIONID=0123; _ga=GA1.2.3.4\r\n\r\n",
     "GET /a?b=c&d=%20 HTTP/1.1, body none, keep-alive, host a.example"},
    {"Chrome, a WebSocket",
     "GET /chat HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nPragma: no-cache\r\n"
     "Cache-Control: no-cache\r\nUpgrade: websocket\r\nOrigin: http://a.example\r\n"
     "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
     "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n",
     "GET /chat HTTP/1.1, body none, keep-alive, host a.example, upgrade"},
    {"Firefox",
     "POST /login HTTP/1.1\r\nHost: a.example\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; "
     "rv:109.0) Gecko/20100101 Firefox/119.0\r\nAccept: text/html,*/*;q=0.8\r\n"
     "Accept-Language: de,en-US;q=0.7,en;q=0.3\r\nAccept-Encoding: gzip, deflate\r\n"
     "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 3\r\n"
     "Origin: http://a.example\r\nConnection: keep-alive\r\nReferer: http://a.example/login\r\n"
     "Upgrade-Insecure-Requests: 1\r\n\r\na=b",
     "POST /login HTTP/1.1, body length 3, keep-alive, host a.example"},
    {"Firefox, a WebSocket",
     "GET /chat HTTP/1.1\r\nHost: a.example\r\nSec-WebSocket-Version: 13\r\n"
     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nConnection: keep-alive, Upgrade\r\n"
     "Upgrade: websocket\r\n\r\n",
     "GET /chat HTTP/1.1, body none, keep-alive, host a.example, upgrade"},
    {"Safari",
     "GET / HTTP/1.1\r\nHost: a.example\r\nUpgrade-Insecure-Requests: 1\r\n"
     "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
     "User-Agent: Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, "
     "like Gecko) Version/17.1 Safari/605.1.15\r\nAccept-Language: en-GB,en;q=0.9\r\n"
     "Accept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\n\r\n",
     "GET / HTTP/1.1, body none, keep-alive, host a.example"},
    {"lynx",
     "GET / HTTP/1.0\r\nHost: a.example\r\nAccept: text/html, text/plain, text/sgml\r\n"
     "Accept-Encoding: gzip, compress, bzip2\r\nAccept-Language: en\r\n"
     "User-Agent: Lynx/2.9.0dev.12 libwww-FM/2.14\r\n\r\n",
     "GET / HTTP/1.0, body none, close, host a.example"},
    {"a browser with a cookie in another character set",
     "GET / HTTP/1.1\r\nHost: a.example\r\nCookie: name=J\xfcrgen; x=\xc3\xa9\x85\r\n\r\n",
     "GET / HTTP/1.1, body none, keep-alive, host a.example"},
    // Netscape's line end behind a form (RFC 1945, appendix C).
    {"the request behind a form of an old browser", "\r\nGET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
     "GET / HTTP/1.1, body none, keep-alive, host a.example"},
};

INSTANTIATE_TEST_SUITE_P(Tools, Client, testing::ValuesIn(kTools));
INSTANTIATE_TEST_SUITE_P(Libraries, Client, testing::ValuesIn(kLibraries));
INSTANTIATE_TEST_SUITE_P(Browsers, Client, testing::ValuesIn(kBrowsers));

}  // namespace
}  // namespace limpet::http
