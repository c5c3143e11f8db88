// The simulated browser and web server: every kind of message, whole and in pieces, over a bad
// network and through a translation, arrives octet by octet as it was written.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "boxes.h"
#include "http_app.h"
#include "network.h"
#include "scenario.h"

namespace limpet::sim {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

const std::string kOk = "HTTP/1.1 200 OK\r\n";

std::string length(size_t n) {
  return fmt::format("Content-Length: {}\r\n\r\n", n);
}
const std::string kChunked = "Transfer-Encoding: chunked\r\n\r\n";

std::vector<unsigned> statuses(const std::vector<HttpMessage>& messages) {
  std::vector<unsigned> all;
  for (const HttpMessage& m : messages) all.push_back(m.status());
  return all;
}

// One connection; both streams are compared whatever the test looks at besides.
struct Web {
  explicit Web(HttpClientOptions options, HttpServerApp::Handler handler, uint64_t seed = 1,
               LinkOptions link = {})
      : box({7, 9, 11, 13}),
        network(box, seed),
        client("client", client_address(false), {{2, 0, 0, 0, 0, 1}}, {{2, 0, 0, 0, 0, 2}}),
        server("server", server_address(false), {{2, 0, 0, 0, 0, 2}}, {{2, 0, 0, 0, 0, 1}}),
        app(std::move(options)) {
    network.join(client, 0, link, link);
    network.join(server, 1, {}, {});
    server.listen(80, [this, handler](const Segment&) {
      auto made = std::make_unique<HttpServerApp>(handler);
      server_app = made.get();
      return Host::Accepted{{}, std::move(made)};
    });
    EndpointOptions o;
    o.local_port = 4000;
    o.remote = server.address;
    o.remote_port = 80;
    Endpoint& opener = client.connect(o, app, network.now());
    const bool closed = network.run(
        [&] {
          return opener.done() && server_app != nullptr &&
                 server.connections().back().endpoint->done();
        },
        Instant{} + 600s);
    EXPECT_TRUE(closed) << opener.describe();
    EXPECT_THAT(client.violations(), IsEmpty());
    EXPECT_THAT(server.violations(), IsEmpty());
    EXPECT_EQ(compare(server_app->received(), app.written()), "");
    EXPECT_EQ(compare(app.received(), server_app->written()), "");
  }

