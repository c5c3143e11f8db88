// Named scenarios of connections that do not end as they should: a client that begins anew from the
// same port, a backend that is gone while octets are under way.
#include <gtest/gtest.h>

#include "http_app.h"
#include "network.h"
#include "trace.h"
#include "worker_box.h"

namespace limpet::sim {
namespace {

using namespace std::chrono_literals;

const MacAddress kClientMac{{2, 1, 10, 1, 0, 1}}, kServerMac{{2, 1, 10, 2, 0, 1}};
const std::string kHead = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

// Both hosts and the worker between them, for more than one connection.
class Stage : public testing::Test {
 protected:
  Stage()
      : box([] {
          WorkerBoxOptions o;
          o.seed = 3;
          o.dead = false;
          return o;
        }()),
        client("client", client_address(false), kClientMac, kServerMac),
        server("server", server_address(false), kServerMac, kClientMac),
        network(box, 3) {
    network.join(client, 0, {}, {});
    network.join(server, 1, {}, {});
    if (std::getenv("LIMPET_TRACE") != nullptr) network.trace = &printer;
    server.listen(kServerPort, [this](const Segment&) {
      return Host::Accepted{options(0x40000000),
                            std::make_unique<HttpServerApp>(
                                [this](const HttpMessage&, size_t) { return answer; }, "")};
    });
    answer.head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    answer.body = "hello";
  }
  ~Stage() override {
    EXPECT_EQ(box.leaks(), "");
    for (const Host* h : {&client, &server})
      for (const std::string& text : h->violations()) ADD_FAILURE() << text;
    for (const std::string& text : network.violations()) ADD_FAILURE() << text;
  }

  EndpointOptions options(uint32_t isn) const {
    EndpointOptions o;
    o.isn = isn;
    o.timestamps = timestamps;
    o.check.timestamps_may_go_back = 60000;
    o.local_port = 40000;
    o.remote = WorkerBox::vip(false);
    o.remote_port = kServerPort;
    return o;
  }
  Endpoint& open(HttpClientApp& app, uint32_t isn) {
    Endpoint& e = client.connect(options(isn), app, network.now());
    network.pump();
    return e;
  }
  const Endpoint& served(size_t i) const { return *server.connections().at(i).endpoint; }

  bool timestamps = true;
  Trace printer{stdout};
  WorkerBox box;
  Host client, server;
  Network network;
  HttpAnswer answer;
};

struct Reuse {
  const char* name;
  tcp::Track state;
  bool timestamps;
};

class TupleReuse : public Stage, public testing::WithParamInterface<Reuse> {};

// The machine of the client crashed, or its NAT box forgot; the number is lower than before, so no
// sequence number tells the new connection from an old one.
TEST_P(TupleReuse, a_lower_initial_number_from_the_same_port) {
  const Reuse& p = GetParam();
  timestamps = p.timestamps;
  HttpClientOptions asks;
  asks.requests.resize(1);
  asks.requests[0].head = kHead;
  HttpClientOptions first_asks = asks;
  first_asks.half_close = p.state == tcp::Track::fin_client;
  if (p.state != tcp::Track::time_wait) answer.delay = std::chrono::minutes(5);
  HttpClientApp first(first_asks), second(asks);
  open(first, 0x90000000);
  network.run_for(1s);
  EXPECT_EQ(box.rig().only_flow().state, p.state);

  client.forget_connections();
  answer.delay = {};
  const Endpoint& e = open(second, 0x10000000);
  network.run([&] { return e.done() && server.connections().size() == 2 && served(1).done(); },
              network.now() + 60s);
  EXPECT_TRUE(second.complete());
  EXPECT_NE(second.received().find("hello"), std::string::npos);
  ASSERT_EQ(server.connections().size(), 2u);
  EXPECT_EQ(served(0).end(), p.state == tcp::Track::time_wait ? End::none : End::reset);
  EXPECT_EQ(served(1).end(), End::none);
  EXPECT_LT(client.counts().retransmissions, 3u) << "no waiting for a time-out";
}

INSTANTIATE_TEST_SUITE_P(
    States, TupleReuse,
    testing::Values(Reuse{"established", tcp::Track::established, true},
                    Reuse{"established_without_timestamps", tcp::Track::established, false},
                    Reuse{"fin_wait", tcp::Track::fin_client, true},
                    Reuse{"fin_wait_without_timestamps", tcp::Track::fin_client, false},
                    Reuse{"time_wait", tcp::Track::time_wait, true},
                    Reuse{"time_wait_without_timestamps", tcp::Track::time_wait, false}),
    [](const auto& reuse) { return reuse.param.name; });

// What is on its way moves the client's expected number beyond the last ACK that limpet has seen,
// to where the second reset is.
TEST_F(Stage, a_backend_that_dies_with_octets_under_way_is_told_to_both_ends) {
  answer.body = seeded(9, 3000000);
  answer.head = "HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n";
  LinkOptions slow;
  slow.delay = 20ms;
  network.set_link(client, true, slow);
  network.set_link(client, false, slow);
  HttpClientOptions asks;
  asks.requests.resize(1);
  asks.requests[0].head = kHead;
  HttpClientApp app(asks);
  const Endpoint& e = open(app, 0x90000000);
  network.run([&] { return app.received().size() > 500000; }, network.now() + 60s);
  ASSERT_FALSE(app.complete());
  box.rig().down(box.rig().backend("web", "s0"));
  const Instant killed = network.now();
  network.run([&] { return e.gone() && served(0).gone(); }, killed + 60s);
  EXPECT_EQ(e.end(), End::reset);
  EXPECT_EQ(served(0).end(), End::reset);
  EXPECT_LT(network.now() - killed, 200ms);
  EXPECT_EQ(box.rig().only_flow().state, tcp::Track::dead);
}

}  // namespace
}  // namespace limpet::sim
