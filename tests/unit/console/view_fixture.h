// A view of the sample document, with the workers' counters to play with.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "limpet/console/view.h"
#include "limpet/publish/builder.h"
#include "sample.h"

namespace limpet::console {

using balance::BackendStatus;
using nlohmann::json;

inline constexpr Instant kNow{5'000'000'000'000};

class ViewTest : public ::testing::Test {
 protected:
  void SetUp() override { build_from(kSample); }

  void build_from(const std::string& text) {
    document_ = document(text);
    ports_ = ports_of(document_, 2);
    publish::BuildInput input;
    input.document = &document_;
    input.ports = ports_;
    input.workers = 2;
    input.toeplitz = &toeplitz_;
    input.serial = ++serial_;
    input.previous = built_.owned.snapshot.get();
    Result<publish::Built> built = build(built_.slots, input);
    ASSERT_TRUE(built) << built.error();
    built_ = std::move(*built);
    for (const uint16_t slot : built_.new_backends)
      baselines_.new_backend(slot, built_.slots.backends[slot], "not checked yet",
                             {kNow.ns - 90'000'000'000});
    for (const uint16_t slot : built_.new_services)
      baselines_.new_service(slot, built_.slots.services[slot].entry);
    for (const config::Service& s : document_.services)
      baselines_.set_entries(built_.slots.find_service(s.name), s.persistence);
  }

  View view() {
    return {document_,
            *built_.owned.snapshot,
            built_.slots,
            baselines_,
            [this](uint16_t slot) { return status_[slot]; },
            [this](uint16_t slot) {
              const auto at = items_.find(slot);
              return at == items_.end() ? nullptr : &at->second;
            },
            workers_,
            4096,
            17,
            kNow};
  }

  config::Document document_;
  std::vector<dataplane::PortEntry> ports_;
  flow::Toeplitz toeplitz_{flow::kDefaultRssKey};
  uint64_t serial_ = 0;
  publish::Built built_;
  dataplane::WorkerStats stats_[2] = {{2, 16, 16}, {2, 16, 16}};
  std::vector<WorkerInfo> workers_ = {{0, 1, "adaptive", 1000, 81, 512, &stats_[0]},
                                      {1, 2, "adaptive", 1000, 81, 512, &stats_[1]}};
  publish::Baselines baselines_{{&stats_[0], &stats_[1]}};
  std::map<uint16_t, BackendStatus> status_;
  std::map<uint16_t, health::HealthChecks::Item> items_;
};

inline std::set<std::string> keys(const json& object) {
  std::set<std::string> names;
  for (const auto& [key, value] : object.items()) names.insert(key);
  return names;
}

// Every promised field is there; more may be.
inline void expect_fields(const json& row, const std::set<std::string>& promised) {
  const std::set<std::string> have = keys(row);
  for (const std::string& field : promised) EXPECT_TRUE(have.contains(field)) << field;
}

}  // namespace limpet::console
