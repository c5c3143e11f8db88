// What a service with mode `splice` is to the workers, from its settings. Private to builder.cpp.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "limpet/affinity/cookie_keys.h"
#include "limpet/base/hash.h"
#include "limpet/base/result.h"
#include "limpet/config/document.h"
#include "limpet/dataplane/snapshot.h"
#include "limpet/publish/slots.h"
#include "limpet/tcp/agreed.h"

namespace limpet::publish {

struct SpliceBuild {
  uint16_t mtu = 1500;                                      // the smallest of all ports
  std::span<const uint16_t> members = {};                   // of its pool, backend slots
  std::span<const std::optional<tcp::Agreed>> offers = {};  // by backend slot
  HashKey stick_secret{};                                   // random, of this process
  const dataplane::SpliceEntry* previous =
      nullptr;                                   // of the same service, to share what is unchanged
  std::span<const KeptSlot> kept = {};           // likewise: rules that may be wanted again
  uint32_t number = 0;                           // of its rules, if they are new
  bool logged = false;                           // requests have lines in the log
  std::vector<std::string>* warnings = nullptr;  // where sessions are lost, one sentence each
};

// What a service with mode `splice` asks of its rules.
dataplane::RuleSettings rule_settings(const config::Service& service, bool logged);

// The error says which service cannot be served, and why.
Result<std::shared_ptr<const dataplane::SpliceEntry>> build_splice(const config::Service& service,
                                                                   const SpliceBuild& input);

// The service has a stick table no longer: says how many sessions go with it.
void warn_of_table(const std::string& service, const dataplane::SpliceEntry* previous,
                   std::vector<std::string>& warnings);

// For one worker of a snapshot with these services, what is kept of them included.
Result<std::unique_ptr<dataplane::ExchangeTools>> build_tools(
    std::span<const dataplane::ServiceEntry> services, const affinity::CookieKeys& keys);

}  // namespace limpet::publish
