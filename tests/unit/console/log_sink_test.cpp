// Lines that leave by a thread of their own: nobody waits for them, and what is lost is counted.
#include "limpet/console/log_sink.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace limpet::console {
namespace {

using To = config::Log::To;

class LogSinkTest : public ::testing::Test {
 protected:
  LogSinkTest() {
    std::string name = std::filesystem::temp_directory_path() / "limpet_log_XXXXXX";
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    dir_ = name;
  }
  ~LogSinkTest() override { std::filesystem::remove_all(dir_); }
  std::unique_ptr<LogSink> open(To to, const std::string& path) {
    config::Log log;
    log.to = to;
    log.path = path;
    auto sink = LogSink::open(log, totals);
    EXPECT_TRUE(sink.ok()) << sink.error();
    return sink.ok() ? std::move(*sink) : nullptr;
  }
  std::string error(To to, const std::string& path) {
    config::Log log;
    log.to = to;
    log.path = path;
    const auto sink = LogSink::open(log, totals);
    return sink.ok() ? "" : sink.error();
  }
  static std::string read(const std::string& path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }
  int listen(const std::string& path) {
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    std::memcpy(at.sun_path, path.data(), path.size());
    EXPECT_EQ(bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at), 0);
    return fd;
  }
  static std::string receive(int fd) {
    pollfd p{fd, POLLIN, 0};
    if (poll(&p, 1, 5000) != 1) return "nothing";
    std::string text(2000, 0);
    const ssize_t n = recv(fd, text.data(), text.size(), 0);
    return text.substr(0, static_cast<size_t>(std::max<ssize_t>(n, 0)));
  }
  void wait_for(const std::atomic<uint64_t>& counter, uint64_t n) {
    for (int i = 0; i < 500 && counter < n; ++i) usleep(10000);
    EXPECT_EQ(counter, n);
  }

  LogTotals totals;
  std::string dir_;
};

TEST_F(LogSinkTest, lines_are_in_the_file_when_the_sink_is_gone) {
  std::string expected = "here before\n";
  std::ofstream(dir_ + "/log") << expected;
  auto sink = open(To::file, dir_ + "/log");
  for (int i = 0; i < 5000; ++i) {
    const std::string line = "line " + std::to_string(i);
    sink->write(line);
    expected += line + "\n";
  }
  sink.reset();
  EXPECT_EQ(read(dir_ + "/log"), expected);
  EXPECT_EQ(totals.written, 5000u);
}

TEST_F(LogSinkTest, a_new_file_is_no_business_of_others) {
  open(To::file, dir_ + "/log");
  struct stat s {};
  ASSERT_EQ(stat((dir_ + "/log").c_str(), &s), 0);
  EXPECT_EQ(s.st_mode & 07007, 0u);
}

TEST_F(LogSinkTest, places_that_cannot_be_are_named) {
  EXPECT_EQ(error(To::file, dir_), "log: file:" + dir_ + ": is a directory");
  EXPECT_EQ(error(To::file, dir_ + "/none/log"),
            "log: file:" + dir_ + "/none/log: no such file or directory");
  EXPECT_EQ(error(To::unix_socket, dir_ + "/none"),
            "log: unix:" + dir_ + "/none: no such file or directory");
}

TEST_F(LogSinkTest, what_a_full_disk_does_not_take_is_counted) {
  auto sink = open(To::file, "/dev/full");
  testing::internal::CaptureStderr();
  sink->write("one");
  wait_for(totals.lost_write, 1);
  sink->write("two");
  sink.reset();
  const std::string told = testing::internal::GetCapturedStderr();
  EXPECT_EQ(totals.lost_write, 2u);
  EXPECT_EQ(totals.written, 0u);
  const size_t at = told.find("no space left on device: lines are lost");
  EXPECT_NE(at, std::string::npos) << told;
  EXPECT_EQ(told.find("lines are lost", at + 40), std::string::npos) << "not for each line";
}

TEST_F(LogSinkTest, nobody_waits_for_a_reader_that_does_not_read) {
  const std::string pipe = dir_ + "/pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  const int reader = ::open(pipe.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  auto sink = open(To::file, pipe);
  const std::string line(999, 'x');
  for (int i = 0; i < 5000; ++i) sink->write(line);
  EXPECT_GT(totals.lost_buffer, 1000u);
  sink.reset();  // does not wait for ever either
  close(reader);
  EXPECT_EQ(totals.written + totals.lost_buffer + totals.lost_write, 5000u);
  EXPECT_GT(totals.lost_write, 0u);
}

TEST_F(LogSinkTest, one_that_retires_is_not_waited_for) {
  const std::string pipe = dir_ + "/pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  const int reader = ::open(pipe.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  auto sink = open(To::file, pipe);
  for (int i = 0; i < 500; ++i) sink->write(std::string(999, 'x'));
  sink->retire();
  EXPECT_FALSE(sink->retired()) << "its reader does not read";
  for (int i = 0; i < 500 && !sink->retired(); ++i) usleep(10000);
  EXPECT_TRUE(sink->retired()) << "but it gives up";
  EXPECT_EQ(totals.written + totals.lost_write, 500u);
  sink.reset();
  close(reader);
}

TEST_F(LogSinkTest, a_pipe_without_a_reader_is_an_error) {
  const std::string pipe = dir_ + "/pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_NE(error(To::file, pipe), "");
}

TEST_F(LogSinkTest, a_syslog_gets_a_datagram_for_each_line) {
  const int log = listen(dir_ + "/log");
  auto sink = open(To::unix_socket, dir_ + "/log");
  sink->write("one");
  sink->write("two");
  const std::string tag = "<134>limpet[" + std::to_string(getpid()) + "]: ";
  EXPECT_EQ(receive(log), tag + "one");
  EXPECT_EQ(receive(log), tag + "two");
  close(log);
}

TEST_F(LogSinkTest, a_syslog_that_began_anew_is_found) {
  int log = listen(dir_ + "/log");
  auto sink = open(To::unix_socket, dir_ + "/log");
  sink->write("one");
  EXPECT_NE(receive(log).find("one"), std::string::npos);
  close(log);
  std::filesystem::remove(dir_ + "/log");
  sink->write("lost");
  wait_for(totals.lost_write, 1);
  log = listen(dir_ + "/log");
  sink->write("two");
  EXPECT_NE(receive(log).find("two"), std::string::npos);
  close(log);
}

TEST_F(LogSinkTest, a_syslog_that_does_not_read_delays_nobody) {
  const int log = listen(dir_ + "/log");
  auto sink = open(To::unix_socket, dir_ + "/log");
  const std::string line(999, 'x');
  for (int i = 0; i < 5000; ++i) sink->write(line);
  EXPECT_GT(totals.lost_buffer, 1000u);
  sink.reset();
  close(log);
  EXPECT_EQ(totals.written + totals.lost_buffer + totals.lost_write, 5000u);
}

}  // namespace
}  // namespace limpet::console
