// Source and tree together: text -> nodes with the right value, path, file and line.
#include "tree.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

namespace limpet::config {
namespace {

namespace fs = std::filesystem;

Node tree(const std::string& text) {
  const Source source = read_source_text(text, "t.cfg");
  EXPECT_FALSE(source.problem) << source.problem->to_string();
  Node root;
  if (source.problem) return root;
  const auto problem = build_tree(source, root);
  EXPECT_FALSE(problem) << problem->to_string();
  return root;
}

std::string problem(const std::string& text) {
  const Source source = read_source_text(text, "t.cfg");
  return source.problem ? source.problem->to_string() : "";
}

TEST(Tree, has_the_value_of_each_type) {
  const Node root = tree(
      "i = -5; h = 0x10; l = 5000000000L; f = 1.5; b = true; s = \"a\\\"b\" \"c\";"
      "g = { x = 1; }; a = [ 1, 2 ]; m = ( 1, \"x\", { y = 2; }, [ ] );");
  EXPECT_EQ(root.find("i")->integer, -5);
  EXPECT_EQ(root.find("h")->integer, 16);
  EXPECT_EQ(root.find("l")->integer, 5000000000);
  EXPECT_EQ(root.find("f")->real, 1.5);
  EXPECT_TRUE(root.find("b")->boolean);
  EXPECT_EQ(root.find("s")->text, "a\"bc");
  EXPECT_EQ(root.find("g")->kind, Kind::group);
  EXPECT_EQ(root.find("a")->kind, Kind::array);
  EXPECT_EQ(root.find("m")->kind, Kind::list);
  EXPECT_EQ(root.find("g")->find("x")->path, "g.x");
  EXPECT_EQ(root.find("a")->children[1].path, "a[1]");
  EXPECT_EQ(root.find("m")->children[2].find("y")->path, "m[2].y");
  EXPECT_EQ(root.find("none"), nullptr);
}

TEST(Tree, knows_the_line_of_every_element) {
  const Node root = tree("a = [ \"x\",\n  \"y\"\n  \"z\",\n  \"w\"\n];\nb\n=\n5;");
  EXPECT_EQ(root.find("a")->children[0].line, 1);
  EXPECT_EQ(root.find("a")->children[1].line, 2);
  EXPECT_EQ(root.find("a")->children[2].line, 4);
  EXPECT_EQ(root.find("b")->line, 6);
}

TEST(Tree, marks_integers_that_libconfig_wraps) {
  const Node root = tree("a = 5000000000; b = [ 1, 0xFFFFFFFF ]; c = 5; // 6000000000");
  EXPECT_EQ(root.find("a")->wrapped, "5000000000");
  EXPECT_EQ(root.find("b")->children[0].wrapped, "");
  EXPECT_EQ(root.find("b")->children[1].wrapped, "0xFFFFFFFF");
  EXPECT_EQ(root.find("c")->wrapped, "");
}

TEST(Source, refuses_a_zero_byte_in_a_string) {
  EXPECT_EQ(problem(R"(a = "s\x00a";)"),
            "t.cfg:1: a: zero byte in \"s\\x00a\"; expected no escape \\x00 in a string");
  EXPECT_EQ(problem("a = ( 1, { b = [ \"x\",\n\"y\"\n\"\\x00\" ]; } );"),
            "t.cfg:3: a[1].b[1]: zero byte in \"\\x00\"; expected no escape \\x00 in a string");
  EXPECT_EQ(problem(R"(a = "s\\x00a";)"), "");
}

TEST(Source, says_where_the_syntax_breaks_and_what_was_expected) {
  EXPECT_EQ(problem("a 5;"), "t.cfg:1: a: syntax error at '5'; expected '='");
  EXPECT_EQ(problem("a = ;"), "t.cfg:1: a: syntax error at ';'; expected a value");
  EXPECT_EQ(problem("a = 1;;"), "t.cfg:1: syntax error at ';'; expected the name of a setting");
  EXPECT_EQ(problem("a = { b = 1;\n ) }"),
            "t.cfg:2: a: syntax error at ')'; expected the name of a setting or '}'");
  EXPECT_EQ(problem("a = [ ( 1 ) ];"),
            "t.cfg:1: a[0]: syntax error at '('; expected a boolean, number or string");
  EXPECT_EQ(problem("a = ( 1 2 );"), "t.cfg:1: a: syntax error at '2'; expected ',' or ')'");
  EXPECT_EQ(problem("a = 1;\n\x01"),
            "t.cfg:2: syntax error at '\\x01'; expected the name of a setting");
  EXPECT_EQ(problem("a = {"),
            "t.cfg:1: a: syntax error at end of the file; expected the name of a setting or '}'");
  EXPECT_EQ(problem("a = \"x"), "t.cfg:1: a: syntax error: string without an end; expected '\"'");
  EXPECT_EQ(problem(std::string("a = 1;\nb\0c", 10)), "t.cfg:2: zero byte; expected a text file");
}

TEST(Source, names_what_an_array_has_and_what_closes_it) {
  const auto mixed = [](const char* had, const char* has) {
    return problem(std::string("a = [ ") + had + ", " + has + " ];");
  };
  EXPECT_EQ(mixed("true", "1"),
            "t.cfg:1: a[1]: array with booleans and integers; expected values of one type");
  EXPECT_EQ(mixed("1", "1L"),
            "t.cfg:1: a[1]: array with integers and integers with the suffix L; expected values of "
            "one type");
  EXPECT_EQ(mixed("1L", "1"),
            "t.cfg:1: a[1]: array with integers with the suffix L and integers; expected values of "
            "one type");
  EXPECT_EQ(mixed("1.5", "1"),
            "t.cfg:1: a[1]: array with fractions and integers; expected values of one type");
  EXPECT_EQ(problem("a = [ 1 2 ];"), "t.cfg:1: a: syntax error at '2'; expected ',' or ']'");
}

// Structure knows the grammar, so this takes a source that it has not seen.
TEST(Tree, has_libconfig_itself_as_a_second_fence) {
  Source source;
  source.files = {"t.cfg"};
  source.text = "a = 1;\nb = ;\n";
  source.lines = {{0, 1}, {0, 2}};
  Node root;
  const auto refused = build_tree(source, root);
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->to_string(),
            "t.cfg:2: libconfig: syntax error; expected valid libconfig syntax");
}

TEST(Source, accepts_every_form_that_libconfig_accepts) {
  for (const char* text :
       {"", "a=1", "a:1", "a=1 b=2", "a=1,b=2;", "a={}", "a={b=1 c=2}", "a=()b=[]", "a=({},(),[])",
        "a=\"x\" \"y\" b=\"z\"", "a=[\"x\"\n\"y\"]", "a=.", "*=1", "a=True // end", "a=1 # end"})
    tree(text);
}

TEST(Source, finds_duplicates_in_one_group_only) {
  EXPECT_EQ(problem("a = 1;\nb = { a = 1; };\na = 2;"),
            "t.cfg:3: a: is already set in line 1; expected it once");
  EXPECT_EQ(problem("a = 1; b = ( { a = 1; }, { a = 2; } );"), "");
}

TEST(Source, bounds_the_nesting) {
  const auto nested = [](size_t n) {
    return "a = " + std::string(n, '(') + std::string(n, ')') + ";";
  };
  EXPECT_EQ(problem(nested(kMaxNesting)), "");
  EXPECT_NE(problem(nested(kMaxNesting + 1)).find("nested too deep"), std::string::npos);
  EXPECT_NE(problem(nested(1000000)).find("nested too deep"), std::string::npos);
}

TEST(Source, bounds_the_size) {
  EXPECT_EQ(problem(std::string(kMaxTextBytes - 1, ' ')), "");
  EXPECT_EQ(problem(std::string(kMaxTextBytes + 1, ' ')),
            "t.cfg:1: longer than 4 MB with its includes; expected a smaller file");
}

TEST(Source, of_a_text_refuses_to_include) {
  EXPECT_EQ(problem("a = 1;\n@include \"/etc/passwd\"\n"),
            "t.cfg:2: @include in a text without a file; expected none");
  EXPECT_EQ(problem("a = \"\\\n@include \\\"x\\\"\n\";"), "") << "it is inside a string";
  EXPECT_EQ(problem("/*\n@include \"x\"\n*/"), "") << "it is inside a comment";
}

class IncludeTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "limpet-config-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name;
    fs::create_directory(directory_ / "sub");
  }
  void TearDown() override { fs::remove_all(directory_); }

  void write(const std::string& name, const std::string& text) {
    std::ofstream(directory_ / name, std::ios::binary) << text;
  }
  Source source(const std::string& name) { return read_source_file((directory_ / name).string()); }
  std::string problem(const std::string& name) {
    const Source s = source(name);
    if (!s.problem) return "";
    std::string text = s.problem->to_string();
    const std::string prefix = directory_.string() + "/";
    for (size_t at; (at = text.find(prefix)) != std::string::npos;) text.erase(at, prefix.size());
    return text;
  }

  fs::path directory_;
};

