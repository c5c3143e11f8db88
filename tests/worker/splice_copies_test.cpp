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

  std::string got;
};

TEST_F(SpliceCopies, a_head_with_two_copies_of_its_begin_does_not_end_the_process) {
  greet();
  to_backend(say(1001, "GET http://t/x HTTP/1.1\r\nX:\r\n"));
  to_backend(say(1001, "GET http://t/x HTTP/1.1\r\nhost\r\n"));
  EXPECT_EQ(accept(), "GET http://t/x HTTP/1.1\r\nX:\r\nX-Forwarded-For: 10.1.0.2\r\n\r\n");
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

}  // namespace
}  // namespace limpet::worker_test
