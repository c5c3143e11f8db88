// Requests that ask for another protocol, and answers that speak one.
#include "exchange_fixture.h"

namespace limpet::dataplane::exchange_test {
namespace {

// As Java's HttpClient begins each connection.
const std::string kJava =
    "GET / HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nContent-Length: 0\r\n"
    "Host: a\r\nHTTP2-Settings: AAEAAEAA\r\nUpgrade: h2c\r\nUser-Agent: Java\r\n";
const std::string kPlain = "GET / HTTP/1.1\r\nContent-Length: 0\r\nHost: a\r\nUser-Agent: Java\r\n";
const std::string kXff = "X-Forwarded-For: 192.0.2.7\r\n";
const std::string kSwitching = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n";

struct Kind {
  const char* says;
  std::vector<CookieSettings> list;
  Forwarded forwarded = Forwarded::none;
};
void PrintTo(const Kind& k, std::ostream* out) {
  *out << k.says;
}

class H2c : public ExchangeTest, public testing::WithParamInterface<Kind> {
 protected:
  void SetUp() override {
    use(rules_of(GetParam().list, GetParam().forwarded));
    table = std::make_unique<affinity::StickTable>(
        affinity::StickTable::Settings{.capacity = 100, .expire = std::chrono::minutes(1)},
        HashKey{});
  }
  std::string added() const {
    return GetParam().forwarded == Forwarded::x_forwarded_for ? kXff : std::string();
  }
};

TEST_P(H2c, becomes_plain_http_in_every_request) {
  const bool follows = rules.follows();
  for (int i = 0; i < (follows ? 3 : 1); ++i) {
    const size_t before = requests().size();
    up(kJava + "\r\n");
    EXPECT_EQ(requests().substr(before), kPlain + added() + "\r\n") << "request " << i;
    EXPECT_FALSE(exchange.broken);
    EXPECT_NE(exchange.up, Exchange::Up::ask) << "it is not waited for";
    down(kOk);
    EXPECT_NE(backend.map.is_open(), follows);
  }
}

TEST_P(H2c, goes_out_of_many_requests_at_once) {
  if (!rules.follows()) return;  // nothing behind the first one is looked at
  up(kJava + "\r\n" + kGet + kJava + "\r\n");
  std::string get = kGet;
  get.insert(get.size() - 2, added());
  EXPECT_EQ(requests(), kPlain + added() + "\r\n" + get + kPlain + added() + "\r\n");
}

TEST_P(H2c, does_not_depend_on_pieces) {
  for (const char c : kJava + "\r\n") up(std::string(1, c));
  EXPECT_EQ(requests(), kPlain + added() + "\r\n");
}

INSTANTIATE_TEST_SUITE_P(Modes, H2c,
                         testing::Values(Kind{"insert", {cookie(CookieMode::insert)}},
                                         Kind{"rewrite", {cookie(CookieMode::rewrite)}},
                                         Kind{"prefix", {cookie(CookieMode::prefix)}},
                                         Kind{"learn", {cookie(CookieMode::learn)}},
                                         Kind{"insert and forwarded",
                                              {cookie(CookieMode::insert)},
                                              Forwarded::x_forwarded_for},
                                         Kind{"forwarded only", {}, Forwarded::x_forwarded_for},
                                         Kind{"nothing", {}}));

TEST_F(ExchangeTest, h2c_goes_together_with_our_cookie_wherever_that_stands) {
  use(rules_of({cookie(CookieMode::insert)}, Forwarded::x_forwarded_for));
  up("GET / HTTP/1.1\r\nUpgrade: h2c\r\nCookie: a=b; SRV=s1\r\nConnection: Upgrade\r\n\r\n");
  EXPECT_EQ(requests(), "GET / HTTP/1.1\r\nCookie: a=b\r\n" + kXff + "\r\n");
  up("GET / HTTP/1.1\r\nCookie: SRV=s1\r\nConnection: Upgrade,close\r\nUpgrade: h2c\r\n\r\n");
  EXPECT_TRUE(requests().ends_with("GET / HTTP/1.1\r\nConnection: close\r\n" + kXff + "\r\n"))
      << requests();
}

TEST_F(ExchangeTest, a_request_for_h2c_and_something_else_asks_for_that) {
  use(rules_of({cookie(CookieMode::insert)}));
  up("GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c , websocket\r\n\r\n");
  EXPECT_EQ(requests(), "GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
  EXPECT_EQ(exchange.up, Exchange::Up::ask);
  down(kSwitching);
  EXPECT_TRUE(client.map.is_open() && backend.map.is_open());
}

TEST_F(ExchangeTest, switching_protocols_unasked_ends_the_connection) {
  const std::string unasked[] = {
      kGet, kJava + "\r\n", "GET / HTTP/1.1\r\nConnection: Upgrade\r\n\r\n",
      "GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
      "CONNECT a:1 HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"};
  uint64_t count = 0;
  for (const std::string& request : unasked)
    for (const bool forwarded : {false, true}) {
      exchange = {};
      client = backend = {};
      use(forwarded ? rules_of({}, Forwarded::x_forwarded_for)
                    : rules_of({cookie(CookieMode::insert)}));
      up(kGet);
      down(kOk);
      const std::string before = responses();
      up(request);
      down(kSwitching + "GET / HTTP/1.1\r\n\r\n");
      EXPECT_TRUE(exchange.broken && exchange.blame == Exchange::Blame::backend) << request;
      EXPECT_EQ(responses(), before) << "nothing of it passes";
      EXPECT_FALSE(client.map.is_open() || backend.map.is_open());
      EXPECT_EQ(worker.splice_unasked_upgrades.get(), ++count);
      down("more");
      up(kGet);
      EXPECT_EQ(responses(), before);
      EXPECT_EQ(worker.splice_unasked_upgrades.get(), count) << "once a connection";
    }
}

}  // namespace
}  // namespace limpet::dataplane::exchange_test
