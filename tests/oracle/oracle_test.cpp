// The oracle must be quiet about what is as it must be, and notice each way in which it is not.
#include "oracle.h"

#include <gtest/gtest.h>

namespace limpet::oracle {
namespace {

const std::string kXff = "X-Forwarded-For: 192.0.2.7\r\n";

// As a judge would that reads as the lenient reader does.
Judged judged(std::string octets) {
  Judged j;
  for (const Message& m : read(octets, kLenient).messages)
    j.messages.push_back({m.body, m.end, m.complete});
  j.octets = std::move(octets);
  return j;
}

Promises promises() {
  return {.preamble = "", .forwarded = "192.0.2.7", .cookies = {"SRV"}, .no_h2c = true};
}

std::string say(const std::string& was, const std::string& is, const Promises& p = promises()) {
  return complaint(judged(was), {.octets = is, .all = true, .switches = {}}, p);
}

TEST(Oracle, is_quiet_when_what_was_judged_is_read) {
  EXPECT_EQ(
      say("GET /a HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: 8.8.8.8\r\nCookie: SRV=s1; b=c\r\n"
          "\r\nPOST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nT: u\r\n"
          "\r\nGET /c HTTP/1.1\r\nCookie: SRV=s1\r\nHost: t\r\n\r\n",
          "GET /a HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: 8.8.8.8\r\nCookie: b=c\r\n" + kXff +
              "\r\nPOST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + kXff +
              "\r\n1\r\nx\r\n0\r\nT: u\r\n\r\nGET /c HTTP/1.1\r\nHost: t\r\n" + kXff + "\r\n"),
      "");
  // Part of it is no fault either.
  const std::string whole = "POST /a HTTP/1.1\r\nContent-Length: 3\r\n" + kXff + "\r\nabc";
  const Judged j = judged("POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc");
  for (size_t n = 0; n <= whole.size(); ++n)
    EXPECT_EQ(complaint(j, {.octets = std::string_view(whole).substr(0, n)}, promises()), "") << n;
}

TEST(Oracle, notices_another_head_behind_the_first_ones_edits) {
  EXPECT_EQ(say("GET /a HTTP/1.1\r\n\r\n", "GET /b HTTP/1.1\r\n" + kXff + "\r\n"),
            "strict reader: request 0: target: judged '/a', read '/b'");
  EXPECT_NE(say("GET /a HTTP/1.1\r\nX: 1\r\n\r\n", "GET /a HTTP/1.1\r\nX: 2\r\n" + kXff + "\r\n"),
            "");
}

TEST(Oracle, notices_a_request_that_nobody_judged) {
  const std::string was = "POST /a HTTP/1.1\r\nContent-Length: 22\r\n\r\n";
  EXPECT_EQ(say(was + "GET /b HTTP/1.1\r\n\r\nabc", "POST /a HTTP/1.1\r\nX-Content-Length: 22\r\n" +
                                                        kXff + "\r\nGET /b HTTP/1.1\r\n\r\nabc"),
            "strict reader: request 1: was not judged");
  const std::string two = "GET /a HTTP/1.1\r\n" + kXff + "\r\nGET /b HTTP/1.1\r\n" + kXff + "\r\n";
  EXPECT_EQ(say("GET /a HTTP/1.1\r\n\r\n", two), "strict reader: request 1: was not judged");
  EXPECT_EQ(say("GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n", two), "");
}

TEST(Oracle, notices_a_bare_line_feed_that_hides_our_field) {
  EXPECT_EQ(say("GET /a HTTP/1.1\r\nX: a\n\r\n", "GET /a HTTP/1.1\r\nX: a\n" + kXff + "\r\n"),
            "strict reader: request 0: field 0: judged 'X: a', read "
            "'X: a\\x0aX-Forwarded-For: 192.0.2.7'");
}

TEST(Oracle, notices_a_fold_that_is_a_field_for_some) {
  EXPECT_EQ(say("GET /a HTTP/1.1\r\nX: a\r\n Y: b\r\n\r\n",
                "GET /a HTTP/1.1\r\nX: a\r\n Y: b\r\n" + kXff + "\r\n")
                .substr(0, 33),
            "unfolding reader: request 0: fiel");
}

TEST(Oracle, notices_an_address_that_is_missing_spoofed_or_not_last) {
  const std::string was = "GET /a HTTP/1.1\r\nHost: t\r\n\r\n";
  EXPECT_NE(say(was, was), "");
  EXPECT_NE(say(was, "GET /a HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: 8.8.8.8\r\n\r\n"), "");
  EXPECT_NE(say(was, "GET /a HTTP/1.1\r\n" + kXff + "Host: t\r\n\r\n"), "");
  EXPECT_NE(say(was, "GET /a HTTP/1.1\r\nHost: t\r\n" + kXff + kXff + "\r\n"), "");
  EXPECT_EQ(say("GET /a HTTP/1.1\r\nHost: t\r\nCookie: a=b\r\n\r\n",
                "GET /a HTTP/1.1\r\nHost: t\r\n" + kXff + "Cookie: a=b\r\n\r\n"),
            "strict reader: request 0: the last field is not ours, but 'Cookie'");
}

TEST(Oracle, notices_our_cookie_and_the_loss_of_another) {
  const std::string was = "GET /a HTTP/1.1\r\nCookie: a=b; SRV=s1\r\n\r\n";
  const auto is = [](const std::string& line) {
    return "GET /a HTTP/1.1\r\n" + line + kXff + "\r\n";
  };
  EXPECT_EQ(say(was, is("Cookie: a=b\r\n")), "");
  EXPECT_NE(say(was, is("Cookie: a=b; SRV=s1\r\n")), "");
  EXPECT_NE(say(was, is("Cookie: a=b; SRV=s2\r\n")), "");
  EXPECT_NE(say(was, is("Cookie: a=\r\n")), "");
  EXPECT_NE(say(was, is("")), "");
}

TEST(Oracle, notices_another_end_of_a_body) {
  const std::string was =
      "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n";
  const std::string head = "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + kXff + "\r\n";
  EXPECT_EQ(say(was, head + "4\r\nabcd\r\n0\r\n\r\n"), "");
  EXPECT_EQ(say(was, head + "0\r\n\r\n"), "strict reader: request 0: its body is 5 octets, not 14");
  EXPECT_EQ(say(was, head + "2\r\nab\r\n2\r\n"),
            "strict reader: request 0: it ends later than it was judged to end");
  EXPECT_EQ(say("POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n", head + "0\r\n\r\n"),
            "strict reader: request 0: it ends sooner than it was judged to end");
}

TEST(Oracle, notices_a_request_for_http2) {
  const std::string was =
      "GET /a HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
      "HTTP2-Settings: AAM\r\n\r\n";
  const auto is = [](const std::string& lines) {
    return "GET /a HTTP/1.1\r\n" + lines + kXff + "\r\n";
  };
  EXPECT_EQ(say(was, is("")), "");
  EXPECT_EQ(say(was, is("Connection: \r\n")), "");
  EXPECT_EQ(say(was, is("Connection: Upgrade\r\nUpgrade: h2c\r\n")),
            "strict reader: request 0: HTTP/2 is asked for");
  EXPECT_EQ(say(was, is("HTTP2-Settings: AAM\r\n")),
            "strict reader: request 0: settings of HTTP/2");
  EXPECT_EQ(say(was, is("Connection: http2-settings\r\n")),
            "strict reader: request 0: settings of HTTP/2 are named");
}

TEST(Oracle, notices_another_preamble) {
  Promises p;
  p.preamble = "PROXY UNKNOWN\r\n";
  const std::string was = "GET /a HTTP/1.1\r\n\r\n";
  EXPECT_EQ(say(was, p.preamble + was, p), "");
  EXPECT_EQ(say(was, was, p), "strict reader: the first octets are not ours");
}

TEST(Oracle, notices_a_judgement_that_a_reader_does_not_share) {
  Judged j = judged("POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc");
  const std::string is = "POST /a HTTP/1.1\r\nContent-Length: 3\r\n" + kXff + "\r\nabc";
  EXPECT_EQ(complaint(j, {.octets = is}, promises()), "");
  ++j.messages[0].end;
  EXPECT_EQ(complaint(j, {.octets = is}, promises()),
            "strict reader: request 0: was judged to end elsewhere");
  j.messages.clear();
  EXPECT_EQ(complaint(j, {.octets = is}, promises()),
            "strict reader: 0 requests were judged, and 1 are in the octets");
}

TEST(Oracle, notices_what_is_missing_when_all_has_come) {
  const Judged j = judged("GET /a HTTP/1.1\r\n\r\n");
  EXPECT_EQ(complaint(j, {.octets = "GET /a"}, promises()), "");
  EXPECT_EQ(complaint(j, {.octets = "GET /a", .all = true}, promises()),
            "strict reader: request 0: was not read");
}

TEST(Oracle, leaves_alone_what_is_no_http_any_more) {
  const Judged j = judged("GET /a HTTP/1.1\r\n\r\n");
  const std::string is = "GET /a HTTP/1.1\r\n" + kXff + "\r\nGET /b HTTP/1.1\r\n\r\n";
  EXPECT_EQ(complaint(j, {.octets = is, .all = true, .switches = 0}, promises()), "");
  EXPECT_NE(complaint(j, {.octets = is, .all = true, .switches = {}}, promises()), "");
}

}  // namespace
}  // namespace limpet::oracle
