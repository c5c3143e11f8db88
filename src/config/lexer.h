// Tokens of libconfig's language with their lines, exactly as libconfig 1.5 cuts them. It exists
// for what libconfig does not tell: integers that it wraps, comments and strings that never end,
// the place of each value, and what was expected where the syntax breaks.
#pragma once

#include <cstddef>
#include <string_view>

namespace limpet::config {

enum class TokenKind {
  end,
  name,
  equals,
  comma,
  semicolon,
  group_open,
  group_close,
  array_open,
  array_close,
  list_open,
  list_close,
  boolean,
  integer,
  integer64,  // with the suffix L or LL
  real,
  string,   // one quoted piece; libconfig joins neighbours
  include,  // @include "..." at the start of a line
  open_string,
  open_comment,
  garbage,  // a byte that begins no token
};

struct Token {
  TokenKind kind = TokenKind::end;
  std::string_view text;  // as written; of a string or include with quotes
  size_t offset = 0;      // of text in the input
  int line = 1;           // of its first byte
};

class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}
  Token next();  // `end` for ever once the text is used up

 private:
  char peek(size_t ahead = 0) const {
    return position_ + ahead < text_.size() ? text_[position_ + ahead] : '\0';
  }
  bool skip_blank();  // false: a comment is not closed
  size_t include_length() const;
  size_t number_length(TokenKind& kind) const;
  Token take(TokenKind kind, size_t length);
  Token take_string();

  std::string_view text_;
  size_t position_ = 0;
  int line_ = 1;
};

// Whether libconfig 1.5 would store another number than the literal says: beyond 32 bits signed
// without the suffix L, beyond 64 bits with it.
bool literal_is_wrapped(std::string_view literal);

// Whether a string token has the escape of a zero byte (\x00): libconfig ends the string there, and
// what stands behind is lost.
bool string_has_zero(std::string_view token);

}  // namespace limpet::config
