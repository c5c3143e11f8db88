// The operator's steps on a list of cookie keys, and on the file and the running process at once.
// What a step says, to the operator and in the log, has no key bytes in it.
#pragma once

#include <functional>
#include <string>

#include "limpet/affinity/cookie_keys.h"
#include "limpet/base/result.h"
#include "limpet/console/request.h"

namespace limpet::control {

struct KeyChange {
  affinity::CookieKeys keys;
  std::string text;  // "key B added and seals; A listed"
};

// Pure. `random` is used by add and rotate. rotate: add and seal in one, for a service of a single
// node; in a full list the oldest key that does not seal makes room.
Result<KeyChange> change_keys(const affinity::CookieKeys& before,
                              console::Request::KeyAction action, char id,
                              const affinity::CookieKeyBytes& random);

// The step on the file, then on the process, which `use` makes seal with a list. The file first:
// what workers seal with must not be lost by a crash. After an error neither has changed; where a
// file could not be put back, the error says so. A file that was edited since it gave `running` is
// left alone, one that somebody has removed is written again.
using UseKeys = std::function<Status(const affinity::CookieKeys&)>;
Result<std::string> step_key_file(const std::string& path, const affinity::CookieKeys& running,
                                  console::Request::KeyAction action, char id, const UseKeys& use);

// "B seals; A and C listed"
std::string describe(const affinity::CookieKeys& keys);

}  // namespace limpet::control
