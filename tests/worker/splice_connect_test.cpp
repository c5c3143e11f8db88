// A spliced connection's way to a backend that takes it, over those that do not.
#include "splice_fixture.h"

namespace limpet::worker_test {
namespace {

using tcp::Track;

constexpr unsigned kBackends = 12;  // more than a binding has room for

std::string twelve() {
  std::string more;
  for (unsigned i = 4; i < kBackends; ++i)
    more += ",\n { name = \"s" + std::to_string(i) + "\"; address = \"10.2.0." +
            std::to_string(20 + i) + "\"; port = 8080; }";
  const std::string last = R"(address = "10.2.0.13"; port = 8080; })";
  return with(spliced(), last, last + more);
}

class SpliceConnectTest : public SpliceTest {
 protected:
  explicit SpliceConnectTest(const std::string& config = twelve()) : SpliceTest(config) {}

  void ask() {
    greet();
    out = rig.send(kFront, client({.flags = kAck, .seq = 1001, .ack = isn + 1, .data = kRequest}));
  }
  // The backend that was asked refuses; whether one was.
  bool refuse() {
    if (out.size() != 1 || out[0].port != kBack) return false;
    const Seen syn = look(out[0].frame);
    EXPECT_EQ(syn.flags, kSyn);
    EXPECT_TRUE(tried.insert(syn.to).second) << "a second time";
    backend = syn.to;
    source_port = syn.from_port;
    out = rig.send(kBack, from_backend({.flags = kRst | kAck, .seq = 0, .ack = 1001}));
    return true;
  }
  std::string said() {
    std::string text;
    for (const Left& l : out) {
      if (l.port != kFront) continue;
      const Bytes data = look(l.frame).data;
      text.append(data.begin(), data.end());
    }
    return text;
  }

  std::vector<Left> out;
  std::set<IpAddress> tried;
};

TEST_F(SpliceConnectTest, nobody_is_left_when_all_backends_have_refused_however_many) {
  ask();
  for (unsigned i = 0; i < kBackends; ++i) ASSERT_TRUE(refuse()) << i << ": " << said();
  EXPECT_EQ(tried.size(), kBackends);
  EXPECT_EQ(said().substr(0, 32), "HTTP/1.1 503 Service Unavailable");
  EXPECT_EQ(rig.only_flow().state, Track::answering);
}

}  // namespace
}  // namespace limpet::worker_test
