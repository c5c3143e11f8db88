// The cookie keys of the running process: read for a configuration, changed step by step by the
// operator.
#include <fmt/core.h>

#include <utility>

#include "controller_impl.h"
#include "key_steps.h"
#include "limpet/base/log.h"

namespace limpet::control {

using Action = console::Request::KeyAction;

// Keys for `document`, which may name another file than the running one does. Makes a file only
// where there was none to lose: a running one that has vanished would be replaced by keys that
// open no cookie that is out there.
Result<affinity::CookieKeys> Controller::Impl::keys_for(const config::Document& document) {
  const std::string& path = document.cookie_keys_file;
  if (path.empty()) return affinity::CookieKeys();
  const bool running =
      publisher_->current() != nullptr && !setup_.document.cookie_keys_file.empty();
  const std::string& in_use = setup_.document.cookie_keys_file;
  if (running && key_file_missing(path))
    return Error{path == in_use
                     ? fmt::format("{}: is not there any more; expected it back: `limpetctl keys "
                                   "rotate` writes it with the keys in use and a new one",
                                   path)
                     : fmt::format("{}: is not there; expected the keys in use: cp -p {} {}", path,
                                   in_use, path)};
  Result<KeyFile> file = running ? read_key_file(path) : load_key_file(path);
  if (!file) return Error{file.error()};
  if (file->created)
    log(LogLevel::notice, "control",
        "cookie keys: made {} with one key; every other node of these services needs a copy", path);
  return file->keys;
}

void Controller::Impl::log_keys(const affinity::CookieKeys& before, const std::string& path) const {
  const affinity::CookieKeys& now = publisher_->keys();
  if (now == before) return;
  if (now.list().empty())
    log(LogLevel::notice, "control", "cookie keys: none any more, as no service seals a cookie");
  else
    log(LogLevel::notice, "control", "cookie keys: {} ({})", describe(now), path);
}

// As the operator may see them.
console::Host::Keys Controller::Impl::told_keys(std::string text) const {
  Keys told{setup_.document.cookie_keys_file, {}, publisher_->current()->serial, std::move(text)};
  for (const affinity::CookieKey& k : publisher_->keys().list())
    told.list.push_back({k.id, k.sealing});
  return told;
}

Result<console::Host::Keys> Controller::Impl::keys(Action action, char id) {
  const std::string path = setup_.document.cookie_keys_file;
  if (path.empty())
    return Error{
        "no service seals a cookie, so there are no keys; expected a persistence entry of type "
        "\"cookie\" with value \"sealed\""};
  if (action == Action::list) return told_keys({});
  const affinity::CookieKeys before = publisher_->keys();
  const auto use = [&](const affinity::CookieKeys& keys) {
    publisher_->set_keys(keys);
    Status refreshed = publisher_->refresh(control_now());
    if (!refreshed) publisher_->set_keys(before);
    return refreshed;
  };
  const Result<std::string> done = step_key_file(path, before, action, id, use);
  if (!done) return Error{"nothing changed: " + done.error()};
  log(LogLevel::notice, "control", "cookie keys: {} ({})", *done, path);
  return told_keys(*done);
}

}  // namespace limpet::control
