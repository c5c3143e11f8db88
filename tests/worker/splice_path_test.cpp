// What a worker makes itself for a spliced connection obeys the path: frames as they leave.
#include "splice_fixture.h"

namespace limpet::worker_test {
namespace {

constexpr uint8_t kExpedited = 0xb8, kAssured = 0x28, kEct0 = 2;

struct Family {
  const char* name;
  IpAddress client, vip, source;
};

// Cookies are inserted; `front` is the MTU of the port towards clients.
std::string edited(const std::string& front) {
  std::string text =
      with(kTwoArms, R"(device = "net_ring0";)", R"(device = "net_ring0"; mtu = )" + front + ";");
  for (const std::string name : {"web", "web6"}) {
    text = with(text, "{ name = \"" + name + "\"; vip",
                "{ name = \"" + name + "\"; mode = \"splice\"; vip");
    text = with(text, "pool = \"" + name + "\";\n    persistence = ( { type = \"source\"; } );",
                "pool = \"" + name + R"("; persistence = ( { type = "cookie"; mode = "insert";
                                              session_name = "SRV"; value = "plain"; } );)");
  }
  return text;
}

class SplicePath : public testing::TestWithParam<Family> {
 protected:
  explicit SplicePath(const std::string& front = "1500")
      : rig([&] {
          Rig::Setup s;
          s.config = edited(front);
          return s;
        }()) {}

  Bytes from_client(const Tcp& t, uint8_t ttl = 64, uint8_t tos = 0) {
    return tcp_frame(rig.to_us(w.client), {.from = w.client, .to = w.vip, .ttl = ttl, .tos = tos},
                     40000, 80, t);
  }
  Bytes from_backend(const Tcp& t, uint8_t ttl = 64, uint8_t tos = 0) {
    return tcp_frame(rig.to_us(backend), {.from = backend, .to = w.source, .ttl = ttl, .tos = tos},
                     8080, source_port, t);
  }
  static uint8_t traffic_class(const Bytes& f) {
    return f[12] == 0x08 ? f[15] : static_cast<uint8_t>(f[14] << 4 | f[15] >> 4);
  }
  static Bytes mss(uint16_t n) {
    return {2, 4, static_cast<uint8_t>(n >> 8), static_cast<uint8_t>(n)};
  }
  Seen only(const std::vector<Left>& out) {
    EXPECT_EQ(out.size(), 1u) << rig.drop_list();
    if (out.empty()) return {};
    last = out[0].frame;
    const Seen s = look(last);
    EXPECT_TRUE(s.sums_right);
    return s;
  }

