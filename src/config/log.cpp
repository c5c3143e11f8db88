// Where requests and flows are logged, and how much of them.
#include <fmt/core.h>

#include <charconv>

#include "validate.h"

namespace limpet::config {
namespace {

constexpr std::string_view kPlaces =
    "\"stderr\", \"unix:/PATH\" of a syslog such as \"unix:/dev/log\", or \"file:/PATH\"";
constexpr std::string_view kUnix = "unix:";
constexpr std::string_view kFile = "file:";
constexpr std::string_view kRates = "lines a second such as \"500/s\" or \"10k/s\", up to \"1M/s\"";

bool read_place(std::string_view text, Log& log) {
  if (text == "stderr") {
    log.to = Log::To::error_output;
    return true;
  }
  const bool socket = text.starts_with(kUnix);
  if (!socket && !text.starts_with(kFile)) return false;
  const std::string_view path = text.substr(kUnix.size());
  if (path.size() < 2 || path.front() != '/' || path.back() == '/' || !is_printable(path) ||
      (socket && path.size() > kMaxSocketPath))
    return false;
  log.to = socket ? Log::To::unix_socket : Log::To::file;
  log.path = path;
  return true;
}

std::optional<uint32_t> parse_rate(std::string_view text) {
  if (!text.ends_with("/s")) return std::nullopt;
  text.remove_suffix(2);
  uint64_t unit = 1;
  if (text.ends_with('k')) unit = 1000;
  if (text.ends_with('M')) unit = 1000000;
  if (unit != 1) text.remove_suffix(1);
  uint32_t n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (n == 0 || n * unit > kMaxLogRate) return std::nullopt;
  return static_cast<uint32_t>(n * unit);
}

std::optional<double> read_sample(const Node& node, Report& report) {
  constexpr std::string_view kExpected = "a part from above 0 to 1.0, such as 0.01";
  if (node.kind != Kind::real && node.kind != Kind::integer) {
    wrong_kind(node, kExpected, report);
    return std::nullopt;
  }
  const double part = node.kind == Kind::real ? node.real : static_cast<double>(node.integer);
  if (part > 0 && part <= 1) return part;
  report.add(node, fmt::format("{} is out of range; expected {}", describe(node), kExpected));
  return std::nullopt;
}

}  // namespace

std::string Log::place() const {
  switch (to) {
    case To::nowhere:
      break;
    case To::error_output:
      return "stderr";
    case To::unix_socket:
      return std::string(kUnix) + path;
    case To::file:
      return std::string(kFile) + path;
  }
  return {};
}

void read_log(Draft& draft) {
  const Node* node = draft.root.find("log");
  Report& report = draft.report;
  if (node == nullptr || !is_group(*node, report)) return;
  check_names(*node, {{"to", "format", "sample", "rate"}, {}}, report);
  Log& log = draft.document.log;
  if (const Node* to = require(*node, "to", kPlaces, report))
    if (const auto text = read_string(*to, kPlaces, report); text && !read_place(*text, log))
      report.add(*to, fmt::format("{} is no place for a log; expected {}", quote(*text), kPlaces));
  if (const Node* format = node->find("format"))
    if (const auto word = read_word(*format, {"text", "json"}, {}, report))
      log.format = *word == 0 ? Log::Format::text : Log::Format::json;
  if (const Node* sample = node->find("sample"))
    log.sample = read_sample(*sample, report).value_or(1);
  if (const Node* rate = node->find("rate"))
    if (const auto text = read_string(*rate, kRates, report)) {
      const auto n = parse_rate(*text);
      if (!n) report.add(*rate, fmt::format("{} is no rate; expected {}", quote(*text), kRates));
      log.rate = n.value_or(log.rate);
    }
}

}  // namespace limpet::config
