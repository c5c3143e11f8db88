// A prober, and servers on loopback for it to check.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "limpet/health/prober.h"
#include "sample.h"

namespace limpet::health {

using namespace std::chrono_literals;

// A TCP server on 127.0.0.1 that handles one connection after the other as `behaviour` says.
class HttpServer {
 public:
  explicit HttpServer(std::function<void(int fd, const std::string& request)> behaviour,
                      bool reads = true, int mss = 0)
      : behaviour_(std::move(behaviour)), reads_(reads) {
    listener_ = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), length), 0);
    if (mss != 0) {
      EXPECT_EQ(setsockopt(listener_, IPPROTO_TCP, TCP_MAXSEG, &mss, sizeof mss), 0);
    }
    EXPECT_EQ(listen(listener_, 64), 0);
    EXPECT_EQ(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length), 0);
    port = ntohs(address.sin_port);
    thread_ = std::thread([this] { run(); });
  }
  ~HttpServer() {
    stop_ = true;
    thread_.join();
    close(listener_);
  }
  uint16_t port = 0;
  std::atomic<int> connections{0};
  std::atomic<int> closed{0};  // of these, at the server's end, which is in this process too

 private:
  void run() {
    while (!stop_) {
      pollfd p{listener_, POLLIN, 0};
      if (poll(&p, 1, 20) <= 0) continue;
      const int fd = accept(listener_, nullptr, nullptr);
      ++connections;
      std::string request;
      char buffer[4096];
      while (reads_ && request.find("\r\n\r\n") == std::string::npos) {
        const ssize_t n = read(fd, buffer, sizeof buffer);
        if (n <= 0) break;
        request.append(buffer, static_cast<size_t>(n));
      }
      if (!request.empty() || !reads_) behaviour_(fd, request);
      close(fd);
      ++closed;
    }
  }
  std::function<void(int, const std::string&)> behaviour_;
  bool reads_;
  int listener_ = -1;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

inline void say(int fd, const std::string& text) {
  size_t sent = 0;
  while (sent < text.size()) {
    const ssize_t n = send(fd, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
    if (n <= 0) return;
    sent += static_cast<size_t>(n);
  }
}

inline std::function<void(int, const std::string&)> answers(const std::string& status) {
  return [status](int fd, const std::string&) {
    say(fd, "HTTP/1.1 " + status + "\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi");
  };
}

// A port of 127.0.0.1 where nobody listens.
inline uint16_t closed_port() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), length), 0);
  EXPECT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length), 0);
  close(fd);
  return ntohs(address.sin_port);
}

inline size_t open_descriptors() {
  size_t n = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
    ++n;
  return n;
}

class ProberTest : public ::testing::Test {
 protected:
  void SetUp() override { prober_ = Prober::create().value(); }

  Probe probe(config::HealthType type, uint16_t port, Duration timeout = 5s) {
    static const Probe defaults;  // copied: GCC 12 takes what is built in place for uninitialized
    Probe p = defaults;
    p.type = type;
    p.address = ip("127.0.0.1");
    p.port = port;
    p.timeout = timeout;
    return p;
  }
  // Waits as the event loop does.
  std::vector<ProbeResult> wait_for(size_t count) {
    std::vector<ProbeResult> all;
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    while (all.size() < count && std::chrono::steady_clock::now() < deadline) {
      const auto wait = prober_->wait().value_or(1s);
      pollfd p{prober_->fd(), POLLIN, 0};
      poll(&p, 1, static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(wait).count()));
      prober_->run();
      for (ProbeResult& r : prober_->harvest()) all.push_back(std::move(r));
    }
    EXPECT_EQ(all.size(), count);
    return all;
  }
  CheckResult check(const Probe& p) {
    prober_->start(1, p);
    const auto results = wait_for(1);
    return results.empty() ? CheckResult{} : results[0].result;
  }
  std::unique_ptr<Prober> prober_;
};

}  // namespace limpet::health
