// Stick entries and the connections that go by them.
#include "splice_fixture.h"

namespace limpet::worker_test {
namespace {

std::string learning() {
  const std::string web =
      R"(mode = "splice"; vip = "10.1.0.100"; port = 80; protocol = "tcp"; pool = "web";)";
  return with(spliced(), web + "\n    " + R"(persistence = ( { type = "source"; } );)",
              web + R"( persistence = ( { type = "cookie"; mode = "learn"; session_name = "APP"; },
                    { type = "source"; } );
    table = { size = 100; expire = "2s"; };)");
}

class SpliceStickTest : public SpliceTest {
 protected:
  SpliceStickTest() : SpliceTest(learning()) {}

  affinity::StickCounters table() {
    const dataplane::Snapshot& s = *rig.shared().snapshot.load();
    return s.services[rig.service("web")].splice->table->counters();
  }
  // Where a client that brings the session goes now.
  IpAddress asks_with_session(uint16_t port) { return asks(port, "Cookie: APP=v1\r\n"); }
  void answer(uint32_t seq, std::string_view text) {
    rig.send(kBack,
             from_backend({.flags = kAck | kPsh, .seq = seq, .ack = 1028, .data = bytes_of(text)}));
  }
  void reset() { rig.send(kBack, from_backend({.flags = kRst | kAck, .seq = 7001, .ack = 1028})); }
};

TEST_F(SpliceStickTest, a_pin_lives_while_its_connection_is_open_and_its_time_after_that) {
  establish();
  EXPECT_EQ(table().held, 1u);
  rig.pass(std::chrono::seconds(20));
  EXPECT_EQ(table().expired, 0u);
  reset();
  EXPECT_EQ(table().held, 0u);
  EXPECT_EQ(table().used, 1u);
}

TEST_F(SpliceStickTest, a_session_lives_while_the_connection_that_began_it_is_open) {
  establish();
  const std::string head =
      "HTTP/1.1 200 OK\r\nSet-Cookie: APP=v1\r\nTransfer-Encoding: chunked\r\n\r\n";
  answer(7001, head);
  EXPECT_EQ(table().held, 1u) << "of the session now";
  // The answer is slow: the session would be forgotten long before it ends.
  rig.pass(std::chrono::seconds(20));
  EXPECT_EQ(asks_with_session(41000), backend);
  rig.pass(std::chrono::seconds(20));
  EXPECT_EQ(asks_with_session(41001), backend);
  EXPECT_EQ(table().held, 1u);
  rig.send(kBack, from_backend({.flags = kRst | kAck,
                                .seq = 7001 + static_cast<uint32_t>(head.size()),
                                .ack = 1028}));
  EXPECT_EQ(table().held, 0u);
  const uint64_t expired = table().expired;
  rig.pass(std::chrono::seconds(20));
  asks_with_session(41002);
  EXPECT_GT(table().expired, expired) << "its time has begun with the end";
}

TEST_F(SpliceStickTest, a_session_that_comes_with_a_later_request_is_held_too) {
  establish();
  answer(7001, "HTTP/1.1 200 OK\r\nSet-Cookie: APP=v1\r\nContent-Length: 0\r\n\r\n");
  const uint64_t held = table().held;
  EXPECT_EQ(held, 1u);
  const Bytes later = bytes_of("GET /events HTTP/1.1\r\nHost: a\r\nCookie: APP=v1\r\n\r\n");
  rig.send(kFront, client({.flags = kAck | kPsh, .seq = 1028, .ack = isn + 64, .data = later}));
  EXPECT_EQ(table().held, 1u);
  rig.pass(std::chrono::seconds(20));
  EXPECT_EQ(asks_with_session(41000), backend);
}

TEST_F(SpliceStickTest, what_ends_without_a_last_word_lets_go_too) {
  establish();
  rig.down(rig.backend_at(backend, 8080));
  rig.pass(std::chrono::seconds(1));
  EXPECT_EQ(table().held, 0u);
}

TEST_F(SpliceStickTest, a_backend_that_refuses_leaves_nothing_held) {
  greet();
  const Seen syn =
      only(rig.send(kFront, client({.flags = kAck, .seq = 1001, .ack = isn + 1, .data = kRequest})),
           kBack);
  EXPECT_EQ(table().held, 0u) << "nobody has taken the connection yet";
  backend = syn.to;
  source_port = syn.from_port;
  rig.send(kFront, client({.flags = kRst, .seq = 1028, .ack = isn + 1}));
  EXPECT_EQ(table().held, 0u);
}

}  // namespace
}  // namespace limpet::worker_test
