// What was judged is what the backend gets, whatever its sender says again (design.md, 9.1).
#include "splice_fixture.h"

namespace limpet::worker_test {
namespace {

using tcp::Track;

class SpliceCopies : public SpliceTest {
 protected:
  SpliceCopies()
      : SpliceTest(with(spliced(), R"(mode = "splice")",
                        R"(mode = "splice"; forwarded = "x-forwarded-for")")) {}

  std::vector<Left> say(uint32_t seq, std::string_view text) {
    return rig.send(
        kFront, client({.flags = kAck | kPsh, .seq = seq, .ack = isn + 1, .data = bytes_of(text)}));
  }
  // The octets that the backend has got, in their order, and that nothing was said in two ways.
  std::string to_backend(const std::vector<Left>& out) {
    for (const Left& l : out) {
      if (l.port != kBack) continue;
      const Seen s = look(l.frame);
      if (s.flags & kSyn) {
        backend = s.to;
        source_port = s.from_port;
      }
      for (size_t i = 0; i < s.data.size(); ++i) {
        const size_t at = s.seq - 1001 + i;
        if (at >= got.size()) got.resize(at + 1, '\0');
        if (got[at] == '\0') got[at] = static_cast<char>(s.data[i]);
        EXPECT_EQ(got[at], static_cast<char>(s.data[i])) << "octet " << at;
      }
    }
    return got;
  }
  std::string accept() {
    return to_backend(rig.send(
        kBack, from_backend(
                   {.flags = kSyn | kAck, .seq = 7000, .ack = 1001, .options = {2, 4, 5, 0xb4}})));
  }

  // The first request has been sent and answered; what follows is numbered 1033.
  void serve_one() {
    greet();
    to_backend(say(1001, "GET /first HTTP/1.1\r\nHost: a\r\n\r\n"));
    accept();
    const std::string_view text = "HTTP/1.1 204 No Content\r\n\r\n";
    rig.send(kBack, from_backend({.flags = kAck | kPsh,
                                  .seq = 7001,
                                  .ack = static_cast<uint32_t>(1001 + got.size()),
                                  .data = bytes_of(text)}));
    begins = got.size();
    rig.take();
  }
  // What the backend has got behind the first request.
  std::string later() const { return got.substr(begins); }
  uint64_t count(dataplane::Counter dataplane::WorkerCounters::*counter) {
    rig.pass(1s);  // the splice's counters are copied once a second
    return rig.sum(counter);
  }