TEST_F(IncludeTest, takes_in_text_and_keeps_files_and_lines) {
  write("main.cfg", "a = 1;\n@include \"sub/one.cfg\" d = 4;\ne = 5;\n");
  write("sub/one.cfg", "b = 2;\n  @include \"two.cfg\"\n");
  write("sub/two.cfg", "\nc = [ 3, 5000000000 ]; // no newline at the end");
  const Source s = source("main.cfg");
  ASSERT_FALSE(s.problem) << s.problem->to_string();
  Node root;
  ASSERT_FALSE(build_tree(s, root));
  ASSERT_EQ(root.children.size(), 5u);
  const std::pair<std::string, int> places[] = {
      {"main.cfg", 1}, {"sub/one.cfg", 1}, {"sub/two.cfg", 2}, {"main.cfg", 2}, {"main.cfg", 3}};
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(root.children[i].name, std::string(1, static_cast<char>('a' + i)));
    EXPECT_EQ(root.children[i].file, (directory_ / places[i].first).string()) << i;
    EXPECT_EQ(root.children[i].line, places[i].second) << i;
  }
  EXPECT_EQ(root.find("c")->children[1].wrapped, "5000000000");

  EXPECT_EQ(
      s.text,
      "a = 1;\nb = 2;\n\nc = [ 3, 5000000000 ]; // no newline at the end\n\n d = 4;\ne = 5;\n");
  const Origin lines[] = {{0, 1}, {1, 1}, {2, 1}, {2, 2}, {1, 2}, {0, 2}, {0, 3}};
  ASSERT_EQ(s.lines.size(), std::size(lines));
  for (size_t i = 0; i < s.lines.size(); ++i) {
    EXPECT_EQ(s.lines[i].file, lines[i].file) << i;
    EXPECT_EQ(s.lines[i].line, lines[i].line) << i;
  }
}

