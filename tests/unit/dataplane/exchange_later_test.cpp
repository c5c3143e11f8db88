// What comes behind the first request of a connection. It may be another user's, behind a proxy in
// front, and it may be of somebody who tries what passes unseen.
#include "exchange_fixture.h"

namespace limpet::dataplane::exchange_test {
namespace {

const std::string kHalf =
    "GET /admin HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 127.0.0.1\r\nCookie: SRV=s1\r\n";

TEST_F(ExchangeTest, a_later_head_that_the_stream_ends_in_does_not_pass) {
  use(rules_of({cookie(CookieMode::insert)}, Forwarded::x_forwarded_for));
  up(kGet);
  down(kOk);
  const std::string before = requests();
  up(kHalf, true);
  EXPECT_TRUE(exchange.broken);
  EXPECT_EQ(requests(), before) << "a backend may take the end of the stream for the end of a head";
  EXPECT_FALSE(client.map.is_open());
}

TEST_F(ExchangeTest, nor_does_it_when_the_end_of_the_stream_comes_by_itself) {
  use(rules_of({cookie(CookieMode::insert)}, Forwarded::x_forwarded_for));
  up(kGet + kHalf);
  EXPECT_FALSE(exchange.broken);
  const std::string before = requests();
  up("", true);
  EXPECT_FALSE(exchange.broken) << "the one before it has its answer first";
  down(kOk);
  EXPECT_TRUE(exchange.broken);
  EXPECT_EQ(requests(), before);
  EXPECT_EQ(refusals(Refused::head_unfinished), 1u);
}

TEST_F(ExchangeTest, empty_lines_behind_the_last_body_pass_with_the_end_of_the_stream) {
  use(rules_of({cookie(CookieMode::insert)}));
  const std::string post = "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc\r\n";
  up(post, true);
  EXPECT_FALSE(exchange.broken);
  EXPECT_TRUE(client.map.is_open());
  EXPECT_EQ(requests(), post);
}

TEST_F(ExchangeTest, a_later_head_may_be_as_long_as_the_limit_says) {
  for (const uint32_t limit : {1024u, 16384u}) {
    exchange = {};
    client = backend = {};
    use(rules_of({cookie(CookieMode::insert)}));
    rules.settings.head_bytes = limit;
    const std::string begin = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
    const std::string longest = begin + std::string(limit - 4 - begin.size(), 'x');
    for (int i = 0; i < 2; ++i) {
      up(longest);
      up("\r\n\r\n");
      down(kOk);
      EXPECT_FALSE(exchange.broken) << limit << " request " << i;
    }
    up(longest + "xxx");
    EXPECT_FALSE(exchange.broken);
    up("x");
    EXPECT_TRUE(exchange.broken) << limit;
  }
}

const std::string kAskUpgrade =
    "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const std::string kCookie = "GET /2 HTTP/1.1\r\nCookie: SRV=s1\r\nHost: a\r\n\r\n";

TEST_F(ExchangeTest, an_upgrade_that_nobody_will_hear_of_holds_no_request_back) {
  use(rules_of({cookie(CookieMode::insert)}));
  up(kGet);
  down("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
  up(kAskUpgrade + kCookie);
  EXPECT_EQ(requests(), kGet + kAskUpgrade + "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_FALSE(exchange.broken);
  up("\x81\x01x");
  EXPECT_EQ(exchange.up, Exchange::Up::refused)
      << "so a granted one ends with the backend's FIN; to pass it would be to pass any request";
}

TEST_F(ExchangeTest, nor_does_one_whose_body_was_on_its_way_when_responses_were_given_up) {
  use(rules_of({cookie(CookieMode::insert)}));
  up("POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\nContent-Length: "
     "2\r\n\r\n");
  down("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
  const std::string before = requests();
  up("ab" + kCookie);
  EXPECT_EQ(requests(), before + "abGET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
}

// What is refused behind good requests, and where it is cut.
const std::string kBad = "GET / HTTP/1.1\r\nX : y\r\n\r\n";

TEST_F(ExchangeTest, a_bad_request_behind_good_ones_waits_for_their_responses) {
  const std::string all = kGet + kCookie + kBad + kCookie;
  const std::string good = kGet + "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n";
  for (size_t cut = 0; cut <= all.size(); ++cut) {
    exchange = {};
    client = backend = {};
    count_anew();
    use(rules_of({cookie(CookieMode::insert)}));
    up(all.substr(0, cut));
    up(all.substr(cut));
    EXPECT_TRUE(exchange.begun()) << "so a backend is chosen";
    EXPECT_FALSE(exchange.broken);
    EXPECT_EQ(requests(), good) << "cut at " << cut;
    down("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no");
    EXPECT_FALSE(exchange.broken);
    down("k");
    EXPECT_FALSE(exchange.broken);
    down("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r");
    EXPECT_FALSE(exchange.broken) << "an octet is still to come";
    down("\n");
    EXPECT_TRUE(exchange.broken);
    EXPECT_EQ(exchange.blame, Exchange::Blame::client) << "it has a 400 coming";
    EXPECT_EQ(requests(), good);
    EXPECT_EQ(refusals(http::Refusal::name_blank), 1u);
  }
}

TEST_F(ExchangeTest, a_bad_body_behind_a_good_request_waits_for_that_response) {
  use(rules_of({cookie(CookieMode::insert)}));
  const std::string post = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
  up(kGet + post + "0x1\r\n");
  EXPECT_FALSE(exchange.broken);
  EXPECT_EQ(requests(), kGet + post + "0");
  down(kOk);
  EXPECT_TRUE(exchange.broken) << "its own is not waited for";
  EXPECT_EQ(refusals(http::BodyFault::chunk_line_bad), 1u);
}

TEST_F(ExchangeTest, a_bad_request_behind_the_last_one_waits_for_the_backend_to_close) {
  use(rules_of({cookie(CookieMode::insert)}));
  up(kGet + kBad);
  down("HTTP/1.1 200 OK\r\n\r\nuntil it closes");
  EXPECT_FALSE(exchange.broken);
  down(" and more", true);
  EXPECT_TRUE(responses().ends_with("until it closes and more"));
  EXPECT_TRUE(backend.map.is_open());
}

TEST_F(ExchangeTest, an_upgrade_that_is_refused_before_its_body_has_ended_goes_on_with_requests) {
  use(rules_of({cookie(CookieMode::insert)}));
  const std::string ask =
      "POST / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: x\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5\r\nab";
  up(ask);
  down("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  up("cde\r\n0\r\n\r\n" + kCookie);
  EXPECT_EQ(requests(), ask + "cde\r\n0\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
  down(kOk);
  EXPECT_FALSE(exchange.broken);
  EXPECT_TRUE(exchange.idle());
}

TEST_F(ExchangeTest, empty_lines_behind_a_response_pass_and_the_next_one_is_edited) {
  for (const std::string lines : {"\r\n", "\n", "\r\n\r\n", "\r"}) {
    exchange = {};
    client = backend = {};
    use(rules_of({cookie(CookieMode::insert)}));
    const std::string edited =
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: SRV=s1\r\n\r\nok";
    up(kGet);
    down(kOk + lines);
    EXPECT_TRUE(exchange.idle());
    up(kGet);
    down(kOk);
    up(kGet + kGet);
    down(kOk + "\r\n" + kOk + "\r\n");
    EXPECT_EQ(responses(), edited + lines + edited + edited + "\r\n" + edited + "\r\n");
    EXPECT_EQ(worker.splice_bad_responses.get(), 0u);
  }
}

// Ends that clients and servers have views of their own about.
TEST_F(ExchangeTest, a_response_whose_end_nobody_can_tell_is_the_last_of_its_connection) {
  const std::string forms[] = {
      "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
      "Transfer-Encoding: chunked, chunked\r\n",
      "Transfer-Encoding: chunked,chunked\r\n",
      "Transfer-Encoding: chunked\r\nX: y\r\ntransfer-encoding: CHUNKED\r\n",
      "Transfer-Encoding: gzip, chunked\r\n",
      "Transfer-Encoding: chunked, gzip\r\n",
      "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
      "Transfer-Encoding: identity\r\n",
      "Transfer-Encoding: identity, chunked\r\n",
      "Transfer-Encoding: chunked,\r\n",
      "Transfer-Encoding:\r\n",
      "Transfer-Encoding: \"chunked\"\r\n",
      "Transfer-Encoding: xchunked\r\n",
      "Transfer-Encoding: chunked;q=1\r\n",
      "Transfer-Encoding: chunked chunked\r\n",
      "Content-Length: 2\r\nContent-Length: 3\r\n",
      "Content-Length: x\r\n",
      "Content-Length: 2, 3\r\n",
      "Content-Length: -1\r\n",
  };
  uint64_t bad = 0;
  for (const bool forwarded : {false, true})
    for (const std::string& form : forms) {
      exchange = {};
      client = backend = {};
      count_anew();
      use(forwarded ? rules_of({}, Forwarded::x_forwarded_for)
                    : rules_of({cookie(CookieMode::insert)}));
      const std::string line = "HTTP/1.1 200 OK\r\n";
      up(kGet);
      down(line + form + "\r\n2\r\nok\r\n0\r\n\r\n");
      EXPECT_EQ(responses(), line + "Connection: close\r\n" + form +
                                 (forwarded ? "" : "Set-Cookie: SRV=s1\r\n") +
                                 "\r\n2\r\nok\r\n0\r\n\r\n")
          << "it gets its own cookie, and the browser comes on another connection";
      EXPECT_EQ(worker.splice_bad_responses.get(), ++bad);
      EXPECT_FALSE(exchange.broken) << "it may be on its way";
      const std::string before = requests();
      up("\r\n");
      EXPECT_FALSE(exchange.broken);
      up(kGet);
      EXPECT_TRUE(exchange.broken && exchange.blame == Exchange::Blame::backend) << form;
      EXPECT_EQ(requests(), before);
      EXPECT_EQ(refusals(Refused::response_unread), 1u);
    }
}

TEST_F(ExchangeTest, a_response_that_falls_apart_in_its_body_is_the_last_too) {
  use(rules_of({cookie(CookieMode::insert)}));
  up(kGet);
  down("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
  EXPECT_EQ(worker.splice_bad_responses.get(), 1u);
  up(kGet);
  EXPECT_TRUE(exchange.broken && exchange.blame == Exchange::Blame::backend);
}

TEST_F(ExchangeTest, so_is_one_that_nobody_asked_for) {
  use(rules_of({cookie(CookieMode::insert)}));
  up(kGet);
  down(kOk + "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n");
  up(kGet);
  EXPECT_TRUE(exchange.broken && exchange.blame == Exchange::Blame::backend);
}

// Of users of s2 on a connection to s1. Their cookie is good; HAProxy would bring them to s2.
class AnotherUser : public ExchangeTest {
 protected:
  void begin(const CookieSettings& settings, Forwarded forwarded = Forwarded::none) {
    use(rules_of({settings}, forwarded));
    up(kGet);
    down(kOk);
  }
  // What the response to this request has become.
  std::string answer(const std::string& request, const std::string& response = kOk) {
    const size_t before = responses().size();
    up(request);
    down(response);
    return responses().substr(before);
  }
  static std::string with_cookie(const std::string& value) {
    return "GET / HTTP/1.1\r\nHost: a\r\nCookie: SRV=" + value + "\r\n\r\n";
  }
  // The value that a response sets.
  static std::string set(const std::string& response) {
    const size_t at = response.find("Set-Cookie: SRV=");
    if (at == std::string::npos) return {};
    const size_t begin = at + 16;
    return response.substr(begin, response.find_first_of(";\r", begin) - begin);
  }
  // Who a sealed value names.
  uint16_t named(const std::string& value) {
    const std::string_view values[] = {value};
    const auto member_status = [&](uint16_t m) { return status[members[m]]; };
    return rules.cookies[0]
        .policy
        .request(ids, tools->crypter ? &*tools->crypter : nullptr, values, unix_now, member_status)
        .member;
  }
};

TEST_F(AnotherUser, keeps_his_cookie_and_is_counted) {
  begin(cookie(CookieMode::insert));
  const uint64_t kept = counters[0].kept.get();
  EXPECT_EQ(answer(with_cookie("s2")), kOk);
  EXPECT_EQ(counters[0].other_backend_on_keepalive.get(), 1u);
  EXPECT_EQ(counters[0].kept.get(), kept);
  EXPECT_EQ(answer(with_cookie("s1")), kOk);
  EXPECT_EQ(counters[0].other_backend_on_keepalive.get(), 1u);
  EXPECT_EQ(counters[0].kept.get(), kept + 1);
}

TEST_F(AnotherUser, has_his_date_refreshed_for_his_own_backend) {
  CookieSettings settings = cookie(CookieMode::insert);
  settings.idle_timeout = 1800;
  settings.absolute_timeout = 36000;
  begin(settings);
  const std::string theirs = set(answer(with_cookie("s2")));
  EXPECT_EQ(theirs.substr(0, 3), "s2|");
  unix_now += 1000;
  const std::string later = set(answer(with_cookie(theirs)));
  EXPECT_EQ(later.substr(0, 3), "s2|");
  EXPECT_NE(later, theirs);
  EXPECT_EQ(later.substr(later.rfind('|')), theirs.substr(theirs.rfind('|')))
      << "the first date stays";
  EXPECT_EQ(answered(ResponseFlag::updated), 2u);
}

TEST_F(AnotherUser, is_not_moved_by_a_key_rotation) {
  CookieSettings settings = cookie(CookieMode::insert);
  settings.sealed = true;
  affinity::CookieKeys keys = affinity::CookieKeys::first({1, 2, 3});
  affinity::CookieCrypter before(keys);
  const auto policy = affinity::CookiePolicy::compile(settings);
  std::array<char, affinity::kMaxResponseText> out;
  const std::string theirs(
      policy.response(ids, &before, {.member = 2, .now = unix_now}, out).lines);
  ASSERT_TRUE(keys.add({4, 5, 6}).ok());
  ASSERT_TRUE(keys.seal('B').ok());
  use(rules_of({settings}));
  tools->crypter.emplace(keys);
  up(kGet);
  down(kOk);
  const std::string again = set(answer(with_cookie(set(theirs))));
  ASSERT_EQ(again.size(), affinity::kSealedSize);
  EXPECT_NE(again, set(theirs));
  EXPECT_EQ(named(again), 2);
}

TEST_F(AnotherUser, whose_backend_has_died_meanwhile_is_told_who_answered) {
  begin(cookie(CookieMode::insert));
  const size_t before = responses().size();
  up(with_cookie("s2"));
  status[9].health = balance::Health::down;
  down(kOk);
  EXPECT_EQ(set(responses().substr(before)), "s1");
}

TEST_F(AnotherUser, has_every_cookie_of_the_list_for_the_backend_that_the_first_names) {
  use(rules_of({cookie(CookieMode::insert), cookie(CookieMode::insert, "TWO")}));
  up(kGet);
  down(kOk);
  const std::string said = answer(with_cookie("s2"));
  EXPECT_EQ(said.find("SRV="), std::string::npos);
  EXPECT_NE(said.find("Set-Cookie: TWO=s2\r\n"), std::string::npos) << said;
}

TEST_F(AnotherUser, gets_the_server_s_cookie_with_the_server_s_own_name) {
  begin(cookie(CookieMode::rewrite));
  EXPECT_EQ(set(answer(with_cookie("s2"),
                       "HTTP/1.1 200 OK\r\nSet-Cookie: SRV=x\r\nContent-Length: 0\r\n\r\n")),
            "s1")
      << "what it set is of no use elsewhere";
}

TEST_F(AnotherUser, is_none_where_no_backend_has_been_chosen_yet) {
  use(rules_of({cookie(CookieMode::insert)}));
  member = balance::Maglev::kNone;
  up(with_cookie("s1") + with_cookie("s1"));
  EXPECT_EQ(asked(RequestFlag::valid), 1u) << "the first is counted when a backend stands";
  EXPECT_EQ(counters[0].other_backend_on_keepalive.get(), 0u);
}

// Two sessions of the application, both known, of backend s1.
class LaterLearned : public ExchangeTest {
 protected:
  LaterLearned() {
    table = std::make_unique<affinity::StickTable>(
        affinity::StickTable::Settings{.capacity = 100, .expire = std::chrono::minutes(1)},
        HashKey{});
  }
  void learn(uint8_t kind, std::string_view value) {
    table->assign(table->key(kind, value), affinity::value_of(ids, 1), now);
  }
  bool knows(uint8_t kind, std::string_view value) {
    return table->find(table->key(kind, value), now).what == affinity::Stick::found;
  }
  const std::string kBye =
      "HTTP/1.1 200 OK\r\nSet-Cookie: J=; Max-Age=0\r\nContent-Length: 0\r\n\r\n";
};

TEST_F(LaterLearned, what_a_response_deletes_is_what_its_own_request_brought) {
  use(rules_of({cookie(CookieMode::learn, "J")}));
  learn(0, "aa");
  learn(0, "bb");
  up("GET /logout HTTP/1.1\r\nHost: a\r\nCookie: J=aa\r\n\r\n"
     "GET / HTTP/1.1\r\nHost: a\r\nCookie: J=bb\r\n\r\n" +
     kGet);
  EXPECT_EQ(exchange.learned[0].key.hash, table->key(0, std::string_view("aa")).hash)
      << "the choice of a backend is about the first request";
  down(kBye);
  EXPECT_FALSE(knows(0, "aa"));
  EXPECT_TRUE(knows(0, "bb"));
  down(kOk);
  down(kBye);
  EXPECT_TRUE(knows(0, "bb")) << "the third request brought none";
}

TEST_F(LaterLearned, a_session_is_refreshed_and_forgotten_whatever_decides) {
  use(rules_of({cookie(CookieMode::insert), cookie(CookieMode::learn, "J")}));
  learn(1, "aa");
  const std::string both = "GET / HTTP/1.1\r\nHost: a\r\nCookie: SRV=s1; J=aa\r\n\r\n";
  for (int i = 0; i < 3; ++i) {
    now = now + std::chrono::seconds(40);
    up(both);
    down(kOk);
  }
  EXPECT_EQ(counters[1].request[static_cast<size_t>(RequestFlag::unused)].get(), 2u)
      << "of the later ones; SRV has decided";
  EXPECT_FALSE(exchange.learned[1].known) << "so it has no say in the choice of a backend";
  EXPECT_TRUE(knows(1, "aa")) << "it was used within its minute each time";
  up(both);
  down(kBye);
  EXPECT_FALSE(knows(1, "aa"));
}

}  // namespace
}  // namespace limpet::dataplane::exchange_test
