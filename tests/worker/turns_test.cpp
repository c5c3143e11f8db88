// scheduler = "roundrobin" through a real worker, in both modes.
#include <map>
#include <set>

#include "splice_fixture.h"

namespace limpet::worker_test {
namespace {

constexpr size_t kAll = 4;  // backends of the pool

std::string in_turn(const std::string& mode, const std::string& list) {
  return with(
      with(kTwoArms, R"({ name = "web"; maglev_size)",
           R"({ name = "web"; scheduler = "roundrobin"; maglev_size)"),
      "pool = \"web\";\n    persistence = ( { type = \"source\"; } );\n    timeouts = { connect = "
      "\"5s\"",
      "pool = \"web\"; mode = \"" + mode + "\"; " + list + " timeouts = { connect = \"1s\"");
}

class TurnsTest : public testing::Test {
 protected:
  TurnsTest()
      : rig([] {
          Rig::Setup s;
          s.config = in_turn("nat", "");
          return s;
        }()) {}
  // Where a new client's SYN goes, in mode nat.
  std::string comes(uint16_t port, const char* from = "10.1.0.2") {
    const auto out =
        rig.send(kFront, tcp_frame(rig.to_us(ip(from)), {.from = ip(from), .to = kVip4}, port, 80,
                                   {.flags = kSyn, .seq = 1000}));
    EXPECT_EQ(out.size(), 1u) << rig.drop_list();
    return out.empty() ? "" : look(out[0].frame).to.to_string();
  }
  Rig rig;
};

TEST_F(TurnsTest, each_backend_gets_its_turn_whoever_comes) {
  std::vector<std::string> order;
  for (uint16_t port = 40000; port < 40016; ++port) order.push_back(comes(port));
  std::map<std::string, int> got;
  for (const std::string& to : order) ++got[to];
  EXPECT_EQ(got.size(), kAll);
  for (size_t i = 0; i + kAll < order.size(); ++i) EXPECT_EQ(order[i], order[i + kAll]) << i;
  const auto& reasons = rig.stats().services[rig.service("web")].reasons;
  EXPECT_EQ(reasons[static_cast<size_t>(affinity::Reason::connection)].get(), 16u);
}

TEST_F(TurnsTest, the_same_syn_again_takes_no_turn) {
  const std::string first = comes(40000);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(comes(40000), first);
  std::map<std::string, int> got;
  for (uint16_t port = 40001; port < 40000 + kAll; ++port) ++got[comes(port)];
  EXPECT_EQ(got.count(first), 0u) << "the others had theirs first";
}

TEST_F(TurnsTest, a_backend_that_is_down_is_passed_over) {
  std::vector<std::string> order;
  for (uint16_t port = 40000; port < 40000 + kAll; ++port) order.push_back(comes(port));
  rig.down(0);
  std::map<std::string, int> got;
  for (uint16_t port = 41000; port < 41000 + 5 * (kAll - 1); ++port) ++got[comes(port)];
  EXPECT_EQ(got.size(), kAll - 1);
  for (const auto& [to, n] : got) EXPECT_NEAR(n, 5, 1) << to;
}

// Round robin for whoever is new; a cookie overrides it, and takes no turn.
class SplicedTurns : public SpliceTest {
 protected:
  SplicedTurns()
      : SpliceTest(
            in_turn("splice",
                    R"(persistence = ( { type = "cookie"; name = "SRV"; value = "plain"; } );)")) {}
};

TEST_F(SplicedTurns, a_cookie_overrides_and_takes_none) {
  std::vector<std::string> order;
  for (uint16_t port = 41000; port < 41000 + 2 * kAll; ++port) {
    EXPECT_EQ(asks(static_cast<uint16_t>(port + 1000), "Cookie: SRV=s2\r\n").to_string(),
              "10.2.0.12");
    order.push_back(asks(port, "").to_string());
  }
  EXPECT_EQ(std::set<std::string>(order.begin(), order.end()).size(), kAll);
  for (size_t i = 0; i < kAll; ++i) EXPECT_EQ(order[i], order[i + kAll]);
}

TEST_F(SplicedTurns, who_is_refused_is_given_to_the_next) {
  greet();
  Seen syn =
      only(rig.send(kFront,
                    client({.flags = kAck | kPsh, .seq = 1001, .ack = isn + 1, .data = kRequest})),
           kBack);
  std::set<std::string> tried{syn.to.to_string()};
  for (size_t i = 1; i < kAll; ++i) {
    backend = syn.to;
    source_port = syn.from_port;
    syn = only(rig.send(kBack, from_backend({.flags = kRst | kAck, .seq = 0, .ack = 1001})), kBack);
    tried.insert(syn.to.to_string());
  }
  EXPECT_EQ(tried.size(), kAll) << "each once";
}

}  // namespace
}  // namespace limpet::worker_test
