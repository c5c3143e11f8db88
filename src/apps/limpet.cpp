// limpet: the load balancer. Reads the configuration, starts ports, workers and the control thread
// in that order, and takes them down in the reverse one.
#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <exception>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "eal_check.h"
#include "limpet/base/log.h"
#include "limpet/config/check.h"
#include "limpet/config/load.h"
#include "limpet/control/controller.h"
#include "limpet/control/key_file.h"
#include "limpet/port/eal.h"
#include "limpet/port/eal_args.h"
#include "limpet/port/runtime.h"
#include "limpet/port/workers.h"
#include "summary.h"

namespace {

using namespace limpet;

constexpr int kOk = 0, kFailed = 1, kUsage = 2;

constexpr const char* kHelp =
    R"(limpet - a packet-level load balancer that brings every client back to its backend

Usage
  limpet --config FILE                      run; every setting is in FILE
  limpet EAL-OPTIONS -- --config FILE       run; these replace EAL options of FILE
  limpet --check FILE                       is FILE right? Needs no root, touches nothing

Options
  -c, --config FILE    configuration to run; limpet.cfg(5) explains every setting
      --check FILE     print every problem in FILE with line and cure, and exit
      --log-level L    debug, info, notice, warning or error; default info
      --version        versions of limpet and DPDK
  -h, --help           this text; `limpet --help --` prints DPDK's EAL options

Examples
  limpet --check /etc/limpet/limpet.cfg && limpet --config /etc/limpet/limpet.cfg
  limpet --lcores 0@0,1@2,2@3 -- --config /etc/limpet/limpet.cfg
                       two workers on CPUs 2 and 3, whatever FILE says
  limpet --file-prefix blue -- --config blue.cfg
                       one of several on this machine; limpetctl --file-prefix blue ...

While it runs
  limpetctl show backends        who is up, since when, and why not
  limpetctl show services        what is balanced, and how many connections
  limpetctl show drops           what is thrown away, and why
  limpetctl reload (or SIGHUP)   apply the changed FILE: all of it or, with an error, nothing
  SIGTERM or SIGINT              stop; prints what the run came to

When it does not start
  The last line says what is missing and what to do about it. Most often:
  no hugepages         echo 512 > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages
                       or, for tests, in FILE: eal = [ "--no-huge", "-m", "512", ... ];
  a NIC is missing     modprobe vfio-pci && dpdk-devbind.py --bind=vfio-pci 0000:03:00.0
  no worker            eal = [ "--lcores", "0@0,1@1", ... ];  lcore 0 controls, the others work

Exit status: 0 stopped as asked, 1 could not run, 2 wrong usage or configuration
)";

// Who starts limpet for the first time has the example that the installation brought, no file yet.
constexpr const char* kDefaultConfig = "/etc/limpet/limpet.cfg";

struct Options {
  std::string config, check, log_level = "info";
  bool version = false, help = false;
};

const std::map<std::string, LogLevel> kLevels = {{"debug", LogLevel::debug},
                                                 {"info", LogLevel::info},
                                                 {"notice", LogLevel::notice},
                                                 {"warning", LogLevel::warning},
                                                 {"error", LogLevel::error}};

int complain(int status, const std::string& what) {
  fmt::print(stderr, "limpet: {}\n", what);
  return status;
}

bool is_missing(const std::string& path) {
  return access(path.c_str(), F_OK) != 0 && errno == ENOENT;
}

void say_how_to_begin(const std::string& path) {
  const std::string example = fmt::format("{}.example", kDefaultConfig);
  const std::string home = path.substr(0, path.rfind('/'));  // `path` itself where it has no '/'
  if (home != path && !home.empty() && is_missing(home))
    fmt::print(stderr, "limpet: {} is not there: mkdir -m 750 {}\n", home, home);
  if (is_missing(example))
    fmt::print(stderr,
               "limpet: {} is not there: `meson install` brings it; it is config/limpet.cfg of the "
               "sources\n",
               example);
  fmt::print(stderr,
             "limpet: to begin: cp {} {}, then set eal, ports, pools and services there; "
             "`limpet --check {}` says what is still wrong\n",
             example, path, path);
}

