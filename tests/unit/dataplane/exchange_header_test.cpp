// Entries of type header in the HTTP of one connection: which value counts, and what is counted.
#include <optional>

#include "exchange_fixture.h"
#include "limpet/affinity/header.h"

namespace limpet::dataplane::exchange_test {
namespace {

using affinity::EntrySettings;
using affinity::HeaderSettings;

class ExchangeHeader : public ExchangeTest {
 protected:
  ExchangeHeader() {
    const std::vector<balance::MaglevMember> all = {{"s0", 1}, {"s1", 1}, {"s2", 1}};
    table_ = balance::Maglev(all, 1009);
  }
  ExchangeContext look() {
    ExchangeContext c = context();
    c.maglev = &table_;
    c.seed = 5;
    return c;
  }
  void first(const std::string& lines) {
    exchange = {};
    client = backend = {};
    client.came = "GET / HTTP/1.1\r\nHost: a\r\n" + lines + "\r\n";
    client.shown(show_requests(exchange, client.map, client.beyond(), false, look()));
  }
  void later(const std::string& lines) {
    client.came += "GET / HTTP/1.1\r\nHost: a\r\n" + lines + "\r\n";
    client.shown(show_requests(exchange, client.map, client.beyond(), false, look()));
  }
  std::optional<uint64_t> key(size_t header = 0) {
    std::array<std::optional<uint64_t>, kMaxHeaderRules> out;
    keys(exchange, look(), out);
    return out[header];
  }
  static std::optional<uint64_t> of(const char* value) { return affinity::hash_key(value); }
  uint16_t home(const char* value) {
    return table_.first_choice(affinity::hash_header(5, *of(value)));
  }
  uint64_t said(size_t entry, RequestFlag f) {
    return counters[entry].request[static_cast<size_t>(f)].get();
  }
  balance::Maglev table_;
};

TEST_F(ExchangeHeader, the_first_element_of_the_first_line_of_any_case_counts) {
  use(rules_of({EntrySettings(HeaderSettings{"X-User-ID"})}));
  const std::pair<const char*, std::optional<uint64_t>> cases[] = {
      {"", std::nullopt},
      {"X-User-ID: 17\r\n", of("17")},
      {"x-user-id:17\r\n", of("17")},
      {"X-USER-ID: \t 17 , 18\r\n", of("17")},
      {"X-User-ID: 17\r\nX-User-ID: 18\r\n", of("17")},
      {"X-User-ID:\r\nX-User-ID: 18\r\n", std::nullopt},
      {"X-User-ID: ,18\r\n", std::nullopt},
      {"X-User-ID2: 17\r\nA: X-User-ID: 17\r\n", std::nullopt},
      {"Cookie: X-User-ID=17\r\n", std::nullopt},
  };
  for (const auto& [lines, key_of] : cases) {
    first(lines);
    EXPECT_TRUE(exchange.begun()) << lines;
    EXPECT_EQ(key(), key_of) << lines;
  }
  std::string many;
  for (int i = 0; i < 100; ++i) many += "X-User-ID: " + std::to_string(17 + i) + "\r\n";
  first(many);
  EXPECT_EQ(exchange.refused, http::Refusal::none);
  EXPECT_TRUE(exchange.begun());
  EXPECT_EQ(key(), of("17"));
  const std::string most(8192, 'v');
  first("X-User-ID: " + most + "\r\n");
  EXPECT_EQ(key(), affinity::hash_key(most));
  EXPECT_EQ(client.edited(edits), client.came) << "nothing is changed";
}

TEST_F(ExchangeHeader, counts_what_its_value_did) {
  use(rules_of({EntrySettings(HeaderSettings{"U"})}));
  first("");
  count_first(exchange, look(), 1);
  EXPECT_EQ(said(0, RequestFlag::none), 1u);
  first("U: 17\r\n");
  count_first(exchange, look(), home("17"));
  EXPECT_EQ(said(0, RequestFlag::valid), 1u);
  EXPECT_EQ(counters[0].redispatched.get(), 0u);
  first("U: 17\r\n");
  count_first(exchange, look(), static_cast<uint16_t>((home("17") + 1) % 3));
  EXPECT_EQ(said(0, RequestFlag::down), 1u) << "somebody else stands in for its own";
  first("U: 17\r\n");
  count_first(exchange, look(), balance::Maglev::kNone);
  EXPECT_EQ(said(0, RequestFlag::down), 2u);
  EXPECT_EQ(counters[0].redispatched.get(), 2u);
  EXPECT_EQ(counters[0].kept.get(), 1u);
  EXPECT_EQ(counters[0].moved_down.get(), 2u);
}

TEST_F(ExchangeHeader, a_later_request_of_another_user_stays_and_is_counted) {
  use(rules_of({EntrySettings(HeaderSettings{"U"})}));
  const char* other = nullptr;
  for (const char* v : {"1", "2", "3", "4", "5", "6", "7", "8"})
    if (home(v) != home("17")) other = v;
  ASSERT_NE(other, nullptr);
  first("U: 17\r\n");
  member = home("17");
  later("U: 17\r\n");
  EXPECT_EQ(counters[0].other_backend_on_keepalive.get(), 0u);
  later(std::string("U: ") + other + "\r\n");
  EXPECT_EQ(counters[0].other_backend_on_keepalive.get(), 1u);
  later("");
  EXPECT_EQ(said(0, RequestFlag::valid), 2u);
  EXPECT_EQ(said(0, RequestFlag::none), 1u);
  EXPECT_EQ(counters[0].kept.get(), 1u);
  // His own is down: whoever is next is where he would go, so he is at home.
  status[members[home(other)]].health = balance::Health::down;
  const uint16_t next = table_.lookup(affinity::hash_header(5, *of(other)),
                                      [&](uint16_t m) { return m != home(other); });
  later(std::string("U: ") + other + "\r\n");
  EXPECT_EQ(counters[0].other_backend_on_keepalive.get(), next == member ? 1u : 2u);
}

// In whatever order they stand in the list; in the request their order means nothing.
TEST_F(ExchangeHeader, of_a_cookie_and_a_header_the_first_in_the_list_decides) {
  for (const std::string& lines :
       {std::string("U: 17\r\nCookie: SRV=s2\r\n"), std::string("Cookie: SRV=s2\r\nU: 17\r\n")}) {
    use(rules_of({EntrySettings(cookie(CookieMode::insert)), EntrySettings(HeaderSettings{"U"})}));
    first(lines);
    EXPECT_EQ(outcome().member, 2);
    EXPECT_EQ(exchange.key_flags[0], RequestFlag::unused);
    EXPECT_EQ(key(), of("17")) << "for when the cookie's backend does not answer";

    use(rules_of({EntrySettings(HeaderSettings{"U"}), EntrySettings(cookie(CookieMode::insert))}));
    first(lines);
    EXPECT_EQ(outcome().member, balance::Maglev::kNone);
    EXPECT_EQ(outcome().flag, RequestFlag::unused);
    EXPECT_EQ(exchange.key_flags[0], RequestFlag::valid);
    EXPECT_EQ(client.edited(edits).find("SRV"), std::string::npos) << "stripped nevertheless";

    first("Cookie: SRV=s2\r\n");
    EXPECT_EQ(outcome().member, 2) << "where the header is not there";
  }
}

TEST_F(ExchangeHeader, the_second_header_is_asked_where_the_first_has_no_value) {
  use(rules_of({EntrySettings(HeaderSettings{"A"}), EntrySettings(HeaderSettings{"B"})}));
  first("B: 2\r\nA: 1\r\n");
  EXPECT_EQ(key(0), of("1"));
  EXPECT_EQ(exchange.key_flags[1], RequestFlag::unused);
  first("A: \r\nB: 2\r\n");
  EXPECT_EQ(key(0), std::nullopt);
  EXPECT_EQ(exchange.key_flags[1], RequestFlag::valid);
}

// A header and a cookie of one number: what a hit is counts, not its number alone.
TEST_F(ExchangeHeader, is_not_taken_for_the_cookie_of_its_number_nor_of_its_name) {
  use(rules_of(
      {EntrySettings(cookie(CookieMode::insert, "U")), EntrySettings(HeaderSettings{"U"})}));
  first("U: s2\r\n");
  EXPECT_EQ(outcome().flag, RequestFlag::none);
  EXPECT_EQ(key(), of("s2"));
  EXPECT_EQ(client.edited(edits), client.came) << "and not stripped";
  first("Cookie: U=s2\r\n");
  EXPECT_EQ(outcome().member, 2);
  EXPECT_EQ(key(), std::nullopt);
}

}  // namespace
}  // namespace limpet::dataplane::exchange_test
