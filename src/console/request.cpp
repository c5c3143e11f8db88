// Requests out of JSON. Garbage in any form gives an error, never an exception.
#include "limpet/console/request.h"

#include <fmt/core.h>

#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

namespace limpet::console {
namespace {

using nlohmann::json;
using What = Request::What;

constexpr std::array<std::pair<const char*, What>, 11> kWhat = {{{"services", What::services},
                                                                 {"backends", What::backends},
                                                                 {"workers", What::workers},
                                                                 {"ports", What::ports},
                                                                 {"drops", What::drops},
                                                                 {"persistence", What::persistence},
                                                                 {"refusals", What::refusals},
                                                                 {"neighbors", What::neighbors},
                                                                 {"flows", What::flows},
                                                                 {"top", What::top},
                                                                 {"sessions", What::sessions}}};
constexpr int kMaxDepth = 16;  // of nesting; a request needs one level

// The member as a string; empty when absent or null.
Result<std::string> text(const json& request, const char* member) {
  const auto at = request.find(member);
  if (at == request.end() || at->is_null()) return std::string();
  if (!at->is_string()) return Error{fmt::format("\"{}\" is no string", member)};
  return at->get<std::string>();
}

Result<std::string> needed(const json& request, const char* member, const char* what) {
  Result<std::string> value = text(request, member);
  if (value && value->empty()) return Error{fmt::format("\"{}\" is missing: {}", member, what)};
  return value;
}

Result<Request> parse_show(const json& j, Request r) {
  const Result<std::string> what = text(j, "what");
  if (!what) return Error{what.error()};
  bool known = false;
  for (const auto& [word, value] : kWhat)
    if (*what == word) {
      r.what = value;
      known = true;
    }
  if (!known)
    return Error{
        fmt::format("nothing called \"{}\" to show; expected services, backends, workers, "
                    "ports, drops, persistence, refusals, neighbors, flows, top or sessions",
                    *what)};
  Result<std::string> only = text(j, "name");
  if (!only) return Error{only.error()};
  r.name = std::move(*only);
  Result<std::string> key = text(j, "key");
  if (!key) return Error{key.error()};
  r.key = std::move(*key);
  if (r.what == Request::What::sessions && r.name.empty())
    return Error{"\"name\" is missing: of the service whose sessions are wanted"};
  if (const auto at = j.find("limit"); at != j.end() && !at->is_null()) {
    if (!at->is_number_unsigned() || at->get<uint64_t>() == 0 || at->get<uint64_t>() > UINT32_MAX)
      return Error{"\"limit\" is no positive number of rows"};
    r.limit = at->get<uint32_t>();
  }
  if (const auto at = j.find("all"); at != j.end() && !at->is_null()) {
    if (!at->is_boolean()) return Error{"\"all\" is neither true nor false"};
    r.all = at->get<bool>();
  }
  return r;
}

Result<Request> parse_backend(const json& j, Request r) {
  Result<std::string> backend = needed(j, "name", "POOL/NAME of the backend");
  if (!backend) return Error{backend.error()};
  const Result<std::string> state = text(j, "state");
  if (!state) return Error{state.error()};
  r.name = std::move(*backend);
  for (const balance::Admin admin :
       {balance::Admin::up, balance::Admin::drain, balance::Admin::down})
    if (*state == balance::name(admin)) {
      r.admin = admin;
      return r;
    }
  return Error{fmt::format("no state \"{}\"; expected up, drain or down", *state)};
}

Result<Request> parse_keys(const json& j, Request r) {
  constexpr std::array<std::pair<const char*, Request::KeyAction>, 5> kActions = {
      {{"list", Request::KeyAction::list},
       {"rotate", Request::KeyAction::rotate},
       {"add", Request::KeyAction::add},
       {"seal", Request::KeyAction::seal},
       {"retire", Request::KeyAction::retire}}};
  const Result<std::string> action = text(j, "action");
  if (!action) return Error{action.error()};
  for (const auto& [word, value] : kActions) {
    if (*action != word) continue;
    r.keys = value;
    if (value != Request::KeyAction::seal && value != Request::KeyAction::retire) return r;
    const Result<std::string> id = needed(j, "id", "of the key, see `limpetctl keys list`");
    if (!id) return Error{id.error()};
    if (id->size() != 1)
      return Error{fmt::format(
          "\"{}\" is no key id; expected one character, see `limpetctl keys list`", *id)};
    r.key_id = id->front();
    return r;
  }
  return Error{
      fmt::format("nothing called \"{}\" to do with the keys; expected list, rotate, add, "
                  "seal or retire",
                  *action)};
}

Result<Request> parse_clear(const json& j, Request r) {
  Result<Request> shown = parse_show(j, std::move(r));
  if (!shown) return shown;
  if (shown->what != Request::What::sessions)
    return Error{"nothing but sessions can be cleared; expected \"what\":\"sessions\""};
  Result<std::string> backend = text(j, "backend");
  if (!backend) return Error{backend.error()};
  shown->only_backend = std::move(*backend);
  return shown;
}

Result<Request> parse_explain(const json& j, Request r) {
  Result<std::string> client = needed(j, "client", "address, or address and port");
  if (!client) return Error{client.error()};
  Result<std::string> service = needed(j, "service", "name of the service");
  if (!service) return Error{service.error()};
  r.client = std::move(*client);
  r.service = std::move(*service);
  Result<std::string> method = text(j, "method");
  if (!method) return Error{method.error()};
  Result<std::string> path = text(j, "path");
  if (!path) return Error{path.error()};
  r.method = std::move(*method);
  r.path = std::move(*path);
  const auto headers = j.find("headers");
  if (headers == j.end() || headers->is_null()) return r;
  if (!headers->is_array())
    return Error{"\"headers\" is no list; expected strings \"NAME: VALUE\""};
  for (const json& line : *headers) {
    if (!line.is_string())
      return Error{"\"headers\": a member is no string; expected \"NAME: VALUE\""};
    r.headers.push_back(line.get<std::string>());
  }
  return r;
}

Result<Request> parse_log_level(const json& j, Request r) {
  const Result<std::string> level = text(j, "level");
  if (!level) return Error{level.error()};
  constexpr std::array<std::pair<const char*, LogLevel>, 5> kLevels = {
      {{"debug", LogLevel::debug},
       {"info", LogLevel::info},
       {"notice", LogLevel::notice},
       {"warning", LogLevel::warning},
       {"error", LogLevel::error}}};
  for (const auto& [word, value] : kLevels)
    if (*level == word) {
      r.level = value;
      return r;
    }
  return Error{
      fmt::format("no log level \"{}\"; expected debug, info, notice, warning or error", *level)};
}

// nlohmann's parser recurses per level only when it destroys, but a line may hold 65536 brackets.
bool too_deep(std::string_view line) {
  int depth = 0;
  bool quoted = false;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quoted && c == '\\') {
      ++i;
    } else if (c == '"') {
      quoted = !quoted;
    } else if (!quoted && (c == '[' || c == '{')) {
      if (++depth > kMaxDepth) return true;
    } else if (!quoted && (c == ']' || c == '}')) {
      --depth;
    }
  }
  return false;
}

}  // namespace

