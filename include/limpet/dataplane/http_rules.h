// What a spliced service looks for in HTTP messages and what it does to them. Compiled by the
// control thread from a service's settings, immutable in a snapshot, read by every worker.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "limpet/affinity/cookie_policy.h"
#include "limpet/affinity/sealed_cookie.h"
#include "limpet/affinity/settings.h"
#include "limpet/base/forwarded.h"
#include "limpet/base/result.h"
#include "limpet/http/sniffer.h"

namespace limpet::dataplane {

// Of one service, beside those in use: what reloads have replaced and requests under way were read
// by.
constexpr size_t kMaxKeptRules = 8;
// Where requests are counted by the rules that they were read by. More than there are rules, so
// that a place rests before it is taken again.
constexpr size_t kRulesPlaces = 16;
static_assert(kRulesPlaces > kMaxKeptRules + 1);

constexpr size_t kMaxCookieRules = affinity::kMaxCookies;
constexpr size_t kMaxHeaderRules = affinity::kMaxHeaders;

struct CookieRule {
  affinity::CookiePolicy policy;
  uint8_t entry = 0;  // its place in the persistence list; also the kind of its stick keys
  // How many headers stand in front of it: where a request has the value of one of them, the cookie
  // is read but not followed.
  uint8_t headers_before = 0;
  bool after_source = false;  // a source entry decides before it: likewise, always
};

struct HeaderRule {
  uint8_t entry = 0;           // its place in the persistence list
  uint8_t cookies_before = 0;  // how many cookies stand in front of it
  bool after_source = false;
};

// What the rules of a service were made of: equal settings, the same rules.
struct RuleSettings {
  std::string service;
  Forwarded forwarded = Forwarded::none;
  uint32_t head_bytes = 16384;  // of a request head, at most
  std::vector<affinity::EntrySettings> entries;
  bool logged = false;  // each request gets a line, so all responses are read
  bool operator==(const RuleSettings&) const = default;
};

// What a header is looked for, in a response. A hit says by its `look` what it is and by its `id`
// which: of a request, the index of a cookie or of a header; of a response, the index of a cookie,
// or one of these.
enum class ResponseHeader : uint16_t { cache_control, expires };

struct HttpRules {
  RuleSettings settings;
  // Which of its service's rules these are: how many there had been, and in the low digit (of base
  // kRulesPlaces) where requests that hold them are counted. 0: nobody's, which are not counted.
  uint32_t number = 0;
  std::vector<CookieRule> cookies;        // in order of the list; at most kMaxCookieRules
  std::vector<HeaderRule> headers;        // likewise; at most kMaxHeaderRules
  std::optional<http::Sniffer> request;   // absent: neither cookies nor headers
  std::optional<http::Sniffer> response;  // absent: no cookies

  // Whether anything of a connection is looked at behind its first request head. A header alone has
  // chosen then, and is read on for what it counts.
  bool follows() const {
    return !cookies.empty() || !headers.empty() || settings.logged ||
           settings.forwarded == Forwarded::x_forwarded_for;
  }
};

// Of settings that keep their bounds (affinity/settings.h). The error is Hyperscan's.
Result<HttpRules> compile_rules(RuleSettings settings, uint32_t number = 0);

constexpr size_t place_of(uint32_t rules) {
  return rules % kRulesPlaces;
}

// What a worker needs to read and write cookies, its own in each snapshot: both are changed by use.
struct ExchangeTools {
  http::SnifferScratch scratch;  // fits every sniffer of the snapshot, kept ones too
  std::optional<affinity::CookieCrypter> crypter;  // absent: nothing is sealed
};

}  // namespace limpet::dataplane
