// Long tables in slices.
#include "listing.h"

#include "view_fixture.h"

namespace limpet::console {
namespace {

using dataplane::Query;
using dataplane::QueryKind;

class ListingTest : public ViewTest {
 protected:
  // `each` flows of every worker, told apart by their client ports.
  std::vector<std::unique_ptr<Query>> flows(std::vector<size_t> each) {
    std::vector<std::unique_ptr<Query>> answers;
    for (size_t w = 0; w < each.size(); ++w) {
      auto q = std::make_unique<Query>();
      q->flows.resize(each[w]);
      q->filled = static_cast<uint32_t>(each[w]);
      for (size_t i = 0; i < each[w]; ++i) {
        flow::Listed& r = q->flows[i];
        r.protocol = 6;
        r.backend_generation = 1;
        r.client = ip("198.51.100.7");
        r.client_port = be16::from(static_cast<uint16_t>(w * 10'000 + i));
      }
      answers.push_back(std::move(q));
    }
    return answers;
  }
  json finish(Listing& listing, size_t* turns = nullptr) {
    size_t n = 1;
    while (!listing.turn(view())) ++n;
    if (turns != nullptr) *turns = n;
    return json::parse(listing.text(std::chrono::milliseconds(1500)));
  }
};

TEST_F(ListingTest, slices_come_together_in_order) {
  Listing listing({QueryKind::flows, 10'000, ""}, flows({600, 0, 300}));
  size_t turns = 0;
  const json data = finish(listing, &turns);
  EXPECT_EQ(turns, (900 + Listing::kSlice - 1) / Listing::kSlice) << "no turn takes more";
  ASSERT_EQ(data["flows"].size(), 900u);
  for (size_t i = 0; i < 900; ++i) {
    EXPECT_EQ(data["flows"][i]["worker"], i < 600 ? 0 : 2);
    EXPECT_EQ(data["flows"][i]["client_port"], i < 600 ? i : 20'000 + i - 600);
  }
  EXPECT_EQ(data["truncated"], false);
  EXPECT_EQ(data["uptime_s"], 1.5);
  EXPECT_EQ(data["schema"], 1);
}

TEST_F(ListingTest, the_limit_is_that_of_all_workers_together) {
  for (const auto& [limit, rows, truncated] :
       {std::tuple(5u, 5u, true), std::tuple(6u, 6u, true), std::tuple(7u, 7u, false),
        std::tuple(8u, 7u, false)}) {
    Listing listing({QueryKind::flows, limit, ""}, flows({4, 3}));
    const json data = finish(listing);
    EXPECT_EQ(data["flows"].size(), rows);
    EXPECT_EQ(data["truncated"], truncated) << limit;
  }
}

TEST_F(ListingTest, what_a_worker_left_out_is_said) {
  auto answers = flows({2, 2});
  answers[1]->truncated = true;
  Listing listing({QueryKind::flows, 100, ""}, std::move(answers));
  EXPECT_EQ(finish(listing)["truncated"], true);
}

TEST_F(ListingTest, rows_beyond_the_limit_that_nobody_would_see_do_not_count) {
  auto answers = flows({3});
  answers[0]->flows[2].backend_generation = 9;  // has ended
  Listing listing({QueryKind::flows, 2, ""}, std::move(answers));
  EXPECT_EQ(finish(listing)["truncated"], false);
}

TEST_F(ListingTest, neighbors_of_one_port) {
  auto q = std::make_unique<Query>();
  q->kind = QueryKind::neighbors;
  q->neighbors.resize(4);
  q->filled = 4;
  for (size_t i = 0; i < 4; ++i) {
    q->neighbors[i].port = i % 2;
    q->neighbors[i].address = ip("10.2.0.1");
  }
  std::vector<std::unique_ptr<Query>> answers;
  answers.push_back(std::move(q));
  Listing listing({QueryKind::neighbors, 2, "back"}, std::move(answers));
  const json data = finish(listing);
  ASSERT_EQ(data["neighbors"].size(), 2u);
  for (const json& row : data["neighbors"]) EXPECT_EQ(row["port"], "back");
  EXPECT_EQ(data["truncated"], false);
}

TEST_F(ListingTest, nothing_is_a_table_too) {
  Listing listing({QueryKind::flows, 1, ""}, flows({0, 0}));
  EXPECT_EQ(finish(listing)["flows"], json::array());
}

}  // namespace
}  // namespace limpet::console
