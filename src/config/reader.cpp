#include "reader.h"

#include <fmt/core.h>

#include <algorithm>

#include "limpet/base/units.h"
#include "limpet/config/document.h"
#include "nearest.h"

namespace limpet::config {
namespace {

std::string integer_range(int64_t low, int64_t high) {
  return fmt::format("an integer from {} to {}", low, high);
}

bool name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-' || c == '.';
}

}  // namespace

void Report::missing(const Node& group, std::string_view name, std::string_view expected) {
  problems_.push_back(
      {group.file, group.line,
       group.path.empty() ? std::string(name) : fmt::format("{}.{}", group.path, name),
       fmt::format("missing; expected {}", expected)});
}

std::vector<Problem> Report::sorted() && {
  sort(problems_);
  return std::move(problems_);
}

void check_names(const Node& group, const Names& names, Report& report) {
  const auto has = [](const std::vector<std::string_view>& list, const std::string& name) {
    return std::find(list.begin(), list.end(), name) != list.end();
  };
  for (const Node& child : group.children) {
    if (has(names.known, child.name)) continue;
    if (has(names.later, child.name))
      report.add(child, "not supported by this version; expected it to be left out");
    else
      report.add(child, fmt::format("unknown setting; expected {}",
                                    suggestion(child.name, names.known, "none")));
  }
}

std::string quote(std::string_view text) {
  constexpr size_t kShown = 64;
  std::string shown = "\"";
  for (const char c : text.substr(0, kShown)) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\')
      shown += fmt::format("\\{}", c);
    else
      shown += byte >= 0x20 && byte < 0x7f ? std::string(1, c) : fmt::format("\\x{:02x}", byte);
  }
  return shown + (text.size() > kShown ? "...\"" : "\"");
}

const char* kind_name(const Node& node) {
  switch (node.kind) {
    case Kind::group:
      return "a group";
    case Kind::list:
      return "a list";
    case Kind::array:
      return "an array";
    case Kind::integer:
      return "an integer";
    case Kind::real:
      return "a fraction";
    case Kind::boolean:
      return "a boolean";
    case Kind::string:
      return "a string";
  }
  return "?";
}

std::string describe(const Node& node) {
  switch (node.kind) {
    case Kind::integer:
      return node.wrapped.empty() ? fmt::format("{}", node.integer) : node.wrapped.substr(0, 64);
    case Kind::real:
      return fmt::format("{}", node.real);
    case Kind::boolean:
      return node.boolean ? "true" : "false";
    case Kind::string:
      return quote(node.text);
    default:
      return kind_name(node);
  }
}

void wrong_kind(const Node& node, std::string_view expected, Report& report) {
  const bool aggregate = node.kind == Kind::group || node.is_sequence();
  report.add(node, aggregate ? fmt::format("is {}; expected {}", kind_name(node), expected)
                             : fmt::format("{} is {}; expected {}", describe(node), kind_name(node),
                                           expected));
}

namespace {

std::string plural(std::string_view what) {
  if (what.back() == 'y') return fmt::format("{}ies", what.substr(0, what.size() - 1));
  return fmt::format("{}{}", what, what.back() == 's' ? "es" : "s");
}

}  // namespace

bool is_group(const Node& node, Report& report) {
  if (node.kind == Kind::group) return true;
  wrong_kind(node, "a group { ... }", report);
  return false;
}

std::optional<std::span<const Node>> read_sequence(const Node& node, std::string_view what,
                                                   size_t least, size_t most, Report& report) {
  if (!node.is_sequence()) {
    wrong_kind(node, fmt::format("a list of {}", plural(what)), report);
    return std::nullopt;
  }
  if (node.children.size() < least) {
    report.add(node, fmt::format("empty; expected at least {} {}", least, what));
    return std::nullopt;
  }
  if (node.children.size() > most) {
    report.add(node, fmt::format("has {} {}; expected at most {}", node.children.size(),
                                 plural(what), most));
    return std::nullopt;
  }
  return std::span<const Node>(node.children);
}

std::optional<std::string> read_string(const Node& node, std::string_view expected,
                                       Report& report) {
  if (node.kind == Kind::string) return node.text;
  wrong_kind(node, expected, report);
  return std::nullopt;
}

std::optional<int64_t> read_integer(const Node& node, int64_t low, int64_t high, Report& report) {
  const std::string expected = integer_range(low, high);
  if (node.kind != Kind::integer) {
    wrong_kind(node, expected, report);
    return std::nullopt;
  }
  if (!node.wrapped.empty()) {
    report.add(node, fmt::format("{} does not fit into {} bits; expected {}", describe(node),
                                 node.wrapped.back() == 'L' ? 64 : 32, expected));
    return std::nullopt;
  }
  if (node.integer < low || node.integer > high) {
    report.add(node, fmt::format("{} is out of range; expected {}", node.integer, expected));
    return std::nullopt;
  }
  return node.integer;
}

std::optional<bool> read_boolean(const Node& node, Report& report) {
  if (node.kind == Kind::boolean) return node.boolean;
  wrong_kind(node, "true or false", report);
  return std::nullopt;
}

