// The setting `log`.
#include <gtest/gtest.h>

#include "sample.h"

namespace limpet::config {
namespace {

Log log_of(const std::string& text) {
  Sample s;
  s.process = "log = { " + text + " };\n";
  return s.document().log;
}
std::string problems_of(const std::string& text) {
  Sample s;
  s.process = "log = { " + text + " };\n";
  return s.problems();
}

TEST(LogSetting, nothing_is_logged_by_default) {
  EXPECT_FALSE(Sample().document().log.on());
}

TEST(LogSetting, every_line_goes_as_text_by_default) {
  const Log log = log_of(R"(to = "stderr";)");
  EXPECT_TRUE(log.on());
  EXPECT_EQ(log.to, Log::To::error_output);
  EXPECT_EQ(log.format, Log::Format::text);
  EXPECT_EQ(log.sample, 1.0);
  EXPECT_EQ(log.rate, 10000u);
  EXPECT_EQ(log.place(), "stderr");
}

TEST(LogSetting, keeps_every_value_given) {
  const Log log = log_of(R"(to = "file:/var/log/limpet"; format = "json"; sample = 0.5;
                            rate = "25k/s";)");
  EXPECT_EQ(log.to, Log::To::file);
  EXPECT_EQ(log.path, "/var/log/limpet");
  EXPECT_EQ(log.format, Log::Format::json);
  EXPECT_EQ(log.sample, 0.5);
  EXPECT_EQ(log.rate, 25000u);
  EXPECT_EQ(log.place(), "file:/var/log/limpet");
  const Log syslog = log_of(R"(to = "unix:/dev/log"; sample = 1; rate = "1/s";)");
  EXPECT_EQ(syslog.to, Log::To::unix_socket);
  EXPECT_EQ(syslog.place(), "unix:/dev/log");
  EXPECT_EQ(syslog.rate, 1u);
  EXPECT_EQ(log_of(R"(to = "stderr"; rate = "1M/s";)").rate, kMaxLogRate);
}

TEST(LogSetting, what_is_no_place_is_named) {
  for (const char* to : {"", "stdout", "file:", "file:/", "file:a", "file:/a/", "unix:", "unix:a",
                         "/var/log/limpet", "udp:127.0.0.1:514", "file:/a\\x1b"})
    EXPECT_NE(problems_of("to = \"" + std::string(to) + "\";").find("is no place for a log"),
              std::string::npos)
        << to;
  EXPECT_NE(problems_of("to = \"unix:/" + std::string(107, 'a') + "\";"), "");
  EXPECT_EQ(problems_of("to = \"unix:/" + std::string(106, 'a') + "\";"), "");
}

TEST(LogSetting, rates_are_lines_a_second) {
  for (const char* rate : {"", "/s", "10", "10/m", "0/s", "-1/s", "k/s", "1.5k/s", "1G/s", "2M/s",
                           "1001k/s", "10 k/s", "99999999999/s", "4294968k/s"})
    EXPECT_NE(
        problems_of("to = \"stderr\"; rate = \"" + std::string(rate) + "\";").find("is no rate"),
        std::string::npos)
        << rate;
}

TEST(LogSetting, a_sample_is_a_part) {
  for (const char* part : {"0", "0.0", "-0.5", "1.01", "2", "1e9"})
    EXPECT_NE(problems_of("to = \"stderr\"; sample = " + std::string(part) + ";")
                  .find("is out of range; expected a part"),
              std::string::npos)
        << part;
}

}  // namespace
}  // namespace limpet::config
