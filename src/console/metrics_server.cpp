#include "metrics_server.h"

#include <fmt/core.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace limpet::console {
namespace {

constexpr unsigned kAcceptAtOnce = 16;
constexpr const char* kPlain = "text/plain; charset=utf-8";

std::string_view text_of(const std::string& bytes, http::Range r) {
  return std::string_view(bytes).substr(r.begin, r.size());
}

// The value of the first such field of a head that a framer has called complete; `name` in lower
// case.
std::string_view field(std::string_view head, std::string_view name) {
  size_t at = head.find('\n');
  while (at != std::string_view::npos && at + 1 < head.size()) {
    const std::string_view rest = head.substr(at + 1);
    const std::string_view line = rest.substr(0, rest.find('\n'));
    if (line.size() > name.size() && line[name.size()] == ':' &&
        std::equal(name.begin(), name.end(), line.begin(), [](char a, char b) {
          return a == (b >= 'A' && b <= 'Z' ? static_cast<char>(b + 32) : b);
        })) {
      std::string_view value = line.substr(name.size() + 1);
      if (!value.empty() && value.back() == '\r') value.remove_suffix(1);
      return value;
    }
    at = head.find('\n', at + 1);
  }
  return {};
}

bool contains(const std::vector<config::Listen>& all, const config::Listen& one) {
  return std::find(all.begin(), all.end(), one) != all.end();
}

}  // namespace

MetricsServer::~MetricsServer() {
  while (!clients_.empty()) disconnect(clients_.begin()->first);
  abandon();
  for (const Listener& l : listeners_) close_listener(l);
}

void MetricsServer::close_listener(const Listener& listener) {
  loop_.forget(listener.fd);
  close(listener.fd);
  if (!listener.on.path.empty()) unlink(listener.on.path.c_str());
}

Result<int> MetricsServer::open(const config::Listen& on) const {
  const auto failed = [&on](int fd) {
    const int error = errno;
    if (fd >= 0) close(fd);
    return Error{fmt::format("metrics.listen {}: {}", on.to_string(), strerror(error))};
  };
  if (!on.path.empty()) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, on.path.c_str(), on.path.size() + 1);  // its length is checked
    // One that nobody serves any more is replaced.
    const int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const bool served = probe >= 0 && (connect(probe, reinterpret_cast<const sockaddr*>(&address),
                                               sizeof address) == 0 ||
                                       errno == EAGAIN);
    if (probe >= 0) close(probe);
    if (served) {
      errno = EADDRINUSE;
      return failed(-1);
    }
    struct stat there {};
    if (lstat(on.path.c_str(), &there) == 0 && S_ISSOCK(there.st_mode)) unlink(on.path.c_str());
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || fchmod(fd, 0600) != 0 ||
        bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        chmod(on.path.c_str(), 0660) != 0 || ::listen(fd, 64) != 0)
      return failed(fd);
    return fd;
  }
  const int family = on.address.is_v4() ? AF_INET : AF_INET6;
  const int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int yes = 1;
  sockaddr_storage storage{};
  socklen_t length = 0;
  if (on.address.is_v4()) {
    auto* a = reinterpret_cast<sockaddr_in*>(&storage);
    a->sin_family = AF_INET;
    a->sin_port = htons(on.port);
    std::memcpy(&a->sin_addr, on.address.v4_bytes(), 4);
    length = sizeof *a;
  } else {
    auto* a = reinterpret_cast<sockaddr_in6*>(&storage);
    a->sin6_family = AF_INET6;
    a->sin6_port = htons(on.port);
    std::memcpy(&a->sin6_addr, on.address.bytes.data(), 16);
    length = sizeof *a;
  }
  // Ours that go away may have the port, on all addresses or on some of those that we want.
  bool shares = false;
  for (const Listener& l : listeners_)
    if (l.on.path.empty() && l.on.port == on.port && !contains(wanted_, l.on))
      shares = setsockopt(l.fd, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes) == 0 || shares;
  if (shares) setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes);
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
      (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes) != 0) ||
      bind(fd, reinterpret_cast<const sockaddr*>(&storage), length) != 0 || ::listen(fd, 64) != 0)
    return failed(fd);
  return fd;
}

Status MetricsServer::prepare(const std::vector<config::Listen>& on) {
  abandon();
  wanted_ = on;
  const auto is_there = [this](const config::Listen& l) {
    const auto same = [&l](const Listener& x) { return x.on == l; };
    return std::any_of(listeners_.begin(), listeners_.end(), same) ||
           std::any_of(fresh_.begin(), fresh_.end(), same);
  };
  for (const config::Listen& l : on) {
    if (is_there(l)) continue;
    const Result<int> fd = open(l);
    if (!fd) {
      abandon();
      return Error{fd.error()};
    }
    fresh_.push_back({l, *fd});
    loop_.watch(*fd, EPOLLIN, [this, listener = *fd](uint32_t) { accept_clients(listener); });
  }
  return Ok{};
}

void MetricsServer::commit() {
  std::erase_if(listeners_, [this](const Listener& l) {
    if (contains(wanted_, l.on)) return false;
    close_listener(l);
    return true;
  });
  listeners_.insert(listeners_.end(), fresh_.begin(), fresh_.end());
  fresh_.clear();
}

void MetricsServer::abandon() {
  for (const Listener& l : fresh_) close_listener(l);
  fresh_.clear();
}

