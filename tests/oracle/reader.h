// How backends read the octets that they got: HTTP/1.x requests, written from RFC 9112 and from
// what servers of today do, and sharing nothing with the product. Where a server could be lenient a
// reader is, in all but what its Reading says: a reader that gives up sees nothing any more, and
// what it must see is a request that limpet never judged.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace limpet::oracle {

// Where servers differ about the end of a line.
struct Reading {
  const char* name;
  bool bare_lf;  // ends a line; else it is an octet of it
  bool folds;  // a line that begins with a blank goes on the one before; else it is one of its own
  bool aliases =
      false;  // Content_Length is Content-Length, as for who makes CGI variables of names
};
// gunicorn 20.1 and Twisted 22.4: CRLF only.
constexpr Reading kStrict{"strict", false, true};
constexpr Reading kLenient{"lenient", true, true};
// RFC 9112, 5.2 forbids folds, so there are servers that have never heard of them.
constexpr Reading kUnfolding{"unfolding", true, false};
constexpr Reading kAliasing{"aliasing", true, true, true};
constexpr Reading kReadings[] = {kStrict, kLenient, kUnfolding, kAliasing};

struct Field {
  std::string name, value;  // without the blanks around; a fold is one blank
  friend bool operator==(const Field&, const Field&) = default;
};

struct Message {
  size_t begin = 0;  // of its octets; empty lines in front of the request line are behind it
  size_t body = 0;   // behind the head
  size_t end = 0;    // behind the body, when it is complete
  std::string method, target, version;
  std::vector<Field> fields, trailers;
  std::string content;  // the body, without its framing
  bool complete = false;

  std::vector<std::string_view> all(std::string_view name) const;  // values of that name
};

struct Requests {
  std::vector<Message> messages;  // whose head is complete
  std::string error;              // why nothing behind them is read; empty: all is
  size_t at = 0;                  // behind what was read
};

// `switches`: behind the request of this number there is no HTTP any more (its answer was 101, or
// 2xx to CONNECT).
Requests read(std::string_view octets, const Reading& how,
              std::optional<size_t> switches = std::nullopt);

bool same_name(std::string_view a, std::string_view b);
// Elements of a list of tokens, over several fields.
std::vector<std::string> elements(const std::vector<std::string_view>& values);
// Pairs of Cookie fields, over several fields.
std::vector<std::string> pairs(const std::vector<std::string_view>& values);

}  // namespace limpet::oracle
