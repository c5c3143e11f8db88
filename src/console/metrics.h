// What limpet tells Prometheus: families of samples, made in slices between the other turns of the
// event loop, as sixteen thousand backends are megabytes of text. Owner: the control thread.
//
// The counters are those of `show`, from the same tables (dataplane/counters.h,
// publish/baselines.h), so that scripts and dashboards find the same numbers.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "limpet/console/view.h"
#include "metrics_text.h"

namespace limpet::console {

class MetricsWalk {
 public:
  // A turn ends after so many items, or so much text: a service is up to 4 kB in one family, most
  // are one line.
  static constexpr size_t kSlice = 512;
  static constexpr size_t kSliceBytes = 32 * 1024;

  explicit MetricsWalk(MetricFormat format) : text_(format) {}
  // True when it is over. A configuration that changes meanwhile begins it anew.
  bool turn(const View& view, const ProcessFacts& facts);
  const std::string& text() const { return text_.text(); }

 private:
  MetricsText text_;
  size_t family_ = 0, item_ = 0;
  uint64_t serial_ = 0;  // of the snapshot that it is made of
};

}  // namespace limpet::console
