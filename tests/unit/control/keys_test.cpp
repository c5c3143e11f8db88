// Cookie keys of a running controller: from its file to the workers' snapshot, over its socket.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "controller_fixture.h"
#include "limpet/control/key_file.h"

namespace limpet::control {
namespace {

using affinity::CookieKeys;

constexpr const char* kSealed =
    R"(mode = "splice"; persistence = ( { type = "cookie"; session_name = "SRV"; },
                                        { type = "source"; } );
    table = { size = 64; expire = "1m"; };)";

class KeysTest : public ControllerTest {
 protected:
  std::string path() const { return directory_ + "/cookie.keys"; }
  std::string other() const { return directory_ + "/other.keys"; }
  std::string sample() override {
    return with(ControllerTest::sample(),
                R"(persistence = ( { type = "source"; prefix4 = 24; } );)", kSealed) +
           "cookie_keys = { file = \"" + path() + "\"; };\n";
  }
  json keys(const char* action, const char* id = nullptr) {
    json request = {{"cmd", "keys"}, {"action", action}};
    if (id != nullptr) request["id"] = id;
    return ask(request);
  }
  std::string text(const std::string& file) const {
    std::ifstream in(file);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  const dataplane::Snapshot& snapshot() const { return *shared_->snapshot.load(); }
  // Whether a cookie under these keys is one to the workers.
  affinity::CookieCrypter::Opened opened(const CookieKeys& by) {
    affinity::CookieCrypter ours(by);
    std::array<char, affinity::kSealedSize> cookie;
    ours.seal({7, 100, 0}, 42, cookie);
    return snapshot().tools[0]->crypter->open({cookie.data(), cookie.size()}, 42, 100, {});
  }
  bool opens(const CookieKeys& by) { return opened(by).what == affinity::Sealed::valid; }
};

TEST_F(KeysTest, the_first_start_makes_the_file_and_the_workers_have_its_key) {
  const Result<KeyFile> file = read_key_file(path());
  ASSERT_TRUE(file) << file.error();
  EXPECT_TRUE(opens(file->keys));
  EXPECT_FALSE(opens(CookieKeys::first({1})));
  ASSERT_EQ(snapshot().tools.size(), 2u);
  EXPECT_TRUE(snapshot().tools[1]->crypter->can_seal());
}

TEST_F(KeysTest, the_list_says_which_one_seals_and_no_secret) {
  ASSERT_EQ(keys("add")["ok"], true);
  const json reply = keys("list");
  ASSERT_EQ(reply["ok"], true) << reply;
  EXPECT_EQ(reply["data"]["keys"],
            (json{{{"id", "B"}, {"state", "listed"}}, {{"id", "A"}, {"state", "sealing"}}}));
  EXPECT_EQ(reply["data"]["schema"], 1);
  EXPECT_EQ(reply["data"]["file"], path());
  const std::string file = text(path());
  for (size_t at = file.find(" listed ") + 8; at < file.find(" listed ") + 8 + 32; at += 8)
    EXPECT_EQ(reply.dump().find(file.substr(at, 8)), std::string::npos);
}

TEST_F(KeysTest, rotate_writes_the_file_and_reaches_the_workers) {
  const CookieKeys before = read_key_file(path())->keys;
  const json reply = keys("rotate");
  ASSERT_EQ(reply["ok"], true) << reply;
  EXPECT_EQ(reply["data"]["text"], "key B added; B seals; A listed");
  EXPECT_EQ(reply["data"]["snapshot"], 2);
  for (auto& worker : workers_) EXPECT_TRUE(eventually([&] { return worker->serial() == 2; }));
  const CookieKeys after = read_key_file(path())->keys;
  ASSERT_EQ(after.list().size(), 2u);
  EXPECT_TRUE(opens(after));
  EXPECT_FALSE(opened(after).older_key);
  EXPECT_TRUE(opens(before)) << "nobody loses a session";
  EXPECT_TRUE(opened(before).older_key) << "but gets a cookie of the new key";
}

TEST_F(KeysTest, list_seal_retire) {
  const CookieKeys first = read_key_file(path())->keys;
  EXPECT_EQ(keys("seal", "B")["ok"], false);
  EXPECT_EQ(keys("add")["data"]["text"], "key B added; A seals; B listed");
  EXPECT_EQ(keys("seal", "B")["data"]["text"], "B seals; A listed");
  EXPECT_EQ(keys("retire", "B")["ok"], false);
  EXPECT_EQ(keys("retire", "A")["data"]["keys"], (json{{{"id", "B"}, {"state", "sealing"}}}));
  EXPECT_FALSE(opens(first));
  EXPECT_TRUE(opens(read_key_file(path())->keys));
}

TEST_F(KeysTest, a_copied_file_is_used_after_a_reload) {
  CookieKeys copied = read_key_file(path())->keys;
  ASSERT_TRUE(copied.add({9}));
  ASSERT_TRUE(copied.seal('B'));
  ASSERT_TRUE(replace_key_file(path(), print_cookie_keys(copied)));
  const json refused = keys("rotate");
  EXPECT_EQ(refused["ok"], false) << "what was copied would be lost";
  EXPECT_EQ(refused["error"].get<std::string>().find("nothing changed: " + path()), 0u) << refused;
  const json reply = ask({{"cmd", "reload"}});
  ASSERT_EQ(reply["ok"], true) << reply;
  EXPECT_NE(reply["data"]["text"].get<std::string>().find("cookie keys: B seals; A listed"),
            std::string::npos);
  EXPECT_TRUE(opens(copied));
  EXPECT_EQ(keys("rotate")["ok"], true);
}

TEST_F(KeysTest, sighup_reads_the_keys_again) {
  CookieKeys copied = read_key_file(path())->keys;
  ASSERT_TRUE(copied.add({9}));
  ASSERT_TRUE(replace_key_file(path(), print_cookie_keys(copied)));
  kill(getpid(), SIGHUP);
  EXPECT_TRUE(eventually([&] { return keys("list")["data"]["keys"].size() == 2; }));
}

TEST_F(KeysTest, a_bad_key_file_stops_the_whole_reload) {
  const CookieKeys before = read_key_file(path())->keys;
  chmod(path().c_str(), 0644);
  write_file(with(sample_, "weight = 2", "weight = 3"));
  const json reply = ask({{"cmd", "reload"}});
  EXPECT_EQ(reply["ok"], false);
  EXPECT_NE(reply["error"].get<std::string>().find("chmod 600"), std::string::npos) << reply;
  EXPECT_EQ(show("backends", {{"name", "web/s1"}})["backends"][0]["weight"], 2);
  EXPECT_TRUE(opens(before));
  chmod(path().c_str(), 0600);
  EXPECT_EQ(ask({{"cmd", "reload"}})["ok"], true);
}

TEST_F(KeysTest, a_configuration_that_cannot_be_built_leaves_the_keys_too) {
  CookieKeys more = read_key_file(path())->keys;
  ASSERT_TRUE(more.add({9}));
  ASSERT_TRUE(replace_key_file(path(), print_cookie_keys(more)));
  write_file(with(sample_, "{ name = \"echo\"; health",
                  "{ name = \"echo\"; source_ports = [ 2000, 3000 ]; health"));
  ASSERT_EQ(ask({{"cmd", "reload"}})["ok"], false);
  EXPECT_EQ(keys("list")["data"]["keys"].size(), 1u);
}

TEST_F(KeysTest, a_vanished_file_is_not_replaced_by_new_keys) {
  const CookieKeys before = read_key_file(path())->keys;
  std::filesystem::remove(path());
  const json reply = ask({{"cmd", "reload"}});
  EXPECT_EQ(reply["ok"], false);
  EXPECT_NE(reply["error"].get<std::string>().find("limpetctl keys rotate"), std::string::npos)
      << reply;
  EXPECT_FALSE(std::filesystem::exists(path()));
  EXPECT_TRUE(opens(before));
  ASSERT_EQ(keys("rotate")["ok"], true) << "the cure that it names";
  EXPECT_EQ(read_key_file(path())->keys.list()[1].bytes, before.list()[0].bytes);
}

TEST_F(KeysTest, another_file_must_be_there) {
  const std::string moved = with(sample_, path(), other());
  write_file(moved);
  const json reply = ask({{"cmd", "reload"}});
  EXPECT_EQ(reply["ok"], false);
  EXPECT_NE(reply["error"].get<std::string>().find("cp -p " + path() + " " + other()),
            std::string::npos)
      << reply;
  CookieKeys keys_there = CookieKeys::first({5});
  ASSERT_TRUE(replace_key_file(other(), print_cookie_keys(keys_there)));
  ASSERT_EQ(ask({{"cmd", "reload"}})["ok"], true);
  EXPECT_TRUE(opens(keys_there));
  EXPECT_EQ(keys("list")["data"]["file"], other());
  ASSERT_EQ(keys("rotate")["ok"], true);
  EXPECT_EQ(read_key_file(other())->keys.list().size(), 2u);
  EXPECT_EQ(read_key_file(path())->keys.list().size(), 1u);
}

TEST_F(KeysTest, without_a_sealed_cookie_there_are_no_keys) {
  write_file(with(sample_, "session_name = \"SRV\"", "session_name = \"SRV\"; value = \"plain\""));
  ASSERT_EQ(ask({{"cmd", "reload"}})["ok"], true);
  const json reply = keys("rotate");
  EXPECT_EQ(reply["ok"], false);
  EXPECT_NE(reply["error"].get<std::string>().find("no service seals a cookie"), std::string::npos);
  EXPECT_TRUE(snapshot().tools[0]->crypter.has_value()) << "answers under way are sealed";
  for (auto& worker : workers_) ASSERT_TRUE(eventually([&] { return worker->serial() == 3; }));
  EXPECT_FALSE(snapshot().tools[0]->crypter.has_value()) << "nobody has asked by those rules";
}

TEST_F(KeysTest, stick_tables_are_keyed_with_a_secret_of_this_process) {
  const affinity::StickTable guessed({.capacity = 64, .expire = 60s}, HashKey{});
  ASSERT_NE(snapshot().services[0].splice->table, nullptr);
  EXPECT_NE(snapshot().services[0].splice->table->key(0, "a").hash, guessed.key(0, "a").hash);
}

}  // namespace
}  // namespace limpet::control
