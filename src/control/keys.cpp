// The cookie keys of the running process: read for a configuration, changed step by step by the
// operator.
#include <fmt/core.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "controller_impl.h"
#include "key_steps.h"
#include "limpet/base/log.h"

namespace limpet::control {

using nlohmann::json;

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

json Controller::Impl::key_list() const {
  json rows = json::array();
  for (const affinity::CookieKey& k : publisher_->keys().list())
    rows.push_back({{"id", std::string(1, k.id)}, {"state", k.sealing ? "sealing" : "listed"}});
  return rows;
}

void Controller::Impl::on_keys(Server::ClientId client, const Request& request) {
  const std::string path = setup_.document.cookie_keys_file;
  if (path.empty())
    return refuse(client,
                  "no service seals a cookie, so there are no keys; expected a persistence entry "
                  "of type \"cookie\" with value \"sealed\"");
  if (request.keys == Request::KeyAction::list) {
    json data = envelope("keys", Rows{}, 0, false, control_now() - started_);
    data["keys"] = key_list();
    data["file"] = path;
    return reply(client, data);
  }
  const affinity::CookieKeys before = publisher_->keys();
  const auto use = [&](const affinity::CookieKeys& keys) {
    publisher_->set_keys(keys);
    Status refreshed = publisher_->refresh(control_now());
    if (!refreshed) publisher_->set_keys(before);
    return refreshed;
  };
  const Result<std::string> done = step_key_file(path, before, request.keys, request.key_id, use);
  if (!done) return refuse(client, "nothing changed: " + done.error());
  log(LogLevel::notice, "control", "cookie keys: {} ({})", *done, path);
  reply(client, {{"file", path},
                 {"keys", key_list()},
                 {"snapshot", publisher_->current()->serial},
                 {"text", *done}});
}

}  // namespace limpet::control
