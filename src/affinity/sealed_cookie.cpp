#include "limpet/affinity/sealed_cookie.h"

#include <openssl/evp.h>

#include <cassert>
#include <new>
#include <string>
#include <vector>

#include "base64.h"
#include "limpet/affinity/backend_ids.h"
#include "limpet/base/endian.h"
#include "limpet/base/hash.h"

namespace limpet::affinity {

namespace {

constexpr unsigned kVersionBits = 4;
static_assert(kVersionBits + kBackendIdBits + kMinuteBits + kIdleBits == 64);
constexpr uint32_t kIdleMask = (1u << kIdleBits) - 1;
constexpr size_t kBlock = 16;
using be64 = BigEndian<uint64_t>;
using Block = std::array<uint8_t, kBlock>;

// Constant, as all nodes must agree; what keeps the context from outsiders is the cipher around it.
constexpr HashKey kContextKey = {'a', 'f', 'f', 'i', 'n', 'i', 't', 'y',
                                 '/', 'c', 't', 'x', 't', '/', 'v', '1'};

// 16 bytes <-> 22 characters, most significant bit first.
void encode_block(const Block& block, char* out) {
  uint32_t bits = 0;
  unsigned have = 0;
  for (const uint8_t byte : block) {
    bits = bits << 8 | byte;
    have += 8;
    while (have >= 6) {
      have -= 6;
      *out++ = kBase64Url[(bits >> have) & 0x3f];
    }
  }
  *out = kBase64Url[(bits << (6 - have)) & 0x3f];
}

Sealed decode_block(std::string_view text, Block& block) {
  uint32_t bits = 0;
  unsigned have = 0;
  size_t at = 0;
  for (const char c : text) {
    const int value = url_value(c);
    if (value < 0) return Sealed::bad_character;
    bits = bits << 6 | static_cast<uint32_t>(value);
    have += 6;
    if (have >= 8) {
      have -= 8;
      block[at++] = static_cast<uint8_t>(bits >> have);
    }
  }
  assert(at == kBlock);
  return (bits & ((1u << have) - 1)) == 0 ? Sealed::valid : Sealed::trailing_bits;
}

using Context = std::unique_ptr<EVP_CIPHER_CTX, void (*)(EVP_CIPHER_CTX*)>;

Context keyed_context(const CookieKeyBytes& key, bool encrypt) {
  Context c(EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free);
  // One block is one permutation: ECB without padding is the bare cipher.
  if (!c ||
      EVP_CipherInit_ex(c.get(), EVP_aes_128_ecb(), nullptr, key.data(), nullptr, encrypt) != 1 ||
      EVP_CIPHER_CTX_set_padding(c.get(), 0) != 1) {
    throw std::bad_alloc();
  }
  return c;
}

bool crypt(EVP_CIPHER_CTX* context, const Block& in, Block& out) {
  int n = 0;
  return EVP_CipherUpdate(context, out.data(), &n, in.data(), kBlock) == 1 && n == int{kBlock};
}

}  // namespace

uint64_t encode_payload(const SealedPayload& p) {
  uint32_t scale = 0, units = p.idle;
  while (units > kIdleMask && scale + 1 < kIdleScales) {
    units = (units + (1u << kIdleScaleShift) - 1) >> kIdleScaleShift;
    ++scale;
  }
  if (units > kIdleMask) units = kIdleMask;  // beyond what minutes can tell anyway
  const uint64_t version = scale + 1;
  return version << 60 | uint64_t{p.backend & kBackendIdMask} << 36 |
         uint64_t{p.issued & kMinuteMask} << kIdleBits | units;
}

bool decode_payload(uint64_t bits, SealedPayload& p) {
  const auto version = static_cast<uint32_t>(bits >> 60);
  if (version < 1 || version > kIdleScales) return false;
  const auto units = static_cast<uint32_t>(bits) & kIdleMask;
  // A larger unit than needed: no encoder of ours did that.
  if (version > 1 && units <= kIdleMask >> kIdleScaleShift) return false;
  p.backend = static_cast<uint32_t>(bits >> 36) & kBackendIdMask;
  p.issued = static_cast<uint32_t>(bits >> kIdleBits) & kMinuteMask;
  p.idle = units << (kIdleScaleShift * (version - 1));
  return true;
}

Sealed check_dates(const SealedPayload& p, uint32_t now, const CookieLimits& limits) {
  if (limits.absolute != 0) {
    const int32_t age = minutes_since(now, p.issued);
    if (age < -kFutureTolerance) return Sealed::future_dated_issue;
    if (age > static_cast<int32_t>(limits.absolute)) return Sealed::expired_absolute;
  }
  if (limits.idle != 0) {
    const int32_t age = minutes_since(now, p.last());
    if (age < -kFutureTolerance) return Sealed::future_dated_use;
    if (age > static_cast<int32_t>(limits.idle)) return Sealed::expired_idle;
  }
  return Sealed::valid;
}

uint64_t cookie_context(std::string_view service, std::string_view cookie) {
  // The length in front keeps ("a", "bc") and ("ab", "c") apart.
  std::string text = std::to_string(service.size()) + ':';
  text.append(service).append(cookie);
  return siphash(kContextKey, text);
}

struct CookieCrypter::Keyed {
  struct One {
    char id;
    Context open, seal;
  };
  std::vector<One> keys;           // newest first
  std::array<int8_t, 64> by_id{};  // base64url value of the id -> position, -1 for none
  size_t sealing = 0;              // position; keys.size() when there is none
};

CookieCrypter::CookieCrypter(const CookieKeys& keys) : keyed_(std::make_unique<Keyed>()) {
  keyed_->by_id.fill(-1);
  for (const CookieKey& k : keys.list()) {
    assert(url_value(k.id) >= 0);
    keyed_->by_id[static_cast<size_t>(url_value(k.id))] = static_cast<int8_t>(keyed_->keys.size());
    keyed_->keys.push_back({k.id, keyed_context(k.bytes, false), keyed_context(k.bytes, true)});
  }
  keyed_->sealing = keys.sealing();
}
CookieCrypter::~CookieCrypter() = default;
CookieCrypter::CookieCrypter(CookieCrypter&&) noexcept = default;
CookieCrypter& CookieCrypter::operator=(CookieCrypter&&) noexcept = default;

bool CookieCrypter::can_seal() const {
  return keyed_->sealing < keyed_->keys.size();
}

void CookieCrypter::seal(const SealedPayload& p, uint64_t context,
                         std::span<char, kSealedSize> out) {
  assert(can_seal());
  const Keyed::One& key = keyed_->keys[keyed_->sealing];
  Block clear, block;
  store(clear.data(), be64::from(encode_payload(p)));
  store(clear.data() + 8, be64::from(context));
  [[maybe_unused]] const bool done = crypt(key.seal.get(), clear, block);
  assert(done);
  out[0] = key.id;
  encode_block(block, out.data() + 1);
}

CookieCrypter::Opened CookieCrypter::open(std::string_view text, uint64_t context, uint32_t now,
                                          const CookieLimits& limits) {
  Opened r;
  if (text.size() != kSealedSize) {
    r.what = text.size() < kSealedSize ? Sealed::truncated : Sealed::too_long;
    return r;
  }
  const int id = url_value(text[0]);
  Block block, clear;
  r.what = id < 0 ? Sealed::bad_character : decode_block(text.substr(1), block);
  if (r.what != Sealed::valid) return r;
  const int8_t at = keyed_->by_id[static_cast<size_t>(id)];
  if (at < 0) {
    r.what = Sealed::unknown_key;
    return r;
  }
  // No constant time needed: a forger would have to guess a whole block, and learns from the
  // comparison nothing about another one.
  if (!crypt(keyed_->keys[static_cast<size_t>(at)].open.get(), block, clear) ||
      load<be64>(clear.data() + 8).host() != context) {
    r.what = Sealed::forged;
    return r;
  }
  if (!decode_payload(load<be64>(clear.data()).host(), r.payload)) {
    r.what = Sealed::bad_version;
    return r;
  }
  r.older_key = static_cast<size_t>(at) > keyed_->sealing;
  r.what = check_dates(r.payload, now, limits);
  return r;
}

}  // namespace limpet::affinity
