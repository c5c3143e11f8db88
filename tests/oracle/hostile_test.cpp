// Clients that say different things with the same numbers: what was judged is what the backend
// reads, whatever its kernel discards. One octet of a head that is another one would do; here they
// are the attacks that somebody would make.
#include <gtest/gtest.h>

#include "splice_rig.h"

namespace limpet::oracle {
namespace {

const std::string kFirst = "GET /1 HTTP/1.1\r\nHost: t\r\nX: aaaa\r\n\r\n";
const std::string kSecond = "GET /2 HTTP/1.1\r\nHost: t\r\nX: bbbb\r\n\r\n";
const std::string kEvil = "GET /3 HTTP/1.1\r\nHost: t\r\nY: cccc\r\n\r\n";
constexpr const char* kOk = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

// A connection whose first request has been answered and acknowledged.
struct Open {
  explicit Open(Service service = Service::forwarded) : rig(service) {
    rig.say(0, kFirst);
    rig.answer(kOk);
  }
  std::string end() {
    rig.repair();
    EXPECT_TRUE(rig.arrived());
    return rig.complaint();
  }
  const uint32_t at = static_cast<uint32_t>(kFirst.size());
  SpliceRig rig;
};

TEST(HostileClient, an_honest_one_is_read_as_it_was_judged) {
  for (uint8_t s = 0; s < static_cast<uint8_t>(Service::count_); ++s) {
    Open c(static_cast<Service>(s));
    c.rig.say(c.at, kSecond);
    EXPECT_NE(c.rig.got().find("/2"), std::string::npos);
    EXPECT_EQ(c.end(), "") << int{s};
  }
}

// A longer segment with the same number, while the first one is held.
TEST(HostileClient, the_first_copy_of_a_head_that_is_held_stands) {
  SpliceRig rig(Service::forwarded);
  rig.say(0, "GET http://t/x HTTP/1.1\r\nX:\r\n");
  rig.say(0, "GET http://t/x HTTP/1.1\r\nhost\r\n");
  rig.say(static_cast<uint32_t>(rig.end()), "\r\n");
  rig.repair();
  EXPECT_EQ(rig.complaint(), "");

  SpliceRig longer(Service::cookie_forwarded);
  longer.say(0, kFirst);
  longer.say(0, kEvil + "GET ");
  longer.repair();
  EXPECT_TRUE(longer.arrived());
  EXPECT_EQ(longer.complaint(), "");
}

// An old TSval on the second request's head: the backend's kernel discards it.
TEST(HostileClient, a_head_that_the_backends_clock_discarded_is_not_replaced) {
  Open c;
  c.rig.say(c.at, kSecond, {.later = -5000});
  c.rig.say(c.at, kEvil);
  EXPECT_EQ(c.end(), "");
}

// An option that an endpoint discards on, a TTL that ends behind us: the same door.
TEST(HostileClient, a_head_that_never_arrived_is_not_replaced) {
  Open c(Service::cookie_forwarded);
  c.rig.say(c.at, kSecond, {.lost = true});
  c.rig.say(c.at, kEvil);
  EXPECT_EQ(c.end(), "");
}

TEST(HostileClient, a_head_is_not_replaced_in_pieces) {
  for (size_t cut = 1; cut < kEvil.size(); ++cut) {
    Open c;
    c.rig.say(c.at, kSecond, {.lost = true});
    c.rig.say(c.at + static_cast<uint32_t>(cut), kEvil.substr(cut));
    c.rig.say(c.at, kEvil.substr(0, cut));
    ASSERT_EQ(c.end(), "") << cut;
  }
}

TEST(HostileClient, a_line_of_a_chunk_is_not_replaced) {
  Open c;
  const std::string head = "POST /2 HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n";
  c.rig.say(c.at, head);
  c.rig.acknowledge();
  const auto at = c.at + static_cast<uint32_t>(head.size());
  c.rig.say(at, "04\r\nabcd\r\n0\r\n\r\n", {.lost = true});
  c.rig.say(at, "00\r\n\r\nGET /3 H");
  EXPECT_EQ(c.end(), "");
}

// A bare LF is an octet of the line for some: our field is hidden in the client's.
TEST(HostileClient, a_bare_line_feed_hides_nothing) {
  Open c;
  c.rig.say(c.at, "GET /2 HTTP/1.1\r\nHost: t\r\nX: a\n\r\n");
  EXPECT_EQ(c.end(), "");
  Open smuggled;
  smuggled.rig.say(smuggled.at,
                   "POST /2 HTTP/1.1\r\nHost: t\r\nX: a\nContent-Length: 38\r\n\r\n" + kEvil);
  EXPECT_EQ(smuggled.end(), "");
}

TEST(HostileClient, another_name_of_a_length_hides_nothing) {
  Open c;
  c.rig.say(c.at, "POST /2 HTTP/1.1\r\nHost: t\r\nContent_Length: 37\r\n\r\n" + kEvil);
  EXPECT_EQ(c.end(), "");
}

// As Java's client asks with every first request.
TEST(HostileClient, nobody_asks_a_backend_for_http2) {
  Open c;
  c.rig.say(c.at,
            "GET /2 HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nHost: t\r\n"
            "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\nUpgrade: h2c\r\n\r\n");
  c.rig.answer(kOk);
  EXPECT_NE(c.rig.got().find("/2"), std::string::npos);
  c.rig.say(c.rig.end(), kSecond);
  EXPECT_EQ(c.end(), "");
}

TEST(HostileClient, an_uninvited_switch_opens_no_tunnel) {
  Open c;
  c.rig.say(c.at, kSecond);
  c.rig.answer("HTTP/1.1 101 Switching Protocols\r\n\r\n");
  c.rig.say(c.rig.end(), kEvil);
  c.rig.repair();
  EXPECT_EQ(c.rig.complaint(), "");
}

// What waits behind a request for an upgrade is the tunnel's when the answer agrees, whatever it
// looks like, and a request when it does not.
TEST(HostileClient, what_waits_behind_an_upgrade_is_what_the_answer_makes_of_it) {
  const std::string asks =
      "GET /2 HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
  for (const bool agrees : {true, false}) {
    Open c;
    c.rig.say(c.at, asks + kEvil);
    EXPECT_EQ(c.rig.got().find("/3"), std::string::npos) << "it waits";
    c.rig.answer(agrees ? "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                          "Connection: Upgrade\r\n\r\n"
                        : kOk);
    EXPECT_EQ(c.end(), "") << agrees;
    EXPECT_NE(c.rig.got().find("/3"), std::string::npos) << agrees;
    const std::string end = c.rig.got().substr(c.rig.got().find("/3"));
    EXPECT_EQ(end.find("X-Forwarded-For") == std::string::npos, agrees);
  }
}

// What begins with '$' belongs to the cookie before it, and goes with ours.
TEST(HostileClient, nothing_of_our_cookie_is_left) {
  for (const char* value : {"SRV=b1; $Path=/; a=1", "a=1; SRV=b1; $Path=/", "SRV=b1; $J; $; J=2",
                            "$Version=1; SRV=b1"}) {
    Open c(Service::cookie_forwarded);
    c.rig.say(c.at, std::string("GET /2 HTTP/1.1\r\nHost: t\r\nCookie: ") + value + "\r\n\r\n");
    EXPECT_EQ(c.end(), "") << value;
    const size_t second = c.rig.got().find("/2");
    ASSERT_NE(second, std::string::npos);
    EXPECT_EQ(c.rig.got().find('$', second), std::string::npos) << value;
  }
}

TEST(HostileClient, a_fold_hides_nothing) {
  Open c;
  c.rig.say(c.at, "GET /2 HTTP/1.1\r\nHost: t\r\nX: a\r\n X-Forwarded-For: 8.8.8.8\r\n\r\n");
  EXPECT_EQ(c.end(), "");
}

}  // namespace
}  // namespace limpet::oracle
