#include "limpet/balance/backend_state.h"

#include <gtest/gtest.h>

#include <string_view>

namespace limpet::balance {
namespace {

struct Row {
  Admin admin;
  Health health;
  bool accepts_new, accepts_existing;
  std::string_view state;
};

TEST(BackendStatus, follows_the_table_of_its_header) {
  constexpr Row kRows[] = {
      {Admin::up, Health::unknown, true, true, "unknown"},
      {Admin::up, Health::up, true, true, "up"},
      {Admin::up, Health::down, false, false, "down"},
      {Admin::drain, Health::unknown, false, true, "drain"},
      {Admin::drain, Health::up, false, true, "drain"},
      {Admin::drain, Health::down, false, false, "down"},
      {Admin::down, Health::unknown, false, false, "down"},
      {Admin::down, Health::up, false, false, "down"},
      {Admin::down, Health::down, false, false, "down"},
  };
  for (const Row& row : kRows) {
    SCOPED_TRACE(std::string(name(row.admin)) + " " + name(row.health));
    const BackendStatus s{row.admin, row.health};
    EXPECT_EQ(s.accepts_new(), row.accepts_new);
    EXPECT_EQ(s.accepts_existing(), row.accepts_existing);
    EXPECT_EQ(name(s.state()), row.state);
  }
}

TEST(BackendStatus, an_unchecked_backend_takes_clients_from_the_start) {
  EXPECT_TRUE(BackendStatus{}.accepts_new());
  EXPECT_EQ(BackendStatus{}.state(), State::unknown);
}

}  // namespace
}  // namespace limpet::balance
