// limpetctl: asks a running limpet, or tells it what to do, over its control socket.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

#include "limpet/console/client.h"
#include "limpet/console/columns.h"

namespace {

using Json = nlohmann::json;

constexpr int kOk = 0, kRefused = 1, kUsage = 2, kNoDaemon = 3;

constexpr const char* kExamples = R"(Examples:
  limpetctl show backends                 who is up, since when, and why not
  limpetctl show backends web/s0 --json   one backend, for a script
  limpetctl show drops                    what is being thrown away, and why
  limpetctl show drops no_flow            one reason; or one port, or worker number
  limpetctl show refusals web             requests that were refused, by name
  limpetctl show persistence web          what the clients' cookies said and what became of them
  limpetctl show flows web --limit 50     who is connected to where
  limpetctl show sessions web 192.0.2.7   what the stick table remembers of this client
  limpetctl clear sessions web --backend s0       forget it for all who are at s0
  limpetctl explain 192.0.2.7 web         where this client would go now, and why
  limpetctl explain web --from 192.0.2.7 -H "X-User-ID: 17"     the same for this request
  limpetctl backend web/s0 drain          no new clients for s0; its connections go on
  limpetctl backend web/s0 down           nothing goes to s0 from now on; its connections are reset
  limpetctl backend web/s0 up             back to what the health checks say
  limpetctl reload                        apply the changed configuration file and the file of
                                          the cookie keys, all or nothing
  limpetctl keys list                     which keys there are and which one seals
  limpetctl keys rotate                   a new key from now on; old cookies stay good (one node)
  limpetctl keys --help                   how to rotate with several nodes

Exit status: 0 done, 1 refused or failed, 2 wrong usage, 3 no daemon.
A daemon that was started with --file-prefix P is reached with: limpetctl --file-prefix P ...)";

constexpr const char* kExplainHelp = R"(Examples:
  limpetctl explain 192.0.2.7 web
  limpetctl explain web --from 192.0.2.7 -H "X-User-ID: 17" -H "Cookie: SRV=s1"

With a header, method or path: as the first request of a new connection, in mode splice. A learned
cookie is not looked up.)";

constexpr const char* kKeysHelp = R"(One node:
  limpetctl keys rotate       done. Nobody loses a session: what older keys have sealed is still
                              opened, and sealed again with the new key when it comes by.
Several nodes must have the same keys, and each step must be done on all before the next begins:
  1. limpetctl keys add       on one node. Copy its key file (keys list names it) to all others with
                              scp -p, and there: limpetctl reload
  2. limpetctl keys seal B    on every node, when keys list shows B on all of them
  3. limpetctl keys retire A  on every node, when no client brings cookies of A any more: after the
                              cookies' absolute_timeout. Who comes with one later is balanced anew.
