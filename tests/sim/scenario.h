// One seed as a whole connection: options of both ends, what their apps do, what the network does;
// run through a box and judged. The box is the caller's, so the product can stand there.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "network.h"
#include "pattern_app.h"

namespace limpet::sim {

struct Scenario {
  uint64_t seed = 0;
  EndpointOptions client, server;  // addresses filled in by run()
  PatternOptions client_app, server_app;
  bool v6 = false;
  LinkOptions client_up, client_down, server_up, server_down;
  bool attacks = false;  // spoofed SYN and RST inside the window
  bool lossy = false;    // 10 to 20 % and everything else
  Duration limit = std::chrono::hours(2);
  bool ends = true;  // by both sides, before the limit; else that is how long it goes on

  std::string describe() const;
};

// What a seed stands for. `loss`: per mille of every link, instead of what the seed draws.
Scenario derive(uint64_t seed, std::optional<unsigned> loss = std::nullopt);

// Ends that take less than any host must (RFC 9293, 3.7.1), in one seed of eight each.
void draw_small_mss(uint64_t seed, Scenario& scenario);

// An end that takes its window back now and then, or closes it, in one seed of five.
void draw_shrinking(uint64_t seed, Scenario& scenario);

struct Outcome {
  std::vector<std::string> failures;
  Counts counts;  // of both hosts
  NetworkCounts network;
  Duration took{};  // simulated
};

// Who meets through the box. The client's host is at port 0, the server's at port 1.
struct Meeting {
  App& client;
  std::function<std::unique_ptr<App>()> serve;
  std::optional<IpAddress> called;  // the client's destination, when it is not the server's address
  // What an app has to say against how it went; empty: all is well. Null for a server that was
  // never reached.
  std::function<std::string(const App*)> complaint;
  // Before anything happens: rules, events. Every rule must come to apply.
  std::function<void(Network&, Host& client, Host& server)> prepare = nullptr;
};
Outcome converse(const Scenario& scenario, Middlebox& box, const Meeting& meeting,
                 Trace* trace = nullptr);

// With the apps that the scenario describes; the box is transparent to addresses.
Outcome run(const Scenario& scenario, Middlebox& box, Trace* trace = nullptr);

inline const uint16_t kServerPort = 80;
IpAddress client_address(bool v6);
IpAddress server_address(bool v6);

}  // namespace limpet::sim
