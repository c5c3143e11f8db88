// What was judged is what a backend reads: holds every reading of the octets that a backend got
// against what was looked at on the way, message by message. Knows nothing of how edits are made,
// only what they promise.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "reader.h"

namespace limpet::oracle {

// A client's stream as it was judged, and where its messages are by that judgement.
struct Judged {
  struct Bounds {
    size_t body = 0;  // behind the head
    size_t end = 0;   // behind the body, when it is complete
    bool complete = false;
  };
  std::string octets;  // data of bodies that passed unseen may be anything
  std::vector<Bounds> messages;
};

struct Promises {
  std::string preamble;              // the first octets (PROXY)
  std::string forwarded;             // the client's address, in the last field of every request
  std::vector<std::string> cookies;  // no request has one of these names
  bool no_h2c = false;               // no request asks for HTTP/2
};

// What a backend has got, in order. `all`: everything that was judged is among it. Behind the
// request `switches` it is no HTTP.
struct Got {
  std::string_view octets;
  bool all = false;
  std::optional<size_t> switches;
};

// Empty: all is well for this reader.
std::string complaint(const Judged& judged, const Got& got, const Promises& promises,
                      const Reading& how);
// For each of them; the first complaint, with the reader's name.
std::string complaint(const Judged& judged, const Got& got, const Promises& promises);

}  // namespace limpet::oracle
