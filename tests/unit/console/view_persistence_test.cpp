// The JSON of `show persistence` and the reasons of `show services`.
#include <gtest/gtest.h>

#include "limpet/affinity/reason.h"
#include "view_fixture.h"

namespace limpet::console {
namespace {

using affinity::InvalidDetail;
using affinity::Reason;
using affinity::RequestFlag;
using affinity::ResponseFlag;

template <class Enum>
constexpr size_t at(Enum e) {
  return static_cast<size_t>(e);
}

const char* const kCookies =
    R"(mode = "splice"; persistence = ( { type = "cookie"; session_name = "SRV"; },
                                        { type = "cookie"; session_name = "SID"; mode = "learn"; },
                                        { type = "source"; } );
    table = { size = 64; expire = "1m"; };)";

std::string sample(const std::string& list) {
  return with(kSample, R"(persistence = ( { type = "source"; prefix4 = 24; } );)", list);
}

class PersistenceViewTest : public ViewTest {
 protected:
  void SetUp() override { build_from(sample(kCookies)); }
  dataplane::PersistenceCounters& counters(unsigned worker, size_t entry) {
    return stats_[worker].persistence[0][entry];
  }
  json row(size_t entry) {
    const Rows rows = *persistence_rows(view(), "web");
    return entry < rows.size() ? rows[entry] : json();
  }
};

TEST_F(PersistenceViewTest, refusals_have_a_row_for_each_reason_of_spliced_services) {
  stats_[0].services[0].refused[dataplane::refused(http::Refusal::line_feed_bare)].add(2);
  stats_[1].services[0].refused[dataplane::refused(http::Refusal::line_feed_bare)].add(3);
  stats_[1].services[0].refused[dataplane::refused(http::BodyFault::trailer_folded)].add(4);
  stats_[1].services[0].refused[dataplane::refused(dataplane::Refused::response_unread)].add(5);
  std::map<std::string, uint64_t> totals;
  const auto rows = refusal_rows(view(), "");
  ASSERT_TRUE(rows);
  for (const json& r : *rows) {
    EXPECT_EQ(keys(r), (std::set<std::string>{"service", "reason", "total", "meaning"}));
    EXPECT_EQ(r["service"], "web") << "echo is in mode nat";
    EXPECT_TRUE(totals.emplace(r["reason"], r["total"]).second) << "no reason is listed twice";
  }
  EXPECT_EQ(totals.size(), dataplane::kRefusedCount - 2) << "without the two that are none";
  EXPECT_EQ(totals.count("none"), 0u);
  EXPECT_EQ(totals["line_feed_bare"], 5u);
  EXPECT_EQ(totals["trailer_folded"], 4u);
  EXPECT_EQ(totals["response_unread"], 5u);
  EXPECT_EQ(totals["tls"], 0u) << "zeros too";
  EXPECT_TRUE(refusal_rows(view(), "echo")->empty());
  EXPECT_FALSE(refusal_rows(view(), "x").ok());
}

TEST_F(PersistenceViewTest, there_is_a_row_for_each_entry_of_each_list_with_the_promised_fields) {
  const Rows rows = *persistence_rows(view(), "");
  ASSERT_EQ(rows.size(), 3u) << "echo has no list";
  for (const json& r : rows) {
    EXPECT_EQ(keys(r),
              (std::set<std::string>{"service", "entry", "type", "name", "mode", "request",
                                     "response", "invalid_detail", "decided", "redispatched",
                                     "first_pin_races", "other_backend_on_keepalive", "table"}));
    EXPECT_EQ(keys(r["request"]), (std::set<std::string>{"none", "invalid", "down", "valid",
                                                         "expired", "old", "unused"}));
    EXPECT_EQ(keys(r["response"]), (std::set<std::string>{"none", "inserted", "updated", "passive",
                                                          "rewritten", "deleted"}));
    EXPECT_EQ(keys(r["invalid_detail"]),
              (std::set<std::string>{"empty", "truncated", "too_long", "bad_character",
                                     "trailing_bits", "unknown_key", "forged", "bad_version",
                                     "future_dated", "unknown_backend", "not_learned"}));
    EXPECT_EQ(r["service"], "web");
  }
  EXPECT_EQ(rows[0]["type"], "cookie");
  EXPECT_EQ(rows[0]["name"], "SRV");
  EXPECT_EQ(rows[0]["mode"], "insert");
  EXPECT_EQ(rows[1]["entry"], 1);
  EXPECT_EQ(rows[1]["mode"], "learn");
  EXPECT_EQ(rows[2]["type"], "source");
  EXPECT_TRUE(rows[2]["name"].is_null());
  EXPECT_TRUE(rows[2]["mode"].is_null());
}

