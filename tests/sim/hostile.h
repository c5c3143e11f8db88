// A client that does not mean well, in front of a box: segments that end before they reach the
// backend, segments of one octet, nothing ever acknowledged. And the router behind the box that
// discards what has no hop left.
#pragma once

#include <vector>

#include "middlebox.h"
#include "random.h"
#include "scenario.h"

namespace limpet::sim {

enum class Hostile : uint8_t {
  none,
  expires,       // a TTL that ends behind the box
  never_acks,    // nothing that it gets
  single_octets  // segments of one octet; its app does that
};
const char* name(Hostile kind);
Hostile draw_hostile(uint64_t seed);  // `none` for most
// What of a scenario is another one with such a client.
void prepare(Scenario& scenario, Hostile kind);

struct HostileCounts {
  uint64_t expired = 0;    // segments that the router behind the box discarded
  uint64_t acks_kept = 0;  // that the box was not told
  uint64_t single_octets = 0;
  HostileCounts& operator+=(const HostileCounts& o);
};

class HostileBox : public Middlebox {
 public:
  HostileBox(Middlebox& inner, Hostile kind, uint64_t seed)
      : inner_(inner), kind_(kind), random_(seed ^ 0x686f7374) {}

  std::vector<Frame> on_frame(uint16_t port, Bytes bytes, Instant now) override;
  std::optional<Instant> next_timer() const override { return inner_.next_timer(); }
  std::vector<Frame> on_timer(Instant now) override { return behind(inner_.on_timer(now)); }
  bool judges() const override { return inner_.judges(); }

  const HostileCounts& counts() const { return counts_; }

 private:
  std::vector<Frame> behind(std::vector<Frame> frames);

  Middlebox& inner_;
  const Hostile kind_;
  Random random_;
  HostileCounts counts_;
  bool open_ = false;  // its handshake is complete
  uint32_t first_ack_ = 0;
};

}  // namespace limpet::sim
