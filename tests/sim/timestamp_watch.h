// What a box may do to timestamps, watched at its own ports, where no link has shuffled anything
// yet: of all segments that it sends to one end, none has an older TSval than the one before, but
// as far as those of the other end came in shuffled. Differences only, so it does not matter by how
// much the box shifts them. (The checker at the far end of a link must allow for what the link
// does.)
#pragma once

#include <fmt/core.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>

#include "packet.h"

namespace limpet::sim {

class TimestampWatch {
 public:
  // Both by the port of the box, 0 or 1. SYNs are not looked at: cookies have clocks of their own.
  void came_in(unsigned port, const Segment& s) {
    if (!s.options.timestamps || s.has(kSyn)) return;
    End& end = ends_[port];
    end.shuffled = std::max(end.shuffled, end.in.step(s.options.timestamps->value));
  }
  void went_out(unsigned port, const Segment& s) {
    if (!s.options.timestamps || s.has(kSyn)) return;
    const uint32_t back = ends_[port].out.step(s.options.timestamps->value);
    if (back > ends_[port ^ 1].shuffled && violation_.empty())
      violation_ = fmt::format("TSval sent by port {} goes back by {}, those that came in by {}",
                               port, back, ends_[port ^ 1].shuffled);
  }
  const std::string& violation() const { return violation_; }

 private:
  struct Newest {
    std::optional<uint32_t> value;
    uint32_t step(uint32_t next) {  // how far `next` lies behind; 0: it is the newest
      if (value && static_cast<int32_t>(*value - next) > 0) return *value - next;
      value = next;
      return 0;
    }
  };
  struct End {
    Newest in, out;
    uint32_t shuffled = 0;
  };
  End ends_[2];
  std::string violation_;
};

}  // namespace limpet::sim
