// The files of config/: every example is valid, every file of invalid/ gives exactly the text
// beside it.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "eal_check.h"
#include "limpet/config/check.h"

namespace limpet::config {
namespace {

namespace fs = std::filesystem;

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string messages(const Loaded& loaded) {
  std::string text;
  for (const Problem& problem : loaded.problems) text += problem.to_string() + "\n";
  return text;
}

// What `limpet --check` says, but for the file of the cookie keys, which is the machine's.
Loaded check(const fs::path& path) {
  return load_checked(path, [](const Document& d) { return apps::check_eal(d, {}); });
}

std::vector<fs::path> files(const fs::path& directory, const std::string& extension) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(directory))
    if (entry.path().extension() == extension) found.push_back(entry.path());
  std::sort(found.begin(), found.end());
  return found;
}

TEST(Examples, are_valid) {
  const auto examples = files(LIMPET_CONFIG_DIR, ".cfg");
  EXPECT_GE(examples.size(), 4u);
  for (const fs::path& path : examples) EXPECT_EQ(messages(check(path)), "") << path;
}

// Messages carry the file as it was named, so the files are loaded by their base names.
class InDirectory {
 public:
  explicit InDirectory(const fs::path& to) : from_(fs::current_path()) { fs::current_path(to); }
  ~InDirectory() { fs::current_path(from_); }

 private:
  fs::path from_;
};

TEST(Invalid, files_give_exactly_the_messages_beside_them) {
  const InDirectory here(fs::path(LIMPET_CONFIG_DIR) / "invalid");
  const auto invalid = files(".", ".cfg");
  EXPECT_GE(invalid.size(), 40u);
  for (const fs::path& path : invalid) {
    const std::string name = path.filename();
    ASSERT_TRUE(fs::exists(name + ".err")) << name;
    EXPECT_EQ(messages(check(name)), read(name + ".err")) << name;
  }
}

TEST(Invalid, every_expected_text_has_its_file) {
  for (const fs::path& path : files(fs::path(LIMPET_CONFIG_DIR) / "invalid", ".err")) {
    fs::path cfg = path;
    EXPECT_TRUE(fs::exists(cfg.replace_extension(""))) << path;
    EXPECT_NE(read(path), "") << path << ": an invalid file has at least one problem";
  }
}

TEST(Invalid, every_message_says_what_was_expected) {
  const InDirectory here(fs::path(LIMPET_CONFIG_DIR) / "invalid");
  for (const fs::path& path : files(".", ".cfg"))
    for (const Problem& problem : check(path.filename()).problems) {
      EXPECT_NE(problem.text.find("; expected "), std::string::npos) << problem.to_string();
      EXPECT_GT(problem.line, 0) << problem.to_string();
    }
}

}  // namespace
}  // namespace limpet::config
