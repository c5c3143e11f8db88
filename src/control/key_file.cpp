// Reading, making and replacing the file of the cookie keys.
#include "limpet/control/key_file.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <utility>

#include "limpet/base/os_error.h"

namespace limpet::control {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  // Some file systems tell only now that nothing was written.
  bool close_now() { return close(std::exchange(fd_, -1)) == 0; }

 private:
  int fd_;
};

std::string directory_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// The name is in the directory for good only when that is on the disk too.
void sync_directory(const std::string& directory) {
  const Descriptor d(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (d.get() >= 0) fsync(d.get());
}

bool write_all(int fd, const std::string& text) {
  for (size_t done = 0; done < text.size();) {
    const ssize_t n = write(fd, text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    done += static_cast<size_t>(n);
  }
  return true;
}

// A file beside `path` with that text, on the disk. Gone again with the object, unless it was
// moved.
class Draft {
 public:
  static Result<Draft> write(const std::string& path, const std::string& text) {
    const std::string directory = directory_of(path);
    Draft draft(directory + "/.limpet-keys-XXXXXX");
    Descriptor fd(mkostemp(draft.name_.data(), O_CLOEXEC));  // mode 0600
    if (fd.get() < 0) {
      const int why = errno;
      draft.name_.clear();
      if (why == ENOENT)
        return Error{fmt::format(
            "{}: there is no directory {}; expected one, make it (mkdir -p -m 700 {}) or set "
            "cookie_keys.file",
            path, directory, directory)};
      return Error{
          fmt::format("{}: cannot write in {}: {}; expected a directory in which limpet "
                      "may make files",
                      path, directory, errno_text(why))};
    }
    if (!write_all(fd.get(), text) || fsync(fd.get()) != 0 || !fd.close_now())
      return Error{fmt::format("{}: cannot be written: {}", path, errno_text(errno))};
    return draft;
  }
  Draft(Draft&& other) noexcept : name_(std::exchange(other.name_, {})) {}
  Draft& operator=(Draft&&) = delete;
  ~Draft() {
    if (!name_.empty()) unlink(name_.c_str());
  }
  const std::string& name() const { return name_; }
  void moved() { name_.clear(); }

 private:
  explicit Draft(std::string name) : name_(std::move(name)) {}
  std::string name_;
};

struct Opened {
  int fd = -1;
  int error = 0;
};

// O_NONBLOCK: a FIFO must not stop the process before fstat() tells what it is.
Opened open_key_file(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
  return {fd, fd < 0 ? errno : 0};
}

std::string why_not_open(const std::string& path, int error) {
  if (error == ELOOP)
    return fmt::format(
        "{}: is a symbolic link, which a rotation would replace; expected the path of the file "
        "itself",
        path);
  if (error == ENOENT)
    return fmt::format("{}: is not there; expected the file of the cookie keys", path);
  if (error == EACCES || error == EPERM)
    return fmt::format("{}: no permission to read it; expected a file of limpet's user, mode 0600",
                       path);
  return fmt::format("{}: cannot be opened: {}", path, errno_text(error));
}

Result<KeyFile> read_open(const std::string& path, int fd) {
  struct stat about {};
  if (fstat(fd, &about) != 0)
    return Error{fmt::format("{}: cannot be looked at: {}", path, errno_text(errno))};
  if (!S_ISREG(about.st_mode))
    return Error{fmt::format("{}: is no regular file; expected the file of the cookie keys", path)};
  if (Status mode = affinity::check_cookie_key_mode(about.st_mode, path); !mode)
    return Error{mode.error()};
  KeyFile file;
  file.text.resize(kMaxKeyFile + 1);
  size_t size = 0;
  while (size < file.text.size()) {
    const ssize_t n = read(fd, file.text.data() + size, file.text.size() - size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Error{fmt::format("{}: cannot be read: {}", path, errno_text(errno))};
    if (n == 0) break;
    size += static_cast<size_t>(n);
  }
  if (size > kMaxKeyFile)
    return Error{fmt::format("{}: has more than {} bytes; expected at most {} keys", path,
                             kMaxKeyFile, affinity::kMaxCookieKeys)};
  file.text.resize(size);
  Result<affinity::CookieKeys> keys = affinity::parse_cookie_keys(file.text, path);
  if (!keys) return Error{keys.error()};
  file.keys = *keys;
  return file;
}

}  // namespace

Result<KeyFile> read_key_file(const std::string& path) {
  const Opened opened = open_key_file(path);
  const Descriptor fd(opened.fd);
  if (fd.get() < 0) return Error{why_not_open(path, opened.error)};
  return read_open(path, fd.get());
}

bool key_file_missing(const std::string& path) {
  struct stat about {};
  return lstat(path.c_str(), &about) != 0 && errno == ENOENT;
}

Result<KeyFile> load_key_file(const std::string& path) {
  {
    const Opened opened = open_key_file(path);
    const Descriptor fd(opened.fd);
    if (fd.get() >= 0) return read_open(path, fd.get());
    if (opened.error != ENOENT) return Error{why_not_open(path, opened.error)};
  }
  affinity::CookieKeyBytes random{};
  if (Status s = fill_random(random); !s) return Error{s.error()};
  const std::string text = affinity::print_cookie_keys(affinity::CookieKeys::first(random));
  const Result<Draft> draft = Draft::write(path, text);
  if (!draft) return Error{draft.error()};
  const bool ours = link(draft->name().c_str(), path.c_str()) == 0;
  if (!ours && errno != EEXIST)
    return Error{fmt::format("{}: cannot be made: {}", path, errno_text(errno))};
  if (ours) sync_directory(directory_of(path));
  Result<KeyFile> file = read_key_file(path);
  if (file) file->created = ours;
  return file;
}

Status replace_key_file(const std::string& path, const std::string& text) {
  Result<Draft> draft = Draft::write(path, text);
  if (!draft) return Error{draft.error()};
  if (rename(draft->name().c_str(), path.c_str()) != 0)
    return Error{fmt::format("{}: cannot be replaced: {}", path, errno_text(errno))};
  draft->moved();
  sync_directory(directory_of(path));
  return Ok{};
}

std::optional<std::string> key_file_problem(const std::string& path) {
  if (path.empty()) return std::nullopt;
  const Opened opened = open_key_file(path);
  const Descriptor fd(opened.fd);
  if (fd.get() < 0) {
    if (opened.error == ENOENT || opened.error == EACCES || opened.error == EPERM)
      return std::nullopt;
    return why_not_open(path, opened.error);
  }
  const Result<KeyFile> file = read_open(path, fd.get());
  return file ? std::nullopt : std::optional(file.error());
}

Status fill_random(std::span<uint8_t> bytes) {
  if (getentropy(bytes.data(), bytes.size()) != 0)
    return Error{fmt::format("no random bytes from the kernel: {}", errno_text(errno))};
  return Ok{};
}

}  // namespace limpet::control
