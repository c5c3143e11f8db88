#include "scenario.h"

#include <fmt/format.h>

#include <utility>

namespace limpet::sim {

namespace {

constexpr MacAddress kClientMac{{2, 1, 10, 1, 0, 1}};
constexpr MacAddress kServerMac{{2, 1, 10, 2, 0, 1}};

uint32_t draw_isn(Random& r) {
  // One in four passes 2^32 within the first 64 kB.
  if (r.chance(25)) return 0xffffffffu - static_cast<uint32_t>(r.below(60000));
  return static_cast<uint32_t>(r.next());
}

uint32_t draw_clock(Random& r) {
  switch (r.below(5)) {
    case 0:
      return 0xffffffffu - static_cast<uint32_t>(r.below(2000));  // wraps soon
    case 1:
      return 0x80000000u + static_cast<uint32_t>(r.below(1000));
    case 2:
      return static_cast<uint32_t>(r.below(3));
    default:
      return static_cast<uint32_t>(r.next());
  }
}

EndpointOptions draw_end(Random& r, bool v6) {
  EndpointOptions o;
  const auto headers = static_cast<uint16_t>(header_bytes(!v6));
  o.mtu = v6 ? r.pick<uint16_t>({1280, 1500, 1500, 9000})
             : r.pick<uint16_t>({576, 1280, 1500, 1500, 1500, 9000});
  o.mss = static_cast<uint16_t>(o.mtu - headers);
  if (r.chance(20)) o.mss = static_cast<uint16_t>(r.between(536, o.mss));
  o.isn = draw_isn(r);
  o.sack = !r.chance(25);
  o.timestamps = !r.chance(30);
  o.timestamp_start = draw_clock(r);
  o.timestamp_tick = r.pick<Duration>({1ms, 1ms, 1ms, 4ms, 10ms, 200us});
  o.initial_window = static_cast<unsigned>(r.pick<unsigned>({1, 2, 4, 10, 10, 10}));
  o.nagle = r.chance(50);
  o.delayed_ack = r.chance(60);
  o.coalesce = r.chance(60);
  o.persist_with_data = r.chance(30);
  o.rto_max = 20s;  // three tries at least within a TIME_WAIT
  o.send_buffer = r.pick<size_t>({4000, 16384, size_t{1} << 20});

  const uint64_t window = r.below(20);
  if (window == 0) {
    o.receive_buffer = r.between(50, 600);
  } else if (window < 5) {
    o.receive_buffer = r.between(600, 8000);
  } else if (window < 16) {
    o.receive_buffer = r.between(8000, 65535);
  } else {
    o.receive_buffer = r.between(65536, 4u << 20);
  }
  if (r.chance(20)) {
    o.scale.reset();
  } else {
    // Scaling that the buffer can be told in: units of at most a sixteenth.
    uint8_t most = 0;
    while (most < 14 && (o.receive_buffer >> (most + 5)) > 0) ++most;
    o.scale = static_cast<uint8_t>(r.below(uint64_t{most} + 1));
  }
  if (r.chance(25)) {  // a slow reader
    o.read_every = r.pick<Duration>({1ms, 5ms, 50ms});
    o.read_chunk = std::max<size_t>(o.receive_buffer / r.between(1, 4), 1);
    o.read_chunk = std::max<size_t>(o.read_chunk, 40);
  }
  if (r.chance(15)) {
    o.keepalive = r.pick<Duration>({50ms, 300ms});
    o.keepalive_garbage = r.chance(50);
  }
  return o;
}

PatternOptions draw_app(Random& r) {
  PatternOptions p;
  p.total = r.between(65536, 80000);
  if (r.chance(30)) {
    p.every = r.pick<Duration>({1ms, 3ms, 20ms});
    p.chunk = r.chance(50) ? r.between(200, 1500) : r.between(3000, 20000);
  } else if (r.chance(20)) {
    p.chunk = r.between(100, 700);  // small writes without a pause
  }
  if (r.chance(20)) p.start = Duration(std::chrono::milliseconds(r.below(500)));
  return p;
}

LinkOptions draw_link(Random& r, bool v6) {
  LinkOptions l;
  l.delay = Duration(std::chrono::microseconds(r.pick<uint64_t>({10, 500, 5000, 20000})));
  if (r.chance(30)) l.jitter = l.delay / 2;
  if (r.chance(15)) l.mtu = v6 ? 1280 : r.pick<uint16_t>({576, 1000, 1280, 1400});
  return l;
}

void make_bad(Random& r, LinkOptions& l, unsigned loss) {
  l.loss = loss;
  l.duplicate = static_cast<unsigned>(r.between(5, 40));
  l.reorder = static_cast<unsigned>(r.between(10, 100));
  l.reorder_by = r.pick<Duration>({1ms, 10ms, 60ms, 300ms});
  l.jitter = std::max<Duration>(l.jitter, 100us);
}

// How far back a TSval may seem to go: what the links of this direction may add to a frame.
uint32_t backwards(const LinkOptions& a, const LinkOptions& b, Duration tick) {
  Duration most = a.jitter + b.jitter;
  for (const LinkOptions* l : {&a, &b}) {
    if (l->reorder > 0 || l->duplicate > 0) most += l->reorder_by;
  }
  return static_cast<uint32_t>(most / tick) + 2;
}

bool in_order(const LinkOptions& a, const LinkOptions& b) {
  return a.reorder + a.duplicate + b.reorder + b.duplicate == 0;
}

}  // namespace

IpAddress client_address(bool v6) {
  return v6 ? *IpAddress::parse("fd00:1::1") : IpAddress::v4(10, 1, 0, 1);
}
IpAddress server_address(bool v6) {
  return v6 ? *IpAddress::parse("fd00:2::1") : IpAddress::v4(10, 2, 0, 1);
}

Scenario derive(uint64_t seed, std::optional<unsigned> loss) {
  Random r(seed);
  Scenario s;
  s.seed = seed;
  s.v6 = r.chance(40);
  s.client = draw_end(r, s.v6);
  s.server = draw_end(r, s.v6);
  s.client_app = draw_app(r);
  s.server_app = draw_app(r);
  s.client_app.sends = s.server_app.expects = mix(seed);
  s.server_app.sends = s.client_app.expects = mix(seed + 1);
  s.client_app.awaits = s.server_app.total;
  s.server_app.awaits = s.client_app.total;
  using Close = PatternOptions::Close;
  s.client_app.close =
      r.pick<Close>({Close::when_written, Close::when_received, Close::after_peer});
  s.server_app.close =
      s.client_app.close == Close::after_peer
          ? r.pick<Close>({Close::when_written, Close::when_received})
          : r.pick<Close>({Close::when_written, Close::when_received, Close::after_peer});
  s.client_up = draw_link(r, s.v6);
  s.client_down = draw_link(r, s.v6);
  s.server_up = draw_link(r, s.v6);
  s.server_down = draw_link(r, s.v6);

  LinkOptions* const all[] = {&s.client_up, &s.client_down, &s.server_up, &s.server_down};
  const uint64_t weather = r.below(10);
  if (weather < 3) {  // bad on the client's side, the server's, or half on each
    s.lossy = true;
    const auto where = r.below(3);
    const auto bad = static_cast<unsigned>(r.between(100, 200));
    for (size_t i = 0; i < 4; ++i) {
      if (where == 2) {
        make_bad(r, *all[i], bad / 2);
      } else if ((i < 2) == (where == 0)) {
        make_bad(r, *all[i], bad);
      }
    }
  } else if (weather < 5) {
    for (LinkOptions* l : all) l->loss = static_cast<unsigned>(r.between(1, 20));
  } else if (weather == 5) {
    for (LinkOptions* l : all) l->reorder = 50;
  }
  if (loss) {
    for (LinkOptions* l : all) l->loss = *loss;
  }
  s.attacks = r.chance(15);

  s.client.check.in_order = in_order(s.server_up, s.client_down);
  s.server.check.in_order = in_order(s.client_up, s.server_down);
  s.client.check.timestamps_may_go_back =
      backwards(s.server_up, s.client_down, s.server.timestamp_tick);
  s.server.check.timestamps_may_go_back =
      backwards(s.client_up, s.server_down, s.client.timestamp_tick);
  s.client.check.data_probes = s.server.persist_with_data;
  s.server.check.data_probes = s.client.persist_with_data;
  s.client.check.garbage_probes = s.server.keepalive_garbage;
  s.server.check.garbage_probes = s.client.keepalive_garbage;
  return s;
}

void draw_small_mss(uint64_t seed, Scenario& s) {
  Random r(seed ^ 0x6d7373);
  for (EndpointOptions* e : {&s.client, &s.server})
    if (r.below(8) == 0) e->mss = r.pick<uint16_t>({88, 100, 216, 400});
}

void draw_shrinking(uint64_t seed, Scenario& s) {
  Random r(seed ^ 0x73687275);
  if (r.below(5) != 0) return;
  const bool client = r.chance(50);
  EndpointOptions& shrinks = client ? s.client : s.server;
  shrinks.shrink_every = r.pick<size_t>({3000, 20000, 50000});
  shrinks.shrunk_to = r.pick<size_t>({0, 0, 1, 200, 3000});
  shrinks.shrunk_for = r.pick<Duration>({50ms, 400ms, 3s});
  (client ? s.server : s.client).check.windows_go_back = true;
}

std::string Scenario::describe() const {
  const auto end = [](const char* name, const EndpointOptions& o, const PatternOptions& a) {
    return fmt::format(
        "  {}: isn {} mtu {} mss {} scale {} sack {} timestamps {} (from {}, tick {} us) iw {} "
        "buffers {}/{} read {}/{} us shrinks every {} to {} for {} ms nagle {} delack {} coalesce "
        "{} persist-data {} keepalive {} "
        "ms{}; sends {} in {} every {} us, closes {}\n",
        name, o.isn, o.mtu, o.mss, o.scale ? std::to_string(*o.scale) : "none", o.sack,
        o.timestamps, o.timestamp_start, o.timestamp_tick / 1us, o.initial_window, o.send_buffer,
        o.receive_buffer, o.read_chunk, o.read_every / 1us, o.shrink_every, o.shrunk_to,
        o.shrunk_for / 1ms, o.nagle, o.delayed_ack, o.coalesce, o.persist_with_data,
        o.keepalive / 1ms, o.keepalive_garbage ? " garbage" : "", a.total, a.chunk, a.every / 1us,
        static_cast<int>(a.close));
  };
  const auto link = [](const char* name, const LinkOptions& l) {
    return fmt::format("  {}: delay {} us jitter {} us loss {} dup {} reorder {} by {} us mtu {}\n",
                       name, l.delay / 1us, l.jitter / 1us, l.loss, l.duplicate, l.reorder,
                       l.reorder_by / 1us, l.mtu);
  };
  return fmt::format("seed {}: {}{}{}\n", seed, v6 ? "IPv6" : "IPv4", lossy ? " lossy" : "",
                     attacks ? " attacked" : "") +
         end("client", client, client_app) + end("server", server, server_app) +
         link("client up", client_up) + link("client down", client_down) +
         link("server up", server_up) + link("server down", server_down);
}

// What this connection's host says has these addresses; the rest is the caller's.
static Segment spoken_by(const Host& host, const Endpoint& e) {
  Segment s;
  s.from_mac = host.mac;
  s.to_mac = host.gateway;
  s.from = host.address;
  s.to = e.options().remote;
  s.from_port = e.options().local_port;
  s.to_port = e.options().remote_port;
  return s;
}

Outcome converse(const Scenario& scenario, Middlebox& box, const Meeting& meeting, Trace* trace) {
  Outcome outcome;
  const bool v6 = scenario.v6;
  Host client("client", client_address(v6), kClientMac, kServerMac);
  Host server("server", server_address(v6), kServerMac, kClientMac);
  Network network(box, scenario.seed ^ 0x6e6574);
  network.trace = trace;
  network.join(client, 0, scenario.client_up, scenario.client_down);
  network.join(server, 1, scenario.server_up, scenario.server_down);

  const App* server_app = nullptr;
  server.listen(kServerPort, [&](const Segment&) {
    auto app = meeting.serve();
    server_app = app.get();
    return Host::Accepted{scenario.server, std::move(app)};
  });
  EndpointOptions options = scenario.client;
  options.local_port = static_cast<uint16_t>(40000 + scenario.seed % 20000);
  options.remote = meeting.called.value_or(server.address);
  options.remote_port = kServerPort;
  Endpoint& opener = client.connect(options, meeting.client, network.now());

  if (scenario.attacks) {
    // RFC 5961: a SYN and a RST inside the window, not at its start, change nothing.
    Random r(scenario.seed ^ 0xa77ac);
    for (unsigned i = 0; i < 6; ++i) {
      const auto when = Instant{} + Duration(std::chrono::milliseconds(20 + r.below(400)));
      network.at(when, [&, syn = r.chance(50), at_server = r.chance(50),
                        ahead = 1 + r.below(40)](Instant now) {
        Host& host = at_server ? server : client;
        if (host.connections().empty()) return;
        const Endpoint& victim = *host.connections().front().endpoint;
        if (victim.state() != State::established) return;
        Segment s = spoken_by(host, victim);
        std::swap(s.from_mac, s.to_mac);
        std::swap(s.from, s.to);
        std::swap(s.from_port, s.to_port);
        s.flags = syn ? kSyn : kRst;
        s.seq = victim.expected() + static_cast<uint32_t>(ahead);
        host.on_frame(emit(s), now);
      });
    }
    // Who knows no numbers says something in the name of one end to the box in between.
    for (unsigned i = 0; box.judges() && i < 6; ++i) {
      const auto when = Instant{} + Duration(std::chrono::milliseconds(20 + r.below(400)));
      network.at(when, [&, kind = r.below(3), at_server = r.chance(50),
                        away = 1 + r.below(10)](Instant now) {
        Host& host = at_server ? server : client;
        if (host.connections().empty()) return;
        const Endpoint& named = *host.connections().front().endpoint;
        if (named.state() != State::established) return;
        static const Bytes kData{'d', 'a', 't', 'a'};
        Segment s = spoken_by(host, named);
        s.flags = kind == 0 ? kRst : kind == 1 ? kAck | kFin : kAck;
        s.seq = named.options().isn +
                static_cast<uint32_t>(named.snd_una() + static_cast<int64_t>(away << 28));
        s.ack = named.expected();
        s.window = 1;
        if (kind == 1) s.data = kData;
        network.inject_to_box(at_server ? 1 : 0, emit(s), now);
      });
    }
  }

  const auto done = [&] {
    return opener.done() && server_app != nullptr && server.connections().back().endpoint->done();
  };
  if (meeting.prepare) {
    meeting.prepare(network, client, server);
    network.pump();
  }
  const bool in_time = network.run(done, Instant{} + scenario.limit);
  outcome.took = network.now() - Instant{};
  if (in_time) network.run_for(1s);  // what is still on its way may not contradict either

  const auto fail = [&](std::string text) { outcome.failures.push_back(std::move(text)); };
  if (!in_time && scenario.ends) fail("not closed within the time limit");
  if (server.connections().size() != 1 && scenario.ends) {
    fail(std::to_string(server.connections().size()) + " connections at the server, not one");
  }
  const auto judge = [&](const std::string& who, const Endpoint* e, const App* app) {
    if (e == nullptr || app == nullptr)
      return scenario.ends ? fail(who + ": no connection") : void();
    if (e->end() != End::none && scenario.ends) fail(who + " ended by " + name(e->end()));
    if (const std::string text = meeting.complaint(app); !text.empty()) fail(who + ": " + text);
    if (!outcome.failures.empty()) fail(who + ": " + e->describe());
  };
  judge("client", &opener, &meeting.client);
  judge("server", server_app == nullptr ? nullptr : server.connections().back().endpoint.get(),
        server_app);
  for (const Host* h : {&client, &server}) {
    for (const std::string& text : h->violations()) fail(text);
    outcome.counts += h->counts();
  }
  for (const std::string& text : network.violations()) fail(text);
  for (const std::string& text : network.unused_rules()) fail(text);
  outcome.network = network.counts();
  return outcome;
}

Outcome run(const Scenario& scenario, Middlebox& box, Trace* trace) {
  PatternApp client(scenario.client_app);
  const Meeting meeting{
      client, [&] { return std::make_unique<PatternApp>(scenario.server_app); }, std::nullopt,
      [&](const App* app) {
        const auto& pattern = static_cast<const PatternApp&>(*app);
        return (pattern.complete() || !scenario.ends) && pattern.difference().empty()
                   ? ""
                   : pattern.describe();
      }};
  return converse(scenario, box, meeting, trace);
}

}  // namespace limpet::sim