The file is changed as a whole and before the first cookie is sealed; after an error nothing has
changed. A stolen key: rotate (or 1 and 2), then retire the stolen one at once.)";

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Control and look into a running limpet."};
  app.footer(kExamples);
  app.set_version_flag("--version", "limpetctl " LIMPET_VERSION);
  app.require_subcommand(1);
  std::string prefix = "rte", socket;
  auto* prefix_option = app.add_option("--file-prefix", prefix, "The daemon's EAL --file-prefix")
                            ->capture_default_str();
  app.add_option("--socket", socket, "Path of the control socket")->excludes(prefix_option);

  std::string what, name;
  bool json = false, all = false;
  unsigned limit = 1000;
  auto* show = app.add_subcommand("show",
                                  "Print services, backends, workers, ports, drops, persistence, "
                                  "refusals, neighbors, flows, top or sessions");
  show->add_option("what", what)
      ->required()
      ->check(CLI::IsMember({"services", "backends", "workers", "ports", "drops", "persistence",
                             "refusals", "neighbors", "flows", "top", "sessions"}));
  show->add_option("name", name,
                   "Only this one: SERVICE, POOL or POOL/NAME, worker number, port (ports, "
                   "neighbors); of drops a "
                   "worker number, reason or port; of flows, persistence and refusals a SERVICE");
  show->add_flag("--json", json, "One line of JSON instead of a table");
  show->add_flag("--all", all, "Also what is zero");
  show->add_option("--limit", limit, "At most so many rows: 1000 by default, never more than 65536")
      ->capture_default_str()
      ->check(CLI::Range(1u, 1000000u));

  std::string key, only_backend;
  show->add_option("key", key,
                   "sessions: of this key only, a client's address or a cookie's value");

  auto* clear = app.add_subcommand(
      "clear", "Forget sessions of a service's stick table; open connections stay");
  clear->add_option("what", what)->required()->check(CLI::IsMember({"sessions"}));
  clear->add_option("service", name, "Name of the service")->required();
  clear->add_option("key", key, "Of this key only, a client's address or a cookie's value");
  clear->add_option("--backend", only_backend, "Of this backend only");
  clear->add_flag("--json", json, "One line of JSON instead of text");

  std::string backend, state;
  auto* set =
      app.add_subcommand("backend", "Take a backend out of service, drain it, or put it back");
  set->add_option("backend", backend, "POOL/NAME")->required();
  set->add_option("state", state)->required()->check(CLI::IsMember({"up", "drain", "down"}));

  app.add_subcommand("reload", "Apply the changed configuration file, all or nothing");

  auto* keys = app.add_subcommand("keys", "The keys that seal persistence cookies");
  keys->footer(kKeysHelp);
  keys->require_subcommand(1);
  std::string key_id;
  keys->add_subcommand("list", "Print id and state of each key, never the key");
  keys->add_subcommand("rotate", "One node: a new key seals, the others still open their cookies");
  keys->add_subcommand("add", "Several nodes, step 1: list a new key that does not seal yet");
  auto* seal = keys->add_subcommand("seal", "Several nodes, step 2: seal with a key that all list");
  auto* retire =
      keys->add_subcommand("retire", "Step 3: cookies of this key are refused from now on");
  for (CLI::App* step : {seal, retire})
    step->add_option("id", key_id, "One character, as `keys list` prints it")->required();
  keys->add_flag("--json", json, "One line of JSON instead of text");
  for (CLI::App* step : keys->get_subcommands({})) step->fallthrough();

  std::vector<std::string> words, lines;
  std::string from, method;
  auto* explain = app.add_subcommand("explain", "Where a client would go now, and why");
  explain->footer(kExplainHelp);
  explain
      ->add_option("words", words, "SERVICE [PATH] with --from; without it ADDRESS SERVICE [PATH]")
      ->required()
      ->expected(1, 3);
  explain->add_option("--from", from, "Client: ADDRESS or ADDRESS:PORT");
  explain->add_option("-X,--request", method, "Method of the request, GET by default");
  explain->add_option("-H,--header", lines, "A header of the request: \"NAME: VALUE\"")
      ->expected(1)
      ->take_all();
  explain->add_flag("--json", json, "One line of JSON instead of text");

  std::string level;
  auto* log = app.add_subcommand("log-level", "How much the daemon logs");
  log->add_option("level", level)
      ->required()
      ->check(CLI::IsMember({"debug", "info", "notice", "warning", "error"}));
  for (CLI::App* sub : app.get_subcommands({})) sub->fallthrough();

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? kOk : kUsage;
  }

  Json request;
  if (show->parsed()) {
    request = {{"cmd", "show"}, {"what", what}, {"all", all}};
    if (show->count("--limit") != 0) request["limit"] = limit;
    request["name"] = name.empty() ? Json() : Json(name);
    if (!key.empty()) request["key"] = key;
  } else if (clear->parsed()) {
    request = {{"cmd", "clear"}, {"what", what}, {"name", name}};
    if (!key.empty()) request["key"] = key;
    if (!only_backend.empty()) request["backend"] = only_backend;
  } else if (set->parsed()) {
    request = {{"cmd", "backend"}, {"name", backend}, {"state", state}};
  } else if (keys->parsed()) {
    const CLI::App* step = keys->get_subcommands().front();
    request = {{"cmd", "keys"}, {"action", step->get_name()}};
    if (!key_id.empty()) request["id"] = key_id;
  } else if (explain->parsed()) {
    if (explain->count("--from") != 0) words.insert(words.begin(), from);
    if (words.size() < 2 || words.size() > 3) {
      fmt::print(stderr,
                 "limpetctl: explain: expected SERVICE [PATH] --from ADDRESS, or ADDRESS SERVICE "
                 "[PATH]\n");
      return kUsage;
    }
    request = {{"cmd", "explain"}, {"client", words[0]}, {"service", words[1]}};
    if (words.size() == 3) request["path"] = words[2];
    if (!method.empty()) request["method"] = method;
    if (!lines.empty()) request["headers"] = lines;
  } else if (log->parsed()) {
    request = {{"cmd", "log-level"}, {"level", level}};
  } else {
    request = {{"cmd", "reload"}};
  }

  const std::string path = socket.empty() ? limpet::console::default_socket_path(prefix) : socket;
  const std::string line = request.dump(-1, ' ', false, Json::error_handler_t::replace);
  // A reload may wait for answers that are under way.
  const std::chrono::seconds patience(request["cmd"] == Json("reload") ? 30 : 5);
  const limpet::console::Reply reply = limpet::console::ask_daemon(path, line, patience);
  if (reply.kind != limpet::console::Reply::Kind::answered) {
    fmt::print(stderr, "limpetctl: {}\n", reply.error);
    return reply.kind == limpet::console::Reply::Kind::no_daemon ? kNoDaemon : kRefused;
  }
  const Json answer = Json::parse(reply.line, nullptr, false);
  if (!answer.is_object() || !answer.contains("ok")) {
    fmt::print(
        stderr,
        "limpetctl: {}: the answer is not understood; are daemon and limpetctl of one version?\n",
        path);
    return kRefused;
  }
  if (answer["ok"] != Json(true)) {
    const auto error = answer.find("error");
    fmt::print(stderr, "limpetctl: {}\n",
               error != answer.end() && error->is_string() ? error->get<std::string>()
                                                           : "refused without a reason");
    return kRefused;
  }
  const Json data = answer.contains("data") ? answer["data"] : Json::object();
  if (json) {
    fmt::print("{}\n", data.dump());
  } else if (show->parsed()) {
    fmt::print("{}", limpet::console::render(what, data, all));
  } else if (keys->parsed() && !data.contains("text")) {
    fmt::print("{}", limpet::console::render("keys", data, all));
  } else if (data.is_object() && data.contains("text") && data["text"].is_string()) {
    fmt::print("{}\n", data["text"].get<std::string>());
  } else if (!data.empty()) {
    fmt::print("{}\n", data.dump(2));
  }
  return kOk;
}
