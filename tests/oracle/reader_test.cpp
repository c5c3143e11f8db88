// The readers against what RFC 9112 and the servers that they stand for say.
#include "reader.h"

#include <gtest/gtest.h>

namespace limpet::oracle {
namespace {

using Fields = std::vector<Field>;

TEST(BackendReader, reads_requests_one_behind_the_other) {
  const std::string text =
      "GET /a HTTP/1.1\r\nHost: t\r\nX:\t b \r\n\r\n"
      "POST /b HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc"
      "\r\n\r\nHEAD /c HTTP/1.1\r\n\r\n";
  for (const Reading& how : kReadings) {
    const Requests r = read(text, how);
    ASSERT_EQ(r.messages.size(), 3u) << how.name;
    EXPECT_EQ(r.error, "");
    EXPECT_EQ(r.at, text.size());
    const auto& m = r.messages;
    EXPECT_EQ(m[0].method + m[0].target + m[0].version, "GET/aHTTP/1.1");
    EXPECT_EQ(m[0].fields, (Fields{{"Host", "t"}, {"X", "b"}}));
    EXPECT_EQ(m[0].body, text.find("POST"));
    EXPECT_EQ(m[0].end, m[0].body);
    EXPECT_EQ(m[1].content, "abc");
    EXPECT_EQ(m[1].end - m[1].body, 3u);
    EXPECT_EQ(m[2].begin, m[1].end);
    EXPECT_EQ(m[2].target, "/c");
  }
}

TEST(BackendReader, ends_a_chunked_body_behind_its_trailers) {
  const std::string text =
      "POST / HTTP/1.1\r\ntransfer-encoding: gzip, Chunked\r\n\r\n"
      "3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: u\r\n\r\nGET /next HTTP/1.1\r\n\r\n";
  for (const Reading& how : kReadings) {
    const Requests r = read(text, how);
    ASSERT_EQ(r.messages.size(), 2u) << how.name << r.error;
    EXPECT_EQ(r.messages[0].content, "abc0123456789");
    EXPECT_EQ(r.messages[0].trailers, (Fields{{"T", "u"}}));
    EXPECT_EQ(r.messages[1].target, "/next");
  }
}

TEST(BackendReader, a_bare_line_feed_ends_a_line_for_all_but_the_strict) {
  const std::string text = "GET / HTTP/1.1\r\nX: a\nY: b\r\n\r\n";
  EXPECT_EQ(read(text, kStrict).messages.at(0).fields, (Fields{{"X", "a\nY: b"}}));
  EXPECT_EQ(read(text, kLenient).messages.at(0).fields, (Fields{{"X", "a"}, {"Y", "b"}}));
  // And a head that ends with one goes on.
  const std::string open = "GET / HTTP/1.1\r\nX: a\n\r\nGET /2 HTTP/1.1\r\n\r\n";
  ASSERT_EQ(read(open, kStrict).messages.size(), 0u);  // no colon in what is its second line
  EXPECT_EQ(read(open, kLenient).messages.size(), 2u);
}

TEST(BackendReader, a_fold_goes_on_the_line_before_for_all_but_the_unfolding) {
  const std::string text = "GET / HTTP/1.1\r\nX: a\r\n Y: b\r\n\r\n";
  EXPECT_EQ(read(text, kStrict).messages.at(0).fields, (Fields{{"X", "a Y: b"}}));
  EXPECT_EQ(read(text, kLenient).messages.at(0).fields, (Fields{{"X", "a Y: b"}}));
  EXPECT_EQ(read(text, kUnfolding).messages.at(0).fields, (Fields{{"X", "a"}, {"Y", "b"}}));
}

TEST(BackendReader, waits_for_what_is_not_complete) {
  const std::string text = "POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcd";
  for (size_t n = 0; n < text.size(); ++n) {
    const Requests r = read(std::string_view(text).substr(0, n), kStrict);
    EXPECT_EQ(r.error, "");
    EXPECT_EQ(r.messages.size(), n + 4 < text.size() ? 0u : 1u) << n;
    for (const Message& m : r.messages) EXPECT_FALSE(m.complete);
    EXPECT_EQ(r.at, 0u);
  }
}

TEST(BackendReader, gives_up_where_nobody_could_go_on) {
  const auto error = [](std::string_view text) { return read(text, kLenient).error; };
  EXPECT_EQ(error("GET /\r\n"), "a request line that has not three words");
  EXPECT_EQ(error("GET / HTTP/2\r\n"), "a version that is none");
  EXPECT_EQ(error("GET / HTTP/1.1\r\nX\r\n"), "a field without a colon");
  EXPECT_EQ(error("GET / HTTP/1.1\r\n: x\r\n"), "a field without a name");
  EXPECT_EQ(error("GET / HTTP/1.1\r\nContent-Length: 1x\r\n\r\n"), "a length that is none");
  EXPECT_EQ(error("GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"),
            "a length that is none");
  EXPECT_EQ(error("GET / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n"),
            "an encoding that is not chunked");
  const std::string chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
  EXPECT_EQ(error(chunked + "x\r\n"), "a chunk size that is none");
  EXPECT_EQ(error(chunked + "1\r\nabc"), "no end of a chunk");
}

TEST(BackendReader, an_underscore_is_a_dash_for_the_aliasing) {
  const std::string text = "POST / HTTP/1.1\r\nContent_Length: 18\r\n\r\nGET / HTTP/1.1\r\n\r\n";
  EXPECT_EQ(read(text, kLenient).messages.size(), 2u);
  ASSERT_EQ(read(text, kAliasing).messages.size(), 1u);
  EXPECT_EQ(read(text, kAliasing).messages[0].content, "GET / HTTP/1.1\r\n\r\n");
}

TEST(BackendReader, reads_nothing_behind_a_request_that_switches) {
  const std::string text = "GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n\x81\x05";
  EXPECT_EQ(read(text, kLenient, 1).messages.size(), 2u);
  EXPECT_EQ(read(text, kLenient, 0).messages.size(), 1u);
  EXPECT_EQ(read(text, kLenient, 0).error, "");
}

TEST(BackendReader, splits_lists_and_cookies) {
  EXPECT_EQ(elements({"a, ,b ", "C"}), (std::vector<std::string>{"a", "b", "C"}));
  EXPECT_EQ(pairs({"a=b; c=d;", "e"}), (std::vector<std::string>{"a=b", "c=d", "e"}));
  EXPECT_TRUE(same_name("X-a", "x-A"));
  EXPECT_FALSE(same_name("X-a", "X-"));
}

}  // namespace
}  // namespace limpet::oracle
