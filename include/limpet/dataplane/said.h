// What one request would say to a service's persistence list, without a connection and without a
// trace: for `limpetctl explain`. Any thread, with tools of its own.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "limpet/affinity/choose.h"
#include "limpet/base/result.h"
#include "limpet/dataplane/snapshot.h"

namespace limpet::dataplane {

struct Said {
  std::array<affinity::CookieOutcome, kMaxCookieRules> cookies;
  std::array<affinity::InvalidDetail, kMaxCookieRules> details{};  // by cookie
  std::array<std::optional<uint64_t>, kMaxHeaderRules> keys;
  size_t cookie_count = 0, header_count = 0;

  std::span<const affinity::CookieOutcome> outcomes() const {
    return {cookies.data(), cookie_count};
  }
  std::span<const std::optional<uint64_t>> headers() const { return {keys.data(), header_count}; }
};

// `service` is in mode splice and configured. `head`: a request's, with its empty line. `status` by
// backend slot. Learned cookies are not looked up: they say U where they are there. The error says
// why the request would be refused.
Result<Said> read_request(const Snapshot& snapshot, const ServiceEntry& service,
                          std::span<const balance::BackendStatus> status, ExchangeTools& tools,
                          std::string_view head, uint64_t unix_now);

}  // namespace limpet::dataplane
