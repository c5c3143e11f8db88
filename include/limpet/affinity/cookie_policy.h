// Cookie persistence as HAProxy's `cookie` keyword has it: which backend a request's cookies name,
// and what to do to the response. Compiled from settings by the control thread, immutable in a
// snapshot, read by every worker; nothing here allocates once compiled.
//
//              cookie is  request            response
//   insert     ours       brings back        added where missing or stale; the server's own removed
//   rewrite    server's   brings back        value replaced by ours
//   prefix     server's   brings back, OURS~ OURS~ put in front of the server's value
//                         is stripped
//   learn      server's   looked up (learn.h) read, never touched
//
// One decision is made per request and kept until its response; head parsing and the stream's edits
// are the caller's. Deliberately different from HAProxy:
// - Reading ends at the cookie that decides. HAProxy goes on and lets later cookies of the name
//   overwrite dates and the flags E and O.
// - A cookie's dates count for itself. HAProxy lets an undated cookie inherit those of one before.
// - The date of a sealed cookie is stamped anew when its minute has changed, not every 4 seconds,
//   and only where idle_timeout is set: its issue minute is always there.
// - A sealed cookie under a key older than the sealing one is issued again, so that keys can
// retire.
// - Time-outs need mode insert, which HAProxy only recommends: nothing else refreshes a date.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "limpet/affinity/backend_ids.h"
#include "limpet/affinity/persistence.h"
#include "limpet/affinity/sealed_cookie.h"
#include "limpet/affinity/settings.h"
#include "limpet/balance/backend_state.h"
#include "limpet/balance/maglev.h"

namespace limpet::affinity {

constexpr size_t kMaxPlainName = 64;  // a backend's name as a cookie value
// Set-Cookie: NAME=VALUE|last|first; Expires=...; Max-Age=...ATTRIBUTES, and Cache-Control.
constexpr size_t kMaxResponseText = 1024;
static_assert(12 + kMaxCookieName + 1 + kMaxPlainName + 12 + 39 + 20 + kMaxAttributeText + 2 + 24 <=
              kMaxResponseText);

// Of the cookie that decided, or of the last one that was refused for its backend (its successor
// keeps the first date, so absolute_timeout holds across a redispatch). Plain: unix seconds modulo
// 2^32; sealed: minutes.
struct RequestDecision {
  uint16_t member = balance::Maglev::kNone;
  RequestFlag flag = RequestFlag::none;
  InvalidDetail detail = InvalidDetail::none;
  bool draining : 1 = false;   // the member takes no new clients
  bool older_key : 1 = false;  // sealed under an older key than the sealing one
  bool ignored : 1 = false;    // persistence does not apply: nothing is inserted either
  bool has_first : 1 = false;
  bool has_last : 1 = false;
  uint32_t first = 0;
  uint32_t last = 0;
  friend bool operator==(const RequestDecision&, const RequestDecision&) = default;
};
static_assert(sizeof(RequestDecision) == 16 && std::is_trivially_copyable_v<RequestDecision>);

enum class CookieUse : uint8_t {
  decide,  // the ordinary case
  decided  // something else has chosen already: flag U; a cookie is still issued for that choice
};

enum class ServerCookie : uint8_t { keep, remove, replace_value, prepend_value };

struct ResponseInput {
  RequestDecision request;
  // Who answered, and in mode insert whom the cookie is to name, which is nearly always the same;
  // kNone: nobody of the pool.
  uint16_t member = balance::Maglev::kNone;
  uint16_t status = 200;
  bool post = false;           // the method was POST
  bool server_cookie = false;  // the response sets a cookie of our name (any number of them)
  bool cacheable = true;       // false: known not to be; then no_cache adds nothing
  uint64_t now = 0;            // unix seconds
};

// Texts lie in the caller's buffer. They hold for the response and every retransmission of it.
struct ResponseEdits {
  ResponseFlag flag = ResponseFlag::none;
  ServerCookie server = ServerCookie::keep;  // for each cookie of our name that the server sets
  std::string_view value;                    // what replaces its value, or goes in front of it
  std::string_view lines;  // whole header lines with CRLF: Set-Cookie, then perhaps Cache-Control
};

// Whether a shared cache may keep a response of this status (RFC 9110, 15.1, as HAProxy has it),
// and whether a Cache-Control field value says that it may in any case (RFC 9111, 3; HAProxy looks
// for "public" only), or that it must not.
bool may_be_cached(uint16_t status);
bool allows_caching(std::string_view cache_control);
bool forbids_caching(std::string_view cache_control);

class CookiePolicy {
 public:
  // Of settings that keep their bounds (settings.h).
  static CookiePolicy compile(const CookieSettings& settings);