// The value of an option that is `name` or `letter`: behind '=', behind the letter, or the next
// word, which is taken out. An error when there is none.
std::optional<Result<std::string>> value_of(std::vector<std::string>& words, std::string_view name,
                                            std::string_view letter = {}) {
  const std::string word = words.front();
  if (word.starts_with(name) && word.size() > name.size() && word[name.size()] == '=')
    return word.substr(name.size() + 1);
  if (word != name && (letter.empty() || !word.starts_with(letter))) return std::nullopt;
  if (word != name && word != letter) return word.substr(letter.size());
  if (words.size() == 1) return Error{fmt::format("{} needs a value", word)};
  words.erase(words.begin());
  return words.front();
}

// Status kOk: `options` is filled.
int parse_own(const port::CommandLine& line, Options& options) {
  struct {
    std::string_view name, letter;
    std::string* value;
  } const valued[] = {{"--config", "-c", &options.config},
                      {"--check", {}, &options.check},
                      {"--log-level", {}, &options.log_level}};
  for (std::vector<std::string> words = line.own; !words.empty(); words.erase(words.begin())) {
    const std::string word = words.front();
    if (word == "-h" || word == "--help") {
      options.help = true;
      continue;
    }
    if (word == "--version") {
      options.version = true;
      continue;
    }
    bool known = false;
    for (const auto& [name, letter, value] : valued) {
      const auto found = value_of(words, name, letter);
      if (!found) continue;
      if (!found->ok()) return complain(kUsage, found->error() + " (limpet --help)");
      *value = **found;
      known = true;
      break;
    }
    if (!known)
      return complain(
          kUsage, fmt::format("{} is no option of limpet (limpet --help){}", word,
                              line.separated ? ""
                                             : "; options of DPDK's EAL stand before --: limpet "
                                               "--lcores ... -- --config FILE"));
  }
  if (!kLevels.contains(options.log_level))
    return complain(
        kUsage,
        fmt::format("'{}' is no log level: debug, info, notice, warning or error (limpet --help)",
                    options.log_level));
  return kOk;
}

port::RuntimeSetup runtime_setup(const config::Document& document) {
  port::RuntimeSetup setup;
  for (const config::Port& p : document.ports)
    setup.ports.push_back({p.name, p.device, p.addresses, p.mtu});
  setup.held_packets = document.capacity.held_packets;
  return setup;
}

control::Setup control_setup(const config::Document& document, const port::Eal& eal,
                             port::Runtime& runtime, const port::Workers& workers) {
  control::Setup setup;
  setup.document = document;
  setup.config_file = document.file;
  setup.shared = &runtime.shared();
  setup.ports = runtime.ports();
  for (unsigned i = 0; i < runtime.workers(); ++i)
    setup.workers.push_back({.id = i,
                             .lcore = runtime.lcores()[i],
                             .poll = document.poll == config::Poll::adaptive ? "adaptive" : "spin",
                             .flow_capacity = workers.flow_capacity(i),
                             .flow_bytes_each = workers.flow_bytes_each(i),
                             .held_limit = workers.held_limit(),
                             .stats = &runtime.stats(i)});
  setup.toeplitz = &runtime.toeplitz();
  setup.runtime_dir = eal.runtime_dir();
  setup.mbufs_in_use = [&runtime] { return runtime.mbufs_in_use(); };
  setup.mbuf_pool_size = runtime.mbuf_pool_size();
  setup.nic = [&runtime](size_t port) { return runtime.nic_counters(port); };
  setup.link_up = [&runtime](size_t port) { return runtime.link_up(port); };
  return setup;
}

