#include "lexer.h"

#include <cstdint>
#include <limits>

namespace limpet::config {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_hex(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool starts_name(char c) {
  return is_letter(c) || c == '*';
}
bool continues_name(char c) {
  return starts_name(c) || is_digit(c) || c == '-' || c == '_';
}

bool equals_ignoring_case(std::string_view text, std::string_view lower) {
  if (text.size() != lower.size()) return false;
  for (size_t i = 0; i < text.size(); ++i)
    if ((text[i] | 0x20) != lower[i]) return false;
  return true;
}

size_t digits_at(std::string_view text, size_t at) {
  size_t n = 0;
  while (at + n < text.size() && is_digit(text[at + n])) ++n;
  return n;
}

// [eE][-+]?[0-9]+ at `at`; 0 when there is none.
size_t exponent_at(std::string_view text, size_t at) {
  if (at >= text.size() || (text[at] | 0x20) != 'e') return 0;
  size_t length = 1;
  if (at + length < text.size() && (text[at + length] == '+' || text[at + length] == '-')) ++length;
  const size_t digits = digits_at(text, at + length);
  return digits == 0 ? 0 : length + digits;
}

}  // namespace

Token Lexer::take(TokenKind kind, size_t length) {
  const Token token{kind, text_.substr(position_, length), position_, line_};
  for (const char c : token.text) line_ += c == '\n';
  position_ += length;
  return token;
}

bool Lexer::skip_blank() {
  while (position_ < text_.size()) {
    const char c = peek();
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f') {
      // An include begins with the blanks of its line, so it is looked for before they go.
      if (include_length() != 0) return true;
      line_ += c == '\n';
      ++position_;
    } else if (c == '#' || (c == '/' && peek(1) == '/')) {
      while (position_ < text_.size() && peek() != '\n') ++position_;
    } else if (c == '/' && peek(1) == '*') {
      const size_t close = text_.find("*/", position_ + 2);
      if (close == std::string_view::npos) return false;
      take(TokenKind::garbage, close + 2 - position_);
    } else {
      return true;
    }
  }
  return true;
}

// Length of `^[ \t]*@include[ \t]+"` here, or 0.
size_t Lexer::include_length() const {
  if (position_ != 0 && text_[position_ - 1] != '\n') return 0;
  size_t i = 0;
  while (peek(i) == ' ' || peek(i) == '\t') ++i;
  constexpr std::string_view kWord = "@include";
  if (text_.substr(position_ + i, kWord.size()) != kWord) return 0;
  i += kWord.size();
  const size_t blanks = i;
  while (peek(i) == ' ' || peek(i) == '\t') ++i;
  return i > blanks && peek(i) == '"' ? i + 1 : 0;
}

Token Lexer::take_string() {
  for (size_t i = position_ + 1; i < text_.size(); ++i) {
    if (text_[i] == '"') return take(TokenKind::string, i + 1 - position_);
    if (text_[i] == '\\' && i + 1 < text_.size() && (text_[i + 1] == '"' || text_[i + 1] == '\\'))
      ++i;
  }
  return take(TokenKind::open_string, text_.size() - position_);
}

// The longest of flex's float, hex and integer patterns; 0 when none matches.
size_t Lexer::number_length(TokenKind& kind) const {
  const std::string_view rest = text_.substr(position_);
  const size_t sign = !rest.empty() && (rest[0] == '-' || rest[0] == '+') ? 1 : 0;
  if (sign == 0 && rest.size() >= 3 && rest[0] == '0' && (rest[1] | 0x20) == 'x' &&
      is_hex(rest[2])) {
    size_t length = 3;
    while (length < rest.size() && is_hex(rest[length])) ++length;
    kind = TokenKind::integer;
    for (int i = 0; i < 2 && length < rest.size() && rest[length] == 'L'; ++i) {
      ++length;
      kind = TokenKind::integer64;
    }
    return length;
  }
  const size_t whole = digits_at(rest, sign);
  size_t length = sign + whole;
  if (length < rest.size() && rest[length] == '.') {
    kind = TokenKind::real;
    length += 1 + digits_at(rest, length + 1);
    return length + exponent_at(rest, length);
  }
  if (whole == 0) return 0;
  if (const size_t exponent = exponent_at(rest, length); exponent != 0) {
    kind = TokenKind::real;
    return length + exponent;
  }
  kind = TokenKind::integer;
  for (int i = 0; i < 2 && length < rest.size() && rest[length] == 'L'; ++i) {
    ++length;
    kind = TokenKind::integer64;
  }
  return length;
}

Token Lexer::next() {
  if (!skip_blank()) return take(TokenKind::open_comment, text_.size() - position_);
  if (position_ == text_.size()) return take(TokenKind::end, 0);
  if (const size_t open = include_length(); open != 0) {
    for (size_t i = position_ + open; i < text_.size() && text_[i] != '\n'; ++i) {
      if (text_[i] == '"') return take(TokenKind::include, i + 1 - position_);
      if (text_[i] == '\\' && i + 1 < text_.size() && (text_[i + 1] == '"' || text_[i + 1] == '\\'))
        ++i;
    }
    return take(TokenKind::open_string, open);
  }
  const char c = peek();
  switch (c) {
    case '"':
      return take_string();
    case '=':
    case ':':
      return take(TokenKind::equals, 1);
    case ',':
      return take(TokenKind::comma, 1);
    case ';':
      return take(TokenKind::semicolon, 1);
    case '{':
      return take(TokenKind::group_open, 1);
    case '}':
      return take(TokenKind::group_close, 1);
    case '[':
      return take(TokenKind::array_open, 1);
    case ']':
      return take(TokenKind::array_close, 1);
    case '(':
      return take(TokenKind::list_open, 1);
    case ')':
      return take(TokenKind::list_close, 1);
    default:
      break;
  }
  TokenKind kind = TokenKind::garbage;
  if (const size_t length = number_length(kind); length != 0) return take(kind, length);
  if (starts_name(c)) {
    size_t length = 1;
    while (continues_name(peek(length))) ++length;
    const std::string_view word = text_.substr(position_, length);
    const bool boolean = equals_ignoring_case(word, "true") || equals_ignoring_case(word, "false");
    return take(boolean ? TokenKind::boolean : TokenKind::name, length);
  }
  return take(TokenKind::garbage, 1);
}

bool string_has_zero(std::string_view token) {
  for (size_t i = 0; i + 1 < token.size(); ++i) {
    if (token[i] != '\\') continue;
    if ((token[i + 1] | 0x20) == 'x' && token.substr(i + 2, 2) == "00") return true;
    ++i;  // an escaped backslash begins no other escape
  }
  return false;
}

bool literal_is_wrapped(std::string_view literal) {
  const bool wide = !literal.empty() && literal.back() == 'L';
  while (!literal.empty() && literal.back() == 'L') literal.remove_suffix(1);
  const bool negative = !literal.empty() && literal.front() == '-';
  if (!literal.empty() && (literal.front() == '-' || literal.front() == '+'))
    literal.remove_prefix(1);
  const bool hex = literal.size() > 2 && (literal[1] | 0x20) == 'x';
  if (hex) literal.remove_prefix(2);
  const uint64_t most =
      wide ? static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) : 0x7fffffffu;
  const uint64_t limit = negative ? most + 1 : most;
  const uint64_t base = hex ? 16 : 10;
  uint64_t value = 0;
  for (const char c : literal) {
    const auto digit = static_cast<uint64_t>(is_digit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
    if (value > (limit - digit) / base) return true;
    value = value * base + digit;
  }
  return false;
}

}  // namespace limpet::config
