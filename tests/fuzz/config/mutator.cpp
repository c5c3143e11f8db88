// A mutator that keeps the syntax: it swaps whole tokens and copies or removes whole elements, so
// that most of its texts get past the grammar and try the validator. Every second mutation is
// libFuzzer's own, which breaks everything else.
#include "mutator.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "lexer.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace limpet::config {
namespace {

constexpr std::string_view kIntegers[] = {
    "0",    "1",    "-1",    "2",       "32",         "33",          "64",         "65",
    "99",   "100",  "101",   "128",     "129",        "250",         "251",        "255",
    "256",  "257",  "599",   "600",     "1023",       "1024",        "1279",       "1280",
    "9600", "9601", "65535", "65536",   "22",         "65537",       "67108864",   "67108865",
    "4096", "4097", "63",    "5000011", "134217729",  "1048577",     "0x10",       "0XFF",
    "512",  "768",  "5L",    "1e3",     "4294967297", "0x100000001", "5000000000L"};
constexpr std::string_view kStrings[] = {"\"\"",
                                         "\"nat\"",
                                         "\"splice\"",
                                         "\"cookie\"",
                                         "\"source\"",
                                         "\"insert\"",
                                         "\"rewrite\"",
                                         "\"prefix\"",
                                         "\"learn\"",
                                         "\"sealed\"",
                                         "\"plain\"",
                                         "\"session\"",
                                         "\"permanent\"",
                                         "\"None\"",
                                         "\"Lax\"",
                                         "\"evict\"",
                                         "\"503\"",
                                         "\"reset\"",
                                         "\"proxy-v2\"",
                                         "\"a.b\"",
                                         "\"/\"",
                                         "\"16k\"",
                                         "\"60s\"",
                                         "\"90s\"",
                                         "\"w\"",
                                         "\"tcp\"",
                                         "\"udp\"",
                                         "\"none\"",
                                         "\"http\"",
                                         "\"https\"",
                                         "\"0s\"",
                                         "\"1ms\"",
                                         "\"10ms\"",
                                         "\"99ms\"",
                                         "\"100ms\"",
                                         "\"1s\"",
                                         "\"10m\"",
                                         "\"1h\"",
                                         "\"1d\"",
                                         "\"7d\"",
                                         "\"8d\"",
                                         "\"10.0.0.9\"",
                                         "\"10.0.0.8\"",
                                         "\"10.0.0.1\"",
                                         "\"10.0.0.2\"",
                                         "\"10.0.0.7\"",
                                         "\"10.0.0.0\"",
                                         "\"10.255.255.255\"",
                                         "\"192.0.2.1\"",
                                         "\"fd00::9\"",
                                         "\"fd00::2\"",
                                         "\"fd00::\"",
                                         "\"fe80::1\"",
                                         "\"ff02::1\"",
                                         "\"0.0.0.0/0\"",
                                         "\"::/0\"",
                                         "\"10.0.0.9/8\"",
                                         "\"10.0.0.9/32\"",
                                         "\"10.1.0.9/16\"",
                                         "\"10.0.0.9/0\"",
                                         "\"10.0.0.0/8\"",
                                         "\"fd00::9/64\"",
                                         "\"fd00::/8\"",
                                         "\"100\"",
                                         "\"200-399\"",
                                         "\"99-600\"",
                                         "\"200,500-300\"",
                                         "\"03:00.0\"",
                                         "\"0000:03:00.0\"",
                                         "\"/\"",
                                         "\"a b\"",
                                         "\"reset\"",
                                         "\"maglev\""};

using Random = std::mt19937;

size_t below(Random& random, size_t n) {
  return n == 0 ? 0 : random() % n;
}

std::vector<Token> tokens_of(std::string_view text) {
  std::vector<Token> tokens;
  Lexer lexer(text);
  for (Token t = lexer.next(); t.kind != TokenKind::end; t = lexer.next()) tokens.push_back(t);
  return tokens;
}

bool opens(TokenKind kind) {
  return kind == TokenKind::group_open || kind == TokenKind::list_open;
}

// One past the last token of the element that begins at `first`.
size_t element_end(const std::vector<Token>& tokens, size_t first) {
  size_t depth = 0;
  for (size_t i = first; i < tokens.size(); ++i) {
    const TokenKind kind = tokens[i].kind;
    if (opens(kind) || kind == TokenKind::array_open) ++depth;
    if (kind == TokenKind::group_close || kind == TokenKind::list_close ||
        kind == TokenKind::array_close)
      --depth;
    if (depth == 0) return i + 1;
  }
  return tokens.size();
}

size_t end_offset(const Token& token) {
  return token.offset + token.text.size();
}

std::string replace(std::string_view text, size_t from, size_t to, std::string_view with) {
  return std::string(text.substr(0, from)) + std::string(with) + std::string(text.substr(to));
}

// A scalar becomes an interesting one of its kind, or the same as another of the text.
std::string change_value(std::string_view text, const std::vector<Token>& tokens, Random& random) {
  std::vector<const Token*> scalars;
  for (const Token& t : tokens)
    if (t.kind == TokenKind::integer || t.kind == TokenKind::string) scalars.push_back(&t);
  if (scalars.empty()) return std::string(text);
  const Token& target = *scalars[below(random, scalars.size())];
  std::string_view with = target.kind == TokenKind::integer
                              ? kIntegers[below(random, std::size(kIntegers))]
                              : kStrings[below(random, std::size(kStrings))];
  if (const Token& other = *scalars[below(random, scalars.size())];
      other.kind == target.kind && below(random, 2) == 0)
    with = other.text;
  return replace(text, target.offset, end_offset(target), with);
}

// An element of a list, or a setting with its value, once more or no more.
std::string change_element(std::string_view text, const std::vector<Token>& tokens,
                           Random& random) {
  std::vector<size_t> starts;
  for (size_t i = 0; i < tokens.size(); ++i)
    if (opens(tokens[i].kind) || (tokens[i].kind == TokenKind::name && i + 2 < tokens.size() &&
                                  tokens[i + 1].kind == TokenKind::equals))
      starts.push_back(i);
  if (starts.empty()) return std::string(text);
  const size_t first = starts[below(random, starts.size())];
  const bool setting = tokens[first].kind == TokenKind::name;
  const size_t last = element_end(tokens, setting ? first + 2 : first) - 1;
  const size_t from = tokens[first].offset;
  const size_t to = end_offset(tokens[last]);
  const std::string_view element = text.substr(from, to - from);
  if (below(random, 2) == 0)
    return replace(text, to, to, (setting ? ";" : ",") + std::string(element));
  size_t end = to;
  if (last + 1 < tokens.size() &&
      (tokens[last + 1].kind == TokenKind::semicolon || tokens[last + 1].kind == TokenKind::comma))
    end = end_offset(tokens[last + 1]);
  return replace(text, from, end, "");
}

std::vector<std::string> g_valid;  // libFuzzer's interface is C functions: no other place for state
constexpr size_t kRemembered = 64;

}  // namespace

void remember_valid(const std::string& text) {
  static Random random;
  if (g_valid.size() < kRemembered)
    g_valid.push_back(text);
  else if (below(random, 1000) == 0)
    g_valid[below(random, kRemembered)] = text;
}

}  // namespace limpet::config

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned seed) {
  using namespace limpet::config;
  Random random(seed);
  if (below(random, 2) == 0) return LLVMFuzzerMutate(data, size, max_size);
  std::string text(reinterpret_cast<const char*>(data), size);
  if (!g_valid.empty() && below(random, 2) == 0) text = g_valid[below(random, g_valid.size())];
  for (size_t changes = 1 + below(random, 3); changes > 0; --changes) {
    const std::string before = text;
    const std::vector<Token> tokens = tokens_of(before);
    text = below(random, 3) != 0 ? change_value(before, tokens, random)
                                 : change_element(before, tokens, random);
  }
  size = std::min(text.size(), max_size);
  std::memcpy(data, text.data(), size);
  return size;
}
