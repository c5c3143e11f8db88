#include "metrics_text.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstdlib>

namespace limpet::console {
namespace {

constexpr std::string_view kOpenMetrics = "application/openmetrics-text";
constexpr std::string_view kText = "text/plain";

// Label values escape a quote too, help texts do not.
void escaped(std::string& out, std::string_view text, bool quotes) {
  for (const char c : text) {
    if (c == '\\')
      out += "\\\\";
    else if (c == '\n')
      out += "\\n";
    else if (c == '"' && quotes)
      out += "\\\"";
    else
      out += c;
  }
}

std::string_view trimmed(std::string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
  return s;
}

bool same_word(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    const char c = a[i] >= 'A' && a[i] <= 'Z' ? static_cast<char>(a[i] + 32) : a[i];
    if (c != b[i]) return false;
  }
  return true;
}

// "type/sub;p=v;q=0.5" -> 0.5; 1 where there is none.
double weight(std::string_view parameters) {
  while (!parameters.empty()) {
    const size_t end = parameters.find(';');
    const std::string_view one = trimmed(parameters.substr(0, end));
    if (one.size() > 2 && (one[0] == 'q' || one[0] == 'Q') && one[1] == '=') {
      const std::string number(one.substr(2, 5));
      char* rest = nullptr;
      const double q = std::strtod(number.c_str(), &rest);
      return rest == number.c_str() || !(q >= 0) || q > 1 ? 0 : q;
    }
    parameters = end == std::string_view::npos ? std::string_view() : parameters.substr(end + 1);
  }
  return 1;
}

// OpenMetrics wants a number with a point.
std::string bound(uint32_t us) {
  return us % 1000000 == 0 ? fmt::format("le=\"{}.0\"", us / 1000000)
                           : fmt::format("le=\"{}\"", us / 1e6);
}

}  // namespace

void MetricsText::family(std::string_view name, MetricType type, std::string_view help) {
  const bool counter = type == MetricType::counter;
  name_ = name;
  if (counter) name_ += "_total";
  const std::string_view told =
      counter && format_ == MetricFormat::open_metrics ? name : std::string_view(name_);
  text_ += fmt::format("# HELP {} ", told);
  escaped(text_, help, format_ == MetricFormat::open_metrics);
  text_ += fmt::format("\n# TYPE {} {}\n", told,
                       counter                         ? "counter"
                       : type == MetricType::histogram ? "histogram"
                                                       : "gauge");
}

void MetricsText::begin_sample(std::string_view name, std::initializer_list<Label> labels,
                               std::string_view more) {
  text_ += name;
  char before = '{';
  for (const auto& [key, value] : labels) {
    text_ += before;
    text_ += key;
    text_ += "=\"";
    escaped(text_, value, true);
    text_ += '"';
    before = ',';
  }
  if (!more.empty()) {
    text_ += before;
    text_ += more;
    before = ',';
  }
  text_ += before == ',' ? "} " : " ";
}

void MetricsText::sample(std::initializer_list<Label> labels, uint64_t value) {
  begin_sample(name_, labels);
  text_ += fmt::format("{}\n", value);
}

void MetricsText::sample(std::initializer_list<Label> labels, double value) {
  begin_sample(name_, labels);
  text_ += fmt::format("{:.3f}\n", value);
}

// Each bucket is told with all below it (`le`: at most so much).
void MetricsText::histogram(std::initializer_list<Label> labels,
                            std::span<const uint32_t> bounds_us, std::span<const uint64_t> counts,
                            uint64_t sum_us) {
  const std::string bucket = name_ + "_bucket";
  uint64_t sum = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    sum += counts[i];
    begin_sample(bucket, labels,
                 i < bounds_us.size() ? bound(bounds_us[i]) : std::string("le=\"+Inf\""));
    text_ += fmt::format("{}\n", sum);
  }
  begin_sample(name_ + "_sum", labels);
  text_ += fmt::format("{:.6f}\n", static_cast<double>(sum_us) / 1e6);
  begin_sample(name_ + "_count", labels);
  text_ += fmt::format("{}\n", sum);
}

void MetricsText::end() {
  if (format_ == MetricFormat::open_metrics) text_ += "# EOF\n";
}

const char* content_type(MetricFormat format) {
  return format == MetricFormat::open_metrics
             ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
             : "text/plain; version=0.0.4; charset=utf-8";
}

MetricFormat format_for(std::string_view accept) {
  double open = 0, text = 0;
  while (!accept.empty()) {
    const size_t end = accept.find(',');
    const std::string_view one = accept.substr(0, end);
    const size_t parameters = one.find(';');
    const std::string_view type = trimmed(one.substr(0, parameters));
    const double q = weight(parameters == std::string_view::npos ? std::string_view()
                                                                 : one.substr(parameters + 1));
    if (same_word(type, kOpenMetrics)) open = std::max(open, q);
    if (same_word(type, kText)) text = std::max(text, q);
    accept = end == std::string_view::npos ? std::string_view() : accept.substr(end + 1);
  }
  return open > 0 && open >= text ? MetricFormat::open_metrics : MetricFormat::prometheus;
}

}  // namespace limpet::console
