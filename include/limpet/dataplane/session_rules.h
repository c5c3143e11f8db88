// What a spliced service looks for in HTTP messages and what it does to them. Compiled by the
// control thread from a service's settings, immutable in a snapshot, read by every worker.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "limpet/affinity/cookie_policy.h"
#include "limpet/affinity/sealed_cookie.h"
#include "limpet/http/sniffer.h"

namespace limpet::dataplane {

// Of one service, beside those in use: what reloads have replaced and requests under way were read
// by.
constexpr size_t kMaxKeptRules = 8;
// Where requests are counted by the rules that they were read by. More than there are rules, so
// that a place rests before it is taken again.
constexpr size_t kRulesPlaces = 16;
static_assert(kRulesPlaces > kMaxKeptRules + 1);

// Of one persistence list; more are refused by the configuration (config/persistence.h).
constexpr size_t kMaxCookieRules = 4;

// How the backend is told who the client is.
enum class Forwarded : uint8_t {
  none,
  x_forwarded_for,  // a header line in every request, behind those that the client sent
  proxy_v1,         // in front of the first octet: text
  proxy_v2          // binary
};

struct CookieRule {
  affinity::CookiePolicy policy;
  uint8_t entry = 0;          // its place in the persistence list; also the kind of its stick keys
  bool after_source = false;  // a source entry decides before it: the cookie is read, not followed
};

struct SessionRules {
  // Equal exactly when the settings are, so that a reload keeps the object. Never 0.
  uint64_t id = 1;
  // Which of its service's rules these are: how many there had been, and in the low digit (of base
  // kRulesPlaces) where requests that hold them are counted. 0: nobody's, which are not counted.
  uint32_t number = 0;
  std::vector<CookieRule> cookies;        // in order of the list; at most kMaxCookieRules
  std::optional<http::Sniffer> request;   // cookies by index into `cookies`; absent: no cookies
  std::optional<http::Sniffer> response;  // Set-Cookie by index, and both below
  Forwarded forwarded = Forwarded::none;
  uint32_t head_bytes = 16384;  // of a request head, at most

  // ids of those headers' hits
  static constexpr uint16_t kCacheControl = 0x100, kExpires = 0x101;

  // Whether anything of a connection is looked at behind its first request head.
  bool follows() const { return !cookies.empty() || forwarded == Forwarded::x_forwarded_for; }
};

constexpr size_t place_of(uint32_t rules) {
  return rules % kRulesPlaces;
}

// What a worker needs to read and write cookies, its own in each snapshot: both are changed by use.
struct SessionTools {
  http::SnifferScratch scratch;  // fits every sniffer of the snapshot, kept ones too
  std::optional<affinity::CookieCrypter> crypter;  // absent: nothing is sealed
};

}  // namespace limpet::dataplane
