// The file of the cookie keys, in a directory of its own, and an operator's steps on it.
#include "limpet/control/key_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <thread>
#include <vector>

#include "key_steps.h"

namespace limpet::control {
namespace {

using affinity::CookieKeyBytes;
using affinity::CookieKeys;
using Action = console::Request::KeyAction;

constexpr const char* kHex = "00112233445566778899aabbccddeeff";

CookieKeyBytes bytes(uint8_t first) {
  CookieKeyBytes b{};
  b[0] = first;
  return b;
}

class KeyFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/limpet-keys-test-XXXXXX";
    directory_ = mkdtemp(name);
    path_ = directory_ + "/cookie.keys";
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  void put(const std::string& text, mode_t mode = 0600) {
    std::ofstream(path_) << text;
    chmod(path_.c_str(), mode);
  }
  std::string text() const {
    std::ifstream in(path_);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  size_t files() const {
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(directory_), {}));
  }
  std::string error() const {
    const Result<KeyFile> file = load_key_file(path_);
    return file ? "" : file.error();
  }
  std::string directory_, path_;
};

TEST_F(KeyFileTest, is_made_at_the_first_start_for_nobody_else_to_read) {
  umask(0);
  const Result<KeyFile> made = load_key_file(path_);
  ASSERT_TRUE(made) << made.error();
  EXPECT_TRUE(made->created);
  ASSERT_EQ(made->keys.list().size(), 1u);
  EXPECT_TRUE(made->keys.list()[0].sealing);
  EXPECT_NE(made->keys.list()[0].bytes, CookieKeyBytes{});
  struct stat about {};
  ASSERT_EQ(stat(path_.c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 07777, 0600u);
  EXPECT_EQ(files(), 1u) << "nothing else is left behind";
  const Result<KeyFile> again = load_key_file(path_);
  ASSERT_TRUE(again);
  EXPECT_FALSE(again->created);
  EXPECT_EQ(again->keys, made->keys);
}

TEST_F(KeyFileTest, two_nodes_have_different_keys) {
  const Result<KeyFile> one = load_key_file(path_);
  const Result<KeyFile> two = load_key_file(path_ + "2");
  EXPECT_NE(one->keys.list()[0].bytes, two->keys.list()[0].bytes);
}

TEST_F(KeyFileTest, processes_that_start_at_once_agree) {
  for (int round = 0; round < 20; ++round) {
    const std::string path = path_ + std::to_string(round);
    std::vector<CookieKeys> got(8);
    std::atomic<int> created{0};
    std::vector<std::thread> starting;
    for (CookieKeys& keys : got)
      starting.emplace_back([&keys, &path, &created] {
        const Result<KeyFile> file = load_key_file(path);
        if (!file) return;
        keys = file->keys;
        created += file->created ? 1 : 0;
      });
    for (std::thread& t : starting) t.join();
    EXPECT_EQ(created, 1);
    EXPECT_EQ(got[0].list().size(), 1u);
    for (const CookieKeys& keys : got) EXPECT_EQ(keys, got[0]);
  }
}

TEST_F(KeyFileTest, needs_its_directory) {
  const Result<KeyFile> file = load_key_file(directory_ + "/none/cookie.keys");
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error(), directory_ + "/none/cookie.keys: there is no directory " + directory_ +
                              "/none; expected one, make it (mkdir -p -m 700 " + directory_ +
                              "/none) or set cookie_keys.file");
}

TEST_F(KeyFileTest, that_others_may_read_or_write_is_refused) {
  for (const mode_t mode : {0640, 0604, 0620, 0601}) {
    put(std::string("A sealing ") + kHex + "\n", mode);
    EXPECT_NE(error().find("(chmod 600 " + path_ + ")"), std::string::npos) << error();
    EXPECT_TRUE(key_file_problem(path_).has_value());
  }
  put(std::string("A sealing ") + kHex + "\n", 0400);
  EXPECT_EQ(error(), "");
}

