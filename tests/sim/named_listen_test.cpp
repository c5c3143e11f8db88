// Named scenarios of a handshake: what a network loses or turns round before there is a flow resets
// nobody, with a place among the half-open clients and with a cookie.
#include "named.h"

namespace limpet::sim {
namespace {

using namespace std::chrono_literals;

const std::string kOk = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";

struct Handshake {
  bool crowd, timestamps, tail_probes, v6;
};

class Handshakes : public testing::TestWithParam<Handshake> {
 protected:
  // A request whose head is `segments` long.
  void request(Named& n, unsigned segments) {
    n.options.crowd = GetParam().crowd;
    n.scenario.v6 = n.options.v6 = GetParam().v6;
    n.scenario.client.timestamps = GetParam().timestamps;
    n.scenario.client.tail_probes = GetParam().tail_probes;
    n.scenario.client.nagle = false;
    n.ask("GET /" + std::string(1460 * (segments - 1) + 20, 'u') + " HTTP/1.1\r\nHost: a\r\n\r\n",
          "");
    std::string head = kOk;
    n.answer(kOk, head.insert(head.size() - 2, kSetCookie), "hello");
  }
  static void judge(Named& n) {
    EXPECT_EQ(n.worker().resets_sent.get(), 0u) << "nobody is told that there is no connection";
    EXPECT_EQ(n.worker().cookies_accepted.get(), GetParam().crowd ? 1u : 0u);
  }
};
INSTANTIATE_TEST_SUITE_P(
    All, Handshakes,
    testing::Values(Handshake{false, true, true, false}, Handshake{false, true, false, true},
                    Handshake{false, false, true, true}, Handshake{true, true, true, false},
                    Handshake{true, false, true, false}, Handshake{true, false, false, true}),
    [](const auto& i) {
      return std::string(i.param.crowd ? "cookie" : "place") +
             (i.param.timestamps ? "_timestamps" : "") + (i.param.tail_probes ? "_probes" : "") +
             (i.param.v6 ? "_v6" : "");
    });

TEST_P(Handshakes, the_first_of_2_to_10_segments_of_a_head_is_lost_up_to_four_times) {
  for (unsigned segments = 2; segments <= 10; ++segments)
    for (const unsigned lost : {1u, 2u, 4u}) {
      SCOPED_TRACE(testing::Message() << segments << " segments, lost " << lost << " times");
      Named n;
      request(n, segments);
      n.prepare = [&](Network& net, Host&, Host&) {
        Rule r = Named::lose("client", true, "GET /");
        r.times = lost;
        net.rule(r);
      };
      n.run();
      judge(n);
      EXPECT_GE(n.box->rig().drops(Drop::early_segment), segments - 1);
      // Which need SACK, and that a client without timestamps has only by its place.
      EXPECT_EQ(n.counts.tail_probes != 0,
                GetParam().tail_probes && (GetParam().timestamps || !GetParam().crowd));
    }
}

TEST_P(Handshakes, any_two_of_the_segments_of_a_head_are_lost) {
  for (unsigned first = 0; first < 5; ++first)
    for (unsigned second = first + 1; second < 6; ++second) {
      SCOPED_TRACE(testing::Message() << first << " and " << second);
      Named n;
      request(n, 6);
      n.prepare = [&](Network& net, Host&, Host&) {
        for (const unsigned which : {first, second}) {
          Rule r = Named::lose_if("client", true, [](const Passing& p) { return p.data(); });
          r.first = which == second ? which : which + 1;  // of those that the other one left
          net.rule(r);
        }
      };
      n.run();
      judge(n);
    }
}

TEST_P(Handshakes, the_ack_of_the_handshake_and_the_syn_ack_before_it_are_lost) {
  Named n;
  request(n, 3);
  n.prepare = [&](Network& net, Host&, Host&) {
    net.rule(Named::lose_if("client", false, [](const Passing& p) { return p.has(kSyn); }));
    net.rule(Named::lose_if(
        "client", true, [](const Passing& p) { return p.has(kAck) && !p.data() && !p.has(kFin); }));
  };
  n.run();
  judge(n);
}

// The first SYN-ACK is late, the SYN has come again, and the client goes by the first one.
TEST_P(Handshakes, a_syn_ack_comes_after_the_syn_was_sent_again) {
  Named n;
  request(n, 3);
  n.prepare = [&](Network& net, Host&, Host&) {
    Rule late = Named::lose_if("client", false, [](const Passing& p) { return p.has(kSyn); });
    late.what = Rule::What::hold;
    late.hold = 1500ms;
    net.rule(late);
  };
  n.run();
  judge(n);
}

TEST_P(Handshakes, the_second_segment_of_the_head_comes_first_while_an_epoch_of_cookies_ends) {
  Named n;
  n.options.start = 150s * 25 - 50ms;
  request(n, 2);
  Rule late = Named::lose("client", true, "GET /");
  late.what = Rule::What::hold;
  late.hold = 150ms;
  n.prepare = [&](Network& net, Host&, Host&) { net.rule(late); };
  n.run();
  judge(n);
  EXPECT_GE(n.box->rig().drops(Drop::early_segment), 1u) << "the second one proves nothing alone";
}

// It opens its connection in advance, and has something to say two minutes later.
TEST_P(Handshakes, a_client_says_nothing_for_two_minutes) {
  Named n;
  request(n, 3);
  n.client.requests[0].think = 2min;
  n.run();
  judge(n);
}

}  // namespace
}  // namespace limpet::sim
