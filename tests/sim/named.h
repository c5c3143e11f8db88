// Named scenarios: one HTTP conversation through a real worker, over a network that does exactly
// what the scenario says. Both streams must arrive as they are written down, both ends must close,
// every rule must have met its frame, and nothing may be left in the worker.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "http_app.h"
#include "scenario.h"
#include "worker_box.h"

namespace limpet::sim {

class Named {
 public:
  Named();  // IPv4, MTU 1500, links of 1 ms that lose nothing; cookies inserted, indirect

  // A request, and how it must arrive; "" for `wanted`: as it is. The same for its answer.
  HttpRequest& ask(const std::string& head, const std::string& wanted,
                   const std::string& body = "");
  HttpAnswer& answer(const std::string& head, const std::string& wanted,
                     const std::string& body = "");

  // Rules for frames of a host, `up`: that it sends. The text is looked for in the octets of one
  // segment.
  static Rule lose(const std::string& host, bool up, const std::string& text);
  static Rule lose_if(const std::string& host, bool up, std::function<bool(const Passing&)> match);

  void run();  // judges
  const dataplane::WorkerCounters& worker() { return box->rig().stats().worker; }

  Scenario scenario;
  WorkerBoxOptions options;
  HttpClientOptions client;
  std::vector<HttpAnswer> answers;
  std::string up_wanted, down_wanted;
  // Instead of comparing with down_wanted, which nobody can know when a cookie is sealed.
  std::function<void(const std::string& received)> judge_down;
  std::function<void(Network&, Host& client, Host& server)> prepare;
  std::unique_ptr<WorkerBox> box;  // from run() on, or of make_box()
  WorkerBox& make_box();
  Counts counts;                // of both ends, after run()
  std::string client_received;  // after run()
};

bool contains(const Passing& p, std::string_view text);
// Octets [begin, end) of a segment, as a frame of its own; its FIN stays with the last one.
Bytes piece(const Segment& s, size_t begin, size_t end, bool fin = true);

inline const char* const kSetCookie = "Set-Cookie: SRV=s0; path=/; HttpOnly\r\n";

}  // namespace limpet::sim