  static constexpr uint32_t kLater = 1033;
  std::string got;
  size_t begins = 0;
};

TEST_F(SpliceCopies, a_head_with_two_copies_of_its_begin_does_not_end_the_process) {
  greet();
  to_backend(say(1001, "GET http://t/x HTTP/1.1\r\nHost: t\r\nX:\r\n"));
  to_backend(say(1001, "GET http://t/x HTTP/1.1\r\nHost: t\r\nhost\r\n"));
  EXPECT_EQ(accept(),
            "GET http://t/x HTTP/1.1\r\nHost: t\r\nX:\r\nX-Forwarded-For: 10.1.0.2\r\n\r\n");
}

TEST_F(SpliceCopies, the_first_copy_of_the_first_head_leaves_with_its_edits) {
  greet();
  to_backend(say(1001, "GET /good HTTP/1.1\r\nHost: a\r\n\r\n"));
  ASSERT_EQ(rig.only_flow().state, Track::connecting);
  to_backend(say(1001, "GET /evil HTTP/1.1\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n"));
  EXPECT_EQ(accept().substr(0, 61),
            "GET /good HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.1.0.2\r\n\r\n");
}

TEST_F(SpliceCopies, the_first_copy_of_half_a_head_stands) {
  greet();
  to_backend(say(1001, "GET /good HT"));
  to_backend(say(1001, "GET /evil HTTP/1.1\r\nHost: a\r\n\r\n"));
  EXPECT_EQ(accept(), "GET /good HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.1.0.2\r\n\r\n");
}

TEST_F(SpliceCopies, the_first_copy_behind_a_gap_stands) {
  greet();
  to_backend(say(1001, "GET"));
  to_backend(say(1001 + 6, "ood HTTP"));
  to_backend(say(1001 + 3, " /gEVIL HTT/1.1\r\nHost: a\r\n\r\n"));
  EXPECT_EQ(accept(), "GET /good HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.1.0.2\r\n\r\n");
}

TEST_F(SpliceCopies, a_later_head_leaves_as_it_was_judged) {
  serve_one();
  to_backend(say(kLater, "GET /good HTTP/1.1\r\nHost: a\r\n\r\n"));
  to_backend(say(kLater,
                 "GET /evil HTTP/1.1\r\nX: 6.66\r\n\r\n"
                 "GET /next HTTP/1.1\r\nHost: a\r\n\r\n"));
  to_backend(say(kLater + 5, "evil"));
  EXPECT_EQ(later(),
            "GET /good HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.1.0.2\r\n\r\n"
            "GET /next HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.1.0.2\r\n\r\n");
  EXPECT_EQ(count(&dataplane::WorkerCounters::splice_unlike), 2u);
}

TEST_F(SpliceCopies, chunk_lines_and_trailers_leave_as_they_were_judged) {
  serve_one();
  const std::string body(70, 'b');
  const std::string head = "POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
  const std::string said = head + "46\r\n" + body + "\r\n0\r\nX: y\r\n\r\n";
  to_backend(say(kLater, said));
  const std::string passed = later();
  ASSERT_EQ(passed.size(), said.size() + 27);
  // One chunk of three digits; an end of its own; a request in the trailer.
  std::string other = said;
  other.replace(head.size(), 4, "fff\n");
  other.replace(head.size() + 4 + 70, 7, "\r\n9\r\n\r\n");
  other.replace(said.size() - 8, 6, "\r\nGET ");
  to_backend(say(kLater, other));
  to_backend(say(kLater + static_cast<uint32_t>(head.size()), "1\r\n\r"));
  EXPECT_EQ(later(), passed);
  EXPECT_EQ(count(&dataplane::WorkerCounters::splice_unlike), 2u);
}

TEST_F(SpliceCopies, the_octets_of_a_body_are_its_sender_s_business) {
  serve_one();
  const std::string head = "POST /c HTTP/1.1\r\nContent-Length: 200\r\n\r\n";
  to_backend(say(kLater, head + std::string(200, 'a')));
  const auto body = kLater + static_cast<uint32_t>(head.size());
  const Seen again = only(say(body + 50, std::string(100, 'b')), kBack);
  EXPECT_EQ(again.data, Bytes(100, 'b'));
  EXPECT_EQ(count(&dataplane::WorkerCounters::splice_unlike), 0u);
}

TEST_F(SpliceCopies, nothing_follows_an_end) {
  serve_one();
  const std::string head = "GET /good HTTP/1.1\r\nHost: a\r\n\r\n";
  to_backend(rig.send(
      kFront,
      client({.flags = kAck | kFin, .seq = kLater, .ack = isn + 1, .data = bytes_of(head)})));
  // As if the backend had discarded all that.
  to_backend(say(kLater, head + "GET /evil HTTP/1.1\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n"));
  to_backend(say(kLater + static_cast<uint32_t>(head.size()),
                 "GET /evil HTTP/1.1\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n"));
  EXPECT_EQ(later(), "GET /good HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.1.0.2\r\n\r\n");
}

TEST_F(SpliceCopies, go_with_the_backend_s_acknowledgment) {
  serve_one();
  EXPECT_EQ(count(&dataplane::WorkerCounters::copy_bytes_used), 0u) << "the first was held";
  to_backend(say(kLater, "GET /good HTTP/1.1\r\nHost: a\r\n\r\n"));
  EXPECT_GT(count(&dataplane::WorkerCounters::copy_bytes_used), 0u);
  rig.send(
      kBack,
      from_backend({.flags = kAck, .seq = 7028, .ack = static_cast<uint32_t>(1001 + got.size())}));
  EXPECT_EQ(count(&dataplane::WorkerCounters::copy_bytes_used), 0u);
}

// What an endpoint discards must not move what we know.
TEST_F(SpliceCopies, a_segment_whose_hops_end_here_moves_nothing) {
  serve_one();
  Bytes frame = client({.flags = kAck | kFin,
                        .seq = kLater,
                        .ack = isn + 28,
                        .data = bytes_of("GET /good HTTP/1.1\r\nHost: a\r\n\r\n")});
  frame[14 + 8] = 1;
  fix_checksums(frame);
  to_backend(rig.send(kFront, frame));
  EXPECT_EQ(rig.drops(Drop::ip_ttl_expired), 1u);
  EXPECT_EQ(rig.only_flow().state, Track::established);
  EXPECT_EQ(later(), "");
  to_backend(say(kLater, "GET /next HTTP/1.1\r\nHost: a\r\n\r\n"));
  EXPECT_EQ(later(), "GET /next HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.1.0.2\r\n\r\n");
}

TEST_F(SpliceCopies, a_segment_that_hosts_discard_for_its_options_moves_nothing) {
  const Bytes md5 = {19, 18, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 1, 1};
  const Bytes impossible = {77, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  serve_one();
  uint64_t n = 0;
  for (const Bytes& options : {md5, impossible, Bytes{29, 4, 1, 1}}) {
    to_backend(rig.send(kFront, client({.flags = kAck,
                                        .seq = kLater,
                                        .ack = isn + 1,
                                        .data = bytes_of("GET /evil HTTP/1.1\r\n\r\n"),
                                        .options = options})));
    EXPECT_EQ(rig.drops(Drop::tcp_options_bad), ++n);
  }
  EXPECT_EQ(later(), "");
  rig.send(kBack, from_backend({.flags = kAck | kFin, .seq = 7028, .ack = 1058, .options = md5}));
  EXPECT_EQ(rig.drops(Drop::tcp_options_bad), n + 1);
  EXPECT_EQ(rig.only_flow().state, Track::established);
}

}  // namespace
}  // namespace limpet::worker_test
