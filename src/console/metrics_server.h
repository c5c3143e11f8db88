// HTTP for whoever scrapes: GET /metrics, one request a connection, on TCP addresses and UNIX
// sockets of the setting `metrics`. Knows nothing of what the answer says. Everything is bounded:
// clients, what one sends, how long it takes to send or to read; nothing blocks the event loop.
// With all places taken the oldest client that has not asked yet makes room, then the oldest that
// does not read its answer: who fills the places locks nobody out.
// Owner: the control thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "limpet/base/loop.h"
#include "limpet/base/result.h"
#include "limpet/base/time.h"
#include "limpet/config/document.h"
#include "limpet/http/request.h"
#include "metrics_text.h"

namespace limpet::console {

class MetricsServer {
 public:
  static constexpr size_t kMaxClients = 16;
  static constexpr size_t kMaxHead = 8192;
  static constexpr Duration kPatience =
      std::chrono::seconds(10);  // for the request, then for the answer

  // One part of an answer at a time: true when `text` is whole.
  class Answer {
   public:
    virtual ~Answer() = default;
    virtual bool turn() = 0;
    virtual const std::string& text() const = 0;
  };
  using Begin = std::function<std::unique_ptr<Answer>(MetricFormat)>;

  MetricsServer(Loop& loop, Begin begin) : loop_(loop), begin_(std::move(begin)) {}
  ~MetricsServer();
  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;

  // A change in two steps, as a reload may still fail for another reason. prepare() listens on
  // those of `on` that are new, beside all that are; an error names the one that cannot be and
  // leaves everything as it was. Then either commit(), which closes those that are not in `on`, or
  // abandon(), which closes the new ones.
  Status prepare(const std::vector<config::Listen>& on);
  void commit();
  void abandon();

  void turn(Instant now);
  std::optional<Duration> wait() const;
  size_t clients() const { return clients_.size(); }

 private:
  struct Listener {
    config::Listen on;
    int fd = -1;
  };
  struct Client {
    int fd = -1;
    std::string in;
    http::RequestFramer framer;
    bool head_only = false;
    MetricFormat format = MetricFormat::prometheus;
    std::unique_ptr<Answer> answer;  // under way
    std::string out;
    size_t sent = 0;
    bool writing = false;
    std::optional<Instant> by;  // set by the next turn
  };
  Result<int> open(const config::Listen& on) const;
  void close_listener(const Listener& listener);
  void accept_clients(int fd);
  bool make_room();
  void on_event(uint64_t id, uint32_t events);
  void read_from(Client& client);
  void answer(Client& client, const http::RequestHead& head);
  void respond(Client& client, std::string_view status, std::string_view type,
               std::string_view more, std::string_view body);
  bool write_to(Client& client);  // false: it is over
  void disconnect(uint64_t id);

  Loop& loop_;
  Begin begin_;
  std::vector<Listener> listeners_;
  std::vector<Listener> fresh_;         // prepared
  std::vector<config::Listen> wanted_;  // once it is committed
  std::map<uint64_t, Client> clients_;
  uint64_t next_ = 1;
};

}  // namespace limpet::console
