// The settings of a persistence list, each kind of entry a type of its own: what the configuration
// reads, what a policy is compiled from, and what a snapshot compares to know whether rules have
// changed. Plain values with ==, so that a new setting is compared without being listed anywhere.
//
// A kind is added by its type here and in Entry (choose.h); the compiler then names every place
// that has to know it. Whoever makes one (config/load.h) keeps the bounds given here; nobody checks
// them again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace limpet::affinity {

constexpr size_t kMaxEntries = 8;            // of one list
constexpr size_t kMaxCookies = 4;            // of these, of type cookie
constexpr size_t kMaxHeaders = 4;            // and of type header
constexpr size_t kMaxCookieName = 64;        // octets
constexpr size_t kMaxHeaderName = 64;        // octets
constexpr size_t kMaxCookieDomains = 8;      // of one cookie
constexpr size_t kMaxCookieAttributes = 16;  // of one cookie
constexpr size_t kMaxAttributeText = 640;    // octets of all "; NAME=VALUE" behind the value

// What limpet does to the cookie, in HAProxy's words; they exclude each other.
enum class CookieMode : uint8_t {
  insert,   // limpet sets it
  rewrite,  // the backend sets it, limpet replaces the value
  prefix,   // the backend sets it, limpet puts its own value and '~' in front, and takes them off
  learn     // the application's own: limpet remembers which backend set which value
};

enum class SameSite : uint8_t { unset, strict, lax, none };  // unset: the attribute is not sent

const char* name(CookieMode mode);     // "insert"
const char* attribute(SameSite site);  // "Lax"; empty: unset

// Clients that agree in so many bits of their address share a backend.
struct SourceSettings {
  uint8_t prefix4 = 32;  // 1 .. 32
  uint8_t prefix6 = 64;  // 1 .. 128
  bool operator==(const SourceSettings&) const = default;
};

// `sealed` means nothing with mode learn. What stands below it belongs to a cookie that limpet sets
// itself: with the other modes it is off, zero or empty (but `indirect` with mode prefix, which
// says what that mode does anyway).
struct CookieSettings {
  CookieMode mode = CookieMode::insert;
  std::string service;  // what a sealed value is bound to, with the name
  std::string name;     // 1 .. kMaxCookieName octets: a token (RFC 6265, 4.1.1), no '$' first; case
                        // matters; unique in the service
  bool sealed = true;   // enciphered, says nothing about backends; else plain: the backend's name,
                        // and with a time-out HAProxy's dates

  bool permanent = false;     // needs a time-out: it becomes Expires and Max-Age
  uint64_t idle_timeout = 0;  // seconds since it was last sent; 0: none, else up to 365 days and
                              // not above absolute_timeout; sealed: whole minutes
  uint64_t absolute_timeout = 0;     // since it was set; the same range
  bool indirect = false;             // the backend never sees it
  bool no_cache = false;             // Cache-Control: private beside it
  bool preserve = false;             // a cookie of that name from the backend is left alone
  bool post_only = false;            // set only in answers to POST
  std::string path = "/";            // printable, begins with '/', no ';'; empty: no attribute
  std::vector<std::string> domains;  // each an attribute: names with a dot inside, perhaps one in
                                     // front
  bool http_only = false;
  bool secure = false;  // true with same_site none
  SameSite same_site = SameSite::unset;
  std::vector<std::string> attributes;  // as they are: 1 .. 128 printable octets each, no ';'
  bool operator==(const CookieSettings&) const = default;
};

// Requests with the same value of a header share a backend.
struct HeaderSettings {
  std::string name;  // 1 .. kMaxHeaderName octets: a token (RFC 9110, 5.6.2), as it was written;
                     // case does not matter in requests; unique in the service
  bool operator==(const HeaderSettings&) const = default;
};

using EntrySettings = std::variant<SourceSettings, CookieSettings, HeaderSettings>;

// "source", "cookie", "header": in the configuration, `show persistence` and metrics.
const char* type_name(const EntrySettings& entry);
// The cookie's or header's name; empty: a source has none.
std::string_view carrier_name(const EntrySettings& entry);
// Whether counters of the one may go on as those of the other: both read the same carrier in the
// same way, whatever else is set.
bool same_carrier(const EntrySettings& a, const EntrySettings& b);

// Visitors with a lambda for each kind.
template <class... F>
struct Visit : F... {
  using F::operator()...;
};
template <class... F>
Visit(F...) -> Visit<F...>;

}  // namespace limpet::affinity
