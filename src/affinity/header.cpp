#include "limpet/affinity/header.h"

#include <array>

#include "limpet/base/endian.h"
#include "limpet/base/hash.h"

namespace limpet::affinity {
namespace {

// Constant as in source.cpp: a changed letter moves every client.
constexpr HashKey kValueKey = {'a', 'f', 'f', 'i', 'n', 'i', 't', 'y',
                               '/', 'v', 'a', 'l', 'u', '/', 'v', '1'};
constexpr HashKey kHeaderKey = {'a', 'f', 'f', 'i', 'n', 'i', 't', 'y',
                                '/', 'h', 'e', 'a', 'd', '/', 'v', '1'};

constexpr bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

// Where the first element ends. A backslash within quotes takes the next character as it is.
size_t end_of_first(std::string_view value) {
  bool quoted = false;
  for (size_t i = 0; i < value.size(); ++i) {
    if (value[i] == '"')
      quoted = !quoted;
    else if (quoted && value[i] == '\\')
      ++i;
    else if (!quoted && value[i] == ',')
      return i;
  }
  return value.size();
}

}  // namespace

std::string_view header_key(std::string_view value) {
  value = value.substr(0, end_of_first(value));
  while (!value.empty() && is_blank(value.front())) value.remove_prefix(1);
  while (!value.empty() && is_blank(value.back())) value.remove_suffix(1);
  return value;
}

std::optional<uint64_t> hash_key(std::string_view key) {
  if (key.empty()) return std::nullopt;
  return siphash(kValueKey, key);
}

uint64_t hash_header(uint64_t seed, uint64_t key) {
  std::array<uint8_t, 16> bytes;
  store(bytes.data(), seed);
  store(bytes.data() + 8, key);
  return siphash(kHeaderKey, bytes);
}

}  // namespace limpet::affinity