Result<Request> parse_request(std::string_view line) {
  if (too_deep(line)) return Error{"the request is no JSON object of one level"};
  const json j = json::parse(line, nullptr, false);
  if (!j.is_object()) return Error{"the request is no JSON object"};
  const Result<std::string> cmd = text(j, "cmd");
  if (!cmd) return Error{cmd.error()};
  Request r;
  if (*cmd == "show") {
    r.command = Request::Command::show;
    return parse_show(j, r);
  }
  if (*cmd == "clear") {
    r.command = Request::Command::clear;
    return parse_clear(j, r);
  }
  if (*cmd == "backend") {
    r.command = Request::Command::backend;
    return parse_backend(j, r);
  }
  if (*cmd == "reload") {
    r.command = Request::Command::reload;
    return r;
  }
  if (*cmd == "keys") {
    r.command = Request::Command::keys;
    return parse_keys(j, r);
  }
  if (*cmd == "explain") {
    r.command = Request::Command::explain;
    return parse_explain(j, r);
  }
  if (*cmd == "log-level") {
    r.command = Request::Command::log_level;
    return parse_log_level(j, r);
  }
  return Error{fmt::format(
      "no command \"{}\"; expected show, clear, backend, reload, keys, explain or log-level",
      *cmd)};
}

const char* name(Request::What what) {
  for (const auto& [word, value] : kWhat)
    if (value == what) return word;
  return "?";
}

std::string error_reply(const std::string& error, const std::vector<std::string>& problems) {
  std::string text = error;
  for (const std::string& p : problems) text += "\n" + p;
  json j = {{"ok", false}, {"error", text}};
  if (!problems.empty()) j["problems"] = problems;
  // What the client sent may be quoted in the error: any bytes.
  return j.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace limpet::console
