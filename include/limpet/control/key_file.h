// The file of the cookie keys on disk: read, made at the first start, replaced as a whole. What it
// says is affinity/cookie_keys.h; here is everything that touches the file system. No key is ever
// in an error.
//
// Two processes that start at once agree on one file: a new one is written beside its place under
// another name and linked there only when nobody was faster. A replacement is renamed into place,
// so a reader sees the old text or the new one, whatever happens to the machine in between.
//
// A path that is a symbolic link is refused: a rotation would put a file in place of the link, and
// what it pointed to would keep the old keys. Links among the directories are none of our business.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "limpet/affinity/cookie_keys.h"
#include "limpet/base/result.h"

namespace limpet::control {

constexpr size_t kMaxKeyFile = 65536;  // bytes, comments included

struct KeyFile {
  affinity::CookieKeys keys;
  std::string text;      // as it stands in the file: to put it back
  bool created = false;  // by this call
};

// Errors begin with the path and say what is expected instead.
Result<KeyFile> read_key_file(const std::string& path);
bool key_file_missing(const std::string& path);  // nothing of that name, not even a broken link
// As read_key_file(), but a file that is not there is made, mode 0600, with one key that seals. The
// directory must exist.
Result<KeyFile> load_key_file(const std::string& path);
// Mode 0600, whatever the old one had. After an error the old file is as it was.
Status replace_key_file(const std::string& path, const std::string& text);

// Of `limpet --check`: what would stop a start. A file that is not there yet is right, and one that
// this user may not read is the daemon's business. `path` may be empty: no file is used.
std::optional<std::string> key_file_problem(const std::string& path);

// From the kernel.
Status fill_random(std::span<uint8_t> bytes);

}  // namespace limpet::control
