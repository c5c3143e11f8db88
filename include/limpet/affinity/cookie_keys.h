// The keys that seal cookies, and their file. Pure: control reads and writes the file (created with
// mode 0600, replaced atomically), gives the text and the random bytes.
//
// A node opens cookies of every key that it lists and seals with exactly one. Rotation is three
// steps, each done on all nodes before the next: *list* the new key, *seal* with it, *retire* the
// old one. A node that would seal with a key that another does not list yet would make cookies that
// the other refuses. The steps are separate functions so that no caller can skip one unseen.
//
// The file, newest key first:
//   # comment
//   <id> <state> <32 hexadecimal digits>
// id: one character of the base64url alphabet; state: `listed` or `sealing`; fields are separated
// by one blank. Exactly one key seals; ids and keys do not repeat; at most kMaxCookieKeys.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "limpet/base/result.h"

namespace limpet::affinity {

constexpr size_t kMaxCookieKeys = 8;
using CookieKeyBytes = std::array<uint8_t, 16>;  // AES-128

struct CookieKey {
  char id = 'A';
  bool sealing = false;  // else listed only
  CookieKeyBytes bytes{};
  friend bool operator==(const CookieKey&, const CookieKey&) = default;
};

class CookieKeys {
 public:
  CookieKeys() = default;                                 // none: nothing can be sealed
  static CookieKeys first(const CookieKeyBytes& random);  // one key, sealing: for a first start

  std::span<const CookieKey> list() const { return {keys_.data(), count_}; }  // newest first
  size_t sealing() const;  // its position; list().size() when there is no key

  Result<char> add(
      const CookieKeyBytes& random);  // step 1: the id of the new key, listed, in front
  Status seal(char id);               // step 2: the former sealing key stays listed
  Status retire(char id);             // step 3: not the one that seals

  friend bool operator==(const CookieKeys&, const CookieKeys&) = default;

 private:
  friend Result<CookieKeys> parse_cookie_keys(std::string_view, std::string_view);
  size_t find(char id) const;  // count_ when absent

  std::array<CookieKey, kMaxCookieKeys> keys_{};
  size_t count_ = 0;
};

// `file` is for the error, "FILE:LINE: what is wrong; expected ...". No key is ever in an error.
Result<CookieKeys> parse_cookie_keys(std::string_view text, std::string_view file);
std::string print_cookie_keys(const CookieKeys& keys);  // with an explaining comment; parses back

// Refuses a file that its group or others may read or write. `mode` as of stat(2).
Status check_cookie_key_mode(uint32_t mode, std::string_view file);

}  // namespace limpet::affinity
