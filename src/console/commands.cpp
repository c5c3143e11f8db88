// What clients of the control socket and of telemetry ask for.
#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "console_impl.h"
#include "limpet/base/log.h"

namespace limpet::console {

using dataplane::kNoSlot;
using nlohmann::json;

namespace {

constexpr uint32_t kTopRows = 20;        // of each pool and worker
constexpr uint32_t kDefaultRows = 1000;  // of flows and neighbors
constexpr uint32_t kMostRows = 65536;    // held for every worker while it answers

std::string to_line(const json& j) {
  return j.dump(-1, ' ', false, json::error_handler_t::replace);
}

// "web/s0" -> slot; several if the name was configured with other addresses before
std::vector<uint16_t> backend_slots(const publish::Slots& slots, const std::string& name) {
  const size_t slash = name.find('/');
  if (slash == std::string::npos) return {};
  return slots.find_backends(std::string_view(name).substr(0, slash),
                             std::string_view(name).substr(slash + 1));
}

}  // namespace

void Console::Impl::reply(ClientId client, const json& data) {
  server_->reply(client, to_line({{"ok", true}, {"data", data}}));
}

void Console::Impl::refuse(ClientId client, const std::string& error,
                           const std::vector<std::string>& problems) {
  server_->reply(client, error_reply(error, problems));
}

void Console::Impl::on_line(ClientId client, const std::string& line) {
  const Result<Request> request = parse_request(line);
  if (!request) return refuse(client, request.error());
  switch (request->command) {
    case Request::Command::show:
      return show(client, *request);
    case Request::Command::clear:
      return walk_sessions(client, *request);
    case Request::Command::backend:
      return set_backend(client, *request);
    case Request::Command::keys:
      return step_keys(client, *request);
    case Request::Command::reload:
      return host_.reload(client);
    case Request::Command::explain: {
      const Result<json> answer = explain(host_.view(), request->client, request->service,
                                          {request->method, request->path, request->headers});
      return answer ? reply(client, *answer) : refuse(client, answer.error());
    }
    case Request::Command::log_level:
      log_set_level(request->level);
      return reply(client, json::object());
  }
}

void Console::Impl::show(ClientId client, const Request& request) {
  using What = Request::What;
  if (request.what == What::sessions) return walk_sessions(client, request);
  if (request.what == What::flows || request.what == What::neighbors || request.what == What::top)
    return show_queried(client, request);
  const View v = host_.view();
  Result<Rows> rows = Rows{};
  switch (request.what) {
    case What::services:
      rows = service_rows(v, request.name, request.all, true);
      break;
    case What::backends:
      rows = backend_rows(v, request.name, request.all, true);
      break;
    case What::workers:
      rows = worker_rows(v, request.name);
      break;
    case What::ports:
      rows = port_rows(v, request.name);
      break;
    case What::drops:
      rows = drop_rows(v, request.name);
      break;
    case What::persistence:
      rows = persistence_rows(v, request.name);
      break;
    case What::refusals:
      rows = refusal_rows(v, request.name);
      break;
    case What::flows:
    case What::neighbors:
    case What::top:
    case What::sessions:
      break;
  }
  if (!rows) return refuse(client, rows.error());
  reply(client, envelope(name(request.what), std::move(*rows), request.limit, false,
                         v.now - setup_.started));
}

void Console::Impl::show_queried(ClientId client, const Request& request) {
  const bool flows = request.what == Request::What::flows;
  const bool top = request.what == Request::What::top;
  Queries::Question question;
  question.kind = flows ? dataplane::QueryKind::flows
                  : top ? dataplane::QueryKind::top
                        : dataplane::QueryKind::neighbors;
  const uint32_t limit = std::min(request.limit == 0 ? kDefaultRows : request.limit, kMostRows);
  question.limit = top ? std::min(limit, kTopRows) : limit;
  if (top && !request.name.empty()) return refuse(client, "\"top\" takes no name");
  const std::string only_port = flows || top ? std::string() : request.name;
  const View v = host_.view();
  if (flows && !request.name.empty()) {
    question.service = v.slots.find_service(request.name);
    if (question.service == kNoSlot)
      return refuse(client, fmt::format("no service \"{}\"", request.name));
  }
  const auto& ports = v.snapshot.ports;
  if (!only_port.empty() &&
      std::none_of(ports.begin(), ports.end(), [&](const auto& p) { return p.name == only_port; }))
    return refuse(client, fmt::format("no port \"{}\"", only_port));
  const Listing::Wanted wanted{question.kind, limit, only_port};
  const auto done = [this, client, wanted](std::vector<std::unique_ptr<dataplane::Query>> answers) {
    if (answers.empty())
      return refuse(client,
                    "a worker did not answer within 2 seconds; see `limpetctl show workers`");
    listings_.emplace_back(client, Listing(wanted, std::move(answers)));
  };
  if (listings_.size() >= Queries::kMaxOpen || !queries_.ask(question, v.now, done))
    refuse(client, "too many questions to the workers are open; try again");
}

void Console::Impl::walk_sessions(ClientId client, const Request& request) {
  if (listings_.size() >= Queries::kMaxOpen)
    return refuse(client, "too many long answers are open; try again");
  Result<SessionWalk> walk = SessionWalk::begin(
      host_.view(),
      {.service = request.name,
       .key = request.key,
       .backend = request.only_backend,
       .clear = request.command == Request::Command::clear,
       .limit = std::min(request.limit == 0 ? kDefaultRows : request.limit, kMostRows)});
  if (!walk) return refuse(client, walk.error());
  if (request.command == Request::Command::clear)
    log(LogLevel::notice, "control", "sessions of service {} are cleared: {}{}", request.name,
        request.key.empty() ? "all" : "one key",
        request.only_backend.empty() ? "" : ", of backend " + request.only_backend);
  listings_.emplace_back(client, std::move(*walk));
}

void Console::Impl::set_backend(ClientId client, const Request& request) {
  const View v = host_.view();
  const std::vector<uint16_t> slots = backend_slots(v.slots, request.name);
  if (slots.empty())
    return refuse(
        client, fmt::format("no backend \"{}\"; expected POOL/NAME, see `limpetctl show backends`",
                            request.name));
  for (const uint16_t slot : slots) host_.set_admin(slot, request.admin);
  const balance::BackendStatus status = v.status(slots.front());
  reply(client,
        {{"backend", request.name},
         {"admin", balance::name(status.admin)},
         {"state", balance::name(status.state())},
         {"text", fmt::format("{}: operator says {}, state {}", request.name,
                              balance::name(status.admin), balance::name(status.state()))}});
}

void Console::Impl::step_keys(ClientId client, const Request& request) {
  const Result<Host::Keys> done = host_.keys(request.keys, request.key_id);
  if (!done) return refuse(client, done.error());
  json rows = json::array();
  for (const Host::Key& k : done->list)
    rows.push_back({{"id", std::string(1, k.id)}, {"state", k.sealing ? "sealing" : "listed"}});
  if (request.keys == Request::KeyAction::list) {
    json data = envelope("keys", Rows{}, 0, false, host_.view().now - setup_.started);
    data["keys"] = std::move(rows);
    data["file"] = done->file;
    return reply(client, data);
  }
  reply(client, {{"file", done->file},
                 {"keys", std::move(rows)},
                 {"snapshot", done->snapshot},
                 {"text", done->text}});
}

void Console::Impl::reloaded(ClientId asker, const Reloaded& result) {
  if (!result.ok) return refuse(asker, result.text, result.problems);
  reply(asker, {{"file", result.file}, {"snapshot", result.snapshot}, {"text", result.text}});
}

json answer_telemetry(const View& v, const std::string& command, const std::string& parameters) {
  const auto one = [](const Result<Rows>& rows) {
    return rows && rows->size() == 1 ? flatten(rows->front()) : json(nullptr);
  };
  const auto names = [&parameters](const Result<Rows>& rows, auto name_of) {
    size_t offset = 0;
    std::from_chars(parameters.data(), parameters.data() + parameters.size(), offset);
    json out = json::array();
    for (size_t i = offset; i < rows->size() && out.size() < 512; ++i)
      out.push_back(name_of((*rows)[i]));
    return out;
  };
  if (command == "/limpet/services")
    return names(service_rows(v, "", false),
                 [](const json& row) { return row["name"].get<std::string>(); });
  if (command == "/limpet/backends")
    return names(backend_rows(v, "", false), [](const json& row) {
      return row["pool"].get<std::string>() + "/" + row["name"].get<std::string>();
    });
  if (command == "/limpet/workers")
    return names(worker_rows(v, ""),
                 [](const json& row) { return std::to_string(row["id"].get<unsigned>()); });
  if (command == "/limpet/ports")
    return names(port_rows(v, ""), [](const json& row) { return row["name"].get<std::string>(); });
  if (command == "/limpet/persistence")
    return names(persistence_rows(v, ""), [](const json& row) {
      return fmt::format("{}/{}", row["service"].get<std::string>(), row["entry"].get<size_t>());
    });
  if (command == "/limpet/drops") {
    const Result<Rows> rows = drop_rows(v, parameters);
    if (!rows) return nullptr;
    json sums = json::object();
    for (const json& row : *rows) {
      json& sum = sums[row["reason"].get<std::string>()];
      sum = (sum.is_null() ? uint64_t{0} : sum.get<uint64_t>()) + row["packets"].get<uint64_t>();
    }
    return sums;
  }
  if (parameters.empty()) return nullptr;  // a row needs a name
  if (command == "/limpet/service") return one(service_rows(v, parameters, false));
  if (command == "/limpet/backend") return one(backend_rows(v, parameters, false));
  if (command == "/limpet/persistence_entry" && parameters.find('/') != std::string::npos)
    return one(persistence_rows(v, parameters));
  if (command == "/limpet/worker") return one(worker_rows(v, parameters));
  if (command == "/limpet/port") return one(port_rows(v, parameters));
  return nullptr;
}

}  // namespace limpet::console