  ShiftingBox box;
  Network network;
  Host client, server;
  HttpClientApp app;
  HttpServerApp* server_app = nullptr;
};

HttpRequest get(const std::string& path, const std::string& fields = "") {
  return {.head = fmt::format("GET {} HTTP/1.1\r\nHost: x\r\n{}\r\n", path, fields)};
}

HttpServerApp::Handler of_seeds() {
  return [](const HttpMessage&, size_t i) {
    const std::string body = seeded(i, 3000 * (i + 1));
    return HttpAnswer{.head = kOk + length(body.size()), .body = body};
  };
}

TEST(Http, keep_alive_requests_with_heads_in_pieces) {
  HttpRequest in_pieces = get("/b");
  in_pieces.cuts = {1, 5, 17, 30};
  in_pieces.pause = 5ms;
  Web web({.requests = {get("/a"), in_pieces, get("/c")}}, of_seeds());
  EXPECT_TRUE(web.app.complete());
  EXPECT_THAT(statuses(web.app.responses()), ElementsAre(200, 200, 200));
  EXPECT_EQ(web.app.responses()[2].body, seeded(2, 9000));
  EXPECT_EQ(web.server_app->requests()[1].first_line(), "GET /b HTTP/1.1");
}

TEST(Http, pipelined_requests) {
  HttpClientOptions o;
  for (int i = 0; i < 6; ++i) {
    o.requests.push_back(get(fmt::format("/{}", i)));
    o.requests.back().pipelined = true;
  }
  Web web(o, of_seeds());
  EXPECT_EQ(web.app.responses().size(), 6u);
  EXPECT_EQ(web.server_app->requests()[5].first_line(), "GET /5 HTTP/1.1");
}

TEST(Http, bodies_by_length_in_chunks_and_until_close) {
  const std::string body = seeded(5, 40000);
  HttpRequest with_length{.head = "POST /l HTTP/1.1\r\n" + length(body.size()), .body = body};
  HttpRequest in_chunks{.head = "POST /c HTTP/1.1\r\n" + kChunked,
                        .body = chunked(body, 777, "Sum: 1\r\n")};
  Web web({.requests = {with_length, in_chunks, get("/")}},
          [&](const HttpMessage&, size_t i) -> HttpAnswer {
            if (i == 0) return {.head = kOk + kChunked, .body = chunked(body, 1000)};
            if (i == 1) return {.head = kOk + length(0)};
            return {.head = "HTTP/1.0 200 OK\r\n\r\n", .body = body, .closes = true};
          });
  EXPECT_EQ(web.server_app->requests()[0].body, body);
  EXPECT_EQ(web.server_app->requests()[1].body, body);
  EXPECT_EQ(web.app.responses()[0].body, body);
  EXPECT_EQ(web.app.responses()[1].body, "");
  EXPECT_EQ(web.app.responses()[2].body, body);
  EXPECT_TRUE(web.app.responses()[2].ended_by_close);
}

TEST(Http, answers_without_bodies) {
  const HttpRequest head{.head = "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"};
  Web web({.requests = {head, get("/204"), get("/304"), get("/end")}},
          [](const HttpMessage& m, size_t i) -> HttpAnswer {
            if (i == 1) return {.head = "HTTP/1.1 204 No Content\r\n\r\n"};
            if (i == 2) return {.head = "HTTP/1.1 304 Not Modified\r\n" + length(99)};
            return {.head = kOk + length(5), .body = m.method() == "HEAD" ? "" : "hello"};
          });
  EXPECT_THAT(statuses(web.app.responses()), ElementsAre(200, 204, 304, 200));
  EXPECT_EQ(web.app.responses()[3].body, "hello");
}

TEST(Http, interim_answers_and_continue) {
  const std::string body = seeded(1, 5000);
  HttpRequest post{.head = "POST / HTTP/1.1\r\nExpect: 100-continue\r\n" + length(body.size()),
                   .body = body,
                   .wants_continue = true};
  Web web({.requests = {post, get("/")}}, [](const HttpMessage&, size_t) {
    return HttpAnswer{.head = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + kOk + length(2),
                      .cuts = {12, 60},
                      .pause = 3ms,
                      .body = "ok"};
  });
  EXPECT_THAT(statuses(web.app.responses()), ElementsAre(100, 103, 200, 103, 200));
  EXPECT_EQ(web.server_app->requests()[0].body, body);
}

TEST(Http, after_an_upgrade_everything_is_echoed) {
  const std::string talk = seeded(8, 70000);
  Web web({.requests = {get("/ws", "Upgrade: websocket\r\n")}, .upgraded = talk},
          [](const HttpMessage&, size_t) {
            return HttpAnswer{.head = "HTTP/1.1 101 Switching Protocols\r\n\r\n", .upgrades = true};
          });
  EXPECT_EQ(compare(web.app.upgraded(), talk), "");
}

TEST(Http, a_half_closed_client_still_gets_its_answer) {
  Web web({.requests = {get("/")}, .half_close = true}, [](const HttpMessage&, size_t) {
    return HttpAnswer{.head = kOk + length(3), .body = "abc", .delay = 100ms};
  });
  EXPECT_EQ(web.app.responses().size(), 1u);
}

TEST(Http, a_bad_network_changes_nothing) {
  const std::string body = seeded(5, 20000);
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    HttpRequest post{.head = "POST / HTTP/1.1\r\n" + kChunked, .body = chunked(body, 500)};
    post.cuts = {seed, seed + 9};
    post.pause = 2ms;
    Web web({.requests = {get("/"), post, get("/2")}}, of_seeds(), seed,
            {.loss = 150, .duplicate = 30, .reorder = 60});
    EXPECT_THAT(statuses(web.app.responses()), ElementsAre(200, 200, 200));
    EXPECT_GT(web.network.counts().lost, 0u);
  }
}

TEST(HttpReader, cut_anywhere_reads_the_same) {
  const std::string stream =
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n" +
      chunked("hello world", 4, "T: 1\r\n") + kOk + length(3) + "abc";
  for (size_t cut = 0; cut <= stream.size(); ++cut) {
    std::vector<HttpMessage> all;
    HttpReader reader([] { return false; });
    const auto keep = [&](const HttpMessage& m) { all.push_back(m); };
    reader.feed(std::string_view(stream).substr(0, cut), keep);
    reader.feed(std::string_view(stream).substr(cut), keep);
    ASSERT_EQ(all.size(), 3u) << cut;
    EXPECT_EQ(all[1].body, "hello world");
    EXPECT_EQ(all[2].body, "abc");
    EXPECT_EQ(all[0].raw + all[1].raw + all[2].raw, stream);
    EXPECT_TRUE(reader.end(keep));
  }
}

TEST(HttpReader, a_stream_that_ends_in_the_middle_is_no_message) {
  HttpReader reader([] { return false; });
  const auto none = [](const HttpMessage&) { ADD_FAILURE(); };
  reader.feed(kOk + length(3) + "ab", none);
  EXPECT_FALSE(reader.end(none));
}

TEST(Compare, says_where_and_what) {
  EXPECT_EQ(compare("same", "same"), "");
  EXPECT_EQ(compare("abcX", "abcdef"),
            "differs at octet 3 (4 octets, wanted 6): got 'X', wanted 'def'");
  EXPECT_EQ(compare("abc", "abc\n"),
            "differs at octet 3 (3 octets, wanted 4): got '', wanted '\\x0a'");
}

}  // namespace
}  // namespace limpet::sim