  const Family& w = GetParam();
  Rig rig;
  Bytes last;
  IpAddress backend;
  uint16_t source_port = 0;
  const Bytes request = bytes_of("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
};

INSTANTIATE_TEST_SUITE_P(Families, SplicePath,
                         testing::Values(Family{"v4", ip("10.1.0.2"), kVip4, kSource4},
                                         Family{"v6", ip("fd00:1::2"), kVip6, kSource6}),
                         [](const auto& i) { return std::string(i.param.name); });

TEST_P(SplicePath, hops_and_marks_of_frames_of_our_own) {
  Seen s = only(rig.send(
      kFront, from_client({.flags = kSyn, .seq = 1000, .options = mss(1400)}, 50, kExpedited)));
  EXPECT_EQ(s.ttl, 64) << "nobody has spoken whose place it takes";
  EXPECT_EQ(traffic_class(last), 0);
  const uint32_t isn = s.seq;
  s = only(rig.send(
      kFront, from_client({.flags = kAck | kPsh, .seq = 1001, .ack = isn + 1, .data = request}, 50,
                          kExpedited | kEct0)));
  EXPECT_EQ(s.flags, kSyn);
  EXPECT_EQ(s.ttl, 49);
  EXPECT_EQ(traffic_class(last), kExpedited) << "a SYN is not ECN-capable (RFC 3168, 6.1.1)";
  backend = s.to;
  source_port = s.from_port;
  s = only(rig.send(
      kBack, from_backend({.flags = kSyn | kAck, .seq = 7000, .ack = 1001, .options = mss(1400)},
                          200, kAssured)));
  EXPECT_EQ(s.data, request);
  EXPECT_EQ(s.ttl, 49);
  EXPECT_EQ(traffic_class(last), kExpedited);
  // A response with a cookie, and one as it is.
  const Bytes head = bytes_of("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
  s = only(
      rig.send(kBack, from_backend({.flags = kAck, .seq = 7001, .ack = 1001 + 27, .data = head},
                                   199, kAssured | kEct0)));
  EXPECT_GT(s.data.size(), head.size());
  EXPECT_EQ(s.ttl, 198);
  EXPECT_EQ(traffic_class(last), kAssured | kEct0) << "relayed";
  s = only(rig.send(
      kBack, from_backend({.flags = kAck, .seq = 7001 + 40, .ack = 1001 + 27, .data = pattern(50)},
                          198, kAssured | kEct0)));
  EXPECT_EQ(s.ttl, 197);
  EXPECT_EQ(traffic_class(last), kAssured | kEct0);
  // An ACK of ours in the client's place.
  s = only(rig.send(
      kBack,
      from_backend({.flags = kAck, .seq = 7001 + 90, .ack = 1001 + 900, .data = pattern(50)})));
  EXPECT_EQ(s.ttl, 49);
  EXPECT_EQ(traffic_class(last), kExpedited);
}

// The backend's port takes 1500.
class SmallFront : public SplicePath {
 protected:
  SmallFront() : SplicePath("1400") {}

  // Up to an established splice; what the backend was told of MSS.
  uint16_t establish(const Bytes& syn_options) {
    const uint32_t isn =
        only(rig.send(kFront, from_client({.flags = kSyn, .seq = 1000, .options = syn_options})))
            .seq;
    client_next = isn + 1;
    const Seen syn = only(rig.send(
        kFront, from_client({.flags = kAck | kPsh, .seq = 1001, .ack = isn + 1, .data = request})));
    const uint16_t told = get16(last, syn.l4 + 22);
    backend = syn.to;
    source_port = syn.from_port;
    only(rig.send(
        kBack,
        from_backend({.flags = kSyn | kAck, .seq = 7000, .ack = 1001, .options = mss(1460)})));
    return told;
  }
  // Of what left towards the client, all of which fits.
  Bytes data_to_client(const std::vector<Left>& out, size_t most) {
    Bytes all;
    for (const Left& l : out) {
      if (l.port != kFront) continue;
      EXPECT_LE(l.frame.size(), 14u + 1400u);
      const Bytes data = look(l.frame).data;
      EXPECT_LE(data.size(), most);
      all = all + data;
    }
    return all;
  }

  uint32_t client_next = 0;
  const size_t headers = w.vip.is_v4() ? 40 : 60;
};

INSTANTIATE_TEST_SUITE_P(Families, SmallFront,
                         testing::Values(Family{"v4", ip("10.1.0.2"), kVip4, kSource4},
                                         Family{"v6", ip("fd00:1::2"), kVip6, kSource6}),
                         [](const auto& i) { return std::string(i.param.name); });

TEST_P(SmallFront, a_response_that_fills_its_segment_and_gets_a_cookie_arrives) {
  EXPECT_EQ(establish(mss(1460)), 1400 - headers) << "what it sends must leave again";
  Bytes head = bytes_of("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n");
  const size_t full = 1500 - headers;
  const Bytes response = head + pattern(full - head.size());
  const auto out =
      rig.send(kBack, from_backend({.flags = kAck, .seq = 7001, .ack = 1028, .data = response}));
  EXPECT_EQ(out.size(), 2u) << rig.drop_list();
  const Bytes seen = data_to_client(out, 1400 - headers);
  EXPECT_GT(seen.size(), response.size());
  EXPECT_EQ(Bytes(seen.end() - 1000, seen.end()), Bytes(response.end() - 1000, response.end()));
  EXPECT_EQ(rig.drops(), 0u);

  // The next one has no edit in it: its sender is told, with room for the cookie, until that has
  // arrived. IPv6 is told no less than every host takes.
  const size_t inserted = seen.size() - response.size();
  const Tcp next{
      .flags = kAck, .seq = static_cast<uint32_t>(7001 + full), .ack = 1028, .data = pattern(full)};
  const auto mtu_of = [&](const std::vector<Left>& said) {
    const Seen error = only(said);
    EXPECT_EQ(error.icmp_type, w.vip.is_v4() ? 3 : 2);
    return get32(last, error.l4 + 4);
  };
  EXPECT_EQ(mtu_of(rig.send(kBack, from_backend(next))), 1400 - inserted);
  rig.send(kFront, from_client({.flags = kAck,
                                .seq = 1028,
                                .ack = client_next + static_cast<uint32_t>(seen.size())}));
  EXPECT_EQ(mtu_of(rig.send(kBack, from_backend(next))), 1400u);
  EXPECT_EQ(rig.drops(Drop::mtu_exceeded), 2u);
  EXPECT_EQ(rig.drops(), 2u);
}

TEST_P(SmallFront, a_client_that_takes_little_or_says_nothing_gets_no_more) {
  const Bytes head = bytes_of("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n");
  const Bytes response = head + pattern(1200);
  EXPECT_LE(establish(mss(100)), 100);
  const auto out =
      rig.send(kBack, from_backend({.flags = kAck, .seq = 7001, .ack = 1028, .data = response}));
  EXPECT_GT(data_to_client(out, 100).size(), response.size());
}

TEST_P(SmallFront, a_client_without_an_mss_gets_what_everybody_takes) {
  const Bytes head = bytes_of("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n");
  const Bytes response = head + pattern(1200);
  EXPECT_EQ(establish({}), 536);
  const auto out =
      rig.send(kBack, from_backend({.flags = kAck, .seq = 7001, .ack = 1028, .data = response}));
  EXPECT_GT(data_to_client(out, 536).size(), response.size());
}

}  // namespace
}  // namespace limpet::worker_test
