#include "silence.h"

#include <fmt/core.h>

#include <algorithm>
#include <memory>

#include "http_app.h"
#include "network.h"
#include "scenario.h"
#include "worker_box.h"

namespace limpet::sim {
namespace {

using namespace std::chrono_literals;

// The longest of the time-outs below, and what an end repeats into the void before it gives up.
constexpr Duration kLongest = 10s, kGivesUp = 10s;

struct Talk {
  HttpClientOptions client;
  std::vector<HttpAnswer> answers;
  std::string down;          // everything that the server says
  std::vector<size_t> ends;  // of its messages
};

Talk draw(Random& r) {
  Talk t;
  const size_t count = 1 + r.below(4);
  for (size_t i = 0; i < count; ++i) {
    const bool last = i + 1 == count;
    HttpRequest q;
    HttpAnswer a;
    const bool upgrade = last && r.chance(20);
    const bool post = !upgrade && r.chance(40);
    const size_t size = post ? r.pick<size_t>({0, 100, 30000}) : 0;
    const bool in_chunks = post && r.chance(40);
    q.head = fmt::format("{} / HTTP/1.1\r\nHost: a\r\n", post ? "POST" : "GET");
    if (in_chunks)
      q.head += "Transfer-Encoding: chunked\r\n";
    else if (post)
      q.head += fmt::format("Content-Length: {}\r\n", size);
    if (upgrade) q.head += "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    q.head += "\r\n";
    if (post) q.body = in_chunks ? chunked(seeded(r.next(), size), 1000) : seeded(r.next(), size);
    q.think = r.pick<Duration>({Duration(0), 300ms, 2s});
    q.pipelined = i > 0 && !upgrade && r.chance(20);
    const size_t bytes = upgrade ? 0 : r.pick<size_t>({0, 100, 60000});
    const bool answer_chunks = !upgrade && r.chance(40);
    a.head = upgrade ? "HTTP/1.1 101 Yes\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
             : answer_chunks ? std::string("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                             : fmt::format("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes);
    if (!upgrade) {
      const std::string body = seeded(r.next(), bytes);
      a.body = answer_chunks ? chunked(body, 5000) : body;
    }
    a.delay = r.pick<Duration>({Duration(0), 200ms, 1s});
    a.upgrades = upgrade;
    t.down += a.head + a.body;
    t.ends.push_back(t.down.size());
    if (upgrade) {
      t.client.upgraded = seeded(r.next(), 500);
      t.down += t.client.upgraded;
    }
    t.client.requests.push_back(std::move(q));
    t.answers.push_back(std::move(a));
  }
  t.client.half_close = t.client.upgraded.empty() && r.chance(30);
  return t;
}

// What the client may have read: a part of what the server said, or whole messages of it and then
// limpet's own.
std::string judge(const Talk& t, const std::string& received, bool& told) {
  const size_t own = std::min(received.find("HTTP/1.1 504"), received.find("HTTP/1.1 503"));
  told = own != std::string::npos;
  const std::string theirs = received.substr(0, own);
  if (t.down.compare(0, theirs.size(), theirs) != 0) return "other octets than were sent";
  if (!told || own == 0) return "";
  const bool whole = std::find(t.ends.begin(), t.ends.end(), own) != t.ends.end();
  return whole ? "" : "an answer of limpet's within one of the server's";
}

}  // namespace

std::vector<std::string> fall_silent(uint64_t seed, Trace* trace, Silences& silences) {
  Random r(seed ^ 0x73696c656e74);
  const Talk talk = draw(r);
  WorkerBoxOptions o;
  o.seed = seed;
  o.v6 = r.chance(40);
  o.dead = false;
  o.connect = "1s";
  const bool nat = r.chance(25);
  if (nat) {
    o.mode = "nat";
    o.timeouts = R"(idle = "6s"; half_closed = "7s";)";
    ++silences.nat;
  } else {
    o.timeouts =
        R"(idle = "9s"; response = "5s"; keep_alive = "6s"; tunnel = "10s"; half_closed = "7s";)";
    if (r.chance(75)) o.service = "forwarded = \"x-forwarded-for\";";
  }
  WorkerBox box(o);
  const MacAddress client_mac{{2, 1, 10, 1, 0, 1}}, server_mac{{2, 1, 10, 2, 0, 1}};
  Host client("client", client_address(o.v6), client_mac, server_mac);
  Host server("server", server_address(o.v6), server_mac, client_mac);
  Network network(box, seed);
  network.trace = trace;
  LinkOptions link;
  link.delay = r.pick<Duration>({100us, 5ms, 40ms});
  link.loss = r.pick({0u, 0u, 30u});
  network.join(client, 0, link, link);
  network.join(server, 1, link, link);

  EndpointOptions e;
  e.timestamps = r.chance(60);
  e.sack = r.chance(60);
  e.mss = o.v6 ? 1440 : 1460;
  e.rto_max = 1s;
  e.retries = 8;
  e.time_wait = 1s;
  e.check.data_probes = true;
  e.check.in_order = false;
  e.check.windows_close = true;
  e.check.timestamps_may_go_back = 60000;
  server.listen(kServerPort, [&](const Segment&) {
    EndpointOptions s = e;
    s.isn = static_cast<uint32_t>(r.next());
    return Host::Accepted{s, std::make_unique<HttpServerApp>([&](const HttpMessage&, size_t i) {
                            return i < talk.answers.size() ? talk.answers[i] : HttpAnswer{};
                          })};
  });
  EndpointOptions c = e;
  c.isn = static_cast<uint32_t>(r.next());
  c.local_port = static_cast<uint16_t>(40000 + seed % 20000);
  c.remote = WorkerBox::vip(o.v6);
  c.remote_port = kServerPort;
  HttpClientApp browser(talk.client);
  const Endpoint& opener = client.connect(c, browser, network.now());
  network.pump();

  const bool client_falls = r.chance(50);
  network.run_for(Duration(std::chrono::milliseconds(r.below(4000))));
  for (const bool up : {true, false}) {
    LinkOptions cut = link;
    cut.loss = 1000;
    network.set_link(client_falls ? client : server, up, cut);
  }
  const auto other = [&]() -> const Endpoint* {
    if (!client_falls) return &opener;
    return server.connections().empty() ? nullptr : server.connections().back().endpoint.get();
  };
  const Instant silent = network.now();
  // A server that is not connected to yet may be still.
  network.run([&] { return other() != nullptr && other()->done(); },
              silent + kLongest + kGivesUp + 2s);
  network.run_for(1s);

  ++silences.seeds;
  std::vector<std::string> failures;
  const auto fail = [&](std::string text) { failures.push_back(std::move(text)); };
  const Endpoint* const left = other();
  if (left != nullptr && !left->done()) fail("the other end still waits: " + left->describe());
  if (left != nullptr && left->end() == End::reset) ++silences.reset;
  bool told = false;
  if (const std::string text = judge(talk, browser.received(), told); !text.empty()) fail(text);
  silences.told += told ? 1 : 0;
  for (const Host* h : {&client, &server})
    for (const std::string& text : h->violations()) fail(text);
  for (const std::string& text : network.violations()) fail(text);
  if (const std::string text = box.leaks(); !text.empty()) fail(text);
  box.rig().finish();
  if (!failures.empty())
    failures.insert(failures.begin(),
                    fmt::format("{} falls silent after {} ms{}; {} requests",
                                client_falls ? "client" : "server", (silent - Instant{}) / 1ms,
                                nat ? ", mode nat" : "", talk.answers.size()));
  return failures;
}

}  // namespace limpet::sim