int run(const config::Document& document, const std::vector<std::string>& eal_arguments) {
  const auto started = std::chrono::steady_clock::now();
  auto eal = port::Eal::start(eal_arguments);
  if (!eal.ok()) {
    complain(kFailed, eal.error());
    if (!document.eal_places.empty())
      fmt::print(stderr, "limpet: `eal` is at {}:{}\n", document.eal_places.front().file,
                 document.eal_places.front().line);
    return kFailed;
  }
  auto runtime = port::Runtime::start(**eal, runtime_setup(document));
  if (!runtime.ok()) return complain(kFailed, runtime.error());
  // Destroyed in the reverse order: workers before the snapshots that they read.
  std::unique_ptr<control::Controller> controller;
  auto workers =
      port::Workers::create(**runtime, {.flows = document.capacity.flows,
                                        .held_packets = document.capacity.held_packets,
                                        .adaptive = document.poll == config::Poll::adaptive});
  if (!workers.ok()) return complain(kFailed, workers.error());
  auto created = control::Controller::create(control_setup(document, **eal, **runtime, **workers));
  if (!created.ok()) return complain(kFailed, created.error());
  controller = std::move(*created);
  if (auto published = controller->publish_first(); !published.ok())
    return complain(kFailed, published.error());
  if (auto launched = (*workers)->launch(); !launched.ok())
    return complain(kFailed, launched.error());
  log(LogLevel::notice, "limpet", "running with {} worker{}, {}", (*runtime)->workers(),
      (*runtime)->workers() == 1 ? "" : "s", document.file);

  const int status = controller->run();

  (*workers)->stop();
  workers->reset();
  controller.reset();
  std::vector<const dataplane::WorkerStats*> stats;
  for (unsigned i = 0; i < (*runtime)->workers(); ++i) stats.push_back(&(*runtime)->stats(i));
  const uint32_t leaked = (*runtime)->stop_ports();
  fmt::print(stderr, "{}",
             apps::summarize({.uptime = std::chrono::steady_clock::now() - started,
                              .workers = stats,
                              .leaked_mbufs = leaked}));
  return status;
}

int start(const std::vector<std::string>& words) {
  const port::CommandLine line = port::split_command_line(words);

  for (const std::string& word : line.eal)
    if (word.starts_with("--config") || word.starts_with("--check"))
      return complain(kUsage, fmt::format("{} is limpet's own option: it stands after --", word));
  Options options;
  if (const int status = parse_own(line, options); status != kOk) return status;

  if (port::has_option(line.eal, "h")) {
    (void)port::Eal::start(line.eal);  // prints DPDK's options and ends the process
    return kOk;
  }
  if (options.help) {
    fmt::print("{}", kHelp);
    return kOk;
  }
  if (options.version) {
    fmt::print("limpet {}, {}\n", LIMPET_VERSION, port::Eal::dpdk_version());
    return kOk;
  }
  const auto further = [&](const config::Document& document) {
    std::vector<config::Problem> problems = apps::check_eal(document, line.eal);
    if (const auto bad = control::key_file_problem(document.cookie_keys_file))
      problems.push_back({document.cookie_keys_place.file, document.cookie_keys_place.line,
                          "cookie_keys.file", *bad});
    return problems;
  };
  if (!options.check.empty()) {
    const int status = config::check_file(options.check, stdout, stderr, further);
    if (is_missing(options.check)) say_how_to_begin(options.check);
    return status;
  }
  if (options.config.empty()) {
    complain(kUsage, fmt::format("no configuration: limpet --config {}, or limpet --help for more",
                                 kDefaultConfig));
    if (is_missing(kDefaultConfig)) say_how_to_begin(kDefaultConfig);
    return kUsage;
  }

  log_set_level(kLevels.at(options.log_level));
  const config::Loaded loaded = config::load_checked(options.config, further);
  for (const config::Problem& problem : loaded.problems)
    fmt::print(stderr, "{}\n", problem.to_string());
  if (!loaded.ok()) {
    if (is_missing(options.config)) say_how_to_begin(options.config);
    return kUsage;
  }

  control::block_signals();  // before the EAL makes threads
  return run(loaded.document, port::merge_eal_arguments(loaded.document.eal, line.eal));
}

}  // namespace

int main(int argc, char** argv) try {
  return start({argv + 1, argv + argc});
} catch (const std::bad_alloc&) {
  std::fputs("limpet: out of memory: lower capacity in the configuration\n", stderr);
  return kFailed;
} catch (const std::exception& e) {
  std::fprintf(stderr, "limpet: %s\n", e.what());
  return kFailed;
}
