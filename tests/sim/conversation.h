// A seed's HTTP conversation with a service that has a cookie: what the browser says, what the
// server answers, and what each of them must see of the other once limpet has made its edits. The
// edits are written down here beside the messages as they are made up, not computed from them, so
// this shares nothing with the product.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "http_app.h"
#include "limpet/affinity/cookie_keys.h"
#include "oracle/oracle.h"
#include "random.h"

namespace limpet::sim {

// What was drawn, by kind of value and of service: none may be missing from a long run.
using CookieCounts = std::map<std::string, uint64_t>;

struct Conversation {
  std::string service;  // settings for the worker
  affinity::CookieKeys keys;
  CookieCounts cookies;
  HttpClientOptions client;
  std::vector<HttpAnswer> answers;
  std::string up_wanted, down_wanted;  // the streams as they must arrive
  // The requests as they are said, what readers of them are promised, and which octets are judged:
  // those of heads, and the lines of chunks.
  oracle::Judged requests;
  oracle::Promises promises;
  std::vector<bool> judged;
  struct Arrival {
    size_t begin = 0, body = 0;  // of the head, with what stands in front; behind the head
  };
  std::vector<Arrival> arrives;  // by request, in up_wanted
  bool readable = true;          // the oracle knows these edits (a prefix taken off is not one)
  // Octets before it are judged when so many of up_wanted have left.
  size_t judged_before(size_t left) const;
  size_t preamble = 0;  // octets of PROXY in front of the first request
  size_t edits_up = 0, edits_down = 0;
  bool names_dead = false;  // the first cookie names the dead backend
  std::string describe;
};

// At least `least` octets each way.
Conversation draw_conversation(Random& random, const std::string& client_address,
                               const std::string& vip, uint16_t client_port, size_t least);

}  // namespace limpet::sim