TEST_F(KeyFileTest, errors_name_file_and_line_and_no_key) {
  put(std::string("# mine\nA sealing ") + kHex + "0\n");
  EXPECT_EQ(error(), path_ + ":2: bad key; expected 32 hexadecimal digits and nothing behind them");
  put("");
  EXPECT_EQ(error().find(path_ + ":1: no key"), 0u) << error();
  EXPECT_EQ(key_file_problem(path_), error());
  put(std::string(kMaxKeyFile + 1, '#'));
  EXPECT_NE(error().find("more than 65536 bytes"), std::string::npos) << error();
}

TEST_F(KeyFileTest, a_symbolic_link_is_refused_whether_it_leads_somewhere_or_not) {
  const std::string target = directory_ + "/elsewhere";
  ASSERT_EQ(symlink(target.c_str(), path_.c_str()), 0);
  EXPECT_NE(error().find("symbolic link"), std::string::npos) << error();
  EXPECT_FALSE(std::filesystem::exists(target));
  EXPECT_FALSE(key_file_missing(path_));
  ASSERT_TRUE(load_key_file(target));
  EXPECT_NE(error().find("symbolic link"), std::string::npos) << error();
  EXPECT_TRUE(key_file_problem(path_).has_value());
}

TEST_F(KeyFileTest, what_is_no_file_is_refused_at_once) {
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  EXPECT_NE(error().find("no regular file"), std::string::npos) << error();
  unlink(path_.c_str());
  ASSERT_EQ(mkdir(path_.c_str(), 0700), 0);
  EXPECT_NE(error().find("no regular file"), std::string::npos) << error();
}

TEST_F(KeyFileTest, a_check_makes_nothing_and_asks_for_nothing) {
  EXPECT_EQ(key_file_problem(path_), std::nullopt);
  EXPECT_EQ(key_file_problem(directory_ + "/none/keys"), std::nullopt);
  EXPECT_EQ(key_file_problem(""), std::nullopt);
  EXPECT_EQ(files(), 0u);
  ASSERT_TRUE(load_key_file(path_));
  EXPECT_EQ(key_file_problem(path_), std::nullopt);
}

TEST_F(KeyFileTest, a_check_without_permission_finds_no_fault) {
  if (geteuid() == 0) {
    // Root reads everything; whoever is nobody for a moment does not.
    ASSERT_TRUE(load_key_file(path_));
    chmod(directory_.c_str(), 0755);
    ASSERT_EQ(seteuid(65534), 0);
    const auto problem = key_file_problem(path_);
    const Result<KeyFile> file = read_key_file(path_);
    ASSERT_EQ(seteuid(0), 0);
    EXPECT_EQ(problem, std::nullopt) << *problem;
    ASSERT_FALSE(file);
    EXPECT_NE(file.error().find("no permission"), std::string::npos) << file.error();
    return;
  }
  put(std::string("A sealing ") + kHex + "\n", 0);
  EXPECT_EQ(key_file_problem(path_), std::nullopt);
}