TEST_F(PersistenceViewTest, counters_are_summed_over_the_workers) {
  counters(0, 0).request[at(RequestFlag::valid)].add(3);
  counters(1, 0).request[at(RequestFlag::valid)].add(4);
  counters(1, 0).response[at(ResponseFlag::updated)].add(5);
  counters(1, 0).detail[at(InvalidDetail::forged)].add(6);
  counters(1, 0).decided.add(7);
  counters(1, 0).redispatched.add(8);
  counters(1, 2).first_pin_races.add(9);
  counters(0, 0).other_backend_on_keepalive.add(10);
  EXPECT_EQ(row(0)["request"]["valid"], 7);
  EXPECT_EQ(row(0)["request"]["none"], 0);
  EXPECT_EQ(row(0)["response"]["updated"], 5);
  EXPECT_EQ(row(0)["invalid_detail"]["forged"], 6);
  EXPECT_EQ(row(0)["decided"], 7);
  EXPECT_EQ(row(0)["redispatched"], 8);
  EXPECT_EQ(row(2)["first_pin_races"], 9);
  EXPECT_EQ(row(0)["other_backend_on_keepalive"], 10);
  EXPECT_EQ(row(1)["decided"], 0);
}

TEST_F(PersistenceViewTest, the_table_of_the_service_stands_in_its_rows) {
  affinity::StickTable& table = *built_.owned.snapshot->services[0].splice->table;
  table.get_or_insert(table.key(2, "a"), {1, 0}, kNow);
  table.get_or_insert(table.key(2, "a"), {1, 0}, kNow);
  for (size_t i = 0; i < 3; ++i)
    EXPECT_EQ(row(i)["table"], (json{{"capacity", 64},
                                     {"used", 1},
                                     {"inserted", 1},
                                     {"found", 1},
                                     {"expired", 0},
                                     {"evicted", 0},
                                     {"held", 0},
                                     {"evicted_held", 0},
                                     {"refused", 0},
                                     {"bytes", table.bytes()}}));
  build_from(kSample);
  EXPECT_TRUE(row(0)["table"].is_null()) << "mode nat has none";
}

TEST_F(PersistenceViewTest, names_select_a_service_or_one_entry) {
  EXPECT_EQ(persistence_rows(view(), "web")->size(), 3u);
  EXPECT_EQ(persistence_rows(view(), "echo")->size(), 0u) << "it has no list";
  ASSERT_EQ(persistence_rows(view(), "web/1")->size(), 1u);
  EXPECT_EQ((*persistence_rows(view(), "web/1"))[0]["name"], "SID");
  EXPECT_EQ(persistence_rows(view(), "x").error(), "no service \"x\"");
  for (const char* none : {"web/3", "x/0", "web/18446744073709551615"})
    EXPECT_EQ(persistence_rows(view(), none).error(),
              std::string("no entry \"") + none + "\" in a persistence list");
  for (const char* none : {"web/", "web/x", "web/1x", "web/-1"})
    EXPECT_EQ(persistence_rows(view(), none).error(),
              std::string("no entry \"") + none + "\"; expected SERVICE or SERVICE/NUMBER");
}

