#include "limpet/affinity/cookie_keys.h"

#include <fmt/core.h>

#include <algorithm>

#include "base64.h"

namespace limpet::affinity {

namespace {

constexpr std::string_view kHexDigits = "0123456789abcdef";

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool parse_hex(std::string_view text, CookieKeyBytes& out) {
  if (text.size() != 2 * out.size()) return false;
  for (size_t i = 0; i < out.size(); ++i) {
    const int high = hex_value(text[2 * i]), low = hex_value(text[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    out[i] = static_cast<uint8_t>(high << 4 | low);
  }
  return true;
}

bool all_zero(const CookieKeyBytes& bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](uint8_t b) { return b == 0; });
}

// The line's problem and what would be right; empty when it is a key. What the line says is never
// quoted: it may be a key with a slip in it.
std::string parse_line(std::string_view line, CookieKey& key) {
  const size_t one = line.find(' ');
  const size_t two = one == std::string_view::npos ? one : line.find(' ', one + 1);
  if (two == std::string_view::npos)
    return "not three fields; expected \"<id> <listed|sealing> <32 hexadecimal digits>\" with "
           "single "
           "blanks between them";
  const std::string_view id = line.substr(0, one), state = line.substr(one + 1, two - one - 1);
  if (id.size() != 1 || url_value(id[0]) < 0)
    return "bad key id; expected one letter, digit, '-' or '_'";
  if (state != "listed" && state != "sealing")
    return "bad state; expected \"listed\" or \"sealing\"";
  if (!parse_hex(line.substr(two + 1), key.bytes))
    return "bad key; expected 32 hexadecimal digits and nothing behind them";
  if (all_zero(key.bytes)) return "a key of zeros only; expected 16 random bytes";
  key.id = id[0];
  key.sealing = state == "sealing";
  return {};
}

}  // namespace

CookieKeys CookieKeys::first(const CookieKeyBytes& random) {
  CookieKeys k;
  k.keys_[0] = {'A', true, random};
  k.count_ = 1;
  return k;
}

size_t CookieKeys::sealing() const {
  size_t i = 0;
  while (i < count_ && !keys_[i].sealing) ++i;
  return i;
}

size_t CookieKeys::find(char id) const {
  size_t i = 0;
  while (i < count_ && keys_[i].id != id) ++i;
  return i;
}

Result<char> CookieKeys::add(const CookieKeyBytes& random) {
  if (count_ == kMaxCookieKeys)
    return Error{
        fmt::format("{} cookie keys are listed already; retire an old one first", kMaxCookieKeys)};
  if (all_zero(random)) return Error{"a key of zeros only; expected 16 random bytes"};
  for (const CookieKey& k : list())
    if (k.bytes == random) return Error{"this cookie key is listed already; make a new one"};
  // Round the alphabet from the newest on: an id comes back 64 rotations later, when no cookie of
  // the retired key is left.
  int next = count_ == 0 ? 0 : (url_value(keys_[0].id) + 1) % 64;
  while (find(kBase64Url[static_cast<size_t>(next)]) != count_) next = (next + 1) % 64;
  std::copy_backward(keys_.begin(), keys_.begin() + static_cast<std::ptrdiff_t>(count_),
                     keys_.begin() + static_cast<std::ptrdiff_t>(count_) + 1);
  keys_[0] = {kBase64Url[static_cast<size_t>(next)], count_ == 0, random};
  ++count_;
  return keys_[0].id;
}

Status CookieKeys::seal(char id) {
  const size_t at = find(id);
  if (at == count_)
    return Error{fmt::format("no cookie key '{}'; list it on every node first", id)};
  for (CookieKey& k : keys_) k.sealing = false;
  keys_[at].sealing = true;
  return Ok{};
}

Status CookieKeys::retire(char id) {
  const size_t at = find(id);
  if (at == count_) return Error{fmt::format("no cookie key '{}' to retire", id)};
  if (keys_[at].sealing)
    return Error{fmt::format("cookie key '{}' seals; let another one seal first", id)};
  std::copy(keys_.begin() + static_cast<std::ptrdiff_t>(at) + 1,
            keys_.begin() + static_cast<std::ptrdiff_t>(count_),
            keys_.begin() + static_cast<std::ptrdiff_t>(at));
  keys_[--count_] = {};
  return Ok{};
}

Result<CookieKeys> parse_cookie_keys(std::string_view text, std::string_view file) {
  CookieKeys keys;
  const auto fail = [&](size_t line, const std::string& problem) {
    return Error{fmt::format("{}:{}: {}", file, std::max<size_t>(line, 1), problem)};
  };
  size_t number = 0, sealing_line = 0;
  std::array<size_t, kMaxCookieKeys> lines{};
  while (!text.empty()) {
    ++number;
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.empty() || line.front() == '#') continue;
    CookieKey key;
    if (const std::string problem = parse_line(line, key); !problem.empty())
      return fail(number, problem);
    if (keys.count_ == kMaxCookieKeys)
      return fail(number, fmt::format("too many keys; expected at most {}, retire the oldest",
                                      kMaxCookieKeys));
    for (size_t i = 0; i < keys.count_; ++i) {
      if (keys.keys_[i].id == key.id)
        return fail(number, fmt::format("key id '{}' again, first on line {}; expected each once",
                                        key.id, lines[i]));
      if (keys.keys_[i].bytes == key.bytes)
        return fail(number,
                    fmt::format("the key of line {} again; expected different keys", lines[i]));
    }
    if (key.sealing && sealing_line != 0)
      return fail(number, fmt::format("a second key seals, the first is on line {}; expected "
                                      "exactly one",
                                      sealing_line));
    if (key.sealing) sealing_line = number;
    lines[keys.count_] = number;
    keys.keys_[keys.count_++] = key;
  }
  if (keys.count_ == 0)
    return fail(number, "no key; expected lines \"<id> <listed|sealing> <32 hexadecimal digits>\"");
  if (sealing_line == 0) return fail(number, "no key seals; expected exactly one \"sealing\"");
  return keys;
}

std::string print_cookie_keys(const CookieKeys& keys) {
  std::string out =
      "# Keys that seal persistence cookies, newest first. Secret: whoever reads them can make "
      "cookies.\n"
      "# <id> <listed|sealing> <32 hexadecimal digits>\n"
      "# Rotation, each step on all nodes before the next: list the new key, seal with it, retire "
      "the old.\n";
  for (const CookieKey& k : keys.list()) {
    out += k.id;
    out += k.sealing ? " sealing " : " listed ";
    for (const uint8_t b : k.bytes) {
      out += kHexDigits[b >> 4];
      out += kHexDigits[b & 0xf];
    }
    out += '\n';
  }
  return out;
}

Status check_cookie_key_mode(uint32_t mode, std::string_view file) {
  if ((mode & 077) == 0) return Ok{};
  return Error{
      fmt::format("{}: mode {:04o} lets others read or write the cookie keys; expected 0600 "
                  "(chmod 600 {})",
                  file, mode & 07777, file)};
}

}  // namespace limpet::affinity
