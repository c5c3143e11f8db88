// What makes a client stay with its backend, as configured: the entries of a service's persistence
// list and its stick table. Part of the Document (document.h), with the same promise: whoever holds
// one may rely on every bound given here.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "limpet/base/time.h"

namespace limpet::config {

constexpr uint32_t kMaxServiceCookies = 4;       // entries of type cookie in one list
constexpr uint32_t kMaxSessionName = 64;         // bytes of a cookie's name
constexpr uint32_t kMaxCookieDomains = 8;        // of one cookie
constexpr uint32_t kMaxCookieAttributes = 16;    // of one cookie
constexpr uint32_t kMaxAttributeText = 640;      // bytes of all "; NAME=VALUE" behind the value
constexpr uint32_t kMaxTableSize = 1u << 26;     // entries of one stick table
constexpr uint32_t kMaxTableEntries = 1u << 27;  // of all stick tables together

enum class PersistenceType : uint8_t { source, cookie };

// What limpet does to the cookie, in HAProxy's words; they exclude each other.
enum class CookieMode : uint8_t {
  insert,   // limpet sets it
  rewrite,  // the backend sets it, limpet replaces the value
  prefix,   // the backend sets it, limpet puts its own value and '~' in front, and takes them off
  learn     // the application's own: limpet remembers which backend set which value
};
enum class CookieValue : uint8_t {
  sealed,  // enciphered, says nothing about backends
  plain    // the backend's name, and with a time-out HAProxy's dates
};
enum class CookieLifetime : uint8_t {
  session,   // neither Expires nor Max-Age: until the browser closes
  permanent  // until absolute_timeout, or idle_timeout when only that is set
};
enum class SameSite : uint8_t { unset, strict, lax, none };  // unset: the attribute is not sent

// `value` means nothing with mode learn. What stands below it belongs to a cookie that limpet sets
// itself: with the other modes it is off, zero or empty.
struct Cookie {
  CookieMode mode = CookieMode::insert;
  std::string session_name;  // 1 .. kMaxSessionName bytes: a token (RFC 6265, 4.1.1), no '$' first;
                             // case matters; unique in the service
  CookieValue value = CookieValue::sealed;

  CookieLifetime lifetime = CookieLifetime::session;  // permanent: one of the time-outs is set
  Duration idle_timeout{0};      // since it was last sent; 0: none, else up to 365 d and not above
                                 // absolute_timeout. sealed: whole minutes; plain: whole seconds
  Duration absolute_timeout{0};  // since it was set; the same range and units
  bool indirect = true;          // the backend never sees it
  bool no_cache = true;          // Cache-Control: private beside it
  bool preserve = false;         // a cookie of that name from the backend is left alone
  bool post_only = false;        // set only in answers to POST
  std::string path = "/";        // printable, begins with '/', no ';'
  std::vector<std::string> domains;  // names with a dot inside, perhaps one in front
  bool http_only = true;
  bool secure = false;  // true with same_site none
  SameSite same_site = SameSite::unset;
  std::vector<std::string> attributes;  // 1 .. 128 printable bytes each, no ';', and none that a
                                        // setting above stands for
};

struct Persistence {
  PersistenceType type = PersistenceType::source;
  uint8_t prefix4 = 32;  // source: 1 .. 32: clients that agree in that many bits share a backend
  uint8_t prefix6 = 64;  // source: 1 .. 128
  Cookie cookie;         // cookie
};

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