  CookieMode mode() const { return mode_; }
  bool sealed() const { return sealed_; }
  const std::string& name() const { return name_; }
  // Every cookie of the name goes from requests (the pair, or the header that becomes empty).
  bool strips_requests() const { return indirect_ && mode_ == CookieMode::insert; }
  // Bytes to take from the front of a request's cookie value, whatever it names: OURS~ in mode
  // prefix.
  size_t strip(std::string_view value) const;

  // `values`: of every pair NAME=VALUE of our name, in the order of the request, without the spaces
  // around it, quotes included; a name without `=` is no cookie. The first that names a backend
  // whose status(member) accepts existing sessions decides. Not for mode learn. `crypter` may be
  // null when the value is plain. `now`: unix seconds.
  template <class Status>
  RequestDecision request(const BackendIds& backends, CookieCrypter* crypter,
                          std::span<const std::string_view> values, uint64_t now, Status&& status,
                          CookieUse use = CookieUse::decide) const;

  // 1xx but 101 is passed by: the final response decides.
  ResponseEdits response(const BackendIds& backends, CookieCrypter* crypter,
                         const ResponseInput& in, std::span<char, kMaxResponseText> out) const;

 private:
  struct Read {
    RequestFlag flag = RequestFlag::none;  // none: look the backend up
    InvalidDetail detail = InvalidDetail::none;
    bool older_key = false, has_first = false, has_last = false;
    uint32_t first = 0, last = 0;
    uint32_t id = 0;
    std::string_view name;  // plain only
  };
  CookiePolicy() = default;
  Read read(CookieCrypter* crypter, std::string_view value, uint64_t now) const;
  Read read_plain(std::string_view value, uint64_t now) const;
  Read read_sealed(CookieCrypter& crypter, std::string_view value, uint64_t now) const;
  bool must_issue(const RequestDecision& request, bool direct, uint64_t now) const;
  size_t put_value(const BackendIds& backends, CookieCrypter* crypter, const ResponseInput& in,
                   bool dated, char* out) const;
  SealedPayload dates_of(const ResponseInput& in) const;
  int64_t seconds_left(const ResponseInput& in) const;
  size_t put_lifetime(const ResponseInput& in, char* out) const;

  std::string name_;
  std::string attributes_;  // "; path=/; HttpOnly"
  uint64_t context_ = 0;
  CookieLimits limits_;  // minutes, for sealed values
  uint32_t idle_ = 0;    // seconds
  uint32_t absolute_ = 0;
  CookieMode mode_ = CookieMode::insert;
  bool sealed_ = true, permanent_ = false;
  bool indirect_ = false, no_cache_ = false, preserve_ = false, post_only_ = false;
};

template <class Status>
RequestDecision CookiePolicy::request(const BackendIds& backends, CookieCrypter* crypter,
                                      std::span<const std::string_view> values, uint64_t now,
                                      Status&& status, CookieUse use) const {
  RequestDecision d;
  for (const std::string_view value : values) {
    const Read r = read(crypter, value, now);
    d.has_first = r.has_first, d.has_last = r.has_last;
    d.first = r.first, d.last = r.last;
    d.older_key = r.older_key;
    if (r.flag == RequestFlag::expired || r.flag == RequestFlag::old) {
      d.flag = r.flag;
      d.detail = r.detail;
      continue;
    }
    if (use != CookieUse::decide) {
      if (d.flag == RequestFlag::none) d.flag = RequestFlag::unused;
      continue;
    }
    if (r.flag == RequestFlag::none) {
      for (const BackendIds::Entry& e : backends.find(r.id)) {
        if (!sealed_ && backends.name(e.member) != r.name) continue;
        const balance::BackendStatus s = status(e.member);
        d.detail = InvalidDetail::none;
        if (s.accepts_existing()) {
          d.member = e.member;
          d.flag = RequestFlag::valid;
          d.draining = !s.accepts_new();
          return d;
        }
        d.flag = RequestFlag::down;  // go on: another may have the same value
      }
    }
    if (d.flag != RequestFlag::none) continue;
    d.flag = RequestFlag::invalid;
    d.detail = r.flag == RequestFlag::none ? InvalidDetail::unknown_backend : r.detail;
  }
  return d;
}

}  // namespace limpet::affinity
