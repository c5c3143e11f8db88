// Mode splice through a whole worker: the handshake without a flow, the head, the backend's
// handshake with the client's own numbers, the relay, the next backend, limpet's own answers.
#include "splice_fixture.h"

namespace limpet::worker_test {
namespace {

using tcp::Track;

TEST_F(SpliceTest, a_syn_makes_no_flow) {
  for (int i = 0; i < 100; ++i) greet(static_cast<uint32_t>(1000 + i));
  EXPECT_EQ(rig.flows(), 0u);
}

TEST_F(SpliceTest, nor_does_the_ack_of_the_handshake) {
  greet();
  EXPECT_TRUE(nothing(rig.send(kFront, client({.flags = kAck, .seq = 1001, .ack = isn + 1}))));
  EXPECT_EQ(rig.flows(), 0u);
  EXPECT_EQ(rig.drops(), 0u);
}

TEST_F(SpliceTest, a_port_check_is_closed_politely) {
  greet();
  const Seen s =
      only(rig.send(kFront, client({.flags = kFin | kAck, .seq = 1001, .ack = isn + 1})), kFront);
  EXPECT_EQ(s.flags, kFin | kAck);
  EXPECT_EQ(s.ack, 1002u);
  EXPECT_EQ(rig.flows(), 0u);
}

TEST_F(SpliceTest, the_backend_is_opened_with_the_client_s_number_and_gets_its_head) {
  establish();
  EXPECT_EQ(rig.only_flow().state, Track::established);
  // The response in the numbers that the client was promised.
  const Seen down =
      only(rig.send(kBack, from_backend({.flags = kAck | kPsh,
                                         .seq = 7001,
                                         .ack = 1028,
                                         .data = bytes_of("HTTP/1.1 200 OK\r\n\r\n")})),
           kFront);
  EXPECT_EQ(down.seq, isn + 1);
  EXPECT_EQ(down.ack, 1028u);
  EXPECT_EQ(down.data, bytes_of("HTTP/1.1 200 OK\r\n\r\n"));
  const Seen up = only(
      rig.send(kFront, client({.flags = kAck, .seq = 1028, .ack = isn + 20, .data = pattern(50)})),
      kBack);
  EXPECT_EQ(up.seq, 1028u);
  EXPECT_EQ(up.ack, 7020u);
  EXPECT_EQ(up.data, pattern(50));
}

TEST_F(SpliceTest, a_head_in_two_segments_the_second_first) {
  greet();
  const Bytes first(kRequest.begin(), kRequest.begin() + 10),
      rest(kRequest.begin() + 10, kRequest.end());
  EXPECT_TRUE(nothing(
      rig.send(kFront, client({.flags = kAck, .seq = 1011, .ack = isn + 1, .data = rest}))));
  EXPECT_EQ(rig.flows(), 0u) << "its number proves nothing";
  EXPECT_EQ(rig.drops(Drop::early_segment), 1u);
  // A short piece is acknowledged at once: its sender may wait for that (Nagle).
  const Seen ack =
      only(rig.send(kFront, client({.flags = kAck, .seq = 1001, .ack = isn + 1, .data = first})),
           kFront);
  EXPECT_EQ(ack.ack, 1011u);
  EXPECT_EQ(rig.only_flow().state, Track::head);
  const Seen syn = only(
      rig.send(kFront, client({.flags = kAck, .seq = 1011, .ack = isn + 1, .data = rest})), kBack);
  EXPECT_EQ(syn.flags, kSyn);
  EXPECT_EQ(syn.seq, 1000u);
  EXPECT_EQ(rig.only_flow().state, Track::connecting);
}

TEST_F(SpliceTest, what_is_no_request_is_answered_with_400) {
  greet();
  const auto out = rig.send(
      kFront,
      client({.flags = kAck, .seq = 1001, .ack = isn + 1, .data = bytes_of("\x16\x03\x01 hello")}));
  std::string said;
  for (const Left& l : out) {
    const Bytes d = look(l.frame).data;
    said.append(d.begin(), d.end());
  }
  EXPECT_EQ(said.substr(0, 24), "HTTP/1.1 400 Bad Request");
  EXPECT_EQ(rig.sum(&dataplane::WorkerCounters::splice_bad_heads), 1u);
}

TEST_F(SpliceTest, a_backend_that_refuses_is_passed_over_until_nobody_is_left) {
  greet();
  std::set<IpAddress> tried;
  auto out =
      rig.send(kFront, client({.flags = kAck, .seq = 1001, .ack = isn + 1, .data = kRequest}));
  for (int i = 0; i < 4; ++i) {
    const Seen syn = only(out, kBack);
    ASSERT_EQ(syn.flags, kSyn);
    EXPECT_TRUE(tried.insert(syn.to).second);
    backend = syn.to;
    source_port = syn.from_port;
    out = rig.send(kBack, from_backend({.flags = kRst | kAck, .seq = 0, .ack = 1001}));
  }
  std::string said;
  uint8_t flags = 0;
  for (const Left& l : out) {
    const Seen s = look(l.frame);
    if (l.port != kFront) continue;
    flags |= s.flags;
    said.append(s.data.begin(), s.data.end());
  }
  EXPECT_EQ(said.substr(0, 32), "HTTP/1.1 503 Service Unavailable");
  EXPECT_NE(flags & kFin, 0);
  EXPECT_EQ(rig.only_flow().state, Track::answering);
}

TEST_F(SpliceTest, a_silent_backend_is_asked_again_and_then_left) {
  greet();
  const Seen syn =
      only(rig.send(kFront, client({.flags = kAck, .seq = 1001, .ack = isn + 1, .data = kRequest})),
           kBack);
  rig.pass(300ms);
  std::vector<Left> again = rig.take();
  unsigned syns = 0, acks = 0;
  for (const Left& l : again) {
    const Seen s = look(l.frame);
    syns += l.port == kBack && s.flags == kSyn && s.to == syn.to ? 1 : 0;
    acks += l.port == kFront ? 1 : 0;
  }
  EXPECT_EQ(syns, 1u);
  EXPECT_EQ(acks, 1u) << "what is withheld longer than 20 ms is acknowledged";
  rig.pass(900ms);
  std::set<IpAddress> to;
  for (const Left& l : rig.take())
    if (l.port == kBack) to.insert(look(l.frame).to);
  EXPECT_GE(to.size(), 2u);
}

TEST_F(SpliceTest, a_dead_backend_s_client_is_reset_at_the_exact_number) {
  establish();
  rig.down(rig.backend_at(backend, 8080));
  rig.pass(10ms);
  bool client_told = false, backend_told = false;
  for (const Left& l : rig.take()) {
    const Seen s = look(l.frame);
    if (s.flags != kRst) continue;
    if (l.port == kFront) client_told = s.seq == isn + 1;
    if (l.port == kBack) backend_told = backend_told || s.seq == 1001;
  }
  EXPECT_TRUE(client_told);
  EXPECT_TRUE(backend_told);
}

TEST_F(SpliceTest, a_backend_s_reset_is_judged_by_the_client_s_numbers) {
  establish();
  const Bytes answer = bytes_of("HTTP/1.1 200 OK\r\n\r\n");  // 7001 to 7019
  rig.send(kBack, from_backend({.flags = kAck | kPsh, .seq = 7001, .ack = 1028, .data = answer}));
  rig.send(kFront, client({.flags = kAck, .seq = 1028, .ack = isn + 20}));
  const Seen s = only(rig.send(kBack, from_backend({.flags = kRst, .seq = 7021})), kFront);
  EXPECT_EQ(s.seq, isn + 21)
      << "of what has not come this far: its receiver asks for the right one";
  EXPECT_EQ(rig.only_flow().state, Track::established);
}

TEST_F(SpliceTest, a_reset_at_the_exact_number_ends_it) {
  establish();
  const Bytes answer = bytes_of("HTTP/1.1 200 OK\r\n\r\n");
  rig.send(kBack, from_backend({.flags = kAck | kPsh, .seq = 7001, .ack = 1028, .data = answer}));
  rig.send(kFront, client({.flags = kAck, .seq = 1028, .ack = isn + 20}));
  const Seen s = only(rig.send(kBack, from_backend({.flags = kRst, .seq = 7020})), kFront);
  EXPECT_EQ(s.seq, isn + 20);
  EXPECT_EQ(rig.only_flow().state, Track::closed);
}

TEST_F(SpliceTest, a_forged_reset_does_not_end_a_head) {
  greet();
  const Bytes half(kRequest.begin(), kRequest.begin() + 10);
  rig.send(kFront, client({.flags = kAck, .seq = 1001, .ack = isn + 1, .data = half}));
  for (const uint32_t seq : {1000u, 500000u})
    EXPECT_TRUE(nothing(rig.send(kFront, client({.flags = kRst, .seq = seq}))));
  const Seen asked = only(rig.send(kFront, client({.flags = kRst, .seq = 1012})), kFront);
  EXPECT_EQ(asked.flags, kAck) << "in the window: it is asked for (RFC 5961, 3.2)";
  EXPECT_EQ(asked.ack, 1011u);
  EXPECT_EQ(rig.flows(), 1u);
  rig.send(kFront, client({.flags = kRst, .seq = 1011}));
  EXPECT_EQ(rig.flows(), 0u);
}

TEST_F(SpliceTest, a_client_whom_nobody_can_answer_is_reset_at_the_exact_number) {
  greet();
  const Bytes half(kRequest.begin(), kRequest.begin() + 10);
  rig.send(kFront, client({.flags = kAck, .seq = 1001, .ack = isn + 1, .data = half}));
  rig.reload(kTwoArms);  // no longer mode splice
  rig.take();
  rig.pass(11s);
  const Seen s = only(rig.take(), kFront);
  EXPECT_EQ(s.flags, kRst);
  EXPECT_EQ(s.seq, isn + 1);
  EXPECT_EQ(rig.flows(), 0u);
}

TEST_F(SpliceTest, what_a_connection_used_goes_back_with_its_flow) {
  greet();
  const Bytes half(kRequest.begin(), kRequest.begin() + 10);
  rig.send(kFront, client({.flags = kAck, .seq = 1001, .ack = isn + 1, .data = half}));
  rig.pass(1100ms);
  EXPECT_EQ(rig.sum(&dataplane::WorkerCounters::sessions_used), 1u);
  EXPECT_EQ(rig.sum(&dataplane::WorkerCounters::bindings_used), 1u);
  EXPECT_GT(rig.sum(&dataplane::WorkerCounters::hold_bytes_used), 0u);
  rig.send(kFront, client({.flags = kRst, .seq = 1011}));
  rig.pass(1100ms);
  EXPECT_EQ(rig.sum(&dataplane::WorkerCounters::sessions_used), 0u);
  EXPECT_EQ(rig.sum(&dataplane::WorkerCounters::bindings_used), 0u);
  EXPECT_EQ(rig.sum(&dataplane::WorkerCounters::hold_bytes_used), 0u);
}

TEST_F(SpliceTest, both_fins_end_it) {
  establish();
  rig.send(kFront, client({.flags = kFin | kAck, .seq = 1028, .ack = isn + 1}));
  EXPECT_EQ(rig.only_flow().state, Track::fin_client);
  rig.send(kBack, from_backend({.flags = kFin | kAck, .seq = 7001, .ack = 1029}));
  EXPECT_EQ(rig.only_flow().state, Track::time_wait);
  rig.pass(3s);
  EXPECT_EQ(rig.flows(), 0u);
}

TEST_F(SpliceTest, a_slow_head_is_answered_with_408) {
  greet();
  rig.send(kFront, client({.flags = kAck, .seq = 1001, .ack = isn + 1, .data = bytes_of("GET")}));
  rig.pass(11s);
  std::string said;
  for (const Left& l : rig.take()) {
    const Bytes d = look(l.frame).data;
    said.append(d.begin(), d.end());
  }
  EXPECT_NE(said.find("408 Request Timeout"), std::string::npos);
}

// What a client is told by limpet itself, and the FIN behind it.
class Followed : public SpliceTest {
 protected:
  Followed()  // a mode that follows all requests, and edits none of these
      : SpliceTest(
            with(spliced(),
                 R"(mode = "splice"; vip = "10.1.0.100"; port = 80; protocol = "tcp"; pool = "web";
    persistence = ( { type = "source"; } );)",
                 R"(mode = "splice"; vip = "10.1.0.100"; port = 80; protocol = "tcp"; pool = "web";
    persistence = ( { type = "cookie"; mode = "rewrite"; session_name = "SRV"; value = "plain"; } );)")) {
  }
  std::string said(const std::vector<Left>& frames) {
    std::string text;
    for (const Left& l : frames) {
      const Seen s = look(l.frame);
      if (l.port == kFront) text.append(s.data.begin(), s.data.end());
      if (l.port == kFront && (s.flags & kFin) != 0) text += "<FIN>";
      if ((s.flags & kRst) != 0) text += l.port == kFront ? "<RST>" : "<RST to the backend>";
    }
    return text;
  }
  const Bytes kAnswer = bytes_of("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");  // 40 octets
};

class LaterRequest : public Followed {
 protected:
  LaterRequest() {
    establish();
    rig.send(kBack, from_backend({.flags = kAck, .seq = 7001, .ack = 1028, .data = kAnswer}));
  }
  // While the answer before it is not acknowledged, so that it is tried by the clock.
  void turned_away_late(const char* text) {
    rig.send(kFront, client({.flags = kAck, .seq = 1028, .ack = isn + 1, .data = bytes_of(text)}));
    rig.pass(9s);
    rig.take();
    {
      const Hoard all(rig);
      rig.pass(3s);
      EXPECT_EQ(rig.only_flow().state, Track::established);
    }
    rig.pass(200ms);
    EXPECT_NE(said(rig.take()).find("<RST"), std::string::npos);
  }
};

// The good request and the bad one in the first segment, and in two.
TEST_F(Followed, a_good_request_is_served_although_a_bad_one_is_behind_it) {
  const std::string bad = "GET / HTTP/1.1\nHost: a\r\n\r\n";
  const std::string both = std::string(kRequest.begin(), kRequest.end()) + bad;
  for (const size_t cut : {both.size(), kRequest.size() + 5, kRequest.size(), size_t{5}}) {
    SCOPED_TRACE(cut);
    greet();
    uint32_t seq = 1001;
    std::vector<Left> out;
    for (const std::string& part : {both.substr(0, cut), both.substr(cut)}) {
      if (part.empty()) continue;
      const auto more = rig.send(
          kFront,
          client({.flags = kAck | kPsh, .seq = seq, .ack = isn + 1, .data = bytes_of(part)}));
      out.insert(out.end(), more.begin(), more.end());
      seq += static_cast<uint32_t>(part.size());
    }
    EXPECT_EQ(said(out), "");
    Seen syn;
    for (const Left& l : out)
      if (l.port == kBack) syn = look(l.frame);
    ASSERT_EQ(syn.flags, kSyn);
    backend = syn.to;
    source_port = syn.from_port;
    Bytes got;
    for (const Left& l : rig.send(
             kBack,
             from_backend(
                 {.flags = kSyn | kAck, .seq = 7000, .ack = 1001, .options = {2, 4, 5, 0xb4}})))
      if (l.port == kBack) got = look(l.frame).data;
    EXPECT_EQ(got, kRequest) << "nothing of the bad one";
    EXPECT_EQ(said(rig.send(
                  kBack, from_backend({.flags = kAck, .seq = 7001, .ack = 1028, .data = kAnswer}))),
              std::string(kAnswer.begin(), kAnswer.end()));
    EXPECT_EQ(said(rig.take()), "") << "it may be lost on its way";
    const std::string text =
        said(rig.send(kFront, client({.flags = kAck, .seq = seq, .ack = isn + 41})));
    EXPECT_EQ(text.find("HTTP/1.1 400 "), 0u) << text;
    EXPECT_NE(text.find("<RST to the backend>"), std::string::npos);
    rig.send(kFront, client({.flags = kRst, .seq = seq}));
  }
  EXPECT_EQ(
      rig.stats().services[0].refused[dataplane::refused(http::Refusal::line_feed_bare)].get(), 4u);
}

TEST_F(Followed, a_body_that_is_none_is_answered_with_400_however_it_comes) {
  const std::string head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
  greet();
  const auto out = rig.send(
      kFront, client({.flags = kAck | kPsh, .seq = 1001, .ack = isn + 1, .data = bytes_of(head)}));
  const Seen syn = only(out, kBack);
  backend = syn.to;
  source_port = syn.from_port;
  rig.send(
      kBack,
      from_backend({.flags = kSyn | kAck, .seq = 7000, .ack = 1001, .options = {2, 4, 5, 0xb4}}));
  const auto at = 1001 + static_cast<uint32_t>(head.size());
  rig.send(kBack, from_backend({.flags = kAck, .seq = 7001, .ack = at}));
  const std::string text = said(rig.send(
      kFront, client({.flags = kAck, .seq = at, .ack = isn + 1, .data = bytes_of("5\nabcde")})));
  EXPECT_EQ(text.find("HTTP/1.1 400 "), 0u) << text;
  EXPECT_NE(text.find("<RST to the backend>"), std::string::npos);
}

TEST_F(Followed, switching_protocols_unasked_resets_both_ends) {
  establish();
  const std::string text = said(rig.send(
      kBack, from_backend({.flags = kAck,
                           .seq = 7001,
                           .ack = 1028,
                           .data = bytes_of("HTTP/1.1 101 Switching Protocols\r\n\r\n")})));
  EXPECT_NE(text.find("<RST>"), std::string::npos) << text;
  EXPECT_NE(text.find("<RST to the backend>"), std::string::npos) << text;
  EXPECT_EQ(text.find("HTTP"), std::string::npos) << text;
  EXPECT_EQ(rig.stats().worker.splice_unasked_upgrades.get(), 1u);
  EXPECT_EQ(rig.stats().worker.splice_bad_heads.get(), 0u) << "it is not the client's fault";
}

TEST_F(Followed, a_request_behind_a_response_without_an_end_resets_both_ends) {
  establish();
  EXPECT_NE(
      said(rig.send(kBack, from_backend({.flags = kAck,
                                         .seq = 7001,
                                         .ack = 1028,
                                         .data = bytes_of("HTTP/1.1 200 OK\r\nTransfer-Encoding: "
                                                          "chunked, chunked\r\n\r\n0\r\n\r\n")})))
          .find("Connection: close\r\nTransfer-Encoding"),
      std::string::npos);
  const std::string text = said(
      rig.send(kFront, client({.flags = kAck, .seq = 1028, .ack = isn + 1, .data = kRequest})));
  EXPECT_NE(text.find("<RST>"), std::string::npos) << text;
  EXPECT_NE(text.find("<RST to the backend>"), std::string::npos) << text;
  EXPECT_EQ(rig.stats()
                .services[0]
                .refused[dataplane::refused(dataplane::Refused::response_unread)]
                .get(),
            1u);
  EXPECT_EQ(rig.stats().worker.splice_bad_heads.get(), 0u);
}

TEST_F(LaterRequest, that_is_none_is_answered_with_400_when_all_is_quiet) {
  const std::string text = said(rig.send(
      kFront,
      client({.flags = kAck, .seq = 1028, .ack = isn + 41, .data = bytes_of("rubbish\r\n\r\n")})));
  EXPECT_EQ(text.find("HTTP/1.1 400 "), 0u) << text;
  EXPECT_NE(text.find("<RST to the backend>"), std::string::npos);
  EXPECT_NE(text.find("<FIN>"), std::string::npos);
  EXPECT_EQ(rig.only_flow().state, Track::answering);
  EXPECT_EQ(rig.stats().backends[rig.backend_at(backend, 8080)].connections_active.get(), 0u);
}

TEST_F(LaterRequest, that_ends_with_the_stream_within_its_head_is_answered_with_400) {
  const Tcp half{.flags = kAck | kFin,
                 .seq = 1028,
                 .ack = isn + 41,
                 .data = bytes_of("GET / HTTP/1.1\r\nX-Forwarded-For: 127.0.0.1\r\n")};
  const std::string text = said(rig.send(kFront, client(half)));
  EXPECT_EQ(text.find("HTTP/1.1 400 "), 0u) << text;
  EXPECT_NE(text.find("<RST to the backend>"), std::string::npos);
  EXPECT_NE(text.find("<FIN>"), std::string::npos);
  EXPECT_EQ(rig.only_flow().state, Track::answering);
}

TEST_F(LaterRequest, that_is_none_waits_while_a_response_is_on_its_way_but_not_for_ever) {
  rig.send(
      kFront,
      client({.flags = kAck, .seq = 1028, .ack = isn + 1, .data = bytes_of("rubbish\r\n\r\n")}));
  rig.pass(9s);
  EXPECT_EQ(said(rig.take()), "");
  rig.pass(2s);  // limits.head_time
  const std::string text = said(rig.take());
  EXPECT_NE(text.find("<RST>"), std::string::npos);
  EXPECT_NE(text.find("<RST to the backend>"), std::string::npos);
  EXPECT_EQ(text.find("HTTP"), std::string::npos);
  EXPECT_EQ(rig.stats().worker.splice_slow_heads.get(), 0u);
  EXPECT_EQ(rig.stats().worker.splice_bad_heads.get(), 1u);
}

TEST_F(LaterRequest, that_cannot_be_turned_away_for_lack_of_buffers_counts_once) {
  turned_away_late("rubbish\r\n\r\n");
  EXPECT_EQ(rig.sum(&dataplane::WorkerCounters::splice_bad_heads), 1u);
}

TEST_F(LaterRequest, that_is_slow_counts_once_for_lack_of_buffers) {
  turned_away_late("GET");
  EXPECT_EQ(rig.sum(&dataplane::WorkerCounters::splice_slow_heads), 1u);
}

TEST_F(LaterRequest, whose_head_is_slow_is_answered_with_408) {
  rig.send(kFront, client({.flags = kAck, .seq = 1028, .ack = isn + 41, .data = bytes_of("GET")}));
  rig.pass(9s);
  EXPECT_EQ(said(rig.take()), "");
  // Octets now and then do not help.
  rig.send(kFront, client({.flags = kAck, .seq = 1031, .ack = isn + 41, .data = bytes_of(" ")}));
  rig.pass(2s);
  const std::string text = said(rig.take());
  EXPECT_EQ(text.find("HTTP/1.1 408 "), 0u) << text;
  EXPECT_NE(text.find("<RST to the backend>"), std::string::npos);
  EXPECT_EQ(rig.stats().worker.splice_slow_heads.get(), 1u);
}

TEST_F(LaterRequest, each_has_its_own_time) {
  uint32_t seq = 1028, ack = isn + 41, from = 7041;
  const std::string request(kRequest.begin(), kRequest.end());
  const auto says = [&](const std::string& text) {
    const auto out =
        rig.send(kFront, client({.flags = kAck, .seq = seq, .ack = ack, .data = bytes_of(text)}));
    seq += static_cast<uint32_t>(text.size());
    return out;
  };
  says(request.substr(0, 5));
  for (int i = 0; i < 4; ++i) {
    rig.pass(6s);
    says(request.substr(5) + request.substr(0, 5));  // the end of one, and the next begins
    const Tcp answer{.flags = kAck, .seq = from, .ack = seq - 5, .data = kAnswer};
    EXPECT_EQ(said(rig.send(kBack, from_backend(answer))),
              std::string(kAnswer.begin(), kAnswer.end()));
    from += 40, ack += 40;
  }
  EXPECT_EQ(rig.stats().worker.splice_slow_heads.get(), 0u);
  EXPECT_EQ(rig.only_flow().state, Track::established);
}

// A client that crashed begins anew from the same port, with a lower number.
TEST_F(SpliceTest, data_with_a_cookie_of_its_own_replaces_the_flow) {
  establish();
  const uint32_t old_isn = isn;
  const uint16_t old_port = source_port;
  greet(500);
  EXPECT_NE(isn, old_isn);
  EXPECT_EQ(rig.only_flow().state, Track::established) << "a SYN proves nothing";
  EXPECT_TRUE(nothing(rig.send(kFront, client({.flags = kAck, .seq = 501, .ack = isn + 1}))))
      << "an answer of the old connection's would begin an ACK war";
  const std::vector<Left> out = rig.send(
      kFront, client({.flags = kAck | kPsh, .seq = 501, .ack = isn + 1, .data = kRequest}));
  ASSERT_EQ(out.size(), 2u);
  const Seen reset = look(out[0].frame), syn = look(out[1].frame);
  EXPECT_EQ(reset.flags, kRst);
  EXPECT_EQ(reset.seq, 1001u);
  EXPECT_EQ(reset.to, backend);
  EXPECT_EQ(reset.from_port, old_port);
  EXPECT_EQ(syn.flags, kSyn);
  EXPECT_EQ(syn.seq, 500u);
  EXPECT_EQ(rig.only_flow().state, Track::connecting);
  EXPECT_EQ(rig.stats().worker.splice_replaced.get(), 1u);
}

TEST_F(SpliceTest, a_head_that_was_begun_is_replaced_too) {
  greet();
  rig.send(kFront, client({.flags = kAck, .seq = 1001, .ack = isn + 1, .data = bytes_of("GET")}));
  greet(77);
  const Seen syn =
      only(rig.send(kFront, client({.flags = kAck, .seq = 78, .ack = isn + 1, .data = kRequest})),
           kBack);
  EXPECT_EQ(syn.seq, 77u);
}

TEST_F(SpliceTest, a_spoofed_syn_changes_nothing) {
  establish();
  const uint32_t real = isn;
  greet(0x80000000);
  // Who made it up does not know our number.
  EXPECT_TRUE(nothing(
      rig.send(kFront, client({.flags = kAck, .seq = 0x80000001, .ack = 7, .data = kRequest}))));
  EXPECT_EQ(rig.drops(Drop::no_flow), 1u) << rig.drop_list();
  // A copy of the first segment holds a cookie as well, of this connection.
  rig.send(kFront, client({.flags = kAck | kPsh, .seq = 1001, .ack = real + 1, .data = kRequest}));
  EXPECT_EQ(rig.only_flow().state, Track::established);
  const Seen more = only(
      rig.send(kFront, client({.flags = kAck, .seq = 1028, .ack = real + 1, .data = kRequest})),
      kBack);
  EXPECT_EQ(more.seq, 1028u);
  EXPECT_EQ(rig.stats().worker.splice_replaced.get(), 0u);
}

// The last ACK is still to come when both have closed.
TEST_F(SpliceTest, a_spoofed_syn_does_not_end_time_wait) {
  establish();
  const uint32_t real = isn;
  rig.send(kFront, client({.flags = kFin | kAck, .seq = 1028, .ack = isn + 1}));
  rig.send(kBack, from_backend({.flags = kFin | kAck, .seq = 7001, .ack = 1029}));
  EXPECT_EQ(rig.only_flow().state, Track::time_wait);
  greet(500);
  const Seen ack =
      only(rig.send(kFront, client({.flags = kAck, .seq = 1029, .ack = real + 2})), kBack);
  EXPECT_EQ(ack.ack, 7002u);
  // The client really begins anew: no reset for a backend that has closed.
  const Seen syn =
      only(rig.send(kFront, client({.flags = kAck, .seq = 501, .ack = isn + 1, .data = kRequest})),
           kBack);
  EXPECT_EQ(syn.flags, kSyn);
}

TEST_F(SpliceTest, a_fin_with_the_head_counts_once_the_backend_is_there) {
  greet();
  const Seen syn =
      only(rig.send(kFront,
                    client({.flags = kAck | kFin, .seq = 1001, .ack = isn + 1, .data = kRequest})),
           kBack);
  backend = syn.to;
  source_port = syn.from_port;
  rig.send(kBack, from_backend({.flags = kSyn | kAck, .seq = 7000, .ack = 1001}));
  EXPECT_EQ(rig.only_flow().state, Track::fin_client);
  rig.send(kBack, from_backend({.flags = kFin | kAck, .seq = 7001, .ack = 1029}));
  EXPECT_EQ(rig.only_flow().state, Track::time_wait);
}

// Behind so many octets its ACK alone could not tell it from another connection's.
TEST_F(SpliceTest, a_copy_of_the_first_segment_that_comes_much_later_replaces_nothing) {
  establish();
  const uint32_t real = isn;
  greet(500);
  uint32_t sent = 0;
  const Bytes block(1460, 'x');
  while (sent < 200000) {
    for (int i = 0; i < 20; ++i, sent += 1460)
      rig.send(kBack,
               from_backend({.flags = kAck, .seq = 7001 + sent, .ack = 1028, .data = block}));
    rig.send(kFront, client({.flags = kAck, .seq = 1028, .ack = real + 1 + sent}));
  }
  rig.send(kFront, client({.flags = kAck | kPsh, .seq = 1001, .ack = real + 1, .data = kRequest}));
  EXPECT_EQ(rig.only_flow().state, Track::established);
  EXPECT_EQ(rig.stats().worker.splice_replaced.get(), 0u);
}

}  // namespace
}  // namespace limpet::worker_test
