// Mode learn: the application's own session cookie is read and never touched. Its value, as the
// backend set it, is the key of a stick table entry; the entry is refreshed by every request that
// carries the value, moves when its backend dies, and goes when the application deletes the cookie.
//
// Values are learned from responses only. To store what a request brings would let anyone fill the
// table with made-up values and push out real sessions.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "limpet/affinity/backend_ids.h"
#include "limpet/affinity/cookie_policy.h"
#include "limpet/affinity/stick_table.h"

namespace limpet::affinity {

// A Set-Cookie field as user agents take it apart (RFC 6265, 5.2), but that quotes belong to the
// value, as everywhere in persistence. Views into the field.
struct SetCookie {
  std::string_view name, value;
  std::optional<int64_t> max_age;   // seconds; the last one counts
  std::optional<uint64_t> expires;  // unix seconds
};
std::optional<SetCookie> parse_set_cookie(std::string_view field);  // none: no pair NAME=VALUE

// An empty value, Max-Age of zero or less, or else Expires not in the future.
bool deletes(const SetCookie& cookie, uint64_t now);

// The member that a value means now, kNone when its backend has left the pool.
uint16_t member_of(const BackendIds& backends, const StickValue& value);
StickValue value_of(const BackendIds& backends, uint16_t member);

struct LearnedRequest {
  RequestDecision decision;
  StickKey key;      // of the value that decided, or of the last one known; for move and forget
  StickValue value;  // what the table had
  StickHandle handle;
  bool known = false;

  uint64_t hash() const { return known ? key.hash : 0; }
};

// As CookiePolicy::request: the first value that leads to a backend which may be used decides.
// `kind`: the entry's position in the list.
template <class Status>
LearnedRequest learned_request(const BackendIds& backends, StickTable& table, uint8_t kind,
                               std::span<const std::string_view> values, Instant now,
                               Status&& status) {
  LearnedRequest r;
  RequestDecision& d = r.decision;
  for (const std::string_view value : values) {
    if (value.empty()) {
      if (d.flag == RequestFlag::none)
        d.flag = RequestFlag::invalid, d.detail = InvalidDetail::empty;
      continue;
    }
    const StickKey key = table.key(kind, value);
    const StickResult found = table.find(key, now);
    if (found.what != Stick::found) {
      if (d.flag == RequestFlag::none)
        d.flag = RequestFlag::invalid, d.detail = InvalidDetail::not_learned;
      continue;
    }
    r.key = key, r.value = found.value, r.handle = found.handle, r.known = true;
    d.detail = InvalidDetail::none;
    d.member = member_of(backends, found.value);
    if (d.member != balance::Maglev::kNone) {
      const balance::BackendStatus s = status(d.member);
      if (s.accepts_existing()) {
        d.flag = RequestFlag::valid;
        d.draining = !s.accepts_new();
        return r;
      }
      d.member = balance::Maglev::kNone;
    }
    d.flag = RequestFlag::down;
  }
  return r;
}

// The session's backend died and `member` was chosen: moves the entry, unless another worker was
// faster. The member that holds now; `member` itself where the request had no entry. `handle` is
// told which entry it has then.
uint16_t move_learned(const BackendIds& backends, StickTable& table, const LearnedRequest& request,
                      uint16_t member, Instant now, StickHandle& handle);

// What a response says of the cookie: the new value is learned for the member that answered, a
// deletion forgets the value that the request brought: the hash of its key, 0 when the table knew
// none. `handle` is told the entry of what was stored.
enum class Learned : uint8_t { nothing, stored, forgotten, refused };
Learned learn_response(const BackendIds& backends, StickTable& table, uint8_t kind,
                       const SetCookie& cookie, uint64_t brought, uint16_t member,
                       uint64_t unix_now, Instant now, StickHandle& handle);

}  // namespace limpet::affinity
