// What people and programs are told of the process, and what they may ask of it: the control
// socket, telemetry and the metrics, put together. Knows how to tell; what is to be done it asks of
// its host. Owner: the control thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "limpet/balance/backend_state.h"
#include "limpet/base/loop.h"
#include "limpet/base/result.h"
#include "limpet/base/time.h"
#include "limpet/config/document.h"
#include "limpet/console/request.h"
#include "limpet/console/view.h"
#include "limpet/dataplane/shared.h"

namespace limpet::console {

// Who has asked: a client of the control socket, never reused.
using ClientId = uint64_t;

// Whoever runs the console. Called in turns of the console only, so a snapshot is there.
class Host {
 public:
  virtual ~Host() = default;

  virtual View view() const = 0;
  virtual ProcessFacts facts() const = 0;
  // To one worker; see publish::Publisher::ask().
  virtual void ask(unsigned worker, dataplane::Query* query) = 0;
  virtual void set_admin(uint16_t backend, balance::Admin admin) = 0;
  // Console::reloaded() follows, now or later.
  virtual void reload(ClientId asker) = 0;

  struct Key {  // without its secret
    char id = '\0';
    bool sealing = false;
  };
  struct Keys {
    std::string file;
    std::vector<Key> list;  // after the step
    uint64_t snapshot = 0;
    std::string text;  // one sentence, of a step
  };
  // A step, or the list as it is. `id` of seal and retire.
  virtual Result<Keys> keys(Request::KeyAction action, char id) = 0;
};

// What a reload came to.
struct Reloaded {
  bool ok = false;
  std::string text;                   // one sentence
  std::vector<std::string> problems;  // why not, one sentence each
  std::string file;
  uint64_t snapshot = 0;
};

class Console {
 public:
  struct Setup {
    Loop* loop = nullptr;
    Host* host = nullptr;
    std::string socket;  // its path
    unsigned workers = 0;
    Instant started;             // of the process
    std::function<void()> wake;  // makes the loop turn; from any thread
  };
  // Binds the control socket.
  static Result<std::unique_ptr<Console>> create(Setup setup);
  ~Console();  // removes it; after the workers ended, as they may still write into a query
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;

  // Where the metrics are told changes in two steps: commit or abandon what was prepared.
  Status prepare_metrics(const std::vector<config::Listen>& on);
  void commit_metrics();
  void abandon_metrics();

  void reloaded(ClientId asker, const Reloaded& result);

  void turn(Instant now);
  // How long the next turn may be put off if the loop has nothing to tell.
  std::optional<Duration> wait() const;

 private:
  class Impl;
  explicit Console(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace limpet::console
