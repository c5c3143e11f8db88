// Packing and checking of SYN cookies.
#include "limpet/tcp/syn_cookie.h"

#include <cstring>

namespace limpet::tcp {
namespace {

// Largest first. 1460 and 1440 are Ethernet's, 1240 and 1220 leave room in 1280 bytes, 8960 and
// 8940 are of jumbo frames; 536 is what everybody takes who says nothing (RFC 9293, 3.7.1). Who
// says less gets no more than that: 88 is the least that Linux lets be announced (TCP_MIN_MSS).
constexpr std::array<uint16_t, 8> kMss4 = {8960, 1460, 1440, 1400, 1240, 1024, 536, 88};
constexpr std::array<uint16_t, 8> kMss6 = {8940, 1460, 1440, 1380, 1220, 1024, 536, 88};

constexpr uint32_t kNoScale = 15;

const std::array<uint16_t, 8>& table_of(Family family) {
  return family == Family::v4 ? kMss4 : kMss6;
}

uint32_t mss_index(Family family, uint16_t mss) {
  const auto& table = table_of(family);
  uint32_t i = 0;
  while (i + 1 < table.size() && table[i] > mss) ++i;
  return i;
}

uint32_t epoch_of(Instant now) {
  return static_cast<uint32_t>(now.ns / static_cast<uint64_t>(SynCookies::kEpoch.count()));
}

// The options that the ISN or the timestamp carries: scale, SACK, epoch.
uint32_t option_bits(const Offer& offer, uint32_t epoch) {
  return uint32_t{offer.window_scale.value_or(kNoScale)} << 3 | (offer.sack ? 4u : 0u) |
         (epoch & 3u);
}

Offer offer_of(Family family, uint32_t mss, uint32_t options, bool timestamps) {
  Offer o;
  o.mss = table_of(family)[mss];
  if (options >> 3 != kNoScale) o.window_scale = static_cast<uint8_t>(options >> 3);
  o.sack = (options & 4u) != 0;
  o.timestamps = timestamps;
  return o;
}

}  // namespace

uint16_t SynCookies::representable_mss(Family family, uint16_t mss) {
  return table_of(family)[mss_index(family, mss)];
}

const HashKey& SynCookies::key_of(uint32_t epoch) {
  EpochKey& k = keys_[epoch % keys_.size()];
  if (!k.known || k.epoch != epoch) {
    k.epoch = epoch;
    k.known = true;
    for (uint32_t half = 0; half < 2; ++half) {
      uint8_t input[8];
      std::memcpy(input, &epoch, 4);
      std::memcpy(input + 4, &half, 4);
      const uint64_t h = siphash(secret_, input);
      std::memcpy(k.key.data() + 8 * half, &h, 8);
    }
  }
  return k.key;
}

uint32_t SynCookies::mac(const Tuple& tuple, uint32_t isn_client, uint32_t bits, uint32_t epoch) {
  std::array<uint8_t, 48> input;
  uint8_t* p = input.data();
  std::memcpy(p, tuple.client.bytes.data(), 16);
  std::memcpy(p + 16, tuple.vip.bytes.data(), 16);
  std::memcpy(p + 32, &tuple.client_port.raw, 2);
  std::memcpy(p + 34, &tuple.port.raw, 2);
  std::memcpy(p + 36, &isn_client, 4);
  std::memcpy(p + 40, &bits, 4);
  std::memcpy(p + 44, &epoch, 4);
  return static_cast<uint32_t>(siphash(key_of(epoch), input));
}

SynAck SynCookies::make(const Tuple& tuple, uint32_t isn_client, const Offer& offer, Instant now) {
  const uint32_t epoch = epoch_of(now);
  const uint32_t mss = mss_index(tuple.client.family(), offer.mss);
  const uint32_t options = option_bits(offer, epoch);
  const uint32_t bits = mss << kTsBits | options | (offer.timestamps ? 0x8000u : 0u);
  const uint32_t m = mac(tuple, isn_client, bits, epoch);
  SynAck r;
  if (offer.timestamps) {
    r.isn = mss << 29 | (m & 0x1fffffffu);
    const auto ms = static_cast<uint32_t>(now.ns / 1000000);
    r.tsval = (ms & ~((1u << kTsBits) - 1)) | options;
    // Never ahead of the clock: a later segment of ours must not seem older.
    if (static_cast<int32_t>(r.tsval - ms) > 0) r.tsval -= 1u << kTsBits;
  } else {
    r.isn = mss << 29 | options << 22 | (m & 0x3fffffu);
  }
  return r;
}

CookieCheck SynCookies::check(const Tuple& tuple, uint32_t isn_client, uint32_t isn,
                              std::optional<uint32_t> tsecr, Instant now) {
  const bool timestamps = tsecr.has_value();
  const uint32_t mss = isn >> 29;
  const uint32_t options =
      timestamps ? *tsecr & ((1u << kTsBits) - 1) : (isn >> 22) & ((1u << kTsBits) - 1);
  const uint32_t mask = timestamps ? 0x1fffffffu : 0x3fffffu;
  const uint32_t running = epoch_of(now);
  const uint32_t age = (running - options) & 3u;
  const uint32_t bits = mss << kTsBits | options | (timestamps ? 0x8000u : 0u);
  if (((mac(tuple, isn_client, bits, running - age) ^ isn) & mask) != 0) return {};
  CookieCheck r;
  r.verdict = age < kGoodEpochs ? CookieVerdict::valid : CookieVerdict::stale;
  r.offer = offer_of(tuple.client.family(), mss, options, timestamps);
  return r;
}

}  // namespace limpet::tcp
