// Typed reading of tree nodes. Each function either returns the value or reports what is wrong and
// what would be right, never both; no value means that something was reported, and the caller goes
// on.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "limpet/base/address.h"
#include "limpet/base/time.h"
#include "limpet/config/load.h"
#include "tree.h"

namespace limpet::config {

class Report {
 public:
  void add(const Node& at, std::string text) {
    problems_.push_back({at.file, at.line, at.path, std::move(text)});
  }
  // Something that `group` should have.
  void missing(const Node& group, std::string_view name, std::string_view expected);
  size_t count() const { return problems_.size(); }
  std::vector<Problem> sorted() &&;  // by file and line, else in the order of reporting

 private:
  std::vector<Problem> problems_;
};

// The names that a group may have. `later` ones belong to the configuration language, but this
// version does not implement them: refused by name, never ignored.
struct Names {
  std::vector<std::string_view> known;
  std::vector<std::string_view> later;
};
void check_names(const Node& group, const Names& names, Report& report);

std::string quote(std::string_view text);  // "\"text\"", printable, not too long
std::string describe(const Node& node);    // "80", "\"web\"", "a list"
const char* kind_name(const Node& node);   // "an integer"

// "80 is an integer; expected ...", "is a list; expected ...".
void wrong_kind(const Node& node, std::string_view expected, Report& report);
bool is_group(const Node& node, Report& report);
// Elements of a list or array with at least `least` and at most `most` of `what` ("port",
// "backend").
std::optional<std::span<const Node>> read_sequence(const Node& node, std::string_view what,
                                                   size_t least, size_t most, Report& report);
std::optional<std::string> read_string(const Node& node, std::string_view expected, Report& report);
std::optional<int64_t> read_integer(const Node& node, int64_t low, int64_t high, Report& report);
std::optional<bool> read_boolean(const Node& node, Report& report);
std::optional<Duration> read_duration(const Node& node, Duration low, Duration high,
                                      Report& report);
// Bytes: "16384", "16k", "1M".
std::optional<uint64_t> read_size(const Node& node, uint64_t low, uint64_t high, Report& report);
std::optional<std::string> read_name(const Node& node, Report& report);
// A unicast address that a host may have.
std::optional<IpAddress> read_address(const Node& node, Report& report);

// Index of the word in `words`; a word of `later` is "not supported by this version".
std::optional<size_t> read_word(const Node& node, std::span<const std::string_view> words,
                                std::initializer_list<std::string_view> later, Report& report);
inline std::optional<size_t> read_word(const Node& node,
                                       std::initializer_list<std::string_view> words,
                                       std::initializer_list<std::string_view> later,
                                       Report& report) {
  return read_word(node, std::span(words.begin(), words.size()), later, report);
}

// Printable ASCII, blanks included, and none of `without`.
bool is_printable(std::string_view text, std::string_view without = {});
bool is_token(std::string_view text);  // RFC 9110, 5.6.2: what may be a header's or cookie's name

// Why no host can have the address, or nothing: "is a multicast address".
std::optional<std::string> unusable(const IpAddress& address);

// The member of `group`, or nullptr after a report that it is missing.
const Node* require(const Node& group, std::string_view name, std::string_view expected,
                    Report& report);

}  // namespace limpet::config
