#include "limpet/config/check.h"

#include <gtest/gtest.h>

#include <memory>

namespace limpet::config {
namespace {

struct Verdict {
  int status;
  std::string out, err;
};

std::string contents(FILE* file) {
  std::string text;
  std::rewind(file);
  for (int c; (c = std::fgetc(file)) != EOF;) text += static_cast<char>(c);
  return text;
}

Verdict check(const std::string& path) {
  using File = std::unique_ptr<FILE, int (*)(FILE*)>;
  const File out(std::tmpfile(), &std::fclose), err(std::tmpfile(), &std::fclose);
  const int status = check_file(path, out.get(), err.get());
  return {status, contents(out.get()), contents(err.get())};
}

TEST(Check, sums_a_valid_file_up) {
  const std::string path = LIMPET_CONFIG_DIR "/one-arm.cfg";
  const Verdict v = check(path);
  EXPECT_EQ(v.status, 0);
  EXPECT_EQ(v.out, path + ": ok (1 port, 1 pool, 1 service, 2 backends)\n");
  EXPECT_EQ(v.err, "");
}

TEST(Check, prints_every_problem_of_an_invalid_file_and_fails) {
  const std::string path = LIMPET_CONFIG_DIR "/invalid/backend-port.cfg";
  const Verdict v = check(path);
  EXPECT_EQ(v.status, 2);
  EXPECT_EQ(v.out, "");
  EXPECT_EQ(v.err,
            path +
                ":8: pools[0].backends[0].port: 0 is out of range; expected an integer from 1 to "
                "65535\n" +
                path +
                ":9: pools[0].backends[1].port: 65536 is out of range; expected an integer "
                "from 1 to 65535\n");
}

TEST(Check, fails_for_a_file_that_is_not_there) {
  EXPECT_EQ(check("/nowhere/limpet.cfg").status, 2);
}

}  // namespace
}  // namespace limpet::config