std::optional<Duration> read_duration(const Node& node, Duration low, Duration high,
                                      Report& report) {
  const std::string expected =
      fmt::format("a duration from \"{}\" to \"{}\"", format_duration(low), format_duration(high));
  const auto text = read_string(node, expected, report);
  if (!text) return std::nullopt;
  const auto duration = parse_duration(*text);
  if (!duration)
    report.add(node,
               fmt::format("{} is not a duration; expected a whole number with a unit us, ms, "
                           "s, m, h or d, from \"{}\" to \"{}\"",
                           quote(*text), format_duration(low), format_duration(high)));
  else if (*duration < low || *duration > high)
    report.add(node, fmt::format("{} is out of range; expected {}", quote(*text), expected));
  else
    return *duration;
  return std::nullopt;
}

namespace {

std::string format_size(uint64_t bytes) {
  for (const auto& [unit, name] :
       {std::pair<uint64_t, const char*>{1u << 20, "M"}, {1u << 10, "k"}})
    if (bytes != 0 && bytes % unit == 0) return fmt::format("{}{}", bytes / unit, name);
  return fmt::format("{}", bytes);
}

}  // namespace

std::optional<uint64_t> read_size(const Node& node, uint64_t low, uint64_t high, Report& report) {
  const std::string expected =
      fmt::format("a size from \"{}\" to \"{}\"", format_size(low), format_size(high));
  const auto text = read_string(node, expected, report);
  if (!text) return std::nullopt;
  const auto size = parse_size(*text);
  if (!size)
    report.add(node, fmt::format("{} is not a size; expected a whole number of bytes, or with k or "
                                 "M, from \"{}\" to \"{}\"",
                                 quote(*text), format_size(low), format_size(high)));
  else if (*size < low || *size > high)
    report.add(node, fmt::format("{} is out of range; expected {}", quote(*text), expected));
  else
    return *size;
  return std::nullopt;
}

bool is_printable(std::string_view text, std::string_view without) {
  return std::all_of(text.begin(), text.end(), [&](char c) {
    return c >= 0x20 && c < 0x7f && without.find(c) == std::string_view::npos;
  });
}

bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  });
}

std::optional<std::string> read_name(const Node& node, Report& report) {
  const std::string expected =
      fmt::format("a name of 1 to {} letters, digits, '_', '-' and '.'", kMaxNameLength);
  auto text = read_string(node, expected, report);
  if (!text) return std::nullopt;
  if (text->empty() || text->size() > kMaxNameLength ||
      !std::all_of(text->begin(), text->end(), name_character)) {
    report.add(node, fmt::format("{} is no usable name; expected {}", quote(*text), expected));
    return std::nullopt;
  }
  return text;
}

std::optional<std::string> unusable(const IpAddress& address) {
  if (address.is_unspecified()) return "is the unspecified address";
  if (address.is_multicast()) return "is a multicast address";
  if (address.is_broadcast()) return "is the broadcast address";
  if (address.is_loopback()) return "is a loopback address";
  // RFC 1112, 4: most hosts and routers take nothing from there.
  if (address.is_v4() && address.v4_bytes()[0] >= 240) return "is a reserved address of class E";
  if (address.is_v4() && address.v4_bytes()[0] == 0) return "is an address of network 0.0.0.0/8";
  // Without a port beside it a link-local address is ambiguous (RFC 4007, 6).
  if (!address.is_v4() && address.is_link_local()) return "is a link-local address";
  return std::nullopt;
}

std::optional<IpAddress> read_address(const Node& node, Report& report) {
  constexpr std::string_view kExpected = "an IPv4 or IPv6 address";
  const auto text = read_string(node, kExpected, report);
  if (!text) return std::nullopt;
  const auto address = IpAddress::parse(*text);
  if (!address) {
    if (text->find("::ffff:") == 0 || text->find("::FFFF:") == 0)
      report.add(node, fmt::format("{} is an IPv4-mapped IPv6 address; expected the IPv4 address",
                                   quote(*text)));
    else
      report.add(node,
                 fmt::format("{} is not an address; expected {}{}", quote(*text), kExpected,
                             text->find('/') != std::string::npos ? " without a length" : ""));
    return std::nullopt;
  }
  if (const auto why = unusable(*address)) {
    report.add(node, fmt::format("{} {}; expected a global or private unicast address",
                                 quote(*text), *why));
    return std::nullopt;
  }
  return address;
}

std::optional<size_t> read_word(const Node& node, std::span<const std::string_view> words,
                                std::initializer_list<std::string_view> later, Report& report) {
  std::string expected;
  for (size_t i = 0; i < words.size(); ++i)
    expected += fmt::format("{}\"{}\"",
                            i == 0                  ? ""
                            : i + 1 == words.size() ? " or "
                                                    : ", ",
                            words[i]);
  const auto text = read_string(node, expected, report);
  if (!text) return std::nullopt;
  if (const auto found = std::find(words.begin(), words.end(), *text); found != words.end())
    return static_cast<size_t>(found - words.begin());
  const bool comes = std::find(later.begin(), later.end(), *text) != later.end();
  report.add(node, fmt::format("{} is {}; expected {}", quote(*text),
                               comes ? "not supported by this version" : "unknown", expected));
  return std::nullopt;
}

const Node* require(const Node& group, std::string_view name, std::string_view expected,
                    Report& report) {
  const Node* node = group.find(name);
  if (node == nullptr) report.missing(group, name, expected);
  return node;
}

}  // namespace limpet::config
