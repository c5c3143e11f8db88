// A client, a spliced service and a backend on the rig, with numbers that a test can write down.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "connection.h"

namespace limpet::worker_test {

inline std::string spliced() {
  return with(with(kTwoArms, R"({ name = "web"; vip)", R"({ name = "web"; mode = "splice"; vip)"),
              R"(connect = "5s")", R"(connect = "1s")");
}

inline const Bytes kRequest =
    bytes_of("GET / HTTP/1.1\r\nHost: a\r\n\r\n");  // 27 octets: 1001 to 1027

class SpliceTest : public testing::Test {
 protected:
  explicit SpliceTest(const std::string& config = spliced())
      : SpliceTest([&] {
          Rig::Setup s;
          s.config = config;
          return s;
        }()) {}
  explicit SpliceTest(Rig::Setup setup) : rig(std::move(setup)) {}

  Bytes client(const Tcp& t) {
    return tcp_frame(rig.to_us(kClient), {.from = kClient, .to = kVip4}, 40000, 80, t);
  }
  Seen only(const std::vector<Left>& out, uint16_t port) {
    EXPECT_EQ(out.size(), 1u) << rig.drop_list();
    if (out.empty()) return {};
    EXPECT_EQ(out[0].port, port);
    const Seen s = look(out[0].frame);
    EXPECT_TRUE(s.sums_right);
    return s;
  }
  // SYN and SYN-ACK: our number is in isn.
  void greet(uint32_t a = 1000) {
    const Seen s = only(
        rig.send(kFront, client({.flags = kSyn, .seq = a, .options = {2, 4, 5, 0xb4, 4, 2, 1, 1}})),
        kFront);
    EXPECT_EQ(s.flags, kSyn | kAck);
    EXPECT_EQ(s.ack, a + 1);
    isn = s.seq;
  }
  // The whole way to an established splice; the backend's first number is 7000.
  void establish() {
    greet();
    const Seen syn = only(
        rig.send(kFront,
                 client({.flags = kAck | kPsh, .seq = 1001, .ack = isn + 1, .data = kRequest})),
        kBack);
    backend = syn.to;
    source_port = syn.from_port;
    const auto out = rig.send(
        kBack,
        from_backend({.flags = kSyn | kAck, .seq = 7000, .ack = 1001, .options = {2, 4, 5, 0xb4}}));
    const Seen head = only(out, kBack);
    EXPECT_EQ(head.data, kRequest);
    EXPECT_EQ(head.seq, 1001u);
    EXPECT_EQ(head.ack, 7001u);
  }
  // Where the first SYN goes for a request with these lines; its client is gone again at once.
  IpAddress asks(uint16_t port, const std::string& lines, const char* from = "10.1.0.9") {
    const auto frame = [&](const Tcp& t) {
      return tcp_frame(rig.to_us(ip(from)), {.from = ip(from), .to = kVip4}, port, 80, t);
    };
    const Seen hello = only(
        rig.send(kFront, frame({.flags = kSyn, .seq = 1000, .options = {2, 4, 5, 0xb4}})), kFront);
    const Bytes request = bytes_of("GET / HTTP/1.1\r\nHost: a\r\n" + lines + "\r\n");
    const Seen syn =
        only(rig.send(kFront,
                      frame({.flags = kAck, .seq = 1001, .ack = hello.seq + 1, .data = request})),
             kBack);
    rig.send(kFront, frame({.flags = kRst,
                            .seq = 1001 + static_cast<uint32_t>(request.size()),
                            .ack = hello.seq + 1}));
    return syn.to;
  }
  Bytes from_backend(const Tcp& t) {
    return tcp_frame(rig.to_us(backend), {.from = backend, .to = kSource4}, 8080, source_port, t);
  }

  const IpAddress kClient = ip("10.1.0.2");
  Rig rig;
  uint32_t isn = 0;
  IpAddress backend;
  uint16_t source_port = 0;
};

}  // namespace limpet::worker_test
