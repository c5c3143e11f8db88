// The control socket against clients that behave, and clients that do not.
#include "server.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace limpet::console {
namespace {

using namespace std::chrono_literals;

class Client {
 public:
  explicit Client(const std::string& path) : fd_(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    connected = connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  ~Client() { hang_up(); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  size_t say(const std::string& text) {  // how much was taken
    const ssize_t n = send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
    return n < 0 ? 0 : static_cast<size_t>(n);
  }
  void say_no_more() { shutdown(fd_, SHUT_WR); }
  void hang_up() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }
  // What has arrived so far; `closed` is set at the end.
  std::string& hear() {
    char buffer[65536];
    for (;;) {
      const ssize_t n = recv(fd_, buffer, sizeof buffer, 0);
      if (n > 0) {
        heard.append(buffer, static_cast<size_t>(n));
        continue;
      }
      closed = n == 0 || errno != EAGAIN;
      return heard;
    }
  }
  bool connected = false;
  bool closed = false;
  std::string heard;

 private:
  int fd_;
};

class ServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/limpet-server-test-XXXXXX";
    directory_ = mkdtemp(name);
    path_ = directory_ + "/limpet.sock";
    loop_ = Loop::create([this] { return now_; }).value();
    start();
  }
  void TearDown() override {
    server_.reset();
    std::filesystem::remove_all(directory_);
  }
  void start() {
    auto server =
        Server::create(*loop_, path_, [this](Server::ClientId client, const std::string& line) {
          lines_.push_back(line);
          asked_.push_back(client);
          if (answer_) server_->reply(client, "<" + line.substr(0, 20) + ">");
        });
    ASSERT_TRUE(server.ok()) << server.error();
    server_ = std::move(*server);
  }
  // Turns of the event loop until `done`, or until nothing more can be expected.
  void turn(const std::function<bool()>& done = [] { return false; }) {
    for (int i = 0; i < 60 && !done(); ++i) {
      server_->turn(now_);
      loop_->wait(std::min<Duration>(server_->wait().value_or(1ms), 1ms));
    }
  }

  std::string directory_, path_;
  std::unique_ptr<Loop> loop_;
  std::unique_ptr<Server> server_;
  std::vector<std::string> lines_;
  std::vector<Server::ClientId> asked_;
  bool answer_ = true;
  Instant now_{1'000'000'000'000};
};

TEST_F(ServerTest, a_line_is_answered_by_a_line) {
  Client c(path_);
  c.say("one\n");
  turn([&] { return !c.hear().empty(); });
  EXPECT_EQ(c.heard, "<one>\n");
}