TEST_F(IncludeTest, skips_a_byte_order_mark_at_the_beginning_of_a_file) {
  write("main.cfg",
        "\xef\xbb\xbf"
        "a = 1;\n@include \"one.cfg\"\n");
  write("one.cfg", "\xef\xbb\xbf@include \"two.cfg\"\nb = 2;\n");
  write("two.cfg", "\xef\xbb\xbf");
  const Source s = source("main.cfg");
  ASSERT_FALSE(s.problem) << s.problem->to_string();
  Node root;
  ASSERT_FALSE(build_tree(s, root));
  EXPECT_EQ(root.children.size(), 2u);
  EXPECT_EQ(s.text.find('\xef'), std::string::npos);
  for (const char* elsewhere : {"a = 1;\n\xef\xbb\xbf",
                                "\xef\xbb\xbf\xef\xbb\xbf"
                                "a = 1;"}) {
    write("main.cfg", elsewhere);
    EXPECT_NE(problem("main.cfg"), "") << "a mark elsewhere is none";
  }
}

TEST_F(IncludeTest, may_go_as_deep_as_the_limit) {
  const auto chain = [&](unsigned files) {
    for (unsigned i = 1; i < files; ++i)
      write(fmt::format("c{}", i), fmt::format("@include \"c{}\"\n", i + 1));
    write(fmt::format("c{}", files), "a = 1;\n");
    return problem("c1");
  };
  EXPECT_EQ(chain(kMaxIncludeDepth), "");
  EXPECT_EQ(chain(kMaxIncludeDepth + 1),
            "c10:1: @include \"c11\" is one too many; expected at most 10 files in each other and "
            "256 in all");
}

