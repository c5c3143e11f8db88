// The text formats of Prometheus, and which of them somebody asks for.
#include "metrics_text.h"

#include <gtest/gtest.h>

#include <array>

namespace limpet::console {
namespace {

std::string both(MetricFormat format) {
  MetricsText text(format);
  text.family("limpet_x", MetricType::counter, "Things, \"quoted\" and \\ and\nmore");
  text.sample({{"pool", "web"}, {"backend", "a\"b\\c\nd"}}, uint64_t{7});
  text.sample({}, uint64_t{18446744073709551615u});
  text.family("limpet_y", MetricType::gauge, "Now");
  text.sample({{"kind", ""}}, 1.5);
  text.end();
  return text.text();
}

TEST(MetricsText, is_prometheus_0_0_4) {
  EXPECT_EQ(both(MetricFormat::prometheus),
            "# HELP limpet_x_total Things, \"quoted\" and \\\\ and\\nmore\n"
            "# TYPE limpet_x_total counter\n"
            "limpet_x_total{pool=\"web\",backend=\"a\\\"b\\\\c\\nd\"} 7\n"
            "limpet_x_total 18446744073709551615\n"
            "# HELP limpet_y Now\n"
            "# TYPE limpet_y gauge\n"
            "limpet_y{kind=\"\"} 1.500\n");
}

TEST(MetricsText, is_open_metrics_1_0) {
  EXPECT_EQ(both(MetricFormat::open_metrics),
            "# HELP limpet_x Things, \\\"quoted\\\" and \\\\ and\\nmore\n"
            "# TYPE limpet_x counter\n"
            "limpet_x_total{pool=\"web\",backend=\"a\\\"b\\\\c\\nd\"} 7\n"
            "limpet_x_total 18446744073709551615\n"
            "# HELP limpet_y Now\n"
            "# TYPE limpet_y gauge\n"
            "limpet_y{kind=\"\"} 1.500\n"
            "# EOF\n");
}

TEST(MetricsText, buckets_of_a_histogram_are_told_with_all_below_them) {
  MetricsText text(MetricFormat::prometheus);
  text.family("limpet_z_seconds", MetricType::histogram, "Long");
  const std::array<uint32_t, 3> bounds = {250, 1000000, 2500000};
  const std::array<uint64_t, 4> counts = {2, 0, 3, 1};
  text.histogram({{"pool", "web"}}, bounds, counts, 12345678);
  text.histogram({}, bounds, std::array<uint64_t, 4>{}, 0);
  EXPECT_EQ(text.text(),
            "# HELP limpet_z_seconds Long\n"
            "# TYPE limpet_z_seconds histogram\n"
            "limpet_z_seconds_bucket{pool=\"web\",le=\"0.00025\"} 2\n"
            "limpet_z_seconds_bucket{pool=\"web\",le=\"1.0\"} 2\n"
            "limpet_z_seconds_bucket{pool=\"web\",le=\"2.5\"} 5\n"
            "limpet_z_seconds_bucket{pool=\"web\",le=\"+Inf\"} 6\n"
            "limpet_z_seconds_sum{pool=\"web\"} 12.345678\n"
            "limpet_z_seconds_count{pool=\"web\"} 6\n"
            "limpet_z_seconds_bucket{le=\"0.00025\"} 0\n"
            "limpet_z_seconds_bucket{le=\"1.0\"} 0\n"
            "limpet_z_seconds_bucket{le=\"2.5\"} 0\n"
            "limpet_z_seconds_bucket{le=\"+Inf\"} 0\n"
            "limpet_z_seconds_sum 0.000000\n"
            "limpet_z_seconds_count 0\n");
}

TEST(MetricsFormat, is_what_accept_asks_for) {
  const auto open = [](const char* accept) {
    return format_for(accept) == MetricFormat::open_metrics;
  };
  // As Prometheus 2.42 asks.
  EXPECT_TRUE(
      open("application/openmetrics-text;version=1.0.0,application/openmetrics-text;"
           "version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"));
  EXPECT_TRUE(open("APPLICATION/OpenMetrics-Text"));
  EXPECT_TRUE(open("text/plain;q=0.5, application/openmetrics-text ;q=0.5"));
  for (const char* other :
       {"", "*/*", "text/plain", "text/html,application/xhtml+xml,*/*;q=0.8",
        "application/openmetrics-text;q=0", "application/openmetrics-text;q=0.1,text/plain",
        "application/openmetrics-text;q=x", "application/openmetrics-text;q=-1",
        "application/openmetrics-texts", ";;;,,,;q=", "application/openmetrics-text;q=1e9"})
    EXPECT_FALSE(open(other)) << other;
}

}  // namespace
}  // namespace limpet::console
