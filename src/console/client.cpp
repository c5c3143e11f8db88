// One exchange over a UNIX stream socket, with a time-out whenever nothing moves.
#include "limpet/console/client.h"

#include <fmt/core.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>

namespace limpet::console {
namespace {

constexpr size_t kMaxReply = size_t{1} << 30;

struct Socket {
  int fd = -1;
  ~Socket() {
    if (fd >= 0) close(fd);
  }
};

bool ready(int fd, short events, Duration patience) {
  pollfd p{fd, events, 0};
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(patience).count();
  int got = 0;
  do got = poll(&p, 1, static_cast<int>(ms));
  while (got < 0 && errno == EINTR);
  return got > 0;
}

Reply broken(const std::string& path, std::string_view what) {
  return {Reply::Kind::broken, {}, fmt::format("{}: {}", path, what)};
}

}  // namespace

std::string default_socket_path(const std::string& prefix) {
  std::string base;
  if (const char* given = std::getenv("RUNTIME_DIRECTORY"))
    base = given;
  else if (getuid() == 0)
    base = "/var/run";
  else if (const char* user = std::getenv("XDG_RUNTIME_DIR"))
    base = user;
  else
    base = "/tmp";
  return fmt::format("{}/dpdk/{}/limpet.sock", base, prefix);
}

Reply ask_daemon(const std::string& path, const std::string& request, Duration patience) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return broken(path, "longer than a socket path may be; give a shorter one with --socket");
  std::memcpy(address.sun_path, path.data(), path.size());
  Socket s{socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  if (s.fd < 0) return broken(path, std::strerror(errno));
  if (connect(s.fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const int why = errno;
    if (why == ENOENT || why == ECONNREFUSED || why == ENOTDIR)
      return {Reply::Kind::no_daemon,
              {},
              fmt::format("no limpet answers at {} ({}); is it running? A daemon with another "
                          "--file-prefix is reached with --file-prefix PREFIX or --socket PATH",
                          path, std::strerror(why))};
    if (why == EACCES)
      return {Reply::Kind::no_daemon,
              {},
              fmt::format(
                  "no permission to talk to {}: run limpetctl as the daemon's user, usually root",
                  path)};
    return broken(path, std::strerror(why));
  }

  const std::string line = request + "\n";
  for (size_t sent = 0; sent < line.size();) {
    if (!ready(s.fd, POLLOUT, patience)) return broken(path, "the daemon takes no request");
    const ssize_t n = send(s.fd, line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR) return broken(path, std::strerror(errno));
    if (n > 0) sent += static_cast<size_t>(n);
  }

  std::string reply;
  const auto piece = std::make_unique<char[]>(1 << 16);
  for (;;) {
    if (!ready(s.fd, POLLIN, patience))
      return broken(path, "the daemon did not answer in time; see its log");
    const ssize_t n = recv(s.fd, piece.get(), 1 << 16, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (n < 0) return broken(path, std::strerror(errno));
    if (n == 0) return broken(path, "the daemon closed the connection in the middle of its answer");
    const size_t from = reply.size();
    reply.append(piece.get(), static_cast<size_t>(n));
    if (const size_t end = reply.find('\n', from); end != std::string::npos) {
      reply.resize(end);
      return {Reply::Kind::answered, std::move(reply), {}};
    }
    if (reply.size() > kMaxReply) return broken(path, "the answer has no end");
  }
}

}  // namespace limpet::console
