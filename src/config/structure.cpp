#include "structure.h"

#include <fmt/core.h>

namespace limpet::config {
namespace {

bool is_scalar(TokenKind kind) {
  return kind == TokenKind::boolean || kind == TokenKind::integer || kind == TokenKind::integer64 ||
         kind == TokenKind::real || kind == TokenKind::string;
}
bool opens(TokenKind kind) {
  return kind == TokenKind::group_open || kind == TokenKind::list_open ||
         kind == TokenKind::array_open;
}
TokenKind closer(TokenKind open) {
  return open == TokenKind::group_open  ? TokenKind::group_close
         : open == TokenKind::list_open ? TokenKind::list_close
                                        : TokenKind::array_close;
}
const char* type_name(TokenKind kind) {
  switch (kind) {
    case TokenKind::boolean:
      return "booleans";
    case TokenKind::integer:
      return "integers";
    case TokenKind::integer64:
      return "integers with the suffix L";
    case TokenKind::real:
      return "fractions";
    default:
      return "strings";
  }
}

}  // namespace

std::string describe(const Token& token) {
  if (token.kind == TokenKind::end) return "end of the file";
  constexpr size_t kShown = 32;
  std::string shown;
  for (const char c : token.text.substr(0, kShown)) {
    const auto byte = static_cast<unsigned char>(c);
    shown += byte >= 0x20 && byte < 0x7f ? std::string(1, c) : fmt::format("\\x{:02x}", byte);
  }
  if (token.text.size() > kShown) shown += "...";
  return token.kind == TokenKind::string ? shown : fmt::format("'{}'", shown);
}

Structure::Structure(Source& source) : source_(source) {
  frames_.push_back({TokenKind::group_open, "", 0, std::nullopt});
}

bool Structure::fail(Origin at, std::string path, std::string text) {
  source_.problem = Problem{source_.file_of(at), at.line, std::move(path), std::move(text)};
  return false;
}

std::string Structure::element_path() const {
  return fmt::format("{}[{}]", frames_.back().path, frames_.back().count);
}

std::string Structure::where() const {
  if (state_ == State::equals || state_ == State::value) return setting_;
  if (state_ == State::element || state_ == State::first_element) return element_path();
  return frames_.back().path;
}

const char* Structure::expected_close() const {
  switch (frames_.back().open) {
    case TokenKind::group_open:
      return "'}'";
    case TokenKind::list_open:
      return "')'";
    default:
      return "']'";
  }
}

bool Structure::unexpected(const Token& token, Origin at, const std::string& expected) {
  if (token.kind == TokenKind::open_comment)
    return fail(at, where(), "syntax error: comment without an end; expected '*/'");
  if (token.kind == TokenKind::open_string)
    return fail(at, where(), "syntax error: string without an end; expected '\"'");
  return fail(at, where(),
              fmt::format("syntax error at {}; expected {}", describe(token), expected));
}

bool Structure::begin_name(const Token& token, Origin at) {
  const std::string& group = frames_.back().path;
  setting_ = group.empty() ? std::string(token.text) : fmt::format("{}.{}", group, token.text);
  const auto [first, fresh] = source_.places.emplace(setting_, at);
  if (!fresh) {
    const Origin before = first->second;
    const std::string other = before.file == at.file
                                  ? fmt::format("line {}", before.line)
                                  : fmt::format("{}:{}", source_.file_of(before), before.line);
    return fail(at, setting_, fmt::format("is already set in {}; expected it once", other));
  }
  state_ = State::equals;
  return true;
}

bool Structure::begin_value(const Token& token, Origin at) {
  Frame& frame = frames_.back();
  std::string path = setting_;
  if (!in_group()) {
    path = element_path();
    source_.places.emplace(path, at);
    ++frame.count;
  }
  if (opens(token.kind)) {
    if (frames_.size() > kMaxNesting)
      return fail(at, path,
                  fmt::format("nested too deep; expected at most {} levels", kMaxNesting));
    frames_.push_back({token.kind, std::move(path), 0, std::nullopt});
    state_ = token.kind == TokenKind::group_open ? State::name : State::first_element;
    return true;
  }
  if (frame.open == TokenKind::array_open) {
    if (frame.type && *frame.type != token.kind)
      return fail(at, path,
                  fmt::format("array with {} and {}; expected values of one type",
                              type_name(*frame.type), type_name(token.kind)));
    frame.type = token.kind;
  }
  if ((token.kind == TokenKind::integer || token.kind == TokenKind::integer64) &&
      literal_is_wrapped(token.text))
    source_.wrapped.emplace(path, std::string(token.text));
  joinable_ = token.kind == TokenKind::string;
  state_ = in_group() ? State::after_setting : State::after_element;
  value_ = std::move(path);
  return !joinable_ || check_string(token, at);
}

bool Structure::check_string(const Token& token, Origin at) {
  if (!string_has_zero(token.text)) return true;
  return fail(
      at, value_,
      fmt::format("zero byte in {}; expected no escape \\x00 in a string", describe(token)));
}

bool Structure::close(const Token& token, Origin at) {
  if (token.kind != closer(frames_.back().open)) return unexpected(token, at, expected_close());
  frames_.pop_back();
  joinable_ = false;
  state_ = in_group() ? State::after_setting : State::after_element;
  return true;
}

bool Structure::feed(const Token& token, uint32_t file) {
  const Origin at{file, token.line};
  const bool joins = joinable_ && token.kind == TokenKind::string;
  switch (state_) {
    case State::after_setting:
      if (joins) return check_string(token, at);
      joinable_ = false;
      if (token.kind == TokenKind::semicolon || token.kind == TokenKind::comma) {
        state_ = State::name;
        return true;
      }
      [[fallthrough]];
    case State::name:
      if (token.kind == TokenKind::name) return begin_name(token, at);
      if (at_root()) {
        if (token.kind == TokenKind::end) return true;
        return unexpected(token, at, "the name of a setting");
      }
      if (token.kind == TokenKind::group_close) return close(token, at);
      return unexpected(token, at, "the name of a setting or '}'");
    case State::equals:
      if (token.kind != TokenKind::equals) return unexpected(token, at, "'='");
      state_ = State::value;
      return true;
    case State::after_element:
      if (joins) return check_string(token, at);
      joinable_ = false;
      if (token.kind == TokenKind::comma) {
        state_ = State::element;
        return true;
      }
      if (token.kind == closer(frames_.back().open)) return close(token, at);
      return unexpected(token, at, fmt::format("',' or {}", expected_close()));
    case State::first_element:
      if (token.kind == closer(frames_.back().open)) return close(token, at);
      [[fallthrough]];
    case State::element:
    case State::value:
      if (is_scalar(token.kind)) return begin_value(token, at);
      if (frames_.back().open == TokenKind::array_open)
        return unexpected(token, at, "a boolean, number or string");
      if (opens(token.kind)) return begin_value(token, at);
      return unexpected(token, at, "a value");
  }
  return false;
}

}  // namespace limpet::config
