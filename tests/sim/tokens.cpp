#include "tokens.h"

#include <stdexcept>

#include "limpet/affinity/backend_ids.h"

namespace limpet::sim {
namespace {

using affinity::CookieKeyBytes;
using affinity::CookieKeys;

CookieKeyBytes bytes(uint8_t fill) {
  CookieKeyBytes b;
  b.fill(fill);
  return b;
}

// A key from before, still listed, and the one that seals now.
CookieKeys rotated() {
  CookieKeys keys = CookieKeys::first(bytes(0x11));
  const Result<char> id = keys.add(bytes(0x22));
  if (!id || !keys.seal(*id)) throw std::runtime_error("keys of the simulation");
  return keys;
}

// HAProxy's dates: units of four seconds, thirty bits, the alphabet of RFC 4648, 4.
std::string date(int minutes_ago) {
  static constexpr char kAlphabet[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const int64_t units = (static_cast<int64_t>(Tokens::kNow) - int64_t{minutes_ago} * 60) / 4;
  std::string text;
  for (int shift = 24; shift >= 0; shift -= 6) text += kAlphabet[(units >> shift) & 63];
  return text;
}

}  // namespace

Tokens::Tokens(bool sealed, bool idle, bool absolute, const std::string& cookie)
    : sealed_(sealed),
      idle_(idle),
      absolute_(absolute),
      context_(affinity::cookie_context("web", cookie)),
      elsewhere_(affinity::cookie_context("shop", cookie)),
      older_(CookieKeys::first(bytes(0x11))),
      keys_(rotated()),
      by_older_(older_),
      by_newest_(keys_),
      by_stranger_(CookieKeys::first(bytes(0x33))) {}

std::string Tokens::seal(affinity::CookieCrypter& crypter, const std::string& backend, int first,
                         int last, uint64_t context) {
  affinity::SealedPayload p;
  p.backend = affinity::backend_id(backend);
  p.issued = (affinity::minute_of(kNow) - static_cast<uint32_t>(first)) & affinity::kMinuteMask;
  p.idle = static_cast<uint32_t>(first - last);
  std::string text(affinity::kSealedSize, '\0');
  crypter.seal(p, context, std::span<char, affinity::kSealedSize>(text.data(), text.size()));
  return text;
}

std::string Tokens::make(const std::string& backend, int first, int last) {
  if (sealed_) return seal(by_newest_, backend, first, last, context_);
  if (!dated()) return backend;
  std::string text = backend;
  text += '|';
  text += date(last);
  if (!absolute_) return text;
  text += '|';
  text += date(first);
  return text;
}

std::string Tokens::make_with_older_key(const std::string& backend, int first) {
  return seal(by_older_, backend, first, 0, context_);
}

std::string Tokens::make_by_stranger(const std::string& backend) {
  return seal(by_stranger_, backend, 0, 0, context_);
}

std::string Tokens::make_for_elsewhere(const std::string& backend) {
  return seal(by_newest_, backend, 0, 0, elsewhere_);
}

}  // namespace limpet::sim
