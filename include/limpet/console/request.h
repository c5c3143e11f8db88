// What a client of the control socket asks: one JSON object a line. The other half of the protocol,
// one JSON line back:
//   {"ok":true,"data":{...}}
//   {"ok":false,"error":"one sentence"}
// What people should read of `data` is its member "text", where there is one. A refused reload also
// has "problems":["FILE:LINE: ...", ...], and all of them as further lines of "error".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "limpet/balance/backend_state.h"
#include "limpet/base/log.h"
#include "limpet/base/result.h"

namespace limpet::console {

struct Request {
  enum class Command { show, clear, backend, reload, keys, explain, log_level };
  enum class What {
    services,
    backends,
    workers,
    ports,
    drops,
    persistence,
    refusals,
    neighbors,
    flows,
    top,
    sessions
  };
  enum class KeyAction { list, rotate, add, seal, retire };

  Command command = Command::show;
  What what = What::services;                 // show
  std::string name;                           // show: only that one; backend: "POOL/NAME"
  std::string key;                            // sessions: that one only
  std::string only_backend;                   // clear: sessions of this backend
  uint32_t limit = 0;                         // show: rows, 0 for the default
  bool all = false;                           // show: removed backends and services too
  balance::Admin admin = balance::Admin::up;  // backend
  KeyAction keys = KeyAction::list;           // keys
  char key_id = '\0';                         // keys seal, retire
  std::string client;                         // explain: address, or address and port
  std::string service;                        // explain
  std::string method, path;                   // explain: of a request; may be empty
  std::vector<std::string> headers;           // explain: "NAME: VALUE"
  LogLevel level = LogLevel::info;            // log-level
};

// {"cmd":"show","what":"flows","name":null,"limit":1000,"all":false}
// {"cmd":"show","what":"sessions","name":"web","key":null}
// {"cmd":"clear","what":"sessions","name":"web","key":"192.0.2.7","backend":null}
// {"cmd":"backend","name":"web/s0","state":"drain"}   {"cmd":"reload"}
// {"cmd":"keys","action":"seal","id":"B"}
// {"cmd":"explain","client":"192.0.2.1","service":"web","method":"GET","path":"/",
//  "headers":["X-User-ID: 17"]}   {"cmd":"log-level","level":"debug"}
// Anything else gives an error that says what was expected. Unknown members are ignored.
Result<Request> parse_request(std::string_view line);

const char* name(Request::What what);  // "services"

std::string error_reply(const std::string& error, const std::vector<std::string>& problems = {});

}  // namespace limpet::console
