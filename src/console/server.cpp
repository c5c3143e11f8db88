// Lines in, lines out. A client moves through pump() (give out its lines one at a time) and
// settle() (write, decide what to wait for, or close).
#include "server.h"

#include <fmt/core.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

namespace limpet::console {
namespace {

constexpr size_t kReadAtOnce = 16 * 1024;
constexpr unsigned kLinesAtOnce = 16;  // of one client, before the others have their turn
constexpr unsigned kAcceptAtOnce = 16;
constexpr const char* kTooLong = "{\"ok\":false,\"error\":\"request longer than 65536 bytes\"}\n";
constexpr const char* kTooSlow =
    "{\"ok\":false,\"error\":\"the request did not end within 10 seconds\"}\n";
constexpr const char* kTooMany =
    "{\"ok\":false,\"error\":\"too many clients of the control socket\"}\n";

// Somebody answers there?
bool served(const sockaddr_un& address) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return false;
  const int rc = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const bool yes = rc == 0 || errno == EAGAIN;
  close(fd);
  return yes;
}

}  // namespace

Result<std::unique_ptr<Server>> Server::create(Loop& loop, const std::string& path,
                                               OnLine on_line) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return Error{
        fmt::format("control socket {}: the path is longer than {} bytes; use a shorter "
                    "--file-prefix",
                    path, sizeof address.sun_path - 1)};
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  if (served(address))
    return Error{
        fmt::format("control socket {} is served by another limpet; give this one a "
                    "--file-prefix of its own",
                    path)};
  struct stat there {};
  if (lstat(path.c_str(), &there) == 0 && S_ISSOCK(there.st_mode)) unlink(path.c_str());
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  // The mode of the descriptor becomes that of the file, so there is no moment with a wider one.
  if (fd < 0 || fchmod(fd, 0600) != 0 ||
      bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      listen(fd, 64) != 0) {
    const int error = errno;
    if (fd >= 0) close(fd);
    return Error{fmt::format("control socket {}: {}", path, strerror(error))};
  }
  return std::unique_ptr<Server>(new Server(loop, fd, path, std::move(on_line)));
}

Server::Server(Loop& loop, int fd, std::string path, OnLine on_line)
    : loop_(loop), fd_(fd), path_(std::move(path)), on_line_(std::move(on_line)) {
  loop_.watch(fd_, EPOLLIN, [this](uint32_t) { accept_clients(); });
}

Server::~Server() {
  for (auto& [id, client] : clients_) {
    loop_.forget(client.fd);
    close(client.fd);
  }
  loop_.forget(fd_);
  close(fd_);
  unlink(path_.c_str());
}

void Server::accept_clients() {
  for (unsigned i = 0; i < kAcceptAtOnce; ++i) {
    const int fd = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) return;
    if (!make_room()) {
      [[maybe_unused]] const ssize_t n = send(fd, kTooMany, strlen(kTooMany), MSG_NOSIGNAL);
      close(fd);
      continue;
    }
    const ClientId id = next_++;
    Client& client = clients_[id];
    client.fd = fd;
    client.watching = EPOLLIN;
    loop_.watch(fd, EPOLLIN, [this, id](uint32_t events) { on_event(id, events); });
  }
}

// With the table full the client that has been idle longest makes room, if one is idle.
bool Server::make_room() {
  if (clients_.size() < kMaxClients) return true;
  auto oldest = clients_.end();
  // What has moved since the last turn is no candidate before all others.
  const auto idle_since = [](const Client& c) {
    return c.moved ? Instant{UINT64_MAX} : c.progress;
  };
  for (auto at = clients_.begin(); at != clients_.end(); ++at) {
    const Client& c = at->second;
    if (c.busy || !c.out.empty() || !c.in.empty()) continue;
    if (oldest == clients_.end() || idle_since(c) < idle_since(oldest->second)) oldest = at;
  }
  if (oldest == clients_.end()) return false;
  disconnect(oldest->first);
  return true;
}

void Server::on_event(ClientId id, uint32_t events) {
  const auto at = clients_.find(id);
  if (at == clients_.end()) return;
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) read_from(at->second);
  pump(id);
  // Closed on both sides: what it asked is done, but nobody reads the answer. epoll would report
  // this again and again.
  const auto left = clients_.find(id);
  if ((events & (EPOLLHUP | EPOLLERR)) == 0 || left == clients_.end()) return;
  disconnect(id);
}

void Server::read_from(Client& client) {
  char buffer[kReadAtOnce];
  const ssize_t n = recv(client.fd, buffer, sizeof buffer, 0);
  if (n > 0) {
    client.in.append(buffer, static_cast<size_t>(n));
    client.moved = true;
  } else if (n == 0) {
    client.ended = true;
  } else if (errno != EAGAIN && errno != EINTR) {
    client.ended = client.broken = true;
    client.out.clear();
  }
}

