// Who asks for metrics, well and badly.
#include "metrics_server.h"

#include <arpa/inet.h>
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <functional>

namespace limpet::console {
namespace {

using namespace std::chrono_literals;

config::Listen on_unix(const std::string& path) {
  config::Listen l;
  l.path = path;
  return l;
}

class MetricsServerTest : public ::testing::Test {
 protected:
  struct Text : MetricsServer::Answer {
    explicit Text(std::string t, int turns) : text_(std::move(t)), turns_(turns) {}
    bool turn() override { return --turns_ <= 0; }
    const std::string& text() const override { return text_; }
    std::string text_;
    int turns_;
  };
  void SetUp() override {
    char name[] = "/tmp/limpet-metrics-test-XXXXXX";
    directory_ = mkdtemp(name);
    path_ = directory_ + "/metrics";
    loop_ = Loop::create([this] { return now_; }).value();
    server_ = std::make_unique<MetricsServer>(*loop_, [this](MetricFormat format) {
      ++begun_;
      return std::make_unique<Text>(format == MetricFormat::open_metrics ? "open" + body_ : body_,
                                    slices_);
    });
    const Status s = listen({on_unix(path_)});
    ASSERT_TRUE(s.ok()) << s.error();
  }
  void TearDown() override {
    server_.reset();
    std::filesystem::remove_all(directory_);
  }
  Status listen(const std::vector<config::Listen>& on) {
    Status s = server_->prepare(on);
    if (s) server_->commit();
    return s;
  }
  int connected(const std::string& path) {
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    return fd;
  }
  void turn(int times = 20) {
    for (int i = 0; i < times; ++i) {
      server_->turn(now_);
      loop_->wait(std::min<Duration>(server_->wait().value_or(1ms), 1ms));
    }
  }
  static void say(int fd, const std::string& text) {
    ASSERT_EQ(send(fd, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
  }
  // All that comes until the server closes, or for a while.
  std::string heard(int fd, bool* closed = nullptr) {
    std::string all;
    for (int i = 0; i < 200; ++i) {
      turn(1);
      char buffer[65536];
      const ssize_t n = recv(fd, buffer, sizeof buffer, 0);
      if (n > 0) all.append(buffer, static_cast<size_t>(n));
      if (n == 0) {
        if (closed != nullptr) *closed = true;
        break;
      }
    }
    close(fd);
    return all;
  }
  std::string ask(const std::string& request) {
    const int fd = connected(path_);
    say(fd, request);
    return heard(fd);
  }
  static std::string status(const std::string& response) { return response.substr(0, 12); }

  std::string directory_, path_, body_ = "limpet_up 1\n";
  int slices_ = 1, begun_ = 0;
  std::unique_ptr<Loop> loop_;
  std::unique_ptr<MetricsServer> server_;
  Instant now_{1'000'000'000'000};
};

constexpr const char* kGet = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";

TEST_F(MetricsServerTest, answers_a_scrape_and_closes) {
  slices_ = 5;
  EXPECT_EQ(ask(kGet),
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
            "Content-Length: 12\r\nConnection: close\r\n\r\nlimpet_up 1\n");
  EXPECT_EQ(server_->clients(), 0u);
}

TEST_F(MetricsServerTest, answers_in_the_format_that_is_asked_for) {
  const std::string open =
      ask("GET /metrics?x=y HTTP/1.1\r\nHost: a\r\nACCEPT: application/openmetrics-text\r\n\r\n");
  EXPECT_NE(open.find("\r\nContent-Type: application/openmetrics-text; version=1.0.0"),
            std::string::npos);
  EXPECT_EQ(open.substr(open.size() - 16), "openlimpet_up 1\n");
  // Not in another field's value, nor in the request line.
  for (const char* other : {"GET /metrics?accept: HTTP/1.1\r\nHost: a\r\n\r\n",
                            "GET /metrics HTTP/1.1\r\nHost: a\r\nX: accept: "
                            "application/openmetrics-text\r\n\r\n"})
    EXPECT_EQ(ask(other).find("openmetrics"), std::string::npos) << other;
}

TEST_F(MetricsServerTest, a_head_is_answered_without_a_body) {
  const std::string head = ask("HEAD /metrics HTTP/1.0\r\n\r\n");
  EXPECT_NE(head.find("Content-Length: 12\r\n"), std::string::npos);
  EXPECT_EQ(head.substr(head.size() - 4), "\r\n\r\n");
}

TEST_F(MetricsServerTest, anything_else_is_refused_by_its_status) {
  EXPECT_EQ(status(ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n")), "HTTP/1.1 404");
  EXPECT_EQ(status(ask("GET /metricsx HTTP/1.1\r\nHost: a\r\n\r\n")), "HTTP/1.1 404");
  EXPECT_EQ(status(ask("GET http://a/metrics HTTP/1.1\r\nHost: a\r\n\r\n")), "HTTP/1.1 404");
  EXPECT_EQ(status(ask("POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")),
            "HTTP/1.1 405");
  EXPECT_EQ(status(ask("nonsense\r\n\r\n")), "HTTP/1.1 400");
  EXPECT_EQ(status(ask("GET /metrics HTTP/2.0\r\n\r\n")), "HTTP/1.1 400");
  EXPECT_EQ(status(ask(std::string("\x16\x03\x01\x02", 4) + std::string(60, 'x'))), "HTTP/1.1 400");
  EXPECT_EQ(begun_, 0);
}

TEST_F(MetricsServerTest, octet_by_octet_is_one_request) {
  const int fd = connected(path_);
  for (const char* c = kGet; *c != '\0'; ++c) {
    say(fd, std::string(1, *c));
    turn(2);
  }
  EXPECT_EQ(status(heard(fd)), "HTTP/1.1 200");
  EXPECT_EQ(begun_, 1);
}

TEST_F(MetricsServerTest, only_the_first_of_several_requests_is_answered) {
  const std::string twice = ask(std::string(kGet) + kGet);
  EXPECT_EQ(twice.find("HTTP/1.1", 1), std::string::npos);
  EXPECT_EQ(begun_, 1);
}

TEST_F(MetricsServerTest, a_head_without_end_is_too_much) {
  EXPECT_EQ(status(ask("GET /metrics HTTP/1.1\r\nX: " + std::string(9000, 'x'))), "HTTP/1.1 431");
}

TEST_F(MetricsServerTest, who_does_not_go_on_is_let_go) {
  bool closed = false;
  const int silent = connected(path_), slow = connected(path_);
  say(slow, "GET /metrics HTTP/1.1\r\nX: ");
  turn();
  EXPECT_EQ(server_->clients(), 2u);
  for (int i = 0; i < 9; ++i) {
    now_ = now_ + 1s;
    say(slow, "x");
    turn(3);
  }
  EXPECT_EQ(server_->clients(), 2u);
  now_ = now_ + 2s;
  turn();
  EXPECT_EQ(server_->clients(), 0u) << "however often an octet comes";
  EXPECT_EQ(heard(silent, &closed), "");
  EXPECT_TRUE(closed);
  close(slow);
}

TEST_F(MetricsServerTest, who_does_not_read_is_let_go_and_blocks_nobody) {
  body_ = std::string(4 << 20, 'x');
  const int deaf = connected(path_);
  say(deaf, kGet);
  turn();
  const std::string whole = ask(kGet);
  EXPECT_GT(whole.size(), body_.size());
  EXPECT_EQ(server_->clients(), 1u);
  now_ = now_ + 11s;
  turn();
  EXPECT_EQ(server_->clients(), 0u);
  close(deaf);
}

TEST_F(MetricsServerTest, who_is_silent_makes_room_and_locks_nobody_out) {
  std::vector<int> all;
  for (size_t i = 0; i < 3 * MetricsServer::kMaxClients; ++i) all.push_back(connected(path_));
  turn();
  EXPECT_EQ(server_->clients(), MetricsServer::kMaxClients);
  EXPECT_EQ(status(ask(kGet)), "HTTP/1.1 200");
  for (const int fd : all) close(fd);
  turn();
  EXPECT_EQ(server_->clients(), 0u);
}

TEST_F(MetricsServerTest, who_asks_and_does_not_read_makes_room_last) {
  body_ = std::string(4 << 20, 'x');
  std::vector<int> deaf;
  for (size_t i = 0; i < MetricsServer::kMaxClients - 1; ++i) {
    deaf.push_back(connected(path_));
    say(deaf.back(), kGet);
  }
  turn(40);
  const int silent = connected(path_);
  turn();
  EXPECT_EQ(server_->clients(), MetricsServer::kMaxClients);
  EXPECT_GT(ask(kGet).size(), body_.size()) << "instead of the silent one";
  EXPECT_EQ(server_->clients(), MetricsServer::kMaxClients - 1);
  deaf.push_back(connected(path_));
  say(deaf.back(), kGet);
  turn();
  EXPECT_GT(ask(kGet).size(), body_.size()) << "instead of the oldest of the deaf";
  close(silent);
  for (const int fd : deaf) close(fd);
}

TEST_F(MetricsServerTest, nobody_makes_room_whose_answer_is_being_made) {
  slices_ = 1000;
  std::vector<int> all;
  for (size_t i = 0; i < MetricsServer::kMaxClients; ++i) {
    all.push_back(connected(path_));
    say(all.back(), kGet);
  }
  turn();
  EXPECT_EQ(begun_, static_cast<int>(MetricsServer::kMaxClients));
  const int late = connected(path_);
  turn();
  char c = 0;
  EXPECT_EQ(recv(late, &c, 1, 0), 0) << "closed at once";
  EXPECT_EQ(server_->clients(), MetricsServer::kMaxClients);
  all.push_back(late);
  for (const int fd : all) close(fd);
}

TEST_F(MetricsServerTest, who_goes_in_the_middle_leaves_nothing) {
  slices_ = 50;
  const int fd = connected(path_);
  say(fd, kGet);
  turn(5);
  EXPECT_EQ(server_->clients(), 1u);
  close(fd);
  turn();
  EXPECT_EQ(server_->clients(), 0u);
}

TEST_F(MetricsServerTest, listens_where_it_is_told_and_nowhere_else) {
  const std::string other = directory_ + "/other";
  ASSERT_TRUE(listen({on_unix(path_), on_unix(other)}).ok());
  EXPECT_TRUE(std::filesystem::exists(other));
  struct stat info {};
  ASSERT_EQ(stat(other.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0660u);
  EXPECT_EQ(status(ask(kGet)), "HTTP/1.1 200") << "the first one goes on";
  path_ = other;
  EXPECT_EQ(status(ask(kGet)), "HTTP/1.1 200");
  ASSERT_TRUE(listen({on_unix(other)}).ok());
  EXPECT_FALSE(std::filesystem::exists(directory_ + "/metrics"));
  ASSERT_TRUE(listen({}).ok());
  EXPECT_FALSE(std::filesystem::exists(other));
}

TEST_F(MetricsServerTest, what_cannot_be_is_named_and_changes_nothing) {
  const Status s =
      listen({on_unix(directory_ + "/new"), on_unix("/nowhere/at/all"), on_unix(path_)});
  ASSERT_FALSE(s.ok());
  EXPECT_NE(s.error().find("metrics.listen unix:/nowhere/at/all: "), std::string::npos)
      << s.error();
  EXPECT_FALSE(std::filesystem::exists(directory_ + "/new"));
  EXPECT_EQ(status(ask(kGet)), "HTTP/1.1 200");
  // Somebody else's socket is not taken away.
  auto again = std::make_unique<MetricsServer>(*loop_, [](MetricFormat) { return nullptr; });
  EXPECT_FALSE(again->prepare({on_unix(path_)}).ok());
  again.reset();
  EXPECT_EQ(status(ask(kGet)), "HTTP/1.1 200");
}

// A reload that fails for another reason: whoever asks meanwhile has noticed nothing.
TEST_F(MetricsServerTest, what_is_prepared_may_be_abandoned) {
  const std::string other = directory_ + "/other";
  ASSERT_TRUE(server_->prepare({on_unix(other)}).ok());
  EXPECT_TRUE(std::filesystem::exists(other));
  EXPECT_EQ(status(ask(kGet)), "HTTP/1.1 200") << "the old one goes on until then";
  server_->abandon();
  EXPECT_FALSE(std::filesystem::exists(other));
  EXPECT_EQ(status(ask(kGet)), "HTTP/1.1 200");
}

// A port that is free: the kernel names one, and takes it back. 0: no such address here.
uint16_t free_port(const config::Listen& on) {
  const bool v4 = on.address.is_v4();
  sockaddr_storage storage{};
  storage.ss_family = v4 ? AF_INET : AF_INET6;
  socklen_t length = v4 ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  const int probe = socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  uint16_t port = 0;
  if (bind(probe, reinterpret_cast<sockaddr*>(&storage), length) == 0 &&
      getsockname(probe, reinterpret_cast<sockaddr*>(&storage), &length) == 0)
    port = ntohs(v4 ? reinterpret_cast<sockaddr_in*>(&storage)->sin_port
                    : reinterpret_cast<sockaddr_in6*>(&storage)->sin6_port);
  close(probe);
  return port;
}

int connected_to(const config::Listen& on) {
  const bool v4 = on.address.is_v4();
  sockaddr_storage storage{};
  storage.ss_family = v4 ? AF_INET : AF_INET6;
  if (v4) {
    reinterpret_cast<sockaddr_in*>(&storage)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    reinterpret_cast<sockaddr_in*>(&storage)->sin_port = htons(on.port);
  } else {
    reinterpret_cast<sockaddr_in6*>(&storage)->sin6_addr = in6addr_loopback;
    reinterpret_cast<sockaddr_in6*>(&storage)->sin6_port = htons(on.port);
  }
  const int fd = socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const socklen_t length = v4 ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  EXPECT_TRUE(connect(fd, reinterpret_cast<sockaddr*>(&storage), length) == 0 ||
              errno == EINPROGRESS);
  return fd;
}

TEST_F(MetricsServerTest, both_families_are_asked_on_their_ports) {
  for (const char* address : {"127.0.0.1", "::1"}) {
    config::Listen l;
    l.address = *IpAddress::parse(address);
    l.port = free_port(l);
    if (l.port == 0 && !l.address.is_v4()) continue;  // a machine without IPv6
    ASSERT_NE(l.port, 0);
    ASSERT_TRUE(listen({l}).ok());
    const int fd = connected_to(l);
    say(fd, kGet);
    EXPECT_EQ(status(heard(fd)), "HTTP/1.1 200");
  }
}

// The kernel gives a port away once for all addresses, or once for each.
TEST_F(MetricsServerTest, a_port_moves_from_all_addresses_to_one_and_back) {
  config::Listen all, one, two;
  all.address = *IpAddress::parse("0.0.0.0");
  one.address = *IpAddress::parse("127.0.0.1");
  two.address = *IpAddress::parse("127.0.0.2");
  all.port = one.port = two.port = free_port(all);
  using Listens = std::vector<config::Listen>;
  for (const Listens& on : {Listens{all}, Listens{one, two}, Listens{all}}) {
    const Status s = listen(on);
    ASSERT_TRUE(s.ok()) << s.error();
    const int fd = connected_to(one);
    say(fd, kGet);
    EXPECT_EQ(status(heard(fd)), "HTTP/1.1 200");
  }
  // Of somebody else it is not taken.
  MetricsServer other(*loop_, [](MetricFormat) { return nullptr; });
  EXPECT_FALSE(other.prepare({one}).ok());
  // Nor are both listened on at once.
  EXPECT_FALSE(server_->prepare({all, one}).ok());
}

}  // namespace
}  // namespace limpet::console
