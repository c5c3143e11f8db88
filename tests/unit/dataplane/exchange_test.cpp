// The HTTP of a spliced connection: whatever pieces its messages come in, the edited streams are
// what whole messages would have become.
#include <random>

#include "exchange_fixture.h"

namespace limpet::dataplane::exchange_test {
namespace {

TEST_F(ExchangeTest, a_client_without_a_cookie_gets_one) {
  use(rules_of({cookie(CookieMode::insert)}));
  up(kGet);
  EXPECT_EQ(outcome().flag, RequestFlag::none);
  EXPECT_FALSE(client.map.is_open()) << "the next request is looked at too";
  down(kOk);
  EXPECT_EQ(requests(), kGet);
  EXPECT_EQ(responses(), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: SRV=s1\r\n\r\nok");
  EXPECT_EQ(answered(ResponseFlag::inserted), 1u);
  EXPECT_TRUE(exchange.idle());
}

TEST_F(ExchangeTest, our_cookie_names_its_backend_and_is_taken_out) {
  use(rules_of({cookie(CookieMode::insert)}));
  up("GET / HTTP/1.1\r\nCookie: a=1; SRV=s2; b=2\r\nHost: a\r\n\r\n");
  EXPECT_EQ(outcome().member, 2);
  EXPECT_EQ(outcome().flag, RequestFlag::valid);
  member = 2;
  down(kOk);
  EXPECT_EQ(requests(), "GET / HTTP/1.1\r\nCookie: a=1; b=2\r\nHost: a\r\n\r\n");
  EXPECT_EQ(responses(), kOk);
  EXPECT_EQ(answered(ResponseFlag::none), 1u);
}

TEST_F(ExchangeTest, a_header_that_would_be_empty_goes_as_a_whole) {
  use(rules_of({cookie(CookieMode::insert)}));
  up("GET / HTTP/1.1\r\nHost: a\r\nCookie: SRV=s2\r\n\r\n");
  EXPECT_EQ(requests(), kGet);
}

TEST_F(ExchangeTest, the_server_s_own_cookie_of_that_name_is_taken_out) {
  use(rules_of({cookie(CookieMode::insert)}));
  up(kGet);
  down("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nSet-Cookie: SRV=theirs; path=/\r\n\r\n");
  EXPECT_EQ(responses(), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nSet-Cookie: SRV=s1\r\n\r\n")
      << "removed and inserted at the same place";
}

TEST_F(ExchangeTest, preserve_leaves_the_server_s_cookie_alone) {
  CookieSettings s = cookie(CookieMode::insert);
  s.preserve = true;
  use(rules_of({s}));
  up(kGet);
  const std::string theirs =
      "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nSet-Cookie: SRV=theirs; path=/\r\n\r\n";
  down(theirs);
  EXPECT_EQ(responses(), theirs);
  EXPECT_EQ(answered(ResponseFlag::passive), 1u);
}

TEST_F(ExchangeTest, rewrite_puts_our_value_in_the_server_s_cookie) {
  use(rules_of({cookie(CookieMode::rewrite)}));
  up("GET / HTTP/1.1\r\nCookie: SRV=s2\r\nHost: a\r\n\r\n");
  EXPECT_EQ(outcome().member, 2);
  down("HTTP/1.1 200 OK\r\nSet-Cookie: SRV=theirs; path=/\r\nContent-Length: 0\r\n\r\n");
  EXPECT_EQ(requests(), "GET / HTTP/1.1\r\nCookie: SRV=s2\r\nHost: a\r\n\r\n");
  EXPECT_EQ(responses(),
            "HTTP/1.1 200 OK\r\nSet-Cookie: SRV=s1; path=/\r\nContent-Length: 0\r\n\r\n");
  EXPECT_EQ(answered(ResponseFlag::rewritten), 1u);
}

TEST_F(ExchangeTest, prefix_stands_in_front_of_the_server_s_value_and_is_taken_off) {
  use(rules_of({cookie(CookieMode::prefix, "PHPSESSID")}));
  up("GET / HTTP/1.1\r\nCookie: PHPSESSID=s2~abc\r\nHost: a\r\n\r\n");
  EXPECT_EQ(outcome().member, 2);
  down("HTTP/1.1 200 OK\r\nSet-Cookie: PHPSESSID=abc; path=/\r\nContent-Length: 0\r\n\r\n");
  EXPECT_EQ(requests(), "GET / HTTP/1.1\r\nCookie: PHPSESSID=abc\r\nHost: a\r\n\r\n");
  EXPECT_EQ(responses(),
            "HTTP/1.1 200 OK\r\nSet-Cookie: PHPSESSID=s1~abc; path=/\r\nContent-Length: 0\r\n\r\n");
}

TEST_F(ExchangeTest, learn_remembers_who_set_the_application_s_cookie_and_forgets) {
  table = std::make_unique<affinity::StickTable>(
      affinity::StickTable::Settings{.capacity = 100, .expire = std::chrono::minutes(1)},
      HashKey{});
  use(rules_of({cookie(CookieMode::learn, "JSESSIONID")}));
  up(kGet);
  down("HTTP/1.1 200 OK\r\nSet-Cookie: JSESSIONID=xyz; Path=/\r\nContent-Length: 0\r\n\r\n");
  EXPECT_EQ(table->counters().used, 1u);
  const std::string again = "GET / HTTP/1.1\r\nCookie: JSESSIONID=xyz\r\nHost: a\r\n\r\n";
  up(again);
  EXPECT_EQ(asked(RequestFlag::valid), 1u);
  down("HTTP/1.1 200 OK\r\nSet-Cookie: JSESSIONID=; Max-Age=0\r\nContent-Length: 0\r\n\r\n");
  EXPECT_EQ(table->counters().erased, 1u);
  up(again);
  EXPECT_EQ(asked(RequestFlag::invalid), 1u);
  EXPECT_EQ(requests(), kGet + again + again) << "read, never touched";
}

// What a server sets and what a browser sends of it: all up to the semicolon.
TEST_F(ExchangeTest, learn_looks_up_what_it_has_learned) {
  const std::pair<std::string, std::string> cases[] = {
      {"abc", "abc"},       {R"({"a":1,"b":[2,3]})", R"({"a":1,"b":[2,3]})"},
      {"a,b", "a,b"},       {"\"a,b\"", "\"a,b\""},
      {"\"a;b\"", "\"a"},  // RFC 6265, 5.2: cut at the semicolon, quotes or not
      {"\"open", "\"open"}, {"a\\\"b", "a\\\"b"},
      {"a=b=", "a=b="},     {"%7B%22a%22%3A1%7D", "%7B%22a%22%3A1%7D"},
      {" a b ", "a b"},     {"\xc3\xa9", "\xc3\xa9"},
      {"$x", "$x"},
  };
  for (const auto& [set, sent] : cases)
    for (const std::string around : {"", "x=\"; "}) {
      exchange = {};
      client = backend = {};
      count_anew();
      table = std::make_unique<affinity::StickTable>(
          affinity::StickTable::Settings{.capacity = 100, .expire = std::chrono::minutes(1)},
          HashKey{});
      use(rules_of({cookie(CookieMode::learn, "J")}));
      up(kGet);
      down("HTTP/1.1 200 OK\r\nSet-Cookie: J=" + set + "; Path=/\r\nContent-Length: 0\r\n\r\n");
      up("GET / HTTP/1.1\r\nHost: a\r\nCookie: " + around + "J=" + sent + "; y=z\r\n\r\n");
      EXPECT_EQ(asked(RequestFlag::valid), 1u) << around << set;
      // Another session that begins alike is another one.
      up("GET / HTTP/1.1\r\nHost: a\r\nCookie: J=" + sent + ",z\r\n\r\n");
      EXPECT_EQ(asked(RequestFlag::invalid), 1u) << set;
    }
}

TEST_F(ExchangeTest, every_request_says_who_the_client_is) {
  use(rules_of({}, Forwarded::x_forwarded_for));
  const std::string spoofed =
      "POST / HTTP/1.1\r\nX-Forwarded-For: 8.8.8.8\r\nContent-Length: 3\r\n\r\nabc";
  up(spoofed + kGet);
  EXPECT_EQ(requests(),
            "POST / HTTP/1.1\r\nX-Forwarded-For: 8.8.8.8\r\nContent-Length: 3\r\n"
            "X-Forwarded-For: 192.0.2.7\r\n\r\nabc"
            "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n");
  down(kOk + kOk);
  EXPECT_EQ(responses(), kOk + kOk);
}

TEST_F(ExchangeTest, proxy_stands_in_front_of_the_first_octet_once) {
  use(rules_of({}, Forwarded::proxy_v1));
  up(kGet + kGet);
  EXPECT_TRUE(client.map.is_open()) << "nothing else is edited";
  EXPECT_EQ(requests(), "PROXY TCP4 192.0.2.7 198.51.100.1 40000 80\r\n" + kGet + kGet);
}

TEST_F(ExchangeTest, proxy_stands_in_front_of_the_first_request_only) {
  use(rules_of({cookie(CookieMode::insert)}, Forwarded::proxy_v1));
  up(kGet + "GET / HTTP/1.1\r\nCookie: SRV=s1\r\n\r\n");
  down(kOk);
  up(kGet);
  EXPECT_EQ(requests(), "PROXY TCP4 192.0.2.7 198.51.100.1 40000 80\r\n" + kGet +
                            "GET / HTTP/1.1\r\n\r\n" + kGet);
}

TEST_F(ExchangeTest, proxy_version_2_is_binary) {
  use(rules_of({}, Forwarded::proxy_v2));
  up(kGet);
  const std::string header(
      "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc6\x33\x64\x01\x9c\x40\0\x50", 28);
  EXPECT_EQ(requests(), header + kGet);
}

TEST_F(ExchangeTest, later_requests_are_stripped_too_and_bodies_pass) {
  use(rules_of({cookie(CookieMode::insert)}));
  const std::string chunked =
      "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nCookie: SRV=s1\r\n\r\n"
      "5\r\nGET /\r\n0\r\n\r\n";
  up(chunked + "GET /2 HTTP/1.1\r\nCookie: SRV=s1; x=1\r\n\r\n");
  EXPECT_EQ(requests(),
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nGET /\r\n0\r\n\r\n"
            "GET /2 HTTP/1.1\r\nCookie: x=1\r\n\r\n");
}

TEST_F(ExchangeTest, every_kind_of_response_ends_where_it_ends) {
  use(rules_of({cookie(CookieMode::insert)}));
  const std::string set = "Set-Cookie: SRV=s1\r\n";
  up("HEAD / HTTP/1.1\r\n\r\n");
  up(kGet + kGet + kGet + kGet);
  down("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");  // to HEAD: no body
  down("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\n");
  down("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n");
  down("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: v\r\n\r\n");
  down("HTTP/1.1 200 OK\r\n\r\nuntil the end HTTP/1.1 200 OK\r\n\r\n");
  EXPECT_EQ(responses(),
            "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n" + set + "\r\n" +
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\nContent-Length: 4\r\n" +
                set + "\r\n" + "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n" + set + "\r\n" +
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + set +
                "\r\n3;x=y\r\nabc\r\n0\r\nT: v\r\n\r\n" + "HTTP/1.1 200 OK\r\n" + set +
                "\r\nuntil the end HTTP/1.1 200 OK\r\n\r\n");
  EXPECT_TRUE(backend.map.is_open()) << "a body until the close is the last one";
}

TEST_F(ExchangeTest, a_long_body_passes_without_being_shown) {
  use(rules_of({cookie(CookieMode::insert)}));
  up(kGet);
  down("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nx");
  EXPECT_TRUE(backend.map.covers(backend.begin + 1000000)) << "in whatever order it comes";
  EXPECT_FALSE(backend.map.covers(backend.begin + 1000100));
  EXPECT_TRUE(exchange.idle());
}

TEST_F(ExchangeTest, an_upgrade_that_is_granted_becomes_a_tunnel) {
  use(rules_of({cookie(CookieMode::insert)}));
  const std::string upgrade =
      "GET /chat HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
  up(upgrade + "early");
  EXPECT_EQ(requests(), upgrade) << "what follows may be a request";
  down("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x01x");
  EXPECT_EQ(requests(), upgrade + "early");
  EXPECT_EQ(responses(),
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nSet-Cookie: "
            "SRV=s1\r\n\r\n\x81\x01x");
  EXPECT_TRUE(client.map.is_open() && backend.map.is_open());
}

TEST_F(ExchangeTest, what_follows_an_upgrade_waits_and_is_not_edited_when_it_is_granted) {
  use(rules_of({cookie(CookieMode::insert)}));
  const std::string upgrade =
      "GET /chat HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
  const std::string early = "GET /2 HTTP/1.1\r\nCookie: SRV=s1\r\n\r\n";
  up(upgrade + early);
  EXPECT_EQ(requests(), upgrade);
  down("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n");
  EXPECT_EQ(requests(), upgrade + early);
}

TEST_F(ExchangeTest, an_upgrade_that_is_refused_goes_on_with_requests) {
  use(rules_of({cookie(CookieMode::insert)}));
  const std::string upgrade =
      "GET /chat HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
  up(upgrade + "GET /2 HTTP/1.1\r\nCookie: SRV=s1\r\n\r\n");
  down("HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n");
  EXPECT_EQ(requests(), upgrade + "GET /2 HTTP/1.1\r\n\r\n");
}

TEST_F(ExchangeTest, many_requests_at_once_wait_for_responses) {
  use(rules_of({cookie(CookieMode::insert)}));
  std::string many, all;
  for (int i = 0; i < 30; ++i) {
    many += "GET / HTTP/1.1\r\nCookie: SRV=s1\r\n\r\n";
    all += "GET / HTTP/1.1\r\n\r\n";
  }
  up(many);
  EXPECT_LT(requests().size(), all.size());
  for (int i = 0; i < 30; ++i) down(kOk);
  EXPECT_EQ(requests(), all);
  EXPECT_TRUE(exchange.idle());
  EXPECT_EQ(asked(RequestFlag::valid), 29u) << "the first is counted when a backend stands";
}

TEST_F(ExchangeTest, one_of_many_requests_does_not_take_the_place_of_another) {
  use(rules_of({cookie(CookieMode::insert)}));
  std::string many = "HEAD / HTTP/1.1\r\n\r\n";
  for (int i = 0; i < 20; ++i) many += kGet;
  up(many);
  down("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + kOk);
  EXPECT_EQ(responses(),
            "HTTP/1.1 200 OK\r\nContent-Length: 100\r\nSet-Cookie: SRV=s1\r\n\r\n"
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: SRV=s1\r\n\r\nok")
      << "the first was a HEAD";
}

TEST_F(ExchangeTest, a_fin_behind_requests_that_wait_passes_after_them) {
  use(rules_of({cookie(CookieMode::insert)}));
  std::string many, all;
  for (int i = 0; i < 10; ++i) {
    many += "GET / HTTP/1.1\r\nCookie: SRV=s1\r\n\r\n";
    all += "GET / HTTP/1.1\r\n\r\n";
  }
  up(many, true);
  EXPECT_FALSE(client.map.is_open());
  for (int i = 0; i < 10; ++i) down(kOk);
  EXPECT_TRUE(client.map.is_open());
  EXPECT_EQ(requests(), all);
}

TEST_F(ExchangeTest, a_second_request_that_is_none_ends_the_connection) {
  use(rules_of({cookie(CookieMode::insert)}));
  up(kGet);
  down(kOk);
  up("GET / HTTP/1.1\r\nno colon here\r\nCookie: SRV=s1\r\n\r\n");
  EXPECT_TRUE(exchange.broken);
  EXPECT_EQ(requests(), kGet) << "nothing of it passes";
  EXPECT_EQ(refusals(http::Refusal::name_blank), 1u);
}

TEST_F(ExchangeTest, a_body_that_cannot_be_followed_ends_the_connection) {
  use(rules_of({cookie(CookieMode::insert)}));
  up("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" + kGet);
  EXPECT_TRUE(exchange.broken);
}

TEST_F(ExchangeTest, a_first_head_that_is_none_is_refused_with_its_reason) {
  use(rules_of({cookie(CookieMode::insert)}));
  up("GET / HTTP/1.1\r\nno colon here\r\n\r\n");
  EXPECT_EQ(exchange.refused, http::Refusal::name_blank);
  EXPECT_FALSE(exchange.begun());
  EXPECT_EQ(refusals(http::Refusal::name_blank), 1u);
}

TEST_F(ExchangeTest, a_response_that_is_none_passes_as_it_is) {
  use(rules_of({cookie(CookieMode::insert)}));
  up(kGet);
  down("SSH-2.0-OpenSSH\r\n");
  EXPECT_EQ(responses(), "SSH-2.0-OpenSSH\r\n");
  EXPECT_TRUE(backend.map.is_open());
  EXPECT_EQ(worker.splice_bad_responses.get(), 1u);
  up("GET / HTTP/1.1\r\nCookie: SRV=s1\r\n\r\n");
  EXPECT_EQ(requests(), kGet) << "its answer would be unread: the connection ends";
  EXPECT_TRUE(exchange.broken && exchange.blame == Exchange::Blame::backend);
  EXPECT_EQ(refusals(Refused::response_unread), 1u);
}

TEST_F(ExchangeTest, a_response_that_nobody_asked_for_passes) {
  use(rules_of({cookie(CookieMode::insert)}));
  up(kGet);
  down(kOk);
  down("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(responses().ends_with("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n"));
}

TEST_F(ExchangeTest, a_later_client_without_a_cookie_gets_one) {
  use(rules_of({cookie(CookieMode::insert)}));
  up("GET / HTTP/1.1\r\nCookie: SRV=s1\r\n\r\n");
  down(kOk);
  up(kGet);
  down(kOk);
  EXPECT_EQ(responses(),
            kOk + "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: SRV=s1\r\n\r\nok");
}

TEST_F(ExchangeTest, a_cookie_of_a_dead_backend_is_replaced) {
  use(rules_of({cookie(CookieMode::insert)}));
  status[9].health = balance::Health::down;
  up("GET / HTTP/1.1\r\nCookie: SRV=s2\r\n\r\n");
  EXPECT_EQ(outcome().flag, RequestFlag::down);
  EXPECT_EQ(outcome().member, balance::Maglev::kNone);
  count_first(exchange, context(), member);
  EXPECT_EQ(asked(RequestFlag::down), 1u);
  EXPECT_EQ(counters[0].moved_down.get(), 1u);
  EXPECT_EQ(counters[0].redispatched.get(), 0u);
  down(kOk);
  EXPECT_NE(responses().find("Set-Cookie: SRV=s1\r\n"), std::string::npos);
}

TEST_F(ExchangeTest, a_cookie_says_once_what_became_of_it) {
  use(rules_of({cookie(CookieMode::insert)}));
  up("GET / HTTP/1.1\r\nCookie: SRV=s1\r\n\r\n");
  count_first(exchange, context(), 1);
  EXPECT_EQ(counters[0].kept.get(), 1u);
  count_first(exchange, context(), 2);
  EXPECT_EQ(asked(RequestFlag::down), 1u) << "its backend did not take him";
  EXPECT_EQ(counters[0].redispatched.get(), 1u);
  EXPECT_EQ(counters[0].moved_down.get(), 0u);
  EXPECT_EQ(counters[0].kept.get(), 1u);
}

TEST_F(ExchangeTest, a_date_is_refreshed_by_use) {
  CookieSettings s = cookie(CookieMode::insert);
  s.idle_timeout = 1800;
  s.absolute_timeout = 36000;
  use(rules_of({s}));
  std::string value;
  for (int i = 0; i < 3; ++i) {
    const size_t before = responses().size();
    up(value.empty() ? kGet : "GET / HTTP/1.1\r\nCookie: SRV=" + value + "\r\n\r\n");
    down(kOk);
    const std::string said = responses().substr(before);
    const size_t at = said.find("SRV=") + 4;
    const std::string next = said.substr(at, said.find("\r\n", at) - at);
    ASSERT_EQ(next.size(), 14u) << said << "name, last use, first use";
    EXPECT_EQ(next.substr(0, 3), "s1|");
    if (i != 0) {
      EXPECT_NE(next.substr(3, 5), value.substr(3, 5)) << "last use";
      EXPECT_EQ(next.substr(9), value.substr(9)) << "first use";
    }
    value = next;
    unix_now += 1700;
  }
  EXPECT_EQ(answered(ResponseFlag::inserted), 1u);
  EXPECT_EQ(answered(ResponseFlag::updated), 2u);
  unix_now += 200;  // too late
  up("GET / HTTP/1.1\r\nCookie: SRV=" + value + "\r\n\r\n");
  EXPECT_EQ(asked(RequestFlag::expired), 1u);
}

TEST_F(ExchangeTest, every_flag_is_counted) {
  CookieSettings s = cookie(CookieMode::insert), second = cookie(CookieMode::rewrite, "R");
  s.idle_timeout = 1800;
  s.absolute_timeout = 36000;
  CookieSettings kept = cookie(CookieMode::insert, "P");
  kept.preserve = true;
  use(rules_of({s, second, kept}));
  status[9].health = balance::Health::down;
  const std::string now_date = "ZVPxA", long_ago = "ZVDxA";
  const auto turn = [&](const std::string& cookies, const std::string& sets = "") {
    up("GET / HTTP/1.1\r\nCookie: " + cookies + "\r\n\r\n");
    down("HTTP/1.1 200 OK\r\n" + sets + "Content-Length: 0\r\n\r\n");
  };
  turn("a=b");  // the first is counted when a backend stands
  turn("a=b");
  turn("SRV=nobody");
  turn("SRV=s2");
  turn("SRV=s1|" + now_date + "|" + now_date);
  turn("SRV=s1|" + long_ago + "|" + now_date);
  turn("SRV=s1|" + now_date + "|" + long_ago);
  turn("SRV=s1; R=s1", "Set-Cookie: R=x\r\nSet-Cookie: P=x\r\nSet-Cookie: SRV=x\r\n");
  const auto requests_of = [&](size_t rule, RequestFlag f) {
    return counters[rule].request[static_cast<size_t>(f)].get();
  };
  EXPECT_EQ(requests_of(0, RequestFlag::none), 1u);
  EXPECT_EQ(requests_of(0, RequestFlag::invalid), 1u);
  EXPECT_EQ(requests_of(0, RequestFlag::down), 1u);
  EXPECT_EQ(requests_of(0, RequestFlag::valid), 2u);
  EXPECT_EQ(requests_of(0, RequestFlag::expired), 1u);
  EXPECT_EQ(requests_of(0, RequestFlag::old), 1u);
  EXPECT_EQ(requests_of(1, RequestFlag::unused), 1u) << "SRV has decided";
  const auto responses_of = [&](size_t rule, ResponseFlag f) {
    return counters[rule].response[static_cast<size_t>(f)].get();
  };
  EXPECT_EQ(responses_of(0, ResponseFlag::none), 1u) << "the date is of this second";
  EXPECT_EQ(responses_of(0, ResponseFlag::inserted), 6u);
  EXPECT_EQ(responses_of(0, ResponseFlag::updated), 1u) << "the date was missing";
  EXPECT_EQ(responses_of(1, ResponseFlag::rewritten), 1u);
  EXPECT_EQ(responses_of(2, ResponseFlag::passive), 1u);
  CookieSettings gone = cookie(CookieMode::insert);
  gone.post_only = true;
  use(rules_of({gone}));
  turn("a=b", "Set-Cookie: SRV=x\r\n");
  EXPECT_EQ(responses_of(0, ResponseFlag::deleted), 1u) << "and none put in its place";
}

TEST_F(ExchangeTest, no_cache_speaks_wherever_the_response_could_be_stored) {
  CookieSettings settings = cookie(CookieMode::insert);
  settings.no_cache = true;
  use(rules_of({settings}));
  const auto says_private = [&](const std::string& code_and_lines) {
    up(kGet);
    const size_t before = responses().size();
    down("HTTP/1.1 " + code_and_lines + "\r\nContent-Length: 0\r\n\r\n");
    return responses().find("Cache-Control: private\r\n", before) != std::string::npos;
  };
  for (const char* code : {"201", "302", "303", "307", "308", "400", "401", "403", "421", "429",
                           "500", "502", "503", "504", "200", "301", "404", "410", "501"}) {
    const bool by_itself = affinity::may_be_cached(static_cast<uint16_t>(std::stoi(code)));
    const std::string line = std::string(code) + " x\r\n";
    EXPECT_EQ(says_private(line + "X: y"), by_itself) << code;
    for (const char* stored :
         {"Cache-Control: public", "Cache-Control: PUBLIC, max-age=5", "cache-control: max-age=60",
          "Cache-Control: x, s-maxage=60", "Expires: Tue, 01 Jan 2030 00:00:00 GMT"})
      EXPECT_TRUE(says_private(line + stored)) << line << stored;
    for (const char* not_stored :
         {"Cache-Control: public, no-store", "Cache-Control: private, max-age=60",
          "Cache-Control: public\r\nCache-Control: no-cache", "Cache-Control: max-age=0",
          "Cache-Control: no-store\r\nExpires: Tue, 01 Jan 2030 00:00:00 GMT"})
      EXPECT_FALSE(says_private(line + not_stored)) << line << not_stored;
    EXPECT_EQ(says_private(line + "Cache-Control: publicity"), by_itself) << code;
  }
}

TEST_F(ExchangeTest, no_cache_speaks_only_where_nobody_has) {
  CookieSettings s = cookie(CookieMode::insert);
  s.no_cache = true;
  use(rules_of({s}));
  up(kGet + kGet + kGet);
  down(kOk);
  EXPECT_NE(responses().find("Cache-Control: private\r\n"), std::string::npos);
  const size_t before = responses().size();
  down("HTTP/1.1 200 OK\r\nCache-Control: max-age=5, no-store\r\nContent-Length: 0\r\n\r\n");
  down("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n");
  EXPECT_EQ(responses().find("private", before), std::string::npos);
  up("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
  down(kOk);
  EXPECT_NE(responses().find("private", before), std::string::npos) << "whatever the method";
}

TEST_F(ExchangeTest, a_backend_that_has_moved_in_its_pool_is_still_the_same) {
  use(rules_of({cookie(CookieMode::insert)}));
  up("GET / HTTP/1.1\r\nCookie: SRV=s2\r\n\r\n");
  ids = affinity::BackendIds({"s2", "s0"});
  place({9, 7});
  member = 0;
  down(kOk);
  EXPECT_EQ(responses(), kOk) << "its cookie needs no update";
}

TEST_F(ExchangeTest, without_room_for_an_edit_a_response_passes_and_a_request_does_not) {
  use(rules_of({cookie(CookieMode::insert)}));
  up(kGet);
  edits = tcp::EditPool(0);
  down(kOk);
  EXPECT_EQ(responses(), kOk);
  EXPECT_EQ(worker.splice_edits_lost.get(), 1u);
  up("GET / HTTP/1.1\r\nCookie: SRV=s1\r\n\r\n");
  EXPECT_TRUE(exchange.broken);
}

TEST_F(ExchangeTest, octets_that_were_not_kept_come_again_in_smaller_pieces) {
  use(rules_of({cookie(CookieMode::insert)}));
  up("GET / HTTP/1.1\r\nCookie: SRV=s1\r\nHos");
  client.came = "GET / HT";
  look_up();
  up("TP/1.1\r\nCookie: SRV=s1\r\n\r\n");
  EXPECT_EQ(requests(), "GET / HTTP/1.1\r\n\r\n");
  down("HTTP/1.1 200 OK\r\nContent-Le");
  backend.came = "HTTP";
  down("/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  EXPECT_EQ(responses(), kOk);
}

// The same conversation in pieces of any size must come out the same.
TEST_F(ExchangeTest, pieces_do_not_matter) {
  std::vector<CookieSettings> list{cookie(CookieMode::insert),
                                   cookie(CookieMode::prefix, "PHPSESSID")};
  const std::string ask =
      "POST /a HTTP/1.1\r\nCookie: SRV=s1; PHPSESSID=s1~q; z=1\r\nContent-Length: "
      "10\r\n\r\n0123456789"
      "GET /b HTTP/1.1\r\nHost: x\r\nCookie: PHPSESSID=s1~q\r\nCookie: SRV=s1\r\n\r\n"
      "HEAD /c HTTP/1.1\r\n\r\n"
      "POST /d HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\na;b\r\n0123456789\r\n0\r\n\r\n";
  const std::vector<std::string> answers{
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n"
      "Set-Cookie: PHPSESSID=q\r\n\r\nabc",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nSet-Cookie: SRV=x\r\n\r\n"
      "3\r\nabc\r\n0\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
      "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nSet-Cookie: a=b\r\n\r\n"};
  std::string say;
  std::vector<size_t> ends{0};
  for (const std::string& one : answers) {
    say += one;
    ends.push_back(say.size());
  }
  use(rules_of(list, Forwarded::x_forwarded_for));
  up(ask);
  down(say);
  const std::string up_whole = requests(), down_whole = responses();
  ASSERT_NE(up_whole, ask);
  ASSERT_NE(down_whole, say);
  ASSERT_TRUE(exchange.idle());
  for (uint32_t seed = 1; seed <= 300; ++seed) {
    std::mt19937 random(seed);
    exchange = {};
    for (Stream* s : {&client, &backend}) {
      s->map.release(edits);
      *s = Stream{};
    }
    size_t a = 0, b = 0;
    const size_t most = 1 + random() % 40;
    while (a < ask.size() || b < say.size()) {
      // A backend answers what it has been asked, and no more.
      size_t known = 0;
      const std::string asked_so_far = requests();
      for (size_t i = 0; (i = asked_so_far.find("\r\nX-Forwarded-For", i)) != std::string::npos;
           ++i)
        ++known;
      const bool more = b == ends[known] || (a < ask.size() && random() % 2 == 0);
      size_t& at = more ? a : b;
      const std::string& from = more ? ask : say;
      const size_t n =
          std::min<size_t>(1 + random() % most, (more ? ask.size() : ends[known]) - at);
      more ? up(from.substr(at, n)) : down(from.substr(at, n));
      at += n;
    }
    ASSERT_EQ(requests(), up_whole) << "seed " << seed;
    ASSERT_EQ(responses(), down_whole) << "seed " << seed;
    ASSERT_TRUE(exchange.idle());
  }
}

}  // namespace
}  // namespace limpet::dataplane::exchange_test
