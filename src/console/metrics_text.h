// Prometheus' text exposition: format 0.0.4, and OpenMetrics 1.0 where it is asked for. Pure text;
// what is told is metrics.cpp's.
//
// A family is begun once, with its name without `_total`; its samples follow. OpenMetrics names a
// counter's family without `_total` and its sample with it; 0.0.4 has `_total` in both.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace limpet::console {

enum class MetricType : uint8_t { counter, gauge, histogram };
enum class MetricFormat : uint8_t { prometheus, open_metrics };

using Label = std::pair<std::string_view, std::string_view>;  // name, value as it is

class MetricsText {
 public:
  explicit MetricsText(MetricFormat format) : format_(format) {}

  void family(std::string_view name, MetricType type, std::string_view help);
  void sample(std::initializer_list<Label> labels, uint64_t value);
  void sample(std::initializer_list<Label> labels, double value);
  // Of a histogram: how many fell into each bucket, in order and each for itself, the last one
  // above all bounds; and the sum of all.
  void histogram(std::initializer_list<Label> labels, std::span<const uint32_t> bounds_us,
                 std::span<const uint64_t> counts, uint64_t sum_us);
  void end();  // of everything

  const std::string& text() const { return text_; }
  MetricFormat format() const { return format_; }

 private:
  void begin_sample(std::string_view name, std::initializer_list<Label> labels,
                    std::string_view more = {});

  MetricFormat format_;
  std::string text_;
  std::string name_;  // of the family's samples
};

// Of a response.
const char* content_type(MetricFormat format);
// What an Accept field value asks for: OpenMetrics where it names that type with a weight that is
// not below that of text/plain; anything else is answered in 0.0.4.
MetricFormat format_for(std::string_view accept);

}  // namespace limpet::console
