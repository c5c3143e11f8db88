// Bodies in any pieces: where the next message on the connection begins.
#include "limpet/http/body.h"

#include <gtest/gtest.h>

#include "text.h"

namespace limpet::http {
namespace {

using test::bytes;
using test::Case;
using namespace std::string_view_literals;

// "8, finished", "3, goes on" or "3, chunk_end_bad": how much was taken of `pieces` in a row.
std::string outcome(const BodySkipper& s, size_t taken) {
  return std::to_string(taken) + ", " +
         (s.failed()     ? body_fault_name(s.fault())
          : s.finished() ? "finished"
                         : "goes on");
}

size_t take(BodySkipper& s, std::string_view piece) {
  const size_t n = s.skip(bytes(piece));
  EXPECT_LE(n, piece.size());
  if (!s.failed() && !s.finished()) {
    EXPECT_EQ(n, piece.size());
  }
  return n;
}

void expect_skipped(Framing framing, Side side, std::string_view input, std::string_view expected) {
  BodySkipper whole(framing, side);
  const size_t taken = take(whole, input);
  ASSERT_EQ(outcome(whole, taken), expected);
  for (size_t split = 0; split <= input.size(); ++split) {
    SCOPED_TRACE("split at " + std::to_string(split));
    BodySkipper s(framing, side);
    size_t n = take(s, input.substr(0, split));
    if (n == split) n += take(s, input.substr(split));
    ASSERT_EQ(outcome(s, n), expected);
    ASSERT_EQ(s, whole);
  }
  BodySkipper slow(framing, side);
  size_t n = 0;
  while (n < input.size() && take(slow, input.substr(n, 1)) == 1) ++n;
  ASSERT_EQ(outcome(slow, n), expected);
}

class Chunked : public testing::TestWithParam<Case> {};
TEST_P(Chunked, is_skipped_the_same_in_any_pieces) {
  expect_skipped({Body::chunked, 0}, Side::response, GetParam().input, GetParam().expected);
}
class ChunkedBoth : public testing::TestWithParam<Case> {};
TEST_P(ChunkedBoth, is_skipped_the_same_in_any_pieces) {
  for (const Side side : {Side::request, Side::response})
    expect_skipped({Body::chunked, 0}, side, GetParam().input, GetParam().expected);
}
class ChunkedRequest : public testing::TestWithParam<Case> {};
TEST_P(ChunkedRequest, is_refused_where_it_may_be_read_otherwise) {
  expect_skipped({Body::chunked, 0}, Side::request, GetParam().input, GetParam().expected);
}

// What passes in responses only.
constexpr Case kChunked[] = {
    {"leading zeros", "0000000000000000000001\r\na\r\n000\r\n\r\n", "34, finished"},
    {"blanks behind a size", "1 \t\r\na\r\n0 \r\n\r\n", "14, finished"},
    {"a trailer with bare LF", "0\r\nA: b\nC: d\n\nNEXT", "14, finished"},
    {"a folded trailer", "0\r\nA: b\r\n c\r\n\r\nNEXT", "15, finished"},
    {"bare LF instead of a trailer", "0\r\n\nNEXT", "4, finished"},
    {"control characters in an extension", "1;\x01\x80\r\na\r\n0\r\n\r\n", "14, finished"},
    {"control characters in a trailer", "0\r\nA: \v\x7f\r\n\r\n", "12, finished"},
    {"a length among the trailers", "0\r\nContent-Length: 5\r\n\r\n", "24, finished"},
};
constexpr Case kBoth[] = {
    {"nothing", "0\r\n\r\nNEXT", "5, finished"},
    {"one chunk", "5\r\nhello\r\n0\r\n\r\nNEXT", "15, finished"},
    {"two chunks", "1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", "18, finished"},
    {"hexadecimal in both cases", "A\r\n0123456789\r\nb\r\n0123456789a\r\n0\r\n\r\n",
     "36, finished"},
    {"an extension", "1;a=b;c=\"d e\"\r\na\r\n0;x\r\n\r\n", "25, finished"},
    {"blanks and an extension", "1 ;a\r\na\r\n0\r\n\r\n", "14, finished"},
    {"a trailer", "0\r\nA: b\r\nC:d\r\n\r\nNEXT", "16, finished"},
    {"chunk data that looks like an end", "7\r\n0\r\n\r\n\r\n\r\n0\r\n\r\n", "17, finished"},
    {"not complete", "5\r\nhel", "6, goes on"},
    {"no size yet", "", "0, goes on"},
    {"the largest chunk", "fffffffffffff\r\n", "15, goes on"},
    {"a chunk of 2^52", "10000000000000\r\n", "13, chunk_too_big"},
    {"no digit", "x\r\n", "0, chunk_size_bad"},
    {"an empty size line", "\r\n", "0, chunk_size_bad"},
    {"a signed size", "+1\r\na\r\n", "0, chunk_size_bad"},
    {"a blank first", " 1\r\na\r\n", "0, chunk_size_bad"},
    {"0x", "0x1\r\na\r\n", "1, chunk_line_bad"},
    {"a size line with bare LF", "1\na\r\n", "1, chunk_line_bad"},
    {"an extension with bare LF", "1;a\nb\r\n", "3, chunk_line_bad"},
    {"CR without LF behind a size", "1\rX", "2, chunk_line_bad"},
    {"CR without LF in an extension", "1;a\rX", "4, chunk_line_bad"},
    {"junk behind a size", "1 1\r\na\r\n", "2, chunk_line_bad"},
    {"a chunk longer than it says", "1\r\nab\r\n", "4, chunk_end_bad"},
    {"a chunk ended by bare LF", "1\r\na\n0\r\n\r\n", "4, chunk_end_bad"},
    {"a chunk ended by CR", "1\r\na\rX", "5, chunk_end_bad"},
    {"a trailer without a colon", "0\r\nA\r\n", "4, trailer_bad"},
    {"a trailer with a blank name", "0\r\n A: b\r\n", "3, trailer_bad"},
    {"a trailer without a name", "0\r\n: b\r\n", "3, trailer_bad"},
    {"a trailer with a blank before the colon", "0\r\nA : b\r\n", "4, trailer_bad"},
    {"NUL in a trailer", "0\r\nA: \0\r\n\r\n"sv, "6, trailer_bad"},
    {"CR without LF in a trailer", "0\r\nA: b\rX", "8, trailer_bad"},
    {"CR without LF at the end", "0\r\n\rX", "4, trailer_bad"},
    {"trailers that only begin like fields of the head",
     "0\r\nHos: t\r\nHosts: a\r\nX-Forwarded-Fo: b\r\nContent-Length-: 5\r\n\r\n", "62, finished"},
    {"16 digits", "0000000000000001\r\na\r\n0\r\n\r\n", "26, finished"},
    {"an extension without a name", "1;\r\na\r\n0\r\n\r\n", "12, finished"},
    {"bytes above 127 in a trailer", "0\r\nA: \x80\xff\r\n\r\n", "12, finished"},
};
constexpr Case kRequest[] = {
    {"more than 16 digits", "00000000000000001\r\na\r\n", "16, chunk_size_long"},
    {"more zeros than that", "00000000000000000\r\n\r\n", "16, chunk_size_long"},
    {"a blank behind a size", "1 \r\na\r\n", "2, chunk_size_blank"},
    {"a tab behind a size", "1\t\r\na\r\n", "2, chunk_size_blank"},
    {"a control character in an extension", "1;a\x01\r\n", "3, chunk_extension_bad"},
    {"NUL in an extension", "1;\0\r\n"sv, "2, chunk_extension_bad"},
    {"DEL in an extension", "1;\x7f\r\n", "2, chunk_extension_bad"},
    {"a byte above 127 in an extension", "1;\x80\r\n", "2, chunk_extension_bad"},
    {"a trailer with bare LF", "0\r\nA: b\n\r\n", "7, trailer_line_feed"},
    {"bare LF instead of a trailer", "0\r\n\n", "3, trailer_line_feed"},
    {"bare LF behind a trailer", "0\r\nA: b\r\n\n", "9, trailer_line_feed"},
    {"a folded trailer", "0\r\nA: b\r\n c\r\n\r\n", "9, trailer_folded"},
    {"a control character in a trailer", "0\r\nA: b\v\r\n\r\n", "7, trailer_bad"},
    {"a host among the trailers", "0\r\nhOst: b\r\n\r\n", "7, trailer_forbidden"},
    {"a cookie among the trailers", "0\r\nA: b\r\nCookie: SRV=s1\r\n\r\n", "15, trailer_forbidden"},
    {"who it is for among the trailers", "0\r\nX-Forwarded-For: b\r\n\r\n",
     "18, trailer_forbidden"},
    {"a length among the trailers", "0\r\nContent-Length: 5\r\n\r\n", "17, trailer_forbidden"},
    {"an encoding among the trailers", "0\r\nTransfer-Encoding: chunked\r\n\r\n",
     "20, trailer_forbidden"},
};
INSTANTIATE_TEST_SUITE_P(Body, Chunked, testing::ValuesIn(kChunked));
INSTANTIATE_TEST_SUITE_P(Body, ChunkedBoth, testing::ValuesIn(kBoth));
INSTANTIATE_TEST_SUITE_P(Body, ChunkedRequest, testing::ValuesIn(kRequest));

TEST(BodyFaults, each_has_a_request_that_gets_it) {
  for (size_t i = 1; i < kBodyFaultCount; ++i) {
    const std::string wanted = std::string(", ") + body_fault_name(static_cast<BodyFault>(i));
    size_t cases = 0;
    for (const std::span<const Case> list :
         {std::span<const Case>(kBoth), std::span<const Case>(kRequest)})
      for (const Case& c : list) cases += c.expected.ends_with(wanted);
    EXPECT_NE(cases, 0u) << wanted;
  }
}

TEST(BodySkipper, takes_exactly_the_length) {
  expect_skipped({Body::length, 5}, Side::request, "helloNEXT", "5, finished");
  expect_skipped({Body::length, 5}, Side::request, "hell", "4, goes on");
  expect_skipped({Body::length, 0}, Side::request, "NEXT", "0, finished");
}

TEST(BodySkipper, takes_nothing_without_a_body) {
  expect_skipped({}, Side::request, "NEXT", "0, finished");
  EXPECT_TRUE(BodySkipper().finished());
}

TEST(BodySkipper, takes_everything_until_close) {
  expect_skipped({Body::until_close, 0}, Side::request, "0\r\n\r\n", "5, goes on");
  expect_skipped({Body::tunnel, 0}, Side::request, "GET / HTTP/1.1\r\n\r\n", "18, goes on");
}

TEST(BodySkipper, takes_nothing_behind_the_end_or_a_fault) {
  BodySkipper done({Body::length, 1}, Side::request);
  EXPECT_EQ(done.skip(bytes("ab")), 1u);
  EXPECT_EQ(done.skip(bytes("ab")), 0u);
  BodySkipper bad({Body::chunked, 0}, Side::request);
  EXPECT_EQ(bad.skip(bytes("z")), 0u);
  EXPECT_EQ(bad.skip(bytes("0\r\n\r\n")), 0u);
  EXPECT_FALSE(bad.finished());
  EXPECT_EQ(bad.blind(), 0u);
}

TEST(BodySkipper, lets_data_pass_unseen) {
  BodySkipper s({Body::chunked, 0}, Side::request);
  EXPECT_EQ(s.blind(), 0u);
  EXPECT_EQ(s.skip(bytes("10\r\nab")), 6u);
  EXPECT_EQ(s.blind(), 14u);
  s.skip_blind(4);
  EXPECT_EQ(s.blind(), 10u);
  s.skip_blind(10);
  EXPECT_EQ(s.blind(), 0u);
  EXPECT_EQ(s.skip(bytes("\r\n0\r\n\r\nNEXT")), 7u);
  EXPECT_TRUE(s.finished());

  BodySkipper length({Body::length, 1ull << 40}, Side::request);
  length.skip_blind(1ull << 40);
  EXPECT_TRUE(length.finished());
  BodySkipper endless({Body::until_close, 0}, Side::response);
  EXPECT_EQ(endless.blind(), UINT64_MAX);
  endless.skip_blind(1ull << 50);
  EXPECT_EQ(endless.blind(), UINT64_MAX);
}

TEST(BodySkipper, finds_the_next_pipelined_request) {
  const std::string first = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
  const std::string body = "3\r\nabc\r\n0\r\n\r\n";
  const auto b = bytes(first + body + "GET /second HTTP/1.1\r\n\r\n");
  RequestFramer framer;
  RequestHead r;
  ASSERT_EQ(framer.feed(b, r), Fed::complete);
  BodySkipper skipper(r.framing, Side::request);
  const auto behind = std::span(b).subspan(r.bounds.end);
  const size_t taken = skipper.skip(behind);
  ASSERT_TRUE(skipper.finished());
  RequestFramer next;
  ASSERT_EQ(next.feed(behind.subspan(taken), r), Fed::complete);
  EXPECT_EQ(test::text(behind.subspan(taken), r.target), "/second");
}

TEST(BodyFaults, have_names_and_texts_that_differ) {
  EXPECT_STREQ(body_fault_name(BodyFault::chunk_end_bad), "chunk_end_bad");
  for (size_t i = 0; i < kBodyFaultCount; ++i)
    for (size_t j = 0; j < i; ++j)
      EXPECT_STRNE(body_fault_text(static_cast<BodyFault>(i)),
                   body_fault_text(static_cast<BodyFault>(j)));
}

}  // namespace
}  // namespace limpet::http
