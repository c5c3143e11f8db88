#include "limpet/console/log_sink.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <utility>

#include "limpet/base/log.h"
#include "limpet/base/os_error.h"

namespace limpet::console {
namespace {

using To = config::Log::To;

// So much is written to a pipe without waiting once it is writable.
constexpr size_t kPiece = 4096;
constexpr int kLookMs = 100;
constexpr int kTries = 100;  // of a datagram, when its reader says that it is ready and is not
constexpr int64_t kTellEvery = 60;  // seconds

// RFC 3164, as libc sends it: facility local0, severity info.
constexpr int kPriority = 16 * 8 + 6;

int64_t milliseconds() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1000000;
}

uint64_t count(std::string_view lines) {
  return static_cast<uint64_t>(std::count(lines.begin(), lines.end(), '\n'));
}

// Whole lines, at most `most` octets of them; one line if that alone is longer.
std::string_view piece_of(std::string_view lines, size_t most) {
  if (lines.size() <= most) return lines;
  const size_t end = lines.rfind('\n', most - 1);
  if (end != std::string_view::npos) return lines.substr(0, end + 1);
  return lines.substr(0, lines.find('\n') + 1);
}

}  // namespace

Result<std::unique_ptr<LogSink>> LogSink::open(const config::Log& log, LogTotals& totals) {
  std::unique_ptr<LogSink> sink(new LogSink(log, totals));
  const auto error = [&](int number) {
    return Error{fmt::format("log: {}: {}", log.place(), errno_text(number))};
  };
  switch (log.to) {
    case To::nowhere:
      return Error{"log: no place"};
    case To::error_output:
      sink->fd_ = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
      if (sink->fd_ < 0) return error(errno);
      break;
    case To::file: {
      // A FIFO without a reader must not hold anybody up.
      sink->fd_ = ::open(log.path.c_str(),
                         O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
      if (sink->fd_ < 0) return error(errno);
      break;
    }
    case To::unix_socket:
      if (!sink->connect()) return error(errno);
      break;
  }
  sink->thread_ = std::thread([s = sink.get()] { s->run(); });
  return sink;
}

LogSink::~LogSink() {
  if (thread_.joinable()) {
    retire();
    thread_.join();
  }
  if (fd_ >= 0) close(fd_);
}

void LogSink::retire() {
  {
    const std::lock_guard lock(mutex_);
    if (stop_) return;
    stop_by_ = milliseconds() + kPatienceMs;
    stop_ = true;
  }
  news_.notify_one();
}

void LogSink::write(std::string_view line) {
  {
    const std::lock_guard lock(mutex_);
    if (pending_.size() + line.size() + 1 <= kBuffer) {
      pending_.append(line);
      pending_ += '\n';
      line = {};
    }
  }
  if (line.empty())
    news_.notify_one();
  else
    ++totals_.lost_buffer;
}

void LogSink::run() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  std::string lines;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      news_.wait(lock, [this] { return stop_ || !pending_.empty(); });
      if (pending_.empty()) {
        done_ = true;
        return;
      }
      lines.clear();
      std::swap(lines, pending_);
    }
    if (log_.to == To::unix_socket)
      send_lines(lines);
    else
      write_lines(lines);
  }
}

bool LogSink::ready() {
  for (;;) {
    pollfd p{fd_, POLLOUT, 0};
    const int n = poll(&p, 1, kLookMs);
    if (n > 0) return true;  // also when it is broken: the write says how
    if (n < 0 && errno != EINTR) return true;
    if (!stop_) continue;
    const std::lock_guard lock(mutex_);
    if (milliseconds() >= stop_by_) return false;
  }
}

void LogSink::lose(std::string_view lines, int error) {
  totals_.lost_write += count(lines);
  const int64_t now = milliseconds() / 1000;
  if (told_at_ != 0 && now - told_at_ < kTellEvery) return;
  told_at_ = std::max<int64_t>(now, 1);
  // It would go where it cannot be written.
  if (log_.to != To::error_output)
    log(LogLevel::error, "log", "{}: {}: lines are lost (limpet_log_lost_total)", log_.place(),
        errno_text(error));
}

void LogSink::write_lines(std::string_view lines) {
  while (!lines.empty()) {
    const std::string_view piece = piece_of(lines, kPiece);
    lines.remove_prefix(piece.size());
    std::string_view left = piece;
    int error = 0;
    while (!left.empty() && error == 0) {
      if (!ready()) return lose({left.data(), left.size() + lines.size()}, ETIMEDOUT);
      if (torn_) {  // what follows must not stand behind half a line
        if (::write(fd_, "\n", 1) != 1) error = errno;
        torn_ = error != 0;
        if (error != 0) break;
      }
      const ssize_t n = ::write(fd_, left.data(), left.size());
      if (n > 0)
        left.remove_prefix(static_cast<size_t>(n));
      else if (n < 0 && errno != EINTR && errno != EAGAIN)
        error = errno;
    }
    const uint64_t lost = count(left);
    totals_.written += count(piece) - lost;
    if (error == 0) continue;
    torn_ = torn_ || (left.size() != piece.size() && *(left.data() - 1) != '\n');
    lose(left, error);
  }
}

bool LogSink::connect() {
  if (fd_ >= 0) close(fd_);
  fd_ = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd_ < 0) return false;
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  std::memcpy(to.sun_path, log_.path.data(), std::min(log_.path.size(), sizeof to.sun_path - 1));
  return ::connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0;
}

void LogSink::send_lines(std::string_view lines) {
  std::string datagram;
  while (!lines.empty()) {
    const size_t end = lines.find('\n');
    datagram = fmt::format("<{}>limpet[{}]: {}", kPriority, getpid(), lines.substr(0, end));
    int error = EAGAIN;
    bool again = true;  // a syslog that began anew has another socket at its path
    for (int tries = 0; tries != kTries && error != 0; ++tries) {
      if (!ready()) return lose(lines, ETIMEDOUT);
      const ssize_t n = send(fd_, datagram.data(), datagram.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      error = n < 0 ? errno : 0;
      if (error == 0 || error == EAGAIN || error == EINTR) continue;
      if (!std::exchange(again, false) || error == EMSGSIZE || !connect()) break;
    }
    if (error == 0)
      ++totals_.written;
    else
      lose(lines.substr(0, end + 1), error);
    lines.remove_prefix(end + 1);
  }
}

}  // namespace limpet::console