void MetricsServer::accept_clients(int listener) {
  for (unsigned i = 0; i < kAcceptAtOnce; ++i) {
    const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) return;
    if (!make_room()) {
      close(fd);
      continue;
    }
    const uint64_t id = next_++;
    clients_[id].fd = fd;
    loop_.watch(fd, EPOLLIN, [this, id](uint32_t events) { on_event(id, events); });
    on_event(id, EPOLLIN);  // who asks at once is not silent when the next one needs a place
  }
}

bool MetricsServer::make_room() {
  if (clients_.size() < kMaxClients) return true;
  const auto oldest = [this](auto gives) {  // in the order in which they came
    return std::find_if(clients_.begin(), clients_.end(),
                        [&gives](const auto& c) { return gives(c.second); });
  };
  auto at = oldest([](const Client& c) { return c.answer == nullptr && !c.writing; });
  if (at == clients_.end()) at = oldest([](const Client& c) { return c.writing; });
  if (at == clients_.end()) return false;
  disconnect(at->first);
  return true;
}

void MetricsServer::on_event(uint64_t id, uint32_t events) {
  const auto at = clients_.find(id);
  if (at == clients_.end()) return;
  Client& client = at->second;
  if ((events & (EPOLLHUP | EPOLLERR)) != 0) return disconnect(id);
  if (!client.writing && client.answer == nullptr) read_from(client);
  if (client.fd < 0 || (client.writing && !write_to(client))) disconnect(id);
}

void MetricsServer::read_from(Client& client) {
  char buffer[kMaxHead];
  const ssize_t n = recv(client.fd, buffer, sizeof buffer, 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) {  // without a request there is nobody to answer
    loop_.forget(client.fd);
    close(std::exchange(client.fd, -1));
    return;
  }
  client.in.append(buffer, static_cast<size_t>(n));
  http::RequestHead head;
  const auto* bytes = reinterpret_cast<const uint8_t*>(client.in.data());
  switch (client.framer.feed({bytes, client.in.size()}, head)) {
    case http::Fed::complete:
      return answer(client, head);
    case http::Fed::refused:
      return respond(client, "400 Bad Request", kPlain, "", "this is no HTTP/1.1 request\n");
    case http::Fed::need_more:
      if (client.in.size() >= kMaxHead)
        respond(client, "431 Request Header Fields Too Large", kPlain, "", "too much\n");
      return;
  }
}

void MetricsServer::answer(Client& client, const http::RequestHead& head) {
  client.head_only = head.kind == http::Method::head;
  if (head.kind != http::Method::get && head.kind != http::Method::head)
    return respond(client, "405 Method Not Allowed", kPlain, "Allow: GET, HEAD\r\n",
                   "GET or HEAD, please\n");
  std::string_view target = text_of(client.in, head.target);
  target = target.substr(0, target.find('?'));
  if (target != "/metrics")
    return respond(client, "404 Not Found", kPlain, "", "there is /metrics\n");
  client.format =
      format_for(field(std::string_view(client.in).substr(0, head.bounds.end), "accept"));
  client.answer = begin_(client.format);
  loop_.change(client.fd, 0);  // but for its end
}

void MetricsServer::respond(Client& client, std::string_view status, std::string_view type,
                            std::string_view more, std::string_view body) {
  client.out = fmt::format(
      "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{}Connection: close\r\n\r\n",
      status, type, body.size(), more);
  if (!client.head_only) client.out += body;
  client.writing = true;
  client.by.reset();
  loop_.change(client.fd, EPOLLOUT);
}

bool MetricsServer::write_to(Client& client) {
  while (client.sent < client.out.size()) {
    const ssize_t n = send(client.fd, client.out.data() + client.sent,
                           client.out.size() - client.sent, MSG_NOSIGNAL);
    if (n > 0)
      client.sent += static_cast<size_t>(n);
    else if (errno != EINTR)
      return errno == EAGAIN;
  }
  return false;
}

void MetricsServer::disconnect(uint64_t id) {
  const auto at = clients_.find(id);
  if (at->second.fd >= 0) {
    loop_.forget(at->second.fd);
    // What was not read would turn the end into a reset, and the answer might be lost with it.
    shutdown(at->second.fd, SHUT_WR);
    char rest[1024];
    for (unsigned i = 0; i < kAcceptAtOnce && recv(at->second.fd, rest, sizeof rest, 0) > 0; ++i) {
    }
    close(at->second.fd);
  }
  clients_.erase(at);
}

// One slice for one client, so that a turn stays short whoever asks.
void MetricsServer::turn(Instant now) {
  std::vector<uint64_t> late;
  bool made = false;
  for (auto& [id, client] : clients_) {
    if (client.answer != nullptr && !made) {
      made = true;
      if (client.answer->turn()) {
        respond(client, "200 OK", content_type(client.format), "", client.answer->text());
        client.answer.reset();
      }
    }
    if (!client.by) client.by = now + kPatience;
    if (client.answer == nullptr && now > *client.by) late.push_back(id);
  }
  for (const uint64_t id : late) disconnect(id);
}

std::optional<Duration> MetricsServer::wait() const {
  for (const auto& [id, client] : clients_)
    if (client.answer != nullptr) return Duration::zero();
  if (!clients_.empty()) return std::chrono::seconds(1);
  return std::nullopt;
}

}  // namespace limpet::console
