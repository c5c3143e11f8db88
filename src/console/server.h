// The control socket: a UNIX stream socket on which clients send lines and get one line for each.
// Knows nothing of what the lines say. Every buffer is bounded; whoever sends too much, or does not
// read what it asked for, is disconnected.
// Owner: the control thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "limpet/base/loop.h"
#include "limpet/base/result.h"
#include "limpet/base/time.h"

namespace limpet::console {

class Server {
 public:
  static constexpr size_t kMaxLine = 64 * 1024;
  static constexpr size_t kMaxClients = 64;
  static constexpr size_t kMaxReply = 64 * 1024 * 1024;  // waiting to be read by one client
  static constexpr Duration kStalled = std::chrono::seconds(10);  // reads nothing of its reply
  // From a request's first byte to its end, however often a byte comes.
  static constexpr Duration kLineTime = std::chrono::seconds(10);

  using ClientId = uint64_t;  // never reused
  // Exactly one reply() must follow, now or later; the client's next line waits for it.
  using OnLine = std::function<void(ClientId, const std::string& line)>;

  // Binds `path`, mode 0600. A socket that nobody serves any more is replaced.
  static Result<std::unique_ptr<Server>> create(Loop& loop, const std::string& path,
                                                OnLine on_line);
  ~Server();  // removes the socket
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  void reply(ClientId client, const std::string& line);  // nothing happens when it has gone

  void turn(Instant now);
  std::optional<Duration> wait() const;
  size_t clients() const { return clients_.size(); }

 private:
  struct Client {
    int fd = -1;
    std::string in;
    std::string out;
    size_t sent = 0;                    // of out
    bool busy = false;                  // a line was given out and not answered yet
    bool ended = false;                 // sends no more
    bool broken = false;                // to be closed once `out` is sent
    bool moved = true;                  // did something since the last turn
    Instant progress;                   // the turn after it last did something
    std::optional<Instant> line_since;  // the turn that first saw its unfinished line
    uint32_t watching = 0;
  };

  Server(Loop& loop, int fd, std::string path, OnLine on_line);
  void accept_clients();
  bool make_room();
  void on_event(ClientId id, uint32_t events);
  void read_from(Client& client);
  void write_to(Client& client);
  bool take_line(Client& client, std::string& line);
  void pump(ClientId id);
  void settle(ClientId id);
  bool overdue(Client& client) const;
  void disconnect(ClientId id);

  Loop& loop_;
  int fd_;
  std::string path_;
  OnLine on_line_;
  ClientId next_ = 1;
  std::map<ClientId, Client> clients_;
  ClientId pumping_ = 0;
  bool more_ = false;  // lines wait that no event will announce
  Instant now_;        // of the last turn; between turns it may be long past
};

}  // namespace limpet::console
