// The health group of a pool.
#include <fmt/core.h>

#include <algorithm>
#include <charconv>

#include "limpet/base/units.h"
#include "validate.h"

namespace limpet::config {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kExpectExpected =
    "HTTP statuses from 100 to 599 such as \"200\", \"200-399\" or \"200,204,301-302\"";
constexpr size_t kMaxRanges = 64;

std::optional<uint16_t> parse_status(std::string_view text) {
  uint16_t status = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), status);
  if (error != std::errc{} || end != text.data() + text.size() || text.size() != 3 ||
      status < 100 || status > 599)
    return std::nullopt;
  return status;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

// "200", "200-399" or several with commas between, appended to `ranges`.
bool parse_ranges(std::string_view text, std::vector<StatusRange>& ranges) {
  for (;;) {
    const size_t comma = text.find(',');
    const std::string_view piece = trim(text.substr(0, comma));
    const size_t dash = piece.find('-');
    const auto first = parse_status(trim(piece.substr(0, dash)));
    const auto last =
        dash == std::string_view::npos ? first : parse_status(trim(piece.substr(dash + 1)));
    if (!first || !last || *first > *last || ranges.size() >= kMaxRanges) return false;
    ranges.push_back({*first, *last});
    if (comma == std::string_view::npos) return true;
    text.remove_prefix(comma + 1);
  }
}

void read_expect_one(const Node& node, std::vector<StatusRange>& ranges, Report& report) {
  if (node.kind == Kind::integer) {
    if (const auto status = read_integer(node, 100, 599, report))
      ranges.push_back({static_cast<uint16_t>(*status), static_cast<uint16_t>(*status)});
    return;
  }
  const auto text = read_string(node, kExpectExpected, report);
  if (text && !parse_ranges(*text, ranges))
    report.add(
        node, fmt::format("{} is no list of statuses; expected {}", quote(*text), kExpectExpected));
}

std::vector<StatusRange> read_expect(const Node& node, Report& report) {
  std::vector<StatusRange> ranges;
  if (!node.is_sequence()) {
    read_expect_one(node, ranges, report);
  } else if (const auto list = read_sequence(node, "status", 1, kMaxRanges, report)) {
    for (const Node& one : *list) read_expect_one(one, ranges, report);
  }
  return ranges;
}

// A request target in origin form (RFC 9112, 3.2.1) that needs no escaping by us.
bool is_uri(std::string_view text) {
  constexpr size_t kLongest = 1024;
  return !text.empty() && text.size() <= kLongest && text.front() == '/' &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; }) &&
         text.find('#') == std::string_view::npos;
}

// Labels with dots between them; an IPv4 address looks the same.
bool is_name(std::string_view text) {
  for (;;) {
    const size_t dot = text.find('.');
    const std::string_view label = text.substr(0, dot);
    if (label.empty() || !std::all_of(label.begin(), label.end(), [](char c) {
          return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                 c == '-' || c == '_';
        }))
      return false;
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
    if (text.empty()) return true;  // a name may end with one
  }
}

bool is_port(std::string_view text) {
  unsigned port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc() && end == text.data() + text.size() && port >= 1 && port <= 65535;
}

// What may stand in a Host header (RFC 9110, 7.2): a name or address, perhaps with a port. Checked
// to the end, as libcurl refuses at every check what it cannot read, and the pool would stay down.
bool is_host(std::string_view text) {
  constexpr size_t kLongest = 255;
  if (text.empty() || text.size() > kLongest) return false;
  const bool v6 = text.front() == '[';
  const size_t end = v6 ? text.find(']') : text.find(':');
  if (v6 && end == std::string_view::npos) return false;
  const std::string_view host = v6 ? text.substr(1, end - 1) : text.substr(0, end);
  if (v6) {
    const auto address = IpAddress::parse(host);
    if (!address || address->is_v4()) return false;
  } else if (!is_name(host)) {
    return false;
  }
  const std::string_view rest =
      end == std::string_view::npos ? std::string_view() : text.substr(end + (v6 ? 1 : 0));
  return rest.empty() || (rest.front() == ':' && is_port(rest.substr(1)));
}

