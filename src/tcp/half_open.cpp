// The table of half-open clients.
#include "limpet/tcp/half_open.h"

#include <algorithm>
#include <bit>

namespace limpet::tcp {
namespace {

constexpr uint8_t kNoScale = 15;
constexpr uint8_t kSack = 0x10;
constexpr uint8_t kTimestamps = 0x20;

constexpr Duration kRound = std::chrono::seconds(1);  // of the sweep through all buckets

uint8_t packed(const Offer& o) {
  return static_cast<uint8_t>(o.window_scale.value_or(kNoScale) | (o.sack ? kSack : 0) |
                              (o.timestamps ? kTimestamps : 0));
}

}  // namespace

Offer HalfOpen::Client::offer() const {
  Offer o;
  o.mss = mss;
  if ((options & 15) != kNoScale) o.window_scale = static_cast<uint8_t>(options & 15);
  o.sack = (options & kSack) != 0;
  o.timestamps = (options & kTimestamps) != 0;
  return o;
}

HalfOpen::HalfOpen(uint32_t capacity, Instant now)
    : buckets_(
          capacity == 0 ? 0 : std::max<uint32_t>(std::bit_ceil((capacity + kWays - 1) / kWays), 2)),
      swept_(now) {}

HalfOpen::Place HalfOpen::add(uint64_t hash, uint32_t isn_client, uint32_t isn, const Offer& offer,
                              Instant now) {
  if (buckets_.empty()) return kNone;
  const uint32_t tag = tag_of(hash), check = check_of(hash);
  const Tick tick = to_tick(now);
  Place before = kNone;  // the older of those whom this tuple's SYNs have now
  unsigned greeted = 0;
  Place free[2] = {kNone, kNone};
  uint32_t taken[2] = {0, 0};
  const std::array<uint32_t, 2> where = two(hash);
  for (unsigned w = 0; w < 2; ++w) {
    const Bucket& b = buckets_[where[w]];
    for (uint32_t i = 0; i < kWays; ++i) {
      const Place p = where[w] * kWays + i;
      if (b.tag[i] == 0) {
        free[w] = p;
        continue;
      }
      ++taken[w];
      if (b.tag[i] != tag || b.client[i].check != check || b.client[i].state == State::proven)
        continue;
      ++greeted;
      if (before == kNone ||
          tick_before(b.since[i], buckets_[before / kWays].since[before % kWays]))
        before = p;
    }
  }
  Place p = taken[0] <= taken[1] ? free[0] : free[1];
  if (greeted >= 2) {
    p = before;
  } else if (used_ >= mark() || p == kNone) {
    return kNone;
  } else {
    ++used_;
  }
  Bucket& b = buckets_[p / kWays];
  b.tag[p % kWays] = tag;
  b.since[p % kWays] = tick;
  b.client[p % kWays] = {isn_client, isn, check, offer.mss, packed(offer), State::greeted};
  return p;
}

void HalfOpen::set(Place p, State state, Instant now) {
  buckets_[p / kWays].client[p % kWays].state = state;
  buckets_[p / kWays].since[p % kWays] = to_tick(now);
}

void HalfOpen::greet(Place p, Instant now) {
  if (at(p).state != State::proven) set(p, State::greeted, now);
}

void HalfOpen::prove(uint64_t hash, Place p, Instant now) {
  // Its time begins once: what it repeats would keep the place for ever.
  if (at(p).state != State::proven) set(p, State::proven, now);
  for (const uint32_t b : two(hash))
    for (uint32_t i = 0; i < kWays; ++i)
      if (b * kWays + i != p && buckets_[b].tag[i] == tag_of(hash) &&
          buckets_[b].client[i].check == check_of(hash))
        remove(b * kWays + i);
}

void HalfOpen::remove(Place p) {
  buckets_[p / kWays].tag[p % kWays] = 0;
  --used_;
}

void HalfOpen::sweep(Instant now) {
  const auto all = static_cast<uint64_t>(buckets_.size());
  const Duration round = now - swept_;
  if (round < std::chrono::milliseconds(1) || all == 0) return;
  const uint64_t due = round >= kRound ? all
                                       : all * static_cast<uint64_t>(round.count()) /
                                             static_cast<uint64_t>(kRound.count());
  if (due == 0) return;
  swept_ = now;
  const Tick tick = to_tick(now);
  for (uint64_t n = 0; n < due; ++n, cursor_ = (cursor_ + 1) & static_cast<uint32_t>(all - 1)) {
    Bucket& b = buckets_[cursor_];
    for (uint32_t i = 0; i < kWays; ++i) {
      if (b.tag[i] == 0 || tick - b.since[i] <= to_ticks(kShort)) continue;
      const bool soon = b.client[i].state == State::closed ||
                        (b.client[i].state == State::greeted && used_ > mark() / 2);
      if (soon || tick - b.since[i] > to_ticks(kLong)) remove(cursor_ * kWays + i);
    }
  }
}

}  // namespace limpet::tcp
