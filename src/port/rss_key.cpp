#include "rss_key.h"

#include "random.h"

namespace limpet::port {
namespace {

// Tables of up to 512 entries are indexed by the low 9 bits of the hash.
constexpr unsigned kRetaBits = 9;

// Every entry of the largest table is reached from the source ports alone, and many from few.
bool is_good(const flow::Toeplitz& t, Family family) {
  return t.port_rank(family, kRetaBits) == kRetaBits && t.shares_ports(family);
}

}  // namespace

Result<flow::RssKey> random_rss_key() {
  flow::RssKey key{};
  for (unsigned attempt = 0; attempt < 2000; ++attempt) {  // one in fourteen is good
    if (auto filled = fill_random(key); !filled.ok()) return Error{filled.error()};
    const flow::Toeplitz t(key);
    if (is_good(t, Family::v4) && is_good(t, Family::v6)) return key;
  }
  return Error{
      "no usable RSS key among 2000 random ones: the system's random numbers are not random"};
}

}  // namespace limpet::port