void read_http(const Node& node, Health& health, Report& report) {
  if (const Node* uri = node.find("uri"))
    if (const auto text = read_string(*uri, "a path such as \"/health\"", report)) {
      if (is_uri(*text))
        health.uri = *text;
      else
        report.add(*uri, fmt::format("{} is no request path; expected up to 1024 printable "
                                     "characters that begin with '/', without blanks and '#'",
                                     quote(*text)));
    }
  if (const Node* host = node.find("host"))
    if (const auto text = read_string(*host, "a host name for the Host header", report)) {
      if (is_host(*text))
        health.host = *text;
      else
        report.add(*host, fmt::format("{} is no host name; expected 1 to 255 letters, digits, '.', "
                                      "'-', '_', or an address (IPv6 in brackets), perhaps with a "
                                      "port",
                                      quote(*text)));
    }
  if (const Node* expect = node.find("expect")) {
    std::vector<StatusRange> ranges = read_expect(*expect, report);
    if (!ranges.empty()) health.expect = std::move(ranges);
  }
  if (const Node* verify = node.find("verify"))
    health.verify = read_boolean(*verify, report).value_or(false);
}

void read_timing(const Node& node, Health& health, Report& report) {
  bool interval_known = true;
  if (const Node* interval = node.find("interval")) {
    const auto d = read_duration(*interval, 10ms, 1h, report);
    interval_known = d.has_value();
    health.interval = d.value_or(health.interval);
  }
  if (const Node* timeout = node.find("timeout")) {
    const auto d = read_duration(*timeout, 1ms, 1h, report);
    // A check that outlives its interval would overlap the next one, and the time in which a dead
    // backend is found (fall * interval + timeout) would no longer hold.
    if (d && interval_known && *d > health.interval)
      report.add(*timeout,
                 fmt::format("{} is longer than the interval \"{}\"; expected at most the "
                             "interval",
                             quote(timeout->text), format_duration(health.interval)));
    health.timeout = d.value_or(health.timeout);
  } else {
    health.timeout = std::min(health.timeout, health.interval);
  }
  const auto count = [&](std::string_view name, uint32_t& out) {
    if (const Node* n = node.find(name))
      if (const auto times = read_integer(*n, 1, 100, report)) out = static_cast<uint32_t>(*times);
  };
  count("rise", health.rise);
  count("fall", health.fall);
}

// Settings that would do nothing with this type are mistakes, not decoration.
void check_meaning(const Node& node, HealthType type, Report& report) {
  for (const Node& child : node.children) {
    const bool http_only = child.name == "uri" || child.name == "host" || child.name == "expect";
    const bool timing = child.name == "port" || child.name == "interval" ||
                        child.name == "timeout" || child.name == "rise" || child.name == "fall" ||
                        child.name == "proxy";
    if (type == HealthType::none && (http_only || timing || child.name == "verify"))
      report.add(child, "has no meaning with type \"none\"; expected it to be left out");
    else if (type == HealthType::tcp && http_only)
      report.add(child, "has no meaning with type \"tcp\"; expected type \"http\" or \"https\"");
    else if ((type == HealthType::tcp || type == HealthType::http) && child.name == "verify")
      report.add(child, fmt::format("has no meaning with type \"{}\"; expected type \"https\"",
                                    type == HealthType::tcp ? "tcp" : "http"));
  }
}

}  // namespace

// nullopt: "auto", the default; what that means depends on the pool's services.
std::optional<HealthProxy> read_health_proxy(const Node& pool, Report& report) {
  const Node* health = pool.find("health");
  const Node* proxy = health == nullptr ? nullptr : health->find("proxy");
  if (proxy == nullptr) return std::nullopt;
  switch (read_word(*proxy, {"auto", "none", "v1", "v2"}, {}, report).value_or(0)) {
    case 1:
      return HealthProxy::none;
    case 2:
      return HealthProxy::v1;
    case 3:
      return HealthProxy::v2;
    default:
      return std::nullopt;
  }
}

Health read_health(const Node& node, Report& report) {
  Health health;
  if (!is_group(node, report)) return health;
  check_names(node,
              {{"type", "uri", "host", "expect", "verify", "port", "interval", "timeout", "rise",
                "fall", "proxy"},
               {}},
              report);
  bool type_known = true;
  if (const Node* type = node.find("type")) {
    const auto word = read_word(*type, {"tcp", "http", "https", "none"}, {}, report);
    constexpr HealthType kTypes[] = {HealthType::tcp, HealthType::http, HealthType::https,
                                     HealthType::none};
    type_known = word.has_value();
    health.type = kTypes[word.value_or(0)];
  }
  if (type_known) check_meaning(node, health.type, report);
  read_http(node, health, report);
  if (const Node* port = node.find("port"))
    health.port = static_cast<uint16_t>(read_integer(*port, 1, 65535, report).value_or(0));
  read_timing(node, health, report);
  return health;
}

}  // namespace limpet::config
