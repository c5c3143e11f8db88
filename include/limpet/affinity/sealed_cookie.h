// The sealed cookie: opaque, unforgeable, 23 characters wide.
//
//   1 character   key id
//   22 characters base64url (RFC 4648, 5, no padding) of one AES-128 block; the four bits behind
//   the
//                 sixteenth byte are zero, so one block has one spelling
//   block         payload (8 bytes), context (8 bytes), enciphered together (encode-then-encipher):
//                 whoever does not have the key hits the context with probability 2^-64 a try
//   context       hash of (service name, cookie name): a cookie of one service is nothing to
//   another payload       big endian: version 4 bits | backend id 24 | issue minute 22 | idle delta
//   14
//
// Minutes. The issue minute is floor(unix time / 60) mod 2^22; it wraps every 7.97 years. Ages are
// differences on that circle, taken from [-2^21, 2^21): what is 4 years old or more looks
// future-dated and is refused, and only after 8 years it would look new again. Idle delta is the
// minute of the last use minus the issue minute. 14 bits of minutes are 11.4 days, too few for a
// session that may live for months, so the version tells the unit: version 1: 1 minute, 2: 16
// minutes (182 days), 3: 256 minutes (8 years, more than the circle can tell). The smallest that
// fits is the only valid one. Coarser units round the last use up, never down.
//
// Time-outs are rounded up to minutes and compared strictly, as in HAProxy, so a cookie is never
// refused early and at most two minutes late (plus the unit). `absolute` is tested before `idle`;
// each tests its own minute for being more than 24 hours in the future, which happens when another
// node's clock is wrong. Without time-outs no minute is looked at: no clock and no wrap matter.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "limpet/affinity/cookie_keys.h"

namespace limpet::affinity {

constexpr size_t kSealedSize = 23;
constexpr unsigned kMinuteBits = 22;
constexpr uint32_t kMinuteMask = (1u << kMinuteBits) - 1;
constexpr unsigned kIdleBits = 14;
constexpr unsigned kIdleScaleShift = 4;  // a version's unit is 16 times that of the one before
constexpr unsigned kIdleScales = 3;      // versions 1 to 3
constexpr int32_t kFutureTolerance = 24 * 60;  // minutes
// Configurable time-outs end here, so that "too old" is told from "future-dated" for another year.
constexpr uint64_t kMaxCookieTimeout = 1000ull * 24 * 60 * 60;  // seconds

constexpr uint32_t minute_of(uint64_t unix_seconds) {
  return static_cast<uint32_t>(unix_seconds / 60) & kMinuteMask;
}
// now - then on the circle, in [-2^21, 2^21).
constexpr int32_t minutes_since(uint32_t now, uint32_t then) {
  const uint32_t d = (now - then) & kMinuteMask;
  return d >= 1u << (kMinuteBits - 1) ? static_cast<int32_t>(d) - (1 << kMinuteBits)
                                      : static_cast<int32_t>(d);
}

struct SealedPayload {
  uint32_t backend = 0;  // backend_id(name)
  uint32_t issued = 0;   // minute_of()
  uint32_t idle = 0;     // minutes from issue to last use; rounded up by the unit when sealed
  uint32_t last() const { return (issued + idle) & kMinuteMask; }
  friend bool operator==(const SealedPayload&, const SealedPayload&) = default;
};

struct CookieLimits {     // minutes; 0: no such limit
  uint32_t absolute = 0;  // since issue
  uint32_t idle = 0;      // since last use
};

enum class Sealed : uint8_t {
  valid,
  truncated,
  too_long,
  bad_character,
  trailing_bits,
  unknown_key,
  forged,  // also another service's or cookie name's
  bad_version,
  future_dated_issue,  // more than 24 hours; only where there is the limit
  expired_absolute,
  future_dated_use,
  expired_idle
};

// 64 bits <-> payload. decode: false for an unknown version or a unit that is not the smallest.
uint64_t encode_payload(const SealedPayload& p);
bool decode_payload(uint64_t bits, SealedPayload& p);
Sealed check_dates(const SealedPayload& p, uint32_t now, const CookieLimits& limits);

// Computed once per service by the control thread.
uint64_t cookie_context(std::string_view service, std::string_view cookie);

// One AES context per key and direction, keyed once: a call costs 20 ns instead of 300 and
// allocates nothing. OpenSSL's contexts are changed by use, so each worker owns a crypter of its
// own, made by the control thread for the keys of a snapshot. Movable.
class CookieCrypter {
 public:
  explicit CookieCrypter(const CookieKeys& keys);
  ~CookieCrypter();
  CookieCrypter(CookieCrypter&&) noexcept;
  CookieCrypter& operator=(CookieCrypter&&) noexcept;

  struct Opened {
    Sealed what = Sealed::truncated;
    bool older_key = false;  // sealed under a key older than the one that seals now: issue it again
    SealedPayload payload;   // meaningful from `valid` and the dates' verdicts on
  };
  Opened open(std::string_view text, uint64_t context, uint32_t now, const CookieLimits& limits);

  bool can_seal() const;  // there is a sealing key
  void seal(const SealedPayload& p, uint64_t context, std::span<char, kSealedSize> out);

 private:
  struct Keyed;
  std::unique_ptr<Keyed> keyed_;
};

}  // namespace limpet::affinity
