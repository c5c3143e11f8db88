#include "limpet/affinity/cookie_policy.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <charconv>
#include <cstring>

#include "limpet/affinity/http_date.h"
#include "limpet/affinity/plain_cookie.h"

namespace limpet::affinity {

namespace {

using balance::Maglev;

uint32_t minutes(uint64_t seconds) {
  return static_cast<uint32_t>((seconds + 59) / 60);
}

InvalidDetail detail_of(Sealed s) {
  switch (s) {
    case Sealed::truncated:
      return InvalidDetail::truncated;
    case Sealed::too_long:
      return InvalidDetail::too_long;
    case Sealed::bad_character:
      return InvalidDetail::bad_character;
    case Sealed::trailing_bits:
      return InvalidDetail::trailing_bits;
    case Sealed::unknown_key:
      return InvalidDetail::unknown_key;
    case Sealed::forged:
      return InvalidDetail::forged;
    case Sealed::bad_version:
      return InvalidDetail::bad_version;
    case Sealed::future_dated_issue:
    case Sealed::future_dated_use:
      return InvalidDetail::future_dated;
    case Sealed::valid:
    case Sealed::expired_absolute:
    case Sealed::expired_idle:
      break;
  }
  return InvalidDetail::none;
}

size_t put(char* out, std::string_view text) {
  std::memcpy(out, text.data(), text.size());
  return text.size();
}

// Signed distance on the circle of 2^32 seconds, as HAProxy's ints have it.
int32_t seconds_since(uint64_t now, uint32_t then) {
  return static_cast<int32_t>(static_cast<uint32_t>(now) - then);
}

}  // namespace

CookiePolicy CookiePolicy::compile(const CookieSettings& s) {
  CookiePolicy p;
  p.name_ = s.name;
  // In HAProxy's order; it has SameSite among the attributes only, which stand last.
  if (!s.path.empty()) p.attributes_ += "; path=" + s.path;
  for (const std::string& d : s.domains) p.attributes_ += "; domain=" + d;
  if (s.http_only) p.attributes_ += "; HttpOnly";
  if (s.secure) p.attributes_ += "; Secure";
  if (s.same_site != SameSite::unset)
    p.attributes_ += std::string("; SameSite=") + attribute(s.same_site);
  for (const std::string& a : s.attributes) p.attributes_ += "; " + a;
  assert(p.attributes_.size() <= kMaxAttributeText);
  p.context_ = cookie_context(s.service, s.name);
  p.limits_ = {minutes(s.absolute_timeout), minutes(s.idle_timeout)};
  p.idle_ = static_cast<uint32_t>(s.idle_timeout);
  p.absolute_ = static_cast<uint32_t>(s.absolute_timeout);
  p.mode_ = s.mode;
  p.sealed_ = s.sealed && s.mode != CookieMode::learn;
  p.permanent_ = s.permanent;
  p.indirect_ = s.indirect;
  p.no_cache_ = s.no_cache;
  p.preserve_ = s.preserve;
  p.post_only_ = s.post_only;
  return p;
}

size_t CookiePolicy::strip(std::string_view value) const {
  return mode_ == CookieMode::prefix ? parse_prefix(value).strip : 0;
}

CookiePolicy::Read CookiePolicy::read(CookieCrypter* crypter, std::string_view value,
                                      uint64_t now) const {
  assert(mode_ != CookieMode::learn);
  if (mode_ == CookieMode::prefix) value = parse_prefix(value).name;
  if (value.empty()) return {.flag = RequestFlag::invalid, .detail = InvalidDetail::empty};
  if (!sealed_) return read_plain(value, now);
  assert(crypter != nullptr);
  return read_sealed(*crypter, value, now);
}

CookiePolicy::Read CookiePolicy::read_plain(std::string_view value, uint64_t now) const {
  Read r;
  // In mode prefix a bar is part of the name, as in HAProxy.
  const PlainValue v = mode_ == CookieMode::prefix ? PlainValue{value} : parse_plain(value);
  if (v.first != 0 && absolute_ != 0) {
    const int32_t age = seconds_since(now, v.first);
    if (age > static_cast<int32_t>(absolute_)) return {.flag = RequestFlag::old};
    if (age < -kPlainFutureTolerance)
      return {.flag = RequestFlag::old, .detail = InvalidDetail::future_dated};
  }
  if (v.last != 0 && idle_ != 0) {
    const int32_t age = seconds_since(now, v.last);
    if (age > static_cast<int32_t>(idle_)) return {.flag = RequestFlag::expired};
    if (age < -kPlainFutureTolerance)
      return {.flag = RequestFlag::expired, .detail = InvalidDetail::future_dated};
  }
  r.has_first = v.first != 0, r.first = v.first;
  r.has_last = v.last != 0, r.last = v.last;
  if (v.name.empty()) {
    r.flag = RequestFlag::invalid;
    r.detail = InvalidDetail::empty;
    return r;
  }
  r.name = v.name;
  r.id = backend_id(v.name);
  return r;
}

CookiePolicy::Read CookiePolicy::read_sealed(CookieCrypter& crypter, std::string_view value,
                                             uint64_t now) const {
  const CookieCrypter::Opened o = crypter.open(value, context_, minute_of(now), limits_);
  switch (o.what) {
    case Sealed::valid:
      break;
    case Sealed::future_dated_issue:
    case Sealed::expired_absolute:
      return {.flag = RequestFlag::old, .detail = detail_of(o.what)};
    case Sealed::future_dated_use:
    case Sealed::expired_idle:
      return {.flag = RequestFlag::expired, .detail = detail_of(o.what)};
    default:
      return {.flag = RequestFlag::invalid, .detail = detail_of(o.what)};
  }
  Read r;
  r.older_key = o.older_key;
  r.has_first = r.has_last = true;
  r.first = o.payload.issued;
  r.last = o.payload.last();
  r.id = o.payload.backend;
  return r;
}

// The client has a cookie for this very backend (`direct`): is it to be issued again?
bool CookiePolicy::must_issue(const RequestDecision& q, bool direct, uint64_t now) const {
  if (!direct) return true;
  if (sealed_) return q.older_key || (idle_ != 0 && minutes_since(minute_of(now), q.last) > 0);
  const bool stale = !q.has_last || seconds_since(now, q.last) > 0;
  return ((idle_ != 0 || q.has_last) && stale) || (absolute_ != 0) != q.has_first;
}

// Issue and use of a sealed value that is issued now.
SealedPayload CookiePolicy::dates_of(const ResponseInput& in) const {
  SealedPayload p;
  p.issued = minute_of(in.now);
  if (absolute_ != 0 && in.request.has_first) {
    // The last use is now; an issue in the future (another node's clock) stays until we get there.
    const int32_t age = minutes_since(p.issued, in.request.first);
    p.issued = in.request.first;
    p.idle = age > 0 ? static_cast<uint32_t>(age) : 0;
  }
  return p;
}

// NAME, NAME|last, NAME|last|first or the sealed value; 0 when there is none to give.
size_t CookiePolicy::put_value(const BackendIds& backends, CookieCrypter* crypter,
                               const ResponseInput& in, bool dated, char* out) const {
  if (!sealed_) {
    const std::string_view name = backends.name(in.member);
    assert(name.size() <= kMaxPlainName);
    size_t n = put(out, name);
    if (!dated || (idle_ == 0 && absolute_ == 0)) return n;
    out[n++] = kDateDelimiter;
    encode_date(date_units(in.now), std::span<char, kDateSize>(out + n, kDateSize));
    n += kDateSize;
    if (absolute_ == 0) return n;
    out[n++] = kDateDelimiter;
    const uint32_t first = in.request.has_first ? in.request.first >> 2 : date_units(in.now);
    encode_date(first, std::span<char, kDateSize>(out + n, kDateSize));
    return n + kDateSize;
  }
  if (crypter == nullptr || !crypter->can_seal()) return 0;
  SealedPayload p = dates_of(in);
  p.backend = backends.id(in.member);
  crypter->seal(p, context_, std::span<char, kSealedSize>(out, kSealedSize));
  return kSealedSize;
}

// How long a value that is issued now will count here. It is issued again only when its date has
// changed, and that of a sealed one stands for minutes: a browser that counted from now would end
// a short session that was used meanwhile.
int64_t CookiePolicy::seconds_left(const ResponseInput& in) const {
  int64_t idle = INT64_MAX, absolute = INT64_MAX;
  if (sealed_) {
    SealedPayload p;
    [[maybe_unused]] const bool ours = decode_payload(encode_payload(dates_of(in)), p);  // rounded
    assert(ours);
    const uint32_t minute = minute_of(in.now);
    const auto gone = static_cast<int64_t>(in.now % 60);
    const auto end = [gone](uint32_t limit, int32_t age) {
      return 60 * (int64_t{limit} - age + 1) - gone;
    };
    if (idle_ != 0) idle = end(limits_.idle, minutes_since(minute, p.last()));
    if (absolute_ != 0)
      absolute = end(limits_.absolute, std::max(minutes_since(minute, p.issued), 0));
  } else {
    if (idle_ != 0) idle = idle_;
    const int32_t age = in.request.has_first ? seconds_since(in.now, in.request.first) : 0;
    if (absolute_ != 0) absolute = int64_t{absolute_} - std::max(age, 0);
  }
  return std::max<int64_t>(std::min(idle, absolute), 1);
}

// "; Expires=...; Max-Age=..." of a permanent cookie: until the first time-out ends it.
size_t CookiePolicy::put_lifetime(const ResponseInput& in, char* out) const {
  if (!permanent_) return 0;
  const int64_t left = seconds_left(in);
  size_t n = put(out, "; Expires=");
  format_http_date(in.now + static_cast<uint64_t>(left),
                   std::span<char, kHttpDateSize>(out + n, kHttpDateSize));
  n += kHttpDateSize;
  n += put(out + n, "; Max-Age=");
  return static_cast<size_t>(std::to_chars(out + n, out + n + 10, left).ptr - out);
}

bool may_be_cached(uint16_t status) {
  static constexpr std::array<uint16_t, 11> kStatus{200, 203, 204, 206, 300, 301,
                                                    404, 405, 410, 414, 501};
  return std::find(kStatus.begin(), kStatus.end(), status) != kStatus.end();
}

namespace {

// Whether is(word) holds for one of the directives of a Cache-Control value.
template <class Is>
bool any_directive(std::string_view text, Is&& is) {
  while (!text.empty()) {
    const size_t end = std::min(text.find(','), text.size());
    std::string_view one = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const size_t first = one.find_first_not_of(" \t\r\n");
    if (first == std::string_view::npos) continue;
    one = one.substr(first, one.find_last_not_of(" \t\r\n") - first + 1);
    if (is(one)) return true;
  }
  return false;
}

bool begins_with(std::string_view text, std::string_view lower) {
  return text.size() >= lower.size() &&
         std::equal(lower.begin(), lower.end(), text.begin(),
                    [](char b, char a) { return (a >= 'A' && a <= 'Z' ? a | 0x20 : a) == b; });
}

}  // namespace

bool allows_caching(std::string_view text) {
  return any_directive(text, [](std::string_view one) {
    return (one.size() == 6 && begins_with(one, "public")) || begins_with(one, "max-age=") ||
           begins_with(one, "s-maxage=");
  });
}

bool forbids_caching(std::string_view text) {
  static constexpr std::array<std::string_view, 5> kForbid{"private", "no-cache", "no-store",
                                                           "max-age=0", "s-maxage=0"};
  return any_directive(text, [](std::string_view one) {
    return std::any_of(kForbid.begin(), kForbid.end(), [one](std::string_view word) {
      return one.size() == word.size() && begins_with(one, word);
    });
  });
}

ResponseEdits CookiePolicy::response(const BackendIds& backends, CookieCrypter* crypter,
                                     const ResponseInput& in,
                                     std::span<char, kMaxResponseText> out) const {
  ResponseEdits e;
  if (in.status < 200 && in.status != 101) return e;
  const bool known = in.member != Maglev::kNone;
  const bool direct =
      known && in.request.flag == RequestFlag::valid && in.request.member == in.member;
  if (in.server_cookie && !in.request.ignored) {
    e.flag = ResponseFlag::passive;
    const bool insert = known && mode_ == CookieMode::insert;
    if (preserve_) {
      // The server's word stands.
    } else if (insert || (direct && indirect_)) {
      e.server = ServerCookie::remove;
      e.flag = ResponseFlag::deleted;
    } else if (known && (mode_ == CookieMode::rewrite || mode_ == CookieMode::prefix)) {
      size_t n = put_value(backends, crypter, in, false, out.data());
      if (n == 0) return e;
      if (mode_ == CookieMode::prefix) out[n++] = kPrefixDelimiter;
      e.server =
          mode_ == CookieMode::prefix ? ServerCookie::prepend_value : ServerCookie::replace_value;
      e.value = {out.data(), n};
      e.flag = ResponseFlag::rewritten;
    }
  }
  if (mode_ != CookieMode::insert || !known || in.request.ignored) return e;
  if (in.server_cookie && preserve_) return e;
  if (!must_issue(in.request, direct, in.now) || (post_only_ && !in.post)) return e;

  size_t n = put(out.data(), "Set-Cookie: ");
  n += put(out.data() + n, name_);
  out[n++] = '=';
  const size_t value = put_value(backends, crypter, in, true, out.data() + n);
  if (value == 0) return e;
  n += value;
  n += put_lifetime(in, out.data() + n);
  n += put(out.data() + n, attributes_);
  n += put(out.data() + n, "\r\n");
  if (no_cache_ && in.cacheable) n += put(out.data() + n, "Cache-Control: private\r\n");
  assert(n <= kMaxResponseText);
  e.lines = {out.data(), n};
  e.flag = direct ? ResponseFlag::updated : ResponseFlag::inserted;
  return e;
}

}  // namespace limpet::affinity