// The next line without its end. What is left when the client has ended counts as a line.
bool Server::take_line(Client& client, std::string& line) {
  const size_t end = client.in.find('\n');
  if (end > kMaxLine && client.in.size() > kMaxLine) {
    client.in.clear();
    client.out += kTooLong;
    client.broken = true;
    return false;
  }
  if (end == std::string::npos) {
    if (!client.ended || client.in.empty()) return false;
    line = std::exchange(client.in, {});
  } else {
    line = client.in.substr(0, end);
    client.in.erase(0, end + 1);
  }
  if (!line.empty() && line.back() == '\r') line.pop_back();
  return true;
}

void Server::pump(ClientId id) {
  const ClientId outer = std::exchange(pumping_, id);
  std::string line;
  for (unsigned i = 0; i < kLinesAtOnce; ++i) {
    const auto at = clients_.find(id);
    if (at == clients_.end()) break;
    Client& client = at->second;
    // Who does not read its replies gets no more of them.
    if (client.busy || client.broken || !client.out.empty() || !take_line(client, line)) break;
    if (line.empty()) continue;
    client.busy = true;
    on_line_(id, line);
    const auto answered = clients_.find(id);
    if (answered != clients_.end()) write_to(answered->second);
  }
  pumping_ = outer;
  settle(id);
}

void Server::reply(ClientId id, const std::string& line) {
  const auto at = clients_.find(id);
  if (at == clients_.end()) return;
  Client& client = at->second;
  client.busy = false;
  client.out += line;
  client.out += '\n';
  client.moved = true;
  if (client.out.size() > kMaxReply) {
    client.out = "{\"ok\":false,\"error\":\"the answer is too long; use a limit\"}\n";
    client.sent = 0;
  }
  if (pumping_ == id) return;  // pump() goes on by itself
  write_to(client);
  pump(id);
}

void Server::write_to(Client& client) {
  while (client.sent < client.out.size()) {
    const ssize_t n = send(client.fd, client.out.data() + client.sent,
                           client.out.size() - client.sent, MSG_NOSIGNAL);
    if (n > 0) {
      client.sent += static_cast<size_t>(n);
      client.moved = true;
      continue;
    }
    if (errno == EINTR) continue;
    if (errno == EAGAIN) return;
    client.ended = client.broken = true;  // it has gone
    break;
  }
  client.out.clear();
  client.sent = 0;
}

void Server::settle(ClientId id) {
  const auto at = clients_.find(id);
  if (at == clients_.end()) return;
  Client& client = at->second;
  write_to(client);
  const bool done = client.broken || (client.ended && !client.busy && client.in.empty());
  if (done && client.out.empty()) {
    disconnect(id);
    return;
  }
  if (!client.busy && !client.broken && client.out.empty() &&
      (client.in.find('\n') != std::string::npos || client.ended))
    more_ = true;
  uint32_t events = client.out.empty() ? 0u : uint32_t{EPOLLOUT};
  // Nothing more is read than one line needs.
  if (!client.ended && !client.broken && client.in.size() <= kMaxLine) events |= EPOLLIN;
  if (events != client.watching) loop_.change(client.fd, events);
  client.watching = events;
}

// A line is under way that the client may finish at any time, and it is taking too long. While an
// answer is awaited or not read yet, the client's next line has to wait itself.
bool Server::overdue(Client& client) const {
  const bool unfinished = !client.busy && !client.broken && client.out.empty() &&
                          !client.in.empty() && client.in.find('\n') == std::string::npos;
  if (!unfinished) {
    client.line_since.reset();
    return false;
  }
  if (!client.line_since) client.line_since = now_;
  return now_ - *client.line_since > kLineTime;
}

void Server::disconnect(ClientId id) {
  const auto at = clients_.find(id);
  loop_.forget(at->second.fd);
  close(at->second.fd);
  clients_.erase(at);
}

void Server::turn(Instant now) {
  now_ = now;
  std::vector<ClientId> ready, stalled;
  for (auto& [id, client] : clients_) {
    if (std::exchange(client.moved, false)) client.progress = now;
    if (overdue(client)) {
      [[maybe_unused]] const ssize_t n = send(client.fd, kTooSlow, strlen(kTooSlow), MSG_NOSIGNAL);
      stalled.push_back(id);
    } else if (!client.out.empty() && now - client.progress > kStalled) {
      stalled.push_back(id);
    } else if (more_) {
      ready.push_back(id);
    }
  }
  more_ = false;
  for (const ClientId id : stalled) disconnect(id);
  for (const ClientId id : ready) pump(id);
}

std::optional<Duration> Server::wait() const {
  if (more_) return Duration::zero();
  for (const auto& [id, client] : clients_)
    if (!client.out.empty() || client.line_since) return kStalled;
  return std::nullopt;
}

}  // namespace limpet::console
