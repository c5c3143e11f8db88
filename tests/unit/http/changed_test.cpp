// Octets that are not those that were judged: heads that changed between two calls, bounds of
// another head. What is said of them is worth nothing, but no reader may leave its span. (Run under
// a sanitizer too; the ranges are looked at here.)
#include <gtest/gtest.h>

#include <random>

#include "limpet/http/parameter.h"
#include "sniffing.h"

namespace limpet::http {
namespace {

using test::bytes;

const std::vector<std::string> kHeads = {
    "GET http://t/x HTTP/1.1\r\nX:\r\n\r\n",
    "GET http://t/x HTTP/1.1\r\nhost\r\n",
    "GET /?a=b;c=d HTTP/1.1\r\nHost: t\r\nCookie: SRV=a; b=\"c;d\"; $Path=/\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
    "POST / HTTP/1.1\r\nX: y\r\n Transfer-Encoding: chunked\r\nConnection: close, x\r\n\r\n",
    "HTTP/1.1 200 OK\r\nSet-Cookie: SRV=a; Path=/; Max-Age=1\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200\nSet-Cookie: SRV=\n a\n\n",
    std::string(40, '\n'),
    std::string(40, ':'),
    std::string(40, ' '),
    std::string(40, 'G'),
    std::string(3, '"'),
};

void expect_within(const std::vector<uint8_t>& b, Range r, const std::string& what) {
  EXPECT_LE(r.begin, r.end) << what;
  EXPECT_LE(r.end, b.size()) << what;
}

// One of the heads, or another one with some octets of a third one, whole or cut.
std::vector<uint8_t> some(std::mt19937& random) {
  std::string s = kHeads[random() % kHeads.size()];
  const std::string& other = kHeads[random() % kHeads.size()];
  for (uint32_t n = static_cast<uint32_t>(random() % 8); n != 0; --n)
    s[random() % s.size()] = other[random() % other.size()];
  s.resize(random() % 4 == 0 ? random() % (s.size() + 1) : s.size());
  return bytes(s);
}

template <class Framer, class Head, class Look>
void change(Framer framer, std::mt19937& random, Look&& look) {
  for (int i = 0; i < 3; ++i) {
    const std::vector<uint8_t> b = some(random);
    Head head;
    if (framer.feed(b, head) == Fed::complete) look(b, head);
  }
}

TEST(ChangedHeads, no_framer_leaves_its_span) {
  for (uint32_t seed = 1; seed <= 20000; ++seed) {
    std::mt19937 random(seed);
    const std::string what = "seed " + std::to_string(seed);
    change<RequestFramer, RequestHead>(
        RequestFramer(), random, [&](const auto& b, const RequestHead& h) {
          for (const Range r : {h.method, h.target, h.version, h.host}) expect_within(b, r, what);
          EXPECT_LE(h.bounds.end, b.size()) << what;
          for (const Parameters where : {Parameters::query, Parameters::path})
            expect_within(b, find_parameter(b, h.target, "a", where), what);
        });
    change<ResponseFramer, ResponseHead>(ResponseFramer(Method::get), random,
                                         [&](const auto& b, const ResponseHead& h) {
                                           for (const Range r : {h.version, h.reason})
                                             expect_within(b, r, what);
                                           EXPECT_LE(h.bounds.end, b.size()) << what;
                                         });
  }
}

TEST(ChangedHeads, the_second_copy_that_ended_the_process) {
  RequestFramer framer;
  RequestHead head;
  EXPECT_EQ(framer.feed(bytes("GET http://t/x HTTP/1.1\r\nX:\r\n"), head), Fed::need_more);
  framer.feed(bytes("GET http://t/x HTTP/1.1\r\nhost\r\n\r\n"), head);
}

TEST(ChangedHeads, no_sniffer_leaves_its_span) {
  test::Compiled c({{{Look::cookie, "SRV", 1, true},
                     {Look::set_cookie, "SRV", 2, true},
                     {Look::header, "host", 3},
                     {Look::header, "x", 4}}});
  for (uint32_t seed = 1; seed <= 20000; ++seed) {
    std::mt19937 random(seed);
    const std::vector<uint8_t> b = some(random);
    HeadBounds bounds;
    bounds.headers = static_cast<uint32_t>(random() % 60);
    bounds.empty_line = static_cast<uint32_t>(random() % 90);
    bounds.end = bounds.empty_line + 2;
    std::vector<Hit> hits(16);
    for (const ScanResult r :
         {c.sniffer.scan(b, bounds, c.scratch, hits), c.sniffer.scan_plain(b, bounds, hits)}) {
      for (size_t i = 0; i < r.hits; ++i)
        for (const Range range : {hits[i].line, hits[i].name, hits[i].value, hits[i].remove})
          expect_within(b, range, "seed " + std::to_string(seed));
    }
  }
}

}  // namespace
}  // namespace limpet::http
