// What comes behind the first request of a connection. It may be another user's, behind a proxy in
// front, and it may be of somebody who tries what passes unseen.
#include "session_fixture.h"

namespace limpet::dataplane::session_test {
namespace {

const std::string kHalf =
    "GET /admin HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 127.0.0.1\r\nCookie: SRV=s1\r\n";

TEST_F(SessionTest, a_later_head_that_the_stream_ends_in_does_not_pass) {
  use(rules_of({cookie(CookieMode::insert)}, Forwarded::x_forwarded_for));
  up(kGet);
  down(kOk);
  const std::string before = requests();
  up(kHalf, true);
  EXPECT_TRUE(session.broken);
  EXPECT_EQ(requests(), before) << "a backend may take the end of the stream for the end of a head";
  EXPECT_FALSE(client.map.is_open());
}

TEST_F(SessionTest, nor_does_it_when_the_end_of_the_stream_comes_by_itself) {
  use(rules_of({cookie(CookieMode::insert)}, Forwarded::x_forwarded_for));
  up(kGet + kHalf);
  EXPECT_FALSE(session.broken);
  const std::string before = requests();
  up("", true);
  EXPECT_TRUE(session.broken);
  EXPECT_EQ(requests(), before);
}

TEST_F(SessionTest, empty_lines_behind_the_last_body_pass_with_the_end_of_the_stream) {
  use(rules_of({cookie(CookieMode::insert)}));
  const std::string post = "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc\r\n";
  up(post, true);
  EXPECT_FALSE(session.broken);
  EXPECT_TRUE(client.map.is_open());
  EXPECT_EQ(requests(), post);
}

}  // namespace
}  // namespace limpet::dataplane::session_test
