// Source ports of one worker: a cursor over those never used and a ring of those that came back.
#include "limpet/flow/ports.h"

#include <bit>
#include <cassert>

#include "limpet/base/hash.h"

namespace limpet::flow {

SourcePorts::SourcePorts(const Setup& setup)
    : first_(setup.first),
      last_(setup.last),
      reta_(setup.reta),
      worker_(setup.worker),
      every_(setup.toeplitz == nullptr || setup.reta.workers <= 1),
      taken_(65536 / 64, 0) {
  assert(first_ <= last_);
  assert(reta_.size <= 65536 && (reta_.size & (reta_.size - 1)) == 0);
  const uint32_t range = last_ - first_ + 1;
  capacity_ = range;
  if (setup.toeplitz != nullptr && !every_) {
    capacity_ = 0;
    const Toeplitz& toeplitz = *setup.toeplitz;
    const Family family = setup.backend.family();
    fixed_ = toeplitz.hash(setup.backend, setup.source, setup.backend_port, be16{});
    for (unsigned i = 0; i < 256; ++i) {
      terms_[0][i] = static_cast<uint16_t>(
          toeplitz.port_term(family, be16::from(static_cast<uint16_t>(i << 8))));
      terms_[1][i] =
          static_cast<uint16_t>(toeplitz.port_term(family, be16::from(static_cast<uint16_t>(i))));
    }
    for (uint32_t port = first_; port <= last_; ++port) capacity_ += mine(port) ? 1 : 0;
  }
  fresh_left_ = capacity_;
  fresh_next_ = first_ + static_cast<uint32_t>(mix64(setup.random) % range);
  freed_port_.reset(
      new uint16_t[capacity_]);  // not zeroed: pages stay untouched until they are needed
  freed_at_.reset(new Tick[capacity_]);
}

bool SourcePorts::mine(uint32_t port) const {
  return every_ || reta_.owner(fixed_ ^ terms_[0][port >> 8] ^ terms_[1][port & 0xff]) == worker_;
}

void SourcePorts::set_taken(uint32_t port, bool taken) {
  const uint64_t bit = uint64_t{1} << (port % 64);
  if (taken) {
    taken_[port / 64] |= bit;
    in_use_.store(in_use() + 1, std::memory_order_relaxed);
  } else {
    taken_[port / 64] &= ~bit;
    in_use_.store(in_use() - 1, std::memory_order_relaxed);
  }
}

std::optional<SourcePorts::Grant> SourcePorts::take(Tick now) {
  uint32_t port = 0;
  bool early = false;
  if (fresh_left_ != 0) {
    do {
      port = fresh_next_;
      fresh_next_ = port == last_ ? first_ : port + 1;
    } while (!mine(port));
    --fresh_left_;
  } else if (freed_ != 0) {
    port = freed_port_[head_];
    early = now - freed_at_[head_] < to_ticks(kRest);
    head_ = head_ + 1 == capacity_ ? 0 : head_ + 1;
    --freed_;
  } else {
    return std::nullopt;
  }
  assert(!taken(port));
  set_taken(port, true);
  return Grant{be16::from(static_cast<uint16_t>(port)), early};
}

std::optional<be16> SourcePorts::some(uint64_t random) const {
  constexpr unsigned kWords = 16;  // looked at: a thousand ports
  const uint32_t range = last_ - first_ + 1;
  const uint32_t at = first_ + static_cast<uint32_t>((mix64(random) >> 32) * range >> 32);
  uint64_t word = taken_[at / 64] & ~uint64_t{0} << (at % 64);
  for (unsigned i = 0, index = at / 64; i <= kWords; ++i) {
    if (word != 0)
      return be16::from(
          static_cast<uint16_t>(index * 64 + static_cast<unsigned>(std::countr_zero(word))));
    index = index == last_ / 64 ? first_ / 64 : index + 1;
    word = taken_[index];
  }
  return std::nullopt;
}

void SourcePorts::give(be16 be_port, Tick now) {
  const uint32_t port = be_port.host();
  assert(taken(port));
  if (!taken(port)) return;  // twice in the ring would give one port to two flows
  set_taken(port, false);
  uint32_t tail = head_ + freed_;
  if (tail >= capacity_) tail -= capacity_;
  freed_port_[tail] = static_cast<uint16_t>(port);
  freed_at_[tail] = now;
  ++freed_;
}

}  // namespace limpet::flow
