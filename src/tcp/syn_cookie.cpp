// Packing and checking of SYN cookies.
#include "limpet/tcp/syn_cookie.h"

#include <cstring>
#include <span>

namespace limpet::tcp {
namespace {

// Largest first. 1460 and 1440 are Ethernet's, 1240 and 1220 leave room in 1280 bytes, 8960 and
// 8940 are of jumbo frames; 536 is what everybody takes who says nothing (RFC 9293, 3.7.1). Who
// says less gets no more than that: 88 is the least that Linux lets be announced (TCP_MIN_MSS).
constexpr std::array<uint16_t, 8> kMss4 = {8960, 1460, 1440, 1400, 1240, 1024, 536, 88};
constexpr std::array<uint16_t, 8> kMss6 = {8940, 1460, 1440, 1380, 1220, 1024, 536, 88};
// For clients without timestamps.
constexpr std::array<uint16_t, 4> kFew4 = {1460, 1240, 536, 88};
constexpr std::array<uint16_t, 4> kFew6 = {1440, 1220, 536, 88};

constexpr uint32_t kNoScale = 15;
constexpr uint32_t kMac = 0x1fffff00;
constexpr unsigned kFrontShift = 29;  // the bits in front of the MAC

std::span<const uint16_t> table_of(Family family, bool timestamps) {
  if (timestamps) return family == Family::v4 ? kMss4 : kMss6;
  return family == Family::v4 ? std::span<const uint16_t>(kFew4) : kFew6;
}

uint32_t mss_index(std::span<const uint16_t> table, uint16_t mss) {
  uint32_t i = 0;
  while (i + 1 < table.size() && table[i] > mss) ++i;
  return i;
}

uint32_t epoch_of(Instant now) {
  return static_cast<uint32_t>(now.ns / static_cast<uint64_t>(SynCookies::kEpoch.count()));
}

// What the timestamp carries: scale, SACK, epoch.
uint32_t option_bits(const Offer& offer, uint32_t epoch) {
  return uint32_t{offer.window_scale.value_or(kNoScale)} << 3 | (offer.sack ? 4u : 0u) |
         (epoch & 3u);
}

}  // namespace

HashKey derived_key(const HashKey& secret, uint64_t use) {
  HashKey key;
  for (uint64_t half = 0; half < 2; ++half) {
    uint8_t input[16];
    std::memcpy(input, &use, 8);
    std::memcpy(input + 8, &half, 8);
    const uint64_t h = siphash(secret, input);
    std::memcpy(key.data() + 8 * half, &h, 8);
  }
  return key;
}

Offer SynCookies::representable(Family family, Offer offer) {
  const auto table = table_of(family, offer.timestamps);
  offer.mss = table[mss_index(table, offer.mss)];
  if (!offer.timestamps) {
    offer.window_scale.reset();
    offer.sack = false;
  }
  return offer;
}

const HashKey& SynCookies::key_of(uint32_t epoch) {
  EpochKey& k = keys_[epoch % keys_.size()];
  if (!k.known || k.epoch != epoch) k = {epoch, true, derived_key(secret_, epoch)};
  return k.key;
}

uint32_t SynCookies::mac(uint64_t tuple_hash, uint32_t isn_client, uint32_t bits, uint32_t epoch) {
  std::array<uint8_t, 20> input;
  uint8_t* p = input.data();
  std::memcpy(p, &tuple_hash, 8);
  std::memcpy(p + 8, &isn_client, 4);
  std::memcpy(p + 12, &bits, 4);
  std::memcpy(p + 16, &epoch, 4);
  return static_cast<uint32_t>(siphash(key_of(epoch), input)) & kMac;
}

// The bits of `bits`, which the MAC covers: 0x8000 with timestamps; front << kTsBits; option bits.
SynAck SynCookies::make(Family family, uint64_t tuple_hash, uint32_t isn_client, const Offer& offer,
                        Instant now) {
  const uint32_t epoch = epoch_of(now);
  const uint32_t mss = mss_index(table_of(family, offer.timestamps), offer.mss);
  SynAck r;
  if (offer.timestamps) {
    const uint32_t options = option_bits(offer, epoch);
    const uint32_t bits = 0x8000u | mss << kTsBits | options;
    r.isn = mss << kFrontShift | mac(tuple_hash, isn_client, bits, epoch) | stage(tuple_hash);
    const auto ms = static_cast<uint32_t>(now.ns / 1000000);
    r.tsval = (ms & ~((1u << kTsBits) - 1)) | options;
    // Never ahead of the clock: a later segment of ours must not seem older.
    if (static_cast<int32_t>(r.tsval - ms) > 0) r.tsval -= 1u << kTsBits;
  } else {
    const uint32_t front = mss << 1 | (epoch & 1u);
    r.isn = front << kFrontShift | mac(tuple_hash, isn_client, front << kTsBits, epoch) |
            stage(tuple_hash);
  }
  return r;
}

CookieCheck SynCookies::check(Family family, uint64_t tuple_hash, uint32_t isn_client, uint32_t isn,
                              std::optional<uint32_t> tsecr, Instant now) {
  CookieCheck r;
  if ((isn & kStage) != stage(tuple_hash)) return r;
  const bool timestamps = tsecr.has_value();
  const uint32_t front = isn >> kFrontShift;
  const uint32_t options = timestamps ? *tsecr & ((1u << kTsBits) - 1) : 0;
  const uint32_t bits = (timestamps ? 0x8000u : 0u) | front << kTsBits | options;
  const uint32_t running = epoch_of(now);
  uint32_t age = timestamps ? (running - options) & 3u : (running - front) & 1u;
  const auto holds = [&] {
    return mac(tuple_hash, isn_client, bits, running - age) == (isn & kMac);
  };
  if (!holds()) {
    // Without timestamps the epoch before the last two looks like one of them.
    if (timestamps) return r;
    age += kGoodEpochs;
    if (!holds()) return r;
  }
  r.verdict = age < kGoodEpochs ? CookieVerdict::valid : CookieVerdict::stale;
  r.offer.mss = table_of(family, timestamps)[timestamps ? front : front >> 1];
  r.offer.timestamps = timestamps;
  if (timestamps) {
    if (options >> 3 != kNoScale) r.offer.window_scale = static_cast<uint8_t>(options >> 3);
    r.offer.sack = (options & 4u) != 0;
  }
  return r;
}

}  // namespace limpet::tcp
