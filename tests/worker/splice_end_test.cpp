// Spliced connections that no backend serves, and those that somebody else would like to end.
#include "splice_fixture.h"

namespace limpet::worker_test {
namespace {

using affinity::Reason;
using tcp::Track;

std::string text_to_client(const std::vector<Left>& out) {
  std::string text;
  for (const Left& l : out)
    if (l.port == kFront) {
      const Bytes data = look(l.frame).data;
      text.append(data.begin(), data.end());
    }
  return text;
}

uint16_t window_of(const Bytes& frame) {  // without VLAN tag and IP options
  return static_cast<uint16_t>(frame.at(14 + 20 + 14) << 8 | frame.at(14 + 20 + 15));
}

class SpliceEnd : public SpliceTest {
 protected:
  uint64_t reason(Reason r) {
    return rig.stats().services[rig.service("web")].reasons[static_cast<size_t>(r)].get();
  }
  // Each connection has exactly one.
  void expect_reason(Reason r) {
    uint64_t all = 0;
    for (const auto& n : rig.stats().services[rig.service("web")].reasons) all += n.get();
    EXPECT_EQ(all, 1u);
    EXPECT_EQ(reason(r), 1u) << affinity::reason_name(r);
  }
  std::vector<Left> say(std::string_view text) {
    return rig.send(
        kFront,
        client({.flags = kAck | kPsh, .seq = 1001, .ack = isn + 1, .data = bytes_of(text)}));
  }
  void all_down() {
    for (const char* name : {"s0", "s1", "s2", "s3"}) rig.down(rig.backend("web", name));
  }
};

TEST_F(SpliceEnd, a_refused_head_is_a_reason) {
  greet();
  say("\x16\x03\x01 hello");
  expect_reason(Reason::bad_request);
}

TEST_F(SpliceEnd, a_slow_head_is_a_reason) {
  greet();
  say("GET / HT");
  rig.pass(11s);
  EXPECT_TRUE(text_to_client(rig.take()).starts_with("HTTP/1.1 408 "));
  expect_reason(Reason::slow_request);
}

class Unacknowledged : public SpliceTest {
 protected:
  Unacknowledged()
      : SpliceTest(with(
            with(spliced(), R"({ name = "web6"; vip)", R"({ name = "web6"; mode = "splice"; vip)"),
            R"(persistence = ( { type = "source"; } );
    timeouts = { connect = "1s";)",
            R"(persistence = (
      { type = "cookie"; mode = "insert"; session_name = "SRV"; value = "plain"; },
      { type = "source"; } );
    timeouts = { connect = "1s";)")) {}
  const Bytes answer = bytes_of("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  uint32_t up = 1028, down = 7001, last = 0;  // next numbers; what the client has been sent

  std::vector<Left> answers() {
    auto out = rig.send(
        kBack, from_backend({.flags = kAck | kPsh, .seq = down, .ack = up, .data = answer}));
    down += static_cast<uint32_t>(answer.size());
    for (const Left& l : out)
      if (const Seen s = look(l.frame); l.port == kFront && !s.data.empty())
        last = s.seq + static_cast<uint32_t>(s.data.size());
    return out;
  }
  // Acknowledges `ack`; true when the request got to the backend.
  bool asks(uint32_t ack) {
    const auto out =
        rig.send(kFront, client({.flags = kAck | kPsh, .seq = up, .ack = ack, .data = kRequest}));
    up += static_cast<uint32_t>(kRequest.size());
    return std::any_of(out.begin(), out.end(), [](const Left& l) {
      return l.port == kBack && !look(l.frame).data.empty();
    });
  }
};

TEST_F(Unacknowledged, who_acknowledges_no_answer_asks_for_64_and_waits_then) {
  establish();
  answers();
  unsigned asked = 1;
  while (asked < 200 && asks(isn + 1)) {
    answers();
    ++asked;
  }
  EXPECT_EQ(asked, 64u);
  // Half of them are enough to go on.
  const auto out = rig.send(kFront, client({.flags = kAck, .seq = up, .ack = last}));
  EXPECT_TRUE(std::any_of(out.begin(), out.end(), [](const Left& l) {
    return l.port == kBack && look(l.frame).data == kRequest;
  }));
  EXPECT_EQ(rig.flows(), 1u);
}

TEST_F(Unacknowledged, and_no_longer_than_a_head_may_take) {
  establish();
  answers();
  for (unsigned asked = 1; asked < 200 && asks(isn + 1); ++asked) answers();
  for (int i = 0; i < 6; ++i) {  // a bare ACK now and then
    rig.pass(2s);
    rig.send(kFront, client({.flags = kAck, .seq = up, .ack = isn + 1}));
  }
  EXPECT_EQ(rig.only_flow().state, Track::dead);
}

TEST_F(Unacknowledged, a_refused_request_behind_a_good_one_waits_no_longer_either) {
  establish();
  rig.send(
      kFront,
      client({.flags = kAck | kPsh, .seq = up, .ack = isn + 1, .data = bytes_of("BAD\r\n\r\n")}));
  answers();  // the backend has the good one only
  up += 7;
  for (int i = 0; i < 6; ++i) {
    rig.pass(2s);
    rig.send(kFront, client({.flags = kAck, .seq = up, .ack = isn + 1, .window = 0}));
  }
  EXPECT_EQ(rig.only_flow().state, Track::dead);
}

TEST_F(SpliceEnd, a_client_that_goes_is_a_reason) {
  greet();
  say("GET / HT");
  rig.send(kFront, client({.flags = kRst, .seq = 1009}));
  EXPECT_EQ(rig.flows(), 0u);
  expect_reason(Reason::client_gone);
}

TEST_F(SpliceEnd, a_client_that_goes_while_a_backend_is_asked_is_a_reason) {
  greet();
  rig.send(kFront, client({.flags = kAck | kPsh, .seq = 1001, .ack = isn + 1, .data = kRequest}));
  EXPECT_EQ(rig.only_flow().state, Track::connecting);
  rig.send(kFront, client({.flags = kRst, .seq = 1028}));
  EXPECT_EQ(rig.flows(), 0u);
  expect_reason(Reason::client_gone);
}

TEST_F(SpliceEnd, nobody_left_is_a_reason_and_503_ends_with_its_head_when_head_was_asked) {
  all_down();
  greet();
  const std::string text = text_to_client(say("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"));
  EXPECT_TRUE(text.starts_with("HTTP/1.1 503 ")) << text;
  EXPECT_NE(text.find("\r\nContent-Length: "), text.npos) << text;
  EXPECT_EQ(text.find("\r\n\r\n"), text.size() - 4) << text;
  expect_reason(Reason::no_backend);
}

TEST_F(SpliceEnd, nobody_left_is_told_with_a_body_else) {
  all_down();
  greet();
  const std::string text = text_to_client(say("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
  EXPECT_LT(text.find("\r\n\r\n"), text.size() - 4) << text;
}

// An upload whose client reads nothing before it has written everything must not stand still.
TEST_F(SpliceEnd, an_upload_to_nobody_never_meets_a_closed_window) {
  all_down();
  greet();
  uint32_t seq = 1001;
  const Bytes head = bytes_of("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
  rig.send(kFront, client({.flags = kAck | kPsh, .seq = seq, .ack = isn + 1, .data = head}));
  seq += static_cast<uint32_t>(head.size());
  const Bytes piece(1400, 'b');
  for (unsigned i = 0; i < 60; ++i) {
    const auto out =
        rig.send(kFront, client({.flags = kAck, .seq = seq, .ack = isn + 1, .data = piece}));
    seq += 1400;
    ASSERT_FALSE(out.empty());
    EXPECT_EQ(look(out.back().frame).ack, seq);
    EXPECT_GE(window_of(out.back().frame), 16384);
  }
}

// It may bring octets and an end of its own now: those of a SYN are no part of the request.
TEST_F(SpliceTest, syn_ack_of_a_client_brings_nothing_to_its_request) {
  greet();
  rig.send(kFront,
           client({.flags = kAck, .seq = 1001, .ack = isn + 1, .data = bytes_of("GET / ")}));
  for (const uint8_t flags : std::initializer_list<uint8_t>{kSyn | kAck, kSyn | kAck | kFin})
    EXPECT_TRUE(nothing(rig.send(
        kFront,
        client(
            {.flags = flags, .seq = 1007, .ack = isn + 1, .data = bytes_of("HTTP/1.1\r\n\r\n")}))));
  EXPECT_EQ(rig.drops(Drop::outside_window), 2u) << rig.drop_list();
  EXPECT_EQ(rig.only_flow().state, tcp::Track::head);
}

// One octet now and then acknowledges nothing and keeps nothing alive.
TEST_F(SpliceEnd, an_answered_client_has_one_time_only) {
  greet();
  say("\x16\x03\x01 hello");
  EXPECT_EQ(rig.only_flow().state, Track::answering);
  uint32_t seq = 1010;
  for (unsigned i = 0; i < 2; ++i) {
    rig.pass(15s);
    rig.take();
    rig.send(kFront, client({.flags = kAck, .seq = seq++, .ack = isn + 1, .data = bytes_of("x")}));
  }
  rig.pass(1100ms);
  EXPECT_EQ(rig.flows(), 0u);
  EXPECT_EQ(rig.sum(&dataplane::WorkerCounters::bindings_used), 0u);
}

TEST_F(SpliceEnd, blind_resets_end_nothing) {
  establish();
  rig.send(kBack, from_backend({.flags = kAck, .seq = 7001, .ack = 1028}));
  for (uint32_t i = 1; i < 16; ++i) {
    const uint32_t far = i << 28;
    EXPECT_TRUE(nothing(rig.send(kFront, client({.flags = kRst, .seq = 1028 + far})))) << i;
    EXPECT_TRUE(nothing(rig.send(kBack, from_backend({.flags = kRst, .seq = 7001 + far})))) << i;
  }
  EXPECT_EQ(rig.drops(Drop::outside_window), 30u);
  EXPECT_EQ(rig.only_flow().state, Track::established);
  EXPECT_EQ(only(rig.send(kFront, client({.flags = kRst, .seq = 1028})), kBack).seq, 1028u);
  EXPECT_EQ(rig.only_flow().state, Track::closed);
}

TEST_F(SpliceEnd, a_blind_reset_does_not_end_an_answer) {
  greet();
  say("\x16\x03\x01 hello");
  EXPECT_TRUE(nothing(rig.send(kFront, client({.flags = kRst, .seq = 0x50000000}))));
  EXPECT_EQ(rig.only_flow().state, Track::answering);
  rig.send(kFront, client({.flags = kRst, .seq = 1010}));
  EXPECT_EQ(rig.flows(), 0u);
}

// Its octet is one like all others (wire/splice.h).
TEST_F(SpliceEnd, urgent_data_becomes_data) {
  establish();
  const auto out = rig.send(
      kFront,
      client({.flags = kAck | kUrg, .seq = 1028, .ack = isn + 1, .data = bytes_of("POST")}));
  const Seen s = only(out, kBack);
  EXPECT_EQ(s.flags, kAck);
  EXPECT_EQ(s.data, bytes_of("POST"));
}

}  // namespace
}  // namespace limpet::worker_test
