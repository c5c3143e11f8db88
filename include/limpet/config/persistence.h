// What makes a client stay with its backend, as configured: the entries of a service's persistence
// list and its stick table. Part of the Document (document.h), with the same promise: whoever holds
// one may rely on every bound given here.
#pragma once

#include <cstdint>
#include "limpet/affinity/settings.h"
#include "limpet/base/time.h"

namespace limpet::config {

constexpr uint32_t kMaxTableSize = 1u << 26;     // entries of one stick table
constexpr uint32_t kMaxTableEntries = 1u << 27;  // of all stick tables together

// Each entry a type of its own, with its bounds, which the reading keeps (affinity/settings.h).
using affinity::CookieMode;
using affinity::CookieSettings;
using affinity::HeaderSettings;
using affinity::SameSite;
using affinity::SourceSettings;
using Persistence = affinity::EntrySettings;

// Sessions that limpet itself remembers: learned cookies and first pins.
struct Table {
  enum class WhenFull : uint8_t { evict, refuse };

  uint32_t size = 0;                           // entries; 0: the service has no table; else
                                               // 16 .. kMaxTableSize
  Duration expire = std::chrono::minutes(30);  // since the last use; 1 s .. 365 d
  WhenFull when_full = WhenFull::evict;        // the entry used longest ago, or the new one
};
constexpr uint32_t kDefaultTableSize = 1000000;

}  // namespace limpet::config
