// Named scenarios of one connection: each is something that a network or a peer does once in a
// while and that an edited stream must outlive. What is special about it must have happened.
#include "named.h"

namespace limpet::sim {
namespace {

using namespace std::chrono_literals;

const std::string kGet = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

std::string ok(size_t length, const std::string& more = "") {
  return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(length) + "\r\n" + more + "\r\n";
}
std::string with_cookie(std::string head) {
  return head.insert(head.size() - 2, kSetCookie);
}

// To the server, of its first answer with `length` octets of body.
bool acknowledges_all(const Named& n, size_t length, const Passing& p) {
  return p.has(kAck) && p.packet.tcp.ack == n.scenario.server.isn + 1 +
                                                static_cast<uint32_t>(ok(length).size() + length);
}

TEST(Named, a_head_of_6_kb_in_small_segments_one_at_a_time_to_a_backend_with_a_small_window) {
  Named n;
  n.scenario.client.initial_window = 1;
  n.scenario.client.mss = n.scenario.server.mss = 536;
  n.scenario.server.receive_buffer = 2048;
  n.scenario.server.scale.reset();
  const std::string head =
      "GET / HTTP/1.1\r\nCookie: a=b; SRV=gone\r\nX: " + std::string(6000, 'x') + "\r\n\r\n";
  std::string wanted = head;
  wanted.erase(wanted.find("; SRV=gone"), 10);
  n.ask(head, wanted);
  n.answer(ok(5), with_cookie(ok(5)), "hello");
  n.run();
  // The client may send one segment and waits for its ACK: limpet must have given it.
  EXPECT_GE(n.worker().splice_owned_bytes.get(), 5000u);
}

// Nagle's algorithm keeps a short piece back until everything before it is acknowledged.
TEST(Named, a_nagle_client_pauses_inside_a_cookie_that_is_stripped) {
  Named n;
  n.scenario.client.nagle = true;
  const std::string value(40, 'v');
  const std::string head = "GET / HTTP/1.1\r\nHost: a\r\nCookie: SRV=" + value + "\r\n\r\n";
  const std::string wanted = kGet;
  for (int i = 0; i < 2; ++i) {  // the first head, which limpet reads, and one that it relays
    HttpRequest& r = n.ask(head, wanted);
    r.cuts = {head.find(value) + 5, head.find(value) + 20};
    r.pause = 300ms;
    n.answer(ok(5), with_cookie(ok(5)), "hello");
  }
  n.run();
  EXPECT_GE(n.worker().splice_owned_bytes.get(), 2 * head.find(value));
  EXPECT_EQ(n.worker().splice_resent_bytes.get(), 0u) << "nothing was lost";
}

TEST(Named, a_status_line_alone_that_ends_at_its_crlf_and_then_the_insertion_is_lost) {
  Named n;
  n.ask(kGet, "");
  HttpAnswer& a = n.answer(ok(3000), with_cookie(ok(3000)), seeded(2, 3000));
  a.cuts = {a.head.find("\r\n") + 2};
  a.pause = 100ms;
  n.scenario.server.nagle = false;
  bool alone = false;
  n.prepare = [&](Network& net, Host&, Host&) {
    Rule seen = Named::lose_if("server", true, [](const Passing& p) {
      return p.packet.tcp.data.size() == 17 && contains(p, "HTTP/1.1 200 OK\r\n");
    });
    seen.what = Rule::What::call;
    seen.call = [&](const Passing&) { alone = true; };
    net.rule(seen);
    net.rule(Named::lose("client", false, "Set-Cookie"));
  };
  n.run();
  EXPECT_TRUE(alone);
  EXPECT_GE(n.counts.retransmissions + n.worker().splice_resent_bytes.get(), 1u);
}

TEST(Named, segment_2_of_a_response_comes_before_1_which_comes_again_in_one_with_it) {
  Named n;
  n.scenario.server.nagle = false;
  n.scenario.server.coalesce = true;
  n.ask(kGet, "");
  const std::string head = ok(100, "X-Some: header\r\n");
  HttpAnswer& a = n.answer(head, with_cookie(head), seeded(3, 100));
  a.cuts = {30};  // inside the head: what must be edited is in both
  n.prepare = [&](Network& net, Host&, Host&) {
    net.rule(Named::lose("server", true, "HTTP/1.1 200"));
    Rule both = Named::lose_if("server", true, [&](const Passing& p) {
      return contains(p, "HTTP/1.1 200") && contains(p, "X-Some: header");
    });
    both.what = Rule::What::call;
    both.name = "both in one";
    net.rule(both);
  };
  n.run();
}

TEST(Named, a_100_and_a_200_in_one_segment_come_again_cut_in_the_second_status_line) {
  Named n;
  n.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n", "", "body");
  const std::string interim = "HTTP/1.1 100 Continue\r\n\r\n";
  n.answer(interim + ok(5), interim + with_cookie(ok(5)), "hello");
  n.prepare = [&](Network& net, Host&, Host&) {
    net.rule(Named::lose("client", false, "100 Continue"));
    // Instead of the retransmission as it is, two pieces of it.
    Rule cut = Named::lose_if("server", true, [&net, interim, count = 0](const Passing& p) mutable {
      if (!contains(p, "100 Continue") || ++count != 2) return false;
      const size_t at = interim.size() + 9;
      EXPECT_GT(p.packet.tcp.data.size(), at);
      net.inject_to_box(1, piece(p.packet.tcp, 0, at), p.now + 1ms);
      net.inject_to_box(1, piece(p.packet.tcp, at, p.packet.tcp.data.size()), p.now + 2ms);
      return true;
    });
    cut.name = "cut in two";
    net.rule(cut);
  };
  n.run();
}

TEST(Named, a_client_with_a_window_of_50_and_then_none_whose_update_is_lost) {
  Named n;
  EndpointOptions& c = n.scenario.client;
  c.receive_buffer = 50;
  c.scale.reset();
  c.delayed_ack = false;
  c.read_every = 100ms;
  c.read_chunk = 50;
  n.options.service.insert(n.options.service.find("indirect"),
                           "domain = \"" + std::string(63, 'd') + ".example.org\"; ");
  n.ask(kGet, "");
  std::string wanted = ok(600);
  const std::string line =
      "Set-Cookie: SRV=s0; path=/; domain=" + std::string(63, 'd') + ".example.org; HttpOnly\r\n";
  ASSERT_GE(line.size(), 120u);
  wanted.insert(wanted.size() - 2, line);
  n.answer(ok(600), wanted, seeded(4, 600));
  n.prepare = [&](Network& net, Host&, Host&) {
    Rule update = Named::lose_if("client", true, [closed = false](const Passing& p) mutable {
      if (!p.has(kAck) || p.data() || p.has(kSyn | kFin)) return false;
      const bool opens = closed && p.packet.tcp.window > 0;
      closed = p.packet.tcp.window == 0;
      return opens;
    });
    update.times = 5;  // three while the insertion goes out, then the server knows of no window
    net.rule(update);
  };
  n.run();
  EXPECT_GE(n.counts.zero_windows, 1u);
  EXPECT_GE(n.counts.persist_probes, 1u);
}

TEST(Named, half_an_insertion_is_sacked_and_then_d_sacked_after_its_retirement) {
  Named n;
  for (EndpointOptions* e : {&n.scenario.client, &n.scenario.server}) e->timestamps = false;
  n.ask(kGet, "");
  // The server fills its segments, so with the insertion the first is cut after 1,460 octets: 30
  // of them are of the insertion.
  std::string head = ok(8000);
  head.insert(head.size() - 2, "X: " + std::string(1432 - head.size() - 5, 'x') + "\r\n");
  ASSERT_EQ(head.size(), 1432u);
  HttpAnswer& a = n.answer(head, with_cookie(head), seeded(5, 8000));
  a.head += a.body;  // in one write, so that the segment is full
  a.body.clear();
  const std::string first = std::string(kSetCookie).substr(0, 30);
  const std::string second = std::string(kSetCookie).substr(30);
  bool sacked_inside = false;
  n.prepare = [&](Network& net, Host&, Host&) {
    net.rule(Named::lose("client", false, first));
    Rule again = Named::lose_if("client", false, [&](const Passing& p) {
      return contains(p, second) && !contains(p, first);
    });
    again.name = "the second half again, late";
    again.what = Rule::What::duplicate;
    again.hold = 1500ms;
    net.rule(again);
    Rule sack = Named::lose_if("client", true, [&](const Passing& p) {
      return p.packet.kind == Packet::Kind::tcp && p.packet.tcp.options.sacks > 0;
    });
    sack.name = "SACK";
    sack.what = Rule::What::call;
    sack.call = [&](const Passing& p) {
      sacked_inside = p.packet.tcp.options.sack[0].left == p.packet.tcp.ack + 1460;
    };
    net.rule(sack);
  };
  n.run();
  EXPECT_TRUE(sacked_inside);
  EXPECT_GE(n.counts.dsacks_sent, 1u);
  EXPECT_GE(n.worker().splice_sack_dropped.get(), 1u);
  EXPECT_GE(n.worker().splice_sack_translated.get(), 1u);
}

TEST(Named, octets_that_came_twice_behind_an_edit_are_told_to_their_sender) {
  Named n;
  n.ask(kGet, "");
  n.answer(ok(200000), with_cookie(ok(200000)), seeded(5, 200000));
  n.prepare = [&](Network& net, Host&, Host&) {
    Rule twice = Named::lose_if("client", false, [](const Passing& p) { return p.data(); });
    twice.name = "twice";
    twice.what = Rule::What::duplicate;
    twice.first = 60;
    twice.times = 3;
    twice.hold = 500us;
    net.rule(twice);
  };
  n.run();
  EXPECT_EQ(n.counts.dsacks_sent, 3u);
  EXPECT_EQ(n.counts.dsacks_received, 3u);
}

// The ACKs were lost, not the octets: a sender that hears that can take its slowing down back.
TEST(Named, octets_that_are_sent_again_because_their_ack_was_lost_are_told_to_their_sender) {
  Named n;
  n.ask(kGet, "");
  n.answer(ok(20000), with_cookie(ok(20000)), seeded(5, 20000));
  n.prepare = [&](Network& net, Host&, Host&) {
    net.rule(Named::lose_if("server", false,
                            [&](const Passing& p) { return acknowledges_all(n, 20000, p); }));
  };
  n.ask(kGet, "").think = 2s;  // nobody says anything until the time-out
  n.answer(ok(5), with_cookie(ok(5)), "hello");
  n.run();
  EXPECT_GE(n.counts.rtos, 1u);
  EXPECT_GE(n.counts.dsacks_received, 1u);
}

// What has been said once stays said, whatever the configuration is by now.
TEST(Named, keys_rotate_and_the_configuration_changes_between_an_edit_and_its_retransmission) {
  Named n;
  n.options.keys = affinity::CookieKeys::first({1, 2, 3});
  n.options.service =
      R"(persistence = ( { type = "cookie"; mode = "insert"; session_name = "SRV"; } );)";
  n.ask(kGet, "");
  n.answer(ok(5), "", "hello");
  std::string told;
  n.prepare = [&](Network& net, Host&, Host&) {
    Rule lost = Named::lose_if("client", false, [&](const Passing& p) {
      if (!contains(p, "Set-Cookie: SRV=A")) return false;
      if (told.empty()) told.assign(p.packet.tcp.data.begin(), p.packet.tcp.data.end());
      return true;
    });
    lost.times = 3;
    net.rule(lost);
    net.at(Instant{} + 100ms, [&](Instant) {
      EXPECT_FALSE(told.empty());
      affinity::CookieKeys keys = n.options.keys;
      ASSERT_TRUE(keys.add({4, 5, 6}).ok());
      ASSERT_TRUE(keys.seal('B').ok());
      ASSERT_TRUE(keys.retire('A').ok());
      n.box->rig().publisher().set_keys(keys);
      std::string config = n.box->config();
      config.insert(config.find("session_name"), "path = \"/elsewhere\"; ");
      n.box->rig().reload(config);
    });
  };
  n.judge_down = [&](const std::string& received) { EXPECT_EQ(compare(received, told), ""); };
  n.run();
  EXPECT_NE(n.client_received.find("path=/;"), std::string::npos);
}

TEST(Named, the_first_backend_answers_late_after_a_redispatch_to_one_with_another_clock) {
  Named n;
  n.options.dead = true;
  n.options.dead_answers = false;
  n.options.connect = "1s";
  n.options.service += " retries = 0;";
  n.scenario.server.timestamp_start = 5;
  const std::string head = "GET / HTTP/1.1\r\nHost: a\r\nCookie: SRV=dead\r\n\r\n";
  n.ask(head, kGet);
  HttpAnswer& a = n.answer(ok(5), with_cookie(ok(5)), "hello");
  a.delay = 2s;
  n.prepare = [&](Network& net, Host&, Host&) {
    net.at(Instant{} + 1500ms, [&](Instant now) {
      const Segment& syn = n.box->dead_syn;
      ASSERT_GE(n.box->dead_syns, 2u);
      Segment s;
      s.from = syn.to;
      s.to = syn.from;
      s.from_port = syn.to_port;
      s.to_port = syn.from_port;
      s.flags = kSyn | kAck;
      s.seq = 77;
      s.ack = syn.seq + 1;
      s.window = 1000;
      s.options.mss = 1460;
      s.options.timestamps = {0x80000005u, syn.options.timestamps->value};
      net.inject_to_box(1, emit(s), now);
    });
  };
  n.run();
  EXPECT_EQ(n.worker().splice_redispatched.get(), 1u);
  EXPECT_EQ(n.box->dead_resets, 1u) << "the late SYN-ACK must be refused, not left hanging";
}

TEST(Named, the_fin_stands_at_the_octet_with_the_insertion_and_both_fins_are_lost) {
  Named n;
  n.client.half_close = true;
  n.ask(kGet, "");
  const std::string head = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
  HttpAnswer& a = n.answer(head, with_cookie(head));
  a.closes = true;
  // The client's FIN is lost (not its request), so the server closes without having seen it.
  n.prepare = [&](Network& net, Host&, Host&) {
    const auto fin = [](const Passing& p) { return p.has(kFin); };
    Rule down = Named::lose_if("client", false, fin);
    Rule up = Named::lose_if("client", true, [&net, lost = false](const Passing& p) mutable {
      if (!p.has(kFin) || lost) return false;
      lost = true;
      net.inject_to_box(0, piece(p.packet.tcp, 0, p.packet.tcp.data.size(), false), p.now + 1ms);
      return true;
    });
    up.name = "the client's FIN", down.name = "the server's FIN";
    net.rule(up);
    net.rule(down);
  };
  n.run();
  EXPECT_GE(n.counts.simultaneous_closes, 1u);
  EXPECT_GE(n.counts.fins_again, 2u);
}

TEST(Named, a_packet_too_big_while_an_insertion_is_not_acknowledged) {
  Named n;
  n.scenario.client_down.mtu = 900;
  n.ask(kGet, "");
  HttpAnswer& a = n.answer(ok(9000), with_cookie(ok(9000)), seeded(6, 9000));
  a.head += a.body;
  a.body.clear();
  n.run();
  EXPECT_GE(n.counts.mtu_reductions, 1u);
}

// The octets that come again are too large by now, and they are old for everybody but their sender.
TEST(Named, a_packet_too_big_about_octets_that_are_sent_again_because_their_ack_was_lost) {
  Named n;
  n.ask(kGet, "");
  n.answer(ok(20000), with_cookie(ok(20000)), seeded(5, 20000));
  n.prepare = [&](Network& net, Host& client, Host&) {
    Rule last = Named::lose_if("server", false, [&](const Passing& p) {
      if (!acknowledges_all(n, 20000, p)) return false;
      LinkOptions narrow;
      narrow.mtu = 600;
      net.set_link(client, false, narrow);
      return true;
    });
    net.rule(last);
  };
  n.ask(kGet, "").think = 2s;
  n.answer(ok(5), with_cookie(ok(5)), "hello");
  n.run();
  EXPECT_GE(n.counts.mtu_reductions, 1u);
}

TEST(Named, keep_alive_probes_with_an_octet_of_garbage_inside_a_range_that_is_removed) {
  Named n;
  EndpointOptions& c = n.scenario.client;
  c.nagle = false;
  c.keepalive = 50ms;
  c.keepalive_again = 50ms;
  c.keepalive_garbage = true;
  n.scenario.server.check.garbage_probes = true;
  const std::string value(60, 'v');
  const std::string head = "GET / HTTP/1.1\r\nHost: a\r\nCookie: SRV=" + value + "\r\n\r\n";
  for (int i = 0; i < 2; ++i) {
    HttpRequest& r = n.ask(head, kGet);
    r.cuts = {head.find(value) + 20};
    r.pause = 400ms;
    n.answer(ok(5), with_cookie(ok(5)), "hello");
  }
  n.run();
  EXPECT_GE(n.counts.keepalives, 4u);
}

// A SYN alone proves nothing: the connection goes on, and nobody is drawn into an ACK war.
TEST(Named, spoofed_syns_on_a_live_tuple) {
  Named n;
  n.ask(kGet, "");
  n.answer(ok(200000), with_cookie(ok(200000)), seeded(8, 200000));
  n.ask(kGet, "");
  n.answer(ok(5), with_cookie(ok(5)), "hello");
  n.prepare = [&](Network& net, Host& client, Host&) {
    for (int i = 0; i < 20; ++i) {
      net.at(Instant{} + 3ms * i, [&](Instant now) {
        const Endpoint& e = *client.connections().front().endpoint;
        Segment s;
        s.from = client.address;
        s.to = e.options().remote;
        s.from_port = e.options().local_port;
        s.to_port = e.options().remote_port;
        s.flags = kSyn;
        s.seq = e.options().isn - 1000;
        s.options.mss = 1460;
        net.inject_to_box(0, emit(s), now);
        s.flags = kAck;  // and data of one who has not seen our answer
        s.seq += 1;
        s.ack = 4711;
        s.options = {};
        const std::string text = "GET /evil HTTP/1.1\r\n\r\n";
        s.data = {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
        net.inject_to_box(0, emit(s), now + 1ms);
      });
    }
  };
  n.run();
  EXPECT_EQ(n.worker().splice_replaced.get(), 0u);
}

}  // namespace
}  // namespace limpet::sim
