// Configuration -> snapshot. Pure but for memory: no ring, no clock, no EAL. Works on a copy of the
// slots, so a document that cannot be built leaves everything as it was.
#pragma once

#include <cstdint>
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
#include "limpet/flow/toeplitz.h"
#include "limpet/publish/slots.h"
#include "limpet/tcp/agreed.h"

namespace limpet::publish {

struct BuildInput {
  const config::Document* document = nullptr;
  std::span<const dataplane::PortEntry> ports;  // one for each of document->ports, same order
  unsigned workers = 1;
  const flow::Toeplitz* toeplitz = nullptr;                 // may be null with one worker
  uint64_t serial = 1;                                      // of the snapshot to be built
  uint64_t random = 0;                                      // where source ports start
  affinity::CookieKeys keys;                                // that seal and open cookies
  HashKey stick_secret{};                                   // of stick tables; random in production
  std::span<const std::optional<tcp::Agreed>> offers = {};  // by backend slot, as far as known
  const dataplane::Snapshot* previous = nullptr;  // the one that `current` slots belong to
  std::optional<uint64_t> memory;  // bytes that new sets of source ports may take; absent: any
};

// A snapshot with what its pointers point to.
struct OwnedSnapshot {
  std::vector<std::shared_ptr<PortSet>> ports;
  std::unique_ptr<const dataplane::Snapshot> snapshot;
};

struct Built {
  Slots slots;  // replaces the current ones when the snapshot is published
  OwnedSnapshot owned;
  std::vector<uint16_t> new_backends;  // slots that mean a backend they did not mean before,
  std::vector<uint16_t> new_services;  // or that came back
  std::vector<std::string> warnings;   // one sentence each
};

// What the SYN-ACKs of a service may say: what every backend of the pool accepts, as far as it is
// known. `members`: backend slots. `most`: the MSS that no port allows more than.
tcp::SynAckOptions syn_ack_options_for(std::span<const uint16_t> members,
                                       std::span<const std::optional<tcp::Agreed>> offers,
                                       uint16_t most, uint16_t window);

// Services by slot of which a document replaces the rules while requests under way hold as many
// older ones as are kept: the oldest would be given up.
std::vector<uint16_t> crowded(const Slots& current, const config::Document& document);

// An error when slots or the memory for source ports run out, or when flows that exist would lose
// the source ports that they hold (another range, another spreading over the workers).
Result<Built> build(const Slots& current, const BuildInput& input);

}  // namespace limpet::publish
