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

class OnePort : public SpliceConnectTest {
 protected:
  OnePort() : SpliceConnectTest(one_port()) {}
  static std::string one_port() {
    return with(twelve(), "{ name = \"web\"; maglev_size = 251; source_ports = [ 1024, 65535 ];",
                "{ name = \"web\"; maglev_size = 251; source_ports = [ 5000, 5000 ];");
  }
};

TEST_F(OnePort, backends_without_a_source_port_are_passed_over) {
  for (unsigned i = 0; i <= kBackends; ++i) {
    const auto frame = [&](const Tcp& t) {
      return tcp_frame(rig.to_us(kClient), {.from = kClient, .to = kVip4},
                       static_cast<uint16_t>(41000 + i), 80, t);
    };
    const Seen hello = only(
        rig.send(kFront, frame({.flags = kSyn, .seq = 1000, .options = {2, 4, 5, 0xb4}})), kFront);
    out = rig.send(kFront,
                   frame({.flags = kAck, .seq = 1001, .ack = hello.seq + 1, .data = kRequest}));
    if (i == kBackends) break;
    EXPECT_TRUE(tried.insert(only(out, kBack).to).second) << i;
  }
  EXPECT_EQ(said().substr(0, 32), "HTTP/1.1 503 Service Unavailable");
}

// Otherwise a connection in TIME_WAIT would send its client's next one to another backend.
TEST_F(OnePort, a_connection_that_has_ended_gives_its_port_to_the_next_one) {
  ask();
  const Seen syn = only(out, kBack);
  backend = syn.to;
  source_port = syn.from_port;
  const auto next = [&](uint16_t port) {
    const auto frame = [&](const Tcp& t) {
      return tcp_frame(rig.to_us(kClient), {.from = kClient, .to = kVip4}, port, 80, t);
    };
    const Seen hello = only(
        rig.send(kFront, frame({.flags = kSyn, .seq = 1000, .options = {2, 4, 5, 0xb4}})), kFront);
    return only(
        rig.send(kFront,
                 frame({.flags = kAck, .seq = 1001, .ack = hello.seq + 1, .data = kRequest})),
        kBack);
  };
  EXPECT_NE(next(41000).to, backend) << "under way: not even for a client of that backend";
  rig.send(kBack, from_backend({.flags = kSyn | kAck, .seq = 7000, .ack = 1001}));
  EXPECT_EQ(rig.sum(&dataplane::WorkerCounters::flows_evicted), 0u);
  rig.send(kFront, client({.flags = kFin | kAck, .seq = 1028, .ack = isn + 1}));
  rig.send(kBack, from_backend({.flags = kFin | kAck, .seq = 7001, .ack = 1029}));
  const Seen again = next(41001);
  EXPECT_EQ(again.to, backend);
  EXPECT_EQ(again.from_port, source_port);
  EXPECT_EQ(rig.sum(&dataplane::WorkerCounters::flows_evicted), 1u);
}

// No address decides: only that others were tried tells that a backend is not the first choice.
class Balanced : public SpliceConnectTest {
 protected:
  Balanced()
      : SpliceConnectTest(with(
            twelve(),
            R"(mode = "splice"; vip = "10.1.0.100"; port = 80; protocol = "tcp"; pool = "web";
    persistence = ( { type = "source"; } );)",
            R"(mode = "splice"; vip = "10.1.0.100"; port = 80; protocol = "tcp"; pool = "web";)")) {
  }
};

TEST_F(Balanced, a_backend_that_is_chosen_behind_another_counts_as_redispatched) {
  ask();
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(refuse());
  const IpAddress fourth = look(out.at(0).frame).to;
  uint64_t failures = 0, redispatched = 0;
  for (const dataplane::BackendCounters& b : rig.stats().backends) {
    failures += b.connect_failures.get();
    redispatched += b.redispatched.get();
  }
  EXPECT_EQ(failures, 3u);
  EXPECT_EQ(redispatched, 3u);
  EXPECT_EQ(rig.stats().backends[rig.backend_at(fourth, 8080)].redispatched.get(), 1u);
}

TEST_F(SpliceConnectTest, a_client_whose_own_backend_is_known_to_be_down_is_redispatched_too) {
  ask();
  const IpAddress own = look(out.at(0).frame).to;
  ASSERT_TRUE(refuse());
  rig.down(rig.backend_at(own, 8080));
  const auto count = [&] {
    uint64_t sum = 0;
    for (const dataplane::BackendCounters& b : rig.stats().backends) sum += b.redispatched.get();
    return sum;
  };
  const uint64_t before = count();
  out = rig.send(kFront, tcp_frame(rig.to_us(kClient), {.from = kClient, .to = kVip4}, 40001, 80,
                                   {.flags = kSyn, .seq = 1000, .options = {2, 4, 5, 0xb4}}));
  const uint32_t number = look(out.at(0).frame).seq;
  out = rig.send(kFront,
                 tcp_frame(rig.to_us(kClient), {.from = kClient, .to = kVip4}, 40001, 80,
                           {.flags = kAck, .seq = 1001, .ack = number + 1, .data = kRequest}));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_NE(look(out[0].frame).to, own);
  EXPECT_EQ(count(), before + 1);
}

}  // namespace
}  // namespace limpet::worker_test
