#include "source.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "lexer.h"
#include "structure.h"

namespace limpet::config {
namespace {

// A pipe that somebody made for this reading, and not a name in a directory at which nobody may
// ever write: that of a shell's <(...), or one that the caller has open already.
bool is_given_pipe(const std::string& path, int fd) {
  struct statfs where {};
  if (fstatfs(fd, &where) == 0 && where.f_type == PIPEFS_MAGIC) return true;
  for (const char* given : {"/dev/stdin", "/dev/fd/", "/proc/self/fd/"})
    if (path.rfind(given, 0) == 0) return true;
  return false;
}

// What is wrong with the file, or nothing and its bytes in `out`.
std::optional<std::string> read_file(const std::string& path, std::string& out) {
  const auto failure = [] {
    return fmt::format("cannot be read ({}); expected a readable file", std::strerror(errno));
  };
  // To open a named pipe would wait for its writer.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) return failure();
  const std::unique_ptr<FILE, int (*)(FILE*)> file(fdopen(fd, "rb"), &std::fclose);
  if (!file) {
    const auto why = failure();
    close(fd);
    return why;
  }
  struct stat status {};
  if (fstat(fd, &status) != 0) return failure();
  if (S_ISFIFO(status.st_mode) && !is_given_pipe(path, fd))
    return "is a named pipe; expected a file, or /dev/stdin to read what another program writes";
  if (fcntl(fd, F_SETFL, 0) != 0) return failure();
  char buffer[16384];
  while (const size_t n = std::fread(buffer, 1, sizeof buffer, file.get())) {
    out.append(buffer, n);
    if (out.size() > kMaxTextBytes) break;  // refused with its size by the caller
  }
  if (std::ferror(file.get()) != 0) return failure();
  return std::nullopt;
}

class Expander {
 public:
  Expander(Source& source, bool includes)
      : source_(source), structure_(source), includes_(includes) {}

  void root(std::string_view text) {
    if (file(text, 0)) structure_.feed(end_, 0);
  }

 private:
  bool file(std::string_view text, uint32_t index);
  bool include(const Token& token, uint32_t index);
  bool emit(std::string_view chunk, Origin at);
  bool fail(Origin at, std::string text) {
    source_.problem = Problem{source_.file_of(at), at.line, "", std::move(text)};
    return false;
  }

  Source& source_;
  Structure structure_;
  bool includes_;
  std::vector<uint32_t> open_;  // the chain of files that include each other
  Token end_;
};

bool Expander::emit(std::string_view chunk, Origin at) {
  if (source_.text.size() + chunk.size() > kMaxTextBytes)
    return fail(at, fmt::format("longer than {} MB with its includes; expected a smaller file",
                                kMaxTextBytes >> 20));
  while (!chunk.empty()) {
    if (source_.text.empty() || source_.text.back() == '\n') source_.lines.push_back(at);
    const size_t length = std::min(chunk.find('\n'), chunk.size() - 1) + 1;
    source_.text += chunk.substr(0, length);
    chunk.remove_prefix(length);
    ++at.line;
  }
  return true;
}

bool Expander::file(std::string_view text, uint32_t index) {
  if (const size_t nul = text.find('\0'); nul != std::string_view::npos) {
    const auto line = std::count(text.begin(), text.begin() + static_cast<ptrdiff_t>(nul), '\n');
    return fail({index, static_cast<int>(line) + 1}, "zero byte; expected a text file");
  }
  // Editors of Windows begin UTF-8 with a byte order mark (RFC 3629, 6).
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (text.substr(0, kByteOrderMark.size()) == kByteOrderMark)
    text.remove_prefix(kByteOrderMark.size());
  open_.push_back(index);
  Lexer lexer(text);
  size_t copied = 0;
  int copied_line = 1;
  for (;;) {
    const Token token = lexer.next();
    if (token.kind == TokenKind::end) {
      end_ = token;
      break;
    }
    if (token.kind != TokenKind::include) {
      if (!structure_.feed(token, index)) return false;
      continue;
    }
    if (!emit(text.substr(copied, token.offset - copied), {index, copied_line})) return false;
    copied = token.offset + token.text.size();
    copied_line = token.line;
    if (!include(token, index)) return false;
  }
  if (!emit(text.substr(copied), {index, copied_line})) return false;
  // libconfig takes a comment for garbage unless a newline ends it.
  if (!source_.text.empty() && source_.text.back() != '\n') source_.text += '\n';
  open_.pop_back();
  return true;
}

bool Expander::include(const Token& token, uint32_t index) {
  const Origin at{index, token.line};
  std::string name;
  const size_t quote = token.text.find('"');
  const std::string_view written = token.text.substr(quote + 1, token.text.size() - quote - 2);
  for (size_t i = 0; i < written.size(); ++i) {
    if (written[i] == '\\' && i + 1 < written.size()) ++i;  // the lexer left only \\ and \" closed
    name += written[i];
  }
  if (!includes_) return fail(at, "@include in a text without a file; expected none");
  std::string path = name;
  if (const std::string& from = source_.file_of(at); !name.empty() && name.front() != '/') {
    const size_t slash = from.rfind('/');
    if (slash != std::string::npos) path = from.substr(0, slash + 1) + name;
  }
  for (const uint32_t open : open_)
    if (source_.files[open] == path)
      return fail(at, fmt::format("@include \"{}\" includes itself; expected no circle", name));
  if (open_.size() >= kMaxIncludeDepth || source_.files.size() >= kMaxFiles)
    return fail(at,
                fmt::format("@include \"{}\" is one too many; expected at most {} files in each "
                            "other and {} in all",
                            name, kMaxIncludeDepth, kMaxFiles));
  std::string text;
  if (const auto problem = read_file(path, text))
    return fail(at, fmt::format("@include \"{}\" {}", name, *problem));
  source_.files.push_back(path);
  return file(text, static_cast<uint32_t>(source_.files.size() - 1));
}

}  // namespace

Source read_source_text(std::string_view text, const std::string& name) {
  Source source;
  source.files.push_back(name);
  Expander(source, false).root(text);
  return source;
}

Source read_source_file(const std::string& path) {
  Source source;
  source.files.push_back(path);
  std::string text;
  if (const auto problem = read_file(path, text))
    source.problem = Problem{path, 0, "", *problem};
  else
    Expander(source, true).root(text);
  return source;
}

}  // namespace limpet::config
