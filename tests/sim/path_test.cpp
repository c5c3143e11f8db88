// Named scenarios of paths: ports with different MTUs and ends that take little, with edits in both
// directions. The box finds every frame that does not fit its port, the ends every segment that is
// larger than what they announced.
#include "named.h"

namespace limpet::sim {
namespace {

struct Path {
  uint16_t front, back;     // MTU of the ports
  uint16_t client, server;  // MSS that the ends announce; 0: none
  bool v6 = false;
  bool timestamps = true;
};

std::string name_of(const testing::TestParamInfo<Path>& i) {
  const auto mss = [](uint16_t n) { return n == 0 ? std::string("none") : std::to_string(n); };
  const Path& p = i.param;
  return "ports_" + std::to_string(p.front) + "_" + std::to_string(p.back) + "_mss_" +
         mss(p.client) + "_" + mss(p.server) + (p.v6 ? "_v6" : "_v4") +
         (p.timestamps ? "" : "_without_timestamps");
}

std::vector<Path> paths() {
  std::vector<Path> all;
  for (const bool v6 : {false, true}) {
    for (const uint16_t front : {1280, 1400, 1500, 9000})
      for (const uint16_t back : {1280, 1500, 9000})
        all.push_back({front, back, 1440, 8940, v6, front != back});
    for (const uint16_t client : {100, 536, 1440, 0})
      for (const uint16_t server : {100, 536, 0}) all.push_back({1400, 1500, client, server, v6});
  }
  all.push_back({1400, 1500, 1460, 1460, false});
  all.push_back({1400, 9000, 1460, 1460, false, false});
  return all;
}

class Paths : public testing::TestWithParam<Path> {};

// Two requests whose heads and bodies fill their segments, and so their answers; a cookie goes in
// and out of each.
TEST_P(Paths, everything_arrives_and_fits) {
  const Path& p = GetParam();
  Named n;
  n.scenario.v6 = n.options.v6 = p.v6;
  n.options.front_mtu = p.front;
  n.options.back_mtu = p.back;
  // None: no option in its SYN, and it takes what everybody must.
  const uint16_t least = p.v6 ? 1220 : 536;
  for (auto [e, mss] : {std::pair{&n.scenario.client, p.client}, {&n.scenario.server, p.server}}) {
    e->mtu = 9000;
    e->mss = mss == 0 ? least : mss;
    e->announces = mss != 0;
    e->timestamps = p.timestamps;
    e->retries = 6;
  }
  n.options.service = R"(forwarded = "x-forwarded-for";)" + n.options.service;
  const std::string xff = "X-Forwarded-For: " + client_address(p.v6).to_string() + "\r\n";
  for (int i = 0; i < 2; ++i) {
    const std::string rest =
        "Host: a\r\nX: " + std::string(3000, 'x') + "\r\nContent-Length: 20000\r\n";
    const std::string get = "POST / HTTP/1.1\r\n";
    n.ask(get + rest + "\r\n", get + rest + xff + "\r\n", seeded(1, 20000));
    const std::string head =
        "HTTP/1.1 200 OK\r\nX: " + std::string(3000, 'y') + "\r\nContent-Length: 20000\r\n";
    n.answer(head + "\r\n", head + kSetCookie + "\r\n", seeded(2, 20000));
  }
  n.run();
  EXPECT_EQ(n.worker().originated_too_big.get(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Named, Paths, testing::ValuesIn(paths()), name_of);

}  // namespace
}  // namespace limpet::sim