TEST_F(IncludeTest, names_the_file_of_an_error) {
  write("main.cfg", "@include \"sub/one.cfg\"\n");
  write("sub/one.cfg", "\n\na = ;\n");
  EXPECT_EQ(problem("main.cfg"), "sub/one.cfg:3: a: syntax error at ';'; expected a value");
  write("main.cfg", "a = 1;\n@include \"sub/one.cfg\"\n");
  write("sub/one.cfg", "\na = 2;\n");
  EXPECT_EQ(problem("main.cfg"),
            "sub/one.cfg:2: a: is already set in main.cfg:1; expected it once");
}

TEST_F(IncludeTest, ends_circles_and_endless_chains) {
  write("main.cfg", "@include \"sub/one.cfg\"\n");
  write("sub/one.cfg", "@include \"../main.cfg\"\n");
  EXPECT_NE(problem("main.cfg"), "");  // the names differ, so the depth ends it
  write("same.cfg", "a = 1;\n@include \"same.cfg\"\n");
  EXPECT_EQ(problem("same.cfg"),
            "same.cfg:2: @include \"same.cfg\" includes itself; expected no circle");
}

TEST_F(IncludeTest, says_why_a_file_cannot_be_read) {
  EXPECT_EQ(problem("none.cfg"),
            "none.cfg: cannot be read (No such file or directory); expected a readable file");
  EXPECT_EQ(problem("sub"), "sub: cannot be read (Is a directory); expected a readable file");
  write("main.cfg", "\n@include \"none.cfg\"\n");
  EXPECT_EQ(problem("main.cfg"),
            "main.cfg:2: @include \"none.cfg\" cannot be read (No such file or directory); "
            "expected a readable file");
}

class PipeTest : public IncludeTest {
 protected:
  void SetUp() override {
    IncludeTest::SetUp();
    fifo_ = (directory_ / "fifo").string();
    ASSERT_EQ(mkfifo(fifo_.c_str(), 0600), 0);
    alarm(20);  // who waits for a writer waits for ever
  }
  void TearDown() override {
    alarm(0);
    IncludeTest::TearDown();
  }
  static void fill(int fd, const std::string& text = "a = 1;\n") {
    ASSERT_EQ(::write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  static std::string text_of(int fd) {
    const Source s = read_source_file("/dev/fd/" + std::to_string(fd));
    return s.problem ? s.problem->to_string() : s.text;
  }

  std::string fifo_;
};

TEST_F(PipeTest, with_a_name_is_refused_instead_of_waited_for) {
  const std::string why =
      "is a named pipe; expected a file, or /dev/stdin to read what another program writes";
  EXPECT_EQ(problem("fifo"), "fifo: " + why);
  write("main.cfg", "\n@include \"fifo\"\n");
  EXPECT_EQ(problem("main.cfg"), "main.cfg:2: @include \"fifo\" " + why);
}

TEST_F(PipeTest, of_a_shell_is_read_to_its_end) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  std::thread writer([&] {  // in two pieces: the reader waits for the second
    fill(ends[1]);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    fill(ends[1], "b = 2;\n");
    close(ends[1]);
  });
  EXPECT_EQ(text_of(ends[0]), "a = 1;\nb = 2;\n");
  writer.join();
  close(ends[0]);
}

TEST_F(PipeTest, that_is_open_already_may_have_a_name) {
  const int both = open(fifo_.c_str(), O_RDWR);
  ASSERT_GE(both, 0);
  fill(both);
  const int reader = open(fifo_.c_str(), O_RDONLY);
  close(both);
  EXPECT_EQ(text_of(reader), "a = 1;\n");
  close(reader);
}

}  // namespace
}  // namespace limpet::config
