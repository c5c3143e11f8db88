// A reload while an answer is under way: a request keeps the rules by which it was read until the
// head of its answer has been edited, and lets go of them exactly once.
#include "exchange_fixture.h"

namespace limpet::dataplane::exchange_test {
namespace {

const std::string kAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n";
const std::string kBody = "\r\nok";
const std::string kCookie = "Set-Cookie: SRV=s1\r\n";
const std::string kTheirs = "Set-Cookie: SRV=abc\r\n";

// Everything that an operator changes of a list, and takes effect for requests to come.
std::vector<HttpRules> changes(CookieMode mode) {
  std::vector<HttpRules> all;
  CookieSettings attribute = cookie(mode);
  attribute.attributes = {"Priority=High"};
  CookieSettings name = cookie(mode, "OTHER");
  all.push_back(rules_of({cookie(mode)}));
  all.back().settings.head_bytes = 1024;
  all.push_back(rules_of({cookie(mode)}, Forwarded::x_forwarded_for));
  all.push_back(rules_of({attribute}));
  all.push_back(rules_of({cookie(CookieMode::insert, "FIRST"), cookie(mode)}));
  all.push_back(rules_of({cookie(mode), cookie(CookieMode::learn, "J")}));
  all.push_back(rules_of({name}));
  for (const CookieMode other : {CookieMode::insert, CookieMode::rewrite, CookieMode::prefix})
    all.push_back(rules_of({cookie(other)}));
  all.push_back(rules_of({}));
  all.push_back(rules_of({}, Forwarded::x_forwarded_for));
  return all;
}

class Reloaded : public ExchangeTest {
 protected:
  // What becomes of an answer when this reload comes between it and its request.
  std::string answer(CookieMode mode, HttpRules then, const std::string& request,
                     const std::string& response) {
    exchange = {};
    client = backend = {};
    old_rules.clear();
    for (Counter& n : service.rules_in_use) n.set(0);
    use(rules_of({cookie(mode)}));
    up(request);
    EXPECT_EQ(held(), 1u);
    reload(std::move(then));
    down(response);
    EXPECT_EQ(held(), 0u);
    EXPECT_TRUE(exchange.idle());
    return responses();
  }
};

TEST_F(Reloaded, an_answer_under_way_gets_its_cookie) {
  for (HttpRules& r : changes(CookieMode::insert))
    EXPECT_EQ(answer(CookieMode::insert, std::move(r), kGet, kAnswer + kTheirs + kBody),
              kAnswer + kCookie + kBody);
  EXPECT_GT(worker.rules_kept.get(), 0u);
  EXPECT_EQ(worker.rules_outlived.get(), 0u);
}

TEST_F(Reloaded, an_answer_under_way_is_rewritten) {
  for (HttpRules& r : changes(CookieMode::rewrite))
    EXPECT_EQ(answer(CookieMode::rewrite, std::move(r), kGet, kAnswer + kTheirs + kBody),
              kAnswer + kCookie + kBody);
}

TEST_F(Reloaded, an_answer_under_way_has_its_value_prefixed) {
  for (HttpRules& r : changes(CookieMode::prefix))
    EXPECT_EQ(answer(CookieMode::prefix, std::move(r), kGet, kAnswer + kTheirs + kBody),
              kAnswer + "Set-Cookie: SRV=s1~abc\r\n" + kBody);
}

TEST_F(Reloaded, a_request_whose_cookie_was_good_gets_no_other) {
  for (HttpRules& r : changes(CookieMode::insert))
    EXPECT_EQ(answer(CookieMode::insert, std::move(r),
                     "GET / HTTP/1.1\r\nHost: a\r\nCookie: SRV=s1\r\n\r\n", kOk),
              kOk);
}

TEST_F(Reloaded, chunked_answers_and_interim_ones_are_followed_as_before) {
  const std::string interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n";
  const std::string head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n";
  use(rules_of({cookie(CookieMode::insert)}));
  up(kGet);
  reload(rules_of({}, Forwarded::x_forwarded_for));
  down(interim);
  EXPECT_EQ(held(), 1u) << "these are no answers";
  down(head + "\r\n2\r\nok\r\n");
  EXPECT_EQ(held(), 0u) << "its head has been edited";
  down("0\r\n\r\n");
  EXPECT_EQ(responses(), interim + head + kCookie + "\r\n2\r\nok\r\n0\r\n\r\n");
  EXPECT_TRUE(exchange.idle());
}

TEST_F(Reloaded, each_of_many_requests_has_the_rules_by_which_it_was_read) {
  CookieSettings third = cookie(CookieMode::insert, "C");
  third.attributes = {"x=y"};
  use(rules_of({cookie(CookieMode::insert, "A")}));
  up(kGet + kGet);
  const size_t first = place_of(rules.number);
  reload(rules_of({cookie(CookieMode::insert, "B")}, Forwarded::x_forwarded_for));
  up(kGet);
  const size_t second = place_of(rules.number);
  reload(rules_of({third}));
  up(kGet + kGet);
  EXPECT_EQ(held(first), 2u);
  EXPECT_EQ(held(second), 1u);
  EXPECT_EQ(held(), 5u);
  const std::string xff = "X-Forwarded-For: 192.0.2.7\r\n";
  EXPECT_EQ(requests(), kGet + kGet + kGet.substr(0, kGet.size() - 2) + xff + "\r\n" + kGet + kGet);
  std::string wanted;
  for (const char* set : {"A=s1", "A=s1", "B=s1", "C=s1; x=y", "C=s1; x=y"}) {
    down(kOk);
    wanted += kAnswer + "Set-Cookie: " + set + "\r\n" + kBody;
    EXPECT_EQ(responses(), wanted);
  }
  EXPECT_EQ(held(), 0u);
  EXPECT_EQ(worker.rules_kept.get(), 3u);
}

TEST_F(Reloaded, a_connection_does_not_become_a_tunnel_while_answers_are_to_be_edited) {
  use(rules_of({cookie(CookieMode::insert)}));
  up(kGet);
  reload(rules_of({}));
  up("GET /2 HTTP/1.1\r\nHost: a\r\nCookie: SRV=s1\r\n\r\n");
  EXPECT_FALSE(client.map.is_open());
  EXPECT_EQ(held(), 2u);
  down(kOk + kOk);
  EXPECT_EQ(responses(), kAnswer + kCookie + kBody + kOk);
  EXPECT_EQ(held(), 0u);
  up(kGet);
  EXPECT_TRUE(client.map.is_open()) << "now nothing more is looked at";
  EXPECT_EQ(exchange.up, Exchange::Up::tunnel);
  EXPECT_EQ(held(), 0u) << "a tunnel holds none";
}

// A service that a reload took out of mode splice.
TEST_F(Reloaded, what_has_no_rules_any_more_answers_by_those_that_it_had) {
  use(rules_of({cookie(CookieMode::prefix)}));
  up(kGet);
  reload(HttpRules{});
  rules.number = 0;
  up(kGet);
  EXPECT_EQ(held(), 1u);
  down(kAnswer + kTheirs + kBody + kAnswer + kTheirs + kBody);
  EXPECT_EQ(responses(),
            kAnswer + "Set-Cookie: SRV=s1~abc\r\n" + kBody + kAnswer + kTheirs + kBody);
  EXPECT_EQ(held(), 0u);
  EXPECT_EQ(worker.rules_outlived.get(), 0u);
}

TEST_F(Reloaded, rules_that_were_given_up_leave_the_answer_to_those_of_today) {
  use(rules_of({cookie(CookieMode::insert)}));
  up(kGet + kGet);
  reload(rules_of({cookie(CookieMode::insert, "NEW")}));
  old_rules.clear();
  EXPECT_EQ(outcome().flag, RequestFlag::none);
  down(kOk + kAnswer + "Set-Cookie: NEW=x\r\n" + kBody);
  EXPECT_EQ(responses(), kOk + kAnswer + "Set-Cookie: NEW=x\r\n" + kBody)
      << "nothing is issued for what was not looked at";
  EXPECT_EQ(worker.rules_outlived.get(), 2u);
  EXPECT_EQ(worker.rules_kept.get(), 0u);
  EXPECT_EQ(held(), 0u) << "also of rules that nobody knows";
}

// ---- heads that are being read

const std::string kBegin = "GET / HTTP/1.1\r\nHost: a\r\nX: ";

TEST_F(Reloaded, a_head_is_read_by_the_rules_with_which_it_has_begun) {
  for (const bool later : {false, true}) {
    exchange = {};
    client = backend = {};
    old_rules.clear();
    use(rules_of({cookie(CookieMode::insert)}, Forwarded::x_forwarded_for));
    if (later) {
      up(kGet);
      down(kOk);
    }
    const size_t before = requests().size(), answered = responses().size();
    up("GET / HTTP/1.1\r\nHo");
    EXPECT_EQ(held(), 1u);
    reload(rules_of({cookie(CookieMode::insert, "NEW")}));
    up("st: a\r\nCookie: SRV=s1; NEW=s2\r\n\r\n");
    EXPECT_EQ(requests().substr(before),
              "GET / HTTP/1.1\r\nHost: a\r\nCookie: NEW=s2\r\n"
              "X-Forwarded-For: 192.0.2.7\r\n\r\n");
    EXPECT_EQ(held(), 1u) << "the request goes on with what its head has held";
    down(kOk);
    EXPECT_EQ(responses().substr(answered), kOk);
    EXPECT_EQ(held(), 0u);
  }
}

TEST_F(Reloaded, a_head_may_be_as_long_as_it_might_when_it_began) {
  for (const uint32_t limit : {1024u, 8192u}) {
    exchange = {};
    client = backend = {};
    use(rules_of({cookie(CookieMode::insert)}));
    rules.settings.head_bytes = limit;
    up(kGet);
    down(kOk);
    up(kBegin);
    reload(rules_of({cookie(CookieMode::insert)}));
    rules.settings.head_bytes = 1024 + 8192 - limit;
    const std::string rest(limit - 1 - kBegin.size(), 'x');
    up(rest);
    EXPECT_EQ(exchange.up, Exchange::Up::head) << limit;
    up("x");
    EXPECT_EQ(exchange.up, Exchange::Up::refused) << limit;
  }
}

TEST_F(Reloaded, a_head_whose_rules_are_given_up_is_read_by_those_of_today) {
  use(rules_of({cookie(CookieMode::insert)}));
  up("GET / HTTP/1.1\r\nHo");
  reload(rules_of({cookie(CookieMode::insert, "NEW")}));
  old_rules.clear();
  up("st: a\r\nCookie: SRV=s1; NEW=s1\r\n\r\n");
  EXPECT_EQ(requests(), "GET / HTTP/1.1\r\nHost: a\r\nCookie: SRV=s1\r\n\r\n");
  EXPECT_EQ(worker.rules_outlived.get(), 1u);
  EXPECT_EQ(held(), 1u);
  EXPECT_EQ(held(place_of(rules.number)), 1u);
  down(kOk);
  EXPECT_EQ(responses(), kOk);
  EXPECT_EQ(worker.rules_outlived.get(), 1u) << "it counts once";
}

TEST_F(Reloaded, the_first_request_chooses_by_its_own_cookies) {
  use(rules_of({cookie(CookieMode::insert), cookie(CookieMode::insert, "B")}));
  member = balance::Maglev::kNone;
  up("GET / HTTP/1.1\r\nHost: a\r\nCookie: SRV=s2; B=s1\r\n\r\n");
  reload(rules_of({cookie(CookieMode::insert, "B")}), 0);
  std::array<affinity::CookieOutcome, kMaxCookieRules> out;
  ASSERT_EQ(outcomes(exchange, context(), {}, out), 2u);
  EXPECT_EQ(out[0].member, 2);
  count_first(exchange, context(), 2);
  EXPECT_EQ(asked(RequestFlag::valid), 0u) << "SRV has no place in today's list, and is not B";
  use(rules_of({cookie(CookieMode::insert)}));
}

TEST_F(Reloaded, what_stays_at_its_place_in_the_list_is_counted_there) {
  use(rules_of({cookie(CookieMode::insert), cookie(CookieMode::insert, "B")}));
  member = balance::Maglev::kNone;
  up("GET / HTTP/1.1\r\nHost: a\r\nCookie: B=s1\r\n\r\n");
  reload(rules_of({cookie(CookieMode::insert), cookie(CookieMode::rewrite, "B")}), 1);
  member = 1;
  count_first(exchange, context(), 1);
  down(kOk);
  EXPECT_EQ(asked(RequestFlag::none), 1u);
  EXPECT_EQ(answered(ResponseFlag::inserted), 1u);
  for (const Counter& n : counters[1].request) EXPECT_EQ(n.get(), 0u);
  for (const Counter& n : counters[1].response) EXPECT_EQ(n.get(), 0u);
}

// ---- every end lets go

TEST_F(Reloaded, whatever_ends_a_connection_s_messages_lets_go_once) {
  const std::string upgrade =
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
  const std::string answers[] = {
      kOk + kOk + kOk,                                                // three answers
      "HTTP/1.1 200 OK\r\n\r\nuntil it closes",                       // the last one
      "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",                 // likewise
      "HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\n",              // nobody can say
      "no response at all\r\n\r\n",                                   // likewise
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",  // its body falls apart
  };
  for (const std::string& text : answers) {
    exchange = {};
    client = backend = {};
    use(rules_of({cookie(CookieMode::insert)}));
    up(kGet + kGet + kGet);
    EXPECT_EQ(held(), 3u);
    reload(rules_of({cookie(CookieMode::insert)}));
    down(text);
    EXPECT_EQ(held(), 0u) << text;
    let_go(exchange, service);
    EXPECT_EQ(held(), 0u) << text;
  }
  exchange = {};
  client = backend = {};
  use(rules_of({cookie(CookieMode::insert)}));
  up(upgrade + kGet);
  reload(rules_of({cookie(CookieMode::rewrite)}));
  down("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
  EXPECT_EQ(held(), 0u) << "a tunnel holds none";
  EXPECT_NE(responses().find(kCookie), std::string::npos);
}

TEST_F(Reloaded, a_connection_that_ends_in_the_middle_lets_go_of_all_and_only_once) {
  use(rules_of({cookie(CookieMode::insert)}));
  up(kGet + kGet);
  reload(rules_of({cookie(CookieMode::insert)}));
  up(kGet + kBegin);
  EXPECT_EQ(held(), 4u);
  let_go(exchange, service);
  EXPECT_EQ(held(), 0u);
  let_go(exchange, service);
  EXPECT_EQ(held(), 0u);
  down(kOk);
  EXPECT_EQ(held(), 0u) << "nor when something comes all the same";
}

TEST_F(Reloaded, what_is_not_asked_for_any_more_holds_nothing) {
  use(rules_of({cookie(CookieMode::insert)}));
  up(kGet);
  down("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
  up(kGet + kGet);
  EXPECT_EQ(held(), 0u) << "nobody reads those answers";
  exchange = {};
  client = backend = {};
  use(rules_of({}, Forwarded::proxy_v1));
  up("GET / HT");
  EXPECT_EQ(held(), 1u) << "a head is a head";
  up("TP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(held(), 0u) << "what follows is a tunnel";
}

// ---- backends and sessions

TEST_F(Reloaded, a_cookie_names_the_backend_that_serves_wherever_that_has_gone) {
  for (size_t i = 0; i < members.size(); ++i)
    backends[members[i]].name = ids.name(static_cast<uint16_t>(i));
  use(rules_of({cookie(CookieMode::insert)}));
  up("GET / HTTP/1.1\r\nHost: a\r\nCookie: SRV=s2\r\n\r\n" + kGet);
  reload(rules_of({cookie(CookieMode::insert, "NEW")}));
  // Another pool with these names: slots 7 to 9 have left, and nobody is at his place.
  backends[7].configured = backends[8].configured = backends[9].configured = false;
  ids = affinity::BackendIds({"s2", "s1"});
  members = {4, 5};
  for (uint16_t m = 0; m < 2; ++m) {
    backends[members[m]].configured = true;
    backends[members[m]].pool = 0;
    backends[members[m]].member = m;
  }
  EXPECT_EQ(context().member_of(9), 0) << "s2";
  EXPECT_EQ(context().member_of(7), balance::Maglev::kNone) << "s0 is gone for good";
  member = context().member_of(8);
  ASSERT_EQ(member, 1);
  down(kOk);
  EXPECT_EQ(responses(), kAnswer + kCookie + kBody) << "his own is another's, and is not dropped";
  down(kOk);
  EXPECT_EQ(responses(), kAnswer + kCookie + kBody + kAnswer + kCookie + kBody);
}

TEST_F(Reloaded, a_session_is_learned_under_the_kind_that_its_entry_has) {
  affinity::StickTable::Settings settings{.capacity = 100, .expire = std::chrono::minutes(1)};
  settings.kinds = {0};
  table = std::make_shared<affinity::StickTable>(settings, HashKey{});
  use(rules_of({cookie(CookieMode::learn, "J")}));
  up(kGet);
  const std::shared_ptr<affinity::StickTable> before = table;
  settings.kinds = {1, 0};  // another cookie in front
  table = before;
  reload(rules_of({cookie(CookieMode::learn, "FIRST"), cookie(CookieMode::learn, "J")}), 0);
  table = std::make_shared<affinity::StickTable>(*before, settings);
  down("HTTP/1.1 200 OK\r\nSet-Cookie: J=aa\r\nContent-Length: 0\r\n\r\n");
  EXPECT_TRUE(table->peek(table->key(1, std::string_view("aa")), now).has_value());
  EXPECT_FALSE(table->peek(table->key(0, std::string_view("aa")), now).has_value());
}

}  // namespace
}  // namespace limpet::dataplane::exchange_test