TEST_F(ServerTest, only_the_owner_may_connect) {
  struct stat info {};
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(ServerTest, lines_come_in_pieces_and_several_at_once) {
  Client c(path_);
  c.say("on");
  turn();
  EXPECT_TRUE(lines_.empty());
  c.say("e\r\n\n\ntwo\nthr");
  turn([&] { return lines_.size() == 2; });
  c.say("ee\n");
  turn([&] { return lines_.size() == 3; });
  turn();
  EXPECT_EQ(lines_, (std::vector<std::string>{"one", "two", "three"}));
  EXPECT_EQ(c.hear(), "<one>\n<two>\n<three>\n");
}

TEST_F(ServerTest, the_next_line_waits_for_the_answer) {
  answer_ = false;
  Client c(path_);
  c.say("one\ntwo\n");
  turn();
  ASSERT_EQ(lines_.size(), 1u);
  server_->reply(asked_[0], "later");
  EXPECT_EQ(lines_.size(), 2u);
  server_->reply(asked_[0], "last");
  turn();
  EXPECT_EQ(c.hear(), "later\nlast\n");
}

TEST_F(ServerTest, one_client_does_not_keep_the_others_waiting) {
  Client many(path_), one(path_);
  std::string lines;
  for (int i = 0; i < 5000; ++i) lines += "x\n";
  ASSERT_EQ(many.say(lines), lines.size());
  one.say("me\n");
  turn([&] { return !one.hear().empty(); });
  EXPECT_LT(lines_.size(), 200u) << "the first one's lines are given out a few at a time";
  for (int i = 0; i < 100; ++i) turn([&] { return many.hear().size() >= 5000 * 4; });
  EXPECT_EQ(many.heard.size(), 5000u * 4) << "but all of them";
}

TEST_F(ServerTest, what_is_left_when_a_client_has_said_all_is_a_line) {
  Client c(path_);
  c.say("no end");
  c.say_no_more();
  turn([&] { return c.hear(), c.closed; });
  EXPECT_EQ(c.heard, "<no end>\n");
  EXPECT_TRUE(c.closed);
  EXPECT_EQ(server_->clients(), 0u);
}

TEST_F(ServerTest, a_client_that_leaves_at_once_is_still_heard) {
  {
    Client c(path_);
    c.say("fire and forget\n");
  }
  turn([&] { return server_->clients() == 0 && !lines_.empty(); });
  EXPECT_EQ(lines_, std::vector<std::string>{"fire and forget"});
  turn();
  EXPECT_EQ(server_->clients(), 0u);
}

TEST_F(ServerTest, a_client_that_leaves_before_its_answer_costs_nothing) {
  answer_ = false;
  Client c(path_);
  c.say("slow\n");
  turn([&] { return !lines_.empty(); });
  c.hang_up();
  turn([&] { return server_->clients() == 0; });
  EXPECT_EQ(server_->clients(), 0u);
  server_->reply(asked_[0], "nobody there");
}

TEST_F(ServerTest, a_line_without_end_is_refused) {
  Client c(path_);
  const std::string much(200 * 1024, 'x');
  for (int i = 0; i < 50 && !c.closed; ++i) {
    c.say(much.substr(0, 16384));
    server_->turn(now_);
    loop_->wait(1ms);
    c.hear();
  }
  EXPECT_EQ(c.heard, "{\"ok\":false,\"error\":\"request longer than 65536 bytes\"}\n");
  EXPECT_TRUE(c.closed);
  EXPECT_TRUE(lines_.empty());
}

TEST_F(ServerTest, a_line_of_the_longest_length_is_taken) {
  Client c(path_);
  const std::string longest(Server::kMaxLine, 'x');
  for (size_t sent = 0; sent < longest.size(); turn([] { return false; }))
    sent += c.say(longest.substr(sent, 16384));
  c.say("\n");
  turn([&] { return !lines_.empty(); });
  ASSERT_EQ(lines_.size(), 1u);
  EXPECT_EQ(lines_[0].size(), Server::kMaxLine);
}

TEST_F(ServerTest, bytes_of_any_kind_are_passed_on) {
  Client c(path_);
  const std::string odd("\0\xff\x01 \"", 5);
  c.say(odd + "\n");
  turn([&] { return !lines_.empty(); });
  EXPECT_EQ(lines_, std::vector<std::string>{odd});
}

TEST_F(ServerTest, a_client_that_does_not_read_gets_no_further_line_and_is_dropped) {
  answer_ = false;
  Client c(path_);
  c.say("big\nnext\n");
  turn([&] { return !lines_.empty(); });
  server_->reply(asked_[0], std::string(8 * 1024 * 1024, 'y'));
  turn();
  EXPECT_EQ(lines_.size(), 1u) << "the next line waits until the answer is read";
  now_ = now_ + (Server::kStalled - 1s);
  turn();
  EXPECT_EQ(server_->clients(), 1u);
  now_ = now_ + 2s;
  turn();
  EXPECT_EQ(server_->clients(), 0u);
}

TEST_F(ServerTest, a_line_that_does_not_end_is_given_up_however_often_a_byte_comes) {
  Client c(path_), patient(path_);
  turn([&] { return server_->clients() == 2; });
  now_ = now_ + 1h;  // with nothing to do for long: an idle client may stay
  c.say("sho");
  turn();
  EXPECT_EQ(server_->clients(), 2u);
  EXPECT_LE(server_->wait().value_or(1h), Server::kLineTime) << "the loop must not oversleep";
  for (int i = 0; i < 9; ++i) {
    now_ = now_ + 1s;
    c.say("w");
    turn();
  }
  EXPECT_EQ(server_->clients(), 2u);
  now_ = now_ + 2s;
  c.say("w");
  turn();
  EXPECT_EQ(c.hear(), "{\"ok\":false,\"error\":\"the request did not end within 10 seconds\"}\n");
  EXPECT_TRUE(c.closed);
  EXPECT_EQ(server_->clients(), 1u);
  EXPECT_TRUE(lines_.empty());
}

TEST_F(ServerTest, the_time_of_a_line_begins_anew_with_every_line) {
  Client c(path_);
  for (size_t i = 0; i < 5; ++i) {
    c.say("one");
    turn();
    now_ = now_ + (Server::kLineTime - 1s);
    turn();
    c.say(" more\nand");  // the next one has begun
    turn([&] { return lines_.size() == i + 1; });
    c.say(" so on\n");
    turn([&] { return lines_.size() == 2 * i + 2; });
  }
  EXPECT_EQ(server_->clients(), 1u);
}

TEST_F(ServerTest, a_line_waits_as_long_as_the_answer_before_it_takes) {
  answer_ = false;
  Client c(path_);
  c.say("one\ntw");
  turn([&] { return !lines_.empty(); });
  now_ = now_ + 2 * Server::kLineTime;
  turn();
  server_->reply(asked_[0], "done");
  turn();
  EXPECT_EQ(server_->clients(), 1u);
  now_ = now_ + (Server::kLineTime + 1s);
  turn();
  EXPECT_EQ(server_->clients(), 0u);
}

TEST_F(ServerTest, a_slow_reader_gets_all_of_a_long_answer) {
  answer_ = false;
  Client c(path_);
  c.say("big\n");
  turn([&] { return !lines_.empty(); });
  server_->reply(asked_[0], std::string(8 * 1024 * 1024, 'y'));
  for (int i = 0; i < 200 && c.hear().size() <= 8u * 1024 * 1024; ++i) {
    now_ = now_ + 5s;
    server_->turn(now_);
    loop_->wait(1ms);
  }
  EXPECT_EQ(c.heard.size(), 8u * 1024 * 1024 + 1);
  EXPECT_EQ(server_->clients(), 1u);
}

TEST_F(ServerTest, an_answer_beyond_all_bounds_becomes_an_error) {
  answer_ = false;
  Client c(path_);
  c.say("huge\n");
  turn([&] { return !lines_.empty(); });
  server_->reply(asked_[0], std::string(Server::kMaxReply + 1, 'y'));
  turn([&] { return !c.hear().empty(); });
  EXPECT_EQ(c.heard, "{\"ok\":false,\"error\":\"the answer is too long; use a limit\"}\n");
}

TEST_F(ServerTest, with_the_table_full_the_longest_idle_one_makes_room) {
  std::vector<std::unique_ptr<Client>> clients;
  for (size_t i = 0; i < Server::kMaxClients; ++i) {
    clients.push_back(std::make_unique<Client>(path_));
    now_ = now_ + 1ms;
    turn([&] { return server_->clients() == i + 1; });
  }
  clients[0]->say("still here\n");
  now_ = now_ + 1s;
  turn([&] { return !clients[0]->hear().empty(); });
  Client late(path_);
  late.say("hello\n");
  turn([&] { return !late.hear().empty(); });
  EXPECT_EQ(late.heard, "<hello>\n");
  clients[0]->hear();
  clients[1]->hear();
  EXPECT_FALSE(clients[0]->closed);
  EXPECT_TRUE(clients[1]->closed);
  EXPECT_EQ(server_->clients(), Server::kMaxClients);
}

TEST_F(ServerTest, with_the_table_full_of_busy_ones_a_new_one_is_told) {
  answer_ = false;
  std::vector<std::unique_ptr<Client>> clients;
  for (size_t i = 0; i < Server::kMaxClients; ++i) {
    clients.push_back(std::make_unique<Client>(path_));
    clients.back()->say("work\n");
    turn([&] { return lines_.size() == i + 1; });
  }
  Client late(path_);
  turn([&] { return !late.hear().empty(); });
  EXPECT_EQ(late.heard, "{\"ok\":false,\"error\":\"too many clients of the control socket\"}\n");
}

TEST_F(ServerTest, a_socket_that_is_served_is_not_taken_over) {
  auto second = Server::create(*loop_, path_, [](Server::ClientId, const std::string&) {});
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.error().find("--file-prefix"), std::string::npos) << second.error();
  EXPECT_TRUE(Client(path_).connected) << "and goes on";
}

TEST_F(ServerTest, a_socket_left_behind_is_replaced) {
  server_.reset();
  EXPECT_FALSE(std::filesystem::exists(path_));
  const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path_.copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  close(fd);
  ASSERT_TRUE(std::filesystem::exists(path_));
  start();
  Client c(path_);
  c.say("one\n");
  turn([&] { return !c.hear().empty(); });
  EXPECT_EQ(c.heard, "<one>\n");
}

TEST_F(ServerTest, a_path_that_cannot_be_says_why) {
  auto missing = Server::create(*loop_, directory_ + "/none/limpet.sock",
                                [](Server::ClientId, const std::string&) {});
  ASSERT_FALSE(missing.ok());
  EXPECT_NE(missing.error().find("No such file or directory"), std::string::npos);
  auto wide = Server::create(*loop_, directory_ + "/" + std::string(120, 'p'),
                             [](Server::ClientId, const std::string&) {});
  ASSERT_FALSE(wide.ok());
  EXPECT_NE(wide.error().find("longer than 107 bytes"), std::string::npos) << wide.error();
}

}  // namespace
}  // namespace limpet::console
