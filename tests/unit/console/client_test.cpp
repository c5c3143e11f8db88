#include "limpet/console/client.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <string>
#include <thread>

namespace limpet::console {
namespace {

using namespace std::chrono_literals;

// A daemon of one connection: reads the request line, then does as `behaviour` says.
class FakeDaemon {
 public:
  explicit FakeDaemon(std::function<void(int)> behaviour) {
    char name[] = "/tmp/limpet-client-test-XXXXXX";
    directory_ = mkdtemp(name);
    path = directory_ + "/s";
    listener_ = socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(listen(listener_, 1), 0);
    thread_ = std::thread([this, behaviour] {
      const int fd = accept(listener_, nullptr, nullptr);
      char c = 0;
      while (read(fd, &c, 1) == 1 && c != '\n') request += c;
      behaviour(fd);
      close(fd);
    });
  }
  ~FakeDaemon() {
    thread_.join();
    close(listener_);
    unlink(path.c_str());
    rmdir(directory_.c_str());
  }
  std::string path;
  std::string request;

 private:
  std::string directory_;
  int listener_ = -1;
  std::thread thread_;
};

// The client may have what it wants and be gone.
void say(int fd, std::string_view text) {
  (void)send(fd, text.data(), text.size(), MSG_NOSIGNAL);
}

TEST(Client, reads_to_the_newline_however_the_reply_comes) {
  FakeDaemon daemon([](int fd) {
    for (const char* piece : {"{\"ok\":", "tr", "ue}", "\n", "more"}) {
      say(fd, piece);
      std::this_thread::sleep_for(2ms);
    }
  });
  const Reply r = ask_daemon(daemon.path, "{\"cmd\":\"x\"}");
  EXPECT_EQ(r.kind, Reply::Kind::answered);
  EXPECT_EQ(r.line, "{\"ok\":true}");
}

TEST(Client, reads_megabytes) {
  const std::string big(5'000'000, 'x');
  FakeDaemon daemon([&](int fd) {
    for (size_t done = 0; done < big.size();) {
      const ssize_t n = write(fd, big.data() + done, big.size() - done);
      ASSERT_GT(n, 0);
      done += static_cast<size_t>(n);
    }
    say(fd, "\n");
  });
  EXPECT_EQ(ask_daemon(daemon.path, "q").line, big);
}

TEST(Client, says_when_the_daemon_goes_away_or_keeps_silent) {
  {
    FakeDaemon daemon([](int fd) { say(fd, "half"); });
    EXPECT_NE(ask_daemon(daemon.path, "q").error.find("closed the connection"), std::string::npos);
  }
  FakeDaemon silent([](int fd) {
    char c = 0;
    EXPECT_EQ(read(fd, &c, 1), 0);  // until the client gives up
  });
  const Reply r = ask_daemon(silent.path, "q", 50ms);
  EXPECT_EQ(r.kind, Reply::Kind::broken);
  EXPECT_NE(r.error.find("did not answer in time"), std::string::npos);
}

TEST(Client, names_the_path_when_nobody_is_there) {
  const Reply r = ask_daemon("/nonexistent/dpdk/rte/limpet.sock", "q");
  EXPECT_EQ(r.kind, Reply::Kind::no_daemon);
  EXPECT_NE(r.error.find("/nonexistent/dpdk/rte/limpet.sock"), std::string::npos);
  EXPECT_NE(r.error.find("--file-prefix"), std::string::npos);
  EXPECT_EQ(ask_daemon(std::string(200, 'x'), "q").kind, Reply::Kind::broken);
}

TEST(Client, finds_the_runtime_directory_as_dpdk_does) {
  ASSERT_EQ(setenv("RUNTIME_DIRECTORY", "/run/x", 1), 0);
  EXPECT_EQ(default_socket_path("p"), "/run/x/dpdk/p/limpet.sock");
  ASSERT_EQ(unsetenv("RUNTIME_DIRECTORY"), 0);
  if (getuid() == 0) {
    EXPECT_EQ(default_socket_path("rte"), "/var/run/dpdk/rte/limpet.sock");
  }
}

}  // namespace
}  // namespace limpet::console
