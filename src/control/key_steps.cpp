// Steps of a rotation: on the list, then on everything that has it.
#include "key_steps.h"

#include <fmt/core.h>

#include <utility>

#include "limpet/control/key_file.h"

namespace limpet::control {
namespace {

using affinity::CookieKey;
using affinity::CookieKeys;
using Action = console::Request::KeyAction;

// The oldest that does not seal; there is one in a list of more than one.
char oldest_listed(const CookieKeys& keys) {
  char id = '\0';
  for (const CookieKey& k : keys.list())
    if (!k.sealing) id = k.id;
  return id;
}

Result<KeyChange> rotate(CookieKeys keys, const affinity::CookieKeyBytes& random) {
  std::string retired;
  if (keys.list().size() == affinity::kMaxCookieKeys) {
    const char oldest = oldest_listed(keys);
    if (Status s = keys.retire(oldest); !s) return Error{s.error()};
    retired =
        fmt::format("; {} retired, as {} keys are the most", oldest, affinity::kMaxCookieKeys);
  }
  const Result<char> id = keys.add(random);
  if (!id) return Error{id.error()};
  if (Status s = keys.seal(*id); !s) return Error{s.error()};
  return KeyChange{keys, fmt::format("key {} added; {}{}", *id, describe(keys), retired)};
}

}  // namespace

std::string describe(const CookieKeys& keys) {
  std::string sealing, listed;
  size_t left = keys.list().size() - (keys.list().empty() ? 0 : 1);
  for (const CookieKey& k : keys.list()) {
    if (k.sealing) {
      sealing = fmt::format("{} seals", k.id);
      continue;
    }
    if (!listed.empty()) listed += left == 1 ? " and " : ", ";
    listed += k.id;
    --left;
  }
  if (sealing.empty()) return "no key";
  return listed.empty() ? sealing : fmt::format("{}; {} listed", sealing, listed);
}

Result<KeyChange> change_keys(const CookieKeys& before, Action action, char id,
                              const affinity::CookieKeyBytes& random) {
  CookieKeys keys = before;
  switch (action) {
    case Action::list:
      break;
    case Action::rotate:
      return rotate(keys, random);
    case Action::add: {
      const Result<char> added = keys.add(random);
      if (!added) return Error{added.error()};
      return KeyChange{keys, fmt::format("key {} added; {}", *added, describe(keys))};
    }
    case Action::seal:
      if (Status s = keys.seal(id); !s) return Error{s.error()};
      if (keys == before) return Error{fmt::format("cookie key '{}' seals already", id)};
      return KeyChange{keys, describe(keys)};
    case Action::retire:
      if (Status s = keys.retire(id); !s) return Error{s.error()};
      return KeyChange{keys, fmt::format("key {} retired; {}", id, describe(keys))};
  }
  return KeyChange{keys, describe(keys)};
}

Result<std::string> step_key_file(const std::string& path, const CookieKeys& running, Action action,
                                  char id, const UseKeys& use) {
  std::string old_text = affinity::print_cookie_keys(running);
  if (!key_file_missing(path)) {
    Result<KeyFile> file = read_key_file(path);
    if (!file) return Error{file.error()};
    if (file->keys != running)
      return Error{fmt::format(
          "{}: was edited since it was read; expected `limpetctl reload` first, which uses it",
          path)};
    old_text = std::move(file->text);
  }
  affinity::CookieKeyBytes random{};
  if (Status s = fill_random(random); !s) return Error{s.error()};
  const Result<KeyChange> change = change_keys(running, action, id, random);
  if (!change) return Error{change.error()};
  if (Status s = replace_key_file(path, affinity::print_cookie_keys(change->keys)); !s)
    return Error{s.error()};
  const Status used = use(change->keys);
  if (used) return change->text;
  if (Status s = replace_key_file(path, old_text); !s)
    return Error{
        fmt::format("{}; but the file has the new keys, as it could not be put back ({}); "
                    "expected `limpetctl reload` once both are mended",
                    used.error(), s.error())};
  return Error{used.error()};
}

}  // namespace limpet::control