TEST_F(KeyFileTest, a_replacement_is_whole_and_private) {
  put("something", 0644);
  ASSERT_TRUE(replace_key_file(path_, "new\n"));
  EXPECT_EQ(text(), "new\n");
  struct stat about {};
  ASSERT_EQ(stat(path_.c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 07777, 0600u);
  EXPECT_EQ(files(), 1u);
  // No name but its own can be replaced: a directory stays, and nothing is left beside it.
  ASSERT_EQ(mkdir((directory_ + "/d").c_str(), 0700), 0);
  EXPECT_FALSE(replace_key_file(directory_ + "/d", "new\n"));
  EXPECT_EQ(files(), 2u);
}

class KeyStepTest : public KeyFileTest {
 protected:
  void SetUp() override {
    KeyFileTest::SetUp();
    running_ = load_key_file(path_)->keys;
  }
  Result<std::string> step(Action action, char id = '\0') {
    return step_key_file(path_, running_, action, id, [this](const CookieKeys& keys) -> Status {
      on_disk_when_used_ = read_key_file(path_)->keys;
      if (!works_) return Error{"out of memory"};
      running_ = keys;
      return Ok{};
    });
  }
  CookieKeys running_, on_disk_when_used_;
  bool works_ = true;
};

TEST_F(KeyStepTest, the_three_steps) {
  EXPECT_EQ(*step(Action::add), "key B added; A seals; B listed");
  EXPECT_EQ(*step(Action::seal, 'B'), "B seals; A listed");
  EXPECT_EQ(*step(Action::retire, 'A'), "key A retired; B seals");
  EXPECT_EQ(read_key_file(path_)->keys, running_);
  EXPECT_EQ(running_.list().size(), 1u);
}

TEST_F(KeyStepTest, rotation_seals_with_a_new_key_and_opens_with_the_old_ones) {
  EXPECT_EQ(*step(Action::rotate), "key B added; B seals; A listed");
  EXPECT_EQ(*step(Action::rotate), "key C added; C seals; B and A listed");
  EXPECT_EQ(*step(Action::rotate), "key D added; D seals; C, B and A listed");
  EXPECT_EQ(read_key_file(path_)->keys, running_);
  std::set<CookieKeyBytes> different;
  for (const affinity::CookieKey& k : running_.list()) different.insert(k.bytes);
  EXPECT_EQ(different.size(), 4u);
}

TEST_F(KeyStepTest, the_file_is_there_before_the_keys_are_used) {
  ASSERT_TRUE(step(Action::rotate));
  EXPECT_EQ(on_disk_when_used_, running_);
}

TEST_F(KeyStepTest, what_cannot_be_used_is_taken_back) {
  put(text() + "# a word of the operator\n");
  const std::string before = text();
  works_ = false;
  const Result<std::string> failed = step(Action::rotate);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error(), "out of memory");
  EXPECT_EQ(on_disk_when_used_.list().size(), 2u) << "it was there";
  EXPECT_EQ(text(), before);
}

TEST_F(KeyStepTest, an_edited_file_is_not_overwritten) {
  put(text() + "B listed " + kHex + "\n");
  const std::string before = text();
  const Result<std::string> refused = step(Action::rotate);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().find("limpetctl reload"), std::string::npos) << refused.error();
  EXPECT_EQ(text(), before);
}

TEST_F(KeyStepTest, a_file_that_is_gone_is_written_again) {
  unlink(path_.c_str());
  ASSERT_TRUE(step(Action::add));
  EXPECT_EQ(read_key_file(path_)->keys, running_);
}

TEST_F(KeyStepTest, what_makes_no_sense_is_refused_and_writes_nothing) {
  const std::string before = text();
  EXPECT_NE(step(Action::seal, 'A').error(), "");
  EXPECT_NE(step(Action::seal, 'x').error(), "");
  EXPECT_NE(step(Action::retire, 'A').error(), "") << "it seals";
  EXPECT_NE(step(Action::retire, 'x').error(), "");
  EXPECT_EQ(text(), before);
}

TEST(KeySteps, a_full_list_gives_up_its_oldest_key_that_does_not_seal) {
  CookieKeys keys = CookieKeys::first(bytes(1));
  for (uint8_t i = 2; i <= affinity::kMaxCookieKeys; ++i) ASSERT_TRUE(keys.add(bytes(i)));
  // A is the oldest, and it still seals.
  EXPECT_FALSE(change_keys(keys, Action::add, '\0', bytes(9))) << "add asks for a retirement first";
  const Result<KeyChange> rotated = change_keys(keys, Action::rotate, '\0', bytes(9));
  ASSERT_TRUE(rotated) << rotated.error();
  EXPECT_EQ(rotated->text,
            "key I added; I seals; H, G, F, E, D, C and A listed; B retired, as 8 "
            "keys are the most");
  EXPECT_EQ(rotated->keys.list().size(), affinity::kMaxCookieKeys);
  EXPECT_EQ(rotated->keys.list()[0].bytes, bytes(9));
}

}  // namespace
}  // namespace limpet::control
