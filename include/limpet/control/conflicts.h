// Notices that somebody else on a port's network claims an address of ours: the workers count such
// ARP and ND messages, this looks whether the count has moved and says so, seldom.
// Owner: the control thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "limpet/base/address.h"
#include "limpet/base/time.h"
#include "limpet/dataplane/counters.h"

namespace limpet::control {

class Conflicts {
 public:
  static constexpr Duration kLook = std::chrono::seconds(1);
  static constexpr Duration kQuiet = std::chrono::minutes(1);  // after a line about the same port

  struct News {
    size_t port = 0;
    uint64_t packets = 0;  // since the last news of this port
    MacAddress claimant;   // of the last one that a worker saw, perhaps on another port
  };

  Conflicts(std::vector<const dataplane::WorkerStats*> stats, size_t ports)
      : stats_(std::move(stats)), ports_(ports) {}

  // What there is to say now. To be called about once in kLook.
  std::vector<News> turn(Instant now);

 private:
  struct Port {
    uint64_t told = 0;  // packets
    Instant quiet_until;
  };
  std::vector<const dataplane::WorkerStats*> stats_;
  std::vector<Port> ports_;
};

}  // namespace limpet::control
