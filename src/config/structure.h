// libconfig's grammar as a machine that is fed one token at a time, so that one file may be
// included in the middle of another. Gives each value its path, finds duplicates, bounds the
// nesting, and says what was expected where the syntax breaks.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "lexer.h"
#include "source.h"

namespace limpet::config {

class Structure {
 public:
  explicit Structure(Source& source);

  // False: source.problem is set and nothing more may be fed. The `end` token of the outermost file
  // comes last.
  bool feed(const Token& token, uint32_t file);

 private:
  enum class State { name, equals, value, after_setting, first_element, element, after_element };
  struct Frame {
    TokenKind open;                 // group_open, list_open or array_open
    std::string path;               // of the aggregate itself
    size_t count = 0;               // elements so far
    std::optional<TokenKind> type;  // of an array's elements
  };

  bool in_group() const { return frames_.back().open == TokenKind::group_open; }
  bool at_root() const { return frames_.size() == 1; }
  bool begin_name(const Token& token, Origin at);
  bool begin_value(const Token& token, Origin at);
  bool check_string(const Token& token, Origin at);
  bool close(const Token& token, Origin at);
  bool unexpected(const Token& token, Origin at, const std::string& expected);
  bool fail(Origin at, std::string path, std::string text);
  std::string element_path() const;
  std::string where() const;
  const char* expected_close() const;

  Source& source_;
  std::vector<Frame> frames_;
  State state_ = State::name;
  std::string setting_;    // path of the setting whose value comes
  bool joinable_ = false;  // the last token was a string, which a neighbour continues
  std::string value_;      // path of that string
};

// A token for a message: quoted, printable, not too long.
std::string describe(const Token& token);

}  // namespace limpet::config