TEST_F(PersistenceViewTest, a_slot_with_a_new_meaning_counts_from_zero) {
  counters(0, 0).request[at(RequestFlag::valid)].add(500);
  counters(0, 0).decided.add(500);
  counters(0, 1).response[at(ResponseFlag::passive)].add(500);
  counters(0, 1).detail[at(InvalidDetail::not_learned)].add(500);
  stats_[0].services[0].reasons[at(Reason::cookie)].add(500);
  const std::string moved =
      with(sample(kCookies), "vip = \"10.1.0.100\"; port = 80", "vip = \"10.1.0.101\"; port = 80");
  build_from(moved);
  ASSERT_TRUE(built_.slots.reclaim(
      2, [](uint16_t) { return 0; }, [](uint16_t) { return 0; }));
  build_from(with(moved, "10.1.0.101", "10.1.0.102"));
  ASSERT_EQ(built_.slots.find_service("web"), 0) << "the reused slot";
  counters(1, 0).decided.add(2);
  EXPECT_EQ(row(0)["decided"], 2);
  EXPECT_EQ(row(0)["request"]["valid"], 0);
  EXPECT_EQ(row(1)["response"]["passive"], 0);
  EXPECT_EQ(row(1)["invalid_detail"]["not_learned"], 0);
  EXPECT_EQ((*service_rows(view(), "web", false))[0]["reasons"]["cookie"], 0);
}

TEST_F(PersistenceViewTest, a_place_in_the_list_with_a_new_meaning_counts_from_zero) {
  for (size_t i = 0; i < 3; ++i) counters(0, i).decided.add(100);
  build_from(sample(with(kCookies, "\"SRV\"", "\"SRV\"; path = \"/app\"")));
  EXPECT_EQ(row(0)["decided"], 100) << "the same carrier";
  build_from(sample(with(kCookies, "\"SRV\"", "\"OTHER\"")));
  EXPECT_EQ(row(0)["decided"], 0) << "another cookie";
  EXPECT_EQ(row(1)["decided"], 100);
  EXPECT_EQ(row(2)["decided"], 100);
}

TEST_F(PersistenceViewTest, a_header_is_an_entry_with_a_name_and_no_mode) {
  build_from(sample(
      R"(mode = "splice"; persistence = ( { type = "header"; name = "X-User-ID"; }, { type = "source"; } );)"));
  counters(1, 0).request[at(RequestFlag::valid)].add(3);
  counters(1, 0).decided.add(3);
  EXPECT_EQ(row(0)["type"], "header");
  EXPECT_EQ(row(0)["name"], "X-User-ID");
  EXPECT_TRUE(row(0)["mode"].is_null());
  EXPECT_EQ(row(0)["request"]["valid"], 3);
  EXPECT_EQ(row(0)["decided"], 3);
  build_from(sample(
      R"(mode = "splice"; persistence = ( { type = "header"; name = "X-Other"; }, { type = "source"; } );)"));
  EXPECT_EQ(row(0)["decided"], 0) << "another header";
}

TEST_F(PersistenceViewTest, services_say_for_what_reasons_they_chose) {
  stats_[0].services[0].reasons[at(Reason::cookie)].add(3);
  stats_[1].services[0].reasons[at(Reason::cookie)].add(4);
  stats_[1].services[0].reasons[at(Reason::cookie_down)].add(1);
  const json reasons = (*service_rows(view(), "web", false))[0]["reasons"];
  EXPECT_EQ(reasons.size(), affinity::kReasonCount);
  EXPECT_EQ(reasons["cookie"], 7);
  EXPECT_EQ(reasons["cookie_down"], 1);
  EXPECT_EQ(reasons["source"], 0);
}

TEST_F(PersistenceViewTest, in_mode_nat_what_the_source_decided_is_told_by_the_reasons) {
  build_from(kSample);
  stats_[0].services[0].reasons[at(Reason::source)].add(3);
  stats_[1].services[0].reasons[at(Reason::source_redirected)].add(2);
  stats_[1].services[0].reasons[at(Reason::no_backend)].add(1);
  EXPECT_EQ(row(0)["type"], "source");
  EXPECT_EQ(row(0)["decided"], 5);
}

}  // namespace
}  // namespace limpet::console
