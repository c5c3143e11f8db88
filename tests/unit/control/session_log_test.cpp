// The session log of a controller: a worker's note comes out as a line of its log.
#include <gtest/gtest.h>
#include <rte_ring_elem.h>

#include "controller_fixture.h"
#include "limpet/affinity/reason.h"

namespace limpet::control {
namespace {

class LoggedSessionsTest : public ControllerTest {
 protected:
  std::string sample() override {
    return with(ControllerTest::sample(),
                R"(persistence = ( { type = "source"; prefix4 = 24; } );)",
                R"(mode = "splice"; session_log = true;
                   persistence = ( { type = "cookie"; session_name = "SRV"; value = "plain"; } );)");
  }
};

TEST_F(LoggedSessionsTest, the_controller_writes_the_lines_to_its_log_soon) {
  log_set_level(LogLevel::info);
  dataplane::SessionNote note;
  note.client = ip("198.51.100.7");
  note.client_port = be16::from(4711);
  note.service = 0;
  note.backend = 1;
  note.backend_generation = 1;
  note.reason = static_cast<uint8_t>(affinity::Reason::cookie);
  note.rules = shared_->snapshot.load()->services[0].splice->rules->number;
  note.cookies = 1;
  note.request = {affinity::RequestFlag::valid};
  testing::internal::CaptureStderr();
  ASSERT_EQ(rte_ring_sp_enqueue_elem(shared_->rings[1].notes, &note, sizeof note), 0);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_TRUE(eventually([&] { return rte_ring_empty(shared_->rings[1].notes) == 1; }));
  EXPECT_LT(std::chrono::steady_clock::now() - start, 500ms) << "not only once in a second";
  controller_->stop(0);
  thread_.join();
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_NE(log.find("session: web 198.51.100.7:4711 -> web/s1 10.2.0.11:80 reason=cookie SRV=V-"),
            std::string::npos)
      << log;
}

}  // namespace
}  // namespace limpet::control
