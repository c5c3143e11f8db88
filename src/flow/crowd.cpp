#include "limpet/flow/crowd.h"

#include <algorithm>

#include "limpet/flow/shares.h"

namespace limpet::flow {
void Crowd::add(const One& one) {
  const auto end = all_.begin() + static_cast<ptrdiff_t>(size_);
  if (size_ == kMost ||
      std::any_of(all_.begin(), end, [&](const One& o) { return o.id == one.id; }))
    return;
  all_[size_++] = one;
}

uint32_t Crowd::weight(const One& one) const {
  uint32_t host = 0, home = 0, site = 0;
  const uint64_t high = one.client.high();
  for (size_t i = 0; i < size_; ++i) {
    const IpAddress& other = all_[i].client;
    if (all_[i].stage != Stage::standing || other.is_v4() != one.client.is_v4()) continue;
    if (one.client.is_v4()) {
      host += other == one.client;
      continue;
    }
    const uint64_t differs = __builtin_bswap64(other.high() ^ high);  // as numbers
    host += differs == 0;
    home += differs >> 8 == 0;
    site += differs >> 16 == 0;
  }
  return heaviest_of(host, home, site);
}

const Crowd::One* Crowd::who(bool full) const {
  const One *ended = nullptr, *begun = nullptr, *standing = nullptr;
  const auto older = [](const One& a, const One* b) { return b == nullptr || a.quiet > b->quiet; };
  size_t half_open = 0;
  uint32_t heaviest = 0;
  for (size_t i = 0; i < size_; ++i) {
    const One& one = all_[i];
    switch (one.stage) {
      case Stage::ended:
        if (older(one, ended)) ended = &one;
        break;
      case Stage::begun:
        ++half_open;
        if (older(one, begun)) begun = &one;
        break;
      case Stage::standing:
        const uint32_t heavy = weight(one);
        if (heavy > heaviest || (heavy == heaviest && older(one, standing))) standing = &one;
        heaviest = std::max(heaviest, heavy);
        break;
    }
  }
  if (ended != nullptr) return full ? ended : nullptr;
  if (2 * half_open > size_ || standing == nullptr) return full ? begun : nullptr;
  return standing;
}

}  // namespace limpet::flow
