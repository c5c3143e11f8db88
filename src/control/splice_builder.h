// What a service with mode `splice` is to the workers, from its settings. Private to builder.cpp.
#pragma once

#include <memory>
#include <optional>
#include <span>

#include "limpet/affinity/cookie_keys.h"
#include "limpet/base/hash.h"
#include "limpet/base/result.h"
#include "limpet/config/document.h"
#include "limpet/control/tcp_options.h"
#include "limpet/dataplane/snapshot.h"

namespace limpet::control {

struct SpliceBuild {
  uint16_t mtu = 1500;                                     // the smallest of all ports
  std::span<const uint16_t> members = {};                  // of its pool, backend slots
  std::span<const std::optional<TcpOptions>> offers = {};  // by backend slot
  HashKey stick_secret{};                                  // random, of this process
  const dataplane::SpliceEntry* previous =
      nullptr;  // of the same service, to share what is unchanged
};

// The error says which service cannot be served, and why.
Result<std::shared_ptr<const dataplane::SpliceEntry>> build_splice(const config::Service& service,
                                                                   const SpliceBuild& input);

// For one worker of a snapshot with these services.
Result<std::unique_ptr<dataplane::SessionTools>> build_tools(
    std::span<const dataplane::ServiceEntry> services, const affinity::CookieKeys& keys);

}  // namespace limpet::control
